"""The compiled recurrence against its NumPy twin, over odd sizes: float64 to 1e-12, float32 to 1e-5."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minirsed import gru

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}

# (B, T, H): one clip, one frame, one unit, multiples of the tiles and their neighbours, five rows and more
SIZES = [(1, 1, 1), (2, 1, 5), (1, 9, 3), (3, 7, 16), (5, 11, 17), (6, 3, 32), (2, 5, 63), (7, 4, 65), (5, 130, 24)]


def arrays(n_clips, n_frames, n_units, dtype, seed=0):
    rng = np.random.default_rng([seed, n_clips, n_frames, n_units])

    def draw(*shape):
        return (1.5 * rng.standard_normal(shape)).astype(dtype)

    projected, U = draw(n_frames, n_clips, 3 * n_units), draw(n_units, 3 * n_units) / dtype(np.sqrt(n_units))
    return projected, U, draw(3 * n_units), draw(n_clips, n_units), draw(n_frames, n_clips, n_units)


def assert_close(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() <= TOLERANCE[expected.dtype.type] * scale


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SIZES)
def test_kernel_equals_numpy_twin(size, dtype, reverse):
    projected, U, b, h0, dh = arrays(*size, dtype)
    h, gates = gru.recurrence_forward(projected.copy(), U, b, h0, reverse)
    fast_h, fast_gates = gru.compiled_forward(projected.copy(), U, b, h0, reverse)
    assert_close(fast_h, h)
    assert_close(fast_gates, gates)
    twin = gru.recurrence_backward(dh, gates, h, U, h0, reverse)
    for found, expected in zip(gru.compiled_backward(dh, gates, h, U, h0, reverse), twin, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_takes_views_and_leaves_inputs_alone(dtype):
    """Slices with steps and transposes give what their contiguous copies give; only `projected` is reused."""
    projected, U, b, h0, dh = arrays(6, 8, 20, dtype)
    h, gates = gru.compiled_forward(projected[:, ::2].copy(), U, b, h0[::2].copy(), False)
    view_U, view_b, view_h0 = np.asfortranarray(U), np.repeat(b, 2)[::2], np.repeat(h0, 2, axis=1)[:, ::2]
    before = view_U.copy(), view_h0.copy(), dh.copy()
    view_h, view_gates = gru.compiled_forward(projected[:, ::2], view_U, view_b, view_h0[::2], False)
    assert np.array_equal(view_h, h) and np.array_equal(view_gates, gates)
    found = gru.compiled_backward(dh[:, ::2].copy(), gates, h, U, h0[::2].copy(), False)
    from_views = gru.compiled_backward(dh[:, ::2], gates, h, view_U, view_h0[::2], False)
    assert all(np.array_equal(a, b) for a, b in zip(found, from_views, strict=True))
    assert all(np.array_equal(now, then) for now, then in zip((view_U, view_h0, dh), before, strict=True))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_gates_saturate_without_overflow(dtype):
    """Arguments of ±1000 give gates of 0 and 1, as in the twin, not NaN."""
    projected = np.array([[[1000.0, -1000.0, 1000.0]], [[-1000.0, 1000.0, -1000.0]]], dtype)
    U, b, h0 = np.zeros((1, 3), dtype), np.zeros(3, dtype), np.array([[0.5]], dtype)
    fast = gru.compiled_forward(projected.copy(), U, b, h0, False)
    for found, expected in zip(fast, gru.recurrence_forward(projected.copy(), U, b, h0, False), strict=True):
        assert np.isfinite(found).all()
        assert_close(found, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_passes_nan_on(dtype):
    """A NaN in a clip must reach its states, and no other clip's, for training looks for it there."""
    projected, U, b, h0, _ = arrays(3, 6, 20, dtype)
    projected[2, 1, 0] = np.nan
    h, _ = gru.compiled_forward(projected, U, b, h0, False)
    assert np.isnan(h[2:, 1]).any() and np.isfinite(h[:, [0, 2]]).all() and np.isfinite(h[:2, 1]).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_rows", range(1, 12))
@pytest.mark.parametrize(("n_sums", "n_columns"), [(1, 1), (3, 64), (17, 65), (40, 150)])
def test_product_of_any_number_of_rows(n_rows, n_sums, n_columns, dtype):
    """Tiles of five rows and what is left of them add to what `out` holds, and to no other row or column."""
    from minirsed.kernels import recurrence as kernels

    rng = np.random.default_rng([n_rows, n_sums, n_columns])
    a, U = rng.standard_normal((n_rows, n_sums)).astype(dtype), rng.standard_normal((n_sums, n_columns)).astype(dtype)
    panels = kernels.pack(U)
    width = panels.shape[0] * panels.shape[2]
    out = rng.standard_normal((n_rows + 2, width)).astype(dtype)  # a row above and one below, which must not change
    expected = out.copy()
    expected[1:-1, :n_columns] += a @ U
    kernels.add_product(a, panels, out[1:-1])
    assert panels.ctypes.data % 64 == 0 and width >= n_columns
    assert_close(out, expected)


def run_elsewhere(script, **environment):
    """Standard output of a script in a process of its own, started from the project's folder."""
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[1],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_kernel_runs_as_python():
    """With NUMBA_DISABLE_JIT=1 the same file gives the same result, without vectors."""
    script = """
import numpy as np
from minirsed import gru
from tests.test_kernels import arrays, assert_close
projected, U, b, h0, dh = arrays(6, 3, 17, np.float64)
h, gates = gru.recurrence_forward(projected.copy(), U, b, h0, True)
for found, expected in zip(gru.compiled_forward(projected.copy(), U, b, h0, True), (h, gates), strict=True):
    assert_close(found, expected)
twin = gru.recurrence_backward(dh, gates, h, U, h0, True)
for found, expected in zip(gru.compiled_backward(dh, gates, h, U, h0, True), twin, strict=True):
    assert_close(found, expected)
from minirsed.kernels.recurrence import COMPILED
print(COMPILED)
"""
    assert run_elsewhere(script, NUMBA_DISABLE_JIT="1") == "False\n"


def test_kernel_runs_without_avx512(tmp_path):
    """Compiled for a processor with 32-byte vectors and half the registers, panels are narrower, sums the same."""
    script = """
import numpy as np
from minirsed.kernels import recurrence as kernels
rng = np.random.default_rng(0)
a, U = rng.standard_normal((7, 30)).astype(np.float32), rng.standard_normal((30, 40)).astype(np.float32)
panels = kernels.pack(U)
out = np.zeros((7, panels.shape[0] * panels.shape[2]), np.float32)
kernels.add_product(a, panels, out)
print(panels.shape, bool(np.abs(out[:, :40] - a @ U).max() < 1e-5), not out[:, 40:].any())
"""
    environment = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2"}
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        pytest.skip("names an x86 processor")
    assert run_elsewhere(script, NUMBA_CACHE_DIR=str(tmp_path), **environment) == "(3, 30, 16) True True\n"
