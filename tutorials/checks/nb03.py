"""Checks of the exercises in 03_gru_forward.md."""

import numpy as np

from minirsed.activations import sigmoid
from minirsed.gru import gru_forward, init_gru
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("03.frames_until")
def frames_until(answer):
    """`answer(left, b_z)`."""
    for left, b_z in ((0.5, 1.0), (0.1, 4.0), (0.9, -1.0)):
        got, truth = answer(left, b_z), np.log(left) / np.log(sigmoid(b_z))
        number = isinstance(got, int | float | np.floating)
        expect(
            not (number and left != 0.5 and np.isclose(got, np.log(0.5) / np.log(sigmoid(b_z)))),
            "That is the half-life, whatever `left` is.",
        )
        expect(
            not (number and np.isclose(got, np.log(left) / np.log(1 - sigmoid(b_z)))),
            "1 − z is the share that is written; which share of the state stays at each step?",
        )
        expect_equal(
            got, truth, f"left = {left}, b_z = {b_z}: after n frames a share zⁿ is left. Solve for n; z is σ(b_z)."
        )


@exercise("03.step_after")
def step_after(answer):
    """`answer(x, h, W, U, b, b_after)` against the definition, and against this package where both agree."""
    rng = np.random.default_rng(0)
    B, D, H = 2, 5, 4
    p = init_gru(D, H, rng, np.float64)
    x, h, b_after = rng.standard_normal((B, D)), rng.standard_normal((B, H)), rng.standard_normal(H)

    p["b"] = p["b"] + rng.standard_normal(3 * H)

    def truth(h, b_after, order=(0, 1, 2), transposed=False, bias=1.0):
        """The definition, or one with a mistake in it."""
        blocks = np.split(p["U"], 3, axis=1)
        u = [h @ (block.T if transposed else block) for block in blocks]
        a = np.split(x @ p["W"] + bias * p["b"], 3, axis=1)
        z, r = (sigmoid(a[i] + u[i]) for i in order[:2])
        c = np.tanh(a[2] + r * (u[2] + b_after))
        return z * h + (1 - z) * c, z, r, c

    got = answer(x, h, p["W"], p["U"], p["b"], b_after)
    right, z, r, c = truth(h, b_after)
    if np.shape(got) == right.shape:
        before, _ = gru_forward(p, x[:, None], h)
        a = x @ p["W"] + p["b"]
        u = h @ p["U"]
        outside = np.tanh(a[:, 2 * H :] + r * u[:, 2 * H :] + b_after)
        all_inside = np.tanh(r * (a[:, 2 * H :] + u[:, 2 * H :] + b_after))
        for mistake, hint in (
            (before[:, 0], "That is the cell of this package, which resets before the product (and has no `b_after`)."),
            (truth(h, 0 * b_after)[0], "`b_after` has no effect: it stands inside the bracket which r multiplies."),
            (z * h + (1 - z) * outside, "`b_after` belongs inside the bracket: r multiplies it, too."),
            (z * h + (1 - z) * all_inside, "r multiplies what comes from the state, not what comes from x."),
            ((1 - z) * h + z * c, "z is the share of the *old* state."),
            (truth(h, b_after, order=(1, 0, 2))[0], "Columns are [z | r | c] here; [r | z | c] is PyTorch's order."),
            (truth(h, b_after, transposed=True)[0], "A state is a row here, so it is h U, not U h: no transpose."),
            (truth(h, b_after, bias=0.0)[0], "b has no effect: it is added to all three gates."),
        ):
            expect(not np.allclose(got, mistake), hint)
    expect_equal(
        got, right, "The shape is right, the numbers are not: go through the four lines; only the third changes."
    )


