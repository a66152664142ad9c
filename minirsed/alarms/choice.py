"""Thresholds for a promise, "at most X false alarms an hour", chosen on recordings with labels.

Data flow: measure → counting → **choice** → the detector.

*Which rate must keep the promise?* Not n / T: a threshold that was put just above the (n+1)-th strongest alarm was chosen
for what it leaves out. Were these T hours and T others alike, an alarm would be among the n + 1 strongest of both just as
often here as there, so in the others n + 1 of them are to be expected above the (n+1)-th strongest here. So

    (n + 1) / T  ≤  X

is what a choice must fulfil: the rate that is to be expected elsewhere, in the mean. It takes 1 / X hours to choose at all,
and then without a single alarm. The upper end of the interval at 95 % would take three times as long; it is reported with
every choice (`upper_95`), since the mean may be exceeded.

*What is chosen?* Of all that fulfils it, the fewest misses; of these, the fewest alarms. thres0 is then put into the middle
of the interval that changes nothing, in evidence, −log2(1 − p). The threshold of the frames, the shortest event and the
smallest gap are taken from short lists, and each that is not what it was must save more than one event, or it stays.

*Too short?* With fewer than 1 / X hours, the choice is the one without alarms, and `is_shown` is false.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from data_tools.errors import InputError
from minirsed.alarms.counting import judge
from minirsed.alarms.poisson import upper
from minirsed.listening.operating import Operating
from minirsed.listening.segments import STRONGEST

THRES1 = {"strongest": (STRONGEST, 0.5, 0.88, 0.95), "longest": (0.5, 0.3, 0.7, 0.9)}  # by rule; its own first
MIN_EVENT_S = (0.0, 0.1, 0.2, 0.4)
MIN_GAP_S = (0.0, 0.5, 1.0, 2.0)
LEAST = 2.0**-53  # 1 − p that float64 tells from 0


class Choice(NamedTuple):
    """Settings, and what they make of the recordings on which they were chosen."""

    thres0: float
    thres1: float
    operating: Operating
    counts: dict  # of `counting.Judged`
    n_changes: int  # settings, thres0 apart, that are not what they were
    is_shown: bool  # whether (n + 1) / T keeps the promise

    @property
    def rank(self):
        """What makes one choice better than another: the lower."""
        return self.counts["n_misses"] + self.n_changes, self.n_changes, self.counts["n_false_alarms"]


def choose(measured, rule, alarms_per_hour, *, every=True):
    """The settings with the fewest misses among those that keep a promise.

    Parameters
    ----------
    measured : minirsed.alarms.measure.Measured
        With the thresholds `THRES1[rule]` of the frames, or the first of them alone.
    rule : {"longest", "strongest"}
    alarms_per_hour : float
        Above 0.
    every : bool
        False: thres0 alone is chosen.

    Returns
    -------
    Choice

    Raises
    ------
    InputError
        The promise is not a number above 0, or there is no sound.
    """
    if not 0 < alarms_per_hour < math.inf:
        raise InputError(f"--alarms-per-hour is {alarms_per_hour:g}: expected a number above 0")
    if not measured.hours:
        raise InputError("no recordings to choose thresholds on")
    n_allowed = math.floor(alarms_per_hour * measured.hours + 1e-9) - 1
    choices = []
    for thres1 in THRES1[rule] if every else THRES1[rule][:1]:
        for min_gap_s in MIN_GAP_S if every else (0.0,):
            for min_event_s in MIN_EVENT_S if every else (0.0,):
                operating = Operating(min_event_s, min_gap_s)
                thres0, counts = _threshold(measured, thres1, operating, max(0, n_allowed))
                n_changes = (thres1 != THRES1[rule][0]) + (min_gap_s > 0) + (min_event_s > 0)
                choices.append(Choice(thres0, thres1, operating, counts, n_changes, n_allowed >= 0))
    return min(choices, key=lambda choice: choice.rank)  # the first of equals


def _threshold(measured, thres1, operating, n_allowed):
    """thres0 with the most hits at n_allowed false alarms, and the counts there."""
    p = np.unique(np.concatenate([[0.0], measured.candidates[thres1].probability]))

    def counts(i):
        return judge(measured, p[i], thres1, operating).counts()

    # both counts fall as thres0 rises; joining over gaps may break that, so the last word has what was counted
    lowest = _first(len(p), lambda i: counts(i)["n_false_alarms"] <= n_allowed)
    n_hits = counts(lowest)["n_hits"]
    if n_hits == 0:
        return float(p[lowest]), counts(lowest)
    highest = _last(lowest, len(p), lambda i: counts(i)["n_hits"] >= n_hits)
    highest = highest if counts(highest)["n_false_alarms"] <= n_allowed else lowest
    return _between(p[highest], p[highest + 1]), counts(highest)


def _first(n, holds):
    """The lowest of 0 … n − 1 from which on `holds`, which holds for n − 1."""
    low, high = 0, n - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return high


def _last(first, n, holds):
    """The highest of first … n − 2 up to which `holds`, which holds for `first`."""
    low, high = first, n - 2
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _between(low, high):
    """A threshold that p = low does not exceed and p = high does: the middle in evidence, −log2(1 − p)."""
    middle = 1 - math.sqrt((1 - low) * max(1 - high, LEAST))
    return float(middle if low <= middle < high else low)


def evidence(choice, measured, alarms_per_hour, before, *, chosen_on, source):
    """What a detector keeps of a choice, JSON-able and without a date.

    Parameters
    ----------
    choice : Choice
    measured : Measured
    alarms_per_hour : float
        The promise.
    before : minirsed.alarms.counting.Judged
        Of the detector's settings until then, on the same recordings.
    chosen_on : {"recordings", "mixtures"}
        Mixtures of 30 s are weaker evidence: they repeat a few backgrounds.
    source : str
        Where they are from, in a word or two.

    Returns
    -------
    dict
    """
    n = choice.counts["n_false_alarms"]
    return {
        "alarms_per_hour": float(alarms_per_hour),
        "chosen_on": chosen_on,
        "source": source,
        "n_recordings": len(measured.names),
        "hours": measured.hours,
        **choice.counts,
        "found_per_hour": n / measured.hours,
        "expected_per_hour": (n + 1) / measured.hours,
        "upper_95": upper(n, measured.hours),
        "is_shown": choice.is_shown,
        "before": before.counts(),
    }


def with_choice(detector, choice, chosen):
    """The detector with a choice and its `evidence`."""
    operating = dataclasses.replace(choice.operating, chosen=chosen)
    return dataclasses.replace(detector, thres0=choice.thres0, thres1=choice.thres1, operating=operating)
