"""What is no ordinary file, whichever command it is given to: one line says what it is, and nothing is read or lost."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.files import address_in, atomic_write, not_a_file
from data_tools.synthesize import main as synthesize
from minirsed.detect.__main__ import main as detect
from minirsed.evaluate.__main__ import main as evaluate
from minirsed.export.__main__ import main as export
from minirsed.report.__main__ import main as report
from minirsed.run.session import train as train_run
from minirsed.run.settings import TrainSettings
from minirsed.score.__main__ import main as score
from minirsed.train.__main__ import main as train

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
ADDRESS = "https://example.org/a.wav"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, one that was killed before its first epoch had ended, one without any event, and a sound."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = TrainSettings(label="gunshot", clips=4, dev_clips=2, epochs=1, layers=1, units=2)
        train_run(settings, "run", say=lambda text: None)
        Path("killed folder").mkdir()
        for name in ("config.json", "lock"):
            Path("killed folder", name).write_bytes(Path("run", name).read_bytes())
        Path("no event").mkdir()
        for name in ("config.json", "metrics.csv"):
            Path("no event", name).write_bytes(Path("run", name).read_bytes())
        soundfile.write("a.wav", np.zeros(44100), 44100)
        Path("list.csv").write_text("a.wav\t0.5\t1.0\tgunshot\n")
        os.mkfifo("pipe")
        Path("link").symlink_to("nowhere")
        Path("loop").symlink_to("loop")
    return folder


@pytest.fixture
def place(made, monkeypatch):
    monkeypatch.chdir(made)
    return made


REFUSED = [
    (detect, ["run", "pipe"], "pipe: is a pipe, not a file; sound from a pipe is read as -: … | python -m minirsed.de"),
    (detect, ["run", "/dev/zero"], "/dev/zero: is a device, not a file"),
    (detect, ["run", ADDRESS], f"{ADDRESS}: is an address; download it first, or: ffmpeg -i {ADDRESS} -f wav - | pyth"),
    (detect, ["run", "file:///home/a.wav"], "file:///home/a.wav: is an address; give the path alone, /home/a.wav"),
    (detect, ["run", "link"], "link: is a link to nothing"),
    (detect, ["run", "loop"], "loop: is a link to itself"),
    (detect, ["run", "nothing.wav"], "nothing.wav: no such file"),
    (detect, ["/dev/zero", "a.wav"], "/dev/zero: is a device, not a file"),
    (detect, ["pipe", "a.wav"], "pipe: is a pipe, not a file"),
    (detect, [ADDRESS, "a.wav"], f"{ADDRESS}: is an address; download it first"),
    (score, ["list.csv", "pipe"], "pipe: is a pipe, not a file"),
    (score, ["/dev/zero", "list.csv"], "/dev/zero: is a device, not a file"),
    (score, ["list.csv", ADDRESS], f"{ADDRESS}: is an address; download it first"),
    (train, ["x", "--data", ADDRESS], f"{ADDRESS}: is an address; download it first"),
    (train, ["x", "--data", "loop"], "loop: no such folder"),
    (train, ["x", "--data", "pipe"], "pipe: not a folder"),
    (evaluate, [ADDRESS], f"{ADDRESS}: is an address; download it first"),
    (report, ["/dev/zero"], "/dev/zero: no run folder of minirsed's"),
    (report, ["run", "--out", "/dev/full"], "--out /dev/full: is a device, not a file; expected a file name"),
    (export, ["/dev/zero", "m.onnx"], "/dev/zero: is a device, not a file"),
    (export, ["run", "/dev/full"], "FILE /dev/full: is a device, not a file; expected a file name"),
    (export, ["run", "pipe"], "FILE pipe: is a pipe, not a file; expected a file name"),
    (synthesize, ["--recipes", "pipe", "--out", "o"], "pipe: is a pipe, not a file"),
    (synthesize, ["--recipes", "/dev/zero", "--out", "o"], "/dev/zero: is a device, not a file"),
]


@pytest.mark.parametrize(("command", "words", "message"), REFUSED, ids=[" ".join(row[1]) for row in REFUSED])
def test_it_is_named(place, capsys, command, words, message):
    with pytest.raises(SystemExit) as ended:
        command(words)
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert ended.value.code == 2 and message in line and out == ""
    assert stat.S_ISFIFO(os.stat("pipe").st_mode) and stat.S_ISCHR(os.stat("/dev/full").st_mode)


@pytest.mark.parametrize("command", [evaluate, report, export, detect])
@pytest.mark.parametrize("folder", ["killed folder", "no event"])
def test_a_run_without_a_detector_says_why_and_what_to_do(place, capsys, command, folder):
    more = {detect: ["a.wav"], export: ["m.onnx"]}.get(command, [])
    with pytest.raises(SystemExit) as ended:
        command([folder, *more])
    (line,) = capsys.readouterr().err.splitlines()
    advice = {
        "killed folder": "no epoch finished yet; resume with: python -m minirsed.train gunshot --resume --out "
        "'killed folder'",
        "no event": "no detector was kept, since no development mixture has an event",
    }
    assert ended.value.code == 2 and line.endswith(f": error: {folder}: {advice[folder]}")


def test_the_other_run_of_a_comparison_too(place, capsys):
    with pytest.raises(SystemExit):
        evaluate(["run", "--compare", "killed folder"])
    assert "error: killed folder: no epoch finished yet; resume with: " in capsys.readouterr().err


def test_the_advice_is_true(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("killed").mkdir()
    Path("killed/config.json").write_bytes((place / "killed folder" / "config.json").read_bytes())
    with pytest.raises(SystemExit):
        detect(["killed", "a.wav"])
    words = capsys.readouterr().err.rpartition("python -m minirsed.train ")[2].split()
    train([*words, "--features", str(place / "features")])
    assert Path("killed/best.npz").exists()


def test_nothing_is_put_in_the_place_of_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path / "pipe", "is a pipe"), (Path("/dev/null"), "is a device"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=reason), atomic_write(path):
            pass
    assert list(tmp_path.iterdir()) == [tmp_path / "pipe"]


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("https:/a.b/c d.wav", "https://a.b/c d.wav"),
        ("/home/x/http:/a/b", "http://a/b"),
        ("file:/tmp/a.wav", "file:///tmp/a.wav"),
        ("C:/a.wav", None),
        ("notes: a/b.wav", None),
        ("https", None),
        ("my-https:/a", None),
    ],
)
def test_an_address_in_a_path(path, address):
    assert address_in(path) == address


def test_a_file_is_one_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("https:/a.b").mkdir(parents=True)
    Path("https://a.b/c.wav").touch()
    assert not_a_file(Path("https://a.b/c.wav")) is None and not_a_file(Path("a\0b")) == "no such file"
