"""`python -m minirsed.evaluate` on a small run, and what its report says of mixtures worked by hand."""

import csv
import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from data_tools.banks.base import Background, Bank
from data_tools.inventory import Holding, few
from data_tools.recipes import Recipe
from minirsed.analysis import breakdown, left_out
from minirsed.analysis.evaluation import Evaluation, estimated_events, reference_events
from minirsed.analysis.files import Results, figures_of, grid_of, tune_on_dev, write_report
from minirsed.analysis.thresholds import GRID, lowest_error
from minirsed.detector import Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.features import frame_to_seconds
from minirsed.listening.operating import Operating
from minirsed.model import ModelConfig, init_params
from minirsed.run.settings import TrainSettings
from minirsed.score import __main__ as score
from minirsed.scoring import score as score_events

N_FRAMES = 200  # 4.6 s


def tiny_detector(label="ping", seed=0):
    """Random weights, but a strong opinion: probabilities of clips and frames are spread over 0 … 1."""
    config = ModelConfig(arch="uni", n_layers=1, n_units=8)
    params = init_params(config, np.random.default_rng(seed))
    params["head.w"] *= 6
    return Detector(config, params, label, np.full(64, -8.0), np.full(64, 2.0))


# scene, EBR in dB (None: no event), true onset, detected frames (None: none), p
CLIPS = [
    ("bus", -6.0, 1.0, None, 0.2),  # miss
    ("bus", -6.0, 1.0, 1.0, 0.9),  # hit
    ("bus", 6.0, 2.0, 2.0, 0.9),  # hit
    ("bus", None, None, None, 0.1),  # quiet
    ("park", 6.0, 1.0, 3.0, 0.8),  # wrong place
    ("park", None, None, 1.0, 0.7),  # false alarm
    ("park", None, None, 1.0, 0.7),  # false alarm, same background: the same sound
    ("", -math.inf, 0.5, 0.5, 0.4),  # ratio and scene unknown; missed as p is below 0.5
]


def by_hand(clips=CLIPS):
    """A store of such clips and what a detector is said to make of them."""
    recipes = [
        Recipe(
            name=f"{i}.wav",
            background=f"{scene}.wav",
            scene=scene,
            label=None if ebr_db is None else "ping",
            event=None if ebr_db is None else f"{'ab'[i % 2]}/{i}.wav",
            segment_onset_s=None if ebr_db is None else 0.0,
            ebr_db=-math.inf if ebr_db is None else ebr_db,
        )
        for i, (scene, ebr_db, *_) in enumerate(clips)
    ]
    onset_s = np.array([math.nan if clip[2] is None else clip[2] for clip in clips])
    features = np.random.default_rng(0).standard_normal((len(clips), N_FRAMES, 64)).astype(np.float32)
    ebr_db = np.array([recipe.ebr_db for recipe in recipes])
    store = SimpleNamespace(
        features=features, recipes=recipes, has_event=~np.isnan(onset_s), onset_s=onset_s, offset_s=onset_s + 0.5
    )
    store = SizedStore(**vars(store), ebr_db=ebr_db)
    detector = tiny_detector()
    seconds = frame_to_seconds(np.arange(N_FRAMES))
    detections = []
    for *_, found_s, p in clips:
        p_t = np.full(N_FRAMES, 0.1, np.float32)
        if found_s is not None:
            p_t[(seconds >= found_s) & (seconds < found_s + 0.5)] = 0.7
        detections.append(detector.decode(p, p_t))
    reference, estimated = reference_events(store), estimated_events(store, detections, "ping")
    loss = np.array([abs(store.has_event[i] - clip[-1]) for i, clip in enumerate(clips)])
    return detector, store, Evaluation(loss, detections, reference, estimated, score_events(reference, estimated))


class HandBank(Bank):
    """Backgrounds of 12 s; events whose keys begin alike are of one recording."""

    def __init__(self):
        super().__init__("by hand", ("ping",))

    def _backgrounds(self, subset):
        return [Background(f"{scene}.wav", scene, duration_s=12.0) for scene in ("bus", "park", "")]

    def event_recording(self, key):
        return key[0]


