"""Waveform → log filter-bank energies (LFBE); every conversion between frames and seconds (paper, Sec. 4).

Data flow: an array of samples comes in, (T, n_mels) features leave; `dataset` stores them, `decode`'s runs of
frames come back here to become seconds.

The paper gives "64 dimensional LFBEs from frames of 46 ms duration with shifts of 23 ms" of 44.1 kHz mono
audio. Where it is silent: periodic Hann window, power spectrum, Slaney's mel scale and area norm, natural
logarithm with a floor of 1e-10, no centring and no pre-emphasis.

    frame t     s_n = w_n · y[t·hop + n],   w_n = ½ − ½ cos(2πn / win),   n = 0 … win−1   (zeros up to n_fft)
    power       P_k = |Σ_n s_n exp(−2πi·kn / n_fft)|²,                    k = 0 … n_fft/2
    mel         mel(f) = 3f / 200                           below 1000 Hz
                       = 15 + 27 · ln(f / 1000) / ln 6.4    from there on
    bands       edges f_0 … f_{n_mels+1}, equally spaced in mel from 0 Hz to sr/2; triangle m rises from f_m
                to f_{m+1} and falls to f_{m+2}; its height 2 / (f_{m+2} − f_m) gives it area 1
    feature     x_tm = ln max(Σ_k triangle_m(k·sr / n_fft) · P_k, 1e-10)

At 44.1 kHz: win = 2029, hop = 1014 samples, n_fft = 2048, and a clip of 30 s has T = 1303 frames.
"""

import functools
import warnings
from typing import NamedTuple

import numpy as np

from data_tools.audio import HIGHEST_PEAK
from minirsed.kernels import is_compiled

SAMPLE_RATE = 44100  # Hz, paper Sec. 4
N_MELS = 64
WIN_S, HOP_S = 0.046, 0.023  # as in the paper
WIN, HOP = 2029, 1014  # the same in whole samples: a hop is 22.993 ms
POWER_FLOOR = 1e-10  # 100 dB under a band power of 1
BLOCK_FRAMES = 256  # frames worked on at a time: their samples take 1 or 2 MB


def lfbe(y, sr=SAMPLE_RATE, *, n_mels=N_MELS, win_s=WIN_S, hop_s=HOP_S, floor=POWER_FLOOR):
    """Log filter-bank energies, as the module docstring (paper, Sec. 4) and `tutorials/01_sound_to_lfbe.md` build them.

    Parameters
    ----------
    y : (samples,) or (samples, channels) float32 or float64
        Waveform in [−1, 1]. Channels are averaged.
    sr : float
        Sample rate of `y` in Hz; anything but 44,100 is resampled to it first.
    n_mels : int
        Bands from 0 to 22,050 Hz.
    win_s, hop_s : float
        Window length and distance between frames in seconds, rounded to samples at 44.1 kHz.
    floor : float
        Least power of a band.

    Returns
    -------
    (T, n_mels) float32
        Natural logarithms; frame t covers samples [t·hop, t·hop + win), T = `n_frames(samples)`. Samples
        after the last whole frame are left out; a clip shorter than a window is zero-padded to one frame.

    Raises
    ------
    ValueError
        `y` is empty, not floating point, of another shape, or holds NaN, Inf or samples far beyond full scale, as a
        file that is refused; a setting is out of range.

    Warns
    -----
    UserWarning
        Some bands are narrower than the FFT's resolution and hold no bin: they are ln floor throughout.

    Examples
    --------
    >>> y = 0.1 * np.random.default_rng(0).standard_normal(44100)
    >>> lfbe(y).shape, bool(np.allclose(lfbe(2 * y), lfbe(y) + 2 * np.log(2), atol=1e-4))  # a gain g adds 2 ln g
    ((42, 64), True)
    """
    win, hop = _window_and_hop(win_s, hop_s)
    if n_mels != int(n_mels) or n_mels < 1:
        raise ValueError(f"n_mels is {n_mels}: expected a whole number of bands, at least 1")
    y = checked_waveform(y)
    if not 0 < floor < np.inf:
        raise ValueError(f"floor is {floor}: expected a power above 0")
    if not (np.isfinite(sr) and sr > 0):
        raise ValueError(f"sr is {sr}: expected a sample rate in Hz, above 0")
    if sr != SAMPLE_RATE:
        from data_tools.audio import resample  # soxr is loaded only when needed

        y = resample(_mono(y), sr, SAMPLE_RATE)
    if len(y) < win:
        y = np.concatenate([_mono(y), np.zeros(win - len(y), y.dtype)])
    return _log_mel(y, int(n_mels), win, hop, floor)


