"""Folds of a bank, and cross-validation: nothing is tried on what it has learnt from, and nothing is done twice."""

import csv
import json
import math
import os
import pickle
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

from data_tools.banks.folds import Folded, parse_fold
from data_tools.errors import InputError
from data_tools.mixing import render
from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank, open_bank
from minirsed.run import folds as cross_validation
from minirsed.run.folder import read_settings, trained_detector
from minirsed.run.folds import COLUMNS, cross_validate, pooled
from minirsed.run.resumable import Stopped
from minirsed.run.session import evaluate_run, train
from minirsed.run.settings import TrainSettings
from minirsed.run.several import evaluate_several
from minirsed.scoring import count_events
from minirsed.train import __main__ as train_command

TINY = {"label": "dog", "clips": 4, "dev_clips": 4, "layers": 1, "units": 2, "epochs": 1}
POOLED = ("train", "dev")


@pytest.fixture
def sounds(tmp_path):
    """14 dogs, of which the first five are of one recording, 3 cows, 5 backgrounds; the last of each is eval."""
    rng, lines = np.random.default_rng(0), ["file,subset"]
    for kind, n, seconds in (("events/dog", 14, 0.5), ("events/cow", 3, 0.5), ("backgrounds", 5, 2.0)):
        (tmp_path / "sounds" / kind).mkdir(parents=True)
        for i in range(n):
            soundfile.write(tmp_path / f"sounds/{kind}/{i}.wav", rng.normal(0, 0.1, round(seconds * 8000)), 8000)
            lines.append(f"{kind}/{i}.wav,{'eval' if i == n - 1 else 'dev' if i == n - 2 else 'train'}")
    (tmp_path / "sounds/split.csv").write_text("\n".join(lines))
    listed = [f"events/dog/{i}.wav,walk" for i in range(5)]
    (tmp_path / "sounds/recordings.csv").write_text("\n".join(["file,recording", *listed]))
    return tmp_path / "sounds"


def recordings(bank, subset, label="dog"):
    """Of the events of a class, and of the backgrounds."""
    events = {bank.event_recording(clip.key) for clip in bank.events(label, subset)}
    return events, {bank.background_recording(piece.key) for piece in bank.backgrounds(subset)}


# ---- the bank


def test_each_recording_is_tried_in_one_fold_and_learnt_in_the_others(sounds):
    whole = open_bank(sounds)
    banks = [open_bank(sounds, fold=f"{k}/4") for k in (1, 2, 3, 4)]
    everything = [set.union(*parts) for parts in zip(*(recordings(whole, subset) for subset in POOLED), strict=True)]
    dev = [recordings(bank, "dev") for bank in banks]
    for kind in (0, 1):
        times = Counter(name for parts in dev for name in parts[kind])
        assert times == dict.fromkeys(everything[kind], 1)
    for bank, tried in zip(banks, dev, strict=True):
        learnt = recordings(bank, "train")
        for kind in (0, 1):
            assert learnt[kind] == everything[kind] - tried[kind]
        assert bank.events("dog", "eval") == whole.events("dog", "eval")
        assert bank.backgrounds("eval") == whole.backgrounds("eval")


def test_folds_are_balanced_by_events(sounds):
    """13 events, 5 of them of one recording: it fills a fold, and the other 8 go to the other three."""
    sizes = [len(open_bank(sounds, fold=f"{k}/4").events("dog", "dev")) for k in (1, 2, 3, 4)]
    assert sorted(sizes) == [2, 3, 3, 5]
    banks = [open_bank("builtin", fold=f"{k}/7") for k in (1, 7)]
    assert {len(bank.events("gunshot", "dev")) for bank in banks} <= {42, 43}  # 300 / 7
    assert {len(bank.backgrounds("dev")) for bank in banks} <= {102, 103}  # 720 / 7


def test_a_recording_of_two_classes_and_a_background_is_in_one_fold(sounds):
    text = (sounds / "recordings.csv").read_text()
    (sounds / "recordings.csv").write_text(text + "\nevents/cow/0.wav,walk\nbackgrounds/0.wav,walk\n")
    for k in (1, 2):
        bank = open_bank(sounds, fold=f"{k}/2")
        places = {("walk" in recordings(bank, s, label)[kind], s) for s in POOLED for label, kind in KINDS}
        assert places in ({(True, "dev"), (False, "train")}, {(False, "dev"), (True, "train")})


