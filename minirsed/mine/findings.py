"""Recordings → what a detector was surest of, and what it nearly took for an event.

Data flow: data_tools.sound_blocks, detector → **findings** → clips, page. An alarm is what `minirsed.detect` reports.
If it was joined of several over gaps, each piece is found by itself, since the gaps are no event, and what is true of
one piece may not be true of another. A near one is any other candidate of the same rule: its p is just too low, or it
is too short.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.sound_blocks import file_blocks
from minirsed.features import event_frames, seconds_to_frame
from minirsed.listening.segments import logit
from minirsed.recordings.files import Event, detect_recording, event_finder, to_event

MARGIN_S = 2.0  # of sound on either side of an event
LOWEST = 0.5  # of the threshold: candidates below that are not near
KINDS = ("alarm", "near")


class Finding(NamedTuple):
    """Something in a recording that is worth a verdict; times in seconds from its start."""

    kind: str  # one of KINDS
    path: Path
    name: str  # of the recording
    event: Event
    start_s: float  # of the clip that shows it
    end_s: float
    first_frame: int  # of `probabilities`
    probabilities: np.ndarray  # p_t of the clip, float32
    evidence: float = 0.0  # nats, to tell those of equal p apart
    alarm: Event | None = None  # that it is a piece of


class Mine:
    """The strongest alarms and the closest near ones of all recordings so far.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    n_alarms, n_near : int
        How many to keep of each.

    Attributes
    ----------
    kept : dict of str to list of Finding
        By kind, the highest p first; of equal p, as of many that are certain, those of most evidence.
    n_found, n_pieces : int
        Alarms in all, and the pieces that they were joined of.
    seconds : float
        Of sound in all.
    """

    def __init__(self, detector, n_alarms, n_near):
        self.detector, self.limits = detector, {"alarm": n_alarms, "near": n_near}
        self.kept, self.n_found, self.n_pieces, self.seconds = {kind: [] for kind in KINDS}, 0, 0, 0.0

    def dig(self, path, name, executor, *, n_threads, progress=None):
        """Look into one recording. InputError: it cannot be used.

        Parameters
        ----------
        path : Path
        name : str
            For people.
        executor, n_threads : as in `minirsed.recordings.files.detect_recording`
        progress : callable, optional
            As in `data_tools.sound_blocks.file_blocks`.
        """
        blocks = file_blocks(path, progress=progress)
        apart = dataclasses.replace(self.detector, operating=self.detector.operating.of_segments())
        recording = detect_recording(apart, blocks, executor, n_threads=n_threads)
        pieces, alarms = recording.events, self.detector.operating.joiner().push(recording.events)
        pieces = [piece for piece in pieces if any(overlap(piece, alarm) for alarm in alarms)]
        recording = recording._replace(events=alarms)
        self.n_found += len(alarms)
        self.n_pieces += len(pieces)
        self.seconds += recording.duration_s
        for kind, events in (("alarm", pieces), ("near", near_events(self.detector, recording))):
            weighed = [(event, evidence(event, recording, self.detector.thres1)) for event in events]
            weighed.sort(key=lambda each: (-each[0].probability, -each[1], each[0].onset_s))
            best = weighed[: self.limits[kind]]
            kept = self.kept[kind] + [finding(kind, path, name, event, recording, nats) for event, nats in best]
            kept.sort(key=lambda each: (-each.event.probability, -each.evidence, each.name, each.event.onset_s))
            self.kept[kind] = kept[: self.limits[kind]]

    def findings(self):
        """All that is kept: list of Finding, alarms first."""
        return [each for kind in KINDS for each in self.kept[kind]]


def evidence(event, recording, thres1):
    """What the frames of an event add up to, nats, as in `minirsed.listening.segments`."""
    first, end = event_frames(event.onset_s, event.offset_s, len(recording.frame_probabilities))
    return float((logit(recording.frame_probabilities[first:end]) - logit(thres1)).sum())


def near_events(detector, recording):
    """Candidates of a recording that are no events but nearly so: list of Event, apart from its events."""
    eager = dataclasses.replace(detector, thres0=LOWEST * detector.thres0, operating=detector.operating.of_segments())
    if recording.probability is not None:  # a clip, which has one candidate
        found = eager.decode(recording.probability, recording.frame_probabilities)
        candidates = [] if found.onset_s is None else [Event(found.onset_s, found.offset_s, found.probability)]
    else:
        finder = event_finder(eager)
        runs = finder.push(logit(recording.frame_probabilities)) + finder.finish()
        candidates = [to_event(run) for run in runs]
    return [each for each in candidates if not any(overlap(each, event) for event in recording.events)]


def overlap(one, other):
    """Whether two events share time."""
    return one.onset_s < other.offset_s and other.onset_s < one.offset_s


def finding(kind, path, name, event, recording, nats):
    """The `Finding` of an event of a recording, which has so much evidence."""
    start_s, end_s = max(0.0, event.onset_s - MARGIN_S), min(recording.duration_s, event.offset_s + MARGIN_S)
    n_frames = len(recording.frame_probabilities)
    first, last = np.clip(seconds_to_frame(np.array([start_s, end_s])), 0, n_frames - 1).astype(int)
    probabilities = recording.frame_probabilities[first : last + 1].copy()  # or all of the recording would stay
    alarm = next((alarm for alarm in recording.events if overlap(event, alarm) and alarm[:2] != event[:2]), None)
    return Finding(kind, path, name, event, start_s, end_s, int(first), probabilities, nats, alarm)
