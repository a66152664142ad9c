"""From features to frame states, f(X) = [h_1 … h_T]: the three architectures (paper, Sec. 3, Fig. 2).

Data flow: gru → **multires** → attention.

`uni`        L layers, one direction, each on top of the last; K = H.
`bi`         L layers of two directions, their states side by side [fwd | bwd]; K = 2H.
`multires`   bi-directional; after each layer neighbouring frames are averaged,

                 s^l_i = (h^l_{2i} + h^l_{2i+1}) / 2          (an odd last frame stands alone),

             s^l, half as long, is the next layer's input; at the end every s^l is replicated back to T frames
             (×2, ×4, ×8, …, cut to T) and all are summed:

                 h_t = Σ_l s^l_{⌊t / 2^l⌋},   l = 1 … L

             so each frame sees the clip at L resolutions, and a gradient reaches every layer directly.
"""

import numpy as np

from minirsed.gru import gru_backward, gru_forward, init_gru

ARCHITECTURES = ("uni", "bi", "multires")


def directions(arch):
    """Names of the directions of each layer: ("fwd",) or ("fwd", "bwd")."""
    return ("fwd",) if arch == "uni" else ("fwd", "bwd")


def init_encoder(arch, n_layers, n_inputs, n_units, rng, dtype=np.float32):
    """Draw the parameters of all layers: flat dict `gru{layer}.{fwd|bwd}.{W|U|b}`; see `init_gru`."""
    params = {}
    for layer in range(n_layers):
        layer_inputs = n_inputs if layer == 0 else n_units * len(directions(arch))
        for direction in directions(arch):
            for name, value in init_gru(layer_inputs, n_units, rng, dtype).items():
                params[f"gru{layer}.{direction}.{name}"] = value
    return params


def encoder_forward(params, x, arch, n_layers, recurrence=None):
    """Frame states of a batch.

    Parameters
    ----------
    params : dict of ndarray
        Names as made by `init_encoder`; others are ignored.
    x : (B, T, D) ndarray, T ≥ 1
    arch : {"uni", "bi", "multires"}
    n_layers : int ≥ 1
    recurrence : minirsed.gru.Recurrence, optional
        Default: the NumPy loop.

    Returns
    -------
    h : (B, T, K) ndarray
        K = H for `uni`, 2H otherwise.
    cache : tuple
    """
    n_frames = x.shape[1]
    caches, summed = [], 0.0
    for layer in range(n_layers):
        x, layer_cache = layer_forward(params, layer, x, directions(arch), recurrence)
        caches.append(layer_cache)
        if arch == "multires":
            x = average_pairs(x)
            summed = summed + replicate(x, 2 ** (layer + 1), n_frames)
    return (summed if arch == "multires" else x), (caches, arch, n_frames)


def encoder_backward(dh, cache):
    """Differentiate `encoder_forward`: from ∂L/∂h (B, T, K) to ∂L/∂x (B, T, D) and a dict of gradients.

    In `multires` the output of layer l is used twice, so its gradient is a sum: what the layer above hands down
    plus what reaches it through the replicated copy.
    """
    caches, arch, n_frames = cache
    dx, grads = (None if arch == "multires" else dh), {}
    for layer in reversed(range(len(caches))):
        if arch == "multires":
            dpooled = replicate_backward(dh, 2 ** (layer + 1))
            dpooled = dpooled if dx is None else dpooled + dx
            dx = average_pairs_backward(dpooled, -(-n_frames // 2**layer))
        dx, layer_grads = layer_backward(dx, layer, caches[layer])
        grads.update(layer_grads)
    return dx, grads


def layer_forward(params, layer, x, names, recurrence=None):
    """One layer, its directions side by side on the last axis: (B, T, D) → (B, T, K), cache."""
    outputs, caches = [], {}
    for name in names:
        own = {key: params[f"gru{layer}.{name}.{key}"] for key in ("W", "U", "b")}
        h, caches[name] = gru_forward(own, x, reverse=name == "bwd", recurrence=recurrence)
        outputs.append(h)
    return (outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=2)), caches


def layer_backward(dh, layer, caches):
    """Differentiate `layer_forward`: both directions read the same x, so their input gradients add up."""
    dx, grads = 0.0, {}
    for name, dh_own in zip(caches, np.split(dh, len(caches), axis=2), strict=True):
        dx_own, _, own = gru_backward(dh_own, caches[name])
        dx = dx + dx_own
        grads.update({f"gru{layer}.{name}.{key}": value for key, value in own.items()})
    return dx, grads


def average_pairs(x):
    """Subsample in time at rate 2 by averaging neighbours: (B, T, K) → (B, ⌈T/2⌉, K); an odd last frame stays."""
    pooled = np.add(x[:, 0::2], np.pad(x[:, 1::2], ((0, 0), (0, x.shape[1] % 2), (0, 0))))
    pooled[:, : x.shape[1] // 2] *= x.dtype.type(0.5)
    return pooled


def average_pairs_backward(dpooled, n_frames):
    """Each of a pair gets half of its average's gradient, a lone last frame all of it; back to `n_frames` = T."""
    dx = np.repeat(dpooled, 2, axis=1)[:, :n_frames]
    dx[:, : n_frames - n_frames % 2] *= dpooled.dtype.type(0.5)
    return dx


def replicate(x, rate, n_frames):
    """Upsample in time by copying each frame `rate` times, cut to `n_frames`: (B, T', K) → (B, T, K)."""
    return np.repeat(x, rate, axis=1)[:, :n_frames]


def replicate_backward(dy, rate):
    """A frame's gradient is the sum over its copies: (B, T, K) → (B, ⌈T / rate⌉, K)."""
    return np.add.reduceat(dy, np.arange(0, dy.shape[1], rate), axis=1)
