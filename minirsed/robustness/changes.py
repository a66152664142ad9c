"""What another recorder, room or file format does to a recording, and noises in which nothing is to be found.

Data flow: a rendered mixture → **changes** → `measure` hands it to the detector. Each change is one function
(y, sr, rng) → (y, sr): a waveform of any length at one rate comes in, a waveform and its rate leave. None of them moves
an onset by more than a millisecond, so the true events of the mixture remain true. Nothing is clipped: a gain of +24 dB
takes samples beyond ±1, since it asks about level and not about distortion.

A mixture is changed as a whole, its background too, as a recorder would: the recordings that it is made of have been
through one microphone and one room already.
"""

import functools
import io

import numpy as np

from data_tools.audio import resample, rms
from data_tools.errors import InputError

LOWPASS_ORDER = 16  # of the Butterworth magnitude: −3 dB at the cutoff, −96 dB an octave above it
PAD_S = 0.1  # zeros after a waveform that is filtered by its spectrum, so that its end does not reach its beginning
LOWEST_HZ = 20.0  # below it nothing is heard: a tilt stays constant, a coloured noise is silent
TILT_PIVOT_HZ = 1000.0  # where a tilt changes nothing

MP3 = {
    **{"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT"},
    "compression_level": 0.99,  # measured: 32.0 kbit/s at 44.1 kHz; libsndfile 1.2.2 refuses 1
}
MP3_DELAY = 1105  # samples: 576 of the encoder and 529 of the decoder, where the file does not say so itself

T60_S = 0.3  # time in which the reverberation falls by 60 dB: a furnished room in a house
FIRST_REFLECTION_S = 0.003  # after the direct sound: a detour of a metre
DIRECT_TO_REVERBERANT_DB = (0.0, 6.0)  # range: one to two metres from the source

HUM_HZ, N_HARMONICS = 50.0, 10
HUM_DB = 0.0  # its RMS relative to that of the mixture: as loud as all else

NOISE_RMS = 0.1  # of full scale, −20 dB


# ---- changes


def plain(y, sr, rng):
    """The mixture as it is."""
    return y, sr


def gain(y, sr, rng, *, gain_db):
    """Another level: y · 10^(gain_db / 20), not clipped."""
    return y * 10 ** (gain_db / 20), sr


def source_rate(y, sr, rng, *, rate_hz):
    """A recorder of another sample rate: nothing above half of it is left, and the detector is given that rate."""
    return resample(y, sr, rate_hz), rate_hz


def low_pass(y, sr, rng, *, cutoff_hz):
    """A narrow-band microphone or line at an unchanged rate: Butterworth's magnitude, no delay."""
    return _filtered(y, sr, lambda frequency_hz: (1 + (frequency_hz / cutoff_hz) ** (2 * LOWPASS_ORDER)) ** -0.5), sr


def tilt(y, sr, rng, *, slope_db):
    """A duller or brighter microphone: `slope_db` dB of gain a decade about 1 kHz, constant below 20 Hz, no delay."""

    def amplitude(frequency_hz):
        decades = np.log10(np.maximum(frequency_hz, LOWEST_HZ) / TILT_PIVOT_HZ)
        return 10 ** (slope_db / 20 * decades)

    return _filtered(y, sr, amplitude), sr


def mp3(y, sr, rng):
    """Encoded as MP3 of 32 kbit/s and decoded again; as long as before, and the delay of the codec taken away.

    Raises
    ------
    InputError
        This libsndfile cannot write it.
    """
    import soundfile

    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, y, sr, **MP3)
    except (soundfile.LibsndfileError, ValueError) as error:  # ValueError: it does not know the format at all
        version = soundfile.__libsndfile_version__
        raise InputError(f"libsndfile {version} writes no MP3 of 32 kbit/s: {error}") from error
    buffer.seek(0)
    decoded, sr = soundfile.read(buffer)
    delay = MP3_DELAY if len(decoded) > len(y) else 0
    return decoded[delay : delay + len(y)], sr


def small_room(y, sr, rng):
    """The sound of a loudspeaker in a small room: its direct sound, then decaying noise (`room_response`)."""
    from scipy.signal import oaconvolve

    return oaconvolve(y, room_response(sr, rng))[: len(y)], sr