KINDS = (("dog", 0), ("cow", 0), ("dog", 1))


def test_folds_are_the_same_everywhere_and_told_apart(sounds):
    """Another bank over the same folder deals alike, a copy too; each fold has a fingerprint of its own."""
    bank = open_bank(sounds, fold="2/3")
    for other in (open_bank(sounds, fold="2/3"), pickle.loads(pickle.dumps(bank))):
        assert other.events("dog", "dev") == bank.events("dog", "dev")
        assert other.fingerprint() == bank.fingerprint()
    prints = {open_bank(sounds, fold=fold).fingerprint() for fold in ("", "1/3", "2/3", "2/4")}
    assert len(prints) == 4
    recipes = draw_recipes(bank, "dog", "dev", 6, 0)
    assert {recipe.event for recipe in recipes if recipe.has_event} <= {c.key for c in bank.events("dog", "dev")}
    assert all(np.isfinite(render(recipe, bank)).all() for recipe in recipes)
    assert np.array_equal(render(recipes[0], bank), render(recipes[0], open_bank(sounds)))


def test_too_few_recordings_for_so_many_folds(sounds):
    """Two cows in train and dev, four backgrounds; another class is not in the way."""
    bank = open_bank(sounds, fold="3/3")
    with pytest.raises(InputError, match="class 'cow' in train and dev: 2, which fill 2 of 3 folds; take fewer folds"):
        bank.events("cow", "dev")
    assert bank.events("dog", "dev") and len(bank.events("cow", "train")) == 2
    with pytest.raises(InputError, match="recordings of backgrounds in train and dev: 4, which fill 4 of 5 folds"):
        open_bank(sounds, fold="5/5").backgrounds("dev")


@pytest.mark.parametrize("text", ["2", "0/5", "6/5", "1/1", "a/b", "1/2/3", "-1/5", "²/5", " 1/5", "/5"])
def test_what_is_no_fold(text):
    with pytest.raises(InputError, match="^--fold is '.*': expected"):
        parse_fold(text)
    with pytest.raises(InputError, match="^--fold is '.*': expected"):
        TrainSettings(fold=text)


def test_a_fold_that_there_is_not():
    with pytest.raises(ValueError, match="fold 3 of 2"):
        Folded(SoundBank.builtin(), 3, 2)


# ---- cross-validation


def quiet(text):
    """For `say`."""


def without_seconds(found):
    return json.loads(
        json.dumps(found, default=str), object_hook=lambda d: {k: v for k, v in d.items() if k != "seconds"}
    )


def test_cross_validation_pools_the_counts_of_ordinary_runs(sounds, tmp_path, monkeypatch):
    """Each fold is a run that is evaluated like any other; the pooled figures are those of all counts together."""
    monkeypatch.chdir(tmp_path)
    said = []
    found = cross_validate(TrainSettings(**TINY, data=str(sounds)), 3, say=said.append)
    out = tmp_path / "runs/dog-folds"
    total = np.zeros(4, int)
    for k, fold in enumerate(found["folds"], 1):
        assert read_settings(out / f"fold-{k}").fold == f"{k}/3" and list(fold) == list(COLUMNS)
        evaluation = evaluate_run(out / f"fold-{k}", "dev", tune=False).evaluation
        counts = count_events(evaluation.reference, evaluation.estimated).overall
        n_ref, n_sys, n_tp, _ = counts.sum(axis=0)
        assert (fold["n_ref"], fold["n_sys"], fold["n_tp"]) == (n_ref, n_sys, n_tp) and n_ref == 2
        assert fold["best_epoch"] == 1 and fold["last_error_rate"] == fold["error_rate"]  # of one epoch
        total += counts.sum(axis=0)
    every = found["pooled"]
    assert [every[name] for name in ("n_ref", "n_sys", "n_tp")] == total[:3].tolist() and every["n_clips"] == 12
    assert every["error_rate"] == pytest.approx((total[0] + total[1] - 2 * total[2]) / total[0])
    assert every["last_error_rate"] == pytest.approx(every["error_rate"])
    assert json.loads((out / "folds.json").read_text()) == found
    with open(out / "folds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["fold"] for row in rows] == ["1", "2", "3", "all"] and rows[3]["n_ref"] == "6"
    assert "fold 2 of 3" in said and "over recordings" in said[-2] and "fold all" in said[-2]
    assert not math.isnan(every["error_rate_95_by_recording"][0] or 0.0)


def test_what_is_finished_is_not_done_again_and_what_was_stopped_is_continued(sounds, tmp_path, monkeypatch):
    """Stopped inside the second fold; called again, the result is as if it had not been."""
    settings = TrainSettings(**TINY | {"epochs": 2}, data=str(sounds))
    whole = cross_validate(settings, 2, tmp_path / "whole", say=quiet)

    def stop_in_the_second_fold():
        return (tmp_path / "again/fold-1/fold.json").exists()

    stop_in_the_second_fold.deferred = Undisturbed
    with pytest.raises(Stopped):
        cross_validate(settings, 2, tmp_path / "again", say=quiet, stop=stop_in_the_second_fold)
    assert (tmp_path / "again/fold-1/fold.json").exists() and not (tmp_path / "again/folds.json").exists()
    assert (tmp_path / "again/fold-2/checkpoint.npz").exists() and not (tmp_path / "again/fold-2/fold.json").exists()
    said = []
    again = cross_validate(settings, 2, tmp_path / "again", say=said.append)
    assert said[0].startswith("fold 1 of 2: finished already") and any("resuming after epoch" in text for text in said)
    assert without_seconds(again) == without_seconds(whole)

    def never(*arguments, **options):
        raise AssertionError("trained again")

    monkeypatch.setattr(cross_validation, "train", never)
    assert cross_validate(settings, 2, tmp_path / "whole", say=quiet) == whole


class Undisturbed:
    """A `deferred` without signals."""

    def __init__(self, is_deferred=True):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *exception):
        pass


