"""The epoch that is kept for a promise: which one it is, with which thresholds, and the same after any stop or kill."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.labelled_recordings import LabelledRecording
from minirsed.alarms import keeping
from minirsed.alarms.counting import judge
from minirsed.alarms.keeping import Keeper, usual
from minirsed.alarms.measure import measure, measure_mixtures
from minirsed.analysis import plots
from minirsed.detector import Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.kernels.threads import worker_threads
from minirsed.run.checkpoint import FORMAT, NEWEST, read_checkpoint
from minirsed.run.metrics import METRICS, PROMISE, best_epoch
from minirsed.run.resumable import Stopped, Training
from minirsed.run.settings import TrainSettings
from minirsed.store.archive import read_arrays, write_arrays
from minirsed.train import __main__ as train_command
from tests.conftest import pattern_store
from tests.killing import Killer, Server, contents, words_for
from tests.test_survival import at_call
from tests.test_train_command import own_sounds

SR = 22050
TINY = {"label": "line", "layers": 1, "units": 6, "learning_rate": 1e-2, "clips": 40, "dev_clips": 20, "epochs": 4}
PROMISED = {"keep": "promise", "alarms_per_hour": 300.0}


def train(folder, stores, stop=None, recordings=(), **settings):
    """A run begun in `folder`, or continued."""
    folder.mkdir(exist_ok=True)
    settings = TrainSettings(**{**TINY, **PROMISED, **settings})
    run = (
        Training.resume(folder, settings) if (folder / NEWEST).exists() else Training.start(folder, settings, stores[0])
    )
    with worker_threads(2) as executor:
        run.keeper = Keeper("line", settings.alarms_per_hour, recordings, stores[1], executor, 2)
        list(run.epochs(*stores, executor, stop=stop))
    return run


@pytest.fixture(scope="module")
def stores():
    """Mixtures, of which so few are for development that an epoch in the middle is as good as the last."""
    return pattern_store(40, name="train"), pattern_store(20, seed=1, name="dev")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Two of noise; what is in them does not matter for a stop."""
    folder, rng = tmp_path_factory.mktemp("nights"), np.random.default_rng(0)
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, 0.1 * rng.standard_normal(40 * SR), SR)
    events = ((3.0, 4.0, "line"), (9.0, 9.5, "other"))
    return [LabelledRecording(folder / name, 40.0, name, events) for name in ("a.wav", "b.wav")]


