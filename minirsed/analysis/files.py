"""All that an evaluation leaves in the run folder: figures as JSON, lists and curves as CSV, pictures.

Data flow: evaluation → thresholds, breakdown, plots → **report** → `minirsed.evaluate` prints it. The files of a
subset SUBSET:

    figures_SUBSET.json         the dict of `figures_of`
    events_SUBSET.csv           detected events; events_SUBSET_tuned.csv with the tuned thresholds
    reference_SUBSET.csv        true events
    thresholds_SUBSET.csv, .png scores over the grid of thresholds, also for dev where they are tuned on it
    det_SUBSET.csv, .png        misses against false alarms by clip
    examples_SUBSET.png         some clips of all kinds
    mistakes_SUBSET.png         the worst mistakes
"""

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_tools.event_lists import write_event_list
from data_tools.files import atomic_write
from data_tools.inventory import few, holding_of, recordings_of, repeated
from minirsed.analysis import breakdown, plots
from minirsed.analysis.left_out import UNKNOWN, cross_validated, too_few
from minirsed.analysis.thresholds import GRID, PAPER, clip_rates, decisions, det_curve, lowest_error
from minirsed.features import frame_to_seconds

N_WORST = 10  # mistakes to show
GRID_COLUMNS = ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "error_rate", "f1", "precision", "recall")


@dataclass
class Results:
    """What a detector, and perhaps another one, make of the mixtures of a store."""

    run: Path
    subset: str
    detector: Any  # minirsed.detector.Detector
    store: Any  # minirsed.store.dataset.FeatureStore
    evaluation: Any  # minirsed.analysis.evaluation.Evaluation with the detector's own thresholds
    bank: Any  # data_tools.banks.base.Bank that the mixtures are made of
    tuned_thresholds: tuple | None = None  # (thres0, thres1)
    dev_store: Any = None  # on which they were tuned, and its Evaluation
    dev_evaluation: Any = None
    left_out: Any = None  # minirsed.analysis.left_out.LeftOut of the way in which they were tuned
    other_run: Path | None = None
    other_detector: Any = None
    other: Any = None  # Evaluation of the other detector on `store`
    notes: list = field(default_factory=list)  # what there is not, and why

    @property
    def thresholds(self):
        """The detector's own (thres0, thres1)."""
        return self.detector.thres0, self.detector.thres1

    @property
    def tuned(self):
        """Evaluation with the tuned thresholds, None without them."""
        if self.tuned_thresholds is None:
            return None
        return breakdown.with_thresholds(self.evaluation, self.store, self.detector, *self.tuned_thresholds)

    def points(self):
        """Name and (thres0, thres1) of the operating points."""
        is_papers = (*self.thresholds, self.detector.config.rule) == (*PAPER, "longest")
        own = "as in the paper" if is_papers else "the run's own"
        named = [(f"{own} ({self.thresholds[0]:g}, {self.thresholds[1]:g})", self.thresholds)]
        if self.tuned_thresholds:
            named.append(("tuned ({:g}, {:g})".format(*self.tuned_thresholds), self.tuned_thresholds))
        return named

    def clip_rates(self, clip_s):
        """Name and `ClipRates` of the operating points, for clips of `clip_s` seconds."""
        evaluations = (self.evaluation, self.tuned)
        return [
            (name, clip_rates(probabilities(evaluation), self.store.has_event, clip_s, thres0))
            for (name, (thres0, _)), evaluation in zip(self.points(), evaluations, strict=False)
        ]


def rule_of(detector):
    """The rule of a detector, for `minirsed.analysis.thresholds.decisions`."""
    config, operating = detector.config, detector.operating
    return {
        "rule": config.rule,
        "lead": config.lead,
        "memory_s": operating.memory_s,
        "min_event_s": operating.min_event_s,
    }


def decisions_of(detector, store, evaluation):
    """`Decisions` of an evaluation, the detector's own thresholds among those of `thresholds.GRID`."""
    return decisions(
        probabilities(evaluation),
        np.stack([found.frame_probabilities for found in evaluation.detections]),
        store.onset_s,
        np.union1d(GRID, detector.thres0),
        np.union1d(GRID, detector.thres1),
        **rule_of(detector),
    )


def grid_of(detector, store, evaluation):
    """`ThresholdGrid` of `decisions_of`."""
    return decisions_of(detector, store, evaluation).grid()


