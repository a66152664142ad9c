"""The scorer: the official tool's answers, properties, a brute-force matcher, hand-worked cases, bad input.

`oracle/scorer-cases.json` and `scorer-dense.json` hold what sed_eval 0.2.1 answered, once; their headers name
versions and format.
"""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed import matching as matching_module
from minirsed.scoring import count_events, score, task_average

ORACLE = json.loads((Path(__file__).parent / "oracle" / "scorer-cases.json").read_text())
DENSE = json.loads((Path(__file__).parent / "oracle" / "scorer-dense.json").read_text())
OUR_NAMES = {
    "Nref": "n_ref", "Nsys": "n_sys", "Ntp": "n_tp", "Nfp": "n_fp", "Nfn": "n_fn", "Nsubs": "n_subs",
    "f_measure": "f1", "precision": "precision", "recall": "recall", "error_rate": "error_rate",
    "substitution_rate": "substitution_rate", "deletion_rate": "deletion_rate", "insertion_rate": "insertion_rate",
}  # fmt: skip


# ---- the official answers --------------------------------------------------------------------------------------


def as_ours(events):
    """An absent key is None: no label, no time."""
    return [(e.get("onset"), e.get("offset"), e.get("event_label")) for e in events]


def score_official_case(case, labels=None, target=None):
    """Run a stored case; of one class's own files only if `target` is given."""
    options = case["options"]
    files = [file for file in case["files"] if target in (None, file.get("target"))]
    return score(
        {file["file"]: as_ours(file["reference"]) for file in files},
        {file["file"]: as_ours(file["estimated"]) for file in files},
        labels=labels or options["event_label_list"],
        collar_s=options["t_collar"],
        evaluate_onset=options["evaluate_onset"],
        evaluate_offset=options["evaluate_offset"],
        percentage_of_length=options["percentage_of_length"],
        matching=options["event_matching_type"],
        zero_score_empty=options["empty_system_output_handling"] == "zero_score",
    )


def assert_equal(ours, official):
    assert official
    for name, value in official.items():
        value = math.nan if value is None else value
        assert getattr(ours, OUR_NAMES[name]) == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: case["name"])
def test_official_case(case):
    scores, expected = score_official_case(case), case["expected"]
    assert_equal(scores, expected["overall"])
    assert list(scores.per_class) == list(expected["class_wise"])
    for label, official in expected["class_wise"].items():
        assert_equal(scores.per_class[label], official)
    assert_equal(scores.class_wise_average, expected["class_wise_average"])


TASK2_CASES = [case for case in ORACLE["cases"] if "task2" in case["expected"]]


@pytest.mark.parametrize("case", TASK2_CASES, ids=lambda case: case["name"])
def test_official_task_average(case):
    """One scorer a class, fed that class's own files; the plain mean of their overall figures."""
    expected = case["expected"]["task2"]
    classes = {label: score_official_case(case, [label], label) for label in expected["per_class"]}
    for label, official in expected["per_class"].items():
        assert_equal(classes[label], official)
    assert_equal(task_average(classes.values()), expected["average"])


@pytest.mark.parametrize("case", ORACLE["errors"], ids=lambda case: case["name"])
def test_official_error(case):
    assert case["error"] == "ValueError"
    with pytest.raises(ValueError, match="collar_s|percentage_of_length|evaluate_onset"):
        score_official_case(case)


def test_official_choice_among_the_largest_matchings():
    """Crowded files of several labels: the official matching leaves over the same events for substitutions."""
    for case in DENSE["cases"]:
        lists = [
            {"f": [(on, on + 1.0, DENSE["labels"][label]) for on, label in case[side]]}
            for side in ("reference", "estimated")
        ]
        scores = score(*lists, labels=DENSE["labels"])
        assert {name: getattr(scores, name) for name in case["counts"]} == case["counts"], case


# ---- properties ------------------------------------------------------------------------------------------------

# Multiples of 1/8 s: their differences are exact, so that a collar of 0.5 s is met exactly often, and a shift
# by a multiple of 1/8 s changes no comparison.
TIMES = st.integers(0, 40).map(lambda n: n / 8)


