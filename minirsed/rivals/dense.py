"""A dense layer on every frame, with or without a ReLU, forward and backward by hand.

z = x W + b,    y = max(z, 0) or z             dz = [z > 0] ⊙ dy or dy

dW = Σ_{B,T} xᵀ dz      db = Σ_{B,T} dz      dx = dz Wᵀ
"""

import numpy as np


def dense_shapes(n_inputs, n_units):
    """Shapes of the parameters."""
    return {"W": (n_inputs, n_units), "b": (n_units,)}


def init_dense(n_inputs, n_units, rng, dtype=np.float32):
    """W uniform in ±√(6 / (D + H)) (Glorot), b = 0."""
    limit = np.sqrt(6.0 / (n_inputs + n_units))
    return {"W": rng.uniform(-limit, limit, (n_inputs, n_units)).astype(dtype), "b": np.zeros(n_units, dtype)}


def dense_forward(params, x, *, rectify):
    """Run the layer.

    Parameters
    ----------
    params : dict
        `W` (D, H), `b` (H,).
    x : (B, T, D) ndarray
    rectify : bool
        Whether there is a ReLU.

    Returns
    -------
    y : (B, T, H) ndarray
    cache : tuple
    """
    y = x @ params["W"] + params["b"]
    if rectify:
        np.maximum(y, 0, out=y)
    return y, (params["W"], x, y > 0 if rectify else None)


def dense_backward(dy, cache):
    """Differentiate `dense_forward`: dx (B, T, D) and a dict of gradients."""
    W, x, passes = cache
    dz = dy if passes is None else dy * passes
    flat = dz.reshape(-1, dz.shape[2])
    return dz @ W.T, {"W": x.reshape(-1, x.shape[2]).T @ flat, "b": flat.sum(axis=0)}
