"""`minirsed.evaluate` of several classes: each class as if alone, the average, which sound was taken for which."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile

from data_tools import mixing
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.several import overlapping
from minirsed.analysis import breakdown, plots
from minirsed.analysis.average import average
from minirsed.card.files import card
from minirsed.evaluate import __main__ as evaluate
from minirsed.evaluate.several import robust_tables, tables
from minirsed.report import __main__ as report
from minirsed.robustness import files as robust_files
from minirsed.robustness import measure as robustness
from minirsed.robustness import plots as robust_plots
from minirsed.robustness import speed
from minirsed.run.session import Machine
from minirsed.run.settings import TrainSettings
from minirsed.run.several import evaluate_several
from minirsed.scoring import count_events, score
from minirsed.several.detector import load
from tests.test_report import Page
from tests.test_several_recipes import BOTH, CAT, DOG
from tests.test_several_recordings import HZ, sound, two_tones

N = 32


def run_folder(root, data, detector, **changes):
    """A run that was never trained: the detector is made by hand."""
    root.mkdir()
    settings = TrainSettings(data=str(data), dev_clips=N, ebr_db=(12.0, 20.0), negatives=0.0, **changes)
    (root / "config.json").write_text(json.dumps({"settings": dataclasses.asdict(settings)}))
    detector.save(root / "best.npz")
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Tones as events in faint noise; every fourth "high" event sounds like a low one."""
    root, rng = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    split = ["file,subset"]
    for label, hz in HZ.items():
        (root / "sounds/events" / label).mkdir(parents=True)
        for i in range(36):
            t = np.arange(round(44100 * (1 + i / 40))) / 44100
            heard = HZ["low"] if i % 4 == 3 else hz
            soundfile.write(root / f"sounds/events/{label}/{i}.wav", 0.3 * np.sin(2 * np.pi * heard * t), 44100)
            split.append(f"events/{label}/{i}.wav,{'dev' if i < 24 else 'eval'}")
    (root / "sounds/backgrounds").mkdir()
    for i in range(36):
        soundfile.write(root / f"sounds/backgrounds/{i}.wav", rng.normal(0, 0.1, 44100), 44100)
        split.append(f"backgrounds/{i}.wav,{'dev' if i < 24 else 'eval'}")
    (root / "sounds/split.csv").write_text("\n".join(split) + "\n")
    both = two_tones()
    run_folder(root / "both", root / "sounds", both, label="low+high", labels=("low", "high"))
    deaf = dataclasses.replace(both.of_class("high"), thres0=1.0)
    for view in (both.of_class("low"), deaf):
        run_folder(root / view.label, root / "sounds", view, label=view.label)
    return root


@pytest.fixture(scope="module")
def results(place):
    machine = Machine(place / "features", 1, 1)
    return evaluate_several(place / "both", tune=False, machine=machine)


@pytest.fixture(scope="module")
def figures(place):
    """As the command leaves them, compared with a run for each class of which that of high tones finds nothing."""
    arguments = [str(place / "both"), "--features", str(place / "features"), "--jobs", "1", "--threads", "1"]
    compared = ["--compare", str(place / "low"), "--compare", str(place / "high")]
    with pytest.MonkeyPatch.context() as patch:
        for of_pictures in (plots, robust_plots):  # half a minute of them
            patch.setattr(of_pictures, "save_figure", lambda figure, path, *_: path.touch())
        patch.setattr(robustness, "changes_here", lambda: (["plain", "source at 8 kHz"], []))
        patch.setattr(speed, "SPEEDS", (2.0,))
        measure = robustness.measure
        patch.setattr(
            robustness, "measure", lambda detector, recipes, *_, **__: measure(detector, recipes[:8], *_, **__)
        )
        evaluate.main([*arguments, *compared, "--json", "--robust"])
    figures = json.loads((place / "both/average_eval.json").read_text())
    classes = {label: json.loads((place / f"both/{label}/figures_eval.json").read_text()) for label in HZ}
    return figures | {"classes": classes}