def event_lists(labels, max_events=6):
    event = st.tuples(TIMES, TIMES, st.sampled_from(labels)) if labels else st.tuples(TIMES, TIMES)
    return st.lists(event, max_size=max_events)


def pair_of_lists(labels):
    """Reference and estimates of three files."""
    file_lists = st.lists(st.tuples(event_lists(labels), event_lists(labels)), min_size=1, max_size=3)
    return file_lists.map(
        lambda lists: tuple({f"{i}.wav": pair[side] for i, pair in enumerate(lists)} for side in (0, 1))
    )


SETTINGS = st.fixed_dictionaries(
    {
        "evaluate_offset": st.booleans(),
        "percentage_of_length": st.sampled_from([0.0, 0.5, 1.0]),
        "collar_s": st.sampled_from([0.125, 0.5, 1.0]),
    }
)


def largest_matching_by_brute_force(reference, estimated, collar_s, evaluate_offset, percentage_of_length):
    """Try all ways to give each reference an estimate or none."""

    def is_hit(ref, est):
        length_s = ref[1] - ref[0]
        return (
            ref[2:] == est[2:]
            and abs(ref[0] - est[0]) <= collar_s
            and (not evaluate_offset or abs(ref[1] - est[1]) <= max(collar_s, percentage_of_length * length_s))
        )

    def best(r, free):
        if r == len(reference):
            return 0
        taken = (1 + best(r + 1, free - {e}) for e in free if is_hit(reference[r], estimated[e]))
        return max([best(r + 1, free), *taken])

    return best(0, frozenset(range(len(estimated))))


@given(event_lists("ab", 5), event_lists("ab", 5), SETTINGS)
def test_optimal_is_the_largest_matching(reference, estimated, settings):
    scores = score({"a": reference}, {"a": estimated}, **settings)
    assert scores.n_tp == largest_matching_by_brute_force(reference, estimated, **settings)
    greedy = score({"a": reference}, {"a": estimated}, matching="greedy", **settings)
    assert scores.n_tp / 2 <= greedy.n_tp <= scores.n_tp  # a maximal matching is half of the largest at least


@given(pair_of_lists("ab"), SETTINGS, st.sampled_from(["optimal", "greedy"]))
def test_counts_add_up_and_figures_are_in_range(lists, settings, matching):
    scores = score(*lists, matching=matching, **settings)
    for s in (scores, *scores.per_class.values()):
        assert s.n_tp + s.n_fn + s.n_subs == s.n_ref
        assert s.n_tp + s.n_fp + s.n_subs == s.n_sys
        assert min(s.n_tp, s.n_fp, s.n_fn, s.n_subs) >= 0
        assert s.error_rate >= 0
        for figure in (s.f1, s.precision, s.recall):
            assert math.isnan(figure) or 0 <= figure <= 1
        assert math.isnan(s.f1) == (s.n_ref == 0 or s.n_sys == 0)
    for count in ("n_ref", "n_sys", "n_tp"):
        assert getattr(scores, count) == sum(getattr(s, count) for s in scores.per_class.values())


@given(pair_of_lists(None), SETTINGS, st.randoms(use_true_random=False))
def test_order_does_not_matter_within_one_label(lists, settings, random):
    shuffled = []
    for of_side in lists:
        files = random.sample(list(of_side), len(of_side))
        shuffled.append({file: random.sample(of_side[file], len(of_side[file])) for file in files})
    assert same(score(*shuffled, **settings), score(*lists, **settings))


@given(pair_of_lists("ab"), SETTINGS, st.integers(-800, 800), st.sampled_from(["optimal", "greedy"]))
def test_time_shift_does_not_matter(lists, settings, shift, matching):
    shifted = [
        {file: [(on + shift / 8, off + shift / 8, label) for on, off, label in events] for file, events in side.items()}
        for side in lists
    ]
    assert same(score(*shifted, matching=matching, **settings), score(*lists, matching=matching, **settings))


