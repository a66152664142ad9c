"""The folder that keeps what was found in recordings.

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

from data_tools.errors import InputError
from data_tools.files import atomic_write, exclusive, naming, remove_temporaries
from minirsed.recordings.listing import file_state

LOG = "detected.jsonl"
LONGEST_NAME = 255  # bytes, on all usual file systems


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
