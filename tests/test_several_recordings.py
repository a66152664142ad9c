"""Several classes in recordings and streams: what each class's own detector finds, of one pass, in every format."""

import dataclasses
import json

import numpy as np
import pytest
import soundfile

from data_tools.event_lists import read_event_list
from data_tools.labelled_recordings import labelled_recordings
from minirsed.detect.__main__ import main
from minirsed.detect.formats import format_for, text_of
from minirsed.features import hz_to_mel
from minirsed.kernels.threads import worker_threads
from minirsed.listening.operating import Operating
from minirsed.model import ModelConfig, param_shapes
from minirsed.recordings import detect_file
from minirsed.recordings.files import Event, Recording, detect_recording
from minirsed.recordings.several import SeveralRecording, detect_any, labelled_events, without_frames
from minirsed.several.detector import SeveralDetector
from tests.conftest import TONE_HZ, tone_detector, tones

HZ = {"low": TONE_HZ, "high": 4000}
LOW, HIGH = [(3.0, 5.0), (20.0, 21.0), (52.0, 53.5)], [(4.0, 7.0), (40.0, 41.0)]  # overlapping from 4 to 5 s


def two_tones(arch="uni", **changes):
    """As `tone_detector`, with a unit and an event vector for each of two tones."""
    config = ModelConfig(arch, 1, 2, n_classes=2, **changes)
    params = {name: np.zeros(shape, np.float32) for name, shape in param_shapes(config).items()}
    mean, std = np.zeros(64), np.ones(64)
    for unit, hz in enumerate(HZ.values()):
        band = round(65 * hz_to_mel(hz) / hz_to_mel(22050)) - 1
        mean[band], std[band] = 2.0, 0.5
        for name in params:
            if name.endswith("W"):
                params[name][band, 4 + unit] = 1.0
            if name.startswith("gru") and name.endswith("b"):
                params[name][unit] = -20.0
        n_sides = params["head.w"].shape[1] // 2
        params["head.w"][unit, unit::2] = 5.0 / n_sides
    for value in params.values():
        value.flags.writeable = False
    each = {"thres0": (0.5, 0.6), "thres1": (0.5, 0.4), "operating": (Operating(), Operating(0.1, 0.2))}
    return SeveralDetector(config, params, "low+high", mean, std, **each, labels=("low", "high"))


def sound(duration_s=60.0, low=LOW, high=HIGH, sr=44100):
    y = tones(duration_s, low, sr=sr)
    t = np.arange(len(y)) / sr
    for onset_s, offset_s in high:
        y += 0.3 * np.sin(2 * np.pi * HZ["high"] * t) * ((t >= onset_s) & (t < offset_s))
    return y


def detect(detector, y, n_blocks=5, n_threads=1, **options):
    with worker_threads(n_threads) as executor:
        return detect_any(detector, np.array_split(y, n_blocks), executor, n_threads=n_threads, **options)


# ---- recordings


@pytest.mark.parametrize("arch", ["uni", "bi"])
def test_each_class_is_what_its_own_detector_finds(arch):
    detector, y = two_tones(arch), sound()
    found = detect(detector, y)
    assert {label: len(each.events) for label, each in found.classes.items()} == {"low": 3, "high": 2}
    for view in detector.views:
        alone = detect(view, y)
        assert found.classes[view.label].events == alone.events and found.duration_s == alone.duration_s == 60
        assert np.array_equal(found.classes[view.label].frame_probabilities, alone.frame_probabilities)
    pairs = labelled_events(detector, found)
    assert [label for label, _ in pairs] == ["low", "high", "low", "high", "low"]
    for (_, event), span in zip(pairs, sorted(LOW + HIGH), strict=True):
        assert event[:2] == pytest.approx(span, abs=0.05)
    assert pairs[0][1].offset_s > pairs[1][1].onset_s  # of different classes, they overlap
    assert found.events == [event for _, event in pairs]


