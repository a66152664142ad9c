"""`python -m minirsed.score` as a user runs it: real files, real output, real exit status."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_tools.event_lists import write_event_list
from minirsed.score.__main__ import main

REPOSITORY = Path(__file__).parents[1]

# Three files of the reference and the worked counts: a hit (0.1 s), b a false alarm, c a miss.
REFERENCE = "audio/a.wav\t3.25\t4.5\tgunshot\naudio/b.wav\naudio/c.wav\t1.0\t2.0\tgunshot\n"
ESTIMATED = "out/a.wav\t3.35\t9.0\tgunshot\nout/b.wav\t7.0\t8.0\tgunshot\n"


@pytest.fixture
def lists(tmp_path, monkeypatch):
    """A folder with ref.csv and est.csv, as working directory; returns a function that writes further lists."""
    monkeypatch.chdir(tmp_path)

    def write(name, content):
        (tmp_path / name).write_bytes(content.encode())
        return name

    write("ref.csv", REFERENCE)
    write("est.csv", ESTIMATED)
    return write


@pytest.fixture
def run_json(capsys):
    def run(*arguments):
        main([*arguments, "--json"])
        return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return run


def fails(capsys, *arguments):
    """Run; it must exit with status 2 and one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as raised:
        main(list(arguments))
    assert raised.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.strip().splitlines()[-1]


