"""Checks of the exercises in 07_training_and_curves.md."""

import numpy as np

from minirsed.adam import Adam, clip_by_global_norm
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("07.running_means")
def running_means(answer):
    """`answer(g, beta)` against the sum written out."""
    for seed, beta in ((0, 0.9), (1, 0.5), (2, 0.999)):
        g = np.random.default_rng(seed).standard_normal(12) + 1
        m, plain = 0.0, []
        for value in g:
            m = beta * m + (1 - beta) * value
            plain.append(m)
        plain, n = np.array(plain), np.arange(1, len(g) + 1)
        truth, got = plain / (1 - beta**n), answer(g.copy(), beta)
        if np.shape(got) == truth.shape:
            with np.errstate(all="ignore"):
                late = plain / (1 - beta ** (n - 1.0))
            expect(not np.allclose(got, plain), "Those are the running means before the correction.")
            expect(not np.allclose(got[1:], late[1:]), "The first value is update number 1, not 0.")
            expect(not np.allclose(got, plain / (1 - beta)), "The correction fades with n: it is a power of beta.")
            expect(
                not np.allclose(got, np.cumsum(g) / n) or np.allclose(got, truth),
                "Plain means: old values should count less and less.",
            )
            expect(np.isclose(got[0], g[0]), "The first corrected mean is the first value itself. Yours is not.")
        expect_equal(got, truth, "The first one is right, a later one is not. How many updates has m seen by then?")


@exercise("07.clip_factor")
def clip_factor(answer):
    """`answer(grads, max_norm)` against `clip_by_global_norm`."""
    rng = np.random.default_rng(0)
    for scale, max_norm in ((3.0, 1.0), (0.001, 1.0), (0.1, 0.2), (5.0, 10.0)):
        grads = {name: scale * rng.standard_normal(shape) for name, shape in (("W", (4, 3)), ("U", (3, 3)))}
        grads["b"] = np.full(3, scale)
        clipped, norm = clip_by_global_norm(grads, max_norm)
        truth = float(clipped["b"][0] / grads["b"][0])
        got = answer([g.copy() for g in grads.values()], max_norm)
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            norms = [np.linalg.norm(g) for g in grads.values()]
            expect(
                norm <= max_norm or not np.isclose(got, norm / max_norm),
                f"Upside down: the joint norm {norm:.3f} is above {max_norm}, and the gradients become larger still.",
            )
            expect(
                got <= 1 or norm > max_norm,
                f"The joint norm {norm:.3f} is within {max_norm}, and yet gradients become larger.",
            )
            for wrong in (max_norm / sum(norms), max_norm / max(norms), max_norm / np.mean(norms)):
                expect(
                    not np.isclose(got, min(1, wrong)) or np.isclose(got, truth),
                    "Not a sum, mean or maximum of norms: put all elements of all arrays into one long vector.",
                )
            expect(not np.isclose(got, truth**2) or truth == 1, "That is the square of it: where is the root?")
        expect_equal(got, truth, f"For a joint norm of {norm:.3f} and a limit of {max_norm} it is not {got}.")


def _number(answer, history):
    """What `answer` returns if that is one number, else None."""
    got = answer([dict(row) for row in history])
    return got if isinstance(got, int | np.integer) else None


@exercise("07.best_epoch")
def best_epoch(answer):
    """`answer(history)` on histories with ties, with None, and without anything."""

    def rows(*pairs):
        return [{"epoch": i, "dev_error_rate": er, "dev_loss": loss} for i, (er, loss) in enumerate(pairs, 1)]

    late = [{**row, "epoch": row["epoch"] + 10} for row in rows((0.5, 0.4), (0.3, 0.2), (0.4, 0.3))]
    index = "That is a place in the list. The number of the epoch stands in its row."
    wrong_kind = "The lowest error rate wins, whatever the loss."
    cases = (
        (late, 12, index if _number(answer, late) in (0, 1, 2) else wrong_kind),
        (rows((0.5, 0.4), (0.3, 0.5), (0.4, 0.2)), 2, "The lowest error rate wins, whatever the loss."),
        (rows((0.5, 0.4), (0.3, 0.5), (0.3, 0.2), (0.3, 0.3)), 3, "Of equal error rates the lowest loss wins."),
        (rows((None, 0.1), (0.9, 0.8), (None, 0.2)), 2, "An undefined error rate is no error rate: leave it out."),
        (rows((None, 0.1)), 0, "No epoch has an error rate: 0 was asked for."),
        (rows((0.0, 0.4), (0.3, 0.1)), 1, "An error rate of zero is the best there is, not a missing one."),
        (rows((0.4, 0.3), (0.4, 0.3)), 1, "Two epochs are equal in both: the first one is kept."),
        ([], 0, "An empty history has no best epoch: 0."),
    )
    for history, truth, hint in cases:
        try:
            got = answer([dict(row) for row in history])
        except (TypeError, ValueError, IndexError) as error:
            expect(False, f"{hint} (It stopped with {type(error).__name__}: {error}.)")
        expect_equal(got, truth, hint)


