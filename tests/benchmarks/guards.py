"""An hour in which there is nothing to find: what a detector takes for its event all the same.

    python -m minirsed.train babycry
    python tests/benchmarks/guards.py runs/babycry [RUN …] [--seed 0] [--joined] [--keep FILE.flac]

The hour is made from the seed, in recordings of 30 s, each at a level of its own: noises, silence, hum, clicks, sweeps
and tones; the built-in sounds that are easily mistaken for an event, 6 to 12 in 30 s; and built-in scenes of the eval
subset, which hold such sounds too. All but the silence have the faint noise of a recorder behind them. The detector
hears them as `python -m minirsed.detect --all-events` would. Alarms are counted by kind, with exact Poisson intervals
(Garwood 1936) of their rate. Exit status 1 if a detector has more than one alarm in the hour.

With --joined the hour is one recording, in which every half minute fades in and out, by 50 dB in 2 s. That asks for
more, since noises set in.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import chirp

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.audio import SAMPLE_RATE, rms  # noqa: E402
from data_tools.banks.builtin import BuiltinBank  # noqa: E402
from data_tools.builtin.parts import add_at, loudest_rms  # noqa: E402
from data_tools.builtin.scenes import SCENES  # noqa: E402
from minirsed.alarms import poisson  # noqa: E402
from minirsed.detect.formats import clock  # noqa: E402
from minirsed.detector import Detector  # noqa: E402
from minirsed.kernels.threads import worker_threads  # noqa: E402
from minirsed.recordings.files import detect_recording  # noqa: E402
from minirsed.robustness.changes import HUM_HZ, N_HARMONICS, noise, silence  # noqa: E402

PIECE_S, FADE_S = 30.0, 2.0
N_SAMPLES = round(PIECE_S * SAMPLE_RATE)
TIME_S = np.arange(N_SAMPLES) / SAMPLE_RATE
FADES = 10 ** (np.interp(TIME_S, [0, FADE_S, PIECE_S - FADE_S, PIECE_S], [-50, 0, 0, -50]) / 20)
LEVEL_DBFS = (-50.0, -15.0)  # RMS of a half minute, or of its loudest 46 ms where it is short sounds
FLOOR_DBFS = -65.0  # of the recorder's noise
ALLOWED = 1  # alarms in the hour
SLACK_S = 0.05  # an event may be found to begin a frame before it does
DISTRACTORS = sorted(
    {make for scene in SCENES.values() for pool in (scene.low, scene.middle, scene.high) for make in pool},
    key=lambda make: make.__name__,
)


class Alarm(NamedTuple):
    """Something found where there is nothing."""

    kind: str
    onset_s: float
    probability: float


def coloured(decay_db):
    """A maker of noise whose power falls by so much a decade."""
    return lambda rng: noise(PIECE_S, SAMPLE_RATE, rng, decay_db=decay_db)


def hum(rng):
    """Mains hum, 50 or 60 Hz, its harmonics at random."""
    f_hz = rng.choice([HUM_HZ, 60.0])
    phases, weights = rng.uniform(0, 2 * np.pi, N_HARMONICS), rng.uniform(0, 1, N_HARMONICS)
    lines = zip(range(1, N_HARMONICS + 1), phases, weights, strict=True)
    return sum(weight / k * np.sin(2 * np.pi * f_hz * k * TIME_S + phase) for k, phase, weight in lines)


def clicks(rng):
    """Single samples and short bursts, some a minute to some a second, of either sign."""
    y = np.zeros(N_SAMPLES)
    for start in rng.integers(0, len(y) - 200, rng.integers(3, 200)):
        n = int(rng.integers(1, 200))
        y[start : start + n] += rng.choice([-1, 1]) * np.exp(-np.arange(n) / rng.uniform(1, 50))
    return y


def sweeps(rng):
    """Tones that rise or fall between two pitches, in half a second to ten."""
    parts, n = [], 0
    while n < N_SAMPLES:
        t = np.arange(round(rng.uniform(0.5, 10) * SAMPLE_RATE)) / SAMPLE_RATE
        first_hz, last_hz = np.exp(rng.uniform(np.log(50), np.log(16000), 2))
        parts.append(chirp(t, first_hz, t[-1], last_hz, method="logarithmic") * np.hanning(len(t)) ** 0.25)
        n += len(t)
    return np.concatenate(parts)[:N_SAMPLES]


def tones(rng):
    """Steady tones of one pitch each, with pauses, half a second to five."""
    y, start = np.zeros(N_SAMPLES), 0
    while start < len(y):
        t = np.arange(round(rng.uniform(0.5, 5) * SAMPLE_RATE)) / SAMPLE_RATE
        tone = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(50), np.log(16000))) * t) * np.hanning(len(t)) ** 0.1
        add_at(y, tone, start)
        start += len(t) + round(rng.uniform(0, 2) * SAMPLE_RATE)
    return y


def distractors(rng):
    """Barks, horns, dishes, voices …: each equally loud at its loudest, 6 to 12 of them, on a quiet noise."""
    y = np.zeros(N_SAMPLES)
    for _ in range(rng.integers(6, 13)):
        one = DISTRACTORS[rng.integers(len(DISTRACTORS))](rng)
        level = 10 ** (rng.uniform(-12, 0) / 20) / loudest_rms(one)
        add_at(y, level * one, int(rng.integers(0, len(y) - len(one) // 2)))
    return y


def scenes(rng):
    """One of the backgrounds of the eval subset."""
    bank = BuiltinBank()
    backgrounds = bank.backgrounds("eval")
    return bank.background_audio(backgrounds[rng.integers(len(backgrounds))].key)


KINDS = {  # what there is in the hour, and how many half minutes of it
    "white noise": (coloured(0.0), 8),
    "pink noise": (coloured(10.0), 8),
    "brown noise": (coloured(20.0), 8),
    "silence": (lambda rng: silence(PIECE_S, SAMPLE_RATE, rng), 4),
    "hum": (hum, 8),
    "clicks": (clicks, 8),
    "sweeps": (sweeps, 8),
    "tones": (tones, 8),
    "distractors alone": (distractors, 30),
    "scenes alone": (scenes, 30),
}


def hour(seed, counts=None, *, fading=False):
    """The hour, piece by piece: (kind, (samples,) float64 at 44.1 kHz).

    `counts`, half minutes by kind, takes others than those of `KINDS`. A piece depends on the seed, its kind and its
    number alone.
    """
    for number, (kind, (make, n)) in enumerate(KINDS.items()):
        for i in range(n if counts is None else counts.get(kind, 0)):
            rng = np.random.default_rng([seed, number, i])
            y = make(rng)
            if y.any():
                loudness = loudest_rms if kind in ("clicks", "distractors alone") else rms
                y = (FADES if fading else 1.0) * y * 10 ** (rng.uniform(*LEVEL_DBFS) / 20) / loudness(y)
                y = y + 10 ** (FLOOR_DBFS / 20) * rng.standard_normal(len(y))
            yield kind, np.clip(y, -1.0, 1.0)


def alarms(detector, pieces, n_threads=1, *, joined=False):
    """What a detector finds in pieces, each a recording or all of them one: list of Alarm, and seconds by kind."""
    found, ends_s, duration_s = [], [], {}

    def counted(kind, y):
        length_s = len(y) / SAMPLE_RATE
        ends_s.append(((ends_s[-1][0] if ends_s else 0.0) + length_s, kind))
        duration_s[kind] = duration_s.get(kind, 0.0) + length_s
        return y

    with worker_threads(n_threads) as executor:
        for group in [pieces] if joined else ([piece] for piece in pieces):
            first_s = ends_s[-1][0] if ends_s else 0.0
            blocks = (counted(kind, y) for kind, y in group)
            recording = detect_recording(detector, blocks, executor, n_threads=n_threads, all_events=True)
            found += [event._replace(onset_s=first_s + event.onset_s) for event in recording.events]
    every = []
    for event in found:
        kind = next((kind for end_s, kind in ends_s if event.onset_s + SLACK_S < end_s), ends_s[-1][1])
        every.append(Alarm(kind, event.onset_s, event.probability))
    return every, duration_s


def interval(n, hours):
    """Exact 95 % interval of a rate of which n were counted (Garwood 1936), an hour; with none, the one-sided bound."""
    return poisson.interval(n, hours) if n else (0.0, poisson.upper(0, hours))


def table(found, duration_s):
    """Alarms by kind, for people."""
    rows = [("all", len(found), sum(duration_s.values()))]
    rows = [(kind, sum(alarm.kind == kind for alarm in found), length) for kind, length in duration_s.items()] + rows
    lines = [f"{'':20} minutes  alarms  an hour  95 % interval"]
    for kind, n, length_s in rows:
        low, high = interval(n, length_s / 3600)
        span = f"{low:.2f} … {high:.2f}" if n else f"below {high:.2f}"
        lines.append(f"{kind:20} {length_s / 60:7.1f} {n:7}  {n / length_s * 3600:7.2f}  {span}")
    lines += [f"  {clock(alarm.onset_s)}  p {alarm.probability:.3f}  {alarm.kind}" for alarm in found]
    return "\n".join(lines)


def main():
    """Make the hour for each detector, print what it finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or files of detectors")
    parser.add_argument("--seed", type=int, default=0, help="of the hour (default 0)")
    parser.add_argument("--joined", action="store_true", help="the hour is one recording, whose sounds fade in and out")
    parser.add_argument("--threads", type=int, default=2, help="threads that run a detector (default 2)")
    parser.add_argument("--keep", type=Path, metavar="FILE.flac", help="write the hour as well, to listen to")
    args = parser.parse_args()
    if args.keep:
        with soundfile.SoundFile(args.keep, "w", SAMPLE_RATE, 1, format="FLAC", subtype="PCM_16") as file:
            for _, y in hour(args.seed, fading=args.joined):
                file.write(y)
    most = 0
    for run in args.runs:
        detector = Detector.load(run)
        pieces = hour(args.seed, fading=args.joined)
        found, duration_s = alarms(detector, pieces, args.threads, joined=args.joined)
        print(f"{run}, {detector.label}, thresholds {detector.thres0:g} and {detector.thres1:g}, seed {args.seed}")
        print(table(found, duration_s), flush=True)
        most = max(most, len(found))
    return 0 if most <= ALLOWED else 1


if __name__ == "__main__":
    sys.exit(main())
