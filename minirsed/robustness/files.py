"""What a measurement of robustness leaves in the run folder, and how the report page reads it again.

robust_SUBSET.json    the dict of `minirsed.robustness.measure.measure`
robust_SUBSET.csv     the same as a table: a row for each change, then one for each guard, of which only p is known
robust_SUBSET.png     picture of it
CLASS/…               of several classes, the same for each; those above are of all together, and the table has a column
                      for each class, error_rate/CLASS, and p, probability/CLASS
"""

import csv
import json
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import atomic_write
from minirsed.robustness import plots
from minirsed.store.files import plain_name

COUNTS = ("n_clips", "n_ref", "n_sys", "n_tp", "n_missed", "n_misplaced", "n_false_alarms")
RATES = ("error_rate", "error_rate_difference")  # each with an interval
FIELDS = {  # of the rows that a page shows, and what is allowed there
    "changes": {"change": str} | dict.fromkeys(COUNTS, int) | dict.fromkeys(RATES, float),
    "guards": {"sound": str, "rate_hz": int, "probability": float, "is_detected": bool},
}
LARGEST = 1e9  # number that a page can show


def names(subset):
    """File names of a subset: JSON, CSV, PNG."""
    return [f"robust_{subset}.{ending}" for ending in ("json", "csv", "png")]


def write(figures, folder):
    """Write the three files.

    Parameters
    ----------
    figures : dict
        As of `minirsed.robustness.measure.measure_run`.
    folder : str or Path

    Returns
    -------
    dict
        The figures, with "files", the names of what was written; that is the content of the JSON file, "classes" apart.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    classes, written = figures.get("classes", {}), names(figures["subset"])
    for label, own in classes.items():
        place = Path(folder) / plain_name(label)
        place.mkdir(exist_ok=True)
        about = {"run": str(place), "subset": figures["subset"]}
        classes = classes | {label: write(about | own, place)}
    folders = [f"{plain_name(label)}/" for label in classes]
    figures = {name: value for name, value in figures.items() if name != "classes"} | {"files": written + folders}
    description, table, picture = (Path(folder) / name for name in written)
    plots.picture(figures, picture)
    _write_table(figures, table)
    with atomic_write(description, "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    return figures | ({"classes": classes} if classes else {})


def _write_table(figures, path):
    edges = [f"{rate}_{edge}" for rate in RATES for edge in ("low", "high")]
    columns = ["change", *COUNTS, "error_rate", *edges[:2], "error_rate_difference", *edges[2:], "probability"]
    columns += [f"{figure}/{label}" for figure in ("error_rate", "probability") for label in figures.get("labels", ())]

    def of_each(row, figure):
        return {f"{figure}/{label}": value for label, value in row.get("classes", {}).items()}

    with atomic_write(path, "w") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
        writer.writeheader()
        for change in figures["changes"]:
            row = {name: change[name] for name in ("change", *COUNTS, *RATES)} | of_each(change, "error_rate")
            row |= dict(zip(edges, (edge for rate in RATES for edge in change[f"{rate}_95"]), strict=True))
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
        for guard in figures["guards"]:
            row = {"change": guard_name(guard), "probability": guard["probability"]}
            writer.writerow(row | of_each(guard, "probability"))


def guard_name(guard):
    """`white noise at 8 kHz`."""
    return f"{guard['sound']} at {guard['rate_hz'] / 1000:g} kHz"


def read(folder, subset):
    """The figures that `write` left in a folder; None if there are none.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = Path(folder) / names(subset)[0]
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        labels = figures.get("labels", [])
        is_whole = (
            isinstance(figures["label"], str)
            and isinstance(figures["detector"], dict)
            and _is_value(figures["n_clips"], int)
            and all(isinstance(note, str) for note in figures["notes"])
            and len(figures["changes"]) > 0
            and all(isinstance(label, str) for label in labels)
            and all(_is_row(row, FIELDS[rows], labels) for rows in FIELDS for row in figures[rows])
        )
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        is_whole = False
    if not is_whole:
        raise InputError(f"{path}: damaged; minirsed.evaluate --robust writes it again")
    return figures


def _is_row(row, fields, labels):
    """Whether a row has these fields, an interval of two numbers for each rate, and a number for each of the labels.

    Undefined numbers are None.
    """
    of_class = row.get("classes", {})
    if list(of_class) != labels or not all(_is_value(value, float) for value in of_class.values()):
        return False
    intervals = {name: row[f"{name}_95"] for name in RATES if name in fields}
    return all(_is_value(row[name], kind) for name, kind in fields.items()) and all(
        len(edges) == 2 and all(_is_value(edge, float) and (edge is None) == (row[name] is None) for edge in edges)
        for name, edges in intervals.items()
    )


def _is_value(value, kind):
    if kind is float:
        return value is None or (type(value) in (int, float) and abs(value) < LARGEST)
    return type(value) is kind and (kind is not int or 0 <= value < LARGEST)
