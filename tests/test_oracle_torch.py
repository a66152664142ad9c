"""The whole model and Adam against PyTorch: its answers come from `oracle/make_torch_oracle.py`, frozen in a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from minirsed.adam import Adam
from minirsed.losses import frame_loss_weights
from minirsed.model import ModelConfig, forward, loss_and_grads, param_shapes

with np.load(Path(__file__).parent / "oracle" / "torch_oracle.npz", allow_pickle=False) as file:
    ORACLE = dict(file)
CASES = [str(name) for name in ORACLE["cases"]]


class Case:
    """What the oracle was asked, in minirsed's terms, and what it answered."""

    def __init__(self, name):
        self.answer = {k.removeprefix(f"{name}/"): v for k, v in ORACLE.items() if k.startswith(f"{name}/")}
        settings = json.loads(str(self.answer["config"]))
        self.alpha, self.margin = settings.pop("alpha"), settings.pop("margin_frames")
        self.config = ModelConfig(**settings, n_inputs=self.answer["x"].shape[2])
        self.params, self.grads = self.named("param"), self.named("grad")

    def named(self, kind):
        return {k.removeprefix(f"{kind}/"): v for k, v in self.answer.items() if k.startswith(f"{kind}/")}


@pytest.fixture(params=CASES)
def case(request):
    return Case(request.param)


def assert_close(ours, theirs, what, tolerance=1e-9):
    """Largest difference, relative to the largest entry of the array."""
    assert ours.shape == theirs.shape, what
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max(), what


def test_all_architectures_are_covered():
    cases = [Case(name) for name in CASES]
    assert {c.config.arch for c in cases} == {"uni", "bi", "multires"}
    assert {c.config.n_layers for c in cases if c.config.arch == "multires"} == {3, 4}  # Tables 1 and 2
    assert {c.config.n_classes for c in cases} == {1, 3}
    for c in cases:
        assert {k: v.shape for k, v in c.params.items()} == param_shapes(c.config)
        assert np.abs(np.concatenate([g.ravel() for g in c.grads.values()])).min() > 0  # nothing passes as zero


def test_logits(case, loop):
    frame_logits, clip_logit, _ = forward(case.params, case.config, case.answer["x"])
    theirs = case.answer["frame_logits"]
    assert_close(frame_logits, theirs.reshape(-1, theirs.shape[-1]), "frame logits")  # rows: classes of a clip
    assert_close(clip_logit, case.answer["clip_logits"].reshape(-1), "clip logits")


def test_loss_and_gradients(case, loop):
    values, grads, dx = loss_and_grads(
        case.params,
        case.config,
        case.answer["x"],
        case.answer["labels"],
        case.alpha,
        margin=case.margin,
    )
    assert_close(values.total.mean(), case.answer["loss"], "loss")
    assert grads.keys() == case.grads.keys()
    for name, grad in grads.items():
        assert_close(grad, case.grads[name], name)
    assert_close(dx, case.answer["grad_x"], "x")


def test_margin_of_the_paper():
    """T = 131, margin 50. Event 60–63: frames 10–113, uncut. Event 120–131: 70–131, cut by the end. Then none."""
    case = Case("uni1_margin50")
    weights = frame_loss_weights(case.answer["labels"])
    assert [np.flatnonzero(w)[[0, -1]].tolist() for w in weights[:2]] == [[10, 112], [70, 130]]
    assert weights[0, 10] == pytest.approx(1 / 103) and weights[1, 70] == pytest.approx(1 / 61)
    assert not weights[2].any()


def test_adam_100_steps():
    """Gradients from 1e-9, where epsilon rules, over an exact 0, to 1e3; states after 1, 2, 10, 50, 100 updates."""
    names = ("a", "b")
    params = {name: ORACLE[f"adam/param/{name}"].copy() for name in names}
    after = {int(step): i for i, step in enumerate(ORACLE["adam/steps"])}
    optimizer = Adam(learning_rate=1e-3)
    for step in range(1, 101):
        optimizer.update(params, {name: ORACLE[f"adam/grads/{name}"][step - 1] for name in names})
        if step in after:
            for name in names:
                moved = params[name] - ORACLE[f"adam/param/{name}"]
                expected = ORACLE[f"adam/after/{name}"][after[step]] - ORACLE[f"adam/param/{name}"]
                np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-14, err_msg=f"{name}, step {step}")
