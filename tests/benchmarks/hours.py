"""Long recordings with labels, made of the events and backgrounds of a sound folder: something to measure hours on.

    python tests/benchmarks/hours.py my_sounds doorbell /tmp/dev-hours [--subset dev] [--hours 3] [--seed 7]
    python -m minirsed.evaluate runs/doorbell --recordings /tmp/dev-hours --alarms-per-hour 0.5

Pieces of background of up to 30 s follow each other, drawn at random, faded into each other over a second. At random
times, at least 5 s apart, an event of the class is mixed in at one of the task's ratios to the background there, and as
often one of another class, if there is any, which is not labelled. Each recording is a FLAC file with Audacity labels
beside it. The same seed gives the same bytes.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.audio import SAMPLE_RATE  # noqa: E402
from data_tools.mixing import ANTICLIPPING_FACTOR, background_clip, event_clip, scaling_factor  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402

FADE = SAMPLE_RATE  # samples in which one piece of background becomes the next
APART_S = 5.0
EBR_DB = (-6.0, 0.0, 6.0)


def background(bank, pieces, n, rng):
    """(n,) float32 of pieces drawn at random."""
    y, end = np.zeros(n + FADE, np.float32), FADE
    while end < n + FADE:
        piece = pieces[rng.integers(len(pieces))]
        clip = np.asarray(background_clip(bank, piece.key, piece.start_s, piece.duration_s), np.float32)
        fade = min(FADE, len(clip) // 2)
        ramp = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))  # what it fades into is another sound: equal power
        clip = np.concatenate([clip[:fade] * ramp, clip[fade:-fade], clip[-fade:] * ramp[::-1]])
        start = end - fade
        clip = clip[: n + FADE - start]
        y[start : start + len(clip)] += clip
        end = start + len(clip)
    return y[FADE:]


def add_events(y, bank, clips, n_wanted, taken, rng):
    """Mix events into y in place, apart from those in `taken`, [(onset_s, offset_s)]; return theirs."""
    spans = []
    for _ in range(n_wanted):
        clip, ebr_db = clips[rng.integers(len(clips))], EBR_DB[rng.integers(len(EBR_DB))]
        event = event_clip(bank, clip.key, clip.onset_s, clip.offset_s)
        length_s = len(event) / SAMPLE_RATE
        for _ in range(1000):
            onset_s = round(rng.uniform(1.0, len(y) / SAMPLE_RATE - length_s - 1.0), 3)
            if all(onset_s > b + APART_S or onset_s + length_s < a - APART_S for a, b in taken):
                break
        else:
            sys.exit("no room for so many events")
        first = int(onset_s * SAMPLE_RATE)
        around = y[first : first + len(event)].astype(np.float64)
        y[first : first + len(event)] += scaling_factor(event, around, 0.0, ebr_db, clip.key) * event
        taken.append((onset_s, onset_s + length_s))
        spans.append((onset_s, onset_s + length_s))
    return sorted(spans)


def main():
    """Make the recordings, print what they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="sound folder, or builtin")
    parser.add_argument("label", help="class")
    parser.add_argument("out", type=Path, help="folder to write into; it must not exist")
    parser.add_argument("--subset", default="dev", choices=("train", "dev", "eval"), help="(default dev)")
    parser.add_argument("--hours", type=float, default=3.0, help="of sound (default 3)")
    parser.add_argument("--minutes", type=float, default=15.0, help="length of a recording, about (default 15)")
    parser.add_argument("--events", type=float, default=20.0, help="an hour (default 20)")
    parser.add_argument("--others", type=float, help="of other classes, an hour (default: as --events; 0: none)")
    parser.add_argument("--seed", type=int, default=7, help="(default 7)")
    args = parser.parse_args()
    bank = open_bank(args.data)
    pieces, own = bank.backgrounds(args.subset, args.label), bank.events(args.label, args.subset)
    others = [clip for label in bank.classes if label != args.label for clip in bank.events(label, args.subset)]
    n_files = max(1, round(60 * args.hours / args.minutes))
    minutes = 60 * args.hours / n_files  # so that together they are as long as was asked for
    n_others = (args.events if args.others is None else args.others) * minutes / 60 if others else 0
    args.out.mkdir(parents=True)
    n_events = 0
    for i in range(n_files):
        rng = np.random.default_rng([args.seed, i])
        y = background(bank, pieces, round(60 * minutes * SAMPLE_RATE), rng)
        taken = []
        spans = add_events(y, bank, own, rng.poisson(args.events * minutes / 60), taken, rng)
        add_events(y, bank, others, rng.poisson(n_others), taken, rng)
        y *= ANTICLIPPING_FACTOR
        y /= max(1.0, np.abs(y).max() / 0.99)
        soundfile.write(args.out / f"{i + 1:03}.flac", y, SAMPLE_RATE, subtype="PCM_16")
        lines = (f"{onset_s:.6f}\t{offset_s:.6f}\t{args.label}\n" for onset_s, offset_s in spans)
        (args.out / f"{i + 1:03}.txt").write_text("".join(lines))
        n_events += len(spans)
    print(f"{args.out}: {n_files} recordings, {args.hours:.2f} h, {n_events} events of {args.label}")


if __name__ == "__main__":
    main()
