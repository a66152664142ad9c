"""Events as text, for people and for other programs: one writer for each format.

Data flow: recordings, streaming → **formats** → `minirsed.detect` prints and writes them.

    table       for people
    csv         event list of DCASE tools (dcase_util, sed_eval, `minirsed.score`): a header, tabs between columns
    audacity    label track: File > Import > Labels
    raven       selection table of Raven Lite and Pro
    rttm        NIST's Rich Transcription Time Marked; what is no word has <NA> (blanks in names become %20)
    jams        JSON Annotated Music Specification, written by its own library (extra `jams`)
    json        an object for each recording, with thresholds and p of its clip

Times are seconds from the start of the recording, to a millisecond (json, jams: as they are). Each format also has
the confidence: p, 0 … 1, and the class. The table has a column for it if the detector knows several.
"""

import json
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote

from data_tools.errors import InputError, require_extra
from data_tools.event_lists import is_field, is_label
from minirsed.console.options import probability_text
from minirsed.features import SAMPLE_RATE
from minirsed.recordings.several import by_class, labelled_events
from minirsed.several.detector import views_of


class Format(NamedTuple):
    """A way to write events down.

    `header` comes once. `event(name, label, number, event)` is the line of an event, `number` counting from 1 within
    its recording; `no_event(name, recording)` what a recording without any leaves. `document(detector, name,
    recording)` instead writes a recording as a whole. `shared`: several recordings may follow each other in one text.
    """

    suffix: str
    header: str = ""
    event: Callable | None = None
    no_event: Callable = lambda name, recording: ""
    document: Callable | None = None
    shared: bool = True


def text_of(form, detector, recordings):
    """Recordings, [(name, Recording or SeveralRecording)], as the text of a file."""
    return form.header + "".join(body_of(form, detector, *named) for named in recordings)


def body_of(form, detector, name, recording):
    """The part of one recording, without the header."""
    if form.document:
        return form.document(detector, name, recording)
    events = enumerate(labelled_events(detector, recording), 1)
    return "".join(form.event(name, label, i, event) for i, (label, event) in events) or form.no_event(name, recording)


def format_for(detector, name):
    """The `Format` of that name for a detector's events."""
    return TABLE_OF_SEVERAL if name == "table" and len(views_of(detector)) > 1 else FORMATS[name]


def _table_event(name, label, number, event):
    return _table_row(f"{event.onset_s:.3f}", f"{event.offset_s:.3f}", clock(event.onset_s), event.probability, name)


def _table_no_event(name, recording):
    return _table_row("-", "-", "no event", recording.probability, name)


def _table_row(onset, offset, at, probability, name):
    probability = "-" if probability is None else f"{probability:.2f}"
    return f"{onset:>11} {offset:>11}  {at:>9}  {probability:>6}  {name}\n"


def _several_event(name, label, number, event):
    times = f"{event.onset_s:.3f}", f"{event.offset_s:.3f}", clock(event.onset_s)
    return _several_row(*times, f"{event.probability:.2f}", label, name)


def _several_no_event(name, recording):
    return _several_row("-", "-", "no event", "-", "-", name)


def _several_row(onset, offset, at, probability, label, name):
    return f"{onset:>11} {offset:>11}  {at:>9}  {probability:>6}  {label:<12} {name}\n"


def clock(seconds):
    """h:mm:ss."""
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{whole:02}"


def _csv_event(name, label, number, event):
    _require_fields(name, label)
    return f"{name}\t{event.onset_s:.3f}\t{event.offset_s:.3f}\t{label}\t{probability_text(event.probability, 4)}\n"


def _csv_no_event(name, recording):
    _require_fields(name)
    return f"{name}\n"


def _require_fields(*texts):
    """InputError: one of the texts, of which the last but not the first is a label, would not be read back the same."""
    for text, can_be in zip(texts, (is_field, is_label), strict=False):
        if not can_be(text):
            raise InputError(f"{text!r} cannot be a field of an event list; --format json takes any name")


def _audacity_event(name, label, number, event):
    _require_fields(label)
    return f"{event.onset_s:.6f}\t{event.offset_s:.6f}\t{label} {event.probability:.2f}\n"


RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Annotation", "Confidence"),
)


def _raven_event(name, label, number, event):
    _require_fields(label)
    times = f"{event.onset_s:.6f}\t{event.offset_s:.6f}"
    confidence = probability_text(event.probability, 4)
    return f"{number}\tSpectrogram 1\t1\t{times}\t0.0\t{SAMPLE_RATE / 2:.1f}\t{label}\t{confidence}\n"


def _rttm_event(name, label, number, event):
    name, label = (re.sub(r"[\s%]", lambda blank: quote(blank[0]), text) for text in (name, label))
    onset_s, offset_s = round(event.onset_s, 3), round(event.offset_s, 3)  # or the offset would be rounded twice
    times = f"{onset_s:.3f} {offset_s - onset_s:.3f}"
    return f"SPEAKER {name} 1 {times} <NA> <NA> {label} {probability_text(event.probability, 4)} <NA>\n"


def _json_document(detector, name, recording):
    about = {"file": name, "label": detector.label, "duration_s": recording.duration_s}
    recordings = by_class(detector, recording)
    own = {
        view.label: {"probability": recordings[view.label].probability, "thres0": view.thres0, "thres1": view.thres1}
        for view in views_of(detector)
    }
    if len(own) == 1:
        about |= {**own[detector.label], "events": [event._asdict() for event in recording.events]}
    else:
        events = [{"label": label, **event._asdict()} for label, event in labelled_events(detector, recording)]
        about |= {"classes": own, "events": events}
    return json.dumps(about, ensure_ascii=False) + "\n"


def _json_event(name, label, number, event):
    return json.dumps({"file": name, "label": label, **event._asdict()}, ensure_ascii=False) + "\n"


def _jams_document(detector, name, recording):
    jams = import_jams()
    annotation = jams.Annotation(namespace="segment_open", time=0, duration=recording.duration_s)
    annotation.annotation_metadata = jams.AnnotationMetadata(
        data_source="program", annotation_tools="minirsed.detect", curator=jams.Curator()
    )
    for label, (onset_s, offset_s, probability) in labelled_events(detector, recording):
        annotation.append(time=onset_s, duration=offset_s - onset_s, value=label, confidence=probability)
    whole = jams.JAMS(annotations=[annotation])
    whole.file_metadata.title, whole.file_metadata.duration = name, recording.duration_s
    return whole.dumps(indent=1) + "\n"


def import_jams():
    """The library. InputError: it is not installed."""
    return require_extra("jams", "--format jams", "jams")


FORMATS = {
    "table": Format(
        ".table.txt",
        _table_row("onset (s)", "offset (s)", "h:mm:ss", None, "recording").replace(" -  ", " p  "),
        _table_event,
        _table_no_event,
    ),
    "csv": Format(
        ".csv", "filename\tonset\toffset\tevent_label\tprobability\n", _csv_event, _csv_no_event
    ),
    "audacity": Format(".txt", "", _audacity_event, shared=False),
    "raven": Format(".selections.txt", "\t".join(RAVEN_COLUMNS) + "\n", _raven_event, shared=False),
    "jams": Format(".jams", document=_jams_document, shared=False),
    "rttm": Format(".rttm", "", _rttm_event),
    "json": Format(".json", event=_json_event, document=_json_document),
}  # fmt: skip
TABLE_OF_SEVERAL = Format(
    ".table.txt",
    _several_row("onset (s)", "offset (s)", "h:mm:ss", "p", "class", "recording"),
    _several_event,
    _several_no_event,
)
