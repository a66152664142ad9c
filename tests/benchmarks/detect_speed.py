"""How fast detection is: an hour of sound by the command, and the latency of a stream on one core.

    python tests/benchmarks/detect_speed.py [--arch multires] [--layers 3] [--units 256] [--hours 1] [--runs 3]

Weights are random, which costs the same as trained ones. The file is 16-bit WAV, 44.1 kHz, noise. What is timed is
the whole command `python -m minirsed.detect`, start, decoding, features, model and output included.

Then chunks of 0.1 s go through a stream on a single core, 200 of them after a warm-up of 31 s: `uni` of the same size,
and the model above.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from minirsed.detector import Detector  # noqa: E402
from minirsed.model import ModelConfig, init_params  # noqa: E402

SR, CHUNK_S = 44100, 0.1


def detector_of(arch, layers, units):
    """Random weights and statistics like those of the built-in sounds."""
    config = ModelConfig(arch, layers, units)
    params = init_params(config, np.random.default_rng(0))
    return Detector(config, params, "event", np.full(64, -8.0), np.full(64, 2.0))


def time_command(detector, hours, runs, threads):
    """Seconds of each run over a file of so many hours."""
    with tempfile.TemporaryDirectory() as folder:
        path, run = Path(folder) / "sound.wav", Path(folder) / "detector.npz"
        detector.save(run)
        minute = 0.02 * np.random.default_rng(0).standard_normal(60 * SR)
        with soundfile.SoundFile(path, "w", SR, 1, subtype="PCM_16", format="RF64") as file:
            for _ in range(round(60 * hours)):
                file.write(minute)
        command = [sys.executable, "-m", "minirsed.detect", str(run), str(path), "--threads", str(threads)]
        taken = []
        for _ in range(runs):
            start = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            taken.append(time.perf_counter() - start)
    return taken


def time_stream(detector):
    """Milliseconds that each chunk of a stream takes."""
    stream, rng, taken = detector.stream(SR), np.random.default_rng(0), []
    stream.push(0.02 * rng.standard_normal(31 * SR))
    for _ in range(200):
        chunk = 0.02 * rng.standard_normal(round(CHUNK_S * SR))
        start = time.perf_counter()
        stream.push(chunk)
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


def main():
    """Time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=("uni", "bi", "multires"), default="multires", help="default multires")
    parser.add_argument("--layers", type=int, default=3, help="default 3, the paper's")
    parser.add_argument("--units", type=int, default=256, help="default 256, the paper's")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the file (default 1)")
    parser.add_argument("--runs", type=int, default=3, help="timed runs after one that is not (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    args = parser.parse_args()
    detector = detector_of(args.arch, args.layers, args.units)
    taken = time_command(detector, args.hours, args.runs + 1, args.threads)[1:]
    median = statistics.median(taken)
    print(f"{args.arch}, {args.layers} × {args.units}, {args.threads} threads: {args.hours:g} h of sound in ", end="")
    print(f"{median:.1f} s (median of {args.runs}; {min(taken):.1f} … {max(taken):.1f}), ", end="")
    print(f"real-time factor {median / (3600 * args.hours):.4f}", flush=True)

    from threadpoolctl import threadpool_limits

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with threadpool_limits(1):
        for arch in dict.fromkeys(("uni", args.arch)):
            taken = time_stream(detector_of(arch, args.layers, args.units))
            print(f"stream, {arch}, {args.layers} × {args.units}, one core: a chunk of 100 ms takes ", end="")
            print(f"{statistics.median(taken):.1f} ms (median), {np.percentile(taken, 99):.1f} ms (99 %), ", end="")
            print(f"{max(taken):.1f} ms (most)")


if __name__ == "__main__":
    main()
