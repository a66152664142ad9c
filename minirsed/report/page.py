"""A run and its evaluation as one HTML page that needs nothing else: no network, no script, no other file.

Data flow: evaluation, plots, `minirsed.pages` → **page** → `minirsed.report` writes it. Everything that comes from
files or users goes through `html.escape`; the page's own policy forbids scripts and any address outside of it.
"""

import dataclasses
import itertools
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

import minirsed.pages
from data_tools.inventory import Holding
from minirsed import __version__
from minirsed.analysis import breakdown, plots
from minirsed.card import content
from minirsed.evaluate.__main__ import rate, remarks, span
from minirsed.pages import media
from minirsed.pages.elements import Html, figure, interval, paragraph, table
from minirsed.report import plots as report_plots
from minirsed.rivals.encoders import ENCODERS
from minirsed.robustness import files as robust_files
from minirsed.robustness.measure import identity
from minirsed.run.metrics import best_epoch
from minirsed.run.settings import option_name, value_text

KINDS = {  # of clips to look at, in this order: heading, and what it is
    "miss": ("Misses", "an event, and nothing was found"),
    "wrong place": ("Wrong places", "something was found, more than 0.5 s from the event's onset"),
    "false alarm": ("False alarms", "no event, and something was found"),
    "hit": ("Best hits", "the clearest of what was found within 0.5 s of the onset"),
}
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class RunRecord:
    """What a run folder tells of a run's making."""

    settings: Any  # minirsed.run.settings.TrainSettings
    origin: dict  # the rest of config.json: versions, command, machine, started
    history: list  # rows of metrics.csv; empty without the file
    data: str  # the sounds that it is scored on; those of the run, settings.data, or others
    card: Html | None = None  # see `card`


def page(results, figures, record, cards, command, robust=None, more=None):
    """The whole page.

    Parameters
    ----------
    results : minirsed.analysis.files.Results
    figures : dict
        As `minirsed.analysis.files.figures_of` gives them.
    record : RunRecord
    cards : dict of str to list of Html
        A key of `KINDS` → `clip_card` of the clips to show.
    command : str
        What makes this page again.
    robust : dict, optional
        What `minirsed.robustness.files.read` gave.
    more : dict of str to Html, optional
        Further sections, title → content.

    Returns
    -------
    str
    """
    sections = {
        "Scores": scores(figures),
        "Thresholds": thresholds(results),
        "By loudness and scene": groups(figures),
        **({"Other levels, rates, places and speeds": robustness(results, robust)} if robust else {}),
        **(more or {}),
        "Clips to look at and listen to": clips(figures, cards, results.detector.features["n_mels"]),
        **of_the_run(results, record),
    }
    return document(figures["label"], heading(figures, record), sections, command)


def of_the_run(results, record):
    """Sections on how a detector was made."""
    return {
        "Training": training(record),
        "Configuration": configuration(results, record),
        **({"Model card": record.card} if record.card else {}),
    }


def document(label, header, sections, command):
    """A page of sections, title → content; a title is plain text."""
    ids = {
        title: re.sub(r"[^a-z]", "", title.split()[0].lower()) + f"-{number}"
        for number, title in enumerate(sections, 1)
    }
    links = contents(ids)
    body = "".join(
        f'<section aria-labelledby="{ids[title]}"><h2 id="{ids[title]}">{escape(title)}</h2>{content}</section>'
        for title, content in sections.items()
    )
    css = (Path(minirsed.pages.__file__).parent / "pages.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(label)}: report on a detector</title>'
        f"<style>{css}</style></head>"
        f'<body><header>{header}</header><nav aria-label="Contents">{links}</nav>'
        f"<main>{body}</main><footer>{footer(command)}</footer></body></html>\n"
    )


def contents(ids):
    """Links to sections, title → id; several whose titles begin alike, up to a colon, in a line of their own."""
    links = ""
    for name, group in itertools.groupby(ids, lambda title: title.rpartition(": ")[0]):
        titles = list(group)
        one = len(titles) == 1 or not name
        shown = {title: title if one else title.removeprefix(f"{name}: ") for title in titles}
        line = "".join(f'<a href="#{ids[title]}">{escape(text)}</a>' for title, text in shown.items())
        links += line if one else f"<div><b>{escape(name)}</b>{line}</div>"
    return Html(links)


