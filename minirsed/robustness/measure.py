"""What a detector makes of the same mixtures under every change, and of noises in which there is nothing.

Data flow: recipes → render → changes → `Detector.detect` → scoring → **measure** → files. A mixture is rendered once
for all of its changes, and again for each speed of its event. Each goes through `detect` as a recording of a user
would, at its own sample rate, so whatever features and decision a detector has are those that are measured.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from data_tools.audio import SAMPLE_RATE
from data_tools.errors import InputError
from data_tools.mixing import render
from data_tools.soundbank import open_bank
from data_tools.workers import in_processes
from minirsed.analysis import breakdown
from minirsed.robustness.changes import CHANGES, GUARD_RATES_HZ, GUARD_S, GUARDS, changes_here
from minirsed.robustness.several import together
from minirsed.robustness.speed import at_speed, render_at, speeds_here
from minirsed.robustness.speed import name as speed_name
from minirsed.run.folder import read_settings
from minirsed.run.session import silent
from minirsed.several.detector import detect_by_class, load, views_of
from minirsed.store.files import chunk_rows
from minirsed.store.mixtures import recipes_of

SEED = 0  # of what is drawn in the changes and guards: room, hum, noise
TASK_CLIPS = 4  # mixtures that a process takes at a time; they are neighbours, so they share backgrounds
KINDS = {"miss": "n_missed", "wrong place": "n_misplaced", "false alarm": "n_false_alarms"}


class Heard(NamedTuple):
    """Mixtures under one change; what `minirsed.analysis.breakdown` reads of a store and of an evaluation."""

    recipes: list
    reference: dict  # mixture name → [(onset_s, offset_s, label)] or []
    estimated: dict  # what was detected, in the same form


def measure_run(folder, subset="eval", *, data=None, n_clips=None, n_jobs=1, progress=silent):
    """Measure the best detector of a run; needs no features on disk.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    subset : {"dev", "eval"}
    data : str or Path, optional
        Sounds; by default those of the run.
    n_clips : int, optional
        Mixtures; by default `dev_clips` of the training.
    n_jobs, progress
        As in `measure`.

    Returns
    -------
    dict
        As of `measure`, with "run" and "subset".

    Raises
    ------
    InputError
        A folder, detector or sound cannot be used.

    Examples
    --------
    >>> from minirsed.run.session import train
    >>> from minirsed.run.settings import TrainSettings
    >>> settings = TrainSettings(label="gunshot", clips=4, dev_clips=2, epochs=1, layers=1, units=2)
    >>> run, _ = train(settings, "runs/tiny", say=lambda text: None)
    >>> figures = measure_run("runs/tiny", n_clips=2)
    >>> figures["changes"][0]["change"], figures["changes"][0]["n_ref"]
    ('plain', 1)
    """
    settings = read_settings(folder)
    bank = open_bank(data) if data else open_bank(settings.data, fold=settings.fold)
    recipes = recipes_of(bank, settings, subset, n_clips)
    figures = measure(load(folder), recipes, bank, n_jobs=n_jobs, progress=progress)
    return {"run": str(Path(folder)), "subset": subset, **figures}


def measure(detector, recipes, bank, *, n_jobs=1, progress=silent):
    """Figures of a detector under every change, and its p of every guard.

    Parameters
    ----------
    detector : minirsed.detector.Detector or minirsed.several.detector.SeveralDetector
    recipes : list of data_tools.recipes.Recipe
    bank : data_tools.banks.base.Bank
    n_jobs : int
        Processes; the figures do not depend on it. Each holds one mixture and a few copies of it.
    progress : callable
        As in `minirsed.run.session.train`.

    Returns
    -------
    dict
        JSON-able, None where a figure is undefined. "label", "detector" (`identity`), "n_clips";
        "changes": a dict for each, and for each of `speed.SPEEDS`, with the figures of `breakdown.figures`, n_missed
        (an event, and nothing was found), n_misplaced (found elsewhere: a miss and a false alarm), n_false_alarms (in
        mixtures without an event) and, of the ER minus that of the plain mixtures, `breakdown.comparison`; "change" is
        its name;
        "guards": dicts of sound, rate_hz, probability, is_detected; "notes": what could not be measured, and why.
        Of several classes `minirsed.robustness.several.together`, with "classes": the above for each, by label.

    Raises
    ------
    InputError
        A sound cannot be used, a mixture has NaN or infinite samples, a process was killed.
    """
    names, notes = changes_here()
    speeds, more_notes = speeds_here(recipes)
    guards = _guards(detector, progress)
    found = [None] * len(recipes)
    rows = [row for chunk in chunk_rows(recipes) for row in chunk]
    tasks = [rows[first : first + TASK_CLIPS] for first in range(0, len(rows), TASK_CLIPS)]
    calls = [(detector, bank, [(row, recipes[row]) for row in task], names, speeds) for task in tasks]
    with progress("changed mixtures", "clip") as done:
        n_done = 0
        for task, task_found in zip(tasks, in_processes(_detect_changed, calls, n_jobs), strict=True):
            for row, events in zip(task, task_found, strict=True):
                found[row] = events
            n_done += len(task)
            if done:
                done(n_done, len(recipes))
    heard, classes, views = {}, {}, views_of(detector)
    for view in views:
        own = recipes if len(views) == 1 else [recipe.of_class(view.label) for recipe in recipes]
        heard[view.label] = _heard(own, names, speeds, found, view.label)
        rows = _figures(heard[view.label]), guards[view.label]
        classes[view.label] = _described(view, recipes, *rows, notes + more_notes)
    if len(views) == 1:
        return classes[views[0].label]
    labels = {"labels": list(classes)}
    return _described(detector, recipes, *together(classes, heard), notes + more_notes) | labels | {"classes": classes}


def _described(detector, recipes, changes, guards, notes):
    about = {"label": detector.label, "detector": identity(detector), "n_clips": len(recipes)}
    return about | {"changes": changes, "guards": guards, "notes": notes}


def identity(detector):
    """What the figures hold for, JSON-able: weights and statistics as a hash, and the description with thresholds."""
    description = json.loads(json.dumps(detector.description()))  # as it will be read again
    return {"fingerprint": detector.fingerprint(), **description}


def _detect_changed(detector, bank, numbered, names, speeds):
    """What is found in some mixtures under the named changes, then with their events at other speeds.

    For each mixture a list of what `_found` gives. Without an event it is the same at all speeds.

    Each change of mixture `row` gets a fresh generator of seed (SEED, row), so that neither the number of processes nor
    of changes matters to it. One thread: the last bits of a matrix product may depend on their number.
    """
    found = []
    with threadpool_limits(1):
        for row, recipe in numbered:
            mixture = render(recipe, bank)
            if not np.isfinite(mixture).all():
                raise InputError(f"{recipe.name}: has NaN or infinite samples")
            events = []
            for name in names:
                rng = np.random.default_rng([SEED, row])
                events.append(_found(detector, *CHANGES[name](mixture, SAMPLE_RATE, rng)))
            for speed in speeds:
                same = events[names.index("plain")]
                here = _found(detector, render_at(speed, recipe, bank)) if recipe.has_event else same
                events.append(here)
            found.append(events)
    return found


def _found(detector, y, sr=SAMPLE_RATE):
    """(onset_s, offset_s) of what a detector finds of each class, or None, by label."""
    return {
        label: None if detection.onset_s is None else (detection.onset_s, detection.offset_s)
        for label, detection in detect_by_class(detector, y, sr).items()
    }


def _heard(recipes, names, speeds, found, label):
    """`Heard` of one class by the name of each change, from what was found, (mixtures, changes); `plain` is first."""
    changed = [(name, recipes) for name in names]
    changed += [(speed_name(speed), [at_speed(recipe, speed) for recipe in recipes]) for speed in speeds]
    heard = {}
    for number, (name, own) in enumerate(changed):
        events = [each[number][label] for each in found]
        reference = {r.name: [(r.onset_s, r.offset_s, r.label)] if r.has_event else [] for r in own}
        estimated = {r.name: [] if event is None else [(*event, label)] for r, event in zip(own, events, strict=True)}
        heard[name] = Heard(own, reference, estimated)
    return heard


def _figures(heard):
    """The dicts of "changes"."""
    figures, plain = [], next(iter(heard.values()))
    for name, own in heard.items():
        outcomes = [breakdown.outcome(own, own, row) for row in range(len(own.recipes))]
        counts = {count: outcomes.count(kind) for kind, count in KINDS.items()}
        difference = breakdown.comparison(own, plain)
        figures.append({"change": name, **breakdown.figures(own), **counts, **difference})
    return figures


def _guards(detector, progress):
    """The dicts of "guards" by class."""
    pairs = [(sound, rate_hz) for sound in GUARDS for rate_hz in GUARD_RATES_HZ]
    guards = {view.label: [] for view in views_of(detector)}
    with progress("guards", "sound") as done, threadpool_limits(1):
        for n_done, (sound, rate_hz) in enumerate(pairs, 1):
            y = GUARDS[sound](GUARD_S, rate_hz, np.random.default_rng([SEED, rate_hz]))
            for label, detection in detect_by_class(detector, y, rate_hz).items():
                about = {"probability": detection.probability, "is_detected": detection.onset_s is not None}
                guards[label].append({"sound": sound, "rate_hz": rate_hz, **about})
            if done:
                done(n_done, len(pairs))
    return guards
