"""After the challenge's first and second place: sizes, fast and plain, groups, threads, settings, files."""

import dataclasses

import numpy as np
import pytest

from data_tools.errors import InputError
from minirsed.detector import FORMAT, Detector
from minirsed.kernels import plain_numpy
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, batch_loss_and_grads, forward, init_params, param_shapes
from minirsed.outside.members import split
from minirsed.rivals import batch_norm, crnn, crnn1d, dropout, feature_maps, fused_maps, lstm, pooling
from minirsed.run.settings import PRESETS, TrainSettings, complete
from minirsed.store.archive import read_arrays, write_arrays
from tests.test_kernels import assert_close, run_elsewhere

WINNERS = ("crnn1d", "crnn")


@pytest.fixture
def rng():
    return np.random.default_rng(19)


def small(arch, head="frames", n_units=3):
    return ModelConfig(arch, 2, n_units, 37, head)


def minibatch(n_clips, n_frames=30, n_bands=37, seed=3):
    rng = np.random.default_rng(seed)
    labels = np.zeros((n_clips, n_frames), np.float32)
    labels[::2, 5:9] = 1
    return rng.standard_normal((n_clips, n_frames, n_bands), np.float32), labels


@pytest.mark.parametrize("n_bands", [64, 128])
def test_size_of_the_first_place(n_bands, rng):
    """32·128 weights of kernels, γ and β, 2 · (256 · 512 + 512) of LSTM, 128² + 128 + 128 + 1: about 284,000."""
    params = init_params(ModelConfig("crnn1d", 2, 128, n_bands, "frames"), rng)
    n = sum(value.size for value in batch_norm.trained(params).values())
    assert n == 32 * 128 + 2 * 128 + 2 * (256 * 512 + 512) + 128 * 128 + 128 + 128 + 1 == 284_161


