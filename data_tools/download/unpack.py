"""Unpack a zip file that may be damaged or hostile.

The whole directory of the archive is checked before the first byte is written. While unpacking, `zipfile` compares
every file with its declared size and its CRC.
"""

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from data_tools.errors import InputError
from data_tools.files import naming, sync

MAX_RATIO = 20  # unpacked bytes per archive byte; sounds reach 1.5, text about 10, a bomb a thousand or more
CHUNK_BYTES = 1 << 20
FORBIDDEN = re.compile(r'[\x00-\x1f\\:*?"<>|]')  # control characters, and those that have a special meaning on Windows


def unpack(archive, folder, *, first_level="", max_ratio=MAX_RATIO, progress=None):
    """Unpack a zip file below a folder. Files of the same names are replaced.

    An interruption leaves some files complete and perhaps one cut short, so unpack where nobody reads yet, and rename
    the folder at the end. Permissions and times of the archive are ignored.

    Parameters
    ----------
    archive : str or Path
    folder : str or Path
        Created if missing. No other process may write to it at the same time.
    first_level : str
        If the first folder of a member starts with this, it is dropped from its path; "": never.
    max_ratio : float
        Largest ratio of unpacked bytes to those of the archive.
    progress : callable, optional
        `progress(n_done, n_total)` in unpacked bytes.

    Returns
    -------
    int
        Bytes unpacked.

    Raises
    ------
    InputError
        Not a zip file, or damaged; a member that would leave `folder`, is a link or another special file, is encrypted,
        or has a name that another member has or that some system cannot store; a ratio above `max_ratio`; not enough
        free disk space.
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
    """(ZipInfo, path below the folder) of all files."""
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
    """Check the declared sizes, which `zipfile` never exceeds."""
    archive_bytes = archive.stat().st_size
    if total > max_ratio * archive_bytes:
        raise InputError(f"{archive}: {archive_bytes:,} bytes would become {total:,}: a zip bomb?")
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if total > free:
        raise InputError(f"{archive}: unpacks to {total / 1e9:.2f} GB, {free / 1e9:.2f} GB free in {folder}")


def _unpack_member(file, info, folder, path):
    """Write a file and sync it; returns its size."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a link in this place is removed, not followed
    with naming(target), file.open(info) as source, open(target, "xb") as out:
        shutil.copyfileobj(source, out, CHUNK_BYTES)
        sync(out)
    written = target.stat().st_size
    if written != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} has {written} bytes instead of {info.file_size}")
    return written
