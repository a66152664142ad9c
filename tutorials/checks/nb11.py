"""Checks of the exercises in 11_what_the_winners_did.md."""

import numpy as np

from minirsed.rivals.batch_norm import batch_norm_backward, batch_norm_forward, init_batch_norm
from minirsed.rivals.convolution import convolution_backward, convolution_forward
from minirsed.rivals.pooling import max_pool_backward, max_pool_forward
from tutorials.checks import WrongAnswer, exercise, expect, expect_equal


@exercise("11.repaired")
def repaired(answer):
    """`answer(dy, where, W, n_bands)` with maps that win at places of their own, and at common ones."""
    rng = np.random.default_rng(0)
    T, F, J = 7, 11, 4
    for n_maps in (1, 3):
        x, W, dy = rng.standard_normal((T, F)), rng.standard_normal((J, n_maps)), rng.standard_normal((T, n_maps))
        z, conv = convolution_forward(W[None, :, None], x[None, :, :, None], 0)
        _, pool = max_pool_forward(z, z.shape[2])
        dx = convolution_backward(max_pool_backward(dy[None, :, None], pool), conv)[0][0, :, :, 0]
        where = z[0].argmax(axis=1)
        if n_maps == 1:
            hint = "It is wrong even for one map: dy · W_j belongs to the band `where + j`, in its own frame."
        else:
            got = np.asarray(answer(dy.copy(), where.copy(), W.copy(), F))
            expect(
                got.shape != dx.shape or not np.allclose(got, _last_one_wins(dy, where, W, F)),
                "That is the same bug: with `+=` on an array of indices, an index that occurs twice is written once.",
            )
            hint = "Right for one map, wrong for three: what two maps hand to the same band must add up."
        expect_equal(answer(dy.copy(), where.copy(), W.copy(), F), dx, hint)


def _last_one_wins(dy, where, W, n_bands):
    dx = np.zeros((len(dy), n_bands))
    for j, weights in enumerate(W):
        dx[np.arange(len(dy))[:, None], where + j] += dy * weights
    return dx


@exercise("11.predicted")
def predicted(answer):
    """`answer()` against what the layer does."""
    got = answer()
    expect(got is not None, "It returns None: does it end with `return`?")
    if isinstance(got, str):
        raise WrongAnswer(f"It returns {type(got).__name__}; asked for are five numbers.")
    expect(np.shape(got) == (5,), f"It returns shape {np.shape(got)}; asked for are five numbers.")
    hints = (
        "(a): raise all of z by one number and y stays as it is, so what can a gradient along a constant do?",
        "(b): make all of z larger by one factor and y stays as it is, so what can a gradient along z̄ do?",
        "(c): nothing is taken away here; what is left of line (★) is γ and s.",
        "(d): a kernel twice as large makes z twice as large, and its deviation too.",
        "(e): y does not change, but s has doubled, and every gradient that goes through is divided by s.",
    )
    for hint, said, measured in zip(hints, got, _measured(), strict=True):
        expect(abs(float(said) - measured) < 1e-3, f"The layer gives {measured:.2f}, and not {float(said):.2f}. {hint}")


def _measured():
    """The five factors, of a convolution and normalisation with γ = 3 and s = 2."""
    rng = np.random.default_rng(0)
    x, W = rng.standard_normal((2, 9, 8, 1)), rng.standard_normal((1, 4, 1, 1))
    W *= 2 / convolution_forward(W, x, 0)[0].std()  # s = 2
    params = {**init_batch_norm(1, np.float64), "gamma": np.array([3.0])}

    def both(W, dy=None):
        z, conv = convolution_forward(W, x, 0)
        y, norm = batch_norm_forward(params, z, own=True)
        dz = batch_norm_backward(y if dy is None else dy, norm)[0]
        return y, dz, convolution_backward(dz, conv)[1]

    y, _, _ = both(W)
    z_bar, rest = y / 3, rng.standard_normal(y.shape)
    rest -= rest.mean()
    rest -= z_bar * np.vdot(rest, z_bar) / np.vdot(z_bar, z_bar)
    factors = [np.linalg.norm(both(W, dy)[1]) / np.linalg.norm(dy) for dy in (np.ones_like(y), z_bar, rest)]
    twice, once = both(2 * W, rest), both(W, rest)
    return (
        *factors,
        np.linalg.norm(twice[0]) / np.linalg.norm(once[0]),
        np.linalg.norm(twice[2]) / np.linalg.norm(once[2]),
    )


@exercise("11.folded")
def folded(answer):
    """`answer(W, gamma, beta, running_mean, running_var, epsilon)` must give the same maps."""
    rng = np.random.default_rng(0)
    J, M, epsilon = 4, 3, 0.1
    W, (gamma, beta, mean) = rng.standard_normal((J, M)), rng.standard_normal((3, M))
    var = rng.uniform(0.2, 3.0, M)
    factor = gamma / np.sqrt(var + epsilon)
    got = answer(W.copy(), gamma.copy(), beta.copy(), mean.copy(), var.copy(), epsilon)
    expect(got is not None, "It returns None: does it end with `return`?")
    if isinstance(got, str):
        raise WrongAnswer(f"It returns {type(got).__name__}; asked for are kernels and bias.")
    shapes = tuple(np.shape(part) for part in got) if isinstance(got, tuple | list) else np.shape(got)
    expect(shapes == ((J, M), (M,)), f"It returns shape {shapes}; asked for are {((J, M), (M,))}.")
    kernels, bias = got
    expect(
        not np.allclose(kernels, W * gamma / (var + epsilon)),
        "The kernels are divided by the variance; it should be the deviation, its root.",
    )
    expect(not np.allclose(kernels, W * gamma / np.sqrt(var)), "The kernels forget ε, which stands below the root.")
    expect_equal(
        kernels, W * factor, "The kernels: each map's numbers get the factor that x has in γ (x * W − mean)/s."
    )
    expect(
        not np.allclose(bias, beta - mean), "The bias: the mean is subtracted *before* γ / s, which multiplies it, too."
    )
    expect_equal(bias, beta - factor * mean, "The bias is what is left for x = 0: β, and what becomes of the mean.")
