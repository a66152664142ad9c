"""Verdicts on clips → files of a sound folder, with their rows in its lists. Nothing is overwritten.

    event    events/CLASS/NAME.wav          onset and offset in events.csv
             a label of its recording       if that lies in recordings/, where each event must have one: without it,
                                            training takes the event for background, and a hit counts as a false alarm
    not      negatives/not-CLASS/NAME.wav   the part that was taken for it, and a little more, in negatives.csv
    unsure   stays where it is

Clips of one recording are of one recording here as well (recordings.csv), and so in one subset: that of the recording
if it is a file of the sound folder, or a copy of one, else train (split.csv). An event in a file that must have none,
in backgrounds/, negatives/ or recordings/quiet/, is refused, since only its owner can move it. Whatever is there
already, with the same content, is left as it is, so that what was interrupted can be repeated, and what is done twice
changes nothing.
"""

import csv
import io
import shutil
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from data_tools.banks.folder import NOT, FolderBank
from data_tools.errors import InputError
from data_tools.files import atomic_write, content_of, equal_files, exclusive, remove_temporaries, require_file
from data_tools.folder_lists import list_name, name_of, rows_of
from data_tools.label_adding import with_events
from data_tools.labelled_recordings import is_quiet, read_labels
from data_tools.soundbank import open_bank
from minirsed.mine.clips import FOLDER, read_list

VERDICTS = ("event", "not", "unsure")
MARGIN_S = 0.25  # of sound on either side of a negative


class Filed(NamedTuple):
    """A clip that has its place in the sound folder."""

    path: object  # Path of its copy, or of the labels in which it is an event
    subset: str
    is_new: bool
    event: tuple | None = None  # (onset_s, offset_s, class) in those labels


class Source(NamedTuple):
    """Where a clip is from."""

    name: str | None  # of the file in the sound folder; None if it is from elsewhere
    recording: str
    subset: str
    labels: object  # data_tools.labelled_recordings.Labels of a file in recordings/, else None


class Wanted(NamedTuple):
    """A clip with a verdict."""

    clip: object  # minirsed.mine.clips.Clip
    verdict: str
    source: Source

    @property
    def span(self):
        """Onset and offset of the event in the recording, seconds."""
        onset_s, offset_s = (self.clip.at_s + time_s for time_s in (self.clip.onset_s, self.clip.offset_s))
        return (onset_s, min(offset_s, self.source.labels.duration_s)) if self.source.labels else (onset_s, offset_s)

    @property
    def is_label(self):
        """Whether it becomes an event in the labels of its recording, not a file of its own."""
        return self.verdict == "event" and self.source.labels is not None

    @property
    def name(self):
        """That of a clip in the sound folder."""
        return name_in(self.clip, self.verdict)


def read_verdicts(path, clips):
    """Verdicts in a file: {name of the clip: verdict}.

    Parameters
    ----------
    path : Path
    clips : dict
        Of `read_list`.

    Raises
    ------
    InputError
        No such file, an unknown clip or verdict, or two verdicts on one clip.
    """
    require_file(path)
    verdicts = {}
    for where, row in rows_of(path, ("clip", "verdict")):
        clip, verdict = row["clip"].strip(), row["verdict"].strip()
        if clip not in clips:
            raise InputError(f"{where}: there is no clip {clip!r} in the list; --out names the folder of the clips")
        if verdict not in VERDICTS:
            raise InputError(f"{where}: unknown verdict {verdict!r}, must be {', '.join(VERDICTS)}")
        if verdicts.setdefault(clip, verdict) != verdict:
            raise InputError(f"{where}: {clip} is {verdicts[clip]!r} already, and cannot have two verdicts")
    return verdicts


