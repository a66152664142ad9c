"""Looks at the reader's own folders (notebook 12): what stands out there, and what to do about it.

    look_at_sounds(folder, label)   before a training
    look_at_run(run)                after it, and once more when `minirsed.evaluate` has scored it
    look_at_alarms(run)             after `minirsed.evaluate RUN --recordings …`

Nothing is changed. Whatever is said of a score or a rate follows from its interval.
"""

import csv
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.audio import native_audio
from data_tools.banks.base import SUBSETS
from data_tools.console import counted
from data_tools.errors import InputError
from data_tools.files import read_json
from data_tools.inventory import FEW, holding, repeated
from data_tools.soundbank import open_bank
from minirsed.alarms import files as alarm_files
from minirsed.alarms.poisson import upper
from minirsed.card.sounds import read_sounds
from minirsed.run.folder import read_settings

TAKE = re.compile(r"(.*?)[-_ .]*(?:ring|take|part|piece|copy)?[-_ .]*\(?\d+\)?", re.IGNORECASE)  # bell03_ring2 → bell03
LOWEST_RATE = 32000  # Hz; below that much of what backgrounds have is not there
LITTLE_S = 300.0  # of background to train on
FLAT = 5  # times that three samples in a row have the same extreme value
AROUND = 0.5  # share of a file that is sound, below which the event should be marked
RING_DB = 30.0  # below its loudest 50 ms a sound is over
SHOWN = 3  # files that are named


class Finding(NamedTuple):
    """Something that stands out."""

    kind: str  # a word or two, for the heading
    seen: str
    todo: str


class Findings(tuple):
    """All that a look has found; a notebook shows it as a list."""

    def _repr_markdown_(self):
        if not self:
            return "Nothing stands out. Read on."
        return "\n".join(f"- **{each.kind}**: {each.seen} *{each.todo}*" for each in self)

    @property
    def kinds(self):
        """The headings, in order."""
        return [each.kind for each in self]


def look_at_sounds(folder, label):
    """What stands out in a sound folder before a training.

    Parameters
    ----------
    folder : str or Path
        As `data_tools/README.md` describes it.
    label : str
        The class.

    Returns
    -------
    Findings
        Whether it can be used at all, how many recordings there are, recordings in two subsets, and files that are
        clipped, of a low rate, or mostly silence.
    """
    try:
        bank = open_bank(folder)
        holdings = {subset: holding(bank, label, subset) for subset in SUBSETS}
        clips = {subset: bank.events(label, subset) for subset in SUBSETS}
    except InputError as error:
        return Findings([Finding("cannot be used", f"{error}.", "Training would say the same; mend it first.")])
    found = [*_too_few(holdings), *_in_two_subsets(bank, label, clips)]
    files = [(clip, Path(folder) / "events" / clip.key) for subset in SUBSETS for clip in clips[subset]]
    return Findings([*found, *_faults([(clip, path) for clip, path in files if path.is_file()])])


def _too_few(holdings):
    n = {subset: held.n_event_recordings for subset, held in holdings.items()}
    if min(n.values()) < FEW:
        said = ", ".join(f"{count} in {subset}" for subset, count in n.items())
        todo = f"From {FEW} in each on a score begins to mean something. Record more, or train with `--folds 5`."
        yield Finding("few recordings of the event", f"{said}.", todo)
    minutes = holdings["train"].background_s / 60
    if holdings["train"].background_s < LITTLE_S:
        todo = (
            "Let a recorder run where the detector will listen: what it has not heard there it will take for an event."
        )
        yield Finding("little background", f"{minutes:.1f} minutes to train on.", todo)


