"""Recognise a file by its first bytes, to name what cannot be read."""

from data_tools.sound_ends import mpeg_frame

N_BYTES = 192  # that suffice
CERTAIN = (  # offset, bytes, what it is; samples hardly ever begin like this
    *((0, magic, "MP3") for magic in (b"ID3\2", b"ID3\3", b"ID3\4")),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (8, b"AIFF", "AIFF"),
    (8, b"AIFC", "AIFF"),
    (0, b"RIFX", "big-endian WAV"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
    (8, b"AVI ", "AVI"),
    (4, b"ftyp", "MP4 or M4A"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (0, b"\x30\x26\xb2\x75", "WMA"),
    (0, b"#!AMR", "AMR"),
    (0, b"FLV\1", "FLV"),
    (0, b"MThd", "MIDI"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"NIST_1A", "SPHERE"),
    (0, b"Creative Voice", "VOC"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xff\xd8\xff\xe0", "a JPEG picture"),
    (0, b"%PDF", "a PDF document"),
)


def kind_of(start, certain=False):
    """Say what begins with these bytes.

    Parameters
    ----------
    start : bytes
        The first `N_BYTES`, or fewer.
    certain : bool
        Only what raw samples would not begin with by chance.

    Returns
    -------
    str or None
        None: not recognised.
    """
    for offset, magic, kind in CERTAIN:
        if start[offset : offset + len(magic)] == magic:
            return kind
    if certain or len(start) < 12:
        return None
    if start[0] == 0xFF and start[1] & 0xF6 == 0xF0:
        return "AAC"  # ADTS
    if mpeg_frame(start):
        return "MP3"
    if start[:1] == b"\x47" and start[188:189] in (b"\x47", b""):
        return "an MPEG transport stream"
    if start[:2] == b"\x0b\x77":
        return "AC-3"
    if all(32 <= byte < 127 or byte in b"\t\r\n" for byte in start):
        return "text"
    return None
