"""Pictures of alarms: what a threshold trades, and when they came."""

import numpy as np

from minirsed.alarms.poisson import rate_text
from minirsed.analysis.plots import FOUND, TRUTH, new_figure, plain, save_figure

MARKS = (0.5, 0.9, 0.99, 0.999, 0.9999)  # thres0 beside the curve
MOST_EDGES = 100  # of recordings, to be drawn as lines
VIOLET = "#7570b3"


def picture(figures, path):
    """Curve and hours as one PNG; `figures` as of `minirsed.alarms.files.figures_of`."""
    figure = new_figure(figsize=(9, 8), layout="constrained")
    figure.suptitle(plain(f"{figures['label']}, {figures['in_words']}"))
    above, below = figure.subplots(2, 1)
    draw_curve(above, figures)
    draw_hours(below, figures)
    save_figure(figure, path, 110)


def draw_curve(axes, figures):
    """Misses, or where there is no event thres0, against false alarms an hour; the detector's own point is marked."""
    curve, hours, n_events = figures["curve"], figures["hours"], figures["n_events"]
    rates = np.array(curve["n_false_alarms"]) / hours
    if n_events:
        heights = 100 * (1 - np.array(curve["n_hits"]) / n_events)
        own = 100 * figures["n_misses"] / n_events
        axes.set(ylabel=f"events missed, % ({n_events} events)", ylim=(-3, 103))
    else:
        heights, own = np.array(curve["thres0"]), figures["thres0"]
        axes.set(ylabel="thres0 (there are no events)", ylim=(-0.03, 1.03))
    axes.plot(rates, heights, color="k", linewidth=1.6, drawstyle="steps-post")
    places = {}  # by place, the lowest threshold there
    for mark in MARKS if n_events else ():
        i = np.searchsorted(curve["thres0"], mark, side="right") - 1
        if places.setdefault((rates[i], heights[i]), mark) != mark:
            continue
        axes.plot(rates[i], heights[i], ".", color="k")
        axes.annotate(f"{mark:g}", (rates[i], heights[i]), (4, 4), textcoords="offset points", fontsize="small")
    at, (low, high) = figures["false_alarms_per_hour"], figures["false_alarms_per_hour_95"]
    label = f"this detector: {rate_text(at)} ({rate_text(low)} … {rate_text(high)})"
    axes.plot((low, high), (own, own), color=FOUND, linewidth=2)
    axes.plot(at, own, "o", markersize=9, color=FOUND, label=label, zorder=3)
    if figures["chosen"]:
        promise = figures["chosen"]["alarms_per_hour"]
        axes.axvline(promise, color=TRUTH, linestyle="--", label=f"the promise: {rate_text(promise)}")
    one = 1 / hours
    axes.set_xscale("symlog", linthresh=one, linscale=0.4)
    axes.set(xlabel=f"false alarms an hour (in {hours:.2f} h; linear below a single one)", xlim=(-0.3 * one, None))
    ticks = [step for step in (digit * 10.0**power for power in range(-3, 5) for digit in (1, 3)) if step >= one]
    axes.xaxis.set_ticks([0.0, *ticks], ["0", *(f"{tick:g}" for tick in ticks)])
    axes.xaxis.set_ticks([], minor=True)
    axes.set_xlim(-0.3 * one, 1.5 * max(rates.max(), high, one))
    axes.grid(alpha=0.3)
    axes.legend(title="numbers on the curve: thres0" if n_events else None, title_fontsize="small")


def draw_hours(axes, figures):
    """False and misplaced alarms of each hour upwards, misses downwards; lines where a recording begins.

    Of less than three hours, those of each recording.
    """
    rows, each = figures["by_hour"], "hour"
    if len(rows) < 3:
        rows, each = figures["by_recording"], "recording"
    widths = np.array([row["hours"] for row in rows])
    left = np.cumsum(widths) - widths
    n_false, n_misplaced, n_misses = (
        np.array([row[name] for row in rows]) for name in ("n_false_alarms", "n_misplaced", "n_misses")
    )
    bars = {"align": "edge", "edgecolor": "w", "linewidth": 0.5}
    axes.bar(left, n_false, widths, color=FOUND, label="false alarms", **bars)
    axes.bar(left, n_misplaced, widths, bottom=n_false, color=VIOLET, label="misplaced alarms", **bars)
    axes.bar(left, -n_misses, widths, color=TRUTH, label="missed events (downwards)", **bars)
    edges = np.cumsum([row["hours"] for row in figures["by_recording"]])[:-1]
    for edge in edges if len(edges) <= MOST_EDGES else ():
        axes.axvline(edge, color="k", linewidth=0.4, linestyle=":")
    axes.axhline(0, color="k", linewidth=0.8)
    most = max(1, n_misses.max(), (n_false + n_misplaced).max())
    axes.set(xlabel="hour of sound, the recordings one after the other", ylabel=f"in each {each}", ylim=(-most, most))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlim(0, left[-1] + widths[-1])
    axes.legend()
