"""Recordings with labels beside them: every format read back to a millisecond, and one line for each fault.

And what a sound folder makes of them: parts of files in training, whole recordings in dev and eval.
"""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools.audio import SAMPLE_RATE
from data_tools.banks.base import SUBSETS, Background
from data_tools.banks.cuts import MARGIN_S
from data_tools.errors import InputError
from data_tools.inventory import holding, inventory_lines, repeated
from data_tools.label_adding import with_events
from data_tools.labelled_recordings import LABEL_SUFFIXES, LabelledRecording, labelled_recordings, read_labels
from data_tools.mixing import event_clip, render
from data_tools.recipes import draw_recipes, read_recipes, write_recipes
from data_tools.soundbank import open_bank
from minirsed.detect.formats import FORMATS, text_of
from minirsed.recordings.files import Event, Recording

RATE = 1000
DETECTOR = SimpleNamespace(label="door bell", thres0=0.5, thres1=0.5)


def write_sound(path, seconds=60.0, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(len(str(path))).normal(0, 0.1, round(seconds * rate)), rate)
    return path


def put(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def drawn_events(seed):
    """Events with times that no format writes exactly."""
    times = np.sort(np.random.default_rng(seed).uniform(0, 3599, 12)).reshape(6, 2)
    return [Event(float(onset), float(offset), 0.5 + 0.08 * i) for i, (onset, offset) in enumerate(times)]


def check_same(recording, events, label="door bell"):
    """To half a millisecond, which is what rounding to one leaves."""
    assert {event[2] for event in recording.events} == ({label} if events else set())
    found = np.array([event[:2] for event in recording.events]).reshape(-1, 2)
    assert np.abs(found - np.array([event[:2] for event in events]).reshape(-1, 2)).max(initial=0) < 0.0005001


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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", ""),
        ("a.wav.txt", "\n"),
        ("a.csv", ""),
        ("a.txt", "1\t2\tdog 0.97\r\n\\\t100\t200\r\n7\t8\tcat"),
        ("a.txt", "1,5\t2,5\tdog"),
        ("a.csv", "onset,offset,label\n1,2,dog\n"),
        ("a.csv", '\ufefflabel;note;offset;onset\n"dog";"x;y";2,5;1,5'),
        ("a.csv", "1;2;dog\n"),
        ("labels.csv", "a.wav\t1\t2\tdog\nb/c d.wav\t3\t4\tdog\nb/quiet.wav\n"),
        ("labels.tsv", "filename\tonset\toffset\tevent_label\r\na\t1\t2\tdog\r\nb/c d\t3\t4\tdog\r\nb/quiet\t\t\t\r\n"),
        ("labels.txt", "b/quiet.wav\nb/c d.wav\na.wav\n"),
    ],
)
def test_events_added_to_labels_are_read_back(name, text, tmp_path):
    """In every form that has rows; and what was there is there, byte for byte."""
    several = ["b/c d.wav", "b/quiet.wav"] if name.startswith("labels") else []
    for recording in ("a.wav", *several):
        write_sound(tmp_path / recording)
    (tmp_path / name).write_bytes(text.encode())
    before = {recording.recording: set(recording.events) for recording in labelled_recordings(tmp_path)}
    added = {"a.wav": [(40.0, 41.25, "big dog"), (30.5, 31.0004, "dog")]}
    added |= {recording: [(50.0, 51.0, "cat, black")] for recording in several}
    found = read_labels(tmp_path)
    written = with_events([(each, added[each.path.relative_to(tmp_path).as_posix()]) for each in found])
    assert list(written) == [tmp_path / name] and written[tmp_path / name].encode().startswith(text.encode())
    (tmp_path / name).write_bytes(written[tmp_path / name].encode())
    assert ("\r\n" in text) == ("\r\n" in written[tmp_path / name])
    for recording in labelled_recordings(tmp_path):
        assert set(recording.events) == before[recording.recording] | set(added[recording.recording])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.selections.txt", "Selection\tBegin Time (s)\tEnd Time (s)\n1\t1\t2\n", "completed by hand: dog from 30"),
        ("a.json", '{"events": []}', "completed by hand: dog from 30.000 to 31.000 s in a.wav"),
        ("a.csv", "onset,offset\n1,2\n", "has no column for the class"),
        ("a.txt", None, "a.wav: has no label file; to add events it takes one"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_added_to_are_named(name, text, message, tmp_path):
    folder = tmp_path if text is not None else tmp_path / "quiet"
    write_sound(folder / "a.wav")
    if text is not None:
        put(folder / name, text)
    with pytest.raises(InputError, match=message):
        with_events([(read_labels(folder)[0], [(30.0, 31.0, "dog")])])


def test_a_name_in_a_list_must_fit_one_recording(tmp_path):
    """The longest end of the path decides, from the list's folder on."""
    for name in ("a/x.wav", "b/x.wav", "b/c/y.flac"):
        write_sound(tmp_path / name)
    put(tmp_path / "list.csv", "/data/a/x.wav\t1\t2\tdog\n.\\b\\x\t3\t4\tdog\ny.flac\n")
    assert [recording.events for recording in labelled_recordings(tmp_path)] == [
        ((1.0, 2.0, "dog"),),
        (),
        ((3.0, 4.0, "dog"),),
    ]
    put(tmp_path / "list.csv", "x.wav\t1\t2\tdog\n")
    with pytest.raises(InputError, match="line 1: labels of 'x.wav', but there is no such recording"):
        labelled_recordings(tmp_path)


def test_every_format_has_a_suffix_that_is_read():
    """And none is empty: `--out` would otherwise write over recordings in the same folder."""
    assert all(form.suffix in LABEL_SUFFIXES for form in FORMATS.values())


def raven(*rows):
    return "Selection\tBegin Time (s)\tEnd Time (s)\tAnnotation\n" + "".join(
        f"{i}\t{row}\n" for i, row in enumerate(rows)
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "1.0\t2.5\tdog\n\\\t100\t900\n3\t4\tcat\n"),
        ("a.txt", "\ufeff3\t4\tcat 0.93\r\n1.0\t2.5\tdog 1.00\r\n"),
        ("a.txt", "1,0\t2,5\tdog\n3,0\t4,0\tcat\n"),
        ("a.txt", "a.wav\t1\t2.5\tdog\na.wav\t3\t4\tcat\n"),  # the challenge's list
        ("a.wav.txt", "mixtures/a.wav\t1\t2.5\tdog\nmixtures/a.wav\t3\t4\tcat\n"),
        ("a.Table.1.selections.txt", raven("1.0\t2.5\tdog", "3\t4\tcat")),
        ("a.selections.txt", raven("3\t4\tcat", "1.0\t2.5\tdog")),
        ("a.txt", raven("1.0\t2.5\tdog", "3\t4\tcat")),
        ("a.csv", "onset,offset,label\n1.0,2.5,dog\n3,4,cat\n"),
        ("a.csv", "label;end;start\ndog;2,5;1,0\ncat;4;3\n"),
        ("a.csv", "1.0,2.5,dog\n3,4,cat\n"),
        ("a.tsv", "onset\toffset\tevent_label\n1.0\t2.5\tdog\n3\t4\tcat\n"),
        ("a.rttm", ";; by hand\nSPEAKER a 1 1.0 1.5 <NA> <NA> dog <NA>\nSPEAKER a 1 3 1 <NA> <NA> cat <NA> <NA>\n"),
        ("a.json", '{"events": [{"onset_s": 1, "offset_s": 2.5, "label": "dog"},\n'
            '{"onset_s": 3, "offset_s": 4, "label": "cat"}]}'),
        ("a.json", '{"onset_s": 1, "offset_s": 2.5, "label": "dog"}\n{"onset_s": 3, "offset_s": 4, "label": "cat"}\n'),
        ("a.jams", '{"annotations": [{"data": [{"time": 1, "duration": 1.5, "value": "dog"}]},'
            '{"data": [{"time": 3, "duration": 1, "value": "cat"}]}]}'),
        ("list.csv", "file,onset,offset,label\na.wav,1.0,2.5,dog\na.wav,3,4,cat\n"),
        ("all.rttm", "SPEAKER a 1 1.0 1.5 <NA> <NA> dog\nSPEAKER a 1 3 1 <NA> <NA> cat\n"),
    ],
)  # fmt: skip
def test_forms(tmp_path, name, text):
    """As people and their programs write them."""
    write_sound(tmp_path / "a.wav")
    put(tmp_path / name, text)
    (found,) = labelled_recordings(tmp_path)
    assert found == LabelledRecording(tmp_path / "a.wav", 60.0, "a.wav", ((1.0, 2.5, "dog"), (3.0, 4.0, "cat")))
    assert labelled_recordings(tmp_path, "cat")[0].events == ((3.0, 4.0, "cat"),)


