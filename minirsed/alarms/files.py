"""What a measurement in hours leaves in the run folder, and how the report page reads it again.

    alarms_NAME.json             everything
    alarms_NAME.csv              a row for each alarm, what it is, and for each event that was missed
    alarms_NAME_recordings.csv   a row for each recording
    alarms_NAME_curve.csv        misses and alarms at every threshold
    alarms_NAME.png              the curve, and the alarms over the hours

NAME is a subset, dev or eval, or `recordings` for those that were given.
"""

import csv
import json
import math
from pathlib import Path

import numpy as np

from data_tools.files import atomic_write, read_json
from minirsed.alarms import plots
from minirsed.alarms.counting import HIT, MISPLACED, by_hour, by_recording, curve, judge
from minirsed.alarms.keeping import DEV
from minirsed.alarms.poisson import hours_text, in_words, interval, upper
from minirsed.listening.operating import COUNTS, NAMES, is_evidence

GIVEN = "recordings"  # the name of recordings that are of no subset
N_WORST = 10  # alarms to look at
VERDICTS = ("hit", "misplaced", "false alarm")
CROWDED = 0.5  # share of the alarms in one hour from which on they do not come one by one
LARGEST = 1e9  # number that a page can show


def figures_of(detector, measured, *, run, name):
    """Everything that is known, as JSON-able values.

    Parameters
    ----------
    detector : minirsed.detector.Detector
        Its thresholds, shortest event and smallest gap count.
    measured : minirsed.alarms.measure.Measured
        With its thres1.
    run, name : str
        Run folder, and what the files are called after.

    Returns
    -------
    dict
        Counts (`COUNTS`), hours, n_recordings, false_alarms_per_hour with its interval _95 and one-sided upper_95,
        in_words, thresholds and `chosen` (how they were), by_recording, by_hour, curve (columns), worst_alarms, notes.
    """
    operating = detector.operating
    settings = detector.thres1, operating
    judged = judge(measured, detector.thres0, *settings)
    counts, hours = judged.counts(), measured.hours
    n_false = counts["n_false_alarms"]
    figures = {
        "run": run,
        "name": name,
        "label": measured.label,
        "detector": detector.fingerprint(),
        "thres0": detector.thres0,
        "thres1": detector.thres1,
        **{name: getattr(operating, name) for name in NAMES},
        "chosen": operating.chosen,
        "n_recordings": len(measured.names),
        "hours": hours,
        **counts,
        "false_alarms_per_hour": n_false / hours,
        "false_alarms_per_hour_95": list(interval(n_false, hours)),
        "upper_95": upper(n_false, hours),
        "in_words": f"false alarms: {in_words(n_false, hours)}",
        "by_recording": by_recording(measured, judged),
        "by_hour": by_hour(measured, judged),
        "curve": {
            column: values.tolist()
            for column, values in curve(measured, *settings, also=[detector.thres0])._asdict().items()
        },
        "worst_alarms": _worst(measured, judged),
    }
    return figures | {"notes": list(_notes(figures))}, judged


def _worst(measured, judged):
    """The alarms of the highest p that hit nothing, false ones first."""
    wrong = np.flatnonzero(judged.verdict != HIT)
    order = np.lexsort((-judged.alarms.probability[wrong], judged.verdict[wrong] == MISPLACED))
    rows = []
    for i in wrong[order][:N_WORST].tolist():
        row, onset_s, offset_s, probability = (column[i].item() for column in judged.alarms)
        rows.append(
            {
                "recording": measured.names[row],
                "path": measured.paths[row],
                "onset_s": onset_s,
                "offset_s": offset_s,
                "probability": probability,
                "verdict": VERDICTS[judged.verdict[i]],
            }
        )
    return rows


def _notes(figures):
    """What a reader should know before believing the rate."""
    n_false, chosen = figures["n_false_alarms"], figures["chosen"]
    size = ("n_recordings", "hours")
    for rows, where in (("by_hour", "hour {hour}, which begins in {from}"), ("by_recording", "{recording}")):
        worst = max(figures[rows], key=lambda row: row["n_false_alarms"])
        if n_false >= 5 and len(figures[rows]) > 1 and worst["n_false_alarms"] > CROWDED * n_false:
            yield (
                f"{worst['n_false_alarms']} of {n_false} false alarms are in {where.format(**worst)}: the interval, "
                "for alarms that come one by one, is too narrow"
            )
    others = chosen and chosen["source"] == DEV and figures["name"] == "eval"  # whatever their number and length
    if chosen and not others and all(chosen[name] == figures[name] for name in size):
        yield "the thresholds were chosen on recordings as many and as long, most likely these, so this flatters"
    if chosen and chosen["alarms_per_hour"] < figures["upper_95"]:
        needed = upper(0, 1.0) / chosen["alarms_per_hour"]
        yield (
            f"the promise of {chosen['alarms_per_hour']:g} an hour is not certain from these: the rate is below "
            f"{figures['upper_95']:.2f} at 95 % (one-sided); no alarm in {hours_text(needed)} would make it so"
        )


