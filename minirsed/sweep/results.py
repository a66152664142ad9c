"""A sweep's cells put together: tables in the layout of the paper, every figure as CSV, pictures like its Figure 3.

Data flow: `jobs` leaves a result for each cell → **results** → files in the folder of the sweep:

    table.md       ER and F1 by system and event; how far the other systems' ER is from the lowest
    table.csv      the same figures with all digits, one line for each system and event
    figure.png     a panel for each event; over α, or over systems if there is one α

A row is what differs in nothing but the seed. Its mean and standard deviation are over seeds: how much chance in
training and drawing matters. Its 95 % interval is that of the mean over other mixtures of the same kind, by bootstrap
over the mixtures, which are the same for all seeds: their counts are summed over seeds first.

Systems hear the same mixtures, and with the same seed learn from the same ones, so the difference of two is surer than
either: an interval of it that holds 0 says that these mixtures do not tell which is better, a deviation as large as the
difference that these seeds do not.
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.files import atomic_write
from minirsed.breakdown import RESAMPLES, SEED, none_if_nan
from minirsed.scoring import FileCounts, scores_from_counts
from minirsed.sweep.plan import row_key, system_name
from minirsed.uncertainty import bootstrap_intervals, compare

SUBSETS = ("dev", "eval")
FIGURES = ("error_rate", "f1")
PARTS = ("mean", "sd", "low", "high")
COLUMNS = (
    *("event", "system", "arch", "head", "alpha", "clips", "layers", "units", "epochs", "seeds", "minutes"),
    *(f"{subset}_{figure}_{part}" for subset in SUBSETS for figure in FIGURES for part in PARTS),
)


class Figure(NamedTuple):
    """A score over seeds; NaN where undefined, `sd` with one seed too."""

    mean: float
    sd: float
    low: float  # 95 % interval of the mean
    high: float
    by_seed: tuple


class Row(NamedTuple):
    """Cells that differ in their seed alone."""

    settings: object  # TrainSettings of the first
    seeds: tuple
    seconds: float  # of training, all seeds together
    scores: dict  # (subset, figure) → Figure
    counts: dict  # subset → (seeds, N, 4) int array: n_ref, n_sys, n_tp, n_subs of N mixtures

    @property
    def system(self):
        """What of it names a row of a table: everything that a sweep varies but event and seed."""
        s = self.settings
        return system_name(s), s.alpha if s.head == "attention" else None, s.clips, s.layers


def rows_of(results):
    """Put cells that differ in their seed alone together.

    Parameters
    ----------
    results : list of (Cell, dict)
        Finished cells and what `jobs.read_result` gave.

    Returns
    -------
    list of Row
        In the order of their first cells.
    """
    groups = {}
    for cell, result in results:
        groups.setdefault(row_key(cell.settings), []).append((cell, result))
    rows = []
    for group in groups.values():
        scores, counts = {}, {}
        for subset in SUBSETS:
            if all(subset in result for _, result in group):
                counts[subset] = np.array([result[subset]["counts"] for _, result in group])
                scores |= {(subset, name): figure for name, figure in figures(counts[subset]).items()}
        seeds = tuple(cell.settings.seed for cell, _ in group)
        seconds = sum(result["seconds"] for _, result in group)
        rows.append(Row(group[0][0].settings, seeds, seconds, scores, counts))
    return rows


def figures(counts):
    """ER and F1 over seeds.

    Parameters
    ----------
    counts : (seeds, N, 4) int array
        n_ref, n_sys, n_tp, n_subs of N mixtures; the same mixtures for all seeds.

    Returns
    -------
    dict of Figure
        error_rate, f1.
    """
    by_seed = [scores_from_counts(FileCounts((), own, {})) for own in counts]
    intervals = bootstrap_intervals(sum(counts), np.random.default_rng(SEED), n_resamples=RESAMPLES)
    found = {}
    for name in FIGURES:
        values = np.array([getattr(scores, name) for scores in by_seed])
        sd = values.std(ddof=1) if len(values) > 1 else np.nan
        found[name] = Figure(float(values.mean()), float(sd), *getattr(intervals, name), tuple(values.tolist()))
    return found


def average(rows):
    """The paper's average over events, of rows of one system: Figure by (subset, figure), without interval."""
    found = {}
    for key in rows[0].scores:
        if all(key in row.scores and row.seeds == rows[0].seeds for row in rows):
            by_seed = np.mean([row.scores[key].by_seed for row in rows], axis=0)
            sd = by_seed.std(ddof=1) if len(by_seed) > 1 else np.nan
            found[key] = Figure(float(by_seed.mean()), float(sd), np.nan, np.nan, tuple(by_seed.tolist()))
    return found