def heading(figures, record):
    """Title, what was scored, and four figures."""
    by_clip, settings = figures["by_clip"], record.settings
    over = "_by_recording" if "error_rate_95_by_recording" in figures else ""
    tiles = (
        ("error rate", rate(figures["error_rate"]), interval_text(figures[f"error_rate_95{over}"])),
        ("F1", rate(figures["f1"]), interval_text(figures[f"f1_95{over}"])),
        ("events found in time", f"{figures['n_tp']} of {figures['n_ref']}", "onset within 0.5 s"),
        ("false alarms", f"{by_clip['n_false_alarms']} of {by_clip['n_quiet']}", "clips without the event"),
    )
    whose = ENCODERS[settings.arch].origin
    drawn = f", drawn from {Holding(**figures['made_of'])}" if figures["made_of"] else ""
    caveat = ""
    if figures["subset"] == "dev" and record.data == settings.data and settings.keep != "last":
        caveat = paragraph(
            "The best epoch was chosen on these mixtures, so expect a little worse elsewhere; --subset eval scores "
            "mixtures that have had no part in anything."
        )
    return (
        f"<h1>{escape(figures['label'])}: report on a detector</h1>"
        + paragraph(
            f"Run folder {figures['run']}: {settings.network}{f' ({whose})' if whose else ''}. "
            f"Scored on {figures['n_clips']} {figures['subset']} mixtures of {record.data} sounds{drawn}."
        )
        + '<ul class="tiles">'
        + "".join(
            f"<li><b>{escape(value)}</b> {escape(name)}<small>{escape(note)}</small></li>"
            for name, value, note in tiles
        )
        + "</ul>"
        + caveat
    )


def scores(figures):
    """Counts and rates with intervals, with the detector's own thresholds and with tuned ones."""
    rows = {"own": figures} | ({"tuned": figures["tuned"]} if figures["tuned"] else {})
    events = [
        (f"{name} {row['thres0']:g}, {row['thres1']:g}", *(row[n] for n in ("n_ref", "n_sys", "n_tp", "n_fn", "n_fp")))
        + tuple(text for figure in ("error_rate", "f1") for text in (rate(row[figure]), *spans(row, figure)))
        + (rate(row["precision"]), rate(row["recall"]))
        for name, row in rows.items()
    ]
    intervals = ("95 % over mixtures", "over recordings")
    columns = ("thresholds", "events", "found", "hits", "misses", "false", "ER", *intervals, "F1", *intervals)
    by_clip = [
        (f"{name} {row['thres0']:g}", f"{c['n_misses']} of {c['n_events']}", f"{c['n_false_alarms']} of {c['n_quiet']}")
        for name, row in rows.items()
        for c in (row["by_clip"],)
    ]
    return (
        paragraph(
            "A hit is an onset within 0.5 s of the true one. ER, the error rate, is (misses + false alarms) / events; "
            "lower is better, and it may exceed 1. Intervals: 95 %, by bootstrap. Those over mixtures say how the "
            "score would vary with other mixtures of the same recordings, those over recordings with other recordings."
        )
        + table("Events: where are they?", (*columns, "precision", "recall"), events)
        + "".join(map(paragraph, remarks(figures)))
        + table("Clips: is there one?", ("p >", "events missed", "false alarms in clips without it"), by_clip)
        + "".join(map(paragraph, figures["notes"] + figures["warnings"]))
    )


def thresholds(results, prefix=""):
    """DET and precision-recall curves; `prefix` begins the names of the pictures."""
    pictures = []
    for draw, caption, missing in (
        (
            report_plots.det,
            "Is there an event in the clip? Misses against false alarms as the clip's threshold falls; the lower left "
            "is better. Both axes are linear below the rate of a single clip, so that 0 has a place.",
            "No DET curve: it needs mixtures with an event and mixtures without.",
        ),
        (
            report_plots.precision_recall,
            "Where is it? Precision against recall of the events found as the clip's threshold falls, for each "
            "threshold of the frames; the upper right is better.",
            "No precision-recall curve: nothing was found, or there is nothing to find.",
        ),
    ):
        picture = draw(results, prefix)
        pictures.append(figure(picture, caption) if picture else paragraph(missing))
    return f'<div class="figures">{"".join(pictures)}</div>'


