"""Where the sound of a file ends, as opposed to where its header or an estimate has it end.

libsndfile believes the header. It reads 21 s of 65 s where an MP3 of varying bit rate came without a header of its own,
and the first part alone where recordings were joined end to end. So `data_tools.audio.open_sound` asks here:

    MP3                        every frame is counted; if the length is wrong, a file with the right header is decoded
    WAV, AIFF, CAF, AU, W64    chunks are followed to the end; sound behind it is an `InputError`
    FLAC, Ogg                  a second stream behind the first is an `InputError`
"""

import functools
import io
import itertools
import os
import re
import struct
from typing import NamedTuple

FEWEST_BYTES = 4096  # behind the end of the sound: fewer are tags
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # MPEG 1, 2, 2.5
KBITS = {  # (is MPEG 1, layer) → kbit/s by index
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SYNC = rb"\xff[\xe2-\xff]"  # how a frame of MPEG audio begins
BLOCK, LONGEST_PATTERN = 1 << 20, 8  # bytes searched at a time, and more of them for what lies across two blocks
TOLERANCE = 4  # MP3 frames that an encoder's delay and padding may take off the sound


class MpegFrame(NamedTuple):
    """What the four bytes before a frame of MPEG audio say."""

    n_bytes: int
    n_samples: int
    version: int  # 3: MPEG 1, 2: MPEG 2, 0: MPEG 2.5
    layer: int
    sr: int
    is_mono: bool

    @property
    def kind(self):
        """What stays the same throughout one recording."""
        return self[1:]


class MpegLayout(NamedTuple):
    """The frames of a file of MPEG audio."""

    first: int  # byte at which the first frame with sound begins
    end: int  # byte behind the last frame
    n_frames: int
    frame: MpegFrame  # one of them


def mpeg_frame(header):
    """Read the header of a frame of MPEG audio: `MpegFrame` from (at least) four bytes; None if they are none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bit_rate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return None
    bits, sr = KBITS[version == 3, layer][bit_rate - 1] * 1000, RATES[version][rate]
    if layer == 1:
        n_bytes, n_samples = (12 * bits // sr + padding) * 4, 384
    else:
        n_samples = 576 if layer == 3 and version != 3 else 1152
        n_bytes = n_samples // 8 * bits // sr + padding
    return MpegFrame(n_bytes, n_samples, version, layer, sr, header[3] >> 6 == 3)


_known_frame = functools.lru_cache(maxsize=4096)(mpeg_frame)


class Bytes:
    """The bytes of an open file as they are asked for: `data[a:b]`. (A memory map crashes when a share is gone.)"""

    def __init__(self, file):
        self.file, self.n_bytes = file, os.fstat(file.fileno()).st_size

    def __len__(self):
        return self.n_bytes

    def __getitem__(self, part):
        first, last, _ = part.indices(self.n_bytes)
        self.file.seek(first)
        return self.file.read(max(0, last - first))

    def number(self, form, position):
        """A number in the format of `struct`; 0 where the file ends before."""
        content = self[position : position + struct.calcsize(form)]
        return struct.unpack(form, content)[0] if len(content) == struct.calcsize(form) else 0

    def places(self, pattern, position):
        """Where a pattern of at most `LONGEST_PATTERN` bytes begins, from `position` on, in order."""
        while position < self.n_bytes:
            block = self[position : position + BLOCK + LONGEST_PATTERN]
            for match in re.finditer(pattern, block):
                if match.start() < BLOCK:
                    yield position + match.start()
            position += BLOCK


def mpeg_layout(data):
    """Count the frames in the `Bytes` of an MP3 file: an `MpegLayout`; None if there are none."""
    position, found, n_frames, first, end = 0, None, 0, 0, 0
    while position is not None and position + 4 <= len(data):
        frame = _known_frame(data[position : position + 4])
        if frame is None or frame.kind != (found or frame).kind or (found is None and not _follows(data, position)):
            position = _next_frame(data, position, found)
            continue
        if position + frame.n_bytes > len(data):
            break  # cut short
        if n_frames == 1 and _is_about_the_file(data, first, found):
            first, n_frames = position, 0
        first = position if found is None else first
        found, n_frames, position = frame, n_frames + 1, position + frame.n_bytes
        end = position
    return MpegLayout(first, end, n_frames, found) if n_frames else None


def _is_about_the_file(data, position, frame):
    """Whether a frame is the one without sound that holds the number of frames (Xing, Info or VBRI)."""
    tag = position + 4 + _side_bytes(frame)
    return data[tag : tag + 4] in (b"Xing", b"Info") or data[position + 36 : position + 40] == b"VBRI"


def _side_bytes(frame):
    """Bytes between a frame's header and its sound, layer III."""
    return {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[
        frame.version == 3, frame.is_mono
    ]


def _next_frame(data, position, found):
    """Where frames may begin again behind `position`, at which none does; None: nowhere."""
    if data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        a, b, c, d = data[position + 6 : position + 10]  # 7 bits each
        return position + 10 + (a << 21 | b << 14 | c << 7 | d)
    for place in data.places(SYNC, position + 1):
        frame = _known_frame(data[place : place + 4])
        if frame and frame.kind == (found or frame).kind and _follows(data, place):
            return place
    return None


def _follows(data, position):
    """Whether the frame at `position` is followed by one of its kind, or by the end."""
    frame = _known_frame(data[position : position + 4])
    behind = position + frame.n_bytes
    after = _known_frame(data[behind : behind + 4])
    return behind >= len(data) or (after is not None and after.kind == frame.kind)


def mpeg_header(layout):
    """A first frame, without sound, that gives the decoder the true number of frames (Xing's)."""
    version, layer, is_mono = layout.frame.version, layout.frame.layer, layout.frame.is_mono
    rate = RATES[version].index(layout.frame.sr)
    head = bytes([0xFF, 0xE1 | version << 3 | (4 - layer) << 1, 9 << 4 | rate << 2, 0xC0 if is_mono else 0])
    n_bytes = mpeg_frame(head).n_bytes
    total = n_bytes + layout.end - layout.first
    tag = head + bytes(_side_bytes(layout.frame)) + b"Xing" + struct.pack(">3I", 3, layout.n_frames, total & 0xFFFFFFFF)
    return tag.ljust(n_bytes, b"\0")


class Relabelled(io.RawIOBase):
    """The bytes [first, end) of a file behind a new header, as a file; closing it closes the file."""

    def __init__(self, path, header, first, end):
        self.file, self.header, self.first = open(path, "rb"), header, first
        self.n_bytes, self.position = len(header) + end - first, 0

    def readable(self):
        """Yes."""
        return True

    def seekable(self):
        """Yes."""
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        """As everywhere."""
        self.position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.n_bytes}[whence]
        return self.position

    def readinto(self, buffer):
        """As everywhere."""
        n_wanted = min(len(buffer), max(0, self.n_bytes - self.position))
        content = self.header[self.position : self.position + n_wanted]
        if len(content) < n_wanted:
            self.file.seek(self.first + self.position + len(content) - len(self.header))
            content += self.file.read(n_wanted - len(content))
        buffer[: len(content)] = content
        self.position += len(content)
        return len(content)

    def close(self):
        """Close the file too."""
        self.file.close()
        super().close()


def relabelled(path, n_samples):
    """An MP3 file with the true number of frames in its header, if its decoder expects `n_samples` and errs.

    Returns
    -------
    Relabelled or None
        None: the number is right.
    """
    layout = _examined(path, "MP3")
    if layout is None or layout.frame.layer != 3:  # layers I and II have no such header, nor a bit rate that varies
        return None
    wrong_by = layout.n_frames * layout.frame.n_samples - n_samples
    if abs(wrong_by) <= TOLERANCE * layout.frame.n_samples:
        return None
    return Relabelled(path, mpeg_header(layout), layout.first, layout.end)


def bytes_behind(path, form):
    """Bytes of a file behind the end of its sound, 0 if they can be no sound.

    Parameters
    ----------
    path : str or Path
    form : str
        libsndfile's name of the format: "WAV", "FLAC" …

    Returns
    -------
    int
        At least `FEWEST_BYTES`, and not all zero; or 0.
    """
    end = _examined(path, form)
    if isinstance(end, MpegLayout):
        end = end.end
    size = os.stat(path).st_size
    if end is None or size - end < FEWEST_BYTES:
        return 0
    with open(path, "rb") as file:
        file.seek(end)
        while block := file.read(1 << 20):
            if block.count(0) < len(block):
                return size - end
    return 0  # room that a recorder had set aside


def _examined(path, form):
    """`MpegLayout` of an MP3 file, byte at which the sound of another ends, None where nothing is known."""
    state = os.stat(path)
    return _examine(os.fsencode(path), form, state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _examine(path, form, size, changed):
    """`_examined`, once for each state of a file: parts of one recording are read many times."""
    if form not in EXAMINERS or not size:
        return None
    with open(path, "rb", buffering=1 << 16) as file:
        return EXAMINERS[form](Bytes(file))


def _riff_end(data, order="<", sound=b"data"):
    wide = None  # size of the sound in 64 bits (RF64)
    position, size, seen = 12, 0, False
    while position + 8 <= len(data):
        if size % 2 and not is_chunk(data[position : position + 4]):
            position -= 1  # written without the byte that makes a chunk even
        kind, size = data[position : position + 4], data.number(f"{order}I", position + 4)
        if not is_chunk(kind):
            break
        if kind == b"ds64":
            wide = data.number("<Q", position + 16)
        if kind == sound:
            seen, size = True, wide if wide and size == 0xFFFFFFFF else size
        if position + 8 + size > len(data):
            return len(data)
        position += 8 + size + size % 2
    return position if seen else None


def is_chunk(kind):
    """Whether four bytes can be the name of a chunk, and not the beginning of another file."""
    return all(32 <= byte < 127 for byte in kind) and kind not in (b"RIFF", b"RF64", b"RIFX", b"FORM", b"caff")


def _caf_end(data):
    position, seen = 8, False
    while position + 12 <= len(data) and is_chunk(data[position : position + 4]):
        size = data.number(">q", position + 4)
        seen = seen or data[position : position + 4] == b"data"
        if size < 0 or position + 12 + size > len(data):
            return len(data)
        position += 12 + size
    return position if seen else None


def _au_end(data):
    if data[:4] != b".snd":
        return None
    size = data.number(">I", 8)
    return len(data) if size == 0xFFFFFFFF else data.number(">I", 4) + size


def _w64_end(data):
    return data.number("<Q", 16) if data[:4] == b"riff" else None


def _flac_end(data):
    _, second, *_ = [*itertools.islice(data.places(rb"fLaC[\0\x80]\0\0\x22", 0), 2), None, None]  # a tag may come first
    return second


def _ogg_end(data):
    position = next(data.places(b"OggS", 0), 0)
    while data[position : position + 4] == b"OggS" and data.number("B", position + 5) & 2:
        n_segments = data.number("B", position + 26)
        position += 27 + n_segments + sum(data[position + 27 : position + 27 + n_segments])
    return next(data.places(rb"OggS\0[\x02\x06]", position), None)  # a first page behind pages of another stream


EXAMINERS = {
    "MP3": mpeg_layout,
    **dict.fromkeys(("WAV", "WAVEX", "RF64"), lambda data: _riff_end(data, ">" if data[:4] == b"RIFX" else "<")),
    "AIFF": lambda data: _riff_end(data, ">", b"SSND"),
    "CAF": _caf_end,
    "AU": _au_end,
    "W64": _w64_end,
    "FLAC": _flac_end,
    "OGG": _ogg_end,
}
