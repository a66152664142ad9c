"""Pictures of how a detector holds under changes: error rates, mistakes, and p of noises.

Data flow: figures of `measure` → **plots** → `files`, and the report page. One row for each change, as they come, from
top to bottom.
"""

import numpy as np

from minirsed.analysis.plots import FOUND, TRUTH, new_figure, plain, save_figure
from minirsed.robustness.changes import GUARD_RATES_HZ

WITHIN = 0.10  # of the plain error rate: what is shaded
LEGEND = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "frameon": False}
MISTAKES = (  # field, what the legend calls it, colour: from ColorBrewer's Dark2, as the other pictures
    ("n_missed", "missed", "#7570b3"),
    ("n_misplaced", "misplaced", "#e6ab02"),
    ("n_false_alarms", "false alarms", FOUND),
)
GUARD_MARKS = ("o", "s", "D")
CLASS_MARKS = "osD^vP*X"  # of several classes, beside their mean; the first comes again after the last
CLASS_COLOURS = ("#1f78b4", "#e7298a", "#66a61e", "#a6761d", "#666666")


def picture(figures, path):
    """All of it as one PNG: error rates and mistakes side by side, the guards below.

    Parameters
    ----------
    figures : dict
        As `minirsed.robustness.measure.measure` gives them, of one class or of several together.
    path : str or Path
    """
    changes = figures["changes"]
    sounds = {guard["sound"] for guard in figures["guards"]}
    figure = new_figure(figsize=(11, 2.1 + 0.32 * len(changes) + 0.32 * len(sounds)), layout="constrained")
    events = f"{changes[0]['n_ref']} events in {figures['n_clips']} mixtures"
    sound = ", ".join(figures.get("labels", [figures["label"]]))
    figure.suptitle(f"{plain(sound)}: the same {events}, changed")
    above, below = figure.subfigures(2, 1, height_ratios=[len(changes) + 2, len(sounds) + 2.5])
    rates, counts = above.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    draw_error_rates(rates, changes)
    draw_mistakes(counts, changes)
    draw_guards(below.subplots(), figures["guards"])
    save_figure(figure, path, 110)


def draw_error_rates(axes, changes):
    """Error rate and its 95 % interval under each change; where it is within 0.10 of the plain one is shaded.

    Of several classes it is the average, and each has a mark of its own beside it.
    """
    labels = list(changes[0].get("classes", {}))
    places = _rows(axes, changes)
    reference = changes[0]["error_rate"]
    if reference is not None:
        span = reference - WITHIN, reference + WITHIN
        axes.axvspan(*span, color=TRUTH, alpha=0.15, linewidth=0, label=f"plain ± {WITHIN:.2f}")
        axes.axvline(reference, color=TRUTH, linewidth=1)
    for place, change in zip(places, changes, strict=True):
        if change["error_rate"] is not None:
            axes.plot(change["error_rate_95"], [place, place], color="k", linewidth=1.4)
            axes.plot(change["error_rate"], place, "o", color="k", markersize=5)
            text = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": "small"}
            axes.annotate(f"{change['error_rate']:.2f}", (1, place), xycoords=("axes fraction", "data"), **text)
    for c, (label, below) in enumerate(zip(labels, np.linspace(0.1, 0.4, len(labels)), strict=True)):
        rates = np.array([change["classes"][label] for change in changes], float)
        mark = {"marker": CLASS_MARKS[c % len(CLASS_MARKS)], "color": CLASS_COLOURS[c % len(CLASS_COLOURS)]}
        mark |= {"markersize": 4, "linestyle": "", "label": plain(label), "clip_on": False}
        axes.plot(rates, places + below, **mark, zorder=1)
    average = "average error rate" if labels else "error rate"
    axes.set(xlabel=f"{average}, 95 % interval (lower is better)")
    axes.set_xlim(left=0.0)
    axes.grid(axis="x", alpha=0.3)
    if reference is not None:
        axes.legend(**LEGEND, **({"ncols": min(4, 1 + len(labels)), "columnspacing": 1.0} if labels else {}))


def draw_mistakes(axes, changes):
    """What the errors are: a bar for each change, as long as there are mixtures with a mistake.

    Misplaced is what was found, but more than 0.5 s from the onset; it counts as two errors.
    """
    places = _rows(axes, changes)
    left = np.zeros(len(changes))
    for field, name, colour in MISTAKES:
        widths = np.array([change[field] for change in changes])
        axes.barh(places, widths, left=left, color=colour, height=0.7, label=name)
        left += widths
    axes.set(
        xlabel="mistakes of all classes" if "classes" in changes[0] else "mixtures",
        xlim=(0, max(1.0, 1.05 * left.max())),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(**LEGEND, ncols=3, columnspacing=1.0, handlelength=1.2)


def draw_guards(axes, guards):
    """Draw p of each noise at each sample rate, and the bar at 0.5 below which it is to stay."""
    sounds = list(dict.fromkeys(guard["sound"] for guard in guards))
    axes.axvspan(0.5, 1.05, color=FOUND, alpha=0.15, linewidth=0)
    for rate_hz, marker, shift in zip(GUARD_RATES_HZ, GUARD_MARKS, (-0.2, 0.0, 0.2), strict=True):
        shown = [guard for guard in guards if guard["rate_hz"] == rate_hz]
        p = [guard["probability"] for guard in shown]
        places = [sounds.index(guard["sound"]) + shift for guard in shown]
        axes.plot(p, places, marker, color="k", markersize=5, linestyle="", label=f"{rate_hz / 1000:g} kHz")
    axes.set_yticks(range(len(sounds)), map(plain, sounds))
    highest = ", of the class with the highest" if guards and "classes" in guards[0] else ""
    axes.set(
        ylim=(len(sounds) - 0.5, -0.5),
        xlim=(-0.02, 1.02),
        xlabel=f"p of 30 s of noise or silence{highest}, below 0.5 where all is well",
    )
    axes.grid(axis="x", alpha=0.3)
    axes.legend(title="sample rate", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _rows(axes, changes):
    """One row for each change, the first at the top; their places."""
    places = np.arange(len(changes))
    axes.set_yticks(places, [plain(change["change"]) for change in changes])
    axes.set_ylim(len(changes) - 0.4, -0.6)
    return places