def test_size_of_the_second_place(rng):
    """With 64 bands, all that follows the first step is as large as theirs with 40 bands and maxima of 5, 2, 2."""
    assert np.prod(crnn.POOLS) == crnn.LEAST_BANDS == 32
    shapes = param_shapes(ModelConfig("crnn", 2, 32, 64, "frames"))
    assert shapes["conv0.W"] == (3, 3, 1, 128) and shapes["conv2.W"] == (3, 3, 128, 128)
    assert shapes["gru0.fwd.W"] == (40 // 5 // 2 // 2 * 128, 3 * 32) and shapes["gru1.bwd.W"] == (32, 96)


def test_new_parameters(rng):
    """γ = 1, β = 0, running mean 0 and variance 1; the forget gate's bias is 1; the rest by its range."""
    params = init_params(ModelConfig("crnn1d", 2, 128, 64, "frames"), rng)
    assert {name: value.shape for name, value in params.items()} == param_shapes(
        ModelConfig("crnn1d", 2, 128, 64, "frames")
    )
    for name, value in (("gamma", 1), ("beta", 0), ("running_mean", 0), ("running_var", 1)):
        assert (params[f"conv0.{name}"] == value).all()
    assert np.array_equal(params["lstm1.b"], np.repeat([0, 1, 0, 0], 128))
    for name, limit in (("conv0.W", np.sqrt(6 / (32 * 129))), ("lstm0.W", np.sqrt(6 / 640))):
        assert 0.98 * limit < np.abs(params[name]).max() <= limit


# frames, bands, kernel, maps below and above, pad, size: small and odd, bands left over, more maps than a vector has
STEPS = [
    (1, 4, (1, 4), 1, 1, 0, 1),
    (7, 11, (1, 5), 1, 17, 0, 3),
    (130, 35, (1, 32), 1, 33, 0, 4),
    (9, 13, (3, 3), 1, 20, 1, 8),
    (9, 13, (3, 3), 19, 5, 1, 2),
    (70, 4, (3, 3), 16, 32, 1, 2),
]


@pytest.mark.parametrize("own", [True, False], ids=["training", "detecting"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("few", [0, 64], ids=["kept", "made again"])
def test_one_pass_equals_one_step_after_the_other(step, dtype, own, few, rng, monkeypatch):
    """γ is negative for some maps, so that what was smallest becomes the largest."""
    monkeypatch.setattr(fused_maps, "FEW_NUMBERS", few)
    n_frames, n_bands, kernel, n_below, n_maps, pad, size = step
    params = {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in feature_maps.feature_maps_shapes(kernel, n_below, n_maps).items()
    }
    params["running_var"] = np.abs(params["running_var"]) + dtype(0.1)
    x = rng.standard_normal((3, n_frames, n_bands, n_below)).astype(dtype)
    y, cache = feature_maps.plain_forward(params, x, pad, size, own=own)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, grads = feature_maps.plain_backward(dy, cache)
    fast_y, fast_cache = fused_maps.fused_forward(params, x, pad, size, own=own)
    fast_dx, fast_grads = fused_maps.fused_backward(dy, fast_cache)
    assert_close(fast_y, y)
    assert_close(fast_dx, dx)
    assert fast_grads.keys() == grads.keys()
    for name, value in grads.items():
        assert_close(fast_grads[name], value)
    assert fused_maps.fused_backward(dy, fast_cache, with_dx=False)[0] is None


def test_one_pass_takes_the_first_of_equals(rng):
    """Small whole numbers, whose sums are exact: many places of a group have the same largest value."""
    params = feature_maps.init_feature_maps((1, 2), 1, 3, rng, np.float64)
    params["W"] = rng.integers(-1, 2, params["W"].shape).astype(np.float64)
    params["beta"] += 0.1
    x = rng.integers(0, 2, (2, 9, 13, 1)).astype(np.float64)
    y, (_, _, _, _, (_, _, where)) = feature_maps.plain_forward(params, x, 0, 4, own=True)
    fast_y, cache = fused_maps.fused_forward(params, x, 0, 4, own=True)
    gets_through = y > 0
    assert np.array_equal(cache.where[gets_through], where[:, :, :, 0][gets_through]) and gets_through.sum() > 50
    assert np.array_equal(cache.where < 0, fast_y == 0)


def test_a_level_far_from_zero_keeps_its_variance(rng):
    """Statistics from the moments of what kernels see: x = 30 ± 1, which normalised features never are."""
    params = feature_maps.init_feature_maps((1, 5), 1, 7, rng)
    x = (30 + rng.standard_normal((2, 50, 11, 1))).astype(np.float32)
    exact = feature_maps.plain_forward({k: v.astype(float) for k, v in params.items()}, x.astype(float), 0, 7, own=True)
    found = fused_maps.fused_forward(params, x, 0, 7, own=True)
    assert found[0] == pytest.approx(exact[0], abs=2e-3)


def test_nan_is_passed_on(rng):
    """Training looks for it in the loss."""
    params = feature_maps.init_feature_maps((1, 5), 1, 7, rng)
    x = rng.standard_normal((2, 9, 11, 1)).astype(np.float32)
    for name in ("W", "gamma", "beta"):
        wrong = {key: value.copy() for key, value in params.items()}
        wrong[name].flat[-1] = np.nan
        y, _ = fused_maps.fused_forward(wrong, x, 0, 7, own=True)
        assert np.isnan(y[..., -1]).all() and np.isfinite(y[..., :-1]).all()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 9, 3), (3, 7, 16), (5, 11, 17), (6, 3, 32), (7, 4, 65), (5, 130, 24)])
def test_lstm_kernel_equals_numpy_twin(size, dtype, reverse, rng):
    n_clips, n_frames, n_units = size

    def draw(*shape):
        return (1.5 * rng.standard_normal(shape)).astype(dtype)

    projected, U = draw(n_frames, n_clips, 4 * n_units), draw(n_units, 4 * n_units) / dtype(np.sqrt(n_units))
    b, dh = draw(4 * n_units), draw(n_frames, n_clips, n_units)
    twin = lstm.lstm_recurrence_forward(projected.copy(), U, b, reverse)
    for found, expected in zip(lstm.compiled_forward(projected.copy(), U, b, reverse), twin, strict=True):
        assert_close(found, expected)
    _, c, gates = twin
    da = lstm.lstm_recurrence_backward(dh, gates, c, U, reverse)
    assert_close(lstm.compiled_backward(dh, gates, c, U, reverse), da)


