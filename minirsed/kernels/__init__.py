"""What makes it fast and changes no result: compiled loops, and threads that share the work.

Each compiled loop has a plain NumPy twin beside its caller, which is its definition. The compiled one runs unless

    with plain_numpy(): …

asks for the twin, or Numba is not installed. Only this folder imports Numba.
"""

import contextlib
import functools
from importlib.util import find_spec

_is_plain = False  # of the whole process, its threads included


def is_compiled():
    """Whether the compiled loops are to be used."""
    return not _is_plain and _has_numba()


@functools.cache
def _has_numba():
    return find_spec("numba") is not None


@contextlib.contextmanager
def plain_numpy():
    """Within this context features and GRU layers run as plain NumPy, as they are defined; for the whole process."""
    global _is_plain
    before, _is_plain = _is_plain, True
    try:
        yield
    finally:
        _is_plain = before
