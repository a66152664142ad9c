"""Streams against the same sound in one piece, for any cut; what a stream refuses."""

import numpy as np
import pytest

from data_tools.audio import resample
from minirsed.activations import sigmoid
from minirsed.features import HOP_S, lfbe
from minirsed.recordings.streaming import DELAY, STEP, about
from tests.conftest import tone_detector, tones
from tests.test_recordings import ELSEWHERE, PCEN, random_detector, run, spans, tone_head


def stream_through(stream, y, rng, longest=9000):
    """Events and p_t of y in random pieces, empty ones among them."""
    events, p_t, first = [], [], 0
    while first < len(y):
        n = int(rng.integers(0, longest))
        events += stream.push(y[first : first + n])
        p_t.append(stream.frame_probabilities)
        first += n
    events += stream.finish()
    return events, np.concatenate([*p_t, stream.frame_probabilities])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sr", [16000, 44100])
@pytest.mark.parametrize("kind", [{}, ELSEWHERE, PCEN], ids=["paper", "elsewhere", "pcen"])
def test_uni_is_the_clip_in_one_piece(sr, seed, kind):
    """p_t of every frame and p of the whole stretch, to 1e-5."""
    detector, rng = random_detector("uni", n_units=16, **kind), np.random.default_rng(seed)
    y = tones(30, [(5.0, 8.0), (20.0, 21.0)], sr=sr, seed=seed)
    stream = detector.stream(sr)
    _, p_t = stream_through(stream, y, rng)
    clip = detector.detect(y, sr)
    assert clip.frame_probabilities.std() > 0.02
    np.testing.assert_allclose(p_t, clip.frame_probabilities, rtol=0, atol=1e-5)
    assert stream.probability == pytest.approx(clip.probability, abs=1e-5)
    assert (stream.n_frames, stream.n_samples) == (1303, len(y))


def test_uni_goes_on_beyond_30_s():
    """The state is carried, not begun anew: p_t is that of two minutes in one piece, p that of the last 30 s."""
    detector, y = random_detector("uni"), tones(120, [(5.0, 8.0), (100.0, 101.0)])
    stream = detector.stream()
    _, p_t = stream_through(stream, y, np.random.default_rng(0), longest=100_000)
    whole = detector.detect(y)
    np.testing.assert_allclose(p_t, whole.frame_probabilities, rtol=0, atol=1e-5)
    e = np.log(p_t[-1303:] / (1 - p_t[-1303:].astype(np.float64)))
    expected = 1 / (1 + np.exp(-(p_t[-1303:] @ e) / p_t[-1303:].sum()))
    assert stream.probability == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
