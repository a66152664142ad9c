"""A detector of several classes on a set of mixtures: each class by itself, and the average of the classes.

Data flow: detector, dataset → `minirsed.analysis.evaluation` for each class, of one pass through the encoder →
**evaluation** → the row of an epoch, tables.
"""

from typing import NamedTuple

import numpy as np

from minirsed.analysis.evaluation import evaluate, evaluate_each
from minirsed.scoring import task_average
from minirsed.several.detector import SeveralDetector


class SeveralEvaluation(NamedTuple):
    """What a detector makes of N mixtures."""

    loss: np.ndarray  # (N,), summed over the classes
    of_class: dict  # label → minirsed.analysis.evaluation.Evaluation
    scores: object  # minirsed.scoring.TaskAverage: the mean of the classes' ER and F1, as in the paper's Table 2

    @property
    def reference(self):
        """True events of all classes: mixture name → [(onset_s, offset_s, label)], by onset."""
        return _together([each.reference for each in self.of_class.values()])

    @property
    def estimated(self):
        """What was detected, in the same form."""
        return _together([each.estimated for each in self.of_class.values()])


def evaluate_any(detector, store, executor, **options):
    """`minirsed.analysis.evaluation.evaluate` of a detector of one class, the same for each class of one of several.

    Parameters
    ----------
    detector : minirsed.detector.Detector or minirsed.several.detector.SeveralDetector
    store, executor, **options : as there

    Returns
    -------
    Evaluation or SeveralEvaluation
        ER and F1 of an average are NaN if they are of one of its classes.
    """
    if not isinstance(detector, SeveralDetector):
        return evaluate(detector, store, executor, **options)
    stores = [store.of_class(label) for label in detector.labels]
    each = evaluate_each(detector.views, detector.logits, stores, executor, **options)
    scores = task_average(evaluation.scores for evaluation in each)
    return SeveralEvaluation(sum(e.loss for e in each), dict(zip(detector.labels, each, strict=True)), scores)


def by_class(evaluation):
    """The evaluation of each of several classes by its label; of one class there is none beside the whole."""
    return evaluation.of_class if isinstance(evaluation, SeveralEvaluation) else {}


def of_each_class(store, evaluation):
    """What pictures are made of: (label, store, Evaluation) of each class; of the only one, its label is None."""
    own = by_class(evaluation)
    return [(label, store.of_class(label), own[label]) for label in own] or [(None, store, evaluation)]


def _together(event_lists):
    """Lists of events of the same mixtures as one."""
    names = event_lists[0]
    return {name: sorted(event for events in event_lists for event in events[name]) for name in names}
