"""The model card: numbers are those of the files, what is missing is said, and no name can do more than be read."""

import dataclasses
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.inventory import holding
from data_tools.rights import read_manifest, rights_of
from data_tools.soundbank import SoundBank, open_bank
from minirsed.card import files
from minirsed.card.content import rivals, sections
from minirsed.card.facts import read_facts
from minirsed.card.sounds import read_sounds, sounds_of
from minirsed.detector import Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.listening.operating import Operating
from minirsed.model import ModelConfig, init_params
from minirsed.report import page as report_page
from minirsed.robustness import files as robust_files
from minirsed.robustness.measure import identity
from minirsed.run.session import train
from minirsed.run.settings import PRESETS, TrainSettings, complete
from tests.fuzz.targets import ALARMS, Targets
from tests.sweeping import sweep_place  # noqa: F401  the fixture

HOSTILE = "<b>_x_</b> [a](javascript:1) |`*#&lt; https://x.org"


def tiny_detector(label="dog", seed=0, **kind):
    config = ModelConfig("uni", 1, 2, 64, **kind)
    return Detector(config, init_params(config, np.random.default_rng(seed)), label, np.zeros(64), np.ones(64))


@pytest.fixture
def run(tmp_path):
    """A run folder as an earlier version left it: settings, detector, nothing else."""
    folder = tmp_path / "run"
    folder.mkdir()
    tiny_detector().save(folder / "best.npz")
    write(folder, "config.json", {"settings": vars(TrainSettings(label="dog", data="/my sounds"))})
    return folder


def write(folder, name, content):
    (folder / name).write_text(json.dumps(content))


def rendered(text):
    """HTML as a code host makes it of Markdown."""
    markdown_it = pytest.importorskip("markdown_it")
    return markdown_it.MarkdownIt("commonmark").enable("table").render(text)


def read(run):
    """The card of a run as it is read, without the marks of Markdown."""
    return files.card(run).replace("\\", "")


def figures(**changes):
    """Those of an evaluation, as the fuzzer has them, of which each card needs a few."""
    return Targets._figures() | changes


def section(text, title):
    """What stands under a heading of a card."""
    return re.search(rf"^## {title}\n\n(.*?)(?=\n## |\Z)", text, re.S | re.M)[1]


def test_a_card_of_what_an_earlier_version_left(run):
    """What it did not write down is unknown, and all that was not measured is named."""
    card = files.card(run)
    assert card.startswith("# Model card: dog\n")
    assert "The sounds in /my sounds." in card and "was not written down by the version that trained it" in card
    assert "It has not been scored" in card and "not measured on recordings" in section(card, "False alarms")
    assert "p above 0.5, and its frames count from p_t above 0.5" in section(card, "Thresholds")
    untried = section(card, "What it was not tried on")
    for words in ("evaluation mixtures", "Hours of sound", "microphones", "fainter than -6 dB or louder than 6 dB"):
        assert words in untried
    assert "Real recordings" not in untried and "What could not be read" not in card


def test_it_says_whose_network_it_is(tmp_path, monkeypatch):
    """That of a winner names the system that it was built after, and the rule of its head; the paper's says nothing."""
    monkeypatch.chdir(tmp_path)
    given = {"label": "gunshot", "clips": 4, "dev_clips": 4, "epochs": 1, "layers": 1, "units": 2, "arch": "crnn1d"}
    settings = complete(PRESETS["plain"], given)
    train(settings, "run", say=lambda text: None)
    how = " ".join(section(Path("run/card.md").read_text(), "How it was trained").split())
    assert how.startswith("crnn1d, 1 × 2 units") and "after the first place of DCASE 2017" in how
    assert "smoothed by a running median over 0.53 s" in how
    assert [*rivals(TrainSettings())] == []
    assert "baseline" in next(rivals(TrainSettings(arch="mlp")))


