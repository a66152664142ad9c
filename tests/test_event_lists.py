"""DCASE event lists: every form that is read, the one that is written, and what is refused with file and line."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.errors import InputError
from data_tools.event_lists import is_field, is_label, read_event_list, write_event_list
from data_tools.label_tracks import read_label_track

# The made-up example of the official format.
EVENTS = {"mix_000.wav": [(3.25, 4.5, "gunshot")], "mix_001.wav": [], "mix_002.wav": [(0.5, 1e-05, "gunshot")]}


def write_bytes(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "mix_000.wav\t3.25\t4.5\tgunshot\nmix_001.wav\nmix_002.wav\t0.5\t1e-05\tgunshot\n",  # official
        "mix_000.wav\t3.25\t4.5\tgunshot\nmix_001.wav\nmix_002.wav\t0.5\t1e-05\tgunshot",  # no end of the last line
        "mix_000.wav\t3,25\t4,5\tgunshot\nmix_001.wav\nmix_002.wav\t0,5\t1e-05\tgunshot\n",  # decimal comma
        "mix_000.wav;3.25;4.5;gunshot\nmix_001.wav\nmix_002.wav;0.5;1e-05;gunshot\n",
        "mix_000.wav;3,25;4,5;gunshot\nmix_001.wav;;;\nmix_002.wav;0,5;1e-05;gunshot\n",
        "mix_000.wav,3.25,4.5,gunshot\nmix_001.wav\nmix_002.wav,0.5,1e-05,gunshot\n",
        'mix_000.wav,"3.25","4.5","gunshot"\nmix_001.wav,,,\n"mix_002.wav",0.5,1e-05,gunshot\n',
        "mix_000.wav\t3.25\t4.5\tgunshot\r\n\r\nmix_001.wav\t\t\t\r\nmix_002.wav\t0.5\t1e-05\tgunshot\r\n",
        "\ufeffmix_000.wav\t3.25\t4.5\tgunshot\rmix_001.wav\rmix_002.wav\t0.5\t1e-05\tgunshot\r",
        "\ufefffile\tonset\toffset\tevent_label\nmix_000.wav\t3.25\t4.5\tgunshot\nmix_001.wav\nmix_002.wav\t0.5\t1e-05\tgunshot\n",
        "\n  \nmix_000.wav \t 3.25\t4.5 \t gunshot\nmix_001.wav\n\nmix_002.wav\t0.5\t1e-05\tgunshot\n \n",
        "event_label,scene,filename,event_offset,event_onset\ngunshot,park,mix_000.wav,4.5,3.25\n,park,mix_001.wav,,\n"
        "gunshot,tram,mix_002.wav,1e-05,0.5\n",  # other columns, other order
        "mix_000.wav\t3.25\t4.5\tgunshot\nmix_001.wav\t0\t30\tNone\nmix_002.wav\t0.5\t1e-05\tgunshot\n",  # null label
    ],
)
def test_forms(tmp_path, content):
    events = read_event_list(write_bytes(tmp_path / "list.csv", content))
    assert events == EVENTS
    assert list(events) == list(EVENTS)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n \r\n", b"file\tonset\toffset\tevent_label\n"])
def test_empty(tmp_path, content):
    assert read_event_list(write_bytes(tmp_path / "list.csv", content)) == {}


def test_without_labels_and_with_several_events(tmp_path):
    content = "b.wav\t5\t6\na.wav\nb.wav\t-0.5\t0.25\nb.wav\nb.wav\t5\t6\t\n"
    events = {"b.wav": [(5.0, 6.0), (-0.5, 0.25), (5.0, 6.0)], "a.wav": []}
    assert read_event_list(write_bytes(tmp_path / "list.csv", content)) == events


def test_names_keep_folders_and_other_separators(tmp_path):
    content = "data, old/a;1.wav\t1\t2\tdog\nC:\\ä.wav\n"
    path = write_bytes(tmp_path / "list.csv", content)
    assert read_event_list(path) == {"data, old/a;1.wav": [(1.0, 2.0, "dog")], "C:\\ä.wav": []}


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ("a.wav\t1.0\t2.0\tdog\nb.wav\tone\t2.0\tdog\n", 2, "onset is 'one'; expected seconds"),
        ("a.wav\t1.0\t2.0\tdog\n\n\nb.wav\t1.0\t\tdog\n", 4, "offset is ''; expected seconds"),
        ("a.wav\t1.0\tnan\tdog\n", 1, "offset is 'nan'"),
        ("a.wav\tinf\t2\tdog\n", 1, "onset is 'inf'"),
        ("a.wav\t1_0\t2\tdog\n", 1, "onset is '1_0'"),
        ("a.wav\t1.0\n", 1, "2 fields; expected"),
        ("a.wav\t1.0\t2.0\tdog\tpark\n", 1, "5 fields; expected"),
        ("a.wav,1,5,2,5,dog\n", 1, "6 fields; expected"),  # decimal and column commas cannot be told apart
        ("1.0\t2.0\tdog\n", 1, "offset is 'dog'"),  # a list of one file's events has no file column
        ("a.wav\t1.0\t2.0\tdog\n\t1.0\t2.0\tdog\n", 2, "no file name"),
        ("a.wav\t\t\tdog\n", 1, "onset is ''"),
        ('"a.wav\t1.0\t2.0\tdog\n', 1, "unexpected end of data"),
        ("a.wav\t1.0\t2.0\tdog\nb.wav\nb.wav\t1.0\t2.0\n", 3, "no label, but line 1 has one"),
        ("a.wav\t1.0\t2.0\nb.wav\t1.0\t2.0\tdog\n", 1, "no label, but line 2 has one"),
        ("file,onset,offset,start\n", 1, "header names onset twice"),
        ("file,onset,offset\na.wav,1,2,dog\n", 2, "4 fields; expected"),
    ],
)
def test_malformed_line_is_named(tmp_path, content, line, reason):
    path = write_bytes(tmp_path / "bad.csv", content)
    with pytest.raises(InputError) as raised:
        read_event_list(path)
    assert str(raised.value).startswith(f"{path}, line {line}: ")
    assert reason in str(raised.value)


@pytest.mark.parametrize("content", [b"RIFF\x24\x80\xff\xfeWAVE", "a.wav\t1\t2\tdog\n".encode("utf-16")])
def test_not_text(tmp_path, content):
    with pytest.raises(InputError, match="bad.csv: not UTF-8 text"):
        read_event_list(write_bytes(tmp_path / "bad.csv", content))


def test_cannot_be_opened(tmp_path):
    for path, reason in ((tmp_path / "none.csv", "no such file"), (tmp_path, "is a folder"), ("/dev/zero", "a device")):
        with pytest.raises(InputError, match=reason):
            read_event_list(path)


def test_names_without_events_hold_any_separator(tmp_path):
    events = {"a;b.wav": [], "c,d.wav": [], 'e,"f".wav': [], "g.wav": []}
    write_event_list(tmp_path / "list.csv", events)
    assert read_event_list(tmp_path / "list.csv") == events


def test_written_form(tmp_path):
    """Byte for byte the official form: tabs, line feeds, no header, shortest exact times."""
    events = {"mix_000.wav": [(np.float64(3.25), 4.5, "gunshot")], "mix_001.wav": []}
    events["c.wav"] = [(1, np.float32(0.5), "cry")]
    write_event_list(tmp_path / "list.csv", events)
    expected = b"mix_000.wav\t3.25\t4.5\tgunshot\nmix_001.wav\nc.wav\t1.0\t0.5\tcry\n"
    assert (tmp_path / "list.csv").read_bytes() == expected
    assert os.listdir(tmp_path) == ["list.csv"]


# every character, those more often that have a meaning somewhere
CHARACTERS = st.one_of(st.sampled_from("\t;,\"' \n\r\0\ufeff\u2028\x85.#=-_5e\udce9"), st.characters())
TEXTS = st.one_of(st.text(CHARACTERS, min_size=1, max_size=9), st.sampled_from(["none", "None", "file", "onset", "1"]))
NAMES = TEXTS.filter(is_field)
SECONDS = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200)
@given(
    st.one_of(
        st.dictionaries(NAMES, st.just([])),
        st.dictionaries(NAMES, st.lists(st.tuples(SECONDS, SECONDS), max_size=3)),
        st.dictionaries(NAMES, st.lists(st.tuples(SECONDS, SECONDS, NAMES.filter(is_label)), max_size=3)),
    )
)
def test_what_is_written_reads_back(tmp_path_factory, events):
    """Any names, labels and times; also by `score`, which has to tell a list from a label track."""
    path = tmp_path_factory.getbasetemp() / "list.csv"
    write_event_list(path, events)
    assert read_event_list(path) == events
    assert read_label_track(path) is None


@settings(max_examples=200)
@given(
    st.dictionaries(TEXTS, st.lists(st.one_of(st.tuples(SECONDS, SECONDS), st.tuples(SECONDS, SECONDS, TEXTS)))),
)
def test_what_is_written_reads_back_or_is_refused(tmp_path_factory, events):
    """Texts that are no fields included: a list that cannot be read back the same is not written."""
    path = tmp_path_factory.getbasetemp() / "any.csv"
    try:
        write_event_list(path, events)
    except InputError:
        return
    assert read_event_list(path) == events


@pytest.mark.parametrize(
    ("events", "match"),
    [
        ({"a\tb.wav": []}, "cannot be a field"),
        ({"a\nb.wav": []}, "cannot be a field"),
        ({"": []}, "'' cannot be a field"),
        ({" a.wav": []}, "cannot be a field"),
        ({'"a.wav': []}, "cannot be a field"),
        ({"\ufeffa.wav": []}, "cannot be a field"),
        ({"caf\udce9.wav": []}, "cannot be a field"),
        ({"a.wav": [(1.0, 2.0, "None")]}, "'None' cannot be a field"),
        ({"a.wav": [(1.0, 2.0, "dog"), (1.0, 2.0)]}, "some events have a label and others have none"),
        ({"a.wav": [(1.0, 2.0, "two\twords")]}, "cannot be a field"),
        ({"a.wav": [(float("nan"), 2.0)]}, "a.wav has the times nan, 2.0"),
    ],
)
def test_refuses_to_write(tmp_path, events, match):
    path = tmp_path / "list.csv"
    path.write_text("old")
    with pytest.raises(InputError, match=match):
        write_event_list(path, {"ok.wav": []} | events)
    assert path.read_text() == "old"
