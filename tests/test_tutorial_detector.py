"""`tutorials/detector.py`, the paper in one file: each part equals the package's, and all of it learns."""

import ast
from pathlib import Path

import numpy as np
import pytest

from minirsed import features
from minirsed.adam import Adam, clip_by_global_norm
from minirsed.decode import decode
from minirsed.features import frame_to_seconds
from minirsed.gradcheck import compare
from minirsed.model import ModelConfig, forward
from minirsed.model import loss_and_grads as package_loss_and_grads
from minirsed.scoring import score
from tutorials import detector

SOURCE = Path(detector.__file__).read_text(encoding="utf-8")
B, T = 3, 145  # an odd number of frames, and half of it is odd as well


@pytest.fixture
def small(monkeypatch):
    """Weights, features and labels of a small model; an event begins a clip, another lies in the middle of one."""
    monkeypatch.setattr(detector, "UNITS", 3)
    monkeypatch.setattr(detector, "BANDS", 5)
    rng = np.random.default_rng(0)
    p = {name: value + 0.1 * rng.standard_normal(value.shape) for name, value in detector.new_weights(rng).items()}
    y = np.zeros((B, T))
    y[0, 20:25] = y[2, 70:80] = 1
    return p, rng.standard_normal((B, T, 5)), y


def as_the_package_names_them(arrays):
    """{W0 (2, D, 3H), …, w} → {gru0.fwd.W (D, 3H), …, head.w}."""
    named = {"head.w": arrays["w"]}
    for layer in range(detector.LAYERS):
        for way, direction in enumerate(("fwd", "bwd")):
            named |= {f"gru{layer}.{direction}.{key}": arrays[f"{key}{layer}"][way] for key in "WUb"}
    return named


def test_it_is_short_and_needs_numpy_alone():
    assert len(SOURCE.splitlines()) <= 200
    imported = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imported] == ["import numpy as np"]


def test_features_are_those_of_the_package():
    y, _, _ = detector.clip(np.random.default_rng(1), True)
    triangles = detector.mel_triangles()
    assert np.allclose(triangles, features.mel_filter_bank(detector.BANDS, detector.FFT), atol=1e-12)
    assert np.allclose(detector.lfbe(y, triangles), features.lfbe(y), atol=1e-4)


def test_a_clip_holds_its_cry_where_it_says():
    for seed in range(5):
        y, onset, offset = detector.clip(np.random.default_rng(seed), True)
        quiet, *nothing = detector.clip(np.random.default_rng(seed), False)
        assert len(y) == len(quiet) == detector.SECONDS * detector.RATE and np.isnan(nothing).all()
        assert 0 <= onset < offset <= detector.SECONDS and 0.6 < offset - onset < 1.7


def test_logits_losses_and_gradients_are_those_of_the_package(small):
    p, x, y = small
    config, params = ModelConfig("multires", n_layers=2, n_units=3, n_inputs=5), as_the_package_names_them(p)
    frame_logits, clip_logits, _ = forward(params, config, x)
    e_t = detector.encode(p, x)[0] @ p["w"]
    assert np.allclose(e_t, frame_logits, atol=1e-12) and np.allclose(detector.attend(e_t)[0], clip_logits, atol=1e-12)
    loss, grads = detector.loss_and_grads(p, x, y)
    losses, package, _ = package_loss_and_grads(params, config, x, y, detector.ALPHA)
    assert np.isclose(loss, losses.total.mean(), atol=1e-12)
    ours = as_the_package_names_them(grads)
    assert ours.keys() == package.keys()
    for name, grad in package.items():
        assert np.allclose(ours[name], grad, atol=1e-12), name


def test_all_gradients_agree_with_finite_differences(small):
    p, x, y = small
    rows = compare(
        lambda a: detector.loss_and_grads(a, x, y)[0], detector.loss_and_grads(p, x, y)[1], p, np.random.default_rng(0)
    )
    assert len(rows) == 1 + 3 * detector.LAYERS
    assert max(row.error for row in rows) < 1e-6


@pytest.mark.parametrize("size", [0.01, 10.0])  # below and above the norm at which gradients are clipped
def test_adam_is_that_of_the_package(small, size):
    p = {name: value.copy() for name, value in small[0].items()}
    package, optimizer, m, v = {name: value.copy() for name, value in p.items()}, Adam(2e-3), {}, {}
    rng = np.random.default_rng(3)
    for n in range(1, 6):
        grads = {name: size * rng.standard_normal(value.shape) for name, value in p.items()}
        detector.adam(p, grads, m, v, n, rate=2e-3)
        optimizer.update(package, clip_by_global_norm(grads, 1.0)[0])
    for name, value in package.items():
        assert np.allclose(p[name], value, atol=1e-12), name


def test_runs_are_decoded_as_in_the_package():
    rng = np.random.default_rng(4)
    for length in (1, 2, 7, 30):
        for p in (0.2, 0.5, 0.9):
            p_t = rng.choice([0.1, 0.5, 0.8], length)
            ours, package = detector.longest_run(p, p_t), decode(p, p_t)
            assert (ours is None) == (package is None)
            assert ours is None or tuple(ours) == package


def test_errors_are_counted_as_in_the_package():
    rng = np.random.default_rng(5)
    truths = np.where(rng.random(40) < 0.5, rng.uniform(0, 5, 40), np.nan)
    founds = np.where(rng.random(40) < 0.7, np.nan_to_num(truths, nan=2.0) + rng.normal(0, 0.5, 40), np.nan)
    lists = [{i: [] if np.isnan(t) else [(t, t + 1)] for i, t in enumerate(onsets)} for onsets in (truths, founds)]
    assert np.isclose(detector.error_rate(truths, founds), score(*lists).error_rate)
    assert np.isclose((10 * detector.HOP + detector.WIN / 2) / detector.RATE, frame_to_seconds(10))


@pytest.mark.slow
def test_it_learns(capsys):
    _, rate = detector.main()
    assert rate < 0.25
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"error rate {rate:.2f}")
