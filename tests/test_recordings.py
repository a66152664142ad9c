"""Recordings of any length: clips as `Detector.detect` has them, long ones as in one piece, seams and blocks unseen."""

import dataclasses
import threading
import tracemalloc

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from minirsed.activations import sigmoid
from minirsed.detector import Detector
from minirsed.features import HOP_S, frame_to_seconds, lfbe, seconds_to_frame
from minirsed.kernels.threads import worker_threads
from minirsed.model import HEADS, ModelConfig, init_params
from minirsed.recordings import detect_file
from minirsed.recordings.files import detect_recording, event_finder, to_event
from minirsed.recordings.windows import STEP_FRAMES, WINDOW_FRAMES
from minirsed.rivals.encoders import ENCODERS
from minirsed.rivals.frames import smooth
from tests.conftest import tone_detector, tones

SEAM_S = [(STEP_FRAMES * (i + 0.5) + WINDOW_FRAMES / 2) * HOP_S for i in range(4)]  # 22.4, 37.1, 51.8, 66.5 s

RIVALS = [("mlp", "frames"), ("uni", "frames"), *((arch, head) for arch in ("crnn1d", "crnn") for head in HEADS)]
ELSEWHERE = {"n_inputs": 48, "n_mels": 64, "inputs": "relative", "rule": "strongest"}
PCEN = ELSEWHERE | {"inputs": "pcen"}


def random_detector(arch, n_layers=3, n_units=6, **kind):
    """Random weights, but a strong opinion."""
    config = ModelConfig(arch=arch, n_layers=n_layers, n_units=n_units, **kind)
    params = init_params(config, np.random.default_rng(5))
    params["head.w"] *= 6
    mean, std = {"lfbe": (-8.0, 2.0), "relative": (-3.0, 2.0), "pcen": (0.2, 0.3)}[config.inputs]
    return Detector(config, params, "ping", np.full(config.n_inputs, mean), np.full(config.n_inputs, std))


def run(detector, y, n_blocks=3, n_threads=2, **options):
    with worker_threads(n_threads) as executor:
        return detect_recording(detector, np.array_split(y, n_blocks), executor, n_threads=n_threads, **options)


def spans(recording):
    return [tuple(event[:2]) for event in recording.events]


@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
@pytest.mark.parametrize("duration_s", [0.01, 3.0, 30.0])
@pytest.mark.parametrize("kind", [{}, ELSEWHERE, PCEN], ids=["paper", "elsewhere", "pcen"])
def test_a_clip_is_what_detect_says(arch, duration_s, kind):
    clip_is_what_detect_says(random_detector(arch, **kind), duration_s)


@pytest.mark.parametrize(("arch", "head"), RIVALS)
@pytest.mark.parametrize("duration_s", [0.01, 3.0, 30.0])
def test_a_clip_is_what_detect_says_of_a_rival(arch, head, duration_s):
    clip_is_what_detect_says(random_detector(arch, 1, head=head), duration_s)


def clip_is_what_detect_says(detector, duration_s):
    y = tones(duration_s, [(1.0, 1.6), (2.0, 2.2)])
    found, clip = run(detector, y), detector.detect(y)
    np.testing.assert_allclose(found.frame_probabilities, clip.frame_probabilities, rtol=0, atol=1e-6)
    assert found.probability == pytest.approx(clip.probability, abs=1e-6)
    assert spans(found) == ([] if clip.onset_s is None else [(clip.onset_s, clip.offset_s)])
    assert found.duration_s == pytest.approx(duration_s)


def test_one_event_in_a_clip_unless_all_are_wanted():
    detector, y = tone_detector(), tones(30, [(5.0, 6.0), (8.0, 10.0), (20.0, 20.5)])
    assert len(run(detector, y).events) == 1
    assert spans(run(detector, y)) == [pytest.approx((8.0, 10.0), abs=HOP_S)]
    assert [onset for onset, _ in spans(run(detector, y, all_events=True))] == pytest.approx([5, 8, 20], abs=HOP_S)


@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
def test_long_recordings_are_as_in_one_piece(arch):
    """Events at both ends, astride every seam, within one window, less than a second apart.

    The state of this detector fades with 0.8 a frame: what lies more than 7.6 s away is nothing.
    """
    detector = tone_detector(arch, n_layers=2, memory=0.8)
    truth = [(0.0, 0.8), *((seam - 0.4, seam + 0.5) for seam in SEAM_S), (43.0, 44.0), (44.9, 46.0), (79.2, 80.0)]
    truth.sort()
    y = tones(80, truth)
    frame_logits = detector.logits(lfbe(y)[None])[0][0]
    finder = event_finder(detector)
    expected = [to_event(found) for found in finder.push(frame_logits) + finder.finish()]
    assert [event.onset_s for event in expected] == pytest.approx([onset for onset, _ in truth], abs=0.4)

    found = run(detector, y)
    assert found.probability is None and found.duration_s == 80
    np.testing.assert_allclose(found.frame_probabilities, sigmoid(frame_logits), rtol=0, atol=1e-5)
    assert spans(found) == [tuple(event[:2]) for event in expected]
    for event, same in zip(found.events, expected, strict=True):
        assert event.probability == pytest.approx(same.probability, abs=1e-4) and event.probability > 0.5


