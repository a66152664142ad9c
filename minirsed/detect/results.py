"""Which recordings to run over, what they are called, and the folder that keeps what was found in them.

    DIR/kitchen/monday.wav.csv     one result for each recording, named after it; written whole or not at all
    DIR/kitchen/monday.wav.png     with --plot
    DIR/detected.jsonl             first the settings, then a line for each recording that is done
    DIR/.lock                      held while a process writes there

A run that was stopped resumes: what the log names, if it has not changed since, is not done again. Results of different
detectors or settings never share a folder.
"""

import contextlib
import json
import os
from pathlib import Path

from data_tools.audio import RECORDING_SUFFIXES as SUFFIXES
from data_tools.errors import InputError
from data_tools.files import atomic_write, exclusive, naming, remove_temporaries

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
LOG = "detected.jsonl"
LONGEST_NAME = 255  # bytes, on all usual file systems


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


@contextlib.contextmanager
def open_results(folder, settings, *, overwrite=False):
    """Context: the `ResultsFolder` at `folder`, made if missing, locked meanwhile.

    Parameters
    ----------
    folder : Path
    settings : dict
        JSON-able; all that determines the results.
    overwrite : bool
        Remove the results that the folder's log names, and start again.

    Raises
    ------
    InputError
        The folder holds results of other settings, its log is damaged, or another process writes there.
    OSError
        It cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / ".lock", "detecting into"):
        remove_temporaries(folder, below=True)
        results = ResultsFolder(folder, settings)
        if overwrite:
            results.clear()
        results.begin()
        yield results


class ResultsFolder:
    """Results on disk and the log of what is done; see the module docstring."""

    def __init__(self, folder, settings):
        self.folder, self.settings, self.log = folder, settings, folder / LOG
        self.done = {}  # name → its line of the log

    def begin(self):
        """Read the log, or start one."""
        if not self.log.exists():
            self._start_log()
            return
        found, self.done = self._read_log()
        differing = [name for name in self.settings | found if self.settings.get(name) != found.get(name)]
        if differing:
            changes = ", ".join(f"{name} {found.get(name)} there, {self.settings.get(name)} now" for name in differing)
            reason = "--overwrite removes them, another --out leaves them"
            raise InputError(f"--out {self.folder}: holds results of other settings ({changes}); {reason}")

    def clear(self):
        """Remove what the log names, then the log."""
        if self.log.exists():
            for line in self._read_log()[1].values():
                for file in line["files"]:
                    (self.folder / file).unlink(missing_ok=True)
            self.log.unlink()

    def path(self, name, suffix):
        """Where a recording's result goes; its folder is made. InputError: its name would be too long."""
        path = self.folder / (name + suffix)
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise InputError(f"{name}: too long a name for a result {suffix} of its own in --out")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def is_done(self, path, name, suffixes):
        """Whether the recording, unchanged since, has all its results."""
        line = self.done.get(name)
        return (
            line is not None
            and line["recording"] == file_state(path)
            and all((self.folder / (name + suffix)).exists() for suffix in suffixes)
        )

    def mark(self, state, name, suffixes, n_events):
        """Note that the results of a recording, in the state in which it was read, are on disk."""
        files = [name + suffix for suffix in suffixes]
        line = {"name": name, "recording": state, "files": files, "events": n_events}
        with naming(self.log), open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _start_log(self):
        with atomic_write(self.log, "w") as file:
            file.write(json.dumps({"settings": self.settings}) + "\n")

    def _read_log(self):
        """Settings and lines; a last line cut short by a kill counts as not written."""
        first, *lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
        try:
            settings = json.loads(first)["settings"]
            if lines and not lines[-1].endswith("\n"):
                lines.pop()
                with atomic_write(self.log, "w") as file:  # or the next line would continue the torn one
                    file.writelines([first, *lines])
            entries = [json.loads(line) for line in lines]
            return settings, {line["name"]: {**line, "files": list(line["files"])} for line in entries}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.log}: damaged ({error!r}); delete it to start again") from error


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
