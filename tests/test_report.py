"""The report page without a browser: whole, safe, complete in itself; and the command that writes it.

`tests/test_report_in_browser.py` looks at it in a real one.
"""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from minirsed.analysis.files import figures_of
from minirsed.pages import media
from minirsed.report import __main__ as report
from minirsed.report import page as report_page
from minirsed.run.metrics import METRICS
from minirsed.run.settings import TrainSettings
from tests.test_evaluate_command import CLIPS, results_by_hand, tiny_detector

VOID = {"meta", "br", "img", "input", "hr", "link", "source"}
HISTORY = [
    dict.fromkeys(METRICS, 0.5) | {"epoch": epoch, "dev_error_rate": rate}
    for epoch, rate in ((1.0, None), (2.0, 0.25), (3.0, 0.75))
]
NASTY = '<b>&"$'


class Page(HTMLParser):
    """Elements and text of a page; refuses tags that do not nest, repeated ids and attributes that run or fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.targets, self.text, self.labels = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        assert len(self.ids) == len(set(self.ids))
        assert set(self.targets) <= set(self.ids)

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert value.startswith(("#", "data:")), (tag, name, value[:80])
                self.targets += [value[1:]] if value.startswith("#") else []
            assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", value or "")), value
            self.ids += [value] if name == "id" else []
            self.labels += [value] if name == "aria-label" else []
        attrs = dict(attrs)
        if tag in ("audio", "img") or attrs.get("role") in ("img", "region"):
            assert attrs.get("aria-label") or attrs.get("alt"), tag

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def record(history=HISTORY, data="builtin", **settings):
    return report_page.RunRecord(TrainSettings(**settings), {"command": ["python", NASTY]}, history, data)


def page_of(results, history=HISTORY, n_of_each=2, **settings):
    """Text of the page of results worked by hand, with noise for sound."""
    sound = media.audio(np.random.default_rng(0).standard_normal(4410))
    chosen = report_page.choose_clips(results, n_of_each)
    cards = {kind: [report_page.clip_card(results, row, sound) for row in rows] for kind, rows in chosen.items()}
    return report_page.page(results, figures_of(results), record(history, **settings), cards, "make <it> again")


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    return page_of(results_by_hand(tmp_path_factory.mktemp("run")))


def rows_of(text, caption):
    """Cells of a table, as text, by the first of each row."""
    body = re.search(rf"<caption>{re.escape(caption)}</caption>.*?<tbody>(.*?)</tbody>", text, re.S)[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("</tr>") if row]
    return {row[0]: row[1:] for row in rows}


def test_the_page_is_well_formed_and_complete_in_itself(by_hand):
    page = Page(by_hand)
    assert by_hand.startswith("<!DOCTYPE html>") and "script" not in page.tags and "link" not in page.tags
    without_data = re.sub(r'base64,[^"]*"', "", by_hand)
    assert not re.findall(r"https?:|//\w|@import", without_data)
    assert [tag for tag in page.tags if re.fullmatch(r"h\d", tag)][:3] == ["h1", "h2", "h2"]
    assert "default-src 'none'" in by_hand and 'lang="en"' in by_hand and "width=device-width" in by_hand
    assert by_hand == page_of(
        results_by_hand(Path(re.search(r"Run folder (.+?):", by_hand)[1]))
    )  # the same bytes again


def test_figures_on_the_page_are_those_worked_by_hand(by_hand):
    """As in `test_figures_worked_by_hand`: ER 1.20, F1 0.40, hits 2 of 5, false alarms in 2 of 3 clips."""
    text = "".join(Page(by_hand).text)
    for words in ("1.20", "0.40", "2 of 5", "2 of 3", "8 eval mixtures", "drawn from 5 events of 2 recordings"):
        assert words in text, words
    scores, heading, _ = by_hand.partition(">Configuration</h2>")  # which has settings for hours
    assert heading and "hour" not in re.sub("<style>.*?</style>|<[^>]+>", "", scores, flags=re.S)
    assert rows_of(by_hand, "Events: where are they?")["own 0.5, 0.5"][:5] == ["5", "5", "2", "3", "3"]
    assert rows_of(by_hand, "Clips: is there one?")["own 0.5"] == ["2 of 5", "2 of 3"]
    ratios = rows_of(by_hand, "By event-to-background ratio")
    assert {name: row[:5] for name, row in ratios.items()} == {
        "-6 dB": ["2", "2", "1", "0", "0.50"],
        "+6 dB": ["2", "2", "1", "1", "0.50"],
        "unknown": ["1", "1", "0", "0", "0.00"],
    }
    scenes = rows_of(by_hand, "By scene")
    assert scenes["park"][:5] == ["3", "1", "0", "3", "0.00"] and set(scenes) == {"bus", "park", "unknown"}
    epochs = rows_of(by_hand, "Every epoch")
    assert list(epochs) == ["1", "2", "3"] and epochs["1"][4] == "–" and epochs["2"][4] == "0.25"
    settings = rows_of(by_hand, "Settings")
    assert len(settings) == len(dataclasses.fields(TrainSettings)) - 1  # label and labels are both CLASS
    assert settings["--units"][0] == "64"


def test_clips_to_look_at_are_the_worst_mistakes_and_the_best_hits(tmp_path):
    """By loss |y − p|: misses 0 (0.8) and 7 (0.6); one false alarm of two that sound the same; both hits alike."""
    results = results_by_hand(tmp_path)
    assert report_page.choose_clips(results, 9) == {
        "miss": [0, 7],
        "wrong place": [4],
        "false alarm": [5],
        "hit": [2, 1],
    }
    results.evaluation.loss[1] = 0.05  # now the clearest
    assert report_page.choose_clips(results, 1) == {"miss": [0], "wrong place": [4], "false alarm": [5], "hit": [1]}


def test_every_clip_has_picture_sound_and_words(by_hand):
    page = Page(by_hand)
    assert page.tags.count("article") == page.tags.count("audio") == 6
    assert page.tags.count("figure") == 4
    assert [re.sub("<.*?>", "", title) for title in re.findall("<h3>(.*?)</h3>", by_hand)] == [
        *("Misses: 2 of 2", "Wrong places: 1 of 1", "False alarms: 1 of 2", "Best hits: 2 of 2")
    ]
    pictured = [label for label in page.labels if label.startswith("Spectrogram")]
    assert (
        pictured[0] == ("Spectrogram and frame probability: miss; true event 1.00 – 1.50 s; detected nothing")
        and len(pictured) == 6
    )


def test_names_from_files_cannot_become_markup(tmp_path):
    """A class, a scene, sounds and a command that look like HTML, XML or TeX appear as what they are."""
    results = results_by_hand(tmp_path / NASTY)
    results.detector.label = NASTY
    for row, recipe in enumerate(results.store.recipes):
        nasty = {"scene": f"</td><script>{NASTY}", "background": NASTY, "event": "<img src=x>", "name": recipe.name}
        results.store.recipes[row] = dataclasses.replace(recipe, **nasty, label=recipe.label and NASTY)
    text = page_of(results, label=NASTY, data=NASTY)
    page, clean = Page(text), Page(page_of(results_by_hand(tmp_path / "clean")))
    assert {tag: page.tags.count(tag) for tag in set(page.tags)}.keys() == set(clean.tags)
    assert page.tags.count("b") == clean.tags.count("b") and "script" not in page.tags and "img" not in page.tags
    text = "".join(page.text)
    assert f"{NASTY}: report on a detector" in text and f"</td><script>{NASTY}" in text and "<img src=x>" in text
    assert f"python {NASTY}" in text and "make <it> again" in text


def test_what_cannot_be_shown_is_said(tmp_path):
    quiet = Page(page_of(results_by_hand(tmp_path, CLIPS[3:4]), history=[])).text
    text = "".join(quiet)
    for words in ("No DET curve", "No precision-recall curve", "no metrics.csv", "Misses: none", "Best hits: none"):
        assert words in text, words
    hits = "".join(Page(page_of(results_by_hand(tmp_path, CLIPS[1:3]))).text)
    assert "No DET curve" in hits and "No precision-recall" not in hits and "Best hits: 2 of 2" in hits


def test_development_mixtures_come_with_a_warning(tmp_path):
    results = results_by_hand(tmp_path)
    assert "chosen on these mixtures" not in page_of(results, n_of_each=0)
    results.subset = "dev"
    results.tuned_thresholds, results.dev_store, results.dev_evaluation = (0.3, 0.5), results.store, results.evaluation
    text = page_of(results, n_of_each=0)
    assert "chosen on these mixtures" not in page_of(results, n_of_each=0, data="other")
    assert "chosen on these mixtures" in text and "so the row flatters" in text
    assert rows_of(text, "Events: where are they?")["tuned 0.3, 0.5"][:5] == ["5", "6", "3", "2", "3"]


def test_the_epoch_that_was_kept_is_marked(monkeypatch):
    marked = []
    monkeypatch.setattr(report_page.plots, "draw_dev_scores", lambda axes, history, kept: marked.append(kept))
    for keep in ("best", "last"):
        report_page.training(record(keep=keep))
    assert marked == [2, 3]


def test_pictures_take_the_colours_of_the_page(by_hand):
    pictures = re.findall(r'<svg viewBox="[^"]*" role="img".*?</svg>', by_hand, re.S)
    assert len(pictures) == 10
    for picture in pictures:
        assert "currentColor" in picture and not re.search("#000000|: black", picture)
        white = picture.count("#ffffff")  # the edges of a true event, on the spectrogram whatever the page's colours
        assert white == (2 if "Spectrogram" in picture and "true event" in picture else 0)
        assert not re.search(r'<svg[^>]* (width|height)="', picture) and "<title>" in picture


def test_sound_of_the_page_is_that_of_the_clip():
    """Decoded again: length, level, and what is heard; a silent clip stays silent."""
    t = np.arange(44100 * 3) / 44100
    y = 0.01 * np.sin(2 * np.pi * 500 * t) * (t > 1) + 1e-4 * np.random.default_rng(0).standard_normal(len(t))
    heard, sr = decoded(media.audio(y))
    assert sr == 44100 and abs(len(heard) - len(y)) < 0.1 * sr
    assert np.abs(heard).max() == pytest.approx(0.9, abs=0.05)
    assert np.abs(heard[: int(0.9 * sr)]).max() < 0.05 < 0.5 < np.abs(heard[int(1.5 * sr) : 2 * sr]).max()
    spectrum = np.abs(np.fft.rfft(heard[sr + 4410 : 2 * sr + 4410]))
    assert spectrum.argmax() == 500
    assert np.abs(decoded(media.audio(np.zeros(44100)))[0]).max() == 0


def test_a_libsndfile_without_mp3_is_named(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "WAV"})
    with pytest.raises(InputError, match=r"libsndfile \d\S+ writes no MP3"):
        media.audio(np.ones(10))


def decoded(source):
    kind, content = source.split(",")
    assert kind == "data:audio/mpeg;base64"
    return soundfile.read(io.BytesIO(base64.b64decode(content)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run with random weights on the built-in sounds, eight mixtures."""
    root = tmp_path_factory.mktemp("runs")
    (root / "a").mkdir()
    settings = vars(TrainSettings(label="glassbreak", arch="uni", layers=1, units=8, dev_clips=8))
    (root / "a" / "config.json").write_text(json.dumps({"settings": settings, "versions": {"minirsed": "0.0.1"}}))
    (root / "a" / "metrics.csv").write_text(
        "epoch,train_loss,train_utterance_loss,train_frame_loss,dev_loss,"
        "dev_error_rate,dev_f1,grad_norm,seconds\n1,1,0.5,0.5,1,,,2,3\n2,0.9,0.5,0.4,0.9,0.5,0.6,2,3\n"
    )
    tiny_detector("glassbreak").save(root / "a" / "best.npz")
    return root


