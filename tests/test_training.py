"""Training: it learns what is there to learn, nothing else, and stops and goes on without a trace."""

import json

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.recipes import EBR_DB
from data_tools.soundbank import open_bank
from minirsed.adam import Adam, clip_by_global_norm
from minirsed.analysis.evaluation import evaluate
from minirsed.detector import Detector
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, batch_loss_and_grads, init_params
from minirsed.run.checkpoint import FORMAT
from minirsed.run.resumable import Training
from minirsed.run.settings import TrainSettings
from minirsed.store.archive import read_arrays
from minirsed.store.mixtures import batch_labels, recipes_of
from tests.conftest import Store

TINY = {"label": "line", "layers": 2, "units": 12, "learning_rate": 1e-2, "clips": 40, "dev_clips": 20}


def train(folder, stores, n_threads=2, **settings):
    """A run in `folder`; its rows."""
    run = Training.start(folder, TrainSettings(**{**TINY, **settings}), stores[0])
    with worker_threads(n_threads) as executor:
        list(run.epochs(*stores, executor))
    return run


def without_time(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_event_to_background_ratios_of_all_mixtures():
    """Training, development and evaluation are drawn with them; a run of before knew the task's only."""
    settings = TrainSettings(**json.loads('{"ebr_db": [-12, 3.5]}'))
    bank = open_bank("builtin")
    for subset in ("train", "dev", "eval"):
        found = {recipe.ebr_db for recipe in recipes_of(bank, settings, subset, 40) if recipe.has_event}
        assert found == {-12.0, 3.5}, subset
    assert TrainSettings().ebr_db == EBR_DB


@pytest.mark.parametrize("value", [(), [], [1, "2"], [[1]], [True], 3.0, "3", [float("nan")], [0, float("inf")]])
def test_ratios_that_are_none(value):
    with pytest.raises(InputError, match="--ebr-db is .*: expected one or more finite numbers$"):
        TrainSettings(ebr_db=value)


def assert_same_run(one, other):
    """Weights, optimizer, random state, statistics, best detector and metrics are the same bytes."""
    (one_about, one_arrays), (other_about, other_arrays) = (
        read_arrays(folder / "checkpoint.npz", FORMAT) for folder in (one, other)
    )
    assert without_time(one_about.pop("history")) == without_time(other_about.pop("history"))
    assert one_about == other_about
    assert one_arrays.keys() == other_arrays.keys()
    assert all(one_arrays[name].tobytes() == other_arrays[name].tobytes() for name in one_arrays)
    assert (one / "best.npz").read_bytes() == (other / "best.npz").read_bytes()


@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
def test_one_batch_can_be_learnt_by_heart(arch, line_stores):
    """80 updates on ten clips bring the loss from above 0.6 to below 0.1: every gradient points downhill."""
    store = line_stores[0]
    config = ModelConfig(arch, n_layers=2, n_units=12)
    params = init_params(config, np.random.default_rng(0))
    optimizer = Adam(learning_rate=1e-2)
    labels, losses = batch_labels(store, range(10)), []
    with worker_threads(2) as executor:
        for _ in range(80):
            values, grads = batch_loss_and_grads(executor, params, config, store.features[:10], labels, 1.0)
            optimizer.update(params, grads)
            losses.append(values.total.mean())
    assert losses[0] > 0.6 and losses[-1] < 0.1


def test_training_learns_a_pattern_and_keeps_the_best_epoch(line_stores, tmp_path):
    run = train(tmp_path, line_stores, epochs=25)
    assert [row["epoch"] for row in run.history] == list(range(1, 26))
    error_rates = [row["dev_error_rate"] for row in run.history]
    assert min(error_rates) <= 0.2
    assert error_rates[run.best_epoch - 1] == min(error_rates)
    with worker_threads(1) as executor:
        found = evaluate(Detector.load(tmp_path), line_stores[1], executor)
    assert found.scores.error_rate == min(error_rates)
    heading, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert heading.startswith("epoch,train_loss,") and len(rows) == 25


def test_first_losses_are_those_on_record(line_stores, tmp_path):
    """Mean training losses of the first five epochs: any change of the mathematics or of the random stream shows."""
    run = train(tmp_path, line_stores, epochs=5)
    losses = [row["train_loss"] for row in run.history]
    assert losses == pytest.approx(FIRST_LOSSES, rel=2e-3)


FIRST_LOSSES = [1.057201, 1.040862, 1.013157, 1.014102, 0.996849]


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_run_equals_undisturbed_run(stop_after, line_stores, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    train(whole, line_stores, epochs=4)
    train(parts, line_stores, epochs=stop_after)
    resumed = Training.resume(parts, TrainSettings(**TINY, epochs=4))
    with worker_threads(1) as executor:
        list(resumed.epochs(*line_stores, executor))
    assert_same_run(whole, parts)


@pytest.mark.parametrize("what", ["random_state", "n_updates"])
def test_resume_needs_every_part_of_the_state(what, line_stores, tmp_path):
    """The comparison above is worth something: with the random state or the optimizer's count lost, it fails."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    train(whole, line_stores, epochs=3)
    train(parts, line_stores, epochs=1)
    resumed = Training.resume(parts, TrainSettings(**TINY, epochs=3))
    if what == "random_state":
        resumed.rng = np.random.default_rng(TINY.get("seed", 0))
    else:
        resumed.adam.n_updates = 0
    with worker_threads(1) as executor:
        list(resumed.epochs(*line_stores, executor))
    with pytest.raises(AssertionError):
        assert_same_run(whole, parts)


def test_same_seed_same_bytes_for_any_number_of_threads(line_stores, tmp_path):
    folders = [tmp_path / str(n) for n in (1, 2, 5)]
    for folder in folders:
        folder.mkdir()
        train(folder, line_stores, n_threads=int(folder.name), epochs=2)
    assert_same_run(folders[0], folders[1])
    assert_same_run(folders[0], folders[2])
    (tmp_path / "seed").mkdir()
    train(tmp_path / "seed", line_stores, epochs=2, seed=1)
    with pytest.raises(AssertionError):
        assert_same_run(folders[0], tmp_path / "seed")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_stop_training_and_the_clip_is_named(bad, line_stores, tmp_path):
    train_store, dev_store = line_stores
    train(tmp_path, line_stores, epochs=1)
    kept = {name: (tmp_path / name).read_bytes() for name in ("best.npz", "checkpoint.npz", "metrics.csv")}
    run = Training.resume(tmp_path, TrainSettings(**TINY, epochs=2))
    features = train_store.features.copy()
    features[7, 30, 5] = bad
    broken = Store(features, train_store.recipes, train_store.has_event, train_store.onset_s, train_store.offset_s)
    with (
        worker_threads(2) as executor,
        pytest.raises(InputError, match=r"features are not finite, mixtures train_007\.wav \(in epoch 2, update \d+\)"),
    ):
        list(run.epochs(broken, dev_store, executor))
    assert kept == {name: (tmp_path / name).read_bytes() for name in kept}


def test_resume_refuses_a_damaged_checkpoint(line_stores, tmp_path):
    train(tmp_path, line_stores, epochs=1)
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match="checkpoint.npz: no file of minirsed's, or damaged"):
        Training.resume(tmp_path, TrainSettings(**TINY))
    path.write_bytes((tmp_path / "best.npz").read_bytes())
    with pytest.raises(InputError, match="format is 'minirsed-detector-1'"):
        Training.resume(tmp_path, TrainSettings(**TINY))


def test_adam_by_hand():
    """First update of any Adam: m̂ = g, v̂ = g², so θ moves by η · g / (|g| + ε), η whatever the gradient's size."""
    params = {"a": np.array([1.0, -2.0, 3.0])}
    Adam(learning_rate=0.1).update(params, {"a": np.array([1e-3, 5.0, 0.0])})
    assert params["a"] == pytest.approx([0.9, -2.1, 3.0], abs=1e-5)


def test_adam_refuses_other_names():
    with pytest.raises(ValueError, match=r"different arrays: \['a', 'b'\]"):
        Adam().update({"a": np.zeros(1)}, {"b": np.zeros(1)})


def test_gradients_are_clipped_by_their_joint_norm():
    """Norm of (3, 4) and (12) together is 13; a limit of 6.5 halves them, one of 20 or 0 leaves them."""
    grads = {"a": np.array([3.0, 4.0]), "b": np.array([[12.0]])}
    clipped, norm = clip_by_global_norm(grads, 6.5)
    assert norm == pytest.approx(13.0)
    assert clipped["a"] == pytest.approx([1.5, 2.0]) and clipped["b"][0, 0] == pytest.approx(6.0)
    for limit in (20.0, 0.0):
        assert clip_by_global_norm(grads, limit)[0] is grads


def shuffled(store, seed):
    """The same mixtures with their labels — event or none, onset, offset — dealt out anew."""
    order = np.random.default_rng(seed).permutation(len(store))
    return Store(store.features, store.recipes, store.has_event[order], store.onset_s[order], store.offset_s[order])


@pytest.mark.parametrize("labels", ["true", "shuffled"])
def test_built_in_babycry_is_learnt_from_true_labels_only(labels, babycry_stores, tmp_path):
    """A small budget brings the development ER well below 0.9; with shuffled labels it stays at 0.9 or above."""
    train_store, dev_store = babycry_stores
    if labels == "shuffled":
        train_store = shuffled(train_store, seed=5)
    budget = {"label": "babycry", "layers": 3, "units": 48, "learning_rate": 2e-3, "epochs": 6}
    budget |= {"equaliser_db": 0.0, "mask_bands": 0}  # it takes longer to learn with them
    run = train(tmp_path, (train_store, dev_store), **budget)
    best = min(row["dev_error_rate"] for row in run.history)
    assert best >= 0.9 if labels == "shuffled" else best <= 0.7


def test_untrained_model_finds_nothing(babycry_stores):
    store = babycry_stores[1]
    error_rates = []
    for seed in range(3):
        config = ModelConfig("multires", n_layers=3, n_units=16)
        params = init_params(config, np.random.default_rng(seed))
        mean, std = np.full(64, -8.0), np.full(64, 3.0)
        with worker_threads(2) as executor:
            detector = Detector(config, params, "babycry", mean, std)
            error_rates.append(evaluate(detector, store, executor).scores.error_rate)
    assert min(error_rates) >= 0.9


def test_checkpoint_describes_itself(line_stores, tmp_path):
    train(tmp_path, line_stores, epochs=1)
    description, arrays = read_arrays(tmp_path / "checkpoint.npz", FORMAT)
    assert description["detector"]["label"] == "line" and description["detector"]["model"]["n_units"] == 12
    assert json.dumps(description) and {"features/mean", "features/std", "params/head.w"} <= arrays.keys()
