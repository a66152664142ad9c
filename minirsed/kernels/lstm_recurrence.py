"""The loop over time of an LSTM layer, compiled; the mathematics is that of the NumPy twins in `minirsed.rivals.lstm`.

The product h_{t-1} U is that of `minirsed.kernels.recurrence`: the same panels, the same tile of five clips by one line
of a panel. There is one product a frame in each direction of time where the GRU has two, since no gate acts before it.
"""

import numpy as np
from numba import njit

from minirsed.kernels.compiling import compiled
from minirsed.kernels.recurrence import add_product, sigmoid, tanh


@njit(fastmath={"contract"}, error_model="numpy")
def _add_rows(a, b, out):
    for j in range(out.shape[0]):
        out[j] = a[j] + b[j]


@njit(fastmath={"contract"}, error_model="numpy")
def _gates(a, gate, n_units, one):
    for j in range(2 * n_units):
        gate[j] = sigmoid(a[j], one)
    for j in range(2 * n_units, 3 * n_units):
        gate[j] = tanh(a[j], one)
    for j in range(3 * n_units, 4 * n_units):
        gate[j] = sigmoid(a[j], one)


@njit(fastmath={"contract"}, error_model="numpy")
def _next_state(i, f, g, o, cell, state, one):
    for j in range(cell.shape[0]):
        cell[j] = f[j] * cell[j] + i[j] * g[j]
    for j in range(cell.shape[0]):
        state[j] = o[j] * tanh(cell[j], one)


@compiled(fastmath={"contract"})
def forward(gates, b, panels, reverse, h, c):
    """Run the recurrence from zero; fills `h` and `c` (T, R, H).

    `gates` (T, R, 4H) holds x W on entry and [i | f | g | o] on return; `b` is (4H,), `panels` are `pack(U)`. All are
    C-contiguous.
    """
    n_frames, n_rows, n_units = h.shape
    one = b.dtype.type(1)
    state, cell = np.zeros((n_rows, n_units), h.dtype), np.zeros((n_rows, n_units), h.dtype)
    a = np.zeros((n_rows, panels.shape[0] * panels.shape[2]), h.dtype)
    for step in range(n_frames):
        t = n_frames - 1 - step if reverse else step
        for row in range(n_rows):
            _add_rows(gates[t, row], b, a[row, : 4 * n_units])
        add_product(state, panels, a)
        for row in range(n_rows):
            gate = gates[t, row]
            _gates(a[row], gate, n_units, one)
            i, f = gate[:n_units], gate[n_units : 2 * n_units]
            g, o = gate[2 * n_units : 3 * n_units], gate[3 * n_units :]
            _next_state(i, f, g, o, cell[row], state[row], one)
            h[t, row] = state[row]
            c[t, row] = cell[row]


@njit(fastmath={"contract"}, error_model="numpy")
def _through_state(o, c, shown, dh_out, dh, dc, da_o, one):
    for j in range(c.shape[0]):
        shown[j] = tanh(c[j], one)
    for j in range(c.shape[0]):
        dh[j] += dh_out[j]
    for j in range(c.shape[0]):
        dc[j] += dh[j] * o[j] * (one - shown[j] * shown[j])
    for j in range(c.shape[0]):
        da_o[j] = dh[j] * shown[j] * o[j] * (one - o[j])


@njit(fastmath={"contract"}, error_model="numpy")
def _through_cell(i, f, g, c_prev, dc, da_i, da_f, da_g, one):
    for j in range(dc.shape[0]):
        da_i[j] = dc[j] * g[j] * i[j] * (one - i[j])
    for j in range(dc.shape[0]):
        da_f[j] = dc[j] * c_prev[j] * f[j] * (one - f[j])
    for j in range(dc.shape[0]):
        da_g[j] = dc[j] * i[j] * (one - g[j] * g[j])
    for j in range(dc.shape[0]):
        dc[j] *= f[j]


@compiled(fastmath={"contract"})
def backward(dh_out, gates, c, panels, reverse, da):
    """Back-propagate through time; fills `da` (T, R, 4H). The panels are `pack(Uᵀ)`. All arrays are C-contiguous."""
    n_frames, n_rows, n_units = c.shape
    one = c.dtype.type(1)
    dh = np.zeros((n_rows, panels.shape[0] * panels.shape[2]), c.dtype)
    dc, c_prev = np.zeros((n_rows, n_units), c.dtype), np.zeros((n_rows, n_units), c.dtype)
    shown = np.empty(n_units, c.dtype)
    for step in range(n_frames):
        t = step if reverse else n_frames - 1 - step
        if step == n_frames - 1:
            c_prev[:] = 0
        else:
            c_prev[:] = c[t + 1 if reverse else t - 1]
        for row in range(n_rows):
            gate, da_row = gates[t, row], da[t, row]
            i, f = gate[:n_units], gate[n_units : 2 * n_units]
            g, o = gate[2 * n_units : 3 * n_units], gate[3 * n_units :]
            da_i, da_f = da_row[:n_units], da_row[n_units : 2 * n_units]
            da_g, da_o = da_row[2 * n_units : 3 * n_units], da_row[3 * n_units :]
            _through_state(o, c[t, row], shown, dh_out[t, row], dh[row, :n_units], dc[row], da_o, one)
            _through_cell(i, f, g, c_prev[row], dc[row], da_i, da_f, da_g, one)
        dh[:] = 0
        add_product(da[t], panels, dh)
