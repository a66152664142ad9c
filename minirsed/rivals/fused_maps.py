"""`minirsed.rivals.feature_maps` made fast: the same mathematics, rearranged so that large arrays are not needed.

At the sizes of the winners the output z of a first convolution is 40 to 80 times as large as its input: 430 MB for ten
clips of 30 s. Two rearrangements avoid most of what would be done with it.

**Statistics without z.** A map is linear in what its kernel sees, z = w·r, where r are K = I·J·C numbers. So with the
mean r̄ and the covariance C of all r, which are K and K × K numbers and do not depend on the map,

    μ = w·r̄       σ² = wᵀ C w

**A gradient from the maxima alone.** dy reaches one position of each group. With R = Σ r dy over those positions,

    dβ = Σ dy      dγ = (w·R − μ dβ) / σ'      dW = γ/σ' · ( R − r̄ dβ − C w dγ/σ' ),       σ' = √(σ² + ε)

since Σ r dz of `minirsed.rivals.batch_norm` has the parts Σ r dy, r̄ dβ, and Σ r z̄ dγ/N = C w dγ/σ'. (With running
statistics, which are constants, R alone is left in the brackets.)

So z is made a block of frames at a time, which stays in the cache, and is forgotten once it is pooled. This pays where
kernels see few numbers (`FEW_NUMBERS`): in the first convolution of both. Further up they see a thousand, and z is
kept.

The kernels are in `minirsed.kernels.pooling`.
"""

from typing import NamedTuple

import numpy as np

from minirsed.rivals.batch_norm import EPSILON, Statistics, drift, running
from minirsed.rivals.convolution import blocks, convolution_backward, convolve, padded, turned

FEW_NUMBERS = 64  # K up to which z is made again rather than kept


class FusedCache(NamedTuple):
    """What `fused_backward` needs: where the maxima are, (B, T, G, M) int16; z or None; r̄ and C or None, float64."""

    params: dict
    x: np.ndarray
    pad: int
    size: int
    statistics: Statistics
    where: np.ndarray
    z: np.ndarray | None
    seen: tuple | None


