"""The three rare events of the paper (Sec. 4) as procedural sounds: baby cry, glass break, gunshot.

Each function takes a random generator and a length `n` in samples, and returns a new instance: (n,) float64 at
44.1 kHz, the whole array active, largest sample 0.5–0.9. They are sketches of the physics, not of any recording.
"""

from dataclasses import dataclass

import numpy as np

from data_tools.audio import SAMPLE_RATE, rms
from data_tools.builtin.parts import (
    add_at,
    curve,
    decay,
    early_reflections,
    echoes,
    end_at,
    fade,
    harmonic_tone,
    modes,
    resonate,
    samples,
    shaped_noise,
    wander,
)


def babycry(rng, n):
    """A run of wails: vocal folds at 300–700 Hz, rising then falling in pitch, in a short open throat.

    A newborn cries on each breath out: one wail of about 0.35–1.5 s, then often a gasp. The fundamental rises and
    falls as the lungs empty. The mouth opens and closes, so that the first formant (about 1.1 kHz for a tract of
    8 cm) swings. Hard crying roughens the voice with noise at the rate of the folds.
    """
    baby = Baby(
        f0_hz=rng.uniform(330, 520),
        formants_hz=rng.uniform(0.85, 1.15) * np.array([1150, 3300, 5300, 7600]),
        tilt=rng.uniform(0.2, 1.1),
        roughness=rng.uniform(0.0, 1.0) ** 2,
    )
    breaths_s = []  # a wail and the gap after it, in turns
    while sum(breaths_s) * SAMPLE_RATE < n:
        breaths_s += [rng.uniform(0.35, 1.5), rng.uniform(0.10, 0.40)]
    pace = (n / SAMPLE_RATE + 0.03) / sum(breaths_s[:-1])  # the last wail is cut 30 ms before it has died away
    y, at_s = np.zeros(n), 0.0
    for wail_s, gap_s in zip(breaths_s[::2], breaths_s[1::2], strict=True):
        add_at(y, _wail(rng, baby, pace * wail_s), round(at_s * SAMPLE_RATE))
        at_s += pace * wail_s
        if rng.random() < 0.5:  # the gasp: air drawn in over tense folds
            gasp = shaped_noise(rng, samples(0.7 * gap_s), [(500, -20), (1500, 0), (4000, -3), (9000, -15)])
            add_at(y, fade(0.06 * gasp, 0.03, 0.04), round((at_s + 0.2 * gap_s) * SAMPLE_RATE))
        at_s += pace * gap_s
    y = early_reflections(rng, y, rng.uniform(0.01, 0.05), rng.uniform(0.05, 0.3))
    return _normalised(rng, fade(y[:n], 0.0, 0.010))


@dataclass(frozen=True)
class Baby:
    """What stays the same in all wails of a cry."""

    f0_hz: float
    formants_hz: np.ndarray
    tilt: float  # harmonic k has amplitude k^-tilt: strained voices are bright
    roughness: float  # 0 … 1


def _wail(rng, baby, duration_s):
    """One breath out, of RMS about 1."""
    n = samples(duration_s)
    top = rng.uniform(0.12, 0.55)  # where the pitch is highest, as a share of the wail
    shape = curve(
        n,
        [0, 0.5 * top, top, 0.75, 1],
        [rng.uniform(0.65, 0.95), 1.0, rng.uniform(1.05, 1.35), rng.uniform(0.95, 1.2), rng.uniform(0.6, 0.95)],
    )
    vibrato = 1 + rng.uniform(0.003, 0.02) * np.sin(
        2 * np.pi * rng.uniform(5, 8) * np.arange(n) / SAMPLE_RATE + rng.uniform(0, 6)
    )
    f0 = baby.f0_hz * rng.uniform(0.9, 1.12) * shape * vibrato * (1 + wander(rng, n, 30, 0.008))
    harmonics = np.arange(1, int(19000 / f0.max()) + 1)
    folds = harmonic_tone(f0, harmonics**-baby.tilt)
    if baby.roughness > 0.15:  # irregular pulses
        folds *= 1 + baby.roughness * wander(rng, n, f0.mean() / 3, 0.5)
    folds += 0.03 * rms(folds) * rng.standard_normal(n)  # breath
    first, *rest = baby.formants_hz
    bandwidths_hz = [180, 250, 400, 600]
    closed = resonate(folds, [0.65 * first, *rest], bandwidths_hz)
    opened = resonate(folds, [first * 1.1, *rest], bandwidths_hz)
    mouth = curve(n, [0, 0.25, 0.75, 1], [0.0, rng.uniform(0.7, 1.0), rng.uniform(0.6, 1.0), 0.1])
    y = (1 - mouth) * closed / rms(closed) + mouth * opened / rms(opened)
    y *= curve(n, [0, top, 0.75, 1], [0.6, 1.0, rng.uniform(0.6, 0.9), rng.uniform(0.2, 0.4)])
    return fade(y, rng.uniform(0.02, 0.06), rng.uniform(0.05, 0.15))


