"""What makes it fast and changes no result: compiled loops, and threads that share the work.

Each compiled loop has a plain NumPy twin beside its caller, which is its definition. The compiled one runs unless

    with plain_numpy(): …

asks for the twin, or Numba is not installed, as in a browser's Python; that is said once. Only this folder imports
Numba.
"""

import contextlib
import functools
import logging
import multiprocessing

from data_tools.errors import InputError, missing_package

log = logging.getLogger(__name__)

_is_plain = False  # of the whole process, its threads included


def is_compiled():
    """Whether the compiled loops are to be used. Raises InputError if Numba is installed, but broken."""
    return not _is_plain and _has_numba()


@functools.cache
def _has_numba():
    """Whether Numba is there. One that is there and cannot be imported raises: nobody should wait for the twins."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        if missing_package(error) != "numba":
            raise InputError(f"Numba is installed, but cannot be imported ({error})") from error
        if multiprocessing.parent_process() is None:
            log.warning("minirsed: Numba is not installed; features and GRU layers run as plain NumPy, which is slow")
        return False
    return True


@contextlib.contextmanager
def plain_numpy():
    """Within this context features and GRU layers run as plain NumPy, as they are defined; for the whole process."""
    global _is_plain
    before, _is_plain = _is_plain, True
    try:
        yield
    finally:
        _is_plain = before