def test_every_class_is_scored_as_if_alone(results, figures):
    """By the scorer, over the lists of all classes; what is written is what was found."""
    evaluation = results.evaluation
    official = score(evaluation.reference, evaluation.estimated)
    for label, own in figures["classes"].items():
        expected = official.per_class[label]
        assert (own["n_ref"], own["n_sys"], own["n_tp"]) == (expected.n_ref, expected.n_sys, expected.n_tp)
        assert own["error_rate"] == pytest.approx(expected.error_rate) and own["label"] == label
        assert 10 < own["n_ref"] < 30 and own["tuned"]["left_out"]["n_choices"] > 0
    assert figures["average"]["error_rate"] == pytest.approx(official.class_wise_average.error_rate)
    assert figures["average"]["f1"] == pytest.approx(official.class_wise_average.f1)
    for kind in ("", "_by_recording"):
        low, high = figures["average"][f"error_rate_95{kind}"]
        assert low < figures["average"]["error_rate"] < high
    assert figures["labels"] == ["low", "high"] and figures["label"] == "low+high"
    assert sum(figures["n_clips_by_events"]) == N and len(figures["n_clips_by_events"]) == 3


def test_high_events_that_sound_low_are_taken_for_low_ones(results, figures):
    """And nothing else is; they are misses of their own class."""
    recipes = results.store.recipes
    sounding = [
        event for recipe in recipes for event in recipe.of_class("high").events if int(event.event[5:-4]) % 4 == 3
    ]
    found = figures["confusions"]
    assert found["labels"] == ["low", "high"] and found["taken_for"][0][1] == 0
    assert 0 < found["taken_for"][1][0] <= len(sounding)
    assert found["taken_for"][1][1] == found["events"][1] - len(sounding)
    assert found["events"] == [own["n_ref"] for own in figures["classes"].values()]
    with open(results.run / "confusions_eval.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["true"] for row in rows] == ["low", "high", "misplaced", "nothing"]
    assert int(rows[1]["detected_low"]) == found["taken_for"][1][0] and int(rows[0]["events"]) == found["events"][0]


def test_lists_hold_the_events_of_all_classes(results, figures, place):
    for name, expected in (("reference", results.evaluation.reference), ("events", results.evaluation.estimated)):
        assert read_event_list(place / f"both/{name}_eval.csv") == expected
    assert set(figures["files"]) == {
        *("average_eval.json", "events_eval.csv", "reference_eval.csv", "confusions_eval.csv", "low/", "high/")
    }
    assert {path.name for path in (place / "both/high").iterdir()} >= {"figures_eval.json", "examples_eval.png"}


def test_other_runs_are_compared_on_the_same_mixtures(results, figures):
    """The run for low tones is the same network; that for high ones finds nothing, so the average is worse."""
    other, classes = figures["other"], figures["classes"]
    assert classes["low"]["other"]["error_rate"] == classes["low"]["error_rate"]
    assert classes["high"]["other"]["n_sys"] == 0 and classes["high"]["other"]["error_rate"] == 1
    ours = average(
        {
            label: count_events(own.evaluation.reference, own.evaluation.estimated).overall
            for label, own in results.classes.items()
        }
    )[0]
    theirs = (classes["low"]["error_rate"] + 1) / 2
    assert other["error_rate_difference"] == pytest.approx(ours - theirs)
    low, high = other["error_rate_difference_95_by_recording"]
    assert low < ours - theirs < high < 0
    assert other["confusions"]["taken_for"][1] == [figures["confusions"]["taken_for"][1][0], 0]


def test_what_is_printed(figures):
    text = tables(figures)
    lines = text.splitlines()
    assert f"{N} eval mixtures" in lines[0] and max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines if line.startswith(("low ", "high "))].count("low") >= 2
    row = next(line for line in lines if line.startswith("average "))
    assert row.split()[1] == f"{figures['average']['error_rate']:.2f}"
    assert "average ER minus that of the other: -0." in text
    start = lines.index("which sound was taken for which: detected events by what they lie on")
    assert lines[start + 3].split() == [
        "high",
        *map(str, [figures["confusions"]["events"][1], *figures["confusions"]["taken_for"][1]]),
    ]
    assert lines[start + 5].split()[0] == "nothing"


