"""Thresholds for a promise, "at most X false alarms an hour", chosen on recordings with labels.

Data flow: measure → counting → **choice** → the detector.

*Which rate must keep the promise?* Not n / T: a threshold just above the (n+1)-th strongest alarm was chosen for what
it leaves out. Were these T hours and T others alike, each of the strongest alarms of both would be as likely here as
there, and so n + 1 of the others are to be expected above the (n+1)-th strongest of these. So

    (n + 1) / T  ≤  X

is what a choice must fulfil: the rate that is to be expected elsewhere, in the mean. It takes 1 / X hours to choose at
all, and then without a single alarm. The upper end of the interval at 95 % would take three times as long; it is
reported with every choice (`upper_95`), since the mean may be exceeded.

*What is chosen?* Of all that fulfils it, the fewest misses; of these, the fewest alarms. thres0 is then put into the
middle of the interval that changes nothing, in evidence, −log2(1 − p). The threshold of the frames, the shortest event,
the smallest gap and the memory are taken from short lists. Each that differs from that of a new detector must save more
than one event, or it stays as it is.

*Too short?* With fewer than 1 / X hours, the choice is the one without alarms, and `is_shown` is false.

*Too sure?* p is a number of float64, and the largest below 1 is 1 − 2⁻⁵³. What has more than 53 × `EVIDENCE` nats, some
three seconds of frames of which the network is certain, has p = 1, and no threshold tells one such alarm from another,
or from an event. Where more of them than X allows are false, no choice keeps the promise, and `at_one` counts them.

*What is such a choice worth elsewhere?* The counts where it was made flatter. So it is made again without some of the
recordings, and judged on these, until each has been left out once (`minirsed.analysis.left_out`, `judged_elsewhere`).
"""

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np

from data_tools.console import counted
from data_tools.errors import InputError
from minirsed.alarms.counting import judge
from minirsed.alarms.measure import setting
from minirsed.alarms.poisson import hours_text, rate_text, upper
from minirsed.analysis.left_out import dealt, splits
from minirsed.console.options import probability_text
from minirsed.listening.operating import AT_ONE, COUNTS, Operating
from minirsed.listening.segments import STRONGEST

THRES1 = {"strongest": (STRONGEST, 0.5, 0.88, 0.95), "longest": (0.5, 0.3, 0.7, 0.9)}  # by rule; its own first
MIN_EVENT_S = (0.0, 0.1, 0.2, 0.4)
MIN_GAP_S = (0.0, 0.5, 1.0, 2.0)
MEMORY_S = {"strongest": (0.5, 0.0), "longest": (0.0,)}
FALSE = "n_false_alarms"
LEAST = 2.0**-53  # 1 − p that float64 tells from 0


class Choice(NamedTuple):
    """Settings, and what they make of the recordings on which they were chosen."""

    thres0: float
    thres1: float
    operating: Operating
    counts: dict  # of `counting.Judged`
    n_changes: int  # settings, thres0 apart, that are not what they were
    is_shown: bool  # whether (n + 1) / T keeps the promise
    at_one: dict | None = None  # counts of p = 1, where these alone are more alarms than the promise allows

    @property
    def rank(self):
        """What makes one choice better than another: the lower."""
        return self.counts["n_misses"] + self.n_changes, self.n_changes, self.counts[FALSE]


def tried(rule):
    """All `setting`s of a rule that a choice is made from, for `minirsed.alarms.measure`."""
    return [setting(thres1, memory_s) for memory_s in MEMORY_S[rule] for thres1 in THRES1[rule]]


