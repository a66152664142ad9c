"""What a sweep leaves to be looked at: tables in the layout of the paper, pictures like its Figure 3.

Data flow: jobs → scores → **results** → files in the folder of the sweep:

    table.md       ER and F1 by system and event; how far the other systems' ER is from the lowest, or from --than
    table.csv      the same figures with all digits, one line for each system and event
    figure.png     a panel for each event; over α, or over systems if there is one α
    curves.png     a panel for each event; development ER after each epoch
"""

import csv
import io
from pathlib import Path

import numpy as np

from data_tools.files import atomic_write
from minirsed.analysis.breakdown import none_if_nan
from minirsed.run.metrics import read_metrics
from minirsed.sweep.plan import SUBSETS, size_text, system_name
from minirsed.sweep.scores import FIGURES, average, differences, events_of, rows_of, system_of

PARTS = ("mean", "sd", "low", "high")
COLUMNS = (
    *("event", "system", "arch", "head", "alpha", "clips", "layers", "units", "epochs", "seeds", "minutes"),
    *(f"{subset}_{figure}_{part}" for subset in SUBSETS for figure in FIGURES for part in PARTS),
)


def markdown(rows, than=None):
    """Tables of ER and F1, of each subset that was scored: a row for each system, a column for each event.

    If there are several systems, also how far their ER is from the lowest, or from that of the name `than`. At the end,
    what was trained.
    """
    parts = []
    for subset, mixtures in SUBSETS.items():
        for figure, title in (("error_rate", "error rate (lower is better)"), ("f1", "F1, %")):
            if any((subset, figure) in row.scores for row in rows):
                lines = table_lines(rows, subset, figure)
                parts.append(f"{mixtures}, {title}:\n\n" + "\n".join(lines))
        lines = difference_lines(rows, subset, than)
        if lines:
            parts.append(f"{mixtures}, {lines[0]}:\n\n" + "\n".join(lines[1:]))
    over = "recordings" if all(all(row.recordings.values()) for row in rows) else "mixtures"
    parts += [f"mean ± standard deviation over seeds (95 % interval over {over})", "\n".join(size_lines(rows))]
    return "\n\n".join(parts) + "\n"


def size_lines(rows):
    """What was trained, a line for all systems that have it in common."""
    names, lines = system_labels(unique_systems(rows)), {}
    for row in rows:
        seeds = f"{'seeds' if len(row.seeds) > 1 else 'seed'} {' '.join(map(str, row.seeds))}"
        lines.setdefault(f"{size_text(row.settings)}; {seeds}", {})[names[row.system]] = None
    return [f"- {'; '.join(systems)}: {size}" for size, systems in lines.items()]


def table_lines(rows, subset, figure):
    """One figure as a Markdown table, with the average over events if there are several and none is missing."""
    events, systems, lines = events_of(rows), unique_systems(rows), {}
    for system in systems:
        own = {row.settings.label: row for row in rows if row.system == system}
        lines[system] = [own[event].scores.get((subset, figure)) if event in own else None for event in events]
        lines[system].append(average(list(own.values())).get((subset, figure)) if len(own) == len(events) else None)
    return lines_of(events, lines, system_labels(systems), figure)


def difference_lines(rows, subset, than=None):
    """Title and Markdown table of `differences`; nothing where there are none."""
    events, names = events_of(rows), system_labels(unique_systems(rows))
    lowest, found = differences(rows, subset, than)
    if not found:
        return []
    other = than or f"{names[lowest]}, the lowest{' on average' if len(events) > 1 else ''}"
    return [f"error rate minus that of {other}", *lines_of(events, found, names, "error_rate", "+")]


def lines_of(events, lines, names, figure, sign=""):
    """Markdown of a table of figures: one for each event and the average, which is shown if there are several."""
    columns = [*events, *(["average"] if len(events) > 1 else [])]
    yield f"| {' | '.join(['', *columns])} |"
    yield f"|---|{'--:|' * len(columns)}"
    for system, values in lines.items():
        cells = [cell_text(value, figure, sign) for value in values[: len(columns)]]
        yield f"| {names[system]} | {' | '.join(cells)} |"


def unique_systems(rows):
    """`Row.system` of all rows, each once, in their order."""
    return list(dict.fromkeys(row.system for row in rows))


