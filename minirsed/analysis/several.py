"""What an evaluation of several classes leaves: figures of each class, their average, which sound was taken for which.

Data flow: evaluation of several, and for each class what one class has (`files`) → **several** → `minirsed.evaluate`
prints it. Files in the run folder, of a subset SUBSET:

    average_SUBSET.json         the dict of `figures_of`, without the figures of the classes
    events_SUBSET.csv           detected events of all classes
    reference_SUBSET.csv        true events
    confusions_SUBSET.csv       which sound was taken for which
    CLASS/…                     for each class the files of `minirsed.analysis.files`
"""

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.event_lists import write_event_list
from data_tools.files import atomic_write
from data_tools.inventory import recordings_of
from data_tools.several import overlapping
from minirsed.analysis import files
from minirsed.analysis.average import average, average_intervals, compare_averages
from minirsed.analysis.breakdown import RESAMPLES, SEED, none_if_nan, pair_or_none, wilson_interval
from minirsed.analysis.confusion import confusions
from minirsed.scoring import count_events
from minirsed.store.files import plain_name


@dataclass
class SeveralResults:
    """What a detector of several classes, and perhaps other detectors, make of the mixtures of a store."""

    run: Path
    subset: str
    detector: Any  # minirsed.several.detector.SeveralDetector
    store: Any  # minirsed.store.dataset.FeatureStore
    evaluation: Any  # minirsed.several.evaluation.SeveralEvaluation with the detector's own thresholds
    bank: Any  # data_tools.banks.base.Bank that the mixtures are made of
    classes: dict  # label → minirsed.analysis.files.Results, of the mixtures as that class sees them
    other_runs: list = field(default_factory=list)  # paths of the runs that it is compared with


def of_class(run, subset, detector, store, evaluation, bank, label):
    """The `Results` of one class, whose files go into a folder of its own."""
    folder = Path(run) / plain_name(label)
    return files.Results(
        folder, subset, detector.of_class(label), store.of_class(label), evaluation.of_class[label], bank
    )


def figures_of(results, classes):
    """What is known of all classes together, as JSON-able values; undefined figures are None.

    Parameters
    ----------
    results : SeveralResults
    classes : dict of str to dict
        For each class what `minirsed.analysis.files.write_report` returned.

    Returns
    -------
    dict
        "average" and, with the thresholds that were tuned for each class, "tuned": error_rate and f1 with intervals
        over mixtures and over recordings; "confusions", see `minirsed.analysis.confusion`; "by_overlap", how many
        events that overlap with one of another class were hit, and of the others; "other", with the paired interval.
    """
    recipes, own = results.store.recipes, results.classes
    recordings = {label: recordings_of(results.bank, each.store.recipes) for label, each in own.items()}
    recordings = None if None in recordings.values() else recordings
    counts = {label: counts_of(each.evaluation) for label, each in own.items()}
    tuned = other = None
    if all(each.tuned_thresholds for each in own.values()):
        tuned = average_figures({label: counts_of(each.tuned) for label, each in own.items()}, recordings)
    if results.other_runs:
        others = {label: counts_of(each.other) for label, each in own.items()}
        other = {"runs": [str(run) for run in results.other_runs], "average": average_figures(others, recordings)}
        other |= average_difference(counts, others, recordings)
        estimated = _together([each.other.estimated for each in own.values()])
        other["confusions"] = confusions(results.evaluation.reference, estimated, list(own))
    return {
        "run": str(results.run),
        "subset": results.subset,
        "label": results.detector.label,
        "labels": list(own),
        "detector": results.detector.fingerprint(),
        "data": results.bank.name,
        "n_clips": len(recipes),
        "n_clips_by_events": np.bincount([len(recipe.events) for recipe in recipes]).tolist(),
        "made_of": files.made_of(results.bank, results.subset, results.store),
        "average": average_figures(counts, recordings),
        "tuned": tuned,
        "by_overlap": _by_overlap(recipes, counts),
        "confusions": confusions(results.evaluation.reference, results.evaluation.estimated, list(own)),
        "other": other,
        "resamples": RESAMPLES,
        "notes": list(dict.fromkeys(f"{label}: {note}" for label in own for note in classes[label]["notes"])),
        "warnings": list(dict.fromkeys(line for label in own for line in classes[label]["warnings"])),
    }


