"""One layer of gated recurrent units, forward and backward by hand (paper, Sec. 4.1; Cho et al. 2014).

Data flow: features → **gru** → multires → attention.

For one clip, with input x_t (D features) and state h_t (H units), h_0 = 0 unless given:

    z_t = σ(x_t W_z + h_{t-1} U_z + b_z)               update gate: how much of the old state stays
    r_t = σ(x_t W_r + h_{t-1} U_r + b_r)               reset gate: how much of it the candidate may see
    c_t = tanh(x_t W_c + (r_t ⊙ h_{t-1}) U_c + b_c)    candidate state
    h_t = z_t ⊙ h_{t-1} + (1 − z_t) ⊙ c_t

This is the cell of TensorFlow's GRUCell of 2017–18, most likely the paper's: the reset gate acts *before* the
recurrent product (ONNX calls it linear_before_reset = 0). PyTorch's `nn.GRU` computes r_t ⊙ (h_{t-1} U_c + b')
instead, with one more bias, so its weights do not fit here.

The three matrices of each kind lie side by side, columns [z | r | c]: W (D, 3H), U (H, 3H), b (3H,).

The layer is split where its nature changes. What needs no past — x W + b for all frames, and the gradients of
W, U, b and x — is a few large matrix products. The rest is the *recurrence*, a loop over time that no matrix
product can replace; `recurrence_forward` and `recurrence_backward` below define it in NumPy, and
`minirsed.kernels.recurrence` holds the same mathematics as compiled loops.

Callers see clips first, (B, T, ·). Inside, and in memory, time comes first, (T, B, ·): a step of the loop then works
on one stretch of memory, and the states before all frames are a slice of the states, not a copy.
"""

from typing import NamedTuple

import numpy as np

from minirsed.activations import sigmoid
from minirsed.kernels import is_compiled


class GRUCache(NamedTuple):
    """What `gru_backward` needs: x (T, B, D), h0 (B, H), h (T, B, H), gates (T, B, 3H) = [z | r | c]."""

    params: dict
    x: np.ndarray
    h0: np.ndarray
    h: np.ndarray
    gates: np.ndarray
    reverse: bool


def gru_shapes(n_inputs, n_units):
    """Shapes of the parameters of one direction of one layer, D features in, H units."""
    return {"W": (n_inputs, 3 * n_units), "U": (n_units, 3 * n_units), "b": (3 * n_units,)}


def init_gru(n_inputs, n_units, rng, dtype=np.float32):
    """Draw the parameters of one direction of one layer.

    W uniform in ±√(6 / (D + H)) (Glorot), U orthogonal per gate, b_z = b_r = 1 and b_c = 0 as in TensorFlow's
    GRUCell: with z near 0.73 a new layer remembers before it has learnt what to remember.

    Parameters
    ----------
    n_inputs, n_units : int
        D features in, H units.
    rng : numpy.random.Generator
    dtype : numpy.float32 or numpy.float64

    Returns
    -------
    dict
        `W` (D, 3H), `U` (H, 3H), `b` (3H,), columns [z | r | c].
    """
    limit = np.sqrt(6.0 / (n_inputs + n_units))
    W = rng.uniform(-limit, limit, gru_shapes(n_inputs, n_units)["W"])
    U = np.concatenate([orthogonal(n_units, rng) for _ in range(3)], axis=1)
    b = np.concatenate([np.ones(2 * n_units), np.zeros(n_units)])
    return {"W": W.astype(dtype), "U": U.astype(dtype), "b": b.astype(dtype)}


