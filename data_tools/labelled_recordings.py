"""Recordings as they are, of any length, with the times of the events in them in a file beside each.

    street.wav                  any sound file, in any folder below the one that is read
    street.txt                  its labels, under the name without suffix or with it (street.wav.txt); any of:
      .txt                      a label track of Audacity, or an event list (`data_tools.event_lists`)
      .selections.txt           a selection table of Raven
      .csv .tsv .txt            a list with a header: onset, offset, label
      .rttm .jams .json         as `minirsed.detect` writes them, also its table
    labels.csv                  an event list that names several recordings of its folder, as `minirsed.detect` prints
    quiet/**/*.wav              recordings without an event need no labels here
    recordings.csv              optional: file, recording — what was recorded on one occasion

An empty label file says that there is no event. A recording without any is refused unless it is below a folder called
`quiet`: that nobody has labelled a recording does not make it a quiet one. Hidden files are ignored.
"""

import contextlib
import itertools
import json
import math
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from data_tools.audio import RECORDING_SUFFIXES, audio_header
from data_tools.errors import InputError
from data_tools.event_lists import event_rows, is_label, read_lines
from data_tools.folder_lists import name_of, paths_below, read_recordings, sound_files
from data_tools.label_tracks import label_rows

QUIET = "quiet"
LABEL_SUFFIXES = (".selections.txt", ".table.txt", ".txt", ".csv", ".tsv", ".rttm", ".jams", ".json")
OTHER_LISTS = ("recordings.csv", "split.csv")  # not of labels
ROUNDING_S = 0.001  # how far times may miss the end of a recording, each other or those of another file
TABLE_HEADER = ["onset", "(s)", "offset", "(s)", "h:mm:ss", "p", "recording"]
TABLE_ROW = re.compile(r" *(\S+) +(\S+) +(?:no event|[\d:]+) +\S+  (.+)")


@dataclass(frozen=True)
class LabelledRecording:
    """A recording and the events in it.

    Attributes
    ----------
    path : Path
    duration_s : float
    recording : str
        The occasion, as in `recordings.csv`; otherwise the file's name relative to the folder, with `/`.
    events : tuple of (onset_s, offset_s, label)
        Seconds from the start of the file, sorted.
    """

    path: Path
    duration_s: float
    recording: str
    events: tuple


class Label(NamedTuple):
    """An event as a label file has it; `label` is None if it names no class, `where` says "path, line n"."""

    onset_s: float
    offset_s: float
    label: str | None
    where: str


class Labels(NamedTuple):
    """What is written about a recording."""

    path: Path
    duration_s: float
    events: list  # of Label, sorted
    files: tuple  # where it is written