class SizedStore(SimpleNamespace):
    """With a length, as the real one."""

    def __len__(self):
        return len(self.features)


def results_by_hand(folder, clips=CLIPS, **more):
    folder.mkdir(exist_ok=True)
    return Results(folder, "eval", *by_hand(clips), HandBank(), **more)


def test_figures_worked_by_hand(tmp_path):
    """Events 5: hits 2, misses 3 (a miss, a wrong place, one below thres0); detected 5, false 3.

    ER = (3 + 3) / 5 = 1.2, F1 = 2 · 2 / (5 + 5) = 0.4. By clip: p > 0.5 in 3 of 5 with an event, 2 of 3 without;
    a clip is 199 hops of 1014 samples and a window of 2029, 4.6217 s: 2 / (3 · 4.6217 s) = 519.29 an hour.
    """
    figures = figures_of(results_by_hand(tmp_path))
    assert [figures[name] for name in ("n_clips", "n_ref", "n_sys", "n_tp", "n_fn", "n_fp")] == [8, 5, 5, 2, 3, 3]
    assert figures["error_rate"] == pytest.approx(1.2) and figures["f1"] == pytest.approx(0.4)
    assert figures["error_rate_95"][0] < 1.2 < figures["error_rate_95"][1]
    assert figures["clip_s"] == pytest.approx((199 * 1014 + 2029) / 44100)
    assert figures["by_clip"] == {
        **{"n_events": 5, "n_misses": 2, "miss_rate": pytest.approx(0.4)},
        **{"n_quiet": 3, "n_false_alarms": 2, "false_alarms_per_hour": pytest.approx(519.29, abs=0.01)},
        "false_alarm_rate": pytest.approx(2 / 3),
    }
    assert figures["mistakes"] == {"miss": 2, "wrong place": 1, "false alarm": 2}
    assert figures["tuned"] is None and figures["other"] is None


def test_what_the_figures_stand_on(tmp_path):
    """Five events of the recordings a (0, 2, 4) and b (1, 7), three backgrounds of 12 s. Nothing is called an hour."""
    detector, store, evaluation = by_hand()
    other = breakdown.with_thresholds(evaluation, store, detector, 0.99, 0.5)
    figures = figures_of(results_by_hand(tmp_path, other_run="deaf", other_detector=detector, other=other))
    counts = {"n_events": 5, "n_event_recordings": 2, "n_backgrounds": 3, "n_background_recordings": 3}
    none = {"n_negatives": 0, "n_negative_recordings": 0}
    assert figures["made_of"] == counts | none | {"background_s": 36.0}
    low, high = figures["error_rate_95_by_recording"]
    assert low < figures["error_rate"] < high and [low, high] != figures["error_rate_95"]
    assert figures["f1_95_by_recording"][0] < figures["f1"] < figures["f1_95_by_recording"][1]
    low, high = figures["other"]["error_rate_difference_95_by_recording"]
    assert low < figures["other"]["error_rate_difference"] < high
    text = evaluate.tables(figures | {"files": ["figures.json"]})
    assert "drawn from 5 events of 2 recordings and 3 background pieces of 3 recordings, 0.6 minutes together" in text
    assert text.count("over recordings") == 3 and "2 of 3, 0.67" in text and "hour" not in text
    assert figures["warnings"] == [few({"eval": Holding(5, 2, 3, 3, 36.0)})]
    assert "warning: fewer than 10 recordings (eval: 2 of events, 3 of backgrounds)" in text
    columns = [line.index(" … ") for line in text.splitlines()[5:7]]
    assert columns[0] == columns[1]  # one interval under the other


def test_mixtures_of_unknown_make_have_no_intervals_over_recordings(tmp_path):
    """As those of the challenge's evaluation data, where only an event list came with them."""
    results = results_by_hand(tmp_path)
    results.store.recipes[1] = dataclasses.replace(results.store.recipes[1], event=None)
    figures = figures_of(results) | {"files": []}
    assert figures["made_of"] is None and not [name for name in figures if name.endswith("by_recording")]
    assert "drawn from" not in evaluate.tables(figures) and "over recordings" not in evaluate.tables(figures)


