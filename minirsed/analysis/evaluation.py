"""A detector on a set of mixtures: probabilities, losses, event lists and their score (paper, Sec. 2.1 and 4).

Data flow: detector, dataset → **evaluation** → decode, scoring; used after every epoch and by `minirsed.evaluate`.
"""

from typing import NamedTuple

import numpy as np

from minirsed.model import groups, losses
from minirsed.scoring import score
from minirsed.store.mixtures import batch_labels, finite_clips


class Evaluation(NamedTuple):
    """What a detector makes of N mixtures of T frames each."""

    loss: np.ndarray  # (N,) L_utt + α L_frame
    detections: list  # N of minirsed.detector.Detection, p and p_t included
    reference: dict  # mixture name → [(onset_s, offset_s, label)] or []
    estimated: dict  # what was detected, in the same form
    scores: object  # minirsed.scoring.Scores, onset-only with a 500 ms collar


def evaluate(detector, store, executor, *, alpha=1.0, progress=None):
    """Run a detector over a feature store and score it.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    store : minirsed.store.dataset.FeatureStore
    executor : concurrent.futures.Executor
        Threads; each takes a group of clips at a time, so memory is bounded whatever the store's size.
    alpha : float
        Weight of the frame loss.
    progress : callable, optional
        `progress(n_done, n_total)`, in clips.

    Returns
    -------
    Evaluation

    Raises
    ------
    InputError
        NaN or Inf among the features: names the mixtures.
    """
    (evaluation,) = evaluate_each((detector,), detector.logits, [store], executor, alpha=alpha, progress=progress)
    return evaluation


def evaluate_each(views, logits, stores, executor, *, alpha=1.0, progress=None):
    """`evaluate` of C detectors that share an encoder, which runs once.

    Parameters
    ----------
    views : sequence of C minirsed.detector.Detector
    logits : callable
        Frame logits, (B, T) or (B, C, T), and clip logits of the features of some clips.
    stores : sequence of C minirsed.store.dataset.FeatureStore
        The same clips, with the events of one class each.
    executor, alpha, progress : as in `evaluate`

    Returns
    -------
    list of C Evaluation
    """
    store = stores[0]

    def one_group(rows):
        frame_logits, clip_logits = logits(finite_clips(store, rows))
        n_clips, n_frames = len(clip_logits), frame_logits.shape[-1]
        frame_logits, clip_logits = frame_logits.reshape(n_clips, -1, n_frames), clip_logits.reshape(n_clips, -1)
        return [
            _of_class(view, own, rows, frame_logits[:, c], clip_logits[:, c], alpha)
            for c, (view, own) in enumerate(zip(views, stores, strict=True))
        ]

    n_done, found = 0, []
    for group, rows in zip(executor.map(one_group, groups(len(store))), groups(len(store)), strict=True):
        found.append(group)
        n_done += len(range(*rows.indices(len(store))))
        if progress:
            progress(n_done, len(store))
    return [_scored(view, own, parts) for view, own, parts in zip(views, stores, zip(*found, strict=True), strict=True)]


def _of_class(detector, store, rows, frame_logits, clip_logits, alpha):
    """Losses (B,) and detections of a group of clips."""
    labels = batch_labels(store, range(*rows.indices(len(store))))
    loss = losses(frame_logits, clip_logits, labels, alpha, head=detector.config.head)[0].total
    probabilities = zip(*detector.probabilities(frame_logits, clip_logits), strict=True)
    return loss, [detector.decode(float(p), p_t) for p, p_t in probabilities]


def _scored(detector, store, parts):
    """The `Evaluation` of what `_of_class` gave for all groups."""
    loss, detections = zip(*parts, strict=True)
    detections = [found for group in detections for found in group]
    reference, estimated = reference_events(store), estimated_events(store, detections, detector.label)
    return Evaluation(np.concatenate(loss), detections, reference, estimated, score(reference, estimated))


def reference_events(store):
    """True events of a store: mixture name → [(onset_s, offset_s, label)], empty without an event."""
    return {
        recipe.name: [(float(onset), float(offset), recipe.label)] if has_event else []
        for recipe, has_event, onset, offset in zip(
            store.recipes, store.has_event, store.onset_s, store.offset_s, strict=True
        )
    }


def estimated_events(store, detections, label):
    """Detected events, in the form of `reference_events`."""
    return {
        recipe.name: [] if found.onset_s is None else [(found.onset_s, found.offset_s, label)]
        for recipe, found in zip(store.recipes, detections, strict=True)
    }
