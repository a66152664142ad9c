"""Every hand-written gradient against finite differences: inputs and parameters, in float64.

The upstream gradient is random, all dimensions are different (a transpose cannot pass) and lengths are odd.
"""

import numpy as np
import pytest

from minirsed import attention, gru, losses, multires
from minirsed.gradcheck import compare, gradcheck, report
from minirsed.model import HEADS, ModelConfig, init_params, loss_and_grads, param_shapes
from minirsed.rivals import (
    batch_norm,
    convolution,
    dense,
    dropout,
    feature_maps,
    frames,
    fused_maps,
    lstm,
    mlp,
    pooling,
    product,
)
from minirsed.rivals.naming import named
from minirsed.several.heads import for_each_class

TOLERANCE = 1e-6
B, T, D, H = 3, 7, 5, 4


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def assert_gradients(f, grads, arrays, rng, modes=("direction", "element")):
    """Check every array along random directions and element by element; the message is the readable report."""
    for mode in modes:
        rows = compare(f, grads, arrays, rng, mode)
        assert max(row.error for row in rows) <= TOLERANCE, f"\n{report(rows, TOLERANCE)}"


def random_layer(rng, n_inputs=D, n_units=H):
    """Layer parameters of a size at which the gates leave their linear range."""
    return {name: rng.standard_normal(shape) for name, shape in gru.gru_shapes(n_inputs, n_units).items()}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_frames", [1, T])
def test_grad_gru_layer(rng, reverse, n_frames, loop):
    params = random_layer(rng)
    x, h0 = rng.standard_normal((B, n_frames, D)), rng.standard_normal((B, H))
    upstream = rng.standard_normal((B, n_frames, H))

    def loss(a):
        layer = {name: a[name] for name in params}
        return np.vdot(upstream, gru.gru_forward(layer, a["x"], a["h0"], reverse=reverse)[0])

    _, cache = gru.gru_forward(params, x, h0, reverse=reverse)
    dx, dh0, grads = gru.gru_backward(upstream, cache)
    assert_gradients(loss, {"x": dx, "h0": dh0, **grads}, {"x": x, "h0": h0, **params}, rng)


@pytest.mark.parametrize("arch", multires.ARCHITECTURES)
@pytest.mark.parametrize(("n_layers", "n_frames"), [(1, 1), (3, 7), (4, 5)])
def test_grad_encoder(rng, arch, n_layers, n_frames, loop):
    params = multires.init_encoder(arch, n_layers, D, H, rng, np.float64)
    params = {name: value + 0.3 * rng.standard_normal(value.shape) for name, value in params.items()}
    x = rng.standard_normal((B, n_frames, D))
    upstream = rng.standard_normal((B, n_frames, H if arch == "uni" else 2 * H))

    def loss(a):
        return np.vdot(upstream, multires.encoder_forward(a, a["x"], arch, n_layers)[0])

    dx, grads = multires.encoder_backward(upstream, multires.encoder_forward(params, x, arch, n_layers)[1])
    assert_gradients(loss, {"x": dx, **grads}, {"x": x, **params}, rng)


