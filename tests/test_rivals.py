"""What the paper is compared with: the DCASE 2017 baseline's network, and detectors trained on frames alone."""

import dataclasses

import numpy as np
import pytest

from data_tools.errors import InputError
from minirsed.analysis.evaluation import evaluate
from minirsed.decode import decode
from minirsed.detector import FORMAT, Detector
from minirsed.features import frame_to_seconds
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, batch_loss_and_grads, forward, init_params, losses, param_shapes
from minirsed.rivals import frames, mlp
from minirsed.run.resumable import Training
from minirsed.run.settings import PRESETS, TrainSettings, complete
from minirsed.store.archive import read_arrays, write_arrays
from tests.conftest import Store

MLP = ModelConfig("mlp", n_layers=2, n_units=50, n_inputs=40, head="frames")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_size_of_the_baseline(rng):
    """200 · 50 + 50, 50 · 50 + 50, 50 + 1: the 12,651 weights of the challenge's system."""
    params = init_params(MLP, rng)
    assert sum(value.size for value in params.values()) == 12_651
    assert {name: value.shape for name, value in params.items()} == param_shapes(MLP)
    weights = params["mlp0.W"]
    assert 0.049 < np.abs(weights).max() <= 0.05 and not params["mlp0.b"].any() and not params["head.b"].any()


def test_mlp_frame_by_frame(rng):
    """Each frame with two neighbours on either side, the edge frames repeated, through two layers."""
    params = init_params(ModelConfig("mlp", 2, 4, 3, "frames"), rng, np.float64)
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in params.items()}
    x = rng.standard_normal((2, 7, 3))
    h, _ = mlp.mlp_forward(params, x, 2)
    for t in range(7):
        a = np.concatenate([x[:, min(max(t + shift, 0), 6)] for shift in (-2, -1, 0, 1, 2)], axis=1)
        for layer in range(2):
            a = np.maximum(a @ params[f"mlp{layer}.W"] + params[f"mlp{layer}.b"], 0)
        assert h[:, t] == pytest.approx(a, abs=1e-14)


@pytest.mark.parametrize("head", ["attention", "frames"])
def test_forward_without_a_cache_is_the_same(head, rng):
    """`with_cache=False`, as when detecting, keeps no layer's input and gives the same bits."""
    config = dataclasses.replace(MLP, head=head)
    params, x = init_params(config, rng), rng.standard_normal((2, 30, 40)).astype(np.float32)
    kept, freed = (forward(params, config, x, with_cache=choice) for choice in (True, False))
    assert all(np.array_equal(a, b) for a, b in zip(kept[:2], freed[:2], strict=True))
    assert len(kept[2][1]) == 2 and freed[2][1] == [None, None]


def test_dropout_keeps_the_mean_and_is_off_when_detecting(rng):
    """A fifth of the active units is off, the others are 1/0.8 as strong; without a generator nothing is dropped."""
    params = init_params(dataclasses.replace(MLP, n_layers=1), rng)
    x = 100 * rng.standard_normal((2, 200, 40)).astype(np.float32)
    plain, dropped = (mlp.mlp_forward(params, x, 1, chance)[0] for chance in (None, rng))
    active = plain > 0
    off = dropped[active] == 0
    assert off.mean() == pytest.approx(0.2, abs=0.01) and not dropped[~active].any()
    assert dropped[active][~off] == pytest.approx(plain[active][~off] / 0.8)


def test_dropout_depends_on_the_seed_and_not_on_threads(rng):
    params, x = init_params(MLP, rng), rng.standard_normal((11, 30, 40)).astype(np.float32)
    labels = np.zeros((11, 30), np.float32)
    labels[::2, 5:9] = 1

    def gradient(n_threads, seed):
        with worker_threads(n_threads) as executor:
            chance = np.random.default_rng(seed)
            grads = batch_loss_and_grads(executor, params, MLP, x, labels, 1.0, chance)[1]
        return grads["mlp0.W"].tobytes()

    assert gradient(1, seed=0) == gradient(3, seed=0) != gradient(1, seed=1)


def test_recurrent_layers_draw_nothing(rng):
    """The random stream of the paper's models, and with it their training record, does not know of dropout."""
    config, state = ModelConfig("uni", 1, 4, 5), rng.bit_generator.state
    params = init_params(config, np.random.default_rng(0))
    with worker_threads(1) as executor:
        x, labels = np.ones((2, 6, 5), np.float32), np.zeros((2, 6), np.float32)
        batch_loss_and_grads(executor, params, config, x, labels, 1.0, rng)
    assert rng.bit_generator.state == state


def test_median_by_hand():
    """23 frames: 11 active ones in a row are noise, 12 are an event, a gap of 11 within one is closed."""
    assert frames.SMOOTHING_FRAMES == 23
    for n_active, found in ((11, 0), (12, 1), (40, 18)):
        p_t = np.zeros(100)
        p_t[30 : 30 + n_active] = 1
        assert frames.smooth(p_t).sum() >= found and frames.smooth(p_t).any() == bool(found)
    p_t = np.zeros(100)
    p_t[20:80] = 1
    assert np.array_equal(frames.smooth(p_t), p_t)
    p_t[40:51] = 0
    assert frames.smooth(p_t)[20:80].all()
    p_t = np.ones(30)  # beyond the edges there is nothing
    assert np.array_equal(frames.smooth(p_t), p_t)


def test_smoothing_before_the_threshold_is_the_baselines_rule(rng):
    """The challenge's system filters decisions, this one probabilities: the same, for any threshold."""
    p_t = rng.random((3, 200)).astype(np.float32)
    for threshold in (0.2, 0.5, 0.7):
        decisions = frames.smooth((p_t > threshold).astype(np.float32)) > 0.5
        assert np.array_equal(frames.smooth(p_t) > threshold, decisions)