@exercise("07.diagnose")
def diagnose(answer):
    """`answer(train_loss, dev_loss)` on curves of the four kinds, with some noise."""
    rng, nothing = np.random.default_rng(0), 1.5 * np.log(2)
    words = ("fine", "overfitting", "too large", "too small")
    for _ in range(5):
        n = int(rng.integers(12, 30))
        falling = np.exp(-np.linspace(0, 3, n))

        def noise(size, n=n):
            return size * rng.standard_normal(n)

        curves = {
            "fine": (nothing * falling + 0.1 + noise(0.02), nothing * falling + 0.15 + noise(0.03)),
            "overfitting": (nothing * falling**2 + noise(0.01), 0.7 + 0.3 * falling + 0.5 * np.linspace(0, 1, n) ** 2),
            "too large": (nothing + noise(0.15), nothing + noise(0.2)),
            "too small": (nothing - 0.04 * np.linspace(0, 1, n) + noise(0.004), nothing - 0.05 * np.linspace(0, 1, n)),
        }
        for truth, (train_loss, dev_loss) in curves.items():
            got = answer(train_loss.copy(), dev_loss.copy())
            expect(got is not None, "It returns None: does it end with `return`?")
            expect(np.shape(got) == (), f"It returns shape {np.shape(got)}; asked for is one word.")
            expect(got in words, f"It returns {type(got).__name__}, {got!r}; asked for is one of {words}.")
            hints = {
                "fine": "both curves come down and stay together",
                "overfitting": "the training loss comes down and the development loss turns",
                "too large": "neither comes down, and both jump about",
                "too small": "neither comes down by much, but smoothly",
            }
            expect(got == truth, f"It says {got!r} where {hints[truth]}.")


def _adam(theta, gradients, rate):
    """Weights after all updates, by the package."""
    params, optimizer = {"W": np.array(theta, np.float64)}, Adam(learning_rate=rate)
    for g in gradients:
        optimizer.update(params, {"W": np.asarray(g, np.float64)})
    return params["W"]


@exercise("07.mended")
def mended(answer):
    """`answer(theta, gradients, rate)` against the package, after one update and after many."""
    rng = np.random.default_rng(0)
    theta, gradients = rng.standard_normal(4), rng.standard_normal((12, 4)) + 1
    tiny = 1e-9 * gradients
    for given, hint in (
        (gradients[:1], "Not even the first update is right any more."),
        (
            gradients,
            "The first update is right, a later one is not. What is m at the beginning of the second one?",
        ),
        (tiny, "Right for gradients of an ordinary size; ε is added to the root, not under it."),
    ):
        got, truth = answer(theta.copy(), given.copy(), 0.01), _adam(theta, given, 0.01)
        if np.shape(got) == truth.shape:
            m, v, plain = 0.0, 0.0, theta
            for g in given:
                m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
                plain = plain - 0.01 * m / (np.sqrt(v) + 1e-8)
            expect(
                not np.allclose(got, plain, atol=1e-12),
                "Without the correction m and v are too small at first, and not by the same factor.",
            )
        expect_equal(got, truth, hint, 1e-9)


@exercise("07.ends_at")
def ends_at(answer):
    """Runs Adam."""
    got = numbers_of(answer(), (3,))
    signs = np.where(np.arange(100) % 2, -1.0, 1.0)
    truth = np.array([float(_adam(0.0, g, 0.01)) for g in (np.ones(100), np.full(100, 0.001), signs)])
    near = np.abs(got - truth) <= 0.1
    expect(not np.allclose(got[:2], -truth[:2], atol=0.1), "Downhill: against the gradient.")
    expect(near[0], "A gradient that keeps its sign gives steps of η each: 100 of them.")
    expect(
        near[1],
        "So it would be with gradient descent. Adam divides by the usual size of the gradient: what is left of 0.001?",
    )
    expect(near[2], "In turn up and down: the running mean of the gradients is near zero, that of their squares is 1.")
