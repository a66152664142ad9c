"""Thirty seconds of each of the 15 TUT scenes (paper, Sec. 4): a bed of noise, hums, and passing sounds.

The bed is the steady sound of a place: traffic, ventilation, waves, many voices at once. Every scene also has
`distractors` of low, middle and high pitch that are as loud as the events, so that neither the loudness nor the energy
of a band distinguishes an event from a background.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft

from data_tools.audio import CLIP_S, rms
from data_tools.builtin import distractors as sound
from data_tools.builtin.parts import (
    add_at,
    early_reflections,
    gain_curve,
    loudest_rms,
    noise_spectrum,
    samples,
    slow_envelope,
)

BED_DBFS = (-32.5, -28.0)  # RMS of the bed alone; distractors bring the whole to about −31 … −22
DISTRACTOR_DB = (2.0, 17.0)  # loudest 46 ms of a distractor over the RMS of the bed: the range of the events
PER_BAND = (1, 3)  # low, middle and high distractors each in 30 s


@dataclass(frozen=True)
class Scene:
    """What a place sounds like.

    bed, texture : points (frequency_hz, level_db) of the steady noise and of the noise that comes and goes
    motion : (rate_hz, depth) of the texture: how often it swells, and how far it falls (0 not at all … 1 to silence)
    low, middle, high : functions of `distractors`; one that is listed twice is drawn twice as often
    hums_hz : fundamentals of motors and mains, each with four harmonics
    room : (size_s, strength) of the first reflections
    babble : number of voices murmuring in the distance
    """

    bed: tuple
    texture: tuple
    motion: tuple
    low: tuple
    middle: tuple
    high: tuple
    hums_hz: tuple = ()
    room: tuple = (0.03, 0.15)
    babble: int = 0


TRAFFIC = ((25, -4), (80, 0), (400, -12), (1200, -16), (3000, -27), (10000, -40), (20000, -48))
VENTILATION = ((30, -2), (100, 0), (300, -10), (1000, -20), (4000, -34), (12000, -44), (20000, -48))
WIND = ((20, 0), (60, -3), (200, -14), (800, -24), (4000, -34), (12000, -42), (20000, -48))
LEAVES = ((200, -30), (1000, -12), (3000, 0), (7000, -2), (14000, -10), (20000, -20))
WAVES = ((60, -12), (200, -2), (600, 0), (2000, -5), (8000, -14), (20000, -30))
WHEELS = ((40, -4), (90, 0), (250, -4), (700, -12), (2000, -22), (6000, -35), (20000, -48))
MURMUR = ((100, -20), (250, -2), (500, 0), (1000, -6), (3000, -16), (8000, -34), (20000, -48))

SCENES = {
    "beach": Scene(
        WIND, WAVES, (0.12, 0.8),
        (sound.thud, sound.steps, sound.bump), (sound.shout, sound.speech, sound.bark, sound.laugh),
        (sound.gull, sound.gull, sound.hiss, sound.rustle, sound.clink), room=(0.05, 0.05),
    ),
    "bus": Scene(
        WHEELS, TRAFFIC, (0.2, 0.6),
        (sound.engine, sound.thud, sound.door), (sound.speech, sound.melody, sound.horn, sound.laugh),
        (sound.hiss, sound.squeak, sound.beeps, sound.keys, sound.rustle), hums_hz=(28.0, 85.0),
    ),
    "cafe/restaurant": Scene(
        VENTILATION, MURMUR, (3.0, 0.5),
        (sound.thud, sound.door, sound.steps, sound.claps), (sound.speech, sound.laugh, sound.melody),
        (sound.clink, sound.cutlery, sound.clink, sound.hiss), hums_hz=(50.0,), room=(0.04, 0.25), babble=8,
    ),
    "car": Scene(
        WHEELS, WIND, (0.3, 0.5),
        (sound.thud, sound.engine, sound.door), (sound.speech, sound.melody, sound.horn),
        (sound.beeps, sound.squeak, sound.keys, sound.rustle), hums_hz=(33.0, 66.0), room=(0.01, 0.2),
    ),
    "city_center": Scene(
        TRAFFIC, TRAFFIC, (0.2, 0.7),
        (sound.engine, sound.steps, sound.door, sound.thud),
        (sound.speech, sound.horn, sound.siren, sound.shout, sound.bark),
        (sound.squeak, sound.hiss, sound.bird, sound.keys), room=(0.12, 0.15), babble=3,
    ),
    "forest_path": Scene(
        WIND, LEAVES, (0.3, 0.7),
        (sound.steps, sound.bump, sound.claps), (sound.bark, sound.speech, sound.shout),
        (sound.bird, sound.bird, sound.rustle, sound.squeak, sound.clink), room=(0.15, 0.12),
    ),
    "grocery_store": Scene(
        VENTILATION, MURMUR, (2.0, 0.4),
        (sound.thud, sound.bump, sound.steps), (sound.speech, sound.melody, sound.shout, sound.laugh),
        (sound.beeps, sound.clink, sound.rustle, sound.squeak, sound.keys),
        hums_hz=(50.0, 59.0), room=(0.06, 0.2), babble=4,
    ),
    "home": Scene(
        VENTILATION, MURMUR, (0.5, 0.3),
        (sound.door, sound.steps, sound.bump, sound.claps), (sound.speech, sound.melody, sound.meow, sound.laugh),
        (sound.cutlery, sound.clink, sound.beeps, sound.squeak, sound.rustle), hums_hz=(50.0,), room=(0.025, 0.25),
    ),
    "library": Scene(
        VENTILATION, MURMUR, (0.5, 0.3),
        (sound.thud, sound.claps, sound.steps, sound.door), (sound.speech, sound.melody, sound.laugh),
        (sound.rustle, sound.squeak, sound.keys, sound.beeps), hums_hz=(50.0, 47.0), room=(0.06, 0.25),
    ),
    "metro_station": Scene(
        WHEELS, WHEELS, (0.1, 0.8),
        (sound.rail_joints, sound.steps, sound.door), (sound.speech, sound.melody, sound.shout, sound.laugh),
        (sound.squeak, sound.hiss, sound.beeps, sound.keys), hums_hz=(50.0,), room=(0.18, 0.4), babble=4,
    ),
    "office": Scene(
        VENTILATION, VENTILATION, (0.2, 0.3),
        (sound.door, sound.claps, sound.steps, sound.thud), (sound.speech, sound.melody, sound.laugh),
        (sound.beeps, sound.keys, sound.clink, sound.rustle, sound.squeak), hums_hz=(50.0, 61.0), room=(0.025, 0.2),
    ),
    "park": Scene(
        WIND, LEAVES, (0.25, 0.6),
        (sound.steps, sound.engine, sound.claps, sound.bump),
        (sound.bark, sound.speech, sound.shout, sound.laugh, sound.siren),
        (sound.bird, sound.bird, sound.squeak, sound.clink), room=(0.1, 0.08),
    ),
    "residential_area": Scene(
        TRAFFIC, LEAVES, (0.25, 0.6),
        (sound.door, sound.engine, sound.thud, sound.claps),
        (sound.bark, sound.meow, sound.speech, sound.horn, sound.shout),
        (sound.bird, sound.keys, sound.clink, sound.squeak), room=(0.1, 0.12),
    ),
    "train": Scene(
        WHEELS, TRAFFIC, (0.4, 0.4),
        (sound.rail_joints, sound.thud, sound.door), (sound.speech, sound.melody, sound.laugh),
        (sound.squeak, sound.beeps, sound.hiss, sound.rustle, sound.clink), hums_hz=(50.0, 120.0), room=(0.02, 0.15),
    ),
    "tram": Scene(
        WHEELS, TRAFFIC, (0.3, 0.5),
        (sound.rail_joints, sound.door, sound.thud), (sound.speech, sound.horn, sound.melody),
        (sound.squeak, sound.squeak, sound.beeps, sound.hiss, sound.keys), hums_hz=(75.0, 210.0), room=(0.02, 0.15),
    ),
}  # fmt: skip


def background(rng, scene_name):
    """Thirty seconds of a scene: (1_323_000,) float64, RMS about −31 … −22 dBFS, largest sample below 1."""
    scene = SCENES[scene_name]
    n = samples(CLIP_S)
    y = _bed(rng, scene, n)
    level = 10 ** (rng.uniform(*BED_DBFS) / 20)
    y *= np.float32(level / rms(y))
    y = y.astype(np.float64)
    if scene.babble:
        _add_babble(rng, y, scene.babble, level)
    for pool in (scene.low, scene.middle, scene.high):
        for _ in range(int(rng.integers(PER_BAND[0], PER_BAND[1] + 1))):
            one = pool[rng.integers(len(pool))](rng)
            one = early_reflections(rng, one, *scene.room)
            gain = level * 10 ** (rng.uniform(*DISTRACTOR_DB) / 20) / loudest_rms(one)
            gain = min(gain, 0.7 / np.max(np.abs(one)))
            add_at(y, gain * one, int(rng.integers(0, n - len(one) // 2)))
    return y * min(1.0, 0.95 / np.max(np.abs(y)))


def _bed(rng, scene, n):
    """Steady and moving noise of a place: (n,) float32."""
    spectrum = noise_spectrum(rng, n)
    lines = [
        (k * hum_hz, rng.uniform(0.2, 1.5), rng.uniform(8, 22) - 4 * k)
        for hum_hz in rng.uniform(0.98, 1.02) * np.array(scene.hums_hz)
        for k in range(1, 5)
    ]
    steady = irfft(spectrum * gain_curve(n, _vary(rng, scene.bed), lines), n)
    # The texture has the random numbers of the bed in reverse order: uncorrelated, and none need be drawn.
    texture = irfft(spectrum[::-1] * gain_curve(n, _vary(rng, scene.texture)), n)
    rate_hz, depth = scene.motion
    knots = max(3, int(CLIP_S * rate_hz * 2) + 2)
    swell = 1 - depth * rng.random(knots)
    texture *= slow_envelope(n, swell) * np.float32(rms(steady) / rms(texture) * rng.uniform(0.4, 0.9))
    return steady + texture


def _vary(rng, points):
    """Shift each point of a spectrum by about 3 dB, so that no two places are alike."""
    return [(frequency_hz, level_db + rng.normal(0, 3)) for frequency_hz, level_db in points]


def _add_babble(rng, y, voices, level):
    """Add many distant talkers to `y`: three phrases, each repeated faintly at random times."""
    phrases = [sound.speech(rng) for _ in range(3)]
    for _ in range(3 * voices):
        phrase = phrases[rng.integers(3)]
        add_at(y, level * rng.uniform(0.1, 0.5) / rms(phrase) * phrase, int(rng.integers(0, len(y))))
