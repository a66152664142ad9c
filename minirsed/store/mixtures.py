"""The mixtures of a run: which they are, and their features and labels as a minibatch.

Data flow: settings → **mixtures** → recipes for `dataset`; feature store → **mixtures** → training, evaluation.
"""

import numpy as np

from data_tools.errors import InputError
from data_tools.recipes import draw_recipes
from minirsed.features import frame_labels

HELD_OUT_SEED = 1  # of development and evaluation mixtures: the same for every run, so that runs can be compared


def recipes_of(bank, settings, subset, n=None, epoch=1):
    """Recipes of a run's mixtures: those of training follow its seed and generator, the others are always the same.

    With `settings.redraw`, each epoch takes the next of an endless row of recipes: epoch e has numbers
    (e − 1)·n … e·n − 1.
    """
    if subset != "train":
        n_held_out = n or settings.dev_clips
        return draw_recipes(bank, settings.label, subset, n_held_out, HELD_OUT_SEED, ebr_db=settings.ebr_db)
    first = (epoch - 1) * settings.clips if settings.redraw else 0
    options = {"generator": settings.generator, "ebr_db": settings.ebr_db, "first": first}
    return draw_recipes(bank, settings.label, subset, n or settings.clips, settings.seed, **options)


def batch_labels(store, rows):
    """Frame labels y_t of some of a store's mixtures: (len(rows), T) float32; all 0 without an event."""
    n_frames = store.features.shape[1]
    return np.stack([frame_labels(store.onset_s[i], store.offset_s[i], n_frames) for i in rows])


def finite_clips(store, rows):
    """Features of some of a store's mixtures, (len(rows), T, 64); `rows` is a slice or an array of row numbers.

    Raises
    ------
    InputError
        NaN or Inf among them: names the mixtures. Infinity might saturate a unit and leave the loss finite.
    """
    features = store.clips(rows)
    is_finite = np.isfinite(features).all(axis=(1, 2))
    if not is_finite.all():
        names = ", ".join(store.recipes[row].name for row in np.arange(len(store))[rows][~is_finite])
        where = getattr(store, "folder", "feature store")
        raise InputError(f"{where}: features are not finite, mixtures {names}")
    return features