def test_training_and_evaluation_write_it(tmp_path, monkeypatch, capsys):
    """Numbers of sounds are the bank's, scores those of the evaluation's files; the same run gives the same card."""
    monkeypatch.chdir(tmp_path)
    given = {"label": "gunshot", "clips": 4, "dev_clips": 4, "epochs": 1, "layers": 1, "units": 2}
    settings = complete(PRESETS["plain"], given | {"ebr_db": (-6.0, 12.0)})
    trained, _ = train(settings, "run", say=lambda text: None)
    bank, first = SoundBank.builtin(), Path("run/card.md").read_text()
    for subset in ("train", "dev"):
        held, clips = holding(bank, "gunshot", subset), bank.events("gunshot", subset)
        minutes = sum(clip.length_s for clip in clips) / 60
        row = (subset, held.n_events, held.n_event_recordings, f"{minutes:.1f} min", held.n_backgrounds)
        row += (held.n_background_recordings, f"{held.background_s / 3600:.2f} h")
        assert f"| {' | '.join(map(str, row))} |" in section(first, "What it was trained on")
    assert f"error rate {trained.history[0]['dev_error_rate']:.2f}, F1" in section(first, "How well it finds the sound")
    assert "preset plain with --layers 1 --units 2 --clips 4 --dev-clips 4 --epochs 1 --ebr-db -6 12." in first
    assert "Real recordings" in first and "12 dB relative" in first
    train(settings, "again", say=lambda text: None)
    assert Path("again/card.md").read_text() == first

    evaluate.main(["run", "--clips", "6", "--no-tune", "--jobs", "1", "--threads", "1"])
    card, scored = Path("run/card.md").read_text(), json.loads(Path("run/figures_eval.json").read_text())
    assert scored["detector"] == Detector.load("run").fingerprint() and scored["data"] == "builtin"
    low, high = scored["recall_95"]
    assert f"{scored['recall']:.2f} ({low:.2f} … {high:.2f}) |" in section(card, "How well it finds the sound")
    quiet = scored["by_clip"]
    assert f"In {quiet['n_false_alarms']} of {quiet['n_quiet']} eval mixtures" in section(card, "False alarms")
    assert "no part in its making" in first and "no part in its making" not in card
    assert "no part in its making" not in capsys.readouterr().out


def test_error_rate_and_recall_by_ratio(run):
    """Two subsets side by side; a ratio that only one of them has; undefined rates are dashes."""
    own = tiny_detector().fingerprint()
    group = figures()["by_ebr_db"]["-6"] | {"error_rate": 0.25, "error_rate_95": [0.2, 0.3]}
    write(run, "figures_dev.json", figures(detector=own, by_ebr_db={"-6": group}))
    write(run, "figures_eval.json", figures(by_ebr_db={"+0": group, "unknown": group}))  # of an earlier version
    lines = [line for line in section(files.card(run), "How well it finds the sound").splitlines() if line[:1] == "|"]
    assert lines == [
        "| EBR | ER, dev | recall, dev | ER, eval | recall, eval |",
        "| --- | --- | --- | --- | --- |",
        "| all | 0.50 (0.10 … 0.90) | – | 0.50 (0.10 … 0.90) | – |",
        "| -6 dB | 0.25 (0.20 … 0.30) | – | – | – |",
        "| 0 dB | – | – | 0.25 (0.20 … 0.30) | – |",
        "| unknown | – | – | 0.25 (0.20 … 0.30) | – |",
    ]
    write(run, "figures_eval.json", figures(data="/other", thres0=0.75))
    assert "eval: 3 mixtures of other sounds, /other" in files.card(run)
    assert "with the settings that it had then: p > 0.75, p_t > 0.5." in read(run)
    assert "3 recordings of events in eval" in section(files.card(run), "What it was not tried on")


def test_hours_thresholds_and_changes(run):
    """What `evaluate` has measured and chosen beyond mixtures; each takes a sentence away from what was not tried."""
    untried = section(files.card(run), "What it was not tried on")
    detector = tiny_detector()
    write(run, "alarms_recordings.json", ALARMS | {"detector": detector.fingerprint()})
    robust = Targets._robust() | {"detector": identity(detector)}
    worse = {"error_rate": 0.9, "error_rate_difference": 0.4, "error_rate_difference_95": [0.1, 0.7]}
    near = {"error_rate_difference": 0.1, "error_rate_difference_95": [0.0, 0.2]}
    plain = robust["changes"][0]
    robust["changes"] += [plain | near | {"change": "hum"}, plain | worse | {"change": "small room"}]
    robust["guards"].append(robust["guards"][0] | {"sound": "white noise", "is_detected": True})
    write(run, robust_files.names("eval")[0], robust)
    card = files.card(run)
    alarms = section(card, "False alarms")
    assert "On 2 recordings, 1.5 h (recordings that were given): false alarms: 2 in 1.5 h." in alarms
    assert "Of 2 events 2 were hit" in alarms and "One night." in alarms and "not measured" not in alarms
    changes = section(card, "Other recorders and rooms")
    assert "- No more than 0.1 worse: hum.\n- small room: error rate 0.90 (0.10 … 0.90).\n" in changes
    assert "it took white noise at 8 kHz for the sound" in changes
    less = section(card, "What it was not tried on")
    assert {"Hours", "Other levels"} == {
        line[2:].split(",")[0].split(" of ")[0] for line in set(untried.splitlines()) - set(less.splitlines())
    }


