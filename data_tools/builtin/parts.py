"""Building blocks of the built-in sounds: noise, voices, ringing bodies, envelopes and echoes.

Every sound is a source shaped by resonances and a room. This file has these parts; `events`, `distractors` and `scenes`
put them together. They are not from the paper, whose sounds are recordings. Functions take a `numpy.random.Generator`
where they draw random numbers; none keeps state.
"""

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.signal import sosfilt

from data_tools.audio import SAMPLE_RATE, rms

FRAME_SAMPLES = 2048  # about 46 ms, the analysis window of the paper (Sec. 4), over which levels are measured


def samples(duration_s):
    """Number of samples in `duration_s` seconds, at least 1."""
    return max(1, round(duration_s * SAMPLE_RATE))


# --- Noise: air, water, friction, crowds -----------------------------------------------------------------------


def noise_spectrum(rng, n):
    """Draw the half spectrum of `n` samples of white noise of variance 1: (n // 2 + 1,) complex64."""
    parts = rng.standard_normal((n // 2 + 1, 2), dtype=np.float32)
    return parts.view(np.complex64)[:, 0] * np.float32(np.sqrt(n / 2))


def gain_curve(n, points, lines=()):
    """Spectral gain of a coloured noise, on the bins of an `n`-sample real FFT.

    Parameters
    ----------
    n : int
        Length of the noise in samples.
    points : list of (frequency_hz, level_db)
        Joined by straight lines over log frequency, constant outside.
    lines : list of (frequency_hz, width_hz, level_db)
        Narrow peaks added to that: hums of motors, fans and rails. A narrow band of noise is a tone whose strength
        fluctuates at a rate of `width_hz`.

    Returns
    -------
    (n // 2 + 1,) float32
    """
    frequencies, levels = np.array(points, dtype=float).T
    grid = np.geomspace(10.0, SAMPLE_RATE / 2, 160)  # fine enough for straight pieces to follow the curve
    amplitudes = 10 ** (np.interp(np.log(grid), np.log(frequencies), levels) / 20)
    bins_per_hz = n / SAMPLE_RATE
    gain = np.interp(np.arange(n // 2 + 1), grid * bins_per_hz, amplitudes).astype(np.float32)
    for frequency_hz, width_hz, level_db in lines:
        reach = 8 * width_hz
        bins = np.arange(int((frequency_hz - reach) * bins_per_hz), int((frequency_hz + reach) * bins_per_hz) + 1)
        bins = bins[(bins > 0) & (bins < len(gain))]
        distance = (bins / bins_per_hz - frequency_hz) / width_hz
        gain[bins] += 10 ** (level_db / 20) / (1 + distance**2)
    return gain


def shaped_noise(rng, n, points):
    """Noise of `n` samples with the spectrum `points` (see `gain_curve`), RMS 1: (n,) float64."""
    length = next_fast_len(max(n, 512), real=True)
    y = irfft(noise_spectrum(rng, length) * gain_curve(length, points), length)[:n].astype(np.float64)
    return y / rms(y)


# --- Tones: vocal folds, horns, squeaks ------------------------------------------------------------------------


def harmonic_tone(f0_hz, amplitudes):
    """Sum of harmonics k·f0 of a varying fundamental, read from a table of one period.

    Parameters
    ----------
    f0_hz : (n,) float64
        Fundamental at each sample, Hz. Above K · f0 = 22 kHz the top harmonics alias.
    amplitudes : (K,) array
        Of harmonics 1 … K. All are in phase at the start of a period, as in the pulses of vocal folds.

    Returns
    -------
    (n,) float64
    """
    period = 4096  # table entries; noise from reading without interpolation is 65 dB below
    spectrum = np.zeros(period // 2 + 1)
    spectrum[1 : len(amplitudes) + 1] = amplitudes
    table = irfft(spectrum, period) * (period / 2)
    phase = np.cumsum(f0_hz) * (period / SAMPLE_RATE)
    return table[phase.astype(np.int64) & (period - 1)]


def resonate(y, centres_hz, bandwidths_hz):
    """Pass `y` through two-pole resonators in series, like breath through a vocal tract.

    Each has gain 1 at 0 Hz, so the harmonics between formants keep their natural slope (Klatt 1980).
    """
    sections = np.zeros((len(centres_hz), 6))
    for section, centre, bandwidth in zip(sections, centres_hz, bandwidths_hz, strict=True):
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * centre / SAMPLE_RATE), radius**2
        section[:] = 1 + a1 + a2, 0, 0, 1, a1, a2
    return sosfilt(sections, y)


# --- Struck bodies: glass, dishes, doors -----------------------------------------------------------------------


def modes(n, frequencies_hz, decays_s, amplitudes, phases):
    """Free ringing of a struck body: Σ_k A_k e^{−t/τ_k} cos(2π f_k t + φ_k).

    With t = (p·Q + q)/sr each mode factors into e^{λpQ}·e^{λq}, two short rows instead of a long one, and the sum over
    modes becomes a product of two small matrices. It is computed by `einsum`, since the last bits of BLAS may depend on
    the number of threads.

    Parameters
    ----------
    n : int
        Length in samples.
    frequencies_hz, decays_s, amplitudes, phases : (K,) arrays
        `decays_s` is the time τ to fall by e (8.7 dB).

    Returns
    -------
    (n,) float64
    """
    block = int(np.ceil(np.sqrt(n)))
    rate = (-1 / np.asarray(decays_s) + 2j * np.pi * np.asarray(frequencies_hz)) / SAMPLE_RATE
    coarse = (np.asarray(amplitudes) * np.exp(1j * np.asarray(phases)))[:, None] * np.exp(
        rate[:, None] * (block * np.arange(block))
    )
    fine = np.exp(rate[:, None] * np.arange(block))
    left = np.concatenate([coarse.real, -coarse.imag])  # (2K, P)
    right = np.concatenate([fine.real, fine.imag])  # (2K, Q)
    return np.einsum("kp,kq->pq", left, right).ravel()[:n]


# --- Envelopes -------------------------------------------------------------------------------------------------


def curve(n, times, values):
    """Straight lines through (times[i], values[i]) over `n` samples; times run from 0 to 1."""
    return np.interp(np.linspace(0, 1, n), times, values)


def decay(n, tau_s):
    """e^{−t/τ}: (n,) float64."""
    return np.exp(np.arange(n) / (-tau_s * SAMPLE_RATE))


def fade(y, attack_s, release_s):
    """Multiply the ends of `y` by half-cosine ramps, in place; return `y`."""
    for duration_s, edge in ((attack_s, y), (release_s, y[::-1])):
        n = min(round(duration_s * SAMPLE_RATE), len(y))
        edge[:n] *= 0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 0.5) / max(n, 1))
    return y


def wander(rng, n, rate_hz, size):
    """Slow random curve of standard deviation `size` that changes direction about `rate_hz` times a second."""
    knots = max(2, int(n / SAMPLE_RATE * rate_hz) + 2)
    return curve(n, np.linspace(0, 1, knots), size * rng.standard_normal(knots))


def slow_envelope(n, knots):
    """Stretch `knots` over `n` samples by straight lines: (n,) float32. Faster than `curve` for long `n`."""
    block = -(-n // (len(knots) - 1))
    knots = np.asarray(knots, dtype=np.float32)
    ramp = np.arange(block, dtype=np.float32) / np.float32(block)
    return (knots[:-1, None] + np.diff(knots)[:, None] * ramp).ravel()[:n]


# --- Room and levels -------------------------------------------------------------------------------------------


def echoes(y, delays_s, gains):
    """`y` and its reflections: copies that are `gains[i]` times as strong, `delays_s[i]` seconds later."""
    out = np.zeros(len(y) + samples(max(delays_s)))
    out[: len(y)] = y
    for delay_s, gain in zip(delays_s, gains, strict=True):
        add_at(out, gain * y, samples(delay_s))
    return out


def early_reflections(rng, y, size_s, strength):
    """`y` in a room whose first reflections arrive within `size_s` seconds, later ones weaker."""
    delays_s = np.sort(rng.uniform(0.1, 1.0, 5)) * size_s
    gains = strength * rng.choice([-1.0, 1.0], 5) * np.exp(-2 * delays_s / size_s)
    return echoes(y, delays_s, gains)


def add_at(out, y, onset):
    """Add `y` to `out` from sample `onset` on, as far as `out` reaches."""
    part = out[onset : onset + len(y)]
    part += y[: len(part)]


def loudest_rms(y):
    """RMS of the loudest of half-overlapping frames of about 46 ms, the level that a detector sees."""
    half = FRAME_SAMPLES // 2
    energy = np.add.reduceat(np.square(y), np.arange(0, len(y), half))
    pairs = energy[:-1] + energy[1:] if len(energy) > 1 else energy
    return float(np.sqrt(np.max(pairs) / FRAME_SAMPLES))


def end_at(y, n, drop_db=30.0):
    """The first `n` samples of `y`, with a decay of `drop_db` until there. The last 10 ms are faded.

    `y` is multiplied by an exponential of the slope c (dB per second) for which the level of the last 50 ms is
    `drop_db` below the highest level: the lowest c for which level(t) − level(n) + c·(t_n − t) = drop_db at any time t.
    """
    step = samples(0.010)
    energy = np.convolve(np.add.reduceat(np.square(y[:n]), np.arange(0, n, step)), np.ones(5), mode="valid")
    levels_db = 10 * np.log10(energy / energy[-1])
    left_s = 0.010 * np.arange(len(energy) - 1, 0, -1)
    slope_db = np.min((drop_db - levels_db[:-1]) / left_s)  # per second
    return fade(y[:n] * 10 ** (-slope_db / 20 * np.arange(n) / SAMPLE_RATE), 0.0, 0.010)
