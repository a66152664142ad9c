"""Solutions of the exercises in 09_fast_kernels.md."""

import numpy as np


def pack(U, width):
    """Fill up to whole panels, take lines apart into pieces, bring the piece's number to the front."""
    K, N = U.shape
    n_panels = -(-N // width)
    padded = np.zeros((K, n_panels * width), U.dtype)
    padded[:, :N] = U
    return np.ascontiguousarray(padded.reshape(K, n_panels, width).swapaxes(0, 1))


def tanh_by_exp(x):
    """With s = e^(−2|x|) ≤ 1: tanh |x| = (1 − s) / (1 + s), and tanh is odd."""
    small = np.exp(-2 * np.abs(x))
    return np.copysign((1 - small) / (1 + small), x)


def tile_intensity(rows, lines):
    """Two operations for each of rows · lines; `lines` loads of U, `rows` loads and `rows` stores of sums.

    2 · rows · lines / (4 · lines + 8 · rows) grows with both. The registers set the end: rows · lines + rows + lines
    of them are in use, so with 32 the best is 3 × 7 (31 in use): 42 / 52 = 0.81, against 40 / 56 = 0.71 for 5 × 4. With
    16 it is 2 × 4 (14 in use): 16 / 32 = 0.50; 3 × 3 (15 in use) has 18 / 36, the same.
    """
    return 2 * rows * lines / (4 * lines + 4 * rows + 4 * rows)


def mended(a, U):
    """A slice may be shorter than four lines, so the loop can go on to the end."""
    out = np.zeros((len(a), U.shape[1]), U.dtype)
    for k in range(0, len(U), 4):
        out += a[:, k : k + 4] @ U[k : k + 4]
    return out


def three_sums():
    """Near 10⁸ float32 is a grid of 8: 10⁸ + 1 is rounded back to 10⁸, each time."""
    return 1e8, 1e8 + 1000, 1e8 + 1000
