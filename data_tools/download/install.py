"""Fetch, check and unpack TUT Rare Sound Events 2017. The folder of a collection appears when it is complete.

    DIR/TUT-rare-sound-events-2017-development.doc.zip.part     being fetched
    DIR/TUT-rare-sound-events-2017-development.doc.zip          of the right size and sum
    DIR/.TUT-rare-sound-events-2017-development.unpacking/      packages unpacked so far, named in its `downloaded.json`
    DIR/TUT-rare-sound-events-2017-development/                 all of them: the folder above, renamed

`data_tools.banks.tut2017` reads only the last folder. After an interruption the same call continues.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from data_tools.download.packages import BASE_URL, Collection, Package
from data_tools.download.transfer import fetch, open_session
from data_tools.download.unpack import unpack
from data_tools.errors import InputError
from data_tools.files import atomic_write, exclusive, sync_folder

MARKER = "downloaded.json"  # {package name: MD5 sum} of what the folder contains
# Unpacked bytes per byte of a package, an estimate before the package is there. Backgrounds: 1121 files of 30 s,
# 2 channels, 24 bits are 8.9 GB from 7.7 GB, 1.16; mixtures: 1500 of 30 s, mono, 24 bits are 6.0 GB from 4.6 GB, 1.30.
UNPACKED_RATIO = 1.5


@dataclass(frozen=True)
class Plan:
    """The packages of a collection that are not yet unpacked, and how many bytes of each are here already."""

    collection: Collection
    packages: tuple[Package, ...]
    n_here: tuple[int, ...]

    @property
    def n_to_fetch(self):
        """Bytes, without files of unknown size."""
        return sum((package.n_bytes or 0) - here for package, here in zip(self.packages, self.n_here, strict=True))


def plan(collection, root):
    """See what is there, without network and without writing anything.

    Raises
    ------
    InputError
        The folder of the collection exists but was not made by `install`.
    """
    root = Path(root)
    folder = root / collection.folder
    if (folder / MARKER).is_file():
        return Plan(collection, (), ())
    if folder.exists():
        raise InputError(f"{folder}: exists, but was not downloaded by this program; use it as it is, or move it away")
    done = _read_marker(_staging(root, collection))
    packages = tuple(package for package in collection.packages if done.get(package.name) != package.md5)
    return Plan(collection, packages, tuple(_bytes_here(root, package) for package in packages))


def disk_needed(plans, *, keep_zips=False):
    """Most free bytes needed at any time while carrying out the plans; unpacked sizes are estimates."""
    used = peak = 0
    for item in plans:
        for package, here in zip(item.packages, item.n_here, strict=True):
            n_bytes = package.n_bytes or 0
            used += n_bytes - here + round(UNPACKED_RATIO * n_bytes)
            peak = max(peak, used)
            if not keep_zips:
                used -= n_bytes
    return peak


def install(collections, root, *, base_url=BASE_URL, keep_zips=False, progress=None, pause_s=1.0):
    """Install collections in a folder. What is there is kept; for a complete collection nothing is requested.

    Parameters
    ----------
    collections : iterable of packages.Collection
    root : str or Path
        Created if missing.
    base_url : str
        Packages are at base_url/RECORD/files/NAME. If it is https, nothing is fetched by http, redirected or not.
    keep_zips : bool
        Keep each zip file after unpacking it.
    progress : callable, optional
        `progress(what, n_done, n_total)` in bytes; `what` is "NAME" while fetching, "unpacking NAME" after that.
    pause_s : float
        See `transfer.open_session`.

    Returns
    -------
    list of Path
        The folders.

    Raises
    ------
    InputError
        Not enough disk space (checked before anything is fetched); a folder of this name that is not ours; another
        process at work in `root`; a package that is unsafe to unpack or has not the expected content; requests is not
        installed.
    transfer.TransferError, OSError
        See `transfer.fetch`.
    """
    root = Path(root)
    plans = [plan(collection, root) for collection in collections]
    if any(item.packages for item in plans):
        session = open_session(base_url, pause_s=pause_s)
        root.mkdir(parents=True, exist_ok=True)
        with session, exclusive(root / ".lock", "downloading to"):
            plans = [plan(item.collection, root) for item in plans]  # another process may have been at work
            _check_disk(plans, root, keep_zips)
            for item in plans:
                for package in item.packages:
                    url = f"{base_url}/{item.collection.record}/files/{package.name}"
                    options = {"progress": _reporter(progress, package.name), "pause_s": pause_s}
                    fetch(session, url, root / package.name, package.n_bytes, package.md5, **options)
                    _unpack_package(root, item.collection, package, keep_zips, progress)
                _finish(item.collection, root, keep_zips)
    return [root / item.collection.folder for item in plans]


def free_bytes(root):
    """Free disk space where `root` is or would be."""
    root = Path(root).absolute()
    return shutil.disk_usage(next(folder for folder in (root, *root.parents) if folder.exists())).free


def _check_disk(plans, root, keep_zips):
    needed, free = disk_needed(plans, keep_zips=keep_zips), free_bytes(root)
    if needed > free:
        zips = "zip files and unpacked sounds" if keep_zips else "unpacked sounds and one zip file at a time"
        raise InputError(f"{root}: about {needed / 1e9:.1f} GB needed for {zips}, {free / 1e9:.1f} GB free")


def _reporter(progress, what):
    return progress and (lambda n_done, n_total: progress(what, n_done, n_total))


def _unpack_package(root, collection, package, keep_zips, progress):
    """Unpack a package into the staging folder and note it there."""
    path, staging = root / package.name, _staging(root, collection)
    staging.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        unpack(path, staging, first_level=collection.folder, progress=_reporter(progress, f"unpacking {package.name}"))
    else:
        os.replace(path, staging / package.name)
    done = _read_marker(staging) | {package.name: package.md5}
    with atomic_write(staging / MARKER, "w") as file:
        json.dump(done, file, indent=1)
    if not keep_zips:
        path.unlink(missing_ok=True)


def _finish(collection, root, keep_zips):
    """Give the staging folder its final name. InputError: a folder is missing in it."""
    staging, folder = _staging(root, collection), root / collection.folder
    if folder.exists():
        return
    for name in collection.content:
        if not (staging / name).is_dir():
            raise InputError(f"{staging}: the packages of {collection.folder} do not contain {name}")
    if not keep_zips:  # left by a run that was killed between two steps, or that kept them
        for package in collection.packages:
            (root / package.name).unlink(missing_ok=True)
    os.rename(staging, folder)
    sync_folder(root)


def _staging(root, collection):
    return root / f".{collection.folder}.unpacking"


def _read_marker(staging):
    """What has been unpacked; nothing if the file is damaged, since unpacking again costs only time."""
    try:
        done = json.loads((staging / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return done if isinstance(done, dict) else {}


def _bytes_here(root, package):
    """Bytes of a package that need not be fetched, judged by sizes."""
    for path in (root / package.name, root / f"{package.name}.part"):
        if path.is_file() and path.stat().st_size <= (package.n_bytes or 0):
            return path.stat().st_size
    return 0
