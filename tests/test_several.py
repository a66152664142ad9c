"""Several sounds in one detector: C event vectors are C heads on the same states, and one is the paper's."""

import dataclasses

import numpy as np
import pytest

from data_tools.errors import InputError
from minirsed.detector import Detector
from minirsed.inference.network import Network, apart, ready
from minirsed.kernels import plain_numpy
from minirsed.kernels.threads import worker_threads
from minirsed.model import HEADS, ModelConfig, batch_loss_and_grads, forward, init_params, loss_and_grads, param_shapes
from minirsed.multires import ARCHITECTURES
from minirsed.outside.members import join, shrink, split
from minirsed.several.heads import for_each_class

C = 3


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def class_params(params, c):
    """Parameters of a network with the vector of one class alone."""
    return {name: value[c] if name.startswith("head") else value for name, value in params.items()}


def network(arch, head, rng, dtype=np.float64):
    """A network for C classes, one for any of them, and the parameters of the former."""
    config = ModelConfig(arch, n_layers=2, n_units=4, n_inputs=5, head=head, n_classes=C)
    params = init_params(config, rng, dtype)
    params |= {name: rng.standard_normal(value.shape).astype(dtype) for name, value in params.items() if "head" in name}
    return config, ModelConfig(arch, n_layers=2, n_units=4, n_inputs=5, head=head), params


@pytest.mark.parametrize(("arch", "head"), [("multires", "attention"), ("uni", "frames"), ("mlp", "frames")])
def test_each_class_is_a_network_with_its_vector(rng, arch, head):
    """Logits and losses are those of C networks with the same encoder, gradients of what they share are sums."""
    config, of_one, params = network(arch, head, rng)
    x, labels = rng.standard_normal((2, 9, 5)), np.zeros((2, C, 9))
    labels[0, 0, 2:5] = labels[0, 1, 4:8] = labels[1, 2, :1] = 1
    frame_logits, clip_logit, _ = forward(params, config, x)
    values, grads, dx = loss_and_grads(params, config, x, labels, 0.7, margin=2)
    alone = [loss_and_grads(class_params(params, c), of_one, x, labels[:, c], 0.7, margin=2) for c in range(C)]
    for c in range(C):
        frames, clip, _ = forward(class_params(params, c), of_one, x)
        assert np.array_equal(frame_logits[c::C], frames) and np.array_equal(clip_logit[c::C], clip)
        for name in ("head.w", *HEADS[head].shapes):
            assert np.allclose(grads[name][c], alone[c][1][name], atol=1e-15), name
    for part, parts in zip(values, zip(*(each for each, _, _ in alone), strict=True), strict=True):
        assert np.allclose(part, sum(parts), atol=1e-14)
    for name in [name for name in params if not name.startswith("head")]:
        assert np.allclose(grads[name], sum(each[1][name] for each in alone), atol=1e-14), name
    assert np.allclose(dx, sum(each[2] for each in alone), atol=1e-14)


def test_one_class_is_the_head_itself():
    """Nothing is between the paper's model and its head, and its vector has one axis."""
    assert for_each_class(HEADS["attention"], 1) is HEADS["attention"]
    assert param_shapes(ModelConfig(n_units=3))["head.w"] == (6,)
    assert param_shapes(ModelConfig(n_units=3, n_classes=C))["head.w"] == (C, 6)
    assert param_shapes(ModelConfig(n_units=3, n_classes=C, head="frames"))["head.b"] == (C, 1)
    with pytest.raises(ValueError, match="n_classes must be at least 1"):
        ModelConfig(n_classes=0)


def test_labels_of_another_number_of_classes_are_refused(rng):
    config, _, params = network("uni", "attention", rng)
    with pytest.raises(ValueError, match="reshape"):
        loss_and_grads(params, config, rng.standard_normal((2, 9, 5)), np.zeros((2, C - 1, 9)))


def test_batch_gradient_for_any_number_of_threads(rng):
    """Groups of clips, each with all of its classes: the mean loss, and the same bits on 1, 2 or 3 threads."""
    config, _, params = network("multires", "attention", rng, np.float32)
    x, labels = rng.standard_normal((12, 21, 5)).astype(np.float32), np.zeros((12, C, 21), np.float32)
    labels[::2, 0, 4:9] = labels[::3, 2, 1:5] = 1
    results = []
    for n_threads in (1, 2, 3):
        with worker_threads(n_threads) as executor:
            results.append(batch_loss_and_grads(executor, params, config, x, labels, 1.0))
    values, grads = results[0]
    whole, expected, _ = loss_and_grads(params, config, x, labels)
    assert values.total.shape == (12,) and np.allclose(values.total, whole.total, atol=1e-5)
    for name, grad in grads.items():
        assert np.allclose(grad, expected[name], atol=1e-5)
        assert all(np.array_equal(grad, other[name]) for _, other in results[1:])


def joined(arch, n_members, dtype=np.float32):
    """Members for C classes, the parameters of the network that they are joined to, and the configurations of both."""
    config = ModelConfig(arch, n_layers=2, n_units=6, n_inputs=9, n_classes=C)
    members = [init_params(config, np.random.default_rng(k), dtype) for k in range(n_members)]
    return members, join(members, config), config, dataclasses.replace(config, n_units=n_members * 6)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("n_members", "n_clips", "n_frames"), [(1, 2, 5), (4, 7, 37)])
def test_network_that_listens(rng, arch, n_members, n_clips, n_frames):
    """All classes of one pass through the layers: as the model has them, members joined or apart, compiled or plain."""
    members, params, config, whole = joined(arch, n_members)
    x = rng.standard_normal((n_clips, n_frames, 9)).astype(np.float32)
    frame_logits, clip_logit, _ = forward(params, whole, x)
    mean = np.mean([forward(each, config, x)[0] for each in members], axis=0)
    assert frame_logits.shape == (n_clips * C, n_frames) and np.abs(frame_logits - mean).max() < 2e-6
    network = Network(params, whole)
    assert len(network.parts) == n_members
    found = network.logits(x)
    with plain_numpy():
        plain = network.logits(x)
    for frames, clip in (found, plain):
        assert np.abs(frames - frame_logits).max() < 2e-6 and np.abs(clip - clip_logit).max() < 2e-6


def test_network_of_a_rival(rng):
    config, _, params = network("mlp", "frames", rng, np.float32)
    x = rng.standard_normal((2, 9, 5)).astype(np.float32)
    for found, expected in zip(ready(params, config).logits(x), forward(params, config, x)[:2], strict=True):
        assert found.shape[0] == 2 * C and np.array_equal(found, expected)


def test_members_taken_apart_again():
    members, params, config, whole = joined("multires", 3)
    detector = Detector(whole, params, "any", np.zeros(9), np.ones(9))
    for found, member in zip(split(detector, config), members, strict=True):
        assert all(np.allclose(found[name], value, atol=1e-6) for name, value in member.items())
    with pytest.raises(InputError, match="n_classes=3.*; expected .*n_classes=1"):
        split(detector, dataclasses.replace(config, n_classes=1))
    params["head.w"][1, 0] += 1  # still the same networks: a vector is not what holds them together
    assert len(apart(params, whole)[0]) == 3
    params["gru1.bwd.U"][0, 7] = 1
    assert len(apart(params, whole)[0]) == 1


def test_weight_decay_leaves_event_vectors_alone():
    params = joined("uni", 1)[1]
    before = {name: value.copy() for name, value in params.items()}
    shrink(params, 0.5)
    assert np.array_equal(params["head.w"], before["head.w"])
    assert np.allclose(params["gru0.fwd.W"], before["gru0.fwd.W"] / 2)