def n_frames(n_samples):
    """Whole frames in `n_samples` at 44.1 kHz: 1 + ⌊(n − win) / hop⌋, and 1 for a clip shorter than a window.

    Raises
    ------
    ValueError
        `n_samples` is below 1.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples is {n_samples}: expected at least 1")
    return 1 + max(0, n_samples - WIN) // HOP


def frame_to_seconds(frame):
    """Time of the centre of a frame in seconds, (frame·hop + win/2) / 44100; a number or an array of them."""
    return (np.asarray(frame) * HOP + WIN / 2)[()] / SAMPLE_RATE


def seconds_to_frame(time_s):
    """Index of the frame whose centre is nearest to `time_s` (a number or an array of them), at least 0.

    Knows no clip length: the caller cuts it at T − 1. Halfway between two centres the later frame counts.
    """
    nearest = np.floor((np.asarray(time_s) * SAMPLE_RATE - WIN / 2) / HOP + 0.5)
    return np.maximum(nearest, 0).astype(np.int64)[()]


def event_frames(onset_s, offset_s, T):
    """Frames of an event: (onset_frame, offset_frame), offset exclusive, at least one frame within [0, T).

    They are the frames whose centre lies in [onset, offset). An event so short, or so near to an edge of the
    clip, that it holds no centre gets the one frame whose centre is nearest to its middle.

    Raises
    ------
    ValueError
        A time is NaN or negative, the offset lies before the onset, or T is below 1.
    """
    if T < 1:
        raise ValueError(f"T is {T}: expected at least one frame")
    if not 0 <= onset_s <= offset_s < np.inf:
        raise ValueError(f"onset_s, offset_s are {onset_s}, {offset_s}: expected 0 <= onset_s <= offset_s")
    centres = frame_to_seconds(np.arange(T))
    onset_frame, offset_frame = (int(i) for i in np.searchsorted(centres, [onset_s, offset_s], side="left"))
    if onset_frame == offset_frame:
        nearest = seconds_to_frame((onset_s + offset_s) / 2)
        onset_frame = min(int(nearest), T - 1)
        offset_frame = onset_frame + 1
    return onset_frame, offset_frame


def frame_labels(onset_s, offset_s, T):
    """Frame labels y_t of a clip with one event: 1 on its `event_frames`, 0 elsewhere (paper, Sec. 2).

    Parameters
    ----------
    onset_s, offset_s : float
        Seconds from the start of the clip; both NaN: a clip without an event.
    T : int
        Frames in the clip.

    Returns
    -------
    (T,) float32

    Raises
    ------
    ValueError
        As `event_frames`.

    Notes
    -----
    y_t = 1 if the centre (t·hop + win/2) / 44100 of frame t lies in [onset, offset). See
    `tutorials/01_sound_to_lfbe.md`.

    Examples
    --------
    >>> np.flatnonzero(frame_labels(0.1, 0.2, 20))
    array([4, 5, 6, 7])
    """
    labels = np.zeros(T, np.float32)
    if not (np.isnan(onset_s) and np.isnan(offset_s)):
        onset_frame, offset_frame = event_frames(onset_s, offset_s, T)
        labels[onset_frame:offset_frame] = 1
    return labels


def run_to_seconds(onset_frame, offset_frame):
    """Seconds (onset_s, offset_s) of a decoded run of frames [onset_frame, offset_frame).

    The boundary lies somewhere between the centres of the last silent and the first active frame; its middle,
    half a hop before the first active centre, is the guess of least error; the same holds at the offset.

    Raises
    ------
    ValueError
        The run is empty or starts before frame 0.
    """
    if not 0 <= onset_frame < offset_frame:
        raise ValueError(f"run of frames [{onset_frame}, {offset_frame}): expected 0 <= onset < offset")
    half_hop_s = HOP / 2 / SAMPLE_RATE
    return (
        float(frame_to_seconds(onset_frame) - half_hop_s),
        float(frame_to_seconds(offset_frame - 1) + half_hop_s),
    )


def mel_filter_bank(n_mels, n_fft):
    """Triangles of the module docstring at the FFT's bins: (n_mels, n_fft // 2 + 1) float64, in 1/Hz."""
    frequency_hz = np.arange(n_fft // 2 + 1) * (SAMPLE_RATE / n_fft)
    edges_hz = mel_to_hz(np.linspace(0.0, hz_to_mel(SAMPLE_RATE / 2), n_mels + 2))
    lower, centre, upper = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (frequency_hz - lower) / (centre - lower)
    falling = (upper - frequency_hz) / (upper - centre)
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (upper - lower))


