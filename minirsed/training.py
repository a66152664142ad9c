"""An epoch: minibatches → losses and gradients → Adam (paper, Sec. 4.1).

Data flow: features and labels of mixtures, model, adam → **training** → `minirsed.run`, which counts, saves and judges.

For each minibatch of B clips, half of them with an event, with the parameters θ:

    X     ← normalised features, in the preset plain randomly coloured
    L     = (1/B) Σ_clips L_utt + α L_frame
    g     = ∂L/∂θ, scaled down to a joint norm of `max_grad_norm` if it is larger
    θ     ← Adam(θ, g)
"""

from typing import NamedTuple

import numpy as np

from minirsed.adam import clip_by_global_norm
from minirsed.augmentation.colouring import augment
from minirsed.model import Losses, batch_loss_and_grads
from minirsed.rivals.batch_norm import follow
from minirsed.store.mixtures import batch_labels, finite_clips


class Update(NamedTuple):
    """What an update was made of."""

    rows: np.ndarray  # (B,) of the store
    losses: Losses  # (B,) each, before the update
    grad_norm: float  # joint norm of the gradient, before it was scaled down


def updates(detector, adam, store, batches, settings, rng, executor):
    """Update a detector's parameters with one minibatch after another, in place.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    adam : minirsed.adam.Adam
    store : minirsed.store.dataset.FeatureStore
    batches : list of (B,) int array
        Rows of the store, see `minirsed.store.dataset.minibatches`.
    settings : minirsed.run.settings.TrainSettings
        Its alpha, max_grad_norm, augmentation and, if there are several, classes.
    rng : numpy.random.Generator
        For augmentation and dropout.
    executor : concurrent.futures.Executor
        See `minirsed.kernels.threads.worker_threads`.

    Yields
    ------
    Update
        After each update.

    Raises
    ------
    InputError
        NaN or Inf among the features: names the mixtures.
    """
    for rows in batches:
        x = augment(finite_clips(store, rows), rng, settings.equaliser_db, settings.mask_bands)
        x, labels = detector.normalise(x), batch_labels(store, rows, settings.labels)
        losses, grads = batch_loss_and_grads(executor, detector.params, detector.config, x, labels, settings.alpha, rng)
        params, grads = follow(detector.params, grads)
        grads, grad_norm = clip_by_global_norm(grads, settings.max_grad_norm)
        adam.update(params, grads)
        yield Update(rows, losses, grad_norm)
