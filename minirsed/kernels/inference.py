"""A direction of a GRU layer when nothing is to be learnt, compiled; `minirsed.gru` defines what it computes.

It differs from `minirsed.kernels.recurrence`, which serves training, in what a detector can do without or keep:

*Weights* are packed once, when a detector gets ready (`minirsed.inference.network`), into panels of lines as long as
four AVX-512 registers, 64 float32. A line that is shared by z and r, or is half empty, does no harm.

*No gates are kept.* x W of a few frames goes into a buffer that stays in the cache, and each line of a product goes
straight from its registers through σ or tanh.

*One clip* has only one row for each line of weights, so its product is bound by the weights' way from the cache. Its
tile is one line wide, four or eight registers of sums that do not wait for each other. Several clips share each line
in tiles of five rows; where registers are short (AVX) these take a line in four parts.
"""

import functools

import numpy as np
from numba import config, njit

from minirsed.kernels.compiling import compiled
from minirsed.kernels.recurrence import LN2_HIGH, LN2_LOW, LOG2_E, PANEL_BYTES, ROWS, aligned_zeros
from minirsed.kernels.vectors import loader, power_of_two, store

COMPILED = not config.DISABLE_JIT  # with NUMBA_DISABLE_JIT=1 there are no vectors, and nothing here can run
LINE = 64  # float32 in a line of a panel
CHUNK = 32  # frames whose x W is in the buffer at a time
ROUND = 1.5 * 2**23  # added to a float32 and taken off again, it leaves a whole number


def pack(W, U, b):
    """Weights of a direction, columns [z | r | c], as `listen` takes them: W, b, U_zr, U_c in panels of lines."""
    n_zr = 2 * U.shape[0]
    both = _panels(W[:, :n_zr], W[:, n_zr:])
    bias = _panels(b[None, :n_zr], b[None, n_zr:]).reshape(-1, LINE)
    return both, bias, _panels(U[:, :n_zr]), _panels(U[:, n_zr:])


def _panels(*matrices):
    """Matrices (K, N) → (lines of the first, then of the next, K, LINE), zeros beyond the last column of each."""
    starts = [(matrix, start) for matrix in matrices for start in range(0, matrix.shape[1], LINE)]
    panels = aligned_zeros((len(starts), matrices[0].shape[0], LINE), np.float32)
    for panel, (matrix, start) in zip(panels, starts, strict=True):
        columns = matrix[:, start : start + LINE]
        panel[:, : columns.shape[1]] = columns
    return panels


