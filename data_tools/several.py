"""Mixtures of several classes: each is there or not, whatever the others do, so there may be none, one or all of them.

    bank → recipes of several classes → mixing

The paper names "the simultaneous detection of multiple events" (Sec. 5) as what its model could grow to. Events of
different classes have places and ratios of their own and may overlap; of each class there is one at most.
"""

import itertools
import json

import numpy as np

from data_tools.audio import CLIP_S
from data_tools.console import counted
from data_tools.errors import InputError
from data_tools.inventory import few, held, holding, inventory_lines, repeated, whole
from data_tools.recipe_format import PlacedEvent
from data_tools.recipes import (
    EBR_DB,
    JOINT,
    check_draw,
    check_fits,
    draw_recipes,
    event_fields,
    latest_s,
    named,
    negative_fields,
    stream_of,
)

LONGEST_NAME = 60  # of joined classes, characters: they are part of names of files


def joined(labels):
    """Classes in one word, for names of files and folders: babycry+glassbreak; of many the first, and how many more."""
    text = JOINT.join(labels)
    return (
        text if len(labels) == 1 or len(text) <= LONGEST_NAME else f"{labels[0][:LONGEST_NAME]}{JOINT}{len(labels) - 1}"
    )


def draw_several(
    bank, labels, subset, n, seed, *, generator="minirsed", screen=True, negative_prob=0.0, first=0, **options
):
    """Draw the recipes of `n` mixtures for several classes.

    Parameters
    ----------
    bank, subset, n, seed, first, negative_prob
        As for `data_tools.recipes.draw_recipes`. If the mixtures of all classes came rendered, they are returned in
        turn, one of each class. Negatives are those that are none of the classes.
    labels : sequence of str
        Classes, each once. Of a single one the recipes are those of `draw_recipes`.
    generator : {"minirsed", "official"}
        The official one makes mixtures of one class.
    screen : bool
        As there; in mixtures of several classes no background is known to hold one of them.
    **options
        `ebr_db`, `event_presence_prob`, `duration_s` of `draw_recipes`. Each class is there with that probability,
        independently of the others.

    Returns
    -------
    list of data_tools.recipes.Recipe
        The events of recipe i are in the order of `labels`; that of a class depends only on (seed, subset, class, i),
        and the background on (seed, subset, i) and on which backgrounds are known to hold one of the classes. So one
        class more or less changes nothing else.

    Raises
    ------
    InputError
        As `draw_recipes`; a class is named twice; the official generator is to draw several.
    ValueError
        There is no class, or as `draw_recipes`.
    """
    check_classes(labels)
    if len(labels) == 1:
        options |= {"generator": generator, "screen": screen, "negative_prob": negative_prob, "first": first}
        return draw_recipes(bank, labels[0], subset, n, seed, **options)
    if generator != "minirsed":
        raise InputError(f"generator {generator}: makes mixtures of one class, not of {', '.join(labels)} together")
    ready = [bank.ready_mixtures(label, subset) for label in labels]
    if all(ready):
        in_turn = itertools.chain.from_iterable(itertools.zip_longest(*ready))
        return [recipe for recipe in in_turn if recipe is not None][:n]
    return _draw(bank, labels, subset, range(first, first + n), seed, negative_prob, **options)


def check_classes(labels):
    """ValueError: no class; InputError: one of them is named twice."""
    if not labels:
        raise ValueError("labels is empty; expected one class or more")
    for label in labels:
        if list(labels).count(label) > 1:
            raise InputError(f"class {label!r}: is named twice")


