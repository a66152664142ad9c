"""Folders that hold a run: where they are, how one begins, what it says of its origin.

What only training needs is imported where it is used, because a detection starts here as well and need not wait for it.
"""

import contextlib
import dataclasses
import datetime
import json
import logging
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from data_tools.console import available_cores
from data_tools.errors import InputError
from data_tools.files import address_in, atomic_write, exclusive, remove_temporaries
from minirsed import __version__
from minirsed.detector import Detector
from minirsed.run.log import LOG
from minirsed.run.settings import option_name, settings_from_file, value_text
from minirsed.several.detector import load, views_of

CONFIG, BEST, LOCK = "config.json", "best.npz", "lock"

log = logging.getLogger(__name__)


def numbered_folders(label):
    """Where runs go that were given no place: runs/LABEL, runs/LABEL-2, runs/LABEL-3, …"""
    yield Path("runs") / label
    number = 2
    while True:
        yield Path("runs") / f"{label}-{number}"
        number += 1


def newest_run(label):
    """The last of a class's numbered folders that holds a run.

    Raises
    ------
    InputError
        There is none.
    """
    newest = None
    for folder in numbered_folders(label):
        if not folder.exists():
            break
        newest = folder if _is_run(folder) else newest
    if newest is None:
        raise InputError(f"--resume: there is no run in {Path('runs') / label}; name its folder with --out")
    return newest


