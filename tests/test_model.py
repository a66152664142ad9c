"""The model's parts against the paper's equations written out naively, and hand-worked cases."""

import re

import numpy as np
import pytest

from data_tools.errors import InputError
from minirsed import attention, gru, losses, multires
from minirsed.detector import Detector
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, batch_loss_and_grads, forward, init_params, loss_and_grads


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_gru_one_step_by_hand():
    """One unit, one input, x = 1, h' = 0.5, all weights 1 and biases 0.

    z = r = σ(1 + 0.5) = 0.81757448;  c = tanh(1 + 0.81757448 · 0.5) = tanh(1.40878724) = 0.88723632
    h = z · 0.5 + (1 − z) · c = 0.40878724 + 0.18242552 · 0.88723632 = 0.57064179
    """
    params = {"W": np.ones((1, 3)), "U": np.ones((1, 3)), "b": np.zeros(3)}
    h, _ = gru.gru_forward(params, np.ones((1, 1, 1)), np.array([[0.5]]))
    assert h[0, 0, 0] == pytest.approx(0.57064179, abs=1e-8)


def test_gru_reset_acts_before_the_product(rng):
    """With r = 0 the candidate sees nothing of the old state; the reset-after cell would add U_c-independent terms."""
    params = {name: rng.standard_normal(shape) for name, shape in {"W": (2, 9), "U": (3, 9), "b": (9,)}.items()}
    params["b"][3:6] = -1e9
    x, h0 = rng.standard_normal((1, 1, 2)), rng.standard_normal((1, 3))
    h, cache = gru.gru_forward(params, x, h0)
    c = np.tanh(x[0, 0] @ params["W"][:, 6:] + params["b"][6:])
    assert cache.gates[0, 0, 6:] == pytest.approx(c, abs=1e-12)


def test_gru_reverse_is_forward_on_reversed_time(rng):
    params = gru.init_gru(3, 4, rng, np.float64)
    x = rng.standard_normal((2, 5, 3))
    backwards, _ = gru.gru_forward(params, x, reverse=True)
    assert np.array_equal(backwards, gru.gru_forward(params, x[:, ::-1])[0][:, ::-1])


def test_gru_state_can_be_carried(rng):
    """Running on from the last state gives what one pass gives: what a live detector relies on."""
    params = gru.init_gru(3, 4, rng, np.float64)
    x = rng.standard_normal((2, 7, 3))
    whole, _ = gru.gru_forward(params, x)
    first, _ = gru.gru_forward(params, x[:, :4])
    second, _ = gru.gru_forward(params, x[:, 4:], first[:, -1])
    assert np.allclose(np.concatenate([first, second], axis=1), whole, atol=1e-14)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 5, 8, 13])
