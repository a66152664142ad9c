"""Dropout, forward and backward by hand (Srivastava et al. 2014).

In training each number is set to 0 with probability q, and those that stay are made larger, so that the mean is what it
is without:

    y = k ⊙ x,    k = Bernoulli(1 − q) / (1 − q)           dx = k ⊙ dy

When detecting, y = x. Every clip draws from a generator of its own, seeded from that of the batch: what a clip draws
does not depend on the clips beside it.
"""

import numpy as np


def dropout_forward(x, share, rng=None):
    """Drop numbers of (B, …).

    Parameters
    ----------
    x : (B, …) ndarray
    share : float
        q, 0 ≤ q < 1.
    rng : numpy.random.Generator, optional
        Gives each clip its seed; default: nothing is dropped, and the cache is None.

    Returns
    -------
    y : ndarray like `x`
    kept : (B, …) bool ndarray and float, or None
        Where k is not 0, and what it is there.
    """
    if rng is None:
        return x, None
    seeds = rng.integers(2**63, size=len(x))
    kept = np.stack([np.random.default_rng(seed).random(x.shape[1:], np.float32) >= share for seed in seeds])
    scale = 1 / (1 - share)
    return np.multiply(x, kept, out=np.empty_like(x)) * x.dtype.type(scale), (kept, scale)


def dropout_backward(dy, cache):
    """Differentiate `dropout_forward`: dx = k ⊙ dy, (B, …)."""
    if cache is None:
        return dy
    kept, scale = cache
    return dy * kept * dy.dtype.type(scale)
