"""The grid of thresholds against decode() and score() themselves, and cases worked by hand."""

import numpy as np
import pytest

from minirsed.analysis import thresholds
from minirsed.analysis.thresholds import (
    ThresholdGrid,
    clip_rates,
    det_curve,
    lowest_error,
    precision_recall_curve,
    threshold_grid,
)
from minirsed.decode import decode
from minirsed.detector import Detector
from minirsed.features import run_to_seconds
from minirsed.listening.operating import Operating
from minirsed.model import ModelConfig, init_params
from minirsed.scoring import score


def scored(p, p_t, onset_s, thres0, thres1):
    """The long way: decode every clip, write event lists, score them."""
    reference, estimated = {}, {}
    for clip in range(len(p)):
        name = f"{clip}.wav"
        reference[name] = [] if np.isnan(onset_s[clip]) else [(onset_s[clip], onset_s[clip] + 1, "x")]
        run = decode(p[clip], p_t[clip], thres0, thres1)
        estimated[name] = [] if run is None else [(*run_to_seconds(*run), "x")]
    return score(reference, estimated)


def random_clips(n_clips=60, n_frames=120, seed=0):
    """Probabilities in steps of 0.05, so that many equal a threshold; every third clip any numbers.

    Every fourth onset is exactly 0.5 s from where a detection at 0.5 puts it, on one side or the other.
    """
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 21, n_clips) / 20
    p_t = (rng.integers(0, 21, (n_clips, n_frames)) / 20).astype(np.float32)
    p[::3], p_t[::3] = rng.random(len(p[::3])), rng.random((len(p[::3]), n_frames))
    p_t[:5] = 0
    onset_s = np.where(rng.random(n_clips) < 0.6, rng.random(n_clips) * 3, np.nan)
    for clip in range(8, n_clips, 4):
        onset_s[clip] = run_to_seconds(*decode(1.0, p_t[clip]))[0] + (0.5 if clip % 8 else -0.5)
    return p, p_t, onset_s


def test_every_point_of_the_grid_is_what_decode_and_score_give():
    p, p_t, onset_s = random_clips()
    grid = threshold_grid(p, p_t, onset_s)
    assert grid.n_sys.shape == (19, 19) and 0 < grid.n_tp.min() + grid.n_tp.max() < grid.n_ref
    for i, thres0 in enumerate(grid.thres0.tolist()):
        for j, thres1 in enumerate(grid.thres1.tolist()):
            if (i + j) % 3 == 0:
                expected = scored(p, p_t, onset_s, thres0, thres1)
                found = grid.scores(i, j)
                for name in ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "error_rate", "precision", "recall", "f1"):
                    np.testing.assert_equal(getattr(found, name), getattr(expected, name), err_msg=f"{thres0} {thres1}")
                assert grid.figure("error_rate")[i, j] == expected.error_rate


@pytest.mark.parametrize("rule", ["longest", "strongest"])
def test_a_grid_is_that_of_a_detector_with_a_shortest_event(rule):
    """Runs of random clips last one frame to a few, so that a shortest event of 0.1 s leaves many out."""
    config = ModelConfig("uni", 1, 2, 64, rule=rule)
    params = init_params(config, np.random.default_rng(0))
    p, p_t, onset_s = random_clips()
    options = {"rule": rule, "memory_s": 0.5 if rule == "strongest" else 0.0}
    grid = threshold_grid(p, p_t, onset_s, **options, min_event_s=0.1)
    shorter_too = threshold_grid(p, p_t, onset_s, **options).n_sys
    for i, j in ((9, 9), (2, 12), (13, 13), (0, 0)):
        thresholds = float(grid.thres0[i]), float(grid.thres1[j])
        operating = Operating(0.1, memory_s=options["memory_s"])
        detector = Detector(config, params, "x", np.zeros(64), np.ones(64), *thresholds, operating)
        found_s = np.array([detector.decode(*clip).onset_s for clip in zip(p, p_t, strict=True)], float)
        assert grid.n_sys[i, j] == (~np.isnan(found_s)).sum()
        assert grid.n_tp[i, j] == (np.abs(found_s - onset_s) <= 0.5).sum()
    assert grid.n_sys[2, 12] < shorter_too[2, 12]


