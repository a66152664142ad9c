"""Findings as short sound files, and the list of them, from which verdicts are understood later.

    DIR/clips/NAME.wav    2 s of sound on either side of each, mono, at the rate of its recording, 24 bits
    DIR/clips.csv         clip, class, kind, probability, onset_s, offset_s (in the clip), recording, at_s (in it),
                          content (of the recording, `data_tools.files.content_of`; not in lists of earlier versions)
    DIR/index.html        the page (`minirsed.mine.page`)

The name of a clip has a digest of its bytes: clips of the same name are the same sound, wherever they are. The list is
written last, so a folder with a list is complete.
"""

import csv
import hashlib
import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.audio import native_audio
from data_tools.errors import InputError
from data_tools.event_lists import is_label
from data_tools.files import atomic_write
from data_tools.folder_lists import rows_of, seconds_of
from minirsed.console.options import probability_text
from minirsed.recordings.listing import printable

LIST, FOLDER, PAGE = "clips.csv", "clips", "index.html"
LONGEST_WORD = 40  # characters of the recording's name in that of a clip


class Clip(NamedTuple):
    """A row of the list."""

    clip: str  # file name in DIR/clips
    label: str  # the detector's class
    kind: str
    probability: float
    onset_s: float  # of the event in the clip
    offset_s: float
    recording: str  # the path of the recording
    at_s: float  # where the clip begins in it
    content: str = ""  # of the recording, wherever it lies by now


COLUMNS = ("clip", "class", "kind", "probability", "onset_s", "offset_s", "recording", "at_s")  # as in a Clip
CONTENT = "content"  # the last one, which lists of earlier versions do not have


def write_clip(folder, label, finding, content=""):
    """Write the clip of a finding into DIR/clips.

    Parameters
    ----------
    folder : Path
        DIR.
    label : str
    finding : minirsed.mine.findings.Finding
    content : str
        Of the recording.

    Returns
    -------
    clip : Clip
    y : (samples,) float64
        Its sound.
    sr : int

    Raises
    ------
    InputError
        The recording cannot be read any more.
    """
    import soundfile

    y, sr = native_audio(finding.path, finding.start_s, finding.end_s - finding.start_s)
    y = y / max(1.0, np.abs(y).max())
    buffer = io.BytesIO()
    soundfile.write(buffer, y, sr, format="WAV", subtype="PCM_24")
    name = clip_name(finding, buffer.getvalue())
    with atomic_write(folder / FOLDER / name) as file:
        file.write(buffer.getvalue())
    start_s, end_s = (time_s - finding.start_s for time_s in finding.event[:2])
    recording = " ".join(printable(Path(os.path.realpath(finding.path))).split())
    probability = float(probability_text(finding.event.probability, 4))
    times = (round(start_s, 3), round(min(end_s, len(y) / sr), 3))
    return Clip(name, label, finding.kind, probability, *times, recording, round(finding.start_s, 3), content), y, sr


def clip_name(finding, content):
    """`kitchen-0h12m03s-1a2b3c4d5e.wav`: letters, digits and hyphens of ASCII."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", Path(finding.name).stem).strip("-")[:LONGEST_WORD].strip("-") or "recording"
    minutes, seconds = divmod(int(finding.event.onset_s), 60)
    digest = hashlib.blake2b(content, digest_size=5).hexdigest()
    return f"{word}-{minutes // 60}h{minutes % 60:02}m{seconds:02}s-{digest}.wav"


def write_list(folder, clips):
    """Write the list of all clips."""
    with atomic_write(folder / LIST, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*COLUMNS, CONTENT))
        writer.writerows(clips)


def read_list(folder):
    """The list of a folder: {name: Clip}.

    Raises
    ------
    InputError
        There is none, or a row is not as `write_list` gives it.
    """
    path, clips = folder / LIST, {}
    if not path.exists():
        raise InputError(f"{path}: no such file; expected the folder that minirsed.mine has written (--out)")
    for where, row in rows_of(path, COLUMNS):
        clip = Clip(*(row[name] for name in COLUMNS), row.get(CONTENT) or "")
        numbers = {name: seconds_of(getattr(clip, name), name, where) for name in NUMBERS}
        clip = clip._replace(**numbers)
        if not re.fullmatch(r"[A-Za-z0-9-]+\.wav", clip.clip):
            raise InputError(f"{where}: {clip.clip!r} is not the name of a clip")
        if not is_label(clip.label) or Path(clip.label).name != clip.label or clip.label.startswith("."):
            raise InputError(f"{where}: {clip.label!r} cannot be a class")
        if not 0 <= clip.onset_s < clip.offset_s:
            raise InputError(f"{where}: onset {clip.onset_s} s is not before offset {clip.offset_s} s")
        if clips.setdefault(clip.clip, clip) != clip:
            raise InputError(f"{where}: {clip.clip} is listed twice")
    return clips


NUMBERS = ("probability", "onset_s", "offset_s", "at_s")
