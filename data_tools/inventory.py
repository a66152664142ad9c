"""What stands behind a number: how many sounds and recordings a subset has, what is too few, what is there twice.

    bank → inventory → the first lines of `minirsed.train` and `minirsed.evaluate`

A thousand mixtures can be drawn from nine events and two minutes of background. What is learnt from them, and how sure
a score on them is, depends on the recordings, not on how often they were drawn.
"""

from typing import NamedTuple

from data_tools.audio import CLIP_S
from data_tools.console import counted

FEW = 10  # recordings of events, or of backgrounds, below which a subset says little about others
SHOWN = 3  # groups of equal files that are named


class Holding(NamedTuple):
    """What there is: different sounds, and the recordings that they come from."""

    n_events: int
    n_event_recordings: int
    n_backgrounds: int  # pieces of 30 s or less
    n_background_recordings: int
    background_s: float  # of all pieces together, each counted once
    n_negatives: int = 0  # sounds that are not to be found
    n_negative_recordings: int = 0

    def __str__(self):
        """9 events of 7 recordings and 4 background pieces of 1 recording, 2.0 minutes together."""
        negatives = (
            f"; {counted(self.n_negatives, 'negative')} of {counted(self.n_negative_recordings, 'recording')}"
            if self.n_negatives
            else ""
        )
        return (
            f"{counted(self.n_events, 'event')} of {counted(self.n_event_recordings, 'recording')} and "
            f"{counted(self.n_backgrounds, 'background piece')} of "
            f"{counted(self.n_background_recordings, 'recording')}, {self.background_s / 60:.1f} minutes together"
            f"{negatives}"
        )


def holding(bank, label, subset):
    """All that a bank has for a class in a subset.

    Returns
    -------
    Holding or None
        None for mixtures that came rendered without saying what they are made of.

    Raises
    ------
    InputError
        As `Bank.events` and `Bank.backgrounds`.
    """
    ready = bank.ready_mixtures(label, subset)
    if ready:
        return holding_of(bank, subset, ready)
    return held(bank, bank.events(label, subset), bank.backgrounds(subset, label), bank.negatives(label, subset))


def held(bank, clips, pieces, negatives):
    """As `holding`, of lists of event clips, background pieces and negatives."""
    return Holding(
        len(clips),
        len({bank.event_recording(clip.key) for clip in clips}),
        len(pieces),
        len({bank.background_recording(piece.key) for piece in pieces}),
        sum(piece.duration_s for piece in pieces),
        len({clip.key for clip in negatives}),
        len({bank.negative_recording(clip.key) for clip in negatives}),
    )


def holding_of(bank, subset, recipes):
    """What mixtures of a subset are made of: as `holding`, but only of sounds that occur in `recipes`."""
    recordings = recordings_of(bank, recipes)
    if recordings is None:
        return None
    drawn = all(recipe.rendered is None for recipe in recipes)
    lengths = {(piece.key, piece.start_s): piece.duration_s for piece in (bank.backgrounds(subset) if drawn else ())}
    pieces = {(recipe.background, recipe.background_start_s): recipe.duration_s or CLIP_S for recipe in recipes}
    negatives = {recipe.negative for recipe in recipes} - {None}
    return Holding(
        len({(event.event, event.segment_onset_s) for recipe in recipes for event in recipe.events}),
        len({event for *events, _ in recordings for event in events if event is not None}),
        len(pieces),
        len({background for *_, background in recordings}),
        sum(lengths.get(piece, duration_s) for piece, duration_s in pieces.items()),
        len(negatives),
        len({bank.negative_recording(key) for key in negatives}),
    )


def recordings_of(bank, recipes):
    """The recordings that mixtures are made of, for `minirsed.analysis.uncertainty`.

    Returns
    -------
    list of (str or None, …, str), or None
        For each mixture the recording of its event, None without one, and that of its background. Where events have
        several classes there is a column for each class, in the order in which they first appear (`classes_of`), and
        the background's is the last. None if some came rendered without saying what they are made of.
    """
    if any(not r.background or any(event.event is None for event in r.events) for r in recipes):
        return None
    columns = {label: column for column, label in enumerate(classes_of(recipes))}
    rows = []
    for recipe in recipes:
        row = [None] * max(len(columns), 1)
        for event in recipe.events:
            row[columns[event.label]] = bank.event_recording(event.event)
        rows.append((*row, bank.background_recording(recipe.background)))
    return rows


def classes_of(recipes):
    """Classes of the events in some recipes, in the order in which they first appear."""
    return list(dict.fromkeys(event.label for recipe in recipes for event in recipe.events))


def inventory_lines(bank, label, subsets):
    """What a bank has for a class in some subsets, and what is wrong with that: list of str.

    A line for each subset; one that warns of few recordings, if there are; one that names files that are the same in
    several subsets, if there are.

    Raises
    ------
    InputError
        As `Bank.events` and `Bank.backgrounds`.
    """
    holdings = {subset: holding(bank, label, subset) for subset in subsets}
    lines = [
        f"{subset}: {what or 'mixtures that came rendered'}{whole(bank, (label,), subset)}"
        for subset, what in holdings.items()
    ]
    return lines + [line for line in (few(holdings), repeated(bank, label)) if line]


def whole(bank, labels, subset):
    """What there is to measure on as it is, "; 2 whole recordings, 61.5 minutes with 7 events"; empty without any."""
    recordings = bank.recordings(subset) if subset != "train" else []  # there they are cut, and counted already
    if not recordings:
        return ""
    n_events = sum(event[2] in labels for recording in recordings for event in recording.events)
    minutes = sum(recording.duration_s for recording in recordings) / 60
    n = counted(len(recordings), "whole recording")
    return f"; {n}, {minutes:.1f} minutes with {counted(n_events, 'event')}"


def few(holdings):
    """A line that warns of subsets with fewer than `FEW` recordings, of {subset: Holding or None}; None without any."""
    scarce = []
    for subset, held in holdings.items():
        counts = {"events": held.n_event_recordings, "backgrounds": held.n_background_recordings} if held else {}
        low = [f"{n} of {what}" for what, n in counts.items() if n < FEW]
        scarce += [f"{subset}: {', '.join(low)}"] if low else []
    if not scarce:
        return None
    return f"warning: fewer than {FEW} recordings ({'; '.join(scarce)}), so a score says little about other recordings"


def repeated(bank, label):
    """A line that names sounds for a class which are the same, byte by byte, in several subsets; None without any."""
    equal = bank.equal_sounds()
    places = bank.places(label) if equal else {}
    groups = [[sound for sound in group if sound in places] for group in equal]
    groups = [group for group in groups if len({places[sound] for sound in group}) > 1]
    if not groups:
        return None
    named = "; ".join(" = ".join(f"{'/'.join(s)} ({places[s]})" for s in group) for group in groups[:SHOWN])
    more = f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else ""
    return f"warning: the same recording in several subsets, so scores flatter: {named}{more}"
