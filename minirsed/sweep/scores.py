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

from minirsed.analysis.breakdown import RESAMPLES, SEED
from minirsed.analysis.uncertainty import bootstrap_intervals, compare
from minirsed.scoring import FileCounts, scores_from_counts
from minirsed.sweep.plan import SUBSETS, row_key, system_name

FIGURES = ("error_rate", "f1")


class Figure(NamedTuple):
    """A score over seeds; NaN where undefined, `sd` with one seed too."""

    mean: float
    sd: float
    low: float  # 95 % interval of the mean
    high: float
    by_seed: tuple


def over_seeds(values, interval=(np.nan, np.nan)):
    """Figure of a value for each seed."""
    values = np.asarray(values)
    sd = values.std(ddof=1) if len(values) > 1 else np.nan
    return Figure(float(values.mean()), float(sd), *interval, tuple(values.tolist()))


class System(NamedTuple):
    """What names a row of a table: everything that a sweep varies except event and seed."""

    name: str  # as in `plan.system_name`
    alpha: float | None  # None where there is no utterance loss, against which the frame loss could be weighed
    clips: int
    layers: int


class Row(NamedTuple):
    """Cells that differ in their seed alone."""

    settings: object  # TrainSettings of the first
    seeds: tuple
    seconds: float  # of training, all seeds together
    scores: dict  # (subset, figure) → Figure
    counts: dict  # subset → (seeds, N, 4) int array: n_ref, n_sys, n_tp, n_subs of N mixtures

    @property
    def system(self):
        """The `System` of its settings."""
        return system_of(self.settings)


def system_of(s):
    """The `System` of the settings of a cell."""
    return System(system_name(s), s.alpha if s.head == "attention" else None, s.clips, s.layers)


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
    return {name: over_seeds([getattr(own, name) for own in by_seed], getattr(intervals, name)) for name in FIGURES}


def average(rows):
    """The paper's average over events, of rows of one system: Figure by (subset, figure), without interval."""
    found = {}
    for key in rows[0].scores:
        if all(key in row.scores and row.seeds == rows[0].seeds for row in rows):
            found[key] = over_seeds(np.mean([row.scores[key].by_seed for row in rows], axis=0))
    return found


def differences(rows, subset):
    """How far each system's ER is from the lowest, on the same mixtures and seeds.

    Parameters
    ----------
    rows : list of Row
    subset : str
        A key of `minirsed.sweep.plan.SUBSETS`.

    Returns
    -------
    lowest : System or None
        The one with the lowest average over events. None unless at least two systems were scored on all events with
        the seeds of the first row.
    found : dict of System to list of Figure
        For each other system, one Figure per event, in the order of the rows, and then that of the average. The latter
        has an interval if all events have the same number of references, because it is then that of all mixtures
        together.
    """
    events, systems = events_of(rows), {}
    for row in rows:
        if subset in row.counts and row.seeds == rows[0].seeds:
            systems.setdefault(row.system, {})[row.settings.label] = row
    complete = {system: [own[event] for event in events] for system, own in systems.items() if len(own) == len(events)}
    if len(complete) < 2:
        return None, {}
    by_seed = {  # (events, seeds)
        system: np.array([row.scores[subset, "error_rate"].by_seed for row in own]) for system, own in complete.items()
    }
    counts = {  # by event, (N, 4) each, summed over seeds
        system: [row.counts[subset].sum(axis=0) for row in own] for system, own in complete.items()
    }
    lowest = min(complete, key=lambda system: by_seed[system].mean())
    equal = len({own[:, 0].sum() for own in counts[lowest]}) == 1  # so many references in each event
    found = {}
    for system in [system for system in complete if system != lowest]:
        gaps = by_seed[system] - by_seed[lowest]
        pairs = zip(counts[system], counts[lowest], strict=True)
        found[system] = [over_seeds(gap, gap_interval(*pair)) for gap, pair in zip(gaps, pairs, strict=True)]
        whole = [gap_interval(np.concatenate(counts[system]), np.concatenate(counts[lowest]))] if equal else []
        found[system].append(over_seeds(gaps.mean(axis=0), *whole))
    return lowest, found


def gap_interval(counts, lowest):
    """95 % interval of a difference of ER, by bootstrap over the mixtures that both have heard."""
    return compare(counts, lowest, np.random.default_rng(SEED), n_resamples=RESAMPLES).interval


def events_of(rows):
    """Classes of the rows, each once, in their order."""
    return list(dict.fromkeys(row.settings.label for row in rows))
