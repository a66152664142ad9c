"""TUT Rare Sound Events 2017 on this machine: each package fetched, checked, unpacked; the folder appears when whole.

    DIR/TUT-rare-sound-events-2017-development.doc.zip.part     being fetched
    DIR/TUT-rare-sound-events-2017-development.doc.zip          of the right size and sum
    DIR/.TUT-rare-sound-events-2017-development.unpacking/      packages so far, named in its `downloaded.json`
    DIR/TUT-rare-sound-events-2017-development/                 all of them: the folder above, renamed

What `tut2017` looks for is the last folder only. Stopped at any instant, the same call goes on where it was.
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

MARKER = "downloaded.json"  # {package name: MD5 sum} of what the folder holds
# Unpacked bytes per byte of a package, before the package itself is there to tell. Backgrounds: 1121 files of 30 s,
# 2 channels, 24 bits are 8.9 GB from 7.7 GB, 1.16; mixtures: 1500 of 30 s, mono, 24 bits are 6.0 GB from 4.6 GB, 1.30.
UNPACKED_RATIO = 1.5


@dataclass(frozen=True)
class Plan:
    """What lacks of a collection: packages not yet unpacked, and the bytes of each that are here already."""

    collection: Collection
    packages: tuple[Package, ...]
    n_here: tuple[int, ...]

    @property
    def n_to_fetch(self):
        """Bytes, files of unknown size not counted."""
        return sum((package.n_bytes or 0) - here for package, here in zip(self.packages, self.n_here, strict=True))


def plan(collection, root):
    """Look what is there; no network, nothing is written.

    Raises
    ------
    InputError
        The collection's folder exists but was not made by `install`.
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
    """Free bytes that carrying out the plans takes at its peak; the share of unpacked files is an estimate."""
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
    """Bring collections into a folder; what is there already is kept, and whole collections cost no request.

    Parameters
    ----------
    collections : iterable of packages.Collection
    root : str or Path
        Made if missing.
    base_url : str
        Packages are at base_url/RECORD/files/NAME. With https, nothing is fetched by http, redirected or not.
    keep_zips : bool
        Keep each zip file after it is unpacked; else it is deleted at once.
    progress : callable, optional
        `progress(what, n_done, n_total)` in bytes; `what` is "NAME" while fetching, "unpacking NAME" after.
    pause_s : float
        See `transfer.open_session`.

    Returns
    -------
    list of Path
        The folders.

    Raises
    ------
    InputError
        Not enough disk space, known before anything is fetched; a folder in the way that is not ours; another process
        at work in `root`; a package that is not safe to unpack or does not hold what it should; no requests library.
    transfer.TransferError, OSError
        See `transfer.fetch`.
    """
    root = Path(root)
    plans = [plan(collection, root) for collection in collections]
    if any(item.packages for item in plans):
        session = open_session(base_url, pause_s=pause_s)
        root.mkdir(parents=True, exist_ok=True)
        with session, exclusive(root / ".lock", "downloading to"):
            plans = [plan(item.collection, root) for item in plans]  # as it is now that nobody else is at it
            _check_disk(plans, root, keep_zips)
            for item in plans:
                for package in item.packages:
                    _bring(session, item.collection, package, root, base_url, keep_zips, progress, pause_s)
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


def _bring(session, collection, package, root, base_url, keep_zips, progress, pause_s):
    """One package: fetch, unpack into the staging folder, note it there."""

    def report(what):
        return progress and (lambda n_done, n_total: progress(what, n_done, n_total))

    path, staging = root / package.name, _staging(root, collection)
    url = f"{base_url}/{collection.record}/files/{package.name}"
    fetch(session, url, path, package.n_bytes, package.md5, progress=report(package.name), pause_s=pause_s)
    staging.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        unpack(path, staging, first_level=collection.folder, progress=report(f"unpacking {package.name}"))
    else:
        os.replace(path, staging / package.name)
    done = _read_marker(staging) | {package.name: package.md5}
    with atomic_write(staging / MARKER, "w") as file:
        json.dump(done, file, indent=1)
    if not keep_zips:
        path.unlink(missing_ok=True)


def _finish(collection, root, keep_zips):
    """Give the staging folder its name, if it holds what it should."""
    staging, folder = _staging(root, collection), root / collection.folder
    if folder.exists():
        return
    for name in collection.content:
        if not (staging / name).is_dir():
            raise InputError(f"{staging}: the packages of {collection.folder} do not hold {name}")
    if not keep_zips:  # of a run that was killed between two steps, or that kept them
        for package in collection.packages:
            (root / package.name).unlink(missing_ok=True)
    os.rename(staging, folder)
    sync_folder(root)


def _staging(root, collection):
    return root / f".{collection.folder}.unpacking"


def _read_marker(staging):
    """What has been unpacked; damaged means nothing, for it costs only time to unpack again."""
    try:
        done = json.loads((staging / MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return done if isinstance(done, dict) else {}


def _bytes_here(root, package):
    """Bytes of a package that need not be fetched, as far as sizes tell."""
    for path in (root / package.name, root / f"{package.name}.part"):
        if path.is_file() and path.stat().st_size <= (package.n_bytes or 0):
            return path.stat().st_size
    return 0