@njit(forceinline=True, error_model="numpy")
def exp(x):
    """2ⁿ eʳ with x = n ln 2 + r, as `minirsed.kernels.recurrence.exp`, for a vector of float32."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    n = x * np.float32(LOG2_E) + np.float32(ROUND) - np.float32(ROUND)
    r = x - n * np.float32(LN2_HIGH) - n * np.float32(LN2_LOW)
    series = r * np.float32(1 / 720) + np.float32(1 / 120)
    series = series * r + np.float32(1 / 24)
    series = series * r + np.float32(1 / 6)
    series = series * r + np.float32(1 / 2)
    series = series * r + np.float32(1)
    series = series * r + np.float32(1)
    return series * power_of_two(n)


@njit(forceinline=True, error_model="numpy")
def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return np.float32(1) / (exp(x * np.float32(-1)) + np.float32(1))


@njit(forceinline=True, error_model="numpy")
def tanh(x):
    """1 − 2 / (1 + e²ˣ)."""
    return np.float32(1) - np.float32(2) / (exp(x + x) + np.float32(1))


# The products of a time step, in tiles of up to 5 rows whose vectors have `n_bytes`. Each is inlined with `n_rows` as a
# number, as `minirsed.kernels.recurrence.add_tile` is.


@functools.cache
def _sums(n_bytes):
    """The tile itself, with what reads its vectors, and the number of them in a line."""
    load, n_parts = loader(n_bytes), 4 * LINE // n_bytes

    @njit(forceinline=True, error_model="numpy")
    def sums(n_rows, a, row, panels, first, start, i, stride):
        """Sums start + a U of up to five rows: five vectors, that of the first row where there is none."""
        n_sums = panels.shape[1]
        s0 = load(start, i)
        s1 = load(start, i + stride) if n_rows > 1 else s0
        s2 = load(start, i + 2 * stride) if n_rows > 2 else s0
        s3 = load(start, i + 3 * stride) if n_rows > 3 else s0
        s4 = load(start, i + 4 * stride) if n_rows > 4 else s0
        for k in range(n_sums):
            weights = load(panels, first + k * n_parts)
            s0 = s0 + weights * a[row, k]
            s1 = s1 + weights * a[row + 1, k] if n_rows > 1 else s1
            s2 = s2 + weights * a[row + 2, k] if n_rows > 2 else s2
            s3 = s3 + weights * a[row + 3, k] if n_rows > 3 else s3
            s4 = s4 + weights * a[row + 4, k] if n_rows > 4 else s4
        return s0, s1, s2, s3, s4

    return sums, load, n_parts


@functools.cache
def _project(n_bytes):
    sums, _, n_parts = _sums(n_bytes)

    @njit(forceinline=True, error_model="numpy")
    def project(n_rows, x, first_row, row, W, p, b, out):
        """Line p of b + x W, for rows first_row + row, … of x → rows row, … of `out`."""
        stride = W.shape[0] * n_parts
        for part in range(p * n_parts, (p + 1) * n_parts):
            first = p * W.shape[1] * n_parts + part % n_parts
            s0, s1, s2, s3, s4 = sums(n_rows, x, first_row + row, W, first, b, part, 0)
            i = row * stride + part
            store(out, i, s0)
            if n_rows > 1:
                store(out, i + stride, s1)
            if n_rows > 2:
                store(out, i + 2 * stride, s2)
            if n_rows > 3:
                store(out, i + 3 * stride, s3)
            if n_rows > 4:
                store(out, i + 4 * stride, s4)

    return project


@functools.cache
def _gates(n_bytes):
    sums, _, n_parts = _sums(n_bytes)

    @njit(forceinline=True, error_model="numpy")
    def gates(n_rows, state, U, p, projected, first_row, zr):
        """Line p of z and r: σ of what is projected, in rows first_row, … of it, plus h U."""
        own, stride = U.shape[0] * n_parts, projected.shape[1] // LINE * n_parts
        for part in range(p * n_parts, (p + 1) * n_parts):
            first = p * U.shape[1] * n_parts + part % n_parts
            s0, s1, s2, s3, s4 = sums(n_rows, state, 0, U, first, projected, first_row * stride + part, stride)
            store(zr, part, sigmoid(s0))
            if n_rows > 1:
                store(zr, part + own, sigmoid(s1))
            if n_rows > 2:
                store(zr, part + 2 * own, sigmoid(s2))
            if n_rows > 3:
                store(zr, part + 3 * own, sigmoid(s3))
            if n_rows > 4:
                store(zr, part + 4 * own, sigmoid(s4))

    return gates


@functools.cache
def _update(n_bytes):
    sums, load, n_parts = _sums(n_bytes)

    @njit(forceinline=True, error_model="numpy")
    def next_line(state, i, z, c):
        """Vector i of the state: z h + (1 − z) c."""
        h = load(state, i)
        store(state, i, c + z * (h - c))

    @njit(forceinline=True, error_model="numpy")
    def update(n_rows, reset, U, p, projected, first_row, zr, state):
        """Line p of the state, from c = tanh(what is projected + (r ⊙ h) U)."""
        own, of_zr = U.shape[0] * n_parts, zr.shape[1] // LINE * n_parts
        for part in range(p * n_parts, (p + 1) * n_parts):
            first, stride = p * U.shape[1] * n_parts + part % n_parts, of_zr + own
            i = first_row * stride + of_zr + part
            s0, s1, s2, s3, s4 = sums(n_rows, reset, 0, U, first, projected, i, stride)
            next_line(state, part, load(zr, part), tanh(s0))
            if n_rows > 1:
                next_line(state, part + own, load(zr, part + of_zr), tanh(s1))
            if n_rows > 2:
                next_line(state, part + 2 * own, load(zr, part + 2 * of_zr), tanh(s2))
            if n_rows > 3:
                next_line(state, part + 3 * own, load(zr, part + 3 * of_zr), tanh(s3))
            if n_rows > 4:
                next_line(state, part + 4 * own, load(zr, part + 4 * of_zr), tanh(s4))

    return update


project_one, gates_of_one, update_one = _project(4 * LINE), _gates(4 * LINE), _update(4 * LINE)
project_rows, gates_of_rows, update_rows = _project(PANEL_BYTES), _gates(PANEL_BYTES), _update(PANEL_BYTES)


@njit(error_model="numpy")
def project(x, first_row, n_rows, W, b, out):
    """Put b + x W, for some rows of x (rows, D), into the first rows of `out` (rows, lines · LINE)."""
    rest = n_rows % ROWS
    for p in range(W.shape[0]):
        for row in range(0, n_rows - rest, ROWS):
            project_rows(5, x, first_row, row, W, p, b, out)
        if rest == 1:
            project_one(1, x, first_row, n_rows - 1, W, p, b, out)
        elif rest:
            project_rows(rest, x, first_row, n_rows - rest, W, p, b, out)


@compiled()
def listen(W, b, U_zr, U_c, reverse, first_unit, x, before, h):
    """Run a direction of a layer; fills columns first_unit … first_unit + H − 1 of `h` (T · R, ≥ H), R ≤ 5.

    `W`, `b`, `U_zr`, `U_c` come from `pack`, `x` is (T · R, D), time first. `before` (R, H) is the state before the
    first frame and, on return, that after the last one. All are float32 and C-contiguous.
    """
    n_rows, n_units = before.shape
    n_frames, n_zr, n_c = x.shape[0] // n_rows, U_zr.shape[0] * LINE, U_c.shape[0] * LINE
    projected = np.empty((min(CHUNK, n_frames) * n_rows, n_zr + n_c), np.float32)
    zr, reset = np.empty((n_rows, n_zr), np.float32), np.empty((n_rows, n_units), np.float32)
    state = np.empty((n_rows, n_c), np.float32)
    for row in range(n_rows):
        for j in range(n_c):
            state[row, j] = before[row, j] if j < n_units else np.float32(0)
    for done in range(0, n_frames, CHUNK):
        n = min(CHUNK, n_frames - done)
        first = n_frames - done - n if reverse else done
        project(x, first * n_rows, n * n_rows, W, b, projected)
        for step in range(n):
            t = n - 1 - step if reverse else step
            for p in range(U_zr.shape[0]):
                if n_rows == 1:
                    gates_of_one(1, state, U_zr, p, projected, t, zr)
                else:
                    gates_of_rows(n_rows, state, U_zr, p, projected, t * n_rows, zr)
            for row in range(n_rows):
                for j in range(n_units):
                    reset[row, j] = zr[row, n_units + j] * state[row, j]
            for p in range(U_c.shape[0]):
                if n_rows == 1:
                    update_one(1, reset, U_c, p, projected, t, zr, state)
                else:
                    update_rows(n_rows, reset, U_c, p, projected, t * n_rows, zr, state)
            for row in range(n_rows):
                for j in range(n_units):
                    h[(first + t) * n_rows + row, first_unit + j] = state[row, j]
    for row in range(n_rows):
        for j in range(n_units):
            before[row, j] = state[row, j]
