"""A trained model with all that it takes to run it on sound; saved and loaded as one file.

Data flow: training makes a **detector** of a model → evaluation, recordings, streaming.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.downmix import downmix
from data_tools.errors import InputError
from minirsed.activations import sigmoid
from minirsed.decode import decode
from minirsed.features import checked_waveform, lfbe, run_to_seconds
from minirsed.inference.network import ready
from minirsed.listening.inputs import INPUTS
from minirsed.listening.operating import Operating
from minirsed.listening.segments import strongest_segment, strongest_segments
from minirsed.model import ModelConfig, param_shapes
from minirsed.rivals.batch_norm import has_variances
from minirsed.rivals.frames import smooth
from minirsed.store.archive import read_arrays, write_arrays

FORMAT = "minirsed-detector-1"
# left out of older hashes
YOUNGER = (("inputs", "lfbe"), ("rule", "longest"), ("n_mels", None), ("lead", 0), ("n_classes", 1))


class Detection(NamedTuple):
    """What was found in a clip; times in seconds from its start, None without an event; p_t is (T,) float32."""

    probability: float
    onset_s: float | None
    offset_s: float | None
    frame_probabilities: np.ndarray


@dataclass
class Detector:
    """A model with everything needed to run it on sound.

    Attributes
    ----------
    config : ModelConfig
    params : dict of ndarray
    label : str
        The class that it detects.
    mean, std : (D,) float32 ndarray
        Of the training inputs, per band; inputs are normalised with them.
    thres0, thres1 : float
        Thresholds of the clip and of the frames (paper, Sec. 2.1).
    operating : minirsed.listening.operating.Operating
        Shortest event, smallest gap, memory, and how they and the thresholds were chosen.

    Examples
    --------
    >>> from minirsed.model import ModelConfig, init_params
    >>> rng = np.random.default_rng(0)
    >>> config = ModelConfig(arch="uni", n_layers=1, n_units=4)
    >>> detector = Detector(config, init_params(config, rng), "babycry", np.zeros(64), np.ones(64))
    >>> detector.detect(rng.standard_normal(44100), sr=44100).frame_probabilities.shape
    (42,)
    """

    config: ModelConfig
    params: dict
    label: str
    mean: np.ndarray
    std: np.ndarray
    thres0: float = 0.5
    thres1: float = 0.5
    operating: Operating = Operating()

    def __post_init__(self):
        """Bring the statistics to the parameters' dtype."""
        dtype = self.params["head.w"].dtype
        self.mean, self.std = np.asarray(self.mean, dtype), np.asarray(self.std, dtype)
        self._network = None  # no field: Dask copies objects by their fields

    @property
    def features(self):
        """Keyword arguments of `minirsed.features.lfbe` for the features that it takes, n_mels and floor."""
        return {"n_mels": self.config.n_mels or self.config.n_inputs, "floor": INPUTS[self.config.inputs].power_floor}

    def normalise(self, inputs):
        """(…, D) inputs to zero mean and unit variance per band, dtype of the parameters."""
        return (np.asarray(inputs, self.mean.dtype) - self.mean) / self.std

    def logits(self, features):
        """Frame logits (B, T) and clip logits (B,) of LFBE (B, T, n_mels), see `features`."""
        kind = INPUTS[self.config.inputs]
        x = self.normalise(kind.of_lfbe(features)[0])
        frame_logits, clip_logit = self.network().logits(x)
        return np.repeat(frame_logits, kind.rate, axis=1)[:, : features.shape[1]], clip_logit

    def network(self):
        """The network with its weights packed, `minirsed.inference.network`, for inputs from `normalise`.

        It is made once for parameters that cannot change, as `load` leaves them, and every time for others.
        """
        if self._network is not None and not any(a.flags.writeable for a in self.params.values()):
            return self._network
        self._network = ready(self.params, self.config)
        return self._network

    def detect(self, y, sr=44100):
        """Find the event in a clip, if there is one; recordings of any length: `minirsed.recordings.detect_file`.

        Parameters
        ----------
        y : (samples,) or (samples, channels) float array
            Waveform in [−1, 1]. Channels are averaged, but where they cancel one of them is taken, as in files.
        sr : int
            Sample rate in Hz.

        Returns
        -------
        Detection

        Raises
        ------
        ValueError
            Empty, not finite, or of another shape.
        """
        logits = self.logits(lfbe(downmix(checked_waveform(y), sr), sr, **self.features)[None])
        probability, frame_probabilities = self.probabilities(*logits)
        return self.decode(float(probability[0]), frame_probabilities[0])

    def probabilities(self, frame_logits, clip_logit):
        """Of what `logits` gave: p (B,) and p_t (B, T), the latter smoothed where the head is `frames`."""
        p_t = sigmoid(frame_logits)
        p_t = smooth(p_t) if self.config.head == "frames" else p_t
        if self.config.rule == "strongest":
            return strongest_segments(p_t, self.thres1, memory_s=self.operating.memory_s)[0], p_t
        return sigmoid(clip_logit), p_t

    def stream(self, sr=44100):
        """Detect in sound that comes in pieces: a `minirsed.recordings.streaming.Stream`.

        Parameters
        ----------
        sr : int
            Sample rate of the pieces in Hz.

        Examples
        --------
        >>> from minirsed.model import ModelConfig, init_params
        >>> rng = np.random.default_rng(0)
        >>> config = ModelConfig(arch="uni", n_layers=1, n_units=4)
        >>> detector = Detector(config, init_params(config, rng), "babycry", np.zeros(64), np.ones(64))
        >>> stream = detector.stream(sr=16000)
        >>> for piece in np.split(0.1 * rng.standard_normal(160000), 100):  # 0.1 s each
        ...     for event in stream.push(piece):
        ...         print(f"{detector.label} from {event.onset_s:.2f} to {event.offset_s:.2f} s")
        >>> events = stream.finish()
        >>> stream.n_frames == len(detector.detect(np.zeros(441000)).frame_probabilities)
        True
        """
        from minirsed.recordings.streaming import Stream

        return Stream(self, sr)

    def decode(self, probability, frame_probabilities):
        """Thresholds, run of frames, seconds: a `Detection` from p and p_t (T,).

        By the paper's rule (Sec. 2.1), or that of `minirsed.listening.segments`, whose p follows from p_t and thres1.
        """
        if self.config.rule == "strongest":
            how = self.config.lead, self.operating.memory_s
            probability, run = strongest_segment(frame_probabilities, self.thres0, self.thres1, *how)
        else:
            run = decode(probability, frame_probabilities, self.thres0, self.thres1)
        onset_s, offset_s = (None, None) if run is None else run_to_seconds(*run)
        if run is not None and not self.operating.is_long_enough(onset_s, offset_s):
            onset_s = offset_s = None
        return Detection(probability, onset_s, offset_s, frame_probabilities)

    def save(self, path):
        """Write one file that `load` reads: an .npz without pickles, written aside and renamed."""
        write_arrays(path, FORMAT, self.description(), self.arrays())

    def description(self):
        """Everything but the arrays, as JSON-able values."""
        values = {"label": self.label, "thres0": self.thres0, "thres1": self.thres1}
        return {**values, "model": dataclasses.asdict(self.config), **self.operating.described()}

    def arrays(self):
        """Parameters and feature statistics, as named arrays."""
        named = {f"params/{name}": value for name, value in self.params.items()}
        return {"features/mean": self.mean, "features/std": self.std, **named}

    def fingerprint(self):
        """16 hex digits of a hash of class, model and arrays, but not of the thresholds and what goes with them."""
        model = {name: value for name, value in dataclasses.asdict(self.config).items() if (name, value) not in YOUNGER}
        digest = hashlib.sha256(json.dumps([self.label, model], sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def load(cls, path):
        """Read a detector from its file, or from a run folder (its `best.npz`).

        Raises
        ------
        InputError
            Missing, truncated, damaged, or no minirsed detector.
        """
        path = Path(path)
        path = path / "best.npz" if path.is_dir() else path
        detector = cls.from_parts(path, *read_arrays(path, FORMAT))
        for a in detector.params.values():
            a.flags.writeable = False  # see `network`; what a checkpoint holds is trained further
        return detector

    @classmethod
    def from_parts(cls, path, description, arrays):
        """Build a detector from what `description` and `arrays` gave; `path` is named in errors."""
        if "classes" in description:  # see `minirsed.several.detector`
            raise InputError(f"{path}: detects several classes; this takes a detector of one")
        params = {name.removeprefix("params/"): a for name, a in arrays.items() if name.startswith("params/")}
        try:
            config = ModelConfig(**description["model"])
            thresholds = float(description["thres0"]), float(description["thres1"])
            statistics = arrays["features/mean"], arrays["features/std"]
            detector = cls(config, params, description["label"], *statistics, *thresholds, Operating.of(description))
            shapes = param_shapes(config) if config.n_layers <= len(params) else {}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: not a usable detector: {error!r}") from error
        named = {**params, "mean": detector.mean, "std": detector.std}
        statistics = {"mean": (config.n_inputs,), "std": (config.n_inputs,)}
        if {name: a.shape for name, a in named.items()} != shapes | statistics:
            raise InputError(f"{path}: its arrays do not fit its description {description['model']}")
        dtype = params["head.w"].dtype
        if dtype not in (np.float32, np.float64) or any(a.dtype != dtype for a in params.values()):
            raise InputError(f"{path}: its arrays are not all float32 or all float64")
        positive = (detector.std > 0).all() and has_variances(params)
        if not (positive and all(np.isfinite(a).all() for a in named.values())):
            raise InputError(f"{path}: has weights or feature statistics that are NaN or infinite")
        if not (isinstance(detector.label, str) and all(map(math.isfinite, thresholds))):
            raise InputError(f"{path}: its label or its thresholds cannot be used")
        return detector
