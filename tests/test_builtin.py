"""The built-in sounds: keys, bytes, lengths and levels, and that no loudness detector can find the events."""

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from data_tools.builtin import keys as builtin
from data_tools.builtin import machines, scenes
from data_tools.errors import InputError
from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank

SUBSETS = ("train", "dev", "eval")
SR = 44100
FRAME = 2048  # samples, without overlap: 46 ms
COLLAR_S = 0.5
BAND_EDGES_HZ = (0, 150, 300, 600, 1200, 2500, 4000, 6000, 9000, 22050)


def all_keys():
    events = [key for label in builtin.CLASSES for subset in SUBSETS for key in builtin.event_keys(label, subset)]
    return events, [key for subset in SUBSETS for key, _ in builtin.background_keys(subset)]


# --- Keys ------------------------------------------------------------------------------------------------------


def test_subsets_are_large_enough_and_share_no_key():
    events, backgrounds = all_keys()
    assert len(events) == 3 * (240 + 60 + 60) and len(backgrounds) == 15 * (40 + 8 + 8)
    keys = events + backgrounds
    assert len(set(keys)) == len(keys)
    assert len({zlib.crc32(key.encode()) for key in keys}) == len(keys), "two keys would share a random stream"


def test_keys_are_sorted_and_name_class_subset_and_scene():
    assert builtin.event_keys("babycry", "train")[17] == "babycry/train_017"
    for label in builtin.CLASSES:
        keys = builtin.event_keys(label, "dev")
        assert keys == sorted(keys)
    for subset in SUBSETS:
        scenes = [scene for _, scene in builtin.background_keys(subset)]
        assert set(scenes) == set(builtin.SCENES) and len(builtin.SCENES) == 15


@pytest.mark.parametrize("key", ["babycry/train_240", "babycry/test_001", "meow/train_001", "babycry", "beach/dev_00"])
def test_unknown_event_key_is_refused(key):
    with pytest.raises(InputError, match=key):
        builtin.event_audio(key)
    with pytest.raises(InputError, match="babycry/dev_001"):
        builtin.background_audio("babycry/dev_001")


def test_importing_the_bank_loads_no_scipy():
    code = "import sys, data_tools.builtin.keys; sys.exit('scipy' in sys.modules)"
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


# --- Sounds ----------------------------------------------------------------------------------------------------


def test_the_length_is_known_without_the_sound():
    for key in np.random.default_rng(0).choice(all_keys()[0], 30, replace=False):
        assert builtin.event_length(key) == len(builtin.event_audio(key)) != builtin.event_length(key, seed=1), key
    assert builtin.event_length(key, seed=1) == len(builtin.event_audio(key, seed=1))
    with pytest.raises(InputError, match="no built-in sound 'babycry/dev_999'"):
        builtin.event_length("babycry/dev_999")


@pytest.mark.parametrize("label", builtin.CLASSES)
def test_lengths_follow_the_percentiles(label):
    """360 of them: a tenth lies between two neighbours, 36 ± 5.7, of which four times are allowed."""
    lengths_s = [builtin.event_length(key) / SR for subset in SUBSETS for key in builtin.event_keys(label, subset)]
    counts = np.histogram(lengths_s, builtin.LENGTHS_S[label])[0]
    assert counts.sum() == 360 and np.all(np.abs(counts - 36) < 23)


def digest(sounds):
    """Number of samples, sum of the levels, sum of the projections on a noise.

    Any change of the sounds shows in them, but the last bits do not, in which processors and libraries differ.
    """
    projections = [np.random.default_rng(0).standard_normal(len(y)) @ y / np.linalg.norm(y) for y in sounds]
    return [sum(map(len, sounds)), sum(np.sqrt(np.mean(y**2)) for y in sounds), sum(projections)]


def test_the_version_is_raised_with_any_change_of_the_sounds():
    """If this fails and the sounds were meant to change, raise VERSION and write down the new numbers with it."""
    keys = {label: builtin.event_keys(label, "dev")[:6] for label in builtin.CLASSES}
    found = {label: digest([builtin.event_audio(key) for key in of_class]) for label, of_class in keys.items()}
    makers = {maker for scene in scenes.SCENES.values() for maker in (*scene.low, *scene.middle, *scene.high)}
    makers = sorted(makers, key=lambda maker: maker.__name__)
    found["distractors"] = digest([maker(np.random.default_rng(0)) for maker in makers])
    found["scenes"] = digest([builtin.background_audio(f"{scene}/dev_00") for scene in builtin.SCENES])
    makers = [getattr(machines, name) for name in builtin.EVERYDAY["machines"]]
    found["machines"] = digest([maker(np.random.default_rng(0)) for maker in makers])
    assert list(found) == list(ON_RECORD[builtin.VERSION])
    for kind, (n_samples, level, projection) in ON_RECORD[builtin.VERSION].items():
        assert found[kind] == [n_samples, pytest.approx(level, rel=1e-4), pytest.approx(projection, abs=1e-3)], kind


