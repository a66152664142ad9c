"""`metrics.csv`: a row of losses and scores for each epoch of a run, and which of them is the best."""

import csv
import math
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import atomic_write

METRICS_FILE = "metrics.csv"
METRICS = (
    *("epoch", "train_loss", "train_utterance_loss", "train_frame_loss", "dev_loss", "dev_error_rate", "dev_f1"),
    *("grad_norm", "seconds"),
)
UNDEFINED_ALLOWED = ("dev_error_rate", "dev_f1")  # None where the development set has no event


def best_epoch(history, keep="best"):
    """Number of the epoch with the lowest development ER, of equals the one with the lowest loss; 0: none yet.

    With `keep` last it is the last one, if its ER is defined.
    """
    ranked = [row for row in history if row["dev_error_rate"] is not None]
    if keep == "last":
        return ranked[-1]["epoch"] if ranked else 0
    return min(ranked, key=lambda row: (row["dev_error_rate"], row["dev_loss"]))["epoch"] if ranked else 0


def finite(value):
    """A figure as a row holds it: None where it is undefined."""
    return float(value) if math.isfinite(value) else None


def write_metrics(folder, history):
    """Write the rows of a run, dicts with the keys `METRICS`."""
    with atomic_write(Path(folder) / METRICS_FILE, "w") as file:
        writer = csv.DictWriter(file, METRICS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: "" if row[name] is None else row[name] for name in METRICS} for row in history)


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
