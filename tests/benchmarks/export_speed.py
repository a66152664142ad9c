"""What leaves with an export: are the file of C and the page equal to Python on a recording, and how fast are they?

    python tests/benchmarks/export_speed.py RECORDING RUN [RUN …]

RECORDING is a mono WAV file of 44.1 kHz, of a minute or so. For each run: the largest difference of p_t between Python
and the C program (a window every 15 s; live), and between Python and the page in Chromium (the same); and the time for
a second of sound. What is timed is the processor, so that a busy machine does not matter much: user and system time of
the C program, one thread, -O2, start included; that of the page's process, whose detector runs in one thread.
"""

import argparse
import base64
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from minirsed.detector import Detector  # noqa: E402
from minirsed.export import __main__ as export  # noqa: E402
from tests.chromium import CHROMIUM, Browser  # noqa: E402
from tests.test_export_c import compiled, expected, heard  # noqa: E402
from tests.test_export_page import HEAR  # noqa: E402


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording", type=Path)
    parser.add_argument("runs", nargs="+", type=Path)
    arguments = parser.parse_args()
    y, sr = soundfile.read(arguments.recording)
    assert sr == 44100 and y.ndim == 1, f"{arguments.recording}: expected mono, 44.1 kHz"
    pcm = np.clip(np.round(32768 * y), -32768, 32767).astype("<i2")
    for run in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            one_run(run, pcm, Path(folder))


def one_run(run, pcm, folder):
    """Two lines for C, two for the page."""
    detector, seconds, y = Detector.load(run), len(pcm) / 44100, pcm / 32768
    for suffix in ("c", "html"):
        export.main([str(run), str(folder / f"detector.{suffix}")])
    for live in (0, 1):
        wanted = expected(detector, y, live)
        program, before = compiled(folder / "detector.c", f"-DMINIRSED_LIVE={live}"), children_s()
        p_t = heard(program, pcm)[0]
        report(f"{run.name} C{', live' * live}", p_t, wanted[0], (children_s() - before) / seconds)
        if CHROMIUM:
            p_t, took_s = in_page(folder, pcm, live)
            report(f"{run.name} page{', live' * live}", p_t, wanted[0], took_s / seconds)


def children_s():
    """Processor time of the programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_page(folder, pcm, live):
    """p_t of the page, and the seconds of processor time."""
    code = HEAR.replace("LIVE", str(bool(live)).lower()).replace("PCM", base64.b64encode(pcm.tobytes()).decode())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Browser(Path(profile)) as browser:
        browser.open((folder / "detector.html").as_uri())
        browser.send("Performance.enable")
        before = process_s(browser)
        found = browser.run(code, 300)
        return found["p_t"], process_s(browser) - before


def process_s(browser):
    """Processor time of the page's process so far."""
    metrics = browser.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime")


def report(what, p_t, wanted, per_second):
    """A line."""
    difference = np.abs(np.asarray(p_t) - wanted).max()
    print(f"  {what:24} p_t differs by {difference:.0e} at most; 1 s takes {1000 * per_second:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
