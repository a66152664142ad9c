"""Draw recipes: which background, which event, where and how loud, before any audio is made (paper, Sec. 4).

    soundbank → recipes → mixing

There are two generators. In "minirsed" every recipe has random numbers of its own, so recipe 7 is the same whether 10
or 10,000 are drawn. "official" is the random stream of the DCASE 2017 synthesizer and gives the released development
set, including its shared onsets.
"""

import hashlib
import json
import math

import numpy as np

from data_tools import official
from data_tools.audio import CLIP_S, SAMPLE_RATE
from data_tools.banks.base import SUBSETS, check_subset
from data_tools.errors import InputError
from data_tools.mixing import background_clip, event_clip, scaling_factor
from data_tools.recipe_format import (
    Recipe,
    read_recipes,
    recipes_text,
    to_yaml_fields,
    write_annotations,
    write_recipes,
)

__all__ = [
    "EBR_DB",
    "GENERATORS",
    "Recipe",
    "draw_recipes",
    "drop_screened",
    "read_recipes",
    "recipes_text",
    "write_annotations",
    "write_recipes",
]

GENERATORS = ("minirsed", "official")
EBR_DB = (-6.0, 0.0, 6.0)  # the task's event-to-background ratios
JOINT = "+"  # between the classes of mixtures of several, in names
NEGATIVE_PROB = 0.3  # how likely a mixture has a negative, for the commands


def draw_recipes(
    bank,
    label,
    subset,
    n,
    seed,
    *,
    generator="minirsed",
    ebr_db=EBR_DB,
    event_presence_prob=0.5,
    duration_s=CLIP_S,
    screen=True,
    first=0,
    negative_prob=0.0,
):
    """Draw the recipes of `n` mixtures for one class.

    Parameters
    ----------
    bank : data_tools.banks.base.Bank
    label : str
        Event class.
    subset : {"train", "dev", "eval"}
    n, seed : int
        Number of mixtures; fewer after screening (official generator). If the mixtures of the subset came rendered, its
        first `n` are returned, whatever the seed and the generator.
    generator : {"minirsed", "official"}
        "minirsed": recipe i depends only on (seed, subset, label, i); background, event, onset and ratio are uniform
        and independent. Of the first m recipes, m · event_presence_prob have an event, to within one. Reads no audio.
        "official": the recipes of the official program, byte for byte. Reads audio, to measure scaling factors.
    ebr_db : sequence of float
        Event-to-background ratios to choose from, dB.
    event_presence_prob, negative_prob : float in [0, 1]
        Of an event; of one of `Bank.negatives`, with an event or without it (minirsed generator only).
    duration_s : float
        Length of a mixture, seconds; 30 for the official generator.
    screen : bool
        Official generator: apply `drop_screened`, as in the released event lists but not in its recipe files.
    first : int
        Number of the first recipe, to draw `n` more than before (minirsed generator only).

    Raises
    ------
    InputError
        Unknown class, no sounds in the subset, or an event longer than the mixture.
    ValueError
        An argument is out of its range.
    """
    check_subset(subset)
    check_draw(n, seed, generator, ebr_db, event_presence_prob, duration_s, first, negative_prob)
    if label not in bank.classes:
        bank.events(label, subset)  # raises, naming the known classes
    ready = bank.ready_mixtures(label, subset)
    if ready:
        return ready[:n]
    if generator == "official":
        drawn = _draw_official(bank, label, subset, n, seed, ebr_db, event_presence_prob)
        return drop_screened(drawn, bank) if screen else drawn
    options = (seed, ebr_db, event_presence_prob, duration_s, negative_prob)
    return _draw_minirsed(bank, label, subset, range(first, first + n), *options)


def _draw_minirsed(bank, label, subset, numbers, seed, ebr_db, event_presence_prob, duration_s, negative_prob):
    clips = bank.events(label, subset)
    backgrounds = bank.backgrounds(subset, label)
    negatives = bank.negatives(label, subset) if negative_prob else []
    for clip in clips + negatives:
        check_fits(clip, duration_s)
    stream = stream_of(seed, subset, label)
    phase = np.random.default_rng([*stream, 0]).random()
    recipes = []
    for i in numbers:
        rng = np.random.default_rng([*stream, 1, i])
        background = backgrounds[rng.integers(len(backgrounds))]
        clip = clips[rng.integers(len(clips))]
        ratio = float(ebr_db[rng.integers(len(ebr_db))])
        share = float(rng.random())
        has_event = math.floor((i + 1) * event_presence_prob + phase) > math.floor(i * event_presence_prob + phase)
        fields = event_fields(clip, share * latest_s(clip, duration_s), ratio) if has_event else {}
        if negatives:
            rng = np.random.default_rng([*stream, 2, i])
            fields |= negative_fields(rng, negatives, negative_prob, ebr_db, duration_s)
        recipes.append(named(subset, label, i, background, fields, duration_s, json.dumps))
    return recipes


def stream_of(seed, subset, text):
    """The random numbers of some mixtures begin with these, to which each of them adds its own."""
    return [seed, SUBSETS.index(subset), int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "big")]