def differences(rows, subset):
    """How far each system's ER is from the lowest, on the same mixtures and seeds.

    Parameters
    ----------
    rows : list of Row
    subset : {"dev", "eval"}

    Returns
    -------
    lowest : tuple or None
        `Row.system` of the lowest average over events. None if there are no two systems that were scored on all
        events with the seeds of the first row.
    found : dict
        Of each other system one Figure an event, in the order of the rows, and one of the average. The latter has an
        interval if the events have equally many references, so that it is that of all mixtures together.
    """
    events, systems = list(dict.fromkeys(row.settings.label for row in rows)), {}
    for row in rows:
        if subset in row.counts and row.seeds == rows[0].seeds:
            systems.setdefault(row.system, {})[row.settings.label] = row.counts[subset]
    complete = {name: [own[event] for event in events] for name, own in systems.items() if len(own) == len(events)}
    if len(complete) < 2:
        return None, {}
    by_seed = {name: np.array([error_rates(own) for own in counts]) for name, counts in complete.items()}
    lowest = min(complete, key=lambda name: by_seed[name].mean())
    found = {}
    for name, counts in complete.items():
        if name == lowest:
            continue
        pairs = list(zip(counts, complete[lowest], strict=True))
        gaps = by_seed[name] - by_seed[lowest]  # (events, seeds)
        found[name] = [gap_figure(*pair, gap) for pair, gap in zip(pairs, gaps, strict=True)]
        if len({own[0, :, 0].sum() for own in counts}) == 1:
            pairs = [np.concatenate(parts, axis=1) for parts in zip(*pairs, strict=True)]
            found[name].append(gap_figure(*pairs, gaps.mean(axis=0)))
        else:
            found[name].append(gap_figure(None, None, gaps.mean(axis=0)))
    return lowest, found


def error_rates(counts):
    """ER of each seed from (seeds, N, 4) counts."""
    return [scores_from_counts(FileCounts((), own, {})).error_rate for own in counts]


def gap_figure(counts, lowest, by_seed):
    """Figure of a difference; its interval by bootstrap over the mixtures that both have heard."""
    interval = (np.nan, np.nan)
    if counts is not None:
        rng = np.random.default_rng(SEED)
        interval = compare(counts.sum(axis=0), lowest.sum(axis=0), rng, n_resamples=RESAMPLES).interval
    sd = by_seed.std(ddof=1) if len(by_seed) > 1 else np.nan
    return Figure(float(by_seed.mean()), float(sd), *interval, tuple(by_seed.tolist()))


# ---- tables


def markdown(rows):
    """Tables of ER and F1, of each subset that was scored: a row for each system, a column for each event.

    If there are several systems, also how far their ER is from the lowest.
    """
    parts = []
    for subset, subset_name in (("dev", "Development"), ("eval", "Evaluation")):
        for figure, title in (("error_rate", "error rate (lower is better)"), ("f1", "F1, %")):
            if any((subset, figure) in row.scores for row in rows):
                lines = table_lines(rows, subset, figure)
                parts.append(f"{subset_name} mixtures, {title}:\n\n" + "\n".join(lines))
        lines = list(difference_lines(rows, subset))
        if lines:
            parts.append(f"{subset_name} mixtures, {lines[0]}:\n\n" + "\n".join(lines[1:]))
    return "\n\n".join(parts) + "\n"


