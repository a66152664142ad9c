"""Run a detector over labelled recordings and keep all that might be an event, whatever the threshold.

Data flow: data_tools.labelled_recordings, detector → **measure** → counting → choice, files. What is kept are the
candidates of the rule: segments with a peak above 0 or runs of active frames, each with its p. An event at thres0 is a
candidate with p > thres0, so one pass over the sound gives the whole curve. Windows, features and rule are those of
`minirsed.detect`: a recording of at most 30 s has one candidate or none, a longer one any number.
"""

import dataclasses
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.sound_blocks import file_blocks
from minirsed.analysis.files import clip_s
from minirsed.kernels.threads import worker_threads
from minirsed.listening.operating import Operating
from minirsed.model import groups
from minirsed.recordings.files import detect_recording, event_finder, rule_logits, to_event
from minirsed.store.mixtures import finite_clips


class Events(NamedTuple):
    """Events of all recordings, one recording after the other; arrays of one length, float64 but for `row`."""

    row: np.ndarray  # number of the recording, ascending
    onset_s: np.ndarray  # from the start of the recording
    offset_s: np.ndarray
    probability: np.ndarray  # 1 for true events

    def where(self, mask):
        """Those that a mask or an index picks."""
        return Events(*(column[mask] for column in self))


@dataclasses.dataclass(frozen=True)
class Measured:
    """What might be an event in some recordings, and what is one.

    Attributes
    ----------
    names, paths : list of str
        Of the recordings; a mixture has no path.
    duration_s : (N,) float64
    reference : Events
        The true events, by onset within a recording.
    candidates : dict of float to Events
        By `setting` of thres1 and memory: all with p > 0, in order of time.
    label : str
    recordings : list of (str or None, str), optional
        For each mixture the recording of its event, None without one, and that of its background; for each recording
        None and itself. None if it is not known.
    """

    names: list
    paths: list
    duration_s: np.ndarray
    reference: Events
    candidates: dict
    label: str
    recordings: list | None = None

    @property
    def hours(self):
        """Of sound."""
        return float(self.duration_s.sum()) / 3600

    def where(self, mask):
        """The recordings that a mask (N,) picks, as another `Measured`."""
        kept = np.flatnonzero(mask)
        number = np.cumsum(mask) - 1

        def own(events):
            events = events.where(np.asarray(mask)[events.row])
            return events._replace(row=number[events.row])

        return dataclasses.replace(
            self,
            names=[self.names[row] for row in kept],
            paths=[self.paths[row] for row in kept],
            duration_s=self.duration_s[kept],
            reference=own(self.reference),
            candidates={key: own(events) for key, events in self.candidates.items()},
            recordings=self.recordings and [self.recordings[row] for row in kept],
        )


def setting(thres1, memory_s=0.0):
    """What candidates depend on, as one value: thres1, or (thres1, memory_s) if evidence fades."""
    return (thres1, memory_s) if memory_s else thres1


def measure(detector, recordings, *, n_threads=1, thres1=None, progress=None):
    """Find all candidates in recordings.

    Parameters
    ----------
    detector : minirsed.detector.Detector
        Its thres0, shortest event and smallest gap play no part.
    recordings : list of data_tools.labelled_recordings.LabelledRecording
        With events of the detector's class alone.
    n_threads : int
    thres1 : sequence, optional
        Thresholds of the frames to try, or `setting`s, each at little cost: the network runs once. By default the
        detector's.
    progress : callable, optional
        `progress(n_done, n_total)`, in seconds of sound.

    Returns
    -------
    Measured

    Raises
    ------
    InputError
        A recording cannot be read.
    """
    found, done_s, total_s = [], 0.0, sum(each.duration_s for each in recordings)
    with worker_threads(n_threads) as executor:
        for each in recordings:

            def show(share, before_s=done_s, own_s=each.duration_s):
                if progress:
                    progress(int(before_s + share * own_s), max(1, int(total_s)))

            found.append(_candidates(detector, file_blocks(each.path, progress=show), executor, n_threads, thres1))
            done_s += each.duration_s
    paths = [str(Path(each.path).absolute()) for each in recordings]
    return Measured(
        short_names([each.path for each in recordings]),
        paths,
        np.array([duration_s for duration_s, _ in found]),
        _events([sorted((*event[:2], 1.0) for event in each.events) for each in recordings]),
        _by_thres1([candidates for _, candidates in found]),
        detector.label,
        [(None, path) for path in paths],
    )