def test_a_file_is_searched_by_either_kind(tmp_path):
    detector, y = two_tones(), sound()
    soundfile.write(tmp_path / "x.wav", y, 44100, subtype="DOUBLE")
    found = detect_file(detector, tmp_path / "x.wav")
    for view in detector.views:
        assert found.classes[view.label].events == detect_file(view, tmp_path / "x.wav").events != []
    soundfile.write(tmp_path / "short.wav", y[: 28 * 44100], 44100, subtype="DOUBLE")
    for all_events in (False, True):
        short = detect_file(detector, tmp_path / "short.wav", all_events=all_events)
        assert [len(short.classes[label].events) for label in ("low", "high")] == [1 + all_events, 1]


def test_one_pass_and_any_number_of_threads(monkeypatch):
    detector, y = two_tones("bi"), sound()
    calls = []
    plain = SeveralDetector.logits
    monkeypatch.setattr(SeveralDetector, "logits", lambda self, x: calls.append(len(x)) or plain(self, x))
    found = detect(detector, y, n_blocks=1)
    assert sum(calls) == 4  # windows of 30 s in a minute, each once for both classes
    other = detect(detector, y, n_blocks=50, n_threads=2)
    assert other.events == found.events
    probabilities = [[each.frame_probabilities for each in which.classes.values()] for which in (found, other)]
    assert np.allclose(*probabilities, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"rule": "strongest"}, {"head": "frames"}])
def test_a_clip_holds_one_event_of_each_class_or_none(changes):
    detector = two_tones(**changes)
    y = sound(20.0, [(3.0, 5.0), (8.0, 8.5)], [(4.0, 7.0)])
    found = detect(detector, y)
    assert [label for label, _ in labelled_events(detector, found)] == ["low", "high"]
    for label, each in found.classes.items():
        assert each.probability == pytest.approx(detect(detector.of_class(label), y).probability, abs=1e-5)
    detections = detector.detect(y)
    assert [detections[label].onset_s for label in detector.labels] == [event.onset_s for event in found.events]
    assert len(detect(detector, y, all_events=True).classes["low"].events) == 2
    assert detect(detector, sound(20.0, [], [])).events == []


def test_detectors_of_one_class_are_taken_as_well():
    detector, y = tone_detector(), tones(40, LOW[:2])
    with worker_threads(1) as executor:
        found = detect_recording(detector, [y], executor, n_threads=1)
    assert detect(detector, y, n_blocks=1).events == found.events
    assert labelled_events(detector, found) == [("tone", event) for event in found.events]
    assert not len(without_frames(found).frame_probabilities) and without_frames(found).events == found.events
    several = detect(two_tones(), y)
    assert not any(len(each.frame_probabilities) for each in without_frames(several).classes.values())
    with pytest.raises(ValueError, match="no sample"):
        detect(two_tones(), np.zeros(0))


# ---- streams


@pytest.mark.parametrize("arch", ["uni", "bi"])
def test_streams_give_each_class_as_its_own_stream_does(arch):
    detector, y = two_tones(arch), sound()
    stream, alone = detector.stream(), [view.stream() for view in detector.views]
    assert stream.frame_probabilities.shape == (0, 2)
    found, expected, p_t = [], {label: [] for label in detector.labels}, []
    for piece in np.array_split(y, 37):
        found += stream.push(piece)
        p_t.append(stream.frame_probabilities)
        for view, own in zip(detector.views, alone, strict=True):
            expected[view.label] += own.push(piece)
            assert stream.probability[view.label] == pytest.approx(own.probability, abs=1e-5, nan_ok=True)
    found += stream.finish()
    p_t.append(stream.frame_probabilities)
    for view, own in zip(detector.views, alone, strict=True):
        expected[view.label] += own.finish()
        mine = [event for label, event in found if label == view.label]
        assert np.allclose(mine, expected[view.label], atol=1e-5) and len(mine) == {"low": 3, "high": 2}[view.label]
    assert np.concatenate(p_t).shape == (stream.n_frames, 2) and stream.n_frames == alone[0].n_frames
    assert stream.labelled(found) is found


# ---- formats


