"""What training takes from long recordings: their events, and backgrounds from where there is none.

    LabelledRecording → cut_events, cut_backgrounds → EventClip, Background: no sound, only which part it is

Keys of events and backgrounds are relative to their folders; those of parts of long recordings lead out of it. The key
of an event says where it begins and ends, since the sound of a key is read as a whole:

    ../recordings/night/monday.flac                a background, which has a start and a duration beside its key
    ../recordings/night/monday.flac@3725.5-3727    an event
"""

import re
from pathlib import PurePosixPath

from data_tools.audio import CLIP_S
from data_tools.banks.base import Background, EventClip
from data_tools.errors import InputError

LONG = "../recordings/"
PART = re.compile(r"(.+)@(\d{1,9}(?:\.\d{1,9})?)-(\d{1,9}(?:\.\d{1,9})?)", re.DOTALL)
MARGIN_S = 1.0  # between an event and a background, since labels are set by hand
SHORTEST_BACKGROUND_S = 1.0
SHORTEST_PIECE_S = 10.0  # the last piece of several counts if it is at least this long; it is looped


def cut_events(label, key, whole):
    """Events of a class in a recording.

    Parameters
    ----------
    label : str
    key : str
        Name of the recording's file, relative to `recordings/`.
    whole : data_tools.labelled_recordings.LabelledRecording

    Returns
    -------
    list of EventClip
        From second 0 of a key that names the part of the recording, to a microsecond.
    """
    clips = []
    for onset_s, offset_s, own in whole.events:
        if own == label:
            onset, offset = (f"{seconds:.6f}".rstrip("0").rstrip(".") for seconds in (onset_s, offset_s))
            clips.append(EventClip(f"{LONG}{key}@{onset}-{offset}", label, 0.0, float(offset) - float(onset)))
    return clips


def cut_backgrounds(key, whole):
    """The stretches of a recording that are `MARGIN_S` away from all events, of any class, in pieces.

    Stretches between events, or between them and the ends, have `SHORTEST_PIECE_S` or more; a recording without events
    is a background like any other (`pieces_of`) if it has `SHORTEST_BACKGROUND_S`.

    Returns
    -------
    list of Background
    """
    scene = PurePosixPath(LONG, key).parent.name
    shortest_s = SHORTEST_PIECE_S if whole.events else SHORTEST_BACKGROUND_S
    busy = sorted((onset_s - MARGIN_S, offset_s + MARGIN_S) for onset_s, offset_s, _ in whole.events)
    pieces, start_s = [], 0.0
    for onset_s, offset_s in [*busy, (whole.duration_s, whole.duration_s)]:
        if onset_s - start_s >= shortest_s:
            pieces += pieces_of(LONG + key, scene, start_s, onset_s - start_s)
        start_s = max(start_s, offset_s)
    return pieces


def pieces_of(key, scene, start_s, duration_s):
    """A stretch of a recording in pieces of 30 s, as Background; the last of several has `SHORTEST_PIECE_S` or more."""
    starts = [CLIP_S * i for i in range(int(duration_s // CLIP_S) + 1)]
    pieces = [Background(key, scene, start_s + s, min(CLIP_S, duration_s - s)) for s in starts]
    return pieces[:1] + [piece for piece in pieces[1:] if piece.duration_s >= SHORTEST_PIECE_S]


def part_of(key):
    """Recording, start_s and duration_s in the key of an event of `cut_events`. InputError: it is none."""
    found = PART.fullmatch(key.removeprefix(LONG))
    if not found:
        raise InputError(f"{key}: not a part of a recording, such as {LONG}street.wav@1.25-3")
    onset_s, offset_s = float(found[2]), float(found[3])
    return found[1], onset_s, offset_s - onset_s


def whole_name(key):
    """The recording that the key of an event or a background is cut from, relative to the folder; None if from none."""
    if not key.startswith(LONG):
        return None
    found = PART.fullmatch(key.removeprefix(LONG))
    return f"recordings/{found[1] if found else key.removeprefix(LONG)}"
