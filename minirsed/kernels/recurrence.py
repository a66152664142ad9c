"""The loop over time of a GRU layer, compiled; the mathematics is that of the NumPy twins in `minirsed.gru`.

A time step needs, for every clip r, the products h_r U: a few rows times a matrix. A call into BLAS per step
reaches a third of what the processor can do, because it repacks its operands each time. So the product is a loop
of its own, blocked for two things:

*Registers and L1.* Columns are taken in tiles of `TILE` = 64, four rows of U (four k) at a time. The 4 × 64
weights, 1 kB in float32, come from L2 once and serve all clips of the group from L1, and each sum is loaded and
stored once per four products. With a constant tile length LLVM turns the inner loop into straight vector code.

*L2.* U of one direction at the paper's size (256 × 768 × 4 B = 786 kB) stays in the cache from step to step. A
group of about five clips shares each pass over it; several groups run on several threads without waiting for
each other (`nogil`), see `minirsed.detector`.

The backward loop multiplies by Uᵀ; its caller passes the transpose, so that the same product serves.

The products may use fused multiply-add (`contract`), which rounds once instead of twice. No other fast-math flag
is set: those would remove NaN tests and reorder sums. exp is written out because a call to the C library's,
element by element, would cost more than the whole product at small sizes.
"""

import numpy as np
from numba import njit
from numba.extending import overload

TILE = 64  # columns per pass: four 16-lane (AVX-512) or eight 8-lane (AVX2) float32 vectors
NARROW_TILE = 16  # for what is left of a width that is no multiple of 64
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.693359375  # ln 2 in two parts, the first exact in nine bits, so that n · LN2_HIGH is exact
LN2_LOW = -2.12194440054690583e-4


def exp(x):
    """Exponential; `_exp_overload` replaces it in compiled code by one that suits the type."""
    return np.exp(x)


@overload(exp, inline="always")
def _exp_overload(x):
    if x.bitwidth == 64:
        return lambda x: np.exp(x)

    def exp_float32(x):
        """2ⁿ eʳ with x = n ln 2 + r, |r| ≤ ln 2 / 2; Taylor's series of eʳ to r⁶/6!, relative error ≤ 3e-7."""
        x = min(max(x, np.float32(-87.0)), np.float32(88.0))  # float32 holds e^±87
        n = np.floor(x * np.float32(LOG2_E) + np.float32(0.5))
        r = x - n * np.float32(LN2_HIGH) - n * np.float32(LN2_LOW)
        series = np.float32(1 / 720)
        series = series * r + np.float32(1 / 120)
        series = series * r + np.float32(1 / 24)
        series = series * r + np.float32(1 / 6)
        series = series * r + np.float32(1 / 2)
        series = series * r + np.float32(1)
        series = series * r + np.float32(1)
        power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # the exponent bits of 2ⁿ
        return series * power

    return exp_float32


@njit(cache=True, nogil=True, inline="always")
def sigmoid(x, one):
    """1 / (1 + e⁻ˣ); `one` is a 1 of the type of x, for a literal would widen float32."""
    return one / (one + exp(-x))


