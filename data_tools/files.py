"""Write files so that a reader never sees half of one, and lock folders so that only one process writes to them."""

import contextlib
import errno
import hashlib
import os
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


def equal_files(paths):
    """Groups of files with the same bytes.

    Sizes are compared first, then a few bytes from the middle, and whole files only where both agree.

    Parameters
    ----------
    paths : iterable of Path

    Returns
    -------
    list of list of Path
        Two or more in each; in the order of `paths`.

    Raises
    ------
    OSError
        A file cannot be read.
    """
    groups = [list(paths)]
    for mark in (lambda path: path.stat().st_size, _middle, _digest):
        alike = {}
        for number, group in enumerate(groups):
            for path in group:
                alike.setdefault((number, mark(path)), []).append(path)
        groups = [group for group in alike.values() if len(group) > 1]
    return groups


def _middle(path):
    with open(path, "rb") as file:
        file.seek(path.stat().st_size // 2)
        return file.read(4096)


def _digest(path):
    digest = hashlib.blake2b()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()


def remove_temporaries(folder):
    """Remove temporary files of processes killed in `atomic_write`, from a folder that no process is writing to."""
    for path in Path(folder).glob(f".*{TEMPORARY}"):
        path.unlink()


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
