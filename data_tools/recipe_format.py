"""What a recipe is, and how recipes and event lists are written, in the formats of the DCASE 2017 synthesizer.

`data_tools.recipes` draws recipes and re-exports these names.

A recipe file is a YAML list. An event list is tab separated text with a line `file, onset, offset, class` for each
mixture, or only `file` if it has no event. These fields are not in the official format: `bg_start_seconds`,
`mixture_length_seconds`, `rendered_path`, `further_events`, a list of events beside the first, and those that begin
with `negative_`, of a sound that is not to be found. They are written only if they differ from what the official
program does.
"""

import dataclasses
import math
import reprlib
from dataclasses import dataclass
from typing import NamedTuple

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


class PlacedEvent(NamedTuple):
    """An event in a mixture; times are in seconds. The fields are those of `Recipe`."""

    label: str
    event: str | None  # None: it came rendered, without saying what it is made of
    segment_onset_s: float
    segment_offset_s: float
    onset_s: float
    ebr_db: float
    scaling_factor: float | None = None

    @property
    def length_s(self):
        """Seconds."""
        return self.segment_offset_s - self.segment_onset_s

    @property
    def offset_s(self):
        """Its end in the mixture, seconds."""
        return self.onset_s + self.length_s


NO_EVENT = PlacedEvent(None, None, None, None, None, -math.inf)  # what the fields of a Recipe without an event are


@dataclass(frozen=True)
class Recipe:
    """One mixture: all that `data_tools.mixing.render` needs, without audio. Times are in seconds.

    Without an event, the fields from `label` to `scaling_factor` keep their defaults. Of several events the first is in
    these fields and the others are in `further`; `events` has all of them.

    Raises
    ------
    ValueError, TypeError
        There are further events without a first, or one of them is none.
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
    further: tuple[PlacedEvent, ...] = ()  # events beside the first, which may overlap with it and with each other

    def __post_init__(self):
        """Make events of what JSON has made of them."""
        object.__setattr__(self, "further", tuple(PlacedEvent(*event) for event in self.further))
        if self.further and not self.has_event:
            raise ValueError(f"{self.name}: further events without a first")

    @property
    def has_event(self):
        """Whether the mixture has an event."""
        return self.label is not None

    @property
    def length_s(self):
        """Length of the first event, seconds; None without one."""
        return self.segment_offset_s - self.segment_onset_s if self.has_event else None

    @property
    def offset_s(self):
        """End of the first event in the mixture, seconds; None without one."""
        return self.onset_s + self.length_s if self.has_event else None

    @property
    def events(self):
        """All events, the first and those of `further`: tuple of PlacedEvent."""
        first = PlacedEvent(*(getattr(self, name) for name in PlacedEvent._fields))
        return (first, *self.further) if self.has_event else ()

    def with_events(self, events):
        """The same recipe, name included, with these events instead of its own."""
        first, *further = events or [NO_EVENT]
        return dataclasses.replace(self, **first._asdict(), further=tuple(further))

    def of_class(self, label):
        """What is known of the mixture where one class is looked for: `with_events` of that class."""
        return self.with_events([event for event in self.events if event.label == label])


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
        named = {"mixture_audio_filename": recipe.name, "annotation_string": "\n".join(_annotations(recipe))}
        mappings.append({**to_yaml_fields(recipe), **named})
    return official.block_text(mappings)


def write_annotations(path, recipes):
    """Write the events of mixtures as an official event list, a line for each event, atomically."""
    with atomic_write(path, "w") as file:
        file.writelines(line + "\n" for recipe in recipes for line in _annotations(recipe))


def _annotations(recipe):
    """Its lines in an event list: one for each event, or one without an event."""
    return [official.annotation(recipe.name, e.onset_s, e.length_s, e.label) for e in recipe.events] or [recipe.name]


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
        fields |= _event_to_yaml_fields(recipe.events[0])
    if recipe.further:
        fields["further_events"] = [{"ebr": event.ebr_db} | _event_to_yaml_fields(event) for event in recipe.further]
    return fields


def _event_to_yaml_fields(event):
    fields = {
        "event_class": event.label,
        "event_length_seconds": event.length_s,
        "event_start_in_mixture_seconds": event.onset_s,
        "segment_start_seconds": event.segment_onset_s,
        "segment_end_seconds": event.segment_offset_s,
    }
    if event.event is not None:
        fields["event_path"] = event.event
    if event.scaling_factor is not None:
        fields["scaling_factor"] = event.scaling_factor
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
    ready = fields["rendered"] is not None
    if entry["event_present"]:
        fields |= _event_from_yaml_fields(read, ready)._asdict()
    further = entry.get("further_events", [])
    if not isinstance(further, list) or not all(isinstance(event, dict) for event in further):
        raise InputError(f"{where}: further_events is not a list of mappings")
    if further and not entry["event_present"]:
        raise InputError(f"{where}: has further_events, but event_present is false")
    readers = [_FieldReader(event, f"{where}, further event {i}") for i, event in enumerate(further)]
    return Recipe(**fields, further=tuple(_event_from_yaml_fields(each, ready) for each in readers))


def _event_from_yaml_fields(read, ready):
    """The PlacedEvent in the fields of a `_FieldReader`; one that came rendered may leave out its sound."""
    return PlacedEvent(
        label=read.text("event_class"),
        event=read.text("event_path", *([None] if ready else [])),
        segment_onset_s=read.number("segment_start_seconds"),
        segment_offset_s=read.number("segment_end_seconds"),
        onset_s=read.number("event_start_in_mixture_seconds"),
        ebr_db=read.number("ebr", is_infinite_allowed=True),
        scaling_factor=read.number("scaling_factor", None),
    )


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
