"""Which thresholds? Scores over a grid of (thres0, thres1), and what thres0 alone trades (paper, Sec. 2.1).

Data flow: evaluation's p and p_t → **thresholds** → `minirsed.evaluate`. The paper uses 0.5 for both thresholds; this
module says what other values would give. They may be chosen on development mixtures only: the lowest error rate of
a grid on the evaluation mixtures is no estimate of anything.

thres1 alone decides *where* the event of a clip is, thres0 only lets the clip pass or not. So each thres1 is decoded
once for all clips, and all thres0 follow from counting.
"""

from typing import NamedTuple

import numpy as np

from minirsed.decode import decode
from minirsed.features import run_to_seconds
from minirsed.listening.operating import Operating
from minirsed.listening.segments import strongest_segments
from minirsed.scoring import FileCounts, scores_from_counts

PAPER = (0.5, 0.5)  # thres0, thres1 (Sec. 2.1)
GRID = np.arange(1, 20) / 20  # 0.05 … 0.95
COLLAR_S = 0.5  # allowed distance of onsets, seconds (Sec. 4)


class ThresholdGrid(NamedTuple):
    """Event counts of one set of mixtures for I values of thres0 and J of thres1."""

    thres0: np.ndarray  # (I,)
    thres1: np.ndarray  # (J,)
    n_ref: int  # true events
    n_sys: np.ndarray  # (I, J) int, detected events
    n_tp: np.ndarray  # (I, J) int, hits: onset within the collar

    def scores(self, i, j):
        """`minirsed.scoring.Scores` at thres0[i], thres1[j]."""
        counts = np.array([[self.n_ref, self.n_sys[i, j], self.n_tp[i, j], 0]])
        return scores_from_counts(FileCounts((), counts, {}))

    def figure(self, name):
        """(I, J) float64 of one figure of `Scores`, e.g. "error_rate"; NaN where it is undefined."""
        shape = self.n_sys.shape
        return np.array([getattr(self.scores(*index), name) for index in np.ndindex(shape)], float).reshape(shape)


class Decisions(NamedTuple):
    """What is detected in each of N clips for I values of thres0 and J of thres1."""

    thres0: np.ndarray  # (I,)
    thres1: np.ndarray  # (J,)
    has_event: np.ndarray  # (N,) bool
    found: np.ndarray  # (I, J, N) bool, an event is detected
    hit: np.ndarray  # (I, J, N) bool, and its onset is within the collar

    def grid(self, clips=slice(None)):
        """`ThresholdGrid` of all clips, or of those that a mask or an index picks."""
        n_sys, n_tp = (part[..., clips].sum(axis=2) for part in (self.found, self.hit))
        return ThresholdGrid(self.thres0, self.thres1, int(self.has_event[clips].sum()), n_sys, n_tp)

    def index(self, thres0, thres1):
        """(i, j) of two thresholds of the grid."""
        return int(np.flatnonzero(self.thres0 == thres0)[0]), int(np.flatnonzero(self.thres1 == thres1)[0])


class DetCurve(NamedTuple):
    """Decision by clip, p > thres0, for K rising thresholds: detection error trade-off."""

    thres0: np.ndarray  # (K,)
    false_alarms_per_hour: np.ndarray  # (K,) alarms on clips without an event, per hour of such clips
    miss_rate: np.ndarray  # (K,) share of the clips with an event that raise none
    false_alarm_rate: np.ndarray  # (K,) share of the clips without an event that raise an alarm


class PrecisionRecall(NamedTuple):
    """Events found for K rising thresholds of the clip and one of the frames."""

    thres0: np.ndarray  # (K,)
    precision: np.ndarray  # (K,) share of the detected events that are hits
    recall: np.ndarray  # (K,) share of the true events that are hit


class ClipRates(NamedTuple):
    """Decision by clip at one threshold; a rate without any clip of its kind is NaN."""

    n_events: int  # clips with an event
    n_misses: int
    miss_rate: float
    n_quiet: int  # clips without an event
    n_false_alarms: int
    false_alarms_per_hour: float  # of clips, however little background they are drawn from
    false_alarm_rate: float  # share of the clips without an event


