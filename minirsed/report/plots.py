"""The pictures of the report page.

Data flow: an evaluation, `minirsed.analysis.plots` → **plots**, as SVG of `minirsed.pages.media` → page.
"""

import numpy as np

from minirsed.analysis import plots
from minirsed.analysis.breakdown import outcome
from minirsed.analysis.files import clip_s, probabilities, rule_of
from minirsed.analysis.thresholds import det_curve, precision_recall_curve
from minirsed.pages.media import SIZE, span, svg
from minirsed.robustness import plots as robust_plots


def training_curves(history, kept):
    """Two SVG: losses by epoch; development ER and F1 by epoch, a dot at the epoch `kept`.

    `history`: rows of `metrics.csv`.
    """
    last = history[-1]
    losses = f"Losses of {len(history)} epochs; the last: training {last['train_loss']:.3f}, dev {last['dev_loss']:.3f}"
    return [
        svg("losses", losses, lambda figure: plots.draw_losses(figure.subplots(), history)),
        svg(
            "scores",
            f"Development error rate and F1 of {len(history)} epochs; numbers in the table below",
            lambda figure: plots.draw_dev_scores(figure.subplots(), history, kept),
        ),
    ]


def det(results, prefix=""):
    """DET curve of the decision by clip as SVG; None where all clips have an event, or none has.

    `prefix` makes its name unlike that of another class on the same page, as in `precision_recall`.
    """
    store = results.store
    if store.has_event.all() or not store.has_event.any():
        return None
    p, clips = probabilities(results.evaluation), (store.has_event, clip_s(store))
    points = results.clip_rates(clip_s(store))
    curves = [("this detector", det_curve(p, *clips))]
    title = "Detection error trade-off: events missed against false alarms, by the threshold of the clip"
    return svg(f"{prefix}det", title, lambda figure: plots.draw_det(figure.subplots(), curves, points))


def precision_recall(results, prefix=""):
    """Precision against recall as SVG, a curve for each threshold of the frames; None where nothing can be found."""
    p_t = np.stack([each.frame_probabilities for each in results.evaluation.detections])
    evaluations = (results.evaluation, results.tuned)
    points = [(name, each.scores) for (name, _), each in zip(results.points(), evaluations, strict=False)]
    rule, p = rule_of(results.detector), probabilities(results.evaluation)
    curves = {
        thres1: precision_recall_curve(p, p_t, results.store.onset_s, thres1, **rule)
        for _, (_, thres1) in results.points()
    }
    if not any(len(curve.thres0) for curve in curves.values()):
        return None
    title = "Precision against recall of the events found, by the threshold of the clip"
    return svg(f"{prefix}pr", title, lambda figure: draw_precision_recall(figure.subplots(), curves, points))


def draw_precision_recall(axes, curves, points):
    """Precision against recall of the events found, with operating points marked.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    curves : dict of float to minirsed.analysis.thresholds.PrecisionRecall
        One or two, by thres1.
    points : list of (str, minirsed.scoring.Scores)
        One or two; one without a single detection has no precision and is left out.
    """
    for (thres1, curve), style in zip(curves.items(), ("-", "--"), strict=False):
        label = f"frames above {thres1:g}"
        axes.plot(curve.recall, curve.precision, style, color="k", linewidth=1.6, label=label)
    for (name, scores), mark in zip(points, plots.POINT_MARKS, strict=False):
        if scores.n_sys:
            label = f"{name}: precision {scores.precision:.2f}, recall {scores.recall:.2f}"
            axes.plot(scores.recall, scores.precision, **mark, linestyle="", label=label, zorder=3)
    axes.set(xlabel="recall: share of the events that are found", ylabel="precision: share of hits")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    axes.grid(alpha=0.3)
    axes.legend()


def robustness(figures):
    """Three SVG of what `minirsed.robustness.measure` found: error rates, mistakes, p of the guards."""
    changes, guards = figures["changes"], figures["guards"]
    tall = SIZE[0], 1.0 + 0.24 * len(changes)
    return [
        svg(name, title, lambda figure, draw=draw, rows=rows: draw(figure.subplots(), rows), size)
        for name, title, draw, rows, size in (
            (
                "robusterrors",
                "Error rate under each change; numbers below",
                robust_plots.draw_error_rates,
                changes,
                tall,
            ),
            ("robustmistakes", "Mistakes under each change; numbers below", robust_plots.draw_mistakes, changes, tall),
            ("robustguards", "p of noises and silence; numbers below", robust_plots.draw_guards, guards, SIZE),
        )
    ]


def clip(name, results, row):
    """One clip as SVG: spectrogram, p_t, the true and the detected event."""
    store, evaluation = results.store, results.evaluation
    found = evaluation.detections[row]
    true = f"true event {span(store.onset_s[row], store.offset_s[row])}" if store.has_event[row] else "no event"
    title = f"Spectrogram and frame probability: {outcome(store, evaluation, row)}; {true}; detected " + (
        "nothing" if found.onset_s is None else span(found.onset_s, found.offset_s)
    )

    def draw(figure):
        mel, probability = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        plots.draw_clip(mel, probability, store, evaluation, row)
        probability.axhline(results.thresholds[1], color="k", linewidth=0.6, linestyle=":")
        probability.set(xlabel="seconds")
        if probability.get_legend_handles_labels()[0]:
            figure.legend(*probability.get_legend_handles_labels(), loc="outside upper center", ncols=2)

    return svg(name, title, draw)