def table_lines(rows, subset, figure):
    """One figure as a Markdown table, with the average over events if there are several and none lacks."""
    events = list(dict.fromkeys(row.settings.label for row in rows))
    systems = unique_systems(rows)
    names, averaged = system_labels(systems), ["average"] if len(events) > 1 else []
    yield f"| {' | '.join(['', *events, *averaged])} |"
    yield f"|---|{'--:|' * len(events + averaged)}"
    for system in systems:
        own = {row.settings.label: row for row in rows if row.system == system}
        scores = [own[event].scores.get((subset, figure)) if event in own else None for event in events]
        if averaged:
            scores.append(average(list(own.values())).get((subset, figure)) if len(own) == len(events) else None)
        yield f"| {names[system]} | {' | '.join(cell_text(score, figure) for score in scores)} |"


def difference_lines(rows, subset):
    """Title and Markdown table of `differences`; nothing where there are none."""
    events, names = list(dict.fromkeys(row.settings.label for row in rows)), system_labels(unique_systems(rows))
    lowest, found = differences(rows, subset)
    if lowest is not None:
        averaged = ["average"] if len(events) > 1 else []
        yield f"error rate minus that of {names[lowest]}, the lowest{' on average' if averaged else ''}"
        yield f"| {' | '.join(['', *events, *averaged])} |"
        yield f"|---|{'--:|' * len(events + averaged)}"
        for system, gaps in found.items():
            gaps = gaps[: len(events + averaged)]
            yield f"| {names[system]} | {' | '.join(cell_text(gap, 'error_rate', '+') for gap in gaps)} |"


def unique_systems(rows):
    """`Row.system` of all rows, each once, in their order."""
    return list(dict.fromkeys(row.system for row in rows))


def system_labels(systems):
    """Names for tables and legends, with α, clips and layers where they differ among systems of one name."""
    labels = {}
    for system in systems:
        name, alpha, clips, layers = system
        alike = [other for other in systems if other[0] == name]
        words = [name]
        if alpha is not None and len({other[1] for other in alike}) > 1:
            words.append(f"α = {alpha:g}")
        if len({other[2] for other in alike}) > 1:
            words.append(f"{clips} clips")
        if len({other[3] for other in alike}) > 1:
            words.append(f"{layers} layers")
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


def write_results(results, out):
    """Write all files of finished cells.

    Returns
    -------
    table : str
        The text of `table.md`.
    names : list of str
        What was written.
    """
    from minirsed.plots import sweep_figure

    out, rows = Path(out), rows_of(results)
    table = markdown(rows)
    with atomic_write(out / "table.md", "w") as file:
        file.write(table)
    write_csv(rows, out / "table.csv")
    names = ["table.md", "table.csv"]
    for subset in SUBSETS:
        panels = figure_panels(rows, subset)
        if panels:
            name = "figure.png" if subset == "dev" else f"figure_{subset}.png"
            mixtures = {"dev": "development", "eval": "evaluation"}[subset]
            sweep_figure(panels, out / name, f"error rate, {mixtures} mixtures")
            names.append(name)
    return table, names


def figure_panels(rows, subset):
    """What a picture of the error rate shows: event → line → list of (α or None, Figure)."""
    panels = {}
    for row in rows:
        if (subset, "error_rate") in row.scores:
            name, alpha, clips, layers = row.system
            lines = panels.setdefault(row.settings.label, {})
            lines.setdefault((name, None, clips, layers), []).append((alpha, row.scores[subset, "error_rate"]))
    every = list(dict.fromkeys(key for lines in panels.values() for key in lines))
    names = system_labels(every)
    return {event: {names[key]: points for key, points in lines.items()} for event, lines in panels.items()}
