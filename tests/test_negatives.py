"""`negatives/` of a sound folder: found, kept apart by subset, mixed in at the ratios of events, labelled as none."""

import dataclasses

import numpy as np
import pytest
import soundfile

from data_tools import synthesize
from data_tools.audio import SAMPLE_RATE, rms
from data_tools.banks.base import EventClip
from data_tools.errors import InputError
from data_tools.inventory import holding, holding_of, inventory_lines, repeated
from data_tools.mixing import background_clip, render
from data_tools.recipes import draw_recipes, read_recipes, write_recipes
from data_tools.soundbank import open_bank
from minirsed.analysis.breakdown import distinct
from minirsed.outside.clips import draw_batch, draw_clip
from minirsed.outside.spectra import Spectra
from minirsed.run import stores
from minirsed.run.session import train
from minirsed.run.settings import PRESETS, TrainSettings, complete
from minirsed.store.dataset import prepare
from minirsed.store.mixtures import background_recipes, recipes_of
from tests.test_outside import NO_CHANGES
from tests.test_recipes import ListBank

TINY = {"label": "dog", "clips": 8, "dev_clips": 8, "layers": 1, "units": 2, "epochs": 1, "members": 1}


def write(path, seconds, seed=0, sr=8000, level=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, level, round(seconds * sr)).clip(-1, 1), sr)


@pytest.fixture
def sounds(tmp_path):
    """Six dogs, three cows, four backgrounds; no negatives yet."""
    root = tmp_path / "sounds"
    for kind, n, seconds in (("events/dog", 6, 0.5), ("events/cow", 3, 0.7), ("backgrounds", 4, 2.0)):
        for i in range(n):
            write(root / kind / f"{i}.wav", seconds, seed=len(kind) + 100 * i)
    lines = [f"{kind}/{i}.wav,{subset}" for kind in ("events/dog", "events/cow", "backgrounds") for i, subset in SPLIT]
    (root / "split.csv").write_text("\n".join(["file,subset", *lines, "events/dog/5.wav,train", ""]))
    return root


SPLIT = [(0, "train"), (1, "dev"), (2, "eval")]


def with_negatives(root):
    """Flat, by kind, and one of which is only known that it is no dog; a dev and an eval one, the others train."""
    names = ["squeak.wav", "door/slam.wav", "door/deep/er.wav", "not-dog/moo.wav", "dev.wav", "eval.wav", "street.wav"]
    for i, name in enumerate(names):
        write(root / "negatives" / name, 25.5 if name == "street.wav" else 0.4, seed=50 + i)
    subsets = [name[:-4] if name in ("dev.wav", "eval.wav") else "train" for name in names]
    with open(root / "split.csv", "a") as file:
        file.writelines(f"negatives/{name},{subset}\n" for name, subset in zip(names, subsets, strict=True))
    return open_bank(root)


def keys(bank, label, subset):
    return [clip.key for clip in bank.negatives(label, subset)]


# ---- the folder


def test_what_a_folder_has_that_is_not_it(sounds):
    bank = with_negatives(sounds)
    assert keys(bank, "cow", "train") == ["door/deep/er.wav", "door/slam.wav", "squeak.wav", *["street.wav"] * 3]
    assert keys(bank, "dog", "train") == sorted([*keys(bank, "cow", "train"), "not-dog/moo.wav"])
    assert keys(bank, "dog", "dev") == ["dev.wav"] and keys(bank, "dog", "eval") == ["eval.wav"]
    assert [(c.onset_s, c.offset_s) for c in bank.negatives("cow", "train")[3:]] == [(0, 10), (10, 20), (20, 25.5)]
    assert bank.negatives("dog", "dev") == [EventClip("dev.wav", None, 0.0, 0.4)]
    assert bank.classes == ("cow", "dog")
    assert len(bank.negative_audio("door/slam.wav")) == round(0.4 * SAMPLE_RATE)
    assert [open_bank("builtin").negatives("babycry", subset) for subset in ("train", "dev", "eval")] == [[], [], []]
    with pytest.raises(ValueError, match="subset must be one of"):
        bank.negatives("dog", "test")


