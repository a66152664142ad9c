"""Time `minirsed.features.lfbe` beside librosa's melspectrogram and logarithm, and compare the features.

Needs librosa (`pip install librosa`), which the project itself does not use:

    python tests/benchmarks/lfbe_vs_librosa.py [--seconds 30] [--runs 31]

Both get the same array, float64 (what `data_tools.audio.read_audio` returns) and float32, and use one thread. Runs
alternate, so that a slow moment of the machine hits both. Exit status 1 if a feature of the float64 clip differs
by over 1e-4.
"""

import os

os.environ |= {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

import argparse  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import librosa  # noqa: E402
import numpy as np  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from minirsed.features import lfbe  # noqa: E402


def official(y):
    """The features by librosa; frames lie nine samples earlier than ours (see `tests/oracle`)."""
    energy = librosa.feature.melspectrogram(
        y=y, sr=44100, n_fft=2048, win_length=2029, hop_length=1014, center=False, power=2.0, n_mels=64
    )
    return np.log(np.maximum(energy, 1e-10)).T


def seconds(function, y):
    """Time one call."""
    start = time.perf_counter()
    function(y)
    return time.perf_counter() - start


def main():
    """Compare, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the clip in s (default 30)")
    parser.add_argument("--runs", type=int, default=31, help="timed runs of each (default 31)")
    args = parser.parse_args()

    n = round(args.seconds * 44100)
    y = 0.1 * np.random.default_rng(0).standard_normal(n)
    theirs = official(np.concatenate([np.zeros(9), y, np.zeros(10)]))  # librosa's frames moved onto ours
    worst = float(np.abs(lfbe(y) - theirs).max())
    print(f"{n} samples, {len(theirs)} frames, librosa {librosa.__version__}; largest difference {worst:.1e}")

    for dtype in (np.float64, np.float32):
        clip = y.astype(dtype)
        seconds(lfbe, clip), seconds(official, clip)  # compiled, tables made
        pairs = [(seconds(lfbe, clip), seconds(official, clip)) for _ in range(args.runs)]
        ours, librosas = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{dtype.__name__}: minirsed {ours:.1f} ms, librosa {librosas:.1f} ms, ratio {ratio:.1f}")
    return 0 if worst <= 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
