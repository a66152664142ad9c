"""Mistakes that people make in the exercises of notebook 0, each with words of the hint that it must get."""

import numpy as np


def _walk(gradient, w, rate, n_steps, sign=-1):
    for _ in range(n_steps):
        w = w + sign * rate * gradient(w)
    return w


def _gradients(w, b, x, y, mean=np.mean, sign=1):
    wrong = sign * (1 / (1 + np.exp(-(w * x + b))) - y)
    return mean(wrong * x), mean(wrong)


WRONG = {
    "00.descend": [
        (lambda g, w, rate, n: _walk(g, w, rate, n, sign=1), "That is uphill"),
        (lambda g, w, rate, n: w - n * rate * g(w), "after each step"),
        (lambda g, w, rate, n: _walk(g, w, rate, n + 1), "steps were asked for"),
        (lambda g, w, rate, n: _walk(g, w, 1.0, n), "each time"),
    ],
    "00.two_gradients": [
        (lambda *a: _gradients(*a, mean=np.sum), "mean over clips"),
        (lambda *a: _gradients(*a, sign=-1), "The sign"),
        (lambda *a: _gradients(*a)[::-1], "In the other order"),
        (lambda *a: (_gradients(*a)[0],) * 2, "b is multiplied by 1"),
        (lambda w, b, x, y: _gradients(w, 0.0, x, y), "inside of σ"),
        (lambda *a: (0.1, 0.2), "Both are a mean"),
    ],
}
