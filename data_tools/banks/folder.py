"""A sound bank from a folder of the user's own recordings.

    my_sounds/
      events/CLASS/*.wav …      one isolated event per file; CLASS can be any folder name
      events/events.csv         optional: file (relative to events/), onset_s, offset_s — the active part; for files
                                that it does not name, everything but digital silence at their edges
      backgrounds/**/*.wav …    the name of the subfolder is that of the scene
      negatives/**/*.wav …      optional: sounds that are none of the classes, though they may sound like them
      negatives/not-CLASS/*     … of which only this is known: they are not of that class
      negatives/negatives.csv   optional, as events/events.csv
      recordings/**/*.wav …     recordings of any length, with the times of their events in a file beside each
                                (`data_tools.labelled_recordings`)
      recordings.csv            optional: file (relative to the folder), recording — its name, any text
      split.csv                 optional: file (relative to the folder), subset (train, dev or eval)

A file is a recording of its own unless `recordings.csv` gives several files one name: those that were recorded on one
occasion, of one baby, with one gun. No recording is in two subsets. A file that `split.csv` names takes all of its
recording with it; the subset of the other recordings follows from `split_by_hash`. Long backgrounds give consecutive
pieces of 30 s, all in one subset. Files shorter than 30 s are looped, and so is a last piece of 10 s or more.
Negatives are mixed in like events, but labelled as none; long ones give consecutive pieces of 10 s.

In training, what lies in `recordings/` is cut: each labelled event becomes one of its class, and what is 1 s or more
away from all events, of any class, becomes backgrounds (`data_tools.banks.cuts`), in pieces of at most 30 s. In dev
and eval recordings stay whole (`Bank.recordings`); they are cut there as well for mixtures of a subset that otherwise
would have no events of a class, or no backgrounds. With `recordings/`, `events/` or `backgrounds/` may be missing.
Events that are labelled without a class are of the only class that there is. Sounds are read piece by piece.

Hidden files and files without the suffix of a sound file are ignored. Links to files and folders are followed.
"""

import contextlib
import hashlib
import math
import os
import unicodedata
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from data_tools.audio import AUDIO_SUFFIXES, RECORDING_SUFFIXES, audio_header, native_audio, read_audio
from data_tools.banks.base import SUBSETS, Bank, EventClip, files_digest
from data_tools.banks.cuts import (
    LONG,
    SHORTEST_BACKGROUND_S,
    cut_backgrounds,
    cut_events,
    part_of,
    pieces_of,
    whole_name,
)
from data_tools.errors import InputError
from data_tools.event_lists import is_label
from data_tools.files import address_in, equal_files, is_content
from data_tools.folder_lists import (
    list_name,
    name_of,
    paths_below,
    read_recordings,
    rows_of,
    seconds_of,
    sound_files,
)
from data_tools.labelled_recordings import LabelledRecording, check_classes, read_labels, with_classes

LONGEST_NEGATIVE_S = 10.0  # a longer one gives several pieces
SHORTEST_NEGATIVE_S = 1.0  # … of which the last counts if it is at least this long
NOT = "not-"  # with the name of a class: the folder of negatives that are known not to be of that class
SILENCE_DB = 60.0  # below the loudest part of an event
SHORTEST_SILENCE_S = 0.1  # at the edge of an event; MP3 adds up to 0.05 s
FRAME_S = 0.01  # over which the level is taken
ROUNDING_S = 0.001  # how far an offset may lie beyond the end of its file, since lists are often rounded


class ActivePart(NamedTuple):
    """A row of `events.csv` or `negatives.csv`, and where it is written: "path, line n"."""

    onset_s: float
    offset_s: float
    where: str


