"""The compiled recurrence against its NumPy twin, over odd sizes: float64 to 1e-12, float32 to 1e-5."""

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
    h, gates = gru.NUMPY.forward(projected.copy(), U, b, h0, reverse)
    kernel = gru.numba_recurrence()
    fast_h, fast_gates = kernel.forward(projected.copy(), U, b, h0, reverse)
    assert_close(fast_h, h)
    assert_close(fast_gates, gates)
    twin = gru.NUMPY.backward(dh, gates, h, U, h0, reverse)
    for found, expected in zip(kernel.backward(dh, gates, h, U, h0, reverse), twin, strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_takes_views_and_leaves_inputs_alone(dtype):
    """Slices with steps and transposes give what their contiguous copies give; only `projected` is reused."""
    projected, U, b, h0, dh = arrays(6, 8, 20, dtype)
    kernel = gru.numba_recurrence()
    h, gates = kernel.forward(projected[:, ::2].copy(), U, b, h0[::2].copy(), False)
    view_U, view_b, view_h0 = np.asfortranarray(U), np.repeat(b, 2)[::2], np.repeat(h0, 2, axis=1)[:, ::2]
    before = view_U.copy(), view_h0.copy(), dh.copy()
    view_h, view_gates = kernel.forward(projected[:, ::2], view_U, view_b, view_h0[::2], False)
    assert np.array_equal(view_h, h) and np.array_equal(view_gates, gates)
    found = kernel.backward(dh[:, ::2].copy(), gates, h, U, h0[::2].copy(), False)
    from_views = kernel.backward(dh[:, ::2], gates, h, view_U, view_h0[::2], False)
    assert all(np.array_equal(a, b) for a, b in zip(found, from_views, strict=True))
    assert all(np.array_equal(now, then) for now, then in zip((view_U, view_h0, dh), before, strict=True))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_gates_saturate_without_overflow(dtype):
    """Arguments of ±1000 give gates of 0 and 1, as in the twin, not NaN."""
    projected = np.array([[[1000.0, -1000.0, 1000.0]], [[-1000.0, 1000.0, -1000.0]]], dtype)
    U, b, h0 = np.zeros((1, 3), dtype), np.zeros(3, dtype), np.array([[0.5]], dtype)
    fast = gru.numba_recurrence().forward(projected.copy(), U, b, h0, False)
    for found, expected in zip(fast, gru.NUMPY.forward(projected.copy(), U, b, h0, False), strict=True):
        assert np.isfinite(found).all()
        assert_close(found, expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernel_passes_nan_on(dtype):
    """A NaN in a clip must reach its states, and no other clip's, for training looks for it there."""
    projected, U, b, h0, _ = arrays(3, 6, 20, dtype)
    projected[2, 1, 0] = np.nan
    h, _ = gru.numba_recurrence().forward(projected, U, b, h0, False)
    assert np.isnan(h[2:, 1]).any() and np.isfinite(h[:, [0, 2]]).all() and np.isfinite(h[:2, 1]).all()
