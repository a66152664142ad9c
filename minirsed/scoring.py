"""Event-based error rate and F1 (paper, Sec. 4), as DCASE 2017 task 2 and its tool sed_eval 0.2.1 count them.

The last step: lists of events in, figures out; NumPy alone. This text is the specification.

**Events.** `{file: [(onset_s, offset_s), …]}`, or `(onset_s, offset_s, label)`; a file without events has an
empty list. Times are finite seconds, neither clipped nor sorted nor checked for sign. The files of the
reference are the files that count: one that is missing from the estimates counts as empty there (a deletion for
each of its events), one that only the estimates have is refused.

**Hit.** A reference event and an estimated one of the same file hit each other if every condition asked for holds

    onset    |ref.onset − est.onset| ≤ collar_s
    offset   |ref.offset − est.offset| ≤ max(collar_s, percentage_of_length · (ref.offset − ref.onset))

and their labels, if any, agree. The task asks for the onset alone, collar 0.5 s. *Ties at the collar* are hits,
decided on raw 64-bit floats without any epsilon: 0.2 against 0.7 s hits, 0.6 against 1.1 s misses, since
1.1 − 0.6 = 0.5000000000000001.

**Matching**, one to one, within each file. `optimal`: as many pairs as possible. `greedy`: references in list
order, each takes the first free estimate in list order that it hits, not the nearest. Labels must agree, so the
matching splits by label: the pairs of a class are the overall pairs that bear its label. Among several largest
matchings the official choice is made (`minirsed.matching` says how); it decides which events are left over for:

**Substitutions.** Left-over references in list order each take the first left-over estimate in list order
that meets the time conditions, whatever its label. None with fewer than two labels, none within a class.

**Counts**, summed over files: n_ref and n_sys events in the lists, n_tp pairs, n_subs substitutions,
n_fp = n_sys − n_tp − n_subs (insertions), n_fn = n_ref − n_tp − n_subs (deletions).

**Figures**, with ε = 2⁻⁵²:

    precision  P = n_tp / n_sys          NaN if n_sys = 0   (0 with zero_score_empty)
    recall     R = n_tp / n_ref          NaN if n_ref = 0
    f1           = 2PR / (P + R)         0 if P = R = 0; NaN if either is NaN
    error_rate   = n_subs / (n_ref + ε) + n_fn / (n_ref + ε) + n_fp / (n_ref + ε)

Undefined is NaN, never 0 or 1. ε is the official tool's and shows only for n_ref = 1, where a rate of one is
0.9999999999999998, and n_ref = 0, where each false alarm adds 4503599627370496. Error rate has no upper limit.

**Labels.** `overall` counts every event, also those whose label is not in `labels`; a class counts its own.
`class_wise_average` is the official mean over `labels`, figure by figure, skipping NaN; a class without any
event has error rate 0 and is *not* skipped. `task_average` is the challenge's own: the plain mean over classes
that were scored each on its own files; one NaN makes it NaN. Labels are stripped of white space. As in the
official tool an empty label or "none" is a null label (counted overall, equal to other null labels, in no
class), and in labelled lists an event without label is dropped, as is everywhere one without both times
(None): an estimate without offset is lost even if only onsets count.

**Differences from the official tool.** (1) NaN or infinite times raise; there they silently never hit.
(2) All files are scored by one call and files of the estimates alone raise; there pairing is the caller's job.
(3) Lists without any label can be scored; there every event needs one. A list with unlabelled events only,
against a labelled one or with `labels` given, raises; there all its events are dropped. (4) `labels` may be
left out: all labels that occur. (5) The settings that it refuses are refused here too (a collar or percentage
that is no float, not even an int), and so is a label list that is empty or names a label twice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from minirsed.matching import match_greedy, match_optimal, near_pairs

EPS = float(np.finfo(np.float64).eps)  # 2^-52, sed_eval's guard against division by zero
NULL_LABEL = ""


@dataclass(frozen=True)
class Scores:
    """Counts and figures of one set of files; rates are fractions, undefined ones NaN (module docstring)."""

    error_rate: float
    f1: float
    precision: float
    recall: float
    n_ref: int
    n_sys: int
    n_tp: int
    n_fp: int
    n_fn: int
    n_subs: int
    substitution_rate: float
    deletion_rate: float
    insertion_rate: float
    per_class: dict = field(default_factory=dict)  # label → Scores, in the order of `labels`
    class_wise_average: "ClassWiseAverage | None" = None  # None where the events bear no labels


class ClassWiseAverage(NamedTuple):
    """Mean over the label list, figure by figure, NaN skipped; all NaN gives NaN."""

    error_rate: float
    f1: float
    precision: float
    recall: float
    deletion_rate: float
    insertion_rate: float


class TaskAverage(NamedTuple):
    """Plain mean over classes; NaN if a class is NaN."""

    error_rate: float
    f1: float


@dataclass(frozen=True)
class FileCounts:
    """What each file contributes. Columns of every array: n_ref, n_sys, n_tp, n_subs.

    `files` is in the order of the reference, `overall` (n_files, 4) int64, `per_class` label → the same.
    """

    files: tuple
    overall: np.ndarray
    per_class: dict


def score(
    reference,
    estimated,
    *,
    labels=None,
    collar_s=0.5,
    evaluate_onset=True,
    evaluate_offset=False,
    percentage_of_length=0.5,
    matching="optimal",
    zero_score_empty=False,
):
    """Score estimated events against reference events; the defaults are those of DCASE 2017 task 2.

    The head of this module has the definitions; `tutorials/08_scoring_and_uncertainty.md` counts by hand first.

    Parameters
    ----------
    reference, estimated : dict of str to list of (onset_s, offset_s) or (onset_s, offset_s, label)
        One key a file, times in seconds.
    labels : sequence of str, optional
        Classes to report, in this order; by default all that occur, sorted.
    collar_s : float > 0
        Allowed distance of onsets (and of offsets), seconds.
    evaluate_onset, evaluate_offset : bool
        Conditions of a hit; one at least.
    percentage_of_length : float in [0, 1]
        Share of the reference event's length that widens the collar of its offset.
    matching : {"optimal", "greedy"}
        One-to-one matching within a file.
    zero_score_empty : bool
        Without any estimate, precision is 0 instead of undefined.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        A setting out of range, an event that is not two finite times and perhaps a label, a file of
        `estimated` that `reference` does not have, a list without labels where labels are needed.

    Examples
    --------
    >>> scores = score({"a": [(3.0, 5.0)], "b": [(9.0, 10.0)]}, {"a": [(3.2, 4.1)], "b": [(9.6, 10.0)]})
    >>> scores.n_tp, scores.n_fn, scores.n_fp, round(scores.error_rate, 3)  # 0.6 s late: a miss and a false alarm
    (1, 1, 1, 1.0)
    """
    counts = count_events(
        reference,
        estimated,
        labels=labels,
        collar_s=collar_s,
        evaluate_onset=evaluate_onset,
        evaluate_offset=evaluate_offset,
        percentage_of_length=percentage_of_length,
        matching=matching,
    )
    return scores_from_counts(counts, zero_score_empty=zero_score_empty)


def task_average(scores):
    """Average the classes as DCASE 2017 task 2 does: each class scored on its own files, then a plain mean.

    `scores` is an iterable of `Scores`, one a class. ValueError if it is empty.
    """
    scores = list(scores)
    if not scores:
        raise ValueError("scores is empty; expected one Scores a class")
    return TaskAverage(_mean([s.error_rate for s in scores]), _mean([s.f1 for s in scores]))


def scores_from_counts(counts, *, zero_score_empty=False):
    """Sum `FileCounts` over files and compute the figures; returns `Scores`."""
    per_class = {label: _figures(c.sum(axis=0), zero_score_empty) for label, c in counts.per_class.items()}
    return _figures(
        counts.overall.sum(axis=0),
        zero_score_empty,
        per_class=per_class,
        class_wise_average=_class_wise_average(per_class.values()) if per_class else None,
    )


def count_events(
    reference,
    estimated,
    *,
    labels=None,
    collar_s=0.5,
    evaluate_onset=True,
    evaluate_offset=False,
    percentage_of_length=0.5,
    matching="optimal",
):
    """Count hits, misses and false alarms of every file; arguments and errors as for `score`.

    The per-file counts are what `minirsed.analysis.uncertainty` resamples. Returns `FileCounts`.
    """
    _check_settings(collar_s, evaluate_onset, evaluate_offset, percentage_of_length, matching)
    for argument, lists in (("reference", reference), ("estimated", estimated)):
        if not isinstance(lists, Mapping):
            raise ValueError(f"{argument} is a {type(lists).__name__}; expected a dict of file to list of events")
    if not estimated.keys() <= reference.keys():
        unknown = [file for file in estimated if file not in reference]
        raise ValueError(
            f"estimated has {len(unknown)} file(s) that reference lacks, e.g. {unknown[0]!r}; "
            "a file without events needs an empty list in reference"
        )
    ref = _flatten("reference", reference, list(reference.values()))
    est = _flatten("estimated", reference, [estimated.get(file, ()) for file in reference])
    ref, est, labels = _number_labels(ref, est, labels)

    r, e = near_pairs(ref, est, collar_s, evaluate_onset, evaluate_offset, percentage_of_length)
    paired, substituted = _match(r, e, ref.label[r] == est.label[e], matching)

    rows = ref.row, est.row, ref.row[paired], ref.row[substituted]
    labels_of_rows = ref.label, est.label, ref.label[paired]
    overall = np.empty((len(reference), 4), np.int64)
    for column, row in enumerate(rows):
        overall[:, column] = np.bincount(row, minlength=len(reference))
    per_class = {}
    for number, label in enumerate(labels or ()):
        per_class[label] = np.zeros_like(overall)  # no substitutions within a class
        for column, (row, its_labels) in enumerate(zip(rows, labels_of_rows, strict=False)):
            per_class[label][:, column] = np.bincount(row[its_labels == number], minlength=len(reference))
    return FileCounts(tuple(reference), overall, per_class)


def _match(r, e, same_label, matching):
    """Match near pairs; returns the references that are hit and those that are substituted, int arrays.

    All files at once: no edge joins two files, so each is matched as if it were alone.
    """
    # A pair near to nothing else needs no search: it is a hit if the labels agree, else a substitution.
    alone = (np.bincount(r)[r] == 1) & (np.bincount(e)[e] == 1)
    crowded = ~alone
    edges = list(zip(r[crowded].tolist(), e[crowded].tolist(), strict=True))
    hits = zip(r[crowded & same_label].tolist(), e[crowded & same_label].tolist(), strict=True)
    pairs = match_optimal(hits) if matching == "optimal" else match_greedy(hits)
    used = set(pairs.values())
    substitutions = match_greedy((r, e) for r, e in edges if r not in pairs and e not in used)
    return (
        np.concatenate([r[alone & same_label], np.array(list(pairs), np.intp)]),
        np.concatenate([r[alone & ~same_label], np.array(list(substitutions), np.intp)]),
    )


def _check_settings(collar_s, evaluate_onset, evaluate_offset, percentage_of_length, matching):
    """Refuse what the official tool refuses; an int for a float is refused there too."""
    if not (isinstance(collar_s, float | np.floating) and collar_s > 0):
        raise ValueError(f"collar_s is {collar_s!r}; expected a float > 0, in seconds")
    if not (isinstance(percentage_of_length, float | np.floating) and 0 <= percentage_of_length <= 1):
        raise ValueError(f"percentage_of_length is {percentage_of_length!r}; expected a float in [0, 1]")
    if not (evaluate_onset or evaluate_offset):
        raise ValueError("evaluate_onset and evaluate_offset are both off; expected one of them at least")
    if matching not in ("optimal", "greedy"):
        raise ValueError(f"matching is {matching!r}; expected 'optimal' or 'greedy'")


class _Events(NamedTuple):
    """All events of one argument, file after file; arrays of one length."""

    row: np.ndarray  # number of the file in `reference`, ascending
    onset_s: np.ndarray
    offset_s: np.ndarray
    label: np.ndarray  # position in the label list; labels outside it have numbers beyond its length


def _flatten(argument, files, lists):
    """Check the files' lists and put them one after the other; events without a time are left out.

    Returns rows, onset_s, offset_s as arrays, and the labels, str or None, as a sequence.
    """
    try:
        events = list(chain.from_iterable(lists))
        rows = np.arange(len(lists)).repeat(list(map(len, lists)))
        onsets, offsets, *labels = list(zip(*events, strict=True)) or [(), ()]
        labels = labels or [(None,) * len(events)]
        time_types, label_types = set(map(type, onsets + offsets)), set(map(type, labels[0]))
        # The usual case at once: every event is two finite numbers and perhaps a label.
        if time_types <= {float, np.float64, int} and label_types <= {str, type(None)} and len(labels) == 1:
            onset_s, offset_s = (np.fromiter(times, float, len(events)) for times in (onsets, offsets))
            if np.isfinite(onset_s).all() and np.isfinite(offset_s).all():
                return rows, onset_s, offset_s, labels[0]
    except (TypeError, ValueError, OverflowError):
        pass  # no lists, or events of unequal length: the careful way takes or refuses them one by one
    checked = []
    for row, (file, events) in enumerate(zip(files, lists, strict=True)):
        checked += [(row, *event) for event in _check_events(f"{argument}[{file!r}]", events)]
    rows, onsets, offsets, labels = zip(*checked, strict=True) if checked else ((), (), (), ())
    return np.array(rows, int), np.array(onsets, float), np.array(offsets, float), labels


def _check_events(name, events):
    """Check one file's list event by event; returns [(onset_s, offset_s, label or None)]."""
    if not hasattr(events, "__len__"):
        raise ValueError(f"{name} is {events!r}; expected a list of events")
    checked = []
    for event in events:
        try:
            onset_s, offset_s, *label = event
            if onset_s is None or offset_s is None:
                continue
            valid = math.isfinite(onset_s) and math.isfinite(offset_s) and len(label) <= 1
        except (TypeError, ValueError, OverflowError):  # not a sequence, too short, or a time that is no number
            valid = False
        label = label[0] if valid and label else None
        if not (valid and (label is None or isinstance(label, str))):
            raise ValueError(
                f"{name} holds {event!r}; expected (onset_s, offset_s) or (onset_s, offset_s, label) with finite times"
            )
        checked.append((float(onset_s), float(offset_s), label))
    return checked