def labelled_recordings(folder, label=None):
    """Read all recordings below a folder, with their labels.

    Parameters
    ----------
    folder : str or Path
    label : str, optional
        Return only events of this class. Events of files that name no class are taken to be of it.

    Returns
    -------
    list of LabelledRecording
        Sorted by path.

    Raises
    ------
    InputError
        No such folder, or no recording in it; and with a line for each fault, which names file and line: an unreadable
        recording or label file, a recording without labels, labels without a recording, two label files that disagree,
        an event that ends before it begins or after its recording, overlapping events of one class, a class that
        cannot be one or is written in two ways, an event without a class if `label` is None.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    found = read_labels(folder)
    if not found:
        raise InputError(f"{folder}: no sound files in it ({', '.join(RECORDING_SUFFIXES)})")
    occasions = read_recordings(folder, [labels.path for labels in found])
    check_classes([event for labels in found for event in labels.events], label)
    names = [name_of(labels.path, folder) for labels in found]
    return [
        LabelledRecording(labels.path, labels.duration_s, occasions.get(name, name), with_classes(labels.events, label))
        for labels, name in zip(found, names, strict=True)
    ]


def with_classes(events, label=None):
    """Events as tuples, of one class if that is named; InputError: one has no class, and none is named."""
    for event in events:
        if event.label is None and label is None:
            raise InputError(f"{event.where}: an event without a class")
    named = [(event.onset_s, event.offset_s, event.label or label) for event in events]
    return tuple(event for event in named if label is None or event[2] == label)


def check_classes(events, *known):
    """Refuse, by `InputError`, a class that differs from another in case, blanks, hyphens or underscores alone."""
    first = {_plain(label): (label, "") for label in known if label is not None}
    for event in events:
        if event.label is not None:
            label, there = first.setdefault(_plain(event.label), (event.label, f" in {event.where}"))
            if label != event.label:
                raise InputError(f"{event.where}: class {event.label!r} is {label!r}{there}; give a class one name")


def _plain(label):
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFKC", label).casefold())


def read_labels(folder):
    """Labels of all recordings below a folder: list of Labels, sorted by path; InputError as `labelled_recordings`."""
    paths = sorted(paths_below(folder))
    recordings = sound_files(paths, RECORDING_SUFFIXES)
    own_lists = {folder / name for name in OTHER_LISTS}
    lists = [path for path in sound_files(paths, tuple(s for s in LABEL_SUFFIXES if s.count(".") == 1))]
    by_name = _Recordings(recordings)
    faults, of_recording, is_known = [], {recording: [] for recording in recordings}, dict.fromkeys(recordings, True)
    for path in lists:
        if path in own_lists or path.is_dir():
            continue
        try:
            for recording, events in _labels_in(path, by_name).items():
                of_recording[recording].append((path, events))
        except InputError as error:
            faults.append(error)
            # it may be about these, which then are not without labels
            is_known |= dict.fromkeys(by_name.beside(path.parent, _base(path)) or recordings, False)
    found = []
    for recording in recordings:
        try:
            n_frames, sr = audio_header(recording)
            if of_recording[recording] or is_known[recording]:
                events = _agreed(folder, recording, of_recording[recording])
                files = tuple(dict.fromkeys(path for path, _ in of_recording[recording]))
                found.append(Labels(recording, n_frames / sr, events, files))
                _check_times(found[-1])
        except InputError as error:
            faults.append(error)
    if faults:
        raise InputError.several(faults, "recordings or labels cannot be used")
    return found


def _labels_in(path, recordings):
    """What a label file says: {recording: [Label]}."""
    base = _base(path)
    own = recordings.beside(path.parent, base)
    if len(own) > 1:
        raise InputError(f"{path}: are these labels of {own[0].name} or of {own[1].name}? Call it {own[0].name}.txt")
    found = {own[0]: []} if own else {}
    try:
        rows = [*_rows(path, own[0].name if own else base)]
    except InputError as error:
        doubt = "" if own else f"; it was taken for labels, but there is no recording {base} beside it"
        raise InputError(f"{error}{doubt}") from None
    for where, file, event in rows:
        recording = own[0] if own and _names(file, own[0]) else None if own else recordings.find(path.parent, file)
        if recording is None and own:
            raise InputError(f"{where}: is about {file!r}, not about {own[0].name} beside it")
        if recording is None:
            raise InputError(f"{where}: labels of {file!r}, but there is no such recording in {path.parent}")
        labels = found.setdefault(recording, [])
        if event is not None:
            onset_s, offset_s, *label = event
            labels.append(Label(onset_s, offset_s, label[0] if label else None, where))
    if not found:
        raise InputError(f"{path}: no labels in it, and no recording {base} beside it")
    return found


def _base(path):
    """Name of a label file without its suffix; Raven puts `.Table.1` before that."""
    suffix = next(suffix for suffix in LABEL_SUFFIXES if path.name.lower().endswith(suffix))
    return re.sub(r"\.Table\.\d+$", "", path.name[: -len(suffix)], flags=re.IGNORECASE)


class _Recordings:
    """Recordings, to be found by what label files call them."""

    def __init__(self, paths):
        self.by_name, self.by_stem, self.by_end = {}, {}, {}
        for path in paths:
            self.by_name.setdefault((path.parent, path.name), []).append(path)
            self.by_stem.setdefault((path.parent, path.stem), []).append(path)
            self.by_end.setdefault(_composed(path.name), []).append(path)
            self.by_end.setdefault(_composed(path.stem), []).append(path)

    def beside(self, folder, base):
        """Those in a folder that are called so, with their suffix or else without it."""
        return self.by_name.get((folder, base)) or self.by_stem.get((folder, base), [])

    def find(self, folder, file):
        """The one at or below a folder to which the name, or the end of the path, fits best; None if none does so."""
        parts = _parts(file)
        named = self.by_end.get(parts[-1], []) if parts else []
        folders = {path: _parts(str(path.relative_to(folder).parent)) for path in named if path.is_relative_to(folder)}
        for n in range(len(parts) - 1, -1, -1):
            fitting = [path for path, above in folders.items() if above[len(above) - n :] == parts[-1 - n : -1]]
            if len(fitting) == 1:
                return fitting[0]
        return None


def _names(file, recording):
    """Whether `file` can be the recording's name, with or without suffix, wherever it lies."""
    return bool(parts := _parts(file)) and parts[-1] in (_composed(recording.name), _composed(recording.stem))


