"""A detector's network made ready to listen: weights packed once, joined networks apart, nothing kept for learning.

Data flow: model (which defines the logits) → **network** → detector, streaming.

The logits are those of `minirsed.model.forward`, to float32 rounding, with less work:

*Apart.* K networks that were joined (`minirsed.outside.members`) have block-diagonal matrices, of which all but 1/K is
zero. They run one by one, and their frame logits add up: e_t = wᵀh_t = Σ_k w_kᵀ h_kt.

*Only e_t.* The sum of all resolutions is needed only for wᵀh_t, so that of `multires` is taken of numbers instead of
states, e_t = Σ_l wᵀ s^l_{⌊t / 2^l⌋}; and the clip logit is wᵀ Σ_t a_t h_t = Σ_t a_t e_t.

*Packed.* `minirsed.kernels.inference` reads weights in an order of its own, and keeps no gates.
"""

import dataclasses
from functools import partial

import numpy as np

from minirsed.attention import attention_weights
from minirsed.gru import gru_forward
from minirsed.kernels import is_compiled
from minirsed.kernels.threads import side_by_side
from minirsed.model import GROUP_CLIPS, forward, groups
from minirsed.multires import ARCHITECTURES, average_pairs, directions


def ready(params, config):
    """A `Network`, or what has the same `logits` for the rivals of the paper's model (`minirsed.rivals`)."""
    recurrent = config.arch in ARCHITECTURES and config.head == "attention"
    return (Network if recurrent else _Rival)(params, config)


class _Rival:
    def __init__(self, params, config):
        self.params, self.config = params, config

    def logits(self, x):
        return forward(self.params, self.config, x, with_cache=False)[:2]


class Network:
    """Recurrent layers and the head `attention`, ready.

    Parameters
    ----------
    params : dict of ndarray
        float32; float64 is run by `gru_forward`.
    config : minirsed.model.ModelConfig
    """

    def __init__(self, params, config):
        self.n_inputs, self.dtype = config.n_inputs, params["head.w"].dtype
        parts, own = apart(params, config)
        self.parts = [_Part(each, own) for each in parts]

    def logits(self, x):
        """Frame logits (B, T) and clip logits (B,) of normalised inputs (B, T, D), T ≥ 1, dtype of the parameters.

        With C classes every clip has C rows, as in `minirsed.several.heads`, of one pass through the layers.
        """
        frame_logits = np.concatenate([self.frame_logits(x[rows]) for rows in groups(len(x))])
        return frame_logits, (attention_weights(frame_logits) * frame_logits).sum(axis=1)

    def frame_logits(self, x, states=None):
        """Frame logits (B, T), or (B C, T), of a group of clips (B, T, D), at most `GROUP_CLIPS`.

        `states`, as `start` makes them, are those before the first frame, and are replaced by those after the last one.
        """
        if x.ndim != 3 or len(x) > GROUP_CLIPS or x.shape[1] == 0 or x.shape[2] != self.n_inputs:
            raise ValueError(f"x must be (B ≤ {GROUP_CLIPS}, T ≥ 1, {self.n_inputs}), got {x.shape}")
        if x.dtype != self.dtype:
            raise ValueError(f"x must be {self.dtype} as the parameters are, got {x.dtype}")
        n_clips = len(x)
        x = np.ascontiguousarray(x.swapaxes(0, 1)).reshape(-1, self.n_inputs)  # (T B, D)
        states = self.start(n_clips) if states is None else states
        pairs = zip(self.parts, states, strict=True)
        total, *others = side_by_side([partial(part.frame_logits, x, own, len(states)) for part, own in pairs])
        for logits in others:
            total += logits
        return total.T

    def start(self, n_clips):
        """States before a first frame, zeros: for each part, layer and direction (B, H)."""
        return [part.start(n_clips) for part in self.parts]