@pytest.mark.parametrize("arch", ["mlp", "multires"])
def test_clip_decision_is_that_of_its_frames(arch, rng):
    """A clip is above thres0 if and only if some smoothed frame is; the bias is such that half of them are."""
    config = ModelConfig(arch, 2, 6, 5, "frames")
    params = init_params(config, rng)
    x = rng.standard_normal((20, 60, 5)).astype(np.float32)
    params["head.b"] -= np.median(forward(params, config, x)[1])
    frame_logits, clip_logit, _ = forward(params, config, x)
    detector = Detector(config, params, "line", np.zeros(5), np.ones(5))
    p, p_t = detector.probabilities(frame_logits, clip_logit)
    assert p == pytest.approx(p_t.max(axis=1), rel=1e-6)
    found = [decode(float(p[i]), p_t[i]) is not None for i in range(20)]
    assert found == (frames.smooth((frame_logits > 0).astype(np.float32)).any(axis=1)).tolist()
    assert sum(found) == 10


def test_frame_loss_is_over_all_frames_of_all_clips():
    """At logit 0 every frame costs ln 2, in clips without an event too; the clip logit does not matter."""
    labels = np.zeros((2, 200), np.float32)
    labels[0, 60:62] = 1
    for clip_logit in (0.0, 7.0, -np.inf):
        values, _ = losses(np.zeros((2, 200)), np.full(2, clip_logit), labels, 1.0, head="frames")
        assert values.total == pytest.approx([np.log(2)] * 2) and not values.utterance.any()
    surprised = np.zeros((2, 200))
    surprised[1, 150] = 8.0  # far from any event: the paper's loss would not see it
    assert losses(surprised, np.zeros(2), labels, 1.0, head="frames")[0].total[1] > np.log(2)


def test_saved_with_its_head_and_loaded_without(tmp_path, rng):
    """Files from before there was a choice hold no head: they are the paper's."""
    detector = Detector(MLP, init_params(MLP, rng), "line", np.zeros(40), np.ones(40))
    detector.save(tmp_path / "mlp.npz")
    loaded = Detector.load(tmp_path / "mlp.npz")
    y = 0.1 * rng.standard_normal(44100)
    assert loaded.config == MLP
    assert loaded.detect(y).probability == detector.detect(y).probability
    assert loaded.detect(y[:5000]).onset_s is None  # five frames: fewer than the median needs
    config = ModelConfig("uni", 1, 4, 64)
    old = Detector(config, init_params(config, rng), "line", np.zeros(64), np.ones(64))
    description = old.description()
    del description["model"]["head"]
    write_arrays(tmp_path / "old.npz", FORMAT, description, old.arrays())
    assert Detector.load(tmp_path / "old.npz").config.head == "attention"
    description, arrays = read_arrays(tmp_path / "mlp.npz", FORMAT)
    write_arrays(
        tmp_path / "wrong.npz", FORMAT, description | {"model": {**description["model"], "arch": "uni"}}, arrays
    )
    with pytest.raises(InputError, match="its arrays do not fit"):
        Detector.load(tmp_path / "wrong.npz")


def test_settings_of_the_baseline():
    """`--arch mlp` brings its own size and step, whatever the preset; what is given overrules it."""
    for preset in ("plain", "paper-5k", "paper-15k"):
        found = complete(PRESETS[preset], {"arch": "mlp"})
        assert (found.head, found.n_mels, found.layers, found.units) == ("frames", 40, 2, 50)
        assert found.learning_rate == 1e-3 and found.max_grad_norm == 0
        assert found.clips == TrainSettings(**PRESETS[preset]).clips
    assert complete(PRESETS["quick"], {"arch": "mlp", "units": 8, "head": "attention"}).units == 8
    own = complete(PRESETS["baseline"], {})
    assert own.arch == "mlp" and own.epochs == 200 and own.clips == 500 and own.head == "frames"
    with pytest.raises(InputError, match="--head is 'none': expected one of attention, frames"):
        TrainSettings(head="none")


def slower(store, times=3):
    """The same mixtures with each frame `times` in a row: events of 36 frames, more than the median swallows."""
    first = frame_to_seconds(0)
    onset_s, offset_s = (first + times * (seconds - first) for seconds in (store.onset_s, store.offset_s))
    return Store(np.repeat(store.features, times, axis=1), store.recipes, store.has_event, onset_s, offset_s)


@pytest.mark.parametrize("arch", ["mlp", "multires", "crnn1d", "crnn"])
def test_frames_alone_learn_a_pattern(arch, line_stores, tmp_path):
    """Trained on frames, scored on events: the rule finds most of them. Stops and goes on without a trace."""
    settings = TrainSettings(
        "line", arch=arch, head="frames", layers=1, units=16, learning_rate=1e-2, clips=40, dev_clips=20, epochs=15,
        equaliser_db=0.0, mask_bands=0,
    )  # fmt: skip
    stores = [slower(store) for store in line_stores]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    run = Training.start(whole, settings, stores[0])
    with worker_threads(2) as executor:
        list(run.epochs(*stores, executor))
        first = Training.start(parts, dataclasses.replace(settings, epochs=2), stores[0])
        list(first.epochs(*stores, executor))
        resumed = Training.resume(parts, settings)
        list(resumed.epochs(*stores, executor))
        found = evaluate(Detector.load(whole), stores[1], executor)
    best = min(row["dev_error_rate"] for row in run.history)
    assert best <= 0.2 and found.scores.error_rate == best
    assert all(np.array_equal(value, resumed.detector.params[name]) for name, value in run.detector.params.items())
