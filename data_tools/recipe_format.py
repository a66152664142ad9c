"""What a recipe is, and how recipes and event lists are written, in the formats of the DCASE 2017 synthesizer.

`data_tools.recipes` draws recipes and re-exports these names.

A recipe file is a YAML list. An event list is tab separated text with a line `file, onset, offset, class` for each
mixture, or only `file` if it has no event. These fields are not in the official format: `bg_start_seconds`,
`mixture_length_seconds`, `rendered_path`, and those that begin with `negative_`, of a sound that is not to be found.
They are written only if they differ from what the official program does.
"""

import math
import reprlib
from dataclasses import dataclass

from data_tools import official
from data_tools.errors import InputError
from data_tools.files import atomic_write

NEGATIVE_FIELDS = {  # names in YAML, and in a Recipe
    "negative_path": "negative",
    "negative_segment_start_seconds": "negative_segment_onset_s",
    "negative_segment_end_seconds": "negative_segment_offset_s",
    "negative_start_in_mixture_seconds": "negative_onset_s",
    "negative_ebr": "negative_ebr_db",
}


@dataclass(frozen=True)
class Recipe:
    """One mixture: all that `data_tools.mixing.render` needs, without audio. Times are in seconds.

    Without an event, the fields from `label` to `scaling_factor` keep their defaults.
    """

    name: str  # file name of the mixture
    background: str  # key in the bank
    scene: str
    background_start_s: float = 0.0
    label: str | None = None  # class of the event; None: no event
    event: str | None = None  # key in the bank
    segment_onset_s: float | None = None  # part of the event recording that is used
    segment_offset_s: float | None = None
    onset_s: float | None = None  # in the mixture
    ebr_db: float = -math.inf
    scaling_factor: float | None = None  # of the event's amplitude; None: from `ebr_db` when rendered
    duration_s: float | None = None  # of the mixture; None: as long as the background recording
    rendered: str | None = None  # path of the mixture itself if it came rendered
    negative: str | None = None  # key of a sound that is not to be found; None: there is none
    negative_segment_onset_s: float | None = None  # the part of its recording that is used
    negative_segment_offset_s: float | None = None
    negative_onset_s: float | None = None  # in the mixture
    negative_ebr_db: float | None = None

    @property
    def has_event(self):
        """Whether the mixture has an event."""
        return self.label is not None

    @property
    def length_s(self):
        """Length of the event, seconds; None without one."""
        return self.segment_offset_s - self.segment_onset_s if self.has_event else None

    @property
    def offset_s(self):
        """End of the event in the mixture, seconds; None without one."""
        return self.onset_s + self.length_s if self.has_event else None


def read_recipes(path):
    """Read a recipe file, ours or of the official program, as a list of Recipe.

    Unknown fields are ignored, and so is `annotation_string`, which follows from the others.

    Raises
    ------
    InputError
        No such file, malformed YAML, or a field missing or of the wrong kind. The message names file and recipe.
    """
    entries = official.load_yaml(path)
    if not isinstance(entries, list):
        raise InputError(f"{path}: not a recipe file (a YAML list of mappings)")
    return [_from_yaml_fields(entry, f"{path}, recipe {i}") for i, entry in enumerate(entries)]


def write_recipes(path, recipes):
    """Write recipes in the official format, atomically (see `recipes_text`)."""
    with atomic_write(path, "w") as file:
        file.write(recipes_text(recipes))


def recipes_text(recipes):
    """YAML text of a recipe file. For official recipes it is what the official program writes, byte for byte."""
    mappings = []
    for recipe in recipes:
        line = official.annotation(recipe.name, recipe.onset_s, recipe.length_s, recipe.label)
        named = {"mixture_audio_filename": recipe.name, "annotation_string": line}
        mappings.append({**to_yaml_fields(recipe), **named})
    return official.block_text(mappings)


def write_annotations(path, recipes):
    """Write the events of mixtures as an official event list, atomically."""
    with atomic_write(path, "w") as file:
        for recipe in recipes:
            file.write(official.annotation(recipe.name, recipe.onset_s, recipe.length_s, recipe.label) + "\n")


def to_yaml_fields(recipe):
    """A recipe as official fields, without name and annotation, which are made from them."""
    fields = {
        "bg_path": recipe.background,
        "bg_classname": recipe.scene,
        "event_present": recipe.has_event,
        "ebr": recipe.ebr_db,
    }
    if recipe.background_start_s:
        fields["bg_start_seconds"] = recipe.background_start_s
    if recipe.duration_s is not None:
        fields["mixture_length_seconds"] = recipe.duration_s
    if recipe.rendered is not None:
        fields["rendered_path"] = recipe.rendered
    fields |= {yaml: getattr(recipe, name) for yaml, name in NEGATIVE_FIELDS.items() if recipe.negative is not None}
    if recipe.has_event:
        fields |= {
            "event_class": recipe.label,
            "event_length_seconds": recipe.length_s,
            "event_start_in_mixture_seconds": recipe.onset_s,
            "segment_start_seconds": recipe.segment_onset_s,
            "segment_end_seconds": recipe.segment_offset_s,
        }
        if recipe.event is not None:
            fields["event_path"] = recipe.event
        if recipe.scaling_factor is not None:
            fields["scaling_factor"] = recipe.scaling_factor
    return fields


def _from_yaml_fields(entry, where):
    """The Recipe in one mapping of a recipe file."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: not a mapping")
    read = _FieldReader(entry, where)
    fields = {
        "name": read.text("mixture_audio_filename"),
        "background": read.text("bg_path"),
        "scene": read.text("bg_classname"),
        "background_start_s": read.number("bg_start_seconds", 0.0),
        "duration_s": read.number("mixture_length_seconds", None),
        "rendered": read.text("rendered_path", None),
    }
    if "negative_path" in entry:
        fields["negative"] = read.text("negative_path")
        fields |= {name: read.number(yaml) for yaml, name in NEGATIVE_FIELDS.items() if name != "negative"}
    if not isinstance(entry.get("event_present"), bool):
        raise InputError(f"{where}: event_present must be true or false")
    if entry["event_present"]:
        ready = fields["rendered"] is not None
        fields |= {
            "label": read.text("event_class"),
            "event": read.text("event_path", *([None] if ready else [])),
            "segment_onset_s": read.number("segment_start_seconds"),
            "segment_offset_s": read.number("segment_end_seconds"),
            "onset_s": read.number("event_start_in_mixture_seconds"),
            "ebr_db": read.number("ebr", is_infinite_allowed=True),
            "scaling_factor": read.number("scaling_factor", None),
        }
    return Recipe(**fields)


class _FieldReader:
    """Checked fields of a mapping. The second argument, if given, is the default of a missing field."""

    def __init__(self, entry, where):
        self.entry, self.where = entry, where

    def text(self, field, *default):
        return self._get(field, default, lambda v: isinstance(v, str), "a text")

    def number(self, field, *default, is_infinite_allowed=False):
        def is_number(value):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                return False
            try:
                return math.isfinite(value) or (is_infinite_allowed and not math.isnan(value))
            except OverflowError:  # YAML's whole numbers have no limit
                return False

        return self._get(field, default, is_number, "a number")

    def _get(self, field, default, is_valid, kind):
        if field not in self.entry:
            if default:
                return default[0]
            raise InputError(f"{self.where}: no field {field}")
        if not is_valid(self.entry[field]):
            shown = reprlib.repr(self.entry[field])  # shortened: a line of YAML can describe more than the memory holds
            raise InputError(f"{self.where}: {field} is {shown}, not {kind}")
        return self.entry[field]
