"""The page of a run of several classes: all together, then each class with what the page of one class has.

Data flow: evaluation of several, `page` → **several** → `minirsed.report` writes it.
"""

from html import escape

from data_tools.inventory import Holding
from minirsed.evaluate.__main__ import rate, span
from minirsed.pages.elements import interval, paragraph, table
from minirsed.report import hours
from minirsed.report import page as of_one


def page(results, figures, record, cards, command, robust=None):
    """The whole page.

    Parameters
    ----------
    results : minirsed.analysis.several.SeveralResults
    figures : dict
        Of `minirsed.analysis.several.figures_of`, with those of each class in "classes".
    record : minirsed.report.page.RunRecord
    cards : dict of str to dict
        For each class, kind → `clip_card` of the clips to show.
    command : str
        What makes this page again.
    robust : dict, optional
        What `minirsed.robustness.files.read` gave of all classes.

    Returns
    -------
    str
    """
    sections = {"All classes": scores(figures), "Which sound was taken for which": confusions(figures["confusions"])}
    for c, (label, own) in enumerate(results.classes.items()):
        n_mels = own.detector.features["n_mels"]
        sections |= {
            f"{label}: scores": of_one.scores(figures["classes"][label]),
            f"{label}: thresholds": of_one.thresholds(own, f"c{c}"),
            f"{label}: by loudness and scene": of_one.groups(figures["classes"][label]),
            **in_hours(own, label, 2 * max(map(len, cards[label].values()), default=0), f"c{c}"),
            f"{label}: clips to look at and listen to": of_one.clips(figures["classes"][label], cards[label], n_mels),
        }
    if robust:
        sections["Other levels, rates, places and speeds"] = of_one.robustness(results, robust)
    sections |= of_one.of_the_run(results, record)
    return of_one.document(", ".join(results.classes), heading(figures, record), sections, command)


def in_hours(own, label, n_shown, prefix):
    """What `minirsed.evaluate` has left of recordings in the folder of a class: title → content."""
    found = hours.sections(own.run, own.subset, own.detector, n_shown, prefix)
    return {f"{label}: {title[0].lower()}{title[1:].replace(':', ',')}": content for title, content in found.items()}


def heading(figures, record):
    """Title, what was scored, and the error rates."""
    average, over = figures["average"], "_by_recording" * ("error_rate_95_by_recording" in figures["average"])
    tiles = [
        ("average error rate", average),
        *((f"error rate, {label}", own) for label, own in figures["classes"].items()),
    ]
    drawn = f", drawn from {Holding(**figures['made_of'])}" if figures["made_of"] else ""
    return (
        f"<h1>{escape(', '.join(figures['labels']))}: report on a detector</h1>"
        + paragraph(
            f"Run folder {figures['run']}: {record.settings.network}. Scored on {figures['n_clips']} "
            f"{figures['subset']} mixtures of {record.data} sounds{drawn}. Each class is in a mixture or not, "
            "whatever the others do."
        )
        + '<ul class="tiles">'
        + "".join(
            f"<li><b>{escape(rate(row['error_rate']))}</b> {escape(name)}"
            f"<small>{escape(of_one.interval_text(row[f'error_rate_95{over}']))}</small></li>"
            for name, row in tiles
        )
        + "</ul>"
    )


def scores(figures):
    """Counts and rates of each class and of their average; events that overlap, and the others."""
    columns = ("", "events", "found", "hits", "misses", "false", "ER", "95 % over mixtures", "over recordings")
    counts = ("n_ref", "n_sys", "n_tp", "n_fn", "n_fp")
    rows = [(label, *(own[count] for count in counts), *_rates(own)) for label, own in figures["classes"].items()]
    rows.append(("average", *[""] * len(counts), *_rates(figures["average"])))
    if figures["tuned"]:
        rows.append(("average, thresholds tuned", *[""] * len(counts), *_rates(figures["tuned"])))
    overlap = [
        (name, own["n_ref"], own["n_tp"], rate(own["recall"]), span(own["recall_95"]))
        + (interval(own["recall"], own["recall_95"]),)
        for name, own in figures["by_overlap"].items()
    ]
    return (
        paragraph(
            "A hit is an onset within 0.5 s of the true one. The average is the plain mean over the classes. Over "
            "recordings, backgrounds are drawn once for all classes, events for each."
        )
        + table("Every class, and the average", (*columns, "F1", "95 % over mixtures", "over recordings"), rows)
        + table(
            "Events that overlap with one of another class", ("", "events", "hits", "recall", "95 %", "0 … 1"), overlap
        )
        + "".join(map(paragraph, figures["notes"] + figures["warnings"]))
    )


def confusions(found):
    """Detected events by what they lie on."""
    rows = [*zip(found["labels"], found["events"], *zip(*found["taken_for"], strict=True), strict=True)]
    rows += [("its own, misplaced", "", *found["misplaced"]), ("nothing", "", *found["nothing"])]
    return paragraph(
        "Each detected event once, by what it lies on: a row for each class that was there, a column for each that was "
        "detected. Where both are the same these are hits."
    ) + table("What was there, and what was detected", ("there", "events", *found["labels"]), rows)


def _rates(row):
    return tuple(text for name in ("error_rate", "f1") for text in (rate(row[name]), *of_one.spans(row, name)))
