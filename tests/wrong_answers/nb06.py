"""Mistakes in the exercises of notebook 6, each with words of the hint that it must get."""

import math

import numpy as np


def _max_pairs(ds, x, factor=1.0, tie=0.0, lone=1.0):
    """The right answer, spoilt: gradients scaled, a share of ties for the second, the lone frame scaled."""
    dx, n = np.zeros_like(x), len(x) // 2
    first, second = x[0 : 2 * n : 2], x[1::2]
    dx[0 : 2 * n : 2] = np.where(first > second, ds[:n], np.where(first == second, (1 - tie) * ds[:n], 0))
    dx[1::2] = np.where(first < second, ds[:n], np.where(first == second, tie * ds[:n], 0))
    dx[2 * n :] = lone * ds[n:]
    return factor * dx


def _whole_frames(ds, x):
    """Decides by the first column for all of them."""
    dx = np.zeros_like(x)
    for t in range(0, len(x), 2):
        dx[t + x[t : t + 2, 0].argmax()] = ds[t // 2]
    return dx


def _layers(seconds, z, hop, shift=0, rounded=math.ceil):
    return rounded(1 + math.log2(seconds / (hop * math.log(0.5) / math.log(z))) - 1e-12) + shift


def _layers_by_sum(seconds, z, hop):
    """As if the half-lives of all layers came one after the other."""
    steps = seconds / (hop * math.log(0.5) / math.log(z))
    return max(1, math.ceil(math.log2(steps + 1)))


def _whole_last(ds, T):
    dx = np.repeat(ds / 2, 2, axis=0)[:T]
    dx[-1] = ds[-1]
    return dx


WRONG = {
    "06.frames_behind": [
        (lambda t, level, T: (t, t + 2**level), "blocks lie on a grid"),
        (lambda t, level, T: (t, min(t + 2**level, T)), "blocks lie on a grid"),
        (lambda t, level, T: (t >> level << level, min((t >> level << level) + 2**level, T) - 1), "*after* the last"),
        (lambda t, level, T: (t >> level << level, (t >> level << level) + 2**level), "no frames from T on"),
        (lambda t, level, T: (0, T), "which t share"),
    ],
    "06.max_pairs_backward": [
        (lambda ds, x: np.repeat(ds, 2, axis=0)[: len(x)], "had no say"),
        (lambda ds, x: _max_pairs(ds, x, factor=0.5), "not halved"),
        (lambda ds, x: _max_pairs(ds, x, lone=0.0), "lone last frame"),
        (lambda ds, x: _max_pairs(ds, x, tie=0.5), "Right without ties"),
        (_whole_frames, "for each of the K columns"),
        (lambda ds, x: _max_pairs(ds, x, factor=-1.0), "change it a little"),
    ],
    "06.layers_needed": [
        (lambda *a: _layers(*a, shift=-1), "one layer is missing"),
        (lambda *a: _layers(*a, rounded=lambda n: math.floor(n + 2e-12)), "round up, not down"),
        (_layers_by_sum, "do not add up"),
        (lambda *a: _layers(*a, rounded=float), "layers come whole"),
        (_layers, "there is always one layer"),
        (lambda *a: max(1, _layers(*a, shift=2)), "not the smallest"),
    ],
    "06.mended": [
        (lambda ds, T: np.repeat(ds / 2, 2, axis=0)[:T], "it is its own average"),
        (_whole_last, "the last frame has a partner"),
        (lambda ds, T: np.repeat(ds, 2, axis=0)[:T], "*half* of its gradient"),
        (lambda ds, T: np.repeat(-ds, 2, axis=0)[:T], "then transpose"),
    ],
    "06.frames_that_change": [
        (lambda: ((0, 21), (0, 21), (8, 12)), "Read from the front"),
        (lambda: ((9, 10), (0, 21), (8, 12)), "Read from the front"),
        (lambda: ((9, 21), (9, 21), (8, 12)), "comes from the end"),
        (lambda: ((9, 21), (0, 21), (9, 13)), "grid that begins at frame 0"),
        (lambda: ((9, 21), (0, 21), (8, 10)), "grid that begins at frame 0"),
        (lambda: ((9, 20), (0, 20), (8, 11)), "*after* the last one"),
    ],
}
