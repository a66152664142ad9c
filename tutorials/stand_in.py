"""A small folder of sounds for notebook 12, for those who have not recorded any: doorbells, rooms, and two nights.

    make_sounds(folder)             events/doorbell, backgrounds: as data_tools/README.md asks for
    record_again(folder)            two of the bells, as they should have been recorded
    make_night(folder, seed)        recordings with labels, in which other things ring as well

A bell is two strokes on a bar, whose overtones are not harmonic; a room is noise that dies away. Two of the recordings
have a fault each that people's own have, too, so that there is something to be found.
"""

from pathlib import Path

import numpy as np
import soundfile

from data_tools.audio import SAMPLE_RATE, resample
from data_tools.soundbank import SoundBank

LABEL = "doorbell"
N_BELLS = 30  # with two rings each
SCENES = ("home", "office", "library", "cafe/restaurant")
PARTIALS = (1.0, 2.76, 5.4)  # of a bar that is free at both ends
CLIPPED, TOO_LOW = "bell04_ring1.wav", "bell11_ring2.wav"


def strokes(onsets_s, tones_hz, decay_s, length_s):
    """Strokes on bars of these tones, (samples,)."""
    t, y = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE, 0.0
    for onset_s, tone_hz in zip(onsets_s, tones_hz, strict=True):
        s = np.maximum(t - onset_s, 0.0)
        for k, partial in enumerate(PARTIALS, 1):
            y = y + np.sin(2 * np.pi * tone_hz * partial * s) * np.exp(-k * s / decay_s) * np.minimum(1, s / 0.003) / k
    return y


def in_a_room(y, rng):
    """With reverberation of a third of a second, and its peak at one half."""
    n = round(0.3 * SAMPLE_RATE)
    response = 0.05 * rng.standard_normal(n) * np.exp(-np.arange(n) / (0.06 * SAMPLE_RATE))
    response[0] = 1.0
    size = 1 << (len(y) + n).bit_length()
    y = np.fft.irfft(np.fft.rfft(y, size) * np.fft.rfft(response, size))[: len(y) + n]
    return 0.5 * y / np.abs(y).max()


def bell(rng):
    """Of one house: the two tones, how far they are apart in time, how long they ring."""
    tone_hz = rng.uniform(500, 900)
    return tone_hz, tone_hz * rng.choice([0.75, 0.794, 0.84]), rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.6)


def doorbell(rng, of_house=None):
    """A bell, "ding-dong", in a room."""
    high_hz, low_hz, apart_s, decay_s = of_house or bell(rng)
    apart_s *= rng.uniform(0.95, 1.05)
    return in_a_room(strokes((0, apart_s), (high_hz, low_hz), decay_s, 1.6), rng)


def clock(rng):
    """A single stroke."""
    return in_a_room(strokes((0,), (rng.uniform(400, 900),), 0.8, 1.6), rng)


def telephone(rng):
    """Eight quick strokes, two tones in turn."""
    tone_hz = rng.uniform(500, 900)
    return in_a_room(strokes(0.18 * np.arange(8), tone_hz * np.where(np.arange(8) % 2, 1.26, 1.0), 0.2, 1.8), rng)


def oven(rng):
    """Three beeps."""
    t = np.arange(round(1.5 * SAMPLE_RATE)) / SAMPLE_RATE
    return in_a_room(np.sin(2 * np.pi * rng.uniform(900, 2000) * t) * (t % 0.5 < 0.25), rng)


def rooms(subset, n, seed):
    """Some half-minutes of built-in background, scenes in turn: (name, (samples,)) each."""
    bank = SoundBank.builtin()
    by_scene = {scene: [p for p in bank.backgrounds(subset) if p.scene == scene] for scene in SCENES}
    for i in range(n):
        pieces = by_scene[SCENES[i % len(SCENES)]]
        piece = pieces[(i // len(SCENES) + seed) % len(pieces)]
        yield f"{piece.scene.replace('/', '-')}_{i + 1:02}", 0.2 * bank.background_audio(piece.key)


def make_sounds(folder):
    """Write events and backgrounds."""
    folder, rng = Path(folder), np.random.default_rng(0)
    (folder / "events" / LABEL).mkdir(parents=True)
    (folder / "backgrounds").mkdir()
    for i in range(N_BELLS):
        of_house = bell(rng)
        for ring in (1, 2):
            name, y, rate = f"bell{i + 1:02}_ring{ring}.wav", doorbell(rng, of_house), SAMPLE_RATE
            if name == CLIPPED:
                y = np.clip(4 * y, -0.9, 0.9)
            if name == TOO_LOW:
                y, rate = resample(y, SAMPLE_RATE, 16000), 16000
            soundfile.write(folder / "events" / LABEL / name, y, rate)
    for name, y in rooms("train", 24, 0):
        soundfile.write(folder / "backgrounds" / f"{name}.flac", y, SAMPLE_RATE)


def record_again(folder):
    """Two of the bells, without their faults."""
    rng = np.random.default_rng(1)
    for name in (CLIPPED, TOO_LOW):
        soundfile.write(Path(folder) / "events" / LABEL / name, doorbell(rng), SAMPLE_RATE)


def make_night(folder, seed, n_recordings=3, n_pieces=8):
    """Write recordings of four minutes with labels; of twenty sounds in each that ring, five are doorbells."""
    folder, rng = Path(folder), np.random.default_rng([12, seed])
    folder.mkdir(parents=True)
    pieces = [y for _, y in rooms("eval", n_pieces, seed)]
    for number in range(1, n_recordings + 1):
        y, labels = np.concatenate([pieces[i] for i in rng.permutation(n_pieces)]), []
        places_s = 3 + 10.0 * np.sort(rng.permutation(len(y) // (10 * SAMPLE_RATE) - 1)[:20]) + rng.uniform(0, 4, 20)
        for i, onset_s in enumerate(places_s):
            kind = (doorbell, clock, telephone, oven)[i % 4]
            sound = kind(rng)
            under = y[round(onset_s * SAMPLE_RATE) :][: len(sound)]  # a view
            under += 10 ** (rng.choice([-6.0, 0.0, 6.0]) / 20) * under.std() / sound.std() * sound
            if kind is doorbell:
                labels.append(f"{onset_s:.3f}\t{onset_s + len(sound) / SAMPLE_RATE:.3f}\t{LABEL}\n")
        soundfile.write(folder / f"{number}.flac", y / max(1.0, np.abs(y).max() / 0.99), SAMPLE_RATE)
        (folder / f"{number}.txt").write_text("".join(labels), encoding="utf-8")