class FolderBank(Bank):
    """Bank over a folder laid out as above.

    It reads lists, headers of backgrounds and events at once, background sounds when they are asked for.
    """

    def __init__(self, path, *, resampler="soxr"):
        self.root = Path(path)
        self.resampler = resampler
        event_root, background_root = _check_layout(self.root)
        class_folders = _class_folders(event_root) if event_root.exists() else []
        by_class = {folder.name: sound_files(sorted(folder.iterdir())) for folder in class_folders}
        for label, files in by_class.items():
            if not files:
                raise InputError(f"{event_root / label}: no sound files ({', '.join(AUDIO_SUFFIXES)}) in it")
        backgrounds = sound_files(paths_below(background_root)) if background_root.exists() else []
        if background_root.exists() and not backgrounds:
            raise InputError(f"{background_root}: no sound files ({', '.join(AUDIO_SUFFIXES)}) in it")
        labels = _read_labels(self.root / "recordings", by_class)
        in_labels = {label for _, _, events in labels for _, _, label in events}
        super().__init__(str(path), sorted(by_class.keys() | in_labels))

        negative_root = self.root / "negatives"
        negatives = sound_files(paths_below(negative_root)) if negative_root.exists() else []
        long = [file for file, _, _ in labels]
        files = [file for group in by_class.values() for file in group] + backgrounds + long + negatives
        listed = _read_split(self.root, files)
        self._recordings = read_recordings(self.root, files)
        active_parts = _read_active_parts(event_root, [file for group in by_class.values() for file in group])
        negative_parts = _read_active_parts(negative_root, negatives)
        subsets = self._assign([*by_class.values(), backgrounds, long, negatives], listed)
        self._negative_clips = {subset: [] for subset in SUBSETS}
        self._clips = {(label, subset): [] for label in self.classes for subset in SUBSETS}
        self._pieces, faults = {subset: [] for subset in SUBSETS}, []
        for label, group in by_class.items():
            for file in group:
                with _noted(faults):
                    clip = _event_clip(event_root, file, label, active_parts)
                    self._clips[label, subsets[file]].append(clip)
        for file in backgrounds:
            with _noted(faults):
                self._pieces[subsets[file]] += _background_pieces(background_root, file)
        for file in negatives:
            with _noted(faults):
                self._negative_clips[subsets[file]] += _negative_clips(negative_root, file, negative_parts)
        if faults:
            raise InputError.several(faults, "sounds cannot be used")
        self._subset_of = {self._recording(name_of(file, self.root)): subset for file, subset in subsets.items()}
        self._long, self._cuts = {subset: [] for subset in SUBSETS}, {}
        for file, duration_s, events in labels:
            key, name = name_of(file, self.root / "recordings"), name_of(file, self.root)
            whole = LabelledRecording(file, duration_s, self._recording(name), events)
            self._long[subsets[file]].append((key, whole))
        self._files = [(name_of(file, self.root), file) for file in files]
        self._split = sorted((name, subset) for name, (subset, _) in listed.items())

    def _assign(self, groups, listed):
        """Subset of each file, as listed or by `split_by_hash` of its recording; a group is a class, or backgrounds."""
        fixed, of_file = {}, {}
        for name, (subset, where) in listed.items():
            recording = self._recording(name)
            if fixed.setdefault(recording, subset) != subset:
                raise InputError(
                    f"{where}: {name} is in {subset!r}, another file of its recording {recording!r} "
                    f"in {fixed[recording]!r}; a recording cannot be in two subsets (recordings.csv)"
                )
        for group in groups:
            recordings = {file: self._recording(name_of(file, self.root)) for file in group}
            subsets = split_by_hash(dict.fromkeys(recordings.values()), fixed)
            fixed |= subsets  # a recording may give events of several classes, and backgrounds
            of_file |= {file: subsets[recording] for file, recording in recordings.items()}
        return of_file

    def _recording(self, name):
        """Recording of the file of this name, relative to the folder."""
        return self._recordings.get(name, name)

    def event_recording(self, key):
        """See `Bank.event_recording`."""
        return self._recording(whole_name(key) or f"events/{key}")

    def background_recording(self, key):
        """See `Bank.background_recording`."""
        return self._recording(whole_name(key) or f"backgrounds/{key}")

    def negative_recording(self, key):
        """See `Bank.negative_recording`."""
        return self._recording(f"negatives/{key}")

    def name_of(self, path, content=None):
        """Name, relative to the folder, of the sound file at `path`, or of one with the same content; None: of none.

        Parameters
        ----------
        path : str or Path
        content : str, optional
            `data_tools.files.content_of` it. Of several files with it, the one that is furthest from training.
        """
        path = os.path.realpath(path)
        same = [name for name, file in self._files if os.path.realpath(file) == path]
        if not same and content:
            alike = [(name, file) for name, file in self._files if is_content(file, content)]
            same = [name for name, _ in sorted(alike, key=lambda each: -SUBSETS.index(self.subset_of_file(each[0])))]
        return same[0] if same else None

    def recording_of(self, name):
        """Recording of the sound file of this name, relative to the folder."""
        return self._recording(name)

    def subset_of_file(self, name):
        """Subset of the sound file of this name, relative to the folder."""
        return self._subset_of[self._recording(name)]

    def event_of(self, name):
        """The event that a file below `events/` holds, EventClip; None if the name is that of another file."""
        key = name.removeprefix("events/")
        return next((clip for clips in self._clips.values() for clip in clips if clip.key == key != name), None)

    def subset_of(self, recording):
        """Subset of a recording; None if no file is of it."""
        return self._subset_of.get(recording)

    def equal_sounds(self):
        """See `Bank.equal_sounds`. Reads files that are equally long."""
        names = {file: name for name, file in self._files}
        return [[tuple(names[file].split("/", 1)) for file in group] for group in equal_files(names)]

    def _advice(self, label=None):
        what = "backgrounds" if label is None else f"events/{label}"
        counts = {s: len(self._clips[label, s] if label else self._pieces[s]) for s in SUBSETS}
        holding = ", ".join(f"{n} in {subset}" for subset, n in counts.items())
        return (
            f" ({holding}). Put more recordings into {what}, two for training and three to evaluate as well at the "
            "very least, or say in split.csv which file is in which subset"
        )

    def _events(self, label, subset):
        return self._clips[label, subset] + (self._cut(label, subset) if self._is_cut(label, subset) else [])

    def _backgrounds(self, subset):
        return self._pieces[subset] + (self._cut(None, subset) if self._is_cut(None, subset) else [])

    def _whole(self, subset):
        return self._long[subset]

    def _uncut_events(self, label, subset):
        return [] if self._is_cut(label, subset) else self._cut(label, subset)

    def _uncut_backgrounds(self, subset):
        return [] if self._is_cut(None, subset) else self._cut(None, subset)

    def _is_cut(self, label, subset):
        """Whether recordings of a subset give events of a class, or with None backgrounds, to be mixed.

        In dev and eval they do where there is nothing else; files that come from these recordings are nothing else.
        """
        sounds, recording_of = (
            (self._clips[label, subset], self.event_recording)
            if label
            else (self._pieces[subset], self.background_recording)
        )
        whole = {recording.recording for _, recording in self._long[subset]}
        return subset == "train" or all(recording_of(sound.key) in whole for sound in sounds)

    def _cut(self, label, subset):
        """Events of a class, or with None backgrounds, of the recordings of a subset."""
        if (label, subset) not in self._cuts:
            cut = cut_backgrounds if label is None else partial(cut_events, label)
            self._cuts[label, subset] = [sound for key, whole in self._long[subset] for sound in cut(key, whole)]
        return self._cuts[label, subset]

    def _negatives(self, label, subset):
        def of_class(key):
            kind = PurePosixPath(key).parts[0]
            return kind.removeprefix(NOT) if kind.startswith(NOT) else label

        return [clip for clip in self._negative_clips[subset] if of_class(clip.key) == label]

    def _event_audio(self, key):
        if key.startswith(LONG):
            key, start_s, duration_s = part_of(key)
            path = path_of(key, self.root / "recordings")
            return read_audio(path, resampler=self.resampler, start_s=start_s, duration_s=duration_s)
        return read_audio(path_of(key, self.root / "events"), resampler=self.resampler)

    def _negative_audio(self, key):
        return read_audio(path_of(key, self.root / "negatives"), resampler=self.resampler)

    def _background_audio(self, key, start_s, duration_s):
        is_long = key.startswith(LONG)
        path = path_of(key.removeprefix(LONG), self.root / ("recordings" if is_long else "backgrounds"))
        return read_audio(path, resampler=self.resampler, start_s=start_s, duration_s=duration_s)

    def fingerprint(self):
        """See `Bank.fingerprint`: names, sizes and modification times of files, lists and resampler."""
        clips = sorted(self._clips.items())
        listed = [repr(self._split), *([repr(sorted(self._recordings.items()))] if self._recordings else [])]
        if any(self._negative_clips.values()):
            listed.append(f"negatives {sorted(self._negative_clips.items())}")
        if any(self._long.values()):
            listed.append(f"recordings {sorted((k, repr(r.events)) for s in SUBSETS for k, r in self._long[s])}")
        return files_digest(self._files, "folder", self.resampler, repr(clips), *listed)


