"""Write files so that a reader never sees half of one, and lock folders so that only one process writes to them."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from data_tools.errors import InputError

try:
    import fcntl
except ImportError:  # Windows has no such lock: do not start two processes on one folder there
    fcntl = None

TEMPORARY = ".tmp"  # suffix of files that are not complete
# how shares and odd file systems say that they have no modes, no locks, or nothing to sync
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


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
    with naming(path):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:48]}.", suffix=TEMPORARY)
    try:
        with naming(path), os.fdopen(descriptor, mode, **text) as file:
            yield file
            sync(file)
        with _if_supported(errno.EPERM, errno.EACCES):
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes it private, but the result is an ordinary file
        with naming(path):
            if previous is not None and path.exists():
                os.replace(path, previous)
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def naming(path):
    """Make an OSError name `path` instead of a temporary file, or of no file ("No space left on device")."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(TEMPORARY):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def _if_supported(*also):
    """Go on where the file system has no such operation; `also`: further numbers of errors that say so."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED | set(also):
            raise


def sync(file):
    """Have what was written to an open file on the disk, where the file system can say when it is."""
    file.flush()
    with _if_supported():
        os.fsync(file.fileno())


def remove_temporaries(folder, *, below=False):
    """Remove temporary files of processes killed in `atomic_write`, from a folder that no process is writing to.

    With `below`, from the folders in it as well.
    """
    for path in Path(folder).glob(f"{'**/' if below else ''}.*{TEMPORARY}"):
        path.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync_folder(folder):
    """Make a rename survive a power cut, where the system can sync a folder (Windows and some shares cannot)."""
    if os.name == "posix":
        with naming(folder), _if_supported(errno.EBADF, errno.EACCES, errno.EPERM):
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
                if error.errno not in UNSUPPORTED | {errno.ENOLCK}:
                    raise  # those mean a network file system without locks, treated like Windows
        yield