def tune_on_dev(results):
    """The thresholds with the lowest error rate on the dev mixtures, and what that way of choosing is worth.

    Of equals those nearest to the detector's own. Sets `tuned_thresholds` and `left_out`, or adds to `notes` why there
    are none: no event, or too few recordings to choose by, see `minirsed.analysis.left_out`.
    """
    recordings = recordings_of(results.bank, results.dev_store.recipes)
    why_not = None if recordings is None else too_few(recordings)
    if not results.dev_store.has_event.any():
        results.notes.append("thresholds not tuned: no dev mixture has an event")
    elif why_not:
        results.notes.append(f"thresholds not tuned, those of the run stay: {why_not}")
    else:
        found = decisions_of(results.detector, results.dev_store, results.dev_evaluation)
        results.tuned_thresholds = lowest_error(found.grid(), results.thresholds)
        if recordings is None:
            results.notes.append(UNKNOWN)
        else:
            results.left_out = cross_validated(found, recordings, results.thresholds)


def figures_of(results):
    """Everything that is known, as JSON-able values; undefined figures are None.

    Top level: the detector's own thresholds, overall; "made_of", the `data_tools.inventory.Holding` of the mixtures,
    None where it is not known; then "tuned", "by_ebr_db", "by_scene", "mistakes" (how many of each kind),
    "worst_mistakes", "other" (another run's figures and the paired test), "notes" and "warnings".
    """
    store, evaluation = results.store, results.evaluation
    wrong = breakdown.mistakes(store, evaluation)
    kinds = [breakdown.outcome(store, evaluation, row) for row in wrong]
    tuned = other = None
    if results.tuned_thresholds:
        tuned = _figures(results, results.tuned, *results.tuned_thresholds)
        for name, thresholds in (("dev", results.tuned_thresholds), ("dev_untuned", results.thresholds)):
            on_dev = breakdown.with_thresholds(
                results.dev_evaluation, results.dev_store, results.detector, *thresholds
            ).scores
            tuned[name] = {"n_clips": len(results.dev_store), "error_rate": on_dev.error_rate, "f1": on_dev.f1}
        tuned["dev"]["made_of"] = made_of(results.bank, "dev", results.dev_store)
        tuned["left_out"] = _left_out(results)
    if results.other:
        other = {"run": str(results.other_run)}
        other |= _figures(results, results.other, results.other_detector.thres0, results.other_detector.thres1)
        other |= breakdown.comparison(evaluation, results.other, recordings_of(results.bank, store.recipes))
    return {
        "run": str(results.run),
        "subset": results.subset,
        "label": results.detector.label,
        "detector": results.detector.fingerprint(),
        "data": results.bank.name,
        "clip_s": clip_s(store),
        "made_of": made_of(results.bank, results.subset, store),
        **_figures(results, evaluation, *results.thresholds),
        "min_event_s": results.detector.operating.min_event_s,
        "memory_s": results.detector.operating.memory_s,
        "resamples": breakdown.RESAMPLES,
        "tuned": tuned,
        "by_ebr_db": breakdown.by_ebr(store, evaluation),
        "by_scene": breakdown.by_scene(store, evaluation),
        "mistakes": {kind: kinds.count(kind) for kind in breakdown.MISTAKES},
        "worst_mistakes": [
            breakdown.describe(store, evaluation, row) for row in breakdown.distinct(store, wrong)[:N_WORST]
        ],
        "other": other,
        "notes": results.notes,
        "warnings": _warnings(results),
    }


def _left_out(results):
    """Figures of the way of tuning, on recordings that it has not seen; None if they are not known."""
    if results.left_out is None:
        return None
    recordings = recordings_of(results.bank, results.dev_store.recipes)
    names = ("n_ref", "n_sys", "n_tp", "error_rate", "error_rate_95_by_recording", "f1")
    found = breakdown.figures_of_counts(results.left_out.counts, recordings)
    return {"n_choices": results.left_out.n_choices, **{name: found[name] for name in names}}


def _warnings(results):
    """Lines on what the sounds are too few for, and on those that are the same in several subsets."""
    stores = {results.subset: results.store} | ({"dev": results.dev_store} if results.dev_store is not None else {})
    holdings = {subset: holding_of(results.bank, subset, store.recipes) for subset, store in stores.items()}
    return [line for line in (few(holdings), repeated(results.bank, results.detector.label)) if line]


