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

from functools import partial

import numpy as np

from minirsed.gru import gru_backward, gru_forward, gru_shapes, init_gru
from minirsed.kernels.threads import side_by_side

ARCHITECTURES = ("uni", "bi", "multires")


def directions(arch):
    """Names of the directions of each layer: ("fwd",) or ("fwd", "bwd")."""
    return ("fwd",) if arch == "uni" else ("fwd", "bwd")


def n_states(arch, n_units):
    """K, the numbers that describe a frame: H of each direction."""
    return n_units * len(directions(arch))


def gru_layers(arch, n_layers, n_inputs, n_units):
    """Name and number of inputs of each direction of each layer: `gru0.fwd`, `gru0.bwd`, `gru1.fwd`, …"""
    for layer in range(n_layers):
        for direction in directions(arch):
            yield f"gru{layer}.{direction}", n_states(arch, n_units) if layer else n_inputs


def encoder_shapes(arch, n_layers, n_inputs, n_units):
    """Shapes of the parameters of all layers, by their names `gru{layer}.{fwd|bwd}.{W|U|b}`."""
    return {
        f"{layer}.{name}": shape
        for layer, n_own in gru_layers(arch, n_layers, n_inputs, n_units)
        for name, shape in gru_shapes(n_own, n_units).items()
    }


def init_encoder(arch, n_layers, n_inputs, n_units, rng, dtype=np.float32):
    """Draw the parameters of all layers, see `init_gru`: a flat dict with the names of `encoder_shapes`."""
    return {
        f"{layer}.{name}": value
        for layer, n_own in gru_layers(arch, n_layers, n_inputs, n_units)
        for name, value in init_gru(n_own, n_units, rng, dtype).items()
    }


def encoder_forward(params, x, arch, n_layers, *, with_cache=True):
    """Frame states of a batch.

    Parameters
    ----------
    params : dict of ndarray
        Names as made by `init_encoder`; others are ignored.
    x : (B, T, D) ndarray, T ≥ 1
    arch : {"uni", "bi", "multires"}
    n_layers : int ≥ 1
    with_cache : bool
        Whether `encoder_backward` is to follow; without it a layer's gates are freed as soon as it has run.

    Returns
    -------
    h : (B, T, K) ndarray
        K = H for `uni`, 2H otherwise.
    cache : tuple

    Notes
    -----
    For `multires` h_t = Σ_l s^l_{⌊t / 2^l⌋}, where s^l are the averaged pairs of layer l: paper, Sec. 3 and Fig. 2.
    Built by hand in `tutorials/06_multiresolution.md`.

    Examples
    --------
    Frames come in pairs, since every s^l is copied at least twice:

    >>> rng = np.random.default_rng(0)
    >>> params = init_encoder("multires", 3, 5, 4, rng, np.float64)
    >>> h, cache = encoder_forward(params, rng.standard_normal((1, 13, 5)), "multires", 3)
    >>> h.shape, bool((h[:, 0:12:2] == h[:, 1:12:2]).all())
    ((1, 13, 8), True)
    """
    caches, pooled, lengths = [], [], []
    for layer in range(n_layers):
        lengths.append(x.shape[1])
        x, layer_cache = layer_forward(params, layer, x, directions(arch))
        caches.append(layer_cache if with_cache else None)
        del layer_cache
        if arch == "multires":
            x = average_pairs(x)
            pooled.append(x)
    if arch == "multires":
        # Σ_l replicate(s^l, 2^l), from the coarsest: replicated by 2, added to the next finer one, and so on
        for finer, n_frames in zip([*pooled[-2::-1], None], lengths[::-1], strict=True):
            x = replicate(x, 2, n_frames)
            if finer is not None:
                x += finer
    return x, (caches, arch, lengths)


def encoder_backward(dh, cache, *, with_dx=True):
    """Differentiate `encoder_forward`: from ∂L/∂h (B, T, K) to ∂L/∂x (B, T, D) and a dict of gradients.

    Without `with_dx` the gradient of the input, which training has no use for, is None and costs nothing.

    In `multires` the output of layer l is used twice, so its gradient is a sum: what the layer above hands down
    plus what reaches it through the replicated copy.

    Notes
    -----
    With A for averaging and R_l for copying 2^l times, δs^l = R_lᵀ δh + δx^{l+1} and δh^l = Aᵀ δs^l. See
    `tutorials/06_multiresolution.md`.

    Examples
    --------
    >>> from minirsed.gradcheck import gradcheck
    >>> rng = np.random.default_rng(0)
    >>> params, x = init_encoder("multires", 2, 5, 3, rng, np.float64), rng.standard_normal((1, 7, 5))
    >>> dh = rng.standard_normal((1, 7, 6))
    >>> dx, grads = encoder_backward(dh, encoder_forward(params, x, "multires", 2)[1])
    >>> def loss(a):
    ...     return np.vdot(dh, encoder_forward(a, a["x"], "multires", 2)[0])
    >>> bool(gradcheck(loss, {"x": dx, **grads}, {"x": x, **params}, rng) < 1e-6)
    True
    """
    caches, arch, lengths = cache
    copies, grads = [], {}  # copies: gradients of s^1, s^2, … through their replicated copies
    for _ in caches if arch == "multires" else ():
        copies.append(replicate_backward(copies[-1] if copies else dh, 2))
    dx = None if arch == "multires" else dh
    for layer in reversed(range(len(caches))):
        if arch == "multires":
            dpooled = copies.pop()
            if dx is not None:
                dpooled += dx
            dx = average_pairs_backward(dpooled, lengths[layer])
        dx, layer_grads = layer_backward(dx, layer, caches[layer], with_dx=with_dx or layer > 0)
        grads.update(layer_grads)
    return dx, grads


