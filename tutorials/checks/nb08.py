"""Checks of the exercises in 08_scoring_and_uncertainty.md."""

import numpy as np

from minirsed.analysis.uncertainty import compare
from minirsed.scoring import score
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("08.count_greedily")
def count_greedily(answer):
    """`answer(truths, founds, collar_s)` against the package's greedy matching."""
    rng = np.random.default_rng(0)
    cases = [([], []), ([1.0], []), ([], [1.0]), ([1.0], [1.5]), ([1.0], [0.5])]
    cases += [([1.0, 1.2], [1.1]), ([2.0, 2.4], [1.9, 1.6]), ([2.0, 2.8], [2.4, 2.1])]
    for n, m in ((1, 3), (3, 1), (4, 4), (6, 5)):
        cases.append((rng.uniform(0, 4, n).tolist(), rng.uniform(0, 4, m).tolist()))
    for truths, founds in cases:
        lists = ({"clip": [(onset, onset + 1) for onset in onsets]} for onsets in (truths, founds))
        scores = score(*lists, matching="greedy")
        truth, got = (scores.n_tp, scores.n_fn, scores.n_fp), answer(list(truths), list(founds), 0.5)
        example = f"Events at {np.round(truths, 2)}, detections at {np.round(founds, 2)}: "
        if np.shape(got) == (3,) and all(isinstance(n, int | np.integer) for n in got):
            expect(
                got[0] <= min(len(truths), len(founds)),
                f"{example}{got[0]} hits; each detection hits one event at most. Which ones are taken?",
            )
            expect(got[0] + got[1] == len(truths), f"{example}hits and misses together are the true events.")
            expect(got[0] + got[2] == len(founds), f"{example}hits and false alarms together are the detections.")
            expect(
                not (len(truths) == len(founds) == 1 and got[0] < truth[0]),
                f"{example}a distance equal to the collar is a hit, on either side.",
            )
        hint = f"{example}not as asked for. In list order, the *first* free one: not the nearest, not the best for all."
        expect_equal(got, truth, hint)


@exercise("08.difference_interval")
def difference_interval(answer):
    """`answer(a, b, rng, n)` against `compare`, on clips where both systems are wrong together."""
    rng = np.random.default_rng(1)
    n_clips = 240
    has_event = np.arange(n_clips) % 2 == 0
    hard = rng.random(n_clips) < 0.4  # both fail; what is left to differ in is little
    sheets = []
    for share in (0.03, 0.10):
        wrong = hard | (rng.random(n_clips) < share)
        n_sys, n_tp = np.where(has_event, ~wrong, wrong), has_event & ~wrong
        sheets.append(np.stack([has_event, n_sys, n_tp, np.zeros(n_clips)], axis=1).astype(np.int64))
    truth = compare(*sheets, np.random.default_rng(0)).interval
    per_clip = np.array(truth) * has_event.mean()
    got = answer(*sheets, np.random.default_rng(2), 3000)
    hint = "The interval is not that of the percentiles 2.5 and 97.5 of the resampled difference."
    if np.shape(got) == (2,):
        low, high = (float(edge) for edge in got)
        width, right_width = high - low, truth[1] - truth[0]
        if abs(low + truth[1]) < 0.03 and abs(high + truth[0]) < 0.03:
            hint = "That is B − A."
        elif abs(low - per_clip[0]) < 0.012 and abs(high - per_clip[1]) < 0.012:
            hint = "That is errors per clip. The error rate counts them per true event, of which there are fewer."
        elif width > 1.5 * right_width:
            hint = "Too wide: both systems must be scored on the *same* resampled clips, one draw for both."
        elif width < 0.2 * right_width:
            hint = "Too narrow: is anything resampled? As many clips as there are, with replacement, each time."
        elif width < 0.95 * right_width:
            hint = "A little too narrow: 95 % leave two and a half at *each* end; clips are drawn *with* replacement."
    expect_equal(got, truth, hint, tolerance=0.012 / max(np.abs(truth)))


@exercise("08.clips_needed")
def clips_needed(answer):
    """`answer(q, width)` against a search."""
    for q, width in ((0.07, 0.05), (0.07, 0.025), (0.5, 0.1), (0.01, 0.01), (0.2, 0.5)):
        n = 2
        while 1.96 * np.sqrt(4 * q * (1 - q) / n) > width * (1 + 1e-12):
            n += 2
        got = answer(q, width)
        example = f"For q = {q} and width = {width}: "
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            expect(not n / 4.4 < got < n / 3.6, f"{example}{got}, a quarter of it. An error counts against n/2 events.")
            expect(not n / 2.2 < got < n / 1.8, f"{example}{got}, half of it. The formula has n clips, not n events.")
            expect(got % 2 == 0, f"{example}{got} is no even whole number.")
            expect(got >= n, f"{example}{got} are too few.")
        expect_equal(got, n, f"{example}{got} are more than needed. Solve the formula of the notebook for n.")


@exercise("08.mended")
def mended(answer):
    """`answer(counts)` where every clip holds an event, then where some hold none and some hold several."""
    rng = np.random.default_rng(0)
    for n_ref in (np.ones(40, np.int64), rng.integers(0, 2, 40), rng.integers(0, 4, 40)):
        n_tp = rng.integers(0, n_ref + 1)
        n_sys = n_tp + rng.integers(0, 2, 40)
        errors = n_ref + n_sys - 2 * n_tp
        got, truth = answer(np.stack([n_ref, n_sys, n_tp, 0 * n_ref], axis=1)), errors.sum() / n_ref.sum()
        if np.shape(got) == () and isinstance(got, int | float | np.number) and not np.isclose(got, truth):
            expect(
                not np.isclose(got, np.mean(errors / np.maximum(n_ref, 1))),
                "Right while each clip holds one event. It is a mean over clips, but errors are counted per *event*.",
            )
            has_event = n_ref > 0
            quiet_left_out = (
                np.mean(errors[has_event] / n_ref[has_event]),
                errors[has_event].sum() / n_ref.sum(),
            )
            expect(
                not np.isclose(got, quiet_left_out).any(),
                "Clips without an event are left out, but a false alarm in one of them counts.",
            )
            expect(
                not np.isclose(got, errors.sum() / (n_ref + n_sys).sum()),
                "That can never be above one. The error rate can.",
            )
        expect_equal(got, truth, "Add up all errors, add up all events, and only then divide.")


@exercise("08.three_rates")
def three_rates(answer):
    """Scores the three on a thousand clips."""
    got, rng = numbers_of(answer(), (3,)), np.random.default_rng(0)
    onsets, elsewhere = rng.uniform(1, 28, (2, 1000))
    truths = {i: [(onset, onset + 1)] if i % 2 else [] for i, onset in enumerate(onsets)}
    founds = (
        {i: [] for i in truths},
        {i: [(onset, onset + 1)] for i, onset in enumerate(elsewhere)},
        {i: [(onset + 0.6, offset + 0.6) for onset, offset in events] for i, events in truths.items()},
    )
    truth = [score(truths, found).error_rate for found in founds]
    near = np.abs(got - truth) <= 0.2
    expect(near[0], "Silent: every event is a miss, and there is nothing else. Misses over events.")
    expect(
        abs(got[1] - 2) > 0.2,
        "Anywhere: that counts the clips with an event alone. There are as many without one, and an alarm in each.",
    )
    expect(
        near[1], "Anywhere: nearly every event is missed, and nearly every alarm is false, two of them for each event."
    )
    expect(near[2], "Late by more than the collar: each event is a miss, and each detection is a false alarm.")
