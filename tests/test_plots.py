"""Pictures: their words, names that matplotlib would take for mathematics, and where things are on their axes."""

from types import SimpleNamespace

import numpy as np
import pytest

from minirsed.analysis import plots
from minirsed.analysis.thresholds import clip_rates, det_curve
from minirsed.detector import Detection
from minirsed.features import lfbe
from minirsed.run.metrics import METRICS, best_epoch
from minirsed.run.session import score_table


def test_a_name_with_dollar_signs_is_a_name(tmp_path):
    """`a$_$c` is bad mathematics, which ended a training after its last epoch with a traceback."""
    row = {name: 1.0 for name in METRICS}
    plots.curves([row, row], tmp_path / "curves.png", r"a$_$c, $\frac$", 1)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    figure = plots.new_figure()
    assert figure.text(0, 0, plots.plain("a$b$")).get_text() == r"a\$b\$"


@pytest.mark.parametrize(("keep", "epoch"), [("best", 3), ("last", 4)])
def test_the_dot_is_the_epoch_that_is_kept(keep, epoch):
    """Of equal error rates the lowest loss decides; and a run may keep its last epoch. An undefined ER has no dot."""
    columns = {"epoch": (1, 2, 3, 4), "dev_error_rate": (None, 0.2, 0.2, 0.5), "dev_loss": (4.0, 3.0, 2.0, 1.0)}
    history = [dict(zip(columns, row, strict=True)) | {"dev_f1": 0.5} for row in zip(*columns.values(), strict=True)]
    for kept, dots in ((best_epoch(history, keep), [epoch]), (1, []), (0, [])):
        axes = plots.new_figure().subplots()
        plots.draw_dev_scores(axes, history, kept)
        assert [int(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"] == dots


def test_bands_are_drawn_at_their_frequencies():
    """The band that answers most to a tone is the one at whose height the axis has the tone's frequency."""
    for n_mels in (40, 64):
        for frequency_hz in (300, 1000, 4321, 16000):
            tone = np.sin(2 * np.pi * frequency_hz / 44100 * np.arange(44100))
            loudest = int(lfbe(tone, n_mels=n_mels).mean(axis=0).argmax())
            assert abs(plots.height_of(frequency_hz, n_mels) - (loudest + 0.5)) <= 0.6
    axes = plots.new_figure().subplots()
    plots.draw_log_mel(axes, np.random.default_rng(0).standard_normal((20, 64)), 0.0, 1.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.5", "1", "2", "4", "8", "16"]
    assert axes.get_ylabel() == "kHz (mel scale)" and axes.get_ylim() == (0, 64)


def test_a_det_curve_has_its_thresholds():
    """Beside the point that each of them gives; of two that would overlap, one."""
    p, has_event = np.linspace(0, 1, 101), np.arange(101) % 3 == 0
    axes = plots.new_figure(figsize=(7, 5.2), dpi=110).subplots()
    curve = det_curve(p, has_event, 30.0)
    plots.draw_det(axes, [("run", curve)], [("own", clip_rates(p, has_event, 30.0, 0.5))])
    marks = {text.get_text(): text.xy for text in axes.texts}
    assert {"0.1", "0.5", "0.9"} <= set(marks) <= {"0.1", "0.3", "0.5", "0.7", "0.9", "0.99"}
    drawn = {tuple(point) for point in axes.lines[0].get_xydata().round(9).tolist()}
    for text, (false_alarms, missed) in marks.items():
        rates = clip_rates(p, has_event, 30.0, float(text))
        assert (false_alarms, missed) == pytest.approx((100 * rates.false_alarm_rate, 100 * rates.miss_rate))
        assert (round(false_alarms, 9), round(missed, 9)) in drawn  # on the curve itself, whatever its unit
    all_at_one_point = plots.new_figure().subplots()
    curve = det_curve([0.5, 0.5], [True, False], 30.0)
    plots.draw_det(all_at_one_point, [("run", curve)], [("own", clip_rates([0.5, 0.5], [True, False], 30.0, 0.5))])
    assert [text.get_text() for text in all_at_one_point.texts] == ["0.1", "0.5"]


def test_the_legend_of_losses_has_the_words_of_the_terminal():
    row = dict.fromkeys(METRICS, 1.0) | {"epoch": 1}
    axes = plots.new_figure().subplots()
    plots.draw_losses(axes, [row])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["training", "… its clip part", "… its frame part", "development"]


def test_a_clip_without_event_in_which_none_was_found_is_a_correct_rejection(line_stores):
    store = line_stores[1]
    nothing = Detection(0.1, None, None, np.zeros(61, np.float32))
    names = [recipe.name for recipe in store.recipes]
    reference = {n: [(1.0, 2.0, "line")] if e else [] for n, e in zip(names, store.has_event, strict=True)}
    evaluation = SimpleNamespace(
        detections=[nothing] * 20, reference=reference, estimated=dict.fromkeys(names, ()), loss=np.ones(20)
    )
    assert plots.caption(store, evaluation, 1) == "park, no event:  p = 0.100  →  correct rejection"
    assert plots.telling_clips(store, evaluation) == [0, 1, 2, 4]  # a rejection, and three misses


@pytest.mark.parametrize(("er", "f1"), [(float("nan"), float("nan")), (0.5, float("nan"))])
def test_an_undefined_score_is_a_dash(er, f1):
    scores = SimpleNamespace(n_ref=0, n_sys=0, n_tp=0, n_fn=0, n_fp=0, error_rate=er, f1=f1)
    assert score_table("x", scores).split()[-2:] == ["-" if er != er else "0.50", "-"]