def test_the_active_part_is_what_is_not_silent_or_listed(sounds):
    y = np.zeros(16000)
    y[4000:12000] = np.random.default_rng(0).normal(0, 0.1, 8000)
    (sounds / "negatives").mkdir()
    soundfile.write(sounds / "negatives/a.wav", y, 8000)
    soundfile.write(sounds / "negatives/b.wav", y, 8000)
    (sounds / "negatives/negatives.csv").write_text("file;onset_s;offset_s\nb.wav;0,75;1,25\n")
    bank = open_bank(sounds)
    clips = [clip for subset in ("train", "dev", "eval") for clip in bank.negatives("dog", subset)]
    assert sorted((c.key, c.onset_s, c.offset_s) for c in clips) == [("a.wav", 0.5, 1.5), ("b.wav", 0.75, 1.25)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: write(root / "negatives/a.wav", 0.5, level=0.0), r"negatives/a\.wav: is silent"),
        (lambda root: (root / "negatives/a.wav").write_bytes(b"nothing"), r"negatives/a\.wav: "),
        (
            lambda root: (root / "negatives/negatives.csv").write_text("file,onset_s,offset_s\nb.wav,0,1\n"),
            r"negatives/negatives\.csv, line 2: no such file",
        ),
        (
            lambda root: (root / "negatives/negatives.csv").write_text("file,onset_s,offset_s\na.wav,0,1\n"),
            r"negatives/negatives\.csv, line 2: offset 1.0 s lies beyond the end of a.wav",
        ),
    ],
)
def test_negatives_that_cannot_be_used(sounds, spoil, message):
    write(sounds / "negatives/a.wav", 0.5)
    spoil(sounds)
    with pytest.raises(InputError, match=message):
        open_bank(sounds)


def test_negatives_never_cross_subsets(sounds):
    """Files of one recording stay together, be they events or negatives; subsets follow from names otherwise."""
    for i in range(40):
        write(sounds / f"negatives/{i}.wav", 0.2, seed=i)
    (sounds / "recordings.csv").write_text(
        "file,recording\nnegatives/0.wav,walk\nnegatives/1.wav,walk\nevents/dog/1.wav,walk\n"
    )
    bank = open_bank(sounds)
    found = {subset: set(keys(bank, "dog", subset)) for subset in ("train", "dev", "eval")}
    assert {"0.wav", "1.wav"} <= found["dev"]  # as the dog is
    assert bank.negative_recording("0.wav") == "walk" and bank.negative_recording("2.wav") == "negatives/2.wav"
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 40
    assert len(found["train"]) > len(found["dev"]) > 2 and len(found["eval"]) > 2
    name = bank.name_of(sounds / "negatives/0.wav")
    assert (name, bank.recording_of(name), bank.subset_of_file(name)) == ("negatives/0.wav", "walk", "dev")
    assert bank.name_of(sounds / "split.csv") is None
    assert bank.subset_of("walk") == "dev" and bank.subset_of("elsewhere") is None


def test_the_same_negative_in_two_subsets_is_named(sounds):
    bank = with_negatives(sounds)
    assert repeated(bank, "dog") is None
    (sounds / "negatives/dev.wav").write_bytes((sounds / "negatives/squeak.wav").read_bytes())
    assert "negatives/dev.wav (dev) = negatives/squeak.wav (train)" in repeated(open_bank(sounds), "dog")
    (sounds / "negatives/dev.wav").write_bytes((sounds / "events/dog/0.wav").read_bytes())
    assert "events/dog/0.wav (train) = negatives/dev.wav (dev)" in repeated(open_bank(sounds), "dog")


def test_folds_deal_negatives_by_recording(sounds):
    bank = with_negatives(sounds)
    everything = set(keys(bank, "dog", "train")) | set(keys(bank, "dog", "dev"))
    times = []
    for k in (1, 2):
        fold = open_bank(sounds, fold=f"{k}/2")
        dev = set(keys(fold, "dog", "dev"))
        assert set(keys(fold, "dog", "train")) == everything - dev and keys(fold, "dog", "eval") == ["eval.wav"]
        assert "not-dog/moo.wav" not in keys(fold, "cow", "train") + keys(fold, "cow", "dev")
        assert fold.negative_audio("squeak.wav").any() and fold.negative_recording("squeak.wav")
        times += dev
    assert sorted(times) == sorted(everything)


