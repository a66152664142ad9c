"""Read and write DCASE event lists, which say when an event occurs in which file.

Reference lists come with a data set or from `data_tools`, `minirsed.evaluate` and `minirsed.detect` write estimates in
the same form, and `minirsed.score` reads both. The official form (DCASE 2017 task 2) has no header, tabs between
columns and one row per event; a file without events has a row with only its name:

    mixture_devtest_gunshot_000_0123….wav<TAB>3.25<TAB>4.5<TAB>gunshot
    mixture_devtest_gunshot_001_fedc….wav

The reader also accepts what spreadsheets make of that: semicolons or commas between columns, decimal commas (unless
commas separate columns), quotes, a header, no label column, a byte order mark, any line ends, blank lines.
"""

import csv
import io
import math

from data_tools.errors import InputError
from data_tools.files import atomic_write, require_file

# Column names of dcase_util and other common ones, lower case.
HEADER_NAMES = {
    "file": ("file", "filename", "file_name", "audio_file"),
    "onset": ("onset", "event_onset", "onset_s", "start"),
    "offset": ("offset", "event_offset", "offset_s", "end"),
    "label": ("event_label", "label", "class"),
}
COLUMNS = tuple(HEADER_NAMES)
QUOTE = '"'
BEGINNINGS = (QUOTE, "\ufeff")  # that a reader takes away: a quote, a byte order mark


def read_event_list(path):
    """Read an event list.

    Parameters
    ----------
    path : str or Path
        UTF-8 text. An empty file is a list without files.

    Returns
    -------
    dict of str to list of (onset_s, offset_s) or (onset_s, offset_s, label)
        Files in the order of their first row, events in the order of their rows, with the times as written. A row with
        only a file name, with empty fields after it, or with the label "none" gives a file without an event.

    Raises
    ------
    InputError
        No such file; a row is not an event, or has no label although others have one. The message names file, line
        and reason.
    OSError
        `path` cannot be read.
    """
    events = {}
    line_of_length = {}  # 2 times, or 2 times and a label → the first such line
    for number, file, event in event_rows(path):
        of_file = events.setdefault(file, [])
        if event is not None:
            of_file.append(event)
            line_of_length.setdefault(len(event), number)
    if len(line_of_length) == 2:
        raise InputError(f"{path}, line {line_of_length[2]}: no label, but line {line_of_length[3]} has one")
    return events


def event_rows(path, own_file=None):
    """As `read_event_list`, row by row: yields (line number, file, event or None).

    With `own_file`, the list may be about that one file and not name it: a header without a column for the file, or
    rows that begin with two times.
    """
    lines = read_lines(path)
    separator = _separator(lines)
    columns = None
    for number, line in lines:
        try:
            fields = [field.strip() for field in next(csv.reader([line], delimiter=separator, strict=True))]
            if columns is None:
                columns = _header(fields, own_file)
                if columns:
                    continue
                columns = COLUMNS if own_file is None or not _begins_with_times(fields) else COLUMNS[1:]
            yield number, *_parse_row(fields, columns, separator != ",", own_file)
        except (ValueError, csv.Error) as error:
            raise InputError(f"{path}, line {number}: {error}") from None


def further_rows(path, rows):
    """Rows for a list that is there, in its form: as many columns, in that order, with what separates them.

    Parameters
    ----------
    path : Path
        A list that `event_rows` reads, with a row at least.
    rows : list of (file, onset_s, offset_s, label)
        A list about one file does not name it.

    Returns
    -------
    list of str
        Lines without their ends.

    Raises
    ------
    InputError
        The list has no column for the label, or a field cannot be written.
    """
    lines = read_lines(path)
    separator, own_file = _separator(lines), rows[0][0]
    first = [field.strip() for field in next(csv.reader([lines[0][1]], delimiter=separator))]
    columns = _header(first, own_file) or (COLUMNS[1:] if _begins_with_times(first) else COLUMNS)
    if "label" not in columns:
        raise InputError(f"{path}: has no column for the class")
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, lineterminator="\n")
    for file, onset_s, offset_s, label in rows:
        fields = {"file": file, "onset": f"{onset_s:.6f}", "offset": f"{offset_s:.6f}", "label": label}
        if not all(map(is_field, fields.values())):
            raise InputError(f"{path}: {file!r} cannot be a field of an event list")
        writer.writerow([fields.get(column, "") for column in columns])
    return written.getvalue().split("\n")[:-1]


def _separator(lines):
    """What separates the columns of [(line number, line)]."""
    return next((sep for sep in "\t;," if any(sep in line for _, line in lines)), "\t")


