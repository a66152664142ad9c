"""A sweep's cells put together: rows over seeds, their spread, how far systems are apart.

Data flow: `jobs` leaves a result for each cell → **scores** → results.

A row is what differs in nothing but the seed. Its mean and standard deviation are over seeds: how much chance in
training and drawing matters. Its 95 % interval is that of the mean over other recordings of the same kind, or over
other mixtures where it is not known of which recordings they are (`minirsed.analysis.uncertainty`). The mixtures are
the same for all seeds: their counts are summed over seeds first. In an average over events, the recordings of each
event are drawn by themselves, although events share backgrounds.

Systems hear the same mixtures, and with the same seed learn from the same ones, so the difference of two is surer than
either: an interval of it that holds 0 says that these recordings do not tell which is better, a deviation as large as
the difference that these seeds do not.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from data_tools.errors import InputError
from minirsed.analysis.breakdown import RESAMPLES, SEED
from minirsed.analysis.uncertainty import bootstrap_intervals, errors_of, percentiles, resample
from minirsed.scoring import FileCounts, scores_from_counts
from minirsed.sweep.plan import SUBSETS, row_key, system_name

FIGURES = ("error_rate", "f1")
CONFIDENCE = 0.95
NO_INTERVAL = (np.nan, np.nan)


class Figure(NamedTuple):
    """A score over seeds; NaN where undefined, `sd` with one seed too."""

    mean: float
    sd: float
    low: float  # 95 % interval of the mean
    high: float
    by_seed: tuple


def over_seeds(values, interval=NO_INTERVAL):
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
    recordings: dict  # subset → N pairs of `data_tools.inventory.recordings_of`; None if some row has none

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

    Raises
    ------
    InputError
        Cells of an event were scored on other mixtures.
    """
    require_same_mixtures(results)
    groups = {}
    for cell, result in results:
        groups.setdefault(row_key(cell.settings), []).append((cell, result))
    known = all(result[subset].get("recordings") for _, result in results for subset in result.keys() & SUBSETS.keys())
    rows = []
    for group in groups.values():
        scores, counts, recordings = {}, {}, {}
        for subset in SUBSETS:
            if all(subset in result for _, result in group):
                counts[subset] = np.array([result[subset]["counts"] for _, result in group])
                recordings[subset] = group[0][1][subset]["recordings"] if known else None
                found = figures(counts[subset], recordings[subset])
                scores |= {(subset, name): figure for name, figure in found.items()}
        seeds = tuple(cell.settings.seed for cell, _ in group)
        seconds = sum(result["seconds"] for _, result in group)
        rows.append(Row(group[0][0].settings, seeds, seconds, scores, counts, recordings))
    return rows


def require_same_mixtures(results):
    """InputError: two cells of an event were scored on other mixtures or sounds, which changed between them."""
    first = {}
    for cell, result in results:
        for subset in [name for name in SUBSETS if name in result]:
            own = result.get("sounds"), result[subset].get("mixtures"), result[subset].get("recordings")
            name, others = first.setdefault((cell.settings.label, subset), (cell.name, own))
            if any(one and other and one != other for one, other in zip(own, others, strict=True)):
                raise InputError(
                    f"{name} and {cell.name} were scored on different {subset} mixtures, as the sounds changed "
                    "between them; move one of these folders away, or choose another --out"
                )


def figures(counts, recordings=None):
    """ER and F1 over seeds.

    Parameters
    ----------
    counts : (seeds, N, 4) int array
        n_ref, n_sys, n_tp, n_subs of N mixtures; the same mixtures for all seeds.
    recordings : list of N pairs, optional
        Those of the mixtures, for intervals over recordings.

    Returns
    -------
    dict of Figure
        error_rate, f1.
    """
    by_seed = [scores_from_counts(FileCounts((), own, {})) for own in counts]
    intervals = bootstrap_intervals(
        sum(counts), np.random.default_rng(SEED), recordings=recordings, n_resamples=RESAMPLES, confidence=CONFIDENCE
    )
    return {name: over_seeds([getattr(own, name) for own in by_seed], getattr(intervals, name)) for name in FIGURES}


