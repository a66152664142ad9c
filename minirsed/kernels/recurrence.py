"""The loop over time of a GRU layer, compiled; the mathematics is that of the NumPy twins in `minirsed.gru`.

A time step needs, for every clip r, the products h_r U: a few rows times a matrix. A call into BLAS per step
reaches a third of what the processor can do, because it repacks its operands each time. So the product is a loop
of its own, blocked for two things:

*Registers.* U is packed once per call into panels (columns / width, k, width), zeros beyond its last column.
`add_tile` multiplies `ROWS` = 5 rows by a panel. A line of a panel is one vector (`minirsed.kernels.vectors`) as long
as four AVX-512 registers: 64 float32. The 5 × 4 registers of sums stay where they are over the whole loop over k,
where every step loads 4 registers of weights and 5 single states for 20 fused multiply-adds. That is what the
arithmetic units can take, and 25 of the 32 registers; elsewhere a line is 64 bytes, for AVX has 16 registers of half
that length. Loops over plain numbers, vectorised by the compiler, load and store the sums at every step and reach
half of that or less.

*L2.* U of one direction at the paper's size (256 × 768 × 4 B = 786 kB) stays in the cache from step to step. A
group of five clips shares each pass over it; several groups run on several threads without waiting for each other
(`nogil`), see `minirsed.model`. All arrays have time as their first axis, so a step reads and writes a few
long stretches of memory.

The backward loop multiplies by Uᵀ; its caller packs the transpose, so that the same product serves.

Loops may use fused multiply-add (`contract`) and no other fast-math flag: those would remove NaN tests and reorder
sums. exp is written out because a call to the C library's, element by element, would cost more than the whole product
at small sizes.
"""

import numpy as np
from llvmlite import binding
from numba import config, njit
from numba.extending import overload

from minirsed.kernels.compiling import compiled
from minirsed.kernels.vectors import loader, store

COMPILED = not config.DISABLE_JIT  # with NUMBA_DISABLE_JIT=1 the loops below run as Python, without vectors
_FEATURES = config.CPU_FEATURES or (binding.get_host_cpu_features().flatten() if COMPILED else "")
PANEL_BYTES = 256 if "+avx512f" in _FEATURES else 64  # a line of a panel; ROWS times that must fit the registers
ROWS = 5  # in a tile; also the clips of a group, `minirsed.model.GROUP_CLIPS`
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.693359375  # ln 2 in two parts, the first exact in nine bits, so that n · LN2_HIGH is exact
LN2_LOW = -2.12194440054690583e-4

load = loader(PANEL_BYTES)


