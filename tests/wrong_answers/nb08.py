"""Mistakes in the exercises of notebook 8, each with words of the hint that it must get."""

import math

import numpy as np


def _count(truths, founds, collar_s, nearest=False, strict=False, reuse=False):
    """Greedy counting, spoilt: the nearest first, < for ≤, or detections that may be taken again."""
    free, n_hits = list(founds), 0
    for truth in truths:
        near = [e for e in free if (abs(truth - e) < collar_s if strict else abs(truth - e) <= collar_s)]
        if near:
            n_hits += 1
            if not reuse:
                free.remove(min(near, key=lambda e: abs(truth - e)) if nearest else near[0])
    return n_hits, len(truths) - n_hits, len(founds) - n_hits


def _rate(counts):
    n_ref, n_sys, n_tp, _ = counts.sum(axis=0)
    return (n_ref + n_sys - 2 * n_tp) / n_ref


def _interval(a, b, rng, n, paired=True, tails=(0.025, 0.975), replace=True, sign=1):
    differences = []
    for _ in range(n):
        one = rng.choice(len(a), len(a), replace=replace)
        other = one if paired else rng.choice(len(a), len(a), replace=replace)
        differences.append(sign * (_rate(a[one]) - _rate(b[other])))
    return tuple(np.quantile(differences, tails))


def _clips(q, width, factor=4):
    return 2 * math.ceil(1.96**2 * factor * q * (1 - q) / width**2 / 2)


def _rate_by(of):
    def answer(counts):
        n_ref, n_sys, n_tp, _ = counts.T
        return of(n_ref, n_sys, n_ref + n_sys - 2 * n_tp)

    return answer


WRONG = {
    "08.count_greedily": [
        (lambda *a: _count(*a, reuse=True), "each detection hits one event at most"),
        (lambda *a: _count(*a, strict=True), "equal to the collar is a hit"),
        (lambda *a: _count(*a, nearest=True), "not the nearest"),
        (lambda t, f, c: (_count(t, f, c)[0], len(t), len(f)), "together are the true events"),
        (lambda t, f, c: (*_count(t, f, c)[:2], len(f)), "together are the detections"),
    ],
    "08.difference_interval": [
        (lambda *a: _interval(*a, paired=False), "one draw for both"),
        (lambda *a: _interval(*a, sign=-1), "B − A"),
        (lambda *a: _interval(*a, replace=False), "is anything resampled"),
        (lambda *a: _interval(*a, tails=(0.05, 0.95)), "at *each* end"),
        (lambda a, b, rng, n: (0.2, 0.4), "percentiles"),
        (lambda *a: tuple(edge / 2 for edge in _interval(*a)), "errors per clip"),
    ],
    "08.clips_needed": [
        (lambda q, width: _clips(q, width, 1), "a quarter of it"),
        (lambda q, width: _clips(q, width, 2), "half of it"),
        (lambda q, width: 1.96**2 * 4 * q * (1 - q) / width**2, "no even whole number"),
        (lambda q, width: _clips(q, width) - 2, "too few"),
        (lambda q, width: _clips(q, width) + 10, "more than needed"),
    ],
    "08.mended": [
        (_rate_by(lambda ref, sys, errors: np.mean(errors / np.maximum(ref, 1))), "counted per *event*"),
        (_rate_by(lambda ref, sys, errors: np.mean(errors[ref > 0] / ref[ref > 0])), "are left out"),
        (_rate_by(lambda ref, sys, errors: errors[ref > 0].sum() / ref.sum()), "are left out"),
        (_rate_by(lambda ref, sys, errors: errors.sum() / len(ref)), "counted per *event*"),
        (_rate_by(lambda ref, sys, errors: errors.sum() / (ref + sys).sum()), "never be above one"),
        (_rate_by(lambda ref, sys, errors: 2 * errors.sum() / ref.sum()), "only then divide"),
    ],
    "08.three_rates": [
        (lambda: (0.0, 2.9, 2.0), "every event is a miss"),
        (lambda: (1.0, 2.0, 2.0), "as many without one"),
        (lambda: (1.0, 1.0, 2.0), "two of them for each event"),
        (lambda: (1.0, 2.9, 1.0), "each detection is a false alarm"),
        (lambda: (1.0, 2.9, 0.0), "each detection is a false alarm"),
    ],
}