def test_everyday_sounds_are_audible_short_and_all_different():
    """They are those of the scenes, and some more; no event is among them."""
    made = {maker.__name__ for scene in scenes.SCENES.values() for maker in (*scene.low, *scene.middle, *scene.high)}
    assert made == set(builtin.EVERYDAY["distractors"])
    keys = builtin.everyday_keys()
    assert len(set(keys)) == len(keys) == 24 * 40 + 3 * 80
    seen = set()
    for key in keys[::7] + keys[-160::5]:
        y = builtin.everyday_audio(key)
        assert 0 < len(y) < 15 * SR and np.isfinite(y).all() and np.abs(y).max() == pytest.approx(0.5)
        seen.add(y.tobytes())
    assert len(seen) == len(set(keys[::7] + keys[-160::5]))
    assert builtin.everyday_audio(keys[3]).tobytes() == builtin.everyday_audio(keys[3]).tobytes()
    assert builtin.everyday_audio(keys[3], seed=1).tobytes() != builtin.everyday_audio(keys[3]).tobytes()
    for key in ("distractors.gunshot/train_00", "distractors.bark/dev_00", "events.babycry/train_000", "bark/train_40"):
        with pytest.raises(InputError, match="no built-in sound"):
            builtin.everyday_audio(key)


ON_RECORD = {
    2: {
        "babycry": (603443, 0.804457, 2.27194),
        "glassbreak": (242974, 0.373005, -0.56585),
        "gunshot": (185147, 0.280323, 0.07975),
        "distractors": (1211079, 13.60191, 5.73401),
        "scenes": (19845000, 0.633696, 1.66211),
        "machines": (194225, 1.435842, -1.35275),
    }
}


@pytest.mark.parametrize("label", builtin.CLASSES)
def test_events_are_audible_finite_and_as_long_as_in_life(label):
    shortest_s, longest_s = {"babycry": (0.5, 5.0), "glassbreak": (0.25, 3.0), "gunshot": (0.2, 2.5)}[label]
    for key in [key for subset in SUBSETS for key in builtin.event_keys(label, subset)[::4]]:
        y = builtin.event_audio(key)
        assert y.dtype == np.float64 and y.ndim == 1
        assert np.all(np.isfinite(y)), key
        assert shortest_s <= len(y) / SR <= longest_s, key
        assert 0.45 <= np.max(np.abs(y)) <= 0.9 + 1e-12, key
        energy = np.convolve(np.add.reduceat(y**2, np.arange(0, len(y), 441)), np.ones(5), mode="same")  # 50 ms
        loud = np.flatnonzero(energy > energy.max() / 10**3.4)  # cut at 30 dB; the fade takes the rest
        assert loud[0] == 0, f"{key} starts with silence"
        assert loud[-1] >= len(energy) - 3, f"{key} ends in silence"
        assert np.max(np.diff(loud)) < 100, f"{key} pauses for over a second"


def test_backgrounds_last_30_s_at_an_even_level():
    for key, _ in builtin.background_keys("eval")[::5]:
        y = builtin.background_audio(key)
        assert y.shape == (1_323_000,) and y.dtype == np.float64
        assert np.all(np.isfinite(y)) and np.max(np.abs(y)) < 1, key
        level_db = 20 * np.log10(np.sqrt(np.mean(y**2)))
        assert -32 <= level_db <= -20, key
        assert abs(np.mean(y)) < 1e-3, key


@pytest.mark.parametrize("audio, key", [(builtin.event_audio, f"{label}/dev_007") for label in builtin.CLASSES]
                         + [(builtin.background_audio, "cafe/restaurant/train_03")])  # fmt: skip
def test_key_and_seed_fix_every_byte(audio, key):
    first, again, other = audio(key), audio(key, seed=0), audio(key, seed=1)
    assert first.tobytes() == again.tobytes()
    n = min(len(first), len(other))
    assert not np.array_equal(first[:n], other[:n])


def spectrum(y):
    """Of the sound scaled to energy 1 and padded to 2^18 samples, 5.9 s: longer than any event."""
    return np.fft.rfft(y / np.sqrt(np.sum(y**2)), 2**18)


def similarity(a, b):
    """Largest (circular) cross-correlation of two spectra: 1 for the same sound, however scaled or delayed."""
    return np.max(np.abs(np.fft.irfft(a * np.conj(b))))


@pytest.mark.parametrize("label", builtin.CLASSES)
def test_instances_differ_from_each_other(label):
    """No two of 18 instances correlate above 0.9, in one subset or across; their lengths and brightness vary too."""
    sounds = [builtin.event_audio(key) for subset in SUBSETS for key in builtin.event_keys(label, subset)[:6]]
    spectra = [spectrum(y) for y in sounds]
    assert max(similarity(a, b) for i, a in enumerate(spectra) for b in spectra[:i]) < 0.9
    delayed = spectrum(np.concatenate([np.zeros(100), 0.5 * sounds[0]]))
    assert similarity(spectra[0], delayed) > 0.99  # the measure does see a repeat
    lengths = np.array([len(y) for y in sounds])
    assert np.std(lengths) > 0.15 * np.mean(lengths)
    centroids = [np.average(np.arange(len(a)), weights=np.abs(a) ** 2) for a in spectra]
    assert np.std(centroids) > 0.1 * np.mean(centroids)


