"""An evaluation taken apart: by event-to-background ratio, by scene, by mistake (paper, Sec. 4).

Data flow: evaluation → scoring, uncertainty → **breakdown** → plots and `minirsed.evaluate`. Figures come back as
plain dicts of numbers, None where one is undefined, ready for JSON.
"""

import dataclasses
import math

import numpy as np

from minirsed.analysis.evaluation import estimated_events
from minirsed.analysis.thresholds import COLLAR_S
from minirsed.analysis.uncertainty import bootstrap_intervals, compare
from minirsed.scoring import FileCounts, count_events, score, scores_from_counts

RESAMPLES = 10_000  # bootstrap resamples of the mixtures
SEED = 0  # of the bootstrap
Z_95 = 1.959963984540054  # 97.5 % quantile of the normal distribution
MISTAKES = ("miss", "wrong place", "false alarm")  # what `outcome` may say of a clip that is wrong
UNKNOWN = "unknown"  # ratio or scene of a ready-made mixture that comes without them


def figures(evaluation, names=None, recordings=None):
    """Counts, rates and their 95 % intervals.

    Parameters
    ----------
    evaluation : minirsed.analysis.evaluation.Evaluation
    names : iterable of str, optional
        Mixtures to count; default: all.
    recordings : list, optional
        Those of the mixtures, all of them in order, as `data_tools.inventory.recordings_of` gives them.

    Returns
    -------
    dict
        n_clips, n_ref, n_sys, n_tp, n_fp, n_fn; error_rate, f1, precision, recall, None where undefined, which the
        error rate is too if there is no event; error_rate_95 and f1_95, [low, high] by bootstrap over mixtures, and
        with `recordings` error_rate_95_by_recording and f1_95_by_recording, by bootstrap over recordings; recall_95 by
        Wilson's formula, which says something even of five events all found.
    """
    lists = evaluation.reference, evaluation.estimated
    if names is not None:
        names = list(names)
        lists = [{name: events[name] for name in names} for events in lists]
    return figures_of_counts(count_events(*lists).overall, recordings)


