"""Solutions of the exercises in 11_what_the_winners_did.md."""

import numpy as np


def repaired(dy, where, W, n_bands):
    """Two maps may hand something to one band, and `a[indices] += b` writes each element once; `np.add.at` adds all."""
    dx = np.zeros((len(dy), n_bands))
    frame = np.arange(len(dy))[:, None]
    for j, weights in enumerate(W):
        np.add.at(dx, (frame, where + j), dy * weights)
    return dx


def predicted():
    """Constants and multiples of z̄ are taken away, the rest gets γ / s; y does not know the size of W."""
    return 0.0, 0.0, 3 / 2, 1.0, 1 / 2


def folded(W, gamma, beta, running_mean, running_var, epsilon):
    """Sort γ (x * W − mean) / s + β by what contains x."""
    factor = gamma / np.sqrt(running_var + epsilon)
    return W * factor, beta - factor * running_mean
