"""The room `minirsed.outside`: inputs that know no gain, clips mixed of spectra, members, the strongest segment."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal

from data_tools.errors import InputError
from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import open_bank
from minirsed.activations import sigmoid
from minirsed.analysis.thresholds import threshold_grid
from minirsed.detector import Detector
from minirsed.features import HOP, SAMPLE_RATE, event_frames, frame_to_seconds, lfbe
from minirsed.gradcheck import TOLERANCE, gradcheck
from minirsed.kernels import plain_numpy
from minirsed.kernels.threads import worker_threads
from minirsed.listening.inputs import (
    FORGET,
    INPUTS,
    PCEN_FORGET,
    RELATIVE_FLOOR,
    average_pairs,
    band_widths_hz,
    decayed_sums,
    n_bands,
    pcen,
    relative,
)
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME, STRONGEST, confidence, logit, strongest_segments
from minirsed.model import ModelConfig, forward, init_params, loss_and_grads, losses, param_shapes
from minirsed.outside import changes
from minirsed.outside.clips import draw_batch, draw_clip, n_clip_frames
from minirsed.outside.members import (
    Members,
    frame_weights,
    input_stats,
    join,
    model_config,
    shrink,
    split,
    step_size,
    thinned,
)
from minirsed.outside.spectra import FRAMES_BEFORE, EventSpectrum, Spectra
from minirsed.recordings.event_finder import SegmentFinder
from minirsed.recordings.files import event_finder, to_event
from minirsed.run.resumable import Stopped, Training
from minirsed.run.settings import NEED_SPECTRA, PRESETS, TrainSettings, complete
from minirsed.store.dataset import prepare
from minirsed.store.mixtures import background_recipes
from tests.conftest import pattern_store

QUICK = complete(PRESETS["quick"], {"label": "gunshot"})
NO_CHANGES = {
    name: 0.0
    for name in (
        "stretch",
        "pitch_bands",
        "event_equaliser_db",
        "distance",
        "second_background",
        "other_events",
        "everyday",
    )
} | {"low_pass": 0.0, "equaliser_db": 0.0}


def random_power(rng, *shape):
    return np.exp(rng.normal(-6, 3, shape)).astype(np.float32)


# --- inputs ---------------------------------------------------------------------------------------------------------


def test_inputs_are_as_their_definition_says():
    rng = np.random.default_rng(0)
    power, n_mels = random_power(rng, 2, 7, 48), 64
    x, _ = relative(power, n_mels)
    pairs = np.stack(
        [(power[:, 0] + power[:, 1]) / 2, (power[:, 2] + power[:, 3]) / 2, power[:, 4:6].mean(1), power[:, 6]]
    )
    w = band_widths_hz(n_mels)[:48].astype(np.float64)
    level = pairs.astype(np.float64) @ w / w.sum()  # (4, 2)
    for i in range(4):
        weights = FORGET ** (i - np.arange(i + 1.0))
        mean = weights @ level[: i + 1] / weights.sum()
        np.testing.assert_allclose(x[:, i], np.log(pairs[i] / mean[:, None] + RELATIVE_FLOOR), rtol=0, atol=2e-5)


def test_pcen_is_as_its_definition_says():
    """Wang's M_i = (1 − s) M_{i−1} + s P_i, once the first frames are forgotten; α 0.98, δ 2, r 0.5."""
    power = random_power(np.random.default_rng(0), 2, 201, 5)
    x, _ = pcen(power, 64)
    pairs = average_pairs(power).astype(np.float64)
    s = 1 - np.exp(-2 * HOP / SAMPLE_RATE / 0.4)
    assert 1 - PCEN_FORGET == pytest.approx(s) and 1 - (1 - s) ** (0.01 * SAMPLE_RATE / HOP / 2) == pytest.approx(
        0.025, abs=4e-4
    )
    mean, weight = np.zeros((2, 5)), 0.0
    for i in range(101):
        mean, weight = (1 - s) * mean + s * pairs[:, i], (1 - s) * weight + s
        expected = np.sqrt(pairs[:, i] / (1e-13 + mean / weight) ** 0.98 + 2) - np.sqrt(2)
        np.testing.assert_allclose(x[:, i], expected, rtol=1e-5, atol=2e-6)
    assert weight == pytest.approx(1, abs=1e-4)  # the last of them are Wang's own


@pytest.mark.parametrize("gain_db", [-24, 24])
def test_pcen_nearly_does_not_know_the_gain(gain_db):
    """A gain g leaves P / M^α its g^(1 − α): of 24 dB 0.48 dB. The colour of steady noise goes in the same way."""
    y = np.random.default_rng(1).normal(0, 0.01, 3 * SAMPLE_RATE)
    kind = INPUTS["pcen"]
    plain, louder = (kind.of_lfbe(lfbe(factor * y, floor=kind.power_floor))[0] for factor in (1, 10 ** (gain_db / 20)))
    ratio = [(x + np.sqrt(2)) ** 2 - 2 for x in (plain, louder)]
    np.testing.assert_allclose(10 * np.log10(ratio[1] / ratio[0]), 0.02 * gain_db, atol=0.01)
    tilted = lfbe(y, floor=kind.power_floor) + np.linspace(0, -4, 64, dtype=np.float32)  # nats: 17 dB
    ratio.append((kind.of_lfbe(tilted)[0] + np.sqrt(2)) ** 2 - 2)
    assert np.abs(np.log(ratio[2] / ratio[0])).max() < 0.02 * 4 + 0.01


