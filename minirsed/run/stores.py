"""Which prepared features the runs on this disk would read again, and which are left over.

Data flow: run folders → settings → mixtures → names of stores (`minirsed.store.files`).
"""

import contextlib
import dataclasses
import functools
import json
from pathlib import Path
from typing import NamedTuple

from data_tools.banks.base import SUBSETS
from data_tools.errors import InputError
from data_tools.files import folder_size
from data_tools.several import joined
from data_tools.soundbank import open_bank
from minirsed.run.checkpoint import NEWEST, PREVIOUS, has_checkpoint, read_checkpoint
from minirsed.run.folder import CONFIG, settings_to_resume
from minirsed.store import files as store_files
from minirsed.store.mixtures import features_of, recipes_of


class Kept(NamedTuple):
    """A store on disk."""

    folder: Path
    n_bytes: int
    runs: list  # of Path, that would read it again; of those without their sounds, that might


def kept_stores(features, places):
    """All stores of a folder of features with the runs that use them.

    A run uses what `--resume`, or an evaluation or report with the run's own sounds, would read. Features of other
    library versions are read by nothing any more. If the sounds of a run cannot be opened, it is taken to use every
    store of its class.

    Parameters
    ----------
    features : Path
    places : list of Path
        Run folders, or folders that hold some at any depth.

    Returns
    -------
    list of Kept

    Raises
    ------
    InputError
        A run's settings cannot be read, so that nobody knows what it uses.
    """
    users = {run: used_by(run) for run in run_folders(places)}
    return [
        Kept(store, folder_size(store), [run for run, is_used in users.items() if is_used(store.name)])
        for store in (store_files.stores_in(features) if features.is_dir() else [])
    ]


def run_folders(places):
    """Folders at or below some places that hold a run."""
    return sorted(
        {path.parent for place in places for name in (CONFIG, NEWEST, PREVIOUS) for path in Path(place).rglob(name)}
    )


def used_by(run):
    """A function of the name of a store: whether a run would read it again."""
    settings = settings_to_resume(run)
    try:
        opened_bank(settings.data, settings.fold)
    except (InputError, OSError):
        own = store_files.plain_name(joined(sorted(settings.classes)))
        return lambda name: name.startswith((own + "-", "background-"))
    wanted = {(subset, None, 1) for subset in SUBSETS}
    for subset in SUBSETS[1:]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # never evaluated, or damaged
            wanted.add((subset, json.loads((run / f"figures_{subset}.json").read_text("utf-8"))["n_clips"], 1))
    if settings.redraw and has_checkpoint(run):
        n_done = len(read_checkpoint(run).history)
        wanted |= {("train", None, epoch) for epoch in (n_done, n_done + 1) if epoch}
    return {store_name(settings, *mixtures) for mixtures in wanted}.__contains__


@functools.lru_cache(maxsize=8)
def opened_bank(data, fold):
    """The sounds of one or several runs."""
    return open_bank(data, fold=fold)


def store_name(settings, subset, n_clips, epoch):
    """Name of the store of some of a run's mixtures; None if its sounds have none of them."""
    if subset != "train":
        settings = dataclasses.replace(settings, seed=0, epochs=1)  # neither tells mixtures of two runs apart
    return _store_name(settings, subset, n_clips, epoch)


@functools.lru_cache(maxsize=256)
def _store_name(settings, subset, n_clips, epoch):
    bank = opened_bank(settings.data, settings.fold)
    try:
        recipes = recipes_of(bank, settings, subset, n_clips, epoch)
        found = store_files.store_settings(bank, recipes, settings.feature_dtype, **features_of(settings))
    except InputError:
        return None
    return store_files.store_name(recipes, found["fingerprint"])
