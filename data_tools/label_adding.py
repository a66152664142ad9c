"""Events added to the labels of recordings, in the form that these have; what is there stays, byte for byte.

    Labels of `data_tools.labelled_recordings`, events → **label_adding** → texts of label files, to be written

A label track of Audacity and any list with rows of onset, offset and label can be added to, whatever separates its
columns, and an empty file becomes a label track. Other forms have more to an event than that (a selection of Raven has
a number and frequencies) or are not lists of rows: such labels are refused, for whoever made them to complete.
"""

from data_tools.errors import InputError
from data_tools.event_lists import further_rows, read_lines
from data_tools.label_tracks import ONSET, label_rows
from data_tools.labelled_recordings import TABLE_HEADER

NOT_ROWS = (".rttm", ".jams", ".json")


def with_events(found):
    """Texts of label files with events added.

    Parameters
    ----------
    found : list of (Labels, list of (onset_s, offset_s, label))
        Of each recording, what is written about it and what is to be added; seconds.

    Returns
    -------
    dict of Path to str
        Complete texts of the files that change.

    Raises
    ------
    InputError
        A recording has no label file or several, or one that cannot be added to.
    """
    rows, texts = {}, {}
    for labels, events in found:
        if len(labels.files) != 1:
            number = "no label file" if not labels.files else f"{len(labels.files)} label files"
            raise InputError(f"{labels.path}: has {number}; to add events it takes one")
        (path,) = labels.files
        name = labels.path.relative_to(path.parent).as_posix()
        rows.setdefault(path, []).extend((name, *event) for event in sorted(events))
    for path, added in rows.items():
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        end = "\r\n" if "\r\n" in text else "\n"
        there = text + ("" if not text or text.endswith(("\n", "\r")) else end)
        texts[path] = there + "".join(line + end for line in _lines(path, added))
    return texts


def _lines(path, rows):
    """Rows in the form of the file. InputError: it has a form that cannot be added to."""
    lines = read_lines(path)
    is_rows = path.suffix.lower() not in NOT_ROWS and not (lines and lines[0][1].split() == TABLE_HEADER)
    is_selections = lines and ONSET in (field.strip().lower() for field in lines[0][1].split("\t"))
    if not is_rows or is_selections:
        events = "; ".join("{3} from {1:.3f} to {2:.3f} s in {0}".format(*row) for row in rows)
        raise InputError(f"{path}: labels of this form have to be completed by hand: {events}")
    if not lines or label_rows(path) is not None:
        return [f"{onset_s:.6f}\t{offset_s:.6f}\t{label}" for _, onset_s, offset_s, label in rows]
    return further_rows(path, rows)