def split_by_hash(names, listed=()):
    """Assign recordings to subsets by their names alone, so that one keeps its subset when others come or go.

    The first 8 bytes of the MD5 of the name, divided by their range, give u: the recording is in train if u < 0.70,
    in dev if u < 0.85, else in eval. If a subset stays empty, a recording that `listed` does not fix is moved to it: to
    train the one of lowest u; to dev, with two recordings or more, the one of highest u among the others; to eval, with
    three or more, the next. The only recording of a subset is never taken away.

    Parameters
    ----------
    names : iterable of str
        The recordings of one class, or of the backgrounds; that of a single file is called like the file, relative to
        the sound folder, with `/`.
    listed : mapping of str to subset, optional
        Fixed assignments (`split.csv`).

    Returns
    -------
    dict of str to {"train", "dev", "eval"}
    """
    names = list(names)
    listed = dict(listed)
    share = {name: int.from_bytes(hashlib.md5(name.encode()).digest()[:8], "big") / 2.0**64 for name in names}
    subsets = {
        name: listed.get(name) or ("train" if u < 0.70 else "dev" if u < 0.85 else "eval") for name, u in share.items()
    }
    if all(name in listed for name in names):
        return subsets
    free = sorted((name for name in names if name not in listed), key=share.get)
    for wanted, enough in (("train", 1), ("dev", 2), ("eval", 3)):
        if len(names) < enough or wanted in subsets.values():
            continue
        counts = {subset: sum(s == subset for s in subsets.values()) for subset in SUBSETS}
        # train may take any file; dev and eval leave every other subset its last file
        movable = [n for n in free if wanted == "train" or subsets[n] == "eval" or counts[subsets[n]] > 1]
        if movable:
            subsets[movable[0] if wanted == "train" else movable[-1]] = wanted
    return subsets


