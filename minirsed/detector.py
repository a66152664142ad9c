"""The whole model: features in, probabilities, loss and gradients out; saved and loaded as one file.

Data flow: features → gru, multires → attention → losses → **detector** → adam, training, decode.

`forward` and `loss_and_grads` are pure functions of a flat dict of parameters; `Detector` puts parameters,
feature statistics, class and thresholds together, which is all that is needed to run a trained model on sound.
"""

import dataclasses
import hashlib
import json
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.errors import InputError
from minirsed.archive import read_arrays, write_arrays
from minirsed.attention import attention_backward, attention_forward
from minirsed.decode import decode
from minirsed.features import lfbe, run_to_seconds
from minirsed.losses import (
    FRAME_LOSS_MARGIN,
    frame_loss_backward,
    frame_loss_forward,
    frame_loss_weights,
    sigmoid,
    utterance_loss_backward,
    utterance_loss_forward,
)
from minirsed.multires import ARCHITECTURES, directions, encoder_backward, encoder_forward, init_encoder

FORMAT = "minirsed-detector-1"
GROUP_CLIPS = 5  # clips a thread carries through the model at a time; fixed, so that sums keep their order


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model: `arch` is uni, bi or multires; `n_units` per direction; `n_inputs` feature bands."""

    arch: str = "multires"
    n_layers: int = 3
    n_units: int = 256
    n_inputs: int = 64

    def __post_init__(self):
        """Raise ValueError for a shape that is no model."""
        if self.arch not in ARCHITECTURES:
            raise ValueError(f"arch must be one of {', '.join(ARCHITECTURES)}, got {self.arch!r}")
        for name in ("n_layers", "n_units", "n_inputs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def init_params(config, rng, dtype=np.float32):
    """Draw all parameters: the layers as in `minirsed.gru.init_gru`, `head.w` (K,) uniform in ±√(3 / K).

    With states within ±1 the first logits are then below about 1 in size, p_t near ½ and the attention near even.
    """
    params = init_encoder(config.arch, config.n_layers, config.n_inputs, config.n_units, rng, dtype)
    n_states = config.n_units * len(directions(config.arch))
    limit = np.sqrt(3.0 / n_states)
    params["head.w"] = rng.uniform(-limit, limit, n_states).astype(dtype)
    return params


def param_shapes(config):
    """Name and shape of every parameter of a model."""
    shapes, n_units = {}, config.n_units
    n_states = n_units * len(directions(config.arch))
    for layer in range(config.n_layers):
        n_inputs = n_states if layer else config.n_inputs
        for direction in directions(config.arch):
            own = {"W": (n_inputs, 3 * n_units), "U": (n_units, 3 * n_units), "b": (3 * n_units,)}
            shapes.update({f"gru{layer}.{direction}.{name}": shape for name, shape in own.items()})
    return {**shapes, "head.w": (n_states,)}


def forward(params, config, x, recurrence=None, *, with_cache=True):
    """Logits of a batch.

    Parameters
    ----------
    params : dict of ndarray
    config : ModelConfig
    x : (B, T, D) ndarray
        Normalised features, dtype of the parameters.
    recurrence : minirsed.gru.Recurrence, optional
        Default: the NumPy loop.
    with_cache : bool
        Whether `backward` is to follow.

    Returns
    -------
    frame_logits : (B, T) ndarray
    clip_logit : (B,) ndarray
    cache : tuple
    """
    h, encoder_cache = encoder_forward(params, x, config.arch, config.n_layers, recurrence, with_cache=with_cache)
    frame_logits, clip_logit, head_cache = attention_forward(params["head.w"], h)
    return frame_logits, clip_logit, (encoder_cache, head_cache)


def backward(dframe_logits, dclip_logit, cache, *, with_dx=True):
    """Differentiate `forward`: returns ∂L/∂x (B, T, D), None without `with_dx`, and a dict of gradients by name."""
    encoder_cache, head_cache = cache
    dh, dw = attention_backward(dframe_logits, dclip_logit, head_cache)
    dx, grads = encoder_backward(dh, encoder_cache, with_dx=with_dx)
    return dx, {**grads, "head.w": dw}


class Losses(NamedTuple):
    """Losses of each clip, (B,) each: L = L_utt + α L_frame."""

    total: np.ndarray
    utterance: np.ndarray
    frame: np.ndarray


def losses(frame_logits, clip_logit, frame_labels, alpha, margin=FRAME_LOSS_MARGIN):
    """Losses per clip and the caches for `losses_backward`.

    Parameters
    ----------
    frame_logits : (B, T) ndarray
    clip_logit : (B,) ndarray
    frame_labels : (B, T) ndarray, 0 or 1
        A row without a 1 is a clip without an event.
    alpha : float
        Weight of the frame loss (paper, Sec. 2).
    margin : int
        Frames around the event that count, see `frame_loss_weights`.
    """
    utterance, utterance_cache = utterance_loss_forward(clip_logit, frame_labels.any(axis=1))
    weights = frame_loss_weights(frame_labels, margin)
    frame, frame_cache = frame_loss_forward(frame_logits, frame_labels, weights)
    alpha = frame.dtype.type(alpha)
    return Losses(utterance + alpha * frame, utterance, frame), (utterance_cache, frame_cache, alpha)


def losses_backward(dtotal, cache):
    """Gradients of the logits, (B, T) and (B,), from those of the total loss of each clip, (B,)."""
    utterance_cache, frame_cache, alpha = cache
    return frame_loss_backward(alpha * dtotal, frame_cache), utterance_loss_backward(dtotal, utterance_cache)


def loss_and_grads(
    params, config, x, frame_labels, alpha=1.0, *, margin=FRAME_LOSS_MARGIN, recurrence=None, weight=None, with_dx=True
):
    """Loss of each clip and the gradient of their weighted sum.

    Parameters
    ----------
    params, config, x, recurrence : as in `forward`
    frame_labels, alpha, margin : as in `losses`
    weight : float, optional
        Weight of every clip in the sum; 1/B by default, the mean of the batch.
    with_dx : bool
        Whether the gradient of x is wanted; training has no use for it.

    Returns
    -------
    losses : Losses
    grads : dict of ndarray
    dx : (B, T, D) ndarray, None without `with_dx`
    """
    frame_logits, clip_logit, cache = forward(params, config, x, recurrence)
    values, loss_cache = losses(frame_logits, clip_logit, frame_labels, alpha, margin)
    weight = 1 / len(x) if weight is None else weight
    dlogits = losses_backward(np.full(len(x), weight, x.dtype), loss_cache)
    dx, grads = backward(*dlogits, cache, with_dx=with_dx)
    return values, grads, dx


def groups(n_clips):
    """Fixed slices of at most `GROUP_CLIPS` clips: the same whatever the number of threads."""
    return [slice(start, start + GROUP_CLIPS) for start in range(0, n_clips, GROUP_CLIPS)]


def batch_loss_and_grads(executor: Executor, params, config, x, frame_labels, alpha, recurrence):
    """`loss_and_grads` of a batch, its groups of clips spread over the executor's threads.

    Every group runs through the whole model by itself and the gradients are added in the order of the groups, so
    the result is the same, bit for bit, for any number of threads.
    """
    recurrence = recurrence.on(executor)

    def one_group(rows):
        values, grads, _ = loss_and_grads(
            params, config, x[rows], frame_labels[rows], alpha, recurrence=recurrence, weight=1 / len(x), with_dx=False
        )
        return values, grads

    results = list(executor.map(one_group, groups(len(x))))
    total = results[0][1]
    for _, grads in results[1:]:
        for name, grad in grads.items():
            total[name] += grad
    return Losses(*(np.concatenate(part) for part in zip(*(values for values, _ in results), strict=True))), total


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
        Of the training features, per band; inputs are normalised with them.
    thres0, thres1 : float
        Thresholds of the clip and of the frames (paper, Sec. 2.1).

    Examples
    --------
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

    def __post_init__(self):
        """Bring the statistics to the parameters' dtype."""
        dtype = self.params["head.w"].dtype
        self.mean, self.std = np.asarray(self.mean, dtype), np.asarray(self.std, dtype)

    def normalise(self, features):
        """(…, D) LFBE to zero mean and unit variance per band, dtype of the parameters."""
        return (np.asarray(features, self.mean.dtype) - self.mean) / self.std

    def logits(self, features, recurrence=None):
        """Frame logits (B, T) and clip logits (B,) of unnormalised LFBE (B, T, D)."""
        x = self.normalise(features)
        frame_logits, clip_logit, _ = forward(self.params, self.config, x, recurrence, with_cache=False)
        return frame_logits, clip_logit

    def detect(self, y, sr=44100):
        """Find the event in a clip, if there is one; recordings of any length: `minirsed.recordings.detect_file`.

        Parameters
        ----------
        y : (samples,) or (samples, channels) float array
            Waveform in [−1, 1].
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
        from minirsed.gru import numba_recurrence

        frame_logits, clip_logit = self.logits(lfbe(y, sr, n_mels=self.config.n_inputs)[None], numba_recurrence())
        return self.decode(float(sigmoid(clip_logit[0])), sigmoid(frame_logits[0]))

    def stream(self, sr=44100):
        """Detect in sound that comes in pieces: a `minirsed.streaming.Stream`.

        Parameters
        ----------
        sr : int
            Sample rate of the pieces in Hz.

        Examples
        --------
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
        from minirsed.streaming import Stream

        return Stream(self, sr)

    def decode(self, probability, frame_probabilities):
        """Thresholds, longest run, seconds: a `Detection` from p and p_t (T,) (paper, Sec. 2.1)."""
        run = decode(probability, frame_probabilities, self.thres0, self.thres1)
        onset_s, offset_s = (None, None) if run is None else run_to_seconds(*run)
        return Detection(probability, onset_s, offset_s, frame_probabilities)

    def save(self, path):
        """Write one file that `load` reads: an .npz without pickles, written aside and renamed."""
        write_arrays(path, FORMAT, self.description(), self.arrays())

    def description(self):
        """Everything but the arrays, as JSON-able values."""
        return {
            "label": self.label,
            "thres0": self.thres0,
            "thres1": self.thres1,
            "model": dataclasses.asdict(self.config),
        }

    def arrays(self):
        """Parameters and feature statistics, as named arrays."""
        named = {f"params/{name}": value for name, value in self.params.items()}
        return {"features/mean": self.mean, "features/std": self.std, **named}

    def fingerprint(self):
        """16 hex digits of a hash of class, model and arrays, but not of the thresholds."""
        digest = hashlib.sha256(json.dumps([self.label, dataclasses.asdict(self.config)], sort_keys=True).encode())
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
        return cls.from_parts(path, *read_arrays(path, FORMAT))

    @classmethod
    def from_parts(cls, path, description, arrays):
        """Build a detector from what `description` and `arrays` gave; `path` is named in errors."""
        params = {name.removeprefix("params/"): a for name, a in arrays.items() if name.startswith("params/")}
        try:
            config = ModelConfig(**description["model"])
            thresholds = float(description["thres0"]), float(description["thres1"])
            detector = cls(
                config, params, description["label"], arrays["features/mean"], arrays["features/std"], *thresholds
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a usable detector: {error!r}") from error
        statistics = {"mean": (config.n_inputs,), "std": (config.n_inputs,)}
        found = {name: a.shape for name, a in {**params, "mean": detector.mean, "std": detector.std}.items()}
        if found != param_shapes(config) | statistics:
            raise InputError(f"{path}: its arrays do not fit its description {description['model']}")
        return detector
