"""Features in pieces, windows and their seams, against the recording in one piece."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed.features import lfbe
from minirsed.recordings.windows import ALIGNMENT, HOP, STEP_FRAMES, WIN, WINDOW_FRAMES, FeatureStream, stitch, windows


def noise(n):
    return 0.1 * np.random.default_rng(0).standard_normal(n)


@pytest.mark.parametrize("n", [1, 100, WIN - 1, WIN, WIN + HOP - 1, WIN + HOP, 3 * 44100])
@pytest.mark.parametrize("longest", [300, 5000, 1_000_000])
def test_features_in_pieces_are_features(n, longest):
    y, rng, stream = noise(n), np.random.default_rng(1), FeatureStream(64)
    cuts = np.cumsum(rng.integers(0, longest, 2000))
    features = np.concatenate(list(stream.of(np.split(y, cuts[cuts < n]))))
    np.testing.assert_allclose(features, lfbe(y), rtol=0, atol=1e-5)
    assert (stream.n_samples, stream.n_frames) == (n, len(features))


def test_no_sound_has_no_features():
    assert list(FeatureStream(64).of([])) == [] and list(FeatureStream(64).of([np.zeros(0)])) == []


def test_a_window_is_a_training_clip():
    assert WINDOW_FRAMES == len(lfbe(np.zeros(30 * 44100))) == 1303 and STEP_FRAMES % ALIGNMENT == 0


@given(st.integers(0, 60), st.sampled_from([1, 2, 4]), st.data())
def test_windows_cover_all_frames(n, alignment, data):
    """Starts are 0, step, 2 step … but for the last window, which ends with the last frame."""
    n_window = data.draw(st.integers(alignment, 12))
    step = alignment * data.draw(st.integers(1, n_window // alignment))
    frames = np.arange(n)[:, None]
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=9)))
    cut = list(windows(np.split(frames, cuts), n_window, step, alignment))
    for start, window in cut:
        np.testing.assert_array_equal(window[:, 0], np.arange(start, start + len(window)))
        assert (
            len(window) == min(n, n_window)
            or (start, window) == cut[-1]
            and n_window < len(window) < n_window + alignment
        )
    starts = [start for start, _ in cut]
    assert starts[:-1] == [step * i for i in range(len(cut) - 1)]
    if n:
        assert starts[-1] == max(0, n - n_window) // alignment * alignment and starts == sorted(set(starts))
        assert starts[-1] + len(cut[-1][1]) == n


@given(st.integers(0, 60), st.integers(1, 12), st.data())
def test_each_frame_is_taken_once_from_where_it_is_most_central(n, n_window, data):
    """Values tell window and frame; of the windows that hold a frame none has it deeper inside."""
    step = data.draw(st.integers(1, n_window))
    cut = list(windows([np.arange(n)[:, None]] if n else [], n_window, step, 1))
    pieces = list(stitch((start, 1000 * number + window[:, 0]) for number, (start, window) in enumerate(cut)))
    taken = np.concatenate(pieces) if pieces else np.zeros(0, int)
    np.testing.assert_array_equal(taken % 1000, np.arange(n))
    for frame, number in zip(taken % 1000, taken // 1000, strict=True):
        distances = {  # of the frame's centre from the middle of each window that holds it, in half frames
            i: abs(2 * (frame - start) + 1 - len(window))
            for i, (start, window) in enumerate(cut)
            if start <= frame < start + len(window)
        }
        assert distances[number] <= min(distances.values()) + 1
