"""What a detector is trained on, written down while the sounds are open: `sounds.json` of a run folder."""

import json
from collections import Counter
from pathlib import Path

from data_tools.banks.builtin import BuiltinBank
from data_tools.banks.tut2017 import Tut2017Bank
from data_tools.builtin.keys import VERSION
from data_tools.files import atomic_write, read_json
from data_tools.rights import rights_of
from data_tools.several import holding_of_all
from minirsed.outside.spectra import other_events

SOUNDS = "sounds.json"


def write_sounds(folder, bank, settings):
    """Write `sounds.json`.

    Parameters
    ----------
    folder : Path
        Run folder.
    bank : data_tools.banks.base.Bank
        That the run is trained on.
    settings : minirsed.run.settings.TrainSettings
    """
    with atomic_write(Path(folder) / SOUNDS, "w") as file:
        json.dump(sounds_of(bank, settings), file, indent=2)
        file.write("\n")


def sounds_of(bank, settings):
    """What a bank holds for a run.

    Returns
    -------
    dict
        JSON-able: "kind", builtin, tut2017 or folder; "version" of built-in sounds, else None; "subsets": train and dev
        → a `data_tools.inventory.Holding` as a dict and "event_s", seconds of all events together; None for mixtures
        that came rendered; "others": events of other classes by class, where they are mixed in; "everyday": how many
        everyday sounds are (older files have none); "rights": `data_tools.rights.rights_of` the training sounds of a
        folder, else None.
    """
    source = getattr(bank, "bank", bank)  # that of a fold
    kinds = {BuiltinBank: "builtin", Tut2017Bank: "tut2017"}
    kind = next((name for of, name in kinds.items() if isinstance(source, of)), "folder")
    subsets = {}
    for subset in ("train", "dev"):
        held = holding_of_all(bank, settings.classes, subset)
        clips = [clip for label in settings.classes for clip in bank.events(label, subset)] if held else ()
        subsets[subset] = held and held._asdict() | {"event_s": sum(clip.length_s for clip in clips)}
    has_others = settings.other_events > 0 and settings.other_classes == "yes"
    clips = other_events(bank, settings.classes) if has_others else []
    others = Counter(clip.label for clip in clips if clip.label is not None)
    rights = None
    if kind == "folder" and hasattr(source, "root"):
        rights = rights_of(source.root, _train_files(bank, settings.classes, clips))
    return {
        "kind": kind,
        "version": VERSION if kind == "builtin" else None,
        "subsets": subsets,
        "others": dict(sorted(others.items())),
        "everyday": len(bank.everyday_sounds()) if settings.everyday > 0 else 0,
        "rights": rights,
    }


def _train_files(bank, labels, others):
    """Names of the files that training takes, relative to the sound folder."""
    places = {place: subset for label in labels for place, subset in bank.places(label).items()}
    own = (f"{kind}/{key}" for (kind, key), subset in places.items() if subset == "train")
    return {*own, *(f"events/{clip.key}" for clip in others if clip.label is not None)}


def read_sounds(folder):
    """What `write_sounds` left; None in a run folder of an earlier version.

    Raises
    ------
    InputError
        The file is damaged.
    """
    return read_json(Path(folder) / SOUNDS, _is_whole, "minirsed.train --resume writes it again")


def _is_whole(sounds):
    """Whether a card can say it."""
    counts = ("n_events", "n_event_recordings", "n_backgrounds", "n_background_recordings")
    rights = sounds["rights"]
    rows = [] if rights is None else rights["licences"]
    return (
        isinstance(sounds["kind"], str)
        and all(
            held is None
            or (all(is_count(held[name]) for name in counts) and is_number(held["event_s"], held["background_s"]))
            for held in (sounds["subsets"]["train"], sounds["subsets"]["dev"])
        )
        and all(is_count(n) for n in [*sounds["others"].values(), sounds.get("everyday", 0)])
        and all(
            isinstance(row["licence"], str)
            and all(is_count(row[name]) for name in ("n_files", "n_authors", "n_sources"))
            and all(isinstance(text, str) for name in ("authors", "sources") for text in row[name])
            for row in rows
        )
        and (rights is None or all(isinstance(name, str) for name in rights["texts"]))
        and (rights is None or isinstance(rights["problem"], str | None))
    )


LARGEST = 1e12  # number that a card shows


def is_count(value):
    """A whole number, 0 or more."""
    return type(value) is int and 0 <= value < LARGEST


def is_number(*values):
    """Numbers that are finite."""
    return all(type(value) in (int, float) and abs(value) < LARGEST for value in values)