def _in_two_subsets(bank, label, clips):
    same = repeated(bank, label)
    if same:
        todo = "Remove all but one, or the score is that of sounds which training has had."
        yield Finding("the same file twice", f"{same.removeprefix('warning: ')}.", todo)
    takes = defaultdict(dict)  # by what is left of a name without its last number: {recording: subset}
    names = {}
    for subset, of_subset in clips.items():
        for clip in of_subset:
            match = TAKE.fullmatch(Path(clip.key).stem)
            if match and match[1]:
                takes[match[1]][bank.event_recording(clip.key)] = subset
                names.setdefault(match[1], {}).setdefault(subset, Path(clip.key).name)
    n_most = sum(map(len, takes.values())) / 2  # a name that more share than that is none of a recording
    crossing = [name for name, of in takes.items() if len(set(of.values())) > 1 and len(of) <= n_most]
    if crossing:
        pairs = (" and ".join(f"{file} ({subset})" for subset, file in names[name].items()) for name in crossing)
        todo = "If they are of one bell, one baby or one day, give them one name in `recordings.csv`."
        yield Finding("one recording in two subsets?", f"{_some(pairs)}.", todo)


def _faults(files):
    """What is wrong with single files, each kind once."""
    clipped, low, silent = [], defaultdict(list), []
    for clip, path in files:
        y, sr = native_audio(path)
        if _is_clipped(y):
            clipped.append(path.name)
        if sr < LOWEST_RATE:
            low[sr].append(path.name)
        if _share_of_sound(y[round(clip.onset_s * sr) : round(clip.offset_s * sr)], sr) < AROUND:
            silent.append(path.name)
    if clipped:
        todo = "Record again from further away or with less gain: the overtones of clipping are not those of the sound."
        yield Finding("clipped", f"{_some(clipped)}.", todo)
    for sr, names in sorted(low.items()):
        todo = "Record events and backgrounds with one recorder, or a detector may tell them apart by that alone."
        yield Finding(f"{sr / 1000:g} kHz", f"{_some(names)}: nothing above {sr / 2000:g} kHz.", todo)
    if silent:
        todo = "Cut them, or say in `events/events.csv` when the event begins and ends: all of it counts as event."
        yield Finding("mostly quiet", f"{_some(silent)}: more than half of the file is far below its peak.", todo)


def _is_clipped(y):
    """Whether the waveform is flat at its largest value, again and again."""
    at_peak = np.abs(y) >= np.abs(y).max() * (1 - 1e-6)
    return np.count_nonzero(at_peak[:-2] & at_peak[1:-1] & at_peak[2:]) >= FLAT


def _share_of_sound(y, sr):
    """From the first to the last 50 ms that are not far below the loudest, as a share of all; 1 for short sounds."""
    size = max(1, sr // 20)
    n = len(y) // size
    if n < 40:  # two seconds
        return 1.0
    power = (y[: n * size].reshape(n, size) ** 2).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-RING_DB / 10))
    return (loud[-1] + 1 - loud[0]) / n


def look_at_run(run):
    """What stands out in a run folder.

    Parameters
    ----------
    run : str or Path
        That `minirsed.train` has written.

    Returns
    -------
    Findings
        Whether it has learnt, whether it learns by heart, what its development score rests on, and how the score of
        the evaluation mixtures compares with it.

    Raises
    ------
    InputError
        It is no run folder.
    """
    run = Path(run)
    settings, sounds = read_settings(run), read_sounds(run)
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        history = [
            {name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)
        ]
    found = [*_learnt(settings, history), *_rests_on(settings, sounds)]
    return Findings([*found, *_evaluated(run, history)])


def _learnt(settings, history):
    if len(history) < settings.epochs:
        yield Finding("not finished", f"{len(history)} of {settings.epochs} epochs.", "`--resume` continues it.")
    train, dev = ([row[name] for row in history] for name in ("train_loss", "dev_loss"))
    if train and not settings.init_from and train[-1] > 0.6 * train[0]:
        todo = "More epochs, or more clips in each (`--epochs`, `--clips`): it has only begun."
        yield Finding("has hardly learnt", f"The training loss went from {train[0]:.2f} to {train[-1]:.2f}.", todo)
    if dev and dev[-1] > 1.25 * min(dev) and dev.index(min(dev)) < 0.7 * len(dev):
        rise = dev[-1] / min(dev) - 1
        seen = f"The development loss was lowest in epoch {dev.index(min(dev)) + 1}, and has risen by {rise:.0%} since."
        yield Finding("learns by heart", seen, "More recordings help most; `--keep best` is the first aid.")