def test_thresholds_that_were_chosen(run, monkeypatch):
    """As a detector describes them that was given some for a promise."""
    chosen = {"alarms_per_hour": 0.5, "chosen_on": "mixtures", "source": "the subset dev", "hours": 1.6}
    chosen |= {"n_false_alarms": 1, "n_misses": 2, "n_events": 9, "expected_per_hour": 1.25}
    operating = {"min_event_s": 0.2, "min_gap_s": 0.5, "chosen": chosen}
    describe = Detector.description
    monkeypatch.setattr(Detector, "description", lambda self: describe(self) | {"operating": operating})
    found = " ".join(sections(read_facts(run))["Thresholds"])
    assert "events of at least 0.2 s; joined over gaps below 0.5 s" in found and "weaker evidence" in found
    assert "at most 0.5 false alarms an hour, on 1.6 h" in found and "2 of 9 events missed" in found
    assert "1.2 an hour are to be expected" in found
    assert "chosen on no sound" not in found and "without a recording" not in found
    chosen["left_out"] = {"n_choices": 5, "n_false_alarms": 3, "n_misses": 4}
    found = " ".join(sections(read_facts(run))["Thresholds"])
    assert "without a recording, and judged on it, they gave 3 false alarms and missed 4." in found


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"min_gap_s": 1.0}, "joined over gaps below 1 s"),
        ({"min_event_s": 0.2}, "events of at least 0.2 s"),
        ({"thres1": 0.75}, "p_t > 0.75"),
    ],
)
def test_figures_say_with_which_settings_they_were_measured(setting, words, run):
    """Each setting by itself makes them those of another day; a gap changes nothing in mixtures of one event."""
    then = {"thres0": 0.5, "thres1": 0.5, "min_event_s": 0.0, "min_gap_s": 0.0} | setting
    write(run, "alarms_recordings.json", ALARMS | then)
    write(run, "figures_eval.json", figures(**{name: value for name, value in then.items() if name != "min_gap_s"}))
    detector, then = Detector.load(run), f"with the settings that it had then: p > 0.5, {words}"
    if "thres1" not in setting:
        then = f"with the settings that it had then: p > 0.5, p_t > 0.5, {words}"
    alarms, scores = (section(read(run), title) for title in ("False alarms", "How well it finds the sound"))
    assert then in alarms and (then in scores) == ("min_gap_s" not in setting)
    own = {name: setting.get(name, getattr(detector, name)) for name in ("thres0", "thres1")}
    operating = Operating(**{name: value for name, value in setting.items() if name != "thres1"})
    dataclasses.replace(detector, operating=operating, **own).save(run / "best.npz")
    assert "had then" not in files.card(run)


def test_the_epoch_was_scored_with_the_thresholds_of_a_new_detector(run):
    """The score of a training; a promise that is given later is not what it was made with."""
    (run / "metrics.csv").write_text("epoch,dev_error_rate,dev_loss,dev_f1\n1,0.25,0.5,0.9\n")
    assert "dev mixtures: error rate 0.25" in files.card(run)
    dataclasses.replace(Detector.load(run), thres0=0.9).save(run / "best.npz")
    assert "dev mixtures, with the settings that it had then: p > 0.5, p_t > 0.5: error rate 0.25" in read(run)


def test_numbers_of_another_detector_are_left_out(run):
    other = tiny_detector(seed=1).fingerprint()
    write(run, "figures_eval.json", figures(detector=other))
    write(run, "alarms_dev.json", ALARMS | {"detector": other})
    write(run, "robust_dev.json", Targets._robust() | {"detector": identity(tiny_detector()) | {"thres0": 0.4}})
    card = files.card(run)
    assert "It has not been scored" in card and "Not measured:" in card and "not measured on recordings" in card
    left = section(card, "What could not be read")
    for name in ("figures_eval.json", "alarms_dev.json", "robust_dev.json"):
        assert f"{name} is of another detector than best.npz and left out" in left