def write_report(results):
    """Write all files.

    Returns
    -------
    dict
        As `figures_of`, with "files", the names of what was written, and "classes", the figures of each class.

    Raises
    ------
    OSError
        The run folder cannot be written.
    """
    subset, classes = results.subset, {}
    for label, own in results.classes.items():
        own.run.mkdir(exist_ok=True)
        classes[label] = files.write_report(own)
    figures = figures_of(results, classes)
    names = [f"average_{subset}.json", f"events_{subset}.csv", f"reference_{subset}.csv", f"confusions_{subset}.csv"]
    folders = [f"{own.run.name}/" for own in results.classes.values()]
    paths = [results.run / name for name in names]
    write_event_list(paths[1], results.evaluation.estimated)
    write_event_list(paths[2], results.evaluation.reference)
    _write_confusions(paths[3], figures["confusions"])
    figures["files"] = names + folders
    with atomic_write(paths[0], "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    return figures | {"classes": classes}


def _write_confusions(path, found):
    """A row for each class that was there, and for none: how many detected events of each class lie on it."""
    rows = [*zip(found["labels"], found["events"], found["taken_for"], strict=True)]
    rows += [("misplaced", "", found["misplaced"]), ("nothing", "", found["nothing"])]
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("true", "events", *(f"detected_{label}" for label in found["labels"])))
        writer.writerows((name, n, *row) for name, n, row in rows)


def counts_of(evaluation):
    """Counts of each mixture, (N, 4): n_ref, n_sys, n_tp, n_subs."""
    return count_events(evaluation.reference, evaluation.estimated).overall


def average_figures(counts, recordings=None):
    """ER and F1 of the average with 95 % intervals over mixtures and, if they are given, over recordings.

    Parameters
    ----------
    counts, recordings : as for `minirsed.analysis.average.average_intervals`

    Returns
    -------
    dict
        As `minirsed.analysis.breakdown.figures` has them of one class; None where undefined.
    """
    error_rate, f1 = map(none_if_nan, average(counts))
    found = {"error_rate": error_rate, "f1": f1}
    for over, drawn in (("", None), ("_by_recording", recordings)):
        if drawn or not over:
            rng = np.random.default_rng(SEED)
            intervals = average_intervals(counts, rng, recordings=drawn, n_resamples=RESAMPLES)
            found |= {f"{name}_95{over}": pair_or_none(edges) for name, edges in intervals._asdict().items()}
    return found


def average_difference(counts, others, recordings=None):
    """Average error rate minus that of the others, with intervals, as `average_figures`."""
    found = {}
    for over, drawn in (("", None), ("_by_recording", recordings)):
        if drawn or not over:
            rng = np.random.default_rng(SEED)
            difference, edges = compare_averages(counts, others, rng, recordings=drawn, n_resamples=RESAMPLES)
            found |= {"error_rate_difference": none_if_nan(difference)}
            found |= {f"error_rate_difference_95{over}": pair_or_none(edges)}
    return found


def _by_overlap(recipes, counts):
    """Events that overlap with one of another class, and those that do not: how many, hits, recall."""
    overlaps = [overlapping(recipe) for recipe in recipes]
    found = {}
    for name, wanted in (("overlapping", True), ("alone", False)):
        n_ref = n_tp = 0
        for label, of_class in counts.items():
            rows = of_class[[wanted == (label in each) for each in overlaps]]
            n_ref, n_tp = n_ref + int(rows[:, 0].sum()), n_tp + int(rows[:, 2].sum())
        recall = n_tp / n_ref if n_ref else None
        found[name] = {
            "n_ref": n_ref,
            "n_tp": n_tp,
            "recall": recall,
            "recall_95": pair_or_none(wilson_interval(n_tp, n_ref)),
        }
    return found


def _together(event_lists):
    """Lists of events of the same mixtures as one."""
    return {name: sorted(event for events in event_lists for event in events[name]) for name in event_lists[0]}