def test_multires_is_the_sum_of_replicated_levels(rng, n_frames):
    """h_t = Σ_l s^l at ⌊t / 2^l⌋, s^l the averaged pairs of layer l, an odd last frame alone: frame by frame."""
    params = multires.init_encoder("multires", 3, 4, 5, rng, np.float64)
    x = rng.standard_normal((2, n_frames, 4))
    expected, layer_input = np.zeros((2, n_frames, 10)), x
    for layer in range(3):
        states, _ = multires.layer_forward(params, layer, layer_input, ("fwd", "bwd"))
        pairs = [states[:, i : i + 2].mean(axis=1) for i in range(0, states.shape[1], 2)]
        for t in range(n_frames):
            expected[:, t] += pairs[t // 2 ** (layer + 1)]
        layer_input = np.stack(pairs, axis=1)
    found, _ = multires.encoder_forward(params, x, "multires", 3)
    assert np.allclose(found, expected, atol=1e-13)


def test_uni_sees_only_the_past_and_bi_everything(rng):
    for arch, sees_future in (("uni", False), ("bi", True), ("multires", True)):
        config = ModelConfig(arch, n_layers=2, n_units=4, n_inputs=3)
        params = init_params(config, rng, np.float64)
        x = rng.standard_normal((1, 9, 3))
        changed = x.copy()
        changed[0, 6] += 1
        early = [forward(params, config, v)[0][0, :5] for v in (x, changed)]
        assert np.array_equal(*early) is not sees_future, arch


def test_attention_by_hand():
    """Logits 0 and ln 3: p = ½, ¾; a = 0.4, 0.6; with w = 1, clip logit = 0.4 · 0 + 0.6 · ln 3 = 0.65916737."""
    h = np.array([[[0.0], [np.log(3.0)]]])
    frame_logits, clip_logit, _ = attention.attention_forward(np.ones(1), h)
    assert attention.attention_weights(frame_logits)[0] == pytest.approx([0.4, 0.6])
    assert clip_logit[0] == pytest.approx(0.65916737, abs=1e-8)


@pytest.mark.parametrize("level", [-800.0, -100.0, 100.0, 800.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention_and_losses_are_finite_at_extreme_logits(level, dtype):
    """All p_t underflow (or round to 1): the attention stays a distribution and the loss is ∓logit, no NaN."""
    w, h = np.ones(1, dtype), np.full((1, 3, 1), level, dtype)
    frame_logits, clip_logit, cache = attention.attention_forward(w, h)
    assert attention.attention_weights(frame_logits)[0] == pytest.approx([1 / 3] * 3)
    dh, dw = attention.attention_backward(np.ones_like(frame_logits), np.ones_like(clip_logit), cache)
    assert np.isfinite(dh).all() and np.isfinite(dw).all()
    for has_event in (0, 1):
        loss, cache = losses.utterance_loss_forward(clip_logit, [has_event])
        assert loss[0] == pytest.approx(max(0.0, -level if has_event else level), rel=1e-6, abs=1e-30)
        assert np.isfinite(losses.utterance_loss_backward(np.ones(1, dtype), cache)).all()


def test_frame_loss_window_by_hand():
    """Event on frames 60 and 61 of 200: the window is 10 … 111, 102 frames of weight 1/102.

    At logit 0 every frame costs ln 2, so the loss is ln 2 whatever the labels.
    """
    labels = np.zeros((2, 200))
    labels[0, 60:62] = 1
    weights = losses.frame_loss_weights(labels)
    assert np.flatnonzero(weights[0]).tolist() == list(range(10, 112))
    assert weights[0, 10] == 1 / 102 and not weights[1].any()
    loss, _ = losses.frame_loss_forward(np.zeros((2, 200)), labels, weights)
    assert loss == pytest.approx([np.log(2), 0.0])


def test_frame_loss_window_is_cut_at_the_edges():
    labels = np.zeros((2, 30))
    labels[0, :1] = labels[1, 29:] = 1
    assert [np.flatnonzero(row).tolist() for row in losses.frame_loss_weights(labels, margin=3)] == [
        [0, 1, 2, 3],
        [26, 27, 28, 29],
    ]


def test_loss_is_utterance_plus_alpha_times_frame(rng):
    config = ModelConfig("uni", n_layers=1, n_units=3, n_inputs=2)
    params = init_params(config, rng, np.float64)
    x, labels = rng.standard_normal((2, 6, 2)), np.array([[0, 1, 1, 0, 0, 0], [0] * 6], float)
    values, _, _ = loss_and_grads(params, config, x, labels, alpha=2.5)
    assert values.total == pytest.approx(values.utterance + 2.5 * values.frame)
    assert values.frame[0] > 0 and values.frame[1] == 0


@pytest.mark.parametrize("arch", multires.ARCHITECTURES)
def test_batch_gradient_is_that_of_the_mean_loss_for_any_number_of_threads(rng, arch):
    """12 clips in groups of 5, 5, 2: equal to one pass over the batch, and the same bits on 1, 2 or 3 threads."""
    config = ModelConfig(arch, n_layers=2, n_units=8, n_inputs=5)
    params = init_params(config, rng)
    x = rng.standard_normal((12, 21, 5)).astype(np.float32)
    labels = np.zeros((12, 21), np.float32)
    labels[::2, 4:9] = 1
    results = []
    for n_threads in (1, 2, 3):
        with worker_threads(n_threads) as executor:
            results.append(batch_loss_and_grads(executor, params, config, x, labels, 0.5))
    whole, whole_grads, _ = loss_and_grads(params, config, x, labels, 0.5)
    for values, grads in results:
        assert values.total == pytest.approx(whole.total, rel=1e-5)
        for name, expected in whole_grads.items():
            assert np.array_equal(grads[name], results[0][1][name])
            assert np.abs(grads[name] - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arch": "lstm"}, "arch must be one of uni, bi, multires"),
        ({"n_layers": 0}, "n_layers must be at least 1"),
        ({"n_units": 0}, "n_units must be at least 1"),
    ],
)
def test_config_refuses_what_is_no_model(change, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig(**change)


def test_layers_refuse_wrong_shapes(rng):
    params = gru.init_gru(3, 4, rng)
    x = np.zeros((2, 5, 3), np.float32)
    for bad in (x[:, :0], x[:, :, :2], x[0]):
        with pytest.raises(ValueError, match="x must be"):
            gru.gru_forward(params, bad)
    with pytest.raises(ValueError, match="h0 must be"):
        gru.gru_forward(params, x, np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="one dtype"):
        gru.gru_forward(params, x.astype(np.float64))
    with pytest.raises(ValueError, match="w must be"):
        attention.attention_forward(np.zeros(3), np.zeros((1, 2, 4)))


@pytest.fixture
def detector(rng):
    config = ModelConfig("multires", n_layers=2, n_units=6)
    return Detector(config, init_params(config, rng), "babycry", np.full(64, -5.0), np.full(64, 2.0), 0.4, 0.6)


def test_detector_survives_saving(detector, rng, tmp_path):
    detector.save(tmp_path / "best.npz")
    y = 0.1 * rng.standard_normal(44100 * 3)
    for path in (tmp_path, tmp_path / "best.npz", str(tmp_path)):
        loaded = Detector.load(path)
        assert (loaded.label, loaded.thres0, loaded.thres1, loaded.config) == ("babycry", 0.4, 0.6, detector.config)
        expected, found = detector.detect(y), loaded.detect(y)
        assert found[:3] == expected[:3]
        assert np.array_equal(found.frame_probabilities, expected.frame_probabilities)
    detector.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "best.npz").read_bytes()


def test_detector_file_that_is_damaged_is_refused_by_name(detector, tmp_path):
    path = tmp_path / "best.npz"
    detector.save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for content in (b"", whole[:100], whole[:-30], bytes(flipped), b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"^{re.escape(str(path))}: "):
            Detector.load(path)
    with pytest.raises(InputError, match="no such file"):
        Detector.load(tmp_path / "missing.npz")


def test_detector_file_with_other_arrays_or_pickles_is_refused(detector, tmp_path):
    path = tmp_path / "best.npz"
    del detector.params["gru1.bwd.U"]
    detector.save(path)
    with pytest.raises(InputError, match="arrays do not fit"):
        Detector.load(path)
    np.savez(path, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        Detector.load(path)
    np.savez(path, harmless=np.zeros(3))
    with pytest.raises(InputError, match="no file of minirsed's"):
        Detector.load(path)