@pytest.mark.parametrize(
    "name", ["sounds.json", "figures_dev.json", "robust_eval.json", "alarms_x.json", "metrics.csv"]
)
def test_a_damaged_file_is_named_on_the_card(run, name):
    """It stops neither a training nor an evaluation that has come to its end."""
    (run / name).write_text("epoch,seconds\nx,y\n")
    assert f"- {name}: damaged" in section(files.card(run), "What could not be read")


def test_an_epoch_that_found_nothing(run):
    """Its F1 is undefined."""
    (run / "metrics.csv").write_text("epoch,dev_error_rate,dev_loss,dev_f1\n1,1.0,0.5,\n")
    assert "error rate 1.00, F1 undefined" in files.card(run)


def test_no_detector_no_card(tmp_path, run):
    with pytest.raises(InputError, match="no such folder|no such file"):
        files.write(tmp_path / "nothing")
    (run / "best.npz").unlink()
    with pytest.raises(InputError, match="best.npz|no epoch finished"):
        files.write(run)
    assert not (run / "card.md").exists()


def test_names_are_only_read(tmp_path):
    """A class, a folder, a licence and scenes that are Markdown or HTML, as a code host shows them."""
    tiny_detector(HOSTILE).save(tmp_path / "best.npz")
    write(tmp_path, "config.json", {"settings": vars(TrainSettings(label=HOSTILE, data="/" + HOSTILE))})
    (sounds, _) = Targets._card_sounds()
    sounds["rights"]["licences"][0] |= {"licence": HOSTILE, "authors": [HOSTILE]}
    sounds["others"] = {HOSTILE: 1}
    write(tmp_path, "sounds.json", sounds)
    write(
        tmp_path,
        "figures_eval.json",
        figures(by_scene={HOSTILE: {}}, by_ebr_db={HOSTILE: figures()["by_ebr_db"]["-6"]}),
    )
    shown = rendered(files.card(tmp_path))
    assert shown.count(html.escape(HOSTILE)) >= 9
    assert not set(re.findall(r"<(\w+)", shown)) - set("h1 h2 p ul li table thead tbody tr th td pre code".split())
    in_page = report_page.card(sections(read_facts(tmp_path)))
    assert in_page.count(html.escape(HOSTILE)) >= 8 and "<b>" not in in_page


def test_lines_that_would_be_lists(run):
    """A note may begin like one."""
    for text in ("1. one", "- two", "+ three", "# four"):
        write(run, "alarms_x.json", ALARMS | {"notes": [text]})
        shown = rendered(files.card(run))
        assert f"<p>{text}.</p>" in shown


def test_everyday_sounds_are_counted_where_they_are_mixed_in(tmp_path):
    bank, n = open_bank("builtin"), len(open_bank("builtin").everyday_sounds())
    quick, without = (complete(PRESETS["quick"], {"everyday": share}) for share in (0.1, 0.0))
    assert n > 1000 and [sounds_of(bank, settings)["everyday"] for settings in (quick, without)] == [n, 0]
    tiny_detector("babycry").save(tmp_path / "best.npz")
    write(tmp_path, "config.json", {"settings": vars(TrainSettings())})
    write(tmp_path, "sounds.json", sounds_of(bank, quick))
    assert f"Mixed in as sounds that are not it: 240 events of class glassbreak, 240 events of class gunshot, {n}" in (
        files.card(tmp_path).replace("\n", " ")
    )


