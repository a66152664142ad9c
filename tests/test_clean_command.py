"""`python -m minirsed.clean`: what a run uses is found out and kept, in every state that a disk may be in."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.files import exclusive
from minirsed.clean.__main__ import main
from minirsed.run import stores
from minirsed.run.session import Machine, evaluate_run, train
from minirsed.run.settings import TrainSettings

TINY = {"clips": 4, "dev_clips": 2, "epochs": 2, "layers": 1, "units": 2}


def silent(text):
    """For `say`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three runs and an evaluation; of one run only the features are left."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for label, out in (("gunshot", "runs/gunshot"), ("gunshot", "elsewhere/deep/run"), ("glassbreak", "gone")):
            seed = len(out)
            train(TrainSettings(label=label, seed=seed, **TINY), out, say=silent)
        evaluate_run("runs/gunshot", "eval", n_clips=3, tune=False)
        from minirsed.analysis.files import write_report

        write_report(evaluate_run("runs/gunshot", "eval", n_clips=6, tune=False))
        shutil.rmtree("gone")
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    """A copy of it, to work in."""
    shutil.copytree(made, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    stores.opened_bank.cache_clear()
    stores._store_name.cache_clear()
    return tmp_path / "place"


def kinds(capsys, *words):
    """What the command says of each set of features: {"gunshot-devtrain": [runs, …]}."""
    main(words)
    found = {}
    for line in capsys.readouterr().out.splitlines():
        if "-dev" in line or "-eval" in line:
            _, _, name, runs = line.split(maxsplit=3)
            found.setdefault(name.rpartition("-")[0], []).append(runs)
    return {kind: sorted(runs) for kind, runs in found.items()}


def names(place):
    return sorted(path.name.rpartition("-")[0] for path in (place / "features").iterdir())


ALL = [
    *("glassbreak-devtest", "glassbreak-devtrain", "gunshot-devtest", "gunshot-devtrain", "gunshot-devtrain"),
    *("gunshot-evaltest", "gunshot-evaltest"),
]


def test_it_shows_what_uses_what_and_removes_nothing(place, capsys):
    assert kinds(capsys) == {
        "glassbreak-devtest": ["no run"],
        "glassbreak-devtrain": ["no run"],
        "gunshot-devtest": ["runs/gunshot"],
        "gunshot-devtrain": ["no run", "runs/gunshot"],  # the first is that of the run elsewhere
        "gunshot-evaltest": ["no run", "runs/gunshot"],  # one of 3 clips, which left no figures, one of 6
    }
    assert names(place) == ALL


def test_it_removes_what_no_run_uses_and_nothing_else(place, capsys):
    (place / "features" / "notes").mkdir()
    (place / "features" / ".gunshot-devtrain-0123456789ab.removed").mkdir()  # of a removal that was killed
    main(["--remove"])
    assert "removed 5 sets" in capsys.readouterr().out
    assert names(place) == ["", "gunshot-devtest", "gunshot-devtrain", "gunshot-evaltest"]
    said = []
    train(TrainSettings(label="gunshot", seed=12, **TINY | {"epochs": 3}), "runs/gunshot", resume=True, say=said.append)
    assert not [line for line in said if "computing" in line]  # what was kept is what a run resumes with


def test_runs_elsewhere_are_named_and_those_in_runs_count_all_the_same(place, capsys):
    main(["elsewhere", "--remove"])
    assert names(place).count("gunshot-devtrain") == 2


def test_a_run_without_its_sounds_keeps_all_of_its_class(place, capsys):
    path = place / "runs" / "gunshot" / "config.json"
    config = json.loads(path.read_text())
    config["settings"]["data"] = "/unplugged/disk"
    path.write_text(json.dumps(config))
    main(["--remove"])
    assert names(place) == [name for name in ALL if name.startswith("gunshot")]


def test_a_run_that_cannot_be_read_stops_it(place, capsys):
    shutil.copytree("runs/gunshot", "runs/broken")
    for path in Path("runs/broken").iterdir():
        path.write_bytes(b"{")
    with pytest.raises(SystemExit):
        main(["--remove"])
    assert "error: runs/broken/" in capsys.readouterr().err
    assert names(place) == ALL


def test_features_that_are_being_prepared_stay(place, capsys):
    (busy,) = (place / "features").glob("glassbreak-devtrain-*")
    with exclusive(busy / "lock", "preparing"):
        command = [sys.executable, "-m", "minirsed.clean", "--remove"]
        environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""}
        result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert result.returncode == 0 and "kept: " in result.stderr and "another process is preparing it" in result.stderr
    assert busy.exists() and "glassbreak-devtest" not in names(place)


def test_a_link_is_not_followed(place, tmp_path, capsys):
    other = tmp_path / "other-0123456789ab"
    other.mkdir()
    (place / "features" / "gunshot-devtrain-0123456789ab").symlink_to(other)
    main(["--remove"])
    assert other.exists() and (place / "features" / "gunshot-devtrain-0123456789ab").is_symlink()


def test_redrawn_features_of_a_stopped_run_stay(tmp_path, monkeypatch, capsys):
    """A run with --redraw uses those of its first epoch, of its last and of the next."""
    monkeypatch.chdir(tmp_path)
    train(TrainSettings(label="gunshot", redraw=True, **TINY), "runs/redrawn", say=silent)
    before = names(tmp_path)
    main(["--remove"])
    assert names(tmp_path) == before == ["gunshot-devtest", "gunshot-devtrain", "gunshot-devtrain"]


def test_own_sounds_that_have_changed_are_other_features(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(3):
        for name in (f"my/events/ping/{i}.wav", f"my/backgrounds/{i}.wav"):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(name, 0.1 * rng.standard_normal(44100 * 2), 44100)
    train(TrainSettings(label="ping", data=str(Path("my").absolute()), **TINY), "runs/ping", say=silent)
    main(["--remove"])
    assert len(names(tmp_path)) == 2
    soundfile.write("my/events/ping/3.wav", 0.1 * rng.standard_normal(44100 * 2), 44100)
    stores.opened_bank.cache_clear()
    stores._store_name.cache_clear()
    main(["--remove"])
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "features: no such folder"),
        (["--features", "."], "no folder runs or sweeps here; name the folders that hold your runs"),
        (["nowhere", "--features", "."], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and line == f"minirsed.clean: error: {message}"


def test_a_training_says_how_large_the_folder_has_grown(place):
    said = []
    train(TrainSettings(label="gunshot", seed=12, **TINY), "runs/again", say=said.append)
    (line,) = [line for line in said if "minirsed.clean" in line]
    assert line.startswith("features: ") and " MB of features by now; " in line
    alone = []
    train(TrainSettings(label="gunshot", **TINY), "runs/alone", machine=Machine(Path("new")), say=alone.append)
    assert not [line for line in alone if "minirsed.clean" in line]