def hz_to_mel(frequency_hz):
    """Slaney's mel scale (Auditory Toolbox, 1998): linear below 1000 Hz, logarithmic above."""
    frequency_hz = np.asarray(frequency_hz, np.float64)
    above = 15.0 + 27.0 * np.log(np.maximum(frequency_hz, 1000.0) / 1000.0) / np.log(6.4)
    return np.where(frequency_hz < 1000.0, 3.0 * frequency_hz / 200.0, above)


def mel_to_hz(mel):
    """Inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * 6.4 ** ((np.maximum(mel, 15.0) - 15.0) / 27.0))


def _window_and_hop(win_s, hop_s):
    """Window and hop in samples at 44.1 kHz."""
    if not (2 <= win_s * SAMPLE_RATE < np.inf and 1 <= hop_s * SAMPLE_RATE < np.inf):
        raise ValueError(f"win_s is {win_s}, hop_s {hop_s}: expected at least 2 and 1 samples at 44.1 kHz")
    return round(win_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)


def checked_waveform(y):
    """`y` as an array, or a ValueError that says what is wrong with it."""
    y = np.asarray(y)
    if y.dtype.newbyteorder("=") not in (np.float32, np.float64):
        hint = "; scale integers to [-1, 1], e.g. y / 32768 for 16 bits" if y.dtype.kind in "iu" else ""
        raise ValueError(f"y has dtype {y.dtype}: expected float32 or float64{hint}")
    if y.ndim not in (1, 2):
        raise ValueError(f"y has shape {y.shape}: expected (samples,) or (samples, channels)")
    if y.size == 0:
        raise ValueError(f"y has shape {y.shape}: expected at least one sample")
    if y.ndim == 2 and y.shape[1] > y.shape[0]:
        raise ValueError(f"y has shape {y.shape}: expected (samples, channels), is it transposed?")
    step = 1 << 16  # in pieces, so that an hour of audio needs no hour of booleans
    for first in range(0, len(y), step):
        piece = y[first : first + step]
        peak = np.maximum(piece.max(), -piece.min())  # NaN if any sample is
        if not np.isfinite(peak):
            raise ValueError(f"y holds NaN or Inf, first at sample {first + np.argwhere(~np.isfinite(piece))[0, 0]}")
        if peak > HIGHEST_PEAK:
            raise ValueError(f"y has samples up to {peak:.3g}; full scale is 1, expected at most {HIGHEST_PEAK:g}")
    return y


def _mono(y):
    return y if y.ndim == 1 else y.mean(axis=1, dtype=np.float64)


class Tables(NamedTuple):
    """Constants of one setting; shapes as the functions below use them, all float64 or int64."""

    window: np.ndarray  # (win,)
    bank: np.ndarray  # (n_mels, n_fft // 2 + 1)
    first_bin: np.ndarray  # (n_mels,), of the bins that are not zero
    last_bin: np.ndarray  # (n_mels,), exclusive
    row_of_bin: np.ndarray  # (n_fft // 2,), see `minirsed.kernels.filter_bank.fft_in_place`
    cosine: np.ndarray  # (n_fft,), of 2πk / n_fft
    sine: np.ndarray


@functools.lru_cache(maxsize=8)
def tables(n_mels, win):
    """Window, filter bank and what the FFT needs, for n_fft the next power of two from `win` on."""
    n_fft = 1 << (win - 1).bit_length()
    bank = mel_filter_bank(n_mels, n_fft)
    filled = bank > 0
    if not filled.any(axis=1).all():
        empty = n_mels - int(filled.any(axis=1).sum())
        warnings.warn(f"{empty} of {n_mels} mel bands hold no bin of the {n_fft}-point FFT", stacklevel=4)
    first_bin = filled.argmax(axis=1)
    row_of_bin, digits, n = np.zeros(n_fft // 2, np.int64), np.arange(n_fft // 2), n_fft // 2
    while n > 1:  # the digits of k in base 4 (the last in base 2 if need be), reversed
        radix = 4 if n >= 4 else 2
        n //= radix
        row_of_bin += digits % radix * n
        digits //= radix
    angle = 2 * np.pi * np.arange(n_fft) / n_fft
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    return Tables(window, bank, first_bin, first_bin + filled.sum(axis=1), row_of_bin, np.cos(angle), np.sin(angle))


def band_energies_numpy(samples, T, hop, constants):
    """Energies in mel bands of T frames, the definition: (samples,) → (T, n_mels) float64."""
    from scipy import fft  # here, so that importing this module stays cheap

    win, n_fft = len(constants.window), len(constants.cosine)
    frames = np.lib.stride_tricks.sliding_window_view(samples, win)[: T * hop : hop]  # (T, win), a view
    spectrum = fft.rfft(frames * constants.window, n_fft)  # (T, n_fft // 2 + 1)
    return (spectrum.real**2 + spectrum.imag**2) @ constants.bank.T


def band_energies_compiled(samples, T, hop, constants):
    """The same by `minirsed.kernels.filter_bank`, several times as fast."""
    from minirsed.kernels import filter_bank

    if not filter_bank.COMPILED:
        return band_energies_numpy(samples, T, hop, constants)
    padded = -T % filter_bank.LANES  # frames of zeros that fill the last group
    if padded:
        needed = (T + padded - 1) * hop + len(constants.window)
        samples = np.concatenate([samples, np.zeros(max(0, needed - len(samples)), samples.dtype)])
    energies = np.empty((T + padded, len(constants.bank)))
    filter_bank.band_energies(samples, hop, *constants, energies)
    return energies[:T]


def _log_mel(y, n_mels, win, hop, floor):
    """Features of a checked 44.1 kHz waveform of at least `win` samples, a block of frames at a time.

    Beyond `y` and the (T, n_mels) result it needs the memory of one block, whatever the length of `y`.
    """
    constants = tables(n_mels, win)
    band_energies = band_energies_compiled if is_compiled() else band_energies_numpy
    T = 1 + (len(y) - win) // hop
    log_mel = np.empty((T, n_mels), np.float32)
    for first in range(0, T, BLOCK_FRAMES):
        last = min(first + BLOCK_FRAMES, T)
        samples = _mono(y[first * hop : (last - 1) * hop + win])
        samples = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
        energies = band_energies(samples, last - first, hop, constants)
        log_mel[first:last] = np.log(np.maximum(energies, floor))
    return log_mel
