"""Checks of the exercises in 09_fast_kernels.md."""

import warnings

import numpy as np

from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("09.pack")
def pack(answer):
    """`answer(U, width)` against slices, for whole and broken last panels."""
    for K, N, width in ((3, 8, 4), (3, 10, 4), (5, 2, 4), (4, 12, 1)):
        U = np.arange(1, 1 + K * N, dtype=np.float32).reshape(K, N)
        padded = np.zeros((K, -(-N // width) * width), np.float32)
        padded[:, :N] = U
        truth = np.stack([padded[:, first : first + width] for first in range(0, padded.shape[1], width)])
        got = answer(U.copy(), width)
        example = f"For U {U.shape} and width {width}: "
        if np.shape(got) == truth.shape and np.array_equal(got, padded.reshape(truth.shape)):
            if not np.array_equal(padded.reshape(truth.shape), truth):
                expect(False, f"{example}it cuts through the lines. Panel p has columns p·width … of *every* line.")
        hint = f"{example}panel 0 should begin with the first {width} columns of line 0, then those of line 1."
        if np.shape(got) == truth.shape and np.array_equal(np.asarray(got)[:-1], truth[:-1]):
            hint = f"{example}all is right but the last panel. Zeros beyond column {N}."
        expect_equal(got, truth, hint)
        expect(np.asarray(got).dtype == U.dtype, f"{example}it comes back as {np.asarray(got).dtype}; keep the dtype.")


@exercise("09.tanh")
def tanh(answer):
    """`answer(x)` against NumPy in float64, with every warning an error."""
    x = np.concatenate([np.linspace(-100, 100, 4001), [0.0, 1e-3, -1e-3]]).astype(np.float32)
    small = np.float32([-0.5, 0.25, 1.0])
    hint = "Not tanh, not even between −1 and 1. Which σ(2x) gives it, and with what factor?"
    expect_equal(answer(small.copy()), np.tanh(small.astype(np.float64)), hint, 1e-5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = answer(x.copy())
    expect(not caught, "Right near 0, but at ±100 it warns of an overflow. Which sign makes exp small on both sides?")
    expect_equal(got, np.tanh(x.astype(np.float64)), "Right near 0, wrong far from it. Mind the sign of x.", 1e-6)
    expect(np.asarray(got).dtype == np.float32, f"It returns {np.asarray(got).dtype}: something widened float32.")


@exercise("09.tile_intensity")
def tile_intensity(answer):
    """`answer(rows, lines)` against the table of the notebook, carried on."""
    for rows, lines in ((1, 1), (5, 1), (5, 4), (3, 8)):
        truth = 2 * rows * lines / (4 * lines + 8 * rows)
        got = answer(rows, lines)
        example = f"For {rows} × {lines}: "
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            for wrong, hint in (
                (truth / 2, "a multiply-add is two operations."),
                (1 / truth, "that is bytes per operation."),
                (2 * rows * lines / (4 * lines + 4 * rows), "sums are loaded *and* stored."),
                (2 * rows * lines / (4 * rows + 8 * lines), "there is one sum for each *row*, not for each line."),
                (4 * truth, "numbers have 4 bytes."),
            ):
                expect(not np.isclose(got, wrong) or np.isclose(wrong, truth), example + hint)
        expect_equal(got, truth, f"{example}count loads of U, loads of sums, stores of sums; compare with the table.")


@exercise("09.mended")
def mended(answer):
    """`answer(a, U)` for K that are multiples of four, and for others."""
    rng = np.random.default_rng(0)
    for K in (256, 10, 9, 3):
        a, U = rng.standard_normal((5, K)), rng.standard_normal((K, 6))
        got, truth = answer(a.copy(), U.copy()), a @ U
        whole = K // 4 * 4
        if np.shape(got) == truth.shape and K % 4:
            expect(
                not np.allclose(got, a[:, :whole] @ U[:whole]),
                f"For K = {K} the last {K % 4} of the lines are left out. 256 is a multiple of four.",
            )
            expect(
                K % 4 == 1 or not np.allclose(got, a[:, : whole + 1] @ U[: whole + 1]),
                f"For K = {K} one line more than before is there, and {K % 4} were left over.",
            )
        expect_equal(got, truth, f"Wrong for K = {K}. Is every line of U taken once, and only once?")


@exercise("09.three_sums")
def three_sums(answer):
    """Adds up."""
    got, truth = numbers_of(answer(), (3,)), []
    for numbers in ([1e8] + [1.0] * 1000, [1.0] * 1000 + [1e8]):
        total = np.float32(numbers[0])
        for number in np.float32(numbers[1:]):
            total = total + number
        truth.append(float(total))
    truth.append(1e8 + 1000)
    near, apart = np.abs(got - truth) < 1, np.spacing(np.float32(1e8))
    expect(
        near[0],
        f"Large first: near 10⁸, float32 has every {apart:.0f}th number. To which of them is 10⁸ + 1 rounded?",
    )
    expect(near[1], "Large last: the ones add up to exactly 1000, and 10⁸ + 1000 is a number that float32 has.")
    expect(near[2], "In float64, 10⁸ + 1 is exact, as are all whole numbers up to 2⁵³.")