def system_labels(systems):
    """Names for tables and legends, with α, clips and layers where they differ among systems of one name."""
    labels = {}
    for system in systems:
        namesakes = [other for other in systems if other.name == system.name]
        words = [system.name]
        if system.alpha is not None and len({other.alpha for other in namesakes}) > 1:
            words.append(f"α = {system.alpha:g}")
        if len({other.clips for other in namesakes}) > 1:
            words.append(f"{system.clips} clips")
        if len({other.layers for other in namesakes}) > 1:
            words.append(f"{system.layers} layers")
        labels[system] = ", ".join(words)
    return labels


def cell_text(figure, name, sign=""):
    """`0.13 ± 0.02 (0.10 … 0.17)`: mean, standard deviation over seeds, 95 % interval; F1 in per cent.

    With the sign `+`, mean and interval show theirs, as differences do.
    """
    if figure is None or np.isnan(figure.mean):
        return "-"
    scale, digits = (100, 1) if name == "f1" else (1, 2)
    mean, _, low, high = (f"{scale * value:{sign}.{digits}f}".replace("-", "−") for value in figure[:4])
    sd = f"{scale * figure.sd:.{digits}f}"
    text = mean if np.isnan(figure.sd) else f"{mean} ± {sd}"
    return text if np.isnan(figure.low) else f"{text} ({low} … {high})"


def write_csv(rows, path):
    """One line for each row of `rows_of`, with the columns `COLUMNS`; undefined figures are left empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        s = row.settings
        line = {name: getattr(s, name) for name in ("arch", "head", "alpha", "clips", "layers", "units", "epochs")}
        line |= {"event": s.label, "system": system_name(s), "seeds": " ".join(map(str, row.seeds))}
        line["minutes"] = round(row.seconds / 60, 2)
        for (subset, figure), values in row.scores.items():
            line |= {f"{subset}_{figure}_{part}": none_if_nan(getattr(values, part)) for part in PARTS}
        writer.writerow(line)
    with atomic_write(path, "w") as file:
        file.write(buffer.getvalue())


def write_results(results, out, than=None, n_planned=0):
    """Write all files of finished cells.

    Parameters
    ----------
    results : list of (Cell, dict)
        As for `rows_of`.
    out : str or Path
        Folder of the sweep; the learning curves are read from the run folders in it.
    than : str, optional
        What systems are compared with, as in `minirsed.sweep.scores.differences`.
    n_planned : int
        Cells of the sweep; if fewer are finished, the table says so.

    Returns
    -------
    table : str
        The text of `table.md`.
    names : list of str
        What was written.
    """
    from minirsed.analysis.plots import sweep_curves, sweep_figure

    out, rows = Path(out), rows_of(results)
    table = markdown(rows, than)
    if len(results) < n_planned:
        table += f"\n{n_planned - len(results)} of {n_planned} trainings are missing\n"
    with atomic_write(out / "table.md", "w") as file:
        file.write(table)
    write_csv(rows, out / "table.csv")
    names = ["table.md", "table.csv"]
    for subset in ("dev", "eval"):
        panels = figure_panels(rows, subset)
        if panels:
            name = "figure.png" if subset == "dev" else f"figure_{subset}.png"
            sweep_figure(panels, out / name, f"error rate, {SUBSETS[subset].lower()}")
            names.append(name)
    panels = curve_panels([cell for cell, _ in results], out)
    if panels:
        sweep_curves(panels, out / "curves.png", "error rate, development mixtures")
        names.append("curves.png")
    return table, names


def curve_panels(cells, out):
    """Development ER by epoch: event → name of a system → (seeds, epochs) array; of cells with `metrics.csv`."""
    names, panels = system_labels(list(dict.fromkeys(system_of(cell.settings) for cell in cells))), {}
    for cell in cells:
        history = read_metrics(out / cell.name)
        if history:
            lines = panels.setdefault(cell.settings.label, {})
            errors = np.array([row["dev_error_rate"] for row in history], float)  # NaN where undefined
            lines.setdefault(names[system_of(cell.settings)], []).append(errors)
    return {event: {name: np.array(seeds) for name, seeds in lines.items()} for event, lines in panels.items()}


def figure_panels(rows, subset):
    """What a picture of the error rate shows: event → line → list of (α or None, Figure)."""
    panels = {}
    for row in rows:
        if (subset, "error_rate") in row.scores:
            line, lines = row.system._replace(alpha=None), panels.setdefault(row.settings.label, {})
            lines.setdefault(line, []).append((row.system.alpha, row.scores[subset, "error_rate"]))
    names = system_labels(list(dict.fromkeys(line for lines in panels.values() for line in lines)))
    return {event: {names[line]: points for line, points in lines.items()} for event, lines in panels.items()}