def write_event_list(path, events):
    """Write an event list in the official form, atomically.

    Parameters
    ----------
    path : str or Path
    events : dict of str to list of (onset_s, offset_s) or (onset_s, offset_s, label)
        As `read_event_list` returns it. Times are written exactly.

    Raises
    ------
    InputError
        A name or label is no field (`is_field`), a label is "none", some events have a label and others none, or a time
        is not finite.
    OSError
        `path` cannot be written.
    """
    rows = []
    for file, of_file in events.items():
        if not of_file:
            rows.append([file])
        for onset_s, offset_s, *label in of_file:
            if not (math.isfinite(onset_s) and math.isfinite(offset_s)):
                raise InputError(f"{path}: {file} has the times {onset_s}, {offset_s}; expected finite seconds")
            rows.append([file, repr(float(onset_s)), repr(float(offset_s)), *label])
    for row in rows:
        if not all(map(is_field, row)) or not is_label(row[-1]) and len(row) > 3:
            fault = next((text for text in row if not is_field(text)), row[-1])
            raise InputError(f"{path}: {fault!r} cannot be a field of an event list")
    if {3, 4} <= set(map(len, rows)):
        raise InputError(f"{path}: some events have a label and others have none")
    if all(len(row) == 1 for row in rows):  # or a comma in a name would be taken for what separates columns
        rows = [[f'"{name.replace(QUOTE, 2 * QUOTE)}"' if set(name) & set(";,") else name] for [name] in rows]
    with atomic_write(path, "w") as file:
        file.writelines("\t".join(row) + "\n" for row in rows)


def is_field(text):
    """Whether a name or label can be written into an event list and read back the same."""
    try:
        text.encode()
    except UnicodeEncodeError:  # of a file name that is no UTF-8
        return False
    return (
        0 < len(text) < csv.field_size_limit()
        and text == text.strip()
        and text[0] not in BEGINNINGS
        and not set(text) & set("\t\r\n\0")
    )


def is_label(text):
    """Whether it can be a label: a field, and not "none", which stands for no event."""
    return is_field(text) and text.lower() != "none"


def read_lines(path):
    """Lines of a UTF-8 text, [(line number from 1, line)], without blank ones; InputError: no file, or not UTF-8."""
    require_file(path)
    try:
        with open(path, encoding="utf-8-sig") as file:  # -sig: a byte order mark is not part of the first name
            return [(number, line.rstrip("\n")) for number, line in enumerate(file, 1) if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _header(fields, own_file):
    """The column of each field if the row is a header (None for unknown columns), else None."""
    names = [field.lower() for field in fields]
    columns = [next((c for c, known in HEADER_NAMES.items() if name in known), None) for name in names]
    if "file" not in columns and own_file is None or not {"onset", "offset"} <= set(columns):
        return None
    twice = {column for column in columns if column and columns.count(column) > 1}
    if twice:
        raise ValueError(f"header names {' and '.join(sorted(twice))} twice")
    return columns


def _begins_with_times(fields):
    """Whether a row is onset, offset and perhaps a label; with a third number it is a file called 1, 2, 3 …"""
    try:
        numbers = [float(field.replace(",", ".")) for field in fields[:2]]
    except ValueError:
        return False
    is_number = len(fields) == 3 and fields[2].replace(",", ".").replace(".", "").isdigit()
    return len(numbers) == 2 and len(fields) < len(COLUMNS) and not is_number


def _parse_row(fields, columns, decimal_comma, own_file=None):
    """File and event of a row; the event is None if the row has none. ValueError: the reason."""
    if len(fields) > len(columns) or len(fields) == 2 and columns == COLUMNS:
        file = "file, " if "file" in columns else ""
        one = "1 (file), " if file else ""
        n = 3 if file else 2
        raise ValueError(f"{len(fields)} fields; expected {one}{n} ({file}onset, offset) or {n + 1} (and label)")
    row = {column: field for column, field in zip(columns, fields, strict=False) if column}
    file, onset, offset, label = (row.get(column, "") for column in COLUMNS)
    if "file" not in columns:
        file = own_file  # the list is about it alone
    if not file:
        raise ValueError("no file name")
    if label.lower() == "none" or not (onset or offset or label):
        return file, None
    onset_s, offset_s = (
        _parse_seconds(name, text, decimal_comma) for name, text in (("onset", onset), ("offset", offset))
    )
    return file, (onset_s, offset_s, label) if label else (onset_s, offset_s)


def _parse_seconds(name, text, decimal_comma):
    try:
        seconds = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or "_" in text:  # float() accepts underscores
        raise ValueError(f"{name} is {text!r}; expected seconds")
    return seconds
