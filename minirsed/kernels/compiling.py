"""`numba.njit` with a cache on disk that may be lost, damaged or forbidden: that costs a compilation and one line.

Numba's own cache is fatal in all three cases. It renames files without syncing them, so a power cut or a full disk
leaves empty ones, which then end every command; and it does not see a change in a helper of another file. Here each
file has a digest beside it, and the stamp of the sources is that of the whole folder.
"""

import contextlib
import functools
import hashlib
import logging
import multiprocessing
from pathlib import Path

from llvmlite import binding
from numba import config, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.runtime import rtsys

from data_tools.files import atomic_write

log = logging.getLogger(__name__)


def compiled(**options):
    """Decorator like `numba.njit(nogil=True, error_model="numpy", **options)`, with the cache of this module."""

    def decorate(function):
        kernel = njit(nogil=True, error_model="numpy", **options)(function)
        if kernel is function:  # NUMBA_DISABLE_JIT=1
            return function
        try:
            kernel._cache = _Cache(function)  # as njit(cache=True) does
        except (RuntimeError, OSError):
            _say("there is no folder that can hold compiled kernels, so each start compiles them; "
                 "set NUMBA_CACHE_DIR to one that can be written")  # fmt: skip
        return kernel

    return decorate


def processor():
    """What of the processor the last bits of a result depend on: a dict of the vectors of the kernels and of BLAS."""
    from threadpoolctl import threadpool_info

    features = config.CPU_FEATURES or binding.get_host_cpu_features().flatten()
    has = [name for name in ("avx512f", "avx2", "avx", "fma", "neon") if f"+{name}" in features.split(",")]
    libraries = [
        f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
        for pool in threadpool_info()
        if pool["user_api"] == "blas" and not _is_of_scipy(pool["filepath"])
    ]
    return {"kernels": " ".join(has) or "no vectors", "blas": ", ".join(sorted(set(libraries))) or "unknown"}


def _is_of_scipy(library):
    """SciPy brings a BLAS of its own, which computes nothing here and is not always loaded."""
    return any(part.startswith("scipy") for part in Path(library).parent.parts)


class _Cache(FunctionCache):
    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _SealedFiles(self._cache_path, self._impl.filename_base, _source_stamp())

    def load_overload(self, sig, target_context):
        # Numba's own first imports all that it can compile, and SciPy's linear algebra: 0.25 s. What has been compiled
        # calls nothing of that, only the memory manager, and a compilation imports it in any case.
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception:  # bytes that nobody wrote may raise anything
            _say(f"{self._cache_path}: the compiled kernels there are damaged; compiling again")
            with contextlib.suppress(OSError):
                self._cache_file.remove()
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except (OSError, ValueError) as error:  # ValueError: another process is in the middle of writing the same
            reason = getattr(error, "strerror", None) or error
            _say(f"{self._cache_path}: cannot keep compiled kernels ({reason}); the next start compiles again")


class _SealedFiles(IndexDataCacheFile):
    """Numba's index and data files, each with its SHA-256 in a file beside it; one without the right digest is void."""

    def remove(self):
        Path(self._index_path).unlink(missing_ok=True)

    def _load_index(self):
        if not Path(self._index_path).exists():
            return {}
        _require_seal(self._index_path)
        return super()._load_index()

    def _save_index(self, overloads):
        super()._save_index(overloads)
        _seal(self._index_path)

    def _load_data(self, name):
        _require_seal(self._data_path(name))
        return super()._load_data(name)

    def _save_data(self, name, data):
        super()._save_data(name, data)
        _seal(self._data_path(name))


def _seal(path):
    with atomic_write(f"{path}.sha256", "w") as file:
        file.write(_digest(path))


def _require_seal(path):
    seal = Path(f"{path}.sha256")
    if not seal.exists() or seal.read_text() != _digest(path):
        raise ValueError(f"{Path(path).name} is not what was written")


def _digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@functools.cache
def _source_stamp():
    """Changes whenever any file of this folder does."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)


@functools.cache
def _say(message):
    """One line on standard error, once: there is no use in repeating it for each kernel, or each worker process."""
    if multiprocessing.parent_process() is None:
        log.warning("minirsed: %s", message)