def test_sounds_of_a_folder(sweep_place):  # noqa: F811
    """Other classes count where they are mixed in, each with its training events; licences by training file."""
    root = sweep_place / "sounds"
    bank = SoundBank.from_folder(root)
    plain = sounds_of(bank, complete(PRESETS["plain"], {"label": "ping"}))
    assert plain["kind"] == "folder" and plain["others"] == {} and plain["rights"]["licences"] == []
    quick = complete(PRESETS["quick"], {"label": "ping"})
    manifest = root / "manifest.csv"
    manifest.write_text(
        "file;License;artist;extra\nevents/ping/0.wav;CC0;a;1\nevents/ping/2.wav;dev alone;z;1\n"
        "events/pong/1.wav;CC0;b;2\nbackgrounds/0.wav;CC BY;c;3\n"
    )
    (root / "License.txt").write_text("text")
    try:
        found = sounds_of(bank, quick)
    finally:
        manifest.unlink()
        (root / "License.txt").unlink()
    assert found["others"] == {"pong": 2} and found["subsets"]["train"]["n_events"] == 2
    assert found["rights"]["texts"] == ["License.txt"] and found["rights"]["problem"] is None
    assert [(row["licence"], row["n_files"], row["authors"]) for row in found["rights"]["licences"]] == [
        ("", 3, []),
        ("CC0", 2, ["a", "b"]),
        ("CC BY", 1, ["c"]),
    ]


def test_what_a_run_keeps_of_its_sounds_is_read_again(tmp_path):
    for sounds in Targets._card_sounds():
        write(tmp_path, "sounds.json", sounds)
        assert read_sounds(tmp_path) == sounds


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("licence\nCC0\n", "line 1: no column 'file'"),
        ('file,licence\n"a.wav,CC0\n', "malformed list"),
        (b"file,licence\n\xff\xfe,CC0\n", "malformed list"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_a_sentence(tmp_path, text, problem):
    (tmp_path / "manifest.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    found = rights_of(tmp_path, ["a.wav"])
    assert found["licences"] == [] and problem in found["problem"]
    with pytest.raises(InputError, match=problem):
        read_manifest(tmp_path / "manifest.csv")


def test_the_report_has_the_card_with_its_own_figures(run):
    """Those in memory come before those on disk."""
    write(run, "figures_eval.json", figures(n_clips=7))
    facts = read_facts(run, {"eval": figures(n_clips=8)})
    assert "eval: 8 mixtures" in report_page.card(sections(facts))


def test_the_exported_file_has_the_card(tmp_path, run, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from minirsed.export import __main__ as export

    export.main([str(run), str(tmp_path / "a.onnx")])
    export.main([str(run / "best.npz"), str(tmp_path / "b.onnx")])
    props = [{p.key: p.value for p in onnx.load(tmp_path / name).metadata_props} for name in ("a.onnx", "b.onnx")]
    assert props[0].pop("card") == files.card(run) and props[0] == props[1]


def test_an_export_does_not_take_a_card_that_is_out_of_date(run):
    """Unless there is nothing to make another of: a detector that was moved with its card."""
    from minirsed.export.__main__ import card_of

    (run / "card.md").write_text("of yesterday")
    assert card_of(run) == files.card(run)
    (run / "config.json").unlink()
    assert card_of(run) == "of yesterday" and card_of(run / "best.npz") is None
    (run / "card.md").unlink()
    assert card_of(run) is None


def test_a_real_folder_of_sounds_from_end_to_end(tmp_path, monkeypatch):
    """Licences reach the card of a training, through the fold that it is of."""
    rng = np.random.default_rng(0)
    for kind, seconds in (("events/ping", 0.7), ("backgrounds", 12.0)):
        (tmp_path / "sounds" / kind).mkdir(parents=True)
        for i in range(6):
            y = 0.1 * rng.standard_normal(int(8000 * seconds))
            soundfile.write(tmp_path / "sounds" / kind / f"{i}.wav", y, 8000)
    lines = [f"{kind}/{i}.wav,CC {i}" for kind in ("events/ping", "backgrounds") for i in range(6)]
    (tmp_path / "sounds" / "manifest.csv").write_text("\n".join(["file,licence", *lines]))
    monkeypatch.chdir(tmp_path)
    given = {"label": "ping", "data": str(tmp_path / "sounds"), "fold": "1/2"}
    given |= {"clips": 4, "dev_clips": 4, "epochs": 1, "layers": 1, "units": 2}
    train(complete(PRESETS["plain"], given), "run", say=lambda text: None)
    card = Path("run/card.md").read_text()
    bank = SoundBank.from_folder("sounds")
    rights = json.loads(Path("run/sounds.json").read_text())["rights"]["licences"]
    assert sum(row["n_files"] for row in rights) < 12 and "| CC 0 |" in card and ", fold 1/2 as dev" in card
    assert bank.events("ping", "train")
