"""`metrics.csv`: a row of losses and scores for each epoch of a run, and which of them is the best."""

import csv
import math
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import atomic_write
from minirsed.alarms.keeping import rank
from minirsed.several.evaluation import by_class

METRICS_FILE = "metrics.csv"
METRICS = (
    *("epoch", "train_loss", "train_utterance_loss", "train_frame_loss", "dev_loss", "dev_error_rate", "dev_f1"),
    *("grad_norm", "seconds"),
)
PROMISE = ("promise_misses", "promise_false_alarms", "promise_thres0")  # further columns of runs that keep for it
UNDEFINED_ALLOWED = ("dev_error_rate", "dev_f1")  # None where the development set has no event
OF_CLASS = "{}/{}"  # the column of one of several classes, dev_f1/babycry; dev_f1 is then the average of the classes


def best_epoch(history, keep="best"):
    """Number of the epoch with the lowest development ER, of equals the one with the lowest loss; 0: none yet.

    With `keep` last it is the last one, if its ER is defined; with promise the one that misses least among those with
    thresholds for it, of equals the one with the fewest alarms, and then with the lowest loss.
    """
    if keep == "promise":
        return min(history, key=rank)["epoch"] if history else 0
    ranked = [row for row in history if row["dev_error_rate"] is not None]
    if keep == "last":
        return ranked[-1]["epoch"] if ranked else 0
    return min(ranked, key=lambda row: (row["dev_error_rate"], row["dev_loss"]))["epoch"] if ranked else 0


def class_columns(labels):
    """Further columns of runs of several classes."""
    return {OF_CLASS.format(name, label) for name in UNDEFINED_ALLOWED for label in labels}


def scores_of(dev):
    """ER and F1 of an evaluation, as a row has them; of several classes, those of the average and of each."""
    row = _rates(dev.scores)
    for label, own in by_class(dev).items():
        row |= {OF_CLASS.format(name, label): value for name, value in _rates(own.scores).items()}
    return row


def _rates(scores):
    return {"dev_error_rate": finite(scores.error_rate), "dev_f1": finite(scores.f1)}


def finite(value):
    """A figure as a row holds it: None where it is undefined."""
    return float(value) if math.isfinite(value) else None


def write_metrics(folder, history):
    """Write the rows of a run, dicts with the keys `METRICS` and perhaps `PROMISE` and `class_columns`."""
    with atomic_write(Path(folder) / METRICS_FILE, "w") as file:
        further = history[0].keys() - {*METRICS} if history else set()
        promise = [name for name in PROMISE if name in further]
        columns = (*METRICS[:-1], *promise, *sorted(further - {*PROMISE}), METRICS[-1])
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if row[name] is None else row[name] for name in columns} for row in history)


def read_metrics(folder):
    """Rows of a run's `metrics.csv`, numbers by column, None where undefined; no rows without the file.

    Raises
    ------
    InputError
        Damaged.
    """
    path = Path(folder) / METRICS_FILE
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [
                {name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)
            ]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged: {error}") from error
