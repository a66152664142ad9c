"""Our own generator's statistics and independence, and recipe files that cannot be used."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_tools.banks.base import Background, Bank, EventClip
from data_tools.errors import InputError
from data_tools.recipes import Recipe, draw_recipes, read_recipes, write_recipes


class ListBank(Bank):
    """Names and lengths without any sound: drawing must not ask for audio."""

    def __init__(self, n_events=5, n_backgrounds=7, longest_s=4.0):
        super().__init__("lists", ("cat", "dog"))
        self.lengths_s = np.linspace(0.5, longest_s, n_events)
        self.n_backgrounds = n_backgrounds

    def _events(self, label, subset):
        lengths_s = enumerate(self.lengths_s.tolist())
        return [EventClip(f"{label}/{i}", label, 0.25, 0.25 + length_s) for i, length_s in lengths_s]

    def _backgrounds(self, subset):
        return [Background(f"bg{i}", "park", 30.0 * (i % 2)) for i in range(self.n_backgrounds)]


BANK = ListBank()


def test_recipe_i_does_not_depend_on_the_count():
    many = draw_recipes(BANK, "dog", "train", 300, 42)
    assert draw_recipes(BANK, "dog", "train", 10, 42) == many[:10]
    assert draw_recipes(BANK, "dog", "train", 300, 42) == many
    assert len({r.name for r in many}) == 300


def test_recipes_can_be_drawn_on():
    """Numbers 100 … 299 by themselves are those of the whole row; the official stream has no such thing."""
    many = draw_recipes(BANK, "dog", "train", 300, 42)
    assert draw_recipes(BANK, "dog", "train", 200, 42, first=100) == many[100:]
    with pytest.raises(ValueError, match="first must be 0"):
        draw_recipes(BANK, "dog", "train", 2, 42, generator="official", first=1)


@pytest.mark.parametrize("other", [("cat", "train", 42), ("dog", "dev", 42), ("dog", "train", 43)])
def test_class_subset_and_seed_each_give_other_recipes(other):
    label, subset, seed = other

    def onsets(*arguments):
        return {r.onset_s for r in draw_recipes(BANK, *arguments, event_presence_prob=1.0)}

    assert not onsets("dog", "train", 40, 42) & onsets(label, subset, 40, seed)


@settings(max_examples=60)
@given(share=st.floats(0, 1), seed=st.integers(0, 2**40), n=st.integers(0, 60))
def test_every_prefix_holds_its_share_of_events(share, seed, n):
    has_event = [r.has_event for r in draw_recipes(BANK, "dog", "train", n, seed, event_presence_prob=share)]
    counts = np.cumsum(has_event)
    assert np.all(np.abs(counts - share * np.arange(1, n + 1)) < 1 + 1e-9)


def test_first_recipe_has_an_event_as_often_as_asked():
    """Marginal probability over seeds: 400 draws at 0.3 give 120 ± 9.2 (one standard deviation); 4 of them allowed."""
    count = sum(draw_recipes(BANK, "dog", "dev", 1, s, event_presence_prob=0.3)[0].has_event for s in range(400))
    assert abs(count - 120) < 37


def test_draws_are_uniform_and_independent():
    """2000 recipes. Counts within 5 standard deviations, correlations within 5/sqrt(2000) = 0.11."""
    recipes = draw_recipes(BANK, "dog", "train", 2000, 5, event_presence_prob=1.0)
    columns = {
        "background": np.array([int(r.background[2:]) for r in recipes]),
        "event": np.array([int(r.event[4:]) for r in recipes]),
        "ratio": np.array([(-6.0, 0.0, 6.0).index(r.ebr_db) for r in recipes]),
        "onset": np.array([r.onset_s / (30 - r.length_s) for r in recipes]),
    }
    for name, n_values in (("background", 7), ("event", 5), ("ratio", 3)):
        p = 1 / n_values
        counts = np.bincount(columns[name], minlength=n_values)
        assert np.all(np.abs(counts - 2000 * p) < 5 * np.sqrt(2000 * p * (1 - p))), name
    tenths = np.histogram(columns["onset"], bins=10, range=(0, 1))[0]
    assert np.all(np.abs(tenths - 200) < 5 * np.sqrt(2000 * 0.1 * 0.9))
    correlations = np.corrcoef(list(columns.values())) - np.eye(4)
    assert np.abs(correlations).max() < 0.11


def test_event_presence_says_nothing_about_the_background():
    """Alternating presence, 2000 recipes: each of 7 backgrounds has an event in half of its ~286, ± 8.5; 5 allowed."""
    recipes = draw_recipes(BANK, "dog", "train", 2000, 11)
    for i in range(7):
        flags = [r.has_event for r in recipes if r.background == f"bg{i}"]
        assert abs(sum(flags) - len(flags) / 2) < 5 * np.sqrt(len(flags) / 4)


def test_every_onset_leaves_room_for_the_event():
    bank = ListBank(longest_s=30.0)
    for recipe in draw_recipes(bank, "dog", "train", 500, 1, event_presence_prob=1.0):
        assert 0 <= recipe.onset_s <= recipe.offset_s <= 30.0


def test_recipes_of_pieces_and_their_fields():
    recipe = draw_recipes(BANK, "dog", "eval", 30, 2, event_presence_prob=1.0, duration_s=12.0)[-1]
    assert recipe.name.startswith("mixture_evaltest_dog_029_") and recipe.scene == "park"
    assert (recipe.label, recipe.duration_s, recipe.scaling_factor) == ("dog", 12.0, None)
    assert recipe.background_start_s == 30.0 * (int(recipe.background[2:]) % 2)
    assert recipe.offset_s == recipe.onset_s + (recipe.segment_offset_s - recipe.segment_onset_s)
    without = draw_recipes(BANK, "dog", "eval", 1, 2, event_presence_prob=0.0)[0]
    assert not without.has_event and without.offset_s is None and without.ebr_db == -np.inf
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_events_longer_than_the_mixture_are_refused():
    with pytest.raises(InputError, match=r"dog/4: event of 30\.500 s is longer than a clip of 30 s"):
        draw_recipes(ListBank(longest_s=30.5), "dog", "train", 1, 0)
    with pytest.raises(InputError, match=r"no class 'cow'; it has cat, dog"):
        draw_recipes(BANK, "cow", "train", 1, 0)
    with pytest.raises(InputError, match=r"no class 'cow'; it has cat, dog"):
        draw_recipes(BANK, "cow", "train", 1, 0, generator="official")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "n and seed"),
        ({"seed": -1}, "n and seed"),
        ({"subset": "test"}, "train, dev, eval, not 'test'"),
        ({"generator": "other"}, "minirsed, official"),
        ({"event_presence_prob": 1.5}, "event_presence_prob"),
        ({"ebr_db": ()}, "ebr_db"),
        ({"ebr_db": (np.nan,)}, "ebr_db"),
        ({"duration_s": 0.0}, "duration_s"),
        ({"duration_s": 10.0, "generator": "official"}, "duration_s"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    settled = {"bank": BANK, "label": "dog", "subset": "train", "n": 1, "seed": 0, **arguments}
    with pytest.raises(ValueError, match=message):
        draw_recipes(**settled)


EVENT = Recipe("m.wav", "bg/ü 1.wav", "park", 30.0, "dog", "dog/ß.wav", 0.0, 1.5, 3.0, -6.0, None, 30.0)


@pytest.mark.parametrize(
    "recipe",
    [
        EVENT,
        replace(EVENT, scaling_factor=1e-05, background_start_s=0.0, duration_s=None),
        Recipe("n.wav", "bg", "1"),
        replace(EVENT, event=None, segment_offset_s=0.1 + 0.2, onset_s=1 / 3, rendered="/x/n.wav"),
        Recipe("n.wav", "", "", rendered="a: b #c.wav"),
    ],
)  # fmt: skip
def test_every_field_survives_a_round_trip(recipe, tmp_path):
    write_recipes(tmp_path / "r.yaml", [recipe, EVENT])
    assert read_recipes(tmp_path / "r.yaml") == [recipe, EVENT]


GOOD = {
    "mixture_audio_filename": "m.wav", "bg_path": "b.wav", "bg_classname": "park", "event_present": "true",
    "ebr": "0.0", "event_class": "dog", "event_path": "dog/1.wav", "event_start_in_mixture_seconds": "1",
    "scaling_factor": "1.0", "segment_start_seconds": "0", "segment_end_seconds": "1.5", "comment": "passed over",
}  # fmt: skip


def recipe_text(**changes):
    fields = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    return "- " + "\n  ".join(f"{key}: {value}" for key, value in fields.items()) + "\n"


def test_the_good_recipe_is_read(tmp_path):
    (tmp_path / "r.yaml").write_text(recipe_text())
    (recipe,) = read_recipes(tmp_path / "r.yaml")
    assert (recipe.onset_s, recipe.offset_s, recipe.scaling_factor, recipe.duration_s) == (1, 2.5, 1.0, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "not a recipe file"),
        ("- 1", "recipe 0: not a mapping"),
        ("", "not a recipe file"),
        ("- {a: [1", "not readable as YAML.*line 1"),
        ("- !!python/object/apply:os.system [ls]", "not readable as YAML"),
        (recipe_text() + recipe_text(bg_path=None), "recipe 1: no field bg_path"),
        (recipe_text(bg_path="7"), "bg_path is 7, not a text"),
        (recipe_text(event_path=None), "no field event_path"),
        (recipe_text(event_present="1"), "event_present must be true or false"),
        (recipe_text(ebr="loud"), "ebr is 'loud', not a number"),
        (recipe_text(ebr=".nan"), "ebr is nan, not a number"),
        (recipe_text(event_start_in_mixture_seconds=".inf"), "event_start_in_mixture_seconds is inf"),
        (recipe_text(segment_end_seconds="true"), "segment_end_seconds is True, not a number"),
    ],
)
def test_recipe_files_that_cannot_be_used(text, message, tmp_path):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"r\.yaml.*{message}") as error:
        read_recipes(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


def test_recipe_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_recipes(tmp_path / "r.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_recipes(tmp_path)
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not readable as YAML"):
        read_recipes(tmp_path / "r.yaml")