def test_other_settings_sounds_or_files_are_refused(sounds, tmp_path):
    settings = TrainSettings(**TINY, data=str(sounds))
    out = tmp_path / "out"
    cross_validate(settings, 2, out, say=quiet)
    with pytest.raises(InputError, match="fold-1: holds a run with --fold 1/2, not 1/3; choose another --out"):
        cross_validate(settings, 3, out, say=quiet)
    with pytest.raises(InputError, match="fold-1: holds a run with --seed 0, not 1"):
        cross_validate(TrainSettings(**TINY, data=str(sounds), seed=1), 2, out, say=quiet)
    with pytest.raises(InputError, match="fill 4 of 5 folds"):
        cross_validate(settings, 5, tmp_path / "never", say=quiet)
    assert not (tmp_path / "never").exists()
    with pytest.raises(InputError, match="--fold 1/2: with --folds, all folds are trained"):
        cross_validate(TrainSettings(**TINY, data=str(sounds), fold="1/2"), 2, out, say=quiet)
    os.utime(sounds / "events/dog/0.wav", ns=(1, 1))
    with pytest.raises(InputError, match="fold-1: its sounds have changed since"):
        cross_validate(settings, 2, out, say=quiet)
    for text in ("", "[]", '{"counts": [[1, 1, 1, 0]], "recordings": []}'):
        (out / "fold-1/fold.json").write_text(text)
        with pytest.raises(InputError, match=r"fold-1.fold\.json: damaged; delete it"):
            cross_validate(settings, 2, out, say=quiet)


