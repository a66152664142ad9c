"""Mistakes that people make in the exercises of notebook 11, each with words of the hint that it must get."""

import numpy as np


def _scatter(weights_of=lambda W, j: W[j], place_of=lambda where, j: where + j, add=True):
    def answer(dy, where, W, n_bands):
        dx = np.zeros((len(dy), n_bands))
        at = np.arange(len(dy))[:, None]
        for j in range(len(W)):
            if add:
                np.add.at(dx, (at, place_of(where, j)), dy * weights_of(W, j))
            else:
                dx[at, place_of(where, j)] += dy * weights_of(W, j)
        return dx

    return answer


def largest_only(dy, where, W, n_bands):
    dx = np.zeros((len(dy), n_bands))
    for t in range(len(dy)):
        m = np.abs(dy[t]).argmax()
        dx[t, where[t, m] : where[t, m] + len(W)] = dy[t, m] * W[:, m]
    return dx


def _predict(**changed):
    return lambda: tuple({"a": 0.0, "b": 0.0, "c": 1.5, "d": 1.0, "e": 0.5, **changed}.values())


def _fold(kernels=None, bias=None):
    def answer(W, gamma, beta, mean, var, epsilon):
        factor = gamma / np.sqrt(var + epsilon)
        new_W = kernels(W, gamma, var, epsilon) if kernels else W * factor
        return new_W, bias(beta, factor, mean) if bias else beta - factor * mean

    return answer


WRONG = {
    "11.repaired": [
        (_scatter(add=False), "the same bug"),
        (_scatter(weights_of=lambda W, j: W[-1 - j]), "wrong even for one map"),
        (_scatter(place_of=lambda where, j: where), "wrong even for one map"),
        (largest_only, "must add up"),
    ],
    "11.predicted": [
        (_predict(a=1.5), "(a): raise all of z"),
        (_predict(b=1.5), "(b): make all of z larger"),
        (_predict(c=3.0), "what is left of line (★)"),
        (_predict(d=2.0), "its deviation too"),
        (_predict(e=1.0), "s has doubled"),
        (_predict(e=2.0), "s has doubled"),
    ],
    "11.folded": [
        (_fold(kernels=lambda W, gamma, var, epsilon: W * gamma / (var + epsilon)), "divided by the variance"),
        (_fold(kernels=lambda W, gamma, var, epsilon: W * gamma / np.sqrt(var)), "forget ε"),
        (_fold(kernels=lambda W, gamma, var, epsilon: W * gamma), "the factor that x has"),
        (_fold(bias=lambda beta, factor, mean: beta - mean), "which multiplies it, too"),
        (_fold(bias=lambda beta, factor, mean: beta + factor * mean), "left for x = 0"),
        (_fold(bias=lambda beta, factor, mean: beta), "left for x = 0"),
    ],
}