def test_pictures_of_a_class_show_the_others(results):
    """Where a clip has an event of another class, that one is grey and named; curves have a line for each class."""
    own, (mel, axes) = results.classes["high"], plots.new_figure().subplots(2)
    row = next(row for row, recipe in enumerate(results.store.recipes) if len(recipe.events) == 2)
    plots.draw_clip(mel, axes, own.store, own.evaluation, row)
    other = next(event for event in results.store.recipes[row].events if event.label == "low")
    (text,) = axes.texts
    assert text.get_text() == "low" and text.get_position()[0] == other.onset_s
    assert (other.onset_s, other.length_s) in [(p.get_x(), pytest.approx(p.get_width())) for p in axes.patches]
    row = next(row for row, recipe in enumerate(results.store.recipes) if not recipe.events)
    axes = plots.new_figure().subplots()
    plots.draw_clip(mel, axes, own.store, own.evaluation, row)
    assert not axes.texts and not axes.patches
    history = [
        {"epoch": 1, "dev_error_rate": 0.4, "dev_f1": 0.5, "dev_error_rate/low": 0.1, "dev_error_rate/high": 0.7}
    ]
    plots.draw_dev_scores(axes, history, 1)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["average error rate (lower is better)", "… low", "… high", "average F1 (higher is better)"]


def test_events_that_overlap(results, figures):
    assert (
        overlapping(BOTH) == {"cat", "dog"} and overlapping(BOTH.with_events([CAT, DOG._replace(onset_s=1.4)])) == set()
    )
    assert overlapping(BOTH.with_events([CAT, CAT])) == set() == overlapping(BOTH.with_events([]))
    n = sum(len(overlapping(recipe)) for recipe in results.store.recipes)
    assert figures["by_overlap"]["overlapping"]["n_ref"] == n
    assert n + figures["by_overlap"]["alone"]["n_ref"] == sum(figures["confusions"]["events"])


def test_each_class_is_measured_under_each_change(results, figures, place):
    """The first eight mixtures: at 8 kHz nothing is left of a tone of 4 kHz, and every class has its own events."""
    of_class = {label: robust_files.read(place / f"both/{label}", "eval") for label in HZ}
    names = [recipe.name for recipe in results.store.recipes[:8]]
    for label, own in of_class.items():
        plain, narrow, fast = own["changes"]
        scored = breakdown.figures(results.evaluation.of_class[label], names)
        assert {name: plain[name] for name in scored} == scored and plain["n_tp"] > 0
        assert plain["n_ref"] == narrow["n_ref"] == fast["n_ref"] > 0 and fast["n_tp"] > 0
        assert (narrow["n_tp"] == 0) == (label == "high") and own["label"] == label
        assert own["detector"] == robustness.identity(results.detector.of_class(label))
    together = robust_files.read(place / "both", "eval")
    assert together["labels"] == ["low", "high"] and "classes" not in together
    assert together["detector"] == robustness.identity(results.detector) and together["n_clips"] == 8
    for number, row in enumerate(together["changes"]):
        rows = [own["changes"][number] for own in of_class.values()]
        assert row["error_rate"] == pytest.approx(np.mean([own["error_rate"] for own in rows]))
        difference = np.mean([own["error_rate_difference"] for own in rows])
        assert row["error_rate_difference"] == pytest.approx(difference)
        assert row["n_ref"] == sum(own["n_ref"] for own in rows) and row["n_clips"] == 8
        assert row["classes"] == {label: own["changes"][number]["error_rate"] for label, own in of_class.items()}
    low, high = together["changes"][0]["error_rate_95"]
    assert low <= together["changes"][0]["error_rate"] <= high and together["changes"][1]["error_rate_difference"] > 0
    for number, guard in enumerate(together["guards"]):
        p = {label: own["guards"][number]["probability"] for label, own in of_class.items()}
        assert guard["classes"] == p and guard["probability"] == max(p.values())


