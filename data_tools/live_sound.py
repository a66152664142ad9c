"""Read sound as it arrives, from a pipe (raw PCM or WAV) or a microphone, in blocks at the rate of the source.

    ffmpeg … | pcm_blocks ─┐
    sounddevice, microphone ┴→ blocks of (samples,) float64 → minirsed.recordings.streaming

Integer PCM is divided by 2^(bits − 1) and channels are averaged, as for files (`data_tools.audio`). Sound of several
channels comes in blocks of 0.1 s, which `data_tools.downmix` needs.
"""

import struct
from typing import NamedTuple

import numpy as np

from data_tools.audio import LOWEST_RATE, SAMPLE_RATE, fault_of
from data_tools.downmix import Downmix
from data_tools.errors import InputError, require_extra
from data_tools.sound_ends import is_chunk
from data_tools.sound_kinds import N_BYTES, kind_of

BLOCK_S = 0.1
SAMPLE_FORMATS = {  # ffmpeg's names → dtype of a sample; 24 bits are unpacked by hand
    **{"s16le": "<i2", "s16be": ">i2", "s24le": None, "s32le": "<i4", "u8": "u1", "f32le": "<f4", "f64le": "<f8"}
}
WAV_FORMATS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
UNKNOWN_SIZE = 0x7FFFF000  # from here on, or 0: what programs put into a header that goes into a pipe
EXTENSIBLE = 0xFFFE  # then the actual code is at byte 24 of the chunk "fmt "


class PcmFormat(NamedTuple):
    """How to interpret the bytes of a PCM stream."""

    sr: int = SAMPLE_RATE
    n_channels: int = 1
    sample_format: str = "s16le"
    n_bytes: int | None = None  # of all samples; None: up to the end of the stream