@given(pair_of_lists(None))
def test_insertions_and_deletions_swap_roles(lists):
    """With the roles of the lists exchanged, a deletion is an insertion, precision is recall, F1 the same."""
    reference, estimated = lists
    there, back = score(reference, estimated), score(estimated, reference)
    assert (there.n_fn, there.n_fp, there.n_tp) == (back.n_fp, back.n_fn, back.n_tp)
    assert same_figure(there.precision, back.recall) and same_figure(there.recall, back.precision)
    assert same_figure(there.f1, back.f1)


@given(pair_of_lists("abc"), st.sampled_from(["optimal", "greedy"]))
def test_files_are_independent(lists, matching):
    """All files are matched in one go; each must come out as if it were alone, substitutions included."""
    reference, estimated = lists
    counts = count_events(reference, estimated, labels=list("abc"), matching=matching)
    for row, file in enumerate(reference):
        alone = count_events({file: reference[file]}, {file: estimated[file]}, labels=list("abc"), matching=matching)
        assert counts.overall[row].tolist() == alone.overall[0].tolist()


def same(a, b):
    return (
        all(same_figure(getattr(a, name), getattr(b, name)) for name in OUR_NAMES.values())
        and a.per_class.keys() == b.per_class.keys()
    )


def same_figure(a, b):
    return a == b or math.isnan(a) and math.isnan(b)


# ---- hand-worked -----------------------------------------------------------------------------------------------