def threshold_grid(*arguments, **options):
    """Count detections and hits for every pair of thresholds: the `ThresholdGrid` of `decisions`, to whom all goes."""
    return decisions(*arguments, **options).grid()


def decisions(
    probabilities,
    frame_probabilities,
    onset_s,
    thres0=GRID,
    thres1=GRID,
    collar_s=COLLAR_S,
    rule="longest",
    lead=0,
    memory_s=0.0,
    min_event_s=0.0,
):
    """What is detected in each clip for every pair of thresholds, and whether it is a hit.

    The same as `minirsed.detector.Detector.decode` and `minirsed.scoring.score` at each point, for clips of one class
    with one event at most.

    Parameters
    ----------
    probabilities, frame_probabilities : (N,) and (N, T) array_like in [0, 1]
        `p` of each clip and `p_t` of each frame.
    onset_s : (N,) array_like
        True onset in seconds, NaN without an event.
    thres0, thres1 : (I,) and (J,) array_like
        Thresholds of the clip and of its frames.
    collar_s : float
        Seconds.
    rule : {"longest", "strongest"}
        The paper's, or that of `minirsed.listening.segments`, where p is another one for each `thres1`.
    lead : int
        Frames that this rule reports before a segment.
    memory_s, min_event_s : float
        As in `minirsed.listening.operating.Operating`, seconds.

    Returns
    -------
    Decisions

    Raises
    ------
    ValueError
        Lengths disagree, no clips or thresholds, a probability outside [0, 1], a threshold that is NaN.
    """
    probabilities, onset_s = _clips(probabilities, "onset_s", np.asarray(onset_s, float))
    frame_probabilities = np.asarray(frame_probabilities)
    if frame_probabilities.ndim != 2 or len(frame_probabilities) != len(probabilities):
        raise ValueError(f"frame_probabilities is {frame_probabilities.shape}: expected ({len(probabilities)}, T)")
    thres0, thres1 = _thresholds("thres0", thres0), _thresholds("thres1", thres1)
    found, hit = np.empty((2, len(thres0), len(thres1), len(onset_s)), bool)
    for j, threshold in enumerate(thres1.tolist()):
        if rule == "strongest":
            probabilities, *ends = strongest_segments(frame_probabilities, threshold, lead, memory_s)
            runs = [run if run[0] < run[1] else None for run in zip(*(part.tolist() for part in ends), strict=True)]
        else:
            runs = [decode(1.0, p_t, -np.inf, threshold) for p_t in frame_probabilities]  # -inf: every clip passes
        found_s = _onsets(runs, Operating(min_event_s=min_event_s))
        found[:, j] = (probabilities > thres0[:, None]) & ~np.isnan(found_s)
        hit[:, j] = found[:, j] & (np.abs(onset_s - found_s) <= collar_s)  # NaN, no event or no run, is no hit
    return Decisions(thres0, thres1, ~np.isnan(onset_s), found, hit)


def _onsets(runs, operating):
    """Seconds at which runs of frames begin, NaN where there is none or it is too short."""
    ends = np.array([(np.nan, np.nan) if run is None else run_to_seconds(*run) for run in runs]).T
    return np.where(operating.is_long_enough(*ends), ends[0], np.nan)


def lowest_error(grid, prefer=PAPER):
    """The pair of thresholds with the fewest errors, and so the lowest error rate.

    Of equals the one nearest to `prefer`, of equally near ones that of the lowest thres0, then thres1.

    Returns
    -------
    (thres0, thres1) : tuple of float

    Raises
    ------
    ValueError
        The mixtures hold no event: the error rate is undefined.
    """
    if grid.n_ref == 0:
        raise ValueError("n_ref is 0; expected mixtures with events, without any the error rate is undefined")
    errors = grid.n_ref + grid.n_sys - 2 * grid.n_tp
    distance = np.hypot(grid.thres0[:, None] - prefer[0], grid.thres1 - prefer[1])
    distance = distance.round(9)  # equal in spite of rounding
    i, j = np.unravel_index(np.lexsort((distance.ravel(), errors.ravel()))[0], errors.shape)  # a stable sort
    return float(grid.thres0[i]), float(grid.thres1[j])