@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_grad_average_pairs(rng, n_frames):
    x = rng.standard_normal((B, n_frames, D))
    upstream = rng.standard_normal((B, (n_frames + 1) // 2, D))
    grads = {"x": multires.average_pairs_backward(upstream, n_frames)}
    assert_gradients(lambda a: np.vdot(upstream, multires.average_pairs(a["x"])), grads, {"x": x}, rng)


@pytest.mark.parametrize("rate", [2, 8])
def test_grad_replicate(rng, rate):
    x = rng.standard_normal((B, -(-T // rate), D))
    upstream = rng.standard_normal((B, T, D))
    grads = {"x": multires.replicate_backward(upstream, rate)}
    assert_gradients(lambda a: np.vdot(upstream, multires.replicate(a["x"], rate, T)), grads, {"x": x}, rng)


@pytest.mark.parametrize("n_frames", [1, T])
def test_grad_attention(rng, n_frames):
    arrays = {"w": rng.standard_normal(D), "h": rng.standard_normal((B, n_frames, D))}
    up_frames, up_clip = rng.standard_normal((B, n_frames)), rng.standard_normal(B)

    def loss(a):
        frame_logits, clip_logit, _ = attention.attention_forward(a["w"], a["h"])
        return np.vdot(up_frames, frame_logits) + np.vdot(up_clip, clip_logit)

    dh, dw = attention.attention_backward(up_frames, up_clip, attention.attention_forward(**arrays)[2])
    assert_gradients(loss, {"w": dw, "h": dh}, arrays, rng)


def test_grad_utterance_loss(rng):
    logit, has_event, upstream = 3 * rng.standard_normal(B), np.array([1, 0, 1]), rng.standard_normal(B)
    _, cache = losses.utterance_loss_forward(logit, has_event)
    grads = {"logit": losses.utterance_loss_backward(upstream, cache)}
    assert_gradients(
        lambda a: np.vdot(upstream, losses.utterance_loss_forward(a["logit"], has_event)[0]),
        grads,
        {"logit": logit},
        rng,
    )


def random_labels(n_frames):
    """Three clips: an event in the middle, none, one that touches the end."""
    labels = np.zeros((B, n_frames))
    labels[0, n_frames // 3 : n_frames // 2 + 1] = 1
    labels[2, -1:] = 1
    return labels


def test_grad_frame_loss(rng):
    logits, labels, upstream = 3 * rng.standard_normal((B, T)), random_labels(T), rng.standard_normal(B)
    weights = losses.frame_loss_weights(labels, margin=2)
    _, cache = losses.frame_loss_forward(logits, labels, weights)
    grads = {"logits": losses.frame_loss_backward(upstream, cache)}
    assert_gradients(
        lambda a: np.vdot(upstream, losses.frame_loss_forward(a["logits"], labels, weights)[0]),
        grads,
        {"logits": logits},
        rng,
    )


@pytest.mark.parametrize("n_frames", [1, 2, T])
def test_grad_context(rng, n_frames):
    """Short clips repeat their edges on top of each other."""
    x, upstream = rng.standard_normal((B, n_frames, D)), rng.standard_normal((B, n_frames, 5 * D))
    grads = {"x": mlp.with_context_backward(upstream)}
    assert_gradients(lambda a: np.vdot(upstream, mlp.with_context(a["x"])), grads, {"x": x}, rng)


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize(("n_layers", "n_frames"), [(1, 1), (3, T)])
def test_grad_mlp(rng, n_layers, n_frames, drops):
    """With dropout the same units are off in every evaluation."""
    params = mlp.init_mlp(n_layers, D, H, rng, np.float64)
    params = {name: value + 0.5 * rng.standard_normal(value.shape) for name, value in params.items()}
    x, upstream = rng.standard_normal((B, n_frames, D)), rng.standard_normal((B, n_frames, H))

    def run(a):
        return mlp.mlp_forward(a, a["x"], n_layers, np.random.default_rng(1) if drops else None)

    arrays = {"x": x, **params}
    dx, grads = mlp.mlp_backward(upstream, run(arrays)[1])
    assert_gradients(lambda a: np.vdot(upstream, run(a)[0]), {"x": dx, **grads}, arrays, rng)


def test_grad_frames_head(rng):
    arrays = {"w": rng.standard_normal(D), "b": rng.standard_normal(1), "h": rng.standard_normal((B, T, D))}
    upstream = rng.standard_normal((B, T))
    dh, dw, db = frames.frames_backward(upstream, frames.frames_forward(**arrays)[2])
    grads = {"w": dw, "b": db, "h": dh}
    assert_gradients(lambda a: np.vdot(upstream, frames.frames_forward(**a)[0]), grads, arrays, rng)


@pytest.mark.parametrize(("arch", "head"), [("mlp", "frames"), ("mlp", "attention"), ("multires", "frames")])
def test_grad_baseline_models(rng, arch, head):
    """Mean loss of a batch, with dropout where there is some."""
    config = ModelConfig(arch, n_layers=2, n_units=H, n_inputs=D, head=head)
    params = {name: value + 0.3 * rng.standard_normal(value.shape)
              for name, value in init_params(config, rng, np.float64).items()}  # fmt: skip
    arrays, labels = {"x": rng.standard_normal((B, 11, D)), **params}, random_labels(11)

    def run(a):
        return loss_and_grads(a, config, a["x"], labels, 2.0, margin=2, rng=np.random.default_rng(1))

    _, grads, dx = run(arrays)
    assert_gradients(lambda a: run(a)[0].total.mean(), {"x": dx, **grads}, arrays, rng)


@pytest.mark.parametrize(
    ("kernel", "pad"),
    [((3, 3, 2, 5), 1), ((1, 6, 1, 4), 0), ((3, 2, 3, 4), 0), ((5, 9, 1, 2), 4)],
    ids=["in two dimensions", "along frequency", "even and valid", "larger than the input"],
)
@pytest.mark.parametrize("n_frames", [1, 7])
@pytest.mark.parametrize("block", [1, 1 << 18])
def test_grad_convolution(rng, kernel, pad, n_frames, block, monkeypatch):
    """Also with blocks of one frame, whose neighbours lie in other blocks."""
    monkeypatch.setattr(convolution, "BLOCK_NUMBERS", block)
    arrays = {"W": rng.standard_normal(kernel), "x": rng.standard_normal((3, n_frames, 8, kernel[2]))}
    z, cache = convolution.convolution_forward(**arrays, pad=pad)
    upstream = rng.standard_normal((3, n_frames, 8 + 2 * pad - kernel[1] + 1, kernel[3]))
    assert z.shape == upstream.shape
    dx, dW = convolution.convolution_backward(upstream, cache)
    assert_gradients(
        lambda a: np.vdot(upstream, convolution.convolution_forward(**a, pad=pad)[0]), {"x": dx, "W": dW}, arrays, rng
    )


@pytest.mark.parametrize("size", [1, 3, 9])
def test_grad_max_pool(rng, size):
    """In pairs, with some bands left over, and over all positions."""
    x, upstream = rng.standard_normal((B, T, 9 + (size == 3), D)), rng.standard_normal((B, T, 9 // size, D))
    y, cache = pooling.max_pool_forward(x, size)
    assert y.shape == upstream.shape
    grads = {"x": pooling.max_pool_backward(upstream, cache)}
    assert_gradients(lambda a: np.vdot(upstream, pooling.max_pool_forward(a["x"], size)[0]), grads, {"x": x}, rng)


@pytest.mark.parametrize("own", [True, False], ids=["own statistics", "running statistics"])
def test_grad_batch_norm(rng, own):
    arrays = {"gamma": rng.standard_normal(H), "beta": rng.standard_normal(H), "z": rng.standard_normal((B, T, D, H))}
    constants = {"running_mean": rng.standard_normal(H), "running_var": rng.random(H) + 0.5}
    upstream = rng.standard_normal((B, T, D, H))

    def run(a):
        return batch_norm.batch_norm_forward({**a, **constants}, 3 * a["z"] + 1, own=own)

    dz, grads = batch_norm.batch_norm_backward(upstream, run(arrays)[1])
    assert_gradients(lambda a: np.vdot(upstream, run(a)[0]), {"z": 3 * dz, **grads}, arrays, rng)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_frames", [1, T])
def test_grad_lstm(rng, reverse, n_frames, loop):
    params = {name: rng.standard_normal(shape) for name, shape in lstm.lstm_shapes(D, H).items()}
    arrays = {"x": rng.standard_normal((B, n_frames, D)), **params}
    upstream = rng.standard_normal((B, n_frames, H))
    dx, grads = lstm.lstm_backward(upstream, lstm.lstm_forward(params, arrays["x"], reverse=reverse)[1])

    def loss(a):
        return np.vdot(upstream, lstm.lstm_forward(a, a["x"], reverse=reverse)[0])

    assert_gradients(loss, {"x": dx, **grads}, arrays, rng)


@pytest.mark.parametrize("rectify", [True, False])
def test_grad_dense(rng, rectify):
    arrays = {"x": rng.standard_normal((B, T, D)), "W": rng.standard_normal((D, H)), "b": rng.standard_normal(H)}
    upstream = rng.standard_normal((B, T, H))
    dx, grads = dense.dense_backward(upstream, dense.dense_forward(arrays, arrays["x"], rectify=rectify)[1])

    def loss(a):
        return np.vdot(upstream, dense.dense_forward(a, a["x"], rectify=rectify)[0])

    assert_gradients(loss, {"x": dx, **grads}, arrays, rng)


def test_grad_product_of_directions(rng):
    h, upstream = rng.standard_normal((B, T, 2 * H)), rng.standard_normal((B, T, H))
    grads = {"h": product.product_backward(upstream, product.product_forward(h)[1])}
    assert_gradients(lambda a: np.vdot(upstream, product.product_forward(a["h"])[0]), grads, {"h": h}, rng)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_grad_dropout(rng, share):
    """The same numbers are dropped in every evaluation."""
    x, upstream = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, D))

    def run(a):
        return dropout.dropout_forward(a["x"], share, np.random.default_rng(1))

    grads = {"x": dropout.dropout_backward(upstream, run({"x": x})[1])}
    assert_gradients(lambda a: np.vdot(upstream, run(a)[0]), grads, {"x": x}, rng)


@pytest.mark.parametrize("trains", [True, False], ids=["training", "detecting"])
@pytest.mark.parametrize("own", [(3, 3, 2, 5, 1, 2), (1, 6, 1, 4, 0, 3)], ids=["in two dimensions", "along frequency"])
@pytest.mark.parametrize("few", [0, 64], ids=["kept", "made again"])
def test_grad_feature_maps(rng, own, trains, few, loop, monkeypatch):
    """Convolution, normalisation, ReLU and maximum as one; some bands are left over."""
    monkeypatch.setattr(fused_maps, "FEW_NUMBERS", few)
    *kernel, n_inputs, n_maps, pad, size = own
    shapes = feature_maps.feature_maps_shapes(tuple(kernel), n_inputs, n_maps)
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    params["running_var"] = np.abs(params["running_var"]) + 0.1
    arrays = {"x": rng.standard_normal((B, T, 9, n_inputs)), **batch_norm.trained(named("", params))}
    constants = {name: value for name, value in params.items() if name.startswith("running")}
    upstream = rng.standard_normal((B, T, (9 + 2 * pad - kernel[1] + 1) // size, n_maps))

    def run(a):
        own = {name.removeprefix("."): value for name, value in a.items()} | constants
        return feature_maps.feature_maps_forward(own, own["x"], pad, size, own=trains)

    dx, grads = feature_maps.feature_maps_backward(upstream, run(arrays)[1])
    grads = batch_norm.trained(named("", grads))
    assert_gradients(lambda a: np.vdot(upstream, run(a)[0]), {"x": dx, **grads}, arrays, rng)


@pytest.mark.parametrize("trains", [True, False], ids=["training", "detecting"])
@pytest.mark.parametrize("head", ["frames", "attention"])
@pytest.mark.parametrize(("arch", "n_units"), [("crnn1d", 4), ("crnn", 3)])
def test_grad_winners(rng, arch, n_units, head, trains):
    """Mean loss of a batch; in training with dropout and the batch's own statistics, or as when detecting."""
    config = ModelConfig(arch, n_layers=2, n_units=n_units, n_inputs=37, head=head)
    params = {name: value + 0.5 * rng.standard_normal(value.shape)
              for name, value in init_params(config, rng, np.float64).items()}  # fmt: skip
    params |= {name: 0.1 + np.abs(params[name]) for name in params if name.endswith("beta")}
    params |= {name: 50 * (0.1 + np.abs(params[name])) for name in params if name.endswith("running_var")}
    arrays, labels = {"x": rng.standard_normal((B, 9, 37)), **batch_norm.trained(params)}, random_labels(9)

    def run(a):
        chance = np.random.default_rng(1) if trains else None
        return loss_and_grads({**params, **a}, config, a["x"], labels, 2.0, margin=2, rng=chance)

    _, grads, dx = run(arrays)
    assert (grads.keys() == params.keys()) == trains
    grads = {"x": dx, **batch_norm.trained(grads)}
    assert all(grad.any() for grad in grads.values())  # no part is off altogether
    assert_gradients(lambda a: run(a)[0].total.mean(), grads, arrays, rng, ("direction",))  # parts: by element, above


@pytest.mark.parametrize("arch", multires.ARCHITECTURES)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_grad_whole_model(rng, arch, alpha):
    """Mean loss of a batch: three layers, both losses, the frame loss cut by its margin."""
    config = ModelConfig(arch, n_layers=3, n_units=H, n_inputs=D)
    params = init_params(config, rng, np.float64)
    x, labels = rng.standard_normal((B, 11, D)), random_labels(11)

    def loss(a):
        return loss_and_grads(a, config, a["x"], labels, alpha, margin=2)[0].total.mean()

    _, grads, dx = loss_and_grads(params, config, x, labels, alpha, margin=2)
    modes = ("direction", "element") if alpha == 1.0 else ("direction",)
    assert_gradients(loss, {"x": dx, **grads}, {"x": x, **params}, rng, modes)


C = 3  # classes; B is another number in the two tests of several


def several_labels(n_clips, n_frames):
    """(n_clips, C, n_frames): none, one or several classes in a clip, overlapping, at an edge."""
    labels = np.zeros((n_clips, C, n_frames))
    labels[0, 0, 2:5] = labels[0, 2, 4:7] = labels[1, 1, -1:] = labels[3, 0, :1] = 1
    return labels


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("n_frames", [1, T])
def test_grad_heads_of_several_classes(rng, head, n_frames):
    heads = for_each_class(HEADS[head], C)
    shapes = {"head.w": (C, D), **heads.shapes}
    arrays = {"h": rng.standard_normal((2, n_frames, D))}
    arrays |= {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    up_frames, up_clip = rng.standard_normal((2 * C, n_frames)), rng.standard_normal(2 * C)

    def loss(a):
        frame_logits, clip_logit, _ = heads.forward(a, a["h"])
        clip = np.vdot(up_clip, clip_logit) if HEADS[head].has_clip_loss else 0  # no gradient goes through a rule
        return np.vdot(up_frames, frame_logits) + clip

    grads = heads.backward(up_frames, up_clip, heads.forward(arrays, arrays["h"])[2])
    assert_gradients(loss, dict(zip(["h", *shapes], grads, strict=True)), arrays, rng)


@pytest.mark.parametrize(
    ("arch", "head"), [*((arch, "attention") for arch in multires.ARCHITECTURES), ("bi", "frames")]
)
def test_grad_whole_model_of_several_classes(rng, arch, head):
    """The mean over clips of the sum over classes: L_utt + 0.7 L_frame of each."""
    config = ModelConfig(arch, n_layers=2, n_units=H, n_inputs=D, head=head, n_classes=C)
    params = init_params(config, rng, np.float64)
    assert {name: value.shape for name, value in params.items()} == param_shapes(config)
    arrays, labels = {"x": rng.standard_normal((4, 11, D)), **params}, several_labels(4, 11)

    def run(a):
        return loss_and_grads(a, config, a["x"], labels, 0.7, margin=2)

    _, grads, dx = run(arrays)
    modes = ("direction", "element") if arch == "uni" else ("direction",)
    assert_gradients(lambda a: run(a)[0].total.mean(), {"x": dx, **grads}, arrays, rng, modes)


@pytest.mark.parametrize("arch", multires.ARCHITECTURES)
def test_grad_backward_twice_gives_the_same(rng, arch):
    """Gradients are returned, not accumulated, and nothing that `backward` needs is overwritten by it."""
    config = ModelConfig(arch, n_layers=2, n_units=H, n_inputs=D)
    params = init_params(config, rng, np.float64)
    h, cache = multires.encoder_forward(params, rng.standard_normal((B, T, D)), arch, 2)
    upstream = rng.standard_normal(h.shape)
    first, second = multires.encoder_backward(upstream, cache), multires.encoder_backward(upstream, cache)
    assert np.array_equal(first[0], second[0])
    assert all(np.array_equal(first[1][name], second[1][name]) for name in first[1])


class TestGradcheckItself:
    """The tool must find planted errors, or none of the tests above means anything."""

    arrays = {"a": np.array([[0.5, -1.0, 2.0]]), "b": np.array([3.0, 4.0])}

    @staticmethod
    def f(arrays):
        return float((arrays["a"] ** 3).sum() * arrays["b"][0] + arrays["b"][1] ** 2)

    def grads(self):
        a, b = self.arrays["a"], self.arrays["b"]
        return {"a": 3 * a**2 * b[0], "b": np.array([(a**3).sum(), 2 * b[1]])}

    @pytest.mark.parametrize("mode", ["direction", "element"])
    def test_grad_correct_passes(self, rng, mode):
        assert gradcheck(self.f, self.grads(), self.arrays, rng, mode=mode) < 1e-8

    @pytest.mark.parametrize("mode", ["direction", "element"])
    def test_grad_planted_error_is_found_and_located(self, rng, mode):
        grads = self.grads()
        grads["a"][0, 2] *= 1.001
        rows = {row.name: row for row in compare(self.f, grads, self.arrays, rng, mode)}
        assert rows["a"].error > 1e-4 and rows["b"].error < 1e-8
        assert rows["a"].index == ((0, 2) if mode == "element" else None)
        assert "WRONG" in report(list(rows.values())).splitlines()[1]

    @pytest.mark.parametrize("mode", ["direction", "element"])
    def test_grad_nan_is_an_error_not_a_pass(self, rng, mode):
        grads = self.grads() | {"b": np.array([np.nan, 8.0])}
        assert not gradcheck(self.f, grads, self.arrays, rng, mode=mode) <= TOLERANCE

    def test_grad_refuses_what_it_cannot_check(self, rng):
        single = {name: value.astype(np.float32) for name, value in self.arrays.items()}
        with pytest.raises(ValueError, match="a must be float64"):
            gradcheck(self.f, self.grads(), single, rng)
        with pytest.raises(ValueError, match=r"different arrays: \['b'\]"):
            gradcheck(self.f, {"a": self.grads()["a"]}, self.arrays, rng)
        with pytest.raises(ValueError, match="mode must be"):
            gradcheck(self.f, self.grads(), self.arrays, rng, mode="both")
