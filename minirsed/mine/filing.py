"""Verdicts on clips → files of a sound folder, with their rows in its lists. Nothing is overwritten.

    event    events/CLASS/NAME.wav          onset and offset in events.csv
    not      negatives/not-CLASS/NAME.wav   the part that was taken for it, and a little more, in negatives.csv
    unsure   stays where it is

Clips of one recording are of one recording here as well (recordings.csv), and so in one subset: that of the recording
if it is a file of the sound folder, else train (split.csv). Whatever is there already, with the same content, is left
as it is, so that what was interrupted can be repeated, and what is done twice changes nothing.
"""

import csv
import io
import shutil
from typing import NamedTuple

from data_tools.banks.folder import NOT, FolderBank
from data_tools.errors import InputError
from data_tools.files import atomic_write, equal_files, exclusive, remove_temporaries, require_file
from data_tools.folder_lists import list_name, rows_of
from data_tools.soundbank import open_bank
from minirsed.mine.clips import FOLDER, read_list

VERDICTS = ("event", "not", "unsure")
MARGIN_S = 0.25  # of sound on either side of a negative


class Filed(NamedTuple):
    """A clip that has its place in the sound folder."""

    path: object  # Path
    subset: str
    is_new: bool


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
    wanted = [(clips[name], verdict) for name, verdict in verdicts.items() if verdict != "unsure"]
    with exclusive(bank.root / ".lock", "filing clips in"):
        for clip, verdict in wanted:
            _check(folder / FOLDER / clip.clip, bank.root, clip, verdict)
        for place in {(bank.root / name_in(clip, verdict)).parent for clip, verdict in wanted}:
            place.mkdir(parents=True, exist_ok=True)
            remove_temporaries(place)
        filed = [_file(folder / FOLDER / clip.clip, bank, clip, verdict) for clip, verdict in wanted]
        _write_rows(bank, wanted)
    return filed, len(verdicts) - len(wanted)


def name_in(clip, verdict):
    """The name of a clip in the sound folder."""
    return f"events/{clip.label}/{clip.clip}" if verdict == "event" else f"negatives/{NOT}{clip.label}/{clip.clip}"


def _check(source, root, clip, verdict):
    require_file(source)
    target = root / name_in(clip, verdict)
    other = root / name_in(clip, "not" if verdict == "event" else "event")
    if other.exists():
        raise InputError(f"{other}: was filed there before; to make it {verdict!r}, remove it and its rows")
    if target.exists() and not equal_files([source, target]):
        raise InputError(f"{target}: is another file than {source}")


def _file(source, bank, clip, verdict):
    target = bank.root / name_in(clip, verdict)
    is_new = not target.exists()
    if is_new:
        with open(source, "rb") as content, atomic_write(target) as file:
            shutil.copyfileobj(content, file)
    return Filed(target, _place(bank, clip)[1] or "train", is_new)


def _place(bank, clip):
    """The recording that a clip is from, its subset if it has one, and whether it is itself in the sound folder."""
    known = bank.recording_of(clip.recording)
    return (*known, True) if known else (clip.recording, bank.subset_of(clip.recording), False)


def _write_rows(bank, wanted):
    """Complete the lists; recordings.csv last, for then subsets are fixed already."""
    parts, splits, recordings = {"events": {}, "negatives": {}}, {}, {}
    for clip, verdict in wanted:
        name = name_in(clip, verdict)
        kind, _, key = name.partition("/")
        margin_s = 0.0 if verdict == "event" else MARGIN_S
        onset_s = max(0.0, clip.onset_s - margin_s)
        parts[kind][key] = (f"{onset_s:.3f}", f"{_offset_s(bank.root / name, clip.offset_s + margin_s):.3f}")
        recording, subset, _ = _place(bank, clip)
        recordings[name] = (recording,)
        splits[name] = (subset or "train",)  # also where its recording is in the folder: one more file may move that
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