def test_the_inventory_counts_them(sounds):
    plain = str(holding(open_bank(sounds), "dog", "train"))
    bank = with_negatives(sounds)
    held = holding(bank, "dog", "train")
    assert held[-2:] == (5, 5) and str(held) == f"{plain}; 5 negatives of 5 recordings"
    assert inventory_lines(bank, "dog", ("dev",))[0].endswith("; 1 negative of 1 recording")
    drawn = draw_recipes(bank, "dog", "train", 200, 0, negative_prob=0.5)
    assert holding_of(bank, "train", drawn) == held
    assert holding_of(bank, "train", [r for r in drawn if r.negative is None])[-2:] == (0, 0)


# ---- mixtures of waveforms


def test_a_folder_without_negatives_gives_what_it_gave_before(sounds):
    """Recipes, and the fingerprint, by which prepared features are found again."""
    bank = open_bank(sounds)
    assert draw_recipes(bank, "dog", "train", 50, 3, negative_prob=1.0) == draw_recipes(bank, "dog", "train", 50, 3)
    before = bank.fingerprint()
    (sounds / "negatives").mkdir()
    assert open_bank(sounds).fingerprint() == before
    bank = with_negatives(sounds)
    assert bank.fingerprint() != before
    (sounds / "negatives/negatives.csv").write_text("file,onset_s,offset_s\nsqueak.wav,0.1,0.3\n")
    assert open_bank(sounds).fingerprint() != bank.fingerprint()


def test_negatives_are_independent_of_everything_else_in_a_mixture(sounds):
    """With them, recipes differ in nothing else; as often with an event as without; all subsets have their own."""
    bank = with_negatives(sounds)
    none = dict.fromkeys(NEGATIVE)
    recipes = draw_recipes(bank, "dog", "train", 600, 0, negative_prob=0.4)
    without = [dataclasses.replace(recipe, name="", **none) for recipe in recipes]
    assert without == [dataclasses.replace(r, name="") for r in draw_recipes(bank, "dog", "train", 600, 0)]
    having = [recipe for recipe in recipes if recipe.negative]
    assert len(having) == pytest.approx(240, abs=40)
    assert sum(recipe.has_event for recipe in having) == pytest.approx(len(having) / 2, abs=30)
    assert {recipe.negative for recipe in having} == set(keys(bank, "dog", "train"))
    assert {recipe.negative_ebr_db for recipe in having} == {-6.0, 0.0, 6.0}
    assert len({recipe.name for recipe in recipes}) == 600
    assert draw_recipes(bank, "dog", "train", 100, 0, first=300, negative_prob=0.4) == recipes[300:400]
    assert {r.negative for r in draw_recipes(bank, "dog", "dev", 30, 0, negative_prob=0.4)} == {None, "dev.wav"}
    with pytest.raises(ValueError, match=r"negative_prob must lie in \[0, 1\]"):
        draw_recipes(bank, "dog", "train", 1, 0, negative_prob=1.5)


class ManyBackgrounds(ListBank):
    def _negatives(self, label, subset):
        return [EventClip(f"{i}.wav", None, 0.0, 1.0) for i in range(5)]


def test_a_negative_tells_nothing_of_background_and_event():
    """Every sound is as often with each of seven backgrounds and of five events: the random numbers are others."""
    recipes = draw_recipes(ManyBackgrounds(), "dog", "train", 3500, 0, negative_prob=0.4)
    for field, n_sounds in (("background", 7), ("event", 5)):
        groups = {}
        for recipe in recipes:
            groups.setdefault(getattr(recipe, field), []).append(recipe.negative)
        groups.pop(None, None)
        assert len(groups) == n_sounds
        for negatives in groups.values():
            shares = [negatives.count(f"{i}.wav") / len(negatives) for i in range(5)]
            assert sum(shares) == pytest.approx(0.4, abs=0.1) and min(shares) > 0.03  # 0.08 each


NEGATIVE = ("negative", *(f"negative_{part}" for part in ("segment_onset_s", "segment_offset_s", "onset_s", "ebr_db")))


