"""The whole network: features in, logits, losses and gradients out.

Data flow: features → gru, multires → attention → losses → **model** → training, detector.

Everything here is a pure function of a flat dict of parameters, a `ModelConfig` and a batch.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minirsed.attention import attention_backward, attention_forward
from minirsed.losses import (
    FRAME_LOSS_MARGIN,
    frame_loss_backward,
    frame_loss_forward,
    frame_loss_weights,
    utterance_loss_backward,
    utterance_loss_forward,
)
from minirsed.multires import ARCHITECTURES, directions, encoder_backward, encoder_forward, init_encoder
from minirsed.rivals.mlp import (
    frames_head_backward,
    frames_head_forward,
    init_mlp,
    mlp_backward,
    mlp_forward,
    mlp_shapes,
)

GROUP_CLIPS = 5  # clips a thread carries through the model at a time; fixed, so that sums keep their order


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the model: `arch` is uni, bi, multires or mlp; `n_units` per direction; `n_inputs` feature bands.

    `head` is attention, or frames for what the paper argues against (`minirsed.rivals.mlp`).
    """

    arch: str = "multires"
    n_layers: int = 3
    n_units: int = 256
    n_inputs: int = 64
    head: str = "attention"

    def __post_init__(self):
        """Raise ValueError for a shape that is no model."""
        for name, choices in (("arch", (*ARCHITECTURES, "mlp")), ("head", ("attention", "frames"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("n_layers", "n_units", "n_inputs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


def init_params(config, rng, dtype=np.float32):
    """Draw all parameters: the layers as in `minirsed.gru.init_gru`, `head.w` (K,) uniform in ±√(3 / K).

    With states within ±1 the first logits are then below about 1 in size, p_t near ½ and the attention near even.
    """
    if config.arch == "mlp":
        params, n_states = init_mlp(config.n_layers, config.n_inputs, config.n_units, rng, dtype), config.n_units
    else:
        params = init_encoder(config.arch, config.n_layers, config.n_inputs, config.n_units, rng, dtype)
        n_states = config.n_units * len(directions(config.arch))
    limit = np.sqrt(3.0 / n_states)
    params["head.w"] = rng.uniform(-limit, limit, n_states).astype(dtype)
    if config.head == "frames":
        params["head.b"] = np.zeros(1, dtype)
    return params


def param_shapes(config):
    """Name and shape of every parameter of a model."""
    shapes, n_units = {}, config.n_units
    n_states = n_units if config.arch == "mlp" else n_units * len(directions(config.arch))
    head = {"head.w": (n_states,), **({"head.b": (1,)} if config.head == "frames" else {})}
    if config.arch == "mlp":
        return mlp_shapes(config.n_layers, config.n_inputs, n_units) | head
    for layer in range(config.n_layers):
        n_inputs = n_states if layer else config.n_inputs
        for direction in directions(config.arch):
            own = {"W": (n_inputs, 3 * n_units), "U": (n_units, 3 * n_units), "b": (3 * n_units,)}
            shapes.update({f"gru{layer}.{direction}.{name}": shape for name, shape in own.items()})
    return shapes | head


def forward(params, config, x, recurrence=None, *, rng=None, with_cache=True):
    """Logits of a batch.

    Parameters
    ----------
    params : dict of ndarray
    config : ModelConfig
    x : (B, T, D) ndarray
        Normalised features, dtype of the parameters.
    recurrence : minirsed.gru.Recurrence, optional
        Default: the NumPy loop.
    rng : numpy.random.Generator, optional
        For dropout, which only the mlp has; default: none, as when detecting.
    with_cache : bool
        Whether `backward` is to follow.

    Returns
    -------
    frame_logits : (B, T) ndarray
    clip_logit : (B,) ndarray
    cache : tuple
    """
    if config.arch == "mlp":
        h, encoder_cache = mlp_forward(params, x, config.n_layers, rng, with_cache=with_cache)
    else:
        h, encoder_cache = encoder_forward(params, x, config.arch, config.n_layers, recurrence, with_cache=with_cache)
    if config.head == "frames":
        frame_logits, clip_logit, head_cache = frames_head_forward(params["head.w"], params["head.b"], h)
    else:
        frame_logits, clip_logit, head_cache = attention_forward(params["head.w"], h)
    return frame_logits, clip_logit, (config, encoder_cache, head_cache)


def backward(dframe_logits, dclip_logit, cache, *, with_dx=True):
    """Differentiate `forward`: returns ∂L/∂x (B, T, D), None without `with_dx`, and a dict of gradients by name."""
    config, encoder_cache, head_cache = cache
    if config.head == "frames":  # its clip logit is a rule, not a part of what is trained
        dh, dw, db = frames_head_backward(dframe_logits, head_cache)
        head = {"head.w": dw, "head.b": db}
    else:
        dh, dw = attention_backward(dframe_logits, dclip_logit, head_cache)
        head = {"head.w": dw}
    encoder = mlp_backward if config.arch == "mlp" else encoder_backward
    dx, grads = encoder(dh, encoder_cache, with_dx=with_dx)
    return dx, grads | head


class Losses(NamedTuple):
    """Losses of each clip, (B,) each: L = L_utt + α L_frame."""

    total: np.ndarray
    utterance: np.ndarray
    frame: np.ndarray


def losses(frame_logits, clip_logit, frame_labels, alpha, margin=FRAME_LOSS_MARGIN, head="attention"):
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
    """
    if head == "frames":
        utterance, utterance_cache = np.zeros_like(clip_logit), None
        weights = np.full_like(frame_labels, 1 / frame_labels.shape[1])
    else:
        utterance, utterance_cache = utterance_loss_forward(clip_logit, frame_labels.any(axis=1))
        weights = frame_loss_weights(frame_labels, margin)
    frame, frame_cache = frame_loss_forward(frame_logits, frame_labels, weights)
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
    recurrence=None,
    rng=None,
    weight=None,
    with_dx=True,
):
    """Loss of each clip and the gradient of their weighted sum.

    Parameters
    ----------
    params, config, x, recurrence, rng : as in `forward`
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
    frame_logits, clip_logit, cache = forward(params, config, x, recurrence, rng=rng)
    values, loss_cache = losses(frame_logits, clip_logit, frame_labels, alpha, margin, config.head)
    weight = 1 / len(x) if weight is None else weight
    dlogits = losses_backward(np.full(len(x), weight, x.dtype), loss_cache)
    dx, grads = backward(*dlogits, cache, with_dx=with_dx)
    return values, grads, dx


def groups(n_clips):
    """Fixed slices of at most `GROUP_CLIPS` clips: the same whatever the number of threads."""
    return [slice(start, start + GROUP_CLIPS) for start in range(0, n_clips, GROUP_CLIPS)]


def batch_loss_and_grads(executor: Executor, params, config, x, frame_labels, alpha, recurrence, rng=None):
    """`loss_and_grads` of a batch, its groups of clips spread over the executor's threads.

    Every group runs through the whole model by itself and the gradients are added in the order of the groups, so
    the result is the same, bit for bit, for any number of threads. Of `rng` every group gets a child of its own, if the
    architecture has dropout; otherwise nothing is drawn from it.
    """
    recurrence, parts = recurrence.on(executor), groups(len(x))
    drops = rng is not None and config.arch == "mlp"
    seeds = rng.integers(2**63, size=len(parts)) if drops else [None] * len(parts)

    def one_group(rows, seed):
        values, grads, _ = loss_and_grads(
            params,
            config,
            x[rows],
            frame_labels[rows],
            alpha,
            recurrence=recurrence,
            rng=None if seed is None else np.random.default_rng(seed),
            weight=1 / len(x),
            with_dx=False,
        )
        return values, grads

    results = list(executor.map(one_group, parts, seeds))
    total = results[0][1]
    for _, grads in results[1:]:
        for name, grad in grads.items():
            total[name] += grad
    return Losses(*(np.concatenate(part) for part in zip(*(values for values, _ in results), strict=True))), total
