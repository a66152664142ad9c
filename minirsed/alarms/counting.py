"""Candidates at a threshold → hits, misses, misplaced and false alarms; and the curve over all thresholds.

Data flow: measure → **counting** → choice, files. The scorer's rule decides (`minirsed.scoring`): an event is hit if an
alarm begins within 0.5 s of its onset, one alarm for one event, as many pairs as possible. What is left over:

    missed        a true event without an alarm of its own
    misplaced     an alarm that hits no event but sounds during one, or within 0.5 s of it
    false alarm   an alarm where there is nothing

The scorer counts the last two together, as insertions. Apart, they say what whoever is woken wants to know.
"""

import math
from typing import NamedTuple

import numpy as np

from minirsed.alarms.measure import Events, setting
from minirsed.analysis.thresholds import COLLAR_S
from minirsed.listening.operating import AS_FOUND, COUNTS
from minirsed.matching import match_optimal, near_pairs
from minirsed.recordings.files import Event

HIT, MISPLACED, FALSE_ALARM = 0, 1, 2  # verdicts on an alarm
APART_S = 1e7  # of the recordings on one axis of time, more than any of them lasts
N_POINTS = 400  # of a curve, at most


class Judged(NamedTuple):
    """The alarms at one threshold, and what they are."""

    alarms: Events
    verdict: np.ndarray  # (n_alarms,) HIT, MISPLACED or FALSE_ALARM
    is_hit: np.ndarray  # (n_ref,) bool, of the true events

    def counts(self):
        """Counts, as a dict of int."""
        n_hits, n_misplaced, n_false = (int((self.verdict == kind).sum()) for kind in (HIT, MISPLACED, FALSE_ALARM))
        n_events = len(self.is_hit)
        return dict(zip(COUNTS, (n_events, n_hits, n_events - n_hits, n_misplaced, n_false), strict=True))


class Curve(NamedTuple):
    """Misses against alarms for K rising thresholds."""

    thres0: np.ndarray  # (K,)
    n_hits: np.ndarray  # (K,) int
    n_misplaced: np.ndarray  # (K,) int
    n_false_alarms: np.ndarray  # (K,) int


def judge(measured, thres0, thres1, operating=AS_FOUND):
    """What the alarms at these settings are.

    Parameters
    ----------
    measured : minirsed.alarms.measure.Measured
    thres0 : float
    thres1 : float
        One of those that were measured.
    operating : Operating
        Shortest event, smallest gap, and memory, one of those that were measured.

    Returns
    -------
    Judged
    """
    candidates = measured.candidates[setting(thres1, operating.memory_s)]
    alarms = _shaped(candidates.where(candidates.probability > thres0), operating)
    reference = measured.reference
    verdict, is_hit = np.full(len(alarms.row), FALSE_ALARM), np.zeros(len(reference.row), bool)
    verdict[_touch(alarms, reference)] = MISPLACED
    near = np.flatnonzero(verdict == MISPLACED)  # others can hit nothing, and all pairs of them would be many
    r, e = near_pairs(reference, alarms.where(near), COLLAR_S, True, False, 0.5)
    pairs = match_optimal(zip(r.tolist(), e.tolist(), strict=True))
    is_hit[list(pairs)] = True
    verdict[near[list(pairs.values())]] = HIT
    return Judged(alarms, verdict, is_hit)


def _shaped(alarms, operating):
    """Joined over small gaps, short ones left out."""
    if operating.min_gap_s == 0:
        return alarms.where(alarms.offset_s - alarms.onset_s >= operating.min_event_s - 1e-9)
    parts = []
    for row in np.unique(alarms.row):
        own = [Event(*event) for event in zip(*(c.tolist() for c in alarms.where(alarms.row == row)[1:]), strict=True)]
        parts += [(row, *event) for event in operating.joiner().push(own)]
    columns = np.array(parts, np.float64).reshape(-1, 4).T
    return Events(columns[0].astype(np.int64), *columns[1:])


def _touch(alarms, reference):
    """Which alarms sound during a true event of their recording or within the collar of one: (n_alarms,) bool."""
    if not len(reference.row):
        return np.zeros(len(alarms.row), bool)
    margin_s = COLLAR_S + 1e-6  # the axis rounds to microseconds; the matching is exact
    begins = reference.row * APART_S + reference.onset_s - margin_s  # ascending
    ends = np.maximum.accumulate(reference.row * APART_S + reference.offset_s + margin_s)
    last = np.searchsorted(begins, alarms.row * APART_S + alarms.offset_s, side="right") - 1
    return (last >= 0) & (ends[np.maximum(last, 0)] >= alarms.row * APART_S + alarms.onset_s)


def curve(measured, thres1, operating=AS_FOUND, also=()):
    """Counts over thresholds that make a difference: all of them, or the highest and some of the others.

    Parameters
    ----------
    measured, thres1, operating : as in `judge`
    also : sequence of float
        Further thresholds to have on the curve.

    Returns
    -------
    Curve
    """
    found = measured.candidates[setting(thres1, operating.memory_s)].probability
    thresholds = np.union1d(some(np.unique(np.concatenate([[0.0], found]))), also)
    counts = [judge(measured, thres0, thres1, operating).counts() for thres0 in thresholds]
    columns = ([count[name] for count in counts] for name in ("n_hits", "n_misplaced", "n_false_alarms"))
    return Curve(thresholds, *(np.array(column, np.int64) for column in columns))


def some(thresholds, n=N_POINTS):
    """At most n of some rising thresholds: the upper half of n, where alarms are few, and every k-th of the rest."""
    rest, top = thresholds[: max(0, len(thresholds) - n // 2)], thresholds[max(0, len(thresholds) - n // 2) :]
    return np.concatenate([rest[:: max(1, math.ceil(len(rest) / (n // 2)))], top])


def by_recording(measured, judged):
    """Counts of each recording, and the hours of it: list of dict."""
    rows = []
    for row, name in enumerate(measured.names):
        own = judged.alarms.row == row
        part = Judged(judged.alarms.where(own), judged.verdict[own], judged.is_hit[measured.reference.row == row])
        rows.append({"recording": name, "hours": float(measured.duration_s[row]) / 3600, **part.counts()})
    return rows


def by_hour(measured, judged):
    """Counts of each hour of sound, the recordings one after the other: list of dict.

    `from` is the recording in which the hour begins, `hours` how much of it there is: the last one is a part.
    """
    starts_s = np.concatenate([[0.0], np.cumsum(measured.duration_s)])
    n_hours = max(1, math.ceil(round(starts_s[-1] / 3600, 9)))

    def hour_of(events):
        return np.minimum((starts_s[events.row] + events.onset_s) // 3600, n_hours - 1)

    alarm_hour, event_hour, rows = hour_of(judged.alarms), hour_of(measured.reference), []
    for hour in range(n_hours):
        own, first = alarm_hour == hour, int(np.searchsorted(starts_s, 3600 * hour, side="right")) - 1
        part = Judged(judged.alarms.where(own), judged.verdict[own], judged.is_hit[event_hour == hour])
        hours = min(1.0, starts_s[-1] / 3600 - hour)
        rows.append({"hour": hour + 1, "from": measured.names[first], "hours": float(hours), **part.counts()})
    return rows
