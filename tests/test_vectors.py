"""Vectors as a Numba type: arithmetic and addresses against NumPy, refusals, and what Numba's cache must notice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from minirsed.kernels.vectors import loader, store

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_bytes", [8, 16, 64, 256])
def test_arithmetic(n_bytes, dtype):
    """Small whole numbers, so that the result is exact whether or not a multiplication and an addition are fused.

    The arrays begin at an address that suits one number, not a vector; the last vector is not touched.
    """
    load, lanes = loader(n_bytes), n_bytes // np.dtype(dtype).itemsize
    rng = np.random.default_rng(n_bytes)
    x, y, out = (rng.integers(-99, 99, 1 + 6 * lanes).astype(dtype)[1:].reshape(3, 2, lanes) for _ in range(3))

    @njit
    def combine(x, y, out):
        for i in range(5):
            v, w = load(x, i), load(y, i)
            store(out, i, v * w + v * y[2, 1, 0] - (w + x[0, 0, 0]))

    expected = out.copy()
    whole = x * y + x * y[2, 1, 0] - (y + x[0, 0, 0])
    expected.reshape(6, -1)[:5] = whole.reshape(6, -1)[:5]
    combine(x, y, out)
    np.testing.assert_array_equal(out, expected)


def test_lanes_do_not_mix():
    """A NaN or infinity in one lane stays there: no fast-math flag lets the compiler assume them away."""
    load = loader(32)
    x = np.array([1.0, np.nan, np.inf, -0.0])

    @njit
    def cancel(x):
        v = load(x, 0)
        store(x, 0, v * 0.0 + (v - v))

    cancel(x)
    np.testing.assert_array_equal(x, [0, np.nan, np.nan, 0])


def test_what_cannot_be_a_vector_is_refused():
    """Slices with gaps, another dtype, and a number that would widen float32."""
    load = loader(16)

    @njit
    def double(x, out, two):
        store(out, 0, load(x, 0) * two)

    single, wide = np.ones(8, np.float32), np.ones(8)
    for arguments in ((single[::2], single, single[0]), (single, wide, single[0]), (single, single, 2.0)):
        with pytest.raises(TypingError):
            double(*arguments)
    double(single, single, np.float32(2))
    assert single.tolist() == [2] * 4 + [1] * 4


USE = """
import numpy as np
from minirsed.features import lfbe
from minirsed.kernels import filter_bank
print(lfbe(np.cos(np.arange(9000.0))).sum(), sum(filter_bank.band_energies.stats.cache_hits.values()))
"""


def test_cache_notices_a_change_in_the_vectors(tmp_path):
    """An edited helper in another file, which Numba does not look at, must not leave old machine code in use."""
    for package in ("minirsed", "data_tools"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)}

    def use():
        words = [sys.executable, "-c", USE]
        result = subprocess.run(words, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
        return result.stdout.split()

    features, hits = use()
    assert hits == "0" and use() == [features, "1"]
    file = tmp_path / "minirsed" / "kernels" / "vectors.py"
    source = file.read_text(encoding="utf-8")
    assert source.count('"fadd"') == 1
    file.write_text(source.replace('"fadd"', '"fsub"'), encoding="utf-8")
    changed, hits = use()
    assert hits == "0" and changed != features
