"""The resampling filter of 2017: resampy 0.2.0's `kaiser_best`, as the official synthesizer used it.

Band-limited interpolation after J. O. Smith: a windowed sinc, tabulated at 512 points per zero crossing and read with
linear interpolation. Newer libraries have other filters (on white noise, soxr differs by 0.5 % RMS), so mixtures equal
to the official ones need this one. Only `data_tools.audio.resample` calls it.
"""

from functools import lru_cache

import numpy as np

ZERO_CROSSINGS = 64
TABLE_STEPS = 512  # table entries per zero crossing
BETA = 14.769656459379492  # of the Kaiser window
ROLLOFF = 0.9475937167399596  # cut-off as a share of the Nyquist rate
BLOCK = 4096  # outputs computed at a time: keeps the working arrays in the cache


def kaiser_best(y, sr_in, sr_out):
    """Resample with the filter of resampy 0.2.0.

    Each output is  Σ_i h(s·f + i) x[n - i] + Σ_j h(s·(1 - f) + j) x[n + 1 + j],  n + f its time in input samples,
    h the tabulated half window, s = min(1, sr_out/sr_in). Two peculiarities of the original affect its result and are
    kept: output times are *accumulated* in float64, and the step through the table is truncated to whole entries.

    Parameters
    ----------
    y : (samples,) float64
    sr_in, sr_out : int
        Rates in Hz.

    Returns
    -------
    (trunc(samples * (sr_out / sr_in)),) float64
    """
    ratio = sr_out / sr_in
    scale = min(1.0, ratio)
    values, slopes, limits = _tap_tables(ratio)  # (TABLE_STEPS + 1, taps) twice, (TABLE_STEPS + 1,)
    taps = values.shape[1]
    n_out = int(len(y) * ratio)
    times = np.zeros(n_out)
    np.cumsum(np.full(max(n_out - 1, 0), 1.0 / ratio), out=times[1:])  # one by one, as in the original
    # x[n - i] and x[n + 1 + j] as rows of two sliding windows; zeros outside the signal are the original's limits.
    padded = np.concatenate([np.zeros(taps), y, np.zeros(taps + 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    out = np.empty(n_out)
    for first in range(0, n_out, BLOCK):
        tau = times[first : first + BLOCK]
        n = tau.astype(np.int64)
        left = scale * (tau - n)
        left_weights = _weights(values, slopes, left)
        right_weights = _weights(values, slopes, scale - left)
        # resampy 0.2.0 ends the right side too early, by as many samples as the left side has taps
        left_taps = np.minimum(n + 1, limits[(left * TABLE_STEPS).astype(np.int64)])
        _cut(right_weights, len(y) - n - left_taps)
        out[first : first + BLOCK] = np.einsum("ti,ti->t", left_weights, windows[n + 1][:, ::-1])
        out[first : first + BLOCK] += np.einsum("ti,ti->t", right_weights, windows[n + 1 + taps])
    return out


@lru_cache(maxsize=8)
def _tap_tables(ratio):
    """Filter values and slopes at every tap, for each position in the table from which the taps can start.

    Row o holds w[o], w[o + step], w[o + 2 step] … as far as the original reads them, then zeros.
    Returns two (TABLE_STEPS + 1, taps) float64 arrays and the number of taps of each row.
    """
    n = ZERO_CROSSINGS * TABLE_STEPS
    x = np.arange(n + 1) / TABLE_STEPS
    filter_ = np.kaiser(2 * n + 1, BETA)[n:] * ROLLOFF * np.sinc(ROLLOFF * x)
    if ratio < 1.0:
        filter_ *= ratio
    slopes = np.append(np.diff(filter_), 0.0)
    step = int(min(1.0, ratio) * TABLE_STEPS)
    starts = np.arange(TABLE_STEPS + 1)
    limits = (len(filter_) - starts) // step
    columns = np.arange(limits.max())
    index = starts[:, None] + columns * step
    inside = columns < limits[:, None]
    index = np.where(inside, index, 0)
    return np.where(inside, filter_[index], 0.0), np.where(inside, slopes[index], 0.0), limits


def _weights(values, slopes, fraction):
    """Weights (block, taps) for the distances (block,) from output time to nearest tap."""
    position = fraction * TABLE_STEPS
    start = position.astype(np.int64)
    weights = slopes[start]
    weights *= (position - start)[:, None]
    weights += values[start]
    return weights


def _cut(weights, limits):
    """Set the taps of each row from its limit on to zero, in place."""
    rows = np.flatnonzero(limits < weights.shape[1])
    weights[rows] *= np.arange(weights.shape[1]) < limits[rows, None]
