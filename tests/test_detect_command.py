"""`python -m minirsed.detect` on files, folders, pipes and a microphone that is none; what it says of bad input."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.files import exclusive
from minirsed.detect import __main__ as detect
from minirsed.detector import Detector
from minirsed.features import HOP_S, n_frames
from minirsed.model import ModelConfig, init_params
from minirsed.recordings import detect_file
from minirsed.recordings.listing import SUFFIXES, find_recordings, printable
from tests.conftest import tone_detector, tones
from tests.test_live_sound import FakeSounddevice

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A detector and five sounds, one of them long, one of them bad, one of them not to be looked at."""
    monkeypatch.chdir(tmp_path)
    for arch in ("uni", "multires"):
        tone_detector(arch).save(tmp_path / f"{arch}.npz")
    (tmp_path / "snd" / "süb dir").mkdir(parents=True)
    soundfile.write("snd/a b.wav", tones(3, [(1.0, 2.0)]), 44100)
    soundfile.write("snd/süb dir/a b.wav", tones(3, [], sr=8000), 8000)
    soundfile.write("snd/süb dir/long.flac", tones(65, [(5.0, 6.0), (36.6, 37.6), (64.0, 65.0)]), 44100)
    (tmp_path / "snd" / "bad.wav").write_text("hello")
    (tmp_path / "snd" / "._a b.wav").write_text("what macOS leaves behind")
    (tmp_path / "snd" / "notes.txt").write_text("hello")
    return tmp_path


@pytest.mark.parametrize(("arch", "head"), [("mlp", "frames"), ("crnn1d", "frames"), ("crnn", "attention")])
def test_every_network_listens_to_anything(arch, head, folder, capsys):
    """Folders, a pipe, live sound: the events of a file are those that the library finds."""
    config = ModelConfig(arch, n_layers=1, n_units=4, n_inputs=40, head=head)
    params = init_params(config, np.random.default_rng(0))
    params["head.w"] *= 30
    Detector(config, params, "tone", np.full(40, -8.0), np.full(40, 2.0)).save(folder / "rival.npz")
    assert call("rival.npz", "snd/a b.wav", "snd/süb dir", "--out", "found") in (0, 1)
    assert "3 recordings, 0:01:11 of sound" in capsys.readouterr().err
    recording = detect_file(Detector.load(folder / "rival.npz"), folder / "snd/süb dir/long.flac")
    assert len(recording.frame_probabilities) == n_frames(65 * 44100)


TRUTH = {"a b.wav": [1.0], "süb dir/a b.wav": [], "süb dir/long.flac": [5.0, 36.6, 64.0]}


def call(*arguments):
    """Run the command; its exit status."""
    with pytest.raises(SystemExit) as stop:
        detect.main([str(argument) for argument in arguments])
        raise SystemExit(0)
    return stop.value.code


def onsets(path):
    return {name: [onset_s for onset_s, *_ in events] for name, events in read_event_list(path).items()}


def check_truth(found, truth=TRUTH):
    assert list(found) == list(truth)
    for name, times in truth.items():
        assert found[name] == pytest.approx(times, abs=2 * HOP_S)


def test_one_bad_file_does_not_stop_the_rest(folder, capsys):
    assert call("multires.npz", "snd", "--format", "csv") == 2
    out, err = capsys.readouterr()
    (folder / "list.csv").write_text(out, encoding="utf-8")
    check_truth(onsets(folder / "list.csv"))
    first, warning, *rest = err.splitlines()
    assert first == "3 recordings, 0:01:11 of sound, 4 tone events"
    assert warning.startswith("warning: 1 of 3 recordings below 32000 Hz, ")  # see the last test
    assert rest == [
        "snd/bad.wav: not a readable sound file (Format not recognised)",
        "minirsed.detect: error: 1 of 4 recordings cannot be used, see above",
    ]


def test_a_name_that_a_format_cannot_hold_is_a_bad_file(folder, capsys):
    Path("snd/a b.wav").rename("snd/a\tb.wav")
    assert call("uni.npz", "snd", "--format", "csv") == 2
    out, err = capsys.readouterr()
    assert out.startswith("filename\t") and "'a\\tb.wav' cannot be a field" in err and err.startswith("2 recordings")


def test_table_of_one_file(folder, capsys):
    assert call("uni.npz", "snd/a b.wav") == 0
    out, err = capsys.readouterr()
    header, line = out.splitlines()
    assert (
        header.split()[-1] == "recording"
        and line.endswith("  a b.wav")
        and abs(float(line.split()[0]) - 1.0) < 2 * HOP_S
    )
    assert err == "1 recording, 0:00:03 of sound, 1 tone event\n"