def test_a_grid_worked_by_hand():
    """Three clips of five frames; frame t is at about 23 ms · (t + 1), so any run hits an onset at 0.

    clip  event  p    p_t
    a     0 s    0.9  .6 .6 .2 .2 .2    detected with thres1 0.5, not with 0.7
    b     9 s    0.6  .8 .8 .8 .8 .8    detected, but 9 s too early: one miss and one false alarm
    c     none   0.5  .6 .2 .2 .2 .2    p is not above 0.5: detected with thres0 0.4 and thres1 0.5 alone

            thres1 = 0.5              thres1 = 0.7
    thres0
    0.4     a b c detected, a hits    b detected
    0.5     a b                       b
    0.7     a                         nothing
    Errors at (0.4, 0.5): b missed, b and c false: 3 of 2 events, ER 1.5; at (0.7, 0.5): b missed, ER 0.5.
    """
    p_t = [[0.6, 0.6, 0.2, 0.2, 0.2], [0.8] * 5, [0.6, 0.2, 0.2, 0.2, 0.2]]
    grid = threshold_grid([0.9, 0.6, 0.5], p_t, [0.0, 9.0, np.nan], [0.4, 0.5, 0.7], [0.5, 0.7])
    assert grid.n_ref == 2
    assert grid.n_sys.tolist() == [[3, 1], [2, 1], [1, 0]]
    assert grid.n_tp.tolist() == [[1, 0], [1, 0], [1, 0]]
    np.testing.assert_allclose(grid.figure("error_rate"), [[1.5, 1.5], [1.0, 1.5], [0.5, 1.0]])
    assert np.isnan(grid.figure("f1")[2, 1])  # nothing detected: precision undefined
    assert lowest_error(grid) == (0.7, 0.5)


def test_the_collar_is_the_one_asked_for():
    """A run from frame 0 has its onset at 0.0115 s (half a hop before the centre, 0.023 − 0.0115)."""
    found_s = run_to_seconds(0, 3)[0]
    for onset_s, hits in ((found_s + 0.5, 1), (found_s + 0.501, 0)):
        assert threshold_grid([0.9], [[0.9, 0.9, 0.9]], [onset_s], [0.5], [0.5]).n_tp[0, 0] == hits
    assert threshold_grid([0.9], [[0.9, 0.9, 0.9]], [found_s + 0.501], [0.5], [0.5], collar_s=0.6).n_tp[0, 0] == 1


def test_each_clip_is_decoded_once_for_each_frame_threshold(monkeypatch):
    """5 clips and 7 frame thresholds are 35 decodings, however many clip thresholds there are."""
    calls = []
    monkeypatch.setattr(thresholds, "decode", lambda *arguments: calls.append(arguments) or decode(*arguments))
    p, p_t, onset_s = (values[5:] for values in random_clips(10))  # the first five have no active frame
    threshold_grid(p, p_t, onset_s, np.linspace(0, 1, 50), np.linspace(0, 1, 7))
    assert len(calls) == 35


def grid_of_errors(errors, thres0=(0.3, 0.5, 0.7), thres1=(0.3, 0.5, 0.7)):
    """A grid of ten events, none of them hit, whose errors are 10 misses and the rest false alarms."""
    n_sys = np.array(errors) - 10
    return ThresholdGrid(np.array(thres0), np.array(thres1), 10, n_sys, np.zeros_like(n_sys))


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([[15, 15, 15], [15, 15, 15], [15, 15, 11]], (0.7, 0.7)),  # the fewest errors
        ([[11, 15, 15], [15, 15, 15], [15, 11, 15]], (0.7, 0.5)),  # 0.2 from the middle instead of 0.28
        ([[11] * 3, [11] * 3, [11] * 3], (0.5, 0.5)),
        ([[15, 15, 15], [11, 15, 11], [15, 15, 15]], (0.5, 0.3)),  # equally near: the lower thres1
        (
            [[15, 11, 15], [15, 15, 15], [15, 11, 15]],
            (0.3, 0.5),
        ),  # and the lower thres0, although 0.5 − 0.3 > 0.7 − 0.5
    ],
)
def test_the_lowest_error_rate_nearest_to_the_paper_is_chosen(errors, expected):
    assert lowest_error(grid_of_errors(errors)) == expected


def test_hits_count_against_errors():
    """ER is (misses + false alarms) / events: 10 detected, 9 hit → 2 errors; 1 detected and hit → 9 errors."""
    grid = ThresholdGrid(np.array([0.4]), np.array([0.5, 0.6]), 10, np.array([[1, 10]]), np.array([[1, 9]]))
    assert lowest_error(grid) == (0.4, 0.6)
    np.testing.assert_allclose(grid.figure("error_rate"), [[0.9, 0.2]])


