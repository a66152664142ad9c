"""Which recordings there are: sound files of paths and folders, what they are called, and whether they have changed."""

import os
from pathlib import Path

from data_tools.audio import RECORDING_SUFFIXES as SUFFIXES
from data_tools.errors import InputError

# sound that it does not decode: worth a word where it lies in a folder
FOREIGN = (
    ".m4a",
    ".m4b",
    ".aac",
    ".wma",
    ".mp4",
    ".mov",
    ".mkv",
    ".mka",
    ".webm",
    ".amr",
    ".3gp",
    ".ac3",
    ".ape",
    ".wv",
)


def find_recordings(paths, pass_over=lambda path, reason: None):
    """Sound files of paths: [(path, name)], each file once, no name twice.

    Parameters
    ----------
    paths : list of Path
        Files, taken whatever they are called; folders, searched to any depth for `SUFFIXES` but not for hidden files.
        Links to files and folders are followed.
    pass_over : callable
        `pass_over(path, reason)`, called for each file in a folder that may hold sound and is not taken.

    Returns
    -------
    list of (Path, str)
        Names are relative to the folder that was given, or a file's name alone; where that would give one name to two
        recordings, all names are the paths as given.

    Raises
    ------
    InputError
        A folder without sound files.
    """
    found = {}
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = list(_recordings_in(path, pass_over))
            if not inside:
                raise InputError(f"{path}: no sound files in it ({', '.join(SUFFIXES)})")
        for file in inside:
            found.setdefault(os.path.realpath(file), (file, file.relative_to(path if path.is_dir() else path.parent)))
    names = [name for _, name in found.values()]
    if len(set(names)) < len(names):
        parts = [[part for part in file.parts if part not in (file.anchor, "..")] for file, _ in found.values()]
        names = [Path(*own) for own in parts]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{twice}: two recordings would have this name; give them in two runs")
    return [(file, printable(name)) for (file, _), name in zip(found.values(), names, strict=True)]


def printable(path):
    """A path as text with slashes; bytes that are no UTF-8 are replaced."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _recordings_in(folder, pass_over):
    """Sound files in a folder, sorted by path; a folder that was seen already, through a link, is not entered again."""
    files, seen = [], set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        files += [Path(here) / name for name in names if real not in seen and not name.startswith(".")]
        seen.add(real)
    for file in sorted(files):
        suffix = file.suffix.lower()
        if suffix in FOREIGN:
            pass_over(file, f"{suffix} cannot be read; ffmpeg converts it to .wav")
        elif suffix in SUFFIXES and file.is_file():
            yield file
        elif suffix in SUFFIXES:
            pass_over(file, "a link that leads nowhere" if file.is_symlink() else "not an ordinary file")


def file_state(path):
    """Size and time of change of a file; None if there is none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return [state.st_size, state.st_mtime_ns]


def file_size(path):
    """Bytes of a file, 0 if there is none."""
    return (file_state(path) or [0])[0]