@njit(cache=True, nogil=True, inline="always")
def tanh(x, one):
    """2 σ(2x) − 1."""
    return (one + one) / (one + exp(-(x + x))) - one


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy", inline="always")
def add_columns(h, U, out, start, width):
    """Add columns start … start + width of h U to `out`; fast where `width` is a constant."""
    n_rows, n_sums = h.shape
    unrolled = n_sums - n_sums % 4
    for k in range(0, unrolled, 4):
        u0 = U[k, start : start + width]
        u1 = U[k + 1, start : start + width]
        u2 = U[k + 2, start : start + width]
        u3 = U[k + 3, start : start + width]
        for row in range(n_rows):
            h0, h1, h2, h3 = h[row, k], h[row, k + 1], h[row, k + 2], h[row, k + 3]
            sums = out[row, start : start + width]
            for j in range(width):
                sums[j] += h0 * u0[j] + h1 * u1[j] + h2 * u2[j] + h3 * u3[j]
    for k in range(unrolled, n_sums):
        for row in range(n_rows):
            for j in range(start, start + width):
                out[row, j] += h[row, k] * U[k, j]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def add_product(h, U, out):
    """Add h U to `out`, for h (R, K), U (K, N), out (R, N)."""
    n_columns = out.shape[1]
    wide = n_columns - n_columns % TILE
    narrow = n_columns - n_columns % NARROW_TILE
    for start in range(0, wide, TILE):
        add_columns(h, U, out, start, TILE)
    for start in range(wide, narrow, NARROW_TILE):
        add_columns(h, U, out, start, NARROW_TILE)
    if narrow < n_columns:
        add_columns(h, U, out, narrow, n_columns - narrow)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def forward(gates, U_zr, U_c, h0, reverse, h):
    """Run the recurrence; fills `h` (R, T, H).

    `gates` (R, T, 3H) holds x W + b on entry and [z | r | c] on return.
    """
    n_rows, n_frames, n_units = h.shape
    one = U_c.dtype.type(1)
    state = h0.copy()
    reset = np.empty_like(state)
    a_zr = np.empty((n_rows, 2 * n_units), h.dtype)
    a_c = np.empty((n_rows, n_units), h.dtype)
    for step in range(n_frames):
        t = n_frames - 1 - step if reverse else step
        a_zr[:] = gates[:, t, : 2 * n_units]
        a_c[:] = gates[:, t, 2 * n_units :]
        add_product(state, U_zr, a_zr)
        for row in range(n_rows):
            gate = gates[row, t]
            for j in range(2 * n_units):
                gate[j] = sigmoid(a_zr[row, j], one)
            for j in range(n_units):
                reset[row, j] = gate[n_units + j] * state[row, j]
        add_product(reset, U_c, a_c)
        for row in range(n_rows):
            gate = gates[row, t]
            for j in range(n_units):
                c = tanh(a_c[row, j], one)
                new = gate[j] * state[row, j] + (one - gate[j]) * c
                gate[2 * n_units + j] = c
                state[row, j] = new
                h[row, t, j] = new


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def backward(dh_out, gates, h, U_zr_T, U_c_T, h0, reverse, da, dh0):
    """Back-propagate through time; fills `da` (R, T, 3H) and `dh0` (R, H), which is zero on entry."""
    n_rows, n_frames, n_units = h.shape
    one = U_c_T.dtype.type(1)
    dh_next = dh0
    dreset = np.empty((n_rows, n_units), h.dtype)
    da_zr = np.empty((n_rows, 2 * n_units), h.dtype)
    da_c = np.empty((n_rows, n_units), h.dtype)
    h_prev = np.empty((n_rows, n_units), h.dtype)
    for step in range(n_frames):
        t = step if reverse else n_frames - 1 - step
        if step == n_frames - 1:
            h_prev[:] = h0
        else:
            h_prev[:] = h[:, t + 1 if reverse else t - 1]
        dreset[:] = 0
        for row in range(n_rows):
            gate = gates[row, t]
            for j in range(n_units):
                z, c = gate[j], gate[2 * n_units + j]
                dh = dh_out[row, t, j] + dh_next[row, j]
                da_c[row, j] = dh * (one - z) * (one - c * c)
                da_zr[row, j] = dh * (h_prev[row, j] - c) * z * (one - z)
                dh_next[row, j] = dh * z
        add_product(da_c, U_c_T, dreset)
        for row in range(n_rows):
            gate = gates[row, t]
            for j in range(n_units):
                r = gate[n_units + j]
                da_zr[row, n_units + j] = dreset[row, j] * h_prev[row, j] * r * (one - r)
                dh_next[row, j] += dreset[row, j] * r
        da[:, t, : 2 * n_units] = da_zr
        da[:, t, 2 * n_units :] = da_c
        add_product(da_zr, U_zr_T, dh_next)
