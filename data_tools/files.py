"""Writing files so that a reader never sees half of one, and no two processes write the same."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from data_tools.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: no lock there, so do not start two processes on one folder
    fcntl = None

TEMPORARY = ".tmp"  # end of the names of files not yet whole


@contextlib.contextmanager
def atomic_write(path, mode="wb", previous=None):
    """Open a temporary file beside `path`; on a clean exit flush, fsync and rename it to `path`.

    Killed or failing at any instant, `path` holds either its old content or all of the new one.

    Parameters
    ----------
    path : str or Path
        Final place; its folder must exist.
    mode : {"wb", "w"}
        Binary, or UTF-8 text with line feeds.
    previous : str or Path, optional
        Name in the same folder that the old file takes once the new one is safe on disk. A kill between the two
        renames leaves nothing at `path` and the old file here.

    Raises
    ------
    OSError
        Folder missing or not writable, disk full; it names `path`. The old file is intact and the temporary one gone.
    """
    path = Path(path)
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    with _named(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with _named(path), os.fdopen(descriptor, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes it private; the result is an ordinary file
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
    """Have an OSError of a temporary file, or of none ("No space left on device"), name the file that was meant."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(TEMPORARY):
            error.filename = str(path)
        raise


def remove_temporaries(folder):
    """Remove what a process killed inside `atomic_write` left in a folder that nobody else is writing to."""
    for path in Path(folder).glob(f".*{TEMPORARY}"):
        path.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder):
    """Make the rename itself survive a power cut (POSIX; Windows has no folder handles to sync)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def exclusive(lock, doing):
    """Hold a lock file; the operating system frees it when the process ends, however it ends.

    Parameters
    ----------
    lock : Path
        Made if missing, and left there.
    doing : str
        What the holder does to the folder, for the message: "preparing".

    Raises
    ------
    InputError
        Another process holds it.
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
                    raise  # those three: a network file system without locks, to be treated like Windows
        yield
