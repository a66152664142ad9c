"""How many live streams a core carries: `minirsed.detect RUN -`, as many processes as asked for, with a pipe each.

    python tests/benchmarks/streams.py [--streams 12] [--seconds 15] [--arch uni] [--layers 3] [--units 64]

Weights are random, which costs the same as trained ones. Every pipe gets 16-bit WAV at 44.1 kHz, noise, 100 ms each
100 ms. All processes share one core, this one has another. What is printed is the processor time that a stream takes of
each second, once it has started, and how many such streams would fill a core. A stream has fallen behind if its pipe,
which holds 0.7 s, was ever full.
"""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from tests.benchmarks.detect_speed import SR, detector_of  # noqa: E402

PIECE_S = 0.1


def header():
    """Of a WAV file whose length nobody knows."""
    unknown = 0xFFFFFFFF
    form = struct.pack("<IHHIIHH", 16, 1, 1, SR, 2 * SR, 2, 16)
    return b"RIFF" + struct.pack("<I", unknown) + b"WAVEfmt " + form + b"data" + struct.pack("<I", unknown)


def processor_s(process):
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def started(run, n_streams, core):
    """Processes that all have said that they listen."""
    command = [sys.executable, "-m", "minirsed.detect", str(run), "-", "--threads", "1"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(n_streams)]
    for process in processes:
        os.sched_setaffinity(process.pid, {core})
        process.stdin.write(header())
        process.stdin.flush()
    for process in processes:
        line = process.stderr.readline().decode()
        if "carried" not in line and "looks ahead" not in line:
            raise SystemExit(line + process.stderr.read().decode())
        os.set_blocking(process.stdin.fileno(), False)
    return processes


def feed(processes, seconds):
    """Write sound in real time: processor seconds of each process for a second of it, and how many fell behind."""
    piece = (655 * np.random.default_rng(0).standard_normal(round(PIECE_S * SR))).astype("<i2").tobytes()
    full, before, begin = set(), [processor_s(process) for process in processes], time.monotonic()
    for number in range(round(seconds / PIECE_S)):
        time.sleep(max(0.0, begin + number * PIECE_S - time.monotonic()))
        for process in processes:
            try:
                if os.write(process.stdin.fileno(), piece) < len(piece):
                    full.add(process.pid)
            except BlockingIOError:
                full.add(process.pid)
    time.sleep(1)
    return [(processor_s(each) - earlier) / seconds for each, earlier in zip(processes, before, strict=True)], full


def main():
    """Start, feed, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=12, help="default 12")
    parser.add_argument("--seconds", type=float, default=15.0, help="of sound (default 15)")
    parser.add_argument("--arch", choices=("uni", "bi", "multires"), default="uni", help="default uni")
    parser.add_argument("--layers", type=int, default=3, help="default 3")
    parser.add_argument("--units", type=int, default=64, help="default 64")
    args = parser.parse_args()
    mine, *_, core = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "detector.npz"
        detector_of(args.arch, args.layers, args.units).save(run)
        processes = started(run, args.streams, core)
        try:
            share, full = feed(processes, args.seconds)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    print(
        f"{args.arch}, {args.layers} × {args.units}: {args.streams} pipes of {args.seconds:g} s on one core: ", end=""
    )
    print(f"{1e3 * np.mean(share):.1f} ms of processor time a second each ({1e3 * max(share):.1f} at most), ", end="")
    print(f"so {1 / np.mean(share):.0f} would fill it; {len(full)} fell behind")


if __name__ == "__main__":
    main()
