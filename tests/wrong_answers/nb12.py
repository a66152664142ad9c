"""Mistakes in the exercises of notebook 12, each with words of the hint that it must get."""

import numpy as np


def _leaking(recording):
    def answer(subset_of):
        subsets = {}
        for name, subset in subset_of.items():
            subsets.setdefault(recording(name), set()).add(subset)
        return {name for name, found in subsets.items() if len(found) > 1}

    return answer


WRONG = {
    "12.hours_needed": [
        (lambda per_hour: 1 / per_hour, "to be *expected*"),
        (lambda per_hour: -np.log(0.95) / per_hour, "even a bad detector is quiet"),
        (lambda per_hour: -np.log(0.025) / per_hour, "only one end"),
        (lambda per_hour: 3 * per_hour, "exp(−λT)"),
        (lambda per_hour: -np.log(0.05) * per_hour, "The fewer are allowed"),
    ],
    "12.leaking": [
        (_leaking(lambda name: name.split("-")[0]), "only the last hyphen"),
        (_leaking(lambda name: name), "['kitchen'] is in both"),
        (lambda subset_of: {"kitchen-1.wav"}, "not files"),
        (lambda subset_of: {name.rsplit("-", 1)[0] for name in subset_of}, "only the last hyphen"),
        (lambda subset_of: {"cellar"}, "in one subset only"),
        (lambda subset_of: [], "asked for is a set"),
    ],
}
