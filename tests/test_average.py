"""Several classes in one number, its interval, and which sound was taken for which."""

import numpy as np
import pytest

from minirsed.analysis.average import average, average_intervals, compare_averages
from minirsed.analysis.confusion import confusions
from minirsed.analysis.uncertainty import bootstrap_intervals
from minirsed.scoring import count_events, score

HIT, MISS, ALARM, QUIET = [1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]


def rows(*groups):
    return np.array([row for row, n in groups for _ in range(n)])


def test_average_by_hand():
    """Class a: 2 errors of 8, F1 16/17 …; b: 1 of 2; c has no event, so its false alarm is in no rate."""
    counts = {"a": rows((HIT, 7), (MISS, 1), (ALARM, 1)), "b": rows((HIT, 1), (MISS, 1), (QUIET, 7))}
    error_rate, f1 = average(counts)
    assert error_rate == pytest.approx((2 / 8 + 1 / 2) / 2) and f1 == pytest.approx((14 / 16 + 2 / 3) / 2)
    assert average({**counts, "c": rows((ALARM, 1), (QUIET, 8))}) == (error_rate, f1)
    assert np.isnan(average({"c": rows((ALARM, 2))})).all()


def test_it_is_the_scorers():
    rng = np.random.default_rng(0)
    reference, estimated = {}, {}
    for i in range(60):
        true = [(float(rng.uniform(0, 20)), 25.0, label) for label in "abc" if rng.random() < 0.5]
        reference[str(i)] = true
        estimated[str(i)] = [(t + float(rng.normal(0, 0.5)), o, label) for t, o, label in true if rng.random() < 0.8]
    counts = count_events(reference, estimated).per_class
    official = score(reference, estimated).class_wise_average
    assert average(counts) == pytest.approx((official.error_rate, official.f1))


def experiment(rng, n_files=150, n_events=14, n_backgrounds=10, n_classes=3):
    """Recordings are easy or hard; counts and recordings of classes that are in half of the files each."""
    background_of = rng.integers(n_backgrounds, size=n_files)
    background_ease = rng.normal(0, 1, n_backgrounds)
    counts, recordings = {}, {}
    for label in range(n_classes):
        ease, event_of = rng.normal(0, 1, n_events), rng.integers(n_events, size=n_files)
        has_event = rng.random(n_files) < 0.5
        hit = has_event & (ease[event_of] + background_ease[background_of] + rng.normal(0, 1, n_files) > -1)
        alarm = ~has_event & (background_ease[background_of] + rng.normal(0, 1, n_files) < -2.5)
        counts[label] = np.stack([has_event, hit | alarm, hit, 0 * hit], axis=1).astype(int)
        recordings[label] = [
            (e if has else None, b) for e, has, b in zip(event_of, has_event, background_of, strict=True)
        ]
    return counts, recordings


def test_of_one_class_it_is_that_of_the_class():
    counts, recordings = experiment(np.random.default_rng(3), n_classes=1)
    for drawn in (None, recordings):
        found = average_intervals(counts, np.random.default_rng(0), recordings=drawn, n_resamples=20_000)
        expected = bootstrap_intervals(
            counts[0], np.random.default_rng(1), recordings=drawn and drawn[0], n_resamples=20_000
        )
        assert np.allclose(found, expected, atol=0.012)


def test_intervals_cover_the_truth_over_recordings():
    """100 experiments: those over recordings hold the mean of all in 90 % or more, those over files in fewer."""
    truth = np.mean([average(experiment(np.random.default_rng([1, i]))[0])[0] for i in range(800)])
    covered = {"files": 0, "recordings": 0}
    for i in range(100):
        counts, recordings = experiment(np.random.default_rng([2, i]))
        for kind, drawn in (("files", None), ("recordings", recordings)):
            (low, high), _ = average_intervals(counts, np.random.default_rng(i), recordings=drawn, n_resamples=400)
            covered[kind] += low <= truth <= high
    assert covered["recordings"] >= 0.9 * 100 > covered["files"] + 12


def test_backgrounds_are_drawn_once_for_all_classes():
    """Two classes that fail in the same backgrounds vary together: no narrower than one of them alone."""
    counts, recordings = experiment(np.random.default_rng(5), n_classes=1)
    counts, recordings = {0: counts[0], 1: counts[0]}, {0: recordings[0], 1: recordings[0]}
    for name in recordings:  # every event a recording of its own: chance is in the backgrounds
        recordings[name] = [(i if e is not None else None, b) for i, (e, b) in enumerate(recordings[name])]
    both = average_intervals(counts, np.random.default_rng(0), recordings=recordings, n_resamples=4000).error_rate
    one = average_intervals({0: counts[0]}, np.random.default_rng(0), recordings={0: recordings[0]}, n_resamples=4000)
    assert both[1] - both[0] > 0.8 * (one.error_rate[1] - one.error_rate[0])