def test_groups_worked_by_hand(tmp_path):
    """By ratio only clips with an event count, by scene all of them; nothing known is a group of its own."""
    figures = figures_of(results_by_hand(tmp_path))
    counts = ("n_clips", "n_ref", "n_tp", "n_fp", "recall")
    by_ebr = {key: [group[name] for name in counts] for key, group in figures["by_ebr_db"].items()}
    assert by_ebr == {"-6": [2, 2, 1, 0, 0.5], "+6": [2, 2, 1, 1, 0.5], "unknown": [1, 1, 0, 0, 0]}
    by_scene = {key: [group[name] for name in counts] for key, group in figures["by_scene"].items()}
    assert by_scene == {"bus": [4, 3, 2, 0, 2 / 3], "park": [3, 1, 0, 3, 0], "unknown": [1, 1, 0, 0, 0]}
    assert list(figures["by_ebr_db"]) == ["-6", "+6", "unknown"]  # lowest first
    assert figures["by_scene"]["bus"]["error_rate"] == pytest.approx(1 / 3)


def test_a_group_without_events_has_no_error_rate(tmp_path):
    figures = figures_of(results_by_hand(tmp_path, [("bus", None, None, 1.0, 0.9), ("park", 0.0, 1.0, 1.0, 0.9)]))
    bus = figures["by_scene"]["bus"]
    assert bus["n_fp"] == 1 and bus["error_rate"] is bus["recall"] is None
    assert bus["error_rate_95"] == bus["recall_95"] == [None, None]


def test_the_worst_mistakes_come_first_and_no_sound_twice(tmp_path):
    """Losses |y − p|: 0.8 missed, 0.7 both false alarms of one background, 0.6 missed, 0.2 in the wrong place."""
    worst = figures_of(results_by_hand(tmp_path))["worst_mistakes"]
    kinds = [(clip["mixture"], clip["outcome"]) for clip in worst]
    assert kinds == [("0.wav", "miss"), ("5.wav", "false alarm"), ("7.wav", "miss"), ("4.wav", "wrong place")]
    assert (worst[0]["scene"], worst[0]["ebr_db"], worst[0]["onset_s"]) == ("bus", -6.0, 1.0)
    assert worst[0]["detected_onset_s"] is None and worst[2]["ebr_db"] is None and worst[2]["scene"] == "unknown"
    assert worst[3]["detected_onset_s"] == pytest.approx(3.0, abs=0.03)


def test_ten_mistakes_are_enough(tmp_path):
    figures = figures_of(results_by_hand(tmp_path, [("bus", 0.0, 1.0, None, 0.01 * i) for i in range(12)]))
    assert figures["mistakes"]["miss"] == 12
    assert [clip["mixture"] for clip in figures["worst_mistakes"]] == [f"{i}.wav" for i in range(10)]


