"""Checks of the exercises in 12_your_own_sound.md; what looks at the reader's folders is in `folders.py`."""

import numpy as np

from minirsed.alarms.poisson import interval, upper
from tutorials.checks import exercise, expect, expect_equal


@exercise("12.hours_needed")
def hours_needed(answer):
    """`answer(per_hour)` against the exact one-sided limit."""
    for per_hour in (1.0, 0.5, 4.0):
        got, truth = answer(per_hour), upper(0, 1.0) / per_hour
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            expect(
                not np.isclose(got, 1 / per_hour), "By then one alarm is to be *expected*; none at all is no surprise."
            )
            expect(
                not np.isclose(got, -np.log(0.95) / per_hour),
                "In so short a time even a bad detector is quiet with probability 0.95. It must be *im*probable.",
            )
            expect(
                not np.isclose(got, interval(0, 1.0)[1] / per_hour),
                "That leaves 2.5 % at either end; without an alarm there is only one end.",
            )
            expect(
                not np.isclose(got, truth * per_hour**2) or per_hour == 1, "The fewer are allowed, the longer it takes."
            )
        hint = "At which T is the probability of no alarm, exp(−λT), only 0.05, if λ is `per_hour`?"
        expect_equal(got, truth, hint, 2e-3)


@exercise("12.leaking")
def leaking(answer):
    """`answer(subset_of)` on recordings that are apart, and on some that are not."""
    whole = {f"kitchen-{i}.wav": "train" for i in range(1, 12)} | {f"kitchen-2-{i}.wav": "eval" for i in range(1, 4)}
    for files, truth in (
        (whole, set()),
        (whole | {"kitchen-12.wav": "eval"}, {"kitchen"}),
        (whole | {"hall-1.wav": "train", "hall-2.wav": "eval", "kitchen-2-4.wav": "train"}, {"hall", "kitchen-2"}),
    ):
        got = answer(dict(files))
        expect(got is not None, "It returns None: does it end with `return`?")
        said = f"It returns {type(got).__name__} and returns shape {np.shape(got)}; asked for is a set."
        expect(isinstance(got, set | frozenset), said)
        extra = got - truth
        expect(not any(".wav" in name for name in got), "Asked for are recordings, not files.")
        expect(
            "kitchen" not in extra,
            "`kitchen` and `kitchen-2` are two recordings: only the last hyphen is that of the ring's number.",
        )
        expect(not extra, f"{sorted(extra)[:1]} is in one subset only.")
        expect(not truth - got, f"{sorted(truth - got)[:1]} is in both subsets.")
