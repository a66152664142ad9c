"""What a detector's events must be like beyond its thresholds, and how all of it was chosen.

Data flow: training, `minirsed.alarms` choose → **operating** is kept in the detector → `minirsed.recordings` obeys.
There are three settings. All are 0, and so without effect, unless they were chosen or, of the memory, trained with:

    memory_s      evidence fades in this time (`minirsed.listening.segments`; of that rule alone)
    min_gap_s     events with a pause shorter than this between them are one
    min_event_s   of what is then there, events shorter than this are none

In this order, so that a sound in pieces counts as long as it is. Events are joined up to 30 s, beyond which they come
in parts: nobody who listens live waits for the end of an hour of barking.
"""

import math
from dataclasses import dataclass

ROUNDING_S = 1e-9
LONGEST_S = 30.0  # of events that have been joined: that of the context in which p is computed
NAMES = ("min_event_s", "min_gap_s", "memory_s")
AT_ONE = ("n_hits", "n_false_alarms")  # counts of p = 1, if there are too many
COUNTS = ("n_events", "n_hits", "n_misses", "n_misplaced", "n_false_alarms")
EVIDENCE = {  # by kind
    float: ("alarms_per_hour", "hours", "found_per_hour", "expected_per_hour", "upper_95"),
    int: ("n_recordings", *COUNTS),
    str: ("chosen_on", "events_of", "source"),
    bool: ("is_shown",),
}
LARGEST = 1e12  # number that a page can show


@dataclass(frozen=True)
class Operating:
    """How a detector is operated, thresholds apart.

    Attributes
    ----------
    min_event_s, min_gap_s : float
        Seconds, 0 or more.
    memory_s : float
        Seconds in which evidence fades; 0: it does not.
    chosen : dict, optional
        How thresholds and these settings were chosen, as `minirsed.alarms.choice.evidence` says it; JSON-able.
    """

    min_event_s: float = 0.0
    min_gap_s: float = 0.0
    chosen: dict | None = None
    memory_s: float = 0.0

    def described(self):
        """What a detector's description has of it: nothing where nothing was chosen, as in detectors of the past."""
        values = {name: getattr(self, name) for name in (*NAMES, "chosen") if name != "memory_s" or self.memory_s}
        return {} if self == AS_FOUND else {"operating": values}

    @classmethod
    def of(cls, description):
        """That of a detector's description.

        Raises
        ------
        TypeError, ValueError
            It is not as `described` gives it.
        """
        operating = cls(**description.get("operating", {}))
        if not all(math.isfinite(value) and value >= 0 for value in (getattr(operating, name) for name in NAMES)):
            raise ValueError(f"{operating}: expected 0 or more seconds")
        if not (operating.chosen is None or is_evidence(operating.chosen)):
            raise ValueError(f"chosen is {operating.chosen!r}")
        return operating

    def of_segments(self):
        """What decides on a segment by itself: the memory alone."""
        return Operating(memory_s=self.memory_s)

    def is_long_enough(self, onset_s, offset_s):
        """Whether an event lasts at least `min_event_s`, rounding apart."""
        return offset_s - onset_s >= self.min_event_s - ROUNDING_S

    def joiner(self):
        """A `Joiner` by these settings."""
        return Joiner(self)


AS_FOUND = Operating()


def is_evidence(chosen):
    """Whether a value has what `minirsed.alarms.choice.evidence` gives, of these kinds."""
    if not isinstance(chosen, dict):
        return False
    untuned, at_one = chosen.get("untuned"), chosen.get("at_one", dict.fromkeys(AT_ONE, 0))
    if not (isinstance(untuned, dict) and isinstance(at_one, dict) and _is_left_out(chosen.get("left_out"))):
        return False
    return all(type(at_one.get(name)) is int and 0 <= at_one[name] < LARGEST for name in AT_ONE) and all(
        (type(holder.get(name)) is kind or (kind is float and type(holder.get(name)) is int))
        and (kind not in (int, float) or 0 <= holder[name] < LARGEST)
        for kind, names in EVIDENCE.items()
        for name in names
        for holder in ((chosen, untuned) if name in COUNTS else (chosen,))
    )


def _is_left_out(counts):
    """Whether it is what `minirsed.alarms.choice.judged_elsewhere` gives."""
    return counts is None or (
        isinstance(counts, dict)
        and all(type(counts.get(name)) is int and 0 <= counts[name] < LARGEST for name in ("n_choices", *COUNTS))
    )


class Joiner:
    """Join events that come in order, and leave out short ones; how they are cut into calls does not matter.

    Events are named tuples with onset_s, offset_s and probability. One that was joined has the highest p of its parts.
    """

    def __init__(self, operating):
        self.operating, self.waiting, self._gap_s = operating, None, operating.min_gap_s - ROUNDING_S

    def push(self, events, none_before_s=math.inf):
        """Take the next events; a list of those that are settled.

        Parameters
        ----------
        events : list
        none_before_s : float
            No event to come begins before it, seconds. By default nothing comes.
        """
        settled = []
        for event in events:
            if self.waiting and self._belongs(event):
                probability = max(self.waiting.probability, event.probability)
                self.waiting = self.waiting._replace(offset_s=event.offset_s, probability=probability)
            else:
                settled.append(self.waiting)
                self.waiting = event
        if self.waiting and none_before_s - self.waiting.offset_s >= self._gap_s:
            settled.append(self.waiting)
            self.waiting = None
        return [event for event in settled if event and self.operating.is_long_enough(event.onset_s, event.offset_s)]

    def _belongs(self, event):
        is_near = event.onset_s - self.waiting.offset_s < self._gap_s and self.operating.min_gap_s > 0
        return is_near and event.offset_s - self.waiting.onset_s <= LONGEST_S