def file_clips(verdicts_path, folder, data):
    """File all clips that have a verdict.

    Parameters
    ----------
    verdicts_path : Path
    folder : Path
        That `minirsed.mine` has written.
    data : Path
        The sound folder.

    Returns
    -------
    filed : list of Filed
        In the order of the verdicts.
    n_unsure : int
        Clips that stay where they are.

    Raises
    ------
    InputError
        Verdicts, clips or sound folder cannot be used, or a clip was filed under another verdict before. Nothing has
        been written then.
    """
    clips = read_list(folder)
    verdicts = read_verdicts(verdicts_path, clips)
    bank = open_bank(data)
    if not isinstance(bank, FolderBank):
        raise InputError(f"--data {data}: is not a folder of your own sounds")
    judged = [(clips[name], verdict) for name, verdict in verdicts.items() if verdict != "unsure"]
    with exclusive(bank.root / ".lock", "filing clips in"):
        sources = _sources(bank, [clip for clip, _ in judged])
        wanted = [Wanted(clip, verdict, sources[clip.recording]) for clip, verdict in judged]
        faults = [fault for each in wanted for fault in _faults(folder / FOLDER / each.clip.clip, bank, each)]
        if faults:
            raise InputError.several(faults, "verdicts cannot be filed; nothing was")
        new_events = _new_events(wanted)
        texts = with_events(list(new_events.values()))
        copied = [each for each in wanted if not (each.is_label or _is_known(bank, each))]
        for place in {(bank.root / each.name).parent for each in copied}:
            place.mkdir(parents=True, exist_ok=True)
            remove_temporaries(place)
        is_new = {each.clip.clip: _copy(folder / FOLDER / each.clip.clip, bank.root / each.name) for each in copied}
        _write_rows(bank, copied)
        for path, text in texts.items():
            with atomic_write(path, "w") as file:
                file.write(text)
    return [_filed(bank, each, is_new, new_events) for each in wanted], len(verdicts) - len(wanted)


def name_in(clip, verdict):
    """The name of a clip in the sound folder."""
    return f"events/{clip.label}/{clip.clip}" if verdict == "event" else f"negatives/{NOT}{clip.label}/{clip.clip}"


def _sources(bank, clips):
    """`Source` of each recording that clips are from."""
    below = bank.root / "recordings"
    labels = {name_of(found.path, bank.root): found for found in (read_labels(below) if below.exists() else [])}
    sources = {}
    for clip in clips:
        if clip.recording in sources:
            continue
        name = bank.name_of(clip.recording, clip.content or _content(clip.recording))
        recording = bank.recording_of(name) if name else clip.recording
        subset = bank.subset_of(recording) or "train"
        sources[clip.recording] = Source(name, recording, subset, labels.get(name))
    return sources


def _content(path):
    """That of a recording of which the list of clips does not say it, as those of earlier versions, if it is there."""
    return content_of(path) if Path(path).is_file() else None


def _faults(clip_path, bank, wanted):
    """Why a clip cannot be filed, each a line."""
    clip, verdict, source = wanted.clip, wanted.verdict, wanted.source
    require_file(clip_path)
    target, other = bank.root / wanted.name, bank.root / name_in(clip, "not" if verdict == "event" else "event")
    if other.exists():
        yield f"{other}: was filed there before; to make it {verdict!r}, remove it and its rows"
    elif target.exists() and not equal_files([clip_path, target]):
        yield f"{target}: is another file than {clip_path}"
    known = _known(bank, wanted)
    if verdict == "not" and known:
        onset_s, offset_s, where = known[0]
        yield (
            f"{where}: has {clip.label} from {onset_s:.3f} to {offset_s:.3f} s, and {clip.clip} says that it is none; "
            "change one of them"
        )
    if verdict == "event" and _must_have_none(bank, wanted):
        (onset_s, offset_s), stem = wanted.span, PurePosixPath(source.name).stem
        yield (
            f"{bank.root / source.name}: has {clip.label} from {onset_s:.3f} to {offset_s:.3f} s, as {clip.clip} says, "
            f"but files there must have none; move it into {bank.root / 'recordings'}, with an empty {stem}.txt beside "
            "it, and do this again, which writes the label"
        )


def _must_have_none(bank, wanted):
    """Whether the clip is from a file that the folder says, by its place, to be without events of the class."""
    source = wanted.source
    if source.labels is not None:
        return is_quiet(bank.root / "recordings", source.labels.path)
    kind, *below = PurePosixPath(source.name or ".").parts or ("",)
    of_others = len(below) > 1 and below[0].startswith(NOT) and below[0] != f"{NOT}{wanted.clip.label}"
    return kind == "backgrounds" or kind == "negatives" and not of_others


