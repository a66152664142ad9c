"""Pictures of recordings: the pooled overview against pooling at once, and all kinds of recordings drawn."""

import io
import itertools

import matplotlib.image
import numpy as np
import pytest
import soundfile

from minirsed.analysis.plots import new_figure
from minirsed.detect import plots
from minirsed.detect.plots import MARGIN_S, MOST_DETAILS, N_COLUMNS, Overview, draw, neighbourhood
from minirsed.features import frame_to_seconds, lfbe, n_frames
from minirsed.recordings import detect_file
from minirsed.recordings.files import Event
from tests.conftest import tone_detector, tones


@pytest.mark.parametrize("n", [1, 100, 2 * N_COLUMNS - 1, 2 * N_COLUMNS, 40_001])
def test_overview_is_the_maximum_of_blocks(n):
    frames, overview = np.random.default_rng(0).standard_normal((n, 3)), Overview()
    for piece in np.array_split(frames, 17) if n >= 17 else [frames]:
        overview.push(piece)
        assert len(overview.image()) <= 2 * N_COLUMNS
    pooled = overview.n_pooled
    expected = [frames[i : i + pooled].max(axis=0) for i in range(0, n, pooled)]
    np.testing.assert_array_equal(overview.image(), expected)
    assert pooled == 1 if n < 2 * N_COLUMNS else pooled > 1


@pytest.mark.parametrize("onset_s", [0.5, 100.0, 3600.0, 10 * 3600.0, 24 * 3600.0 - 5])
def test_the_picture_of_an_event_shows_its_place(onset_s):
    """After ten hours as after a second: the margin on either side is kept to within a frame."""
    start, stop = neighbourhood(Event(onset_s, onset_s + 1.5, 0.9), n_frames(24 * 3600 * 44100))
    assert frame_to_seconds(start) == pytest.approx(max(0.023, onset_s - MARGIN_S), abs=0.012)
    assert frame_to_seconds(stop - 1) == pytest.approx(onset_s + 1.5 + MARGIN_S, abs=0.012)


@pytest.mark.parametrize(
    ("seconds", "spans", "height"),
    [
        (0.01, [], 360),
        (20, [(2.0, 3.0)], 360),
        (70, [(0.0, 1.0), (69.0, 70.0)], 360 + 234),
        (70, [(4.5 * i, 4.5 * i + 1) for i in range(15)], 360 + 4 * 234),
    ],
)
def test_pictures(tmp_path, seconds, spans, height):
    """A row of three events has 2.6 inches of 90 dots; of 15 the 12 surest are shown."""
    detector, path, overview, file = tone_detector("multires"), tmp_path / "x.wav", Overview(), io.BytesIO()
    soundfile.write(path, tones(seconds, spans), 44100)
    found = detect_file(detector, path)
    assert len(found.events) == len(spans) and MOST_DETAILS == 12
    overview.push(lfbe(soundfile.read(path)[0]))
    draw(file, detector, path, "x.wav", found, overview)
    file.seek(0)
    image = matplotlib.image.imread(file)
    assert image.shape[:2] == (height, 1260) and image[:, :, :3].std() > 0.1


def test_times_below_an_event_do_not_run_into_each_other(tmp_path, monkeypatch):
    """Late in a recording they are hours, minutes and seconds, for which a third of the picture has little room."""
    made = []
    monkeypatch.setattr(plots, "new_figure", lambda *size, **how: made.append(new_figure(*size, **how)) or made[0])
    detector, path, overview = tone_detector("multires"), tmp_path / "x.wav", Overview()
    soundfile.write(path, tones(150, [(5.0, 6.0), (70.0, 71.0), (138.0, 142.0)]), 44100)
    overview.push(lfbe(soundfile.read(path)[0]))
    plots.draw(io.BytesIO(), detector, path, "x.wav", detect_file(detector, path), overview)
    for axes in made[0].axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
        assert all(left.x1 + 5 < right.x0 for left, right in itertools.pairwise(boxes))
