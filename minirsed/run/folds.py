"""Cross-validation: a run for each fold, tried on recordings that it has not learnt from, and one score of them all.

Data flow: settings → `session` trains K ordinary runs → **folds** → folds.csv and folds.json beside them:

    OUT/fold-1 … fold-K    run folders as of any training; with fold.json, written last, a fold is finished
    OUT/folds.csv          a row for each fold and one for all of them
    OUT/folds.json         the same, with intervals

The counts of all folds' development mixtures are put together, as if one detector had been tried on every recording.
What is scored is the way of training; the detector to use is one that is trained on everything. With
`keep` best each run keeps the epoch that is best on its own fold, and that choice flatters. So the score of the last
epoch, which nothing chose, stands beside it. The promise of so many false alarms an hour is for the detector to use:
folds keep an epoch and thresholds for it only if `keep` says so, each on its own fold.

Recordings of all classes are dealt at once (`data_tools.banks.folds`). Of several classes each is put together by
itself, as if it were alone, and then their average; the tables have rows for each of them.
"""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write, exclusive
from data_tools.inventory import holding_of, recordings_of
from data_tools.soundbank import open_bank
from minirsed.analysis.breakdown import figures_of_counts
from minirsed.analysis.several import average_figures
from minirsed.run.checkpoint import has_checkpoint
from minirsed.run.folder import CONFIG, require_settings
from minirsed.run.metrics import OF_CLASS
from minirsed.run.session import train
from minirsed.scoring import count_events
from minirsed.several.evaluation import by_class
from minirsed.store.mixtures import recipes_of

RESULT = "fold.json"
COLUMNS = (
    "fold", "n_event_recordings", "n_background_recordings", "n_clips", "n_ref", "n_sys", "n_tp", "n_fn", "n_fp",
    "error_rate", "f1", "last_error_rate", "best_epoch", "seconds",
)  # fmt: skip


def cross_validate(settings, n_folds, out=None, *, say=print, **options):
    """Train on each fold and put the scores together; what is finished already is not done again.

    Parameters
    ----------
    settings : minirsed.run.settings.TrainSettings
        Without a fold.
    n_folds : int ≥ 2
    out : str or Path, optional
        Folder of the runs, by default runs/CLASS-folds. What was begun there with the same settings is continued.
    say : callable
        As in `minirsed.run.session.train`.
    **options
        For `train`: machine, stop, save_every_s, tensorboard, command, progress.

    Returns
    -------
    dict
        What folds.json holds: label, data, n_folds; "folds", a list of dicts of COLUMNS; "pooled", the figures of all
        folds together as of `minirsed.analysis.breakdown.figures`, with last_error_rate and made_of. Of several classes
        these are of the average, which has no counts, and "classes" has them for each.

    Raises
    ------
    InputError
        Sounds, settings or folder cannot be used: too few recordings for so many folds, runs with other settings or
        sounds in `out`.
    Stopped
        As `train`; called again, it continues.
    """
    if settings.fold:
        raise InputError(f"--fold {settings.fold}: with --folds, all folds are trained; leave it out")
    out = Path("runs") / f"{settings.label}-folds" if out is None else Path(out)
    folds = [dataclasses.replace(settings, fold=f"{k}/{n_folds}") for k in range(1, n_folds + 1)]
    banks = [_bank_of(own) for own in folds]
    out.mkdir(parents=True, exist_ok=True)
    with exclusive(out / "lock", "cross-validating in"):
        folders = [out / f"fold-{k}" for k in range(1, n_folds + 1)]
        for folder, own in zip(folders, folds, strict=True):
            require_settings(folder, own)
        results = []
        for k, (folder, own, bank) in enumerate(zip(folders, folds, banks, strict=True), 1):
            result = read_result(folder, bank, settings.labels)
            say(f"fold {k} of {n_folds}" + (f": finished already, in {folder}" if result else ""))
            if result is None:
                resume = has_checkpoint(folder) or (folder / CONFIG).exists()
                run, dev = train(own, folder, resume=resume, say=say, **options)
                write_result(folder, bank, run, dev)
                result = read_result(folder, bank, settings.labels)
                say("")
            results.append(result)
        of_results = averaged(results, settings.labels) if settings.labels else pooled(results)
        found = {"label": settings.label, "data": settings.data, "n_folds": n_folds, **of_results}
        write_table(out, found)
    say(table(found))
    say(f"\n{out}: fold-1 … fold-{n_folds} (runs), folds.csv, folds.json")
    return found


def _bank_of(settings):
    """The sounds of a fold. InputError: it has no recordings of something, and the message says how many there are."""
    bank = open_bank(settings.data, fold=settings.fold)
    for label in settings.classes:
        bank.events(label, "dev")
    bank.backgrounds("dev")
    return bank


def write_result(folder, bank, run, dev):
    """What a finished fold contributes: counts and recordings of its mixtures, which epoch, how long."""
    s, history = run.settings, run.history
    recipes = recipes_of(bank, s, "dev")
    classes = {}
    for label, evaluation in by_class(dev).items():
        own = _contribution(bank, [recipe.of_class(label) for recipe in recipes], evaluation)
        classes[label] = own | {"last_error_rate": history[-1][OF_CLASS.format("dev_error_rate", label)]}
    result = {
        "bank": bank.fingerprint(),
        **({"classes": classes} if classes else _contribution(bank, recipes, dev)),
        "best_epoch": run.best_epoch,
        "last_error_rate": history[-1]["dev_error_rate"],
        "seconds": sum(row["seconds"] for row in history),
    }
    with atomic_write(folder / RESULT, "w") as file:
        json.dump(result, file)


