"""The sections of a report that are about hours of sound: how often a detector cries wolf, and at what.

Data flow: `minirsed.alarms.files` has left figures in the run folder → **hours** → page. The strongest alarms are cut
out of the recordings, if these are still where they were.
"""

from html import escape
from pathlib import Path

import numpy as np

from data_tools.audio import read_audio
from data_tools.console import counted
from data_tools.errors import InputError
from minirsed.alarms import files, plots
from minirsed.alarms.choice import operation, sentences
from minirsed.alarms.poisson import hours_text, rate_text
from minirsed.analysis.plots import FOUND, draw_log_mel
from minirsed.console.options import probability_text
from minirsed.features import frame_to_seconds, lfbe
from minirsed.listening.operating import NAMES
from minirsed.pages import media
from minirsed.pages.elements import Html, figure, paragraph, table

AROUND_S = 5.0  # before and after an alarm
LONGEST_S = 20.0  # of an excerpt
COLUMNS = ("hours", "events", "hits", "missed", "misplaced", "false alarms")


def sections(folder, subset, detector, n_shown, prefix=""):
    """Title → content, for the subset and for recordings that were given, as far as they have been measured.

    Parameters
    ----------
    folder : Path
        Run folder.
    subset : str
    detector : minirsed.detector.Detector
    n_shown : int
        Alarms to look at.
    prefix : str
        Begins the names of the pictures.

    Raises
    ------
    InputError
        The figures are damaged.
    """
    found = {}
    for name, title in ((subset, f"In hours of sound: {subset}"), (files.GIVEN, "In hours of sound")):
        figures = files.read(folder, name)
        if figures:
            found[title] = section(figures, detector, n_shown, prefix)
    return found


def section(figures, detector, n_shown, prefix=""):
    """One measurement; nothing but a word if it was of another detector, or of other thresholds."""
    own = {"thres0": detector.thres0, "thres1": detector.thres1} | vars(detector.operating)
    then = dict.fromkeys(NAMES, 0.0) | figures  # of an earlier version: without a memory
    if figures["detector"] != detector.fingerprint() or any(then[n] != own[n] for n in ("thres0", "thres1", *NAMES)):
        return paragraph(
            f"alarms_{figures['name']}.json was measured with another detector than best.npz, or other thresholds. "
            "minirsed.evaluate measures this one."
        )
    counts = ("hours", *files.COUNTS)
    rows = {
        "By recording": [(row["recording"], *_cells(row, counts)) for row in figures["by_recording"]],
        "By hour, the recordings one after the other": [
            (f"{row['hour']}, from {row['from']}", *_cells(row, counts)) for row in figures["by_hour"]
        ],
    }
    pictures = zip(
        (plots.draw_curve, plots.draw_hours),
        ("Events missed against false alarms an hour", "False alarms and misses over the hours"),
        (
            "Events missed against false alarms an hour as the threshold rises; the lower left is better. The bar "
            "is the 95 % interval of this detector's alarms an hour.",
            "When: false and misplaced alarms upwards, missed events downwards. Dotted: where a recording begins.",
        ),
        strict=True,
    )
    name = f"{prefix}{figures['name']}"
    drawn = "".join(
        figure(media.svg(f"{name}{i}", title, lambda f, draw=draw: draw(f.subplots(), figures)), caption)
        for i, (draw, title, caption) in enumerate(pictures)
    )
    cards = [alarm_card(f"alarm{name}{i}", detector, alarm) for i, alarm in enumerate(figures["worst_alarms"])]
    shown = "".join(cards[:n_shown])
    return (
        paragraph(
            f"{counted(figures['n_recordings'], 'recording')}, {hours_text(figures['hours'])}, as minirsed.detect "
            f"hears them: {operation(figures)}. {figures['in_words'][0].upper()}{figures['in_words'][1:]}. "
            f"{figures['n_misses']} of {counted(figures['n_events'], 'event')} missed."
        )
        + "".join(map(paragraph, ("; ".join(sentences(detector)), *figures["notes"])))
        + f'<div class="figures">{drawn}</div>'
        + "".join(
            f"<details><summary>{caption}</summary>{table(caption, ('', *COLUMNS), own)}</details>"
            for caption, own in rows.items()
        )
        + (f'<h3>Strongest alarms that hit no event</h3><div class="cards">{shown}</div>' if shown else "")
    )


def _cells(row, names):
    return [rate_text(row[name]) if name == "hours" else row[name] for name in names]


def alarm_card(name, detector, alarm):
    """One alarm: picture, player, when and where; without the recording, only what is known of it."""
    start_s = max(0.0, alarm["onset_s"] - AROUND_S)
    duration_s = min(LONGEST_S, alarm["offset_s"] + AROUND_S - start_s)
    title = f"{alarm['verdict'].capitalize()}: {alarm['recording']}, {media.span(alarm['onset_s'], alarm['offset_s'])}"
    facts = {
        "p": probability_text(alarm["probability"], 2),
        "recording": alarm["recording"],
        "excerpt": media.span(start_s, start_s + duration_s),
    }
    try:
        if not Path(alarm["path"]).is_file():
            raise InputError("the recording is no longer where it was")
        y = read_audio(alarm["path"], start_s=start_s, duration_s=duration_s)
        span_s = (alarm["onset_s"] - start_s, min(alarm["offset_s"] - start_s, duration_s))
        body = _picture(name, detector, y, span_s, title) + (
            f'<audio controls preload="metadata" src="{media.audio(y)}" aria-label="Sound of: {escape(title)}"></audio>'
        )
    except InputError as error:
        body = paragraph(str(error))
    terms = "".join(f"<dt>{term}</dt><dd>{escape(str(value))}</dd>" for term, value in facts.items())
    return Html(f"<article><h4>{escape(title)}</h4>{body}<dl>{terms}</dl></article>")


def _picture(name, detector, y, span_s, title):
    """Spectrogram and p_t of an excerpt, as the detector hears it by itself, with the alarm."""
    features = lfbe(y, **detector.features)
    p_t = detector.probabilities(*detector.logits(features[None]))[1][0]
    seconds = frame_to_seconds(np.arange(len(features)))

    def draw(page_figure):
        mel, probability = page_figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        draw_log_mel(mel, features, seconds[0], max(seconds[-1], seconds[0] + 1e-3))
        probability.plot(seconds, p_t, color="k", linewidth=1)
        probability.plot(span_s, (0.5, 0.5), color=FOUND, linewidth=5)
        probability.axhline(detector.thres1, color="k", linewidth=0.6, linestyle=":")
        probability.set(ylabel="$p_t$", ylim=(-0.02, 1.02), xlabel="seconds of the excerpt")

    return media.svg(name, f"Spectrogram and frame probability: {title}", draw)