def _draw(
    bank, labels, subset, numbers, seed, negative_prob, ebr_db=EBR_DB, event_presence_prob=0.5, duration_s=CLIP_S
):
    check_draw(len(numbers), seed, "minirsed", ebr_db, event_presence_prob, duration_s, numbers.start, negative_prob)
    clips = {label: bank.events(label, subset) for label in labels}
    backgrounds = backgrounds_for(bank, labels, subset)
    negatives = negatives_for(bank, labels, subset) if negative_prob else []
    for clip in itertools.chain(*clips.values(), negatives):
        check_fits(clip, duration_s)
    streams, common = {label: stream_of(seed, subset, label) for label in labels}, stream_of(seed, subset, JOINT)
    recipes = []
    for i in numbers:
        background = backgrounds[np.random.default_rng([*common, 1, i]).integers(len(backgrounds))]
        placed = []
        for label, stream in streams.items():
            rng = np.random.default_rng([*stream, 3, i])  # 0, 1 and 2: mixtures of that class alone
            if rng.random() < event_presence_prob:
                clip, ratio = clips[label][rng.integers(len(clips[label]))], ebr_db[rng.integers(len(ebr_db))]
                onset_s = float(rng.random()) * latest_s(clip, duration_s)
                placed.append(PlacedEvent(**event_fields(clip, onset_s, float(ratio))))
        fields = {**placed[0]._asdict(), "further": tuple(placed[1:])} if placed else {}
        if negatives:
            rng = np.random.default_rng([*common, 2, i])
            fields |= negative_fields(rng, negatives, negative_prob, ebr_db, duration_s)
        recipes.append(named(subset, joined(labels), i, background, fields, duration_s, json.dumps))
    return recipes


def backgrounds_for(bank, labels, subset):
    """Backgrounds of a subset that are not known to hold any of the classes. InputError: there are none."""
    kept = [set(bank.backgrounds(subset, label)) for label in labels]
    pieces = [piece for piece in bank.backgrounds(subset) if all(piece in each for each in kept)]
    if not pieces:
        raise InputError(f"{bank.name}: no background in subset {subset!r} is free of {', '.join(labels)}")
    return pieces


def negatives_for(bank, labels, subset):
    """Sounds of a subset that are known to be none of the classes, in a fixed order, or none."""
    known = [set(bank.negatives(label, subset)) for label in labels[1:]]
    return [clip for clip in bank.negatives(labels[0], subset) if all(clip in each for each in known)]


def overlapping(recipe):
    """Classes of which an event of a mixture overlaps with an event of another class: set of str."""
    pairs = itertools.combinations(recipe.events, 2)
    meeting = [
        (a, b) for a, b in pairs if a.label != b.label and max(a.onset_s, b.onset_s) < min(a.offset_s, b.offset_s)
    ]
    return {event.label for pair in meeting for event in pair}


def holding_of_all(bank, labels, subset):
    """As `data_tools.inventory.holding`, of several classes together: `Holding`, or None if one came rendered."""
    of_class = [holding(bank, label, subset) for label in labels]
    if len(labels) == 1 or None in of_class:
        return None if None in of_class else of_class[0]
    clips = [clip for label in labels for clip in bank.events(label, subset)]
    return held(bank, clips, backgrounds_for(bank, labels, subset), negatives_for(bank, labels, subset))


def inventory_of(bank, labels, subsets):
    """What a bank has for some classes, as `data_tools.inventory.inventory_lines` says it of one: list of str.

    Raises
    ------
    InputError
        As `inventory_lines`.
    """
    if len(labels) == 1:
        return inventory_lines(bank, labels[0], subsets)
    of_class = {(subset, label): holding(bank, label, subset) for subset in subsets for label in labels}
    lines = []
    for subset in subsets:
        all_together = holding_of_all(bank, labels, subset)
        if all_together is None:
            lines.append(f"{subset}: mixtures that came rendered{whole(bank, labels, subset)}")
            continue
        shares = ", ".join(
            f"{label} {counted(of_class[subset, label].n_events, 'event')} of "
            f"{counted(of_class[subset, label].n_event_recordings, 'recording')}"
            for label in labels
        )
        lines += [f"{subset}: {all_together}{whole(bank, labels, subset)}", f"    {shares}"]
    warnings = [few({" ".join(place): what for place, what in of_class.items()})]
    warnings += dict.fromkeys(repeated(bank, label) for label in labels)
    return lines + [line for line in warnings if line]