def room_response(sr, rng):
    """Impulse response of a room by rule (Polack 1988): a pulse at 0, then Gaussian noise that decays exponentially.

        h_0 = 1,    h_n ∝ N(0, 1) · 10^(−3 t / T60),    t = n / sr ≥ 3 ms,   T60 = 0.3 s

    The energy of the noise follows from a direct-to-reverberant ratio that is drawn from 0 … 6 dB; then all of it is
    divided by the root of the energy, so that noise keeps its level.

    Parameters
    ----------
    sr : int
        Sample rate in Hz.
    rng : numpy.random.Generator

    Returns
    -------
    (T60 · sr,) float64
    """
    time_s = np.arange(round(T60_S * sr)) / sr
    tail = np.where(time_s >= FIRST_REFLECTION_S, rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / T60_S), 0.0)
    ratio_db = rng.uniform(*DIRECT_TO_REVERBERANT_DB)
    tail *= 10 ** (-ratio_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail / np.sqrt(np.sum(tail**2))


def hum(y, sr, rng):
    """A mains hum: 50 Hz and its harmonics up to 500 Hz, k-th amplitude ∝ 1/k, phases at random, as loud as y."""
    time_s = np.arange(sr) / sr  # one second, whole periods of all of them: it can be repeated
    phases = rng.uniform(0, 2 * np.pi, N_HARMONICS)
    harmonics = [np.sin(2 * np.pi * HUM_HZ * k * time_s + phase) / k for k, phase in enumerate(phases, 1)]
    added = np.resize(np.sum(harmonics, axis=0), len(y))
    return y + added * (rms(y) * 10 ** (HUM_DB / 20) / rms(added)), sr


CHANGES = {
    "plain": plain,
    **{f"gain {gain_db:+d} dB": functools.partial(gain, gain_db=gain_db) for gain_db in (-24, -12, 12, 24)},
    **{
        f"source at {rate_hz / 1000:g} kHz": functools.partial(source_rate, rate_hz=rate_hz)
        for rate_hz in (8000, 11025, 16000, 22050)
    },
    **{f"low-pass {hz / 1000:g} kHz": functools.partial(low_pass, cutoff_hz=hz) for hz in (4000, 7500)},
    "MP3, 32 kbit/s": mp3,
    **{f"tilt {slope_db:+d} dB a decade": functools.partial(tilt, slope_db=slope_db) for slope_db in (-6, 6)},
    "small room": small_room,
    f"hum at {HUM_DB:g} dB": hum,
}


def changes_here():
    """The changes that this machine can make, and notes on what it cannot.

    Returns
    -------
    names : list of str
        Keys of `CHANGES`.
    notes : list of str
    """
    names, notes = list(CHANGES), []
    try:
        mp3(np.zeros(4410), 44100, None)
    except InputError as error:
        names.remove("MP3, 32 kbit/s")
        notes.append(f"MP3 left out: {error}")
    return names, notes


# ---- sounds in which there is nothing to find


def noise(duration_s, sr, rng, *, decay_db):
    """Gaussian noise whose power falls by `decay_db` dB a decade: 0 white, 10 pink, 20 brown.

    Parameters
    ----------
    duration_s : float
    sr : int
        Sample rate in Hz; the noise reaches up to half of it.
    rng : numpy.random.Generator
    decay_db : float

    Returns
    -------
    (duration_s · sr,) float64
        RMS 0.1. Where its power falls, nothing below 20 Hz: brown noise would be little else.
    """

    def amplitude(frequency_hz):
        shape = 10 ** (-decay_db / 20 * np.log10(np.maximum(frequency_hz, LOWEST_HZ) / TILT_PIVOT_HZ))
        return np.where(frequency_hz < LOWEST_HZ, 0.0, shape) if decay_db else shape

    y = _filtered(rng.standard_normal(round(duration_s * sr)), sr, amplitude)
    return y * (NOISE_RMS / rms(y))


def silence(duration_s, sr, rng):
    """Digital zero: (duration_s · sr,) float64."""
    return np.zeros(round(duration_s * sr))


GUARDS = {
    "white noise": functools.partial(noise, decay_db=0.0),
    "pink noise": functools.partial(noise, decay_db=10.0),
    "brown noise": functools.partial(noise, decay_db=20.0),
    "silence": silence,
}
GUARD_S, GUARD_RATES_HZ = 30.0, (8000, 16000, 44100)


def _filtered(y, sr, amplitude):
    """Multiply the spectrum of a waveform by a real `amplitude(frequency_hz)`; the length stays, nothing is delayed."""
    from scipy import fft

    n = fft.next_fast_len(len(y) + round(PAD_S * sr), real=True)
    return fft.irfft(fft.rfft(y, n) * amplitude(fft.rfftfreq(n, 1 / sr)), n)[: len(y)]