def test_kernels_run_as_python():
    """With NUMBA_DISABLE_JIT=1 the same files give the same result, without vectors."""
    script = """
import numpy as np
from minirsed.kernels import plain_numpy
from minirsed.kernels.recurrence import COMPILED
from minirsed.model import ModelConfig, init_params, loss_and_grads
from tests.test_kernels import assert_close
for arch in ("crnn1d", "crnn"):
    config = ModelConfig(arch, 1, 2, 33, "frames")
    params = init_params(config, np.random.default_rng(0), np.float64)
    x, y = np.random.default_rng(1).standard_normal((2, 3, 33)), np.ones((2, 3))
    _, grads, _ = loss_and_grads(params, config, x, y, rng=np.random.default_rng(2), with_dx=False)
    with plain_numpy():
        _, plain, _ = loss_and_grads(params, config, x, y, rng=np.random.default_rng(2), with_dx=False)
    for name in plain:
        assert_close(grads[name], plain[name])
print(COMPILED)
"""
    assert run_elsewhere(script, NUMBA_DISABLE_JIT="1") == "False\n"


@pytest.mark.parametrize("arch", WINNERS)
def test_compiled_and_plain_networks_agree(arch, rng):
    """In float32, at sizes that are no multiples of anything: logits, gradients, running statistics."""
    config, (x, labels) = small(arch, n_units=11), minibatch(4)
    params = init_params(config, rng)

    def run():
        with worker_threads(1) as executor:
            return batch_loss_and_grads(executor, params, config, x, labels, 1.0, np.random.default_rng(5))

    values, grads = run()
    with plain_numpy():
        plain_values, plain_grads = run()
    assert values.total == pytest.approx(plain_values.total, rel=1e-4)
    for name, grad in plain_grads.items():
        assert np.abs(grads[name] - grad).max() <= 2e-4 * np.abs(grad).max(), name


@pytest.mark.parametrize("arch", WINNERS)
def test_the_same_bits_on_any_number_of_threads(arch, rng):
    """Gradients and what the running statistics make of a minibatch of three groups; another seed gives others."""
    config, (x, labels) = small(arch), minibatch(12)
    params = init_params(config, rng)

    def run(n_threads, seed):
        with worker_threads(n_threads) as executor:
            _, grads = batch_loss_and_grads(executor, params, config, x, labels, 1.0, np.random.default_rng(seed))
        assert grads.keys() == params.keys()
        return {name: value.tobytes() for name, value in grads.items()}

    assert run(1, 0) == run(2, 0) == run(5, 0)
    assert run(1, 0)["head.w"] != run(1, 1)["head.w"]


@pytest.mark.parametrize("arch", WINNERS)
def test_a_group_is_normalised_by_its_own_clips(arch, rng, monkeypatch):
    """Training: a clip depends on the other four of its group. Detecting: on none; nothing is drawn."""
    for system in (crnn, crnn1d):
        monkeypatch.setattr(system, "DROPOUT", 0.0)
    config, (x, _) = small(arch, n_units=8), minibatch(5)
    params, other = init_params(config, rng), x.copy()
    other[4] *= 3
    trained = [forward(params, config, own, rng=np.random.default_rng(0))[0] for own in (x, other)]
    detected = [forward(params, config, own)[0] for own in (x, other)]
    assert not np.allclose(trained[0][0], trained[1][0])
    assert np.array_equal(detected[0][:4], detected[1][:4]) and not np.allclose(detected[0][4], detected[1][4])