def read_wav_header(file, name, raw=False):
    """Read the header of a stream if it is a WAV (or RF64) file.

    Parameters
    ----------
    file : binary file
        It need not be seekable.
    name : str
        For messages.
    raw : bool
        The stream may be raw PCM as well; else it must be WAV.

    Returns
    -------
    wav : PcmFormat or None
        None: the stream has no WAV header.
    first : bytes
        Bytes that were read and belong to the samples.

    Raises
    ------
    InputError
        The stream is a file of another kind, a WAV file without PCM, one that ends within its header, or, unless
        `raw`, anything else but an empty one.
    """
    start = file.read(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        if not raw:
            start += file.read(N_BYTES - 12)
        if kind := kind_of(start, certain=raw):
            raise InputError(f"{name}: is {kind}, not WAV; convert it first with `ffmpeg -i FILE -f wav -`")
        if start and not raw:
            raise InputError(f"{name}: is not WAV; if it is raw PCM, say so with --raw, and its --rate and --channels")
        return None, start
    wav, wide = None, 0
    while True:
        kind, size = _chunk(file, name)
        if kind == b"data":
            break
        content = file.read(min(size + size % 2, 1024))
        if not _skip(file, size + size % 2 - len(content)):
            raise InputError(f"{name}: ends within its WAV header")
        if kind == b"ds64" and len(content) >= 16:  # RF64: sizes in 64 bits
            wide = struct.unpack("<Q", content[8:16])[0]
        if kind == b"fmt " and len(content) >= 16:
            code, n_channels, sr, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            code = struct.unpack("<H", content[24:26])[0] if code == EXTENSIBLE and len(content) >= 26 else code
            if (code, bits) not in WAV_FORMATS or not n_channels or not sr:
                raise InputError(f"{name}: WAV of kind {code} with {bits} bits cannot be read from a pipe")
            wav = PcmFormat(sr, n_channels, WAV_FORMATS[code, bits])
    if wav is None:
        raise InputError(f"{name}: WAV without a format chunk")
    if wav.sr < LOWEST_RATE:
        raise InputError(f"{name}: has a sample rate of {wav.sr} Hz; expected at least {LOWEST_RATE}")
    if start[:4] == b"RF64" and size == 0xFFFFFFFF and 0 < wide < 2**63:
        return wav._replace(n_bytes=wide), b""
    return wav._replace(n_bytes=size if 0 < size < UNKNOWN_SIZE else None), b""


def _chunk(file, name):
    """Name and size of the next chunk of a WAV file."""
    header = file.read(8)
    if len(header) < 8:
        raise InputError(f"{name}: ends within its WAV header")
    return struct.unpack("<4sI", header)


def _skip(file, n_bytes):
    """Read and forget; whether there were as many bytes."""
    while n_bytes > 0:
        received = len(file.read(min(n_bytes, 1 << 16)))
        if not received:
            return False
        n_bytes -= received
    return True


def _padding(file, size):
    """Read the byte that makes a chunk of `size` bytes even; returned if it is the first of the next chunk instead."""
    return file.read(size % 2).strip(b"\0")


def _require_end(file, name, after_s, padding):
    """Read what follows the samples of a WAV file; InputError: it may be sound."""
    while header := padding + file.read(8 - len(padding)):
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        if not any(header):
            while rest := file.read(1 << 16):
                if any(rest):
                    break
            else:
                return  # room that a recorder had set aside
        elif is_chunk(kind):
            _skip(file, size)
            padding = _padding(file, size)
            continue
        elif len(header) < 8:
            return
        raise InputError(f"{name}: more follows behind the end of its sound at {after_s:.1f} s: joined WAV files?")


def pcm_blocks(file, pcm, name, first=b"", block_s=BLOCK_S):
    """Read a PCM stream as mono blocks. No block takes longer to arrive than it lasts.

    Samples end where `pcm` says; chunks of a WAV file that follow are read and left alone.

    Parameters
    ----------
    file : binary file with `read1`, as `sys.stdin.buffer`
    pcm : PcmFormat
    name : str
        For messages.
    first : bytes
        Bytes that precede those left in the file.
    block_s : float
        Longest block in seconds.

    Yields
    ------
    (samples,) float64 at `pcm.sr`

    Raises
    ------
    InputError
        Samples are NaN, infinite or far beyond full scale; or something that is no chunk follows behind their end.
    """
    frame_bytes = pcm.n_channels * _bytes_of(pcm.sample_format)
    block_bytes = max(1, round(block_s * pcm.sr)) * frame_bytes
    rest, n_left = first, pcm.n_bytes
    mix = Downmix(pcm.n_channels, pcm.sr)
    last = False
    while not last:
        received = file.read1(block_bytes if n_left is None else min(block_bytes, n_left))
        rest += received
        if n_left is not None:
            n_left -= len(received)
        last = not received or n_left == 0
        whole = len(rest) - len(rest) % frame_bytes
        y = mix.push(_samples(rest[:whole], pcm.sample_format).reshape(-1, pcm.n_channels), last=last)
        rest = rest[whole:]
        if fault := fault_of(y):
            raise InputError(f"{name}: {fault}; is it really {pcm.sample_format}?")
        if len(y):
            yield y
    if n_left == 0:
        after_s = pcm.n_bytes / frame_bytes / pcm.sr
        _require_end(file, name, after_s, _padding(file, pcm.n_bytes))


def _bytes_of(sample_format):
    dtype = SAMPLE_FORMATS[sample_format]
    return 3 if dtype is None else np.dtype(dtype).itemsize


def _samples(raw, sample_format):
    """Bytes → float64 in [−1, 1]."""
    if sample_format == "s24le":
        padded = np.zeros((len(raw) // 3, 4), np.uint8)  # the upper three bytes of 32 bits
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0] / 2.0**31
    dtype = np.dtype(SAMPLE_FORMATS[sample_format])
    with np.errstate(invalid="ignore"):  # signalling NaN, which the caller finds
        samples = np.frombuffer(raw, dtype).astype(np.float64)
    if sample_format == "u8":
        samples -= 128.0
    return samples if dtype.kind == "f" else samples / 2.0 ** (8 * dtype.itemsize - 1)


def microphone_blocks(sr, *, device=None, n_channels=1, block_s=BLOCK_S, on_overflow=None):
    """Record from a microphone without end, in mono blocks.

    Parameters
    ----------
    sr : int
        Rate in Hz.
    device : int or str, optional
        Its name or number in sounddevice (`python -m sounddevice` lists them). Default: that of the system.
    n_channels : int
    block_s : float
        Length of a block in seconds.
    on_overflow : callable, optional
        Called, without arguments, when the sound card had to drop samples.

    Yields
    ------
    (samples,) float64

    Raises
    ------
    InputError
        sounddevice is not installed, there is no such device, or it does not support this rate.
    """
    import queue

    sounddevice = import_sounddevice()
    arrived = queue.SimpleQueue()  # filled by the thread of the sound card, so that a slow model loses no samples

    def take(data, n_frames, time, status):
        arrived.put((data.astype(np.float64), bool(status)))

    options = {"samplerate": sr, "device": device, "channels": n_channels, "blocksize": round(block_s * sr)}
    try:
        stream = sounddevice.InputStream(dtype="float32", callback=take, **options)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"microphone: {error} (python -m sounddevice lists the devices)") from error
    mix = Downmix(n_channels, sr)
    with stream:
        while True:
            data, overflow = arrived.get()
            if overflow and on_overflow:
                on_overflow()
            if len(y := mix.push(data)):
                yield y


def import_sounddevice():
    """The library of the microphone. InputError: it is not installed, or on Linux the system's PortAudio is not."""
    note = "; on Linux also the system's package libportaudio2"
    return require_extra("live", "--live", "sounddevice", note=note)
