"""Mixtures of several classes: drawn independently, written, rendered, kept as features, seen class by class."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools import synthesize
from data_tools.audio import SAMPLE_RATE, rms
from data_tools.banks.base import EventClip
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.inventory import classes_of, holding, holding_of, recordings_of
from data_tools.mixing import render
from data_tools.recipe_format import PlacedEvent
from data_tools.recipes import Recipe, draw_recipes, read_recipes, recipes_text, write_recipes
from data_tools.several import backgrounds_for, draw_several, inventory_of, joined, negatives_for
from data_tools.soundbank import open_bank
from minirsed.features import frame_labels
from minirsed.store import files as store_files
from minirsed.store.dataset import FeatureStore, prepare
from minirsed.store.mixtures import class_labels
from tests.test_mixing import MemoryBank, noise
from tests.test_recipes import ListBank

CLASSES = ("cat", "dog", "hen")


class ThreeClasses(ListBank):
    def __init__(self):
        super().__init__()
        self.classes = CLASSES

    def is_screened(self, key, label):
        return (key, label) in {("bg0", "cat"), ("bg1", "hen")}

    def _negatives(self, label, subset):
        own = [EventClip(f"not-{label}.wav", None, 0.0, 1.0)]
        return own + [EventClip(f"{i}.wav", None, 0.0, 1.0) for i in range(3)]


BANK = ThreeClasses()
CAT = PlacedEvent("cat", "cat/0", 0.0, 0.4, 1.0, -6.0)
DOG = PlacedEvent("dog", "dog/1", 0.1, 1.1, 1.2, 6.0, 0.25)
BOTH = Recipe("m.wav", "bg0", "park", duration_s=30.0).with_events([CAT, DOG])


# ---- drawing


def test_a_recipe_depends_on_its_number_and_its_own_classes():
    many = draw_several(BANK, CLASSES, "train", 120, 7, negative_prob=0.4)
    assert draw_several(BANK, CLASSES, "train", 10, 7, negative_prob=0.4) == many[:10]
    assert draw_several(BANK, CLASSES, "train", 20, 7, negative_prob=0.4, first=100) == many[100:]
    assert len({recipe.name for recipe in many}) == 120
    assert many != draw_several(BANK, CLASSES, "train", 120, 8, negative_prob=0.4)
    assert many != draw_several(BANK, CLASSES, "dev", 120, 7, negative_prob=0.4)
    two = draw_several(BANK, ("dog", "hen"), "train", 120, 7)
    for label in ("dog", "hen"):
        assert [r.of_class(label).events for r in two] == [r.of_class(label).events for r in many]
    assert draw_several(BANK, ["dog"], "train", 9, 7) == draw_recipes(BANK, "dog", "train", 9, 7)


def test_classes_are_there_half_the_time_whatever_the_others_do():
    """2000 recipes: each of 8 subsets of 3 classes in 250 ± 15; places and ratios differ; 5 deviations allowed."""
    recipes = draw_several(BANK, CLASSES, "train", 2000, 0)
    subsets = [frozenset(event.label for event in recipe.events) for recipe in recipes]
    assert {len(subset) for subset in subsets} == {0, 1, 2, 3}
    assert all(abs(subsets.count(subset) - 250) < 5 * 15 for subset in set(subsets)) and len(set(subsets)) == 8
    full = [recipe.events for recipe in recipes if len(recipe.events) == 3]
    columns = np.array([[(e.onset_s, e.ebr_db, int(e.event[4:])) for e in events] for events in full]).reshape(-1, 9)
    of_others = ~np.kron(np.eye(3), np.ones((3, 3))).astype(bool)
    assert np.abs(np.corrcoef(columns.T))[of_others].max() < 5 / np.sqrt(len(full))
    assert sum(a.onset_s < b.offset_s and b.onset_s < a.offset_s for a, b, _ in full) > 20  # they may overlap


def test_backgrounds_and_negatives_are_known_to_be_none_of_the_classes():
    assert {piece.key for piece in backgrounds_for(BANK, CLASSES, "train")} == {f"bg{i}" for i in range(2, 7)}
    assert [clip.key for clip in negatives_for(BANK, CLASSES, "train")] == ["0.wav", "1.wav", "2.wav"]
    recipes = draw_several(BANK, CLASSES, "train", 300, 0, negative_prob=0.4)
    assert {recipe.background for recipe in recipes} == {f"bg{i}" for i in range(2, 7)}
    assert {recipe.negative for recipe in recipes} == {None, "0.wav", "1.wav", "2.wav"}
    without = draw_several(BANK, CLASSES, "train", 300, 0)
    assert [r.events for r in without] == [r.events for r in recipes]
    everything = SimpleNamespace(name="b", backgrounds=lambda subset, label=None: [] if label == "hen" else [1])
    with pytest.raises(InputError, match="no background in subset 'dev' is free of cat, hen"):
        backgrounds_for(everything, ("cat", "hen"), "dev")


def test_probability_and_what_cannot_be_drawn():
    assert all(len(r.events) == 3 for r in draw_several(BANK, CLASSES, "dev", 20, 1, event_presence_prob=1.0))
    assert not any(r.events for r in draw_several(BANK, CLASSES, "dev", 20, 1, event_presence_prob=0.0))
    with pytest.raises(InputError, match="class 'cat': is named twice"):
        draw_several(BANK, ("cat", "dog", "cat"), "dev", 1, 1)
    with pytest.raises(InputError, match="generator official: makes mixtures of one class, not of cat, dog together"):
        draw_several(BANK, ("cat", "dog"), "dev", 1, 1, generator="official")
    with pytest.raises(InputError, match="no class 'cow'; it has cat, dog, hen"):
        draw_several(BANK, ("cat", "cow"), "dev", 1, 1)
    with pytest.raises(ValueError, match="event_presence_prob must lie"):
        draw_several(BANK, ("cat", "dog"), "dev", 1, 1, event_presence_prob=2)
    with pytest.raises(ValueError, match="one class or more"):
        draw_several(BANK, (), "dev", 1, 1)


def test_mixtures_that_came_rendered_are_taken_in_turn():
    class Ready(ThreeClasses):
        def ready_mixtures(self, label, subset):
            n = 3 if label == "cat" else 1
            return [Recipe(f"{label}{i}.wav", "bg", "park", rendered="x") for i in range(n)] if subset == "eval" else []

    names = [recipe.name for recipe in draw_several(Ready(), ("cat", "dog"), "eval", 9, 0)]
    assert names == ["cat0.wav", "dog0.wav", "cat1.wav", "cat2.wav"]


def test_names_stay_short():
    assert joined(["babycry", "glassbreak"]) == "babycry+glassbreak"
    assert len(joined([f"class{i}" for i in range(40)])) < 70
    recipe = draw_several(BANK, CLASSES, "eval", 1, 2)[0]
    assert recipe.name.startswith("mixture_evaltest_cat+dog+hen_000_")


# ---- recipes


def test_a_recipe_of_one_event_is_what_it_was():
    recipe = draw_recipes(BANK, "dog", "dev", 1, 2, event_presence_prob=1.0)[0]
    assert recipe.events == (PlacedEvent("dog", *(getattr(recipe, f) for f in PlacedEvent._fields[1:])),)
    assert recipe.of_class("dog") == recipe
    assert recipe.of_class("cat") == recipe.with_events([]) and not recipe.of_class("cat").has_event
    assert "further" not in recipes_text([recipe]) and "further" not in json.dumps(store_files._row(recipe))
    assert Recipe("n", "b", "s").events == ()


def test_events_of_a_recipe():
    assert BOTH.events == (CAT, DOG) and BOTH.has_event and (BOTH.label, BOTH.onset_s) == ("cat", 1.0)
    assert BOTH.of_class("dog").events == (DOG,) and BOTH.of_class("dog").name == "m.wav"
    assert DOG.offset_s == pytest.approx(2.2)
    assert Recipe(**{**vars(BOTH), "further": [list(DOG)]}) == BOTH  # as JSON gives it
    with pytest.raises(ValueError, match=r"m\.wav: further events without a first"):
        dataclasses.replace(BOTH, label=None)
    with pytest.raises(TypeError):
        dataclasses.replace(BOTH, further=[["cat"]])


def test_recipes_are_written_and_read(tmp_path):
    recipes = [BOTH, *draw_several(BANK, CLASSES, "dev", 40, 3, negative_prob=0.5), Recipe("n.wav", "bg", "1")]
    write_recipes(tmp_path / "r.yaml", recipes)
    assert read_recipes(tmp_path / "r.yaml") == recipes


GOOD = recipes_text([BOTH])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  - ebr: 6.0", "  - ebr: loud", "recipe 0, further event 0: ebr is 'loud', not a number"),
        ("    event_path: dog/1\n", "", "recipe 0, further event 0: no field event_path"),
        ("event_present: true", "event_present: false", "recipe 0: has further_events, but event_present is false"),
        ("further_events:", "further_events: 7\n  x:", "recipe 0: further_events is not a list of mappings"),
    ],
)
def test_recipes_that_cannot_be_used(old, new, message, tmp_path):
    assert old in GOOD
    (tmp_path / "r.yaml").write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        read_recipes(tmp_path / "r.yaml")
    assert "\n" not in str(error.value)


# ---- sound


@pytest.fixture(scope="module")
def sounds():
    events = {"cat/0": noise(1, 0.4), "dog/1": noise(2, 1.4), "hen/2": noise(3, 0.7, 0.3)}
    bank = MemoryBank(events, {f"bg{i}": noise(100 + i, 30.0, 0.02 * (i + 1)) for i in range(3)})
    bank.fingerprint = lambda: "arrays"
    return bank


def test_every_event_has_its_ratio_to_the_background_alone(sounds):
    """Two that overlap: without one of them, the mixture minus the background is the other at its ratio."""
    dog = DOG._replace(scaling_factor=None)
    both, background = render(BOTH.with_events([CAT, dog]), sounds), 0.2 * sounds.background_audio("bg0")
    assert np.abs(both).max() < 1
    for event, other in ((CAT, dog), (dog, CAT)):
        alone = render(BOTH.with_events([other]), sounds)
        under = slice(
            int(event.onset_s * SAMPLE_RATE), int(event.onset_s * SAMPLE_RATE) + int(event.length_s * SAMPLE_RATE)
        )
        difference = both - alone
        ratio_db = 20 * np.log10(rms(difference[under]) / rms(background[under]))
        assert ratio_db == pytest.approx(event.ebr_db, abs=0.01)
        assert not difference[: under.start].any()
    swapped = render(BOTH.with_events([dog, CAT]), sounds)
    assert np.allclose(both, swapped, atol=1e-12) and np.array_equal(both, render(BOTH.with_events([CAT, dog]), sounds))
    one = DOG._replace(scaling_factor=2.0)
    assert np.allclose(
        render(BOTH.with_events([CAT, one]), sounds) - render(BOTH.with_events([CAT]), sounds),
        render(BOTH.with_events([one]), sounds) - background,
        atol=1e-12,
    )


def test_a_further_event_that_cannot_be_used_is_named(sounds):
    with pytest.raises(InputError, match=r"m\.wav: dog/1 in bg0: event of 1\.000 s at 29\.5 s does not fit"):
        render(BOTH.with_events([CAT, DOG._replace(onset_s=29.5)]), sounds)


# ---- features and labels


def test_stores_hold_several_and_show_one(sounds, tmp_path):
    recipes = draw_several(sounds, CLASSES, "dev", 12, 5)
    assert {len(recipe.events) for recipe in recipes} >= {0, 1, 2}
    store = prepare(sounds, recipes, tmp_path, n_jobs=1)
    assert store.folder.name.startswith("cat+dog+hen-devtest-") and FeatureStore(store.folder).recipes == recipes
    assert store.has_event.tolist() == [bool(recipe.events) for recipe in recipes]
    rows, n_frames = [3, 0, 7, 11], store.features.shape[1]
    y = class_labels(store, rows, ("hen", "cat"))
    assert y.shape == (4, 2, n_frames) and y.dtype == np.float32
    for label, of_class in zip(("hen", "cat"), y.transpose(1, 0, 2), strict=True):
        view = store.of_class(label)
        for row, labels in zip(rows, of_class, strict=True):
            assert np.array_equal(labels, frame_labels(view.onset_s[row], view.offset_s[row], n_frames))
            events = [event for event in recipes[row].events if event.label == label]
            assert view.has_event[row] == bool(events) and view.recipes[row].events == tuple(events)
            assert view.ebr_db[row] == (events[0].ebr_db if events else -np.inf)
        assert view.name(3) == store.name(3) and np.array_equal(view.clips([3]), store.clips([3]))
    assert y.any(axis=2).sum() > 1 and store.recipes == recipes


def test_two_events_of_one_class_are_both_labelled():
    later = CAT._replace(onset_s=8.0)
    store = SimpleNamespace(features=np.zeros((1, 700, 2)), recipes=[BOTH.with_events([CAT, later, DOG])])
    ((cat, dog),) = class_labels(store, [0], ("cat", "dog"))
    expected = frame_labels(CAT.onset_s, CAT.offset_s, 700) + frame_labels(8.0, later.offset_s, 700)
    assert np.array_equal(cat, expected) and np.array_equal(dog, frame_labels(DOG.onset_s, DOG.offset_s, 700))


def test_recordings_and_holdings_of_several(sounds):
    recipes = [BOTH, BOTH.with_events([DOG]), BOTH.with_events([])]
    assert classes_of(recipes) == ["cat", "dog"]
    assert recordings_of(sounds, recipes) == [("cat/0", "dog/1", "bg0"), (None, "dog/1", "bg0"), (None, None, "bg0")]
    assert recordings_of(sounds, [r.of_class("dog") for r in recipes]) == [("dog/1", "bg0")] * 2 + [(None, "bg0")]
    assert recordings_of(sounds, [BOTH.with_events([DOG._replace(event=None)])]) is None
    drawn = draw_several(sounds, CLASSES, "dev", 60, 0)
    assert holding_of(sounds, "dev", drawn)[:4] == (3, 3, 3, 3)
    assert inventory_of(sounds, ["dog"], ("dev",))[0] == f"dev: {holding(sounds, 'dog', 'dev')}"
    (line, shares, warning) = inventory_of(sounds, CLASSES, ("dev",))
    assert line.startswith("dev: 3 events of 3 recordings and 3 background pieces of 3 recordings")
    assert (
        shares == "    cat 1 event of 1 recording, dog 1 event of 1 recording, hen 1 event of 1 recording"
        and warning.startswith("warning: fewer than 10 rec")
    )


# ---- the command


def test_synthesize_makes_mixtures_of_several_classes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for kind, n, seconds in (("events/dog", 3, 0.5), ("events/cat", 3, 0.7), ("backgrounds", 3, 2.0)):
        (tmp_path / "sounds" / kind).mkdir(parents=True)
        for i in range(n):
            soundfile.write(tmp_path / "sounds" / kind / f"{i}.wav", rng.normal(0, 0.1, round(8000 * seconds)), 8000)
    bank, out = open_bank(tmp_path / "sounds"), tmp_path / "out"
    arguments = ["--bank", bank.name, "--class", "dog", "cat", "-n", "8", "--out", str(out), "--jobs", "1"]
    synthesize.main([*arguments, "--together"])
    assert "8 mixtures written" in capsys.readouterr().out
    recipes = draw_several(bank, ["dog", "cat"], "train", 8, 42)
    assert read_recipes(out / "mixture_recipes_devtrain_dog+cat.yaml") == recipes
    assert max(len(recipe.events) for recipe in recipes) == 2
    events = read_event_list(out / "event_list_devtrain_dog+cat.csv")
    assert list(events) == [recipe.name for recipe in recipes]
    for recipe in recipes:
        assert [label for *_, label in events[recipe.name]] == [event.label for event in recipe.events]
        times = [(event.onset_s, event.offset_s) for event in recipe.events]
        assert np.allclose([event[:2] for event in events[recipe.name]], times)
        stored, _ = soundfile.read(out / recipe.name)
        assert np.allclose(stored, render(recipe, bank), atol=2**-22)
    with pytest.raises(SystemExit, match="2"):
        synthesize.main(["--together", "--recipes", "r.yaml", "--out", str(out)])
    assert "--together: is for drawing recipes" in capsys.readouterr().err
