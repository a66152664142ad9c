"""Mistakes in the exercises of notebook 5, each with words of the hint that it must get."""

import numpy as np


def _softmax(x):
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def _sigmoid_influence(x):
    p = 1 / (1 + np.exp(-x))
    a = p / p.sum()
    return a * (1 + (1 - p) * (x - a @ x))


def _overflowing_influence(x):
    with np.errstate(all="ignore"):
        a = np.exp(x) / np.exp(x).sum()
        return a * (1 + x - a @ x)


def _two_vectors(dclip, value, weight, w, h, slope=True, centred=True):
    """With `value` and `weight` for the vectors that should both occur."""
    p = 1 / (1 + np.exp(-(h @ w)))
    a = p / p.sum()
    e_t = h @ weight
    return dclip * (np.outer(a, value) + np.outer(a * (1 - p) ** slope * (e_t - centred * (a @ e_t)), w))


def _star(factor, frame=1.0):
    def answer(dframe, dclip, e_t):
        p = 1 / (1 + np.exp(-e_t))
        a = p / p.sum()
        return frame * dframe + dclip * a * factor(p, e_t - a @ e_t)

    return answer


def _logits_along(w, v, h):
    return min(w @ h, v @ h)


def _bisector(w, v):
    return _logits_along(w, v, (w + v) / np.linalg.norm(w + v))


def _foot(w, v, low=-np.inf, high=np.inf):
    along = np.clip(v @ (v - w) / ((v - w) @ (v - w)), low, high)
    return np.linalg.norm(v + along * (w - v))


WRONG = {
    "05.log_sigmoid": [
        (lambda x: np.log1p(np.exp(-x)), "Mind the signs"),
        (lambda x: -np.log1p(np.exp(-x)), "returns NaN or Inf"),
        (lambda x: np.minimum(x, 0), "not even at small x"),
        (lambda x: np.minimum(x, 0) - np.log(1 + np.exp(-np.abs(x))), "digits are lost"),
    ],
    "05.softmax_influence": [
        (lambda x: _softmax(x), "also moves the weights"),
        (lambda x: _softmax(x) * (x - _softmax(x) @ x), "one of the numbers that are averaged"),
        (_sigmoid_influence, "must add up to 1"),
        (lambda x: np.full(len(x), 1 / len(x)), "shared out"),
        (_overflowing_influence, "returns NaN or Inf"),
    ],
    "05.two_vectors": [
        (lambda d, w, v, h: _two_vectors(d, w, w, w, h), "where does v come in"),
        (lambda d, w, v, h: _two_vectors(d, v, w, w, h), "which of its w should be a v"),
        (lambda d, w, v, h: _two_vectors(1.0, v, v, w, h), "dclip is missing"),
        (lambda d, w, v, h: _two_vectors(d, v, 0 * v, w, h), "depends on h_t as well"),
        (lambda d, w, v, h: 2 * _two_vectors(d, v, v, w, h), "Two ways lead"),
        (lambda d, w, v, h: _two_vectors(d, v, v, w, h, slope=False), "derivative of σ is missing"),
        (lambda d, w, v, h: _two_vectors(d, v, v, w, h, centred=False), "counts against e"),
    ],
    "05.mended": [
        (_star(lambda p, above: 1 + p * above), "is p_t the factor"),
        (_star(lambda p, above: 1 + above), "it is a softmax"),
        (_star(lambda p, above: 1 + p * (1 - p) * above), "in a_t already"),
        (_star(lambda p, above: 1 - (1 - p) * above), "The sign"),
        (_star(lambda p, above: 1.0), "through its weight as well"),
        (_star(lambda p, above: (1 - p) * above), "through its value as well"),
        (_star(lambda p, above: 1 + (1 - p) * above, frame=0.0), "What the frame loss sends is missing"),
        (_star(lambda p, above: 2 + (1 - p) * above), "factor by factor"),
    ],
    "05.three_clips": [
        (lambda: (0.007, 0.0003, 0.02), "with a plain mean"),
        (lambda: (0.007, 0.9997, 0.9997), "with the maximum"),
        (lambda: (0.5, 0.96, 0.03), "A mean of equal numbers"),
        (lambda: (-5, 3.1, -3.5), "not logits"),
        (lambda: (0.007, 0.5, 0.5), "Compare the weight"),
    ],
    "05.both_at_once": [
        (lambda w, v: min(np.linalg.norm(w), np.linalg.norm(v)), "not both at once"),
        (lambda w, v: _logits_along(w, v, w + v), "longer than 1"),
        (lambda w, v: _logits_along(w, v, (w + v) / 2), "shorter than 1"),
        (lambda w, v: np.sqrt(2.0), "half-way between them"),
        (lambda w, v: _bisector(w / np.linalg.norm(w), v / np.linalg.norm(v)), "lengths count"),
        (_bisector, "only equal if"),
        (lambda w, v: np.linalg.norm(w + v) / 2, "right angle to w − v"),
        (_foot, "never the smaller one"),
        (lambda w, v: _foot(w, v, low=0), "never the smaller one"),
        (lambda w, v: _foot(w, v, high=1), "never the smaller one"),
    ],
}