@contextlib.contextmanager
def new_run_folder(folder, settings, command=None):
    """Make a run folder with its `config.json`, locked; take it away again if not even one checkpoint came of it.

    Parameters
    ----------
    folder : Path or None
        None: the first of the class's numbered folders that does not exist.
    settings : TrainSettings
    command : list of str, optional
        See `provenance`.

    Raises
    ------
    InputError
        The folder holds a run already, or another process trains in it.
    OSError
        It cannot be made or written.
    """
    from minirsed.run.checkpoint import has_checkpoint

    folder = _make_numbered(settings.label) if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / LOCK, "training in"):
        if _is_run(folder):
            raise InputError(f"--out {folder}: holds a run already; --resume continues it, another --out leaves it")
        try:
            _write_config(folder, {"settings": dataclasses.asdict(settings), **provenance(command)})
            yield folder
        finally:
            if not has_checkpoint(folder):
                for name in (CONFIG, BEST, LOG, LOCK):
                    (folder / name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # something else of the user's is in it
                    folder.rmdir()


@contextlib.contextmanager
def resumed_run_folder(folder, settings, command=None):
    """Lock the folder of a run that is resumed, tidy up after a kill, note the new start in `config.json`.

    Raises
    ------
    InputError
        Another process trains in it.
    OSError
        It cannot be written.
    """
    with exclusive(folder / LOCK, "training in"):
        remove_temporaries(folder)
        try:
            read_settings(folder)
        except InputError as error:
            log.warning("%s; its settings are taken from the checkpoint", error)
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            earlier = list(config["resumed"]) if "resumed" in config else []
        except (OSError, ValueError, TypeError):
            config, earlier = {}, []
        record = {"settings": dataclasses.asdict(settings), "resumed": [*earlier, provenance(command)]}
        _write_config(folder, {**config, **record})
        yield folder


def settings_to_resume(folder):
    """The settings of a run that is to be resumed: those of `config.json` or, where that is damaged, of the checkpoint.

    Raises
    ------
    InputError
        Not the folder of a run.
    """
    from minirsed.run.checkpoint import has_checkpoint, read_checkpoint

    try:
        return read_settings(folder)
    except InputError:
        if not has_checkpoint(folder):
            raise
        return read_checkpoint(folder).settings


def require_settings(folder, wanted):
    """Refuse a folder that holds a run with other settings; one that holds none passes.

    Raises
    ------
    InputError
        Names what differs.
    """
    if not (folder / CONFIG).exists():
        return
    found = read_settings(folder)
    other = [name for name, value in dataclasses.asdict(wanted).items() if getattr(found, name) != value]
    if other:
        what = ", ".join(
            f"{option_name(name)} {value_text(getattr(found, name))}, not {value_text(getattr(wanted, name))}"
            for name in other
        )
        raise InputError(f"{folder}: holds a run with {what}; choose another --out")


def _is_run(folder):
    from minirsed.run.checkpoint import has_checkpoint

    return has_checkpoint(folder) or any((folder / name).exists() for name in (CONFIG, BEST))


def _make_numbered(label):
    """Make and return the first free folder; two processes that start at once get two."""
    Path("runs").mkdir(exist_ok=True)
    for folder in numbered_folders(label):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder


def _write_config(folder, config):
    with atomic_write(folder / CONFIG, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")


def read_settings(folder):
    """The settings of a run, from its `config.json`.

    Raises
    ------
    InputError
        Missing, damaged, or of another version.
    """
    path = Path(folder) / CONFIG
    try:
        return settings_from_file(json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(_no_run(Path(folder), CONFIG)) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: damaged, or of another version: {error}") from error


def trained_detector(path, several=False):
    """The best detector of a run.

    Parameters
    ----------
    path : str or Path
        Run folder, or the file of a detector.
    several : bool
        Whether it may also be one of several classes, `minirsed.several.detector.SeveralDetector`.

    Raises
    ------
    InputError
        It is of several classes, or there is none: no run, or one that has not finished an epoch, and then the line
        says how to resume it.
    """
    path = Path(path)
    if path.is_dir() and not (path / BEST).exists():
        raise InputError(_no_detector(path) if _is_run(path) else _no_run(path, BEST))
    return load(path) if several else Detector.load(path)


def detector_of_class(path, label=None):
    """The best detector of a run as one of a single class: the only one or, of several, the one of `label`.

    Raises
    ------
    InputError
        As `trained_detector`; the class is not among them, or they are several and none is named.
    """
    detector = trained_detector(path, several=True)
    views = {view.label: view for view in views_of(detector)}
    if label is None and len(views) > 1:
        raise InputError(f"{path}: detects {', '.join(views)}; --class says which of them is meant")
    if label is not None and label not in views:
        raise InputError(f"--class {label}: {path} detects {', '.join(views)}")
    return detector if label is None else views[label]


def _no_detector(folder):
    from minirsed.run.metrics import read_metrics

    settings = settings_to_resume(folder)
    if read_metrics(folder):
        return f"{folder}: no detector was kept, since no development mixture has an event"
    classes = shlex.join(settings.classes)
    resume = f"python -m minirsed.train {classes} --resume --out {shlex.quote(str(folder))}"
    return f"{folder}: no epoch finished yet; resume with: {resume}"


def _no_run(folder, missing):
    if address_in(folder) and not folder.exists():
        return f"{address_in(folder)}: is an address; download it first"
    return f"{folder}: " + (
        f"no run folder of minirsed's (it has no {missing})" if folder.exists() else "no such folder"
    )


def provenance(command=None):
    """What else determines or explains a run: versions, command line, machine, time.

    `command` is a list of words; by default that of this process.
    """
    return {
        "versions": versions(),
        "command": [Path(sys.executable).name, *sys.orig_argv[1:]] if command is None else list(command),
        "machine": f"{platform.platform()}, {platform.processor() or platform.machine()}, {available_cores()} cores",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def versions():
    """All that has a say in the bits of a result: versions, vectors of the processor, BLAS and its kernel.

    `git` is among them where minirsed runs from a git repository.
    """
    from minirsed.kernels.compiling import processor  # loads Numba

    found = {"minirsed": __version__, "python": platform.python_version(), **processor()}
    for package in ("numpy", "numba", "scipy", "soxr", "soundfile"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    revision = git_revision()
    return found | ({"git": revision} if revision else {})


def git_revision():
    """Commit of the repository that this file is part of, `-dirty` where it was changed since; None without one."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        # a project around an installation has a revision too, but not of this file
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True, check=True, timeout=10)
        described = [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        result = subprocess.run(described, capture_output=True, check=True, timeout=10, text=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
