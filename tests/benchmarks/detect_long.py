"""A long recording with known events: what is found, whether seams show, peak memory, time.

    python -m minirsed.train babycry
    python tests/benchmarks/detect_long.py runs/babycry [--hours 10] [--events 200] [--seed 7] [--keep FILE.flac]

The recording is made of the built-in sounds' eval subset, 30 s at a time, an event in some of them, and written as
FLAC (140 MB an hour). `python -m minirsed.detect` runs over it in a process of its own. Then the half minute around
each true event is cut out of the recording and given to the model in one piece, by the same rule for several events,
and once more, cut 6 s later: what a model with a memory says of a frame depends on where its piece begins, so two
pieces do not agree on every frame either. Exit status 1 if the recording agrees with the pieces more than 3 % less
often than they do with each other.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.audio import SAMPLE_RATE, read_audio  # noqa: E402
from data_tools.mixing import render  # noqa: E402
from data_tools.recipes import draw_recipes  # noqa: E402
from data_tools.soundbank import SoundBank  # noqa: E402
from minirsed.detector import Detector  # noqa: E402
from minirsed.features import HOP_S  # noqa: E402
from minirsed.kernels.threads import worker_threads  # noqa: E402
from minirsed.recordings.files import detect_recording  # noqa: E402
from minirsed.recordings.windows import ALIGNMENT, HOP, WIN, WINDOW_FRAMES  # noqa: E402
from minirsed.scoring import score  # noqa: E402

ROOT = Path(__file__).parents[2]
CLIP_S, CLIP_SAMPLES = 30.0, 30 * SAMPLE_RATE


def make(path, label, hours, n_events, seed):
    """Write the recording; return the events' (onset_s, offset_s)."""
    bank, n_clips = SoundBank.builtin(), round(hours * 3600 / CLIP_S)
    recipes = draw_recipes(bank, label, "eval", n_events, seed, event_presence_prob=1.0)
    quiet = draw_recipes(bank, label, "eval", min(n_clips - n_events, 1000), seed + 1, event_presence_prob=0.0)
    rng, truth = np.random.default_rng(seed), []
    places = dict(zip(rng.permutation(n_clips)[:n_events], recipes, strict=True))
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, format="FLAC", subtype="PCM_16") as file:
        for clip in range(n_clips):
            recipe = places.get(clip)
            file.write((render(recipe or quiet[clip % len(quiet)], bank) * 32767).astype(np.int16))
            if recipe:
                onset_s = clip * CLIP_S + recipe.onset_s
                truth.append((onset_s, onset_s + 1.0))  # only onsets are scored
    return truth


# A process of its own around the command: the peak of a child counts what its parent had when it was born.
LAUNCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def detect(run, path):
    """Run the command; return its JSON, seconds and peak memory in MB."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "minirsed.detect", str(run), str(path), "--format", "json"]
    launch = [sys.executable, "-c", LAUNCH, *command]
    found, peak_kb = subprocess.run(launch, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(found), time.perf_counter() - start, int(peak_kb) / 1e3


def in_one_piece(detector, path, onset_s, duration_s, before_s):
    """Onsets found in the half minute from `before_s` before `onset_s` on, cut at frames of the recording."""
    step = ALIGNMENT * HOP  # samples; keeps the pairs of frames that `multires` averages
    latest = int(duration_s * SAMPLE_RATE) - CLIP_SAMPLES
    start_s = max(0, min(int((onset_s - before_s) * SAMPLE_RATE), latest)) // step * step / SAMPLE_RATE
    y = read_audio(path, start_s=start_s + 1e-9, duration_s=((WINDOW_FRAMES - 1) * HOP + WIN) / SAMPLE_RATE)
    with worker_threads(1) as executor:
        events = detect_recording(detector, [y], executor, n_threads=1, all_events=True).events
    return np.array([start_s + event.onset_s for event in events])


def agreement(truth, first, second):
    """Share of onsets of `first` within 5 s of a true one that `second` has to one frame, and a summary in words."""
    frames = []
    for onset_s, of_first, of_second in zip(truth, first, second, strict=True):
        near = of_first[np.abs(of_first - onset_s) <= 5.0]
        frames += [np.abs(of_second - one).min(initial=np.inf) / HOP_S for one in near]
    frames = np.array(frames)
    far = frames[(frames > 1.01) & (frames < 22)]
    summary = f"{len(far)} differ by up to {far.max(initial=0):.0f} frames, {(frames >= 22).sum()} are not found"
    return np.mean(frames <= 1.01), f"{np.mean(frames <= 1.01):.1%} of {len(frames)} to one frame; {summary}"


def main():
    """Make, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a class that the built-in sounds have")
    parser.add_argument("--hours", type=float, default=10.0, help="length of the recording (default 10)")
    parser.add_argument("--events", type=int, default=200, help="events in it (default 200)")
    parser.add_argument("--seed", type=int, default=7, help="of the recording (default 7)")
    parser.add_argument("--keep", type=Path, help="where to keep the recording (default: it is deleted)")
    args = parser.parse_args()
    detector = Detector.load(args.run)
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or Path(folder) / "recording.flac"
        truth = make(path, detector.label, args.hours, args.events, args.seed)
        print(f"{args.hours:g} hours, {len(truth)} events, {path.stat().st_size / 1e6:.0f} MB of FLAC", flush=True)
        found, seconds, peak_mb = detect(args.run.resolve(), path)  # it runs in another folder
        print(f"{seconds:.0f} s, {args.hours * 3600 / seconds:.0f} times real time; peak memory {peak_mb:.0f} MB")
        estimated = [(event["onset_s"], event["offset_s"]) for event in found["events"]]
        scores = score({"": truth}, {"": estimated})
        print(f"found {scores.n_sys}: {scores.n_tp} hits, {scores.n_fn} misses, {scores.n_fp} false alarms, ", end="")
        print(f"ER {scores.error_rate:.2f}")
        onsets, times = np.array([onset_s for onset_s, _ in estimated]), [onset_s for onset_s, _ in truth]
        pieces, others = (
            [in_one_piece(detector, path, onset_s, found["duration_s"], before_s) for onset_s in times]
            for before_s in (14.0, 8.0)
        )
    seams, summary = agreement(times, pieces, [onsets] * len(times))
    print(f"onsets in one piece, found in the recording: {summary}")
    control, summary = agreement(times, pieces, others)
    print(f"onsets in one piece, found in a piece cut 6 s later: {summary}")
    return 0 if seams >= control - 0.03 else 1


if __name__ == "__main__":
    sys.exit(main())
