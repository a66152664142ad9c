"""Features that were prepared by another version must not be taken for ours: `STORE_VERSION` says what a row holds.

When this fails by intention, raise `minirsed.store.files.STORE_VERSION` and run `python -m tests.test_store_version`.
"""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank
from minirsed.features import lfbe
from minirsed.store.files import STORE_VERSION

GOLDEN = Path(__file__).parent / "golden-rows.npz"


def rows(root):
    """Rows of a bank of files of several rates, depths and channels: (4, 33, 64) float32, every 40th frame."""
    rng, lines = np.random.default_rng(0), ["file,subset"]
    kinds = [("events/ping", 0.7, 22050, "PCM_16", 1), ("events/ping", 0.5, 48000, "FLOAT", 2)]
    kinds += [("backgrounds", 35.0, 44100, "PCM_24", 2), ("backgrounds", 12.0, 16000, "PCM_16", 1)]
    for number, (folder, seconds, rate, subtype, n_channels) in enumerate(kinds):
        (root / folder).mkdir(parents=True, exist_ok=True)
        y = 0.1 * np.sin(np.arange(int(seconds * rate)) * 0.2)[:, None] * (folder != "backgrounds")
        y = y + 0.02 * rng.standard_normal((len(y), n_channels))
        soundfile.write(root / folder / f"{number}.wav", y, rate, subtype)
        lines.append(f"{folder}/{number}.wav,train")
    (root / "split.csv").write_text("\n".join(lines))
    bank = SoundBank.from_folder(root)
    return np.stack([lfbe(render(recipe, bank))[::40] for recipe in draw_recipes(bank, "ping", "train", 4, 0)])


def test_rows_are_those_of_the_version(tmp_path):
    with np.load(GOLDEN) as golden:
        assert golden["version"] == STORE_VERSION
        assert rows(tmp_path) == pytest.approx(golden["rows"], abs=2e-3)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        np.savez_compressed(GOLDEN, version=STORE_VERSION, rows=rows(Path(folder)))
    sys.exit(0)
