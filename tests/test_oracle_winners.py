"""The layers of `minirsed.rivals` and both winning networks against PyTorch: see `oracle/make_winners_oracle.py`."""

import json
from pathlib import Path

import numpy as np
import pytest

from minirsed.adam import Adam
from minirsed.kernels.threads import worker_threads
from minirsed.model import GROUP_CLIPS, ModelConfig, batch_loss_and_grads, forward, loss_and_grads, param_shapes
from minirsed.rivals import batch_norm, convolution, crnn, crnn1d, lstm, pooling
from tests.test_oracle_torch import assert_close

with np.load(Path(__file__).parent / "oracle" / "winners_oracle.npz", allow_pickle=False) as file:
    ORACLE = dict(file)
CASES = [str(name) for name in ORACLE["cases"]]


def answers(prefix):
    """What the file holds under a name."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in ORACLE.items() if key.startswith(f"{prefix}/")}


@pytest.fixture(autouse=True)
def without_dropout(monkeypatch):
    """As the oracle was asked; the networks still see that they are in training."""
    for system in (crnn, crnn1d):
        monkeypatch.setattr(system, "DROPOUT", 0.0)


@pytest.fixture(params=CASES)
def case(request):
    asked = answers(request.param)
    settings = json.loads(str(asked["config"]))
    asked["alpha"] = settings.pop("alpha")
    return {**asked, "config": ModelConfig(**settings), "params": answers(f"{request.param}/param")}


@pytest.mark.parametrize(("name", "pad"), [("in_two_dimensions", 1), ("along_frequency", 0)])
def test_convolution(name, pad):
    asked = answers(name)
    z, cache = convolution.convolution_forward(asked["W"], asked["x"], pad)
    dx, dW = convolution.convolution_backward(asked["dy"], cache)
    for found, key in ((z, "y"), (dx, "grad/x"), (dW, "grad/W")):
        assert_close(found, asked[key], key)


def test_max_pool():
    asked = answers("max_pool")
    y, cache = pooling.max_pool_forward(asked["x"], 3)
    assert_close(y, asked["y"], "y")
    assert_close(pooling.max_pool_backward(asked["dy"], cache), asked["grad/x"], "x")


@pytest.mark.parametrize(("name", "own"), [("batch_norm_training", True), ("batch_norm_detecting", False)])
def test_batch_norm(name, own):
    asked = answers(name)
    y, cache = batch_norm.batch_norm_forward(asked, asked["z"], own=own)
    dz, grads = batch_norm.batch_norm_backward(asked["dy"], cache)
    for found, key in ((y, "y"), (dz, "grad/z"), (grads["gamma"], "grad/gamma"), (grads["beta"], "grad/beta")):
        assert_close(found, asked[key], key)
    moved = {f"one.{key}": asked[key].copy() for key in ("running_mean", "running_var")}
    batch_norm.follow(moved, {f"one.{key}": r_s for key, r_s in batch_norm.drift(asked, cache.statistics).items()})
    for key, value in moved.items():
        assert_close(value, asked[f"after/{key.removeprefix('one.')}"], key)


@pytest.mark.parametrize(("name", "reverse"), [("lstm", False), ("lstm_reverse", True)])
def test_lstm(name, reverse, loop):
    asked = answers(name)
    h, cache = lstm.lstm_forward(asked, asked["x"], reverse=reverse)
    dx, grads = lstm.lstm_backward(asked["dy"], cache)
    assert_close(h, asked["y"], "h")
    for key, found in {"x": dx, **grads}.items():
        assert_close(found, asked[f"grad/{key}"], key)


def test_the_oracle_knows_the_same_networks(case):
    """The same parameters in the same shapes; both heads; minibatches of one group and of two."""
    assert {name: value.shape for name, value in case["params"].items()} == param_shapes(case["config"])
    assert all(case[f"training/grad/{name}"].any() for name in batch_norm.trained(case["params"]))
    n_clips = {len(answers(name)["x"]) for name in CASES}
    assert min(n_clips) <= GROUP_CLIPS < max(n_clips)


def test_detecting(case, loop):
    """By the running statistics: logits, loss, gradients."""
    values, grads, dx = loss_and_grads(case["params"], case["config"], case["x"], case["labels"], case["alpha"])
    frame_logits, _, _ = forward(case["params"], case["config"], case["x"], with_cache=False)
    assert_close(frame_logits, case["detecting/frame_logits"], "frame logits")
    assert_close(values.total.mean(), case["detecting/loss"], "loss")
    assert_close(dx, case["detecting/grad_x"], "x")
    assert grads.keys() == batch_norm.trained(case["params"]).keys()
    for name, grad in grads.items():
        assert_close(grad, case[f"detecting/grad/{name}"], name)


def test_training(case, loop):
    """By each group's own statistics: loss and gradients of a minibatch; logits and dx where it is one group."""
    rng = np.random.default_rng(0)
    if len(case["x"]) <= GROUP_CLIPS:
        frame_logits = forward(case["params"], case["config"], case["x"], rng=rng)[0]
        dx = loss_and_grads(case["params"], case["config"], case["x"], case["labels"], case["alpha"], rng=rng)[2]
        assert_close(frame_logits, case["training/frame_logits"], "frame logits")
        assert_close(dx, case["training/grad_x"], "x")
    values, grads = minibatch_gradients(case, case["params"], case["x"], 2)
    assert_close(values.total.mean(), case["training/loss"], "loss")
    for name, grad in batch_norm.trained(grads).items():
        assert_close(grad, case[f"training/grad/{name}"], name)


def minibatch_gradients(case, params, x, n_threads):
    with worker_threads(n_threads) as executor:
        rng = np.random.default_rng(0)
        return batch_loss_and_grads(executor, params, case["config"], x, case["labels"], case["alpha"], rng)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_ten_updates(case, n_threads):
    """Parameters and running statistics after ten updates with Adam, on ten minibatches."""
    params, adam = {name: value.copy() for name, value in case["params"].items()}, Adam(1e-2)
    for k in range(10):
        x = case["x"] * (1 + 0.1 * k) + 0.05 * k  # `minibatch` of the script
        adam.update(*batch_norm.follow(params, minibatch_gradients(case, params, x, n_threads)[1]))
    for name, value in params.items():
        assert_close(value, case[f"after/{name}"], name, tolerance=1e-8)
