"""One detector of several classes against one for each of them: time to search the same sound.

    taskset -c 1 python tests/benchmarks/several.py [--classes 3] [--units 64] [--minutes 10] [--runs 5]

Weights are random, which costs the same as trained ones; the sound is noise. On one thread, from samples in memory to
events; the two take turns.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from minirsed.kernels.threads import worker_threads  # noqa: E402
from minirsed.model import ModelConfig, init_params  # noqa: E402
from minirsed.recordings.several import detect_any  # noqa: E402
from minirsed.several.detector import SeveralDetector  # noqa: E402


def seconds(detectors, y):
    """To search `y` with each of some detectors."""
    started = time.perf_counter()
    with worker_threads(1) as executor:
        for detector in detectors:
            detect_any(detector, [y], executor, n_threads=1)
    return time.perf_counter() - started


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("classes", 3), ("units", 64), ("minutes", 10), ("runs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    y = 0.1 * rng.standard_normal(arguments.minutes * 60 * 44100)
    config = ModelConfig("multires", 3, arguments.units, n_classes=arguments.classes)
    labels = [f"class{c}" for c in range(arguments.classes)]
    statistics_of_inputs = np.full(64, -8.0), np.full(64, 2.0)
    together = SeveralDetector.new(config, init_params(config, rng), labels, *statistics_of_inputs, 0.5)
    for value in together.params.values():
        value.flags.writeable = False  # as of a file
    apart = together.views
    seconds([together, *apart], y[: 60 * 44100])  # compile
    times = [(seconds([together], y), seconds(apart, y)) for _ in range(arguments.runs)]
    one, each = (statistics.median(column) for column in zip(*times, strict=True))
    n = arguments.classes
    print(f"{arguments.minutes} minutes: one detector of {n} classes {one:.2f} s, {n} of one class {each:.2f} s")


if __name__ == "__main__":
    main()
