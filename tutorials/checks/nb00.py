"""Checks of the exercises in 00_hear_it_first.md."""

import numpy as np

from tutorials.checks import exercise, expect, expect_equal


@exercise("00.descend")
def descend(answer):
    """`answer(gradient, w, rate, n_steps)` on a parabola, where each step is known."""

    def gradient(w):
        return 2 * (w - 3)

    for w, rate, n_steps in ((0.0, 0.1, 0), (0.0, 0.1, 1), (5.0, 0.2, 7), (-1.0, 0.05, 30)):
        factor = 1 - 2 * rate
        truth, got = 3 + (w - 3) * factor**n_steps, answer(gradient, w, rate, n_steps)
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            uphill = 3 + (w - 3) * (1 + 2 * rate) ** n_steps
            expect(n_steps == 0 or not np.isclose(got, uphill), "That is uphill: against the gradient is minus.")
            once = w - n_steps * rate * gradient(w)
            expect(
                n_steps < 2 or not np.isclose(got, once),
                "The gradient is that of the first place all the time; ask for it again after each step.",
            )
            for other in (n_steps - 1, n_steps + 1):
                expect(
                    not np.isclose(got, 3 + (w - 3) * factor**other), f"{n_steps} steps were asked for, not {other}."
                )
        expect_equal(got, truth, f"From {w} with rate {rate}, {n_steps} steps: w ← w − rate · gradient(w), each time.")


@exercise("00.two_gradients")
def two_gradients(answer):
    """`answer(w, b, x, y)` against the closed form."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(23), (rng.random(23) < 0.4).astype(float)
    for w, b in ((0.7, -0.4), (-1.0, 0.3)):
        wrong = 1 / (1 + np.exp(-(w * x + b))) - y
        truth, got = (np.mean(wrong * x), np.mean(wrong)), answer(w, b, x.copy(), y.copy())
        if np.shape(got) == (2,):
            for mistake, hint in (
                ((np.sum(wrong * x), np.sum(wrong)), "The loss is the mean over clips, so its gradient is one, too."),
                ((-truth[0], -truth[1]), "The sign: p − y, so that a p that is too large is pushed down."),
                ((truth[1], truth[0]), "In the other order: first w, then b."),
                ((truth[0], truth[0]), "b is multiplied by 1 where w is multiplied by x."),
            ):
                expect(not np.allclose(got, mistake), hint)
            p = 1 / (1 + np.exp(-w * x)) - y
            expect(not np.allclose(got, (np.mean(p * x), np.mean(p))), "b has no effect on p: it stands inside of σ.")
        expect_equal(got, truth, "Both are a mean of (p − y) times what the weight is multiplied by.")
