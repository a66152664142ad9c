"""Hidden checks of the exercises: a wrong answer fails with a hint, a right one is confirmed.

    from tutorials.checks import check
    check("03.state", my_function)

The checks of notebook 03 are the functions in `nb03.py` that are registered under "03.…". They try the answer on
inputs of their own, compare it with the package, and say what is off — not what would be right: that is in
`tutorials/solutions/`.
"""

import importlib
from dataclasses import dataclass

import numpy as np

_CHECKS = {}  # exercise name → function that takes the answer and raises WrongAnswer


class WrongAnswer(AssertionError):
    """An answer that is not right yet; the message is a hint."""

    def _render_traceback_(self):
        """IPython shows this instead of a stack of calls within the checks."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Verdict:
    """What `check` found: true if the answer is right; a notebook shows the message."""

    right: bool
    message: str

    def __bool__(self):
        return self.right

    def __repr__(self):
        return self.message


class NotFilledIn(WrongAnswer):
    """An exercise that still raises NotImplementedError."""


def check(name, answer, *, strict=False):
    """Try the reader's function on the exercise `name`.

    Parameters
    ----------
    name : str
        "NN.exercise", NN the number of the notebook.
    answer : callable
        What the notebook asked for.
    strict : bool
        Raise NotFilledIn where the function still raises NotImplementedError; otherwise that is only said, so that
        a notebook can be executed to its end before it is solved.

    Returns
    -------
    Verdict
        True: right. False: not filled in yet. In a notebook, as the last line of a cell, it reads as a sentence.

    Raises
    ------
    WrongAnswer
        With a hint.
    KeyError
        No such exercise.
    """
    known = exercises(name.split(".")[0])
    if name not in known:
        raise KeyError(f"no exercise {name!r}; this notebook has {', '.join(sorted(known))}")
    try:
        known[name](answer)
    except NotImplementedError:
        if strict:
            raise NotFilledIn(f"{name} is not filled in yet") from None
        return Verdict(False, f"{name}: not filled in yet. Replace `raise NotImplementedError` and run the cell again.")
    except WrongAnswer as wrong:
        raise WrongAnswer(f"{name} is not right yet. {wrong}") from None
    return Verdict(True, f"{name}: right.")


def exercises(number):
    """Checks of one notebook by exercise name; `number` is two digits, "03"."""
    importlib.import_module(f"tutorials.checks.nb{number}")
    return {name: function for name, function in _CHECKS.items() if name.startswith(f"{number}.")}


def exercise(name):
    """Register the decorated function as the check of the exercise `name`."""

    def register(function):
        _CHECKS[name] = function
        return function

    return register


def expect(condition, hint):
    """Raise WrongAnswer with `hint` unless `condition` holds."""
    if not condition:
        raise WrongAnswer(hint)


def expect_equal(got, expected, hint, tolerance=1e-9):
    """Raise WrongAnswer unless `got` has the shape and the values of `expected`.

    Values may differ by `tolerance` times the largest element of `expected`, or times 1e-3 if that is more. A wrong
    kind of value, a wrong shape and NaN are named; wrong numbers get the `hint`.
    """
    expect(got is not None, "It returns None: does it end with `return`?")
    try:
        got = np.asarray(got, np.float64)
    except (TypeError, ValueError):
        raise WrongAnswer(f"It returns {type(got).__name__}, which is no number and no array of numbers.") from None
    expected = np.asarray(expected, np.float64)
    expect(got.shape == expected.shape, f"It returns shape {got.shape}; the shape asked for is {expected.shape}.")
    expect(np.isfinite(got).all() or not np.isfinite(expected).all(), "It returns NaN or Inf.")
    error = np.abs(got - expected).max(initial=0.0)
    expect(error <= tolerance * max(np.abs(expected).max(initial=0.0), 1e-3), hint)


def numbers_of(got, shape):
    """The numbers that a prediction holds, as an array of that shape; WrongAnswer where it holds anything else."""
    expect_equal(got, np.zeros(shape), "", tolerance=np.inf)
    return np.asarray(got, np.float64)