def _number_labels(ref, est, labels):
    """Number the labels; returns reference and estimates as `_Events`, and the label list.

    Without any label the list is None and all have one number. With labels, unlabelled events are dropped.
    """
    found = {"reference": set(ref[3]), "estimated": set(est[3])}
    plain = {label: _plain(label) for label in found["reference"] | found["estimated"] if label is not None}
    if labels is None and not plain:
        return *(_Events(*events[:3], np.zeros(len(events[3]), np.intp)) for events in (ref, est)), None
    for argument, its_labels in found.items():
        if its_labels == {None}:
            reason = "the other list has labels" if labels is None else "`labels` is given"
            raise ValueError(f"{argument} has events, none of them with a label, but {reason}")
    labels = sorted(set(plain.values()) - {NULL_LABEL}) if labels is None else _check_labels(labels)
    others = sorted(set(plain.values()).difference(labels))
    number = {label: n for n, label in enumerate(labels + others)}
    number_of = {label: number[plain_label] for label, plain_label in plain.items()} | {None: -1}
    numbered = []
    for *columns, its_labels in (ref, est):
        columns.append(np.fromiter(map(number_of.__getitem__, its_labels), np.intp, len(its_labels)))
        if None in found["reference"] | found["estimated"]:
            columns = [column[columns[3] >= 0] for column in columns]
        numbered.append(_Events(*columns))
    return *numbered, labels


