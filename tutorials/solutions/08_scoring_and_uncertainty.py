"""Solutions of the exercises in 08_scoring_and_uncertainty.md."""

import math

import numpy as np


def count_greedily(truths, founds, collar_s):
    """A list of free detections shrinks as events take from it."""
    free = list(founds)
    n_hits = 0
    for truth in truths:
        near = [found for found in free if abs(truth - found) <= collar_s]
        if near:
            free.remove(near[0])
            n_hits += 1
    return n_hits, len(truths) - n_hits, len(free)


def difference_interval(a, b, rng, n_resamples):
    """One draw of clips serves both systems, so what is hard for both cancels."""
    differences = []
    for _ in range(n_resamples):
        clips = rng.integers(len(a), size=len(a))
        rates = []
        for counts in (a[clips], b[clips]):
            n_ref, n_sys, n_tp, _ = counts.sum(axis=0)
            rates.append((n_ref + n_sys - 2 * n_tp) / n_ref)
        differences.append(rates[0] - rates[1])
    low, high = np.quantile(differences, [0.025, 0.975])
    return low, high


def clips_needed(q, width):
    """Solve width ≥ 1.96 √(4 q (1 − q) / n) for n, and make it even."""
    n = 1.96**2 * 4 * q * (1 - q) / width**2
    return max(2, 2 * math.ceil(n / 2 - 1e-9))


def mended(counts):
    """All errors over all events: clips without an event have errors, too."""
    n_ref, n_sys, n_tp, _ = counts.sum(axis=0)
    return (n_ref + n_sys - 2 * n_tp) / n_ref


def three_rates():
    """All misses; a miss and two false alarms for each event, but for a few hits; a miss and a false alarm."""
    return 1.0, 2.9, 2.0