def _contribution(bank, recipes, evaluation):
    """What is counted of one class, and what that was made of."""
    return {
        "counts": count_events(evaluation.reference, evaluation.estimated).overall.tolist(),
        "recordings": recordings_of(bank, recipes),
        "made_of": holding_of(bank, "dev", recipes)._asdict(),
    }


def read_result(folder, bank, labels=()):
    """What a finished fold left, of the only class or of several `labels`; None if it is not finished.

    Raises
    ------
    InputError
        Damaged, or of other sounds.
    """
    path = folder / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        is_whole = "best_epoch" in result
        for own in [result["classes"][label] for label in labels] or [result]:
            own["counts"] = np.array(own["counts"], np.int64).reshape(-1, 4)
            own["recordings"] = [(event, background) for event, background in own["recordings"]]
            is_whole &= len(own["recordings"]) == len(own["counts"]) > 0 and "made_of" in own
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{path}: damaged; delete it to have the fold done again")
    if result["bank"] != bank.fingerprint():
        raise InputError(f"{folder}: its sounds have changed since; choose another --out")
    return result


def pooled(results):
    """Figures of each fold, and of all folds' mixtures together with intervals: {"folds": …, "pooled": …}."""
    folds = []
    for k, result in enumerate(results, 1):
        own = figures_of_counts(result["counts"])
        folds.append({name: (own | result["made_of"] | result | {"fold": k})[name] for name in COLUMNS})
    recordings = [pair for result in results for pair in result["recordings"]]
    every = figures_of_counts(np.concatenate([result["counts"] for result in results]), recordings)
    n_ref, last = [fold["n_ref"] for fold in folds], [fold["last_error_rate"] for fold in folds]
    every["last_error_rate"] = None if None in last else float(np.dot(n_ref, last) / sum(n_ref))
    every["made_of"] = {name: sum(result["made_of"][name] for result in results) for name in results[0]["made_of"]}
    return {"folds": folds, "pooled": every}


def averaged(results, labels):
    """`pooled` of each of several classes, and of their average: {"folds": …, "pooled": …, "classes": …}."""
    own = {label: [result | result["classes"][label] for result in results] for label in labels}
    classes = {label: pooled(each) for label, each in own.items()}
    folds = []
    for k, result in enumerate(results, 1):
        counts = {label: each["counts"] for label, each in result["classes"].items()}
        row = average_figures(counts) | result | {"fold": k, "n_clips": len(counts[labels[0]])}
        folds.append({name: row[name] for name in COLUMNS if name in row})
    counts = {label: np.concatenate([each["counts"] for each in own[label]]) for label in labels}
    recordings = {label: [pair for each in own[label] for pair in each["recordings"]] for label in labels}
    last = [each["pooled"]["last_error_rate"] for each in classes.values()]
    every = {"n_clips": len(counts[labels[0]])} | average_figures(counts, recordings)
    every["last_error_rate"] = None if None in last else float(np.mean(last))
    return {"folds": folds, "pooled": every, "classes": classes}


def _parts(found):
    """(class, its figures, the rows of its folds and of all together); of several classes the last is the average."""
    parts = [*found.get("classes", {}).items(), ("average" if "classes" in found else found["label"], found)]
    for label, own in parts:
        every = own["pooled"] | own["pooled"].get("made_of", {}) | {"fold": "all"}
        yield label, own, [*own["folds"], every | {"seconds": sum(fold["seconds"] for fold in own["folds"])}]


def write_table(out, found):
    """folds.csv and folds.json."""
    columns = ("class", *COLUMNS) if "classes" in found else COLUMNS
    with atomic_write(out / "folds.csv", "w") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for label, _, rows in _parts(found):
            writer.writerows(row | {"class": label} for row in rows)
    with atomic_write(out / "folds.json", "w") as file:
        json.dump(found, file, indent=2)
        file.write("\n")


def table(found):
    """The scores for people."""
    text = "\n\n".join("\n".join(_lines(label, own["pooled"], rows)) for label, own, rows in _parts(found))
    if any(fold["error_rate"] != fold["last_error_rate"] for fold in found["folds"]):
        text += (
            "\neach run's epoch, and with --keep promise its thresholds, was chosen on its own fold, which flatters;\n"
            "nothing chose the last epoch, which is scored with the thresholds of a new detector"
        )
    return text


def _lines(label, every, rows):
    """Scores of one class or of the average, which has no counts."""
    counts = ("n_ref", "n_sys", "n_tp", "n_fn", "n_fp")
    yield f"{label:12} recordings  events  found   hits misses  false     ER     F1  best epoch  ER of the last"
    for row in rows:
        yield (
            f"fold {row['fold']:<7} {row.get('n_event_recordings', ''):10}  "
            + " ".join(f"{row.get(name, ''):6}" for name in counts)
            + f"  {_rate(row['error_rate']):>5}  {_rate(row['f1']):>5}  {row.get('best_epoch', ''):>10}  "
            + f"{_rate(row['last_error_rate']):>14}"
        )
    for name, figure in (("ER", "error_rate"), ("F1", "f1")):
        over = {"mixtures": every[f"{figure}_95"], "recordings": every[f"{figure}_95_by_recording"]}
        spans = ", ".join(f"{_rate(low)} … {_rate(high)} over {what}" for what, (low, high) in over.items())
        yield f"{name} of all folds, 95 %: {spans}"


def _rate(value):
    return "-" if value is None else f"{value:.2f}"