def test_the_table_of_changes_has_a_column_for_each_class(figures, place):
    together = robust_files.read(place / "both", "eval")
    with open(place / "both/robust_eval.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[1]["change"] == "source at 8 kHz"
    assert {label: float(rows[1][f"error_rate/{label}"]) for label in HZ} == together["changes"][1]["classes"]
    assert float(rows[-1]["probability/high"]) == together["guards"][-1]["classes"]["high"]
    assert rows[-1]["error_rate/high"] == rows[0]["probability/high"] == ""
    classes = {label: robust_files.read(place / f"both/{label}", "eval") for label in HZ}
    lines = robust_tables(together | {"classes": classes}).splitlines()
    assert lines[1].split()[:3] == ["low", "high", "average"]
    rates = [*together["changes"][1]["classes"].values(), together["changes"][1]["error_rate"]]
    assert lines[3].split()[4:7] == [f"{rate:.2f}" for rate in rates]
    assert sum(line.startswith("white noise, ") for line in lines) == 2
    assert max(len(line) for line in lines if str(place) not in line) <= 110
    damaged = dict(together, changes=[row | {"classes": {"low": 0.0}} for row in together["changes"]])
    (place / "robust_dev.json").write_text(json.dumps(damaged))
    with pytest.raises(InputError, match="robust_dev.json: damaged"):
        robust_files.read(place, "dev")


def test_both_events_of_a_mixture_are_played_faster():
    """As each would be by itself; the second begins earlier if it would not fit."""
    slow = speed.at_speed(BOTH, 0.5)
    assert [event.label for event in slow.events] == [event.label for event in BOTH.events]
    for event, before in zip(slow.events, BOTH.events, strict=True):
        assert slow.of_class(event.label) == speed.at_speed(BOTH.of_class(event.label), 0.5)
        assert event.length_s == pytest.approx(2 * before.length_s)


def test_another_run_without_one_of_the_classes_is_refused(place, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([str(place / "both"), "--features", str(place / "features"), "--compare", str(place / "low")])
    err = capsys.readouterr().err
    assert "none of them detects high" in err and "Traceback" not in err


def test_a_run_of_one_class_takes_one_other_run(place, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate.main([str(place / "low"), "--compare", str(place / "low"), "--compare", str(place / "high")])
    assert "--compare: takes one run for a detector of one class, not 2" in capsys.readouterr().err


def monday(folder):
    """A recording with two low and three high tones, and its labels; returns `folder` as an option."""
    low, high = [(3.0, 5.0), (42.0, 43.0)], [(4.0, 7.0), (20.0, 21.0), (36.0, 38.0)]
    folder.mkdir()
    soundfile.write(folder / "monday.wav", sound(50.0, low, high), 44100, subtype="PCM_16")
    lines = [f"{a},{b},{label}" for label, spans in (("low", low), ("high", high)) for a, b in spans]
    (folder / "monday.txt").write_text("\n".join(["onset,offset,label", *lines, ""]))
    return ["--recordings", str(folder)]


def test_the_page_of_several_classes(place, figures, tmp_path, monkeypatch, capsys):
    """Well formed, complete in itself, ids of their own; sections for each class; sounds are those of all classes."""
    heard, run = [], tmp_path / "run"
    shutil.copytree(place / "both", run)
    evaluate.main([str(run), *monday(tmp_path / "street"), "--threads", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "in hours of sound      events   hits misses misplaced  false alarms"
    assert [line.split()[:5] for line in lines[1:3]] == [["low", "2", "2", "0", "0"], ["high", "3", "3", "0", "0"]]
    assert lines[1].endswith("0 in 0.8 min: below 216 an hour at 95 %")
    monkeypatch.setattr(mixing, "render", lambda recipe, bank: heard.append(recipe) or np.zeros(4410))
    arguments = ["--features", str(place / "features"), "--jobs", "1", "--threads", "1", "--examples", "1"]
    report.main([str(run), *arguments])
    html = (run / "report_eval.html").read_text()
    page = Page(html)
    text = "".join(page.text)
    for label, own in figures["classes"].items():
        assert f"{label}: scores" in text and f"{own['n_tp']}" in text
    assert "Which sound was taken for which" in text and "average error rate" in text
    assert "source at 8 kHz" in text and "ER, high" in text and "p, low" in text
    assert heard and any(len(recipe.events) == 2 for recipe in heard)
    assert "high: in hours of sound" in text
    for label, first in (("low", "low-3"), ("high", "high-8")):  # a line of contents for each class
        assert f'<div><b>{label}</b><a href="#{first}">scores</a>' in html
        assert f'<section aria-labelledby="{first}"><h2 id="{first}">{label}: scores</h2>' in html


def test_each_class_is_measured_in_hours_and_keeps_a_promise(place, figures, tmp_path, capsys):
    """No class has a false alarm where the other one sounds."""
    shutil.copytree(place / "both", tmp_path / "run")
    before, recordings = load(tmp_path / "run"), monday(tmp_path / "street")
    features = ["--features", str(place / "features"), "--json"]
    evaluate.main([str(tmp_path / "run"), *recordings, *features, "--alarms-per-hour", "80"])
    detector, (out, err) = load(tmp_path / "run"), capsys.readouterr()
    assert "low, for at most 80 false alarms an hour" in err and "high, for at most 80" in err
    assert [operating.chosen["source"] for operating in detector.operating] == ["street"] * 2
    assert detector.fingerprint() == before.fingerprint() and detector.thres0 != before.thres0
    assert [(own["label"], own["n_events"], own["n_hits"], own["n_false_alarms"]) for own in json.loads(out)] == [
        ("low", 2, 2, 0),
        ("high", 3, 3, 0),
    ]
    assert (tmp_path / "run/high/alarms_recordings.json").exists()
    assert not (tmp_path / "run/alarms_recordings.json").exists()
    text = (tmp_path / "run/card.md").read_text()
    assert "low: On 1 recording, 0.8 min" in text
    assert "An event of low needs" in text and "An event of high needs" in text and "of any of them" not in text
    assert "with the settings that it had then: p \\> 0.5" in text and "not measured on recordings" not in text


def test_the_card_says_how_each_class_was_scored(place, figures):
    text = card(place / "both")
    assert "| class | ER, eval | recall, eval |" in text and "In brackets: 95 % intervals" in text
    for label, own in figures["classes"].items():
        assert f"| {label} | {own['error_rate']:.2f} (" in text
    assert f"| average | {figures['average']['error_rate']:.2f} (" in text
    for label, own in figures["classes"].items():
        assert f"| {label} | {own['by_clip']['n_false_alarms']} of {own['by_clip']['n_quiet']} |" in text
    taken = figures["confusions"]["taken_for"][1][0]
    assert f"taken for which, eval: {taken} events of high for low." in text
    assert text.startswith("# Model card: low, high\n") and "## How well it finds the sounds" in text
    assert "low+high" not in text and "An event of low needs p above 0.5" in text
    assert "not scored on evaluation mixtures" not in text and text.count("not measured on rec") == 1
    assert "the settings that it had then" not in text and "Other places" not in text
    assert "their average error rate is" in text and "- source at 8 kHz: error rate " in text and ", low 0." in text
    path = place / "both/average_eval.json"
    path.write_text(path.read_text().replace('"n_clips": ', '"n_clips": -'))
    assert "average_eval.json" in card(place / "both") and "have not been scored" not in text