def _plain(label):
    label = label.strip()
    return NULL_LABEL if label.lower() == "none" else label


def _check_labels(labels):
    """Return the label list as the scorer compares it."""
    checked = [] if isinstance(labels, str) else [_plain(str(label)) for label in labels]
    if not checked or len(set(checked)) < len(checked) or NULL_LABEL in checked:
        raise ValueError(f"labels is {labels!r}; expected a list of distinct class names")
    return checked


def _figures(counts, zero_score_empty, **labelled):
    n_ref, n_sys, n_tp, n_subs = (int(n) for n in counts)
    n_fp, n_fn = n_sys - n_tp - n_subs, n_ref - n_tp - n_subs
    precision = n_tp / n_sys if n_sys else (0.0 if zero_score_empty else math.nan)
    recall = n_tp / n_ref if n_ref else math.nan
    if precision == 0 and recall == 0:
        f1 = 0.0
    else:
        f1 = 2 * precision * recall / (precision + recall)  # NaN if either is
    substitution_rate, deletion_rate, insertion_rate = (n / (n_ref + EPS) for n in (n_subs, n_fn, n_fp))
    return Scores(
        error_rate=substitution_rate + deletion_rate + insertion_rate,
        f1=f1,
        precision=precision,
        recall=recall,
        n_ref=n_ref,
        n_sys=n_sys,
        n_tp=n_tp,
        n_fp=n_fp,
        n_fn=n_fn,
        n_subs=n_subs,
        substitution_rate=substitution_rate,
        deletion_rate=deletion_rate,
        insertion_rate=insertion_rate,
        **labelled,
    )


def _class_wise_average(per_class):
    means = []
    for figure in ClassWiseAverage._fields:
        values = [value for scores in per_class if not math.isnan(value := getattr(scores, figure))]
        means.append(_mean(values) if values else math.nan)
    return ClassWiseAverage(*means)


def _mean(values):
    return sum(values) / len(values)
