"""Many events from frame logits: the rule word by word, p by the head itself, and no trace of how pieces were cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed.activations import sigmoid
from minirsed.attention import attention_forward
from minirsed.decode import decode
from minirsed.recordings.event_finder import EventFinder, FoundRun, attention_probability

LOUD, QUIET = 4.0, -5.0


def logits(n, *spans):
    e = np.full(n, QUIET, np.float32)
    for onset, offset, *value in spans:
        e[onset:offset] = value[0] if value else LOUD
    return e


def find(e, cuts=(), thres0=0.5, thres1=0.5, **options):
    finder = EventFinder(thres0, thres1, **{"context": 100, "gap": 5, **options})
    found = [run for piece in np.split(np.asarray(e, np.float32), cuts) for run in finder.push(piece)]
    return found + finder.finish()


def frames(found):
    return [tuple(run[:2]) for run in found]


def test_p_is_the_papers():
    """From states and vector by the head itself, in float64."""
    rng = np.random.default_rng(0)
    w, h = rng.standard_normal(6), rng.standard_normal((1, 50, 6))
    frame_logits, clip_logit, _ = attention_forward(w, h)
    assert attention_probability(frame_logits[0]) == pytest.approx(sigmoid(clip_logit)[0], rel=1e-12)
    assert attention_probability([-2000.0, -2000.0]) == 0.0 and attention_probability([3.0]) == pytest.approx(
        sigmoid(np.float64(3.0))
    )


def test_several_events():
    e = logits(1000, (0, 12), (200, 230), (240, 250), (995, 1000))
    assert frames(find(e)) == [(0, 12), (200, 230), (240, 250), (995, 1000)]


def test_runs_less_than_a_gap_apart_are_one_candidate():
    """The longest run stands for it, the first of equals."""
    assert frames(find(logits(300, (100, 110), (114, 130), (134, 136)))) == [(114, 130)]
    assert frames(find(logits(300, (100, 110), (114, 124)))) == [(100, 110)]
    assert frames(find(logits(300, (100, 130), (133, 145)), [190])) == [(100, 130)]  # what follows is settled too
    assert frames(find(logits(300, (100, 110), (115, 131)))) == [(100, 110), (115, 131)]  # a gap of exactly 5


def test_a_blip_is_not_carried_by_a_loud_neighbour():
    """Alone the frame at 150 has p = 0.00, in the half minute with the event the clip has p = 0.98."""
    e = logits(300, (120, 140), (150, 151, 0.2))
    assert attention_probability(e[100:200]) > 0.97
    assert frames(find(e)) == [(120, 140)]
    assert frames(find(e[145:])) == []


def test_a_second_event_does_not_change_the_first():
    first, both = find(logits(300, (120, 140))), find(logits(300, (120, 140), (160, 170)))
    assert both[0] == pytest.approx(first[0], rel=0.02) and len(both) == 2


def test_p_of_a_single_candidate_is_that_of_its_context():
    e = np.random.default_rng(0).normal(-4, 1, 400).astype(np.float32)
    e[210:230] = 3
    (found,) = find(e)
    assert found.probability == pytest.approx(attention_probability(e[170:270]))  # 220 ± 50
    (found,) = find(e[200:])
    assert found.probability == pytest.approx(attention_probability(e[200:300]))  # cannot begin earlier
    (found,) = find(e[:240])
    assert found.probability == pytest.approx(attention_probability(e[140:240]))  # cannot end later
    (found,) = find(e, live=True)
    assert found.probability == pytest.approx(attention_probability(e[135:235]))  # up to a gap after its end


@given(
    st.lists(st.sampled_from([-6.0, -3.0, -0.1, 0.1, 2.0, 5.0]), min_size=1, max_size=60),
    st.sampled_from([0.2, 0.5, 0.9]),
)
def test_a_clip_with_one_run_is_the_papers_rule(e, thres0):
    """Within one context and with at most one run, p and the run are those of `decode`."""
    p_t = sigmoid(np.array(e, np.float32))
    expected = decode(attention_probability(e), p_t, thres0)
    found = frames(find(e, thres0=thres0, gap=1000))
    if len(found) == 1:
        assert decode(1.0, p_t) == found[0]
    if (np.diff(np.concatenate([[0], p_t > 0.5])) == 1).sum() <= 1:
        assert found == ([] if expected is None else [expected])


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([-6.0, -6.0, -2.0, 0.3, 3.0])), min_size=1, max_size=25),
    st.lists(st.integers(0, 800), max_size=12),
    st.booleans(),
    st.sampled_from([1, 3, 9]),
)
def test_pieces_do_not_show(stretches, cuts, live, gap):
    """Also where a candidate is longer than the context and is cut."""
    e = np.concatenate([np.full(n, value, np.float32) for n, value in stretches])
    whole = find(e, context=40, gap=gap, live=live)
    assert find(e, sorted(cuts), context=40, gap=gap, live=live) == whole
    assert find(e, range(1, len(e)), context=40, gap=gap, live=live) == whole
    onsets = [run.onset_frame for run in whole]
    assert onsets == sorted(onsets) and all(run.offset_frame <= len(e) for run in whole)


def test_events_come_as_soon_as_they_are_certain():
    """Live: `gap` frames after the end; else once the context is there."""
    for live, due in ((True, 135), (False, 125 + 50)):
        finder = EventFinder(0.5, 0.5, context=100, gap=5, live=live)
        came = [n for n, value in enumerate(logits(300, (120, 130)), 1) if finder.push([value])]
        assert came == [due]


def test_endless_events_come_in_parts_and_memory_stays():
    finder = EventFinder(0.5, 0.5, context=100, gap=5, live=True)
    found = []
    for _ in range(500):
        found += finder.push(np.full(10, LOUD))
        assert len(finder.logits) <= 220
    assert frames(found)[:3] == [(0, 100), (100, 200), (200, 300)] and len(found) == 49
    assert frames(finder.finish()) == [(4900, 5000)]


def test_thresholds():
    e = logits(300, (120, 140, 1.0))
    assert find(e, thres0=0.99) == [] and find(e, thres1=0.8) == []
    assert frames(find(e, thres1=0.7)) == [(120, 140)]


def test_p_of_the_last_context():
    finder = EventFinder(0.5, 0.5, context=100, gap=5, live=True)
    assert np.isnan(finder.probability())
    e = np.random.default_rng(0).normal(-4, 1, 250).astype(np.float32)
    for piece in np.split(e, [30, 170]):
        finder.push(piece)
    assert finder.probability() == pytest.approx(attention_probability(e[-100:]))


def test_found_run_is_plain_numbers():
    (found,) = find(logits(300, (120, 140)))
    assert isinstance(found, FoundRun) and [type(value) for value in found] == [int, int, float]
