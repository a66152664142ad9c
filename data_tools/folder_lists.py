"""Names of the files of a sound folder, and lists about them: rows with a header, as spreadsheets write them.

    recordings.csv   file, recording: which files come from one occasion

`data_tools.banks.folder` has the others.
"""

import csv
import math
import os
import unicodedata
from pathlib import Path, PurePosixPath

from data_tools.audio import AUDIO_SUFFIXES
from data_tools.errors import InputError
from data_tools.files import require_file


def name_of(file, root):
    """The name of a file in lists, keys and hashes: relative to `root`, with `/`, in composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", file.relative_to(root).as_posix())


def sound_files(paths, suffixes=AUDIO_SUFFIXES):
    """What has the suffix of a sound file among `paths`, sorted by name."""
    return sorted(p for p in paths if p.suffix.lower() in suffixes and not p.name.startswith("."))


def paths_below(root):
    """All files and folders below `root`, also those in linked folders. InputError: a link leads back up."""

    def refuse(error):
        raise error

    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        for name in folders:
            path = Path(folder, name)
            above = (path.parent, *path.parent.parents)
            if path.is_symlink() and any(up.resolve().is_relative_to(path.resolve()) for up in above):
                raise InputError(f"{path}: is a link to a folder that contains it")
        yield from (Path(folder, name) for name in [*folders, *files])


def read_recordings(root, files):
    """`recordings.csv` as {name: recording}; empty without the file."""
    known, recordings = {name_of(file, root) for file in files}, {}
    for where, row in rows_of(root / "recordings.csv", ("file", "recording")):
        name, recording = list_name(row["file"]), unicodedata.normalize("NFC", row["recording"].strip())
        if not recording:
            raise InputError(f"{where}: {name} has no recording; a file of its own need not be listed")
        if name not in known:
            raise InputError(f"{where}: {name} is not a sound file of this folder")
        if recordings.setdefault(name, recording) != recording:
            raise InputError(f"{where}: {name} is of {recordings[name]!r} already, and cannot be of two recordings")
    return recordings


def list_name(text):
    """A file's name as a list has it, in the form of `name_of`."""
    return unicodedata.normalize("NFC", PurePosixPath(text.strip()).as_posix())


def seconds_of(text, column, where):
    """A finite number of seconds; InputError, with `where`: it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column} is {text!r}, not a number of seconds")
    return value


def rows_of(path, columns):
    """Rows of a list with a header as ("path, line n", {column: text}); none without the file.

    Columns are separated by commas or, as spreadsheets do where the comma is that of decimals, semicolons or tabs.
    """
    if not os.path.lexists(path):
        return
    require_file(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            separator = next((mark for mark in "\t;" if mark in header), ",")
            reader = csv.DictReader(file, strict=True, delimiter=separator)
            for column in columns:
                if column not in (reader.fieldnames or ()):
                    found = ", ".join(reader.fieldnames or ()) or "none"
                    raise InputError(f"{path}, line 1: no column {column!r} (found: {found})")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if any(row[column] is None for column in columns) or None in row:
                    raise InputError(f"{where}: expected {len(reader.fieldnames)} columns")
                times = [name for name in columns if name.endswith("_s") and separator != ","]
                yield where, row | {name: row[name].replace(",", ".") for name in times}
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: malformed list ({error})") from error
