"""Read sound files as mono at 44.1 kHz, the first step of every mixture (paper, Sec. 4).

    file → read_audio → (samples,) float64 at 44.1 kHz → soundbank, mixing

`data_tools.sound_blocks` reads files too long for the memory, `data_tools.live_sound` sound as it arrives.

Values are those of the official DCASE 2017 synthesizer's loader: integer PCM is divided by 2^(bits - 1), float files
are taken as they are, and channels are averaged *before* resampling. Only where they cancel each other, one of them
is taken instead (`data_tools.downmix`).
"""

import contextlib
import functools
import math
import os
import threading
from pathlib import Path

import numpy as np

from data_tools.downmix import N_CELLS, Downmix
from data_tools.errors import InputError
from data_tools.files import require_file
from data_tools.sound_ends import bytes_behind, relabelled
from data_tools.sound_kinds import N_BYTES, kind_of

SAMPLE_RATE = 44100  # Hz; every mixture and every model of this project
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".opus")  # what libsndfile decodes everywhere
# … and what it decodes by its header, as long recordings have it
RECORDING_SUFFIXES = (*AUDIO_SUFFIXES, ".wave", ".w64", ".rf64", ".aifc", ".au", ".snd", ".caf", ".oga", ".sph", ".voc")
CLIP_S = 30.0  # seconds: the length of a mixture, and of the pieces of a long background
RESAMPLERS = ("soxr", "kaiser_best")
LOWEST_RATE = 1000  # Hz; a damaged header with less would make an hour of a second
LONGEST = 2**48  # samples; libsndfile says more where a header gives no length
LEAD = 20 * 1152  # samples of MP3 to decode before those wanted: a frame is made of bits of those before it
BLOCK = 1 << 20  # samples decoded at a time where the length is not known, or hard to believe
MOST_PER_BYTE = 2000  # frames; silence in FLAC has 300
MOST_AT_ONCE = 1 << 27  # samples of all channels, 1 GB: a damaged header may ask for more than there is memory
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
        As `open_sound`; or the file is damaged or empty, or has samples that are NaN, infinite or above `HIGHEST_PEAK`
        (16-bit values written as floats, for example: a model would learn their loudness). The message names the file.
        (libsndfile reads a WAV, MP3 or Ogg file whose end is missing as a shorter file.)
    """
    y, sr_native = native_audio(path, start_s, duration_s)
    return y if sr is None else resample(y, sr_native, sr, resampler=resampler)


def native_audio(path, start_s=0.0, duration_s=None):
    """As `read_audio`, at the rate of the file: (samples,) float64, and that rate."""
    with open_sound(path) as file:
        sr = file.samplerate
        first = min(int(start_s * sr), file.frames)
        wanted = file.frames - first if duration_s is None else min(math.ceil(duration_s * sr), file.frames - first)
        if wanted <= 0:
            raise InputError(f"{path}: no samples" + (f" from {start_s} s on" if start_s else ""))
        if file.channels == 1:
            y = _decode(file, path, first, wanted)[:, 0]
        else:
            mix = Downmix(file.channels, sr)
            before = max(0, first // mix.cell - N_CELLS) * mix.cell  # what the rule for the first cell rests on
            behind = -(-(first + wanted) // mix.cell) * mix.cell
            y = mix.push(_decode(file, path, before, behind - before), last=True)
            y = y[first - before :][:wanted]
    if len(y) == 0:
        raise InputError(f"{path}: no samples" + (f" from {start_s} s on" if start_s else " could be decoded"))
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
    """Length and rate of a sound file: `(n_frames, sr)`, from its header, or by decoding it if that cannot be.

    InputError: as `open_sound`, or no samples.
    """
    with open_sound(path) as file:
        n_frames, sr = file.frames, file.samplerate
    state = os.stat(path)
    if n_frames > MOST_PER_BYTE * state.st_size:  # not known, or damaged
        n_frames = _counted(os.fsencode(path), state.st_size, state.st_mtime_ns)
    if n_frames <= 0:
        raise InputError(f"{path}: no samples")
    return n_frames, sr


@functools.lru_cache(maxsize=256)
def _counted(path, size, changed):
    """Samples of a file that says no length, once for each state of it."""
    path = Path(os.fsdecode(path))
    with open_sound(path) as file:
        file.seekable = lambda: False
        return sum(len(y) for y in _blocks(file, path))


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
    """Open a `soundfile.SoundFile`, with the true length of MP3 (`data_tools.sound_ends`).

    If the file says no length, as a FLAC file that was written to a pipe, `frames` is above `LONGEST`, and the sound
    can only be read from its beginning on.

    Raises
    ------
    InputError
        It cannot be opened, its rate is no rate of sound, or there is more in it than libsndfile would read; the
        message says why, or how much.
    """
    import soundfile

    path = Path(path)
    require_file(path)
    try:
        # as bytes where it can be: soundfile would encode strictly a name that is not UTF-8
        with hushed():
            file = soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path))
        if file.format == "MP3" and (mended := relabelled(path, file.frames)):
            file.close()
            with hushed():
                file = soundfile.SoundFile(mended)
    except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: ".raw" and the like, without a header
        reason = reason_of(error)
        if "does not exist" in reason:  # what libsndfile says of an MP3 without a frame of sound
            reason = "Format not recognised"
        with open(path, "rb") as file:
            kind = kind_of(file.read(N_BYTES))
        looks = f"; it looks like {kind}" if kind else ""
        raise InputError(f"{path}: not a readable sound file ({reason}{looks})") from error
    if file.samplerate < LOWEST_RATE:
        file.close()
        raise InputError(f"{path}: has a sample rate of {file.samplerate} Hz; expected at least {LOWEST_RATE}")
    if n_bytes := bytes_behind(path, file.format):
        end_s = min(file.frames, LONGEST) / file.samplerate
        file.close()
        reason = f"{n_bytes / 1e6:.3g} MB follow behind the end of the sound at {end_s:.1f} s"
        raise InputError(f"{path}: {reason}: joined files, or a wrong header; convert each part, as with ffmpeg")
    if file.frames > LONGEST:
        file.seekable = lambda: False  # or soundfile seeks behind each read, which fails
    return file


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

    lead = first
    try:
        if file.seekable():
            lead = min(first, LEAD if file.format == "MP3" else 0)
            with hushed(file.format == "MP3"):
                file.seek(first - lead)
                if (lead + wanted) * file.channels <= MOST_AT_ONCE:
                    return file.read(lead + wanted, dtype="float64", always_2d=True)[lead:]
        file.seekable = lambda: False
        y, n_read = [np.zeros((0, file.channels))], 0
        for block in _blocks(file, path):
            y.append(block[max(0, lead - n_read) : max(0, lead + wanted - n_read)])
            n_read += len(block)
            if n_read >= lead + wanted:
                break
        return np.concatenate(y)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: damaged sound file ({reason_of(error)})") from error


def _blocks(file, path):
    """Blocks of (frames, channels) from where the file stands, up to its end."""
    import soundfile

    try:
        while True:
            with hushed(file.format == "MP3"):
                y = file.read(BLOCK, dtype="float64", always_2d=True)
            if not len(y):
                return
            yield y
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: damaged sound file ({reason_of(error)})") from error


def rms(x):
    """Root mean square of a signal, a float."""
    return float(np.sqrt(np.mean(np.square(x))))


def reason_of(error):
    """The message of an error of libsndfile, without prefix and full stop."""
    return getattr(error, "error_string", str(error)).strip().rstrip(".") or "its header is damaged"
