"""One layer of long short-term memory, forward and backward by hand (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

Data flow: pooling → **lstm** → dense.

Beside its state h_t a unit has a memory cell c_t, which is only ever scaled and added to. For one clip, with input x_t
(D features) and H units, h_0 = c_0 = 0:

    i_t = σ(x_t W_i + h_{t-1} U_i + b_i)           input gate: how much of the candidate is written
    f_t = σ(x_t W_f + h_{t-1} U_f + b_f)           forget gate: how much of the cell stays
    g_t = tanh(x_t W_g + h_{t-1} U_g + b_g)        candidate
    o_t = σ(x_t W_o + h_{t-1} U_o + b_o)           output gate: how much of the cell is shown
    c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    h_t = o_t ⊙ tanh(c_t)

The four matrices of each kind lie side by side, columns [i | f | g | o], the order of PyTorch and of Keras:
W (D, 4H), U (H, 4H), b (4H,). PyTorch has two biases, whose sum is b.

As in `minirsed.gru`, what needs no past is a few large matrix products, and the loop over time is a function of its
own: `lstm_recurrence_forward` and `lstm_recurrence_backward` define it, `minirsed.kernels.lstm_recurrence` is the same
mathematics compiled. Callers see (B, T, ·); inside, and in memory, time comes first.
"""

from typing import NamedTuple

import numpy as np

from minirsed.activations import sigmoid
from minirsed.gru import flatten, frames_in_order, orthogonal, time_first
from minirsed.kernels import is_compiled


class LSTMCache(NamedTuple):
    """What `lstm_backward` needs: x (T, B, D), h and c (T, B, H), gates (T, B, 4H) = [i | f | g | o]."""

    params: dict
    x: np.ndarray
    h: np.ndarray
    c: np.ndarray
    gates: np.ndarray
    reverse: bool


def lstm_shapes(n_inputs, n_units):
    """Shapes of the parameters of one layer, D features in, H units."""
    return {"W": (n_inputs, 4 * n_units), "U": (n_units, 4 * n_units), "b": (4 * n_units,)}


def init_lstm(n_inputs, n_units, rng, dtype=np.float32):
    """Draw the parameters of one layer, as Keras does.

    W uniform in ±√(6 / (D + 4H)) (Glorot), U orthogonal per gate, b_f = 1 and the others 0: a new layer remembers.

    Parameters
    ----------
    n_inputs, n_units : int
        D features in, H units.
    rng : numpy.random.Generator
    dtype : numpy.float32 or numpy.float64

    Returns
    -------
    dict
        `W` (D, 4H), `U` (H, 4H), `b` (4H,), columns [i | f | g | o].
    """
    limit = np.sqrt(6.0 / (n_inputs + 4 * n_units))
    W = rng.uniform(-limit, limit, (n_inputs, 4 * n_units))
    U = np.concatenate([orthogonal(n_units, rng) for _ in range(4)], axis=1)
    b = np.repeat([0.0, 1.0, 0.0, 0.0], n_units)
    return {"W": W.astype(dtype), "U": U.astype(dtype), "b": b.astype(dtype)}


def lstm_forward(params, x, *, reverse=False):
    """Run the layer over all frames of all clips.

    Parameters
    ----------
    params : dict
        `W` (D, 4H), `U` (H, 4H), `b` (4H,), one dtype.
    x : (B, T, D) ndarray, T ≥ 1, dtype of the parameters
    reverse : bool
        Run from the last frame to the first; h_t then summarises frames t … T−1.

    Returns
    -------
    h : (B, T, H) ndarray
    cache : LSTMCache

    Raises
    ------
    ValueError
        Shapes or dtypes disagree, or T = 0.
    """
    W, U, b = params["W"], params["U"], params["b"]
    if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != W.shape[0]:
        raise ValueError(f"x must be (B, T ≥ 1, {W.shape[0]}), got {x.shape}")
    if (W.shape, U.shape, b.shape) != tuple(lstm_shapes(W.shape[0], U.shape[0]).values()):
        raise ValueError(f"W, U, b do not fit each other: {W.shape}, {U.shape}, {b.shape}")
    if len({x.dtype, W.dtype, U.dtype, b.dtype}) != 1:
        raise ValueError(f"x, W, U, b must have one dtype, got {x.dtype}, {W.dtype}, {U.dtype}, {b.dtype}")
    x = time_first(x)
    projected = (flatten(x) @ W).reshape(*x.shape[:2], -1)  # (T, B, 4H)
    loop = compiled_forward if is_compiled() else lstm_recurrence_forward
    h, c, gates = loop(projected, U, b, reverse)
    return h.swapaxes(0, 1), LSTMCache(params, x, h, c, gates, reverse)