def test_ten_onsets_by_hand():
    """Four files, onset only, collar 0.5 s.

    a: reference 3.0, estimates 3.4 and 9.0     1 hit, 1 insertion
    b: reference 4.0, none                      1 deletion
    c: no reference, estimate 5.0               1 insertion
    d: references 1.0 and 2.0, estimate 1.6     |1.0 − 1.6| = 0.6 no, |2.0 − 1.6| = 0.4 hit; 1 deletion

    n_ref 4, n_sys 4, n_tp 2, n_fp 2, n_fn 2: ER (2 + 2) / 4 = 1, P = R = F1 = 2/4.
    """
    reference = {"a": [(3.0, 4.0)], "b": [(4.0, 5.0)], "c": [], "d": [(1.0, 1.5), (2.0, 2.5)]}
    estimated = {"a": [(3.4, 3.5), (9.0, 9.5)], "c": [(5.0, 6.0)], "d": [(1.6, 1.7)]}
    scores = score(reference, estimated)
    assert (scores.n_ref, scores.n_sys, scores.n_tp, scores.n_fp, scores.n_fn, scores.n_subs) == (4, 4, 2, 2, 2, 0)
    assert (scores.error_rate, scores.f1, scores.precision, scores.recall) == (1.0, 0.5, 0.5, 0.5)
    assert scores.per_class == {} and scores.class_wise_average is None
    counts = count_events(reference, estimated)
    assert counts.files == ("a", "b", "c", "d")
    assert counts.overall.tolist() == [[1, 2, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [2, 1, 1, 0]]


def test_substitution_comes_after_the_matching():
    """Reference dog 1.0, cat 1.2; estimates cat 1.1, cat 1.3.

    Cat 1.2 takes cat 1.1, the first hit listed; dog 1.0 takes what is left, cat 1.3, |1.0 − 1.3| ≤ 0.5: one
    substitution, ER 1/2. Per class: dog one deletion; cat one hit and one insertion, ER 1/(1 + ε).
    """
    scores = score({"f": [(1.0, 2.0, "dog"), (1.2, 2.0, "cat")]}, {"f": [(1.1, 2.0, "cat"), (1.3, 2.0, "cat")]})
    assert (scores.n_tp, scores.n_subs, scores.n_fp, scores.n_fn, scores.error_rate) == (1, 1, 0, 0, 0.5)
    assert list(scores.per_class) == ["cat", "dog"]
    cat, dog = scores.per_class.values()
    assert (cat.n_tp, cat.n_fp, cat.n_fn, cat.n_subs) == (1, 1, 0, 0)
    assert (dog.n_tp, dog.n_fp, dog.n_fn, dog.n_subs) == (0, 0, 1, 0)


def test_long_chain_needs_no_recursion():
    """3,000 references, each near its own estimate and the next one; a full matching exists.

    References at 0.5 i, estimates at 0.5 i + 0.5, collar 0.5: reference i hits estimates i − 1 and i. The last
    reference is listed first, and the greedy pass starts from there; one path through all of them sets it right.
    """
    n = 3000
    reference = [(0.5 * i, 0.5 * i + 1) for i in reversed(range(n))]
    estimated = [(0.5 * i + 0.5, 0.5 * i + 1) for i in range(n)]
    assert score({"f": reference}, {"f": estimated}).n_tp == n
    crossed = [(0.5 * i, 0.5 * i + 1) for i in range(n)]
    assert score({"f": crossed}, {"f": estimated}, matching="greedy").n_tp == n


def test_blocks_of_pairs_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    lists = [{f"{i}": [(t, t + 1.0) for t in rng.uniform(0, 9, rng.integers(0, 9))] for i in range(40)} for _ in "re"]
    whole = count_events(*lists, evaluate_offset=True)
    for block in (1, 7, 50):
        monkeypatch.setattr(matching_module, "BLOCK_PAIRS", block)
        assert (count_events(*lists, evaluate_offset=True).overall == whole.overall).all()


# ---- input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [[(1.0, 2.0)], np.array([[1.0, 2.0]]), [(np.float32(1), 2)], [[1, 2]]])
def test_forms_of_events(events):
    assert score({"f": events}, {"f": [(1.2, 3.0)]}).n_tp == 1


def test_no_files_and_no_events():
    for empty in ({}, {"f": []}, {"f": [(None, None)]}):
        scores = score(empty, {})
        assert scores.error_rate == 0 and scores.n_ref == 0
        assert math.isnan(scores.f1) and math.isnan(scores.precision) and math.isnan(scores.recall)
        assert math.isnan(score(empty, {}, labels=["dog"]).class_wise_average.f1)


def test_a_class_is_stripped_and_null_labels_are_in_none():
    scores = score({"f": [(1.0, 2.0, " dog"), (5.0, 6.0, "None")]}, {"f": [(1.0, 2.0, "dog "), (5.0, 6.0, "")]})
    assert (scores.n_ref, scores.n_tp, list(scores.per_class)) == (2, 2, ["dog"])
    assert score({"f": [(1.0, 2.0, "")]}, {"f": []}).per_class == {}


def test_events_without_a_label_or_a_time_are_dropped_beside_labelled_ones():
    reference = {"f": [(1.0, 2.0, "dog"), (4.0, 5.0), (7.0, None, "dog")]}
    estimated = {"f": [(1.0, 2.0, None), (1.1, 2.0, "dog"), (None, 3.0, "dog")]}
    scores = score(reference, estimated)
    assert (scores.n_ref, scores.n_sys, scores.n_tp) == (1, 1, 1)


EVENT = {"f": [(1.0, 2.0)]}
LABELLED = {"f": [(1.0, 2.0, "dog")]}


@pytest.mark.parametrize(
    ("reference", "estimated", "settings", "match"),
    [
        ([(1.0, 2.0)], {}, {}, "reference is a list; expected a dict"),
        (EVENT, [], {}, "estimated is a list; expected a dict"),
        (EVENT, {"g": []}, {}, r"estimated has 1 file\(s\) that reference lacks, e.g. 'g'"),
        (EVENT, {"f": [(math.nan, 2.0)]}, {}, r"estimated\['f'\] holds \(nan, 2.0\)"),
        ({"f": [(1.0, math.inf)]}, EVENT, {}, r"reference\['f'\] holds \(1.0, inf\)"),
        ({"f": [(1.0, 10**400)]}, EVENT, {}, r"reference\['f'\] holds"),
        (EVENT, {"f": [(1.0,)]}, {}, r"estimated\['f'\] holds \(1.0,\)"),
        (EVENT, {"f": [(1.0, 2.0), (1.0, 2.0, "dog", 3)]}, {}, r"estimated\['f'\] holds \(1.0, 2.0, 'dog', 3\)"),
        (EVENT, {"f": [(1.0, 2.0, 3)]}, {}, r"holds \(1.0, 2.0, 3\)"),
        (EVENT, {"f": [("1.0", "2.0")]}, {}, r"holds \('1.0', '2.0'\)"),
        (EVENT, {"f": (1.0, 2.0)}, {}, r"estimated\['f'\] holds 1.0"),  # an event for a list of events
        (EVENT, {"f": None}, {}, r"estimated\['f'\] is None; expected a list"),
        (LABELLED, EVENT, {}, "estimated has events, none of them with a label, but the other list has"),
        (EVENT, LABELLED, {}, "reference has events, none of them with a label"),
        (EVENT, EVENT, {"labels": ["dog"]}, "none of them with a label, but `labels` is given"),
        (LABELLED, LABELLED, {"labels": "dog"}, "labels is 'dog'"),
        (LABELLED, LABELLED, {"labels": []}, r"labels is \[\]"),
        (LABELLED, LABELLED, {"labels": ["dog", "dog "]}, "distinct"),
        (LABELLED, LABELLED, {"labels": ["none"]}, "labels is"),
        (EVENT, EVENT, {"collar_s": math.nan}, "collar_s is nan"),
        (EVENT, EVENT, {"collar_s": -0.5}, "collar_s is -0.5"),
        (EVENT, EVENT, {"collar_s": "0.5"}, "collar_s is '0.5'"),
        (EVENT, EVENT, {"percentage_of_length": 1.5}, "percentage_of_length is 1.5"),
        (EVENT, EVENT, {"percentage_of_length": math.nan}, "percentage_of_length is nan"),
        (EVENT, EVENT, {"matching": "nearest"}, "matching is 'nearest'"),
    ],
)
def test_refuses(reference, estimated, settings, match):
    with pytest.raises(ValueError, match=match):
        score(reference, estimated, **settings)


def test_task_average_of_nothing_is_refused():
    with pytest.raises(ValueError, match="scores is empty"):
        task_average([])


def test_needs_numpy_alone():
    """Of what is installed beyond the standard library, only NumPy and this package are loaded."""
    code = (
        "import sys; before = set(sys.modules); import minirsed.scoring, minirsed.decode;"
        "import minirsed.analysis.uncertainty;"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(loaded - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                            cwd=Path(__file__).parents[1])  # fmt: skip
    assert {"minirsed", "numpy"} == set(result.stdout.split()) - {"mkl", "cython_runtime"} - {
        name for name in result.stdout.split() if name.startswith("_")
    }


def test_every_setting_matters():
    """The same lists under each setting: 2.0–6.0 against 2.4–7.5 s (length 4 s, offset 1.5 s late)."""
    lists = {"f": [(2.0, 6.0)]}, {"f": [(2.4, 7.5)]}
    hits = {
        (): 1,
        (("collar_s", 0.3),): 0,
        (("evaluate_offset", True),): 1,  # 1.5 ≤ 0.5 · 4
        (("evaluate_offset", True), ("percentage_of_length", 0.25)): 0,  # 1.5 > max(0.5, 1.0)
        (("evaluate_offset", True), ("evaluate_onset", False), ("collar_s", 0.3)): 1,
    }
    for settings, n_tp in hits.items():
        assert score(*lists, **dict(settings)).n_tp == n_tp, settings


def test_greedy_takes_the_first_and_not_the_nearest():
    """References 5.0, 4.5; estimates 4.9, 5.4. 5.0 takes 4.9 (0.1 s, but first); 4.5 is 0.9 s from 5.4: one hit."""
    lists = {"f": [(5.0, 6.0), (4.5, 5.5)]}, {"f": [(4.9, 5.9), (5.4, 6.4)]}
    assert score(*lists, matching="greedy").n_tp == 1
    assert score(*lists).n_tp == 2
    for order in itertools.permutations(lists[0]["f"]):
        assert score({"f": list(order)}, lists[1]).n_tp == 2
