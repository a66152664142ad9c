"""`python -m minirsed.train` and `evaluate` as a user runs them: real processes, real folders, wrong input."""

import csv
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
TINY = ["--clips", "8", "--dev-clips", "6", "--epochs", "2", "--units", "4", "--layers", "1"]
PLAIN = ["--preset", "plain", *TINY]  # whose number of epochs may grow
SR = 44100


def run(module, *arguments, cwd, **environment):
    """A command in a folder of its own; its return code, standard output and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", f"minirsed.{module}", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder of someone's own sounds: six short tones that glide, six noises; split by a stable hash."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("my sounds")
    (root / "events" / "glide").mkdir(parents=True)
    (root / "backgrounds" / "garden").mkdir(parents=True)
    for i in range(8):
        seconds = np.arange(int((0.5 + 0.1 * i) * SR)) / SR
        tone = 0.3 * np.sin(2 * np.pi * (500 + 100 * i + 800 * seconds) * seconds)
        soundfile.write(root / "events" / "glide" / f"glide {i}.wav", tone, SR)
        noise = 0.02 * rng.standard_normal(SR * (5 + i))
        soundfile.write(root / "backgrounds" / "garden" / f"noise_{i}.flac", noise, SR)
    return root


@pytest.fixture(scope="module")
def finished(tmp_path_factory, sounds):
    """A run on that folder, with everything that the command prints, and the files that it leaves."""
    folder = tmp_path_factory.mktemp("run")
    result = run("train", "glide", "--data", sounds, *TINY, "--jobs", "1", cwd=folder)
    assert result.returncode == 0, result.stderr
    result.written = {path.name for path in (folder / "runs" / "glide").iterdir()}
    return folder, result


def test_train_leaves_a_run_folder(finished):
    folder, result = finished
    assert result.written == {
        *("config.json", "metrics.csv", "checkpoint.npz", "best.npz", "events_dev.csv", "curves.png", "examples.png"),
        *("checkpoint.previous.npz", "train.log", "lock", "card.md", "sounds.json"),
    }
    config = json.loads((folder / "runs" / "glide" / "config.json").read_text())
    assert config["settings"]["clips"] == 8 and config["settings"]["seed"] == 0
    assert {"numpy", "numba", "minirsed"} <= config["versions"].keys() and "minirsed.train" in config["command"]
    with open(folder / "runs" / "glide" / "metrics.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]
    assert "compiling" in result.stdout and "last epoch (2)" in result.stdout and "ER" in result.stdout


def test_evaluate_scores_the_run_on_unseen_mixtures(finished):
    folder, _ = finished
    table = run("evaluate", "runs/glide", "--clips", "6", cwd=folder)
    assert table.returncode == 0, table.stderr
    assert "6 eval mixtures" in table.stdout
    as_json = run("evaluate", "runs/glide", "--clips", "6", "--json", cwd=folder)
    figures = json.loads(as_json.stdout)
    assert figures["n_ref"] == 3 and figures["n_fn"] + figures["n_tp"] == 3
    # the event lists that it leaves give the same figures to the scorer
    lists = [folder / "runs" / "glide" / f"{kind}_eval.csv" for kind in ("reference", "events")]
    scored = json.loads(run("score", *lists, "--json", cwd=folder).stdout)
    assert scored["error_rate"] == pytest.approx(figures["error_rate"]) and scored["n_tp"] == figures["n_tp"]


def test_a_second_run_leaves_the_first_alone_and_reads_its_features(finished, sounds):
    folder, _ = finished
    before = {path.name: path.read_bytes() for path in (folder / "runs" / "glide").iterdir()}
    stores = sorted(path.name for path in (folder / "features").iterdir())
    result = run("train", "glide", "--data", sounds, *TINY, "--epochs", "1", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert (folder / "runs" / "glide-2" / "best.npz").exists()
    assert {path.name: path.read_bytes() for path in (folder / "runs" / "glide").iterdir()} == before
    assert sorted(path.name for path in (folder / "features").iterdir()) == stores


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="of processors with SSE and AVX")
def test_another_processor_is_announced(finished, sounds, tmp_path):
    """Kernels without AVX and another kernel of BLAS round differently: terminal, log and config say so."""
    features = finished[0] / "features"
    first = run("train", "glide", "--data", sounds, *PLAIN, "--epochs", "1", "--features", features, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    other = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse,+sse2", "OPENBLAS_CORETYPE": "Prescott"}
    second = run("train", "glide", "--resume", "--epochs", "2", "--features", features, cwd=tmp_path, **other)
    assert second.returncode == 0, second.stderr
    (line,) = (line for line in second.stderr.splitlines() if "its last bits may differ" in line)
    assert re.search(r"kernels .*fma.* → no vectors", line) and re.search(r"blas openblas .* → openblas ", line)
    assert line in (tmp_path / "runs" / "glide" / "train.log").read_text()
    config = json.loads((tmp_path / "runs" / "glide" / "config.json").read_text())
    assert config["resumed"][0]["versions"]["kernels"] == "no vectors" != config["versions"]["kernels"]


def test_resume_goes_on_to_the_same_end(finished, sounds, tmp_path):
    """One epoch, then --resume --epochs 2: the weights of the run that was not stopped."""
    whole_run = run("train", "glide", "--data", sounds, *PLAIN, "--out", "whole", cwd=tmp_path)
    assert whole_run.returncode == 0, whole_run.stderr
    whole = tmp_path / "whole" / "checkpoint.npz"
    features = finished[0] / "features"
    first = run("train", "glide", "--data", sounds, *PLAIN, "--epochs", "1", "--features", features, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    own = ["--ebr-db", "-6", "0", "6"]  # what the run has may be said again
    second = run("train", "glide", "--resume", "--epochs", "2", *own, "--features", features, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "resuming after epoch 1 of 2" in second.stdout
    with np.load(whole) as expected, np.load(tmp_path / "runs" / "glide" / "checkpoint.npz") as found:
        names = [name for name in expected.files if name != "header.json"]
        assert all(np.array_equal(expected[name], found[name]) for name in names)
    clash = run("train", "glide", "--resume", "--ebr-db", "-12", "0", cwd=tmp_path)
    assert_one_line(clash, "runs/glide has --ebr-db -6 0 6, not -12 0")
    clash = run("train", "glide", "--resume", "--units", "5", cwd=tmp_path)
    assert clash.returncode == 2 and "has --units 4, not 5" in clash.stderr


def test_redraw_trains_every_epoch_on_new_mixtures(sounds, tmp_path):
    """Three epochs, three sets of mixtures; the first set and the last stay on disk, and it says what it drew."""
    words = [*PLAIN, "--epochs", "3", "--redraw", "--n-mels", "40"]  # not the default bands
    result = run("train", "glide", "--data", sounds, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    folders = re.findall(r"train: 8 mixtures, features in (\S+)", result.stdout)
    assert len(set(folders)) == 3
    assert [(tmp_path / folder).exists() for folder in folders] == [True, False, True]
    official = run("train", "glide", "--preset", "plain", "--redraw", "--generator", "official", cwd=tmp_path)
    assert_one_line(official, "--redraw needs --generator minirsed")


def assert_one_line(result, *words):
    """Exit code 2, nothing but one line on stderr, which holds the words."""
    assert result.returncode == 2, (result.stdout, result.stderr)
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
    for word in words:
        assert str(word) in lines[0], lines[0]


def own_sounds(root, event=None, background=None):
    """A minimal folder of sounds in three subsets; `event` or `background` replaces the audio of one of each."""
    rng = np.random.default_rng(0)
    for kind, seconds in (("events/ping", 0.5), ("backgrounds", 12.0)):
        (root / kind).mkdir(parents=True)
        for i in range(4):
            soundfile.write(root / kind / f"{i}.wav", 0.1 * rng.standard_normal(int(seconds * SR)), SR)
    for kind, audio in (("events/ping", event), ("backgrounds", background)):
        if isinstance(audio, bytes):
            (root / kind / "0.wav").write_bytes(audio)
        elif audio is not None:
            soundfile.write(root / kind / "0.wav", audio, SR, subtype="FLOAT")
    subsets = "file,subset\n" + "".join(
        f"{kind}/{i}.wav,{subset}\n"
        for kind in ("events/ping", "backgrounds")
        for i, subset in enumerate(("train", "train", "dev", "eval"))
    )
    (root / "split.csv").write_text(subsets)
    return root


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        ({"event": b"this is no audio"}, "events/ping/0.wav"),
        ({"event": b""}, "events/ping/0.wav"),
        ({"event": np.full(20000, np.nan)}, "events/ping/0.wav"),
        ({"background": np.full(12 * SR, np.inf)}, "backgrounds/0.wav"),
        ({"background": 0.1 * np.ones(SR // 2)}, "backgrounds/0.wav"),
        ({"event": 0.1 * np.ones(31 * SR)}, "ping/0.wav"),
    ],
)
def test_train_names_the_file_that_it_cannot_use(sound, reason, tmp_path):
    data = own_sounds(tmp_path / "sounds", **sound)
    assert_one_line(run("train", "ping", "--data", data, *TINY, "--clips", "16", cwd=tmp_path), reason)
    assert not (tmp_path / "runs" / "ping").exists(), "a run folder that holds nothing was left behind"


def test_train_names_what_is_wrong_with_the_request(tmp_path):
    data = own_sounds(tmp_path / "sounds")
    (tmp_path / "empty").mkdir()
    (own_sounds(tmp_path / "lacking") / "events" / "nothing").mkdir()
    (tmp_path / "file").write_text("")
    unknown = run("train", "dogbark", *TINY, cwd=tmp_path)
    assert_one_line(unknown, "builtin: no class 'dogbark'; it has babycry, glassbreak, gunshot")
    assert unknown.stdout == ""  # it is not said that mixtures are drawn
    assert_one_line(run("train", "dogbark", "--data", data, *TINY, cwd=tmp_path), "dogbark", "ping")
    assert_one_line(run("train", "ping", "--data", "empty", *TINY, cwd=tmp_path), "empty", "events")
    assert_one_line(run("train", "ping", "--data", "missing", *TINY, cwd=tmp_path), "missing")
    assert_one_line(
        run("train", "nothing", "--data", "lacking", *TINY, cwd=tmp_path), "events/nothing", "no sound files"
    )
    assert_one_line(run("train", "babycry", *TINY, "--out", "file/run", cwd=tmp_path), "--out file/run: Not a")
    if Path("/proc/self").exists():  # else root would train there
        assert_one_line(run("train", "babycry", *TINY, "--out", "/proc/run", cwd=tmp_path), "--out /proc/run: ")
    assert_one_line(run("train", "babycry", *TINY, "--features", "file", cwd=tmp_path), "--features file")
    assert_one_line(run("train", "babycry", "--clips", "0", cwd=tmp_path), "--clips is 0", "at least 2")
    assert_one_line(run("train", "babycry", "--alpha", "nan", cwd=tmp_path), "--alpha is nan")
    assert_one_line(run("train", "babycry", "--resume", cwd=tmp_path), "no run in runs/babycry")
    assert_one_line(run("evaluate", "nowhere", cwd=tmp_path), "nowhere: no such folder")
    unknown = run("train", "babycry", "--epoch-count", "3", cwd=tmp_path)
    assert unknown.returncode == 2 and "unrecognized arguments: --epoch-count" in unknown.stderr
    assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").rglob("best.npz"))


def test_an_existing_run_is_not_overwritten(finished, sounds):
    folder, _ = finished
    result = run("train", "glide", "--data", sounds, *TINY, "--out", "runs/glide", cwd=folder)
    assert_one_line(result, "runs/glide", "--resume")


@pytest.mark.parametrize("module", ["train", "evaluate", "score", "sweep"])
def test_help_is_complete(module, tmp_path):
    """Every setting appears with its default."""
    result = run(module, "--help-all" if module == "train" else "-h", cwd=tmp_path)
    assert result.returncode == 0
    if module == "train":
        from dataclasses import fields

        from minirsed.run.settings import PRESETS, TrainSettings, option_name, value_text

        text = " ".join(result.stdout.split())
        for setting in fields(TrainSettings):
            if setting.name != "label":
                if isinstance(setting.default, bool):
                    continue  # a switch, off unless given
                default = f"default: {value_text(PRESETS['quick'].get(setting.name, setting.default))}"
                assert option_name(setting.name) in text and default in text, setting.name
