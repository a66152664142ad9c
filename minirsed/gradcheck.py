"""Compare hand-written gradients with finite differences: a small tool for tests, tutorials and users.

For a scalar f and a direction d, the derivative along d is known twice:

    analytic:   ⟨∇f, d⟩                 numeric:   [f(θ + εd) − f(θ − εd)] / 2ε  +  O(ε²)

A random direction checks a whole array with two evaluations of f; single elements (d = a unit vector) tell
*which* entry is wrong. Both need float64: in float32 the numeric side has about three digits.

>>> import numpy as np
>>> x = np.array([1.0, 2.0, 3.0])
>>> bool(gradcheck(lambda a: (a["x"] ** 3).sum(), {"x": 3 * x**2}, {"x": x}, np.random.default_rng(0)) < 1e-8)
True
"""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-6  # relative; correct gradients in float64 reach about 1e-9


@dataclass(frozen=True)
class Row:
    """The worst disagreement found in one array: `index` is None for a direction."""

    name: str
    shape: tuple
    index: tuple | None
    analytic: float
    numeric: float
    error: float


def gradcheck(f, grads, arrays, rng, *, mode="direction", epsilon=1e-6, n_checks=3):
    """Largest relative error of `grads` over all arrays; see `compare` for the arguments and a report."""
    return max(compare(f, grads, arrays, rng, mode, epsilon, n_checks), key=_badness).error


def compare(f, grads, arrays, rng, mode="direction", epsilon=1e-6, n_checks=3):
    """Check every array of `grads` by itself.

    Parameters
    ----------
    f : callable
        Takes a dict like `arrays`, returns a float. Must not change its argument.
    grads : dict of ndarray
        Gradient of `f` at `arrays`, by hand.
    arrays : dict of float64 ndarray
        Where to check: inputs and parameters alike.
    rng : numpy.random.Generator
    mode : {"direction", "element"}
        "direction": `n_checks` random Gaussian directions per array, error relative to the gradient's norm, which
        is the expected size of such a derivative. "element": every element of every array, error relative to the
        array's largest derivative.
    epsilon : float
        Step of the central difference, in units of the arrays.
    n_checks : int
        Directions per array.

    Returns
    -------
    list of Row
        One per array: its worst direction or element. `report` prints them.

    Raises
    ------
    ValueError
        Names or shapes differ, an array is not float64, or `mode` is unknown.

    Notes
    -----
    ⟨∇f, d⟩ against [f(θ + εd) − f(θ − εd)] / 2ε. Why ε = 1e-6, and what a careless check lets pass:
    `tutorials/04_backpropagation_through_time.md`.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 3.0])
    >>> (row,) = compare(lambda a: (a["x"] ** 3).sum(), {"x": 2 * x**2}, {"x": x}, np.random.default_rng(0), "element")
    >>> row.index, round(row.error, 2)  # 2x² for 3x²: a third of it is missing
    ((2,), 0.33)
    """
    if mode not in ("direction", "element"):
        raise ValueError(f'mode must be "direction" or "element", got {mode!r}')
    if grads.keys() != arrays.keys():
        raise ValueError(f"grads and arrays name different arrays: {sorted(grads.keys() ^ arrays.keys())}")
    for name, array in arrays.items():
        if array.dtype != np.float64 or array.shape != grads[name].shape:
            raise ValueError(
                f"{name} must be float64 with a gradient of its shape, "
                f"got {array.dtype} {array.shape} and {grads[name].shape}"
            )
    check = _directions if mode == "direction" else _elements
    return [check(f, grads[name], arrays, name, rng, epsilon, n_checks) for name in arrays]


def report(rows, tolerance=TOLERANCE):
    """Readable table of the rows from `compare`, worst first, `WRONG` where the error exceeds `tolerance`."""
    width = max(len(row.name) for row in rows)
    lines = [f"{'array':{width}}  {'shape':>14}  {'analytic':>13}  {'numeric':>13}  {'rel. error':>10}"]
    for row in sorted(rows, key=_badness, reverse=True):
        where = "" if row.index is None else f"  at {row.index}"
        verdict = "ok" if row.error <= tolerance else "WRONG"
        lines.append(
            f"{row.name:{width}}  {str(row.shape):>14}  {row.analytic:13.6e}  {row.numeric:13.6e}  "
            f"{row.error:10.1e}  {verdict}{where}"
        )
    return "\n".join(lines)


def _derivative(f, arrays, name, direction, epsilon):
    """Central difference of f along `direction` in one array."""
    ahead = f({**arrays, name: arrays[name] + epsilon * direction})
    behind = f({**arrays, name: arrays[name] - epsilon * direction})
    return float(ahead - behind) / (2 * epsilon)


def _directions(f, grad, arrays, name, rng, epsilon, n_checks):
    rows = []
    for _ in range(n_checks):
        direction = rng.standard_normal(grad.shape)
        analytic = float(np.vdot(grad, direction))
        numeric = _derivative(f, arrays, name, direction, epsilon)
        scale = max(abs(analytic), abs(numeric), np.linalg.norm(grad))
        error = abs(analytic - numeric) / scale if scale else 0.0
        rows.append(Row(name, grad.shape, None, analytic, numeric, error))
    return max(rows, key=_badness)


def _elements(f, grad, arrays, name, rng, epsilon, n_checks):
    numeric = np.zeros(grad.shape)
    for index in np.ndindex(grad.shape):
        unit = np.zeros(grad.shape)
        unit[index] = 1.0
        numeric[index] = _derivative(f, arrays, name, unit, epsilon)
    scale = max(np.abs(grad).max(initial=0.0), np.abs(numeric).max(initial=0.0))
    error = np.abs(grad - numeric) / (scale or 1.0)
    worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), grad.shape)
    worst = tuple(int(i) for i in worst)
    return Row(name, grad.shape, worst, float(grad[worst]), float(numeric[worst]), float(error[worst]))


def _badness(row):
    """Sort key by error, for which NaN is the worst."""
    return np.nan_to_num(row.error, nan=np.inf)
