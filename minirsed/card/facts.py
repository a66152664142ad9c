"""A run folder → all that its files say of the detector that is in it. A number of another detector is left out."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_tools.errors import InputError
from data_tools.files import read_json
from data_tools.inventory import Holding
from minirsed.card.sounds import is_count, is_number, read_sounds
from minirsed.listening.operating import NAMES
from minirsed.robustness import files as robust_files
from minirsed.run.folder import read_settings, trained_detector
from minirsed.run.metrics import best_epoch, read_metrics
from minirsed.store.files import plain_name

SUBSETS = ("dev", "eval")
AGAIN = "minirsed.evaluate writes it again"
COUNTS = ("n_clips", "n_ref", "n_tp", "n_fp", "n_fn")
ALARM_COUNTS = ("n_recordings", "n_events", "n_hits", "n_misplaced", "n_false_alarms")


@dataclass
class Facts:
    """What is known of a run."""

    detector: Any  # minirsed.detector.Detector or minirsed.several.detector.SeveralDetector
    settings: Any  # minirsed.run.settings.TrainSettings
    sounds: dict | None  # see `minirsed.card.sounds.sounds_of`
    epoch: dict | None  # the row of metrics.csv of the epoch that was kept
    figures: dict  # subset → figures_SUBSET.json
    robust: dict  # subset → robust_SUBSET.json
    alarms: dict  # name → alarms_NAME.json
    notes: list = field(default_factory=list)  # what could not be read, or is of another detector
    average: dict = field(default_factory=dict)  # of several classes: subset → average_SUBSET.json
    classes: dict = field(default_factory=dict)  # and label → Facts, with the figures and alarms of that class alone


def read_facts(folder, figures=None):
    """Read a run folder.

    Parameters
    ----------
    folder : str or Path
    figures : dict, optional
        subset → figures that are newer than the files, as `minirsed.analysis.files.figures_of` gives them.

    Returns
    -------
    Facts

    Raises
    ------
    InputError
        No run folder, or no detector in it. Other files that cannot be read are in the notes.
    """
    folder = Path(folder)
    detector, settings = trained_detector(folder, several=True), read_settings(folder)
    facts = Facts(detector, settings, None, None, {}, {}, {})

    def known(read, *of_what):
        try:
            return read(*of_what)
        except InputError as error:
            facts.notes.append(str(error).replace(f"{folder}/", ""))
            return None

    facts.sounds = known(read_sounds, folder)
    history = known(read_metrics, folder) or []
    kept = best_epoch(history, settings.keep) if history else 0
    facts.epoch = next((row for row in history if row["epoch"] == kept), None)
    _measured(facts, folder, known, figures or {})
    for label in settings.labels:
        facts.classes[label] = of_class = Facts(detector.of_class(label), settings, None, None, {}, {}, {}, facts.notes)
        _measured(of_class, folder / plain_name(label), known, {})
    for subset in SUBSETS if facts.classes else ():
        name = f"average_{subset}.json"
        _keep(facts, facts.average, subset, known(read_json, folder / name, _is_average, AGAIN), name)
    return facts


def _measured(facts, folder, known, figures):
    """Read what was measured, on mixtures and in hours."""
    for subset in SUBSETS:
        name = f"figures_{subset}.json"
        found = figures.get(subset) or known(read_json, folder / name, _is_figures, AGAIN)
        _keep(facts, facts.figures, subset, found, name)
        found = known(robust_files.read, folder, subset)
        _keep(facts, facts.robust, subset, found, f"robust_{subset}.json")
    for path in sorted(folder.glob("alarms_*.json")):
        found = known(read_json, path, _is_alarms, AGAIN)
        _keep(facts, facts.alarms, path.stem.removeprefix("alarms_"), found, path.name)


def _keep(facts, place, key, found, name):
    """Take what was found, unless it says that it is of another detector; earlier versions did not say of which."""
    own, of = facts.detector.fingerprint(), found and found.get("detector")
    if isinstance(of, dict):  # of `minirsed.robustness`, with the thresholds
        own = {"fingerprint": own, **json.loads(json.dumps(facts.detector.description()))}
    if of not in (None, own):
        facts.notes.append(f"{name} is of another detector than best.npz and left out")
    elif found:
        place[key] = found


def _is_average(figures):
    """Whether a card can say it."""
    average, made_of = figures["average"], figures["made_of"]
    return (
        is_count(figures["n_clips"])
        and all(average[name] is None or is_number(average[name]) for name in ("error_rate", "f1"))
        and all(edge is None or is_number(edge) for edge in average["error_rate_95"] + average["f1_95"])
        and isinstance(figures["data"], str)
        and isinstance(figures["detector"], str)
        and (made_of is None or all(is_number(made_of[name]) for name in Holding._fields))
        and _is_confusions(**{name: figures["confusions"][name] for name in ("labels", "taken_for")})
    )


def _is_confusions(labels, taken_for):
    """Whether there is a count for each two of the classes."""
    return (
        all(isinstance(label, str) for label in labels)
        and len(taken_for) == len(labels)
        and all(len(row) == len(labels) and all(map(is_count, row)) for row in taken_for)
    )


def _is_figures(figures):
    """Whether a card can say it."""
    by_clip, groups = figures["by_clip"], figures["by_ebr_db"]
    return (
        all(_is_scored(row) for row in (figures, *groups.values()))
        and is_number(figures["thres0"], figures["thres1"], figures["clip_s"], figures.get("min_event_s", 0.0))
        and all(is_count(by_clip[name]) for name in ("n_events", "n_misses", "n_quiet", "n_false_alarms"))
        and all(isinstance(scene, str) for scene in figures["by_scene"])
        and isinstance(figures.get("data", ""), str)
        and isinstance(figures.get("detector", ""), str)
        and (figures["tuned"] is None or is_number(figures["tuned"]["thres0"], figures["tuned"]["thres1"]))
        and (
            figures["made_of"] is None
            or all(is_count(figures["made_of"][name]) for name in ("n_event_recordings", "n_background_recordings"))
        )
    )


def _is_scored(row):
    """Whether a group of mixtures has its counts, and rates with intervals, None where one is undefined."""
    return all(is_count(row[name]) for name in COUNTS) and all(
        (row[name] is None or is_number(row[name]))
        and len(row[f"{name}_95"]) == 2
        and all(edge is None or is_number(edge) for edge in row[f"{name}_95"])
        for name in ("error_rate", "recall")
    )


def _is_alarms(alarms):
    return (
        all(is_count(alarms[name]) for name in ALARM_COUNTS)
        and is_number(alarms["hours"], alarms["thres0"], alarms["thres1"], *(alarms.get(n, 0.0) for n in NAMES))
        and alarms["hours"] > 0
        and isinstance(alarms["in_words"], str)
        and isinstance(alarms.get("detector", ""), str)
        and all(isinstance(note, str) for note in alarms["notes"])
    )