def latest_s(clip, duration_s):
    """The latest onset; one sample is left free at the end, since cutting to whole samples may add one to a length."""
    return max(0.0, duration_s - clip.length_s - 1 / SAMPLE_RATE)


def negative_fields(rng, negatives, probability, ebr_db, duration_s):
    """Of a negative, anywhere and at one of the ratios; none, with the probability that is left."""
    if rng.random() >= probability:
        return {}
    clip = negatives[rng.integers(len(negatives))]
    return {
        "negative": clip.key,
        "negative_segment_onset_s": clip.onset_s,
        "negative_segment_offset_s": clip.offset_s,
        "negative_onset_s": float(rng.random()) * latest_s(clip, duration_s),
        "negative_ebr_db": float(ebr_db[rng.integers(len(ebr_db))]),
    }


def _draw_official(bank, label, subset, n, seed, ebr_db, event_presence_prob):
    """All `n` recipes of the official program, before screening. Scaling factors are measured on the sounds."""
    backgrounds = bank.backgrounds(subset)
    labels = bank.classes[: bank.classes.index(label) + 1]  # earlier classes use the same random stream
    n_events = [len(bank.events(name, subset)) for name in labels]
    draws = official.draw_stream(seed, len(backgrounds), n_events, n, event_presence_prob, len(ebr_db))[-1]
    clips = bank.events(label, subset)
    duration_s = None if bank.has_whole_backgrounds else CLIP_S
    recipes, instance = [], 0
    for i in range(n):
        background = backgrounds[draws.background[i]]
        event = {}
        if draws.has_event[i]:
            clip, share = clips[draws.event[instance]], draws.onset_share[instance]
            ratio = float(ebr_db[draws.ebr[instance]])
            check_fits(clip, CLIP_S)
            event = event_fields(clip, float((CLIP_S - clip.length_s) * share), ratio)
            event["scaling_factor"] = _measured_factor(bank, background, clip, event, duration_s)
            instance += 1
        recipes.append(named(subset, label, i, background, event, duration_s))
    return recipes


def drop_screened(recipes, bank):
    """Drop recipes whose background contains the class of the mixture itself (official patch of June 2017).

    The classes of a mixture without an event are read from its name. InputError: that is not an official one.
    """

    def is_screened(recipe):
        held = {label for label in bank.classes if bank.is_screened(recipe.background, label)}
        own = {event.label for event in recipe.events}
        return held and held & (own or {*official.class_of_name(recipe.name).split(JOINT)})

    return [recipe for recipe in recipes if not is_screened(recipe)]


def event_fields(clip, onset_s, ebr_db):
    """Of an event, as fields of a Recipe or of a PlacedEvent."""
    return {
        "label": clip.label,
        "event": clip.key,
        "segment_onset_s": clip.onset_s,
        "segment_offset_s": clip.offset_s,
        "onset_s": onset_s,
        "ebr_db": ebr_db,
    }


def _measured_factor(bank, background, clip, event, duration_s):
    y = background_clip(bank, background.key, background.start_s, duration_s)
    e = event_clip(bank, clip.key, clip.onset_s, clip.offset_s)
    return scaling_factor(e, y, event["onset_s"], event["ebr_db"], f"{clip.key} in {background.key}")


def named(subset, label, index, background, event, duration_s, as_text=None):
    """A recipe with its name, which contains a hash of all other fields (`official.mixture_name`)."""
    fields = dict(
        background=background.key,
        scene=background.scene,
        background_start_s=background.start_s,
        duration_s=duration_s,
        **event,
    )
    nameless = Recipe(name="", **fields)
    return Recipe(name=official.mixture_name(subset, label, index, to_yaml_fields(nameless), as_text), **fields)


def check_fits(clip, duration_s=CLIP_S):
    """InputError if an event is longer than a mixture."""
    if clip.length_s > duration_s:
        raise InputError(f"{clip.key}: event of {clip.length_s:.3f} s is longer than a clip of {duration_s:g} s")


def check_draw(n, seed, generator, ebr_db, event_presence_prob, duration_s, first, negative_prob):
    """ValueError: an argument of `draw_recipes` is out of its range."""
    if n < 0 or seed < 0:
        raise ValueError(f"n and seed must not be negative, not {n} and {seed}")
    if generator not in GENERATORS:
        raise ValueError(f"generator must be one of {', '.join(GENERATORS)}, not {generator!r}")
    for name, probability in (("event_presence_prob", event_presence_prob), ("negative_prob", negative_prob)):
        if not 0 <= probability <= 1:
            raise ValueError(f"{name} must lie in [0, 1], not {probability}")
    if len(ebr_db) == 0 or not np.isfinite(ebr_db).all():
        raise ValueError(f"ebr_db must be finite numbers of decibels, not {ebr_db}")
    if not duration_s > 0 or (generator == "official" and duration_s != CLIP_S):
        raise ValueError(f"duration_s must be positive, and 30 for the official generator, not {duration_s}")
    if first < 0 or (first and generator == "official"):
        raise ValueError(f"first must be 0 or, with the minirsed generator, more; not {first}")