def test_running_statistics_by_hand(rng):
    """A minibatch of 7: groups of 5 and 2. One step of 0.1 towards the means of both, weighted 5 to 2."""
    config, (x, labels) = small("crnn1d"), minibatch(7)
    params = init_params(config, rng, np.float64)
    params["conv0.running_mean"] += 0.3
    z = fused_maps.convolve(params["conv0.W"], x.astype(float)[..., None], 0)
    before = {name: params[f"conv0.{name}"].copy() for name in ("running_mean", "running_var")}
    with worker_threads(2) as executor:
        _, grads = batch_loss_and_grads(executor, params, config, x.astype(float), labels.astype(float), 1.0, rng)
    names = batch_norm.follow(params, grads)
    for name, statistic in (("running_mean", np.mean), ("running_var", lambda z, axis: np.var(z, axis, ddof=1))):
        groups = 5 / 7 * statistic(z[:5], (0, 1, 2)) + 2 / 7 * statistic(z[5:], (0, 1, 2))
        assert params[f"conv0.{name}"] == pytest.approx(before[name] + 0.1 * (groups - before[name]), rel=1e-12)
    assert all(each.keys() == batch_norm.trained(params).keys() for each in names)


def test_running_statistics_reach_those_of_the_data(rng):
    """After 60 minibatches of the same clips the network detects as it was trained, but for N / (N − 1)."""
    config, (x, labels) = small("crnn1d", n_units=8), minibatch(5)
    params = init_params(config, rng)
    with worker_threads(1) as executor:
        for _ in range(60):
            batch_norm.follow(params, batch_loss_and_grads(executor, params, config, x, labels, 1.0, rng)[1])
    own = {name.removeprefix("conv0."): value for name, value in params.items() if name.startswith("conv0.")}
    y = [feature_maps.feature_maps_forward(own, x[..., None], 0, 6, own=choice)[0] for choice in (True, False)]
    assert y[0] == pytest.approx(y[1], abs=0.02) and y[0].max() > 1


def test_dropout_keeps_the_mean(rng):
    x = 1 + rng.random((4, 50, 60), np.float32)
    y, (kept, _) = dropout.dropout_forward(x, 0.3, rng)
    assert y.dtype == np.float32 and 1 - kept.mean() == pytest.approx(0.3, abs=0.01)
    assert not y[~kept].any() and y[kept] == pytest.approx(x[kept] / 0.7, rel=1e-6)
    assert dropout.dropout_forward(x, 0.3)[0] is x  # detecting


@pytest.mark.parametrize(
    ("system", "places", "share"),
    [(crnn1d, [(30, 3)], 0.3), (crnn, [(30, 4, 12), (30, 2, 12), (30, 1, 12), (30, 3)], 0.5)],
    ids=WINNERS,
)
def test_where_numbers_are_dropped(system, places, share, rng, monkeypatch):
    """After each maximum, and in crnn after the dense layer; in training alone."""
    found = []

    def watched(x, q, chance=None):
        y, kept = dropout.dropout_forward(x, q, chance)
        found.append((x.shape[1:], q, kept is not None))
        return y, kept

    monkeypatch.setattr(system, "dropout_forward", watched)
    params, x = system.init(2, 37, 3, rng), minibatch(2)[0]
    for trains in (True, False):
        found.clear()
        system.forward(params, x, 2, rng if trains else None)
        assert found == [(shape, share, trains) for shape in places]


def test_dropout_of_a_clip_does_not_depend_on_its_neighbours(rng):
    """Each has a seed of its own: longer clips beside it, or more of them, change nothing."""
    x = np.ones((3, 20, 4), np.float32)
    first, second = (dropout.dropout_forward(own, 0.5, np.random.default_rng(8))[0] for own in (x, x[:2]))
    assert np.array_equal(first[:2], second) and not np.array_equal(first[0], first[1])


def test_max_pool_takes_the_first_of_equals():
    y, cache = pooling.max_pool_forward(np.array([[[[2.0], [2.0], [1.0]]]]), 3)
    assert y.item() == 2 and pooling.max_pool_backward(np.ones_like(y), cache).ravel().tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="size must be 1 to 3"):
        pooling.max_pool_forward(np.zeros((1, 1, 3, 1)), 4)


