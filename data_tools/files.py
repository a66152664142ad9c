"""Write files so that a reader never sees half of one, and lock folders so that only one process writes to them."""

import contextlib
import errno
import math
import os
import shutil
import tempfile
from pathlib import Path

from data_tools.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such lock: do not start two processes on one folder there
    fcntl = None

TEMPORARY = ".tmp"  # suffix of files that are not complete


@contextlib.contextmanager
def atomic_write(path, mode="wb", previous=None):
    """Open a temporary file beside `path`. If the block succeeds, flush, fsync and rename it to `path`.

    Whenever the process fails or is killed, `path` has either its old content or all of the new one.

    Parameters
    ----------
    path : str or Path
        Final path; its folder must exist.
    mode : {"wb", "w"}
        Binary, or UTF-8 text with line feeds.
    previous : str or Path, optional
        Path in the same folder to which the old file is moved once the new one is safe on disk. If the process is
        killed between the two renames, there is nothing at `path` and the old file is here.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full. The error names `path`; the old file is intact and
        the temporary one removed.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with _named(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:48]}.", suffix=TEMPORARY)
    try:
        with _named(path), os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes it private, but the result is an ordinary file
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def _named(path):
    """Make an OSError name `path` instead of the temporary file, or of no file ("No space left on device")."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(TEMPORARY):
            error.filename = str(path)
        raise


def remove_temporaries(folder):
    """Remove temporary files of processes killed in `atomic_write`, from a folder that no process is writing to."""
    for path in Path(folder).glob(f".*{TEMPORARY}"):
        path.unlink()


def size_text(n_bytes):
    """A number of bytes for people: 512 kB, 267 MB, 1.3 GB, 33 TB."""
    size, unit = n_bytes / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if size < 999.5:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"


def folder_size(folder):
    """Bytes of all files below a folder, 0 without one; a file that vanishes meanwhile is not counted."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                state = os.lstat(os.path.join(path, name))
                # what it occupies: files of stores are sparse while they are filled
                total += min(state.st_size, getattr(state, "st_blocks", math.inf) * 512)
    return total


def require_space(folder, needed, what, there=0, advice=""):
    """Refuse what does not fit the disk.

    Parameters
    ----------
    folder : str or Path
        Where it goes; may be missing yet.
    needed : int
        Bytes.
    what : str
        For the message, a plural.
    there : int
        Bytes of it that may be on the disk already.
    advice : str
        End of the message.

    Raises
    ------
    InputError
        Fewer bytes are free.
    """
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free + there:
        raise InputError(f"{folder}: {what} take {size_text(needed)}, {size_text(free)} are free{advice}")


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder):
    """Make a rename survive a power cut (POSIX only: Windows cannot sync a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def exclusive(lock, doing):
    """Hold a lock file. The operating system releases it when the process ends, however it ends.

    Parameters
    ----------
    lock : Path
        It is created if missing, and not removed.
    doing : str
        What the process that holds the lock does to the folder, for the message: "preparing".

    Raises
    ------
    InputError
        Another process holds the lock.
    """
    with open(lock, "a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                reason = f"another process is {doing} it; start again when it is done"
                raise InputError(f"{lock.parent}: {reason}") from None
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                    raise  # those three mean a network file system without locks, treated like Windows
        yield