def fused_forward(params, x, pad, size, *, own):
    """`minirsed.rivals.feature_maps.feature_maps_forward`."""
    from minirsed.kernels import pooling

    W, n_clips, n_frames = params["W"], *x.shape[:2]
    n_bands, n_maps = x.shape[2] + 2 * pad - W.shape[1] + 1, W.shape[3]
    y = np.empty((n_clips, n_frames, n_bands // size, n_maps), x.dtype)
    where, z, seen, n_numbers = np.empty(y.shape, np.int16), None, None, W[..., 0].size
    if n_numbers <= FEW_NUMBERS:
        if own:
            seen = moments_of_rows(x, W.shape, pad)
        statistics = statistics_of_maps(W, *seen) if own else running(params)
        scale, shift = scale_and_shift(params, statistics)
        for clip, frames, rows in rows_of(x, W.shape, pad):
            block = (rows.reshape(-1, rows.shape[2])[:, :n_numbers] @ W.reshape(-1, n_maps)).reshape(
                -1, n_bands, n_maps
            )
            pooling.pool(block, scale, shift, size, y[clip, frames], where[clip, frames])
    else:
        z = convolve(W, x, pad)
        statistics = moments_of_maps(z) if own else running(params)
        for clip in range(n_clips):
            pooling.pool(z[clip], *scale_and_shift(params, statistics), size, y[clip], where[clip])
    return y, FusedCache(params, x, pad, size, statistics, where, z, seen)


def fused_backward(dy, cache, *, with_dx=True):
    """`minirsed.rivals.feature_maps.feature_maps_backward`."""
    dy = np.ascontiguousarray(dy)
    if cache.z is not None:
        dz, grads = _through_maxima(dy, cache, cache.z)
        dx, grads["W"] = convolution_backward(dz, (cache.params["W"], cache.x, cache.pad), with_dx=with_dx)
    else:
        grads = _from_maxima_alone(dy, cache)
        dx = None
        if with_dx:
            W = cache.params["W"]
            dz, _ = _through_maxima(dy, cache, convolve(W, cache.x, cache.pad))
            dx = convolve(turned(W), dz, W.shape[1] - 1 - cache.pad)
    return dx, {**grads, **drift(cache.params, cache.statistics)}


def _through_maxima(dy, cache, z):
    """Gradient dz, and those of γ and β, from z."""
    from minirsed.kernels import pooling

    dbeta, along = np.zeros(z.shape[3]), np.zeros(z.shape[3])
    some, some_along = np.empty_like(dbeta), np.empty_like(dbeta)
    for clip in range(len(z)):
        pooling.sums_at_maxima(dy[clip], cache.where[clip], z[clip], cache.size, some, some_along)
        dbeta, along = dbeta + some, along + some_along
    mean, var, n = (np.asarray(value, np.float64) for value in cache.statistics)
    spread = np.sqrt(var + EPSILON)
    dgamma = (along - mean * dbeta) / spread
    factor = cache.params["gamma"] / spread
    slope = -factor * dgamma / (spread * n) if n else np.zeros_like(factor)
    offset = -factor * dbeta / n - slope * mean if n else np.zeros_like(factor)
    factor, slope, offset, dgamma, dbeta = (value.astype(z.dtype) for value in (factor, slope, offset, dgamma, dbeta))
    dz = np.empty_like(z)
    for clip in range(len(z)):
        pooling.unpool(dy[clip], cache.where[clip], z[clip], cache.size, factor, slope, offset, dz[clip])
    return dz, {"gamma": dgamma, "beta": dbeta}


def _from_maxima_alone(dy, cache):
    """Gradients of W, γ and β without z, as in the module docstring."""
    from minirsed.kernels import pooling

    W, dtype = cache.params["W"], dy.dtype
    n_numbers, n_maps = W[..., 0].size, W.shape[3]
    dbeta, R = np.zeros(n_maps), np.zeros((n_maps, n_numbers))
    for clip, frames, rows in rows_of(cache.x, W.shape, cache.pad):
        some, some_rows = np.zeros(n_maps, dtype), np.zeros((n_maps, rows.shape[2]), dtype)
        pooling.gather(dy[clip, frames], cache.where[clip, frames], rows, cache.size, some, some_rows)
        dbeta += some
        R += some_rows[:, :n_numbers]
    w = W.reshape(-1, n_maps).T.astype(np.float64)  # (M, K)
    mean, var, n = (np.asarray(value, np.float64) for value in cache.statistics)
    spread = np.sqrt(var + EPSILON)
    dgamma = ((w * R).sum(axis=1) - mean * dbeta) / spread
    if n:
        row_mean, row_cov, _ = cache.seen
        R = R - dbeta[:, None] * row_mean - (dgamma / spread)[:, None] * (w @ row_cov)
    dW = ((cache.params["gamma"] / spread)[:, None] * R).T.reshape(W.shape)
    return {"W": dW.astype(dtype), "gamma": dgamma.astype(dtype), "beta": dbeta.astype(dtype)}


def rows_of(x, kernel, pad):
    """What kernels see, a block of frames at a time: clip, slice of frames, (n, bands, K') rows; zeros beyond K.

    K' is K rounded up to whole vectors of the kernels.
    """
    from minirsed.kernels import pooling

    lanes = pooling.LANE_BYTES // x.itemsize
    n_numbers, one_frame = kernel[0] * kernel[1] * kernel[2], kernel[1] * kernel[2]
    x_padded, n_bands = padded(x, kernel[0], pad), x.shape[2] + 2 * pad - kernel[1] + 1
    for clip, frames in blocks(x.shape, n_bands * max(kernel[3], n_numbers)):
        block = x_padded[clip, frames.start : frames.stop + kernel[0] - 1]
        n = frames.stop - frames.start
        rows = np.zeros((n, n_bands, -(-n_numbers // lanes) * lanes), x.dtype)
        frame, band, number = block.strides[0], block.strides[1], block.itemsize
        seen = np.lib.stride_tricks.as_strided(
            block, (n, n_bands, kernel[0], one_frame), (frame, band, frame, number), writeable=False
        )
        rows[:, :, :n_numbers].reshape(n, n_bands, kernel[0], one_frame)[:] = seen
        yield clip, frames, rows


def moments_of_rows(x, kernel, pad):
    """r̄ (K,) and C (K, K), float64, and of how many rows."""
    n_numbers, n = kernel[0] * kernel[1] * kernel[2], 0
    total, products = np.zeros(n_numbers), np.zeros((n_numbers, n_numbers))
    for _, _, rows in rows_of(x, kernel, pad):
        flat = rows.reshape(-1, rows.shape[2])[:, :n_numbers]
        total += np.ones(len(flat), x.dtype) @ flat
        products += flat.T @ flat
        n += len(flat)
    mean = total / n
    return mean, products / n - np.outer(mean, mean), n


def statistics_of_maps(W, row_mean, row_cov, n):
    """Mean and variance of z = w·r of each map."""
    w = W.reshape(-1, W.shape[3]).astype(np.float64)
    var = np.maximum((w * (row_cov @ w)).sum(axis=0), 0)  # rounding may leave a map that is constant below 0
    return Statistics((row_mean @ w).astype(W.dtype), var.astype(W.dtype), n)


def moments_of_maps(z):
    """Mean and variance of each map of (B, T, bands, M)."""
    from minirsed.kernels import pooling

    flat = z.reshape(-1, z.shape[3])
    mean, var = np.empty(z.shape[3]), np.empty(z.shape[3])
    pooling.moments(flat, mean, var)
    return Statistics(mean.astype(z.dtype), var.astype(z.dtype), len(flat))


def scale_and_shift(params, statistics):
    """Normalisation as y = z·scale + shift."""
    scale = params["gamma"] / np.sqrt(statistics.var + statistics.var.dtype.type(EPSILON))
    return scale, params["beta"] - statistics.mean * scale
