"""What several test files share: small feature stores with and without real sound, made once."""

import contextlib
import signal
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest

from data_tools.recipes import Recipe
from minirsed.features import frame_to_seconds
from minirsed.kernels import plain_numpy
from minirsed.store.dataset import feature_stats
from tests.sweeping import sweep_place, undisturbed_sweep  # noqa: F401  fixtures

# A busy machine is no fault; the same examples at each run (tests/fuzz looks for new ones).
hypothesis.settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")


def pattern_store(n_clips, n_frames=61, n_bands=64, seed=0, name="mixture"):
    """A store without sound: noise, and in every other clip a rising line of bands for 12 frames.

    Learnable in seconds, and whatever is learnt from it has its onset to within a frame.
    """
    rng = np.random.default_rng([seed, n_clips])
    features = rng.standard_normal((n_clips, n_frames, n_bands)).astype(np.float32)
    has_event = np.arange(n_clips) % 2 == 0
    onset_s, offset_s = np.full(n_clips, np.nan), np.full(n_clips, np.nan)
    for clip in np.flatnonzero(has_event):
        start = int(rng.integers(0, n_frames - 12))
        features[clip, np.arange(start, start + 12), 10 + 2 * np.arange(12)] += 6
        onset_s[clip], offset_s[clip] = frame_to_seconds(start), frame_to_seconds(start + 12)
    recipes = [
        Recipe(
            name=f"{name}_{clip:03}.wav",
            background="noise",
            scene="park",
            label="line" if has_event[clip] else None,
            event="line.wav" if has_event[clip] else None,
            onset_s=float(onset_s[clip]) if has_event[clip] else None,
            ebr_db=6.0 if has_event[clip] else -np.inf,
        )
        for clip in range(n_clips)
    ]
    return Store(features, recipes, has_event, onset_s, offset_s)


class Store(SimpleNamespace):
    """The part of `minirsed.store.dataset.FeatureStore` that training and evaluation read, in memory."""

    def __init__(self, features, recipes, has_event, onset_s, offset_s):
        ebr_db = np.array([recipe.ebr_db for recipe in recipes])
        super().__init__(
            features=features, recipes=recipes, has_event=has_event, onset_s=onset_s, offset_s=offset_s, ebr_db=ebr_db,
            stats=feature_stats(features),
        )  # fmt: skip

    def __len__(self):
        return len(self.features)

    def clips(self, rows):
        return self.features[rows]

    def name(self, row):
        return self.recipes[row].name


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_terminal():
    """A suite started in the background may find signals ignored: what it starts would inherit that."""
    handlers = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL, "SIGTERM": signal.SIG_DFL}
    before = {
        number: signal.signal(number, handler)
        for name, handler in handlers.items()
        if (number := getattr(signal, name, None)) is not None
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(params=["compiled", "plain"])
def loop(request):
    """Run a test with the compiled loops, and once more with their NumPy twins."""
    with contextlib.nullcontext() if request.param == "compiled" else plain_numpy():
        yield


@pytest.fixture(scope="session")
def line_stores():
    """Training and development mixtures of `pattern_store`."""
    return pattern_store(40, name="train"), pattern_store(20, seed=1, name="dev")


@pytest.fixture(scope="session")
def babycry_stores(tmp_path_factory):
    """Real mixtures of built-in sounds: 200 for training, 60 for development; some 20 s of work on two cores."""
    from data_tools.recipes import draw_recipes
    from data_tools.soundbank import SoundBank
    from minirsed.store.dataset import prepare

    bank, root = SoundBank.builtin(), tmp_path_factory.mktemp("features")
    return [
        prepare(bank, draw_recipes(bank, "babycry", subset, n, seed), root)
        for subset, n, seed in (("train", 200, 0), ("dev", 60, 1))
    ]


TONE_HZ = 1000.0


def tone_detector(arch="uni", n_layers=1, memory=0.0):
    """A detector made by hand: p_t is 0.99 where a tone of 1 kHz sounds and 0.01 elsewhere.

    Its only unit is c = tanh(2 (x − 2)), x the energy of the tone's band, passed on from layer to layer; e_t = 5 h_t.
    With `memory`, z: h_t = z h_{t−1} + (1 − z) c_t, a state that outlives the tone.
    """
    from minirsed.detector import Detector
    from minirsed.features import hz_to_mel
    from minirsed.model import ModelConfig, param_shapes

    config = ModelConfig(arch, n_layers, 1)
    params = {name: np.zeros(shape, np.float32) for name, shape in param_shapes(config).items()}
    band = round(65 * hz_to_mel(TONE_HZ) / hz_to_mel(22050)) - 1
    mean, std = np.zeros(64), np.ones(64)
    mean[band], std[band] = 2.0, 0.5
    for name in params:
        if name.endswith("W"):
            params[name][band if name.startswith("gru0") else 0, 2] = 1.0 if name.startswith("gru0") else 3.0
        if name.endswith("b"):
            params[name][0] = -20.0 if memory == 0 else np.log(memory / (1 - memory))
    n_added = n_layers if arch == "multires" else 1
    params["head.w"][:] = 5.0 / len(params["head.w"]) / n_added
    return Detector(config, params, "tone", mean, std)


def tones(duration_s, spans, sr=44100, seed=0, level=0.3):
    """Faint noise with a tone of 1 kHz in each of the spans (onset_s, offset_s): (samples,) float64."""
    n = round(duration_s * sr)
    y = 1e-3 * np.random.default_rng(seed).standard_normal(n)
    for onset_s, offset_s in spans:
        first, last = (min(n, round(time_s * sr)) for time_s in (onset_s, offset_s))
        y[first:last] += level * np.sin(2 * np.pi * TONE_HZ / sr * np.arange(first, last))
    return y
