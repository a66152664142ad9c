"""What a network sees of the features: all of the paper's LFBE, or only what another microphone leaves as it was.

Data flow: features → **inputs** → detector (which normalises) → model; clips → **inputs** → members.

`lfbe`      The paper's: every band of every frame (Sec. 4). The level of a recording and the bandwidth of its
            microphone are part of it, and a network learns them as if they were part of the sound.

`relative`  From the power P_tm = exp(LFBE_tm) of the bands up to 8 kHz, which a recording at 16 kHz holds as well:

    pairs     P_im ← (P_{2i,m} + P_{2i+1,m}) / 2                        (an odd last frame stands alone): 46 ms
    level     L_i  = Σ_m w_m P_im / Σ_m w_m                             power per hertz, w_m the width of band m
    running   M_i  = Σ_{k ≤ i} a^(i−k) L_k / Σ_{k ≤ i} a^(i−k),         a = exp(−46 ms / 10 s)
    inputs    x_im = ln(P_im / M_i + 1e-6)

A gain g multiplies P and M alike, so x does not know it: the inputs are the same, whatever the level. M looks back
only, so a stream can have it; its denominator is Adam's bias correction (Kingma and Ba 2015), so that the first seconds
are like any others. It is one mean for all bands, which leaves the colour of the background in place. 1e-6 puts a floor
60 dB under the level.

`pcen`      Per-channel energy normalisation (Wang et al., "Trainable frontend for robust and far-field keyword
            spotting", ICASSP 2017, eq. 1 and 2), of the same pairs P_im of the bands up to 8 kHz:

    running   M_im = Σ_{k ≤ i} a^(i−k) P_km / Σ_{k ≤ i} a^(i−k),        a = exp(−46 ms / 0.4 s)
    inputs    x_im = (P_im / (ε + M_im)^α + δ)^r − δ^r

Each band has a mean of its own, so the colour of a steady background goes as well, and what is left is what changes
within half a second. The root takes the place of the logarithm, and δ hides what is weak against the background. M is
Wang's M_i = (1 − s) M_{i−1} + s P_i with a = 1 − s, but for the first frames. A gain g is divided out up to g^(1−α): of
24 dB, half a decibel is left in P / M^α. That, and ε where a recording is nearly silent, is all that x knows of it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minirsed.features import HOP, POWER_FLOOR, SAMPLE_RATE, hz_to_mel, mel_to_hz
from minirsed.kernels import is_compiled

RATE = 2  # frames of LFBE in a frame of `relative`
HIGHEST_HZ = 8000.0
TAU_S = 10.0
RELATIVE_FLOOR = 1e-6
FORGET = np.exp(-RATE * HOP / SAMPLE_RATE / TAU_S)

# Of PCEN as Wang et al. give them (Sec. 3), without training them.
PCEN_TAU_S = 0.4  # seconds: s = 0.025 of frames of 10 ms, −10 ms / ln(1 − s)
PCEN_FORGET = np.exp(-RATE * HOP / SAMPLE_RATE / PCEN_TAU_S)
PCEN_GAIN = 0.98  # α, no unit
PCEN_OFFSET = 2.0  # δ, in units of P / M^α, which is about 1 in steady sound
PCEN_ROOT = 0.5  # r, no unit
PCEN_FLOOR = 1e-13  # ε, power: theirs is 1e-6 of another scale; here it is that of digital silence, see INPUTS


class Inputs(NamedTuple):
    """A kind of inputs."""

    power_floor: float  # of the LFBE that it is made from
    rate: int  # frames of LFBE in one of its own
    function: Callable | None = None  # of power, as `relative`; None: LFBE as they are

    def n_inputs(self, n_mels):
        """Numbers in a frame, D, of LFBE in n_mels bands."""
        return n_mels if self.function is None else n_bands(n_mels)

    def of_power(self, power, n_mels):
        """(…, T, ≥ D) power of the first of n_mels bands → (…, ⌈T / rate⌉, D) float32."""
        if self.function is None:
            return np.log(np.maximum(power, self.power_floor)).astype(np.float32)
        return self.function(power[..., : n_bands(n_mels)], n_mels)[0]

    def of_lfbe(self, features, past=None):
        """(…, T, n_mels) LFBE → (…, ⌈T / rate⌉, D), and what the next call wants as `past`, see `relative`."""
        if self.function is None:
            return features, None
        n_mels = features.shape[-1]
        return self.function(np.exp(features[..., : n_bands(n_mels)]), n_mels, past)


def band_edges_hz(n_mels):
    """Edges f_0 … f_{n_mels+1} of `minirsed.features`: (n_mels + 2,) float64."""
    return mel_to_hz(np.linspace(0.0, hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))


def n_bands(n_mels):
    """How many of `n_mels` bands end at 8 kHz or below, at least 1: 48 of 64."""
    return max(1, int((band_edges_hz(n_mels)[2:] <= HIGHEST_HZ).sum()))


def band_widths_hz(n_mels):
    """w_m: (n_mels,) float32, half the foot of each triangle."""
    edges = band_edges_hz(n_mels)
    return ((edges[2:] - edges[:-2]) / 2).astype(np.float32)


def relative(power, n_mels, past=None):
    """Inputs x of the module docstring, `relative`.

    Parameters
    ----------
    power : (…, T, D) float32
        Power of the first D of `n_mels` bands, above 0.
    n_mels : int
    past : ndarray, optional
        What an earlier call gave for the frames before these, an even number of them; default: there are none.

    Returns
    -------
    x : (…, ⌈T/2⌉, D) float32
    past : (2, …, 1) float64
        a times numerator and denominator of M_i after the last frame.
    """
    power = average_pairs(power)
    widths = band_widths_hz(n_mels)[: power.shape[-1]]
    mean, past = running_mean((power @ (widths / widths.sum())).astype(np.float64), FORGET, past)
    x = np.log(power / mean.astype(np.float32)[..., None] + np.float32(RELATIVE_FLOOR))
    return x, past


def pcen(power, n_mels, past=None):
    """Inputs x of the module docstring, `pcen`; of any number of bands.

    Parameters
    ----------
    power, n_mels, past : as in `relative`

    Returns
    -------
    x : (…, ⌈T/2⌉, D) float32
    past : (2, …, D, 1) float64
        a times numerator and denominator of M_im after the last frame.
    """
    power = average_pairs(power)
    mean, past = running_mean(np.swapaxes(power, -1, -2).astype(np.float64), PCEN_FORGET, past)
    ratio = power * np.swapaxes((PCEN_FLOOR + mean) ** -PCEN_GAIN, -1, -2).astype(np.float32)
    return np.float32(PCEN_OFFSET**PCEN_ROOT) * (np.sqrt(1 + ratio / np.float32(PCEN_OFFSET)) - 1), past


def running_mean(values, forget, past=None):
    """Mean of all values so far, each weighing `forget` times as much as the next.

    Parameters
    ----------
    values : (…, T) float64
    forget : float in (0, 1)
        a.
    past : ndarray, optional
        As returned for the values before these.

    Returns
    -------
    mean : (…, T) float64
    past : (2, …, 1) float64
        a times the sum of weighted values, and of weights, after the last value.
    """
    if past is None:
        past = np.zeros((2, *values.shape[:-1], 1))
    above, past_above = decayed_sums(values, forget, past[0])
    below, past_below = decayed_sums(np.ones_like(values), forget, past[1])
    return above / below, np.stack([past_above, past_below])


def decayed_sums(values, forget, past):
    """Sums s_i = Σ_{k ≤ i} a^(i−k) v_k of (…, T) float64, and a · s of the last, (…, 1): the next call's `past`."""
    sums, own = np.empty((values[..., 0].size, values.shape[-1])), past.flatten()
    if is_compiled():
        from minirsed.kernels.running import decayed_sums as fill
    else:
        fill = decayed_sums_numpy
    fill(np.ascontiguousarray(values).reshape(sums.shape), forget, own, sums)
    return sums.reshape(values.shape), own.reshape(past.shape)


def decayed_sums_numpy(x, forget, past, sums):
    """What `minirsed.kernels.running.decayed_sums` does, one frame of all rows at a time."""
    for t in range(x.shape[1]):
        sums[:, t] = x[:, t] + past
        past[:] = forget * sums[:, t]


def average_pairs(power):
    """Average neighbouring frames: (…, T, M) → (…, ⌈T/2⌉, M); an odd last frame stands alone."""
    n_paired = power.shape[-2] // RATE * RATE
    pairs = (power[..., 0:n_paired:RATE, :] + power[..., 1:n_paired:RATE, :]) / 2
    return np.concatenate([pairs, power[..., n_paired:, :]], axis=-2)


# Their floor is 130 dB under full scale: at that of the paper a quiet recording would lose its colour.
INPUTS = {
    "lfbe": Inputs(POWER_FLOOR, 1),
    "relative": Inputs(1e-13, RATE, relative),
    "pcen": Inputs(1e-13, RATE, pcen),
}
