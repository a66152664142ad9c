"""Read events of one recording as audio editors write them: Audacity's label tracks, Raven's selection tables.

Both have a row an event and tabs between columns, and do not name the recording; it is taken from the list's own
name, as `minirsed.detect --out` writes it: `street.wav.txt`, `street.wav.selections.txt`.

    3.250000<TAB>4.500000<TAB>gunshot 0.97                                          Audacity: onset, offset, label
    Selection<TAB>…<TAB>Begin Time (s)<TAB>End Time (s)<TAB>…<TAB>Annotation        Raven: a header, columns by name

A number with two decimals at the end of an Audacity label is the probability that `minirsed.detect` puts there, and
no part of the label.
"""

import math
import re
from pathlib import Path

from data_tools.errors import InputError
from data_tools.event_lists import read_lines

ONSET, OFFSET, LABELS = "begin time (s)", "end time (s)", ("annotation", "label", "species", "class")
SUFFIXES = (".selections.txt", ".txt", ".csv", ".tsv")


def read_label_track(path):
    """Read a label track or a selection table.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to list of (onset_s, offset_s) or (onset_s, offset_s, label), or None
        The recording and its events, seconds as written; None if the file is neither of the two.

    Raises
    ------
    InputError
        A row of a selection table without times; not UTF-8 text.
    OSError
        `path` cannot be read.
    """
    rows = label_rows(path)
    return None if rows is None else {_recording(path): [event for _, event in rows]}


def label_rows(path):
    """As `read_label_track`, with the lines: [(line number, event)], or None."""
    rows = [(number, [field.strip() for field in line.split("\t")]) for number, line in read_lines(path)]
    if not rows:
        return None
    header = [field.lower() for field in rows[0][1]]
    if ONSET in header and OFFSET in header:
        return _selections(path, header, rows[1:])
    if all(_is_label(fields) or fields[0] == "\\" for _, fields in rows):  # \: the frequency range of the one above
        return [(number, _label(fields)) for number, fields in rows if fields[0] != "\\"]
    return None


def _selections(path, header, rows):
    """Events of a selection table; one that is shown in several views of Raven has a row for each of them."""
    label = next((header.index(name) for name in LABELS if name in header), None)
    events = {}
    for number, fields in rows:
        fields = dict(enumerate(fields))
        onset_s, offset_s = (_seconds(fields.get(header.index(name), "")) for name in (ONSET, OFFSET))
        if onset_s is None or offset_s is None:
            raise InputError(f"{path}, line {number}: a selection without begin and end time")
        event = (onset_s, offset_s, *filter(None, [fields.get(label)]))
        events.setdefault((fields.get(0), event), (number, event))
    return list(events.values())


def _is_label(fields):
    times = [_seconds(field) for field in fields[:2]]
    is_number = len(fields) == 3 and _seconds(fields[2]) is not None  # a list of files that are called 1, 2, 3 …
    return len(fields) in (2, 3) and len(times) == 2 and None not in times and not is_number


def _label(fields):
    label = re.sub(r"\s[01]\.\d\d$", "", fields[2]) if len(fields) == 3 else ""
    return (float(fields[0]), float(fields[1]), *filter(None, [label]))


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _recording(path):
    name = Path(path).name
    suffix = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]