def path_of(key, root):
    """The file that `key` names below `root`.

    Raises
    ------
    InputError
        `key` is absolute or leads out of `root`, as in a damaged or hostile recipe.
    """
    _require_inside(key, root)
    path = Path(root) / key
    if not path.exists():  # a file system that stores decomposed names (NFD)
        decomposed = Path(root) / unicodedata.normalize("NFD", key)
        path = decomposed if decomposed.exists() else path
    return path


def _require_inside(key, root):
    relative = PurePosixPath(key)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{key}: lies outside {root}")


def _check_layout(root):
    if not root.exists():
        address = address_in(root)
        raise InputError(f"{address}: is an address; download it first" if address else f"{root}: no such folder")
    if not root.is_dir():
        raise InputError(f"{root}: not a folder")
    for name in ("events", "backgrounds"):
        if not (root / name).is_dir() and ((root / name).exists() or not (root / "recordings").exists()):
            raise InputError(f"{root}: no {name} folder in it; a sound folder has events/CLASS/ and backgrounds/")
    return root / "events", root / "backgrounds"


def _class_folders(event_root):
    folders = [folder for folder in event_root.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    if not folders:
        raise InputError(f"{event_root}: no class folder in it; events go into events/CLASS/")
    for folder in folders:
        if not is_label(folder.name):
            raise InputError(f"{event_root}: {folder.name!r} cannot be a class: no event list can hold it as a label")
    return folders


@contextlib.contextmanager
def _noted(faults):
    """Put an InputError into a list, and carry on."""
    try:
        yield
    except InputError as error:
        faults.append(error)


def _event_clip(event_root, file, label, active_parts):
    n_frames, sr = audio_header(file)
    duration_s = n_frames / sr
    key = name_of(file, event_root)
    part = active_parts.get(key) or ActivePart(*active_part(*native_audio(file)), "")
    if part.offset_s > duration_s + ROUNDING_S:
        raise InputError(f"{part.where}: offset {part.offset_s} s lies beyond the end of {key} ({duration_s:.3f} s)")
    return EventClip(key, label, part.onset_s, part.offset_s)


def _negative_clips(negative_root, file, active_parts):
    """The pieces of a negative, list of EventClip. InputError: it is silent."""
    clip = _event_clip(negative_root, file, None, active_parts)
    y, sr = native_audio(file)
    if not y.any():
        raise InputError(f"{file}: is silent (all samples zero)")
    starts = [clip.onset_s + LONGEST_NEGATIVE_S * i for i in range(math.ceil(clip.length_s / LONGEST_NEGATIVE_S))]
    pieces = [(start, min(start + LONGEST_NEGATIVE_S, clip.offset_s)) for start in starts]
    pieces = pieces[:1] + [piece for piece in pieces[1:] if piece[1] - piece[0] >= SHORTEST_NEGATIVE_S]
    audible = [piece for piece in pieces if y[int(piece[0] * sr) : int(piece[1] * sr)].any()]
    return [EventClip(clip.key, None, *piece) for piece in audible]


def active_part(y, sr):
    """The part of an event's recording without silence at its edges.

    Silence is what lies 60 dB below the loudest 10 ms, for at least 0.1 s: what was set to zero, not what is quiet.

    Parameters
    ----------
    y : (samples,) float64
    sr : int
        Rate in Hz.

    Returns
    -------
    onset_s, offset_s : float
        Seconds; the whole of a recording that is silent.
    """
    n = max(1, round(FRAME_S * sr))
    power = np.add.reduceat(np.square(y), np.arange(0, len(y), n))
    audible = np.flatnonzero(power > power.max() * 10 ** (-SILENCE_DB / 10))
    if not len(audible):
        return 0.0, len(y) / sr
    first, last = audible[0] * n, min((audible[-1] + 1) * n, len(y))
    shortest = SHORTEST_SILENCE_S * sr
    return float(first / sr if first >= shortest else 0.0), float((last if len(y) - last >= shortest else len(y)) / sr)


def _read_labels(folder, known):
    """Recordings below a folder: list of (path, duration_s, events); none without the folder.

    InputError: as `data_tools.labelled_recordings`, or events without a class where there is more than one.
    """
    if not folder.exists():
        return []
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder")
    found = read_labels(folder)
    if not found:
        raise InputError(f"{folder}: no sound files ({', '.join(RECORDING_SUFFIXES)}) in it")
    events = [event for labels in found for event in labels.events]
    check_classes(events, *known)
    classes = sorted({*known, *(event.label for event in events)} - {None})
    if not classes:
        raise InputError(f"{folder}: no class in any label, and there are no events/CLASS that would name one")
    only = classes[0] if len(classes) == 1 else None
    return [(labels.path, labels.duration_s, with_classes(labels.events, only)) for labels in found]


def _background_pieces(background_root, file):
    n_frames, sr = audio_header(file)
    duration_s = n_frames / sr
    if duration_s < SHORTEST_BACKGROUND_S:
        raise InputError(f"{file}: background of {duration_s:.3f} s; at least {SHORTEST_BACKGROUND_S:g} s are needed")
    key = name_of(file, background_root)
    scene = file.parent.name if file.parent != background_root else "background"
    return pieces_of(key, scene, 0.0, duration_s)


def _read_split(root, files):
    """`split.csv` as {name: (subset, "path, line n")}; empty without the file."""
    path = root / "split.csv"
    known = {name_of(file, root) for file in files}
    listed = {}
    for where, row in rows_of(path, ("file", "subset")):
        name, subset = list_name(row["file"]), row["subset"].strip()
        if subset not in SUBSETS:
            raise InputError(f"{where}: unknown subset {subset!r}, must be {', '.join(SUBSETS)}")
        if name not in known:
            raise InputError(f"{where}: {name} is not a sound file of this folder")
        if listed.setdefault(name, (subset, where))[0] != subset:
            raise InputError(f"{where}: {name} is in {listed[name][0]!r} already, and cannot be in two subsets")
    return listed


def _read_active_parts(event_root, files):
    """`events.csv`, or `negatives.csv`, as {key: ActivePart}; empty without the file."""
    known, parts = {name_of(file, event_root) for file in files}, {}
    for where, row in rows_of(event_root / f"{event_root.name}.csv", ("file", "onset_s", "offset_s")):
        key = list_name(row["file"])
        _require_inside(key, event_root)
        if key not in known:
            raise InputError(f"{where}: no such file, or not the suffix of a sound file: {event_root / key}")
        if key in parts:
            raise InputError(f"{where}: {key} is listed twice; a file has one event")
        onset_s, offset_s = (seconds_of(row[column], column, where) for column in ("onset_s", "offset_s"))
        if onset_s < 0:
            raise InputError(f"{where}: negative onset, {onset_s} s")
        if onset_s >= offset_s:
            raise InputError(f"{where}: onset {onset_s} s is not before offset {offset_s} s")
        parts[key] = ActivePart(onset_s, offset_s, where)
    return parts