def average(rows):
    """The paper's average over events, of rows of one system: Figure by (subset, figure); F1 has no interval."""
    found = {}
    for subset, figure in rows[0].scores:
        if all((subset, figure) in row.scores and row.seeds == rows[0].seeds for row in rows):
            values = np.mean([row.scores[subset, figure].by_seed for row in rows], axis=0)
            interval = mean_interval(rows, subset) if figure == "error_rate" else NO_INTERVAL
            found[subset, figure] = over_seeds(values, interval)
    return found


def differences(rows, subset, than=None):
    """How far each system's ER is from that of another, on the same mixtures and seeds.

    Parameters
    ----------
    rows : list of Row
    subset : str
        A key of `minirsed.sweep.plan.SUBSETS`.
    than : str, optional
        Name of the other, as in `minirsed.sweep.plan.system_name`; of several with that name, the one with the same α,
        clips and layers. Without it, the other is the system with the lowest average over events.

    Returns
    -------
    lowest : System or None
        That with the lowest average. None unless at least two systems were scored on all events with the seeds that
        most rows have.
    found : dict of System to list of Figure
        For each system that has an other, one Figure per event, in the order of the rows, and then that of the average.
    """
    events, systems = events_of(rows), {}
    seeds, _ = Counter(row.seeds for row in rows).most_common(1)[0]  # of equals, the first
    for row in rows:
        if subset in row.counts and row.seeds == seeds:
            systems.setdefault(row.system, {})[row.settings.label] = row
    complete = {system: [own[event] for event in events] for system, own in systems.items() if len(own) == len(events)}
    if len(complete) < 2:
        return None, {}
    lowest = min(
        complete, key=lambda system: np.mean([row.scores[subset, "error_rate"].by_seed for row in complete[system]])
    )
    found = {}
    for system, own in complete.items():
        other = counterpart(system, than, complete) if than else lowest
        if other not in (system, None):
            pairs = zip(own, complete[other], strict=True)
            found[system] = [*(gap([a], [b], subset) for a, b in pairs), gap(own, complete[other], subset)]
    return lowest, found


def counterpart(system, name, systems):
    """The system of a name; of several, that with the α, clips and layers of another, or None."""
    named = [other for other in systems if other.name == name]
    alike = named if len(named) == 1 else [other for other in named if other[1:] == system[1:]]
    return alike[0] if alike else None


def gap(own, others, subset):
    """ER minus ER of another system, on the same mixtures and seeds: `Figure` of the mean over events.

    Parameters
    ----------
    own, others : list of Row
        One for each event, in the same order.
    subset : str
    """
    by_seed = [
        np.subtract(a.scores[subset, "error_rate"].by_seed, b.scores[subset, "error_rate"].by_seed)
        for a, b in zip(own, others, strict=True)
    ]
    return over_seeds(np.mean(by_seed, axis=0), mean_interval(own, subset, others))


def mean_interval(rows, subset, others=None):
    """95 % interval of the mean of ER over events, one row each, less that of `others`: (low, high).

    ValueError: a row and its other are not of the same mixtures.
    """
    rng, rates = np.random.default_rng(SEED), []
    for place, row in enumerate(rows):
        counts = row.counts[subset].sum(axis=0)
        errors = errors_of(*counts.T)
        if others:
            theirs = others[place].counts[subset].sum(axis=0)
            if not np.array_equal(theirs[:, 0], counts[:, 0]):
                raise ValueError(f"{row.settings.label}: {row.system} and {others[place].system} have other events")
            errors = errors - errors_of(*theirs.T)
        columns = np.stack([counts[:, 0], errors], axis=1)
        n_ref, errors = resample(columns, row.recordings[subset], rng, RESAMPLES).T
        rates.append(np.divide(errors, n_ref, out=np.full(len(errors), np.nan), where=n_ref > 0))
    if not all(map(len, rates)):  # an event of one recording
        return NO_INTERVAL
    means = np.mean(rates, axis=0)
    return percentiles(means[~np.isnan(means)], CONFIDENCE)


def events_of(rows):
    """Classes of the rows, each once, in their order."""
    return list(dict.fromkeys(row.settings.label for row in rows))
