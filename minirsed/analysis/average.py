"""Several classes in one number: the plain mean of their error rates and F1, as in the challenge, with intervals.

Beside `uncertainty`, which has those of one class. All classes are looked for in the same mixtures, so each draw serves
all of them. Over recordings, a mixture counts for class c as often as the recording of its event of class c was drawn,
times as often as its background's was. Recordings of events are drawn for each class, independently, and those of
backgrounds once for all. Events of the other classes belong to the place in which class c is looked for, as negatives
do where there is one class. So the interval of each class is the one that a detector of that class alone would get.
"""

import numpy as np

from minirsed.analysis.uncertainty import BLOCK_DRAWS, Intervals, errors_of, numbered, percentiles, resample


def average(counts):
    """Mean error rate and F1 over the classes that have an event; F1 is 0 where nothing is found.

    Parameters
    ----------
    counts : dict of str to (n_files, 4) int array
        For each class n_ref, n_sys, n_tp, n_subs of the same files.

    Returns
    -------
    error_rate, f1 : float
        NaN if no class has an event.
    """
    sums = np.stack([of_class.sum(axis=0, dtype=np.int64) for of_class in counts.values()])[None]
    if not sums[0, :, 0].any():
        return float("nan"), float("nan")
    return tuple(float(figure[0]) for figure in _averages(sums))


def average_intervals(counts, rng, *, recordings=None, n_resamples=10_000, confidence=0.95):
    """Percentile bootstrap intervals of `average`, over files or over recordings.

    Parameters
    ----------
    counts : as for `average`
    rng : numpy.random.Generator
    recordings : dict of str to list of (hashable or None, hashable), optional
        For each class what `data_tools.inventory.recordings_of` gives of the mixtures as that class sees them.
    n_resamples, confidence
        As for `minirsed.analysis.uncertainty.bootstrap_intervals`.

    Returns
    -------
    minirsed.analysis.uncertainty.Intervals
        Over the resamples that hold an event of every class that has one. NaN if there are none, as when all events of
        a class are of one recording.
    """
    sums = _kept(_resampled(list(counts.values()), recordings and list(recordings.values()), rng, n_resamples))
    error_rate, f1 = _averages(sums) if len(sums) else ((), ())
    return Intervals(percentiles(error_rate, confidence), percentiles(f1, confidence))


def compare_averages(counts_a, counts_b, rng, *, recordings=None, n_resamples=10_000, confidence=0.95):
    """Average error rate of A minus that of B, both on the same files, and its interval.

    Parameters
    ----------
    counts_a, counts_b : as for `average`, of the same classes and files
    rng, recordings, n_resamples, confidence : as for `average_intervals`

    Returns
    -------
    difference : float
    interval : (low, high)

    Raises
    ------
    ValueError
        Other classes, files or reference events.
    """
    same = counts_a.keys() == counts_b.keys() and all(
        np.array_equal(counts_a[label][:, 0], counts_b[label][:, 0]) for label in counts_a
    )
    if not same:
        raise ValueError("counts_a and counts_b have other classes, files or references; expected the same")
    both = [np.concatenate([counts_a[label], counts_b[label]], axis=1) for label in counts_a]
    sums = _kept(_resampled(both, recordings and list(recordings.values()), rng, n_resamples))
    differences = _averages(sums[..., :4])[0] - _averages(sums[..., 4:])[0] if len(sums) else ()
    return average(counts_a)[0] - average(counts_b)[0], percentiles(differences, confidence)


def _kept(sums):
    """Those of (n, C, ·) sums that hold an event of every class that has one, and these classes."""
    has_events = sums[..., 0] > 0
    classes = has_events.any(axis=0)
    return sums[has_events[:, classes].all(axis=1)][:, classes] if classes.any() else sums[:0]


def _averages(sums):
    """Error rates and F1, (n,) each, of (n, C, 4) sums, over classes that have an event."""
    n_ref, n_sys, n_tp, n_subs = (np.moveaxis(sums, -1, 0)[i] for i in range(4))
    has_events = n_ref > 0
    n_classes, of_one = has_events.sum(axis=1), np.maximum(n_ref, 1)
    error_rate = np.where(has_events, errors_of(n_ref, n_sys, n_tp, n_subs) / of_one, 0).sum(axis=1) / n_classes
    f1 = np.where(has_events, 2 * n_tp / np.maximum(n_ref + n_sys, 1), 0).sum(axis=1) / n_classes
    return error_rate, f1


def _resampled(counts, recordings, rng, n_resamples):
    """Sums over files of bootstrap samples: list of C (n_files, k) → (n_resamples, C, k)."""
    n_columns = counts[0].shape[1]
    if recordings is None:
        return resample(np.concatenate(counts, axis=1), None, rng, n_resamples).reshape(-1, len(counts), n_columns)
    n_backgrounds, background_of = numbered([background for _, background in recordings[0]])
    if any(
        [background for _, background in each] != [background for _, background in recordings[0]] for each in recordings
    ):
        raise ValueError("recordings: the classes have other backgrounds; expected the same mixtures")
    cells = []  # of each class: number of event recordings, (event recording, background) of its cells, their sums
    for of_class, own in zip(counts, recordings, strict=True):
        n_events, event_of = numbered([event for event, _ in own if event is not None])
        if n_events < 2 or n_backgrounds < 2:
            return np.empty((0, len(counts), n_columns), np.int64)
        columns = np.full(len(own), n_events)  # one more, always drawn once: mixtures without an event of the class
        columns[[event is not None for event, _ in own]] = event_of
        pairs, of_pair = np.unique(np.stack([columns, background_of]), axis=1, return_inverse=True)
        sums = np.zeros((pairs.shape[1], n_columns), np.int64)
        np.add.at(sums, of_pair.ravel(), of_class)
        cells.append((n_events, pairs, sums))
    per_block, drawn = max(1, BLOCK_DRAWS // max(len(background_of), 1)), []
    for start in range(0, n_resamples, per_block):
        n = min(per_block, n_resamples - start)
        of_backgrounds, block = _drawn(rng, n_backgrounds, n), []
        for n_events, (columns, backgrounds), sums in cells:
            of_events = np.column_stack([_drawn(rng, n_events, n), np.ones(n, np.int64)])
            block.append((of_events[:, columns] * of_backgrounds[:, backgrounds]) @ sums)
        drawn.append(np.stack(block, axis=1))
    return np.concatenate(drawn)


def _drawn(rng, n_recordings, n):
    """How often each recording is drawn, with replacement: (n, n_recordings)."""
    return rng.multinomial(n_recordings, np.full(n_recordings, 1 / n_recordings), size=n)
