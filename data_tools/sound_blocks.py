"""Read sound of any length in blocks. Together they are the samples that `data_tools.audio.read_audio` returns.

    file → file_blocks → blocks of (samples,) float64 at 44.1 kHz → minirsed.recordings.files
    pieces at any rate → StreamResampler → minirsed.recordings.streaming

Only one block is in memory at a time. Sound that arrives live is read by `data_tools.live_sound`.
"""

import math

import numpy as np

from data_tools.audio import SAMPLE_RATE, fault_of, hushed, open_sound, reason_of
from data_tools.downmix import Downmix
from data_tools.errors import InputError

BLOCK_S = 10.0  # a block of 48 kHz stereo takes 8 MB as float64


class StreamResampler:
    """Resample a signal in pieces. Together they are what `data_tools.audio.resample` (soxr) makes of the whole.

    Parameters
    ----------
    sr_in, sr_out : int
        Rates in Hz. If they are equal, pieces pass unchanged.

    Raises
    ------
    ValueError
        A rate is not positive.
    """

    def __init__(self, sr_in, sr_out=SAMPLE_RATE):
        if sr_in <= 0 or sr_out <= 0:
            raise ValueError(f"sample rates must be positive, not {sr_in} and {sr_out} Hz")
        self.ratio, self.n_in, self.n_out, self.filter = sr_out / sr_in, 0, 0, None
        if sr_in != sr_out:
            import soxr

            self.filter = soxr.ResampleStream(sr_in, sr_out, 1, dtype="float64", quality="HQ")

    def push(self, y, last=False):
        """Add a piece and return the samples known by now, (samples,) float64; `last` flushes the filter (0.1 s)."""
        y = np.asarray(y, np.float64)
        if self.filter is None:
            return y
        self.n_in += len(y)
        resampled = self.filter.resample_chunk(np.ascontiguousarray(y), last=last)
        if last:  # the length rule of `resample`
            missing = math.ceil(self.n_in * self.ratio) - self.n_out - len(resampled)
            resampled = np.concatenate([resampled, np.zeros(missing)]) if missing > 0 else resampled[: missing or None]
        self.n_out += len(resampled)
        return resampled


def file_blocks(path, *, block_s=BLOCK_S, progress=None):
    """Decode a sound file block by block.

    Parameters
    ----------
    path : str or Path
        Any file that libsndfile decodes, any rate, depth, length and number of channels.
    block_s : float
        Seconds to decode at a time.
    progress : callable, optional
        Called after every block with the share of the file that has been decoded, 0 … 1.

    Yields
    ------
    (samples,) float64 at 44.1 kHz

    Raises
    ------
    InputError
        As in `data_tools.audio.read_audio`. If the file is damaged, the message says after which second.
    """
    with open_sound(path) as file:
        file.seekable = lambda: False  # or soundfile would seek behind each read, which leaves gaps in MP3
        sr, n_expected = file.samplerate, max(file.frames, 1)
        mix, resampler, n_read = Downmix(file.channels, sr), StreamResampler(sr), 0
        while True:
            y = _decode(file, path, n_read / sr, max(1, round(block_s * sr)))
            last, start_s, n_read = len(y) == 0, n_read / sr, n_read + len(y)
            y = mix.push(y, last=last)
            if fault := fault_of(y):
                raise InputError(f"{path}: {fault} (after {start_s:.1f} s)")
            resampled = resampler.push(y, last=last)
            if len(resampled):
                yield resampled
            if progress:
                progress(min(1.0, n_read / n_expected))
            if last:
                break
    if n_read == 0:
        raise InputError(f"{path}: no samples")


def _decode(file, path, start_s, n_frames):
    """Return the next samples of a file, (frames, channels), none at its end."""
    import soundfile

    try:
        with hushed(file.format == "MP3"):
            return file.read(n_frames, dtype="float64", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: damaged sound file, after {start_s:.1f} s ({reason_of(error)})") from error