# --- Nothing to be had by loudness -----------------------------------------------------------------------------


def band_levels_db(y):
    """Level of the whole and of nine bands in frames of 46 ms: (10, T), dB."""
    frames = y[: len(y) // FRAME * FRAME].reshape(-1, FRAME) * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2  # (T, FRAME // 2 + 1)
    edges = np.round(np.array(BAND_EDGES_HZ) * FRAME / SR).astype(int)
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    return 10 * np.log10(np.concatenate([bands.sum(axis=1, keepdims=True), bands], axis=1).T + 1e-12)


def smoothed(levels_db, width):
    return np.convolve(levels_db, np.ones(width) / width, mode="same")


def longest_run(active):
    """First frame of the longest run of True, None without one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(np.int8), [0]])))
    if not len(edges):
        return None
    return edges[::2][np.argmax(edges[1::2] - edges[::2])]


def rise_before_peak(levels_db, drop_db):
    """First frame of the run around the loudest one that stays within `drop_db` of it."""
    peak = int(np.argmax(levels_db))
    quiet = np.flatnonzero(levels_db[:peak] < levels_db[peak] - drop_db)
    return quiet[-1] + 1 if len(quiet) else 0


def error_rate(onset_frames, references_s):
    """Event-based ER, onset only: a wrong place costs a miss and a false alarm."""
    hits = wrong = 0
    for frame, reference_s in zip(onset_frames, references_s, strict=True):
        if frame is None:
            continue
        if reference_s is not None and abs(frame * FRAME / SR - reference_s) <= COLLAR_S:
            hits += 1
        else:
            wrong += 1
    n_ref = sum(reference_s is not None for reference_s in references_s)
    return (n_ref - hits + wrong) / n_ref


def best_energy_detector(tracks, references_s):
    """Lowest ER that any of many loudness rules reaches, its threshold chosen on the answers themselves.

    tracks : (clips, T) levels of one band, dB. Rules: absolute or above the clip's median; the longest run over a
    threshold, or the rise to the loudest frame if that is over it; smoothed over 1, 5 or 11 frames.
    """
    lowest = 1.0  # keeping silent
    for width in (1, 5, 11):
        smooth = np.array([smoothed(track, width) for track in tracks])
        for levels in (smooth, smooth - np.median(smooth, axis=1, keepdims=True)):
            peaks = levels.max(axis=1)
            for threshold in np.quantile(levels, [0.5, 0.7, 0.8, 0.9, 0.94, 0.97, 0.98, 0.99, 0.995, 0.998]):
                lowest = min(lowest, error_rate([longest_run(track > threshold) for track in levels], references_s))
            for drop_db in (3, 6, 10):
                rises = [rise_before_peak(track, drop_db) for track in levels]
                for threshold in np.quantile(peaks, np.linspace(0, 0.95, 12)):
                    onsets = [r if p >= threshold else None for r, p in zip(rises, peaks, strict=True)]
                    lowest = min(lowest, error_rate(onsets, references_s))
    return lowest


def development_set(label, n):
    bank = SoundBank.builtin(0)
    recipes = draw_recipes(bank, label, "dev", n, seed=0)
    levels = np.array([band_levels_db(render(recipe, bank)) for recipe in recipes])  # (n, bands, T)
    return levels, [recipe.onset_s if recipe.has_event else None for recipe in recipes]


def test_the_energy_detector_finds_events_that_are_loud():
    """Its worth as a test: bursts 20 dB over even noise it finds without a fault."""
    rng = np.random.default_rng(0)
    tracks = rng.normal(0, 1, (20, 646))
    references_s = [None] * 10 + [float(t) for t in rng.uniform(1, 25, 10)]
    for track, onset_s in zip(tracks[10:], references_s[10:], strict=True):
        first = int(onset_s * SR / FRAME) + 1
        track[first : first + 20] += 20
    assert best_energy_detector(tracks, references_s) == 0


@pytest.mark.parametrize("label", builtin.CLASSES)
def test_no_loudness_and_no_band_gives_the_event_away(label):
    levels, references_s = development_set(label, 40)
    lowest = {band: best_energy_detector(levels[:, band], references_s) for band in range(levels.shape[1])}
    assert min(lowest.values()) > 0.8, lowest


def test_it_is_the_distractors_that_hide_the_events(monkeypatch):
    """The same detector on the same clips, but for their distractors, does find glass: the test above can fail."""
    monkeypatch.setattr(scenes, "DISTRACTOR_DB", (-60.0, -60.0))
    levels, references_s = development_set("glassbreak", 16)
    assert min(best_energy_detector(levels[:, band], references_s) for band in (7, 8, 9)) < 0.5