def test_pcen_of_silence_and_of_sound_after_it_is_finite():
    y = np.concatenate([np.zeros(SAMPLE_RATE), np.ones(SAMPLE_RATE), np.zeros(SAMPLE_RATE)])
    kind = INPUTS["pcen"]
    x = kind.of_lfbe(lfbe(y, floor=kind.power_floor))[0]
    assert np.isfinite(x).all() and x.dtype == np.float32 and x.max() < 10


@pytest.mark.parametrize("gain_db", [-24, -7, 24])
def test_inputs_do_not_know_the_gain(gain_db):
    y = np.random.default_rng(1).normal(0, 0.01, 3 * SAMPLE_RATE)
    kind = INPUTS["relative"]
    plain, louder = (kind.of_lfbe(lfbe(factor * y, floor=kind.power_floor))[0] for factor in (1, 10 ** (gain_db / 20)))
    assert np.abs(plain - louder).max() < 1e-4
    assert plain.std() > 0.2  # and they know something


def test_inputs_end_at_8_khz_so_a_recording_at_16_khz_is_the_same_sound():
    import soxr

    y = np.random.default_rng(2).normal(0, 0.1, 2 * SAMPLE_RATE)
    kind = INPUTS["relative"]
    wide = kind.of_lfbe(lfbe(y, floor=kind.power_floor))[0]
    narrow = kind.of_lfbe(lfbe(soxr.resample(y, SAMPLE_RATE, 16000), 16000, floor=kind.power_floor))[0]
    assert n_bands(64) == 48
    assert np.abs(wide[2:-2, :46] - narrow[2 : len(wide) - 2, :46]).mean() < 0.05  # 0.2 dB


@pytest.mark.parametrize("kind", ["relative", "pcen"])
def test_inputs_in_pieces_are_those_of_the_whole(kind):
    rng = np.random.default_rng(3)
    features = np.log(random_power(rng, 21, 40))
    kind, past, pieces = INPUTS[kind], None, []
    for first, last in ((0, 4), (4, 6), (6, 16), (16, 21)):
        x, past = kind.of_lfbe(features[first:last], past)
        pieces.append(x)
    np.testing.assert_allclose(np.concatenate(pieces), kind.of_lfbe(features)[0], rtol=0, atol=1e-5)


