"""What several test files share: small feature stores with and without real sound, made once."""

from types import SimpleNamespace

import numpy as np
import pytest

from data_tools.recipes import Recipe
from minirsed.dataset import feature_stats
from minirsed.features import frame_to_seconds


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
    """The part of `minirsed.dataset.FeatureStore` that training and evaluation read, in memory."""

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


@pytest.fixture(scope="session")
def line_stores():
    """Training and development mixtures of `pattern_store`."""
    return pattern_store(40, name="train"), pattern_store(20, seed=1, name="dev")


@pytest.fixture(scope="session")
def babycry_stores(tmp_path_factory):
    """Real mixtures of built-in sounds: 200 for training, 60 for development; some 20 s of work on two cores."""
    from data_tools.recipes import draw_recipes
    from data_tools.soundbank import SoundBank
    from minirsed.dataset import prepare

    bank, root = SoundBank.builtin(), tmp_path_factory.mktemp("features")
    return [
        prepare(bank, draw_recipes(bank, "babycry", subset, n, seed), root)
        for subset, n, seed in (("train", 200, 0), ("dev", 60, 1))
    ]