def test_a_negative_is_where_and_as_loud_as_its_recipe_says(sounds):
    bank = with_negatives(sounds)
    (recipe,) = [r for r in draw_recipes(bank, "dog", "train", 40, 0, negative_prob=1.0) if r.negative][5:6]
    y = render(recipe, bank)
    plain = render(dataclasses.replace(recipe, **dict.fromkeys(NEGATIVE)), bank)
    changed = np.flatnonzero(np.abs(y - plain) > 1e-12)
    first = int(recipe.negative_onset_s * SAMPLE_RATE)
    length = int((recipe.negative_segment_offset_s - recipe.negative_segment_onset_s) * SAMPLE_RATE)
    assert first <= changed[0] < first + 9 and first + length - 9 < changed[-1] + 1 <= first + length
    background = 0.2 * background_clip(bank, recipe.background, recipe.background_start_s, 30.0)[first : first + length]
    ratio_db = 20 * np.log10(rms((y - plain)[first : first + length]) / rms(background))
    assert ratio_db == pytest.approx(recipe.negative_ebr_db, abs=0.01)
    with pytest.raises(InputError, match="does not fit in a background"):
        render(dataclasses.replace(recipe, negative_onset_s=29.9), bank)


def test_recipes_with_negatives_are_written_and_read(sounds, tmp_path):
    recipes = draw_recipes(with_negatives(sounds), "dog", "train", 30, 0, negative_prob=0.5)
    write_recipes(tmp_path / "recipes.yaml", recipes)
    assert read_recipes(tmp_path / "recipes.yaml") == recipes
    text = (tmp_path / "recipes.yaml").read_text()
    assert text.count("negative_path:") == sum(recipe.negative is not None for recipe in recipes) > 5
    (tmp_path / "recipes.yaml").write_text(text.replace("negative_ebr:", "other:"))
    with pytest.raises(InputError, match="no field negative_ebr"):
        read_recipes(tmp_path / "recipes.yaml")


def test_synthesize_mixes_them_in(sounds, tmp_path):
    with_negatives(sounds)
    command = ["--bank", str(sounds), "--class", "dog", "-n", "6", "--jobs", "1", "--negatives", "1"]
    synthesize.main([*command, "--out", str(tmp_path / "mixtures")])
    (file,) = (tmp_path / "mixtures").glob("*.yaml")
    assert all(recipe.negative for recipe in read_recipes(file))
    event_list = (tmp_path / "mixtures/event_list_devtrain_dog.csv").read_text()
    assert event_list.count("\tdog") == 3  # negatives are no events


# ---- training


def test_mixtures_of_a_run_have_them_in_every_subset(sounds):
    bank = with_negatives(sounds)
    plain = complete(PRESETS["plain"], {"label": "dog", "data": str(sounds), "clips": 60})
    for subset in ("train", "dev", "eval"):
        found = [recipe.negative for recipe in recipes_of(bank, plain, subset, 60)]
        assert set(found) - {None} == set(keys(bank, "dog", subset)) and found.count(None) == pytest.approx(42, abs=12)
    never = dataclasses.replace(plain, negatives=0.0)
    official = dataclasses.replace(plain, generator="official")
    assert not any(r.negative for s in (never, official) for r in recipes_of(bank, s, "train", 20))
    quick = complete(PRESETS["quick"], {"label": "dog"})
    assert any(recipe.negative for recipe in recipes_of(bank, quick, "dev"))
    assert not any(recipe.negative for recipe in recipes_of(bank, quick, "train"))  # backgrounds alone


def spectra_of(root, tmp_path, **given):
    settings = complete(PRESETS["quick"], {"label": "dog", "clips": 8, **given})
    bank = open_bank(root)
    store = prepare(bank, background_recipes(bank, settings), tmp_path / "features", n_jobs=1, floor=1e-13)
    return Spectra.of(bank, settings, store), settings


def test_spectra_of_negatives_and_of_other_classes(sounds, tmp_path):
    with_negatives(sounds)
    spectra, _ = spectra_of(sounds, tmp_path)
    assert [len(group) for group in (spectra.others, spectra.negatives)] == [1, 5]
    assert sum(map(len, spectra.negatives)) == 7  # one of three pieces
    spectra, _ = spectra_of(sounds, tmp_path, other_classes="no")
    assert [len(group) for group in (spectra.others, spectra.negatives)] == [0, 5]
    spectra, _ = spectra_of(sounds, tmp_path, other_events=0.0)
    assert [len(group) for group in (spectra.others, spectra.negatives)] == [0, 0]