def groups(figures):
    """Tables by event-to-background ratio and by scene."""
    columns = ("clips", "events", "hits", "false", "recall", "95 % interval", "0 … 1")

    def rows(named):
        for name, group in named.items():
            counts = (group[count] for count in ("n_clips", "n_ref", "n_tp", "n_fp"))
            drawn = interval(group["recall"], group["recall_95"])
            yield name, *counts, rate(group["recall"]), span(group["recall_95"]), drawn

    names = {"+0": "0 dB", breakdown.UNKNOWN: breakdown.UNKNOWN}
    ratios = {names.get(ebr, f"{ebr} dB"): group for ebr, group in figures["by_ebr_db"].items()}
    return (
        paragraph(
            "Recall is the share of events that are hit; its interval is Wilson's, 95 %. By ratio only mixtures with "
            "an event count, by scene all of them."
        )
        + table("By event-to-background ratio", ("EBR", *columns), rows(ratios))
        + table("By scene", ("scene", *columns), rows(figures["by_scene"]))
    )


def robustness(results, robust):
    """What was found in the same mixtures, changed, and p of noises; nothing of the kind if it was another detector."""
    if robust["detector"] != identity(results.detector):
        return paragraph(
            f"{robust_files.names(results.subset)[0]} was measured with another detector than best.npz; "
            "minirsed.evaluate --robust measures this one."
        )
    changes = [
        (change["change"], *(change[n] for n in ("n_tp", "n_missed", "n_misplaced", "n_false_alarms")))
        + (rate(change["error_rate"]), span(change["error_rate_95"]))
        + (rate(change["error_rate_difference"]), span(change["error_rate_difference_95"]))
        + tuple(map(rate, change.get("classes", {}).values()))
        for change in robust["changes"]
    ]
    columns = ("mixtures", "hits", "missed", "misplaced", "false", "ER", "95 % interval", "minus plain")
    guards = [
        (robust_files.guard_name(guard), rate(guard["probability"]), "an event" if guard["is_detected"] else "nothing")
        + tuple(map(rate, guard.get("classes", {}).values()))
        for guard in robust["guards"]
    ]
    labels, of_several = robust.get("labels", ()), ""
    if labels:
        of_several = " Counts are those of all classes, ER is the average, and p is the highest of all classes."
    captions = (
        "Error rate under each change with its 95 % interval. Shaded: within 0.10 of that of the plain mixtures.",
        "Mixtures with a mistake: missed, found in a wrong place, or found where there is no event.",
        "p of noises and of silence at three sample rates. Above 0.5, shaded, they are taken for the event.",
    )
    pictures = "".join(
        figure(picture, caption) for picture, caption in zip(report_plots.robustness(robust), captions, strict=True)
    )
    return (
        paragraph(
            f"{robust['n_clips']} mixtures as another recorder might have taken them, and with their events slower "
            "and faster at their pitch; a gain is not clipped. What is misplaced was found more than 0.5 s from the "
            f"onset and counts as two errors.{of_several}"
        )
        + f'<div class="figures">{pictures}</div>'
        + table("The same mixtures, changed", (*columns, "95 % interval", *(f"ER, {own}" for own in labels)), changes)
        + table("30 s in which there is nothing", ("sound", "p", "found", *(f"p, {own}" for own in labels)), guards)
        + "".join(map(paragraph, robust["notes"]))
    )


def choose_clips(results, n_of_each):
    """The clips to show: kind → rows of the store; mistakes of the largest loss, hits of the lowest, no sound twice."""
    store, evaluation = results.store, results.evaluation
    chosen = {kind: [] for kind in KINDS}
    for row in breakdown.distinct(store, np.argsort(-evaluation.loss, kind="stable").tolist()):
        kind = breakdown.outcome(store, evaluation, row)
        if kind in chosen:
            chosen[kind].append(row)
    chosen["hit"].reverse()
    return {kind: rows[:n_of_each] for kind, rows in chosen.items()}


def clip_card(results, row, audio, prefix=""):
    """One clip: what happened in words, picture, player, facts.

    Parameters
    ----------
    results : minirsed.analysis.files.Results
    row : int
        Clip of the store.
    audio : str
        `src` of the player, see `media.audio`.
    prefix : str
        Of the picture's name, for pages of several classes.
    """
    store, evaluation = results.store, results.evaluation
    recipe, about = store.recipes[row], breakdown.describe(store, evaluation, row)
    caption = plots.mistake_caption(store, evaluation, row)
    facts = {
        "event": "none" if about["onset_s"] is None else media.span(about["onset_s"], about["offset_s"]),
        "detected": "nothing"
        if about["detected_onset_s"] is None
        else media.span(about["detected_onset_s"], about["detected_offset_s"]),
        "loss": f"{about['loss']:.3f}",
        "mixture": about["mixture"],
        "background": recipe.background,
        "event sound": recipe.event or "none",
    } | ({"not to be found": recipe.negative} if recipe.negative else {})
    others = [event for event in breakdown.mixed(store)[row].events if event not in recipe.events]
    if others:
        facts["of other classes"] = "; ".join(f"{e.label}, {media.span(e.onset_s, e.offset_s)}" for e in others)
    terms = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return Html(
        f"<article><h4>{escape(caption)}</h4>{report_plots.clip(f'{prefix}clip{row}', results, row)}"
        f'<audio controls preload="metadata" src="{audio}" aria-label="Sound of: {escape(caption)}"></audio>'
        f"<dl>{terms}</dl></article>"
    )


