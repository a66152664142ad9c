"""A sweep's cells put together: rows over seeds, their spread, how far systems are apart.

Data flow: `jobs` leaves a result for each cell → **scores** → results.

A row is what differs in nothing but the seed. Its mean and standard deviation are over seeds: how much chance in
training and drawing matters. Its 95 % interval is that of the mean over other mixtures of the same kind, by bootstrap
over the mixtures, which are the same for all seeds: their counts are summed over seeds first.

Systems hear the same mixtures, and with the same seed learn from the same ones, so the difference of two is surer than
either: an interval of it that holds 0 says that these mixtures do not tell which is better, a deviation as large as the
difference that these seeds do not.
"""

from typing import NamedTuple

import numpy as np

from minirsed.breakdown import RESAMPLES, SEED
from minirsed.scoring import FileCounts, scores_from_counts
from minirsed.sweep.plan import row_key, system_name
from minirsed.uncertainty import bootstrap_intervals, compare

SUBSETS = ("dev", "eval")
FIGURES = ("error_rate", "f1")


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
        return system_of(self.settings)


def system_of(s):
    """`Row.system` of the settings of a cell."""
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