def test_wilson_interval_of_known_cases():
    """z² = 3.8415; 10 of 10: 10 / 13.8415 … 1; none of 10 mirrors it; 5 of 10: ½ ± 1.96 · √(0.025 + 0.0096) / 1.384."""
    assert breakdown.wilson_interval(10, 10) == pytest.approx((0.72247, 1.0), abs=1e-5)
    assert breakdown.wilson_interval(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert breakdown.wilson_interval(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert all(map(math.isnan, breakdown.wilson_interval(0, 0)))


def test_other_thresholds_are_tried_with_the_shortest_event_of_the_detector():
    """All of `CLIPS` that are found last half a second: with 0.6 s nothing is, whatever the threshold of p."""
    detector, store, evaluation = by_hand()
    longer = dataclasses.replace(detector, operating=Operating(min_event_s=0.6))
    half = np.flatnonzero(GRID == 0.5)[0]
    assert grid_of(detector, store, evaluation).n_sys[half, half] == 5
    assert not grid_of(longer, store, evaluation).n_sys[:, half].any()


def test_thresholds_are_tuned_on_dev_and_applied_to_eval(tmp_path):
    """dev: two events at the right place with p = 0.45, two quiet clips with a detection and p = 0.3.

    thres0 = 0.3, 0.35 or 0.4 lets just the events pass, of which 0.4 is nearest to 0.5; thres1 may stay at 0.5. With
    0.5 both events are missed, ER 1. In `CLIPS` 0.4 changes nothing, as the last clip's 0.4 is not above it.
    """
    dev_clips = [("bus", 0.0, 1.0, 1.0, 0.45)] * 2 + [("bus", None, None, 1.0, 0.3)] * 2
    detector, dev_store, dev = by_hand(dev_clips)
    tuned = lowest_error(grid_of(detector, dev_store, dev))
    assert tuned == (0.4, 0.5)
    figures = figures_of(
        results_by_hand(tmp_path, tuned_thresholds=tuned, dev_store=dev_store, dev_evaluation=dev),
    )
    assert figures["tuned"]["dev"].pop("made_of")["n_events"] == 2
    assert figures["tuned"]["dev"] == {"n_clips": 4, "error_rate": 0.0, "f1": 1.0}
    assert figures["tuned"]["dev_untuned"]["error_rate"] == pytest.approx(1.0)
    assert figures["tuned"]["left_out"] is None  # nobody asked
    assert figures["tuned"]["n_tp"] == figures["n_tp"] == 2
    lower = figures_of(results_by_hand(tmp_path, tuned_thresholds=(0.3, 0.5), dev_store=dev_store, dev_evaluation=dev))
    assert lower["tuned"]["n_tp"] == 3 and lower["n_tp"] == 2  # now the last clip passes; the headline stays
    above = breakdown.with_thresholds(dev, dev_store, detector, 0.3, 0.8)  # no frame is above 0.7
    assert above.scores.n_sys == 0 and above.detections[0].onset_s is None and above.reference == dev.reference


def test_thresholds_of_few_recordings_stay_those_of_the_run(tmp_path):
    """2 recordings of events and 3 of backgrounds, see `HandBank`; what is made of unknown ones is tuned as ever."""
    results = results_by_hand(tmp_path)
    results.dev_store, results.dev_evaluation = results.store, results.evaluation
    tune_on_dev(results)
    assert results.tuned_thresholds is None and results.left_out is None
    figures = figures_of(results) | {"files": []}
    assert figures["tuned"] is None
    (note,) = figures["notes"]
    assert "those of the run stay: 2 of events and 3 of backgrounds are too few recordings" in note
    assert note in evaluate.tables(figures)
    results = results_by_hand(tmp_path)
    results.store.recipes[1] = dataclasses.replace(results.store.recipes[1], event=None)
    results.dev_store, results.dev_evaluation = results.store, results.evaluation
    tune_on_dev(results)
    assert results.tuned_thresholds is not None and "is not known" in results.notes[0]


def test_tuned_thresholds_are_judged_on_recordings_left_out(tmp_path, few_are_enough):
    results = results_by_hand(tmp_path)
    results.dev_store, results.dev_evaluation = results.store, results.evaluation
    tune_on_dev(results)
    tuned = figures_of(results)["tuned"]
    assert tuned["left_out"]["n_ref"] == 5 and tuned["left_out"]["error_rate"] > tuned["dev"]["error_rate"]
    honest = f"judged on it: {tuned['left_out']['error_rate']:.2f}, 95 % "
    text = evaluate.tables(figures_of(results) | {"files": []})
    assert honest in text and ("no sign that they are better" in text) == (tuned["left_out"]["error_rate"] >= 1.2)


def test_report_files_hold_what_the_figures_say(tmp_path):
    results = results_by_hand(tmp_path)
    results.tuned_thresholds, results.dev_store, results.dev_evaluation = (0.3, 0.5), *by_hand()[1:]
    figures = write_report(results)
    assert {path.name for path in tmp_path.iterdir()} == set(figures["files"])
    assert json.loads((tmp_path / "figures_eval.json").read_text()) == figures
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    assert len(list(tmp_path.glob("*.png"))) == 4
    with open(tmp_path / "thresholds_eval.csv", newline="") as file:
        rows = {(float(row["thres0"]), float(row["thres1"])): row for row in csv.DictReader(file)}
    assert len(rows) == 361
    for point in (figures, figures["tuned"]):
        row = rows[point["thres0"], point["thres1"]]
        for name in ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "error_rate", "f1"):
            assert float(row[name]) == point[name], name
    assert rows[0.95, 0.5]["precision"] == ""  # nothing detected: undefined
    with open(tmp_path / "det_eval.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    at_half = [row for row in rows if row["thres0"] <= 0.5][-1]
    assert at_half["miss_rate"] == pytest.approx(figures["by_clip"]["miss_rate"])
    assert at_half["false_alarms_per_hour"] == pytest.approx(figures["by_clip"]["false_alarms_per_hour"])


def test_what_cannot_be_drawn_is_said_and_no_old_file_stays(tmp_path):
    for name in ("mistakes_eval.png", "det_eval.png", "det_eval.csv", "events_eval_tuned.csv", "thresholds_eval.png"):
        (tmp_path / name).write_text("of an earlier evaluation")
    figures = write_report(results_by_hand(tmp_path, CLIPS[1:3]))  # two hits
    assert figures["notes"] == ["no mistakes_eval.png: no mistakes", "no det_eval.png: no mixture without an event"]
    assert {path.name for path in tmp_path.iterdir()} == set(figures["files"])
    figures = write_report(results_by_hand(tmp_path, CLIPS[3:4]))  # one quiet clip
    assert "no thresholds_eval.png: no mixture has an event" in figures["notes"] and figures["error_rate"] is None
    assert not (tmp_path / "thresholds_eval.png").exists()
    with open(tmp_path / "thresholds_eval.csv", newline="") as file:
        assert {row["error_rate"] for row in csv.DictReader(file)} == {""}
    assert " -  -" in evaluate.tables(figures)  # no error rate, no interval


def test_two_detectors_are_compared_on_the_same_clips(tmp_path):
    """The other finds nothing at all: 5 errors against 6 of 5 events. Differences by clip: 0 −1 −1 0 +1 +1 +1 0.

    |sum| is 1, which of the 2⁵ sign patterns of five ones all reach: p = 1.
    """
    detector, store, evaluation = by_hand()
    deaf = breakdown.with_thresholds(evaluation, store, detector, 0.99, 0.5)
    figures = figures_of(results_by_hand(tmp_path, other_run="deaf", other_detector=detector, other=deaf))
    assert figures["other"]["n_tp"] == 0 and figures["other"]["error_rate"] == pytest.approx(1.0)
    assert figures["other"]["error_rate_difference"] == pytest.approx(0.2)
    assert figures["other"]["p_value"] == pytest.approx(1.0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs with random weights, one of another class, on the built-in sounds."""
    root = tmp_path_factory.mktemp("runs")
    for name, label, seed in (("a", "glassbreak", 0), ("b", "glassbreak", 1), ("c", "gunshot", 0)):
        (root / name).mkdir()
        settings = vars(TrainSettings(label=label, arch="uni", layers=1, units=8, dev_clips=8))
        (root / name / "config.json").write_text(json.dumps({"settings": settings}))
        tiny_detector(label, seed).save(root / name / "best.npz")
    return root


@pytest.fixture
def few_are_enough(monkeypatch):
    """Thresholds are tuned on 4 recordings of events."""
    monkeypatch.setattr(left_out, "FEW", 2)


def arguments_for(runs, *arguments):
    return ["--features", str(runs / "features"), "--threads", "1", "--jobs", "1", *map(str, arguments)]


def results_of(runs, *arguments):
    """What the command finds out, without the files."""
    given = evaluate.parse_arguments(arguments_for(runs, *arguments))
    return evaluate.evaluated(given, tune=given.tune, compare=given.compare)


def test_the_command_end_to_end(runs, few_are_enough, capsys):
    """Eight eval mixtures, tuned on eight dev mixtures, compared with another run."""
    evaluate.main(arguments_for(runs, runs / "a", "--compare", runs / "b", "--json"))
    printed = capsys.readouterr()
    figures = json.loads(printed.out)
    held = "60 events of 60 recordings and 120 background pieces of 120 recordings, 60.0 minutes together"
    assert printed.err == f"eval: {held}\ndev: {held}\n"
    assert figures["made_of"]["n_events"] <= 4 and figures["tuned"]["dev"]["made_of"]["n_backgrounds"] <= 8
    assert figures == json.loads((runs / "a" / "figures_eval.json").read_text())
    assert figures["n_clips"] == 8 and figures["n_ref"] == 4 and figures["thres0"] == figures["thres1"] == 0.5
    assert sum(group["n_ref"] for group in figures["by_ebr_db"].values()) == 4
    assert sum(group["n_clips"] for group in figures["by_scene"].values()) == 8
    # the tuned row: thresholds from the dev grid, figures from the eval list
    with open(runs / "a" / "thresholds_dev.csv", newline="") as file:
        on_dev = {
            (float(row["thres0"]), float(row["thres1"])): float(row["error_rate"]) for row in csv.DictReader(file)
        }
    tuned = figures["tuned"]
    assert on_dev[tuned["thres0"], tuned["thres1"]] == min(on_dev.values()) == tuned["dev"]["error_rate"]
    assert tuned["dev_untuned"]["error_rate"] == on_dev[0.5, 0.5] > min(on_dev.values())
    assert tuned["left_out"]["n_ref"] == 4 and tuned["left_out"]["error_rate"] >= tuned["dev"]["error_rate"]
    for name, row in (("events_eval", figures), ("events_eval_tuned", tuned)):
        score.main([str(runs / "a" / "reference_eval.csv"), str(runs / "a" / f"{name}.csv"), "--json"])
        scored = json.loads(capsys.readouterr().out)
        assert [scored[count] for count in ("n_ref", "n_sys", "n_tp")] == [row[c] for c in ("n_ref", "n_sys", "n_tp")]
    # the other run's figures are those of its own evaluation
    alone = results_of(runs, runs / "b", "--no-tune")
    assert alone.tuned_thresholds is None and alone.dev_store is None
    assert figures["other"]["n_sys"] == alone.evaluation.scores.n_sys
    assert figures["other"]["error_rate"] == alone.evaluation.scores.error_rate


def test_thresholds_do_not_depend_on_the_evaluation_mixtures(runs, few_are_enough):
    one, eight = (results_of(runs, runs / "a", "--clips", n_clips) for n_clips in (1, 8))
    assert len(one.store) == 1 and len(one.dev_store) == len(eight.dev_store) == 8
    assert one.tuned_thresholds == eight.tuned_thresholds != (0.5, 0.5)
    assert not {recipe.name for recipe in eight.dev_store.recipes} & {recipe.name for recipe in eight.store.recipes}


def test_tables_are_short_and_say_what_was_tuned_where(runs, few_are_enough, monkeypatch):
    monkeypatch.chdir(runs)
    tables = {}
    for subset in ("dev", "eval"):
        results = results_of(runs, "a", "--compare", "b", "--subset", subset)
        tables[subset] = evaluate.tables(figures_of(results) | {"files": ["figures.json"]})
    for words in (
        *("8 eval mixtures", "lowest ER on 8 dev mixtures", "sign-flip", "EBR", "mistakes: miss"),
        "chosen without a mixture's recordings, and judged on it: ",
    ):
        assert words in tables["eval"], words
    lines = tables["eval"].splitlines()
    assert len(lines) < 45 and max(map(len, lines)) <= 110
    assert "these very mixtures, so the row flatters" in tables["dev"] and "flatters" not in tables["eval"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--compare", "c"], "detects gunshot, not glassbreak"),
        (["a", "--compare", "nowhere"], "nowhere"),
        (["a", "--clips", "0"], "--clips is 0"),
        (["a", "--data", "nowhere"], "nowhere"),
        (["a", "--features", "a/config.json"], "--features a/config.json/"),
        (["nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(runs, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(arguments_for(runs, *arguments))
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and message in error and len(error.splitlines()) == 1, error


@pytest.mark.parametrize(("ebr_db", "name"), [("-6", "EBR  -6 dB"), ("+0", "EBR   0 dB"), ("unknown", "EBR unknown")])
def test_names_of_the_groups_by_loudness(ebr_db, name):
    assert evaluate.ebr_name(ebr_db) == name
