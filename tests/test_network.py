"""The network that listens against the model that is its definition: `forward`, and `gru_forward` for its kernel."""

import dataclasses
import os
import sys

import numpy as np
import pytest

from minirsed.detector import Detector
from minirsed.gru import init_gru
from minirsed.inference.network import Network, apart, direction, run_numpy
from minirsed.kernels import plain_numpy
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, forward, init_params
from minirsed.multires import ARCHITECTURES
from minirsed.outside.members import join
from tests.test_kernels import run_elsewhere


def joined(arch, n_members, n_units, n_inputs=9, n_layers=3, dtype=np.float32):
    """Parameters of networks joined into one, and its configuration."""
    config = ModelConfig(arch, n_layers, n_units, n_inputs)
    members = [init_params(config, np.random.default_rng(k), dtype) for k in range(n_members)]
    return join(members, config), dataclasses.replace(config, n_units=n_members * n_units)


def inputs(n_clips, n_frames, n_inputs=9, dtype=np.float32):
    return np.random.default_rng([n_clips, n_frames]).standard_normal((n_clips, n_frames, n_inputs)).astype(dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("n_clips", range(1, 6))
@pytest.mark.parametrize(
    ("n_frames", "n_inputs", "n_units"), [(1, 1, 1), (31, 5, 7), (33, 17, 32), (65, 3, 65), (4, 70, 150)]
)
def test_kernel_equals_numpy_twin(n_frames, n_inputs, n_units, n_clips, reverse):
    """Its columns of h and the state that it leaves, to float32 rounding; other columns are not touched."""
    rng = np.random.default_rng([n_frames, n_clips])
    params = init_gru(n_inputs, n_units, rng)
    x = (2 * rng.standard_normal((n_frames * n_clips, n_inputs))).astype(np.float32)
    before = rng.uniform(-1, 1, (n_clips, n_units)).astype(np.float32)
    both = []
    for run in direction(params, side=int(reverse)).values():
        h, state = np.full((n_frames * n_clips, 2 * n_units), 7, np.float32), before.copy()
        run(x, state, h)
        both.append((h, state))
    (h, state), (fast_h, fast_state) = both
    mine = slice(n_units, None) if reverse else slice(0, n_units)
    assert np.abs(fast_h - h).max() < 1e-5 and np.abs(fast_state - state).max() < 1e-5
    assert (np.delete(fast_h, np.arange(2 * n_units)[mine], axis=1) == 7).all() and (np.abs(fast_h[:, mine]) <= 1).all()


def test_the_compiled_twin_is_another_program():
    """Or the tests above would compare a function with itself."""
    found = direction(init_gru(3, 4, np.random.default_rng(0)), side=0)
    assert found[True].func is not found[False].func and found[False].func is run_numpy


def test_kernel_passes_nan_on_and_saturates():
    """A NaN reaches the states of its clip and no other's; ±1000 give gates of 0 and 1."""
    params = init_gru(3, 20, np.random.default_rng(0))
    x = inputs(3, 6, 3).swapaxes(0, 1).copy()
    x[2, 1, 0] = np.nan
    x[:, 2] *= 1000
    h = np.empty((18, 20), np.float32)
    direction(params, side=0)[True](x.reshape(18, 3), np.zeros((3, 20), np.float32), h)
    h = h.reshape(6, 3, 20)
    assert np.isnan(h[2:, 1]).any(axis=1).all() and np.isfinite(h[:, [0, 2]]).all() and np.isfinite(h[:2, 1]).all()


@pytest.mark.parametrize("n_clips", [1, 8])
@pytest.mark.parametrize("n_members", [1, 2, 4])
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_logits_are_those_of_the_model(arch, n_members, n_clips):
    """With members apart or one network, one clip or several groups, compiled or plain."""
    params, config = joined(arch, n_members, n_units=6)
    x = inputs(n_clips, 37)
    frame_logits, clip_logit, _ = forward(params, config, x)
    network = Network(params, config)
    assert len(network.parts) == n_members
    found = network.logits(x)
    with plain_numpy():
        plain = network.logits(x)
    for frames, clip in (found, plain):
        assert frames.dtype == clip.dtype == np.float32
        assert np.abs(frames - frame_logits).max() < 2e-6 and np.abs(clip - clip_logit).max() < 2e-6


def test_float64_is_float64():
    params, config = joined("multires", 2, 5, dtype=np.float64)
    x = inputs(3, 21, dtype=np.float64)
    frame_logits, clip_logit, _ = forward(params, config, x)
    frames, clip = Network(params, config).logits(x)
    assert np.abs(frames - frame_logits).max() < 1e-12 and np.abs(clip - clip_logit).max() < 1e-12


def test_a_network_that_nobody_joined_stays_whole():
    """Also one whose first unit does not reach the last one, as weights that were set to 0 by hand."""
    config = ModelConfig("bi", 2, 8, 9)
    params = init_params(config, np.random.default_rng(0))
    assert apart(params, config)[0][0] is params
    params["gru0.fwd.U"][0, 4:8] = 0  # as if the first four units were a network of their own
    assert apart(params, config) == ([params], config)


def test_pieces_give_what_the_whole_gives():
    """State by state, as a stream does it: the same bits wherever the sound is cut."""
    params, config = joined("uni", 2, 5)
    network, x = Network(params, config), inputs(1, 50)
    states, pieces = network.start(1), []
    for piece in np.split(x, [1, 2, 30], axis=1):
        pieces.append(network.frame_logits(piece, states))
    assert np.abs(np.concatenate(pieces, axis=1) - network.frame_logits(x)).max() < 1e-6


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_same_bits_for_any_number_of_threads(arch):
    params, config = joined(arch, 4, 5)
    network, x = Network(params, config), inputs(7, 41)
    expected = network.logits(x)
    for n_threads in (1, 2, 3, 7):
        with worker_threads(n_threads) as executor:
            for found in (network.logits(x), executor.submit(network.logits, x).result()):
                assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "x", [np.zeros((6, 3, 9)), np.zeros((1, 0, 9)), np.zeros((1, 3, 8)), np.zeros((3, 9))], ids=lambda x: str(x.shape)
)
def test_inputs_that_do_not_fit_are_refused(x):
    """The kernel itself does not look."""
    with pytest.raises(ValueError, match="x must be"):
        Network(*joined("uni", 1, 4)).frame_logits(x.astype(np.float32))


