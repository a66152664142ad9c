"""Maximum over neighbouring bands, or over all of them, forward and backward by hand.

Data flow: convolution → batch_norm → ReLU → **pooling** → recurrent layers.

Of every S neighbouring bands the largest stays; the rest of a division by S is left out:

    y_{t,g,m} = max_{s < S} x_{t, gS+s, m}             s*_{t,g,m}, the first s at which it is reached

A small change of the others changes nothing, so all of the gradient goes to the largest:

    dx_{t, gS+s, m} = dy_{t,g,m} if s = s*_{t,g,m}, else 0

With S = F (all positions of a kernel) a frame says whether something is there, and no longer where.
"""

import numpy as np


def max_pool_forward(x, size):
    """Pool bands.

    Parameters
    ----------
    x : (B, T, F, M) ndarray
    size : int
        S, 1 ≤ S ≤ F.

    Returns
    -------
    y : (B, T, F // S, M) ndarray
    cache : tuple

    Raises
    ------
    ValueError
        S is not within 1 … F.
    """
    if not 1 <= size <= x.shape[2]:
        raise ValueError(f"size must be 1 to {x.shape[2]}, the number of bands, got {size}")
    groups = split_bands(x, size)
    where = groups.argmax(axis=3)[:, :, :, None]  # (B, T, F // S, 1, M)
    return np.take_along_axis(groups, where, axis=3)[:, :, :, 0], (x.shape, size, where)


def max_pool_backward(dy, cache):
    """Differentiate `max_pool_forward`: from (B, T, F // S, M) to (B, T, F, M)."""
    shape, size, where = cache
    dx = np.zeros(shape, dy.dtype)
    np.put_along_axis(split_bands(dx, size), where, dy[:, :, :, None], axis=3)
    return dx


def split_bands(x, size):
    """(B, T, F, M) → (B, T, F // S, S, M), a view without the bands that are left over."""
    n_groups = x.shape[2] // size
    return x[:, :, : n_groups * size].reshape(*x.shape[:2], n_groups, size, x.shape[3])
