"""Everyday sounds that are easily mistaken for the three events. `scenes` spreads them over a background.

Each has the loudness, band and time scale of an event and differs only in structure: the clink of a cup from a shower
of shards, a dull door from a blast, a talker from a cry. Functions take a random generator and return a new instance,
(samples,) float64 at 44.1 kHz, at any level, which the scene changes.
"""

import numpy as np

from data_tools.audio import SAMPLE_RATE, rms
from data_tools.builtin.parts import (
    add_at,
    curve,
    decay,
    fade,
    harmonic_tone,
    modes,
    resonate,
    samples,
    shaped_noise,
    wander,
)

# First three formants of a, e, i, o, u of a man, Hz (Peterson and Barney 1952, rounded); women × 1.17, children × 1.35.
VOWELS_HZ = ((730, 1090, 2440), (530, 1840, 2480), (270, 2290, 3010), (570, 840, 2410), (300, 870, 2240))


def train_of(rng, make, count, spacing_s, jitter=0.2):
    """`count` new sounds of `make(rng)` of different strength, about `spacing_s` apart (a share of `jitter` off)."""
    parts = [rng.uniform(0.5, 1.0) * make(rng) for _ in range(count)]
    gaps_s = spacing_s * rng.uniform(1 - jitter, 1 + jitter, count)
    onsets = np.cumsum([0, *(samples(gap_s) for gap_s in gaps_s[:-1])])
    out = np.zeros(max(onset + len(part) for onset, part in zip(onsets, parts, strict=True)))
    for onset, part in zip(onsets, parts, strict=True):
        add_at(out, part, onset)
    return out


# --- Low: near the shot ----------------------------------------------------------------------------------------


def thud(rng):
    """A door, a crate, a foot on boards: low panel modes and a padded knock, nothing above a few kHz."""
    k = int(rng.integers(4, 9))
    decays_s = rng.uniform(0.02, 0.12, k)
    y = modes(
        samples(0.5), np.exp(rng.uniform(np.log(50), np.log(450), k)), decays_s, rng.uniform(0.3, 1, k),
        rng.uniform(0, 6.28, k),
    )  # fmt: skip
    knock_s = rng.uniform(0.004, 0.02)
    points = [(80, -6), (300, 0), (rng.uniform(800, 2500), -8), (7000, -50)]
    knock = shaped_noise(rng, samples(8 * knock_s), points) * decay(samples(8 * knock_s), knock_s)
    add_at(y, rng.uniform(0.5, 2.5) * knock, 0)
    return fade(y, 0.001, 0.05)


def door(rng):
    """A door shuts: the latch clicks, the leaf booms, the frame rattles."""
    y = np.concatenate([np.zeros(samples(rng.uniform(0.04, 0.12))), 2.0 * thud(rng)])
    latch = modes(samples(0.06), rng.uniform(900, 4000, 4), np.full(4, 0.006), np.full(4, 0.5), rng.uniform(0, 6, 4))
    add_at(y, latch, 0)
    return y


def steps(rng):
    """Somebody walks by: 3–7 soft knocks about twice a second."""
    return train_of(rng, thud, int(rng.integers(3, 8)), rng.uniform(0.45, 0.65), jitter=0.06)


def rail_joints(rng):
    """Two wheelsets of a bogie cross a rail joint: pairs of dull clacks."""
    pair_s = rng.uniform(0.10, 0.22)
    return train_of(rng, lambda rng: train_of(rng, thud, 2, pair_s, 0.03), int(rng.integers(2, 4)), 5 * pair_s, 0.05)


def engine(rng):
    """An engine revs up and down: firing pulses at 30–120 Hz through an exhaust."""
    n = samples(rng.uniform(1.0, 3.0))
    f0 = rng.uniform(30, 60) * curve(n, [0, rng.uniform(0.3, 0.7), 1], [1, rng.uniform(1.4, 2.2), 1.1])
    y = harmonic_tone(f0 * (1 + wander(rng, n, 20, 0.01)), 1 / np.arange(1, 60) ** 0.7)
    y = resonate(y, [rng.uniform(120, 250), rng.uniform(500, 900)], [80, 200])
    return fade(y / rms(y) + 0.06 * rng.standard_normal(n), 0.3, 0.4)


