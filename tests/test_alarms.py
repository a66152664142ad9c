"""Hours of sound: rates and intervals, counts as the scorer's, one pass for all thresholds, a promise that is kept."""

import dataclasses
import json
import math
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from scipy.stats import poisson as poisson_law

from data_tools.errors import InputError
from data_tools.labelled_recordings import LabelledRecording, labelled_recordings
from minirsed.alarms import files, keeping
from minirsed.alarms.choice import THRES1, choose, evidence, sentences, tried, with_choice
from minirsed.alarms.counting import (
    FALSE_ALARM,
    HIT,
    MISPLACED,
    N_POINTS,
    by_hour,
    by_recording,
    curve,
    judge,
    some,
)
from minirsed.alarms.measure import Events, Measured, measure, measure_mixtures, setting, short_names
from minirsed.alarms.poisson import in_words, interval, upper
from minirsed.card import files as card_files
from minirsed.console.options import probability_text
from minirsed.detect import __main__ as detect
from minirsed.detector import Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.kernels.threads import worker_threads
from minirsed.listening.operating import AS_FOUND, Joiner, Operating, is_evidence
from minirsed.listening.segments import EVIDENCE, STRONGEST, confidence
from minirsed.recordings import detect_file
from minirsed.recordings.files import Event, event_finder, to_event
from minirsed.report.hours import sections
from minirsed.run.promise import keep_promise, measure_run
from minirsed.scoring import score
from tests.conftest import pattern_store, tone_detector, tones
from tests.test_recordings import ELSEWHERE, random_detector

EARLIER = Path(__file__).parent / "earlier_runs" / "b120526"
SPANS = [(5.0, 6.0), (40.0, 41.5), (80.0, 80.4)]  # of tones
LABELS = [(5.0, 6.0), (40.0, 41.5), (60.0, 61.0)]  # the last one is missed, the last tone a false alarm


# ---- rates


@pytest.mark.parametrize(
    ("n", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (10, 4.7954, 18.3904)]
)
def test_interval_is_that_of_the_tables(n, low, high):
    """Limits of a Poisson mean at 95 % as published (Garwood 1936, Table 1 of Ulm 1990), and what they are by law."""
    found = interval(n, 2.0)
    np.testing.assert_allclose(2 * np.array(found), (low, high), atol=6e-5)
    assert poisson_law.cdf(n, 2 * found[1]) == pytest.approx(0.025)
    if n:
        assert poisson_law.sf(n - 1, 2 * found[0]) == pytest.approx(0.025)
    assert poisson_law.cdf(n, 2 * upper(n, 2.0)) == pytest.approx(0.05)


def test_rates_in_words():
    assert in_words(0, 6.2) == "0 in 6.2 h: below 0.48 an hour at 95 %"
    assert in_words(3, 6.2) == "3 in 6.2 h: 0.48 an hour, 0.10 … 1.41 at 95 %"
    assert in_words(40, 0.5) == "40 in 30.0 min: 80.0 an hour, 57.2 … 109 at 95 %"


def test_a_probability_below_one_does_not_look_like_one():
    texts = [probability_text(p, 2) for p in (0.5, 1.0, 0.994, confidence(30 * EVIDENCE))]
    assert texts == ["0.50", "1.00", "0.99", "0.99999999907"]


# ---- counts


def random_measured(seed, n_recordings=4, n_candidates=60, n_events=12, duration_s=300.0):
    """Candidates, some of them at events, of two thres1."""
    rng = np.random.default_rng(seed)

    def drawn(n, p):
        rows = np.sort(rng.integers(n_recordings, size=n))
        onset_s = np.round(rng.uniform(0, duration_s - 6, n), 2)
        order = np.lexsort((onset_s, rows))
        return Events(rows, onset_s[order], onset_s[order] + rng.uniform(0.05, 5, n), p)

    reference = drawn(n_events, np.ones(n_events))
    candidates = {}
    for thres1 in (STRONGEST, 0.5, 0.88, 0.95):
        apart = drawn(n_candidates, rng.uniform(0, 0.9, n_candidates))
        shift_s = rng.choice([-0.5, -0.2, 0.3, 0.7], n_events)
        near = reference._replace(
            onset_s=reference.onset_s + shift_s,
            offset_s=reference.offset_s + shift_s,
            probability=rng.uniform(0.3, 1, n_events),
        )
        both = Events(*(np.concatenate(columns) for columns in zip(apart, near, strict=True)))
        candidates[thres1] = both.where(np.lexsort((both.onset_s, both.row)))
    names = [f"{i}.wav" for i in range(n_recordings)]
    return Measured(names, names, np.full(n_recordings, duration_s), reference, candidates, "ping")