def figures_of_counts(counts, recordings=None):
    """The same of (N, 4) counts, n_ref, n_sys, n_tp, n_subs of each mixture."""
    scores = scores_from_counts(FileCounts((), counts, {}))
    result = {"n_clips": len(counts)}
    result |= {name: getattr(scores, name) for name in ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn")}
    result["error_rate"] = none_if_nan(scores.error_rate if scores.n_ref else math.nan)
    result |= {name: none_if_nan(getattr(scores, name)) for name in ("f1", "precision", "recall")}
    for over, drawn in [("", None), *([("_by_recording", recordings)] if recordings else [])]:
        rng = np.random.default_rng(SEED)
        intervals = bootstrap_intervals(counts, rng, recordings=drawn, n_resamples=RESAMPLES)
        result |= {f"{name}_95{over}": pair_or_none(edges) for name, edges in intervals._asdict().items()}
    return result | {"recall_95": pair_or_none(wilson_interval(scores.n_tp, scores.n_ref))}


def wilson_interval(n_hits, n):
    """95 % score interval of a share (Wilson 1927); (NaN, NaN) of none.

    Unlike the bootstrap it has a width also for shares of 0 and 1.
    """
    if n == 0:
        return math.nan, math.nan
    share, z2 = n_hits / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def by_ebr(store, evaluation):
    """`figures` of the mixtures with an event, by their ratio in dB as text, "-6", "+0", "+6"; lowest first."""
    keys = [f"{ebr_db:+g}" if np.isfinite(ebr_db) else UNKNOWN for ebr_db in store.ebr_db]
    order = sorted({ebr_db for ebr_db, has_event in zip(store.ebr_db, store.has_event, strict=True) if has_event})
    groups = [f"{ebr_db:+g}" for ebr_db in order if np.isfinite(ebr_db)] + [UNKNOWN]
    return _grouped(store, evaluation, keys, groups, store.has_event)


def by_scene(store, evaluation):
    """`figures` of all mixtures by the scene of their background, in alphabetical order."""
    keys = [recipe.scene or UNKNOWN for recipe in store.recipes]
    return _grouped(store, evaluation, keys, sorted(set(keys)), np.ones(len(keys), bool))


def _grouped(store, evaluation, keys, groups, counted):
    """`figures` of the counted mixtures of each group that has any."""
    members = {group: [] for group in groups}
    for recipe, key, counts in zip(store.recipes, keys, counted, strict=True):
        if counts:
            members[key].append(recipe.name)
    return {group: figures(evaluation, names) for group, names in members.items() if names}


def with_thresholds(evaluation, store, detector, thres0, thres1):
    """The same probabilities decoded with other thresholds: an `Evaluation` with the same losses."""
    other = dataclasses.replace(detector, thres0=thres0, thres1=thres1)
    detections = [other.decode(found.probability, found.frame_probabilities) for found in evaluation.detections]
    estimated = estimated_events(store, detections, detector.label)
    scores = score(evaluation.reference, estimated)
    return evaluation._replace(detections=detections, estimated=estimated, scores=scores)


def outcome(store, evaluation, row):
    """One clip in a word or two: hit, miss, wrong place, false alarm, correct rejection (no event, none found)."""
    name = store.recipes[row].name
    truth, found = evaluation.reference[name], evaluation.estimated[name]
    if not truth:
        return "false alarm" if found else "correct rejection"
    if not found:
        return "miss"
    return "hit" if abs(truth[0][0] - found[0][0]) <= COLLAR_S else "wrong place"


def mistakes(store, evaluation):
    """Clips that are wrong, the one with the largest loss first: list of row numbers of the store."""
    rows = [row for row in range(len(store)) if outcome(store, evaluation, row) in MISTAKES]
    return sorted(rows, key=lambda row: -evaluation.loss[row])


def mixed(store):
    """Recipes of the sounds of a store, also if it is seen as one of several classes; others hold but one class."""
    return getattr(store, "mixed", store.recipes)


def distinct(store, rows):
    """The rows without repeats of a sound: mixtures without an event, of one background, sound the same."""
    kept = {}
    for row in rows:
        recipe = mixed(store)[row]
        is_background = recipe.background and not recipe.has_event and recipe.negative is None
        same = (recipe.background, recipe.background_start_s) if is_background else row
        kept.setdefault(same, row)
    return list(kept.values())


def describe(store, evaluation, row):
    """One clip as a dict: mixture, outcome, scene, ebr_db, p, loss, true and detected times in seconds (or None)."""
    recipe, found = store.recipes[row], evaluation.detections[row]
    truth = next(iter(evaluation.reference[recipe.name]), (None, None))
    return {
        "mixture": recipe.name,
        "outcome": outcome(store, evaluation, row),
        "scene": recipe.scene or UNKNOWN,
        "ebr_db": recipe.ebr_db if np.isfinite(recipe.ebr_db) else None,
        "probability": found.probability,
        "loss": float(evaluation.loss[row]),
        "onset_s": truth[0],
        "offset_s": truth[1],
        "detected_onset_s": found.onset_s,
        "detected_offset_s": found.offset_s,
    }


def comparison(evaluation, other, recordings=None):
    """Paired test of two evaluations of the same mixtures: dict of the difference in ER, its 95 % interval and p.

    A negative difference says that `evaluation` is better than `other`. `recordings` adds an interval as in `figures`.
    """
    counts = [count_events(each.reference, each.estimated).overall for each in (evaluation, other)]
    result = compare(*counts, np.random.default_rng(SEED), n_resamples=RESAMPLES)
    found = {
        "error_rate_difference": none_if_nan(result.error_rate_difference),
        "error_rate_difference_95": pair_or_none(result.interval),
        "p_value": result.p_value,
    }
    if recordings:
        drawn = compare(*counts, np.random.default_rng(SEED), recordings=recordings, n_resamples=RESAMPLES)
        found["error_rate_difference_95_by_recording"] = pair_or_none(drawn.interval)
    return found


def none_if_nan(value):
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)


def pair_or_none(edges):
    """An interval as a list for JSON."""
    return [none_if_nan(edge) for edge in edges]
