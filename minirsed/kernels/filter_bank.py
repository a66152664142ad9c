"""Frames → energies in mel bands, compiled; the mathematics is that of `band_energies_numpy` in `minirsed.features`.

`SIDE` neighbouring frames go through the transform side by side: element n of all of them is one vector, so that
every stage of the FFT is vector arithmetic without any shuffling. A vector of two registers would be too long for it,
since AVX has 16 registers and a butterfly needs most of them; but sums over bands, of which each waits for the one
before it, are taken of `LANES` frames. All is float64: in float32 the rounding of the
strongest bin, 1e-7 of its amplitude, would drown what a pure tone leaves in far bands, and the logarithm would
show it.

The vectors are explicit (`minirsed.kernels.vectors`). Loops over lanes also become vector code, but a radix-4
butterfly writes eight rows, and the checks that no two of them overlap cost as much as the butterfly (measured: FFT of
a 30 s clip 2.4 ms against 1.3).
"""

import numpy as np
from numba import config, njit

from minirsed.kernels.compiling import compiled
from minirsed.kernels.recurrence import PANEL_BYTES
from minirsed.kernels.vectors import loader, store

COMPILED = not config.DISABLE_JIT  # with NUMBA_DISABLE_JIT=1 there are no vectors, and nothing here can run
LANES = 8  # frames at a time
SIDE = 8 if PANEL_BYTES == 256 else 4  # of them side by side in the FFT: one AVX-512 vector, or one of AVX
load, load_all = loader(8 * SIDE), loader(8 * LANES)


@njit(error_model="numpy")
def fft_in_place(z, cosine, sine):
    """Z_k = Σ_n z_n exp(−2πi·kn / M) of each lane, for z (M, 2, SIDE), [real | imaginary], M a power of two.

    Decimation in frequency, radix 4 (Gentleman & Sande 1966). With W = exp(−2πi / n), a transform of n points is

        Z_{4k+s} = Σ_{j < n/4} { W^{js} Σ_{b=0}^{3} (−i)^{bs} z_{j + b·n/4} } exp(−2πi·kj / (n/4)),

    four transforms of n/4 points, s = 0 … 3, of what stands in braces, each kept in its own quarter. One stage of
    radix 2 ends it where log₂ M is odd. So Z_k is left where the digits of k, reversed, point: at the caller's
    `row_of_bin[k]`. `cosine`, `sine` (2M,) are those of 2πk / 2M.
    """
    n_rows = z.shape[0]
    n = n_rows
    while n >= 4:
        quarter, stride = n // 4, len(cosine) // n
        for start in range(0, n_rows, n):
            for j in range(quarter):
                c1, s1 = cosine[j * stride], sine[j * stride]
                c2, s2 = cosine[2 * j * stride], sine[2 * j * stride]
                c3, s3 = cosine[3 * j * stride], sine[3 * j * stride]
                i0 = 2 * (start + j)  # the real vector of row j + b·n/4; the imaginary one follows it
                i1, i2, i3 = i0 + 2 * quarter, i0 + 4 * quarter, i0 + 6 * quarter
                re0, re1, re2, re3 = load(z, i0), load(z, i1), load(z, i2), load(z, i3)
                im0, im1, im2, im3 = load(z, i0 + 1), load(z, i1 + 1), load(z, i2 + 1), load(z, i3 + 1)
                even_re, even_im, odd_re, odd_im = re0 + re2, im0 + im2, re1 + re3, im1 + im3
                left_re, left_im = re0 - re2, im0 - im2
                right_re, right_im = im1 - im3, re3 - re1  # −i (z_1 − z_3)
                store(z, i0, even_re + odd_re)
                store(z, i0 + 1, even_im + odd_im)
                re1, im1 = left_re + right_re, left_im + right_im
                re2, im2 = even_re - odd_re, even_im - odd_im
                re3, im3 = left_re - right_re, left_im - right_im
                store(z, i1, re1 * c1 + im1 * s1)  # times W^j = c − is
                store(z, i1 + 1, im1 * c1 - re1 * s1)
                store(z, i2, re2 * c2 + im2 * s2)
                store(z, i2 + 1, im2 * c2 - re2 * s2)
                store(z, i3, re3 * c3 + im3 * s3)
                store(z, i3 + 1, im3 * c3 - re3 * s3)
        n = quarter
    if n == 2:
        for i in range(0, 2 * n_rows, 4):
            for part in range(i, i + 2):
                first, second = load(z, part), load(z, part + 2)
                store(z, part, first + second)
                store(z, part + 2, first - second)