def bump(rng):
    """Something falls, bounces faster and faster, and rolls to rest: knocks of wood or plastic."""
    k = 5
    body = (rng.uniform(200, 1800, k), rng.uniform(0.008, 0.04, k), rng.uniform(0.3, 1, k), rng.uniform(0, 6, k))
    y = np.zeros(samples(1.2))
    at_s, gap_s, strength = 0.0, rng.uniform(0.15, 0.35), 1.0
    while at_s < 1.0 and gap_s > 0.03:
        add_at(y, strength * modes(samples(0.15), *body), samples(at_s))
        at_s, gap_s, strength = at_s + gap_s, gap_s * rng.uniform(0.5, 0.7), strength * rng.uniform(0.4, 0.7)
    return y[: samples(at_s + 0.15)]


def clap(rng):
    """Hands meet, a book drops flat, a stapler: broadband and sudden as a shot, but over in 30 ms."""
    tau_s = rng.uniform(0.003, 0.012)
    n = samples(8 * tau_s)
    centre_hz = rng.uniform(700, 2500)
    points = [(centre_hz / 6, -18), (centre_hz, 0), (centre_hz * 3, -8), (15000, -22)]
    return shaped_noise(rng, n, points) * decay(n, tau_s)


def claps(rng):
    """A few claps or hammer blows."""
    return train_of(rng, clap, int(rng.integers(1, 7)), rng.uniform(0.2, 0.5), jitter=0.15)


# --- Middle: near the cry --------------------------------------------------------------------------------------


def _syllable(rng, f0_hz, glide, tract, duration_s):
    n = samples(duration_s)
    f0 = f0_hz * curve(n, [0, 0.4, 1], [1.0, 1.0 + 0.5 * glide, 1.0 + glide]) * (1 + wander(rng, n, 25, 0.01))
    pulses = harmonic_tone(f0, 1 / np.arange(1, min(60, int(12000 / f0.max())) + 1) ** 1.1)
    formants_hz = tract * np.array(VOWELS_HZ[rng.integers(len(VOWELS_HZ))]) * rng.uniform(0.93, 1.07, 3)
    y = resonate(pulses, [*formants_hz, 3600 * tract], [80, 100, 140, 250])
    return fade(y / rms(y), 0.03, min(0.08, duration_s / 2))


def speech(rng):
    """An adult or a child says a phrase: syllables at 3–6 Hz, vowels and hisses, pitch falling towards the end."""
    f0_hz, tract = [(110, 1.0), (205, 1.17), (280, 1.35)][rng.choice(3, p=[0.42, 0.42, 0.16])]
    f0_hz *= rng.uniform(0.85, 1.2)
    count = int(rng.integers(3, 13))
    parts = []
    for i in range(count):
        pitch = f0_hz * (1.15 - 0.3 * i / count) * rng.uniform(0.9, 1.12)
        parts.append(_syllable(rng, pitch, rng.uniform(-0.15, 0.12), tract, rng.uniform(0.09, 0.28)))
        parts[-1] *= rng.uniform(0.4, 1.0)
        if rng.random() < 0.5:
            hiss = shaped_noise(rng, samples(rng.uniform(0.04, 0.11)), [(1500, -25), (4500, 0), (9000, -6)])
            parts.append(fade(rng.uniform(0.1, 0.35) * hiss, 0.01, 0.02))
        elif rng.random() < 0.3:
            parts.append(np.zeros(samples(rng.uniform(0.03, 0.15))))
    return np.concatenate(parts)


def laugh(rng):
    """Ha-ha-ha: 4–9 short, breathy vowels at 4–5 Hz on a falling pitch of 180–420 Hz."""
    f0_hz, tract = rng.uniform(180, 420), rng.uniform(1.0, 1.25)
    rate_s = rng.uniform(0.18, 0.24)
    out = np.zeros(samples(10 * rate_s))
    count = int(rng.integers(4, 10))
    for i in range(count):
        ha = _syllable(rng, f0_hz * (1 - 0.35 * i / count), -0.1, tract, 0.5 * rate_s)
        ha += 0.25 * shaped_noise(rng, len(ha), [(400, -10), (1500, 0), (6000, -15)])
        add_at(out, (1 - 0.6 * i / count) * ha, samples(i * rate_s))
    return out[: samples(count * rate_s)]


def shout(rng):
    """A call across the street: one or two long vowels at 200–420 Hz."""
    f0_hz, tract = rng.uniform(200, 420), rng.uniform(1.05, 1.3)
    count = int(rng.integers(1, 3))
    return np.concatenate(
        [_syllable(rng, f0_hz, rng.uniform(-0.2, 0.2), tract, rng.uniform(0.2, 0.6)) for _ in range(count)]
    )