def run(runs, *arguments):
    report.main(["--features", str(runs / "features"), "--threads", "1", "--jobs", "1", *map(str, arguments)])


def test_the_command_end_to_end(runs, monkeypatch, capsys):
    import webbrowser

    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.chdir(runs)
    (runs / "a" / "report_eval.html").unlink(missing_ok=True)
    before = set((runs / "a").iterdir())
    run(runs, "a", "--examples", "1", "--open")
    path = runs / "a" / "report_eval.html"
    assert set((runs / "a").iterdir()) - before == {path} and opened == [path.as_uri()]
    assert re.fullmatch(r"a/report_eval.html: \d\.\d MB, complete in itself\n", capsys.readouterr().out)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("audio") == page.tags.count("article") >= 2
    assert "8 eval mixtures" in "".join(page.text) and "--examples 1" in "".join(page.text)
    assert rows_of(text, "Origin")["versions"] == ["minirsed 0.0.1"]
    for source in re.findall(r'<audio[^>]* src="([^"]*)"', text):
        assert len(decoded(source)[0]) == pytest.approx(30 * 44100, rel=0.01)
    run(runs, "a", "--examples", "1", "--subset", "dev", "--out", runs / "page.html", "--clips", "4")
    assert "4 dev mixtures" in (runs / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["a", "--examples", "0"], "--examples is 0: expected at least 1"),
        (["a", "--out", "nowhere/page.html"], "--out nowhere/page.html: there is no folder nowhere"),
        (["a", "--out", "a"], "--out a: is a folder"),
        (["a", "--features", "a/config.json"], "--features a/config.json/"),
        (["a", "--data", "nowhere"], "nowhere"),
        (["damaged"], "metrics.csv: damaged"),
    ],
)
def test_bad_input_is_one_line_and_an_older_page_stays(runs, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    older = Path("a/report_eval.html")
    older.write_text("older")
    if arguments == ["damaged"]:
        Path("damaged").mkdir()
        Path("damaged/config.json").write_text(Path("a/config.json").read_text())
        Path("damaged/metrics.csv").write_text("epoch,dev_loss\n1,x\n")
    with pytest.raises(SystemExit) as stopped:
        run(runs, *arguments)
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and message in error and len(error.splitlines()) == 1, error
    assert older.read_text() == "older"