def _parts(name):
    return [part for part in _composed(name.replace("\\", "/")).split("/") if part not in ("", ".")]


def _composed(name):
    with contextlib.suppress(UnicodeEncodeError):  # half a character, as JSON can have it: the name of no file
        name = os.fsencode(name).decode("utf-8", "replace")
    return unicodedata.normalize("NFC", name)


def _rows(path, own_file):
    """Rows of a label file of any format: yields (where, file, event or None), `own_file` where it names none."""
    suffix = path.suffix.lower()
    readers = {".rttm": _rttm_rows, ".jams": _jams_rows, ".json": _json_rows}
    rows = readers.get(suffix, _text_rows)(path, own_file)
    for number, file, event in rows:
        where = f"{path}, {f'line {number}' if isinstance(number, int) else number}"
        if event is not None and len(event) == 3 and not is_label(event[2]):
            raise InputError(f"{where}: {event[2]!r} cannot be a class: no event list can hold it as a label")
        yield where, file, event


def _text_rows(path, own_file):
    lines = read_lines(path)
    if lines and lines[0][1].split() == TABLE_HEADER:
        return [_table_row(path, number, line) for number, line in lines[1:]]
    rows = label_rows(path) if lines else []
    if rows is not None:
        return [(number, own_file, event) for number, event in rows]
    return event_rows(path, own_file)


def _table_row(path, number, line):
    found = TABLE_ROW.fullmatch(line)
    if not found:
        raise InputError(f"{path}, line {number}: not a row of a table of events")
    onset, offset, file = found.groups()
    if onset == offset == "-":
        return number, file, None
    return number, file, _event(f"{path}, line {number}", onset, offset)


def _rttm_rows(path, own_file):
    """NIST's Rich Transcription Time Marked; all types of lines but SPEAKER are passed over."""
    for number, line in read_lines(path):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        where = f"{path}, line {number}"
        if len(fields) < 8:
            raise InputError(f"{where}: {len(fields)} fields; a SPEAKER of RTTM has 9 or 10")
        file, label = (unquote(fields[i]) for i in (1, 7))
        yield number, file, _event(where, fields[3], fields[4], label if label != "<NA>" else None, is_length=True)


def _json_rows(path, own_file):
    """Objects of `minirsed.detect`, one in a line: those of recordings, and those of single events."""
    for number, found in _json_documents(path):
        where = f"{path}, line {number}"
        if not isinstance(found, dict) or not isinstance(found.get("events", []), list):
            raise InputError(f"{where}: not an object with events")
        file, label = found.get("file", own_file), found.get("label")
        if not isinstance(file, str):
            raise InputError(f"{where}: file is {file!r}, not a name")
        if "events" in found and not found["events"]:
            yield number, file, None
        for event in found.get("events", [found]):
            if not isinstance(event, dict):
                raise InputError(f"{where}: {event!r} is not an event")
            yield number, file, _event(where, event.get("onset_s"), event.get("offset_s"), event.get("label", label))


def _jams_rows(path, own_file):
    """JSON Annotated Music Specification: segments of any namespace whose values are labels."""
    for _, found in _json_documents(path):
        try:
            data = [event for annotation in found["annotations"] for event in annotation["data"]]
            data = [(event["time"], event["duration"], event["value"]) for event in data]
        except (KeyError, TypeError):
            raise InputError(f"{path}: not a JAMS file with annotations of time, duration and value") from None
        for number, (time, duration, value) in enumerate(data, 1):
            number = f"event {number}"
            yield number, own_file, _event(f"{path}, {number}", time, duration, value, is_length=True)


