"""Readers at random bytes: a result or InputError in one line, nothing else (`tests/fuzz` goes on for hours)."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_tools.errors import InputError
from minirsed.run.checkpoint import FORMAT, NEWEST, read_checkpoint
from minirsed.store.archive import read_arrays, write_arrays
from tests.fuzz.targets import Targets

PROFILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return Targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", Targets.names)
def test_valid_inputs_are_read(name, targets):
    """Or the tests below would try nothing beyond the first check."""
    assert targets(name, targets.seeds[name][0]) is None


@st.composite
def mutations(draw, seeds):
    """A valid input of which parts are cut, repeated or replaced."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        first = draw(st.integers(0, len(data)))
        last = draw(st.integers(first, min(len(data), first + 20)))
        new = draw(st.one_of(st.binary(max_size=8), st.just(data[first:last] * 2), st.sampled_from(TOKENS)))
        data = data[:first] + new + data[last:]
    return data


TOKENS = [
    *(b"\x00", b"\xff\xfe", b"\r\n", b"\t", b",", b";", b'"', b"'", b"nan", b"inf", b"1e999", b"-1", b"../../etc"),
    *(b"&a [*a]", b"!!int x", b"!!bool x", b"!!timestamp x", b"2017-13-32", b"? [a]: b", b"<<: 1", b"null", b"True"),
    *("é\u2028".encode(), b"{}", b"9" * 400, b"[" * 2000, b"x" * 5000),
]


@pytest.mark.parametrize("name", Targets.names)
def test_mutated_inputs(name, targets):
    @PROFILE
    @given(data=mutations(targets.seeds[name]))
    def check(data):
        targets(name, data)

    check()


@pytest.mark.parametrize("name", ["event_list", "label_track", "recipes", "split", "events", "checkpoint"])
def test_any_bytes_or_text(name, targets):
    @PROFILE
    @given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8"))))
    def check(data):
        targets(name, data)

    check()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("which", ["whole", "several"])
def test_checkpoints_whose_description_is_another(targets, which):
    """Any value anywhere in the description of a whole checkpoint, its sums being right."""
    targets("checkpoint", getattr(targets, which))
    about, arrays = read_arrays(targets.run / NEWEST, FORMAT)

    @PROFILE
    @given(data=st.data(), value=VALUES)
    def check(data, value):
        changed = json.loads(json.dumps(about))
        place = changed
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = value
            break
        write_arrays(targets.run / NEWEST, FORMAT, changed, arrays)
        try:
            read_checkpoint(targets.run)
        except InputError as error:
            assert len(str(error).splitlines()) == 1

    check()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"params/head.w": np.array([np.nan, 1], np.float32)},
        lambda a: a | {"params/head.w": np.array([1, 2], np.int32)},
        lambda a: a | {"adam/m/head.w": np.array([1, 2, 3], np.float32)},
        lambda a: a | {"adam/v/head.w": np.array([1, np.inf], np.float32)},
        lambda a: a | {"best/head.w": np.array([1, 2], np.float64)},
        lambda a: a | {"features/std": np.zeros(3, np.float32)},
        lambda a: {name: value for name, value in a.items() if name != "best/head.w"},
        lambda a: a | {"params/other": np.zeros(2, np.float32)},
    ],
)
def test_checkpoints_whose_arrays_are_others(change, targets):
    targets("checkpoint", targets.whole)
    about, arrays = read_arrays(targets.run / NEWEST, FORMAT)
    write_arrays(targets.run / NEWEST, FORMAT, about, change(arrays))
    with pytest.raises(InputError, match=f"^{re.escape(str(targets.run / NEWEST))}: "):
        read_checkpoint(targets.run)