def orthogonal(n, rng):
    """Uniformly random orthogonal (n, n) matrix: QR of a Gaussian one, signs fixed (Mezzadri 2007)."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


def gru_forward(params, x, h0=None, *, reverse=False):
    """Run the layer over all frames of all clips.

    Parameters
    ----------
    params : dict
        `W` (D, 3H), `U` (H, 3H), `b` (3H,), one dtype.
    x : (B, T, D) ndarray, T ≥ 1, dtype of the parameters
    h0 : (B, H) ndarray, optional
        State before the first frame (after the last one if `reverse`); zeros by default.
    reverse : bool
        Run from the last frame to the first; h_t then summarises frames t … T−1.

    Returns
    -------
    h : (B, T, H) ndarray, dtype of `x`
    cache : GRUCache

    Raises
    ------
    ValueError
        Shapes or dtypes disagree, or T = 0.

    Notes
    -----
    Cho et al. 2014, the reset *before* the product with U_c:

        z_t = σ(x_t W_z + h_{t-1} U_z + b_z)        c_t = tanh(x_t W_c + (r_t ⊙ h_{t-1}) U_c + b_c)
        r_t = σ(x_t W_r + h_{t-1} U_r + b_r)        h_t = z_t ⊙ h_{t-1} + (1 − z_t) ⊙ c_t

    Each line is built by hand in `tutorials/03_gru_forward.md`.

    Examples
    --------
    >>> params = init_gru(64, 32, np.random.default_rng(0))
    >>> x = np.random.default_rng(1).standard_normal((2, 100, 64)).astype(np.float32)
    >>> h, cache = gru_forward(params, x)
    >>> h.shape
    (2, 100, 32)
    >>> later, _ = gru_forward(params, x[:, 60:], h[:, 59])  # with its state handed over, a layer can pause
    >>> bool(np.allclose(h[:, 60:], later, atol=1e-5))
    True
    """
    W, U, b = params["W"], params["U"], params["b"]
    _require_shapes(x, W, U, b, h0)
    x = time_first(x)
    if h0 is None:
        h0 = np.zeros((x.shape[1], U.shape[0]), x.dtype)
    projected = (x.reshape(-1, x.shape[2]) @ W).reshape(*x.shape[:2], -1)  # (T, B, 3H)
    loop = compiled_forward if is_compiled() else recurrence_forward
    h, gates = loop(projected, U, b, h0, reverse)
    return h.swapaxes(0, 1), GRUCache(params, x, h0, h, gates, reverse)


def time_first(x):
    """(B, T, ·) → contiguous (T, B, ·); no copy where memory has that order already."""
    return np.ascontiguousarray(x.swapaxes(0, 1))


def gru_backward(dh, cache, *, with_dx=True):
    """Differentiate `gru_forward`.

    With da_t = ∂L/∂(argument of σ, σ, tanh) from the recurrence, everything else follows from x_t W + … + b:

        dx_t = da_t Wᵀ      dW = Σ x_tᵀ da_t      db = Σ da_t
        dU_zr = Σ h_{t-1}ᵀ da_zr,t        dU_c = Σ (r_t ⊙ h_{t-1})ᵀ da_c,t          (sums over clips and frames)

    Parameters
    ----------
    dh : (B, T, H) ndarray
        ∂L/∂h_t, without what reaches h_t through later states.
    cache : GRUCache
    with_dx : bool
        Whether dx is wanted: nothing lies below the first layer of a model.

    Returns
    -------
    dx : (B, T, D) ndarray, None without `with_dx`
    dh0 : (B, H) ndarray
    grads : dict
        `W`, `U`, `b`, shaped like the parameters.

    Notes
    -----
    The loop over time, last frame first, is `recurrence_backward`. Every line is derived, and checked by finite
    differences, in `tutorials/04_backpropagation_through_time.md`.

    Examples
    --------
    >>> from minirsed.gradcheck import gradcheck
    >>> rng = np.random.default_rng(0)
    >>> params, x, dh = init_gru(5, 3, rng, np.float64), rng.standard_normal((2, 7, 5)), rng.standard_normal((2, 7, 3))
    >>> dx, dh0, grads = gru_backward(dh, gru_forward(params, x)[1])
    >>> def loss(a):
    ...     return np.vdot(dh, gru_forward(a, a["x"])[0])
    >>> bool(gradcheck(loss, {"x": dx, **grads}, {"x": x, **params}, rng) < 1e-6)
    True
    """
    W, U = cache.params["W"], cache.params["U"]
    n_units, h0 = U.shape[0], cache.h0
    loop = compiled_backward if is_compiled() else recurrence_backward
    da, reset, dh0 = loop(time_first(dh), cache.gates, cache.h, U, h0, cache.reverse)
    flat_da, flat_x = flatten(da), flatten(cache.x)  # (T B, 3H), (T B, D)
    dx = (flat_da @ W.T).reshape(cache.x.shape).swapaxes(0, 1) if with_dx else None
    # h_{t-1} beside da_t: the states but the last in the layer's order, all da but the first, then h0 beside the first
    h_prev, da_next, da_first = (cache.h[1:], da[:-1], da[-1]) if cache.reverse else (cache.h[:-1], da[1:], da[0])
    dU = np.empty_like(U)
    dU[:, : 2 * n_units] = flatten(h_prev).T @ flatten(da_next)[:, : 2 * n_units]
    dU[:, : 2 * n_units] += h0.T @ da_first[:, : 2 * n_units]
    dU[:, 2 * n_units :] = flatten(reset).T @ flat_da[:, 2 * n_units :]
    db = np.ones(len(flat_da), da.dtype) @ flat_da
    return dx, dh0, {"W": flat_x.T @ flat_da, "U": dU, "b": db}


def flatten(x):
    """(T, B, ·) → (T B, ·), a view of a contiguous array."""
    return x.reshape(-1, x.shape[2])


def recurrence_forward(projected, U, b, h0, reverse):
    """Loop over time, as defined in the module docstring: the NumPy twin of the compiled kernel.

    Parameters
    ----------
    projected : (T, B, 3H) ndarray
        x_t W for all frames; the kernel reuses its memory for `gates`.
    U : (H, 3H) ndarray
    b : (3H,) ndarray
    h0 : (B, H) ndarray
    reverse : bool

    Returns
    -------
    h : (T, B, H) ndarray
    gates : (T, B, 3H) ndarray
        [z | r | c], for the backward pass.
    """
    n_frames, n_clips, n_units = *projected.shape[:2], U.shape[0]
    U_zr, U_c = U[:, : 2 * n_units], U[:, 2 * n_units :]
    h = np.empty((n_frames, n_clips, n_units), projected.dtype)
    gates = np.empty_like(projected)
    h_prev = h0
    for t in frames_in_order(n_frames, reverse):
        a = projected[t] + b  # (B, 3H)
        zr = sigmoid(a[:, : 2 * n_units] + h_prev @ U_zr)
        z, r = zr[:, :n_units], zr[:, n_units:]
        c = np.tanh(a[:, 2 * n_units :] + (r * h_prev) @ U_c)
        h[t] = z * h_prev + (1 - z) * c
        gates[t, :, : 2 * n_units], gates[t, :, 2 * n_units :] = zr, c
        h_prev = h[t]
    return h, gates


def recurrence_backward(dh_out, gates, h, U, h0, reverse):
    """Back-propagate through time: the NumPy twin of the compiled kernel.

    Frames are visited in the opposite order. `dh` is the gradient of h_t: what arrives from outside at frame t
    plus what the next state handed back. Differentiating the four equations from the last to the first:

        h = z h' + (1−z) c:     dz = dh (h' − c)      dc = dh (1 − z)      dh' = dh z
        c = tanh(a_c):          da_c = dc (1 − c²)    d(r h') = da_c U_cᵀ
        r ⊙ h':                 dr = d(r h') h'       dh' += d(r h') r
        z, r = σ(a_z), σ(a_r):  da_z = dz z (1 − z)   da_r = dr r (1 − r)  dh' += [da_z da_r] U_zrᵀ

    Parameters
    ----------
    dh_out : (T, B, H) ndarray
    gates, h : as returned by `recurrence_forward`
    U : (H, 3H) ndarray
    h0 : (B, H) ndarray
    reverse : bool
        As in the forward pass.

    Returns
    -------
    da : (T, B, 3H) ndarray
        Gradient of the arguments of σ, σ, tanh, which is also that of `projected`.
    reset : (T, B, H) ndarray
        r_t ⊙ h_{t-1}, which the gradient of U_c needs.
    dh0 : (B, H) ndarray
    """
    n_frames, n_units = h.shape[0], h.shape[2]
    U_zr, U_c = U[:, : 2 * n_units], U[:, 2 * n_units :]
    da, reset = np.empty_like(gates), np.empty_like(h)
    dh_next = np.zeros_like(h0)  # what the following state handed back
    order = list(frames_in_order(n_frames, reverse))
    for step in range(n_frames - 1, -1, -1):
        t = order[step]
        h_prev = h[order[step - 1]] if step else h0
        z, r, c = np.split(gates[t], 3, axis=1)
        dh = dh_out[t] + dh_next
        da_c = dh * (1 - z) * (1 - c * c)
        dreset = da_c @ U_c.T  # of r ⊙ h'
        da_z = dh * (h_prev - c) * z * (1 - z)
        da_r = dreset * h_prev * r * (1 - r)
        da[t] = np.concatenate([da_z, da_r, da_c], axis=1)
        reset[t] = r * h_prev
        dh_next = dh * z + dreset * r + da[t, :, : 2 * n_units] @ U_zr.T
    return da, reset, dh_next


def compiled_forward(projected, U, b, h0, reverse):
    """`recurrence_forward` by the compiled loop; the first call imports Numba (0.3 s), the first ever compiles."""
    from minirsed.kernels import recurrence

    n_units, gates = U.shape[0], np.ascontiguousarray(projected)
    h = np.empty((*gates.shape[:2], n_units), gates.dtype)
    panels = recurrence.pack(U[:, : 2 * n_units]), recurrence.pack(U[:, 2 * n_units :])
    recurrence.forward(gates, np.ascontiguousarray(b), *panels, np.ascontiguousarray(h0), reverse, h)
    return h, gates  # the gates have taken the place of the projections


def compiled_backward(dh_out, gates, h, U, h0, reverse):
    """`recurrence_backward` by the compiled loop."""
    from minirsed.kernels import recurrence

    n_units = U.shape[0]
    da, reset, dh0 = np.empty_like(gates), np.empty_like(h), np.empty_like(h[0])
    panels = recurrence.pack(U[:, : 2 * n_units].T), recurrence.pack(U[:, 2 * n_units :].T)
    dh_out, h0 = np.ascontiguousarray(dh_out), np.ascontiguousarray(h0)
    recurrence.backward(dh_out, gates, h, *panels, h0, reverse, da, reset, dh0)
    return da, reset, dh0


def frames_in_order(n_frames, reverse):
    """Frame numbers in the order in which the layer visits them."""
    return range(n_frames - 1, -1, -1) if reverse else range(n_frames)


def _require_shapes(x, W, U, b, h0):
    n_units = U.shape[0]
    if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != W.shape[0]:
        raise ValueError(f"x must be (B, T ≥ 1, {W.shape[0]}), got {x.shape}")
    expected = tuple(gru_shapes(W.shape[0], n_units).values())
    if (W.shape, U.shape, b.shape) != expected:
        raise ValueError(f"W, U, b must be {expected}, got {(W.shape, U.shape, b.shape)}")
    if h0 is not None and h0.shape != (x.shape[0], n_units):
        raise ValueError(f"h0 must be {(x.shape[0], n_units)}, got {h0.shape}")
    if len({x.dtype, W.dtype, U.dtype, b.dtype}) != 1:
        raise ValueError(f"x, W, U, b must have one dtype, got {x.dtype}, {W.dtype}, {U.dtype}, {b.dtype}")
