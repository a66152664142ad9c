"""Which sound was taken for which: every detected event of several classes, by what was there.

hit         an event of its class, with its onset within the collar; one to one, as `minirsed.scoring` pairs them
misplaced   it overlaps with an event of its class without hitting one
taken for   it overlaps with an event of another class, of several with the one that it overlaps with most
nothing     it overlaps with no event
"""

from minirsed.analysis.thresholds import COLLAR_S
from minirsed.matching import match_optimal


def confusions(reference, estimated, labels):
    """Count them.

    Parameters
    ----------
    reference, estimated : dict of str to list of (onset_s, offset_s, label)
        As in `minirsed.scoring`; files that the estimates lack have none.
    labels : sequence of str
        Classes.

    Returns
    -------
    dict
        JSON-able. "labels"; "events" and "detected", how many of each class; "taken_for", C rows of C numbers: of the
        events of class b (row) how many detected events of class a (column) lie on them, hits where a = b; "misplaced"
        and "nothing", of each detected class. A column of taken_for, misplaced and nothing add up to detected.
    """
    number = {label: i for i, label in enumerate(labels)}
    counts = {name: [0] * len(labels) for name in ("events", "detected", "misplaced", "nothing")}
    taken_for = [[0] * len(labels) for _ in labels]
    for file, true in reference.items():
        found = estimated.get(file, [])
        for name, events in (("events", true), ("detected", found)):
            for *_, label in events:
                counts[name][number[label]] += 1
        hits = _hits(true, found)
        for i, event in enumerate(found):
            a = number[event[2]]
            if i in hits:
                taken_for[a][a] += 1
                continue
            shared = [(_overlap(event, other), number[other[2]]) for other in true]
            below = [(seconds, b) for seconds, b in shared if seconds > 0]
            if any(b == a for _, b in below):
                counts["misplaced"][a] += 1
            elif below:
                taken_for[max(below, key=lambda pair: pair[0])[1]][a] += 1
            else:
                counts["nothing"][a] += 1
    return {"labels": list(labels), **counts, "taken_for": taken_for}


def _hits(true, found):
    """Numbers of the detected events of a file that are hits."""
    edges = [
        (r, e)
        for r, (onset_s, _, label) in enumerate(true)
        for e, (found_s, _, found_label) in enumerate(found)
        if label == found_label and abs(onset_s - found_s) <= COLLAR_S
    ]
    return set(match_optimal(edges).values())


def _overlap(a, b):
    """Seconds that two events have in common, ≤ 0 if none."""
    return min(a[1], b[1]) - max(a[0], b[0])
