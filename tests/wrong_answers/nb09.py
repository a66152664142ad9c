"""Mistakes in the exercises of notebook 9, each with words of the hint that it must get."""

import numpy as np


def _pack(U, width, dtype=None, fill=0.0, order=lambda padded, n, width: padded.reshape(-1, n, width).swapaxes(0, 1)):
    n = -(-U.shape[1] // width)
    padded = np.full((len(U), n * width), fill, dtype or U.dtype)
    padded[:, : U.shape[1]] = U
    return order(padded, n, width)


def _tanh(x, dtype=np.float32):
    s = np.exp(-2 * np.abs(x))
    return (np.sign(x) * (1 - s) / (1 + s)).astype(dtype)


def _tiles(ends, rest=0):
    def answer(a, U):
        out = np.zeros((len(a), U.shape[1]), U.dtype)
        for k in range(0, ends(len(U)), 4):
            out += a[:, k : k + 4] @ U[k : k + 4]
        for k in range(len(U) // 4 * 4, len(U))[:rest]:
            out += a[:, k : k + 1] @ U[k : k + 1]
        return out

    return answer


WRONG = {
    "09.pack": [
        (lambda U, w: _pack(U, w, order=lambda p, n, width: p.reshape(n, -1, width)), "cuts through the lines"),
        (lambda U, w: _pack(U, w, fill=1.0), "but the last panel"),
        (lambda U, w: _pack(U, w)[::-1], "panel 0 should begin"),
        (lambda U, w: _pack(U, w, dtype=np.float64), "keep the dtype"),
    ],
    "09.tanh": [
        (lambda x: 2 / (1 + np.exp(-2 * x)) - 1, "overflow"),
        (lambda x: 2 / (1 + np.exp(-x)) - 1, "Which σ(2x)"),
        (lambda x: np.where(np.abs(x) < 2, np.tanh(x), np.float32(1)), "Mind the sign"),
        (lambda x: _tanh(x, np.float64), "widened"),
    ],
    "09.tile_intensity": [
        (lambda r, n: r * n / (4 * n + 8 * r), "two operations"),
        (lambda r, n: (4 * n + 8 * r) / (2 * r * n), "bytes per operation"),
        (lambda r, n: 2 * r * n / (4 * n + 4 * r), "loaded *and* stored"),
        (lambda r, n: 2 * r * n / (8 * n + 4 * r), "for each *row*"),
        (lambda r, n: 2 * r * n / (n + 2 * r), "4 bytes"),
        (lambda r, n: r + n, "compare with the table"),
    ],
    "09.mended": [
        (_tiles(lambda K: K - 3), "are left out"),
        (_tiles(lambda K: K - 3, rest=1), "one line more than before"),
        (_tiles(lambda K: K - 1), "are left out"),
        (_tiles(lambda K: K, rest=3), "only once"),
        (_tiles(lambda K: K - 4), "Wrong for K = 256"),
    ],
    "09.three_sums": [
        (lambda: (1e8 + 1000, 1e8 + 1000, 1e8 + 1000), "To which of them"),
        (lambda: (1e8, 1e8, 1e8 + 1000), "Large last"),
        (lambda: (1e8, 1e8 + 1000, 1e8), "In float64"),
    ],
}