def test_as_a_process(lists, tmp_path):
    """By hand: n_ref 2, n_sys 2, n_tp 1, so ER = (1 + 1) / 2 = 1, P = R = F1 = 1/2."""
    result = subprocess.run(
        [sys.executable, "-m", "minirsed.score", tmp_path / "ref.csv", tmp_path / "est.csv"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == ""
    assert re.search(r"^overall +1\.0000 +0\.5000 +0\.5000 +0\.5000 +2 +2 +1 +1 +1 +0$", result.stdout, re.M)
    assert "3 files, 1 without a row" in result.stdout
    assert "0.95 interval: error_rate [" in result.stdout

    result = subprocess.run(
        [sys.executable, "-m", "minirsed.score", tmp_path / "none.csv", tmp_path / "est.csv"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.startswith("minirsed.score: error: ") and result.stderr.count("\n") == 1


def test_help_shows_settings_defaults_and_units(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "allowed distance of onsets (and offsets) (default: 0.5 seconds)" in text


def test_help_loads_no_numpy():
    """The help must come at once: ≤ 0.5 s is kept by importing nothing heavy before the arguments are read."""
    code = (
        "import sys\nfrom minirsed.score.__main__ import parse_arguments\n"
        "try: parse_arguments(['-h'])\nexcept SystemExit: sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=REPOSITORY)


def test_json(lists, run_json):
    report = run_json("ref.csv", "est.csv")
    counts = {name: report[name] for name in ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "n_subs")}
    assert counts == {"n_ref": 2, "n_sys": 2, "n_tp": 1, "n_fp": 1, "n_fn": 1, "n_subs": 0}
    assert (report["error_rate"], report["f1"]) == (1.0, 0.5)
    assert report["per_class"]["gunshot"]["f1"] == 0.5
    assert report["class_wise_average"]["error_rate"] == 1.0
    assert (report["n_files"], report["n_files_without_row"], report["unknown_files"]) == (3, 1, [])
    assert report["settings"]["collar_s"] == 0.5 and report["settings"]["evaluate_offset"] is False
    low, high = report["intervals"]["error_rate"]
    assert low <= 1.0 <= high


@pytest.mark.parametrize(
    ("options", "n_tp"),
    [
        (["--collar", "0.05"], 0),
        (["--collar", "0.1"], 0),  # 3.35 − 3.25 = 0.10000000000000009
        (["--collar", "0.11"], 1),
        (["--offset"], 0),  # the offset is 4.5 s late, max(0.5, 0.5 · 1.25)
        (["--offset", "--collar", "4.5"], 1),
        (["--offset", "--no-onset", "--collar", "0.01", "--percentage-of-length", "0"], 0),
    ],
)
def test_settings_reach_the_scorer(lists, run_json, options, n_tp):
    assert run_json("ref.csv", "est.csv", *options)["n_tp"] == n_tp


def test_conditions_are_said(lists, capsys):
    main(["ref.csv", "est.csv", "--offset"])
    assert "hit: onset within 0.5 s and offset within 0.5 s or 0.5 of the length; opt" in capsys.readouterr().out
    main(["ref.csv", "est.csv", "--offset", "--no-onset", "--matching", "greedy"])
    assert "hit: offset within 0.5 s or 0.5 of the length; greedy matching" in capsys.readouterr().out


def test_matching(lists, run_json):
    lists("two.csv", "a\t5.0\t6\na\t4.5\t5\n")
    lists("crossing.csv", "a\t4.9\t6\na\t5.4\t6\n")
    assert run_json("two.csv", "crossing.csv")["n_tp"] == 2
    assert run_json("two.csv", "crossing.csv", "--matching", "greedy")["n_tp"] == 1


def test_undefined_is_null_and_said(lists, run_json, capsys):
    lists("empty.csv", "")
    report = run_json("ref.csv", "empty.csv")
    assert report["precision"] is None and report["f1"] is None and report["intervals"]["f1"] == [None, None]
    assert run_json("ref.csv", "empty.csv", "--zero-score-empty")["f1"] == 0
    main(["ref.csv", "empty.csv"])
    assert re.search(r"^overall +1\.0000 +undefined +undefined +0\.0000", capsys.readouterr().out, re.M)
    lists("silent.csv", "a.wav\nb.wav\n")
    lists("alarm.csv", "a.wav\t1\t2\n")
    main(["silent.csv", "alarm.csv"])
    out = capsys.readouterr().out
    assert "4.50e+15" in out and "no reference events" in out


def test_files_of_the_estimates_alone_do_not_count(lists, run_json, capsys):
    lists("more.csv", ESTIMATED + "out/zz.wav\t1.0\t2.0\tgunshot\n")
    main(["ref.csv", "more.csv"])
    captured = capsys.readouterr()
    assert re.search(r"^overall +1\.0000 .* 2 +2 +1 +1 +1 +0$", captured.out, re.M)
    assert captured.err == (
        "minirsed.score: warning: more.csv: 1 file(s) that are not in ref.csv are left out, e.g. zz.wav\n"
    )
    assert run_json("ref.csv", "more.csv")["unknown_files"] == ["zz.wav"]


def test_file_names(lists, run_json, capsys):
    message = fails(capsys, "ref.csv", "est.csv", "--file-names", "path")
    assert message.endswith("error: est.csv: none of its 2 files is in ref.csv (out/a.wav against audio/a.wav)")
    lists("windows.csv", ESTIMATED.replace("out/", "C:\\out\\"))
    assert run_json("ref.csv", "windows.csv")["n_tp"] == 1
    lists("twice.csv", "one/a.wav\ntwo/a.wav\n")
    message = fails(capsys, "twice.csv", "est.csv")
    assert message.endswith("twice.csv: one/a.wav and two/a.wav have one name; use --file-names path")
    lists("one.csv", "one/a.wav\t1\t2\n")
    assert run_json("twice.csv", "one.csv", "--file-names", "path")["n_sys"] == 1


def test_labels(lists, run_json, capsys):
    lists("mixed.csv", ESTIMATED + "out/c.wav\t1.0\t2.0\tbabycry\n")
    report = run_json("ref.csv", "mixed.csv")
    assert (report["n_sys"], report["n_subs"], list(report["per_class"])) == (3, 1, ["babycry", "gunshot"])
    report = run_json("ref.csv", "mixed.csv", "--class", "gunshot")
    assert (report["n_sys"], report["n_subs"], list(report["per_class"])) == (2, 0, ["gunshot"])
    report = run_json("ref.csv", "mixed.csv", "--class", "gunshot", "--class", "babycry")
    assert list(report["per_class"]) == ["gunshot", "babycry"]

    main(["ref.csv", "mixed.csv"])
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[4:8]] == ["babycry", "gunshot", "class-wise", "overall"]

    lists("bare.csv", "a.wav\t3.3\t4\n")
    message = fails(capsys, "ref.csv", "bare.csv")
    assert message.endswith("bare.csv: names no classes, but ref.csv does; say with --class what its events are")
    message = fails(capsys, "bare.csv", "est.csv")
    assert message.endswith("bare.csv: names no classes, but est.csv does; say with --class what its events are")
    assert run_json("ref.csv", "bare.csv", "--class", "gunshot")["n_tp"] == 1
    assert run_json("bare.csv", "bare.csv")["per_class"] == {}
    message = fails(capsys, "ref.csv", "bare.csv", "--class", "gunshot", "--class", "b")
    assert message.endswith("bare.csv: names no classes, and --class names 2; give the one of its events")
    assert fails(capsys, "ref.csv", "est.csv", "--class", "gun").endswith("ref.csv: no event of class gun")
    lists("silent.csv", "a.wav\nb.wav\nc.wav\n")
    assert run_json("silent.csv", "est.csv", "--class", "gun")["n_sys"] == 0


def test_compare(tmp_path, run_json, capsys):
    """40 files with an event each; A misses files 0–3, B misses 0–19: 16 files differ, p = 2 · 2⁻¹⁶."""
    paths = {name: str(tmp_path / name) for name in ("ref.csv", "a.csv", "b.csv")}
    events = {f"{i:02d}.wav": [(1.0, 2.0)] for i in range(40)}
    write_event_list(paths["ref.csv"], events)
    for name, n_missed in (("a.csv", 4), ("b.csv", 20)):
        write_event_list(paths[name], dict(list(events.items())[n_missed:]))
    report = run_json(paths["ref.csv"], paths["a.csv"], "--compare", paths["b.csv"])
    comparison = report["comparison"]
    assert (report["error_rate"], comparison["scores"]["error_rate"]) == (0.1, 0.5)
    assert comparison["error_rate_difference"] == pytest.approx(-0.4, rel=1e-12)
    assert comparison["p_value"] == pytest.approx(2 * 2**-16, rel=1e-12)
    low, high = comparison["interval"]
    standard_error = math.sqrt(0.4 * 0.6 / 40)
    np.testing.assert_allclose([low, high], [-0.4 - 1.96 * standard_error, -0.4 + 1.96 * standard_error], atol=0.03)
    main([paths["ref.csv"], paths["a.csv"], "--compare", paths["b.csv"]])
    assert "error_rate difference -0.4000 [" in (out := capsys.readouterr().out) and "p = 3.05e-05" in out


def test_seed(tmp_path, run_json):
    """Few resamples make intervals that differ from seed to seed; the same seed gives the same."""
    rng = np.random.default_rng(0)
    lists = [str(tmp_path / name) for name in ("ref.csv", "a.csv", "b.csv")]
    for path in lists:
        events = {f"{i}.wav": [(t, t + 1.0) for t in rng.uniform(0, 3, rng.integers(1, 5))] for i in range(30)}
        write_event_list(path, events)

    def intervals(seed):
        options = ["--resamples", "9", "--confidence", "0.8", "--seed", str(seed)]
        report = run_json(*lists[:2], "--compare", lists[2], *options)
        assert report["intervals"].items() >= {"seed": seed, "n_resamples": 9, "confidence": 0.8}.items()
        return report["intervals"]["error_rate"], report["comparison"]["interval"]

    first, again, other = intervals(3), intervals(3), intervals(4)
    assert first == again
    assert first[0] != other[0] and first[1] != other[1]


def test_task_average(lists, run_json, capsys):
    """Classes of ER 1.0 and 0.0, F1 0.5 and 1.0: the plain means are 0.5 and 0.75."""
    report = run_json("ref.csv", "est.csv", "ref.csv", "ref.csv")
    assert [part["error_rate"] for part in report["lists"]] == [1.0, 0.0]
    assert report["task_average"] == {"error_rate": 0.5, "f1": 0.75}
    main(["ref.csv", "est.csv", "ref.csv", "ref.csv"])
    assert capsys.readouterr().out.endswith("task average, plain mean of 2 classes: error_rate 0.5000, f1 0.7500\n")
    lists("empty.csv", "")
    assert run_json("ref.csv", "empty.csv", "ref.csv", "ref.csv")["task_average"] == {"error_rate": 0.5, "f1": None}


def test_bad_lists_are_named(lists, capsys):
    lists("bad.csv", "a.wav\t1.0\t2.0\tgunshot\nb.wav\t1.0\n")
    assert fails(capsys, "ref.csv", "bad.csv").startswith("minirsed.score: error: bad.csv, line 2: 2 fields;")
    lists("empty.csv", "\n")
    assert "empty.csv: no files" in fails(capsys, "empty.csv", "est.csv")
    assert "is a folder" in fails(capsys, "ref.csv", ".")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ref.csv"], "1 list(s); expected pairs"),
        (["ref.csv", "est.csv", "--collar", "0"], "--collar: '0' is not a number > 0"),
        (["ref.csv", "est.csv", "--collar", "nan"], "'nan' is not a number > 0"),
        (["ref.csv", "est.csv", "--collar", "inf"], "'inf' is not a number > 0"),
        (["ref.csv", "est.csv", "--percentage-of-length", "1.1"], "'1.1' is not a number >= 0 and <= 1"),
        (["ref.csv", "est.csv", "--percentage-of-length", "half"], "'half' is not a number"),
        (["ref.csv", "est.csv", "--resamples", "0"], "'0' is not a number >= 1"),
        (["ref.csv", "est.csv", "--resamples", "1e3"], "'1e3' is not a number >= 1"),
        (["ref.csv", "est.csv", "--seed", "-1"], "'-1' is not a number >= 0"),
        (["ref.csv", "est.csv", "--confidence", "1"], "--confidence must lie between 0 and 1"),
        (["ref.csv", "est.csv", "--no-onset"], "--no-onset without --offset leaves no condition"),
        (["ref.csv", "est.csv", "ref.csv", "est.csv", "--compare", "est.csv"], "--compare takes one pair"),
        (["ref.csv", "est.csv", "--matching", "nearest"], "invalid choice: 'nearest'"),
        (["ref.csv", "est.csv", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_bad_arguments(lists, capsys, arguments, message):
    assert message in fails(capsys, *arguments)


AUDACITY = "3.350000\t9.000000\tgunshot 0.97\n\\\t100.0\t2000.0\n7.000000\t8.000000\tgunshot 0.51\n"
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
    "1\tSpectrogram 1\t1\t3.35\t9.0\t0.0\t22050.0\tgunshot\n"
    "1\tWaveform 1\t1\t3.35\t9.0\t0.0\t22050.0\tgunshot\n"  # the same event in another view
    "2\tSpectrogram 1\t1\t7.0\t8.0\t0.0\t22050.0\tgunshot\n"
)


@pytest.mark.parametrize(("content", "suffix"), [(AUDACITY, ".txt"), (RAVEN, ".selections.txt")])
def test_lists_of_audio_editors(lists, run_json, capsys, content, suffix):
    """By hand: one of two events of a.wav hits. The recording is the list's name, or the only one there is."""
    lists(f"a.wav{suffix}", content)
    report = run_json("ref.csv", f"a.wav{suffix}")
    assert (report["n_tp"], report["n_sys"], report["n_files_without_row"]) == (1, 2, 2)
    assert list(report["per_class"]) == ["gunshot"]
    lists("one.csv", "street.wav\t3.25\t4.5\tgunshot\n")
    assert run_json("one.csv", f"a.wav{suffix}")["n_tp"] == 1
    lists("my labels.txt", "3.2\t4\tgunshot\n")
    assert run_json("my labels.txt", f"a.wav{suffix}")["n_tp"] == 1
    lists("plain.txt", "3.2\t4\n7.1\t8\t\n")  # without labels
    assert run_json("plain.txt", f"a.wav{suffix}", "--class", "gunshot")["n_tp"] == 2
    lists("cut.txt", RAVEN + "3\tSpectrogram 1\t1\n")
    assert "cut.txt, line 5: a selection without begin and end time" in fails(capsys, "ref.csv", "cut.txt")


def test_a_table_without_selections_is_a_recording_without_events(lists, run_json):
    lists("b.wav.selections.txt", RAVEN.splitlines()[0])
    report = run_json("ref.csv", "b.wav.selections.txt")
    assert (report["n_sys"], report["n_files_without_row"]) == (0, 2)


def test_files_that_are_called_by_numbers_are_no_labels(lists, run_json):
    lists("numbers.csv", "1\t3.25\t4.5\n2\t1\t2\n")
    assert run_json("numbers.csv", "numbers.csv")["n_files"] == 2


def test_detections_as_audacity_and_raven_read_back(tmp_path):
    """What `minirsed.detect --out --format …` writes, names of recordings included."""
    from data_tools.label_tracks import read_label_track
    from minirsed.detect.formats import FORMATS
    from minirsed.recordings.files import Event

    for kind in ("audacity", "raven"):
        form = FORMATS[kind]
        events = [Event(1.25, 2.5, 0.97), Event(3.0, 4.125, 1.0)]
        path = tmp_path / ("s\u00fcb a.wav" + form.suffix)
        path.write_text(
            form.header + "".join(form.event("a", "gun 2", i, event) for i, event in enumerate(events, 1)), "utf-8"
        )
        assert read_label_track(path) == {"s\u00fcb a.wav": [(1.25, 2.5, "gun 2"), (3.0, 4.125, "gun 2")]}


def test_what_is_probably_a_mistake_is_said(lists, capsys):
    lists("odd.csv", ESTIMATED.replace("9.0\tgunshot", "1.0\tGunShot"))
    main(["ref.csv", "odd.csv"])
    assert capsys.readouterr().err.splitlines() == [
        "minirsed.score: warning: odd.csv: 1 event(s) with an offset before the onset, "
        "e.g. in out/a.wav from 3.35 s to 1 s",
        "minirsed.score: warning: odd.csv: class GunShot and class gunshot of ref.csv differ in case and count as two",
    ]
