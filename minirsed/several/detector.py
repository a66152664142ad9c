"""A detector of several classes: one encoder, an event vector and thresholds for each of them; one file.

Data flow: training → **detector** → one detector for each class, an ordinary `minirsed.detector.Detector`, to which all
that comes after the network goes: thresholds, decoding, scores, pictures. The file is that of any detector, but what it
says of a class it says once for each. `Detector.load` refuses it, and with it every command that knows of one class
alone; `load` of this file takes both kinds.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

from data_tools.downmix import downmix
from data_tools.errors import InputError
from data_tools.several import joined
from minirsed.detector import Detector
from minirsed.features import checked_waveform, lfbe
from minirsed.listening.operating import AS_FOUND

OF_CLASS = "head."  # how the parameters begin that every class has of its own, along their first axis


@dataclass
class SeveralDetector(Detector):
    """A model of C classes with everything needed to run it on sound.

    Attributes
    ----------
    labels : tuple of C str
        The classes; `label` is a name for them all.
    thres0, thres1, operating : tuple of C
        Those of each class.
    config, params, mean, std
        As in `Detector`, but `head.w` is (C, K).

    Examples
    --------
    >>> from minirsed.model import ModelConfig, init_params
    >>> rng = np.random.default_rng(0)
    >>> config = ModelConfig(arch="uni", n_layers=1, n_units=4, n_classes=2)
    >>> parts = config, init_params(config, rng), ("babycry", "gunshot"), np.zeros(64), np.ones(64)
    >>> detector = SeveralDetector.new(*parts, thres1=0.5)
    >>> found = detector.detect(rng.standard_normal(44100), sr=44100)
    >>> {label: detection.frame_probabilities.shape for label, detection in found.items()}
    {'babycry': (42,), 'gunshot': (42,)}
    """

    labels: tuple = ()

    @classmethod
    def new(cls, config, params, labels, mean, std, thres1, operating=AS_FOUND):
        """That of a training, operated in the same way for all classes."""
        each = {"thres0": 0.5, "thres1": thres1, "operating": operating}
        each = {name: (value,) * len(labels) for name, value in each.items()}
        return cls(config, params, joined(labels), mean, std, **each, labels=tuple(labels))

    @property
    def views(self):
        """A detector for each class, in order; they share the arrays of the encoder."""
        config = dataclasses.replace(self.config, n_classes=1)
        own = zip(self.labels, self.thres0, self.thres1, self.operating, strict=True)
        return tuple(
            Detector(config, self._params_of(c), label, self.mean, self.std, *how)
            for c, (label, *how) in enumerate(own)
        )

    def of_class(self, label):
        """The detector of one class. InputError: it is not among them."""
        if label not in self.labels:
            raise InputError(f"class {label!r}: the detector knows {', '.join(self.labels)}")
        return self.views[self.labels.index(label)]

    def _params_of(self, c):
        return {name: value[c] if name.startswith(OF_CLASS) else value for name, value in self.params.items()}

    def logits(self, features):
        """Frame logits (B, C, T) and clip logits (B, C) of LFBE (B, T, n_mels), of one pass through the encoder."""
        frame_logits, clip_logit = super().logits(features)
        shape = len(features), len(self.labels)
        return frame_logits.reshape(*shape, -1), clip_logit.reshape(shape)

    def probabilities(self, frame_logits, clip_logit):
        """Of what `logits` gave: p (B, C) and p_t (B, C, T), see `Detector.probabilities`."""
        own = [view.probabilities(frame_logits[:, c], clip_logit[:, c]) for c, view in enumerate(self.views)]
        return tuple(np.stack(part, axis=1) for part in zip(*own, strict=True))

    def decode(self, probability, frame_probabilities):
        """A `minirsed.detector.Detection` by class, from p (C,) and p_t (C, T)."""
        own = zip(self.views, probability, frame_probabilities, strict=True)
        return {view.label: view.decode(float(p), p_t) for view, p, p_t in own}

    def detect(self, y, sr=44100):
        """As `Detector.detect`, of each class: dict of label to `minirsed.detector.Detection`."""
        features = lfbe(downmix(checked_waveform(y), sr), sr, **self.features)
        probability, frame_probabilities = self.probabilities(*self.logits(features[None]))
        return self.decode(probability[0], frame_probabilities[0])

    def stream(self, sr=44100):
        """Detect in sound that comes in pieces: a `minirsed.recordings.several.SeveralStream`."""
        from minirsed.recordings.several import SeveralStream

        return SeveralStream(self, sr)

    def description(self):
        """Everything but the arrays, as JSON-able values; what one class has of it, for each of them."""
        own = [view.description() for view in self.views]
        classes = [{name: value for name, value in each.items() if name != "model"} for each in own]
        return {"model": dataclasses.asdict(self.config), "classes": classes}

    @classmethod
    def from_parts(cls, path, description, arrays):
        """As `Detector.from_parts`, which is asked about each class by itself; of one class, a `Detector`."""
        if "classes" not in description:
            return Detector.from_parts(path, description, arrays)
        try:
            model, classes = dict(description["model"]), list(description["classes"])
            n_classes, own = model.pop("n_classes"), [{**each, "model": model} for each in classes]
            heads = [name for name in arrays if name.startswith(f"params/{OF_CLASS}")]
            fits = n_classes == len(own) > 1 and all(len(arrays[name]) == len(own) for name in heads)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a usable detector: {error!r}") from error
        if not fits:
            raise InputError(f"{path}: its arrays do not fit its description {description['model']}")
        parts = [{**arrays, **{name: arrays[name][c] for name in heads}} for c in range(len(own))]
        views = [Detector.from_parts(path, *each) for each in zip(own, parts, strict=True)]
        labels = tuple(view.label for view in views)
        if len(set(labels)) < len(labels):
            raise InputError(f"{path}: names a class twice")
        params = {name.removeprefix("params/"): a for name, a in arrays.items() if name.startswith("params/")}
        each = {name: tuple(getattr(view, name) for view in views) for name in ("thres0", "thres1", "operating")}
        config = dataclasses.replace(views[0].config, n_classes=len(views))
        return cls(config, params, joined(labels), views[0].mean, views[0].std, **each, labels=labels)


def new_detector(config, params, labels, mean, std, thres1, operating=AS_FOUND):
    """A `Detector` for one class or a `SeveralDetector` for more."""
    if len(labels) == 1:
        return Detector(config, params, labels[0], mean, std, thres1=thres1, operating=operating)
    return SeveralDetector.new(config, params, labels, mean, std, thres1, operating)


def views_of(detector):
    """A detector for each class that a detector of either kind knows: tuple of Detector."""
    return detector.views if isinstance(detector, SeveralDetector) else (detector,)


def detect_by_class(detector, y, sr=44100):
    """`detect` of a detector of either kind: dict of label to `minirsed.detector.Detection`."""
    found = detector.detect(y, sr)
    return found if isinstance(detector, SeveralDetector) else {detector.label: found}


def for_classes(detector, labels):
    """A detector of other classes with the encoder of this one, to train from: each class has its own event vector.

    Parameters
    ----------
    detector : Detector or SeveralDetector
    labels : sequence of str
        In any order. A class that the detector does not know begins with a vector of 0, p_t = ½ in every frame.

    Returns
    -------
    Detector or SeveralDetector
        Of one class for one class the detector itself, whatever their names.
    """
    views = views_of(detector)
    if len(views) == len(labels) == 1:
        return detector
    first, known = views[0], {view.label: view.params for view in views}
    heads = {}
    for name, value in first.params.items():
        if name.startswith(OF_CLASS):
            own = np.stack([known[label][name] if label in known else np.zeros_like(value) for label in labels])
            heads[name] = own if len(labels) > 1 else own[0]
    config = dataclasses.replace(first.config, n_classes=len(labels))
    return new_detector(config, first.params | heads, labels, first.mean, first.std, first.thres1)


def load(path):
    """Read a detector of one class or of several, as `Detector.load` does; InputError as there."""
    return SeveralDetector.load(path)
