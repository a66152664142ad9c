"""A sound bank that is computed, not recorded: events and backgrounds from a key and a seed.

Stands where the recordings of TUT Rare Sound Events 2017 stand in the paper (Sec. 4), so that everything runs without a
download. A key such as "babycry/train_017" or "tram/dev_02" names one instance for good; its random
stream depends on the key and the seed alone, so no two subsets share a sound.
"""

import csv
import functools
import re
import zlib
from pathlib import Path

import numpy as np

from data_tools.errors import InputError

VERSION = 1  # raise whenever the sound of any key changes: prepared features carry it in their fingerprint
CLASSES = ("babycry", "glassbreak", "gunshot")
SCENES = (
    "beach", "bus", "cafe/restaurant", "car", "city_center", "forest_path", "grocery_store", "home",
    "library", "metro_station", "office", "park", "residential_area", "train", "tram",
)  # fmt: skip
EVENTS_PER_CLASS = {"train": 240, "dev": 60, "eval": 60}
BACKGROUNDS_PER_SCENE = {"train": 40, "dev": 8, "eval": 8}


def event_keys(label, subset):
    """Keys of the instances of one class in one subset.

    Parameters
    ----------
    label : {"babycry", "glassbreak", "gunshot"}
    subset : {"train", "dev", "eval"}

    Returns
    -------
    list of str
        Sorted, e.g. "babycry/train_017".

    Raises
    ------
    InputError
        Unknown label or subset; the message lists the known ones.
    """
    _check("class", label, CLASSES)
    _check("subset", subset, EVENTS_PER_CLASS)
    return [f"{label}/{subset}_{i:03d}" for i in range(EVENTS_PER_CLASS[subset])]


def background_keys(subset):
    """(key, scene) of every background of one subset; `InputError` for an unknown subset."""
    _check("subset", subset, BACKGROUNDS_PER_SCENE)
    count = BACKGROUNDS_PER_SCENE[subset]
    return [(f"{scene}/{subset}_{i:02d}", scene) for scene in SCENES for i in range(count)]


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
        44.1 kHz, mono, 0.2–5 s, largest sample under 1; all of it is the event. The same key and seed give the
        same bytes under one version of NumPy and SciPy.

    Raises
    ------
    InputError
        No such key.
    """
    from data_tools.builtin import events

    label = _split(key, CLASSES, EVENTS_PER_CLASS)
    return getattr(events, label)(_generator(key, seed))


def event_length(key, seed=0):
    """Samples of `event_audio(key, seed)`: for seed 0 from a table, since making all 300 sounds of a class takes 4 s.

    The table is `builtin_lengths.csv`, held against the sounds by `tests/test_builtin.py`; after a change of the
    sounds `event_lengths_csv` gives it anew.
    """
    if seed != 0:
        return len(event_audio(key, seed))
    _split(key, CLASSES, EVENTS_PER_CLASS)
    return _lengths()[key]


@functools.cache
def _lengths():
    """The table as a dict."""
    with open(Path(__file__).with_name("lengths.csv"), encoding="ascii", newline="") as file:
        return {row["key"]: int(row["samples"]) for row in csv.DictReader(file)}


def event_lengths_csv():
    """The text of `builtin_lengths.csv`, from the sounds themselves."""
    keys = [key for label in CLASSES for subset in EVENTS_PER_CLASS for key in event_keys(label, subset)]
    return "".join(["key,samples\n", *(f"{key},{len(event_audio(key))}\n" for key in keys)])


def background_audio(key, seed=0):
    """Compute the background of `key`: (1_323_000,) float64, 30 s at 44.1 kHz; else as `event_audio`."""
    from data_tools.builtin import scenes

    scene = _split(key, SCENES, BACKGROUNDS_PER_SCENE)
    return scenes.background(_generator(key, seed), scene)


def _generator(key, seed):
    """One random stream per key; CRC-32 because `hash` differs between runs."""
    return np.random.default_rng([seed, zlib.crc32(key.encode())])


def _split(key, names, counts):
    """Return the class or scene of `key`, or refuse a key that no list contains."""
    match = re.fullmatch(r"(.+)/(train|dev|eval)_(\d+)", key)
    if not match or match[1] not in names or int(match[3]) >= counts[match[2]]:
        raise InputError(f"no built-in sound {key!r}; a key looks like {names[0]}/train_003")
    return match[1]


def _check(what, value, known):
    if value not in known:
        raise InputError(f"unknown {what} {value!r}; the built-in sounds have {', '.join(known)}")