def as_lists(events, n):
    return {
        str(row): [(float(a), float(b)) for r, a, b, _ in zip(*events, strict=True) if r == row] for row in range(n)
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("operating", [AS_FOUND, Operating(0.5, 0.0), Operating(0.3, 1.5)])
def test_counts_are_those_of_the_scorer(seed, operating):
    """Hits and insertions by `minirsed.scoring`, of the same events; of insertions, those that touch an event apart."""
    measured = random_measured(seed)
    for thres0 in (0.0, 0.3, 0.6, 0.95):
        judged = judge(measured, thres0, 0.5, operating)
        counts, n = judged.counts(), len(measured.names)
        scores = score(as_lists(measured.reference, n), as_lists(judged.alarms, n))
        assert (counts["n_hits"], counts["n_misses"]) == (scores.n_tp, scores.n_fn)
        assert counts["n_misplaced"] + counts["n_false_alarms"] == scores.n_fp
        for row, onset_s, offset_s, verdict in zip(*judged.alarms[:3], judged.verdict, strict=True):
            touches = any(
                r == row and a - 0.5 <= offset_s and onset_s <= b + 0.5
                for r, a, b in zip(*measured.reference[:3], strict=True)
            )
            assert (verdict != FALSE_ALARM) == touches
        passing = measured.candidates[0.5].where(measured.candidates[0.5].probability > thres0)
        expected = []
        for row in range(n):
            own = [Event(*event) for event in zip(*passing.where(passing.row == row)[1:], strict=True)]
            expected += [(row, *event) for event in operating.joiner().push(own)]
        np.testing.assert_array_equal(np.array(expected).reshape(-1, 4), np.column_stack(judged.alarms))


def test_parts_add_up():
    measured = random_measured(1, duration_s=2500.0)
    judged = judge(measured, 0.4, 0.5)
    for rows in (by_recording(measured, judged), by_hour(measured, judged)):
        for name, count in judged.counts().items():
            assert sum(row[name] for row in rows) == count
        assert sum(row["hours"] for row in rows) == pytest.approx(measured.hours)
    hours = by_hour(measured, judged)
    assert [row["from"] for row in hours] == ["0.wav", "1.wav", "2.wav"]  # 10,000 s: at 0, 3600 and 7200 s
    alarms, starts_s = judged.alarms, np.arange(4) * 2500.0
    in_second = (starts_s[alarms.row] + alarms.onset_s) // 3600 == 1
    assert hours[1]["n_false_alarms"] == ((judged.verdict == FALSE_ALARM) & in_second).sum()


def test_no_alarm_and_no_event():
    measured = random_measured(0)
    nothing = Events(*(column[:0] for column in measured.reference))
    assert set(judge(measured, 1.0, 0.5).counts().values()) == {0, 12}
    quiet = judge(dataclasses.replace(measured, reference=nothing), 0.0, 0.5).counts()
    assert quiet["n_false_alarms"] == 72 and quiet["n_events"] == quiet["n_misplaced"] == 0


# ---- one pass for all thresholds


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """A folder of two recordings: one of 100 s with tones, one shorter than a clip."""
    folder = tmp_path_factory.mktemp("nights")
    soundfile.write(folder / "a.wav", tones(100, SPANS, 22050), 22050)
    soundfile.write(folder / "b.wav", tones(20, [(3, 4)], 22050), 22050)
    (folder / "a.txt").write_text("".join(f"{a}\t{b}\ttone\n" for a, b in LABELS))
    (folder / "b.txt").write_text("3\t4\ttone\n")
    return folder


def labelled(folder, label="tone"):
    durations = {"a.wav": 100.0, "b.wav": 20.0}
    events = {"a.wav": tuple((*span, label) for span in LABELS), "b.wav": ((3.0, 4.0, label),)}
    return [LabelledRecording(folder / name, durations[name], name, events[name]) for name in durations]


DETECTORS = {
    "longest": lambda: random_detector("bi"),
    "strongest": lambda: random_detector("bi", **ELSEWHERE),  # has candidates of low p
    "by hand": tone_detector,
}


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("operating", [AS_FOUND, Operating(0.2, 1.0, memory_s=0.1)])
def test_every_threshold_gives_what_detect_gives(kind, operating, nights):
    """The curve by brute force: the recordings detected once more at each of its thresholds."""
    detector = DETECTORS[kind]()
    operating = operating if detector.config.rule == "strongest" else dataclasses.replace(operating, memory_s=0.0)
    tried = [setting(thres1, operating.memory_s) for thres1 in THRES1[detector.config.rule][:2]]
    measured = measure(detector, labelled(nights), n_threads=2, thres1=tried)
    n_alarms = 0
    assert kind != "strongest" or measured.candidates[tried[0]].probability.min() < 0.05
    for thres1 in THRES1[detector.config.rule][:2]:
        found = curve(measured, thres1, operating)
        assert len(found.thres0) > 1
        for i in np.unique(np.linspace(0, len(found.thres0) - 1, 6).astype(int)):
            one = dataclasses.replace(detector, thres0=found.thres0[i], thres1=thres1, operating=operating)
            events = [detect_file(one, each.path).events for each in labelled(nights)]
            alarms = judge(measured, found.thres0[i], thres1, operating).alarms
            expected = [(row, *event) for row, own in enumerate(events) for event in own]
            np.testing.assert_array_equal(np.array(expected).reshape(-1, 4), np.column_stack(alarms))
            reference = {str(row): [e[:2] for e in each.events] for row, each in enumerate(labelled(nights))}
            scores = score(reference, {str(row): [tuple(e[:2]) for e in own] for row, own in enumerate(events)})
            assert found.n_hits[i] == scores.n_tp
            assert found.n_misplaced[i] + found.n_false_alarms[i] == scores.n_fp
            n_alarms += len(expected)
    assert n_alarms > 10


def test_a_detector_by_hand(nights):
    judged = judge(measure(tone_detector(), labelled(nights)), 0.5, 0.5)
    assert judged.counts() == {"n_events": 4, "n_hits": 3, "n_misses": 1, "n_misplaced": 0, "n_false_alarms": 1}
    assert judged.verdict.tolist() == [HIT, HIT, FALSE_ALARM, HIT]
    late = [dataclasses.replace(each, events=((4.0, 5.6, "tone"),)) for each in labelled(nights)[:1]]
    judged = judge(measure(tone_detector(), late), 0.5, 0.5)
    assert judged.verdict.tolist() == [MISPLACED, FALSE_ALARM, FALSE_ALARM]


def test_a_long_curve_keeps_its_top():
    thresholds = np.arange(10_000) / 10_000
    kept = some(thresholds)
    assert len(kept) <= N_POINTS and kept[0] == 0 and (kept[-N_POINTS // 2 :] == thresholds[-N_POINTS // 2 :]).all()
    np.testing.assert_array_equal(some(thresholds[:300]), thresholds[:300])


def test_mixtures_are_short_recordings():
    store = pattern_store(10)
    detector = dataclasses.replace(random_detector("bi"), label="line")
    with worker_threads(1) as executor:
        measured = measure_mixtures(detector, store, executor, thres1=(0.5, 0.7))
    assert measured.hours * 3600 == pytest.approx(10 * (60 * 1014 + 2029) / 44100, rel=0.05)
    assert len(measured.reference.row) == 5 and set(measured.candidates) == {0.5, 0.7}
    assert len(measured.candidates[0.5].row) > 5


def test_names_tell_recordings_apart():
    assert short_names(["/x/a.wav", "/x/y/b.wav"]) == ["a.wav", "b.wav"]
    assert short_names(["/x/a.wav", "/x/y/a.wav"]) == ["a.wav", "y/a.wav"]


# ---- a promise


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("per_hour", [20.0, 60.0])
def test_choice_has_the_fewest_misses_that_the_promise_allows(seed, per_hour):
    """Against all thresholds, one by one; the counts are those at the threshold that is chosen."""
    measured = random_measured(seed)
    n_allowed = math.floor(per_hour * measured.hours) - 1
    chosen = choose(measured, "strongest", per_hour, every=False)
    assert (chosen.thres1, chosen.operating, chosen.is_shown) == (STRONGEST, AS_FOUND, True)
    assert chosen.counts == judge(measured, chosen.thres0, STRONGEST).counts()
    every = [judge(measured, p, STRONGEST).counts() for p in [0.0, *measured.candidates[STRONGEST].probability]]
    allowed = [counts for counts in every if counts["n_false_alarms"] <= n_allowed]
    fewest = min(counts["n_misses"] for counts in allowed)
    assert chosen.counts["n_misses"] == fewest and (per_hour < 60 or fewest < 12)
    alarms = min(counts["n_false_alarms"] for counts in allowed if counts["n_misses"] == fewest)
    assert chosen.counts["n_false_alarms"] == alarms
    assert (alarms + 1) / measured.hours <= per_hour


@pytest.mark.parametrize("seed", range(4))
def test_other_settings_must_be_worth_it(seed):
    measured = random_measured(seed)
    alone, best = (choose(measured, "strongest", 20.0, every=every) for every in (False, True))
    assert best.counts == judge(measured, best.thres0, best.thres1, best.operating).counts()
    n_changes = (best.thres1 != STRONGEST) + (best.operating.min_event_s > 0) + (best.operating.min_gap_s > 0)
    assert best.n_changes == n_changes
    saved = alone.counts["n_misses"] - best.counts["n_misses"]
    assert saved > n_changes or n_changes == 0
    assert (best.counts["n_false_alarms"] + 1) / measured.hours <= 20.0


def test_a_burst_is_worth_a_gap():
    """Ten blips within three seconds, again and again, as strong as the events: joined, they are a few alarms."""
    starts = np.arange(0, 3000, 300.0)
    blips = (starts[:, None] + 10 + 0.3 * np.arange(10)).ravel()
    onset_s = np.concatenate([blips, starts + 100])
    order = np.argsort(onset_s)
    p = np.concatenate([np.full(100, 0.9), np.full(10, 0.8)])[order]
    candidates = Events(np.zeros(110, int), onset_s[order], onset_s[order] + 0.2, p)
    reference = Events(np.zeros(10, int), starts + 100, starts + 101, np.ones(10))
    measured = Measured(["a"], ["a"], np.array([3600.0]), reference, dict.fromkeys(THRES1["longest"], candidates), "x")
    assert choose(measured, "longest", 20.0, every=False).counts["n_misses"] == 10
    chosen = choose(measured, "longest", 20.0)
    assert chosen.operating == Operating(0.0, 0.5)
    assert (chosen.counts["n_misses"], chosen.counts["n_false_alarms"]) == (0, 10)


def test_a_memory_is_chosen_where_it_saves_events():
    """Candidates of which two minutes' worth of doubt come first without it, and the events with it."""
    measured = random_measured(0)
    events = measured.reference._replace(probability=np.full(len(measured.reference.row), 0.8))
    alarms = Events(np.arange(4), np.full(4, 290.0), np.full(4, 299.0), np.full(4, 0.9))
    every = {}
    for memory_s, p in ((0.0, 0.9), (0.5, 0.7)):
        both = [events, alarms._replace(probability=np.full(4, p))]
        both = Events(*(np.concatenate(columns) for columns in zip(*both, strict=True)))
        every[setting(STRONGEST, memory_s)] = both.where(np.lexsort((both.onset_s, both.row)))
    reference = measured.reference
    measured = dataclasses.replace(measured, candidates=every)
    none = dataclasses.replace(measured, candidates={setting(STRONGEST, 0.0): every[setting(STRONGEST, 0.0)]})
    assert choose(none, "strongest", 9.0).counts["n_misses"] == len(reference.row)
    for is_every in (True, False):  # that of a new detector
        chosen = choose(measured, "strongest", 9.0, every=is_every)
        assert (chosen.operating, chosen.n_changes) == (Operating(memory_s=0.5), 0)
        assert (chosen.counts["n_misses"], chosen.counts["n_false_alarms"]) == (0, 0)
    turned = dict(zip(every, reversed(every.values()), strict=True))
    turned = dataclasses.replace(measured, candidates=turned)
    assert choose(turned, "strongest", 9.0, every=False).counts["n_misses"] == len(reference.row)
    chosen = choose(turned, "strongest", 9.0)
    assert (chosen.operating, chosen.n_changes, chosen.counts["n_misses"]) == (Operating(), 1, 0)
    assert set(tried("strongest")) >= set(every) and tried("longest") == list(THRES1["longest"])


def test_too_little_sound_for_a_promise_allows_no_alarm():
    measured = random_measured(0)
    chosen = choose(measured, "strongest", 1.0)
    assert not chosen.is_shown and chosen.counts["n_false_alarms"] == 0
    kept = with_choice(tone_detector(), chosen, about(chosen, measured, 1.0))
    assert "too little sound to show this promise, which takes 1.0 h" in "\n".join(sentences(kept))


def test_recordings_with_few_events_take_those_of_others():
    """Alarms count in the ones, misses in both."""
    others = random_measured(1)
    nothing = Events(*(column[:0] for column in others.reference))
    quiet = dataclasses.replace(random_measured(2), reference=nothing)
    chosen = choose(quiet, "strongest", 20.0, events=others, every=False)
    assert chosen.counts["n_false_alarms"] == judge(quiet, chosen.thres0, STRONGEST).counts()["n_false_alarms"] <= 5
    assert chosen.counts["n_misses"] == judge(others, chosen.thres0, STRONGEST).counts()["n_misses"] < 12
    few = random_measured(3)
    chosen = choose(few, "strongest", 20.0, events=others, every=False)
    misses = [judge(each, chosen.thres0, STRONGEST).counts()["n_misses"] for each in (few, others)]
    assert chosen.counts["n_misses"] == sum(misses) < chosen.counts["n_events"] == 24
    alone = choose(quiet, "strongest", 20.0, every=False)  # the lowest threshold that keeps the promise
    assert alone.counts["n_false_alarms"] == 5
    assert alone.thres0 == np.sort(quiet.candidates[STRONGEST].probability)[-6]


def test_strong_segments_stay_apart():
    """Twenty-five and 26 times the evidence of an event, p = 1 − 3e-8 and 1 − 1.5e-8: a threshold fits between."""
    p = confidence(np.array([25.0, 26.0]) * EVIDENCE)
    candidates = Events(np.zeros(2, int), np.array([10.0, 50.0]), np.array([11.0, 51.0]), p)
    reference = Events(np.zeros(1, int), np.array([50.0]), np.array([51.0]), np.ones(1))
    measured = Measured(["a"], ["a"], np.array([7200.0]), reference, {STRONGEST: candidates}, "x")
    chosen = choose(measured, "strongest", 0.5, every=False)
    assert (chosen.counts["n_hits"], chosen.counts["n_false_alarms"]) == (1, 0)
    assert p[0] <= chosen.thres0 < p[1] and float(json.dumps(chosen.thres0)) == chosen.thres0


def certain(n_false, n_hits, n_low=3):
    """Two hours with alarms of p = 1, of which some hit an event, and others of low p."""
    n = n_false + n_hits + n_low
    onset_s = 10.0 + 20 * np.arange(n)
    p = np.concatenate([confidence(np.full(n_false + n_hits, 60 * EVIDENCE)), np.full(n_low, 0.3)])
    candidates = Events(np.zeros(n, int), onset_s, onset_s + 3, p)
    own = slice(n_false, n_false + n_hits)
    reference = Events(np.zeros(n_hits, int), onset_s[own], onset_s[own] + 3, np.ones(n_hits))
    tried = dict.fromkeys({*THRES1["strongest"], *THRES1["longest"]}, candidates)
    return Measured(["a"], ["a"], np.array([7200.0]), reference, tried, "x")


@pytest.mark.parametrize(("n_false", "n_hits"), [(3, 5), (1, 2), (2, 0)])
def test_alarms_of_p_1_that_are_too_many_are_said(n_false, n_hits):
    """1,200 nats are as sure as 1,100 to p; with one of them more than is allowed there is no threshold."""
    measured = certain(n_false, n_hits)
    assert measured.candidates[STRONGEST].probability.max() == 1
    chosen = choose(measured, "strongest", 0.5)
    assert chosen.at_one == {"n_hits": n_hits, "n_false_alarms": n_false}
    kept = with_choice(tone_detector(), chosen, about(chosen, measured, 0.5))
    said = "\n".join(sentences(kept))
    assert f"{n_false} false alarm" in said and f"and {n_hits} hit" in said and "no threshold tells these apart" in said
    assert "p > 1," in said
    enough = choose(measured, "strongest", (n_false + 1) / 2)
    assert enough.at_one is None and enough.counts["n_hits"] == n_hits
    assert "p = 1" not in "\n".join(sentences(with_choice(tone_detector(), enough, about(enough, measured, 0.5))))


@pytest.mark.parametrize("at_one", [None, [], {}, {"n_hits": 1}, {"n_hits": -1, "n_false_alarms": 2}])
def test_damaged_counts_of_p_1_are_refused(at_one):
    chosen = promised().operating.chosen
    assert is_evidence(chosen) and is_evidence(chosen | {"at_one": {"n_hits": 1, "n_false_alarms": 2}})
    assert not is_evidence(chosen | {"at_one": at_one})


def test_one_more_alarm_is_to_be_expected_elsewhere():
    """The argument of `choice`: above the (n+1)-th strongest alarm there are n + 1 of as many others, in the mean."""
    rng, n_trials = np.random.default_rng(0), 4000
    for n in (0, 2):
        found = []
        for _ in range(n_trials):
            here, there = (np.sort(rng.exponential(size=rng.poisson(30)))[::-1] for _ in range(2))
            found.append((there > here[n]).sum())
        assert np.mean(found) == pytest.approx(n + 1, abs=4 * np.std(found) / np.sqrt(n_trials))


@pytest.mark.parametrize("per_hour", [0.0, -1.0, math.inf, math.nan])
def test_a_promise_is_a_number_above_0(per_hour):
    with pytest.raises(InputError, match="--alarms-per-hour"):
        choose(random_measured(0), "strongest", per_hour)


# ---- kept in the detector


def about(chosen, measured, per_hour):
    return evidence(chosen, measured, per_hour, rule="strongest", chosen_on="recordings", source="nights")


def promised():
    """A detector with settings of its own, and their evidence."""
    measured = random_measured(3)
    chosen = choose(measured, "strongest", 20.0, every=False)
    chosen = chosen._replace(thres0=float(confidence(400.0)), operating=Operating(0.125, 1.5, memory_s=0.25))
    return with_choice(random_detector("uni", **ELSEWHERE), chosen, about(chosen, measured, 20.0))


def test_settings_are_read_as_they_were_written(tmp_path):
    detector = promised()
    detector.save(tmp_path / "best.npz")
    read = Detector.load(tmp_path)
    assert (read.thres0, read.thres1, read.operating) == (detector.thres0, detector.thres1, detector.operating)
    assert read.fingerprint() == random_detector("uni", **ELSEWHERE).fingerprint()
    text = "\n".join(sentences(read))
    assert "events of at least 0.125 s" in text and "gaps below 1.5 s" in text and "fades in 0.25 s" in text
    assert f"expected elsewhere: {(read.operating.chosen['n_false_alarms'] + 1) / 0.3333333:.1f}"[:22] in text


def test_detectors_without_a_choice_are_written_and_read_as_before(tmp_path):
    detector = random_detector("uni")
    assert set(detector.description()) == {"label", "thres0", "thres1", "model"}
    assert Detector.load(EARLIER).operating == AS_FOUND


@pytest.mark.parametrize("left_out", [3, {}, {"n_choices": 1.5}, {"n_choices": 4, "n_events": -1}])
def test_damaged_counts_elsewhere_are_refused(left_out):
    description = promised().description()
    Operating.of(description)
    description["operating"]["chosen"] |= {"left_out": left_out}
    with pytest.raises(ValueError, match="chosen is"):
        Operating.of(description)


@pytest.mark.parametrize(
    "operating",
    [
        {"min_gap_s": -1.0},
        {"min_event_s": math.nan},
        {"memory_s": math.inf},
        {"min_gap_s": "much"},
        {"longest_s": 1.0},
        {"chosen": {}},
        {"chosen": [1]},
        ["min_gap_s"],
    ],
)
def test_damaged_settings_are_refused(operating, tmp_path):
    detector = random_detector("uni")
    with pytest.raises(InputError, match="not a usable detector"):
        Detector.from_parts("x.npz", detector.description() | {"operating": operating}, detector.arrays())


# ---- shortest event and smallest gap


def test_joined_and_left_out():
    events = [Event(1.0, 1.2, 0.6), Event(1.5, 1.6, 0.9), Event(3.0, 3.1, 0.7), Event(9.0, 9.5, 0.8)]
    assert Operating(0.3, 1.0).joiner().push(events) == [Event(1.0, 1.6, 0.9), Event(9.0, 9.5, 0.8)]
    assert Operating(0.0, 1.4).joiner().push(events) == [Event(1.0, 1.6, 0.9), *events[2:]]  # a pause of 1.4 s is none
    assert Operating(0.3, 0.0).joiner().push(events) == events[3:]
    chain = [Event(float(i), i + 0.9, 0.5) for i in range(100)]
    assert max(b - a for a, b, _ in Operating(0.0, 1.0).joiner().push(chain)) <= 30


@pytest.mark.parametrize("n_pieces", [1, 3, 40])
def test_the_cut_into_calls_does_not_matter(n_pieces):
    rng = np.random.default_rng(0)
    edges = np.cumsum(rng.exponential(0.5, 400)).reshape(-1, 2)
    events = [Event(float(a), float(b), float(p)) for (a, b), p in zip(edges, rng.random(200), strict=True)]
    operating = Operating(0.4, 0.6)
    whole = operating.joiner().push(events)
    joiner, found = Joiner(operating), []
    for own in np.array_split(np.arange(200), n_pieces):
        last = own[-1] == 199
        found += joiner.push([events[i] for i in own], *([] if last else [events[own[-1] + 1].onset_s]))
    assert found == whole and 10 < len(whole) < 150


@pytest.mark.parametrize("rule", ["longest", "strongest"])
def test_streams_obey(rule):
    """Pieces of frame logits through a finder, as a stream has them, give the events of all at once, each one once."""
    rng = np.random.default_rng(3)
    logits = np.repeat(rng.normal(-1, 3, 800), rng.integers(1, 12, 800)) + rng.normal(0, 1, 1)
    detector = dataclasses.replace(tone_detector(), thres0=0.3, operating=Operating(0.2, 0.8))
    detector.config = dataclasses.replace(detector.config, rule=rule)
    finder = event_finder(detector)
    plain = [to_event(run) for run in finder.push(logits) + finder.finish()]
    expected = detector.operating.joiner().push(plain)
    stream, found = detector.stream(), []
    stream.ears[0].finder = event_finder(detector)  # with the context of a recording
    stream.features.push = lambda y: y
    stream.model.push, stream.resampler.push = lambda y: y, lambda y, last: y
    stream.features.finish = stream.model.finish = lambda: np.zeros(0)
    stream.mix = SimpleNamespace(push=lambda y, last: y[:, 0], n_channels=1)
    for piece in np.array_split(logits, 97):
        found += stream.push(np.clip(piece, -99, 99))
    found += stream.finish()
    assert found == expected and 10 < len(expected) < len(plain)


def test_a_stream_and_a_recording_agree(nights):
    detector = dataclasses.replace(tone_detector(), operating=Operating(0.5, 36.0))
    y, sr = soundfile.read(nights / "a.wav")
    stream, found = detector.stream(sr), []
    for piece in np.array_split(y, 217):
        found += stream.push(piece)
    found += stream.finish()
    assert [event[:2] for event in found] == [event[:2] for event in detect_file(detector, nights / "a.wav").events]
    assert [round(event.onset_s) for event in found] == [5, 40]


def test_an_event_of_a_stream_waits_no_longer_than_the_gap():
    detector = dataclasses.replace(tone_detector(), operating=Operating(0.0, 2.0))
    stream = detector.stream(44100)
    y = tones(20, [(5, 6)])
    for second in range(20):
        if stream.push(y[44100 * second : 44100 * (second + 1)]):
            break
    assert second == 8  # after 6 s and a gap of 2 s, in the block that ends at 9 s


def test_a_clip_with_too_short_an_event_has_none(nights):
    detector = tone_detector()
    y = soundfile.read(nights / "b.wav")[0]
    assert detector.detect(y, 22050).onset_s == pytest.approx(3, abs=0.05)
    long_ones = dataclasses.replace(detector, operating=Operating(1.5, 0.0))
    assert long_ones.detect(y, 22050).onset_s is None
    assert detect_file(long_ones, nights / "b.wav").events == []


def test_onnx_metadata_have_all_of_it():
    pytest.importorskip("onnx")
    from minirsed.export.graph import metadata

    detector = promised()
    values = metadata(detector)
    assert float(values["thres0"]) == detector.thres0
    assert (values["min_event_s"], values["min_gap_s"], values["memory_s"]) == ("0.125", "1.5", "0.25")
    assert json.loads(values["chosen"]) == detector.operating.chosen
    assert json.loads(metadata(tone_detector())["chosen"]) is None


# ---- the commands


@pytest.fixture
def run(tmp_path, nights):
    """A folder as a training leaves it, of a version that knew nothing of promises; its detector hears tones."""
    folder = tmp_path / "run"
    shutil.copytree(EARLIER, folder)
    tone_detector().save(folder / "best.npz")
    return folder


def test_recordings_on_the_command_line(run, nights, capsys):
    evaluate.main([str(run), "--recordings", str(nights), "--threads", "1"])
    printed = capsys.readouterr().out
    assert "false alarms: 1 in 2.0 min: 30.0 an hour, 0.76 … 167 at 95 %" in printed
    assert "events: 4, 3 hit, 1 missed" in printed and "0:01:19.98  p 0.87  false alarm  a.wav" in printed
    assert max(len(line.replace(str(run), "runs/tone")) for line in printed.splitlines()) <= 100
    figures = files.read(run, files.GIVEN)
    assert sorted(figures["files"]) == sorted(path.name for path in run.glob("alarms_*"))
    rows = (run / "alarms_recordings.csv").read_text().splitlines()
    assert [row.split(",")[-1] for row in rows] == ["verdict", "hit", "hit", "missed", "false alarm", "hit"]
    evaluate.main([str(run), "--recordings", str(nights), "--json"])
    assert json.loads(capsys.readouterr().out) == figures


def test_a_promise_on_the_command_line(run, nights, capsys, monkeypatch):
    """Kept in the detector, obeyed by detect, overruled by --threshold; the score stays that of the same weights."""
    monkeypatch.setattr(keeping, "FEW", 4)  # events, for there are no mixtures
    before = Detector.load(run)
    evaluate.main([str(run), "--recordings", str(nights), "--alarms-per-hour", "40"])
    printed = capsys.readouterr().out
    assert "for at most 40 false alarms an hour: p > " in printed and "2 recordings of nights" in printed
    after = Detector.load(run)
    assert after.fingerprint() == before.fingerprint() and after.thres0 != before.thres0
    chosen = after.operating.chosen
    assert (chosen["n_false_alarms"], chosen["n_misses"], chosen["is_shown"]) == (0, 1, True)
    assert chosen["untuned"]["n_false_alarms"] == 1
    assert chosen["left_out"]["n_choices"] == 2 and chosen["left_out"]["n_events"] == 4
    assert "chosen without a recording and judged on it, 2 times" in printed
    assert not {"date", "time", "started"} & chosen.keys() and str(nights) not in json.dumps(chosen)
    assert files.read(run, files.GIVEN)["chosen"] == chosen
    assert any("so this flatters" in note for note in files.read(run, files.GIVEN)["notes"])
    assert "so this flatters" in " ".join(printed.split())
    detect.main([str(run), str(nights / "a.wav"), "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["events"]) == 2 and found["thres0"] == after.thres0
    detect.main([str(run), str(nights / "a.wav"), "--format", "json", "--threshold", "0.5"])
    assert len(json.loads(capsys.readouterr().out)["events"]) == 3


def test_a_promise_that_no_threshold_keeps_is_refused(run, nights, monkeypatch, capsys):
    """And leaves the detector as it was."""
    monkeypatch.setattr("minirsed.run.promise._measured", lambda *arguments: certain(3, 20))
    before = (run / "best.npz").read_bytes()
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(run), "--recordings", str(nights), "--alarms-per-hour", "0.5"])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and len(error.splitlines()) == 1 and (run / "best.npz").read_bytes() == before
    assert "run: 3 false alarms in 2.0 h, more than 0.5 an hour allow, and 20 hits have p = 1, beyond which" in error


def test_python_leaves_the_card_as_the_command_does(run, nights, monkeypatch):
    """After a promise, and after a measurement; a detector alone has none, and is measured all the same."""
    monkeypatch.setattr(keeping, "FEW", 4)
    keep_promise(run, 40.0, recordings=nights)
    assert "for at most 40 false alarms an hour" in (run / "card.md").read_text()
    measure_run(run, recordings=nights)
    assert "On 2 recordings, 2.0 min" in (run / "card.md").read_text()
    assert (run / "card.md").read_text() == card_files.card(run)
    (run / "config.json").unlink()
    (run / "card.md").unlink()
    assert measure_run(run, recordings=nights)["n_events"] == 4 and not (run / "card.md").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recordings", "nowhere"], "nowhere: no such folder"),
        (["--recordings", "NIGHTS", "--alarms-per-hour", "0"], "--alarms-per-hour is 0: expected a number above 0"),
        (["--recordings", "NIGHTS", "--compare", "other"], "--compare: is for mixtures"),
    ],
)
def test_bad_input_is_one_line(arguments, message, run, nights, capsys):
    with pytest.raises(SystemExit) as stop:
        evaluate.main([str(run), *(str(nights) if word == "NIGHTS" else word for word in arguments)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and message in error and len(error.splitlines()) == 1


def test_a_run_that_cannot_be_compared_keeps_nothing(run, nights, tmp_path, capsys):
    """None there, of another class, or two: said before thresholds are chosen and kept."""
    before, other = (run / "best.npz").read_bytes(), tmp_path / "other"
    other.mkdir()
    dataclasses.replace(Detector.load(run), label="pong").save(other / "best.npz")
    for compared, message in (
        (["nowhere"], "nowhere"),
        ([other], f"{other}: detects pong, not "),
        ([run, run], "--compare: takes one run"),
    ):
        options = [word for folder in compared for word in ("--compare", str(folder))]
        with pytest.raises(SystemExit) as stop:
            evaluate.main([str(run), "--alarms-per-hour", "40", *options])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and message in error and len(error.splitlines()) == 1
        assert (run / "best.npz").read_bytes() == before


def test_results_of_other_settings_do_not_share_a_folder(run, nights, tmp_path, capsys):
    detect.main([str(run), str(nights), "--out", str(tmp_path / "found")])
    detector = Detector.load(run)
    dataclasses.replace(detector, operating=Operating(0.0, 1.0)).save(run / "best.npz")
    with pytest.raises(SystemExit):
        detect.main([str(run), str(nights), "--out", str(tmp_path / "found")])
    assert "min_gap_s None there, 1.0 now" in capsys.readouterr().err


# ---- the page


def test_the_page_shows_the_strongest_alarms(run, nights):
    detector = Detector.load(run)
    assert sections(run, "eval", detector, 4) == {}
    figures = measure_run(run, recordings=nights)
    (content,) = sections(run, "eval", detector, 4).values()
    assert content.count("<article>") == 1 and content.count("<audio") == 1 and content.count("<svg") == 3
    assert "False alarm: a.wav, 79.98 – 80.42 s" in content and figures["in_words"][1:] in content
    figures["worst_alarms"][0]["path"] = str(run / "gone.wav")
    (run / "alarms_recordings.json").write_text(json.dumps(figures))
    (content,) = sections(run, "eval", detector, 4).values()
    assert "no longer where it was" in content and "<audio" not in content
    (content,) = sections(run, "eval", dataclasses.replace(detector, thres0=0.4), 4).values()
    assert "other thresholds" in content and "<svg" not in content


@pytest.mark.parametrize("change", [{"hours": 0}, {"curve": {}}, {"by_hour": []}, {"chosen": {}}, {"notes": [1]}])
def test_damaged_figures_are_refused(change, run, nights):
    figures = measure_run(run, recordings=nights)
    (run / "alarms_recordings.json").write_text(json.dumps(figures | change))
    with pytest.raises(InputError, match="damaged"):
        files.read(run, files.GIVEN)


def test_one_bad_night_is_named():
    measured = random_measured(0)
    row = np.zeros(72, int)
    crowded = {key: events._replace(row=row).where(np.argsort(events.onset_s)) for key, events in
               measured.candidates.items()}  # fmt: skip
    measured = dataclasses.replace(measured, candidates=crowded)
    detector = dataclasses.replace(random_detector("uni", **ELSEWHERE), thres0=0.1, thres1=STRONGEST)
    figures, _ = files.figures_of(detector, measured, run="runs/x", name="eval")
    assert any("false alarms are in 0.wav" in note for note in figures["notes"])


def test_without_recordings_the_promise_is_for_mixtures(tmp_path, capsys):
    """Of the subset dev, and that is said to be weaker."""
    from minirsed.run.session import Machine, train
    from minirsed.run.settings import TrainSettings

    settings = TrainSettings(label="gunshot", clips=4, dev_clips=4, epochs=1, layers=1, units=2)
    machine = Machine(tmp_path / "features")
    train(settings, tmp_path / "run", machine=machine, say=lambda text: None)
    detector = keep_promise(tmp_path / "run", 60.0, machine=machine)
    assert detector.operating.chosen["chosen_on"] == "mixtures" and detector.operating.chosen["n_recordings"] == 4
    assert "weaker" in "\n".join(sentences(detector))
    assert detector.operating.chosen["left_out"]["n_events"] == 2  # each with a recording of its own
    assert Detector.load(tmp_path / "run").operating == detector.operating
    assert measure_run(tmp_path / "run", machine=machine) is None  # the built-in sounds have no recordings


@pytest.mark.parametrize(("hours", "n_recordings"), [("0.02", 1), ("0.05", 2)])
def test_hours_for_a_try_are_as_many_as_were_asked_for(hours, n_recordings, tmp_path, monkeypatch, capsys):
    """Also where they are no whole number of recordings of the usual length."""
    path = Path(__file__).parent / "benchmarks" / "hours.py"
    monkeypatch.setattr(sys, "argv", ["hours.py", "builtin", "gunshot", str(tmp_path / "x")])
    sys.argv += ["--hours", hours, "--minutes", "1.2"]
    runpy.run_path(str(path), run_name="__main__")
    found = labelled_recordings(tmp_path / "x")
    assert len(found) == n_recordings
    assert sum(recording.duration_s for recording in found) == pytest.approx(3600 * float(hours))
    assert f"{n_recordings} recordings, {float(hours):.2f} h" in capsys.readouterr().out
