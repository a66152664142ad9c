"""Each format read back: by its own library where there is one, else by the letter of its description."""

import json
import re
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.console import counted
from data_tools.errors import InputError
from data_tools.event_lists import is_field, is_label, read_event_list
from data_tools.label_tracks import read_label_track
from minirsed.detect import __main__ as detect
from minirsed.detect.formats import FORMATS, RAVEN_COLUMNS, clock, text_of
from minirsed.recordings.files import Event, Recording

EVENTS = [Event(1.23456789, 2.5, 0.98765), Event(3701.0001, 3702.75, 0.5012)]
NAME, LABEL = "süb dir/a b 100%.wav", "door bell"
DETECTOR = SimpleNamespace(label=LABEL, thres0=0.5, thres1=0.4)


def recording(events=EVENTS, probability=None):
    return Recording(4000.0, events, probability, np.zeros(5))


def written(name, *recordings):
    names = [NAME, "quiet.wav", "third.wav"]
    return text_of(FORMATS[name], DETECTOR, list(zip(names, recordings, strict=False)))


def check(events, tolerance=0.0005):
    assert [(onset, offset) for onset, offset, *_ in events] == [
        pytest.approx(event[:2], abs=tolerance * 1.001) for event in EVENTS
    ]


def test_csv_is_an_event_list(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(written("csv", recording(), recording([])), encoding="utf-8")
    events = read_event_list(path)
    assert list(events) == [NAME, "quiet.wav"] and events["quiet.wav"] == []
    check(events[NAME])
    assert {label for _, _, label in events[NAME]} == {LABEL}
    assert path.read_text(encoding="utf-8").splitlines()[1].split("\t")[4] == "0.9877"


def test_csv_is_read_by_the_challenges_own_library(tmp_path):
    """The library that sed_eval reads lists with; not in the test extra, for it needs an old setuptools."""
    dcase_util = pytest.importorskip("dcase_util", exc_type=ImportError)
    path = tmp_path / "list.csv"
    path.write_text(written("csv", recording(), recording([])), encoding="utf-8")
    rows = dcase_util.containers.MetaDataContainer().load(str(path))
    check([(row["onset"], row["offset"]) for row in rows if "onset" in row])
    assert [row["filename"] for row in rows] == [NAME, NAME, "quiet.wav"]
    assert [row["event_label"] for row in rows[:2]] == [LABEL] * 2


@pytest.mark.parametrize("name", ["a\tb.wav", "a\nb.wav", '"a.wav', " a.wav"])
def test_csv_refuses_what_would_break_it(name):
    for events in (EVENTS, []):
        with pytest.raises(InputError, match="cannot be a field of an event list"):
            text_of(FORMATS["csv"], DETECTOR, [(name, recording(events))])


def test_audacity():
    """Start, end, label; tabs between them, as Audacity's manual has it (Importing and Exporting Labels)."""
    lines = [line.split("\t") for line in written("audacity", recording()).splitlines()]
    check([(float(onset), float(offset)) for onset, offset, _ in lines], 1e-6)
    assert [label for *_, label in lines] == ["door bell 0.99", "door bell 0.50"]
    assert written("audacity", recording([])) == ""


def test_raven():
    """Columns by name, selections counted from 1, the view that Raven needs to show a selection."""
    header, *lines = (line.split("\t") for line in written("raven", recording()).splitlines())
    assert tuple(header) == RAVEN_COLUMNS and all(len(line) == len(header) for line in lines)
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert [row["Selection"] for row in rows] == ["1", "2"]
    assert {row["View"] for row in rows} == {"Spectrogram 1"} and {row["Channel"] for row in rows} == {"1"}
    check([(float(row["Begin Time (s)"]), float(row["End Time (s)"])) for row in rows], 1e-6)
    assert all(0 <= float(row["Low Freq (Hz)"]) < float(row["High Freq (Hz)"]) for row in rows)
    assert [row["Confidence"] for row in rows] == ["0.9877", "0.5012"]
    assert written("raven", recording([])).splitlines() == ["\t".join(RAVEN_COLUMNS)]


def test_raven_and_audacity_are_read_by_crowsetta(tmp_path):
    """A library of birdsong annotations (`pip install crowsetta`)."""
    crowsetta = pytest.importorskip("crowsetta")
    for name, suffix in (("raven", ".selections.txt"), ("audacity", ".txt")):
        path = tmp_path / f"x{suffix}"
        path.write_text(written(name, recording()), encoding="utf-8")
        if name == "raven":
            boxes = crowsetta.formats.bbox.Raven.from_file(path, annot_col="Annotation").to_bbox()
            check([(box.onset, box.offset) for box in boxes], 1e-6)
            assert {box.label for box in boxes} == {LABEL}
        else:
            sequence = crowsetta.formats.seq.AudSeq.from_file(path).to_seq()
            check(list(zip(sequence.onsets_s, sequence.offsets_s, strict=True)))  # it rounds to milliseconds
            assert list(sequence.labels) == ["door bell 0.99", "door bell 0.50"]


def test_rttm_is_read_by_pyannote(tmp_path):
    """The field's own reader (`pip install pyannote.database`)."""
    reader = pytest.importorskip("pyannote.database.util")
    path = tmp_path / "x.rttm"
    path.write_text(written("rttm", recording(), recording([])), encoding="utf-8")
    ((name, annotation),) = reader.load_rttm(path).items()
    tracks = list(annotation.itertracks(yield_label=True))
    check([(segment.start, segment.end) for segment, *_ in tracks], 0.001)
    assert unquote(name) == NAME and {unquote(label) for *_, label in tracks} == {LABEL}


def test_rttm():
    """NIST's RT-09 plan, appendix A: type file channel onset duration orthography subtype name confidence lookahead."""
    pattern = r"SPEAKER (\S+) 1 (\d+\.\d{3}) (\d+\.\d{3}) <NA> <NA> (\S+) ([01]\.\d{4}) <NA>"
    rows = [re.fullmatch(pattern, line).groups() for line in written("rttm", recording(), recording([])).splitlines()]
    check([(float(onset), float(onset) + float(duration)) for _, onset, duration, *_ in rows], 0.001)
    assert [(unquote(row[0]), unquote(row[3])) for row in rows] == [(NAME, LABEL)] * 2


def test_json():
    lines = written("json", recording(), recording([], 0.25)).splitlines()
    first, quiet = (json.loads(line) for line in lines)
    assert [tuple(event.values()) for event in first["events"]] == EVENTS
    assert quiet == {
        **{"file": "quiet.wav", "label": LABEL, "duration_s": 4000.0, "probability": 0.25},
        **{"thres0": 0.5, "thres1": 0.4, "events": []},
    }


def test_jams(tmp_path):
    jams = pytest.importorskip("jams")
    path = tmp_path / "x.jams"
    path.write_text(written("jams", recording()), encoding="utf-8")
    jam = jams.load(str(path), strict=True)
    assert jam.file_metadata.duration == 4000.0 and jam.file_metadata.title == NAME
    (annotation,) = jam.annotations
    assert annotation.namespace == "segment_open" and annotation.validate()
    check([(event.time, event.time + event.duration) for event in annotation.data], 1e-6)
    assert [event.confidence for event in annotation.data] == pytest.approx([0.98765, 0.5012])
    assert {event.value for event in annotation.data} == {LABEL}


def test_without_jams(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "jams", None)
    with pytest.raises(InputError, match=r'--format jams needs jams: python -m pip install -e "\.\[jams\]"$'):
        written("jams", recording())


def test_table():
    lines = written("table", recording(), recording([], 0.034), recording([])).splitlines()
    assert lines[0].split() == ["onset", "(s)", "offset", "(s)", "h:mm:ss", "p", "recording"]
    assert lines[1].split(maxsplit=4) == ["1.235", "2.500", "0:00:01", "0.99", NAME]
    assert lines[2].split(maxsplit=4) == ["3701.000", "3702.750", "1:01:41", "0.50", NAME]
    assert lines[3].split() == ["-", "-", "no", "event", "0.03", "quiet.wav"]
    assert lines[4].split() == ["-", "-", "no", "event", "-", "third.wav"]
    assert (
        len({line.rindex(name) for line, name in zip(lines, ("recording", NAME, NAME, "quiet", "third"), strict=True)})
        == 1
    )


def test_the_command_offers_these_formats():
    assert tuple(FORMATS) == detect.FORMATS


def test_words():
    assert [clock(seconds) for seconds in (0, 59.99, 60, 3661, 86400)] == [
        *("0:00:00", "0:00:59", "0:01:00", "1:01:01", "24:00:00")
    ]
    assert [counted(n, "event") for n in (0, 1, 2)] == ["0 events", "1 event", "2 events"]


TEXTS = st.text(st.one_of(st.sampled_from("\t;,\"' \n\\\ufeff0.5"), st.characters()), min_size=1, max_size=9)
TIMES = st.floats(0, 1e5)


@settings(max_examples=150)
@given(name=TEXTS, label=TEXTS, times=st.lists(st.tuples(TIMES, TIMES, st.floats(0, 1)), min_size=1, max_size=3))
@pytest.mark.parametrize(("form", "places"), [("csv", 3), ("audacity", 6), ("raven", 6)])
def test_what_is_written_reads_back_or_is_refused(form, places, name, label, times, tmp_path_factory):
    """By the readers of `score`, whatever a recording and a class are called."""
    path = tmp_path_factory.getbasetemp() / f"street.wav{FORMATS[form].suffix}"
    found = Recording(4000.0, [Event(*time) for time in times], None, np.zeros(5))
    try:
        text = text_of(FORMATS[form], SimpleNamespace(label=label, thres0=0.5, thres1=0.5), [(name, found)])
    except InputError:
        assert not is_label(label) or form == "csv" and not is_field(name)
        return
    path.write_text(text, encoding="utf-8")
    read = read_event_list(path) if form == "csv" else read_label_track(path)
    expected = {(float(f"{onset:.{places}f}"), float(f"{offset:.{places}f}"), label) for onset, offset, _ in times}
    assert list(read) == [name if form == "csv" else "street.wav"]
    assert set(*read.values()) == expected
