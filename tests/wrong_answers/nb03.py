"""Mistakes that people make in the exercises of notebook 03, each with words of the hint that it must get."""

import numpy as np

from minirsed.activations import sigmoid
from minirsed.gru import gru_forward


def package_cell(x, h, W, U, b, b_after):
    return gru_forward({"W": W, "U": U, "b": b}, x[:, None], h)[0][:, 0]


def _after(x, h, W, U, b, b_after, candidate, mix):
    H = len(U)
    a, u = x @ W + b, h @ U
    z, r = sigmoid(a[:, :H] + u[:, :H]), sigmoid(a[:, H : 2 * H] + u[:, H : 2 * H])
    return mix(z, h, np.tanh(candidate(a[:, 2 * H :], u[:, 2 * H :], r, b_after)))


def _keep(z, h, c):
    return z * h + (1 - z) * c


def without_bias(*arrays):
    return _after(*arrays, lambda a, u, r, b: a + r * u, _keep)


def bias_outside(*arrays):
    return _after(*arrays, lambda a, u, r, b: a + r * u + b, _keep)


def reset_of_everything(*arrays):
    return _after(*arrays, lambda a, u, r, b: r * (a + u + b), _keep)


def z_upside_down(*arrays):
    return _after(*arrays, lambda a, u, r, b: a + r * (u + b), lambda z, h, c: (1 - z) * h + z * c)


def pytorch_order(x, h, W, U, b, b_after):
    H = len(U)
    order = np.r_[H : 2 * H, :H, 2 * H : 3 * H]
    return _after(x, h, W[:, order], U[:, order], b[order], b_after, lambda a, u, r, b: a + r * (u + b), _keep)


def transposed(x, h, W, U, b, b_after):
    blocks = np.concatenate([block.T for block in np.split(U, 3, axis=1)], axis=1)
    return _after(x, h, W, blocks, b, b_after, lambda a, u, r, b: a + r * (u + b), _keep)


def bias_forgotten(x, h, W, U, b, b_after):
    return _after(x, h, W, U, 0 * b, b_after, lambda a, u, r, b: a + r * (u + b), _keep)


def no_mixing(*arrays):
    return _after(*arrays, lambda a, u, r, b: a + r * (u + b), lambda z, h, c: c)


def _weights(b_z, pull, up, down):
    return lambda: (np.array([[pull, 0, up], [pull, 0, down]]), np.zeros((1, 3)), np.array([b_z, 0, 0]))


def _both(second, whole=lambda h: h):
    def answer(layer, ahead, back, x):
        return whole(np.concatenate([layer(ahead, x), second(layer, back, x)], axis=2))

    return answer


def _from_the_end(layer, back, x):
    return layer(back, x[:, ::-1])


WRONG = {
    "03.frames_until": [
        (lambda left, b_z: np.log(0.5) / np.log(sigmoid(b_z)), "That is the half-life"),
        (lambda left, b_z: np.log(left) / np.log(1 - sigmoid(b_z)), "the share that is written"),
        (lambda left, b_z: np.log(left) / -b_z, "Solve for n"),
    ],
    "03.step_after": [
        (package_cell, "That is the cell of this package"),
        (without_bias, "`b_after` has no effect"),
        (bias_outside, "inside the bracket: r multiplies it, too"),
        (reset_of_everything, "not what comes from x"),
        (z_upside_down, "share of the *old* state"),
        (no_mixing, "only the third changes"),
        (pytorch_order, "PyTorch's order"),
        (transposed, "no transpose"),
        (bias_forgotten, "b has no effect"),
    ],
    "03.last_signal": [
        (_weights(8.0, 0.0, 4.0, -4.0), "must the gate not open"),
        (_weights(3.0, -16.0, 4.0, -4.0), "near enough to 1 at rest"),
        (_weights(8.0, -16.0, 4.0, 0.0), "what does the candidate say there"),
        (_weights(8.0, -16.0, 1.0, -1.0), "is the candidate near enough to 1"),
    ],
    "03.mended": [
        (_both(_from_the_end), "Which frame does it belong to"),
        (_both(_from_the_end, lambda h: h[:, ::-1]), "first half is turned round as well"),
        (_both(lambda layer, back, x: layer(back, x)), "must still read from the end"),
        (_both(lambda *a: _from_the_end(*a)[:, :, ::-1]), "the units round"),
        (_both(lambda *a: _from_the_end(*a)[::-1]), "the clips round"),
        (_both(lambda layer, back, x: 0 * layer(back, x)), "Each half of frame t"),
    ],
    "03.settles": [
        (lambda: (0, 0, 0), "u = 3"),
        (lambda: (0.5, 0.995, 0), "u = 0.5"),
        (lambda: (0, 3, 0), "cannot leave ±1"),
        (lambda: (0, 0.995, -0.96), "u = −2"),
    ],
}