def test_results_folder(folder, capsys):
    """A file for each recording and a picture, atomically; what is done is not done again, what has changed is."""
    assert call("uni.npz", "snd", "--out", "out", "--plot") == 2
    for name, times in TRUTH.items():
        check_truth(onsets(folder / "out" / f"{name}.csv"), {name: times})
        assert (folder / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    files = {path.relative_to(folder / "out").as_posix(): path.stat() for path in (folder / "out").rglob("*.*")}
    assert set(files) == {f"{name}.{kind}" for name in TRUTH for kind in ("csv", "png")} | {".lock", "detected.jsonl"}

    capsys.readouterr()
    (folder / "out" / "a b.wav.png").unlink()  # a result is missing
    soundfile.write("snd/süb dir/a b.wav", tones(4, [(2.0, 3.0)], sr=8000), 8000)  # a recording is another
    assert call("uni.npz", "snd", "--out", "out", "--plot") == 2
    assert "2 recordings, 0:00:07 of sound, 2 tone events; 1 recording done before" in capsys.readouterr().err
    changed = {name for name, state in files.items() if (folder / "out" / name).stat().st_mtime_ns != state.st_mtime_ns}
    assert changed - {".lock"} == {
        "detected.jsonl",
        *(f"{name}a b.wav.{kind}" for name in ("", "süb dir/") for kind in ("csv", "png")),
    }
    check_truth(onsets(folder / "out" / "süb dir" / "a b.wav.csv"), {"süb dir/a b.wav": [2.0]})


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("uni.npz", ["--thres1", "0.4"], "thres1 0.5 there, 0.4 now"),
        ("uni.npz", ["--all-events"], "all_events False there, True now"),
        ("uni.npz", ["--format", "json"], "format csv there, json now"),
        ("multires.npz", [], "detector [0-9a-f]{16} there, [0-9a-f]{16} now"),
    ],
)
def test_results_of_other_settings_are_not_mixed(folder, capsys, run, options, message):
    assert call("uni.npz", "snd/a b.wav", "--out", "out") == 0
    before = (folder / "out" / "a b.wav.csv").read_bytes()
    assert call(run, "snd/a b.wav", "--out", "out", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()[1:]
    assert re.search(rf"--out out: holds results of other settings \({message}\); ", line)
    assert (folder / "out" / "a b.wav.csv").read_bytes() == before


def test_overwrite_takes_away_what_the_log_names_and_nothing_else(folder):
    call("uni.npz", "snd", "--out", "out")
    (folder / "out" / "mine.csv").write_text("mine")
    assert call("multires.npz", "snd/a b.wav", "--out", "out", "--overwrite", "--format", "json") == 0
    names = {path.name for path in (folder / "out").rglob("*.*")}
    assert names == {"a b.wav.json", "mine.csv", "detected.jsonl", ".lock"}


def test_a_kill_between_result_and_log_costs_one_recording(folder, capsys):
    call("uni.npz", "snd", "--out", "out")
    log = folder / "out" / "detected.jsonl"
    log.write_bytes(log.read_bytes()[:-20])  # the last line cut short
    capsys.readouterr()
    assert call("uni.npz", "snd", "--out", "out") == 2
    assert "1 recording, 0:01:05 of sound, 3 tone events; 2 recordings done before" in capsys.readouterr().err
    assert [json.loads(line) for line in log.read_text().splitlines()][-1]["events"] == 3


def test_a_damaged_log_is_named(folder, capsys):
    call("uni.npz", "snd/a b.wav", "--out", "out")
    (folder / "out" / "detected.jsonl").write_text("nonsense\n")
    assert call("uni.npz", "snd/a b.wav", "--out", "out") == 2
    assert "detected.jsonl: damaged" in capsys.readouterr().err


def test_two_at_a_time_are_refused(folder, capsys):
    call("uni.npz", "snd/a b.wav", "--out", "out")
    with exclusive(folder / "out" / ".lock", "detecting into"):
        assert call("uni.npz", "snd/a b.wav", "--out", "out") == 2
    assert "another process is detecting into it" in capsys.readouterr().err


def test_an_error_while_writing_leaves_the_old_result(folder, monkeypatch):
    """A picture that fails, say on a full disk, leaves a recording that is not done."""
    call("uni.npz", "snd/a b.wav", "--out", "out")
    from minirsed.detect import plots

    def full_disk(*arguments):
        raise OSError(28, "No space left on device", "out")

    monkeypatch.setattr(plots, "draw", full_disk)
    assert call("uni.npz", "snd", "--out", "out2", "--plot") == 2
    assert not list((folder / "out2").rglob("*.png")) and not list((folder / "out2").rglob("*.tmp"))
    assert len((folder / "out2" / "detected.jsonl").read_text().splitlines()) == 1


def test_names(folder):
    """Relative to the folder given; where that is not enough, the paths as given; each file once."""
    snd = Path("snd")
    assert [name for _, name in find_recordings([snd])] == [
        "a b.wav",
        "bad.wav",
        "süb dir/a b.wav",
        "süb dir/long.flac",
    ]
    assert [name for _, name in find_recordings([snd / "a b.wav", snd / "notes.txt"])] == ["a b.wav", "notes.txt"]
    assert [name for _, name in find_recordings([snd / "a b.wav", snd])][0] == "a b.wav"
    assert len(find_recordings([snd / "a b.wav", snd, folder / "snd"])) == 4
    both = [folder / "snd" / "a b.wav", snd / "süb dir" / ".." / "süb dir" / "a b.wav"]
    names = [name for _, name in find_recordings(both)]
    assert names[0].endswith("snd/a b.wav") and not names[0].startswith("/") and ".." not in names[1]
    assert printable(Path("a\udcff.wav")) == "a\ufffd.wav"
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no sound files in it \(\.wav, "):
        find_recordings([folder / "empty"])


def test_what_a_folder_holds_beside_recordings(tmp_path):
    """Links are followed, in a circle too; sound that cannot be read is named, other files are nobody's business."""
    (tmp_path / "nights/one").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("nights/a.wav", "nights/b.m4a", "nights/notes.txt", "nights/.c.wav", "elsewhere/d.flac"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "nights/two").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "nights/one/up").symlink_to(tmp_path / "nights")
    (tmp_path / "nights/gone.wav").symlink_to(tmp_path / "nowhere.wav")
    passed_over = {}
    found = find_recordings([tmp_path / "nights"], passed_over.__setitem__)
    assert [name for _, name in found] == ["a.wav", "two/d.flac"]
    assert {path.name: reason.split(";")[0] for path, reason in passed_over.items()} == {
        "b.m4a": ".m4a cannot be read",
        "gone.wav": "a link that leads nowhere",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="of file systems whose names are any bytes")
def test_names_as_they_are_in_the_world(tmp_path, monkeypatch, capsys):
    """Latin-1 bytes, and a name that leaves just enough room for the ending; one that leaves none stops no other."""
    monkeypatch.chdir(tmp_path)
    tone_detector("multires").save("tone.npz")
    soundfile.write("a.wav", tones(2.0, [(0.5, 1.5)]), 44100)
    names = (b"caf\xe9.wav", b"x" * 247 + b".wav", b"y" * 249 + b".wav")
    os.mkdir("d")
    for name in names:
        shutil.copy("a.wav", os.path.join(b"d", name))
    shutil.copy("a.wav", "d/z.wav")
    with pytest.raises(SystemExit) as caught:
        detect.main(["tone.npz", "d", "--out", "o"])
    errors = capsys.readouterr().err
    assert caught.value.code == 2 and errors.count("too long a name") == 1 and "1 of 4 recordings" in errors
    assert {path.name[:3] for path in Path("o").glob("*.csv")} == {"caf", "xxx", "z.w"}
    assert not list(Path("o").glob(".*.tmp"))


def test_two_recordings_of_one_name_are_refused(folder):
    with pytest.raises(InputError, match=r"x/c.wav: two recordings would have this name"):
        find_recordings([Path("x/c.wav"), Path("../x/c.wav")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["uni.npz", "nothing.wav"], "nothing.wav: no such file"),
        (["nothing", "snd"], "nothing: no such file"),
        (["snd/notes.txt", "snd"], "snd/notes.txt: no file of minirsed's"),
        (["uni.npz", "snd", "--format", "audacity"], "--format audacity is for one recording: give --out DIR for 4"),
        (["uni.npz", "snd", "--thres0", "1.5"], "--thres0 is 1.5: expected a probability, 0 … 1"),
        (["uni.npz", "snd", "--thres1", "nan"], "--thres1 is nan: expected a probability"),
        (["uni.npz", "snd", "--threads", "0"], "--threads is 0: expected at least 1"),
        (["uni.npz", "snd", "--plot"], "--plot needs --out DIR"),
        (["uni.npz", "snd", "--overwrite"], "--overwrite needs --out DIR"),
        (["uni.npz", "-", "snd"], "-: standard input cannot be mixed with other recordings"),
        (["uni.npz", "-", "--out", "out"], "--out: is for recordings"),
        (["uni.npz", "-", "--format", "jams"], "--format jams is written when a recording has ended"),
        (["uni.npz", "--live", "--rate", "0"], "--rate is 0: expected at least 1"),
        (["uni.npz", "snd", "--out", "snd/notes.txt"], "--out snd/notes.txt: File exists"),
        (["uni.npz", "snd", "--out", "snd/notes.txt/out"], "--out snd/notes.txt/out: Not a directory"),
    ],
)
def test_refuses_in_one_line(folder, capsys, arguments, message):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines()[-1].startswith(f"minirsed.detect: error: {message}")


