"""A sound bank over TUT Rare Sound Events 2017, as unpacked from its archives (paper, Sec. 4).

    TUT-rare-sound-events-2017-development/data/source_data/
        bgs/audio/*.wav, bgs/bg_screening.csv, events/CLASS/*.wav, cv_setup/{bgs,events}_dev{train,test}.yaml
    TUT-rare-sound-events-2017-evaluation/data/mixture_data/evaltest/<hash>/{audio,meta}/

Train is devtrain and dev is devtest. Eval is evaltest, whose mixtures came rendered: their recipes name the files.
Lists keep the order of the YAML files, from which the official random stream draws.

Some backgrounds contain an event of a class themselves; `bg_screening.csv` names them. With `screening` (as in the
released data since June 2017) they are not used as backgrounds for that class. Without the file, nothing is screened.

A recording, for `Bank.event_recording` and `background_recording`: the file of an event, from which the lists may take
several parts; of a background all files with one name before their seconds, since TUT Acoustic Scenes 2016, where they
are from, has cut recordings of minutes into `NAME_START_END.wav`.
"""

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

from data_tools import official
from data_tools.audio import read_audio
from data_tools.banks.base import Background, Bank, EventClip, files_digest
from data_tools.banks.folder import path_of
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.recipe_format import Recipe, read_recipes

CLASSES = ("babycry", "glassbreak", "gunshot")
DEVELOPMENT = "TUT-rare-sound-events-2017-development"
EVALUATION = "TUT-rare-sound-events-2017-evaluation"


class Tut2017Bank(Bank):
    """Bank over the folder of both data sets or of one, or over their `data` or `source_data` folder."""

    has_whole_backgrounds = True

    def __init__(self, path, *, screening=True, resampler="soxr"):
        super().__init__(str(path), CLASSES)
        self.resampler = resampler
        self.screening = screening
        self.source_root = _source_root(path)
        self.evaluation_root = _evaluation_root(path)
        if self.source_root is None and self.evaluation_root is None:
            raise InputError(f"{path}: no TUT Rare Sound Events 2017 data in it (data/source_data or mixture_data)")
        self._screened = self._read_screening() if screening and self.source_root else {}
        self._lists = {}

    def is_screened(self, key, label):
        """See `Bank.is_screened`."""
        return key.removeprefix("audio/") in self._screened.get(label, ())

    def background_recording(self, key):
        """See `Bank.background_recording`: audio/b020_90_120.wav and audio/b020_120_150.wav are audio/b020."""
        return re.sub(r"_\d+_\d+\.wav$", "", key)

    def ready_mixtures(self, label, subset):
        """See `Bank.ready_mixtures`: the evaluation mixtures of the class, in the order of their list."""
        if subset != "eval" or self.evaluation_root is None:
            return []
        return self._listed(("ready", label), lambda: _ready_recipes(self.evaluation_root, label))

    def _events(self, label, subset):
        return self._listed(("events", subset), lambda: self._read_events(subset)).get(label, [])

    def _backgrounds(self, subset):
        return self._listed(("backgrounds", subset), lambda: self._read_backgrounds(subset))

    def _event_audio(self, key):
        return read_audio(path_of(key, self._sources() / "events"), resampler=self.resampler)

    def _background_audio(self, key, start_s, duration_s):
        path = path_of(key, self._sources() / "bgs")
        return read_audio(path, resampler=self.resampler, start_s=start_s, duration_s=duration_s)

    def fingerprint(self):
        """See `Bank.fingerprint`: names, sizes and modification times of all sounds and lists, and settings."""
        files = []
        for root in (self.source_root, self.evaluation_root):
            if root is not None:
                found = (path for path in root.rglob("*") if path.suffix in (".wav", ".yaml", ".csv"))
                files += [(path.relative_to(root).as_posix(), path) for path in found]
        return files_digest(files, "tut2017", self.resampler, f"screening={self.screening}")

    def _listed(self, what, read):
        """Read a list when it is first asked for: a bank that only renders needs none."""
        if what not in self._lists:
            self._lists[what] = read()
        return self._lists[what]

    def _sources(self):
        if self.source_root is None:
            raise InputError(f"{self.name}: it has mixtures only, no source sounds (data/source_data)")
        return self.source_root

    def _list_path(self, kind, subset):
        path = self._sources() / "cv_setup" / f"{kind}_{official.SUBSET_NAMES[subset]}.yaml"
        if not path.is_file():
            raise InputError(f"{path}: no such list, so there are no {kind} for subset {subset!r}")
        return path

    def _read_backgrounds(self, subset):
        path = self._list_path("bgs", subset)
        try:
            return [Background(str(e["filepath"]), str(e["classname"])) for e in official.load_yaml(path)]
        except (TypeError, KeyError) as error:
            raise InputError(f"{path}: not a list of mappings with filepath and classname") from error

    def _read_events(self, subset):
        path = self._list_path("events", subset)
        try:
            return {
                label: [EventClip(f"{label}/{e['audio_filename']}", label, *_segment(e, path)) for e in entries]
                for label, entries in official.load_yaml(path).items()
            }
        except InputError:
            raise
        except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
            raise InputError(f"{path}: not lists of mappings with audio_filename and segment by class") from error

    def _read_screening(self):
        """{label: set of background file names}. Columns 1 to 3 are the classes, whatever the header says."""
        path = self.source_root / "bgs" / "bg_screening.csv"
        if not path.is_file():
            return {}
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))[1:]
        return {
            label: {row[0] for row in rows if len(row) > column and row[column]}
            for column, label in enumerate(CLASSES, start=1)
        }