EVENTS = {"low": [Event(3.0, 5.0, 0.9), Event(20.0, 21.0, 0.8)], "high": [Event(4.0, 7.0, 0.7)]}
FOUND = SeveralRecording(
    60.0, {label: Recording(60.0, own, None, np.zeros(5, np.float32)) for label, own in EVENTS.items()}
)
NOTHING = SeveralRecording(9.0, {label: Recording(9.0, [], 0.1, np.zeros(5, np.float32)) for label in EVENTS})


def text(name, *recordings):
    detector = two_tones()
    return text_of(format_for(detector, name), detector, list(recordings))


def test_the_table_has_a_column_for_the_class():
    lines = text("table", ("a.wav", FOUND), ("b.wav", NOTHING)).splitlines()
    assert lines[0].split() == ["onset", "(s)", "offset", "(s)", "h:mm:ss", "p", "class", "recording"]
    assert [line.split()[-2:] for line in lines[1:]] == [[label, "a.wav"] for label in ("low", "high", "low")] + [
        ["-", "b.wav"]
    ]
    assert "class" not in format_for(tone_detector(), "table").header


@pytest.mark.parametrize("name", ["csv", "audacity", "raven", "rttm", "json"])
def test_every_format_is_read_back_with_its_classes(name, tmp_path):
    soundfile.write(tmp_path / "street.wav", np.full(60 * 8000, 0.01), 8000)
    (tmp_path / ("street" + format_for(two_tones(), name).suffix)).write_text(text(name, ("street.wav", FOUND)))
    (recording,) = labelled_recordings(tmp_path)
    assert sorted(recording.events) == sorted((a, b, label) for label, own in EVENTS.items() for a, b, _ in own)


def test_json_says_what_holds_for_each_class():
    document = json.loads(text("json", ("b.wav", NOTHING)))
    assert document["classes"]["high"] == {"probability": 0.1, "thres0": 0.6, "thres1": 0.4}
    assert document["label"] == "low+high" and document["events"] == []
    assert json.loads(text("json", ("a.wav", FOUND)))["events"][1] == {"label": "high", **EVENTS["high"][0]._asdict()}


# ---- the command


@pytest.fixture
def archive(tmp_path):
    two_tones().save(tmp_path / "detector.npz")
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/long.wav", sound(), 44100, subtype="PCM_16")
    soundfile.write(tmp_path / "sounds/short.wav", sound(10.0, [], [(4.0, 7.0)]), 44100, subtype="PCM_16")
    return tmp_path


def test_the_command_finds_all_classes(archive, capsys):
    main([str(archive / "detector.npz"), str(archive / "sounds")])
    out, err = capsys.readouterr()
    assert "2 recordings, 0:01:10 of sound, 3 low events, 3 high events" in err
    assert [line.split()[4] for line in out.splitlines()[1:]] == ["low", "high", "low", "high", "low", "high"]
    folder = archive / "found"
    command = [str(archive / "detector.npz"), str(archive / "sounds"), "--out", str(folder), "--plot"]
    main(command)
    events = read_event_list(folder / "short.wav.csv")["short.wav"]
    assert [label for *_, label in events] == ["high"]
    pictures = sorted(path.name for path in folder.glob("*.png"))
    assert pictures == ["long.wav.png", "short.wav.png"]
    main(command)
    assert "2 recordings done before" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--thres0", "0.9"])
    assert "holds results of other settings (classes" in capsys.readouterr().err


def test_thresholds_of_the_command_are_those_of_all_classes(archive, capsys):
    main([str(archive / "detector.npz"), str(archive / "sounds/short.wav"), "--thres0", "1", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert [own["thres0"] for own in document["classes"].values()] == [1.0, 1.0] and document["events"] == []


def test_standard_input_is_heard_by_all_classes(archive, capsys, monkeypatch):
    with open(archive / "sounds/long.wav", "rb") as pipe:
        monkeypatch.setattr("sys.stdin", dataclasses.make_dataclass("Pipe", ["buffer"])(pipe))
        main([str(archive / "detector.npz"), "-"])
    out, err = capsys.readouterr()
    assert sorted(line.split()[4] for line in out.splitlines()[1:]) == ["high"] * 2 + ["low"] * 3
    assert "0:01:00 of sound, 3 low events, 2 high events" in err and "low+high, uni" in err
