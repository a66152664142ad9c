"""Write files so that a reader never sees half of one, and lock folders so that only one process writes to them."""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
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
    InputError
        `path` is a folder, a device, a pipe or a socket.
    OSError
        The folder is missing or not writable, or the disk is full. The error names `path`; the old file is intact and
        the temporary one removed.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a rename would put a file in the place of a device, a pipe
        raise InputError(f"{path}: {not_a_file(path)}; expected the name of a file to write")
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


def content_of(path):
    """What is in a file, in a word that no other content has. OSError: it cannot be read."""
    return f"{_glance(path)}{_digest(path).hex()[:32]}"


def is_content(path, content):
    """Whether a file has this `content_of`; it is read as a whole only if its size and its middle agree."""
    return content.startswith(_glance(path)) and content_of(path) == content


def _glance(path):
    """The beginning of `content_of`: size, and a digest of a few bytes."""
    path = Path(path)
    return f"{path.stat().st_size}-{hashlib.blake2b(_middle(path), digest_size=4).hexdigest()}-"


def remove_temporaries(folder, *, below=False):
    """Remove temporary files of processes killed in `atomic_write`, from a folder that no process is writing to.

    With `below`, from the folders in it as well.
    """
    for path in Path(folder).glob(f"{'**/' if below else ''}.*{TEMPORARY}"):
        path.unlink()


def require_file(path):
    """Refuse what cannot be read like a file, again and again and to an end, and say what it is and what to do.

    Raises
    ------
    InputError
        Nothing there, a folder, a pipe, a device, a socket, or an address on the net.
    """
    if reason := not_a_file(Path(path)):
        raise InputError(f"{address_in(path) or path}: {reason}")


def not_a_file(path):
    """Why a path is no ordinary file, None if it is one."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if (address := address_in(path)) and address.startswith("file:"):
            return f"is an address; give the path alone, {address.removeprefix('file://')}"
        if address:
            return "is an address; download it first"
        return "is a link to nothing" if os.path.islink(path) else "no such file"
    except ValueError:  # a null character
        return "no such file"
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return "is a link to itself"
    if stat.S_ISREG(mode):
        return None
    kinds = {
        stat.S_ISDIR: "is a folder",
        stat.S_ISFIFO: "is a pipe, not a file",
        stat.S_ISCHR: "is a device, not a file",
        stat.S_ISBLK: "is a device, not a file",
    }
    return next((reason for is_kind, reason in kinds.items() if is_kind(mode)), "is a socket, not a file")


def address_in(path):
    """`https://host/file` from a path that was made of it, and has lost a slash; None if it is none."""
    found = re.search(r"(?:^|/)(https?|ftps?|sftp|s3|gs|rtsp|rtmp|smb|file):/+(.+)", str(path))
    if not found:
        return None
    return f"file:///{found[2]}" if found[1] == "file" else f"{found[1]}://{found[2]}"


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


def read_json(path, is_whole, advice):
    """The content of a JSON file; None if there is none.

    Parameters
    ----------
    path : Path
    is_whole : callable
        Whether the content can be used; it may fail on what cannot.
    advice : str
        What writes the file again.

    Raises
    ------
    InputError
        The file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        holds = is_whole(content)
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        holds = False
    if not holds:
        raise InputError(f"{path}: damaged; {advice}")
    return content