def is_tut2017(path):
    """Whether a folder has the layout of TUT Rare Sound Events 2017."""
    return _source_root(path) is not None or _evaluation_root(path) is not None


def _source_root(path):
    """The `source_data` folder, which contains `bgs/audio` and `events`, or None."""
    path = Path(path)
    places = [path / DEVELOPMENT / "data/source_data", path / "data/source_data", path / "source_data", path]
    return next((place for place in places if (place / "bgs/audio").is_dir() and (place / "events").is_dir()), None)


def _evaluation_root(path):
    """The folder of evaluation mixtures, which contains `meta` and `audio`, or None."""
    path = Path(path)
    for place in (path / EVALUATION / "data", path / "data", path):
        found = sorted(f.parent for f in (place / "mixture_data/evaltest").glob("*/meta") if f.is_dir())
        if found:
            return next((folder for folder in found if folder.name == official.RELEASED_EVALUATION), found[0])
    return None


def _segment(entry, path):
    onset_s, offset_s = entry["segment"]
    numbers = all(isinstance(t, (int, float)) and math.isfinite(t) for t in (onset_s, offset_s))
    if not numbers or not 0 <= onset_s < offset_s:
        raise InputError(f"{path}: {entry['audio_filename']}: segment {entry['segment']} is not onset < offset")
    return onset_s, offset_s


def _ready_recipes(root, label):
    """Recipes of the evaluation mixtures of a class, from the recipe file if there is one, else from the event list."""
    audio = root / "audio"
    recipe_file = root / "meta" / f"mixture_recipes_evaltest_{label}.yaml"
    if recipe_file.is_file():
        return [replace(recipe, rendered=str(audio / recipe.name)) for recipe in read_recipes(recipe_file)]
    recipes = []
    event_list = root / "meta" / f"event_list_evaltest_{label}.csv"
    for name, events in read_event_list(event_list).items():
        if len(events) > 1:
            raise InputError(f"{event_list}: {name} has {len(events)} events; a mixture has at most one")
        event = {}
        for onset_s, offset_s, *found in events:
            found = found[0] if found else label
            event = {"label": found, "onset_s": onset_s, "segment_onset_s": 0.0, "segment_offset_s": offset_s - onset_s}
        recipes.append(Recipe(name, background="", scene="", rendered=str(audio / name), **event))
    return recipes