def test_no_events_no_choice():
    with pytest.raises(ValueError, match="n_ref is 0"):
        lowest_error(threshold_grid([0.2, 0.8], np.zeros((2, 3)), [np.nan, np.nan]))


P, HAS_EVENT = [0.9, 0.4, 0.4, 0.6, 0.4, 0.1], [True, True, True, False, False, False]


def test_a_det_curve_worked_by_hand():
    """Three clips with an event, p = .9 .4 .4, and three without, .6 .4 .1; of 20 s each, so 3 · 20 s = 1/60 hour.

    thres0   alarms without event   misses
    0        .6 .4 .1: 3, 180/h     0
    0.1      .6 .4: 2, 120/h        0
    0.4      .6: 1, 60/h            .4 .4: 2 of 3
    0.6      0                      2 of 3
    0.9      0                      3 of 3
    """
    curve = det_curve(P, HAS_EVENT, clip_s=20.0)
    assert curve.thres0.tolist() == [0, 0.1, 0.4, 0.6, 0.9]
    np.testing.assert_allclose(curve.false_alarms_per_hour, [180, 120, 60, 0, 0])
    np.testing.assert_allclose(curve.miss_rate, [0, 0, 2 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.false_alarm_rate, [1, 2 / 3, 1 / 3, 0, 0])


def test_rates_at_a_threshold_are_points_of_the_curve():
    rng = np.random.default_rng(0)
    p, has_event = rng.integers(0, 30, 80) / 30, rng.random(80) < 0.4
    curve = det_curve(p, has_event, 30.0)
    for thres0, *point in zip(*curve, strict=True):
        rates = clip_rates(p, has_event, 30.0, thres0)
        assert [getattr(rates, name) for name in curve._fields[1:]] == pytest.approx(point)
    assert clip_rates(P, HAS_EVENT, 20.0) == pytest.approx((3, 2, 2 / 3, 3, 1, 60.0, 1 / 3))


def test_rates_without_clips_of_a_kind_are_undefined():
    assert np.isnan(clip_rates([0.7], [True], 30.0).false_alarms_per_hour)
    assert np.isnan(clip_rates([0.7], [False], 30.0).miss_rate)
    assert np.isnan(det_curve([0.7], [False], 30.0).miss_rate).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5], [[0.5], [0.5]], [1.0]), r"frame_probabilities is \(2, 1\)"),
        (([0.5], [[0.5]], [1.0, 2.0]), r"onset_s \(2,\)"),
        (([], np.zeros((0, 3)), []), "N > 0"),
        (([1.5], [[0.5]], [1.0]), r"probabilities holds a value outside \[0, 1\]"),
        (([np.nan], [[0.5]], [1.0]), r"probabilities holds a value outside \[0, 1\]"),
        (([0.5], [[1.5]], [1.0]), r"frame_probabilities holds 1.5"),
        (([0.5], [[0.5]], [1.0], [np.nan]), "thres0"),
        (([0.5], [[0.5]], [1.0], [0.5], []), "thres1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        threshold_grid(*arguments)


def test_a_clip_needs_a_length():
    with pytest.raises(ValueError, match="clip_s is 0"):
        det_curve([0.5], [True], 0)


def test_precision_and_recall_are_those_of_score_at_each_threshold():
    """Up to the last that finds anything: the next p, the largest, would find nothing."""
    p, p_t, onset_s = random_clips()
    curve = precision_recall_curve(p, p_t, onset_s, 0.3)
    assert set(curve.thres0) < {0.0, *p} and len(curve.thres0) >= len(set(p)) - 1
    for thres0, precision, recall in zip(*curve, strict=True):
        scores = scored(p, p_t, onset_s, thres0, 0.3)
        assert (precision, recall) == (scores.precision, scores.recall)
    assert scored(p, p_t, onset_s, p[p > curve.thres0[-1]].max(), 0.3).n_sys == 0


def test_precision_and_recall_of_nothing_are_empty():
    p, p_t, onset_s = random_clips()
    assert len(precision_recall_curve(p, 0 * p_t, onset_s).thres0) == 0
    assert len(precision_recall_curve(p, p_t, 0 * onset_s * np.nan).thres0) == 0


def test_precision_and_recall_of_many_clips_are_thinned_out():
    """2000 clips of different p: 501 thresholds, the lowest and the last that finds anything among them."""
    p = np.linspace(0.001, 1, 2000)
    curve = precision_recall_curve(p, np.ones((2000, 3)), np.zeros(2000))
    assert 490 <= len(curve.thres0) <= 502 and curve.recall[0] == 1 and curve.recall[-1] < 0.005