class _Part:
    """One of the networks that were joined, or the only one. Its arrays are flat: (T B, ·), time first."""

    def __init__(self, params, config):
        self.pools, self.n_units, self.w = config.arch == "multires", config.n_units, params["head.w"].T  # (K,), (K, C)
        self.layers = [
            [
                direction({key: params[f"gru{layer}.{name}.{key}"] for key in ("W", "U", "b")}, side)
                for side, name in enumerate(directions(config.arch))
            ]
            for layer in range(config.n_layers)
        ]

    def start(self, n_clips):
        return [[np.zeros((n_clips, self.n_units), self.w.dtype) for _ in layer] for layer in self.layers]

    def frame_logits(self, x, states, n_beside):
        """(T B, D) → (T, B) or (T, B C), as `n_beside` parts do it at a time."""
        total, n_clips, is_fast = None, len(states[0][0]), is_compiled()
        n_frames = len(x) // n_clips
        for level, (layer, own) in enumerate(zip(self.layers, states, strict=True), 1):
            h = np.empty((len(x), len(layer) * self.n_units), x.dtype)
            if len(layer) == 1:
                layer[0][is_fast](x, own[0], h)
            else:
                pairs = zip(layer, own, strict=True)
                side_by_side([partial(one[is_fast], x, state, h) for one, state in pairs], n_beside)
            x = h
            if self.pools:
                x = average_pairs(h.reshape(1, -1, n_clips * h.shape[1])).reshape(-1, h.shape[1])
                logits = np.repeat((x @ self.w).reshape(len(x) // n_clips, -1), 2**level, axis=0)[:n_frames]
                total = logits if total is None else total + logits
        return total if self.pools else (x @ self.w).reshape(n_frames, -1)


def direction(params, side):
    """A direction of a layer, {False: plain, True: compiled}; that on side 1 runs backward.

    Called with x (T B, D), a state (B, H) and h (T B, ≥ H), it fills its columns of h, and the state moves along.
    """
    own = side == 1, side * len(params["U"])  # reverse, first_unit
    plain = partial(run_numpy, params, *own)
    if is_compiled() and params["b"].dtype == np.float32:
        from minirsed.kernels import inference

        if inference.COMPILED:
            return {False: plain, True: partial(inference.listen, *inference.pack(**params), *own)}
    return {False: plain, True: plain}


def run_numpy(params, reverse, first_unit, x, state, h):
    """A `direction` by `gru_forward`: the definition of what `minirsed.kernels.inference.listen` does."""
    x = x.reshape(-1, len(state), x.shape[1]).swapaxes(0, 1)
    own, _ = gru_forward(params, x, state, reverse=reverse)
    h[:, first_unit : first_unit + state.shape[1]] = own.swapaxes(0, 1).reshape(len(h), -1)
    state[:] = own[:, 0 if reverse else -1]


def apart(params, config):
    """The networks that were joined into one, if they were: list of parameters, and the configuration of each.

    Their frame logits add up to those of the whole, exactly but for rounding. What `join` divided by K stays so.
    """
    n_units, U = config.n_units, params["gru0.fwd.U"]
    linked = np.flatnonzero(U[0, :n_units])  # those that the first unit has to do with
    least = int(linked[-1]) + 1 if len(linked) else n_units
    H = next(size for size in range(least, n_units + 1) if n_units % size == 0)
    if H == n_units:
        return [params], config
    parts = [part_of(params, config, np.arange(first, first + H)) for first in range(0, n_units, H)]
    shared = [name for name in params if name.startswith("gru0") and name.endswith("W")]
    for name, value in params.items():  # what is left out must be 0
        if value.ndim == 2 and name not in shared:
            if np.count_nonzero(value) != sum(np.count_nonzero(part[name]) for part in parts):
                return [params], config
    return parts, dataclasses.replace(config, n_units=H)


def part_of(params, config, units):
    """Parameters of some of the units of each direction of each layer: their rows and columns."""
    columns = np.concatenate([gate * config.n_units + units for gate in range(3)])
    states = np.concatenate([side * config.n_units + units for side in range(len(directions(config.arch)))])
    part = {}
    for name, value in params.items():
        if name == "head.w":
            part[name] = value[..., states]
        elif name.startswith("head"):
            part[name] = value
        elif value.ndim == 1:
            part[name] = value[columns]
        else:  # the first W sees the inputs, which all have in common
            rows = units if name.endswith("U") else slice(None) if name.startswith("gru0") else states
            part[name] = value[rows][:, columns]
    return part