def test_clips_have_negatives_with_and_without_an_event_and_no_label_for_them(sounds, tmp_path):
    with_negatives(sounds)
    spectra, settings = spectra_of(sounds, tmp_path, other_classes="no", other_events=1.0, ebr_db=(20.0,), **NO)
    spectra.negatives = [own for own in spectra.negatives if own[0].length_s < 1]
    empty = np.zeros((9, 48), np.float32)
    spectra.events = [[[spectra.negatives[0][0]._replace(power=empty, length_s=0.1, above=1.0)]]]
    for has_event in (True, False):
        for seed in range(4):
            power, (labels,) = draw_clip(np.random.default_rng(seed), spectra, settings, [has_event])
            level_db = 10 * np.log10(power.sum(axis=1))
            loud = level_db > np.median(level_db) + 10  # the negative alone: the event has no power
            assert 8 < loud.sum() and bool(labels.any()) == has_event
            assert not labels[loud].all()


NO = NO_CHANGES | {"equaliser_db": 0.0, "stretch": 0.0}
NO.pop("other_events")


def test_negatives_and_other_classes_take_turns(sounds, tmp_path):
    """Half and half, however many recordings each has; a folder without negatives draws the clips of before."""
    from minirsed.outside.clips import _not_to_be_found

    with_negatives(sounds)
    spectra, settings = spectra_of(sounds, tmp_path)
    rng = np.random.default_rng(0)
    drawn = [_not_to_be_found(rng, spectra, settings) for _ in range(400)]
    own = [ratio for pool, ratio in drawn if pool is spectra.negatives]
    assert len(own) == pytest.approx(200, abs=40)
    assert {round(10 * np.log10(ratio)) for ratio in own} == {-6, 0, 6}
    spectra.negatives = []
    one, other = np.random.default_rng(7), np.random.default_rng(7)
    pool, ratio = _not_to_be_found(one, spectra, settings)
    assert pool is spectra.others and ratio == 10.0 ** (other.uniform(-6.0, 10.0) / 10)
    assert draw_batch(one, spectra, settings, 4).power.shape[0] == 4


def test_a_run_says_how_many_it_has_and_clean_notices_them(sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = complete(PRESETS["quick"], {**TINY, "data": str(sounds)})
    train(settings, "runs/plain", say=lambda text: None)
    with_negatives(sounds)
    stores.opened_bank.cache_clear()
    stores._store_name.cache_clear()
    unused = [store for store in stores.kept_stores(tmp_path / "features", [tmp_path / "runs"]) if not store.runs]
    assert len(unused) == 2  # both were made of other sounds
    said = []
    train(settings, "runs/new", say=said.append)
    assert any("; 5 negatives of 5 recordings" in text for text in said)
    assert "train: 4 events, 1 of other classes, 7 negatives; every clip of 10 s is new" in said
    stores.opened_bank.cache_clear()
    stores._store_name.cache_clear()


def test_clips_without_an_event_are_alike_only_without_a_negative():
    from types import SimpleNamespace

    def recipe(negative):
        return SimpleNamespace(background="a", background_start_s=0.0, has_event=False, negative=negative)

    store = SimpleNamespace(recipes=[recipe(None), recipe("x.wav"), recipe(None), recipe("x.wav")])
    assert distinct(store, [0, 1, 2, 3]) == [0, 1, 3]


def test_the_papers_presets_are_as_they_were(sounds):
    """Old runs have no such settings; they get what they had."""
    old = {name: value for name, value in dataclasses.asdict(TrainSettings()).items() if name not in NEW}
    assert TrainSettings(**old) == TrainSettings()
    bank = open_bank("builtin")
    paper = complete(PRESETS["paper-5k"], {"label": "gunshot"})
    for subset in ("train", "dev"):
        seed = paper.seed if subset == "train" else 1
        assert recipes_of(bank, paper, subset, 20) == draw_recipes(bank, "gunshot", subset, 20, seed)


NEW = ("negatives", "other_classes")
