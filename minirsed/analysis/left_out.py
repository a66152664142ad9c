"""What is a choice worth where it was not made? Settings chosen on some recordings, judged on the others.

Data flow: recordings of mixtures, thresholds → **left_out** → `minirsed.evaluate`; also for `minirsed.alarms.choice`.

Thresholds with the lowest error rate on two hundred mixtures of ten recordings suit these ten recordings, and the error
rate there flatters. So recordings of events and recordings of backgrounds are dealt into K groups each, and every
mixture is judged at the settings that are best on the mixtures with which it shares *neither* group:

    rest of (e, b)  =  mixtures whose event is not of group e and whose background is not of group b
    left out        =  those whose event is of e and whose background is of b;   without an event: of b alone

Each mixture is left out once, and its counts add up to one score (cross-validation; Stone, "Cross-validatory choice and
assessment of statistical predictions", 1974). Of the settings it judges the *way of choosing*, on (1 − 1/K)² of the
mixtures; those that are kept are chosen on all of them. Mixtures of the same recording in both parts would let it
flatter, which is why the groups are of recordings.
"""

from typing import NamedTuple

import numpy as np

from data_tools.inventory import FEW
from minirsed.analysis.thresholds import lowest_error

GROUPS = 5  # K
UNKNOWN = "thresholds not tuned by recording: of which recordings the dev mixtures are made is not known"


class LeftOut(NamedTuple):
    """A way of choosing thresholds, judged on mixtures that had no part in the choice."""

    n_choices: int
    counts: np.ndarray  # (N, 4) int, of each mixture, as in `minirsed.scoring.FileCounts`


def splits(recordings, n_groups=GROUPS):
    """Which units choose, and which are judged: list of pairs (rest, left_out) of (N,) bool arrays.

    Parameters
    ----------
    recordings : list of (hashable or None, hashable)
        For each mixture or recording that of its event, None without one, and that of its background.
    n_groups : int
        K, of each kind; as many as there are recordings, if there are fewer.

    Returns
    -------
    list
        Every unit is left out once. Empty if nothing can be left out: events or backgrounds of one recording alone.
    """
    of_event, n_event_groups = dealt([event for event, _ in recordings], n_groups)
    of_background, n_background_groups = dealt([background for _, background in recordings], n_groups)
    if n_event_groups == 1 or n_background_groups < 2:
        return []
    found = []
    for b in range(n_background_groups):
        for e in range(-1, n_event_groups):  # −1: without an event, so that no event group need be left out
            left_out = (of_event == e) & (of_background == b)
            if left_out.any():
                found.append(((of_background != b) & ((of_event != e) | (e == -1)), left_out))
    return found


def dealt(names, n_groups=GROUPS):
    """The group of each name, −1 for None, and how many groups there are.

    Names that occur often are dealt first, each to the group with the fewest units; so groups are about equal.
    """
    numbers = {}
    for name in names:
        if name is not None:
            numbers[name] = numbers.get(name, 0) + 1
    sizes, group_of = [0] * n_groups, {None: -1}
    for name, n in sorted(numbers.items(), key=lambda item: -item[1]):  # of equals, the first to occur
        group_of[name] = sizes.index(min(sizes))
        sizes[group_of[name]] += n
    return np.array([group_of[name] for name in names], int), sum(size > 0 for size in sizes)


def too_few(recordings):
    """Why there are too few recordings to choose thresholds by, None if there are enough: `FEW` of each kind.

    Parameters
    ----------
    recordings : list of (hashable or None, hashable)
    """
    n_events = len({event for event, _ in recordings} - {None})
    n_backgrounds = len({background for _, background in recordings})
    if min(n_events, n_backgrounds) >= FEW:
        return None
    return (
        f"{n_events} of events and {n_backgrounds} of backgrounds are too few recordings to choose thresholds by, "
        f"which takes {FEW} of each"
    )


def cross_validated(decisions, recordings, prefer, n_groups=GROUPS):
    """Judge `lowest_error` on mixtures with none of the recordings that it has seen.

    Parameters
    ----------
    decisions : minirsed.analysis.thresholds.Decisions
    recordings, n_groups : as in `splits`
    prefer : (thres0, thres1)
        As in `lowest_error`; where no mixture of a rest has an event, these are what it is judged at.

    Returns
    -------
    LeftOut or None
        None if nothing can be left out.
    """
    parts = splits(recordings, n_groups)
    if not parts:
        return None
    counts = np.zeros((len(recordings), 4), np.int64)
    counts[:, 0] = decisions.has_event
    for rest, left_out in parts:
        grid = decisions.grid(rest)
        thresholds = lowest_error(grid, prefer) if grid.n_ref else prefer
        i, j = decisions.index(*thresholds)
        counts[left_out, 1] = decisions.found[i, j, left_out]
        counts[left_out, 2] = decisions.hit[i, j, left_out]
    return LeftOut(len(parts), counts)