def test_a_loaded_detector_keeps_its_network_and_one_in_training_does_not(tmp_path):
    params, config = joined("multires", 2, 4)
    features = np.random.default_rng(0).standard_normal((2, 30, 9), dtype=np.float32)
    training = Detector(config, params, "cry", np.zeros(9), np.ones(9))
    training.save(tmp_path / "detector.npz")
    loaded = Detector.load(tmp_path / "detector.npz")
    assert loaded.network() is loaded.network()
    with pytest.raises(ValueError, match="read-only"):
        loaded.params["head.w"] += 1
    before = training.logits(features)[0]
    assert np.array_equal(loaded.logits(features)[0], before)
    params["gru0.fwd.U"] *= np.float32(0.5)  # an update, in place
    assert not np.array_equal(training.logits(features)[0], before)


def test_network_runs_as_python():
    """With NUMBA_DISABLE_JIT=1 there are no vectors, so the twin runs."""
    script = """
import numpy as np
from minirsed.inference.network import direction
from minirsed.gru import init_gru
found = direction(init_gru(3, 4, np.random.default_rng(0)), 0)
print(found[True] is found[False])
"""
    assert run_elsewhere(script, NUMBA_DISABLE_JIT="1") == "True\n"


@pytest.mark.skipif(sys.platform != "linux" or os.uname().machine != "x86_64", reason="names an x86 processor")
def test_kernel_runs_without_avx512(tmp_path):
    """Compiled for 32-byte vectors: one row takes whole lines, several take them in parts."""
    script = """
import numpy as np
from minirsed.gru import init_gru
from minirsed.kernels.recurrence import PANEL_BYTES
from minirsed.inference.network import direction
print(PANEL_BYTES)
for n_clips in (1, 3, 5):
    rng = np.random.default_rng(n_clips)
    both = []
    for run in direction(init_gru(6, 40, np.random.default_rng(0)), 1).values():
        h, state = np.zeros((21 * n_clips, 80), np.float32), np.zeros((n_clips, 40), np.float32)
        run(np.random.default_rng(1).standard_normal((21 * n_clips, 6), dtype=np.float32), state, h)
        both.append(h)
    print(bool(np.abs(both[0] - both[1]).max() < 1e-5 and both[0].any()))
"""
    environment = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2"}
    found = run_elsewhere(script, NUMBA_CACHE_DIR=str(tmp_path), **environment)
    assert found == "64\nTrue\nTrue\nTrue\n"