def _rests_on(settings, sounds):
    held = (sounds or {}).get("subsets", {}).get("dev")
    if held and min(held["n_event_recordings"], held["n_background_recordings"]) < FEW:
        events, backgrounds = held["n_event_recordings"], held["n_background_recordings"]
        seen = (
            f"{settings.dev_clips} mixtures: {counted(events, 'recording')} of the event, {backgrounds} of background."
        )
        todo = "So believe the interval over recordings, if any; with `--folds 5` every recording has a say."
        yield Finding("the development score rests on little", seen, todo)
    if settings.keep == "best":
        seen = "The epoch was chosen by the error rate of the same mixtures that it is reported on."
        yield Finding("the development score flatters", seen, "Report the one of `minirsed.evaluate RUN`.")


def _evaluated(run, history):
    figures = read_json(
        run / "figures_eval.json", lambda figures: figures["error_rate_95"], "minirsed.evaluate writes it again"
    )
    if figures is None:
        todo = "`python -m minirsed.evaluate RUN` scores it on recordings that have had no say in anything."
        yield Finding("not scored yet", "There is no score but that of the development mixtures.", todo)
        return
    interval = figures.get("error_rate_95_by_recording")
    if not interval or None in interval:  # all of one recording, or nobody knows of which
        interval = figures["error_rate_95"]
    (low, high), dev, made_of = interval, history[-1]["dev_error_rate"], figures.get("made_of")
    if made_of and figures["error_rate"] == 0:  # an interval of 0 … 0 is nonsense (notebook 8)
        n = made_of["n_event_recordings"]
        seen = f"None at all, on {counted(n, 'recording')} of the event. Of other recordings up to "
        seen += f"{1 - 0.05 ** (1 / n):.0%} may be missed: fewer could not be told from none, at 95 %."
        yield Finding("no mistakes", seen, "Only more recordings can show more.")
    if dev is not None and low is not None and dev < low:
        seen = f"It was {dev:.2f}; on other recordings it is {figures['error_rate']:.2f} ({low:.2f} … {high:.2f})."
        yield Finding(
            "the development score flatters", seen, "Look for a recording that is in two subsets, or record more."
        )


def look_at_alarms(run):
    """What stands out in hours of recordings.

    Parameters
    ----------
    run : str or Path
        In which `minirsed.evaluate RUN --recordings …` has left its files.

    Returns
    -------
    Findings
        Whether there are hours enough to say anything, whether it cries wolf, whether its onsets are late, and what
        the measurement itself warns of.

    Raises
    ------
    InputError
        The run folder has no such measurement.
    """
    figures = alarm_files.read(run, alarm_files.GIVEN)
    if figures is None:
        raise InputError(
            f"{run}: no alarms_recordings.json; python -m minirsed.evaluate RUN --recordings DIR writes it"
        )
    found, promise = [], read_settings(run).alarms_per_hour
    low, _ = figures["false_alarms_per_hour_95"]
    if low > promise:
        seen = f"At least {low:.1f} false alarms an hour, by the lower end of the interval; the promise is {promise:g}."
        todo = "Mine its mistakes and train on, then set thresholds with `--alarms-per-hour`."
        found.append(Finding("cries wolf", seen, todo))
    elif figures["upper_95"] > promise:
        needed = upper(0, 1.0) / promise
        seen = f"From {figures['hours']:.1f} h all that is known is: below {figures['upper_95']:.1f} an hour, at 95 %."
        found.append(
            Finding("too few hours", seen, f"Without any alarm, {needed:.0f} hours would show {promise:g} an hour.")
        )
    if figures["n_misplaced"] > 0.2 * max(1, figures["n_events"]):
        seen = f"{figures['n_misplaced']} alarms sound during one of {figures['n_events']} events but begin elsewhere."
        todo = "Do the labels begin where the sound begins, and do the files of events begin with it?"
        found.append(Finding("misplaced", seen, todo))
    found += [Finding("note", f"{note}.", "") for note in figures["notes"] if "promise" not in note]
    return Findings(found)


def _some(texts):
    texts = list(texts)
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
