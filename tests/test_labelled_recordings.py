"""Recordings with labels beside them: every format read back to a millisecond, and one line for each fault."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools.labelled_recordings import LABEL_SUFFIXES, labelled_recordings
from minirsed.detect.formats import FORMATS, text_of
from minirsed.recordings.files import Event, Recording

RATE = 1000
DETECTOR = SimpleNamespace(label="door bell", thres0=0.5, thres1=0.5)


def write_sound(path, seconds=60.0, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(len(str(path))).normal(0, 0.1, round(seconds * rate)), rate)
    return path


def put(folder, **texts):
    for name, text in texts.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")


def drawn_events(seed):
    """Events with times that no format writes exactly."""
    times = np.sort(np.random.default_rng(seed).uniform(0, 3599, 12)).reshape(6, 2)
    return [Event(float(onset), float(offset), 0.5 + 0.08 * i) for i, (onset, offset) in enumerate(times)]


def check_same(recording, events, label="door bell"):
    """To a millisecond, and to the last digit that is no rounding of floats."""
    assert {event[2] for event in recording.events} == ({label} if events else set())
    found = np.array([event[:2] for event in recording.events]).reshape(-1, 2)
    assert np.abs(found - np.array([event[:2] for event in events]).reshape(-1, 2)).max(initial=0) < 0.001


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    return write_sound(tmp_path_factory.mktemp("hour") / "hour.wav", 3600)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["kitchen/monday 100%.wav", "üb.flac.wav"])
def test_what_detect_writes_beside_a_recording_is_read_back(form, name, hour, tmp_path):
    """As `--out` names its files, of every format; the same with the name's suffix left out."""
    if form == "jams":
        pytest.importorskip("jams")
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    shutil.copy(hour, path)
    for seed in range(3):
        events = drawn_events(seed)[: 3 * seed]
        text = text_of(FORMATS[form], DETECTOR, [(name, Recording(3600.0, events, None, np.zeros(5)))])
        labels = path.with_name(path.name + FORMATS[form].suffix)
        for place in (labels, labels.with_name(path.stem + FORMATS[form].suffix)):
            place.write_text(text, encoding="utf-8")
            (found,) = labelled_recordings(tmp_path, "door bell")
            check_same(found, events)
            assert (found.path, found.duration_s, found.recording) == (path, 3600.0, name)
            place.unlink()


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if form.shared])
def test_what_detect_prints_of_several_recordings_is_read_back(form, hour, tmp_path):
    """One list of all of them, in their folder; RTTM has no row for a recording without events."""
    names = {"kitchen/monday.wav": drawn_events(1), "hall/monday.wav": drawn_events(2), "hall/quiet/night.wav": []}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(hour, tmp_path / name)
    recordings = [(name, Recording(3600.0, events, None, np.zeros(5))) for name, events in names.items()]
    text = text_of(FORMATS[form], DETECTOR, recordings)
    (tmp_path / f"all{FORMATS[form].suffix}").write_text(text, encoding="utf-8")
    found = labelled_recordings(tmp_path, "door bell")
    assert [recording.recording for recording in found] == sorted(names)
    for recording in found:
        check_same(recording, names[recording.recording])


def test_every_format_has_a_suffix_that_is_read():
    """And none is empty: `--out` would otherwise write over recordings in the same folder."""
    assert all(form.suffix in LABEL_SUFFIXES for form in FORMATS.values())
