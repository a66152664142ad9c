"""Read sound files as mono at 44.1 kHz, the first step of every mixture (paper, Sec. 4).

    file → read_audio → (samples,) float64 at 44.1 kHz → soundbank, mixing

`data_tools.sound_blocks` reads files too long for the memory, `data_tools.live_sound` sound as it arrives.

Values are those of the official DCASE 2017 synthesizer's loader: integer PCM is divided by 2^(bits - 1), float files
are taken as they are, and channels are averaged *before* resampling.
"""

import contextlib
import math
import os
import threading
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import require_file

SAMPLE_RATE = 44100  # Hz; every mixture and every model of this project
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")  # what libsndfile decodes everywhere
CLIP_S = 30.0  # seconds: the length of a mixture, and of the pieces of a long background
RESAMPLERS = ("soxr", "kaiser_best")
HIGHEST_PEAK = 100.0  # full scale is 1; a file with larger floats is not a waveform, or one that was never scaled
_hush = threading.Lock()  # two threads must not take each other's nowhere for standard error


def read_audio(path, sr=SAMPLE_RATE, *, resampler="soxr", start_s=0.0, duration_s=None):
    """Read a sound file, or a part of it, as mono at `sr`.

    Parameters
    ----------
    path : str or Path
        Any file that libsndfile decodes (WAV, FLAC, Ogg, MP3 …), any rate, depth and number of channels.
    sr : int or None
        Rate of the result in Hz; None keeps the rate of the file.
    resampler : {"soxr", "kaiser_best"}
        See `resample`.
    start_s, duration_s : float, float or None
        Part to read, in seconds; only that part is decoded. A duration of None means up to the end of the file.

    Returns
    -------
    (samples,) float64, usually in [-1, 1]; float files may go beyond, up to `HIGHEST_PEAK`.

    Raises
    ------
    InputError
        The file is missing, a folder, not audio, damaged or empty, or has samples that are NaN, infinite or above
        `HIGHEST_PEAK` (16-bit values written as floats, for example: a model would learn their loudness). The message
        names the file. (libsndfile reads a WAV, MP3 or Ogg file whose end is missing as a shorter file.)
    """
    y, sr_native = _read_native(path, start_s, duration_s)
    return y if sr is None else resample(y, sr_native, sr, resampler=resampler)


def _read_native(path, start_s, duration_s):
    """Samples at the rate of the file, and that rate."""
    with open_sound(path) as file:
        sr = file.samplerate
        first = min(int(start_s * sr), file.frames)
        wanted = file.frames - first if duration_s is None else min(math.ceil(duration_s * sr), file.frames - first)
        if wanted <= 0:
            raise InputError(f"{path}: no samples" + (f" from {start_s} s on" if start_s else ""))
        y = _decode(file, path, first, wanted)
    if len(y) == 0:
        raise InputError(f"{path}: no samples could be decoded")
    y = to_mono(y)
    if fault := fault_of(y):
        raise InputError(f"{path}: {fault}")
    return y, sr


def fault_of(y):
    """Say what makes samples unusable: NaN, Inf or a peak above `HIGHEST_PEAK`. None if they are usable."""
    peak = np.maximum(y.max(initial=0.0), -y.min(initial=0.0))  # NaN if any sample is
    if not np.isfinite(peak):
        return "has NaN or infinite samples"
    if peak > HIGHEST_PEAK:
        return f"has samples up to {peak:.3g}; full scale is 1, expected at most {HIGHEST_PEAK:g}"
    return None


def audio_header(path):
    """Length and rate of a sound file from its header: `(n_frames, sr)`. InputError: missing, no audio, no samples."""
    with open_sound(path) as file:
        if file.frames <= 0:
            raise InputError(f"{path}: no samples")
        return file.frames, file.samplerate


def resample(y, sr_in, sr_out, *, resampler="soxr"):
    """Resample a signal. The same array is returned if the rates are equal.

    Parameters
    ----------
    y : (samples,) float64
    sr_in, sr_out : int
        Rates in Hz.
    resampler : {"soxr", "kaiser_best"}
        "soxr": the high quality of soxr, which librosa >= 0.10 uses. "kaiser_best": the filter that libraries had in
        2017, for mixtures equal to the official ones to one step of 24 bits (`data_tools.resampling`).

    Returns
    -------
    (ceil(samples * sr_out / sr_in),) float64: librosa's rule for the length.

    Raises
    ------
    ValueError
        The resampler is unknown, a rate is not positive, or `y` is not one-dimensional.
    """
    if resampler not in RESAMPLERS:
        raise ValueError(f"resampler must be one of {', '.join(RESAMPLERS)}, not {resampler!r}")
    if sr_in <= 0 or sr_out <= 0:
        raise ValueError(f"sample rates must be positive, not {sr_in} and {sr_out} Hz")
    y = np.asarray(y, dtype=np.float64)
    if y.ndim != 1:
        raise ValueError(f"y must have one dimension, (samples,), not shape {y.shape}")
    if sr_in == sr_out:
        return y
    n_out = math.ceil(len(y) * (sr_out / sr_in))  # librosa's own float arithmetic
    if resampler == "kaiser_best":
        from data_tools.resampling import kaiser_best

        resampled = kaiser_best(y, sr_in, sr_out)
    else:
        import soxr

        resampled = soxr.resample(y, sr_in, sr_out, quality="HQ")
    if len(resampled) < n_out:
        return np.concatenate([resampled, np.zeros(n_out - len(resampled))])
    return resampled[:n_out]


def open_sound(path):
    """Open a `soundfile.SoundFile`. InputError: it cannot be opened; the message says why."""
    import soundfile

    path = Path(path)
    require_file(path)
    try:
        # as bytes where it can be: soundfile would encode strictly a name that is not UTF-8
        with hushed():
            return soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: ".raw" and the like, without a header
        reason = reason_of(error)
        if "does not exist" in reason:  # what libsndfile says of an MP3 without a frame of sound
            reason = "Format not recognised"
        raise InputError(f"{path}: not a readable sound file ({reason})") from error


@contextlib.contextmanager
def hushed(is_needed=True):
    """Context: what a library writes to standard error past Python goes nowhere.

    libmpg123 comments on every frame of an MP3 that is not as it should be; what matters of it comes as an error.
    """
    with _hush:
        try:
            kept = os.dup(2) if is_needed else None
        except OSError:  # closed, as in a service
            kept = None
        if kept is None:
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def _decode(file, path, first, wanted):
    """Decode frames [first, first + wanted) as (frames, channels) float64."""
    import soundfile

    try:
        with hushed(file.format == "MP3"):
            file.seek(first)
            return file.read(wanted, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: damaged sound file ({reason_of(error)})") from error


def to_mono(y):
    """Mean of the channels: (frames, channels) → (frames,)."""
    return sum(y.T[1:], start=y[:, 0]) / y.shape[1]  # column by column: 15 times as fast as a mean over short rows


def rms(x):
    """Root mean square of a signal, a float."""
    return float(np.sqrt(np.mean(np.square(x))))


def reason_of(error):
    """The message of an error of libsndfile, without prefix and full stop."""
    return getattr(error, "error_string", str(error)).strip().rstrip(".")
