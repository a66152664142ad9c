"""What happens to a sound in another place, as random changes of its power in mel bands.

Data flow: spectra → **changes** → clips. Power is (frames, bands) float32. The paper has none of these changes, and
neither have its presets.
"""

import numpy as np

from minirsed.features import HOP, SAMPLE_RATE
from minirsed.listening.inputs import band_edges_hz
from minirsed.outside.spectra import FRAMES_BEFORE, LEAST_POWER

NATS_PER_DB = np.log(10) / 10
TERM_WEIGHTS = np.array([1.0, 1.0, 0.7, 0.5])  # as in `minirsed.augmentation.colouring`
STOPPED = np.float32(1e-8)  # what a low-pass leaves, −80 dB
LONGEST_TAIL = 40  # frames that a room adds, 0.9 s


def stretched(power, speed, shift):
    """Another voice, another glass: played `speed` times as fast, and `shift` bands higher.

    Time and pitch are changed apart, by linear interpolation of the log power: frame 4 + i (the sound's first is 4)
    comes from 4 + i · speed, band m from m − shift; what comes from beyond the lowest or highest band is empty. The
    sound becomes 1 / speed times as long. After the time warp of SpecAugment (Park et al. 2019) and vocal tract length
    perturbation (Jaitly and Hinton 2013), both reduced to their linear part.
    """
    log_power = np.log(np.maximum(power, LEAST_POWER))
    n_frames, n_bands = power.shape
    n = int(FRAMES_BEFORE + (n_frames - 1 - FRAMES_BEFORE) / speed) + 1
    row = np.concatenate([np.arange(FRAMES_BEFORE), FRAMES_BEFORE + np.arange(n - FRAMES_BEFORE) * speed])
    log_power = _between(log_power, row)
    band = np.arange(n_bands) - shift
    log_power = _between(log_power.T, band).T
    log_power[:, (band < -0.5) | (band > n_bands - 0.5)] = np.log(LEAST_POWER)
    return np.exp(log_power)


def pieces(power, n_kept, n_times, n_pause):
    """A cry that breaks off, shots in a row: the first `n_kept` frames of an event, `n_times`, with pauses between.

    The sound starts at the first sample of frame F = 4, and a frame is two hops long. So cut after n_kept hops it fills
    frames F … F + n_kept − 2, half of frame F + n_kept − 1, and as ever half of frame F − 1; half a frame, half the
    power. It always begins as it did: a shot without its bang would be another sound. Copies add up,

        E'_t = Σ_{j < n_times} C_{t − j (n_kept + n_pause)},    C the cut event,

    and one label covers them all, pauses too. The cut itself makes no click, as one of the waveform would. The rule is
    this project's own and has no source.

    Parameters
    ----------
    power : (frames, bands) float32
    n_kept, n_times, n_pause : int
        Hops, at least 1; copies, at least 1; hops.

    Returns
    -------
    (FRAMES_BEFORE + n_times · (n_kept + n_pause) − n_pause, bands) float32
    """
    cut = power[: FRAMES_BEFORE + n_kept].copy()
    cut[FRAMES_BEFORE + n_kept - 1 :] *= np.float32(0.5)
    every = n_kept + n_pause
    repeated = np.zeros((FRAMES_BEFORE + n_times * every - n_pause, power.shape[1]), np.float32)
    for j in range(n_times):
        repeated[j * every : j * every + len(cut)] += cut
    return repeated


def _between(values, position):
    """Rows of (n, m) values at fractional positions, linearly interpolated."""
    low = np.clip(np.floor(position).astype(np.int64), 0, max(len(values) - 2, 0))
    share = np.clip(position - low, 0, 1).astype(np.float32)[:, None]
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share


def equaliser(rng, s_db, n_bands):
    """Another microphone: a smooth random gain of every band, (n_bands,) float32 factors of power.

    exp(Σ_o c_o cos(π o (m + ½) / M)), o = 0 … 3: level, tilt and two bends, c_o ~ N(0, (w_o s)²) in dB.
    """
    band = (np.arange(n_bands) + 0.5) / n_bands
    terms = np.cos(np.pi * np.arange(len(TERM_WEIGHTS))[:, None] * band)
    gains = (rng.standard_normal(len(TERM_WEIGHTS)) * TERM_WEIGHTS) @ terms
    return np.exp(s_db * NATS_PER_DB * gains).astype(np.float32)


def low_pass(cutoff_hz, n_mels, n_bands):
    """A telephone, a codec, air: (n_bands,) float32 factors of power, 1 up to the cutoff and 1e-8 above it."""
    centre_hz = band_edges_hz(n_mels)[1:-1][:n_bands]
    return np.where(centre_hz < cutoff_hz, np.float32(1), STOPPED)


def reverberated(power, t60_s, direct_db):
    """A room: each frame leaves an exponentially decaying tail behind it (after Schroeder, 1965).

    E'_t = E_t + (1 − d) / (d R) Σ_{k ≥ 1} d^k E_{t−k},   d = 10^(−6 hop / T60): the whole tail has 1/R of the energy of
    E_t, where R is the direct-to-reverberant ratio, `direct_db` in dB. The tail adds up to 40 frames; the label stays.
    """
    from scipy.signal import lfilter

    decay = 10.0 ** (-6 * HOP / SAMPLE_RATE / t60_s)
    n_tail = min(int(t60_s / 2 * SAMPLE_RATE / HOP), LONGEST_TAIL)
    power = np.concatenate([power, np.zeros((n_tail, power.shape[1]), np.float32)])
    share = (1 - decay) / 10.0 ** (direct_db / 10)
    return power + lfilter([0.0, share], [1.0, -decay], power, axis=0).astype(np.float32)


def noisy(inputs, rng, std):
    """Add Gaussian noise to normalised inputs (B, T, D) float32, in place.

    What differs by less than it cannot be learnt by heart: to second order it is a penalty on how steeply the outputs
    depend on the inputs (Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995).
    """
    if std > 0:
        inputs += np.float32(std) * rng.standard_normal(inputs.shape, dtype=np.float32)
    return inputs


def masked(inputs, rng, most_bands):
    """Set up to `most_bands` neighbouring bands of each normalised clip (B, T, D) to 0, in place (SpecAugment)."""
    for clip in inputs:
        width = rng.integers(min(most_bands, clip.shape[1]) + 1)
        first = rng.integers(clip.shape[1] - width + 1)
        clip[:, first : first + width] = 0
    return inputs