def _json_documents(path):
    """(line number, what is there) for a file with one JSON text a line, or with one of several lines."""
    lines = read_lines(path)
    texts = lines
    try:
        json.loads(lines[0][1] if lines else "0")
    except (ValueError, RecursionError):
        texts = [(lines[0][0], "\n".join(line for _, line in lines))]
    for number, text in texts:
        try:
            yield number, json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: malformed JSON ({error})") from None


def _event(where, onset, second, label=None, *, is_length=False):
    """(onset_s, offset_s) or (onset_s, offset_s, label); `second` is the offset, or with `is_length` the duration."""
    onset_s, second_s = (
        _seconds(value, name, where)
        for value, name in ((onset, "onset"), (second, "duration" if is_length else "offset"))
    )
    if label is not None and not isinstance(label, str):
        raise InputError(f"{where}: label is {label!r}, not a text")
    return (onset_s, onset_s + second_s if is_length else second_s, *([] if label is None else [label]))


def _seconds(value, name, where):
    try:
        seconds = math.nan if isinstance(value, bool) or value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{where}: {name} is {value!r}; expected seconds")
    return seconds


def is_quiet(folder, recording):
    """Whether the path of a recording, below the folder that is read, says that there is no event in it."""
    above = (folder.resolve().name, *recording.relative_to(folder).parts[:-1])
    return QUIET in (name.casefold() for name in above)


def _agreed(folder, recording, statements):
    """Events of a recording, of [(label file, events)], all of which must say the same."""
    if not statements and not is_quiet(folder, recording):
        name = f"{recording.stem}.txt"
        raise InputError(
            f"{recording}: no labels beside it, and an unlabelled recording is not a quiet one: write {name}, empty if "
            f"there is no event, or move it into a folder {QUIET}"
        )
    if is_quiet(folder, recording):
        for event in itertools.chain(*(events for _, events in statements)):
            raise InputError(f"{event.where}: an event in {recording}, which lies in a folder {QUIET}")
    files = {}
    for path, events in statements:
        files.setdefault(path, []).extend(events)
    files = {path: sorted(events, key=lambda event: event[:2]) for path, events in files.items()}
    (first, chosen), *others = files.items() or [(None, [])]
    for path, events in others:
        for one, other in itertools.zip_longest(chosen, events):
            if one is None or other is None or not _is_same(one, other):
                extra = one if other is None or one is not None and one[:2] < other[:2] else other
                other_file = path if extra is one else first
                reason = f"event from {extra.onset_s:g} s to {extra.offset_s:g} s is not in {other_file}"
                raise InputError(f"{extra.where}: {reason}, which is about the same recording")
        if any(event.label is None for event in chosen):
            first, chosen = path, events
    return chosen


def _is_same(one, other):
    near = all(abs(a - b) < ROUNDING_S + 1e-6 for a, b in zip(one[:2], other[:2], strict=True))
    return near and (one.label == other.label or None in (one.label, other.label))


def _check_times(labels):
    last = {}
    for event in labels.events:
        if event.onset_s < 0:
            raise InputError(f"{event.where}: negative onset, {event.onset_s:g} s")
        if event.offset_s <= event.onset_s:
            raise InputError(f"{event.where}: offset {event.offset_s:g} s is not after onset {event.onset_s:g} s")
        if event.offset_s > labels.duration_s + ROUNDING_S:
            end = f"the end of {labels.path.name} ({labels.duration_s:.3f} s)"
            raise InputError(f"{event.where}: offset {event.offset_s:g} s lies beyond {end}")
        before = last.get(event.label)
        if before and event.onset_s < before.offset_s - ROUNDING_S - 1e-6:
            what = f"event of class {event.label!r}" if event.label else "event"
            raise InputError(
                f"{event.where}: {what} from {event.onset_s:g} s overlaps the one from {before.onset_s:g} s to "
                f"{before.offset_s:g} s ({before.where.rpartition(', ')[2]})"
            )
        last[event.label] = event