@pytest.mark.parametrize("arguments", [["uni.npz"], ["uni.npz", "snd", "--live"]])
def test_needs_recordings_or_the_microphone(folder, capsys, arguments):
    assert call(*arguments) == 2
    assert "give either recordings or --live" in capsys.readouterr().err


def test_thresholds(folder, capsys):
    for options, n_events in (([], 1), (["--thres0", "0.999"], 0), (["--thres1", "0.999"], 0)):
        assert call("uni.npz", "snd/a b.wav", "--format", "json", *options) == 0
        assert len(json.loads(capsys.readouterr().out)["events"]) == n_events


def test_pipe(folder):
    """In a process of its own, for its standard input; raw 16 kHz stereo and WAV."""
    y = tones(12, [(3.0, 4.0), (8.0, 9.5)], sr=16000)
    raw, wav = (np.stack([y, y], axis=1) * 32767).astype("<i2"), io.BytesIO()
    soundfile.write(wav, y, 16000, format="WAV")
    command = [sys.executable, "-m", "minirsed.detect", folder / "multires.npz", "-", "--format", "csv"]
    options = {"capture_output": True, "cwd": ROOT}
    piped = subprocess.run([*command, "--rate", "16000", "--channels", "2"], input=raw.tobytes(), **options)
    assert piped.returncode == 0 and b"looks ahead" in piped.stderr and b"2 tone events" in piped.stderr
    (folder / "list.csv").write_bytes(piped.stdout)
    check_truth(onsets(folder / "list.csv"), {"standard input": [3.0, 8.0]})
    assert subprocess.run(command, input=wav.getvalue(), **options).stdout == piped.stdout


