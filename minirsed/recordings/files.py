"""A detector on a recording of any length: features, windows, model, events, in bounded memory and linear time.

Data flow: data_tools.sound_blocks → windows → detector → event_finder, decode → **recordings** → `minirsed.detect`.

A recording of at most 30 s is a clip as in training, and the paper's rule holds: one event or none, what
`Detector.detect` finds. A longer one may hold any number of events (`minirsed.recordings.event_finder`).
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from minirsed.activations import sigmoid
from minirsed.features import HOP, SAMPLE_RATE, run_to_seconds
from minirsed.model import GROUP_CLIPS
from minirsed.recordings.event_finder import EventFinder, FrameFinder, SegmentFinder
from minirsed.recordings.windows import LONGEST_CLIP, WINDOW_FRAMES, FeatureStream, stitch, windows
from minirsed.rivals.frames import smooth

TWO_AT_A_TIME = ("bi", "multires", "crnn")  # architectures whose layers have two directions, work for two threads
GAP_FRAMES = round(0.5 * SAMPLE_RATE / HOP)  # 0.5 s, within which the challenge's scorer takes two onsets for one


class Event(NamedTuple):
    """An event of a recording: seconds from its start, and p."""

    onset_s: float
    offset_s: float
    probability: float


class Recording(NamedTuple):
    """What was found in a recording."""

    duration_s: float
    events: list  # of Event, in order
    probability: float | None  # p of a recording that is one clip; None for a longer one
    frame_probabilities: np.ndarray  # (T,) float32


def event_finder(detector, live=False):
    """The finder of the detector's rule and head, with its thresholds and a context of 30 s; takes `rule_logits`."""
    if detector.config.rule == "strongest":
        how = {"lead": detector.config.lead, "memory_s": detector.operating.memory_s}
        return SegmentFinder(detector.thres0, detector.thres1, context=WINDOW_FRAMES, **how)
    kind = FrameFinder if detector.config.head == "frames" else EventFinder
    return kind(detector.thres0, detector.thres1, context=WINDOW_FRAMES, gap=GAP_FRAMES, live=live)


def rule_logits(detector, features):
    """Frame logits (B, T) as finders take them, smoothed if the head is `frames`, and clip logits (B,).

    Of several classes (B, C, T) and (B, C).
    """
    frame_logits, clip_logit = detector.logits(features)
    return (smooth(frame_logits, -np.inf) if detector.config.head == "frames" else frame_logits), clip_logit


def to_event(run):
    """`FoundRun`, in frames → `Event`, in seconds."""
    return Event(*run_to_seconds(run.onset_frame, run.offset_frame), run.probability)


def detect_recording(detector, blocks, executor, *, n_threads, all_events=False, on_features=None, on_logits=None):
    """Find the events of a recording that comes in blocks.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    blocks : iterable of (samples,) float array
        Mono, 44.1 kHz; together at least one sample.
    executor : concurrent.futures.Executor
        Of `minirsed.kernels.threads.worker_threads(n_threads)`. While it runs the model, the calling thread makes
        features.
    n_threads : int
    all_events : bool
        Look for several events in a recording of at most 30 s as well.
    on_features : callable, optional
        `on_features(features)`, called with the (T, D) features piece by piece.
    on_logits : callable, optional
        `on_logits(frame_logits)`, called with the (T,) frame logits of `rule_logits` piece by piece.

    Returns
    -------
    Recording
        The same for any cut into blocks and any number of threads.
    """
    options = {"n_threads": n_threads, "all_events": all_events, "on_features": on_features, "on_logits": on_logits}
    (recording,) = detect_each(detector, (detector,), blocks, executor, **options)
    return recording


def detect_each(detector, views, blocks, executor, *, n_threads, all_events=False, on_features=None, on_logits=None):
    """As `detect_recording`, for `views` of one detector that have its logits to themselves, a column each.

    A detector of one class has a single view, itself; `minirsed.recordings.several` has more. Returns a `Recording` for
    each of them. `on_logits` gets (T, C) logits if there are several.
    """
    stream, searches, clip_logits = FeatureStream(**detector.features), [_Search(view) for view in views], None

    def frame_logits():
        nonlocal clip_logits
        for start, of_frames, of_clip in window_logits(detector, windows(features()), executor, n_threads):
            clip_logits = np.atleast_1d(of_clip)
            yield start, of_frames.T

    def features():
        for piece in stream.of(blocks):
            if on_features:
                on_features(piece)
            yield piece

    for piece in stitch(frame_logits()):
        if on_logits:
            on_logits(piece)
        for search, own in zip(searches, columns_of(piece, len(views)), strict=True):
            search.push(own)
    if clip_logits is None:
        raise ValueError("blocks hold no sample")
    recordings = [search.finish(stream.n_samples / SAMPLE_RATE) for search in searches]
    if stream.n_frames > LONGEST_CLIP:
        return recordings
    clips = zip(views, recordings, clip_logits, strict=True)
    return [_clip(view, recording, clip_logit, all_events) for view, recording, clip_logit in clips]


def columns_of(values, n):
    """(T,) or (T, n) values as n columns of (T,)."""
    return np.ascontiguousarray(values.reshape(len(values), n).T)


class _Search:
    """One class, as the logits of its frames come."""

    def __init__(self, detector):
        self.detector, self.finder, self.probabilities, self.runs = detector, event_finder(detector), [], []

    def push(self, frame_logits):
        self.probabilities.append(sigmoid(frame_logits))
        self.runs += self.finder.push(frame_logits)

    def finish(self, duration_s):
        events = [to_event(run) for run in self.runs + self.finder.finish()]
        events = self.detector.operating.joiner().push(events)
        return Recording(duration_s, events, None, np.concatenate(self.probabilities))


def _clip(detector, recording, clip_logit, all_events):
    """A recording that was one window, by the paper's rule but for `all_events`."""
    found = detector.decode(float(sigmoid(clip_logit)), recording.frame_probabilities)
    events = [] if found.onset_s is None else [Event(found.onset_s, found.offset_s, found.probability)]
    return recording._replace(probability=found.probability, events=recording.events if all_events else events)


def window_logits(detector, windowed, executor, n_threads):
    """Run the model over windows, groups of them side by side.

    A group takes memory (3 × 256 units: 150 MB), so there are no more at a time than keep the threads busy: the two
    directions of a layer are work for two.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    windowed : iterable of (start, (T, D) features)
    executor, n_threads : as in `detect_recording`

    Yields
    ------
    start : int
    frame_logits : (T,) ndarray
    clip_logit : float
        Of several classes (C, T) and (C,).
    """
    n_at_a_time = max(1, n_threads // (2 if detector.config.arch in TWO_AT_A_TIME else 1))
    running = deque()

    def results():
        starts, future = running.popleft()
        yield from zip(starts, *future.result(), strict=True)

    for group in grouped(windowed, GROUP_CLIPS):
        if len(running) == n_at_a_time:
            yield from results()
        starts, features = zip(*group, strict=True)
        running.append((starts, executor.submit(rule_logits, detector, np.stack(features))))
    while running:
        yield from results()


def grouped(windowed, n):
    """Lists of up to n windows of one length: the last window of a recording has its own."""
    group = []
    for start, features in windowed:
        if len(group) == n or (group and len(features) != len(group[0][1])):
            yield group
            group = []
        group.append((start, features))
    if group:
        yield group