def test_an_odd_last_frame_stands_alone():
    power = np.arange(10, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(average_pairs(power), [[1, 2], [5, 6], [8, 9]])


# --- the strongest segment ------------------------------------------------------------------------------------------


def strongest_by_definition(p_t, thres1, memory_s):
    """The best of the segments that nowhere fall to 0 or by EVIDENCE below their peak; the first of equals.

    It is as good as the best stretch within it, where a frame that lies d frames before the last counts r^d of what it
    says.
    """
    kept = np.exp(-0.023 / memory_s) if memory_s else 1.0
    gain, best = logit(p_t) - logit(thres1), (0.0, 0, 0)
    start = 0
    while start < len(gain):
        total, sums, t = 0.0, [], start
        while t < len(gain):
            total += gain[t]
            sums.append(total)
            t += 1
            if total <= 0 or total <= max(sums) - EVIDENCE:
                break
        own, peak = gain[start:t], int(np.argmax(sums)) + 1
        ages = [np.arange(length)[::-1] for length in range(len(own) + 1)]
        faded = [own[a:b] @ kept ** ages[b - a] for b in range(1, len(own) + 1) for a in range(b)]
        if max(faded) > best[0] + 1e-9:
            best = max(faded), start, start + peak
        start = t
    return best


@pytest.mark.parametrize("memory_s", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_strongest_segment_is_as_its_definition_says(seed, memory_s):
    rng = np.random.default_rng(seed)
    p_t = sigmoid(np.cumsum(rng.normal(0, 2, (3, 200)), axis=1) % 16 - 10).astype(np.float32)
    probability, onset, offset = strongest_segments(p_t, 0.6, memory_s=memory_s)
    for row in range(3):
        evidence, first, last = strongest_by_definition(p_t[row], 0.6, memory_s)
        assert (onset[row], offset[row]) == (first, last)
        assert probability[row] == pytest.approx(confidence(evidence), abs=1e-12)


@pytest.mark.parametrize("memory_s", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_segments_that_come_in_pieces(seed, memory_s):
    """However it is cut; and the strongest of a clip is the best of those found."""
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(0, 2, 700)) % 14 - 9
    found = []
    for cuts in ([], np.sort(rng.integers(0, 700, 40))):
        finder = SegmentFinder(0.2, STRONGEST, context=1303, memory_s=memory_s)
        runs = [run for piece in np.split(logits, cuts) for run in finder.push(piece)] + finder.finish()
        found.append(runs)
    assert found[0] == found[1]
    assert len(found[0]) > 2
    (probability,), (onset,), (offset,) = strongest_segments(sigmoid(logits)[None], memory_s=memory_s)
    best = max(found[0], key=lambda run: run.probability)
    assert (best.onset_frame, best.offset_frame) == (onset, offset)
    assert best.probability == pytest.approx(probability, abs=1e-9) == pytest.approx(finder.probability(), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_lead_begins_each_segment_earlier_and_changes_nothing_else(seed):
    rng = np.random.default_rng(seed)
    logits = np.cumsum(rng.normal(0, 2, 700)) % 14 - 9
    plain, led = (
        SegmentFinder(0.0, STRONGEST, context=1303),
        SegmentFinder(0.0, STRONGEST, context=1303, lead=9),
    )
    without, found = plain.push(logits) + plain.finish(), []
    for piece in np.split(logits, np.sort(rng.integers(0, 700, 40))):
        runs, before = led.push(piece), led.pending
        assert all(run.offset_frame <= before or run.onset_frame >= before for run in runs)
        found += runs
        assert not found or led.pending >= found[-1].offset_frame
    found += led.finish()
    ends = [0, *(run.offset_frame for run in without)]
    expected = [
        run._replace(onset_frame=max(end, run.onset_frame - 9)) for run, end in zip(without, ends, strict=False)
    ]
    assert found == expected != without
    (probability,), (onset,), (offset,) = strongest_segments(sigmoid(logits)[None], lead=9)
    best = max(found, key=lambda run: run.probability)
    assert (best.onset_frame, best.offset_frame) == (onset, offset)


def test_lead_of_a_detector():
    """The setting in seconds; clips, long recordings and the grid of thresholds agree, and the file keeps it."""
    config = model_config(TrainSettings(**PRESETS["quick"] | {"label": "x"}), 64)
    assert config.lead == round(0.2 * SAMPLE_RATE / HOP) == 9
    assert model_config(TrainSettings(**PRESETS["quick"] | {"label": "x", "rule": "longest"}), 64).lead == 0
    p_t = np.full((1, 300), 1e-4)
    p_t[0, 100:160] = 0.99
    starts = {}
    for lead in (0, 9):
        config = ModelConfig(n_layers=1, n_units=2, rule="strongest", lead=lead)
        detector = Detector(config, init_params(config, np.random.default_rng(0)), "x", np.zeros(64), np.ones(64))
        starts[lead] = detector.decode(0.0, p_t[0]).onset_s
        (run,) = (finder := event_finder(detector)).push(logit(p_t[0])) + finder.finish()
        assert to_event(run).onset_s == starts[lead]
        for miss_s, hits in ((0.499, 1), (0.501, 0)):
            onset_s = [starts[lead] + miss_s]
            grid = threshold_grid([0.0], p_t, onset_s, [0.5], [STRONGEST], rule="strongest", lead=lead)
            assert grid.n_tp[0, 0] == hits
    assert starts[0] - starts[9] == pytest.approx(9 * HOP / SAMPLE_RATE)


def test_with_a_memory_a_sure_sound_outweighs_a_long_doubt():
    """Twenty seconds at p_t of 0.8 against half a second at 0.999; and no length brings p to 1, even of float32."""
    p_t = np.full(2000, 1e-4)
    p_t[:870], p_t[1500:1522] = 0.8, 0.999
    for memory_s, first in ((0.0, 0), (0.5, 1500)):
        probability, (onset,), _ = strongest_segments(p_t[None], memory_s=memory_s)
        assert onset == first
    assert probability[0] > 1 - 2**-4
    most = [strongest_segments(np.full((1, 1300), 1.0), memory_s=memory_s)[0][0] for memory_s in (0.0, 0.5)]
    assert most[0] == 1 > np.float32(most[1])


def test_two_events_with_quiet_between_them_are_two():
    logits = np.full(300, -8.0)
    logits[50:70] = logits[100:140] = 5
    runs = SegmentFinder(0.5, STRONGEST, context=1303).push(logits)
    assert [(run.onset_frame, run.offset_frame) for run in runs] == [(50, 70), (100, 140)]


def test_a_segment_longer_than_the_context_is_reported_in_parts():
    runs = SegmentFinder(0.5, STRONGEST, context=100).push(np.full(250, 4.0))
    assert [(run.onset_frame, run.offset_frame) for run in runs] == [(0, 100), (100, 200)]


def test_confidence_is_a_half_at_what_an_event_costs():
    assert confidence(EVIDENCE) == 0.5
    assert confidence(0.0) == 0
    assert logit(1.0) == MOST_A_FRAME == -logit(0.0)
    assert logit(STRONGEST) == pytest.approx(1, abs=0.01)
    assert strongest_segments(np.zeros((1, 9)))[0] == [0]


# --- changes ----------------------------------------------------------------------------------------------------------


def test_stretch_and_shift():
    rng = np.random.default_rng(0)
    power = random_power(rng, 44, 20)
    np.testing.assert_allclose(changes.stretched(power, 1.0, 0.0), power, rtol=1e-5)
    np.testing.assert_allclose(changes.stretched(power, 1.0, 3.0)[:, 3:], power[:, :-3], rtol=1e-5)
    assert changes.stretched(power, 1.0, 3.0)[:, :3].max() < 1e-15
    assert len(changes.stretched(power, 2.0, 0.0)) == FRAMES_BEFORE + 20
    assert len(changes.stretched(power, 0.5, 0.0)) == FRAMES_BEFORE + 79
    tone = np.full((44, 20), 1e-6, np.float32)
    tone[24] = 1  # 20 frames after the first of the sound
    assert changes.stretched(tone, 0.8, 0.0)[:, 0].argmax() == FRAMES_BEFORE + 25


def test_pieces_are_copies_of_the_beginning():
    """An event of 10 hops, of 1 in frames 4 … 12 and ½ in the two that it fills by half; 6 hops of it, three times."""
    event = np.zeros((16, 2), np.float32)
    event[3:14] = 1
    event[3] = event[13] = 0.5
    cut = changes.pieces(event, 6, 1, 0)
    assert cut[:, 0].tolist() == [0, 0, 0, 0.5, 1, 1, 1, 1, 1, 0.5]
    thrice = changes.pieces(event, 6, 3, 2)
    assert thrice[:, 1].tolist() == [0, 0, 0] + [0.5, 1, 1, 1, 1, 1, 0.5, 0] * 2 + [0.5, 1, 1, 1, 1, 1, 0.5]
    seamless = changes.pieces(event, 6, 2, 0)  # halves meet in one frame
    assert seamless[:, 0].tolist() == [0, 0, 0, 0.5] + [1] * 11 + [0.5]
    assert event[13, 0] == 0.5 and event.sum() == 20  # as it was


def test_a_cut_in_the_spectrum_is_a_cut_of_the_waveform_but_for_chance():
    from minirsed.outside.spectra import LEAST_POWER

    y = np.random.default_rng(0).normal(0, 0.1, 30 * HOP)

    def spectrum(sound):
        padded = np.concatenate([np.zeros(FRAMES_BEFORE * HOP), sound, np.zeros(2 * HOP)])
        return np.exp(lfbe(padded, floor=LEAST_POWER))[:, 8:40]

    of_power = changes.pieces(spectrum(y), 12, 2, 5)
    of_samples = spectrum(np.concatenate([y[: 12 * HOP], np.zeros(5 * HOP), y[: 12 * HOP]]))[: len(of_power)]
    ratio = of_power.sum(axis=1) / np.maximum(of_samples.sum(axis=1), 1e-12)
    is_sound = of_samples.sum(axis=1) > 1e-6
    assert is_sound.sum() == 2 * 13
    np.testing.assert_allclose(ratio[is_sound], 1, atol=0.35)
    assert abs(ratio[is_sound].mean() - 1) < 0.05 and of_power[~is_sound].max() < 1e-6


def test_a_room_leaves_a_tail_of_the_energy_asked_for():
    power = np.zeros((200, 3), np.float32)
    power[4] = 2
    heard = changes.reverberated(power, t60_s=0.5, direct_db=3.0)
    assert heard[:5].tolist() == power[:5].tolist()  # the onset is where it was
    assert heard[5:].sum(axis=0) == pytest.approx(2 / 10**0.3, rel=1e-3)
    fall_db = 10 * np.log10(heard[5, 0] / heard[5 + round(0.25 * SAMPLE_RATE / HOP), 0])
    assert fall_db == pytest.approx(30, abs=0.5)
    assert len(heard) == 210


def test_equaliser_and_low_pass():
    gains = np.array([10 * np.log10(changes.equaliser(np.random.default_rng(i), 4.0, 48)) for i in range(400)])
    assert changes.equaliser(np.random.default_rng(0), 0.0, 5).tolist() == [1] * 5
    assert gains.mean(axis=1).std() == pytest.approx(4, rel=0.1)  # of the level
    kept = changes.low_pass(4000.0, 64, 48)
    assert set(np.unique(kept).tolist()) == {np.float32(1e-8).item(), 1.0}
    assert 30 < (kept == 1).sum() < 40


def test_masks_are_zero_and_no_wider_than_asked():
    x = np.ones((50, 3, 20), np.float32)
    widths = (changes.masked(x, np.random.default_rng(0), 4)[:, 0] == 0).sum(axis=1)
    assert set(widths.tolist()) == {0, 1, 2, 3, 4}


# --- clips ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bank():
    return open_bank("builtin")


@pytest.fixture(scope="module")
def spectra(bank, tmp_path_factory):
    recipes = background_recipes(bank, dataclasses.replace(QUICK, backgrounds=5))
    store = prepare(bank, recipes, tmp_path_factory.mktemp("features"), n_jobs=1, floor=1e-13)
    few = dataclasses.replace(QUICK)

    class Few:
        classes = bank.classes[-2:]

        def events(self, label, subset):
            return bank.events(label, subset)[:7]

        def everyday_sounds(self):
            return bank.everyday_sounds()[::97]

        event_audio, event_recording, negatives = bank.event_audio, bank.event_recording, bank.negatives
        everyday_audio = bank.everyday_audio

    return Spectra.of(Few(), few, store)


def test_noise_is_as_large_as_asked_and_without_it_nothing_is_drawn():
    rng = np.random.default_rng(0)
    state = rng.bit_generator.state
    np.testing.assert_array_equal(changes.noisy(np.ones((2, 3, 5), np.float32), rng, 0.0), 1)
    assert rng.bit_generator.state == state
    noise = changes.noisy(np.ones((20, 300, 48), np.float32), rng, 0.25)
    assert noise.dtype == np.float32 and abs(noise.mean() - 1) < 0.002 and abs(noise.std() - 0.25) < 0.002


def test_what_clips_are_made_of(spectra, bank):
    assert [len(group) for group in (*spectra.events, spectra.others, spectra.backgrounds)] == [7, 7, 5]
    assert spectra.bands == 48 and [len(own) for own in spectra.everyday] == [1] * 13
    event = spectra.events[0][0][0]
    loudest = event.power.sum(axis=1).argmax()
    assert FRAMES_BEFORE - 2 <= loudest < FRAMES_BEFORE + event.length_s * SAMPLE_RATE / HOP
    assert event.power[: FRAMES_BEFORE - 2].max() < 1e-12
    piece, level = spectra.background(1, 1300, 10)  # goes round
    expected = np.exp(spectra.backgrounds.features[1][[1300, 1301, 1302, 0, 1, 2, 3, 4, 5, 6], :48])
    np.testing.assert_array_equal(piece, expected)
    np.testing.assert_array_equal(level[3:], spectra.levels[1, :7])
    assert len(background_recipes(bank, QUICK)) == 600
    assert len(background_recipes(bank, dataclasses.replace(QUICK, clips=4, members=3))) == 12


def test_an_event_is_where_its_labels_are_and_as_loud_as_asked():
    """On a flat background, of which every band has the same level per hertz."""
    flat = SpectraOf(background=np.full((1303, 64), np.log(1e-4), np.float32), event=np.full((30, 48), 1.0, np.float32))
    settings = dataclasses.replace(QUICK, **NO_CHANGES, ebr_db=(6.0,))
    for seed in range(5):
        power, (labels,) = draw_clip(np.random.default_rng(seed), flat, settings, [True])
        assert power.shape == (434, 48)
        loud = power[:, 0] > 2e-4
        assert np.flatnonzero(loud)[0] == max(np.flatnonzero(labels)[0] + 1 - FRAMES_BEFORE, 0)
        on = power[loud, 0] - 1e-4  # the 30 frames that the event's energy is in, over the 22 of its length
        if loud.sum() == 30:
            assert 10 * np.log10(on.sum() / 22 / 1e-4) == pytest.approx(6, abs=0.01)
    quiet, (labels,) = draw_clip(np.random.default_rng(0), flat, settings, [False])
    assert not labels.any()
    assert quiet == pytest.approx(1e-4, rel=1e-3)


def test_an_event_in_pieces_is_where_its_labels_are_and_as_loud_as_asked():
    """The same event of 22 hops; its pieces are shorter and longer than it, and their energy is over their length."""
    flat = SpectraOf(background=np.full((1303, 64), np.log(1e-4), np.float32), event=np.full((30, 48), 1.0, np.float32))
    flat.events[0][0][0].power[: FRAMES_BEFORE - 1] = 0
    settings = dataclasses.replace(QUICK, **NO_CHANGES, ebr_db=(6.0,), pieces=1.0)
    lengths, n_pauses = set(), set()
    for seed in range(60):
        power, (labels,) = draw_clip(np.random.default_rng(seed), flat, settings, [True])
        active, loud = np.flatnonzero(labels), power[:, 0] > 1.5e-4
        if active[0] > 0 and active[-1] < len(labels) - 3:
            first, last = np.flatnonzero(loud)[[0, -1]]
            assert abs(first + 1 - active[0]) <= 1 and abs(last - active[-1]) <= 1
            on = power[first : last + 1, 0] - 1e-4
            assert 10 * np.log10(on.sum() / len(active) / 1e-4) == pytest.approx(6, abs=0.6)
            lengths.add(len(active))
            n_pauses.add(int((np.diff(loud.astype(int)) == 1).sum()))
    assert min(lengths) < 15 and max(lengths) > 60 and n_pauses == {1, 2, 3}


def test_without_pieces_no_random_number_is_drawn_for_them():
    """So trainings of earlier versions are repeated to the byte."""
    flat = SpectraOf(background=np.full((1303, 64), np.log(1e-4), np.float32), event=np.full((30, 48), 1.0, np.float32))
    power, _ = draw_clip(np.random.default_rng(3), flat, QUICK, [True])
    assert (power.shape, float(power.sum(dtype=np.float64))) == ((434, 48), pytest.approx(4.768053, rel=1e-5))


def test_a_quiet_place_has_everyday_sounds_and_events_as_loud_as_elsewhere(spectra):
    """Of what is heard there only the event is labelled; and there is silence between the sounds."""
    settings = dataclasses.replace(QUICK, **NO_CHANGES | {"everyday": 1.0}, ebr_db=(6.0,))
    n_alone = 0
    for seed in range(30):
        for has_event in (False, True):
            power, (labels,) = draw_clip(np.random.default_rng(seed), spectra, settings, [has_event])
            usual, _ = draw_clip(
                np.random.default_rng(seed), spectra, dataclasses.replace(settings, everyday=0.0), [False]
            )  # the same background, at its level
            level, usual_level = (part @ spectra.widths[:48] for part in (power, usual))
            noise_db, loudest_db = 10 * np.log10(np.array([np.quantile(level, 0.05), level.max()]) / usual_level.mean())
            assert -50 < noise_db < -5
            assert labels.any() == has_event
            n_alone += not has_event and loudest_db < -5
            if has_event:
                assert 10 * np.log10(level[labels > 0].mean() / usual_level.mean()) > 0
    assert 1 <= n_alone <= 15  # nothing at all, a fifth of the time


def test_without_everyday_sounds_no_random_number_is_drawn_for_them(spectra):
    """So clips of one's own sounds, and old runs, stay as they were."""
    without = Spectra(spectra.events, spectra.others, spectra.backgrounds, spectra.n_mels, spectra.bands, everyday=())
    batches = [
        draw_batch(np.random.default_rng(3), of, dataclasses.replace(QUICK, everyday=share), 8)
        for of, share in ((without, 0.0), (without, 1.0), (spectra, 1.0))
    ]
    np.testing.assert_array_equal(batches[0].power, batches[1].power)
    assert (batches[0].power != batches[2].power).any()
    statistics = [input_stats(dataclasses.replace(QUICK, everyday=share), spectra) for share in (0.0, 1.0)]
    assert all((one == other).all() for one, other in zip(*statistics, strict=True))
    assert Spectra.of(SilentBank(), dataclasses.replace(QUICK, everyday=0.0), spectra.backgrounds).everyday == []


class SilentBank:
    """One that must not be asked for everyday sounds."""

    classes = ("gunshot",)

    def __init__(self):
        bank = open_bank("builtin")
        self.events = lambda label, subset: bank.events(label, subset)[:1]
        self.event_audio, self.event_recording, self.negatives = bank.event_audio, bank.event_recording, bank.negatives


class SpectraOf(Spectra):
    """One background, one event of 22 frames."""

    def __init__(self, background, event):
        store = SimpleNamespace(features=background[None])
        above = len(event) * band_widths_hz(64)[48:].sum()
        super().__init__([[[EventSpectrum(event, 22 * HOP / SAMPLE_RATE, above)]]], [], store, 64, 48)


def test_mixing_spectra_is_mixing_waveforms_but_for_chance(bank, spectra):
    """In frames under events: no bias, and little noise."""
    difference = []
    for recipe in draw_recipes(bank, "gunshot", "train", 16, 3):
        if not recipe.has_event:
            continue
        event = render(recipe, bank) - render(without_event(recipe), bank)
        parts = [np.exp(lfbe(y, floor=1e-20)) for y in (event, render(without_event(recipe), bank))]
        frames = slice(*event_frames(recipe.onset_s, recipe.offset_s, 1303))
        mixed = np.log(average_pairs(sum(parts)[frames])) - np.log(
            average_pairs(np.exp(lfbe(render(recipe, bank)))[frames])
        )
        difference.append(mixed.ravel())
    difference = np.concatenate(difference)
    assert abs(difference.mean()) < 0.03
    assert difference.std() < 0.2


def without_event(recipe):
    return dataclasses.replace(
        recipe, label=None, event=None, segment_onset_s=None, segment_offset_s=None, onset_s=None, ebr_db=-np.inf
    )


def test_batches_are_half_events_and_follow_from_their_generator(spectra):
    one, other = (draw_batch(np.random.default_rng(7), spectra, QUICK, 6) for _ in range(2))
    np.testing.assert_array_equal(one.power, other.power)
    assert one.labels.any(axis=2).tolist() == [[True]] * 3 + [[False]] * 3
    odd = [draw_batch(np.random.default_rng(i), spectra, QUICK, 5).labels.any(axis=2).sum() for i in range(12)]
    assert set(odd) == {2, 3}
    assert (one.power > 0).all()
    assert n_clip_frames(10.0) == 434


def test_labels_of_pairs():
    labels = np.array([[0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0], [0] * 6], np.float32)
    assert thinned(labels, 2).tolist() == [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert thinned(labels, 1).tolist() == labels.tolist()


# --- members ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
@pytest.mark.parametrize("head", ["attention", "frames"])
def test_joined_networks_say_the_mean_of_what_each_says(arch, head):
    rng = np.random.default_rng(0)
    config = ModelConfig(arch, n_layers=3, n_units=5, n_inputs=7, head=head)
    members = [init_params(config, rng, np.float64) for _ in range(3)]
    for member in members:
        member.update({name: rng.normal(size=value.shape) for name, value in member.items() if name.endswith("b")})
    x = rng.standard_normal((2, 11, 7))
    whole = dataclasses.replace(config, n_units=15)
    joined = join(members, config)
    assert {name: value.shape for name, value in joined.items()} == param_shapes(whole)
    expected = np.mean([forward(member, config, x)[0] for member in members], axis=0)
    np.testing.assert_allclose(forward(joined, whole, x)[0], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("arch", ["uni", "multires"])
@pytest.mark.parametrize("head", ["attention", "frames"])
def test_a_joined_network_falls_apart_into_what_it_was_made_of(arch, head):
    rng = np.random.default_rng(1)
    config = ModelConfig(arch, n_layers=3, n_units=4, n_inputs=7, head=head)
    members = [
        {name: rng.normal(size=shape).astype("f4") for name, shape in param_shapes(config).items()} for _ in "abc"
    ]
    whole = dataclasses.replace(config, n_units=12)
    for member in members[1:]:
        member |= {"head.b": members[0]["head.b"]} if head == "frames" else {}  # of which only the mean is kept
    detector = Detector(whole, join(members, config), "ping", np.zeros(7), np.ones(7))
    for member, found in zip(members, split(detector, config), strict=True):
        assert member.keys() == found.keys()
        for name in member:
            np.testing.assert_allclose(found[name], member[name], rtol=1e-6)
    with pytest.raises(InputError, match="its network of 12 units is not made of 2 others"):
        split(detector, dataclasses.replace(config, n_units=6))
    with pytest.raises(InputError, match="or several of them"):
        split(detector, dataclasses.replace(config, n_layers=2))


def test_step_size_rises_and_falls():
    steps = [step_size(QUICK, i, 100) for i in range(100)]
    assert np.argmax(steps) in (9, 10)
    assert max(steps) == QUICK.learning_rate
    assert steps[0] == pytest.approx(QUICK.learning_rate / 10)
    assert 0 < steps[-1] < QUICK.learning_rate / 1000
    assert {step_size(dataclasses.replace(QUICK, schedule="constant"), i, 100) for i in (0, 50)} == {
        QUICK.learning_rate
    }


def test_weight_decay_takes_a_share_off_matrices_alone(spectra):
    """With a step so small that nothing but the decay is seen; without one the weights are those of before."""
    settings = tiny(learning_rate=1e-12, max_grad_norm=1e-6, average=0.0, schedule="constant")
    params = {"W": np.ones((2, 3)), "b": np.ones(3)}
    shrink(params, 0.25)
    assert (params["W"] == 0.75).all() and (params["b"] == 1).all()
    for decay, kept in ((0.0, 1.0), (0.5, 0.5)):
        with_decay = dataclasses.replace(settings, weight_decay=decay, learning_rate=1.0 if decay else 1e-12)
        members = Members.start(with_decay, spectra)
        for adam in members.adams:
            adam.update = lambda params, grads: None
        before = {name: value.copy() for name, value in members.params[0].items()}
        with worker_threads(1) as executor:
            next(members.updates(spectra, with_decay, 1, 0, executor))
        for name, value in members.params[0].items():
            np.testing.assert_allclose(value, before[name] * (kept if value.ndim == 2 else 1), rtol=1e-6)


def test_weights_of_frames():
    labels = np.zeros((2, 100), np.float32)
    labels[0, 40:60] = 1
    weights = frame_weights(labels, QUICK, 2)
    assert weights[1] == pytest.approx(1 / 100)
    assert np.flatnonzero(weights[0] > 0.011).tolist() == list(range(29, 51))
    assert weights[0, 29] == pytest.approx(4 / 100)
    near = frame_weights(labels, dataclasses.replace(QUICK, frame_loss="event", onset_weight=1.0), 2)
    assert near[0].sum() == pytest.approx(1)
    assert np.flatnonzero(near[0]).tolist() == list(range(15, 85))
    assert not near[1].any()


def test_gradient_of_a_loss_with_frame_weights():
    """Every parameter and input against finite differences in float64."""
    rng = np.random.default_rng(0)
    config = ModelConfig("multires", n_layers=2, n_units=3, n_inputs=5)
    params = init_params(config, rng, np.float64)
    x, labels = rng.standard_normal((2, 7, 5)), np.zeros((2, 7))
    labels[0, 2:5] = 1
    weights = rng.uniform(0.1, 1, labels.shape)

    upstream = rng.standard_normal(2)
    arrays = {**params, "x": x}

    def f(arrays):
        frame_logits, clip_logit, _ = forward({n: arrays[n] for n in params}, config, arrays["x"])
        return float(losses(frame_logits, clip_logit, labels, 0.7, weights=weights)[0].total @ upstream)

    grads, dx = {}, np.zeros_like(x)
    for row in range(2):
        one = slice(row, row + 1)
        _, own, dx[one] = loss_and_grads(
            params, config, x[one], labels[one], 0.7, frame_weights=weights[one], weight=upstream[row]
        )
        grads = {name: grads.get(name, 0) + own[name] for name in own}
    assert gradcheck(f, {**grads, "x": dx}, arrays, rng, mode="element") < TOLERANCE


def tiny(**settings):
    own = {"clips": 12, "members": 2, "units": 3, "layers": 2, "epochs": 2, "batch_size": 4, "clip_s": 2.0}
    return dataclasses.replace(QUICK, **own | settings)


def test_whitened_inputs_are_uncorrelated_and_end_up_in_the_weights(spectra):
    settings = tiny(whitening=1e-9)
    mean, std, whitener = input_stats(settings, spectra)
    batch = draw_batch(np.random.default_rng(0), spectra, dataclasses.replace(settings, batch_size=60), 60)
    x = (INPUTS["relative"].of_power(batch.power, 64) - mean) / std
    before, after = (np.corrcoef(part.reshape(-1, 48).T) for part in (x, x @ whitener))
    off = ~np.eye(48, dtype=bool)
    assert np.abs(after[off]).mean() < 0.5 * np.abs(before[off]).mean()
    members = Members.start(settings, spectra)
    params, config = members.joined()
    own = [forward(each, members.config, x[:3] @ whitener)[0] for each in members.averages]
    np.testing.assert_allclose(forward(params, config, x[:3])[0], np.mean(own, axis=0), rtol=0, atol=1e-3)
    assert input_stats(tiny(whitening=0.0), spectra)[2].tolist() == np.eye(48).tolist()


def train(folder, spectra, dev, settings, n_threads=2, stop=None, resume=False):
    run = Training.resume(folder, settings) if resume else Training.start(folder, settings, spectra)
    with worker_threads(n_threads) as executor:
        list(run.epochs(spectra, dev, executor, stop=stop))
    return run


@pytest.fixture(scope="module")
def dev():
    return pattern_store(6, n_frames=61)


def test_bytes_depend_neither_on_threads_nor_on_a_stop(spectra, dev, tmp_path):
    settings = tiny()
    for name in ("one", "two", "stopped"):
        (tmp_path / name).mkdir()
    one = train(tmp_path / "one", spectra, dev, settings, n_threads=1)
    train(tmp_path / "two", spectra, dev, settings, n_threads=3)
    calls = iter(range(100))
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", spectra, dev, settings, stop=lambda: next(calls) == 5)
    train(tmp_path / "stopped", spectra, dev, settings, resume=True)
    best = [(tmp_path / name / "best.npz").read_bytes() for name in ("one", "two", "stopped")]
    assert best[0] == best[1] == best[2]
    assert one.best_epoch == 2  # the last is kept
    detector = Detector.load(tmp_path / "one")
    assert (detector.config.inputs, detector.config.rule, detector.thres1) == ("relative", "strongest", STRONGEST)
    assert detector.config == dataclasses.replace(model_config(settings, 64), n_units=6)


def test_training_starts_from_a_detector(spectra, dev, tmp_path):
    """What it has learnt is there before the first update, whatever the number of members; statistics are its own."""
    first = train(tmp_path, spectra, dev, tiny())
    settings = tiny(members=3, seed=5, init_from=str(tmp_path))
    members = Members.start(settings, spectra, Detector.load(tmp_path))
    batch = draw_batch(np.random.default_rng(0), spectra, settings, 4)
    x = INPUTS["relative"].of_power(batch.power, 64)
    own = forward(first.detector.params, first.detector.config, first.detector.normalise(x))[0]
    run = Training.start(tmp_path, settings, spectra)
    assert run.detector.mean.tolist() == first.detector.mean.tolist()
    found = [forward(each, members.config, first.detector.normalise(x))[0] for each in run.members.params]
    np.testing.assert_allclose(np.mean(found[:2], axis=0), own, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[2], found[0])
    (tmp_path / "plain").mkdir()
    plain = TrainSettings(label="line", units=3, layers=1, clips=4, epochs=1)
    origin = Training.start(tmp_path / "plain", plain, dev).detector
    origin.save(tmp_path / "plain.npz")
    again = Training.start(
        tmp_path / "plain", dataclasses.replace(plain, seed=9, init_from=str(tmp_path / "plain.npz")), dev
    ).detector
    assert all(np.array_equal(again.params[name], value) for name, value in origin.params.items())


def test_average_starts_near_the_newest_weights_and_0_is_none(spectra):
    settings = tiny(average=0.0)
    members = Members.start(settings, spectra)
    with worker_threads(1) as executor:
        next(members.updates(spectra, settings, 1, 0, executor))
    for params, average, _ in members:
        assert all(np.array_equal(params[name], average[name]) for name in params)


def test_detection_does_not_know_the_gain(spectra, dev, tmp_path):
    detector = train(tmp_path, spectra, dev, tiny(epochs=1)).detector
    y = np.random.default_rng(0).normal(0, 0.01, 4 * SAMPLE_RATE)
    one, other = (detector.detect(gain * y) for gain in (1, 10**-1.2))
    np.testing.assert_allclose(one.frame_probabilities, other.frame_probabilities, rtol=0, atol=1e-4)
    assert len(one.frame_probabilities) == len(lfbe(y))
    assert frame_to_seconds(len(lfbe(y))) > 3.9


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_papers_presets_have_none_of_it():
    default = TrainSettings()
    for preset in ("plain", "paper-5k", "paper-15k", "baseline"):
        settings = complete(PRESETS[preset], {})
        assert settings.mixing == "waveforms"
        assert all(getattr(settings, name) == getattr(default, name) for name in NEED_SPECTRA)
        assert (settings.rule, settings.keep) == ("longest", "best")


@pytest.mark.parametrize("name", NEED_SPECTRA)
def test_what_needs_spectra_is_refused_without_them(name):
    value = "no" if name == "other_classes" else getattr(QUICK, name) or 0.5
    with pytest.raises(InputError, match=f"^--{name.replace('_', '-')} needs --mixing spectra; --preset plain"):
        TrainSettings(**{name: value})


@pytest.mark.parametrize("given", [{"generator": "official"}, {"redraw": True}])
def test_what_needs_waveforms_is_refused_without_them(given):
    with pytest.raises(InputError, match="needs --mixing waveforms"):
        complete(PRESETS["quick"], given)


def test_the_mlp_starts_from_whole_clips():
    assert complete(PRESETS["quick"], {"arch": "mlp"}).mixing == "waveforms"


@pytest.mark.parametrize("shape", [(652,), (5, 31), (2, 3, 1)])
def test_decayed_sums_have_the_bits_of_lfilter(shape):
    """The kernel, its NumPy twin, and SciPy's recursive filter, which both replace: features keep their bytes."""
    rng = np.random.default_rng(len(shape))
    values, past = rng.random(shape), rng.random((*shape[:-1], 1))
    expected = scipy.signal.lfilter([1.0], [1.0, -0.99], values, zi=past)
    found = decayed_sums(values, 0.99, past)
    with plain_numpy():
        twin = decayed_sums(values, 0.99, past)
    for mine in (found, twin):
        assert all(np.array_equal(a, b) and a.shape == b.shape for a, b in zip(mine, expected, strict=True))