@pytest.mark.parametrize("arch", ["mlp", "uni", "crnn1d", "crnn"])
def test_frames_alone_in_a_long_recording(arch):
    """A median over all of it, runs above thres1, and the likeliest frame of each against thres0: as in one piece."""
    detector = tone_head(arch)
    truth = [(0.0, 0.8), *((seam - 0.4, seam + 0.5) for seam in SEAM_S[:2]), (43.0, 44.0), (59.2, 60.0)]
    y = tones(60, truth)
    p_t = smooth(sigmoid(detector.logits(lfbe(y)[None])[0][0]))
    found = run(detector, y)
    assert found.probability is None
    np.testing.assert_allclose(found.frame_probabilities, p_t, rtol=0, atol=1e-5)
    np.testing.assert_allclose(spans(found), truth, rtol=0, atol=0.1)
    for event in found.events:
        own = p_t[seconds_to_frame(event.onset_s) : seconds_to_frame(event.offset_s)]
        assert event.probability == pytest.approx(own.max(), abs=1e-5)
    blip = tones(60, [(20.0, 20.2), (40.0, 41.0)])  # shorter than half the median
    assert len(run(detector, blip).events) == 1
    strict = dataclasses.replace(detector, thres0=found.events[0].probability + 1e-3)
    assert len(run(strict, y).events) < len(truth)


def tone_head(arch):
    """A detector of tones, head `frames`: random layers, event vector fitted to their states by least squares."""
    config = ModelConfig(arch, 1, 16, head="frames")
    params = init_params(config, np.random.default_rng(5))
    detector = Detector(config, params, "tone", np.full(64, -12.0), np.full(64, 6.0))
    spans_s = [(3.0, 4.0), (10.0, 13.0), (20.0, 21.0)]
    features = lfbe(tones(25, spans_s, seed=3))
    h, _ = ENCODERS[arch].forward(params, config, detector.normalise(features)[None], None, False)
    seconds = frame_to_seconds(np.arange(len(features)))
    inside = sum((seconds > onset) & (seconds < offset) for onset, offset in spans_s)
    states = np.column_stack([h[0], np.ones(len(seconds))]).astype(np.float64)
    w = np.linalg.lstsq(states, 8.0 * inside - 4.0, rcond=None)[0].astype(np.float32)
    params["head.w"], params["head.b"] = w[:-1], w[-1:]
    return detector


@pytest.mark.parametrize("seconds", [30.5, 31.0, 44.7, 45.5])
def test_a_little_more_than_a_window(seconds):
    found = run(tone_detector("multires"), tones(seconds, [(0.0, 1.0), (29.5, seconds)]))
    np.testing.assert_allclose(spans(found), [(0.0, 1.0), (29.5, seconds)], atol=4 * HOP_S)
    assert len(found.frame_probabilities) == len(lfbe(tones(seconds, [])))


def test_a_clip_may_be_a_little_longer():
    """What an MP3 encoder adds does not change the rule; half a second does."""
    detector, spans_s = tone_detector("multires"), [(1.0, 2.0), (29.0, 30.0)]
    assert [len(run(detector, tones(seconds, spans_s)).events) for seconds in (30.0, 30.3, 30.5)] == [1, 1, 2]


def test_blocks_and_threads_do_not_show():
    detector, y = random_detector("multires"), tones(100, [(10.0, 11.0), (70.0, 71.0)])
    first = run(detector, y, n_blocks=1, n_threads=1)
    for n_blocks, n_threads in ((7, 1), (50, 2), (3, 5)):
        other = run(detector, y, n_blocks, n_threads)
        assert other.events == first.events and first.events
        np.testing.assert_array_equal(other.frame_probabilities, first.frame_probabilities)


def test_files(tmp_path):
    """Another rate, two channels, many blocks; features are handed out on the way."""
    truth, shares = [(5.0, 6.0), (36.5, 38.0)], []
    y = tones(60, truth, sr=16000)
    soundfile.write(tmp_path / "x.flac", np.stack([y, y], axis=1), 16000)
    found = detect_file(tone_detector("bi"), tmp_path / "x.flac", n_threads=2, progress=shares.append)
    np.testing.assert_allclose(spans(found), truth, atol=2 * HOP_S)
    assert shares[-1] == 1.0
    with pytest.raises(InputError, match="nothing.wav: no such file"):
        detect_file(tone_detector(), tmp_path / "nothing.wav")


def test_features_are_handed_out():
    pieces, y = [], tones(40, [])
    run(tone_detector(), y, on_features=pieces.append)
    np.testing.assert_allclose(np.concatenate(pieces), lfbe(y), atol=1e-5)


def test_errors_of_the_source_come_through():
    def broken():
        yield tones(70, [])
        raise InputError("x.wav: damaged")

    with worker_threads(2) as executor, pytest.raises(InputError, match="damaged"):
        detect_recording(tone_detector(), broken(), executor, n_threads=2)
    with worker_threads(1) as executor, pytest.raises(ValueError, match="no sample"):
        detect_recording(tone_detector(), [], executor, n_threads=1)


def test_memory_does_not_grow_with_the_recording():
    """An hour has 20 MB of features; it may take 2 MB more than ten minutes: p_t, and the list of blocks' results."""

    def peak(n_minutes):
        block = tones(10, [(3.0, 4.0)])
        tracemalloc.start()
        with worker_threads(2) as executor:
            found = detect_recording(tone_detector(), (block for _ in range(6 * n_minutes)), executor, n_threads=2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.events) == 6 * n_minutes and found.duration_s == 60 * n_minutes
        return peak

    peak(1)  # compiled
    assert peak(60) < peak(10) + 3e6


def test_no_more_groups_at_a_time_than_threads():
    """Two directions are work for two threads: four threads run two groups, whatever waits."""
    running, most, lock = 0, 0, threading.Lock()
    detector = tone_detector("bi")
    logits = detector.logits

    def counting(*arguments):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        result = logits(*arguments)
        with lock:
            running -= 1
        return result

    detector.logits = counting
    run(detector, tones(300, []), n_threads=4)
    assert most <= 2
