"""Fetch one file over HTTP: resumed after interruptions, checked by size and MD5.

Bytes are collected in NAME.part, and only a file of the right size and sum gets the name NAME. Whether a part belongs
to the file that the server has now is decided by the sum at the end, so nothing but the part is kept between runs.
"""

import hashlib
import os
import time
from pathlib import Path
from urllib.parse import urlsplit

from data_tools.errors import require_extra
from data_tools.files import naming, sync, sync_folder

CHUNK_BYTES = 1 << 16  # read at a time, and at most fetched again after an interruption
TIMEOUTS_S = (10, 60)  # to connect; between two arrivals of data
RETRIES = 6  # of a request that fails, and of a transfer that breaks off without having got further than before
MAX_BYTES = 1 << 24  # of a file whose size is not recorded


class TransferError(OSError):
    """A file could not be fetched; the message is one line that names its address and the reason."""


class _WrongFile(Exception):
    """The server sent something else than expected. Starting from the beginning may help, resuming cannot."""


def open_session(base_url, *, pause_s=1.0):
    """An HTTP session limited to the scheme of `base_url`, so that https is never redirected to http.

    Certificates are always verified. Proxies and additional certificates come from the usual environment variables
    (HTTPS_PROXY, REQUESTS_CA_BUNDLE). Requests answered by 429, 500, 502, 503 or 504 are repeated, after the time that
    the server asks for or after growing pauses.

    Parameters
    ----------
    base_url : str
        https://… (http is for tests on one machine).
    pause_s : float
        The first pause; each following one is twice as long, up to a minute.

    Raises
    ------
    InputError
        The library requests is missing.
    """
    requests = require_extra("tut", "downloading", "requests")
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    session = requests.Session()
    session.adapters.clear()
    # other=0: a certificate that is not valid now will not be in a minute
    retry = Retry(
        RETRIES, connect=3, other=0, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=pause_s, backoff_max=60
    )
    session.mount(f"{urlsplit(base_url).scheme}://", HTTPAdapter(max_retries=retry))
    # Sizes are those of the plain file. Zenodo asks programs to identify themselves.
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"minirsed requests/{requests.__version__}"})
    return session


def fetch(session, url, path, n_bytes, md5, *, progress=None, pause_s=1.0):
    """Fetch a file, or resume a fetch that was interrupted. If the right file is there, nothing is requested.

    Parameters
    ----------
    session : requests.Session
        From `open_session`.
    url : str
    path : str or Path
        Its folder must exist. A file there that is not the right one is deleted.
    n_bytes : int or None
        Expected size. None: unknown; the file is fetched in one piece and may have up to `MAX_BYTES`.
    md5 : str
        Expected sum, hexadecimal.
    progress : callable, optional
        `progress(n_done, n_total)` in bytes; `n_total` is `n_bytes`.
    pause_s : float
        As in `open_session`, after a transfer that was interrupted.

    Raises
    ------
    TransferError
        The server cannot be reached, refuses, or keeps breaking off (the part is kept), or its file has another size or
        sum than expected twice in a row (the part is deleted).
    OSError
        The disk is full, or the folder is not writable.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    progress = progress or (lambda n_done, n_total: None)
    if path.is_file():
        if _is_right(path, n_bytes, md5):
            return
        path.unlink()
    for last in (False, True):
        try:
            _fill(session, url, part, n_bytes, progress, pause_s)
            if not _is_right(part, n_bytes, md5):
                raise _WrongFile(f"its MD5 sum is not {md5}")
            break
        except _WrongFile as fault:
            part.unlink(missing_ok=True)
            if last:
                raise TransferError(f"{url}: not the expected file: {fault}; tried twice") from None
    with naming(part), open(part, "r+b") as file:
        sync(file)
    os.replace(part, path)
    sync_folder(path.parent)


def _is_right(path, n_bytes, md5):
    if n_bytes is not None and path.stat().st_size != n_bytes:
        return False
    digest = hashlib.md5(usedforsecurity=False)  # the only sum that is known of these files
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == md5


def _fill(session, url, part, n_bytes, progress, pause_s):
    """Request and request again until the part is as long as it has to be."""
    import requests

    furthest, n_fruitless = _size(part), 0
    while n_bytes is None or _size(part) != n_bytes:
        reason = "ended early"
        with _get(session, url, part, n_bytes) as response:
            start = _start(response, part, n_bytes)
            try:
                _append(response, part, start, n_bytes, progress)
                if n_bytes is None:
                    return
            except requests.RequestException as error:  # errors of the disk are plain OSErrors
                reason = _reason(error)
        size = _size(part)
        n_fruitless = 0 if size > furthest else n_fruitless + 1
        furthest = max(furthest, size)
        if size != n_bytes:
            if n_fruitless > RETRIES:
                kept = f"{size:,} of {n_bytes:,} bytes are kept for the next try" if n_bytes else "try again later"
                raise TransferError(f"{url}: broke off {n_fruitless} times ({reason}); {kept}")
            time.sleep(min(pause_s * 2**n_fruitless, 60))


def _get(session, url, part, n_bytes):
    """Request what is missing; returns the response without having read its body."""
    import requests

    size = _size(part) if n_bytes is not None else 0
    headers = {"Range": f"bytes={size}-"} if size else {}
    try:
        return session.get(url, headers=headers, stream=True, timeout=TIMEOUTS_S)
    except requests.exceptions.InvalidSchema as error:
        raise TransferError(f"{url}: refused a redirection to another protocol ({error})") from error
    except requests.RequestException as error:
        raise TransferError(f"{url}: {_reason(error)}") from error


def _start(response, part, n_bytes):
    """Where the body of this response belongs in the file: at the end of the part, or at its start."""
    size = _size(part)
    asked_for_part = "Range" in response.request.headers
    if response.status_code == 206 and asked_for_part:
        served = response.headers.get("Content-Range")
        if served != f"bytes {size}-{n_bytes - 1}/{n_bytes}":
            raise _WrongFile(f"asked for its bytes from {size} to {n_bytes - 1}, got {served!r}")
        return size
    if response.status_code == 416 and asked_for_part:
        raise _WrongFile(f"it has no byte {size}")
    if response.status_code != 200:
        raise TransferError(f"{response.url}: HTTP status {response.status_code} {response.reason}")
    announced = response.headers.get("Content-Length")
    if n_bytes is not None and announced is not None and announced != str(n_bytes):
        raise _WrongFile(f"{announced} bytes instead of {n_bytes}")
    return 0


def _append(response, part, start, n_bytes, progress):
    n_done, limit = start, MAX_BYTES if n_bytes is None else n_bytes
    with open(part, "ab" if start else "wb") as file:
        progress(n_done, n_bytes)
        for chunk in response.iter_content(CHUNK_BYTES):
            n_done += len(chunk)
            if n_done > limit:
                raise _WrongFile(f"more than {limit} bytes")
            with naming(part):
                file.write(chunk)
            progress(n_done, n_bytes)
        with naming(part):
            file.flush()


def _size(path):
    """Size in bytes, 0 if there is no file."""
    return path.stat().st_size if path.exists() else 0


def _reason(error):
    """The innermost cause of an error of requests or urllib3, in one line."""
    cause = error.args[0] if error.args else error
    return " ".join(str(getattr(cause, "reason", None) or cause).split())
