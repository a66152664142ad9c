"""Pictures and sounds for a web page: SVG that follows the page's colours, MP3 as text.

Data flow: plots → **media** → `page`. Figures are small, so that their text can be read on a phone.
"""

import base64
import io
import re

import numpy as np

from data_tools.errors import InputError
from minirsed.analysis import plots
from minirsed.analysis.breakdown import outcome
from minirsed.analysis.files import clip_s, probabilities
from minirsed.analysis.thresholds import det_curve, precision_recall_curve
from minirsed.robustness import plots as robust_plots

SIZE = (4.2, 3.1)  # inches; on a phone, 360 CSS pixels wide, a text of 9 points is still 9 pixels high
LEGEND_FACE = "#fdfcfb"  # stands for the page's background until the SVG is done
STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and selected
    "svg.hashsalt": "minirsed",  # the same ids every time
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.facecolor": LEGEND_FACE,
}
AUDIO = {"samplerate": 44100, "format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": 0.8}  # 45 kbit/s
PEAK = 0.9  # of full scale; mixtures are a fifth as loud as they might be


def svg(name, title, draw, size=SIZE):
    """A picture as an `svg` element for HTML.

    Parameters
    ----------
    name : str
        Letters and digits, unlike that of any other picture of the page: ids begin with it.
    title : str
        What it shows, for those who do not see it; escaped here.
    draw : callable
        `draw(figure)` fills a `matplotlib.figure.Figure`.
    size : (width, height) in inches

    Returns
    -------
    str
        Black is `currentColor`, the page's text colour; there is no background; width and height are those of its
        container. Neither script nor address of anything outside of it.
    """
    from html import escape

    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure = plots.new_figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", transparent=True, dpi=100, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.S)  # its links lead outside
    view_box = re.search(r'viewBox="([^"]+)"', text)[1]
    label = escape(title)
    root = f'<svg viewBox="{view_box}" role="img" aria-label="{label}" fill="currentColor"><title>{label}</title>'
    text = root + text[text.index(">") + 1 :]
    text = re.sub(r'\b(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)  # ids are unique in a page
    for black in ("#000000", "black"):
        text = text.replace(f"stroke: {black}", "stroke: currentColor").replace(f"fill: {black}", "fill: currentColor")
    return text.replace(LEGEND_FACE, "var(--surface)")


def training_curves(history):
    """Two SVG: losses by epoch; development ER and F1 by epoch. `history`: rows of `metrics.csv`."""
    last = history[-1]
    losses = f"Losses of {len(history)} epochs; the last: training {last['train_loss']:.3f}, dev {last['dev_loss']:.3f}"
    return [
        svg("losses", losses, lambda figure: plots.draw_losses(figure.subplots(), history)),
        svg(
            "scores",
            f"Development error rate and F1 of {len(history)} epochs; numbers in the table below",
            lambda figure: plots.draw_dev_scores(figure.subplots(), history),
        ),
    ]


def det(results):
    """DET curve of the decision by clip as SVG; None where all clips have an event, or none has."""
    store = results.store
    if store.has_event.all() or not store.has_event.any():
        return None
    p, clips = probabilities(results.evaluation), (store.has_event, clip_s(store))
    points = results.clip_rates(clip_s(store))
    curves = [("this detector", det_curve(p, *clips))]
    title = "Detection error trade-off: events missed against false alarms, by the threshold of the clip"
    return svg("det", title, lambda figure: plots.draw_det(figure.subplots(), curves, points))


def precision_recall(results):
    """Precision against recall as SVG, a curve for each threshold of the frames; None where nothing can be found."""
    p_t = np.stack([each.frame_probabilities for each in results.evaluation.detections])
    evaluations = (results.evaluation, results.tuned)
    points = [(name, each.scores) for (name, _), each in zip(results.points(), evaluations, strict=False)]
    config, p = results.detector.config, probabilities(results.evaluation)
    curves = {
        thres1: precision_recall_curve(p, p_t, results.store.onset_s, thres1, config.rule, config.lead)
        for _, (_, thres1) in results.points()
    }
    if not any(len(curve.thres0) for curve in curves.values()):
        return None
    title = "Precision against recall of the events found, by the threshold of the clip"
    return svg("pr", title, lambda figure: draw_precision_recall(figure.subplots(), curves, points))


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


def span(onset_s, offset_s):
    """`12.34 – 13.50 s`."""
    return f"{onset_s:.2f} – {offset_s:.2f} s"


def audio(y):
    """A sound as the `src` of an HTML `audio` element: MP3, its peak raised to 0.9.

    Parameters
    ----------
    y : (samples,) float array, 44.1 kHz

    Returns
    -------
    str
        `data:audio/mpeg;base64,…`, 7.5 kB a second.

    Raises
    ------
    InputError
        This libsndfile has no MP3.
    """
    import soundfile

    if AUDIO["format"] not in soundfile.available_formats():
        version = soundfile.__libsndfile_version__
        raise InputError(f"libsndfile {version} writes no MP3, which the sounds of the page are; 1.1 and later may")
    buffer = io.BytesIO()
    soundfile.write(buffer, y * (PEAK / max(np.abs(y).max(), 1e-9)), **AUDIO)
    return "data:audio/mpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