@pytest.mark.parametrize("arch", WINNERS)
@pytest.mark.parametrize("head", ["attention", "frames"])
def test_forward_without_a_cache_is_the_same(arch, head, rng):
    """`with_cache=False`, as when detecting."""
    config, (x, _) = small(arch, head), minibatch(3)
    params = init_params(config, rng)
    kept, freed = (forward(params, config, x, with_cache=choice) for choice in (True, False))
    assert all(np.array_equal(a, b) for a, b in zip(kept[:2], freed[:2], strict=True)) and freed[2][1] is None


@pytest.mark.parametrize("arch", WINNERS)
def test_saved_and_loaded(arch, tmp_path, rng):
    """Running statistics are in the file; it detects as before; a variance below 0 is refused."""
    config = dataclasses.replace(small(arch), n_inputs=40)
    params = init_params(config, rng)
    params["conv0.running_mean"] += 0.1
    detector = Detector(config, params, "line", np.zeros(40), np.ones(40))
    detector.save(tmp_path / "own.npz")
    loaded = Detector.load(tmp_path / "own.npz")
    y = 0.1 * rng.standard_normal(44100)
    assert loaded.config == config and loaded.fingerprint() == detector.fingerprint()
    assert np.array_equal(loaded.detect(y).frame_probabilities, detector.detect(y).frame_probabilities)
    description, arrays = read_arrays(tmp_path / "own.npz", FORMAT)
    arrays["params/conv0.running_var"][1] = -1
    write_arrays(tmp_path / "wrong.npz", FORMAT, description, arrays)
    with pytest.raises(InputError, match=r"wrong\.npz: has weights or feature statistics"):
        Detector.load(tmp_path / "wrong.npz")
    description["model"]["n_inputs"] = 20
    write_arrays(tmp_path / "narrow.npz", FORMAT, description, arrays)
    with pytest.raises(InputError, match=r"narrow\.npz: not a usable detector: .*n_inputs must be at least 32, got 20"):
        Detector.load(tmp_path / "narrow.npz")


def test_settings_of_the_winners():
    """Each brings its own size and step, whatever the preset; what is given overrules it."""
    for arch, units in (("crnn1d", 128), ("crnn", 32)):
        for preset in ("quick", "plain", "paper-15k"):
            found = complete(PRESETS[preset], {"arch": arch})
            assert (found.head, found.n_mels, found.layers, found.units) == ("frames", 64, 2, units)
            assert (found.learning_rate, found.max_grad_norm, found.mixing) == (1e-3, 0, "waveforms")
        assert complete(PRESETS["plain"], {"arch": arch, "head": "attention"}).head == "attention"
    winner, second = (complete(PRESETS[name], {}) for name in ("winner", "runner-up"))
    assert (winner.arch, second.arch) == WINNERS and winner.equaliser_db == second.mask_bands == 0


LINES = {
    "few bands, 1d": ({"arch": "crnn1d", "n_mels": 31}, "--n-mels is 31: --arch crnn1d needs at least 32 bands"),
    "few bands": ({"arch": "crnn", "n_mels": 20}, "--n-mels is 20: --arch crnn needs at least 32 bands"),
    "spectra": ({"arch": "crnn", "mixing": "spectra"}, "--mixing spectra needs --arch uni, bi or multires, not crnn"),
    "members": ({"arch": "crnn1d", "members": 3}, "--members needs --mixing spectra; --preset plain is without both"),
}


@pytest.mark.parametrize("line", LINES)
def test_what_does_not_go_together_is_said_in_one_line(line):
    settings, message = LINES[line]
    with pytest.raises(InputError, match=message):
        TrainSettings(**settings)


@pytest.mark.parametrize("arch", [*WINNERS, "mlp"])
def test_training_from_another_run(arch, rng):
    """--init-from takes a network of the same size as it is, and no other."""
    config = small(arch, n_units=4)
    detector = Detector(config, init_params(config, rng), "line", np.zeros(37), np.ones(37))
    (own,) = split(detector, config)
    assert own.keys() == detector.params.keys()
    assert all(np.array_equal(own[name], value) and own[name] is not value for name, value in detector.params.items())
    for n_units in (2, 3):
        with pytest.raises(InputError, match="--init-from: its network"):
            split(detector, dataclasses.replace(config, n_units=n_units))
