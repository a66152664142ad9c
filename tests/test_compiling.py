"""The cache of compiled kernels: lost, cut short, altered or forbidden, it costs a compilation and one line.

Without Numba everything still runs, at the cost of another line.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DETECT = """
import numpy as np
from minirsed import gru
from minirsed.features import lfbe
rng = np.random.default_rng(0)
params = gru.init_gru(3, 4, rng)
h, cache = gru.gru_forward(params, rng.standard_normal((2, 5, 3), np.float32))
from minirsed.kernels import recurrence
hits = sum(recurrence.forward.stats.cache_hits.values())
print(f"{np.abs(h).sum():.6f} {lfbe(0.1 * rng.standard_normal(9000)).sum():.4f} {hits}")
"""


def run(cache, fault=""):
    """What is computed, whether the kernel came from the cache, and the lines on standard error."""
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", fault + DETECT], cwd=ROOT, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    *values, hits = result.stdout.split()
    return values, int(hits), result.stderr.splitlines()


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """A filled cache, and what was computed with it."""
    cache = tmp_path_factory.mktemp("cache")
    values, hits, lines = run(cache)
    assert hits == 0 and lines == []
    assert run(cache) == (values, 1, [])
    return cache, values


def cut(path):
    path.write_bytes(b"")


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(("damage", "kind"), [(cut, "nbi"), (halve, "nbc"), (alter, "nbc"), (cut, "sha256")])
def test_a_damaged_cache_costs_a_compilation(compiled_once, damage, kind):
    cache, values = compiled_once
    for path in cache.rglob(f"*.{kind}"):
        damage(path)
    found, hits, lines = run(cache)
    assert (found, hits) == (values, 0)
    assert len(lines) == 1 and "damaged; compiling again" in lines[0]
    assert run(cache) == (values, 1, [])  # and is whole again


def test_a_cache_that_is_gone_is_made_again(compiled_once):
    cache, values = compiled_once
    for path in cache.rglob("*.nbc"):
        path.unlink()
    assert run(cache)[0] == values
    assert run(cache)[1] == 1


NO_PLACE = """
from numba.core import caching
caching.CacheImpl._locator_classes = []
"""
NO_SPACE = """
import errno
from numba.core import caching
def full(*rest):
    raise OSError(errno.ENOSPC, "No space left on device")
caching.IndexDataCacheFile._save_data = full
"""


HALF_WRITTEN = """
from minirsed.kernels.compiling import _SealedFiles
load = _SealedFiles._load_index
def of_another(self):
    self._times = getattr(self, "_times", 0) + 1
    if self._times == 2:  # the first is for reading, the second for writing
        raise ValueError("the index is not what was written")
    return load(self)
_SealedFiles._load_index = of_another
"""


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (NO_PLACE, "set NUMBA_CACHE_DIR"),
        (NO_SPACE, "No space left on device"),
        (HALF_WRITTEN, "is not what was written); the next start compiles"),
    ],
    ids=["place", "space", "half written"],
)
def test_without_a_cache_each_start_compiles(tmp_path, compiled_once, fault, line):
    """As in a read-only container without a home, on a full disk, and where another process writes just now."""
    found, hits, lines = run(tmp_path, fault)
    assert (found, hits) == (compiled_once[1], 0)
    assert len(lines) == 1 and line in lines[0]


def test_blas_is_that_of_numpy_whatever_else_is_loaded():
    """SciPy brings another, which computes nothing here; a resumed run that had not loaded it was said to differ."""
    script = """if True:
        import numpy
        from minirsed.kernels.compiling import processor
        before = processor()["blas"]
        import scipy.linalg
        assert processor()["blas"] == before and before != "unknown" and "," not in before, (before, processor())
    """
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


IN_WORKERS = """
import multiprocessing
from minirsed.kernels.compiling import _say
if __name__ == "__main__":
    _say("there is no folder")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_say, 4 * ["there is no folder"], 1)
"""


def test_workers_do_not_say_it_again(tmp_path):
    (tmp_path / "said.py").write_text(IN_WORKERS)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "said.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == "minirsed: there is no folder\n"


WITHOUT = """
import sys
class Refused:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Refused)
"""
FEATURES = """
import numpy as np
from minirsed import gru
from minirsed.features import lfbe
rng = np.random.default_rng(0)
h, cache = gru.gru_forward(gru.init_gru(3, 4, rng), rng.standard_normal((2, 5, 3), np.float32))
print(f"{np.abs(h).sum():.4f} {lfbe(0.1 * rng.standard_normal(9000)).sum():.3f}")
"""


def run_without(names):
    script = WITHOUT.format(names=names) + FEATURES
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)


def test_without_numba_the_twins_run_and_one_line_says_so():
    expected, without = run_without(["nothing"]), run_without(["numba", "llvmlite"])
    assert expected.stdout and without.stdout == expected.stdout
    (line,) = without.stderr.splitlines()
    assert "Numba is not installed" in line and "plain NumPy" in line


def test_a_broken_numba_is_an_error():
    """Nobody should wait for the twins without knowing why: what Numba itself needs is missing here."""
    broken = run_without(["llvmlite"])
    assert broken.returncode != 0 and not broken.stdout
    assert "InputError: Numba is installed, but cannot be imported (No module named llvmlite)" in broken.stderr
