"""The whole network: features in, logits, losses and gradients out.

Data flow: features → gru, multires → attention → losses → **model** → training, detector.

Everything here is a pure function of a flat dict of parameters, a `ModelConfig` and a batch. A model is an encoder,
which turns features into frame states, and a head, which turns states into logits: a row of each of two tables.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minirsed.attention import attention_backward, attention_forward
from minirsed.listening.inputs import INPUTS
from minirsed.losses import (
    FRAME_LOSS_MARGIN,
    frame_loss_backward,
    frame_loss_forward,
    frame_loss_weights,
    utterance_loss_backward,
    utterance_loss_forward,
)
from minirsed.rivals.batch_norm import share_of
from minirsed.rivals.encoders import ENCODERS
from minirsed.rivals.frames import frames_backward, frames_forward
from minirsed.several.heads import for_each_class, shapes_for_each_class

RULES = ("longest", "strongest")
GROUP_CLIPS = 5  # clips a thread carries through the model at a time; fixed, so that sums keep their order


class Head(NamedTuple):
    """From frame states to frame logits (B, T) and clip logits (B,). `head.w` (K,) is common to all."""

    shapes: dict  # of the parameters besides `head.w`, which start at 0
    forward: Callable  # params, h → frame_logits, clip_logit, cache
    backward: Callable  # dframe_logits, dclip_logit, cache → dh, then a gradient for each parameter
    has_clip_loss: bool  # whether L_utt is part of the loss; otherwise L_frame is that of all frames of all clips


HEADS = {
    "attention": Head(
        shapes={},
        forward=lambda params, h: attention_forward(params["head.w"], h),
        backward=attention_backward,
        has_clip_loss=True,
    ),
    "frames": Head(
        shapes={"head.b": (1,)},
        forward=lambda params, h: frames_forward(params["head.w"], params["head.b"], h),
        backward=lambda dframe_logits, _, cache: frames_backward(dframe_logits, cache),
        has_clip_loss=False,
    ),
}


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model: a row of `ENCODERS` and one of `HEADS`, layers, units per direction, inputs.

    The next four say what is before and behind it: a row of `minirsed.listening.inputs`, made of `n_mels` bands (by
    default as many as inputs), and how its probabilities become an event: longest (`minirsed.decode`) or strongest
    (`minirsed.listening.segments`), which begins `lead` frames earlier. With several classes the head has an event
    vector for each (`minirsed.several`).
    """

    arch: str = "multires"
    n_layers: int = 3
    n_units: int = 256
    n_inputs: int = 64
    head: str = "attention"
    inputs: str = "lfbe"
    rule: str = "longest"
    n_mels: int | None = None
    lead: int = 0
    n_classes: int = 1

    def __post_init__(self):
        """Raise ValueError for a shape that is no model."""
        for name, choices in (("arch", ENCODERS), ("head", HEADS), ("inputs", INPUTS), ("rule", RULES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        least_inputs = ENCODERS[self.arch].least_inputs
        for name, least in (("n_layers", 1), ("n_units", 1), ("n_classes", 1), ("n_inputs", least_inputs), ("lead", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.n_inputs != INPUTS[self.inputs].n_inputs(self.n_mels or self.n_inputs):
            raise ValueError(f"n_inputs is {self.n_inputs}: not that of inputs {self.inputs} in {self.n_mels} bands")


def head_of(config):
    """The head of a model: a row of `HEADS`, once for each class."""
    return for_each_class(HEADS[config.head], config.n_classes)


def param_shapes(config):
    """Name and shape of every parameter of a model; `head.w` is (K,), and (C, K) for C > 1 classes."""
    encoder = ENCODERS[config.arch]
    own = {"head.w": (encoder.n_states(config),)} | HEADS[config.head].shapes
    return encoder.shapes(config) | shapes_for_each_class(own, config.n_classes)


def init_params(config, rng, dtype=np.float32):
    """Draw all parameters: those of the encoder by its own rule, `head.w` (K,) uniform in ±√(3 / K).

    With states within ±1 the first logits are then below about 1 in size, p_t near ½ and the attention near even.
    """
    params = ENCODERS[config.arch].init(config, rng, dtype)
    vectors = param_shapes(config)["head.w"]
    limit = np.sqrt(3.0 / vectors[-1])
    params["head.w"] = rng.uniform(-limit, limit, vectors).astype(dtype)
    return params | {name: np.zeros(shape, dtype) for name, shape in head_of(config).shapes.items()}


def forward(params, config, x, *, rng=None, with_cache=True):
    """Logits of a batch.

    Parameters
    ----------
    params : dict of ndarray
    config : ModelConfig
    x : (B, T, D) ndarray
        Normalised features, dtype of the parameters.
    rng : numpy.random.Generator, optional
        For the dropout of `minirsed.rivals`, in training; default: none, as when detecting.
    with_cache : bool
        Whether `backward` is to follow.

    Returns
    -------
    frame_logits : (B, T) ndarray
        With C classes every clip has C rows, (B C, T), and C clip logits; see `minirsed.several.heads`.
    clip_logit : (B,) ndarray
    cache : tuple
    """
    h, encoder_cache = ENCODERS[config.arch].forward(params, config, x, rng, with_cache)
    frame_logits, clip_logit, head_cache = head_of(config).forward(params, h)
    return frame_logits, clip_logit, (config, encoder_cache, head_cache)


def backward(dframe_logits, dclip_logit, cache, *, with_dx=True):
    """Differentiate `forward`: returns ∂L/∂x (B, T, D), None without `with_dx`, and a dict of gradients by name.

    The head first (`minirsed.attention`), then the encoder (`minirsed.multires`), as derived in
    `tutorials/05_attention_and_losses.md` and `tutorials/06_multiresolution.md`.
    """
    config, encoder_cache, head_cache = cache
    head = head_of(config)
    dh, *dhead = head.backward(dframe_logits, dclip_logit, head_cache)
    dx, grads = ENCODERS[config.arch].backward(dh, encoder_cache, with_dx=with_dx)
    return dx, grads | dict(zip(["head.w", *head.shapes], dhead, strict=True))


class Losses(NamedTuple):
    """Losses of each clip, (B,) each: L = L_utt + α L_frame."""

    total: np.ndarray
    utterance: np.ndarray
    frame: np.ndarray


def losses(frame_logits, clip_logit, frame_labels, alpha, margin=FRAME_LOSS_MARGIN, head="attention", weights=None):
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
    head : {"attention", "frames"}
        With frames there is no L_utt, and L_frame is the mean over all frames of every clip.
    weights : (B, T) ndarray, optional
        Of the frames in L_frame; by default those of the paper, or of the head frames.
    """
    if HEADS[head].has_clip_loss:
        utterance, utterance_cache = utterance_loss_forward(clip_logit, frame_labels.any(axis=1))
        weights = frame_loss_weights(frame_labels, margin) if weights is None else weights
    else:
        utterance, utterance_cache = np.zeros_like(clip_logit), None
        weights = np.full_like(frame_labels, 1 / frame_labels.shape[1]) if weights is None else weights
    frame, frame_cache = frame_loss_forward(frame_logits, frame_labels, weights.reshape(frame_labels.shape))
    alpha = frame.dtype.type(alpha)
    return Losses(utterance + alpha * frame, utterance, frame), (utterance_cache, frame_cache, alpha)


def losses_backward(dtotal, cache):
    """Gradients of the logits, (B, T) and (B,), from those of the total loss of each clip, (B,)."""
    utterance_cache, frame_cache, alpha = cache
    dclip_logit = np.zeros_like(dtotal) if utterance_cache is None else utterance_loss_backward(dtotal, utterance_cache)
    return frame_loss_backward(alpha * dtotal, frame_cache), dclip_logit


def loss_and_grads(
    params,
    config,
    x,
    frame_labels,
    alpha=1.0,
    *,
    margin=FRAME_LOSS_MARGIN,
    frame_weights=None,
    rng=None,
    weight=None,
    with_dx=True,
):
    """Loss of each clip and the gradient of their weighted sum.

    Parameters
    ----------
    params, config, x, rng : as in `forward`
    frame_labels, alpha, margin, frame_weights : as in `losses`
        With C classes, labels and weights are (B, C, T), and the loss of a clip is the sum of those of its classes.
    weight : float, optional
        Weight of every clip in the sum; 1/B by default, the mean of the batch.
    with_dx : bool
        Whether the gradient of x is wanted; training has no use for it.

    Returns
    -------
    losses : Losses
    grads : dict of ndarray
        With `rng`, those of statistics are what `minirsed.rivals.batch_norm.follow` is for.
    dx : (B, T, D) ndarray, None without `with_dx`

    Notes
    -----
    L = L_utt + α L_frame (paper, Sec. 2), through head, encoder and layers; the parts are derived in
    `tutorials/05_attention_and_losses.md` and `tutorials/06_multiresolution.md`.

    Examples
    --------
    >>> config = ModelConfig(arch="multires", n_layers=2, n_units=3, n_inputs=5)
    >>> rng = np.random.default_rng(0)
    >>> params, x, y = init_params(config, rng, np.float64), rng.standard_normal((2, 9, 5)), np.zeros((2, 9))
    >>> y[0, 3:6] = 1
    >>> losses, grads, dx = loss_and_grads(params, config, x, y)
    >>> grads.keys() == params.keys(), bool(losses.frame[1] == 0)  # without an event there is no frame loss
    (True, True)
    """
    frame_logits, clip_logit, cache = forward(params, config, x, rng=rng)
    frame_labels = frame_labels.reshape(frame_logits.shape)
    values, loss_cache = losses(frame_logits, clip_logit, frame_labels, alpha, margin, config.head, frame_weights)
    weight = 1 / len(x) if weight is None else weight
    dlogits = losses_backward(np.full(len(clip_logit), weight, x.dtype), loss_cache)
    dx, grads = backward(*dlogits, cache, with_dx=with_dx)
    values = Losses(*(part.reshape(len(x), -1).sum(axis=1) for part in values))
    return values, share_of(grads, weight * len(x)), dx


def groups(n_clips):
    """Fixed slices of at most `GROUP_CLIPS` clips: the same whatever the number of threads."""
    return [slice(start, start + GROUP_CLIPS) for start in range(0, n_clips, GROUP_CLIPS)]


def batch_loss_and_grads(executor: Executor, params, config, x, frame_labels, alpha, rng=None):
    """`loss_and_grads` of a batch, its groups of clips spread over the executor's threads.

    Every group runs through the whole model by itself and the gradients are added in the order of the groups, so
    the result is the same, bit for bit, for any number of threads. With dropout every group gets a child of `rng` of
    its own; without, nothing is drawn from it.
    """
    parts = groups(len(x))
    drops = rng is not None and ENCODERS[config.arch].is_random
    seeds = rng.integers(2**63, size=len(parts)) if drops else [None] * len(parts)

    def one_group(rows, seed):
        own, weight = None if seed is None else np.random.default_rng(seed), 1 / len(x)
        return loss_and_grads(
            params, config, x[rows], frame_labels[rows], alpha, rng=own, weight=weight, with_dx=False
        )[:2]

    results = list(executor.map(one_group, parts, seeds))
    total = results[0][1]
    for _, grads in results[1:]:
        for name, grad in grads.items():
            total[name] += grad
    return Losses(*(np.concatenate(part) for part in zip(*(values for values, _ in results), strict=True))), total
