"""Choices judged on recordings that had no part in them: which mixtures choose, and what the score then is."""

import dataclasses

import numpy as np
import pytest

from minirsed.alarms.choice import choose, counts_at, judged_elsewhere, sentences, with_choice
from minirsed.alarms.counting import judge
from minirsed.analysis.left_out import cross_validated, dealt, splits, too_few
from minirsed.analysis.thresholds import decisions, lowest_error, threshold_grid
from minirsed.listening.segments import STRONGEST
from tests.test_alarms import about, random_measured, tone_detector

PREFER = (0.5, 0.5)


def random_pairs(rng, n, n_events=7, n_backgrounds=9):
    """Recordings of n mixtures, every third without an event; some recordings occur more often than others."""
    events = [f"e{i}" for i in (n_events * rng.random(n) ** 2).astype(int)]
    return [(None if i % 3 == 0 else events[i], f"b{rng.integers(n_backgrounds)}") for i in range(n)]


@pytest.mark.parametrize("seed", range(3))
def test_every_mixture_is_left_out_once_and_shares_no_recording_with_the_rest(seed):
    pairs = random_pairs(np.random.default_rng(seed), 120)
    parts = splits(pairs)
    assert np.sum([left_out for _, left_out in parts], axis=0).tolist() == [1] * 120
    for rest, left_out in parts:
        events, backgrounds = ({pairs[i][kind] for i in np.flatnonzero(left_out)} for kind in (0, 1))
        assert rest.sum() > 40 and not (rest & left_out).any()
        assert not (events - {None}) & {pairs[i][0] for i in np.flatnonzero(rest)}
        assert not backgrounds & {pairs[i][1] for i in np.flatnonzero(rest)}


def test_groups_are_as_equal_as_recordings_allow():
    group, n = dealt(["a"] * 6 + ["b"] * 3 + ["c"] * 2 + [None, "d"], 2)
    assert (group.tolist(), n) == ([0] * 6 + [1] * 3 + [1] * 2 + [-1, 1], 2)
    assert dealt(["a", "b", "a"], 5)[1] == 2
    assert dealt([None, None], 5)[1] == 0


@pytest.mark.parametrize(
    "pairs", [[("e", "b"), (None, "c")], [("e", "b"), ("f", "b")], [(None, "b")]], ids=["event", "background", "one"]
)
def test_of_one_recording_nothing_can_be_left_out(pairs):
    assert splits(pairs) == []


def test_whole_recordings_are_left_out_one_by_one():
    pairs = [(None, name) for name in "abc"]
    assert [(rest.tolist(), left.tolist()) for rest, left in splits(pairs)] == [
        ([False, True, True], [True, False, False]),
        ([True, False, True], [False, True, False]),
        ([True, True, False], [False, False, True]),
    ]


def random_clips(rng, pairs, n_frames=60):
    onset_s = np.where([event is None for event, _ in pairs], np.nan, 0.3)
    p_t = rng.random((len(pairs), n_frames)).astype(np.float32)
    p_t[:, 12:20] = np.maximum(p_t[:, 12:20], rng.random((len(pairs), 1)))
    return rng.random(len(pairs)), p_t, onset_s


@pytest.mark.parametrize("rule", ["longest", "strongest"])
def test_each_mixture_is_judged_at_the_choice_of_the_others(rule):
    """The long way: a grid for each rest, its thresholds, one clip at a time."""
    rng = np.random.default_rng(1)
    pairs = random_pairs(rng, 60)
    p, p_t, onset_s = random_clips(rng, pairs)
    found = cross_validated(decisions(p, p_t, onset_s, rule=rule), pairs, PREFER, n_groups=3)
    assert found.n_choices == len(splits(pairs, 3)) == 12
    chosen = set()
    for rest, left_out in splits(pairs, 3):
        thresholds = lowest_error(threshold_grid(p[rest], p_t[rest], onset_s[rest], rule=rule), PREFER)
        chosen.add(thresholds)
        for i in np.flatnonzero(left_out):
            one = threshold_grid(
                p[i : i + 1], p_t[i : i + 1], onset_s[i : i + 1], *([value] for value in thresholds), rule=rule
            )
            assert found.counts[i].tolist() == [one.n_ref, one.n_sys[0, 0], one.n_tp[0, 0], 0]
    assert len(chosen) > 1


