"""The three rare events of the paper (Sec. 4) as procedural sounds: baby cry, glass break, gunshot.

Each function takes a random generator and returns one fresh instance: (samples,) float64 at 44.1 kHz,
the whole array active, largest sample 0.5–0.9. They are sketches of the physics, not of any recording.
"""

import numpy as np

from data_tools.audio import SAMPLE_RATE, rms
from data_tools.builtin.parts import (
    add_at,
    curve,
    cut_tail,
    decay,
    early_reflections,
    echoes,
    fade,
    harmonic_tone,
    modes,
    resonate,
    samples,
    shaped_noise,
    wander,
)


def babycry(rng):
    """A run of wails: vocal folds at 300–700 Hz, rising then falling in pitch, in a short open throat.

    A newborn cries on each breath out: one wail of 0.35–1.5 s, then often a gasp. The fundamental climbs and
    sags as the lungs empty; the mouth opens and closes, so that the first formant (about 1.1 kHz for a tract of
    8 cm) swings. Hard crying roughens the voice with noise at the rate of the folds.
    """
    baby = {
        "f0_hz": rng.uniform(330, 520),
        "formants_hz": rng.uniform(0.85, 1.15) * np.array([1150, 3300, 5300, 7600]),
        "tilt": rng.uniform(0.2, 1.1),  # harmonic k has amplitude k^-tilt: strained voices are bright
        "roughness": rng.uniform(0.0, 1.0) ** 2,
    }
    total_s = rng.uniform(0.7, 4.2)
    parts, length_s = [], 0.0
    while length_s < 0.6 or length_s < total_s - 0.35:
        wail_s = min(rng.uniform(0.35, 1.5), max(0.4, total_s - length_s))
        parts.append(_wail(rng, baby, wail_s))
        gap_s = rng.uniform(0.10, 0.40)
        gap = np.zeros(samples(gap_s))
        if rng.random() < 0.5:  # the gasp: air drawn in over tense folds
            gasp = shaped_noise(rng, samples(0.7 * gap_s), [(500, -20), (1500, 0), (4000, -3), (9000, -15)])
            add_at(gap, fade(0.06 * gasp, 0.03, 0.04), samples(0.2 * gap_s))
        parts.append(gap)
        length_s += wail_s + gap_s
    y = np.concatenate(parts[:-1])
    return _finish(rng, early_reflections(rng, y, rng.uniform(0.01, 0.05), rng.uniform(0.05, 0.3)))


def _wail(rng, baby, duration_s):
    """One breath out: RMS about 1."""
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
    f0 = baby["f0_hz"] * rng.uniform(0.9, 1.12) * shape * vibrato * (1 + wander(rng, n, 30, 0.008))
    harmonics = np.arange(1, int(19000 / f0.max()) + 1)
    folds = harmonic_tone(f0, harmonics ** -baby["tilt"])
    if baby["roughness"] > 0.15:  # folds slam irregularly: noise gated by the same pulses
        folds *= 1 + baby["roughness"] * wander(rng, n, f0.mean() / 3, 0.5)
    folds += 0.03 * rms(folds) * rng.standard_normal(n)  # breath
    first, *rest = baby["formants_hz"]
    bandwidths_hz = [180, 250, 400, 600]
    closed = resonate(folds, [0.65 * first, *rest], bandwidths_hz)
    opened = resonate(folds, [first * 1.1, *rest], bandwidths_hz)
    mouth = curve(n, [0, 0.25, 0.75, 1], [0.0, rng.uniform(0.7, 1.0), rng.uniform(0.6, 1.0), 0.1])
    y = (1 - mouth) * closed / rms(closed) + mouth * opened / rms(opened)
    y *= curve(n, [0, top, 0.75, 1], [0.6, 1.0, rng.uniform(0.6, 0.9), rng.uniform(0.2, 0.4)])
    return fade(y, rng.uniform(0.02, 0.06), rng.uniform(0.05, 0.15))