def layer_forward(params, layer, x, names):
    """One layer, its directions side by side on the last axis: (B, T, D) → (B, T, K), cache.

    `params` holds `gru{layer}.{name}.{W|U|b}`, and `names` are those of `directions`; see
    `tutorials/06_multiresolution.md`.
    """

    def run(name):
        own = {key: params[f"gru{layer}.{name}.{key}"] for key in ("W", "U", "b")}
        return gru_forward(own, x, reverse=name == "bwd")

    outputs, caches = zip(*side_by_side([partial(run, name) for name in names]), strict=True)
    h = outputs[0] if len(names) == 1 else np.concatenate(outputs, axis=2)
    return h, dict(zip(names, caches, strict=True))


def layer_backward(dh, layer, caches, *, with_dx=True):
    """Differentiate `layer_forward`: both directions read the same x, so their input gradients add up."""
    parts = zip(np.split(dh, len(caches), axis=2), caches.values(), strict=True)
    results = side_by_side([partial(gru_backward, *part, with_dx=with_dx) for part in parts])
    dx, grads = None, {}
    for name, (dx_own, _, own) in zip(caches, results, strict=True):
        dx = dx_own if dx is None else np.add(dx, dx_own, out=dx)
        grads.update({f"gru{layer}.{name}.{key}": value for key, value in own.items()})
    return dx, grads


# The four functions below keep the order that memory has: time first, where a GRU layer made their input.


def average_pairs(x):
    """Subsample in time at rate 2 by averaging neighbours: (B, T, K) → (B, ⌈T/2⌉, K); an odd last frame stays.

    s_i = (x_{2i} + x_{2i+1}) / 2: paper, Sec. 3; `tutorials/06_multiresolution.md`.

    Examples
    --------
    >>> average_pairs(np.array([[[1.0], [3.0], [10.0], [20.0], [7.0]]])).ravel()
    array([ 2., 15.,  7.])
    """
    n_pairs = x.shape[1] // 2
    pooled = like(x, n_pairs + x.shape[1] % 2)
    np.add(x[:, 0 : 2 * n_pairs : 2], x[:, 1::2], out=pooled[:, :n_pairs])
    pooled[:, :n_pairs] *= x.dtype.type(0.5)
    pooled[:, n_pairs:] = x[:, 2 * n_pairs :]
    return pooled


def average_pairs_backward(dpooled, n_frames):
    """Each of a pair gets half of its average's gradient, a lone last frame all of it; back to `n_frames` = T.

    The transpose of `average_pairs` as a matrix: `tutorials/06_multiresolution.md`.

    Examples
    --------
    >>> average_pairs_backward(np.array([[[2.0], [15.0], [7.0]]]), 5).ravel()
    array([1. , 1. , 7.5, 7.5, 7. ])
    """
    n_pairs, dx = n_frames // 2, like(dpooled, n_frames)
    np.multiply(dpooled[:, :n_pairs], dpooled.dtype.type(0.5), out=dx[:, 0 : 2 * n_pairs : 2])
    dx[:, 1::2] = dx[:, 0 : 2 * n_pairs : 2]
    dx[:, 2 * n_pairs :] = dpooled[:, n_pairs:]
    return dx


def replicate(x, rate, n_frames):
    """Upsample in time by copying each frame `rate` times, cut to `n_frames`: (B, T', K) → (B, T, K).

    y_t = x_{⌊t / rate⌋}: paper, Fig. 2; `tutorials/06_multiresolution.md`.

    Examples
    --------
    >>> replicate(np.array([[[2.0], [15.0], [7.0]]]), 2, 5).ravel()
    array([ 2.,  2., 15., 15.,  7.])
    """
    y = like(x, n_frames)
    for copy in range(min(rate, n_frames)):
        own = y[:, copy::rate]
        own[:] = x[:, : own.shape[1]]
    return y


def replicate_backward(dy, rate):
    """A frame's gradient is the sum over its copies: (B, T, K) → (B, ⌈T / rate⌉, K)."""
    dx = like(dy, -(-dy.shape[1] // rate))
    dx[:] = dy[:, ::rate]
    for copy in range(1, rate):
        own = dy[:, copy::rate]
        dx[:, : own.shape[1]] += own
    return dx


def like(x, n_frames):
    """An uninitialised array like x, its axes in the same order in memory, of another number of frames."""
    return np.empty_like(x, shape=(x.shape[0], n_frames, x.shape[2]))
