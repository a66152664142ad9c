"""Solutions of the exercises in 12_your_own_sound.md."""

import numpy as np


def hours_needed(per_hour):
    """Where exp(−λT) = 0.05: three times as long as it takes for one alarm to be expected."""
    return -np.log(0.05) / per_hour


def leaking(subset_of):
    """Subsets of each recording; what stands before the last hyphen is its name."""
    subsets = {}
    for name, subset in subset_of.items():
        subsets.setdefault(name.rsplit("-", 1)[0], set()).add(subset)
    return {recording for recording, found in subsets.items() if len(found) > 1}
