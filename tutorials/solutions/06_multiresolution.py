"""Solutions of the exercises in 06_multiresolution.md."""

import math

import numpy as np


def frames_behind(t, level, T):
    """All t with the same ⌊t / 2^level⌋, as far as the clip goes."""
    size = 2**level
    first = t // size * size
    return first, min(first + size, T)


def max_pairs_backward(ds, x):
    """The larger of each pair gets the whole gradient, so one path through time is kept at full strength."""
    dx = np.zeros_like(x)
    n_pairs = len(x) // 2
    first, second = x[0 : 2 * n_pairs : 2], x[1::2]
    dx[0 : 2 * n_pairs : 2] = np.where(first >= second, ds[:n_pairs], 0)
    dx[1::2] = np.where(first < second, ds[:n_pairs], 0)
    dx[2 * n_pairs :] = ds[n_pairs:]
    return dx


def layers_needed(seconds, z, hop):
    """Solve hop · 2^(L−1) · ln ½ / ln z ≥ seconds for L."""
    steps = math.log(0.5) / math.log(z)
    return max(1, math.ceil(1 + math.log2(seconds / (hop * steps)) - 1e-12))


def mended(ds, T):
    """Half for each of a pair, all for a lone last frame."""
    dx = np.repeat(ds / 2, 2, axis=0)[:T]
    if T % 2:
        dx[-1] = ds[-1]
    return dx


def frames_that_change():
    """From 9 on; all; the block 8 … 11."""
    return (9, 21), (0, 21), (8, 12)