def test_seeded_and_in_blocks(monkeypatch):
    counts, recordings = experiment(np.random.default_rng(4))
    found = average_intervals(counts, np.random.default_rng(0), recordings=recordings, n_resamples=900)
    assert found == average_intervals(counts, np.random.default_rng(0), recordings=recordings, n_resamples=900)
    monkeypatch.setattr("minirsed.analysis.average.BLOCK_DRAWS", 1 << 12)
    other = average_intervals(counts, np.random.default_rng(0), recordings=recordings, n_resamples=900)
    assert np.allclose(found, other, atol=0.06) and found != other


def test_nothing_to_say():
    one = {"a": [("e", f"b{i}") for i in range(3)]}
    assert np.isnan(average_intervals({"a": rows((HIT, 3))}, np.random.default_rng(0), recordings=one)).all()
    assert np.isnan(average_intervals({"a": rows((ALARM, 3))}, np.random.default_rng(0))).all()
    other = {"a": [("e", "b"), ("f", "c")], "b": [("e", "c"), ("f", "b")]}
    counts = {"a": rows((HIT, 2)), "b": rows((HIT, 2))}
    with pytest.raises(ValueError, match="other backgrounds"):
        average_intervals(counts, np.random.default_rng(0), recordings=other)


def test_compare_averages():
    counts, recordings = experiment(np.random.default_rng(6))
    worse = {label: of_class.copy() for label, of_class in counts.items()}
    first = np.flatnonzero(worse[1][:, 2])[:20]
    worse[1][first, 1:3] = 0  # 20 hits of class 1 become misses
    for drawn in (None, recordings):
        difference, (low, high) = compare_averages(counts, worse, np.random.default_rng(0), recordings=drawn)
        assert difference == pytest.approx(-20 / worse[1][:, 0].sum() / 3)
        assert low < difference < high < 0
    assert compare_averages(counts, counts, np.random.default_rng(0)) == (0.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="other classes, files or references"):
        compare_averages(counts, {0: counts[0]}, np.random.default_rng(0))


# ---- which sound was taken for which


def test_confusions_by_hand():
    reference = {
        "both": [(1.0, 4.0, "cry"), (3.0, 6.0, "glass")],
        "shot": [(5.0, 6.0, "shot")],
        "far": [(2.0, 3.0, "cry")],
        "quiet": [],
    }
    estimated = {
        "both": [(1.2, 3.0, "cry"), (3.9, 7.0, "shot")],  # a hit; a shot on glass (2.1 s) rather than on the cry (0.1)
        "shot": [(5.1, 6.0, "glass"), (5.4, 5.6, "shot")],  # glass on a shot, whose hit is there as well
        "far": [(2.9, 3.5, "cry"), (9.0, 9.5, "shot")],  # late; on nothing
        "quiet": [(0.0, 1.0, "glass")],
    }
    found = confusions(reference, estimated, ("cry", "glass", "shot"))
    assert found == {
        "labels": ["cry", "glass", "shot"],
        "events": [2, 1, 1],
        "detected": [2, 2, 3],
        "taken_for": [[1, 0, 0], [0, 0, 1], [0, 1, 1]],
        "misplaced": [1, 0, 0],
        "nothing": [0, 1, 1],
    }
    assert confusions(reference, {}, ("cry", "glass", "shot"))["detected"] == [0, 0, 0]


def test_every_detected_event_is_counted_once():
    rng = np.random.default_rng(1)

    def events():
        onsets = rng.uniform(0, 6, rng.integers(5))
        return [(float(t), float(t + rng.uniform(0.1, 4)), str(rng.choice(["a", "b", "c"]))) for t in onsets]

    reference, estimated = ({str(i): events() for i in range(200)} for _ in range(2))
    found = confusions(reference, estimated, "abc")
    counted = np.sum(found["taken_for"], axis=0) + found["misplaced"] + found["nothing"]
    assert counted.tolist() == found["detected"]
    hits = [of_class[:, 2].sum() for of_class in count_events(reference, estimated).per_class.values()]
    assert np.diag(found["taken_for"]).tolist() == hits and sum(hits) > 20
