"""The conventions of the official DCASE 2017 task 2 mixture synthesizer: random stream, names, file formats.

Everything here works on plain numbers, mappings and text; `data_tools.recipes` turns them into recipes. It was learnt
from the behaviour of the program (version of 2017-06-30, Python 2.7, PyYAML 3.12) and reproduces its output exactly.
"""

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from data_tools.errors import InputError
from data_tools.files import require_file

SUBSET_NAMES = {"train": "devtrain", "dev": "devtest", "eval": "evaltest"}  # ours → theirs
RELEASED_EVALUATION = (
    "bbb81504db15a03680a0044474633b67"  # folder of the released mixtures: a digest of their parameters
)

_NAME = re.compile(r"mixture_(?P<subset>[^_]+)_(?P<label>.+)_(?P<id>\d{3,})_[0-9a-f]{32}\.wav")


@dataclass(frozen=True)
class Draws:
    """The random numbers of one class, as positions in lists.

    Event instances go to the mixtures k with `has_event[k]`, in ascending order.
    """

    background: np.ndarray  # (n,) int, position in the background list
    has_event: np.ndarray  # (n,) bool
    event: np.ndarray  # (instances,) int, position in the class's event list
    onset_share: np.ndarray  # (instances,) float64 in [0, 1): onset = (30 s - length) * share
    ebr: np.ndarray  # (instances,) int, position in the list of ratios


def draw_stream(seed, n_backgrounds, n_events, n, event_presence_prob, n_ebrs):
    """Draw the random numbers of one subset in the official order.

    One Mersenne Twister serves all classes and is seeded once, so the numbers of the second class depend on those of
    the first. Every event keeps the onset of its *last* instance: all mixtures of a class and subset that use the same
    event have it at the same onset.

    Parameters
    ----------
    seed : int
    n_backgrounds : int
    n_events : sequence of int
        Length of the event list of each class, in the bank's order of classes.
    n : int
        Mixtures per class.
    event_presence_prob : float in [0, 1]
        Share of mixtures with an event. Their number is rounded half up, as in Python 2.
    n_ebrs : int

    Returns
    -------
    list of Draws, one per class
    """
    random = np.random.RandomState(seed)  # noqa: NPY002 - the official program's generator
    n_instances = int(np.floor(n * event_presence_prob + 0.5))
    draws = []
    for n_of_class in n_events:
        event = random.randint(0, n_of_class, n_instances)
        background = random.randint(0, n_backgrounds, n)
        has_event = random.permutation(np.arange(n) < n_instances)
        share = random.rand(n_instances)
        last = {position: k for k, position in enumerate(event)}
        shared = share[[last[position] for position in event]] if n_instances else share
        ebr = random.randint(0, n_ebrs, n_instances)
        draws.append(Draws(background, has_event, event, shared, ebr))
    return draws


def mixture_name(subset, label, index, fields, as_text=None):
    """Official file name of a mixture; `fields` are those of its recipe without name and annotation.

    The official digest is that of their YAML (`flow_text`), which takes 0.4 ms to write. For names that need not agree
    with those of the challenge, `as_text` can be quicker.
    """
    digest = hashlib.md5((as_text or flow_text)(fields).encode()).hexdigest()
    return f"mixture_{SUBSET_NAMES[subset]}_{label}_{index:03d}_{digest}.wav"


def class_of_name(name):
    """The class in an official mixture name. InputError: it is not such a name."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(f"{name}: not of the form mixture_<subset>_<class>_<id>_<md5>.wav")
    return match["label"]


def flow_text(mapping):
    """YAML as PyYAML wrote it before 5.1: sorted keys, collections of plain values on one line."""
    import yaml

    return yaml.dump(mapping, Dumper=yaml.SafeDumper, default_flow_style=None)


def block_text(mappings):
    """YAML of the recipe files: block style, sorted keys, folded at 80 columns.

    By the emitter in Python, since that of libyaml folds elsewhere and these files are compared byte for byte.
    """
    import yaml

    return yaml.dump(mappings, Dumper=yaml.SafeDumper, default_flow_style=False)


UNFIT = (ValueError, TypeError, LookupError, AttributeError, OverflowError)  # at "!!int x", "!!bool x", 2017-13-32, …


def load_yaml(path):
    """Content of a YAML file, by the safe loader. InputError: no such file, not text, malformed (with the line)."""
    import yaml

    require_file(path)
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, *UNFIT) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as YAML ({reason})") from error


def annotation(name, onset_s=None, length_s=None, label=None):
    """One line of an event list without its line feed: only the name if there is no event."""
    if label is None:
        return name
    return "\t".join([name, number_text(onset_s), number_text(onset_s + length_s), label])


def number_text(value):
    """`value` as Python 2 printed it, with 12 significant digits."""
    text = f"{value:.12g}"
    return text if isinstance(value, int) or any(c in text for c in ".en") else text + ".0"