def lstm_backward(dh, cache):
    """Differentiate `lstm_forward`.

    With da_t = ∂L/∂(argument of σ, σ, tanh, σ) from the recurrence:

        dx_t = da_t Wᵀ      dW = Σ x_tᵀ da_t      dU = Σ h_{t-1}ᵀ da_t      db = Σ da_t        (over clips and frames)

    Parameters
    ----------
    dh : (B, T, H) ndarray
        ∂L/∂h_t, without what reaches h_t through later states.
    cache : LSTMCache

    Returns
    -------
    dx : (B, T, D) ndarray
    grads : dict
        `W`, `U`, `b`.
    """
    W, U = cache.params["W"], cache.params["U"]
    loop = compiled_backward if is_compiled() else lstm_recurrence_backward
    da = loop(time_first(dh), cache.gates, cache.c, U, cache.reverse)
    flat = flatten(da)
    # h_{t-1} beside da_t: the states but the last in the layer's order, all da but the first, before which h is 0
    h_prev, da_next = (cache.h[1:], da[:-1]) if cache.reverse else (cache.h[:-1], da[1:])
    dx = (flat @ W.T).reshape(cache.x.shape).swapaxes(0, 1)
    grads = {"W": flatten(cache.x).T @ flat, "U": flatten(h_prev).T @ flatten(da_next)}
    return dx, {**grads, "b": np.ones(len(flat), da.dtype) @ flat}


def lstm_recurrence_forward(projected, U, b, reverse):
    """Loop over time, as defined in the module docstring: the NumPy twin of the compiled kernel.

    Parameters
    ----------
    projected : (T, B, 4H) ndarray
        x_t W for all frames; the kernel reuses its memory for `gates`.
    U : (H, 4H) ndarray
    b : (4H,) ndarray
    reverse : bool

    Returns
    -------
    h, c : (T, B, H) ndarray
    gates : (T, B, 4H) ndarray
        [i | f | g | o], for the backward pass.
    """
    n_frames, n_clips, n_units = *projected.shape[:2], U.shape[0]
    h = np.empty((n_frames, n_clips, n_units), projected.dtype)
    c, gates = np.empty_like(h), np.empty_like(projected)
    h_prev = c_prev = np.zeros_like(h[0])
    for t in frames_in_order(n_frames, reverse):
        a_i, a_f, a_g, a_o = np.split(projected[t] + b + h_prev @ U, 4, axis=1)
        i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
        c[t] = f * c_prev + i * g
        h[t] = o * np.tanh(c[t])
        gates[t] = np.concatenate([i, f, g, o], axis=1)
        h_prev, c_prev = h[t], c[t]
    return h, c, gates


def lstm_recurrence_backward(dh_out, gates, c, U, reverse):
    """Back-propagate through time: the NumPy twin of the compiled kernel.

    Frames are visited in the opposite order. The next frame hands back two gradients: of h through U, of c through f.

        h = o tanh(c):       do = dh tanh(c)        dc += dh o (1 − tanh² c)
        c = f c' + i g:      df = dc c'     di = dc g     dg = dc i     dc' = dc f
        i, f, o = σ(a):      da = d· (1 − ·) ·      g = tanh(a_g):  da_g = dg (1 − g²)
        a = … + h' U:        dh' = da Uᵀ

    Parameters
    ----------
    dh_out : (T, B, H) ndarray
    gates, c : as returned by `lstm_recurrence_forward`
    U : (H, 4H) ndarray
    reverse : bool
        As in the forward pass.

    Returns
    -------
    (T, B, 4H) ndarray
        Gradient of the arguments of σ, σ, tanh, σ, which is also that of `projected`.
    """
    n_frames = len(c)
    da, order = np.empty_like(gates), list(frames_in_order(n_frames, reverse))
    dh_next = dc_next = np.zeros_like(c[0])
    for step in range(n_frames - 1, -1, -1):
        t = order[step]
        c_prev = c[order[step - 1]] if step else np.zeros_like(c[0])
        i, f, g, o = np.split(gates[t], 4, axis=1)
        shown = np.tanh(c[t])
        dh = dh_out[t] + dh_next
        dc = dc_next + dh * o * (1 - shown * shown)
        da_i, da_f = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
        da_g, da_o = dc * i * (1 - g * g), dh * shown * o * (1 - o)
        da[t] = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
        dh_next, dc_next = da[t] @ U.T, dc * f
    return da


def compiled_forward(projected, U, b, reverse):
    """`lstm_recurrence_forward` by the compiled loop."""
    from minirsed.kernels import lstm_recurrence, recurrence

    gates = np.ascontiguousarray(projected)
    h = np.empty((*gates.shape[:2], U.shape[0]), gates.dtype)
    c = np.empty_like(h)
    lstm_recurrence.forward(gates, np.ascontiguousarray(b), recurrence.pack(U), reverse, h, c)
    return h, c, gates  # the gates have taken the place of the projections


def compiled_backward(dh_out, gates, c, U, reverse):
    """`lstm_recurrence_backward` by the compiled loop."""
    from minirsed.kernels import lstm_recurrence, recurrence

    da = np.empty_like(gates)
    lstm_recurrence.backward(np.ascontiguousarray(dh_out), gates, c, recurrence.pack(U.T), reverse, da)
    return da
