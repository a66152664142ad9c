"""Several classes in recordings and streams: one pass of the encoder, then every class by itself.

Data flow: windows → a detector of several → a finder for each class → **several** → `minirsed.detect`. Events of
different classes may overlap; those of one class are what its own detector finds. The functions take detectors of one
class as well: what has `views` is a `minirsed.several.detector.SeveralDetector`.
"""

from typing import NamedTuple

from data_tools.sound_blocks import file_blocks
from minirsed.kernels.threads import worker_threads
from minirsed.recordings.files import detect_each, detect_recording
from minirsed.recordings.streaming import Stream


class SeveralRecording(NamedTuple):
    """What was found in a recording."""

    duration_s: float
    classes: dict  # label → minirsed.recordings.files.Recording

    @property
    def events(self):
        """All events, by onset."""
        return [event for _, event in in_order(self.classes)]


def detect_any(detector, blocks, executor, **options):
    """`detect_recording` with a detector of one class or of several.

    Returns
    -------
    minirsed.recordings.files.Recording or SeveralRecording
    """
    if detector.config.n_classes == 1:
        return detect_recording(detector, blocks, executor, **options)
    recordings = detect_each(detector, detector.views, blocks, executor, **options)
    return SeveralRecording(recordings[0].duration_s, dict(zip(detector.labels, recordings, strict=True)))


def detect_file(detector, path, *, n_threads=1, all_events=False, progress=None):
    """Find the events of a sound file of any length.

    Parameters
    ----------
    detector : minirsed.detector.Detector or minirsed.several.detector.SeveralDetector
    path : str or Path
        Any file that libsndfile decodes.
    n_threads : int
        Threads for the model; decoding and features have one of their own.
    all_events : bool
        Look for several events in a recording of at most 30 s as well.
    progress : callable, optional
        As in `data_tools.sound_blocks.file_blocks`.

    Returns
    -------
    minirsed.recordings.files.Recording or SeveralRecording

    Raises
    ------
    InputError
        Missing, no sound, damaged, without samples, NaN or Inf.
    """
    with worker_threads(n_threads) as executor:
        blocks = file_blocks(path, progress=progress)
        return detect_any(detector, blocks, executor, n_threads=n_threads, all_events=all_events)


def by_class(detector, recording):
    """What was found of each class: dict of label to Recording."""
    return recording.classes if isinstance(recording, SeveralRecording) else {detector.label: recording}


def labelled_events(detector, recording):
    """All events of a recording with their classes, [(label, Event)], by onset."""
    return in_order(by_class(detector, recording))


def in_order(recordings):
    """[(label, Event)] of a dict of label to Recording, by onset."""
    pairs = [(label, event) for label, recording in recordings.items() for event in recording.events]
    return sorted(pairs, key=lambda pair: pair[1].onset_s)


def without_frames(recording):
    """The same recording without p_t, which are 0.6 MB an hour and class."""
    if isinstance(recording, SeveralRecording):
        return recording._replace(classes={label: without_frames(own) for label, own in recording.classes.items()})
    return recording._replace(frame_probabilities=recording.frame_probabilities[:0].copy())


class SeveralStream(Stream):
    """A `minirsed.recordings.streaming.Stream` of several classes.

    `push` and `finish` return (label, Event) pairs, those that end together by onset. `frame_probabilities` are (n, C),
    and `probability` is a dict by class.
    """

    def __init__(self, detector, sr):
        super().__init__(detector, sr)
        self.labels = detector.labels
        self.frame_probabilities = self.model.none

    @staticmethod
    def views(detector):
        """A detector for each class."""
        return detector.views

    @property
    def probability(self):
        """That the last 30 s hold it, p of each class; NaN before the first frame."""
        return {label: ear.finder.probability() for label, ear in zip(self.labels, self.ears, strict=True)}

    def labelled(self, events):
        """They are pairs already."""
        return events

    def together(self, events):
        """[(label, Event)] of a list of events for each class."""
        pairs = [(label, event) for label, own in zip(self.labels, events, strict=True) for event in own]
        return sorted(pairs, key=lambda pair: pair[1].onset_s)
