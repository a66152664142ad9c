"""Names of the built-in sounds, their subsets and random streams: an event or background from a key and a seed.

The built-in sounds take the place of the recordings of TUT Rare Sound Events 2017 in the paper (Sec. 4), so that
everything runs without a download. A key such as "babycry/train_017" or "tram/dev_02" names one sound for good. Its
random stream depends on the key and the seed alone, so no two subsets share a sound.
"""

import re
import zlib
from importlib import import_module

import numpy as np

from data_tools.audio import SAMPLE_RATE
from data_tools.errors import InputError

VERSION = 2  # raise it whenever the sound of any key changes: the fingerprint of prepared features contains it
CLASSES = ("babycry", "glassbreak", "gunshot")
SCENES = (
    "beach", "bus", "cafe/restaurant", "car", "city_center", "forest_path", "grocery_store", "home",
    "library", "metro_station", "office", "park", "residential_area", "train", "tram",
)  # fmt: skip
EVENTS_PER_CLASS = {"train": 240, "dev": 60, "eval": 60}
BACKGROUNDS_PER_SCENE = {"train": 40, "dev": 8, "eval": 8}
EVERYDAY = {  # by file: functions that make sounds that are none of the classes
    "distractors": (
        "bark", "beeps", "bird", "bump", "claps", "clink", "cutlery", "door", "engine", "gull", "hiss", "horn", "keys",
        "laugh", "meow", "melody", "rail_joints", "rustle", "shout", "siren", "speech", "squeak", "steps", "thud",
    ),
    "machines": ("clicks", "sweep", "tone"),
}  # fmt: skip
EVERYDAY_EACH = {"distractors": 40, "machines": 80}
LENGTHS_S = {  # the 0th, 10th, 20th … 100th percentile of the lengths of a class, seconds; straight lines between them
    "babycry": (0.50, 0.87, 1.24, 1.52, 1.94, 2.20, 2.52, 2.92, 3.22, 3.65, 4.19),
    "glassbreak": (0.33, 0.62, 0.73, 0.83, 0.96, 1.09, 1.19, 1.33, 1.43, 1.60, 2.09),
    "gunshot": (0.23, 0.40, 0.45, 0.54, 0.63, 0.70, 0.76, 0.87, 1.03, 1.23, 2.32),
}


def event_keys(label, subset):
    """Keys of the sounds of a class in a subset, sorted: "babycry/train_000", …"""
    return [f"{label}/{subset}_{i:03d}" for i in range(EVENTS_PER_CLASS[subset])]


def background_keys(subset):
    """(key, scene) of every background of a subset."""
    count = BACKGROUNDS_PER_SCENE[subset]
    return [(f"{scene}/{subset}_{i:02d}", scene) for scene in SCENES for i in range(count)]


def everyday_keys():
    """Keys of everyday sounds, for training alone: "distractors.bark/train_00", …"""
    return [
        f"{file}.{name}/train_{i:02d}"
        for file, names in EVERYDAY.items()
        for name in names
        for i in range(EVERYDAY_EACH[file])
    ]


def everyday_audio(key, seed=0):
    """Compute the everyday sound of `key`, one of `everyday_keys`: (samples,) float64, otherwise as `event_audio`."""
    file, _, name = key.split("/")[0].partition(".")
    if key not in everyday_keys():
        raise InputError(f"no built-in sound {key!r}; a key looks like {everyday_keys()[0]}")
    y = getattr(import_module(f"data_tools.builtin.{file}"), name)(_generator(key, seed))
    return y * (0.5 / np.abs(y).max())


def event_audio(key, seed=0):
    """Compute the event of `key`.

    Parameters
    ----------
    key : str
        One of `event_keys`.
    seed : int
        Another seed gives another sound bank.

    Returns
    -------
    (samples,) float64
        44.1 kHz, mono, 0.2–4.2 s, largest sample below 1. All of it is the event. The same key and seed give the same
        bytes with the same versions of NumPy and SciPy.

    Raises
    ------
    InputError
        No such key.
    """
    from data_tools.builtin import events

    label, rng = _split(key, CLASSES, EVENTS_PER_CLASS), _generator(key, seed)
    return getattr(events, label)(rng, _length(rng, label))


def event_length(key, seed=0):
    """Samples of `event_audio(key, seed)`, without computing the sound: they are the first draw of its stream."""
    return _length(_generator(key, seed), _split(key, CLASSES, EVENTS_PER_CLASS))


def _length(rng, label):
    percentiles_s = LENGTHS_S[label]
    return round(SAMPLE_RATE * np.interp(rng.random(), np.linspace(0, 1, len(percentiles_s)), percentiles_s))


def background_audio(key, seed=0):
    """Compute the background of `key`: (1_323_000,) float64, 30 s at 44.1 kHz, otherwise as `event_audio`."""
    from data_tools.builtin import scenes

    scene = _split(key, SCENES, BACKGROUNDS_PER_SCENE)
    return scenes.background(_generator(key, seed), scene)


def _generator(key, seed):
    """The random stream of a key, by CRC-32 because `hash` differs between runs."""
    return np.random.default_rng([seed, zlib.crc32(key.encode())])


def _split(key, names, counts):
    """The class or scene of `key`. InputError: no list contains it."""
    match = re.fullmatch(r"(.+)/(train|dev|eval)_(\d+)", key)
    if not match or match[1] not in names or int(match[3]) >= counts[match[2]]:
        raise InputError(f"no built-in sound {key!r}; a key looks like {names[0]}/train_003")
    return match[1]
