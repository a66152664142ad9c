"""Unpacking a zip file that may be damaged or hostile; `install` uses it on downloads.

Everything that the archive's directory tells is checked before the first byte is written; while unpacking, `zipfile`
holds every file to its declared size and its CRC.
"""

import os
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from data_tools.errors import InputError

MAX_RATIO = 20  # unpacked bytes per archive byte; sounds reach 1.5, text about 10, a bomb a thousand or more
CHUNK_BYTES = 1 << 20
FORBIDDEN = re.compile(r'[\x00-\x1f\\:*?"<>|]')  # control characters, and what means something else on Windows


def unpack(archive, folder, *, first_level="", max_ratio=MAX_RATIO, progress=None):
    """Unpack a zip file below a folder; files there that have the same names are replaced.

    Stopped in whatever way, it leaves some files whole and perhaps one cut short: unpack where nobody reads yet, and
    rename when done. Permissions and times of the archive are not taken over.

    Parameters
    ----------
    archive : str or Path
    folder : str or Path
        Made if missing; must not be written to by others meanwhile.
    first_level : str
        A first folder of the members that starts with this is left out of their paths; "": none is.
    max_ratio : float
        Largest ratio of the bytes unpacked to those of the archive.
    progress : callable, optional
        `progress(n_done, n_total)` in unpacked bytes.

    Returns
    -------
    int
        Bytes unpacked.

    Raises
    ------
    InputError
        Not a zip file, or damaged; a member that would leave `folder`, is a link or another special file, is
        encrypted, or has a name that another has or that some system cannot store; a ratio above `max_ratio`; less
        free disk space than the content takes.
    OSError
        A file cannot be written.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as file:
            members = _checked_members(archive, file, first_level)
            total = sum(info.file_size for info, _ in members)
            _check_size(archive, folder, total, max_ratio)
            n_done = 0
            for info, path in members:
                n_done += _unpack_member(file, info, folder, path)
                if progress:
                    progress(n_done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"{archive}: not a zip file, or damaged ({error})") from error
    return total


def _checked_members(archive, file, first_level):
    """(ZipInfo, path below the folder) of all files; folders without files are left out."""
    members, paths = [], set()
    for info in file.infolist():
        name = info.filename
        parts = PurePosixPath(name).parts
        kind = stat.S_IFMT(info.external_attr >> 16)
        if FORBIDDEN.search(info.orig_filename) or not parts or ".." in parts or name.startswith("/"):
            raise InputError(f"{archive}: member {name!r} would lie outside the folder or has no portable name")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{archive}: member {name!r} is a link or a special file")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{archive}: member {name!r} is encrypted or packed in an unusual way")
        if info.is_dir():
            continue
        if first_level and len(parts) > 1 and parts[0].startswith(first_level):
            parts = parts[1:]
        path = "/".join(parts)
        if path.casefold() in paths:
            raise InputError(f"{archive}: member {name!r} comes twice")
        paths.add(path.casefold())
        members.append((info, path))
    for info, path in members:
        if any(str(parent).casefold() in paths for parent in PurePosixPath(path).parents):
            raise InputError(f"{archive}: member {info.filename!r} lies in a folder that is also a file")
    return members


def _check_size(archive, folder, total, max_ratio):
    """Declared sizes only; `zipfile` never gives more than these."""
    archive_bytes = archive.stat().st_size
    if total > max_ratio * archive_bytes:
        raise InputError(f"{archive}: {archive_bytes:,} bytes would become {total:,}: a zip bomb?")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(f"{archive}: unpacks to {total / 1e9:.2f} GB, {free / 1e9:.2f} GB free in {folder}")


def _unpack_member(file, info, folder, path):
    """Write one file and sync it; return its size."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a link in this place is removed, not followed
    with file.open(info) as source, open(target, "xb") as out:
        shutil.copyfileobj(source, out, CHUNK_BYTES)
        out.flush()
        os.fsync(out.fileno())
    written = target.stat().st_size
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} has {written} bytes instead of {info.file_size}")
    return written