def choose(measured, rule, alarms_per_hour, *, events=None, every=True):
    """The settings with the fewest misses among those that keep a promise.

    Parameters
    ----------
    measured : minirsed.alarms.measure.Measured
        With the settings `tried(rule)`, or the first of them alone; what was not measured is not tried.
    rule : {"longest", "strongest"}
    alarms_per_hour : float
        Above 0.
    events : Measured, optional
        Other recordings, whose events are to be found as well and whose alarms do not count.
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
    require_promise(alarms_per_hour)
    if not measured.hours:
        raise InputError("no recordings to choose thresholds on")
    n_allowed = math.floor(alarms_per_hour * measured.hours + 1e-9) - 1
    choices = []
    own_s = own_memory_s(measured, rule)
    memories_s = sorted(MEMORY_S[rule], key=lambda memory_s: memory_s != own_s)
    lists = memories_s, THRES1[rule], MIN_GAP_S, MIN_EVENT_S
    for memory_s, thres1, min_gap_s, min_event_s in itertools.product(*(each if every else each[:1] for each in lists)):
        if setting(thres1, memory_s) not in measured.candidates:
            continue
        operating = Operating(min_event_s, min_gap_s, memory_s=memory_s)
        thres0, counts = _threshold((measured, events), thres1, operating, max(0, n_allowed))
        n_changes = (thres1 != THRES1[rule][0]) + (min_gap_s > 0) + (min_event_s > 0) + (memory_s != own_s)
        choices.append(Choice(thres0, thres1, operating, counts, n_changes, n_allowed >= 0))
    best = min(choices, key=lambda choice: choice.rank)  # the first of equals
    counts = counts_at(measured, events, 1 - LEAST, best.thres1, best.operating)
    is_beyond = counts[FALSE] > max(0, n_allowed)
    return best._replace(at_one={name: counts[name] for name in AT_ONE} if is_beyond else None)


def own_memory_s(measured, rule):
    """The memory of a new detector; if it was not measured, that of the detector that was."""
    return next(memory_s for memory_s in MEMORY_S[rule] if setting(THRES1[rule][0], memory_s) in measured.candidates)


def judged_elsewhere(measured, rule, alarms_per_hour, *, events=None, every=True):
    """What such a choice makes of recordings that it has not seen: parameters as in `choose`.

    Returns
    -------
    dict or None
        Counts of all recordings, each at the settings chosen without its group, and `n_choices`. None if nothing can be
        left out, or it is not known of which recordings the mixtures are made.
    """
    if measured.recordings is None or (events is not None and events.recordings is None):
        return None
    parts = [(measured.where(rest), measured.where(left_out)) for rest, left_out in splits(measured.recordings)]
    if not parts or not all(rest.hours for rest, _ in parts):
        return None
    others = [(None, None)] * len(parts)
    if events is not None:  # their alarms do not count, so their backgrounds do not matter
        group, _ = dealt([event for event, _ in events.recordings], len(parts))
        others = [(events.where(group != k), events.where(group == k)) for k in range(len(parts))]
    total = dict.fromkeys(COUNTS, 0)
    for (rest, left_out), (other_rest, other_left_out) in zip(parts, others, strict=True):
        choice = choose(rest, rule, alarms_per_hour, events=other_rest, every=every)
        settings = choice.thres0, choice.thres1, choice.operating
        for name, count in counts_at(left_out, other_left_out, *settings).items():
            total[name] += count
    return {"n_choices": len(parts), **total}


def require_promise(alarms_per_hour):
    """Refuse, by `InputError`, what is not a number above 0."""
    if not 0 < alarms_per_hour < math.inf:
        raise InputError(f"--alarms-per-hour is {alarms_per_hour:g}: expected a number above 0")


def counts_at(measured, events, *settings):
    """Counts at (thres0, thres1, operating): false alarms of the one, hits and misses of both if there is another."""
    counts = judge(measured, *settings).counts()
    if events is None:
        return counts
    others = judge(events, *settings).counts()
    return {name: count if name == FALSE else count + others[name] for name, count in counts.items()}


def _threshold(sounds, thres1, operating, n_allowed):
    """thres0 with the most hits at n_allowed false alarms, and the counts there."""
    key = setting(thres1, operating.memory_s)
    candidates = [each.candidates[key].probability for each in sounds if each is not None]
    p = np.unique(np.concatenate([[0.0], *candidates]))

    def counts(i):
        return counts_at(*sounds, p[i], thres1, operating)

    # both counts fall as thres0 rises; joining over gaps may break that, so the last word has what was counted
    lowest = _first(len(p), lambda i: counts(i)[FALSE] <= n_allowed)
    at_lowest = counts(lowest)
    if at_lowest["n_hits"] == 0:  # with nothing to find, the lowest finds the most; if nothing is found, no alarms
        thres0 = max(0.5, float(p[lowest] if at_lowest["n_events"] == 0 else p[-1]))
        return thres0, counts_at(*sounds, thres0, thres1, operating)
    highest = _last(lowest, len(p), lambda i: counts(i)["n_hits"] >= at_lowest["n_hits"])
    highest = highest if counts(highest)[FALSE] <= n_allowed else lowest
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
    rest = math.sqrt((1 - low) * max(1 - high, LEAST))
    short = round(1 - rest, 1 - math.floor(math.log10(rest)))  # two digits of 1 − p, if they will do
    return float(next(middle for middle in (short, 1 - rest, low) if low <= middle < high))


def evidence(choice, measured, alarms_per_hour, *, rule, chosen_on, source, events=None, left_out=None):
    """What a detector keeps of a choice, JSON-able and without a date.

    Parameters
    ----------
    choice : Choice
    measured, alarms_per_hour, rule, events : as in `choose`
    chosen_on : {"recordings", "mixtures"}
        Mixtures of 30 s are weaker evidence: they repeat a few backgrounds.
    source : str
        Where they are from, in a word or two.
    left_out : dict, optional
        What `judged_elsewhere` gives.

    Returns
    -------
    dict
        The promise, what it was chosen on, counts there, alarms an hour (found, expected elsewhere, upper end at 95 %
        one-sided), `untuned`, the counts at the thresholds of a new detector, `left_out`, and `at_one` if there is one.
    """
    n = choice.counts[FALSE]
    return {
        "alarms_per_hour": float(alarms_per_hour),
        "chosen_on": chosen_on,
        "source": source,
        "events_of": chosen_on if events is None else "recordings and mixtures",
        "n_recordings": len(measured.names),
        "hours": measured.hours,
        **choice.counts,
        "found_per_hour": n / measured.hours,
        "expected_per_hour": (n + 1) / measured.hours,
        "upper_95": upper(n, measured.hours),
        "is_shown": choice.is_shown,
        "untuned": counts_at(measured, events, 0.5, THRES1[rule][0], Operating(memory_s=own_memory_s(measured, rule))),
        "left_out": left_out,
        **({"at_one": choice.at_one} if choice.at_one else {}),
    }


def operation(settings):
    """Thresholds, shortest event, smallest gap and memory of a dict with their names, in words."""
    words = [f"p > {probability_text(settings['thres0'])}", f"p_t > {settings['thres1']:g}"]
    words += [f"events of at least {settings['min_event_s']:g} s"] if settings["min_event_s"] else []
    words += [f"joined over gaps below {settings['min_gap_s']:g} s"] if settings["min_gap_s"] else []
    words += [f"evidence fades in {settings['memory_s']:g} s"] if settings.get("memory_s") else []
    return ", ".join(words)


def sentences(detector):
    """How the settings of a detector were chosen, in lines for people; none if they were not.

    The first says what they are, the others what they rest on.
    """
    chosen, operating = detector.operating.chosen, detector.operating
    if chosen is None:
        return []
    settings = {"thres0": detector.thres0, "thres1": detector.thres1} | vars(operating)
    counts, untuned, hours = chosen, chosen["untuned"], hours_text(chosen["hours"])
    number = counted(chosen["n_recordings"], chosen["chosen_on"].removesuffix("s"))
    number += " of 30 s" if chosen["chosen_on"] == "mixtures" else ""
    lines = [
        f"for at most {chosen['alarms_per_hour']:g} false alarms an hour: {operation(settings)}",
        f"chosen on {number} of {chosen['source']}, {hours}: {counted(counts[FALSE], 'false alarm')}, "
        f"{counts['n_misses']} of {counts['n_events']} events missed; with the thresholds of a new detector "
        f"{untuned[FALSE]} and {untuned['n_misses']}",
        f"there {rate_text(chosen['found_per_hour'])} an hour; to be expected elsewhere: "
        f"{rate_text(chosen['expected_per_hour'])}; below {rate_text(chosen['upper_95'])} at 95 % (one-sided)",
    ]
    lines += _sentence_elsewhere(chosen)
    if chosen["events_of"] != chosen["chosen_on"]:
        lines.append("the recordings hold few events, so those of dev mixtures count as well")
    if chosen["chosen_on"] == "mixtures":
        lines.append("weaker than recordings would be: mixtures of 30 s repeat a few backgrounds")
    if not chosen["is_shown"]:
        needed = hours_text(1 / chosen["alarms_per_hour"])
        lines.append(f"too little sound to show this promise, which takes {needed}; so no false alarm was allowed")
    if chosen.get("at_one"):
        lines.append(f"{too_sure(chosen)}: no threshold tells these apart")
    if chosen["n_events"] and not chosen["n_hits"]:
        lines.append("at such a threshold nothing is found any more: this detector cannot keep the promise")
    return lines


def too_sure(chosen):
    """Of which alarms p says no more than 1, in words; `chosen` as of `evidence`, with `at_one`."""
    number, n_hits = counted(chosen["at_one"][FALSE], "false alarm"), chosen["at_one"]["n_hits"]
    return (
        f"{number} in {hours_text(chosen['hours'])}, more than {chosen['alarms_per_hour']:g} an hour allow, and "
        f"{counted(n_hits, 'hit')} have p = 1, beyond which p has no steps"
    )


def _sentence_elsewhere(chosen):
    """What the choice is worth on recordings that it has not seen; older detectors do not know."""
    counts = chosen.get("left_out")
    if counts:
        yield (
            f"chosen without a recording and judged on it, {counts['n_choices']} times: "
            f"{counted(counts[FALSE], 'false alarm')}, {counts['n_misses']} of {counts['n_events']} events missed"
        )
    elif "left_out" in chosen:
        yield "no recording could be left out to judge the choice on, so it is open by how much these counts flatter"


def with_choice(detector, choice, chosen):
    """The detector with a choice and its `evidence`."""
    operating = dataclasses.replace(choice.operating, chosen=chosen)
    return dataclasses.replace(detector, thres0=choice.thres0, thres1=choice.thres1, operating=operating)