def test_pooled_figures_worked_by_hand():
    """Two events and a false alarm in the first fold, one event in the second: ER 0.5, 1 → (1 + 1) / 3."""
    held = dict.fromkeys(("n_events", "n_event_recordings", "n_backgrounds", "n_background_recordings"), 1)
    results = [
        {
            "counts": np.array(counts),
            "recordings": [(f"e{k}" if row[0] else None, f"b{k}{i}") for i, row in enumerate(counts)],
            "made_of": held | {"background_s": 30.0},
            "best_epoch": 3,
            "last_error_rate": last,
            "seconds": 1.0,
        }
        for k, (counts, last) in enumerate(
            (([[1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0]], 0.5), ([[1, 0, 0, 0], [0, 0, 0, 0]], 2.0))
        )
    ]
    found = pooled(results)
    assert [fold["error_rate"] for fold in found["folds"]] == pytest.approx([0.5, 1.0])
    every = found["pooled"]
    assert every["error_rate"] == pytest.approx(2 / 3) and every["f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert every["last_error_rate"] == pytest.approx((2 * 0.5 + 1 * 2.0) / 3)
    assert every["made_of"] == dict.fromkeys(held, 2) | {"background_s": 60.0}
    results[1]["last_error_rate"] = None
    assert pooled(results)["pooled"]["last_error_rate"] is None


def by_hand(counts, **others):
    """What a fold leaves of a class, mixture i of background i % 2 and each event of a recording of its own."""
    held = dict.fromkeys(("n_events", "n_event_recordings", "n_backgrounds", "n_background_recordings"), 1)
    recordings = [(f"e{others}{i}" if row[0] else None, f"b{i % 2}") for i, row in enumerate(counts)]
    return {"counts": np.array(counts), "recordings": recordings, "made_of": held, **others}


HIT, MISS, FALSE, NOTHING = [1, 1, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]
OF_TWO = [
    {"dog": [HIT, MISS, NOTHING, NOTHING], "cow": [NOTHING, HIT, FALSE, NOTHING]},
    {"dog": [MISS, NOTHING], "cow": [HIT, HIT]},
]


@pytest.fixture
def of_two():
    """Results of two folds with two classes."""
    return [
        {
            "classes": {label: by_hand(own, last_error_rate=0.1 * k) for label, own in counts.items()},
            **{"best_epoch": 2, "last_error_rate": 0.4, "seconds": 2.0},
        }
        for k, counts in enumerate(OF_TWO, 1)
    ]


def test_several_classes_are_pooled_each_by_itself_and_averaged(of_two):
    """Errors of dogs: 1 of 2 and 1 of 1, together 2/3; of cows: 1 of 1 and 0 of 2, together 1/3."""
    found = cross_validation.averaged(of_two, ("dog", "cow"))
    for label in ("dog", "cow"):
        assert found["classes"][label] == pooled([result | result["classes"][label] for result in of_two])
    assert [found["classes"][label]["pooled"]["error_rate"] for label in ("dog", "cow")] == pytest.approx(
        [2 / 3, 1 / 3]
    )
    assert [fold["error_rate"] for fold in found["folds"]] == pytest.approx([3 / 4, 1 / 2])
    every = found["pooled"]
    assert every["error_rate"] == pytest.approx(1 / 2) and every["n_clips"] == 6
    assert every["f1"] == pytest.approx((2 / (3 + 1) + 2 * 3 / (3 + 4)) / 2)
    assert every["last_error_rate"] == pytest.approx(((2 * 0.1 + 0.2) / 3 + (0.1 + 2 * 0.2) / 3) / 2)
    assert [fold["last_error_rate"] for fold in found["folds"]] == [0.4, 0.4]
    for over in ("", "_by_recording"):
        low, high = every[f"error_rate_95{over}"]
        assert low < 1 / 2 < high
    of_two[0]["classes"]["cow"]["last_error_rate"] = None
    assert cross_validation.averaged(of_two, ("dog", "cow"))["pooled"]["last_error_rate"] is None


def test_tables_of_several_classes(of_two, tmp_path):
    found = {"label": "dog+cow", "data": "sounds", "n_folds": 2, **cross_validation.averaged(of_two, ("dog", "cow"))}
    cross_validation.write_table(tmp_path, found)
    assert json.loads((tmp_path / "folds.json").read_text()) == json.loads(json.dumps(found))
    with open(tmp_path / "folds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == ("class", *COLUMNS)
    assert [(row["class"], row["fold"]) for row in rows] == [
        (label, fold) for label in ("dog", "cow", "average") for fold in ("1", "2", "all")
    ]
    assert [row["n_ref"] for row in rows] == ["2", "1", "3", "1", "2", "3", "", "", ""]
    assert float(rows[6]["error_rate"]) == 0.75 and {row["seconds"] for row in rows[2::3]} == {"4.0"}
    lines = cross_validation.table(found).splitlines()
    heads = [line.split()[0] for line in lines if "recordings  events" in line]
    assert heads == ["dog", "cow", "average"] and lines.count("") == 2
    assert [line.split()[-3] for line in lines if line.startswith("fold all")] == ["0.67", "0.33", "0.50"]
    assert sum("over recordings" in line for line in lines) == 6


def test_several_classes_are_cross_validated_in_ordinary_runs(sounds, tmp_path, monkeypatch):
    """All classes in the same folds; what is finished is not done again."""
    monkeypatch.chdir(tmp_path)
    settings = TrainSettings(**TINY | {"dev_clips": 8}, labels=("dog", "cow"), data=str(sounds))
    found = cross_validate(settings, 2, say=quiet)
    out = tmp_path / "runs/dog+cow-folds"
    for k in (1, 2):
        assert read_settings(out / f"fold-{k}").fold == f"{k}/2"
        evaluation = evaluate_several(out / f"fold-{k}", "dev", tune=False).evaluation
        for label, own in evaluation.of_class.items():
            fold = found["classes"][label]["folds"][k - 1]
            scores = own.scores.n_ref, own.scores.n_sys, own.scores.n_tp
            assert (fold["n_ref"], fold["n_sys"], fold["n_tp"]) == scores and fold["n_ref"] > 0
            assert fold["last_error_rate"] == fold["error_rate"]  # of one epoch
        assert found["folds"][k - 1]["error_rate"] == pytest.approx(evaluation.scores.error_rate)
    monkeypatch.setattr(cross_validation, "train", None)
    assert cross_validate(settings, 2, say=quiet) == found
    result = json.loads((out / "fold-1/fold.json").read_text())
    del result["classes"]["cow"]
    (out / "fold-1/fold.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=r"fold-1.fold\.json: damaged; delete it"):
        cross_validate(settings, 2, say=quiet)
    with pytest.raises(InputError, match="class 'cow' in train and dev: 2, which fill 2 of 3 folds; take fewer folds"):
        cross_validate(settings, 3, tmp_path / "never", say=quiet)


def test_one_fold_by_hand_is_the_same_run(sounds, tmp_path):
    """`--fold 2/2` trains what cross-validation trains."""
    settings = TrainSettings(**TINY, data=str(sounds))
    cross_validate(settings, 2, tmp_path / "folds", say=quiet)
    train(TrainSettings(**TINY, data=str(sounds), fold="2/2"), tmp_path / "alone", say=quiet)
    assert (tmp_path / "alone/best.npz").read_bytes() == (tmp_path / "folds/fold-2/best.npz").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--folds", "1"], "--folds is 1: expected at least 2"),
        (["--folds", "3", "--resume"], "--resume: with --folds, the same command continues by itself"),
        (["--folds", "3", "--fold", "1/3"], "--fold 1/3: with --folds, all folds are trained; leave it out"),
        (["--fold", "4/3"], "--fold is '4/3': expected a fold from 1/N to N/N"),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        train_command.main(["gunshot", *words])
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and message in error and len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_command(sounds, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "dog --folds 2 --clips 4 --dev-clips 4 --layers 1 --units 2 --epochs 1 --out out --data".split()
    train_command.main([*words, str(sounds)])
    printed = capsys.readouterr().out
    assert re.search(r"^train: \d+ events of \d+ recordings and 2 background pieces of 2 recordings, ", printed, re.M)
    assert "fold 1 of 2" in printed and "fold all" in printed and printed.endswith("folds.csv, folds.json\n")
    assert read_settings(tmp_path / "out/fold-2").fold == "2/2"


def test_what_folds_do_not_choose_is_said(sounds, tmp_path, monkeypatch, capsys):
    """Where a training without them keeps an epoch for a promise; asked for, each fold does so."""
    monkeypatch.chdir(tmp_path)
    (sounds / "negatives").mkdir()
    for i in range(3):
        soundfile.write(sounds / f"negatives/{i}.wav", np.random.default_rng(i).normal(0, 0.1, 4000), 8000)
    with open(sounds / "split.csv", "a") as file:
        file.writelines(f"\nnegatives/{i}.wav,{subset}" for i, subset in enumerate(("train", "dev", "train")))
    words = "dog --folds 2 --clips 4 --dev-clips 4 --layers 1 --units 2 --epochs 2 --members 1 --data".split()
    train_command.main([*words, str(sounds), "--out", "plain"])
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("Each fold keeps its last epoch, with the thresholds of a new detector. Without --folds")
    detector = trained_detector(tmp_path / "plain/fold-1")
    assert detector.operating.chosen is None and "missed at" not in printed
    train_command.main([*words, str(sounds), "--keep", "promise", "--out", "promise"])
    printed = capsys.readouterr().out
    assert not printed.startswith("Each") and "missed at 0.5 alarms an hour" in printed
    assert trained_detector(tmp_path / "promise/fold-1").operating.chosen["chosen_on"] == "mixtures"