@exercise("03.last_signal")
def last_signal(answer):
    """Simulates the unit on 600 frames with signals far apart, the same one twice in a row among them."""
    weights = answer()
    expect(weights is not None, "It returns None: does it end with `return`?")
    expect(not isinstance(weights, str), f"It returns {type(weights).__name__}; asked for are three arrays.")
    shapes = tuple(np.shape(array) for array in weights)
    got = np.shape(weights) if len(set(shapes)) == 1 else shapes  # one array, or several
    expect(shapes == ((2, 3), (1, 3), (3,)), f"It returns shape {got}; asked for are (2, 3), (1, 3), (3,).")
    W, U, b = (np.asarray(array, np.float64) for array in weights)
    x, wanted = np.zeros((1, 600, 2)), np.zeros(600)
    for frame, row in ((20, 0), (220, 1), (250, 1), (300, 0), (310, 1)):
        x[0, frame, row] = 1
        wanted[frame:] = 1 - 2 * row
    h = gru_forward({"W": W, "U": U, "b": b}, x)[0][0, :, 0]
    z_up = sigmoid(W[0, 0] + h[19] * U[0, 0] + b[0])
    expect(
        abs(h[20] - 1) < 0.2 or z_up < 0.1,
        f"At an *up* the state comes to {h[20]:.2f}, since z is {z_up:.2f}: must the gate not open (z near 0) for it?",
    )
    expect(
        abs(h[20] - 1) < 0.2,
        f"At an *up* the gate opens, but what is written is {h[20]:.2f}: is the candidate near enough to 1?",
    )
    expect(abs(h[219] - 1) < 0.2, f"200 frames after an *up* the state is {h[219]:.2f}: is z near enough to 1 at rest?")
    expect(abs(h[220] + 1) < 0.2, f"At a *down* the state comes to {h[220]:.2f}: what does the candidate say there?")
    error = np.abs(h - wanted)[20:]
    expect(error.max() < 0.2, f"Frame {20 + int(error.argmax())}: the state is {h[20 + int(error.argmax())]:.2f}.")


@exercise("03.mended")
def mended(answer):
    """`answer(layer, ahead, back, x)` against `gru_forward` in both directions."""
    rng = np.random.default_rng(0)
    ahead, back = (init_gru(5, 4, rng, np.float64) for _ in range(2))
    x = rng.standard_normal((2, 7, 5))

    def layer(params, x):
        return gru_forward(params, np.ascontiguousarray(x))[0]

    got = answer(layer, ahead, back, x.copy())
    first, second = layer(ahead, x), layer(back, x[:, ::-1])
    truth = np.concatenate([first, second[:, ::-1]], axis=2)
    if np.shape(got) == truth.shape:
        for mistake, hint in (
            (
                np.concatenate([first, second], axis=2),
                "The second half of frame 0 is the state after the *last* frame. Which frame does it belong to?",
            ),
            (np.concatenate([first, second], axis=2)[:, ::-1], "Now the first half is turned round as well."),
            (
                np.concatenate([first, layer(back, x)], axis=2),
                "Both halves read from the beginning now: the second one must still read from the end.",
            ),
            (np.concatenate([first, second[:, :, ::-1]], axis=2), "That turns the units round, not the frames."),
            (np.concatenate([first, second[::-1]], axis=2), "That turns the clips round, not the frames."),
        ):
            expect(not np.allclose(got, mistake), hint)
    expect_equal(got, truth, "Each half of frame t must know of frame t: of those before it, and of those after it.")


@exercise("03.settles")
def settles(answer):
    """Runs the unit."""
    got, units = numbers_of(answer(), (3,)), (0.5, 3.0, -2.0)
    truth = []
    for u in units:
        p = {"W": np.zeros((1, 3)), "U": np.array([[0.0, 0.0, u]]), "b": np.array([0.0, 20.0, 0.0])}
        truth.append(gru_forward(p, np.zeros((1, 300, 1)), np.array([[0.01]]))[0][0, -1, 0])
    near = np.abs(got - truth) <= 0.1
    expect((np.abs(got) <= 1.05).all(), "A state cannot leave ±1: it is a mean of a tanh and of the state before.")
    expect(near[0], "u = 0.5: tanh(h/2) is smaller than h, so each step takes some of the state away.")
    expect(
        near[1],
        "u = 3: near zero tanh(3h) is three times h, so the state grows, until tanh bends. Where is h = tanh(3h)?",
    )
    expect(
        near[2],
        "u = −2: the candidate is about −2h, and half of it meets half of h. What is left of the state after one step?",
    )
