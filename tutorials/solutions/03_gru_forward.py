"""Solutions of the exercises in 03_gru_forward.md."""

import numpy as np

from minirsed.activations import sigmoid


def frames_until(left, b_z):
    """Solve zⁿ = left for n."""
    return np.log(left) / np.log(sigmoid(b_z))


def step_after(x, h, W, U, b, b_after):
    """One product for all three gates; r multiplies what the state and its bias give to the candidate."""
    H = len(U)
    a, u = x @ W + b, h @ U
    z = sigmoid(a[:, :H] + u[:, :H])
    r = sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
    c = np.tanh(a[:, 2 * H :] + r * (u[:, 2 * H :] + b_after))
    return z * h + (1 - z) * c


def last_signal():
    """At rest z = σ(8), half gone after 2000 frames; a signal opens the gate; the candidate is its sign."""
    W = np.array([[-16.0, 0.0, 4.0], [-16.0, 0.0, -4.0]])
    return W, np.zeros((1, 3)), np.array([8.0, 0.0, 0.0])


def mended(layer, ahead, back, x):
    """What was read from the end comes out from the end. A clip that is the same backwards would hide it."""
    return np.concatenate([layer(ahead, x), layer(back, x[:, ::-1])[:, ::-1]], axis=2)


def settles():
    """Near 0 a step multiplies by (1 + u) / 2: ¾, 2 and −½. Growth ends where h = tanh(3h)."""
    return 0.0, 0.995, 0.0
