"""Time `minirsed.scoring.score` beside sed_eval on the same lists, and compare every figure.

Needs sed_eval and dcase_util (`pip install sed_eval dcase_util`), which the project itself does not use:

    python tests/benchmarks/score_vs_sed_eval.py [--files 500] [--runs 7]

Both get events already in memory in their own form: pairs of times here, dcase_util containers there. Runs
alternate, so that a slow moment of the machine hits both. Exit status 1 if a figure differs by over 1e-12.
"""

import argparse
import math
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import dcase_util
import numpy as np
import sed_eval

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from minirsed.analysis.uncertainty import bootstrap_intervals  # noqa: E402
from minirsed.bench.rows import event_lists  # noqa: E402
from minirsed.scoring import count_events, score  # noqa: E402

OFFICIAL_NAMES = {
    "n_ref": "Nref", "n_sys": "Nsys", "n_tp": "Ntp", "n_fp": "Nfp", "n_fn": "Nfn", "n_subs": "Nsubs",
    "error_rate": "error_rate", "f1": "f_measure", "precision": "precision", "recall": "recall",
}  # fmt: skip


def dense_lists(n_files, rng):
    """Twelve events of three classes against as many estimates in every file."""
    labels = ("babycry", "glassbreak", "gunshot")

    def events():
        onsets_s = rng.uniform(0.0, 10.0, 12)
        return [(onset_s, onset_s + rng.uniform(0.1, 2.0), rng.choice(labels).item()) for onset_s in onsets_s]

    return tuple({f"{i:04d}.wav": events() for i in range(n_files)} for _ in range(2))


def as_containers(lists):
    """The same events as sed_eval wants them."""
    return {
        file: dcase_util.containers.MetaDataContainer(
            [{"filename": file, "onset": on, "offset": off, "event_label": label} for on, off, label in events]
        )
        for file, events in lists.items()
    }


def official(reference, estimated, labels):
    """Score with sed_eval and the task's settings; returns the overall counts and figures."""
    metrics = sed_eval.sound_event.EventBasedMetrics(
        event_label_list=labels, t_collar=0.5, evaluate_onset=True, evaluate_offset=False
    )
    for file in reference:
        metrics.evaluate(reference_event_list=reference[file], estimated_event_list=estimated[file])
    overall = metrics.results_overall_metrics()
    metrics.results_class_wise_metrics()  # `score` gives these too
    metrics.results_class_wise_average_metrics()
    return {**metrics.overall, **overall["f_measure"], **overall["error_rate"]}


def seconds(function, *args):
    """One timed call."""
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def largest_difference(ours, theirs):
    """Largest relative difference over counts and figures; NaN equals NaN."""
    worst = 0.0
    for our_name, their_name in OFFICIAL_NAMES.items():
        a, b = float(getattr(ours, our_name)), float(theirs[their_name])
        if not (math.isnan(a) and math.isnan(b)):
            worst = max(worst, abs(a - b) / max(1.0, abs(b)))
    return worst


def main():
    """Print medians, their ratio and the largest difference for both kinds of lists."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500, help="files in a list (default 500)")
    parser.add_argument("--runs", type=int, default=7, help="alternating runs of each (default 7)")
    args = parser.parse_args()

    worst = 0.0
    print(f"{args.files} files, medians of {args.runs} alternating runs")
    for name, draw in (("task 2, one event at most", event_lists), ("dense, 12 events, 3 classes", dense_lists)):
        reference, estimated = draw(args.files, np.random.default_rng(0))
        labels = sorted({event[2] for events in reference.values() for event in events})
        containers = as_containers(reference), as_containers(estimated)
        our_times, their_times = [], []
        for _ in range(args.runs):
            seconds_ours, ours = seconds(partial(score, reference, estimated, labels=labels))
            seconds_theirs, theirs = seconds(official, *containers, labels)
            our_times.append(seconds_ours)
            their_times.append(seconds_theirs)
        difference = largest_difference(ours, theirs)
        worst = max(worst, difference)
        our_median, their_median = statistics.median(our_times), statistics.median(their_times)
        print(
            f"{name:30s} minirsed {our_median * 1e3:8.2f} ms   sed_eval {their_median * 1e3:9.2f} ms   "
            f"ratio {their_median / our_median:6.0f}   largest difference {difference:.1e}   "
            f"ER {ours.error_rate:.4f}  F1 {ours.f1:.4f}"
        )
    counts = count_events(reference, estimated).overall
    times = [seconds(bootstrap_intervals, counts, np.random.default_rng(0))[0] for _ in range(args.runs)]
    print(f"intervals of the latter, 10,000 resamples: {statistics.median(times) * 1e3:.0f} ms")
    sys.exit(worst > 1e-12)


if __name__ == "__main__":
    main()