def write(detector, measured, folder, name=GIVEN):
    """Write all files.

    Parameters
    ----------
    detector, measured : as in `figures_of`
    folder : str or Path
    name : str

    Returns
    -------
    dict
        The figures, with "files", the names of what was written; that is the content of the JSON file.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder = Path(folder)
    figures, judged = figures_of(detector, measured, run=str(folder), name=name)
    stem = f"alarms_{name}"
    figures["files"] = [f"{stem}{end}" for end in (".json", ".csv", "_recordings.csv", "_curve.csv", ".png")]
    description, alarms, recordings, trade, picture = (folder / file for file in figures["files"])
    _write_csv(alarms, ("recording", "onset_s", "offset_s", "probability", "verdict"), sorted(_rows(measured, judged)))
    columns = ("recording", "hours", *COUNTS)
    _write_csv(recordings, columns, [[row[column] for column in columns] for row in figures["by_recording"]])
    _write_csv(trade, figures["curve"], zip(*figures["curve"].values(), strict=True))
    plots.picture(figures, picture)
    with atomic_write(description, "w") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    return figures


def _rows(measured, judged):
    """Alarms and missed events as rows."""
    for *alarm, verdict in zip(*judged.alarms, judged.verdict, strict=True):
        yield measured.names[alarm[0]], *(float(value) for value in alarm[1:]), VERDICTS[verdict]
    missed = measured.reference.where(~judged.is_hit)
    for row, onset_s, offset_s in zip(*missed[:3], strict=True):
        yield measured.names[row], float(onset_s), float(offset_s), "", "missed"


def _write_csv(path, columns, rows):
    with atomic_write(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read(folder, name):
    """The figures that `write` left in a folder; None if there are none.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = Path(folder) / f"alarms_{name}.json"
    return read_json(path, _is_whole, "minirsed.evaluate --recordings writes it again")


def _is_whole(figures):
    """Whether a page can show it."""
    texts = ("label", "detector", "in_words", "name")
    numbers = ("hours", "false_alarms_per_hour", "upper_95", "thres0", "thres1", "min_event_s", "min_gap_s")
    rows = [figures, *figures["by_recording"], *figures["by_hour"]]
    curve_columns = [figures["curve"][name] for name in ("thres0", "n_hits", "n_misplaced", "n_false_alarms")]
    alarms = figures["worst_alarms"]
    chosen = figures["chosen"]
    return (
        all(isinstance(figures[name], str) for name in texts)
        and all(isinstance(note, str) for note in figures["notes"])
        and all(_is_number(figures[name]) for name in numbers)
        and figures["hours"] > 0
        and len(figures["false_alarms_per_hour_95"]) == 2
        and all(map(_is_number, figures["false_alarms_per_hour_95"]))
        and all(_is_count(row[name]) for row in rows for name in COUNTS)
        and all(isinstance(row["recording"], str) and _is_number(row["hours"]) for row in figures["by_recording"])
        and len(figures["by_recording"]) == figures["n_recordings"] > 0 < len(figures["by_hour"])
        and all(
            _is_count(row["hour"]) and isinstance(row["from"], str) and _is_number(row["hours"])
            for row in figures["by_hour"]
        )
        and len(set(map(len, curve_columns))) == 1
        and len(curve_columns[0]) > 0
        and all(_is_number(value) for column in curve_columns for value in column)
        and all(isinstance(alarm[name], str) for alarm in alarms for name in ("recording", "path", "verdict"))
        and all(_is_number(alarm[name]) for alarm in alarms for name in ("onset_s", "offset_s", "probability"))
        and (chosen is None or is_evidence(chosen))
    )


def _is_number(value):
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < LARGEST


def _is_count(value):
    return type(value) is int and 0 <= value < LARGEST
