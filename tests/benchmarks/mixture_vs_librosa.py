"""Time sound files → mixture → features here, and by the official synthesizer's steps with soundfile and librosa.

Needs librosa (`pip install librosa`), which the project itself does not use:

    python tests/benchmarks/mixture_vs_librosa.py [--mixtures 48]

Both read the same made-up files in TUT's formats — 30 s backgrounds, 24 bit, stereo, 44.1 kHz; events of 2 s, 16 bit,
mono, every fourth at 48 kHz — and use one thread. Two rows:

- each mixture by itself, its files read anew, alternating between the two; most of our time is libsndfile's decoding;
- all mixtures, as `minirsed.store.dataset` prepares them in one process: those that share a background come one after
  the other, so it is decoded once. A background is used six times here, as in the paper's 5,000 mixtures of 844.

Exit status 1 if a feature differs by over 1e-3 where nothing was resampled, or by over 0.1 on average where it was.
"""

import os

os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

import argparse  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import soundfile  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.mixing import render  # noqa: E402
from data_tools.recipes import draw_recipes  # noqa: E402
from data_tools.soundbank import SoundBank  # noqa: E402
from minirsed.features import lfbe  # noqa: E402
from minirsed.store.dataset import prepare  # noqa: E402


def make_sounds(root, rng):
    """Eight backgrounds and eight events in TUT's formats."""
    for name in ("events/burst", "backgrounds"):
        (root / name).mkdir(parents=True)
    for i in range(8):
        background = 0.05 * rng.standard_normal((30 * 44100, 2))
        soundfile.write(root / f"backgrounds/{i}.wav", background, 44100, subtype="PCM_24")
        rate = 48000 if i % 4 == 0 else 44100
        soundfile.write(root / f"events/burst/{i}.wav", 0.2 * rng.standard_normal(2 * rate), rate)
    names = [f"events/burst/{i}.wav,train\nbackgrounds/{i}.wav,train\n" for i in range(8)]
    (root / "split.csv").write_text("file,subset\n" + "".join(names))


def official_audio(path):
    """Load, mono, 44.1 kHz, as the official synthesizer does it."""
    y, sr = soundfile.read(path)
    y = y.mean(axis=1) if y.ndim == 2 else y
    return y if sr == 44100 else librosa.resample(y, orig_sr=sr, target_sr=44100)


def official(recipe, root, lead=0):
    """Mixture and features by the official steps (`data_tools.mixing` tells them) and librosa.

    `lead` zeros in front move librosa's frames onto ours, nine samples later: for the comparison, not for the time.
    """
    background = official_audio(root / "backgrounds" / recipe.background)
    mixture = background
    if recipe.has_event:
        event = official_audio(root / "events" / recipe.event)
        event = event[int(recipe.segment_onset_s * 44100) : int(recipe.segment_offset_s * 44100)]
        under = background[int(recipe.onset_s * 44100) : int(recipe.onset_s * 44100 + len(event))]
        ratio = np.sqrt(np.mean(np.abs(event) ** 2)) / np.sqrt(np.mean(np.abs(under) ** 2))
        padded = np.zeros(len(background))
        start = int(recipe.onset_s * 44100)
        padded[start : start + len(event)] = 10 ** (recipe.ebr_db / 20) / ratio * event
        mixture = padded + background
    mixture = 0.2 * mixture
    if np.max(np.abs(mixture)) >= 1:
        mixture = mixture / np.max(np.abs(mixture))
    mixture = np.concatenate([np.zeros(lead), mixture, np.zeros(lead)]) if lead else mixture
    energy = librosa.feature.melspectrogram(
        y=mixture, sr=44100, n_fft=2048, win_length=2029, hop_length=1014, center=False, power=2.0, n_mels=64
    )
    return np.log(np.maximum(energy, 1e-10)).T


def timed(function, *arguments):
    """Result and seconds."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def main():
    """Make sounds, alternate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixtures", type=int, default=48, help="mixtures of each (default 48)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_sounds(root, np.random.default_rng(0))
        bank = SoundBank.from_folder(root)
        recipes = draw_recipes(bank, "burst", "train", arguments.mixtures, 0)
        ours, theirs, same_rate, resampled = [], [], [0.0], [0.0]
        lfbe(render(recipes[0], bank)), official(recipes[0], root)  # compiled, tables made
        for recipe in recipes:
            bank = SoundBank.from_folder(root)  # a new one: every mixture reads its files, as the official steps do
            found, seconds = timed(lambda r, b: lfbe(render(r, b)), recipe, bank)
            ours.append(seconds)
            theirs.append(timed(official, recipe, root)[1])
            expected = official(recipe, root, lead=9)[: len(found)]
            difference = np.abs(found - expected)
            at_48k = recipe.has_event and int(Path(recipe.event).stem) % 4 == 0
            (resampled if at_48k else same_rate).append(float(difference.mean() if at_48k else difference.max()))
        with tempfile.TemporaryDirectory() as store:
            _, prepared = timed(lambda: prepare(SoundBank.from_folder(root), recipes, store, n_jobs=1))
    own, other = (1000 * statistics.median(times) for times in (ours, theirs))
    print(f"one 30 s mixture, files to features: {own:.1f} ms, official steps {other:.1f} ms, ratio {other / own:.1f}")
    own, other = (1000 * seconds / len(recipes) for seconds in (prepared, sum(theirs)))
    print(f"all mixtures, each: {own:.1f} ms, official steps {other:.1f} ms, ratio {other / own:.1f}")
    print(f"largest difference {max(same_rate):.1e}; mean difference where an event was resampled {max(resampled):.1e}")
    sys.exit(max(same_rate) > 1e-3 or max(resampled) > 0.1)


if __name__ == "__main__":
    main()
