"""Convolution over time and frequency, forward and backward by hand (LeCun et al. 1998).

Data flow: features → **convolution** → batch_norm → ReLU → pooling.

A map is what one small kernel sees everywhere. For one clip, with C maps x_{t,f,c} below and M maps above, a kernel of
I frames (odd) by J bands, and zeros beyond the edges:

    z_{t,f,m} = Σ_{i < I} Σ_{j < J} Σ_c x_{t+i−(I−1)/2, f+j−p, c} W_{i,j,c,m}

    two dimensions       I = J = 3, p = 1: as many bands above as below
    along frequency      I = 1, p = 0, J = 32: each frame alone; F bands leave F − J + 1 positions of the kernel

There is no bias, because the batch normalisation that follows would subtract it.

Convolution is linear, and each x meets each z through one weight, so both gradients are convolutions as well:

    dW_{i,j,c,m} = Σ_{t,f} x_{t+i−(I−1)/2, f+j−p, c} dz_{t,f,m}
    dx_{t,f,c}   = Σ_{i,j,m} dz_{t+i−(I−1)/2, f+j−(J−1−p), m} W_{I−1−i, J−1−j, c, m}      the kernel turned around

As matrix products: the J·C numbers that a kernel sees of one frame are laid side by side in a row (`lowered`), and the
I frames of the kernel are I products of such rows. That is J times the memory of the input, so it is done for a block
of frames at a time, which stays in the cache.
"""

import numpy as np

BLOCK_NUMBERS = 1 << 18  # in the rows of a block of frames, at most: 1 MB of float32


def convolution_forward(W, x, pad):
    """Convolve all clips.

    Parameters
    ----------
    W : (I, J, C, M) ndarray
        I odd.
    x : (B, T, F, C) ndarray, dtype of `W`
    pad : int
        p, bands of zeros on either side; F + 2p ≥ J. Time always gets (I − 1) / 2, so that T frames stay T.

    Returns
    -------
    z : (B, T, F + 2p − J + 1, M) ndarray
    cache : tuple

    Raises
    ------
    ValueError
        Shapes do not fit.
    """
    if x.ndim != 4 or W.ndim != 4 or x.shape[3] != W.shape[2] or not W.shape[0] % 2:
        raise ValueError(f"W must be (I odd, J, C, M) and x (B, T, F, C), got {W.shape} and {x.shape}")
    if x.shape[2] + 2 * pad < W.shape[1]:
        raise ValueError(f"a kernel of {W.shape[1]} bands does not fit {x.shape[2]} bands with {pad} on either side")
    return convolve(W, x, pad), (W, x, pad)


def convolution_backward(dz, cache, *, with_dx=True):
    """Differentiate `convolution_forward`: dx (B, T, F, C), None without `with_dx`, and dW (I, J, C, M)."""
    W, x, pad = cache
    x_padded, n_bands = padded(x, W.shape[0], pad), dz.shape[2]
    dtaps = np.zeros((W.shape[0], W.shape[1] * W.shape[2], W.shape[3]), W.dtype)
    for clip, frames in blocks(x.shape, n_bands * dtaps.shape[1]):
        rows = lowered(x_padded[clip], frames, W.shape)
        dz_rows = dz[clip, frames].reshape(-1, dz.shape[3])
        for i, dtap in enumerate(dtaps):
            dtap += rows[i : i + len(rows) - W.shape[0] + 1].reshape(len(dz_rows), -1).T @ dz_rows
    return convolve(turned(W), dz, W.shape[1] - 1 - pad) if with_dx else None, dtaps.reshape(W.shape)


def turned(W):
    """The kernel turned around, from maps above to maps below: (I, J, C, M) → (I, J, M, C)."""
    return np.ascontiguousarray(W[::-1, ::-1].swapaxes(2, 3))


def convolve(W, x, pad):
    """Return z of the module docstring, a block of frames at a time."""
    x_padded, n_bands = padded(x, W.shape[0], pad), x.shape[2] + 2 * pad - W.shape[1] + 1
    taps = W.reshape(W.shape[0], -1, W.shape[3])
    z = np.empty((*x.shape[:2], n_bands, W.shape[3]), x.dtype)
    for clip, frames in blocks(x.shape, n_bands * taps.shape[1]):
        rows = lowered(x_padded[clip], frames, W.shape)
        block = z[clip, frames].reshape(-1, W.shape[3])  # a view
        for i, tap in enumerate(taps):
            own = rows[i : i + len(rows) - W.shape[0] + 1].reshape(len(block), -1)
            if i == 0:
                np.matmul(own, tap, out=block)
            else:
                block += own @ tap
    return z


def padded(x, n_kernel_frames, pad):
    """Zeros beyond the edges: (B, T, F, C) → (B, T + I − 1, F + 2p, C)."""
    half = n_kernel_frames // 2
    if half == pad == 0:
        return np.ascontiguousarray(x)
    wider = np.zeros((x.shape[0], x.shape[1] + 2 * half, x.shape[2] + 2 * pad, x.shape[3]), x.dtype)
    wider[:, half : half + x.shape[1], pad : pad + x.shape[2]] = x
    return wider


def blocks(shape, numbers_per_frame):
    """Clip and slice of frames, one block after another, for x of a shape (B, T, …)."""
    step = max(1, BLOCK_NUMBERS // numbers_per_frame)
    for clip in range(shape[0]):
        for start in range(0, shape[1], step):
            yield clip, slice(start, min(start + step, shape[1]))


def lowered(x_padded, frames, kernel):
    """What the kernel sees of each frame of a block: (n + I − 1, F', J·C), from a padded clip (T + I − 1, F + 2p, C).

    Neighbouring kernels overlap, and so do their rows in the clip's memory: one strided view, copied once.
    """
    block = x_padded[frames.start : frames.stop + kernel[0] - 1]
    n_bands, row = block.shape[1] - kernel[1] + 1, kernel[1] * kernel[2]
    strides = (*block.strides[:2], block.itemsize)
    view = np.lib.stride_tricks.as_strided(block, (len(block), n_bands, row), strides, writeable=False)
    return np.ascontiguousarray(view)