def glassbreak(rng, n):
    """An impact, then a shower of shards: each rings with its own inharmonic, fast-decaying modes.

    A pane breaks in a burst of noise (cracks run at over 1 km/s) with a dull thump of the frame. Fragments ring at
    1.5–15 kHz when they come apart, and again when they hit the floor a few tenths of a second later and bounce. Small
    shards ring higher and for a shorter time.
    """
    total_s = n / SAMPLE_RATE
    y = np.zeros(n)
    crack_s = rng.uniform(0.015, 0.06)
    crack = shaped_noise(rng, samples(8 * crack_s), [(200, -14), (1500, -4), (4000, 0), (9000, -2), (18000, -10)])
    add_at(y, rng.uniform(0.7, 1.3) * crack * decay(len(crack), crack_s), 0)
    size = rng.uniform(0.75, 1.35)  # of the pane; large ones ring lower
    pane = modes(
        samples(0.35), rng.uniform(300, 2500, 8) / size, rng.uniform(0.01, 0.05, 8), rng.uniform(0.1, 0.5, 8),
        rng.uniform(0, 6.28, 8),
    )  # fmt: skip
    add_at(y, pane, 0)
    rubble = shaped_noise(rng, len(y), [(800, -25), (2500, -6), (5000, 0), (12000, -4), (20000, -14)])
    swell = np.abs(wander(rng, len(y), 25, 1.0)) * curve(len(y), [0, 0.1, 0.5, 1], [0.3, 1.0, 0.5, 0.02])
    y += rng.uniform(0.02, 0.15) * swell * rubble  # splinters too small to be heard one by one
    fall_s = rng.uniform(0.25, 0.6) * total_s  # the main landing on the floor
    last_s = total_s - 0.06
    shards_s = [
        rng.exponential(0.06) if rng.random() < 0.45 else fall_s + rng.normal(0, 0.25 * total_s)
        for _ in range(int(rng.integers(18, 50)))
    ]
    for at_s in [*shards_s, last_s]:
        if 0 <= at_s <= last_s:
            parting = rng.uniform(0.3, 1.0) * np.exp(-at_s / 0.2)
            landing = rng.uniform(0.1, 0.8) * np.exp(-abs(at_s - fall_s) / (0.5 * total_s))
            add_at(y, max(parting, landing) * _shard(rng, size), samples(at_s))
    y = early_reflections(rng, y, rng.uniform(0.01, 0.06), rng.uniform(0.1, 0.4))
    return _normalised(rng, end_at(y, n))


def _shard(rng, size):
    """One fragment struck once: a tick and 4–8 modes."""
    k = int(rng.integers(4, 9))
    lowest_hz = np.exp(rng.uniform(np.log(1500), np.log(6500))) / size
    frequencies_hz = np.minimum(lowest_hz * (1 + rng.exponential(0.9, k)), 19000)
    decays_s = rng.uniform(0.012, 0.06) * (lowest_hz / frequencies_hz) ** 0.5
    n = samples(5 * decays_s.max())
    y = modes(n, frequencies_hz, decays_s, rng.uniform(0.3, 1, k), rng.uniform(0, 6.28, k))
    tick = min(n, samples(0.004))
    y[:tick] += rng.standard_normal(tick) * decay(tick, 0.001)
    return y


def gunshot(rng, n):
    """A blast: a shock wave of under a millisecond, the roar of the gas, and the reverberation of the surroundings.

    All frequencies start at once. The high ones die away first, in air and with every reflection, so a distant blast
    is duller and has longer echoes. Some instances are short bursts of automatic fire.
    """
    distance = rng.uniform(0, 1)  # 0: a few metres; 1: some hundred
    length_s = n / SAMPLE_RATE
    shots = min(int(rng.choice([1, 2, 3, 4], p=[0.76, 0.1, 0.08, 0.06])), 1 + int(max(0, length_s - 0.3) / 0.09))
    spacing_s = rng.uniform(0.09, min(0.35, (length_s - 0.25) / (shots - 1))) if shots > 1 else 0.0
    tail_s = length_s - (shots - 1) * spacing_s  # of the last shot
    one = _blast(rng, distance, tail_s / rng.uniform(2.5, 3.6), samples(tail_s + 0.1))
    y = np.zeros(n + samples(0.05))
    at_s = 0.0
    for _ in range(shots):
        add_at(y, rng.uniform(0.8, 1.0) * one, round(at_s * SAMPLE_RATE))
        at_s += spacing_s * rng.uniform(0.95, 1.05)
    return _normalised(rng, end_at(y, n))


def _blast(rng, distance, reverb_s, n):
    """One shot in its surroundings: three bands of noise that start together and decay at different rates."""
    roll_off_db = -6 - 12 * distance  # of the top band, absorbed by air and ground
    bands = [
        (1.0, 1.3, [(25, -12), (50, 0), (250, 0), (500, -18), (1500, -50)]),
        (1.0, 1.0, [(150, -30), (400, 0), (1800, 0), (4000, -20), (9000, -60)]),
        (10 ** (roll_off_db / 20), 0.45, [(1200, -30), (3000, 0), (8000, -3), (16000, -12)]),
    ]
    weapon = np.exp2(rng.uniform(-0.6, 0.6))  # small bores crack higher
    y = np.zeros(n)
    for level, slowness, points in bands:
        points = [(weapon * frequency_hz, level_db) for frequency_hz, level_db in points]
        body = decay(n, rng.uniform(0.012, 0.035) * slowness)
        room = rng.uniform(0.12, 0.4) * decay(n, reverb_s * slowness)
        y += level * rng.uniform(0.7, 1.4) * shaped_noise(rng, n, points) * (body + room)
    shock = samples(rng.uniform(0.0003, 0.0009))  # the N-wave: a jump up, a ramp down, a jump back
    y[:shock] += rng.uniform(3, 6) * (1 - 0.6 * distance) * np.linspace(1, -1, shock)
    walls = np.sort(rng.uniform(0.03, 0.35, 3))
    return echoes(y, walls, rng.uniform(0.05, 0.35, 3) * np.exp(-walls / 0.2))


def _normalised(rng, y):
    """`y` at a level between −6 and −1 dB of full scale."""
    return y * (rng.uniform(0.5, 0.9) / np.max(np.abs(y)))
