"""Rendering: the requested ratio, loops, and what cannot be mixed (`test_synthesize.py` has the official output)."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from data_tools.audio import SAMPLE_RATE
from data_tools.banks.base import Background, Bank, EventClip
from data_tools.errors import InputError
from data_tools.mixing import background_clip, loop, quantize24, render, scaling_factor
from data_tools.recipes import Recipe, draw_recipes


class MemoryBank(Bank):
    """Sounds from arrays; every event is active throughout."""

    def __init__(self, events, backgrounds):
        super().__init__("memory", sorted({key.split("/")[0] for key in events}))
        self.event_arrays, self.background_arrays = events, backgrounds

    def _events(self, label, subset):
        lengths = {k: len(y) / SAMPLE_RATE for k, y in self.event_arrays.items() if k.startswith(f"{label}/")}
        return [EventClip(key, label, 0.0, length_s) for key, length_s in lengths.items()]

    def _backgrounds(self, subset):
        return [Background(key, "park") for key in self.background_arrays]

    def _event_audio(self, key):
        return self.event_arrays[key]

    def _background_audio(self, key, start_s, duration_s):
        return self.background_arrays[key]


def noise(seed, seconds, level=0.1):
    return np.random.default_rng(seed).normal(0, level, round(seconds * SAMPLE_RATE))


@pytest.fixture(scope="module")
def bank():
    events = {f"dog/{i}": noise(i, 0.4 + 0.7 * i) for i in range(3)}
    return MemoryBank(events, {f"bg{i}": noise(100 + i, 30.0, 0.02 * (i + 1)) for i in range(3)})


def test_quantisation_rounds_down_and_limits():
    """floor(rint(x·2^31) / 256): half a 24-bit step, 2^-24, goes down; -2^-32 is rounded to 0 before the floor."""
    y = [1.0, 7.3, -1.0, -3.0, -1e-9, 2.0**-24, -(2.0**-24), 2.0**-23, -(2.0**-32), 0.0]
    assert quantize24(y).tolist() == [8388607, 8388607, -8388608, -8388608, -1, 0, -1, 1, 0, 0]
    assert quantize24(y).dtype == np.int32


@pytest.mark.parametrize("ebr_db", [-12.0, -6.0, 0.0, 2.25, 6.0])
def test_measured_ratio_equals_the_requested_one(bank, ebr_db):
    """Mixture minus background is the event; both measured under the event, neither clipped."""
    recipes = draw_recipes(bank, "dog", "train", 12, 3, ebr_db=(ebr_db,), event_presence_prob=1.0)
    for recipe in recipes:
        mixture = render(recipe, bank)
        background = 0.2 * bank.background_audio(recipe.background)
        assert np.abs(mixture).max() < 1
        first = int(recipe.onset_s * SAMPLE_RATE)
        under = slice(first, first + len(bank.event_audio(recipe.event)))
        event = mixture - background
        assert not event[: under.start].any() and not event[under.stop :].any()
        measured_db = 20 * math.log10(np.sqrt(np.mean(event[under] ** 2)) / np.sqrt(np.mean(background[under] ** 2)))
        assert measured_db == pytest.approx(ebr_db, abs=1e-6)


def test_scaling_factor_worked_by_hand():
    """Event ±0.5 (RMS 0.5), background ±0.1 under it and ±0.9 elsewhere: 10^(6/20)·0.1/0.5 = 0.39905246."""
    background = np.full(SAMPLE_RATE, 0.9)
    background[100:300] = 0.1
    event = 0.5 * (-1.0) ** np.arange(200)
    factor = scaling_factor(event, background, 100.5 / SAMPLE_RATE, 6.0)
    assert factor == pytest.approx(0.3990524629937759, rel=1e-12)


def test_same_recipe_same_bytes(bank):
    recipes = draw_recipes(bank, "dog", "dev", 4, 9)
    digests = [hashlib.md5(quantize24(render(r, bank)).tobytes()).hexdigest() for r in recipes]
    again = [hashlib.md5(quantize24(render(r, bank)).tobytes()).hexdigest() for r in reversed(recipes)]
    assert digests == again[::-1] and len(set(digests)) == 4


def test_loud_events_do_not_clip(bank):
    recipe = draw_recipes(bank, "dog", "train", 1, 0, ebr_db=(80.0,), event_presence_prob=1.0)[0]
    peak = np.abs(render(recipe, bank)).max()
    assert peak == 1.0 and np.abs(quantize24(render(recipe, bank))).max() <= 8388608


def test_sources_are_left_as_they_were(bank):
    before = bank.background_arrays["bg0"].copy()
    recipe = Recipe("m.wav", "bg0", "park", 0.0, "dog", "dog/0", 0.0, 0.3, 1.0, 0.0, duration_s=30.0)
    render(recipe, bank)
    render(replace(recipe, label=None), bank)
    assert np.array_equal(bank.background_arrays["bg0"], before)


def test_silence_is_refused_or_bridged():
    """Silent event: error. Background silent under the event only: its level over the clip. All silent: error."""
    gap = noise(0, 30.0)
    gap[: 2 * SAMPLE_RATE] = 0
    bank = MemoryBank(
        {"dog/loud": noise(1, 1.0), "dog/silent": np.zeros(SAMPLE_RATE)},
        {"gap": gap, "silent": np.zeros(30 * SAMPLE_RATE)},
    )
    recipe = Recipe("m.wav", "gap", "park", 0.0, "dog", "dog/loud", 0.0, 1.0, 0.5, 0.0, duration_s=30.0)
    mixture = render(recipe, bank)
    first = int(0.5 * SAMPLE_RATE)
    level = np.sqrt(np.mean(mixture[first : first + SAMPLE_RATE] ** 2))
    assert level == pytest.approx(0.2 * np.sqrt(np.mean(gap**2)), rel=1e-12)
    with pytest.raises(InputError, match=r"m\.wav: dog/silent in gap: the event is silent"):
        render(replace(recipe, event="dog/silent"), bank)
    with pytest.raises(InputError, match="dog/loud in silent: the background is silent"):
        render(replace(recipe, background="silent"), bank)
    assert not render(replace(recipe, background="silent", label=None), bank).any()


def test_event_beyond_the_background_is_refused(bank):
    """Ending exactly with the last sample is fine, one sample later is not (0.4 s event = 17640 samples)."""
    last = (30 * SAMPLE_RATE - 17640) / SAMPLE_RATE
    recipe = Recipe("m.wav", "bg0", "park", 0.0, "dog", "dog/0", 0.0, 0.4, last, 0.0, duration_s=30.0)
    assert len(render(recipe, bank)) == 30 * SAMPLE_RATE
    with pytest.raises(InputError, match="does not fit in a background of 30.000 s"):
        render(replace(recipe, onset_s=last + 1 / SAMPLE_RATE), bank)
    with pytest.raises(InputError, match="dog/0: no samples between 9.0 s and 9.5 s"):
        render(replace(recipe, segment_onset_s=9.0, segment_offset_s=9.5), bank)


@pytest.mark.parametrize("seconds", [1.0, 7.3, 29.99, 30.0, 41.0])
def test_backgrounds_are_looped_or_cut_to_length(seconds):
    y = noise(5, seconds)
    bank = MemoryBank({}, {"bg": y})
    clip = background_clip(bank, "bg", 0.0, 30.0)
    n_free = min(len(y) - round(0.05 * SAMPLE_RATE), len(clip)) if seconds < 30 else len(clip)
    assert len(clip) == 30 * SAMPLE_RATE
    assert np.array_equal(clip[:n_free], y[:n_free])
    assert np.std(clip) == pytest.approx(0.1, rel=0.05)


def test_loop_is_seamless():
    """A slow sine cut at a quarter period would jump by its amplitude; with the crossfade no step exceeds 1 %.

    Steepest change: the fade itself, pi/2 of the amplitude (at most sqrt(2)) over 2205 samples, and the sine's.
    """
    y = np.sin(2 * np.pi * 10.25 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    looped = loop(y, 5 * SAMPLE_RATE)
    assert np.abs(np.diff(looped)).max() < 0.01
    assert np.abs(np.diff(np.resize(y, 5 * SAMPLE_RATE))).max() > 0.9


def test_ready_made_mixtures_are_read(tmp_path):
    soundfile.write(tmp_path / "m.wav", noise(0, 1.0), SAMPLE_RATE, subtype="FLOAT")
    recipe = Recipe("m.wav", "", "", rendered=str(tmp_path / "m.wav"))
    assert np.allclose(render(recipe, None), noise(0, 1.0), atol=1e-7)
