"""Make scorer-dense.json: crowded files of several labels and sed_eval's counts for them.

Run once, with sed_eval installed (`pip install sed_eval dcase_util`); the tests read the JSON only.
In such files many largest matchings exist, and which one is taken decides the number of substitutions.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sed_eval

LABELS = ["babycry", "glassbreak", "gunshot"]
N_FILES = 120


def draw(rng):
    """20 to 30 events within 5 s, times on a grid of 0.1 s, of two labels or three."""
    onsets_s = rng.uniform(0.0, 5.0, rng.integers(20, 31)).round(1)
    n_labels = rng.integers(2, 4)
    return [(float(on), float(on) + 1.0, LABELS[rng.integers(n_labels)]) for on in onsets_s]


def main():
    """Write the cases, one a line."""
    rng = np.random.default_rng(2017)
    cases = []
    for _ in range(N_FILES):
        lists = draw(rng), draw(rng)
        metrics = sed_eval.sound_event.EventBasedMetrics(
            event_label_list=LABELS, t_collar=0.5, evaluate_onset=True, evaluate_offset=False
        )
        metrics.evaluate(
            *([{"file": "f", "onset": on, "offset": off, "event_label": label} for on, off, label in events]
              for events in lists)
        )  # fmt: skip
        names = {"n_ref": "Nref", "n_sys": "Nsys", "n_tp": "Ntp", "n_fp": "Nfp", "n_fn": "Nfn", "n_subs": "Nsubs"}
        counts = {ours: int(metrics.overall[theirs]) for ours, theirs in names.items()}
        short = [[[on, LABELS.index(label)] for on, _, label in events] for events in lists]
        cases.append({"reference": short[0], "estimated": short[1], "counts": counts})
    versions = {name: version(name) for name in ("sed_eval", "dcase_util", "numpy")}
    head = {
        "made_by": Path(__file__).name,
        "versions": versions,
        "settings": "onset only, collar 0.5 s, optimal matching",
        "events": "[onset in seconds, number of the label]; one file a case",
        "labels": LABELS,
    }
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
    json.loads(text)
    Path(__file__).with_name("scorer-dense.json").write_text(text)


if __name__ == "__main__":
    main()
