"""The mixtures of a run: which they are, and their features and labels as a minibatch.

Data flow: settings → **mixtures** → recipes for `dataset`; feature store → **mixtures** → training, evaluation.
"""

import numpy as np

from data_tools.audio import CLIP_S
from data_tools.errors import InputError
from data_tools.recipes import Recipe
from data_tools.several import backgrounds_for, draw_several
from minirsed.features import frame_labels
from minirsed.listening.inputs import INPUTS

HELD_OUT_SEED = 1  # of development and evaluation mixtures: the same for every run, so that runs can be compared
CHOICE_SEED = 2  # which backgrounds a run takes if it does not take all: the same for every run


def recipes_of(bank, settings, subset, n=None, epoch=1):
    """Recipes of a run's mixtures: those of training follow its seed and generator, the others are always the same.

    Where spectra are mixed, those of training are `background_recipes`. With `settings.redraw`, each epoch takes the
    next of an endless row of recipes: epoch e has numbers (e − 1)·n … e·n − 1.
    """
    if subset == "train" and settings.mixing == "spectra":
        return background_recipes(bank, settings)
    if subset != "train":
        n_held_out = n or settings.dev_clips
        options = {"ebr_db": settings.ebr_db, "negative_prob": settings.negatives}
        return draw_several(bank, settings.classes, subset, n_held_out, HELD_OUT_SEED, **options)
    first = (epoch - 1) * settings.clips if settings.redraw else 0
    options = {"generator": settings.generator, "ebr_db": settings.ebr_db, "first": first}
    options["event_presence_prob"] = settings.event_share
    if settings.generator == "minirsed":  # the official one knows no negatives
        options["negative_prob"] = settings.negatives
    return draw_several(bank, settings.classes, subset, n or settings.clips, settings.seed, **options)


def background_recipes(bank, settings):
    """Recipes of training backgrounds as they are: no more than `settings.backgrounds`, or than clips an epoch."""
    pieces = backgrounds_for(bank, settings.classes, "train")
    n = min(settings.backgrounds, settings.clips * settings.members)
    if len(pieces) > n:
        rng = np.random.default_rng(CHOICE_SEED)
        pieces = [pieces[i] for i in sorted(rng.choice(len(pieces), n, replace=False))]
    return [
        Recipe(
            name=f"background_train_{i:06d}",
            background=piece.key,
            scene=piece.scene,
            background_start_s=piece.start_s,
            duration_s=CLIP_S,
        )
        for i, piece in enumerate(pieces)
    ]


def features_of(settings):
    """Keyword arguments of `minirsed.features.lfbe` that a run has of its own."""
    return {"n_mels": settings.n_mels, "floor": INPUTS[settings.inputs].power_floor}


def batch_labels(store, rows, labels=()):
    """Frame labels y_t of some of a store's mixtures: (len(rows), T) float32; all 0 without an event.

    Of several classes, `labels`, those of each: (len(rows), C, T).
    """
    if len(labels) > 1:
        return class_labels(store, rows, labels)
    n_frames = store.features.shape[1]
    return np.stack([frame_labels(store.onset_s[i], store.offset_s[i], n_frames) for i in rows])


def class_labels(store, rows, labels):
    """`batch_labels` of each of C classes: (len(rows), C, T) float32; events of a class may overlap those of others."""
    n_frames = store.features.shape[1]
    y = np.zeros((len(rows), len(labels), n_frames), np.float32)
    for b, row in enumerate(rows):
        for event in store.recipes[row].events:
            if event.label in labels:
                of_class = y[b, labels.index(event.label)]
                np.maximum(of_class, frame_labels(event.onset_s, event.offset_s, n_frames), out=of_class)
    return y


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