@pytest.mark.parametrize("suffix", LABEL_SUFFIXES)
def test_an_empty_label_file_says_that_there_is_no_event(tmp_path, suffix):
    write_sound(tmp_path / "a.wav")
    for text in ("", " \n\n"):
        put(tmp_path / f"a{suffix}", text)
        assert labelled_recordings(tmp_path)[0].events == ()


def test_quiet_recordings_need_no_labels(tmp_path):
    """In a folder of that name, also when it is the one that is read; hidden files count nowhere."""
    write_sound(tmp_path / "night/Quiet/deep/a.flac")
    write_sound(tmp_path / "night/Quiet/.b.wav")
    put(tmp_path / "night/Quiet/.c.txt", "x")
    for folder in (tmp_path, tmp_path / "night/Quiet", tmp_path / "night/Quiet/deep/.."):
        assert [recording.events for recording in labelled_recordings(folder)] == [()]
    put(tmp_path / "night/Quiet/deep/a.txt", "")
    assert labelled_recordings(tmp_path)[0].recording == "night/Quiet/deep/a.flac"
    put(tmp_path / "recordings.csv", "file,recording\nnight/Quiet/deep/a.flac,first night\n")
    assert labelled_recordings(tmp_path)[0].recording == "first night"


def test_files_that_say_the_same_may_be_several(tmp_path):
    """To a millisecond; the one that names the classes counts."""
    write_sound(tmp_path / "a.wav")
    put(tmp_path / "a.rttm", "SPEAKER a 1 1.235 1.5 <NA> <NA> <NA>\n")
    put(tmp_path / "a.txt", "1.234567\t2.734567\tdog\n")
    assert labelled_recordings(tmp_path)[0].events == ((1.234567, 2.734567, "dog"),)