def bark(rng):
    """A dog: 1–5 harsh yelps of 0.1–0.2 s, pitch shooting up and down between 250 and 900 Hz."""
    f0_hz, tract = rng.uniform(250, 650), rng.uniform(0.7, 1.2)

    def yelp(rng):
        n = samples(rng.uniform(0.09, 0.2))
        f0 = f0_hz * curve(n, [0, 0.3, 1], [0.75, rng.uniform(1.1, 1.4), 0.7]) * (1 + wander(rng, n, 60, 0.02))
        y = harmonic_tone(f0, 1 / np.arange(1, 16) ** 0.8)
        y = resonate(y + 0.5 * rms(y) * rng.standard_normal(n), [900 * tract, 2100 * tract], [250, 400])
        return fade(y / rms(y), 0.008, 0.06)

    return train_of(rng, yelp, int(rng.integers(1, 6)), rng.uniform(0.3, 0.7), jitter=0.15)


def meow(rng):
    """A cat: one vowel of 0.4–0.9 s at 400–800 Hz, mouth opening and closing once."""
    n = samples(rng.uniform(0.4, 0.9))
    f0 = rng.uniform(400, 700) * curve(n, [0, 0.3, 1], [0.85, rng.uniform(1.05, 1.2), 0.75])
    y = harmonic_tone(f0 * (1 + wander(rng, n, 15, 0.006)), 1 / np.arange(1, 20) ** 0.9)
    closed, opened = resonate(y, [700, 1800], [150, 250]), resonate(y, [1400, 2600], [200, 300])
    mouth = np.sin(np.pi * np.linspace(0, 1, n)) ** 2
    return fade((1 - mouth) * closed / rms(closed) + mouth * opened / rms(opened), 0.06, 0.15)


def horn(rng):
    """A car horn: two steady reeds a third apart at 300–520 Hz, all harmonics, no glide."""
    n = samples(rng.uniform(0.2, 1.3))
    low_hz = rng.uniform(300, 430)
    overtones = 1 / np.arange(1, 21) ** rng.uniform(0.5, 1.0)
    y = harmonic_tone(np.full(n, low_hz), overtones) + harmonic_tone(np.full(n, 1.25 * low_hz), overtones)
    y = fade(resonate(y, [rng.uniform(1500, 2600)], [700]), 0.01, 0.03)
    return np.concatenate([y, np.zeros(samples(0.12))] * int(rng.integers(1, 3)))


def siren(rng):
    """A far siren: a whistle sweeping or stepping between about 450 and 1300 Hz."""
    n = samples(rng.uniform(2.0, 4.0))
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(0.3, 1.2) * np.arange(n) / SAMPLE_RATE)
    low_hz = rng.uniform(420, 600)
    f0 = low_hz + (np.round(sweep) if rng.random() < 0.5 else sweep) * rng.uniform(150, 700)
    return fade(resonate(harmonic_tone(f0, [1, 0.4, 0.2, 0.1]), [1200], [900]), 0.6, 0.8)


def melody(rng):
    """A tune from a loudspeaker or a telephone: 4–10 steady notes of a scale."""
    scale = 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    root_hz, overtones = rng.uniform(220, 520), 1 / np.arange(1, 9) ** rng.uniform(1.0, 2.0)
    note_s = rng.uniform(0.12, 0.35)
    notes = [
        fade(harmonic_tone(np.full(samples(note_s), root_hz * step), overtones), 0.01, 0.05)
        for step in rng.choice(scale, int(rng.integers(4, 11)))
    ]
    return np.concatenate(notes)


# --- High: near the glass --------------------------------------------------------------------------------------


def _clinker(rng, lowest_hz, tau_s):
    """A vessel with fixed modes, to be struck again and again (unlike shards, which are all different)."""
    k = int(rng.integers(4, 8))
    frequencies_hz = np.minimum(lowest_hz * np.cumprod(rng.uniform(1.15, 1.7, k)), 17000)
    decays_s = tau_s * (frequencies_hz[0] / frequencies_hz) ** 0.7
    amplitudes = rng.uniform(0.2, 1, k)

    def strike(rng):
        y = modes(
            samples(6 * tau_s), frequencies_hz, decays_s, amplitudes * rng.uniform(0.5, 1, k), rng.uniform(0, 6, k)
        )
        return fade(y, 0.0003, 0.01)

    return strike


def clink(rng):
    """A cup on a saucer, a bottle on a shelf: one to five strikes of the same vessel."""
    strike = _clinker(rng, rng.uniform(900, 3500), rng.uniform(0.02, 0.12))
    return train_of(rng, strike, int(rng.integers(1, 6)), rng.uniform(0.12, 0.4), jitter=0.4)