def measure_mixtures(detector, store, executor, *, thres1=None, progress=None, recordings=None):
    """The same of mixtures of 30 s, by the rule for longer recordings: any number of events in each.

    Parameters
    ----------
    detector, thres1, progress : as in `measure`
        Progress is in clips.
    recordings : list, optional
        Those of the mixtures, as `data_tools.inventory.recordings_of` gives them.
    store : minirsed.store.dataset.FeatureStore
    executor : concurrent.futures.Executor

    Returns
    -------
    Measured
    """
    found = []
    for logits, _ in executor.map(lambda rows: rule_logits(detector, finite_clips(store, rows)), groups(len(store))):
        for own in logits:
            finders = _finders(detector, thres1)
            found.append({key: _in_order(finder.push(own) + finder.finish()) for key, finder in finders.items()})
            if progress:
                progress(len(found), len(store))
    spans = zip(store.has_event, store.onset_s, store.offset_s, strict=True)
    return Measured(
        [recipe.name for recipe in store.recipes],
        [""] * len(store),
        np.full(len(store), clip_s(store)),
        _events([[(onset_s, offset_s, 1.0)] if has_event else [] for has_event, onset_s, offset_s in spans]),
        _by_thres1(found),
        detector.label,
        recordings,
    )


def of_class(recordings, label):
    """Recordings with their events of one class alone."""
    return [
        dataclasses.replace(each, events=tuple(event for event in each.events if event[2] == label))
        for each in recordings
    ]


def short_names(paths):
    """Names of files, or, where one would name two of them, their paths from the folder that holds all."""
    names = [Path(path).name for path in paths]
    if len(set(names)) == len(names):
        return names
    folder = os.path.commonpath(paths)
    return [Path(path).relative_to(folder).as_posix() for path in paths]


def _finders(detector, thres1):
    """Finders of all candidates, by thres1."""
    own = (setting(detector.thres1, detector.operating.memory_s),) if thres1 is None else thres1
    return {key: event_finder(_open(detector, key)) for key in own}


def _open(detector, key):
    """The detector at a `setting`, with nothing in the way of a candidate."""
    thres1, memory_s = key if isinstance(key, tuple) else (key, 0.0)
    return dataclasses.replace(detector, thres0=0.0, thres1=thres1, operating=Operating(memory_s=memory_s))


def _candidates(detector, blocks, executor, n_threads, thres1):
    """Seconds and candidates by thres1 of one recording."""
    finders = _finders(detector, thres1)
    runs = {key: [] for key in finders}

    def listen(frame_logits):
        for key, finder in finders.items():
            runs[key] += finder.push(frame_logits)

    anyhow = _open(detector, detector.thres1)
    recording = detect_recording(anyhow, blocks, executor, n_threads=n_threads, on_logits=listen)
    if recording.probability is None:
        return recording.duration_s, {key: _in_order(runs[key] + finders[key].finish()) for key in finders}
    candidates = {}
    for key in finders:  # one clip: one event or none
        found = _open(detector, key).decode(recording.probability, recording.frame_probabilities)
        candidates[key] = [] if found.onset_s is None else [(found.onset_s, found.offset_s, found.probability)]
    return recording.duration_s, candidates


def _in_order(runs):
    return [tuple(to_event(run)) for run in runs]


def _by_thres1(found):
    """Dicts of candidates by thres1, one a recording, → a dict of `Events`."""
    return {key: _events([own[key] for own in found]) for key in (found[0] if found else ())}


def _events(lists):
    """Lists of (onset_s, offset_s, p), one a recording, → `Events`."""
    rows = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
    columns = np.array([event for own in lists for event in own], np.float64).reshape(-1, 3)
    return Events(rows, *columns.T)
