"""A detector on sound as it arrives: pieces of any length in, events out as they end.

Data flow: data_tools.live_sound → **streaming** → `minirsed.detect`. Features are those of the whole (`FeatureStream`);
what follows depends on the architecture:

`uni`       looks back only, so every frame goes through the model once, as soon as it is complete; each layer hands
            its state h_t on to the next piece. The frame probabilities are those of the sound in one piece.
all others  look ahead as well, `crnn1d` even reads the sound from its end. The model runs over the last 30 s, again
            every `STEP` frames, and a frame is taken `DELAY` frames after it was heard, when the model has heard what
            follows it. So does `uni` with the head `frames`, whose median looks ahead.

p is that of the last 30 s, computed from the frame logits (`minirsed.recordings.event_finder`).
"""

import numpy as np

from data_tools.downmix import Downmix
from data_tools.sound_blocks import StreamResampler
from minirsed.activations import sigmoid
from minirsed.features import HOP, SAMPLE_RATE, checked_waveform, run_to_seconds
from minirsed.listening.inputs import INPUTS
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME
from minirsed.recordings.files import GAP_FRAMES, columns_of, event_finder, rule_logits, to_event
from minirsed.recordings.windows import WINDOW_FRAMES, FeatureStream

STEP = 48  # frames, 1.1 s; a multiple of 2^4: pairs that `multires` averages stay pairs from run to run
DELAY = 96  # frames, 2.2 s


def about(detector, views=()):
    """How a detector listens, in words; `views`, if it is of several classes, are those of each of them."""
    hop_s = HOP / SAMPLE_RATE
    wait_s = hop_s * (GAP_FRAMES if detector.config.rule == "longest" else EVIDENCE / MOST_A_FRAME)
    wait_s = max(wait_s, *(view.operating.min_gap_s for view in views or (detector,)))
    if looks_back_only(detector):
        return f"{detector.label}, uni: state carried from frame to frame; events appear {wait_s:.1f} s after their end"
    earliest_s, latest_s = wait_s + DELAY * hop_s, wait_s + (DELAY + STEP) * hop_s
    return (
        f"{detector.label}, {detector.config.arch}: looks ahead, so it runs over the last 30 s every "
        f"{STEP * hop_s:.1f} s; events appear {earliest_s:.1f} to {latest_s:.1f} s after their end"
    )


def looks_back_only(detector):
    """Whether a frame can be judged as soon as it has been heard."""
    return detector.config.arch == "uni" and detector.config.head == "attention"


class Stream:
    """Detection in a stream; made by `minirsed.detector.Detector.stream`.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    sr : int
        Sample rate of what is pushed, Hz.

    Attributes
    ----------
    frame_probabilities : (n,) float32 ndarray
        p_t of the frames that the last `push` or `finish` settled, n ≥ 0.
    n_frames : int
        Frames settled so far.
    n_samples : int
        Samples taken so far, of each channel.
    """

    def __init__(self, detector, sr=SAMPLE_RATE):
        self.label, self.ears = detector.label, [Ear(view) for view in self.views(detector)]
        self.resampler, self.features = StreamResampler(sr), FeatureStream(**detector.features)
        self.model = (CarriedState if looks_back_only(detector) else SlidingWindow)(detector)
        self.frame_probabilities = np.zeros(0, np.float32)
        self.n_frames, self.n_samples, self.finished = 0, 0, False
        self.sr, self.mix = sr, None  # of as many channels as the first piece has

    @property
    def probability(self):
        """p, that the last 30 s hold the event; NaN before the first frame."""
        return self.ears[0].finder.probability()

    @staticmethod
    def views(detector):
        """A detector for each column of the logits."""
        return (detector,)

    def labelled(self, events):
        """What `push` or `finish` returned, as pairs: [(label, Event)]."""
        return [(self.label, event) for event in events]

    def push(self, y):
        """Take the next samples.

        Parameters
        ----------
        y : (samples,) or (samples, channels) float array
            In [−1, 1]; may be empty. Of several channels the last 0.1 s wait for what follows (`Downmix`).

        Returns
        -------
        list of minirsed.recordings.files.Event
            Events that have ended, in order; seconds from the stream's start.

        Raises
        ------
        ValueError
            What `Detector.detect` and the readers of files refuse: NaN, Inf, samples far beyond full scale, another
            shape or kind, (channels, samples); another number of channels than before; or the stream has been finished.
        """
        return self._advance(self._checked(y), last=False)

    def finish(self):
        """End the stream: the list of the last events."""
        return self._advance(np.zeros((0, self.mix.n_channels if self.mix else 1)), last=True)

    def _checked(self, y):
        """Samples of a piece as (samples, channels) float64."""
        y, known = np.asarray(y), self.mix.n_channels if self.mix else None
        if not y.size:
            return np.zeros((0, known or 1))
        is_as_before = y.ndim == 2 and y.shape[1] == known  # and may have fewer samples than channels
        checked_waveform(y.reshape(-1) if is_as_before else y)
        y = y.reshape(len(y), -1).astype(np.float64)
        if known not in (None, y.shape[1]):
            raise ValueError(f"y has {y.shape[1]} channels, the stream had {known} before")
        return y

    def _advance(self, y, last):
        if self.finished:
            raise ValueError("the stream has been finished")
        if self.mix is None and (len(y) or last):
            self.mix = Downmix(y.shape[1], self.sr)
        self.finished, self.n_samples = last, self.n_samples + len(y)
        y = self.mix.push(y, last=last) if self.mix else np.zeros(0)
        features = [self.features.push(self.resampler.push(y, last=last))]
        if last:
            features.append(self.features.finish())
        logits = [self.model.push(np.concatenate(features))]
        if last:
            logits.append(self.model.finish())
        logits = np.concatenate(logits)
        self.frame_probabilities, self.n_frames = sigmoid(logits), self.n_frames + len(logits)
        columns = columns_of(logits, len(self.ears))
        return self.together([ear.push(own, last) for ear, own in zip(self.ears, columns, strict=True)])

    @staticmethod
    def together(events):
        """What `push` returns, of a list of events for each column."""
        return events[0]