def test_a_choice_flatters_where_it_was_made_and_not_where_it_was_not():
    """A p that says nothing of the event but a lot of its recording: any gain of a choice on these is of chance."""
    flattering, honest, plain = [], [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        pairs = [(f"e{i % 6}" if i % 2 else None, f"b{i // 2 % 5}") for i in range(60)]
        level = {name: rng.random() for name in {name for pair in pairs for name in pair}}
        p = np.array([0.5 * (level[event] + level[background]) for event, background in pairs])
        p_t = np.tile(np.where((np.arange(60) >= 12) & (np.arange(60) < 20), 0.9, 0.1), (60, 1))
        onset_s = np.where(np.arange(60) % 2 == 1, 0.3, np.nan)
        found = decisions(p, p_t, onset_s)
        grid, counts = found.grid(), cross_validated(found, pairs, PREFER).counts.sum(axis=0)
        i, j = found.index(*lowest_error(grid))
        flattering.append(grid.scores(i, j).error_rate)
        honest.append((counts[0] + counts[1] - 2 * counts[2]) / counts[0])
        plain.append(grid.scores(*found.index(*PREFER)).error_rate)
    assert np.mean(flattering) < np.mean(plain) - 0.05
    assert np.mean(honest) > np.mean(flattering) + 0.1


def test_too_few_recordings_to_choose_by():
    assert too_few([(f"e{i}", f"b{i}") for i in range(10)]) is None
    assert "9 of events and 20 of backgrounds" in too_few([(f"e{i % 9}", f"b{i}") for i in range(20)])
    assert "10 of events and 3 of backgrounds" in too_few([(f"e{i}", f"b{i % 3}") for i in range(10)] + [(None, "b0")])


# ---- thresholds for a promise


def nights(seed, n=4):
    measured = random_measured(seed, n_recordings=n)
    return dataclasses.replace(measured, recordings=[(None, name) for name in measured.names])


def test_some_recordings_of_several():
    measured = nights(0)
    some = measured.where(np.array([False, True, False, True]))
    assert (some.names, some.recordings) == (["1.wav", "3.wav"], [(None, "1.wav"), (None, "3.wav")])
    assert some.hours == pytest.approx(measured.hours / 2)
    whole = judge(measured, 0.5, STRONGEST)
    counts = judge(some, 0.5, STRONGEST).counts()
    assert counts["n_events"] == np.isin(measured.reference.row, (1, 3)).sum() > 0
    assert counts["n_hits"] == whole.is_hit[np.isin(measured.reference.row, (1, 3))].sum()


@pytest.mark.parametrize("every", [False, True])
def test_a_promise_is_judged_at_the_choice_of_the_other_recordings(every):
    measured, total = nights(2), {}
    for row in range(4):
        own = np.arange(4) == row
        choice = choose(measured.where(~own), "strongest", 60.0, every=every)
        counts = counts_at(measured.where(own), None, choice.thres0, choice.thres1, choice.operating)
        total = {name: total.get(name, 0) + count for name, count in counts.items()}
    found = judged_elsewhere(measured, "strongest", 60.0, every=every)
    assert found == {"n_choices": 4, **total}
    assert found["n_events"] == 12 and found != {"n_choices": 4, **choose(measured, "strongest", 60.0).counts}


def test_events_of_mixtures_are_left_out_with_the_recordings():
    """Four nights, and 4 mixtures of 2 recordings of events: what a night's alarms are judged at knows neither."""
    quiet = dataclasses.replace(nights(2), reference=nights(2).reference.where(slice(0)))
    mixtures = dataclasses.replace(random_measured(1), recordings=[("x", "b"), ("y", "c"), ("x", "c"), (None, "d")])
    total = {}
    for k, (recordings, own) in enumerate([("0.wav", "x"), ("1.wav", "y"), ("2.wav", None), ("3.wav", None)]):
        night = np.arange(4) == k
        mine = np.array([own is not None and pair[0] == own for pair in mixtures.recordings])
        assert quiet.where(night).names == [recordings]
        choice = choose(quiet.where(~night), "strongest", 60.0, events=mixtures.where(~mine), every=False)
        counts = counts_at(quiet.where(night), mixtures.where(mine), choice.thres0, choice.thres1, choice.operating)
        total = {name: total.get(name, 0) + count for name, count in counts.items()}
    assert judged_elsewhere(quiet, "strongest", 60.0, events=mixtures, every=False) == {"n_choices": 4, **total}


def test_what_cannot_be_judged_elsewhere_is_said():
    one = nights(0, n=1)
    assert judged_elsewhere(one, "strongest", 20.0) is None
    assert judged_elsewhere(random_measured(0), "strongest", 20.0) is None  # of unknown recordings
    choice = choose(one, "strongest", 20.0, every=False)
    kept = with_choice(tone_detector(), choice, about(choice, one, 20.0))
    assert "no recording could be left out to judge the choice on" in "\n".join(sentences(kept))
    several = nights(0)
    choice, counts = choose(several, "strongest", 60.0), judged_elsewhere(several, "strongest", 60.0)
    kept = with_choice(tone_detector(), choice, about(choice, several, 60.0) | {"left_out": counts})
    said = f"4 times: {counts['n_false_alarms']} false alarms, {counts['n_misses']} of 12 events missed"
    assert said in "\n".join(sentences(kept))
    older = dict(kept.operating.chosen)
    del older["left_out"]
    assert "left out" not in "\n".join(sentences(with_choice(tone_detector(), choice, older)))