def pack(U):
    """(K, N) → panels (⌈N / width⌉, K, width), zeros beyond column N; starts at a multiple of a cache line."""
    n_sums, n_columns = U.shape
    width = PANEL_BYTES // U.itemsize
    panels = aligned_zeros((-(-n_columns // width), n_sums, width), U.dtype)
    for panel, start in zip(panels, range(0, n_columns, width), strict=True):
        columns = U[:, start : start + width]
        panel[:, : columns.shape[1]] = columns
    return panels


def aligned_zeros(shape, dtype):
    """numpy.zeros, at an address that is a multiple of 64 bytes."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


@njit(forceinline=True, error_model="numpy")
def add_tile(n_rows, a, row, panels, p, out):
    """Add panel p of the product to `n_rows` ≤ 5 rows of `out`, the first of them `row`.

    Inlined (`forceinline`) into a caller that gives `n_rows` as a number, the loop is compiled for that number: no `if`
    is left in it, and rows that are not there cost nothing.
    """
    n_panels, n_sums = panels.shape[:2]
    i = row * n_panels + p  # the line of `out`, counted in vectors
    s0 = load(out, i)
    s1 = load(out, i + n_panels) if n_rows > 1 else s0
    s2 = load(out, i + 2 * n_panels) if n_rows > 2 else s0
    s3 = load(out, i + 3 * n_panels) if n_rows > 3 else s0
    s4 = load(out, i + 4 * n_panels) if n_rows > 4 else s0
    for k in range(n_sums):
        weights = load(panels, p * n_sums + k)
        s0 = s0 + weights * a[row, k]
        s1 = s1 + weights * a[row + 1, k] if n_rows > 1 else s1
        s2 = s2 + weights * a[row + 2, k] if n_rows > 2 else s2
        s3 = s3 + weights * a[row + 3, k] if n_rows > 3 else s3
        s4 = s4 + weights * a[row + 4, k] if n_rows > 4 else s4
    store(out, i, s0)
    if n_rows > 1:
        store(out, i + n_panels, s1)
    if n_rows > 2:
        store(out, i + 2 * n_panels, s2)
    if n_rows > 3:
        store(out, i + 3 * n_panels, s3)
    if n_rows > 4:
        store(out, i + 4 * n_panels, s4)


@njit(error_model="numpy")
def _add_product_tiles(a, panels, out):
    """Add a U to `out`, for a (R, K), `panels` of U (K, N) from `pack`, out (R, N rounded up to whole panels)."""
    n_rows = a.shape[0]
    rest = n_rows % ROWS
    whole = n_rows - rest
    for p in range(panels.shape[0]):
        for row in range(0, whole, ROWS):
            add_tile(5, a, row, panels, p, out)
        if rest == 1:  # a single clip, as when a microphone is listened to
            add_tile(1, a, whole, panels, p, out)
        elif rest:
            add_tile(rest, a, whole, panels, p, out)


def _add_product_numpy(a, panels, out):
    """The same without vectors, for NUMBA_DISABLE_JIT=1."""
    width = panels.shape[2]
    for p in range(panels.shape[0]):
        out[:, p * width : (p + 1) * width] += a @ panels[p]


add_product = _add_product_tiles if COMPILED else _add_product_numpy


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


@njit(inline="always")
def sigmoid(x, one):
    """1 / (1 + e⁻ˣ); `one` is a 1 of the type of x, for a literal would widen float32."""
    return one / (one + exp(-x))


@njit(inline="always")
def tanh(x, one):
    """2 σ(2x) − 1."""
    return (one + one) / (one + exp(-(x + x))) - one


@njit(fastmath={"contract"}, error_model="numpy")
def _add_rows(a, b, out):
    for j in range(out.shape[0]):
        out[j] = a[j] + b[j]


@njit(fastmath={"contract"}, error_model="numpy")
def _sigmoids(a, out, one):
    for j in range(out.shape[0]):
        out[j] = sigmoid(a[j], one)


@njit(fastmath={"contract"}, error_model="numpy")
def _next_state(a_c, z, c, state, h, one):
    for j in range(c.shape[0]):
        c[j] = tanh(a_c[j], one)
    for j in range(c.shape[0]):
        state[j] = z[j] * state[j] + (one - z[j]) * c[j]
    for j in range(c.shape[0]):
        h[j] = state[j]


@njit(fastmath={"contract"}, error_model="numpy")
def _multiply(a, b, out):
    for j in range(out.shape[0]):
        out[j] = a[j] * b[j]


@compiled(fastmath={"contract"})
def forward(gates, b, panels_zr, panels_c, h0, reverse, h):
    """Run the recurrence; fills `h` (T, R, H).

    `gates` (T, R, 3H) holds x W on entry and [z | r | c] on return; `b` is (3H,), `h0` (R, H), the panels are
    `pack(U_zr)` and `pack(U_c)`. All are C-contiguous.
    """
    n_frames, n_rows, n_units = h.shape
    one = b.dtype.type(1)
    state = h0.copy()
    reset = np.empty_like(state)
    a_zr = np.zeros((n_rows, panels_zr.shape[0] * panels_zr.shape[2]), h.dtype)
    a_c = np.zeros((n_rows, panels_c.shape[0] * panels_c.shape[2]), h.dtype)
    for step in range(n_frames):
        t = n_frames - 1 - step if reverse else step
        for row in range(n_rows):
            gate = gates[t, row]
            _add_rows(gate[: 2 * n_units], b[: 2 * n_units], a_zr[row, : 2 * n_units])
            _add_rows(gate[2 * n_units :], b[2 * n_units :], a_c[row, :n_units])
        add_product(state, panels_zr, a_zr)
        for row in range(n_rows):
            gate = gates[t, row]
            _sigmoids(a_zr[row], gate[: 2 * n_units], one)
            _multiply(gate[n_units : 2 * n_units], state[row], reset[row])
        add_product(reset, panels_c, a_c)
        for row in range(n_rows):
            gate = gates[t, row]
            _next_state(a_c[row], gate[:n_units], gate[2 * n_units :], state[row], h[t, row], one)


@njit(fastmath={"contract"}, error_model="numpy")
def _through_update(z, c, h_prev, dh_out, dh, da_z, da_c, one):
    for j in range(dh.shape[0]):
        dh[j] += dh_out[j]
    for j in range(dh.shape[0]):
        da_c[j] = dh[j] * (one - z[j]) * (one - c[j] * c[j])
    for j in range(dh.shape[0]):
        da_z[j] = dh[j] * (h_prev[j] - c[j]) * z[j] * (one - z[j])
    for j in range(dh.shape[0]):
        dh[j] *= z[j]


@njit(fastmath={"contract"}, error_model="numpy")
def _through_reset(r, h_prev, dreset, dh, da_r, one):
    for j in range(dh.shape[0]):
        da_r[j] = dreset[j] * h_prev[j] * r[j] * (one - r[j])
    for j in range(dh.shape[0]):
        dh[j] += dreset[j] * r[j]


@compiled(fastmath={"contract"})
def backward(dh_out, gates, h, panels_zr, panels_c, h0, reverse, da, reset, dh0):
    """Back-propagate through time; fills `da` (T, R, 3H), `reset` (T, R, H) with r_t ⊙ h_{t-1}, and `dh0` (R, H).

    The panels are `pack(U_zrᵀ)` and `pack(U_cᵀ)`. All arrays are C-contiguous.
    """
    n_frames, n_rows, n_units = h.shape
    one = h0.dtype.type(1)
    width = panels_c.shape[0] * panels_c.shape[2]
    dh = np.zeros((n_rows, width), h.dtype)
    dreset = np.empty((n_rows, width), h.dtype)
    h_prev = np.empty((n_rows, n_units), h.dtype)
    for step in range(n_frames):
        t = step if reverse else n_frames - 1 - step
        if step == n_frames - 1:
            h_prev[:] = h0
        else:
            h_prev[:] = h[t + 1 if reverse else t - 1]
        dreset[:] = 0
        for row in range(n_rows):
            gate, da_row = gates[t, row], da[t, row]
            z, c, da_z, da_c = gate[:n_units], gate[2 * n_units :], da_row[:n_units], da_row[2 * n_units :]
            _through_update(z, c, h_prev[row], dh_out[t, row], dh[row, :n_units], da_z, da_c, one)
        add_product(da[t, :, 2 * n_units :], panels_c, dreset)
        for row in range(n_rows):
            r, da_r = gates[t, row, n_units : 2 * n_units], da[t, row, n_units : 2 * n_units]
            _through_reset(r, h_prev[row], dreset[row], dh[row, :n_units], da_r, one)
            _multiply(r, h_prev[row], reset[t, row])
        add_product(da[t, :, : 2 * n_units], panels_zr, dh)
    dh0[:] = dh[:, :n_units]