def glassbreak(rng):
    """An impact, then a shower of shards: each rings with its own inharmonic, fast-decaying modes.

    A pane fails in a burst of noise (cracks running at over 1 km/s) with a dull thump of the frame. Fragments
    ring at 1.5–15 kHz when they part, and again when they meet the floor a few tenths of a second later and bounce.
    Small shards ring higher and shorter.
    """
    total_s = rng.uniform(0.45, 1.9)
    y = np.zeros(samples(total_s + 0.5))
    crack_s = rng.uniform(0.015, 0.06)
    crack = shaped_noise(rng, samples(8 * crack_s), [(200, -14), (1500, -4), (4000, 0), (9000, -2), (18000, -10)])
    add_at(y, rng.uniform(0.7, 1.3) * crack * decay(len(crack), crack_s), 0)
    size = rng.uniform(0.75, 1.35)  # of the pane: large ones ring lower
    pane = modes(
        samples(0.35), rng.uniform(300, 2500, 8) / size, rng.uniform(0.01, 0.05, 8), rng.uniform(0.1, 0.5, 8),
        rng.uniform(0, 6.28, 8),
    )  # fmt: skip
    add_at(y, pane, 0)
    rubble = shaped_noise(rng, len(y), [(800, -25), (2500, -6), (5000, 0), (12000, -4), (20000, -14)])
    swell = np.abs(wander(rng, len(y), 25, 1.0)) * curve(len(y), [0, 0.1, 0.5, 1], [0.3, 1.0, 0.5, 0.02])
    y += rng.uniform(0.02, 0.15) * swell * rubble  # splinters too many and too small to be heard one by one
    fall_s = rng.uniform(0.25, 0.6) * total_s  # the main landing on the floor
    n_shards = int(rng.integers(18, 50))
    for _ in range(n_shards):
        if rng.random() < 0.45:
            at_s = rng.exponential(0.06)
            strength = rng.uniform(0.3, 1.0) * np.exp(-at_s / 0.2)
        else:
            at_s = fall_s + rng.normal(0, 0.25 * total_s)
            strength = rng.uniform(0.1, 0.8) * np.exp(-abs(at_s - fall_s) / (0.5 * total_s))
        if 0 <= at_s < total_s:
            add_at(y, strength * _shard(rng, size), samples(at_s))
    return _finish(rng, early_reflections(rng, y, rng.uniform(0.01, 0.06), rng.uniform(0.1, 0.4)))


def _shard(rng, size):
    """One fragment struck once: 4–8 modes and a tick."""
    k = int(rng.integers(4, 9))
    lowest_hz = np.exp(rng.uniform(np.log(1500), np.log(6500))) / size
    frequencies_hz = np.minimum(lowest_hz * (1 + rng.exponential(0.9, k)), 19000)
    decays_s = rng.uniform(0.012, 0.06) * (lowest_hz / frequencies_hz) ** 0.5
    n = samples(5 * decays_s.max())
    y = modes(n, frequencies_hz, decays_s, rng.uniform(0.3, 1, k), rng.uniform(0, 6.28, k))
    tick = min(n, samples(0.004))
    y[:tick] += rng.standard_normal(tick) * decay(tick, 0.001)
    return y


def gunshot(rng):
    """A blast: a shock wave of under a millisecond, the roar of the gas, and the answer of the surroundings.

    Close by, all frequencies start at once and the high ones die first, in air and on every reflection; far off the
    blast is duller and the echoes longer. A few instances are short bursts of automatic fire.
    """
    distance = rng.uniform(0, 1)  # 0: a few metres; 1: some hundred
    reverb_s = rng.uniform(0.08, 0.18) + rng.uniform(0, 0.5) * rng.random() * (0.4 + distance)
    one = _blast(rng, distance, reverb_s)
    shots = int(rng.choice([1, 2, 3, 4], p=[0.76, 0.1, 0.08, 0.06]))
    spacing_s = rng.uniform(0.09, 0.35)
    y = np.zeros(len(one) + samples(shots * spacing_s * 1.1))
    at_s = 0.0
    for _ in range(shots):
        add_at(y, rng.uniform(0.8, 1.0) * one, round(at_s * SAMPLE_RATE))
        at_s += spacing_s * rng.uniform(0.95, 1.05)
    return _finish(rng, y[: samples(2.5)])


def _blast(rng, distance, reverb_s):
    """One shot with its room: three bands of noise that start together and die apart."""
    n = samples(min(2.2, 0.15 + 4.5 * reverb_s))
    roll_off_db = -6 - 12 * distance  # what air and ground take from the top band
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


def _finish(rng, y):
    """Cut what is too weak to be heard at the end and set the largest sample."""
    y = cut_tail(y)
    return y * (rng.uniform(0.5, 0.9) / np.max(np.abs(y)))
