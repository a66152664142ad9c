"""Intervals and the paired test: against slow definitions, by simulation, and hand-worked."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed.analysis.uncertainty import bootstrap_intervals, compare, sign_flip_p_value


def draw_counts(n_files, rng, p_hit=0.8, p_false_alarm=0.15):
    """Task-2 like files: half hold an event; n_ref, n_sys, n_tp, n_subs."""
    has_event = rng.random(n_files) < 0.5
    hit = has_event & (rng.random(n_files) < p_hit)
    false_alarm = rng.random(n_files) < p_false_alarm
    return np.stack([has_event, hit.astype(int) + false_alarm, hit, np.zeros(n_files, int)], axis=1).astype(int)


def test_interval_covers_the_truth():
    """In 600 experiments of 200 files, 95 % intervals hold the true figure in 95 % ± 3 standard errors.

    Truth: P(event) 0.5, P(hit | event) 0.8, P(false alarm) 0.15, so per file n_ref 0.5, n_tp 0.4, n_sys 0.55;
    ER = (0.1 + 0.15) / 0.5 = 0.5 and F1 = 2 · 0.4 / (0.5 + 0.55) = 0.7619. The standard error of a share of 0.95 in
    600 is 0.0089; the percentile interval itself is known to fall short by about one point at 200 files.
    """
    rng = np.random.default_rng(1)
    n_experiments, covered = 600, np.zeros(2)
    for _ in range(n_experiments):
        intervals = bootstrap_intervals(draw_counts(200, rng), rng, n_resamples=600)
        covered += [low <= truth <= high for (low, high), truth in zip(intervals, (0.5, 0.8 / 1.05), strict=True)]
    assert np.all(covered / n_experiments > 0.95 - 0.01 - 3 * 0.0089)
    assert np.all(covered / n_experiments < 0.95 + 3 * 0.0089)


def test_wider_confidence_covers_more():
    counts = draw_counts(100, np.random.default_rng(2))
    half, usual = (bootstrap_intervals(counts, np.random.default_rng(0), confidence=c) for c in (0.5, 0.95))
    for (low_50, high_50), (low_95, high_95) in zip(half, usual, strict=True):
        assert low_95 < low_50 < high_50 < high_95


def test_multinomial_draws_are_the_plain_bootstrap():
    """Drawing kinds of files instead of files changes nothing but the random stream: quantiles agree to noise."""
    counts = draw_counts(120, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    n_ref, n_sys, n_tp, _ = counts[rng.integers(120, size=(20_000, 120))].sum(axis=1).T
    plain = np.quantile((n_ref + n_sys - 2 * n_tp) / n_ref, [0.025, 0.975])
    ours = bootstrap_intervals(counts, np.random.default_rng(5), n_resamples=20_000).error_rate
    np.testing.assert_allclose(ours, plain, atol=0.012)  # 97.5 % quantile of a spread of 0.09: noise 0.002


def test_substitutions_are_one_error():
    """Ten equal files, each one substitution of one event: ER 1 in every resample, F1 0."""
    intervals = bootstrap_intervals(np.tile([1, 1, 0, 1], (10, 1)), np.random.default_rng(0), n_resamples=50)
    assert intervals == ((1.0, 1.0), (0.0, 0.0))


def test_seeded_and_in_blocks(monkeypatch):
    counts = draw_counts(60, np.random.default_rng(6))
    first = bootstrap_intervals(counts, np.random.default_rng(7))
    assert first == bootstrap_intervals(counts, np.random.default_rng(7))
    assert first != bootstrap_intervals(counts, np.random.default_rng(8))
    monkeypatch.setattr("minirsed.analysis.uncertainty.BLOCK_DRAWS", 17)
    assert first == bootstrap_intervals(counts, np.random.default_rng(7))


def test_undefined():
    """No reference: nothing is defined. No estimate: F1 is not. A lone event: resamples without it are left out."""
    rng = np.random.default_rng(0)
    assert all(math.isnan(x) for x in itertools.chain(*bootstrap_intervals(np.array([[0, 1, 0, 0]] * 3), rng)))
    error_rate, f1 = bootstrap_intervals(np.array([[1, 0, 0, 0], [0, 0, 0, 0]]), rng)
    assert error_rate == (1.0, 1.0) and math.isnan(f1[0]) and math.isnan(f1[1])
    assert bootstrap_intervals(np.array([[1, 1, 1, 0]] + [[0, 0, 0, 0]] * 5), rng) == ((0, 0), (1, 1))


# ---- over recordings -------------------------------------------------------------------------------------------


def draw_of_recordings(n_events, n_backgrounds, spread, rng, n_files=200, chance=0.5):
    """Counts and recordings of an experiment: what decides a file is the sum of its recordings' effects and of chance.

    A background that hides events is also taken for them. Standard deviations: 2 · `spread` of the effects of events,
    1.5 · `spread` of those of backgrounds, `chance` of what is left.
    """
    of_event, of_background = rng.normal(0, 2 * spread, n_events), rng.normal(0, 1.5 * spread, n_backgrounds)
    event, background = rng.integers(n_events, size=n_files), rng.integers(n_backgrounds, size=n_files)
    has_event = np.arange(n_files) % 2 == 0
    hit = has_event & (1.0 + of_event[event] + of_background[background] + rng.normal(0, chance, n_files) > 0)
    false_alarm = ~has_event & (rng.normal(0, chance, n_files) - of_background[background] > 1.5)
    counts = np.stack([has_event, hit | false_alarm, hit, np.zeros(n_files)], axis=1).astype(int)
    pairs = zip(has_event.tolist(), event.tolist(), background.tolist(), strict=True)
    return counts, [(e if has else None, b) for has, e, b in pairs]


def normal_share(x):
    """P(z < x) of the standard normal distribution."""
    return (1 + math.erf(x / math.sqrt(2))) / 2


def coverage(n_events, n_backgrounds, spread, chance=0.5, n_experiments=300):
    """Share of experiments in which the interval holds the truth: (over files, over recordings) of (ER, F1)."""
    p_hit = normal_share(1.0 / math.sqrt((2 * spread) ** 2 + (1.5 * spread) ** 2 + chance**2))
    p_false_alarm = normal_share(-1.5 / math.sqrt((1.5 * spread) ** 2 + chance**2))
    truth = (1 - p_hit + p_false_alarm, 2 * p_hit / (1 + p_hit + p_false_alarm))
    rng, covered = np.random.default_rng(1), np.zeros((2, 2))
    for _ in range(n_experiments):
        counts, recordings = draw_of_recordings(n_events, n_backgrounds, spread, rng, chance=chance)
        for row, drawn in enumerate((None, recordings)):
            intervals = bootstrap_intervals(counts, rng, recordings=drawn, n_resamples=400)
            covered[row] += [low <= value <= high for (low, high), value in zip(intervals, truth, strict=True)]
    return covered / n_experiments


@pytest.mark.parametrize(
    ("n_events", "n_backgrounds", "over_files_below", "over_recordings_above"),
    [(20, 15, 0.70, 0.90), (10, 8, 0.55, 0.82)],
)
def test_intervals_over_recordings_cover_where_those_over_files_do_not(
    n_events, n_backgrounds, over_files_below, over_recordings_above
):
    """Recordings differ much. The standard error of a share of 0.9 in 300 experiments is 0.017, of 0.5 it is 0.029."""
    over_files, over_recordings = coverage(n_events, n_backgrounds, 1.0)
    assert np.all(over_files < over_files_below) and np.all(over_recordings > over_recordings_above)


def test_intervals_over_recordings_err_on_the_wide_side():
    """Recordings do not differ, so both cover, and those over recordings more often than they say."""
    over_files, over_recordings = coverage(50, 100, 0.0, chance=1.0)
    assert np.all(over_files > 0.90) and np.all(over_recordings >= 0.97)


def test_recordings_are_drawn_and_not_files():
    """Against the definition, slowly: each kind is drawn with replacement, a file counts by the product."""
    counts, recordings = draw_of_recordings(6, 4, 1.0, np.random.default_rng(3), n_files=40)
    rng, values = np.random.default_rng(4), []
    n_events, n_backgrounds = (len({names[kind] for names in recordings} - {None}) for kind in (0, 1))
    for _ in range(20_000):
        events = np.bincount(rng.integers(n_events, size=n_events), minlength=6)
        backgrounds = np.bincount(rng.integers(n_backgrounds, size=n_backgrounds), minlength=4)
        weights = [
            (1 if event is None else events[event]) * backgrounds[background] for event, background in recordings
        ]
        n_ref, n_sys, n_tp, _ = weights @ counts
        values += [(n_ref + n_sys - 2 * n_tp) / n_ref] if n_ref else []
    assert n_events == 6 and n_backgrounds == 4
    ours = bootstrap_intervals(counts, np.random.default_rng(5), recordings=recordings, n_resamples=20_000).error_rate
    np.testing.assert_allclose(ours, np.quantile(values, [0.025, 0.975]), rtol=0.04)


def test_recordings_of_one_file_each_and_one_alone(monkeypatch):
    """Names do not matter, nor do blocks. One recording of a kind says nothing of others: undefined."""
    counts, recordings = draw_of_recordings(6, 4, 1.0, np.random.default_rng(3))
    first = bootstrap_intervals(counts, np.random.default_rng(7), recordings=recordings)
    named = [(None if event is None else f"e{event}", f"b{background}") for event, background in recordings]
    assert first == bootstrap_intervals(counts, np.random.default_rng(7), recordings=named)
    monkeypatch.setattr("minirsed.analysis.uncertainty.BLOCK_DRAWS", 8_192)
    in_blocks = bootstrap_intervals(counts, np.random.default_rng(7), recordings=recordings)
    np.testing.assert_allclose(in_blocks.error_rate, first.error_rate, rtol=0.1)
    for alone in (
        [(event if event is None else 0, background) for event, background in recordings],
        [(event, 0) for event, _ in recordings],
        [(None, background) for _, background in recordings],
    ):
        intervals = bootstrap_intervals(counts, np.random.default_rng(0), recordings=alone)
        assert all(map(math.isnan, itertools.chain(*intervals)))


def test_a_difference_of_one_recording_is_no_difference():
    """B misses the events of one recording of six: over files the difference is sure, over recordings it is not."""
    rng = np.random.default_rng(6)
    event, background = rng.integers(6, size=240), rng.integers(8, size=240)
    recordings = list(zip(event.tolist(), background.tolist(), strict=True))
    a = np.tile([1, 1, 1, 0], (240, 1))
    b = a.copy()
    b[event == 2, 1:3] = 0
    over_files = compare(a, b, np.random.default_rng(0))
    over_recordings = compare(a, b, np.random.default_rng(0), recordings=recordings)
    assert over_files.error_rate_difference == over_recordings.error_rate_difference < 0
    assert over_files.interval[1] < -0.05 and over_recordings.interval[1] == 0
    assert over_files.p_value == over_recordings.p_value


# ---- the paired test -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_sign_flip_is_the_full_enumeration(differences):
    observed = abs(sum(differences))
    patterns = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in patterns]
    expected = np.mean([value >= observed for value in sums])
    assert sign_flip_p_value(np.array(differences, int)) == pytest.approx(expected, rel=1e-12)


def test_sign_flip_by_hand():
    """Five files, A better by one error in each: only +++++ and −−−−− are as far out, p = 2/32."""
    assert sign_flip_p_value([-1] * 5 + [0] * 20) == 2 / 32
    assert sign_flip_p_value([1, -1]) == 1.0
    assert sign_flip_p_value([]) == 1.0


def test_sign_flip_rejects_true_equality_as_often_as_it_says():
    """Two equally good systems: p ≤ 0.05 in at most 5 % (+ 3 standard errors) of 400 comparisons, not never."""
    rng = np.random.default_rng(11)
    p_values = np.array([sign_flip_p_value(rng.integers(-1, 2, 60)) for _ in range(400)])
    assert 0.01 < np.mean(p_values <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


def test_compare():
    """A hits 95 %, B 50 % of the events of the same 300 files: ER differs by about 0.45, clearly."""
    rng = np.random.default_rng(12)
    has_event = np.arange(300) % 2
    a, b = (
        np.stack([has_event, hits, hits, 0 * hits], axis=1)
        for hits in (has_event * (rng.random(300) < p_hit) for p_hit in (0.95, 0.5))
    )
    result = compare(a, b, np.random.default_rng(0))
    assert result.error_rate_difference == (b[:, 2].sum() - a[:, 2].sum()) / 150
    assert result.interval[0] < result.error_rate_difference < result.interval[1] < 0
    assert result.p_value < 1e-4
    reversed_ = compare(b, a, np.random.default_rng(0))
    assert reversed_.error_rate_difference == -result.error_rate_difference and reversed_.p_value == result.p_value
    same = compare(a, a, np.random.default_rng(0))
    assert same == (0.0, (0.0, 0.0), 1.0)


def test_compare_without_references():
    result = compare([[0, 1, 0, 0]], [[0, 0, 0, 0]], np.random.default_rng(0))
    assert math.isnan(result.error_rate_difference) and math.isnan(result.interval[0])


def test_pairing_narrows_the_interval():
    """Two systems that err on the same files: the paired interval is narrower than independent ones suggest."""
    rng = np.random.default_rng(13)
    a = draw_counts(400, rng)
    b = a.copy()
    b[:10, 1] += 1  # ten more false alarms
    low, high = compare(a, b, np.random.default_rng(0)).interval
    alone_low, alone_high = bootstrap_intervals(a, np.random.default_rng(0)).error_rate
    assert high - low < (alone_high - alone_low) / 2


GOOD = np.array([[1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda rng: bootstrap_intervals(np.zeros((3, 3), int), rng), r"counts is int64 of shape \(3, 3\)"),
        (lambda rng: bootstrap_intervals(np.zeros((0, 4), int), rng), "n_files > 0"),
        (lambda rng: bootstrap_intervals(np.zeros((3, 4)), rng), "counts is float64"),
        (lambda rng: bootstrap_intervals([[1, 1, -1, 0]], rng), "counts holds a negative count"),
        (lambda rng: bootstrap_intervals([[1, 1, 1, 1]], rng), "more pairs than events"),
        (lambda rng: bootstrap_intervals(GOOD, 0), "rng is int; expected a numpy.random.Generator"),
        (lambda rng: bootstrap_intervals(GOOD, rng, n_resamples=0), "n_resamples is 0"),
        (lambda rng: bootstrap_intervals(GOOD, rng, confidence=95), "confidence is 95"),
        (lambda rng: bootstrap_intervals(GOOD, rng, recordings=[]), "recordings has 0 pairs; expected 1"),
        (lambda rng: compare(GOOD, [[0, 1, 0, 0]], rng), "counts_a and counts_b have other files"),
        (lambda rng: compare(GOOD, [[1, 1, 1, 0]] * 2, rng), "counts_a and counts_b have other files"),
        (lambda rng: sign_flip_p_value([0.5]), "differences is float64"),
        (lambda rng: sign_flip_p_value([[1]]), r"shape \(1, 1\)"),
    ],
)
def test_refuses(call, match):
    with pytest.raises(ValueError, match=match):
        call(np.random.default_rng(0))