FAULTS = {
    "beyond": ({"a.txt": "1\t2\tdog\n59\t60.002\tdog\n"},
        "{}/a.txt, line 2: offset 60.002 s lies beyond the end of a.wav (60.000 s)"),
    "backwards": ({"a.txt": "1\t2\tdog\n\n4\t3\tdog\n"}, "{}/a.txt, line 3: offset 3 s is not after onset 4 s"),
    "point": ({"a.txt": "4\t4\tdog\n"}, "{}/a.txt, line 1: offset 4 s is not after onset 4 s"),
    "negative": ({"a.csv": "onset,offset,label\n-1,2,dog\n"}, "{}/a.csv, line 2: negative onset, -1 s"),
    "overlap": ({"a.txt": "4\t6\tdog\n1\t2\tdog\n5.9\t7\tdog\n"},
        "{}/a.txt, line 3: event of class 'dog' from 5.9 s overlaps the one from 4 s to 6 s (line 1)"),
    "within": ({"a.txt": "1\t9\tdog\n2\t3\tdog\n"},
        "{}/a.txt, line 2: event of class 'dog' from 2 s overlaps the one from 1 s to 9 s (line 1)"),
    "no recording": ({"a.txt": "", "b.txt": "1\t2\tdog\n"},
        "{}/b.txt, line 1: labels of 'b', but there is no such recording in {}"),
    "no recording, empty": ({"a.txt": "", "b.txt": ""}, "{}/b.txt: no labels in it, and no recording b beside it"),
    "in a list": ({"all.csv": "a.wav\t1\t2\tdog\nb.wav\t1\t2\tdog\n"},
        "{}/all.csv, line 2: labels of 'b.wav', but there is no such recording in {}"),
    "in a list of others": ({"a.txt": "", "all.csv": "a.wav\t1\t2\tdog\n"},
        "{}/all.csv, line 1: event from 1 s to 2 s is not in {}/a.txt, which is about the same recording"),
    "other text": ({"a.txt": "", "README.txt": "Made in May, by us\n"}, "{}/README.txt, line 1: 2 fields; expected 1 "
        "(file), 3 (file, onset, offset) or 4 (and label); it was taken for labels, but there is no recording README "
        "beside it"),
    "of another": ({"a.csv": "b.wav\t1\t2\tdog\n"}, "{}/a.csv, line 1: is about 'b.wav', not about a.wav beside it"),
    "no labels": ({}, "{}/a.wav: no labels beside it, and an unlabelled recording is not a quiet one: write a.txt, "
        "empty if there is no event, or move it into a folder quiet"),
    "disagree": ({"a.txt": "1\t2\tdog\n3\t4\tdog\n", "a.csv": "onset,offset,label\n1,2,dog\n3.002,4,dog\n"},
        "{}/a.txt, line 2: event from 3 s to 4 s is not in {}/a.csv, which is about the same recording"),
    "disagree, none": ({"a.txt": "1\t2\tdog\n", "a.csv": ""},
        "{}/a.txt, line 1: event from 1 s to 2 s is not in {}/a.csv, which is about the same recording"),
    "disagree, class": ({"a.txt": "1\t2\tdog\n", "a.csv": "onset,offset,label\n1,2,cat\n"},
        "{}/a.txt, line 1: event from 1 s to 2 s is not in {}/a.csv, which is about the same recording"),
    "case": ({"a.txt": "1\t2\tdog bark\n3\t4\tDog_bark\n"},
        "{}/a.txt, line 2: class 'Dog_bark' is 'dog bark' in {}/a.txt, line 1; give a class one name"),
    "class": ({"a.txt": "1\t2\tnone\n"},
        "{}/a.txt, line 1: 'none' cannot be a class: no event list can hold it as a label"),
    "no class": ({"a.txt": "1\t2\tdog\n3\t4\n"}, "{}/a.txt, line 2: an event without a class"),
    "NaN": ({"a.txt": "1\t2\tdog\nnan\t4\tdog\n"}, "{}/a.txt, line 2: onset is 'nan'; expected seconds"),
    "NaN, Raven": ({"a.txt": raven("1\tnan\tdog")}, "{}/a.txt, line 2: a selection without begin and end time"),
    "NaN, JSON": ({"a.json": '{"events": [{"onset_s": NaN, "offset_s": 2}]}'},
        "{}/a.json, line 1: onset is nan; expected seconds"),
    "NaN, JAMS": ({"a.jams": '{"annotations": [{"data": [{"time": 1, "duration": 1e999, "value": "dog"}]}]}'},
        "{}/a.jams, event 1: duration is inf; expected seconds"),
    "NaN, RTTM": ({"a.rttm": "SPEAKER a 1 x 2 <NA> <NA> dog\n"}, "{}/a.rttm, line 1: onset is 'x'; expected seconds"),
    "RTTM": ({"a.rttm": "\nSPEAKER a 1\n"}, "{}/a.rttm, line 2: 3 fields; a SPEAKER of RTTM has 9 or 10"),
    "JSON": ({"a.json": "[1, 2]"}, "{}/a.json, line 1: not an object with events"),
    "no JAMS": ({"a.jams": "{}"}, "{}/a.jams: not a JAMS file with annotations of time, duration and value"),
    "table": ({"a.txt": "onset (s) offset (s) h:mm:ss p recording\nx\n"},
        "{}/a.txt, line 2: not a row of a table of events"),
    "text": ({"a.txt": "\n1\t2\tdog\n3\t4\tdog\tcat\tcow\n"},
        "{}/a.txt, line 3: 5 fields; expected 2 (onset, offset) or 3 (and label)"),
    "two of a name": ({"a.flac": None, "a.txt": ""},
        "{}/a.txt: are these labels of a.flac or of a.wav? Call it a.flac.txt"),
    "no sound": ({"a.txt": "", "b.wav": "no sound", "b.txt": ""},
        "{}/b.wav: not a readable sound file (Format not recognised)"),
    "quiet": ({"a.txt": "", "quiet/b.wav": None, "quiet/b.txt": "1\t2\tdog\n"},
        "{}/quiet/b.txt, line 1: an event in {}/quiet/b.wav, which lies in a folder quiet"),
    "recordings.csv": ({"a.txt": "", "recordings.csv": "file,recording\nb.wav,x\n"},
        "{}/recordings.csv, line 2: b.wav is not a sound file of this folder"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_one_line_for_each_fault(tmp_path, fault):
    write_sound(tmp_path / "a.wav")
    files, message = FAULTS[fault]
    for name, text in files.items():
        if text is None:
            write_sound(tmp_path / name)
        else:
            put(tmp_path / name, text)
    with pytest.raises(InputError) as raised:
        labelled_recordings(tmp_path)
    lines = str(raised.value).splitlines()
    expected = message.replace("{}", str(tmp_path))
    assert lines == [expected]


def test_faults_are_named_together(tmp_path):
    for name in ("a", "b", "c", "d"):
        write_sound(tmp_path / f"{name}.wav")
    put(tmp_path / "a.txt", "5\t4\tdog\n")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xfa")
    put(tmp_path / "d.txt", "1\t2\tdog\n")
    with pytest.raises(InputError) as raised:
        labelled_recordings(tmp_path)
    heading, *lines = str(raised.value).splitlines()
    assert heading == "3 recordings or labels cannot be used:"
    assert [line.split(str(tmp_path))[1].partition(":")[0] for line in lines] == ["/b.txt", "/a.txt, line 1", "/c.wav"]


@pytest.mark.parametrize(("name", "reason"), [("none", "no such folder"), ("file", "not a folder"), ("", "no sound")])
def test_folders_without_recordings(tmp_path, name, reason):
    put(tmp_path / "file", "")
    with pytest.raises(InputError, match=reason):
        labelled_recordings(tmp_path / name)


def test_a_touch_is_no_overlap_and_the_end_may_be_rounded(tmp_path):
    write_sound(tmp_path / "a.wav")
    put(tmp_path / "a.txt", "1\t2.0004\tdog\n2\t3\tdog\n2.5\t4\tcat\n50\t60.0009\tdog\n")
    assert len(labelled_recordings(tmp_path)[0].events) == 4


# sound folders with recordings/


def samples(path):
    return soundfile.read(path, dtype="float64")[0]


@pytest.fixture
def sounds(tmp_path):
    """Three labelled recordings, one in each subset, a quiet one in training; two classes, no other sounds."""
    root = tmp_path / "sounds"
    for name in ("one.wav", "hall/two.flac", "three.wav"):
        write_sound(root / "recordings" / name, 100.0, SAMPLE_RATE // 2)
    write_sound(root / "recordings/quiet/four.wav", 45.0, SAMPLE_RATE // 2)
    put(root / "recordings/one.txt", "12.5\t13.25\tdog\n14\t15\tcat\n60\t61.123456\tdog\n95\t96\tdog\n")
    put(root / "recordings/hall/two.csv", "onset,offset,label\n20,21,dog\n40,41,cat\n")
    put(root / "recordings/three.wav.txt", "20\t21\tdog\n22\t23\tdog\n50\t51\tcat\n")
    rows = [("one.wav", "train"), ("hall/two.flac", "dev"), ("three.wav", "eval"), ("quiet/four.wav", "train")]
    put(root / "split.csv", "file,subset\n" + "".join(f"recordings/{name},{subset}\n" for name, subset in rows))
    return root


def add_sounds(root):
    """events/ and backgrounds/, of which every subset has something."""
    for kind in ("events/dog", "backgrounds"):
        for i in range(3):
            write_sound(root / kind / f"{i}.wav", 1.0 + 29 * (kind == "backgrounds"), SAMPLE_RATE)


def test_training_recordings_are_cut(sounds):
    """Events are the samples between their times; backgrounds are what is a second away from all of them."""
    whole = samples(write_sound(sounds / "recordings/one.wav", 100.0, SAMPLE_RATE))
    bank = open_bank(sounds)
    assert bank.classes == ("cat", "dog")
    clips = bank.events("dog", "train")
    assert [clip.key for clip in clips] == [
        f"../recordings/one.wav@{part}" for part in ("12.5-13.25", "60-61.123456", "95-96")
    ]
    for clip, onset_s in zip(clips, (12.5, 60, 95), strict=True):
        y = event_clip(bank, clip.key, clip.onset_s, clip.offset_s)
        assert len(y) == int(clip.offset_s * SAMPLE_RATE) and abs(clip.length_s * SAMPLE_RATE - len(y)) < 1
        assert np.array_equal(y, whole[int(onset_s * SAMPLE_RATE) :][: len(y)])
    assert bank.backgrounds("train") == [
        Background("../recordings/one.wav", "recordings", 0.0, 11.5),
        Background("../recordings/one.wav", "recordings", 16.0, 30.0),
        Background("../recordings/one.wav", "recordings", 46.0, 13.0),
        Background("../recordings/one.wav", "recordings", 62.123456, 30.0),
        Background("../recordings/quiet/four.wav", "quiet", 0.0, 30.0),
        Background("../recordings/quiet/four.wav", "quiet", 30.0, 15.0),
    ]
    events = labelled_recordings(sounds / "recordings")[1].events
    for piece in bank.backgrounds("train")[:4]:
        last_s = piece.start_s + piece.duration_s
        assert all(last_s <= on - MARGIN_S + 1e-9 or piece.start_s >= off + MARGIN_S - 1e-9 for on, off, _ in events)
    y = bank.background_audio("../recordings/one.wav", 16.0, 30.0)
    assert np.array_equal(y, whole[16 * SAMPLE_RATE : 46 * SAMPLE_RATE])


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_a_paused_recorder_gives_no_backgrounds(tmp_path, suffix):
    """Two minutes of which 29 s … 61 s are zero, and a second that has a single step at its end."""
    y = 0.1 * np.random.default_rng(0).normal(size=(120, 8000))
    y[29:61] = y[90:120] = 0
    y[119, -1] = 2.0**-15
    path = tmp_path / f"recordings/quiet/a.{suffix}"
    path.parent.mkdir(parents=True)
    soundfile.write(path, y.ravel(), 8000)
    write_sound(tmp_path / "events/dog/1.wav", 1.0)
    starts = [piece.start_s for piece in open_bank(tmp_path).backgrounds("train")]
    assert starts == [0.0, 60.0, 90.0] or suffix == "mp3" and starts[:2] == [0.0, 60.0]  # it may lose the step


def test_recordings_stay_whole_in_dev_and_eval(sounds):
    """With other sounds to mix; without them, mixtures of a subset are made of its recordings."""
    alone = open_bank(sounds)
    add_sounds(sounds)
    bank = open_bank(sounds)
    for subset, name in (("dev", "hall/two.flac"), ("eval", "three.wav")):
        (whole,) = bank.recordings(subset)
        assert (whole.path, whole.recording) == (sounds / "recordings" / name, f"recordings/{name}")
        assert whole.duration_s == 100 and {label for _, _, label in whole.events} == {"dog", "cat"}
        assert not any("recordings" in sound.key for sound in bank.events("dog", subset) + bank.backgrounds(subset))
        assert {clip.key.partition("@")[0] for clip in bank.events("cat", subset)} == {f"../recordings/{name}"}
        assert {sound.key.partition("@")[0] for sound in alone.events("dog", subset) + alone.backgrounds(subset)} == {
            f"../recordings/{name}"
        }
    assert {clip.key for clip in bank.events("dog", "train")} > {clip.key for clip in alone.events("dog", "train")}
    assert len(bank.recordings("train")) == 2
    for other in ("builtin",):
        assert [open_bank(other).recordings(subset) for subset in SUBSETS] == [[], [], []]
    with pytest.raises(ValueError, match="train, dev, eval"):
        bank.recordings("test")


def test_every_recipe_renders_and_is_read_back(sounds, tmp_path):
    bank = open_bank(sounds)
    for subset in SUBSETS:
        recipes = draw_recipes(bank, "dog", subset, 12, 0)
        for recipe in recipes:
            y = render(recipe, bank)
            assert len(y) == 30 * SAMPLE_RATE and np.isfinite(y).all() and np.std(y) > 0
        write_recipes(tmp_path / "recipes.yaml", recipes)
        assert read_recipes(tmp_path / "recipes.yaml") == recipes
    with pytest.raises(InputError, match="not a part of a recording"):
        bank.event_audio("../recordings/one.wav")
    for key in ("../recordings/../split.csv@1-2", "../recordings//etc/passwd@1-2"):
        with pytest.raises(InputError, match="lies outside"):
            bank.event_audio(key)


def test_recordings_never_cross_subsets(sounds):
    """One occasion is in one subset, also of files in events/ and recordings/; by list and by hash."""
    add_sounds(sounds)
    put(sounds / "recordings.csv", "file,recording\nrecordings/one.wav,monday\nevents/dog/0.wav,monday\n")
    bank = open_bank(sounds)
    assert "dog/0.wav" in {clip.key for clip in bank.events("dog", "train")}
    assert {bank.event_recording(clip.key) for clip in bank.events("cat", "train")} == {"monday"}
    assert "monday" in {bank.background_recording(piece.key) for piece in bank.backgrounds("train")}
    assert [whole.recording for whole in bank.recordings("train")] == ["monday", "recordings/quiet/four.wav"]
    (sounds / "split.csv").unlink()
    for folds in ("", "1/2", "2/2"):
        bank = open_bank(sounds, fold=folds)
        places = {}
        for subset in SUBSETS:
            own = {bank.event_recording(clip.key) for label in bank.classes for clip in bank._events(label, subset)}
            own |= {bank.background_recording(piece.key) for piece in bank._backgrounds(subset)}
            own |= {whole.recording for whole in bank.recordings(subset)}
            for recording in own:
                places.setdefault(recording, set()).add(subset)
        assert all(len(subsets) == 1 for subsets in places.values()) and set.union(*places.values()) == {*SUBSETS}
    put(sounds / "split.csv", "file,subset\nevents/dog/0.wav,train\nrecordings/one.wav,dev\n")
    reason = "recordings/one.wav is in 'dev', another file of its recording 'monday' in 'train'"
    with pytest.raises(InputError, match=rf"split\.csv, line 3: {reason}"):
        open_bank(sounds)


def test_each_fold_trains_on_what_others_measure(sounds):
    """A recording that is whole in one fold is cut in the other."""
    add_sounds(sounds)
    write_sound(sounds / "recordings/quiet/five.wav", 0.5)  # gives no background, and is measured
    with open(sounds / "split.csv", "a") as file:
        file.write("recordings/quiet/five.wav,dev\n")
    found = [open_bank(sounds, fold=f"{k}/2") for k in (1, 2)]
    whole = [{w.recording for w in bank.recordings("dev")} for bank in found]
    assert not whole[0] & whole[1] and sorted(whole[0] | whole[1]) == sorted(
        f"recordings/{name}" for name in ("one.wav", "hall/two.flac", "quiet/four.wav", "quiet/five.wav")
    )
    for bank, other in zip(found, whole[::-1], strict=True):
        cut = {bank.event_recording(clip.key) for clip in bank.events("dog", "train") if "@" in clip.key}
        assert cut == other - {"recordings/quiet/four.wav", "recordings/quiet/five.wav"}
        assert {w.recording for w in bank.recordings("train")} == other


def test_inventory_and_equal_files(sounds):
    bank = open_bank(sounds)
    assert holding(bank, "dog", "train")[:4] == (3, 1, 6, 2)
    train, dev, warning, *_ = inventory_lines(bank, "dog", ("train", "dev"))
    assert train.endswith("3 events of 1 recording and 6 background pieces of 2 recordings, 2.2 minutes together")
    assert dev.endswith("; 1 whole recording, 1.7 minutes with 1 event") and "fewer than 10 recordings" in warning
    shutil.copy(sounds / "recordings/one.wav", sounds / "recordings/twin.wav")
    put(sounds / "recordings/twin.txt", "")
    with open(sounds / "split.csv", "a") as file:
        file.write("recordings/twin.wav,eval\n")
    assert repeated(open_bank(sounds), "dog") == (
        "warning: the same recording in several subsets, so scores flatter: recordings/one.wav (train) = "
        "recordings/twin.wav (eval)"
    )


def test_the_fingerprint_follows_labels(sounds):
    bank = open_bank(sounds)
    seen = {bank.fingerprint()}
    put(sounds / "recordings/three.wav.txt", "20\t21\tdog\n22\t23\tdog\n50\t51.5\tcat\n")
    seen.add(open_bank(sounds).fingerprint())
    put(sounds / "recordings/three.wav.txt", "20\t21\tdog\n22\t23\tdog\n50\t51.5\tcow\n")
    seen.add(open_bank(sounds).fingerprint())
    put(sounds / "recordings/three.wav.txt", "")
    seen.add(open_bank(sounds).fingerprint())
    assert len(seen) == 4
    again = pickle.loads(pickle.dumps(bank))
    assert again.recordings("dev") == bank.recordings("dev") and again.classes == bank.classes


def test_labels_without_a_class_are_of_the_only_one(sounds):
    shutil.rmtree(sounds / "recordings")
    (sounds / "split.csv").unlink()
    write_sound(sounds / "recordings/one.wav")
    put(sounds / "recordings/one.txt", "5\t6\n")
    with pytest.raises(InputError, match="no class in any label"):
        open_bank(sounds)
    add_sounds(sounds)
    assert open_bank(sounds).recordings("train")[0].events == ((5.0, 6.0, "dog"),)
    write_sound(sounds / "events/cat/1.wav", 1.0)
    with pytest.raises(InputError, match=r"one\.txt, line 1: an event without a class"):
        open_bank(sounds)
    put(sounds / "recordings/one.txt", "5\t6\tDog\n")
    with pytest.raises(InputError, match=r"one\.txt, line 1: class 'Dog' is 'dog'; give a class one name"):
        open_bank(sounds)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: shutil.rmtree(root / "recordings"), "no events folder in it"),
        (lambda root: [shutil.rmtree(root / "recordings"), put(root / "recordings", "")], "recordings: not a folder"),
        (lambda root: [shutil.rmtree(root / "recordings"), (root / "recordings").mkdir()], "recordings: no sound"),
        (lambda root: put(root / "events", ""), "no events folder in it"),
        (lambda root: (root / "backgrounds").mkdir(), "backgrounds: no sound files"),
        (lambda root: put(root / "recordings/one.txt", "99\t101\tdog\n"), r"one\.txt, line 1: offset 101 s"),
        (lambda root: put(root / "split.csv", "file,subset\nrecordings/no.wav,dev\n"), "line 2: recordings/no.wav is"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_used(sounds, spoil, message):
    spoil(sounds)
    with pytest.raises(InputError, match=message) as raised:
        open_bank(sounds)
    assert "\n" not in str(raised.value)


MIX_FROM_AN_HOUR = """
import sys
from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import open_bank
from tests.peak_memory import peak_bytes

bank = open_bank(sys.argv[1])
for recipe in draw_recipes(bank, "dog", "train", 10, 0):
    render(recipe, bank)
print(len(bank.events("dog", "train")), peak_bytes())
"""


def test_an_hour_is_read_in_parts(tmp_path):
    """As samples at the rate of mixtures it takes 1.3 GB; the process that makes ten mixtures of it takes 63 MB."""
    write_sound(tmp_path / "recordings/hour.flac", 3600.0, 4000)
    put(tmp_path / "recordings/hour.txt", "".join(f"{60 * i}.5\t{60 * i + 1}\tdog\n" for i in range(60)))
    command = [sys.executable, "-c", MIX_FROM_AN_HOUR, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    n_events, peak = map(int, ran.stdout.split())
    assert n_events == 60 and peak < 200e6, peak