def _known(bank, wanted):
    """Events that the sound folder has where the clip is from: [(onset_s, offset_s, where it is written)]."""
    source, label = wanted.source, wanted.clip.label
    if source.labels is not None:
        known = [(e.onset_s, e.offset_s, e.where) for e in source.labels.events if e.label in (None, label)]
    else:
        event = bank.event_of(source.name or "")
        name = bank.root / (source.name or "")
        known = [(event.onset_s, event.offset_s, name)] if event is not None and event.label == label else []
    onset_s, offset_s = wanted.span
    return [event for event in known if event[0] < offset_s and onset_s < event[1]]


def _is_known(bank, wanted):
    return wanted.verdict == "event" and bool(_known(bank, wanted))


def _new_events(wanted):
    """Events that labels do not have yet: {name of the file: (Labels, [(onset_s, offset_s, label)])}."""
    found = {}
    for each in wanted:
        labels, label, (onset_s, offset_s) = each.source.labels, each.clip.label, each.span
        if not each.is_label:
            continue
        of_file = found.setdefault(each.source.name, (labels, []))[1]
        known = [event for event in labels.events if event.label in (None, label)] + of_file
        if not any(onset_s < event[1] and event[0] < offset_s and event[2] in (None, label) for event in known):
            of_file.append((onset_s, offset_s, label))
    return {name: found for name, found in found.items() if found[1]}


def _copy(source, target):
    """Whether the copy was not there already."""
    is_new = not target.exists()
    if is_new:
        with open(source, "rb") as content, atomic_write(target) as file:
            shutil.copyfileobj(content, file)
    return is_new


def _filed(bank, wanted, is_new, new_events):
    """What became of a clip."""
    source = wanted.source
    if wanted.clip.clip in is_new:
        return Filed(bank.root / wanted.name, source.subset, is_new[wanted.clip.clip])
    if not wanted.is_label:
        return Filed(bank.root / source.name, source.subset, False)
    event = (*wanted.span, wanted.clip.label)
    return Filed(source.labels.files[0], source.subset, event in new_events.get(source.name, (None, []))[1], event)


def _write_rows(bank, wanted):
    """Complete the lists; recordings.csv last, for then subsets are fixed already."""
    parts, splits, recordings = {"events": {}, "negatives": {}}, {}, {}
    for clip, verdict, source in wanted:
        name = name_in(clip, verdict)
        kind, _, key = name.partition("/")
        margin_s = 0.0 if verdict == "event" else MARGIN_S
        onset_s = max(0.0, clip.onset_s - margin_s)
        parts[kind][key] = (f"{onset_s:.3f}", f"{_offset_s(bank.root / name, clip.offset_s + margin_s):.3f}")
        recordings[name] = (source.recording,)
        splits[name] = (source.subset,)  # also where its recording is in the folder: one more file may move that
    for kind, rows in parts.items():
        add_rows(bank.root / kind / f"{kind}.csv", ("file", "onset_s", "offset_s"), rows)
    add_rows(bank.root / "split.csv", ("file", "subset"), splits)
    add_rows(bank.root / "recordings.csv", ("file", "recording"), recordings)


def _offset_s(path, offset_s):
    from data_tools.audio import audio_header

    n_frames, sr = audio_header(path)
    return min(offset_s, n_frames / sr)


def add_rows(path, columns, rows):
    """Add rows to a list of a sound folder, or make it; files that it names already keep their rows.

    What is there stays as it is, byte for byte: separators, further columns, line ends.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        `file` first.
    rows : dict of str to tuple of str
        By file, the other columns.
    """
    there = {list_name(row["file"]) for _, row in rows_of(path, columns)}
    rows = [dict(zip(columns, (file, *values), strict=True)) for file, values in rows.items() if file not in there]
    if not rows:
        return
    text = ""
    if path.exists():
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
    text = text or ",".join(columns) + "\n"
    header = text.splitlines()[0].removeprefix("\ufeff")
    end = "\r\n" if "\r\n" in text else "\n"
    separator = next((mark for mark in "\t;" if mark in header), ",")
    names = next(csv.reader([header], delimiter=separator))
    added = io.StringIO()
    csv.DictWriter(added, names, delimiter=separator, lineterminator=end).writerows(rows)
    with atomic_write(path, "w") as file:
        file.write(text + ("" if text.endswith(("\n", "\r")) else end) + added.getvalue())