def test_events(arch):
    detector, truth = (
        tone_detector(arch, n_layers=2, memory=0.5),
        [(0.3, 1.0), (12.0, 13.0), (14.0, 15.5), (50.0, 51.0)],
    )
    y = tones(60, truth)
    found, p_t = stream_through(detector.stream(), y, np.random.default_rng(0))
    file = run(detector, y)
    np.testing.assert_allclose(p_t, file.frame_probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose([event[:2] for event in found], spans(file), rtol=0, atol=1e-9)
    np.testing.assert_allclose([event[:2] for event in found], truth, rtol=0, atol=0.1)


@pytest.mark.parametrize("arch", ["uni", "crnn1d", "crnn"])
def test_events_of_frames_alone(arch):
    """A median looks ahead and so does an LSTM that reads backwards: the last 30 s again and again, as in a file."""
    detector, truth = tone_head(arch), [(0.3, 1.0), (12.0, 13.0), (14.0, 15.5), (50.0, 51.0)]
    y, stream = tones(60, truth), detector.stream()
    found, p_t = stream_through(stream, y, np.random.default_rng(0))
    np.testing.assert_allclose([event[:2] for event in found], truth, rtol=0, atol=0.1)
    np.testing.assert_allclose([event[:2] for event in found], spans(run(detector, y)), rtol=0, atol=0.05)
    assert stream.probability == pytest.approx(p_t[-1303:].max(), abs=1e-6)
    assert "the last 30 s every 1.1 s" in about(detector)


@pytest.mark.parametrize("arch", ["crnn1d", "crnn"])
def test_frames_of_the_winners_are_those_of_the_sound_in_one_piece(arch):
    """Of a file in windows, and of a stream: their layers forget what is more than 2.2 s away, as far as 1e-5 can see.

    The attention head, whose frame logits no median smoothes; maps are normalised by running statistics.
    """
    detector, y = random_detector(arch, 2, 3), tones(44, [(5.0, 8.0), (20.0, 21.0), (30.0, 31.0), (43.0, 44.0)])
    for name, value in detector.params.items():
        if name.endswith(".b") and name.startswith(("lstm", "gru")):  # [i | f | g | o] and [z | r | c]
            forget = slice(3, 6) if name.startswith("lstm") else slice(0, 3)
            value[forget] = -2.0
    detector.params["head.w"] *= 6
    whole = sigmoid(detector.logits(lfbe(y)[None])[0][0])
    _, p_t = stream_through(detector.stream(), y, np.random.default_rng(0), longest=200_000)
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(run(detector, y).frame_probabilities, whole, rtol=0, atol=1e-5)
    np.testing.assert_allclose(p_t, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("arch", ["bi", "multires", "crnn1d", "crnn"])
def test_cut_does_not_show_in_a_sliding_window(arch):
    detector, y = random_detector(arch, 1), tones(34, [(5.0, 8.0), (30.0, 31.0)])
    first, second = (
        stream_through(detector.stream(), y, np.random.default_rng(seed), longest)
        for seed, longest in ((0, 20_000), (1, 200_000))
    )
    np.testing.assert_allclose(first[1], second[1], rtol=0, atol=1e-5)
    assert [event[:2] for event in first[0]] == [event[:2] for event in second[0]]


@pytest.mark.parametrize(("arch", "delay_s"), [("uni", 0.0), ("multires", (DELAY + STEP) * HOP_S)])
def test_events_come_when_they_end(arch, delay_s):
    """0.5 s after the end, the gap in which it might go on, and what a model that looks ahead waits for."""
    stream, y = tone_detector(arch).stream(), tones(20, [(10.0, 11.0)])
    came_s = [0.1 * i for i, piece in enumerate(np.array_split(y, 200), 1) if stream.push(piece)]
    assert len(came_s) == 1 and 11.5 <= came_s[0] <= 11.7 + delay_s
    assert stream.finish() == []


def test_short_stream_has_one_frame():
    stream = tone_detector().stream()
    assert np.isnan(stream.probability)
    assert stream.push(np.zeros(100)) == [] and len(stream.frame_probabilities) == 0
    stream.finish()
    assert stream.n_frames == 1


def test_channels_and_rates():
    y = tones(5, [(2.0, 3.0)], sr=8000)
    stereo = stream_through(
        tone_detector().stream(8000), np.stack([1.5 * y, 0.5 * y], axis=1), np.random.default_rng(0)
    )
    mono = stream_through(tone_detector().stream(), resample(y, 8000, 44100), np.random.default_rng(1))
    np.testing.assert_allclose(stereo[1], mono[1], atol=1e-5)
    assert len(mono[0]) == 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(5, np.int16), "y has dtype int16"),
        (np.zeros((5, 2, 2)), r"expected \(samples,\) or \(samples, channels\)"),
        (np.array([0.0, np.nan]), "NaN or Inf"),
    ],
)
def test_refuses(y, message):
    stream = tone_detector().stream()
    with pytest.raises(ValueError, match=message):
        stream.push(y)
    assert stream.n_samples == 0


def test_a_finished_stream_takes_nothing():
    stream = tone_detector().stream()
    stream.push(np.zeros(5000))
    stream.finish()
    with pytest.raises(ValueError, match="finished"):
        stream.push(np.zeros(5000))


def test_says_how_it_listens():
    assert "state carried" in about(tone_detector("uni")) and "the last 30 s every 1.1 s" in about(tone_detector("bi"))
