"""Read sound as it arrives, from a pipe (raw PCM or WAV) or a microphone, in blocks at the rate of the source.

    ffmpeg … | pcm_blocks ─┐
    sounddevice, microphone ┴→ blocks of (samples,) float64 → minirsed.recordings.streaming

Integer PCM is divided by 2^(bits − 1) and channels are averaged, as for files (`data_tools.audio`).
"""

import struct
from typing import NamedTuple

import numpy as np

from data_tools.audio import SAMPLE_RATE, fault_of, to_mono
from data_tools.errors import InputError, require_extra

BLOCK_S = 0.1
SAMPLE_FORMATS = {  # ffmpeg's names → dtype of a sample; 24 bits are unpacked by hand
    **{"s16le": "<i2", "s16be": ">i2", "s24le": None, "s32le": "<i4", "u8": "u1", "f32le": "<f4", "f64le": "<f8"}
}
WAV_FORMATS = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le", (3, 32): "f32le", (3, 64): "f64le"}
COMPRESSED = {b"ID3": "MP3", b"\xff\xfb": "MP3", b"fLaC": "FLAC", b"OggS": "Ogg"}
EXTENSIBLE = 0xFFFE  # then the actual code is at byte 24 of the chunk "fmt "


class PcmFormat(NamedTuple):
    """How to interpret the bytes of a PCM stream."""

    sr: int = SAMPLE_RATE
    n_channels: int = 1
    sample_format: str = "s16le"


def read_wav_header(file, name):
    """Read the header of a stream if it is a WAV file.

    Parameters
    ----------
    file : binary file
        It need not be seekable.
    name : str
        For messages.

    Returns
    -------
    wav : PcmFormat or None
        None: the stream has no WAV header.
    first : bytes
        Bytes that were read and belong to the samples.

    Raises
    ------
    InputError
        The stream is a compressed file, a WAV file without PCM, or one that ends within its header.
    """
    start = file.read(12)
    for magic, kind in COMPRESSED.items():
        if start.startswith(magic):
            raise InputError(f"{name}: is {kind}, not PCM; decode it first with `ffmpeg -i - -f wav -`")
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        return None, start
    wav = None
    while True:
        header = file.read(8)
        if len(header) < 8:
            raise InputError(f"{name}: ends within its WAV header")
        kind, size = struct.unpack("<4sI", header)
        if kind == b"data":
            break
        content = file.read(size + size % 2)
        if kind == b"fmt " and len(content) >= 16:
            code, n_channels, sr, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            code = struct.unpack("<H", content[24:26])[0] if code == EXTENSIBLE and len(content) >= 26 else code
            if (code, bits) not in WAV_FORMATS or not n_channels or not sr:
                raise InputError(f"{name}: WAV of kind {code} with {bits} bits cannot be read from a pipe")
            wav = PcmFormat(sr, n_channels, WAV_FORMATS[code, bits])
    if wav is None:
        raise InputError(f"{name}: WAV without a format chunk")
    return wav, b""


def pcm_blocks(file, pcm, name, first=b"", block_s=BLOCK_S):
    """Read a PCM stream as mono blocks. No block takes longer to arrive than it lasts.

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
        Samples are NaN, infinite or far beyond full scale.
    """
    frame_bytes = pcm.n_channels * _bytes_of(pcm.sample_format)
    block_bytes = max(1, round(block_s * pcm.sr)) * frame_bytes
    rest = first
    while True:
        received = file.read1(block_bytes)
        rest += received
        whole = len(rest) - len(rest) % frame_bytes
        if whole:
            y = to_mono(_samples(rest[:whole], pcm.sample_format).reshape(-1, pcm.n_channels))
            rest = rest[whole:]
            if fault := fault_of(y):
                raise InputError(f"{name}: {fault}; is it really {pcm.sample_format}?")
            yield y
        if not received:
            return


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
    with stream:
        while True:
            data, overflow = arrived.get()
            if overflow and on_overflow:
                on_overflow()
            yield to_mono(data)


def import_sounddevice():
    """The library of the microphone. InputError: it is not installed, or on Linux the system's PortAudio is not."""
    note = "; on Linux also the system's package libportaudio2"
    return require_extra("live", "--live", "sounddevice", note=note)