@pytest.fixture(scope="module")
def whole(stores, recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return train(folder, stores, recordings=recordings)


def test_the_epoch_that_misses_least_is_kept_with_its_thresholds(whole, stores, recordings):
    """Rows as counted once more with the detector that was kept, in recordings and mixtures."""
    rows = {row["epoch"]: row for row in whole.history}
    fewest = min(row["promise_misses"] for row in whole.history)
    kept = rows[whole.best_epoch]
    assert kept["promise_misses"] == fewest
    detector = Detector.load(whole.folder)
    assert all(np.array_equal(detector.params[name], whole.best[name]) for name in whole.best)
    chosen = detector.operating.chosen
    assert (detector.thres0, chosen["n_misses"]) == (kept["promise_thres0"], fewest)
    assert (chosen["n_false_alarms"] + 1) / chosen["hours"] <= 300
    heard = measure(detector, keeping.of_class(recordings, "line"))
    with worker_threads(1) as executor:
        mixtures = measure_mixtures(detector, stores[1], executor)
    counts = [judge(each, detector.thres0, detector.thres1).counts() for each in (heard, mixtures)]
    assert sum(count["n_misses"] for count in counts) == fewest
    assert counts[0]["n_false_alarms"] == chosen["n_false_alarms"] == kept["promise_false_alarms"]
    assert chosen["n_events"] == 2 + 10 and chosen["events_of"] == "recordings and mixtures"


def test_ties_go_to_fewer_alarms_and_then_to_a_lower_loss():
    def row(epoch, misses, alarms, loss):
        return {"epoch": epoch, "promise_misses": misses, "promise_false_alarms": alarms, "dev_loss": loss}

    rows = [row(1, 3, 0, 0.1), row(2, 2, 1, 0.1), row(3, 2, 0, 0.3), row(4, 2, 0, 0.2), row(5, 2, 0, 0.2)]
    assert best_epoch(rows, "promise") == 4 and best_epoch([], "promise") == 0
    assert [best_epoch(rows[:n], "promise") for n in (1, 2, 3)] == [1, 2, 3]


# An epoch has 4 updates and 4 groups of clips to evaluate; then come blocks of sound, and mixtures, for the thresholds.
@pytest.mark.parametrize("calls", [(3,), (9,), (13,), (20, 5), (60, 10, 2)])
def test_stopped_and_resumed(calls, whole, stores, recordings, tmp_path):
    for call in calls:
        with pytest.raises(Stopped):
            train(tmp_path, stores, stop=at_call(call), recordings=recordings)
    train(tmp_path, stores, recordings=recordings)
    assert contents(tmp_path) == contents(whole.folder)


def test_a_lost_detector_comes_back_with_its_thresholds(whole, stores, recordings, tmp_path):
    """And it is the checkpoint that knows them: with what it says of them changed, so is the file."""
    expected = (whole.folder / "best.npz").read_bytes()
    for name in (NEWEST, "metrics.csv"):
        (tmp_path / name).write_bytes((whole.folder / name).read_bytes())
    train(tmp_path, stores, recordings=recordings)
    assert (tmp_path / "best.npz").read_bytes() == expected
    about, arrays = read_arrays(tmp_path / NEWEST, FORMAT)
    about["promise"]["thres0"] = 0.25
    write_arrays(tmp_path / NEWEST, FORMAT, about, arrays)
    (tmp_path / "best.npz").unlink()
    train(tmp_path, stores, recordings=recordings)
    assert Detector.load(tmp_path).thres0 == 0.25


@pytest.mark.parametrize("promise", [[], {"thres0": 0.5}, {"thres0": "a", "thres1": 1}, {"thres0": 1, "thres1": None}])
def test_a_damaged_promise_is_refused(promise, whole, tmp_path):
    about, arrays = read_arrays(whole.folder / NEWEST, FORMAT)
    write_arrays(tmp_path / NEWEST, FORMAT, about | {"promise": promise or [1]}, arrays)
    with pytest.raises(InputError, match="not a usable checkpoint"):
        read_checkpoint(tmp_path)


def test_other_runs_are_as_before(stores, tmp_path):
    """Neither their checkpoint nor their metrics know of a promise."""
    (tmp_path / "run").mkdir()
    run = Training.start(tmp_path / "run", TrainSettings(**TINY | {"epochs": 1}), stores[0])
    with worker_threads(1) as executor:
        list(run.epochs(*stores, executor))
    assert "promise" not in read_arrays(tmp_path / "run" / NEWEST, FORMAT)[0]
    assert set(run.history[0]) == set(METRICS)
    assert set(Detector.load(tmp_path / "run").description()) == {"label", "thres0", "thres1", "model"}


# ---- the command


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder of sounds with recordings of dev and eval."""
    root = own_sounds(tmp_path_factory.mktemp("own") / "sounds")
    rng, lines = np.random.default_rng(1), []
    (root / "recordings").mkdir()
    for subset in ("train", "dev", "eval"):
        soundfile.write(root / f"recordings/{subset}.wav", 0.05 * rng.standard_normal(35 * SR), SR)
        (root / f"recordings/{subset}.txt").write_text("5.0\t5.5\tping\n")
        lines.append(f"recordings/{subset}.wav,{subset}\n")
    with open(root / "split.csv", "a") as file:
        file.writelines(lines)
    return root


def test_the_promise_is_usual_where_there_are_recordings(sounds, tmp_path):
    settings = TrainSettings(label="ping", data=str(sounds))
    assert usual(settings) == dataclasses.replace(settings, keep="promise")
    mlp = dataclasses.replace(settings, arch="mlp", head="frames")
    assert usual(mlp) == mlp
    plain = TrainSettings(label="ping", data=str(own_sounds(tmp_path / "sounds")))
    assert usual(plain) == plain and usual(TrainSettings()) == TrainSettings()
    assert usual(dataclasses.replace(mlp, keep="promise")).keep == "promise"  # whoever asks for it gets it


def test_train_and_evaluate(sounds, tmp_path, capsys, monkeypatch):
    """The usual way: nobody asks, the epoch is kept for the promise; then recordings of eval are measured unasked."""
    place = ["--out", str(tmp_path / "run"), "--features", str(tmp_path / "features")]
    words = ["ping", "--data", str(sounds), "--preset", "plain", "--clips", "8", "--dev-clips", "4", "--epochs", "2"]
    small = ["--units", "4", "--layers", "1", "--threads", "1", "--jobs", "1"]
    train_command.main([*words, *small, *place])
    printed = capsys.readouterr().out
    assert "missed at 0.5 alarms an hour" in printed and "promise epoch (" in printed
    assert "chosen on 1 recording of the subset dev" in printed and "too little sound to show this promise" in printed
    assert "events missed; with the\n    thresholds of a new detector" in printed  # no line wider than a terminal
    with open(tmp_path / "run" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 and set(PROMISE) < set(rows[0])
    evaluate.main([str(tmp_path / "run"), "--clips", "4", "--no-tune", "--json", "--features", place[3]])
    figures = json.loads(capsys.readouterr().out)
    assert figures["alarms"]["n_recordings"] == 1 and figures["alarms"]["n_events"] == 1
    assert figures["alarms"]["by_recording"][0]["recording"] == "eval.wav"
    assert not any("flatters" in note for note in figures["alarms"]["notes"])  # as long as the one that was chosen on
    assert (tmp_path / "run" / "alarms_eval.png").exists()
    marked = []
    monkeypatch.setattr(plots, "draw_dev_scores", lambda axes, history, kept: marked.append(kept))
    train_command.main([*words, *small, "--keep", "last", "--out", str(tmp_path / "other"), *place[2:]])
    assert "last epoch (2)" in capsys.readouterr().out and marked == [2]
    assert Detector.load(tmp_path / "other").operating.chosen is None


def test_killed_at_random_moments(sounds, tmp_path):
    words = words_for(sounds)
    words[words.index("--epochs") + 1] = "4"
    with Server() as server:
        killer = Killer(server, tmp_path, [*words, "--preset", "plain"], longest_s=1.0)
        assert killer.kill(6) == [] and killer.n_kills == 6
        about, _ = read_arrays(tmp_path / "whole" / NEWEST, FORMAT)
        assert about["settings"]["keep"] == "promise" and about["promise"]["operating"]["chosen"]