def clips(figures, cards, n_mels):
    """The cards by kind, with how many there are in all."""
    totals = figures["mistakes"] | {"hit": figures["n_tp"]}
    parts = [
        paragraph(
            f"Above, what the model sees: {n_mels} mel bands, the true event between dashed lines. Below, its frame "
            "probability p_t with the threshold (dotted), the true event (green) and the detected one (orange). Sounds "
            "are compressed and brought to one level. Of mistakes on one and the same sound the worst is shown."
        )
    ]
    for kind, (title, meaning) in KINDS.items():
        shown = f"{len(cards[kind])} of {totals[kind]}" if totals[kind] else "none"
        parts.append(f"<h3>{title}: {shown}</h3><p>{meaning[0].upper()}{meaning[1:]}.</p>")
        parts.append(f'<div class="cards">{"".join(cards[kind])}</div>' if cards[kind] else "")
    return "".join(parts)


def training(record):
    """Curves by epoch, and the same as a table."""
    if not record.history:
        return paragraph("The run folder has no metrics.csv, so there are no curves.")
    captions = (
        "Loss of a clip: training (violet; if it has two parts, that of frames dashed, that of clips dotted) and "
        "development (in the colour of the text).",
        "Error rate and F1 on the development mixtures; the dot is the epoch whose detector was kept.",
    )
    kept = best_epoch(record.history, record.settings.keep)
    curves = report_plots.training_curves(record.history, kept)
    pictures = "".join(figure(svg, caption) for svg, caption in zip(curves, captions, strict=True))
    columns = [name.replace("_", " ") for name in record.history[0]]
    rows = [["–" if value is None else f"{value:.4g}" for value in row.values()] for row in record.history]
    numbers = table("Every epoch", columns, rows)
    return f'<div class="figures">{pictures}</div><details><summary>Numbers of every epoch</summary>{numbers}</details>'


def configuration(results, record):
    """Settings with their meaning; then what else determined the run."""
    rows = []
    for setting in dataclasses.fields(record.settings):
        value, about = getattr(record.settings, setting.name), setting.metadata
        if setting.name == "labels":  # CLASS, as `label` is
            continue
        value = ", ".join(record.settings.classes) if setting.name == "label" else value
        text = ("no", "yes")[value] if isinstance(value, bool) else value_text(value)
        rows.append((option_name(setting.name), text, about["help"]))
    n_weights = sum(values.size for values in results.detector.params.values())
    origin = record.origin
    facts = [
        ("weights", f"{n_weights:,}"),
        ("command", " ".join(map(str, origin.get("command", ["unknown"])))),
        ("started", origin.get("started", "unknown")),
        ("machine", origin.get("machine", "unknown")),
        ("versions", ", ".join(f"{name} {number}" for name, number in origin.get("versions", {}).items()) or "unknown"),
    ]
    return table("Settings", ("option", "value", "meaning"), rows, "text") + table("Origin", ("", ""), facts, "text")


def card(sections):
    """The run's model card, its sections as `minirsed.card.content` gives them."""
    parts = []
    for title, blocks in sections.items():
        parts.append(f"<h3>{escape(title)}</h3>")
        for block in blocks:
            if isinstance(block, content.Points):
                parts.append(f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in block.texts)}</ul>")
            elif isinstance(block, content.Table):
                parts.append(table(title, block.columns, block.rows, "words"))
            elif isinstance(block, content.Command):
                parts.append(f"<pre>{escape(block.text)}</pre>")
            else:
                parts.append(paragraph(block))
    return Html("".join(parts))


def footer(command):
    """How to make this page again."""
    return f"Made by minirsed {__version__}: <code>{escape(command)}</code>"


def spans(row, figure):
    """The interval of a figure over mixtures, and that over recordings."""
    return span(row[f"{figure}_95"]), span(row.get(f"{figure}_95_by_recording", (None, None)))


def interval_text(edges):
    """`95 %: 0.02 … 0.11`, or nothing."""
    return "" if None in edges else f"95 %: {span(edges)}"
