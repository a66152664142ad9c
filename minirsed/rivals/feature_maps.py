"""Convolution, batch normalisation, ReLU and maximum over bands: the step that both systems repeat.

Data flow: features, or maps of the step below → **feature_maps** → dropout → recurrent layers.

    z = W * x      n = γ (z − μ) / √(σ² + ε) + β      a = max(n, 0)      y_{t,g,m} = max_{s < S} a_{t, gS+s, m}
"""

import numpy as np

from minirsed.kernels import is_compiled
from minirsed.rivals.batch_norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_shapes,
    drift,
    init_batch_norm,
)
from minirsed.rivals.convolution import convolution_backward, convolution_forward
from minirsed.rivals.fused_maps import FusedCache, fused_backward, fused_forward
from minirsed.rivals.pooling import max_pool_backward, max_pool_forward


def feature_maps_shapes(kernel, n_inputs, n_maps):
    """Shapes of the parameters, for a kernel of (I frames, J bands), C maps below and M above."""
    return {"W": (*kernel, n_inputs, n_maps), **batch_norm_shapes(n_maps)}


def init_feature_maps(kernel, n_inputs, n_maps, rng, dtype=np.float32):
    """W uniform in ±√(6 / (I·J·(C + M))) (Glorot); those of `init_batch_norm`."""
    limit = np.sqrt(6.0 / (kernel[0] * kernel[1] * (n_inputs + n_maps)))
    W = rng.uniform(-limit, limit, (*kernel, n_inputs, n_maps))
    return {"W": W.astype(dtype), **init_batch_norm(n_maps, dtype)}


def feature_maps_forward(params, x, pad, size, *, own):
    """Maps of a batch.

    Parameters
    ----------
    params : dict
        `W` (I, J, C, M); `gamma`, `beta`, `running_mean`, `running_var`, (M,) each.
    x : (B, T, F, C) ndarray
    pad : int
        Bands of zeros on either side of x.
    size : int
        S, bands of which the largest stays.
    own : bool
        Whether the maps are normalised by their own statistics, as in training, or by the running ones.

    Returns
    -------
    y : (B, T, (F + 2 pad − J + 1) // S, M) ndarray
    cache : tuple
    """
    return (fused_forward if is_compiled() else plain_forward)(params, x, pad, size, own=own)


def feature_maps_backward(dy, cache, *, with_dx=True):
    """Differentiate `feature_maps_forward`: dx, None without `with_dx`, and a dict of gradients.

    If the maps were normalised by their own statistics it also holds r − s for the running ones, see
    `minirsed.rivals.batch_norm`.
    """
    return (fused_backward if isinstance(cache, FusedCache) else plain_backward)(dy, cache, with_dx=with_dx)


def plain_forward(params, x, pad, size, *, own):
    """One step after the other: the definition of `minirsed.rivals.fused_maps`."""
    z, convolved = convolution_forward(params["W"], x, pad)
    n, normalised = batch_norm_forward(params, z, own=own)
    y, pooled = max_pool_forward(np.maximum(n, 0), size)
    return y, (params, convolved, normalised, n > 0, pooled)


def plain_backward(dy, cache, *, with_dx=True):
    """Differentiate `plain_forward`, last step first."""
    params, convolved, normalised, passes, pooled = cache
    dz, grads = batch_norm_backward(max_pool_backward(dy, pooled) * passes, normalised)
    dx, dW = convolution_backward(dz, convolved, with_dx=with_dx)
    return dx, {"W": dW, **grads, **drift(params, normalised.statistics)}
