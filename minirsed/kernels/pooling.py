"""Normalisation, ReLU and maximum over bands in one pass, compiled; the definition is `minirsed.rivals.feature_maps`.

Each of these steps does next to nothing with every number of an array that is larger than any cache: apart, their time
is that of memory. Together they read the output of the convolution once. What is kept for the way back is small: the
largest value of each group of bands, and where it was, or −1 where the ReLU is off.

Arrays are (n, bands, M): frames of any clips, bands, maps. Loops over maps are vector code. Sums over frames are made
in the arrays' own type for `FEW` frames and added up in float64.
"""

import numpy as np
from numba import njit

from minirsed.kernels.compiling import compiled
from minirsed.kernels.recurrence import COMPILED
from minirsed.kernels.vectors import loader, store

FEW = 64
LANE_BYTES = 64  # of a vector; rows of `gather` are whole vectors
load = loader(LANE_BYTES)


@compiled(fastmath={"contract"})
def pool(z, scale, shift, size, y, where):
    """Fill `y` (n, G, M) with max(max_s z·scale + shift, 0) over groups of `size` bands, `where` with s or −1."""
    n_frames, n_groups, n_maps = y.shape
    zero = scale.dtype.type(0)
    best, at = np.empty(n_maps, z.dtype), np.empty(n_maps, np.int32)
    for frame in range(n_frames):
        for group in range(n_groups):
            _pool_group(z[frame, group * size : (group + 1) * size], scale, shift, best, at)
            top, place = y[frame, group], where[frame, group]
            for m in range(n_maps):
                top[m] = zero if best[m] <= zero else best[m]  # NaN stays
            for m in range(n_maps):
                place[m] = -1 if best[m] <= zero else at[m]


@njit(fastmath={"contract"}, error_model="numpy")
def _pool_group(z, scale, shift, best, at):
    for m in range(best.shape[0]):
        best[m] = z[0, m] * scale[m] + shift[m]
        at[m] = 0
    for s in range(1, z.shape[0]):
        for m in range(best.shape[0]):
            value = z[s, m] * scale[m] + shift[m]
            is_larger = value > best[m]
            best[m] = value if is_larger else best[m]
            at[m] = s if is_larger else at[m]


@compiled(fastmath={"contract"})
def moments(z, mean, var):
    """Fill `mean` and `var` (M,) float64 with those of z (n, M)."""
    n_rows, n_maps = z.shape
    some = np.empty(n_maps, z.dtype)
    centre = np.zeros(n_maps, z.dtype)
    for is_second in range(2):
        total = np.zeros(n_maps)
        for first in range(0, n_rows, FEW):
            some[:] = 0
            for row in range(first, min(first + FEW, n_rows)):
                _add_power(z[row], centre, is_second, some)
            for m in range(n_maps):
                total[m] += some[m]
        total /= n_rows
        if is_second:
            var[:] = total - (mean - centre) ** 2  # `centre` is the mean rounded to the type of z
        else:
            mean[:] = total
            centre[:] = mean


@njit(fastmath={"contract"}, error_model="numpy")
def _add_power(row, centre, is_second, out):
    if is_second:
        for m in range(out.shape[0]):
            out[m] += (row[m] - centre[m]) * (row[m] - centre[m])
    else:
        for m in range(out.shape[0]):
            out[m] += row[m]


@compiled(fastmath={"contract"})
def sums_at_maxima(dy, where, z, size, total_dy, total_dy_z):
    """Fill (M,) float64 with the sums of dy, and of dy·z, where a maximum got through the ReLU; z is (n, bands, M)."""
    n_frames, n_groups, n_maps = dy.shape
    some, some_z = np.empty(n_maps, dy.dtype), np.empty(n_maps, dy.dtype)
    total_dy[:] = 0
    total_dy_z[:] = 0
    for first in range(0, n_frames, FEW):
        some[:] = 0
        some_z[:] = 0
        for frame in range(first, min(first + FEW, n_frames)):
            for group in range(n_groups):
                rows = z[frame, group * size : (group + 1) * size]
                _add_at_maxima(dy[frame, group], where[frame, group], rows, some, some_z)
        for m in range(n_maps):
            total_dy[m] += some[m]
            total_dy_z[m] += some_z[m]


@njit(fastmath={"contract"}, error_model="numpy")
def _add_at_maxima(dy, where, z, some, some_z):
    for s in range(z.shape[0]):
        for m in range(dy.shape[0]):
            own = dy[m] if where[m] == s else dy[m] * 0
            some[m] += own
            some_z[m] += own * z[s, m]


@compiled(fastmath={"contract"})
def unpool(dy, where, z, size, factor, slope, offset, dz):
    """Fill `dz` with factor·dy at each maximum that got through, plus slope·z + offset everywhere; those are (M,)."""
    n_frames, n_groups, _ = dy.shape
    for frame in range(n_frames):
        for group in range(n_groups):
            for s in range(size):
                band = group * size + s
                _unpool_row(
                    dy[frame, group], where[frame, group], s, z[frame, band], factor, slope, offset, dz[frame, band]
                )
        for band in range(n_groups * size, z.shape[1]):  # bands that are left over belong to no group
            row, out = z[frame, band], dz[frame, band]
            for m in range(out.shape[0]):
                out[m] = slope[m] * row[m] + offset[m]


@njit(fastmath={"contract"}, error_model="numpy")
def _unpool_row(dy, where, s, z, factor, slope, offset, out):
    for m in range(out.shape[0]):
        own = dy[m] * factor[m] if where[m] == s else dy[m] * 0
        out[m] = slope[m] * z[m] + offset[m] + own


@compiled(fastmath={"contract"})
def gather(dy, where, rows, size, total_dy, total):
    """Add dy at every maximum that got through to `total_dy` (M,), and dy times what the kernel sees there to `total`.

    `rows` (n, bands, K') is what it sees, `total` (M, K'); K' numbers are whole vectors of `LANE_BYTES`.
    """
    n_frames, n_groups, n_maps = dy.shape
    for frame in range(n_frames):
        for group in range(n_groups):
            _gather_group(dy[frame, group], where[frame, group], rows, frame * rows.shape[1] + group * size, total)
            own, place = dy[frame, group], where[frame, group]
            for m in range(n_maps):
                total_dy[m] += own[m] if place[m] >= 0 else own[m] * 0


@njit(error_model="numpy")
def _gather_vectors(dy, where, rows, first, total):
    n_vectors = total.shape[1] * total.itemsize // LANE_BYTES
    for m in range(dy.shape[0]):
        if where[m] >= 0:
            i = (first + where[m]) * n_vectors
            for v in range(n_vectors):
                store(total, m * n_vectors + v, load(total, m * n_vectors + v) + load(rows, i + v) * dy[m])


def _gather_numpy(dy, where, rows, first, total):
    """The same without vectors, for NUMBA_DISABLE_JIT=1."""
    flat = rows.reshape(-1, rows.shape[2])
    for m in range(dy.shape[0]):
        if where[m] >= 0:
            total[m] += flat[first + where[m]] * dy[m]


_gather_group = _gather_vectors if COMPILED else _gather_numpy