def det_curve(probabilities, has_event, clip_s):
    """Misses against false alarms for every thres0 that makes a difference, from 0 to the largest p.

    Parameters
    ----------
    probabilities : (N,) array_like in [0, 1]
        `p` of each clip.
    has_event : (N,) array_like of bool
    clip_s : float
        Length of a clip, seconds.

    Returns
    -------
    DetCurve

    Raises
    ------
    ValueError
        Lengths disagree, no clips, a probability outside [0, 1], `clip_s` not positive.
    """
    probabilities, has_event = _clips(probabilities, "has_event", np.asarray(has_event, bool))
    thres0 = np.unique(np.concatenate([[0.0], probabilities]))
    n_misses = np.searchsorted(np.sort(probabilities[has_event]), thres0, side="right")  # of clips with p ≤ thres0
    n_below = np.searchsorted(np.sort(probabilities[~has_event]), thres0, side="right")
    n_quiet = int((~has_event).sum())
    return DetCurve(
        thres0,
        _rate(n_quiet - n_below, n_quiet * _hours(clip_s)),
        _rate(n_misses, len(probabilities) - n_quiet),
        _rate(n_quiet - n_below, n_quiet),
    )


def precision_recall_curve(probabilities, frame_probabilities, onset_s, thres1=PAPER[1], **rule):
    """Precision and recall of events for every thres0 that makes a difference, up to the last that finds anything.

    Parameters and errors as for `decisions`, with one `thres1`; `rule` holds rule, lead, memory_s and min_event_s, if
    any. Of more than 500 different p some are passed over, evenly.

    Returns
    -------
    PrecisionRecall
        Empty if nothing is found or there is nothing to find.
    """
    thres0 = np.unique(np.quantile(probabilities, np.linspace(0, 1, 501), method="lower"))
    thres0 = np.concatenate([[0.0], thres0[thres0 > 0]])
    grid = threshold_grid(probabilities, frame_probabilities, onset_s, thres0, [thres1], **rule)
    n_sys, n_tp = grid.n_sys[:, 0], grid.n_tp[:, 0]
    some = n_sys > 0 if grid.n_ref else np.zeros(len(n_sys), bool)
    return PrecisionRecall(thres0[some], n_tp[some] / n_sys[some], n_tp[some] / max(grid.n_ref, 1))


def clip_rates(probabilities, has_event, clip_s, thres0=PAPER[0]):
    """Misses and false alarms of the decision by clip, p > thres0; arguments and errors as for `det_curve`.

    Returns
    -------
    ClipRates
    """
    probabilities, has_event = _clips(probabilities, "has_event", np.asarray(has_event, bool))
    alarm = probabilities > thres0
    n_events, n_quiet = int(has_event.sum()), int((~has_event).sum())
    n_misses, n_false_alarms = int((has_event & ~alarm).sum()), int((~has_event & alarm).sum())
    per_hour = float(_rate(n_false_alarms, n_quiet * _hours(clip_s)))
    rates = float(_rate(n_misses, n_events)), float(_rate(n_false_alarms, n_quiet))
    return ClipRates(n_events, n_misses, rates[0], n_quiet, n_false_alarms, per_hour, rates[1])


def _clips(probabilities, name, values):
    """`p` in float64 and one other value a clip, checked."""
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim != 1 or len(probabilities) == 0 or values.shape != probabilities.shape:
        raise ValueError(f"probabilities is {probabilities.shape}, {name} {values.shape}: expected (N,) both, N > 0")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities holds a value outside [0, 1]")
    return probabilities, values


def _thresholds(name, values):
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) == 0 or np.isnan(values).any():
        raise ValueError(f"{name} is {values}: expected one row of numbers")
    return values


def _hours(clip_s):
    if not clip_s > 0:
        raise ValueError(f"clip_s is {clip_s}: expected a length in seconds above 0")
    return clip_s / 3600


def _rate(count, total):
    return np.asarray(count) / total if total else np.full(np.shape(count), np.nan)
