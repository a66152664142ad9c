"""Clip and frame probabilities to one event: hand-worked cases, and a plain loop as the definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed.decode import decode

# Few distinct values, so that equal runs and probabilities equal to a threshold are common.
PROBABILITIES = st.sampled_from([0.0, 0.2, 0.5, np.nextafter(0.5, 1), 0.7, 1.0])


def decode_by_loop(probability, frame_probabilities, thres0, thres1):
    """The paper's rule word by word."""
    if probability <= thres0:
        return None
    best = None
    t = 0
    while t < len(frame_probabilities):
        onset = t
        while t < len(frame_probabilities) and frame_probabilities[t] > thres1:
            t += 1
        if t > onset and (best is None or t - onset > best[1] - best[0]):
            best = onset, t
        t = max(t, onset + 1)
    return best


@given(PROBABILITIES, st.lists(PROBABILITIES, max_size=30), PROBABILITIES, PROBABILITIES)
def test_agrees_with_a_loop(probability, frames, thres0, thres1):
    assert decode(probability, frames, thres0, thres1) == decode_by_loop(probability, frames, thres0, thres1)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([0.9, 0.9, 0.1, 0.9, 0.9], (0, 2)),  # equal runs: the first
        ([0.9, 0.1, 0.9, 0.9, 0.1], (2, 4)),  # the longest
        ([0.1, 0.9, 0.9, 0.9], (1, 4)),  # up to the last frame
        ([0.9, 0.9, 0.9], (0, 3)),  # all of them
        ([0.1, 0.1, 0.9], (2, 3)),
        ([0.9], (0, 1)),
        ([0.5, 0.5], None),  # equal to the threshold is not above it
        ([0.1, 0.2], None),
        ([], None),
    ],
)
def test_runs(frames, expected):
    assert decode(0.9, np.array(frames, np.float32)) == expected


def test_clip_decides_first():
    assert decode(0.5, [0.9, 0.9]) is None
    assert decode(np.nextafter(0.5, 1), [0.9, 0.9]) == (0, 2)
    assert decode(0.3, [0.3, 0.1], thres0=0.2, thres1=0.2) == (0, 1)


def test_result_is_two_plain_ints():
    assert [type(frame) for frame in decode(np.float32(0.9), np.ones(3, np.float32))] == [int, int]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((np.nan, [0.9]), "probability holds nan"),
        ((0.9, [0.9, np.nan]), "frame_probabilities holds nan"),
        ((0.1, [0.9, np.nan]), "frame_probabilities holds nan"),  # also where the clip alone would decide
        ((0.9, [2.5]), "frame_probabilities holds 2.5"),  # logits by mistake
        ((-0.1, [0.9]), r"probability holds -0\.1"),
        ((0.9, [[0.9, 0.8]]), r"frame_probabilities has shape \(1, 2\)"),
        (([0.9], [0.9]), r"probability has shape \(1,\)"),
        ((0.9, [0.9], np.nan), "thres0 is NaN"),
        ((0.9, [0.9], 0.5, np.nan), "thres1 is NaN"),
    ],
)
def test_refuses(arguments, match):
    with pytest.raises(ValueError, match=match):
        decode(*arguments)