@njit(error_model="numpy")
def load_frames(y, hop, window, z):
    """Put the windowed frames of y into lanes, z_n = s_{2n} + i s_{2n+1}, with zeros after the window."""
    half = window.shape[0] // 2
    for n in range(half, z.shape[0]):
        for lane in range(SIDE):
            z[n, 0, lane] = z[n, 1, lane] = 0.0
    for n in range(half):
        even, odd, row = window[2 * n], window[2 * n + 1], z[n]
        for lane in range(SIDE):
            row[0, lane] = y[lane * hop + 2 * n] * even
            row[1, lane] = y[lane * hop + 2 * n + 1] * odd
    if window.shape[0] % 2:
        for lane in range(SIDE):
            z[half, 0, lane] = y[lane * hop + 2 * half] * window[2 * half]


@njit(error_model="numpy")
def power_spectrum(z, row_of_bin, cosine, sine, power, side):
    """|X_k|² of the 2M real samples that went into `load_frames`, for part `side` of the LANES of power (M + 1, LANES).

        E_k = (Z_k + conj Z_{M−k}) / 2,   O_k = (Z_k − conj Z_{M−k}) / 2i      transforms of even and odd samples
        X_k = E_k + W^k O_k,   X_{M−k} = conj(E_k − W^k O_k),   W = exp(−2πi / 2M)

    `cosine`, `sine` are those of 2πk / 2M.
    """
    n_rows, n_sides = z.shape[0], LANES // SIDE
    for k in range(n_rows // 2 + 1):
        i, mirrored = 2 * row_of_bin[k], 2 * row_of_bin[(n_rows - k) % n_rows]
        re_a, im_a, re_b, im_b = load(z, i), load(z, i + 1), load(z, mirrored), load(z, mirrored + 1)
        c, s = 0.5 * cosine[k], 0.5 * sine[k]
        even_re, even_im = (re_a + re_b) * 0.5, (im_a - im_b) * 0.5
        odd_re, odd_im = im_a + im_b, re_b - re_a  # 2 O_k
        turned_re, turned_im = odd_re * c + odd_im * s, odd_im * c - odd_re * s
        re, im = even_re + turned_re, even_im + turned_im
        store(power, k * n_sides + side, re * re + im * im)
        re, im = even_re - turned_re, even_im - turned_im
        store(power, (n_rows - k) * n_sides + side, re * re + im * im)


@compiled()
def band_energies(y, hop, window, bank, first_bin, last_bin, row_of_bin, cosine, sine, energies):
    """Fill `energies` (T, n_mels) from y, T a multiple of LANES.

    `bank` (n_mels, M + 1) is zero outside bins first_bin … last_bin − 1 of each band, `cosine`, `sine` (2M,) are
    those of 2πk / 2M.
    """
    n_rows = row_of_bin.shape[0]
    n_frames, n_mels = energies.shape
    z = np.empty((n_rows, 2, SIDE))
    power = np.empty((n_rows + 1, LANES))
    band = np.empty((1, LANES))
    for first in range(0, n_frames, LANES):
        for side in range(LANES // SIDE):
            load_frames(y[(first + side * SIDE) * hop :], hop, window, z)
            fft_in_place(z, cosine, sine)
            power_spectrum(z, row_of_bin, cosine, sine, power, side)
        for m in range(n_mels):
            total = load_all(power, first_bin[m]) * 0.0
            for k in range(first_bin[m], last_bin[m]):
                total = total + load_all(power, k) * bank[m, k]
            store(band, 0, total)
            for lane in range(LANES):
                energies[first + lane, m] = band[0, lane]