def test_pipe_without_sound(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO()))
    assert call("uni.npz", "-") == 2
    assert capsys.readouterr().err.endswith("minirsed.detect: error: standard input: no samples\n")


def test_microphone(folder, capsys, monkeypatch):
    """A line as soon as an event has ended; Ctrl-C ends it with what is still open."""
    y = tones(6, [(1.0, 2.0), (5.0, 5.99)])
    blocks = [(block[:, None], i == 30) for i, block in enumerate(np.split(y, 60))]
    fake = FakeSounddevice(blocks)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)

    class Queue:
        """Presses Ctrl-C when nothing is left."""

        def __init__(self):
            self.items = []
            self.put = self.items.append

        def get(self):
            if not self.items:
                raise KeyboardInterrupt
            return self.items.pop(0)

    monkeypatch.setattr("queue.SimpleQueue", Queue)
    assert call("uni.npz", "--live", "--format", "json") == 0
    out, err = capsys.readouterr()
    found = [json.loads(line)["onset_s"] for line in out.splitlines()]
    assert found == pytest.approx([1.0, 5.0], abs=2 * HOP_S) and fake.closed
    assert "uni: state carried" in err and "dropped samples" in err and "0:00:06 of sound, 2 tone events" in err


def test_ctrl_c_in_a_folder(folder, capsys, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("minirsed.detect.finding.find", stopped)
    assert call("uni.npz", "snd", "--out", "out") == 130
    assert capsys.readouterr().err == "\nminirsed.detect: stopped; the same command does the rest\n"


def test_suffixes_are_what_libsndfile_reads():
    known = {suffix.upper().lstrip(".") for suffix in SUFFIXES}
    other_names = {"WAVE", "AIF", "AIFC", "OGA", "OPUS", "SPH", "SND"}  # of WAV, AIFF, AIFF, OGG, OGG, NIST, AU
    assert known - other_names <= set(soundfile.available_formats())


def test_a_detector_of_all_bands_warns_of_narrow_sound(folder, capsys):
    """Silently wrong otherwise: what is empty above 4 kHz was never seen in training. Relative inputs do not see it."""
    from tests.test_recordings import ELSEWHERE, random_detector

    random_detector("uni", **ELSEWHERE).save(folder / "elsewhere.npz")
    for name, expected in (("uni.npz", True), ("elsewhere.npz", False)):
        call(name, "snd/süb dir/a b.wav", "snd/a b.wav")
        assert ("warning: 1 of 2 recordings below 32000 Hz" in capsys.readouterr().err) == expected
