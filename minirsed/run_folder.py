"""Folders that hold a run: where they are, how one begins, what it says of its origin."""

import contextlib
import dataclasses
import datetime
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import atomic_write
from minirsed import __version__
from minirsed.console import available_cores
from minirsed.settings import TrainSettings

CONFIG, CHECKPOINT = "config.json", "checkpoint.npz"


def numbered_folders(label):
    """Where runs go that were given no place: runs/LABEL, runs/LABEL-2, runs/LABEL-3, …"""
    yield Path("runs") / label
    number = 2
    while True:
        yield Path("runs") / f"{label}-{number}"
        number += 1


def newest_run(label):
    """The last of a class's numbered folders that holds a checkpoint.

    Raises
    ------
    InputError
        There is none.
    """
    newest = None
    for folder in numbered_folders(label):
        if not folder.exists():
            break
        newest = folder if (folder / CHECKPOINT).exists() else newest
    if newest is None:
        raise InputError(f"--resume: there is no run in {Path('runs') / label}; name its folder with --out")
    return newest


@contextlib.contextmanager
def new_run_folder(folder, settings):
    """Make a run folder with its `config.json`; take both away again if not even one epoch came of it.

    Parameters
    ----------
    folder : Path or None
        None: the first of the class's numbered folders that does not exist.
    settings : TrainSettings

    Raises
    ------
    InputError
        The folder holds a run already.
    OSError
        It cannot be made or written.
    """
    if folder is None:
        folder = next(path for path in numbered_folders(settings.label) if not path.exists())
    elif (folder / CONFIG).exists():
        raise InputError(f"--out {folder}: holds a run already; --resume goes on with it, another --out leaves it")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / CONFIG, "w") as file:
        json.dump({"settings": dataclasses.asdict(settings), **provenance()}, file, indent=2)
        file.write("\n")
    try:
        yield folder
    finally:
        if not (folder / CHECKPOINT).exists():
            (folder / CONFIG).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else of the user's is in it
                folder.rmdir()


def read_settings(folder):
    """The settings of a run, from its `config.json`.

    Raises
    ------
    InputError
        Missing, damaged, or of another version.
    """
    path = Path(folder) / CONFIG
    try:
        return TrainSettings(**json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder}: no run folder of minirsed's (it has no {CONFIG})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged, or of another version: {error}") from error


def provenance():
    """What else determines or explains a run: versions, command line, machine, time."""
    versions = {"minirsed": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba", "scipy", "soxr", "soundfile"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "versions": versions,
        "command": [Path(sys.executable).name, *sys.orig_argv[1:]],
        "machine": f"{platform.platform()}, {platform.processor() or platform.machine()}, {available_cores()} cores",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