def cutlery(rng):
    """Knives and forks dropped in a drawer: 4–12 strikes of two pieces of steel, no impact before them."""
    pieces = [_clinker(rng, rng.uniform(2000, 4500), rng.uniform(0.01, 0.05)) for _ in range(2)]
    return train_of(
        rng, lambda rng: pieces[rng.integers(2)](rng), int(rng.integers(4, 13)), rng.uniform(0.05, 0.14), 0.6
    )


def keys(rng):
    """A bunch of keys: an even jingle of 3–8 kHz ticks that starts and ends softly."""
    strike = _clinker(rng, rng.uniform(2800, 5000), rng.uniform(0.008, 0.02))
    y = train_of(rng, strike, int(rng.integers(8, 18)), rng.uniform(0.05, 0.1), 0.5)
    return fade(y, 0.2, 0.2)


def squeak(rng):
    """Stick and slip of a brake, hinge or shoe: a harsh, gliding whistle of 0.9–4 kHz."""
    n = samples(rng.uniform(0.2, 1.6))
    f0 = (
        rng.uniform(900, 3800)
        * curve(n, [0, 0.5, 1], 1 + rng.uniform(-0.12, 0.12, 3))
        * (1 + wander(rng, n, 40, 0.004))
    )
    y = harmonic_tone(f0, rng.uniform(0.1, 1, 4) / np.arange(1, 5)) * (1 + wander(rng, n, 20, 0.4))
    return fade(y, 0.05, 0.1)


def bird(rng):
    """A song of 3–12 whistled chirps, each a fast glide between 2 and 8 kHz."""
    centre_hz, chirp_s = rng.uniform(2300, 6000), rng.uniform(0.04, 0.16)
    glide = 1 + rng.uniform(-0.25, 0.25, 3)

    def chirp(rng):
        n = samples(chirp_s)
        f0 = centre_hz * rng.uniform(0.92, 1.08) * curve(n, [0, 0.5, 1], glide)
        return fade(harmonic_tone(f0, [1.0, 0.12]), 0.01, 0.02)

    return train_of(rng, chirp, int(rng.integers(3, 13)), chirp_s * rng.uniform(1.3, 2.5), jitter=0.1)


def gull(rng):
    """A gull: 2–6 mewing glides of 0.2–0.4 s from 1.5 down to 0.8 kHz."""
    top_hz, call_s = rng.uniform(1000, 1700), rng.uniform(0.18, 0.4)

    def call(rng):
        n = samples(call_s)
        f0 = top_hz * curve(n, [0, 0.2, 1], [0.8, 1.0, rng.uniform(0.55, 0.75)]) * (1 + wander(rng, n, 50, 0.01))
        return fade(resonate(harmonic_tone(f0, 1 / np.arange(1, 9) ** 0.5), [2600], [1200]), 0.02, 0.08)

    return train_of(rng, call, int(rng.integers(2, 7)), call_s * rng.uniform(1.1, 1.8), jitter=0.1)


def hiss(rng):
    """Compressed air or steam let go: brakes of a bus, an espresso machine; bright noise, sudden start."""
    n = samples(rng.uniform(0.25, 1.8))
    points = [(600, -25), (rng.uniform(2500, 6000), 0), (12000, -3), (18000, -10)]
    return fade(shaped_noise(rng, n, points) * curve(n, [0, 0.2, 1], [1, 0.9, rng.uniform(0.1, 0.6)]), 0.005, 0.12)


def beeps(rng):
    """A till, a closing door, a microwave oven: 1–6 pure tones of 0.9–3.2 kHz."""
    tone = fade(
        harmonic_tone(np.full(samples(rng.uniform(0.06, 0.3)), rng.uniform(900, 3200)), [1, 0.2, 0.1]), 0.005, 0.01
    )
    gap = np.zeros(samples(rng.uniform(0.06, 0.3)))
    return np.concatenate([tone, gap] * int(rng.integers(1, 7)))


def rustle(rng):
    """A paper or plastic bag, dry leaves: a crackle of many weak random clicks at 2–10 kHz."""
    n = samples(rng.uniform(0.4, 1.8))
    sparse = rng.standard_normal(n) * (rng.random(n) < rng.uniform(0.002, 0.02))
    y = resonate(sparse, [rng.uniform(2500, 5000), rng.uniform(6000, 9000)], [2500, 4000])
    return fade(np.diff(y, prepend=0.0) * (1 + np.abs(wander(rng, n, 8, 1.0))), 0.05, 0.1)