class Ear:
    """What becomes of the logits of one class as they come: events that have ended."""

    def __init__(self, detector):
        self.finder, self.joiner = event_finder(detector, live=True), detector.operating.joiner()

    def push(self, logits, last):
        """(n,) logits → list of Event; with `last`, nothing follows."""
        runs = self.finder.push(logits)
        if last:
            return self.joiner.push([to_event(run) for run in runs + self.finder.finish()])
        none_before_s, _ = run_to_seconds(self.finder.pending, self.finder.pending + 1)
        return self.joiner.push([to_event(run) for run in runs], none_before_s)


class CarriedState:
    """`uni`: frame logits of pieces, each layer's state carried from one to the next."""

    def __init__(self, detector):
        self.detector, self.kind = detector, INPUTS[detector.config.inputs]
        self.rest = np.zeros(
            (0, detector.features["n_mels"]), np.float32
        )  # frames that wait for the other one of their pair
        self.past = None  # of the inputs
        self.network = detector.network()
        self.states = self.network.start(1)
        self.none = no_logits(detector)

    def push(self, features):
        """(n, n_mels) features → the (m,) or (m, C) logits of all whole inputs so far, m ≥ 0."""
        features = np.concatenate([self.rest, features])
        n = len(features) // self.kind.rate * self.kind.rate
        self.rest = features[n:]
        return self._run(features[:n])

    def finish(self):
        """Logits of what was held back."""
        return self._run(self.rest)

    def _run(self, features):
        if not len(features):
            return self.none
        inputs, self.past = self.kind.of_lfbe(features, self.past)
        logits = self.network.frame_logits(self.detector.normalise(inputs)[None], self.states).T
        logits = logits.reshape(len(logits), *self.none.shape[1:])
        return np.repeat(logits, self.kind.rate, axis=0)[: len(features)]


def no_logits(detector):
    """Logits of no frame: (0,), and (0, C) of several classes."""
    return np.zeros((0, *detector.params["head.w"].shape[:-1]), np.float32)


class SlidingWindow:
    """All but `uni`: frame logits from runs over the last 30 s, `DELAY` frames late."""

    def __init__(self, detector):
        self.detector = detector
        self.window = np.zeros((0, detector.features["n_mels"]), np.float32)
        self.none = no_logits(detector)
        self.n_new = self.n_unsettled = 0  # frames since the last run; frames at the window's end without a logit

    def push(self, features):
        """(n, D) features → the (m,) or (m, C) logits that they settle; the cut into pieces does not matter."""
        settled = [self.none]
        while len(features):
            piece, features = np.split(features, [STEP - self.n_new])
            self.window = np.concatenate([self.window, piece])
            self.n_new, self.n_unsettled = self.n_new + len(piece), self.n_unsettled + len(piece)
            if self.n_new == STEP:
                self.n_new = 0
                self.window = self.window[-(WINDOW_FRAMES // STEP * STEP) :]
                settled.append(self._settle(self.n_unsettled - DELAY))
        return np.concatenate(settled)

    def finish(self):
        """Logits of the frames that were held back."""
        return self._settle(self.n_unsettled)

    def _settle(self, n):
        """Logits of the first n unsettled frames."""
        if n <= 0:
            return self.none
        logits = rule_logits(self.detector, self.window[None])[0][0].T
        first = len(logits) - self.n_unsettled
        self.n_unsettled -= n
        return logits[first : first + n]