def write_report(results):
    """Write all files; those of an earlier evaluation of the subset that have no successor now are removed.

    Returns
    -------
    figures : dict
        As `figures_of`, with the notes on what could not be drawn, and "files", the names of what was written.

    Raises
    ------
    OSError
        The run folder cannot be written.
    """
    subset, store, evaluation, label = results.subset, results.store, results.evaluation, results.detector.label
    files = _Files(results.run)
    write_event_list(files.add(f"events_{subset}.csv"), evaluation.estimated)
    if results.tuned_thresholds:
        write_event_list(files.add(f"events_{subset}_tuned.csv"), results.tuned.estimated)
    write_event_list(files.add(f"reference_{subset}.csv"), evaluation.reference)
    rows = plots.telling_clips(store, evaluation)
    title = f"{label}: {len(rows)} clips of {subset}"
    plots.examples(store, evaluation, files.add(f"examples_{subset}.png"), title, rows)
    wrong = breakdown.mistakes(store, evaluation)
    if wrong:
        shown = breakdown.distinct(store, wrong)[:N_WORST]
        title = f"{label}, {subset}: the worst {len(shown)} of {len(wrong)} mistakes in {len(store)} clips"
        plots.mistakes(store, evaluation, files.add(f"mistakes_{subset}.png"), title, shown)
    else:
        results.notes.append(f"no mistakes_{subset}.png: no mistakes")
    _write_thresholds(results, files)
    _write_det(results, files)
    path = files.add(f"figures_{subset}.json")
    figures = figures_of(results) | {"files": files.names}
    with atomic_write(path, "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    for name in ("events_{}_tuned.csv", "mistakes_{}.png", "thresholds_{}.png", "det_{}.png", "det_{}.csv"):
        if name.format(subset) not in files.names:
            (results.run / name.format(subset)).unlink(missing_ok=True)
    return figures


class _Files:
    """Files that are written into a folder, and a list of their names."""

    def __init__(self, folder):
        self.folder, self.names = Path(folder), []

    def add(self, name):
        """Put a name onto the list; its path."""
        self.names.append(name)
        return self.folder / name


def _write_thresholds(results, files):
    """The grids as CSV and as one picture: dev first, where the thresholds are chosen, then the subset itself."""
    grids = {results.subset: grid_of(results.detector, results.store, results.evaluation)}
    if results.dev_store is not None:
        grids = {"dev": grid_of(results.detector, results.dev_store, results.dev_evaluation)} | grids
    for subset, grid in grids.items():
        rows = []
        for i, j in np.ndindex(grid.n_sys.shape):
            scores = grid.scores(i, j)
            row = {name: getattr(scores, name) for name in GRID_COLUMNS}
            if grid.n_ref == 0:
                row["error_rate"] = math.nan
            values = ["" if math.isnan(value) else value for value in row.values()]
            rows.append([grid.thres0[i], grid.thres1[j], *values])
        _write_csv(files.add(f"thresholds_{subset}.csv"), ("thres0", "thres1", *GRID_COLUMNS), rows)
    if all(grid.n_ref for grid in grids.values()):
        roles = {"dev": " (tuned on these)"} if results.tuned_thresholds else {}
        named = [(f"{subset}, {grid.n_ref} events{roles.get(subset, '')}", grid) for subset, grid in grids.items()]
        title = f"{results.detector.label}: error rate by threshold"
        plots.threshold_map(named, results.points(), files.add(f"thresholds_{results.subset}.png"), title)
    else:
        results.notes.append(f"no thresholds_{results.subset}.png: no mixture has an event")


def _write_det(results, files):
    """The curve as CSV, and with the other run's and the operating points as a picture."""
    subset, store = results.subset, results.store
    clips = store.has_event, clip_s(store)
    if store.has_event.all() or not store.has_event.any():
        missing = "without" if store.has_event.all() else "with"
        results.notes.append(f"no det_{subset}.png: no mixture {missing} an event")
        return
    curve = det_curve(probabilities(results.evaluation), *clips)
    _write_csv(files.add(f"det_{subset}.csv"), curve._fields, zip(*curve, strict=True))
    curves = [(str(results.run), curve)]
    if results.other:
        curves.append((str(results.other_run), det_curve(probabilities(results.other), *clips)))
    points = results.clip_rates(clip_s(store))
    title = f"{results.detector.label}, {subset}: is there an event in the clip?"
    plots.det(curves, points, files.add(f"det_{subset}.png"), title)


def _write_csv(path, columns, rows):
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _figures(results, evaluation, thres0, thres1):
    """Figures of one pair of thresholds."""
    rates = clip_rates(probabilities(evaluation), results.store.has_event, clip_s(results.store), thres0)._asdict()
    names = ("miss_rate", "false_alarm_rate", "false_alarms_per_hour")
    rates |= {name: breakdown.none_if_nan(rates[name]) for name in names}
    recordings = recordings_of(results.bank, results.store.recipes)
    overall = breakdown.figures(evaluation, recordings=recordings)
    return {"thres0": thres0, "thres1": thres1, **overall, "by_clip": rates}


def made_of(bank, subset, store):
    """What the mixtures of a store are made of, as a dict for JSON; None if it is not known."""
    holding = holding_of(bank, subset, store.recipes)
    return holding and holding._asdict()


def probabilities(evaluation):
    """List of p, one a clip."""
    return [found.probability for found in evaluation.detections]


def clip_s(store):
    """Sound that the frames of a clip cover, from the start of the first to the end of the last, seconds."""
    return float(frame_to_seconds(0) + frame_to_seconds(store.features.shape[1] - 1))
