"""Pictures of a run: its curves by epoch, what its thresholds trade, and what the detector does on a few clips."""

from pathlib import Path

import numpy as np

from data_tools.files import atomic_write
from minirsed.analysis.breakdown import MISTAKES, mixed, outcome
from minirsed.features import SAMPLE_RATE, frame_to_seconds, hz_to_mel

OTHER = "0.5"  # of events of other classes
TRUTH, FOUND = "#1b9e77", "#d95f02"  # told apart by colour-blind eyes and in grey print (ColorBrewer Dark2)
TICKS_HZ = (500, 1000, 2000, 4000, 8000, 16000)
MARKED_THRES0 = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)  # on a DET curve
MARK_DISTANCE = 0.25  # inches between two of them, at least
CLASS_STYLES = (":", "--", "-.")  # of lines of one colour
POINT_MARKS = (
    {"marker": "o", "markersize": 14, "color": FOUND},
    {"marker": "D", "markersize": 7, "color": TRUTH},
)


def new_figure(*args, **kwargs):
    """A figure without a display, whatever the user's backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(*args, **kwargs)
    FigureCanvasAgg(figure)
    return figure


def plain(text):
    """Text from a user or a file name, with nothing in it that matplotlib would take for mathematics."""
    return text.replace("$", r"\$")


def save_figure(figure, path, dpi):
    """Write a picture whole or not at all; its format is that of the path's ending."""
    with atomic_write(path) as file:
        figure.savefig(file, dpi=dpi, format=Path(path).suffix[1:])


def curves(history, path, title, kept):
    """Losses and development ER and F1 by epoch, the epoch kept marked; written as PNG.

    Parameters
    ----------
    history : list of dict
        Rows of `metrics.csv`; an undefined score is None.
    path : str or Path
    title : str
    kept : int
        Number of the epoch whose detector is in `best.npz`; 0: none, so nothing is marked.
    """
    figure = new_figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(plain(title))
    loss, error = figure.subplots(1, 2)
    draw_losses(loss, history)
    draw_dev_scores(error, history, kept)
    save_figure(figure, path, 110)


def draw_losses(axes, history):
    """Training and development losses by epoch; the parts of the former where it has two."""
    epochs, column = _columns(history)
    parts = ("train_utterance_loss", ":", "… its clip part"), ("train_frame_loss", "--", "… its frame part")
    has_parts = (column["train_utterance_loss"] > 0).any()
    for name, style, label in (
        ("train_loss", "-", "training"),
        *(parts if has_parts else ()),
        ("dev_loss", "-", "development"),
    ):
        colour = "k" if name == "dev_loss" else "#7570b3"
        axes.plot(epochs, column[name], style, color=colour, label=label)
    axes.set(xlabel="epoch", ylabel="loss per clip (nats)", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def draw_dev_scores(axes, history, kept):
    """Development ER and F1 by epoch, a dot at the epoch `kept`; of several classes the average, and the ER of each."""
    epochs, column = _columns(history)
    own = [name for name in column if name.startswith("dev_error_rate/")]
    average = "average " if own else ""
    axes.plot(epochs, column["dev_error_rate"], color=FOUND, label=f"{average}error rate (lower is better)")
    for place, name in enumerate(own):
        style = CLASS_STYLES[place % len(CLASS_STYLES)]
        axes.plot(epochs, column[name], style, color=FOUND, linewidth=0.9, label=plain(f"… {name.partition('/')[2]}"))
    axes.plot(epochs, column["dev_f1"], color=TRUTH, label=f"{average}F1 (higher is better)")
    for at in zip(epochs, column["dev_error_rate"], strict=True):
        if at[0] == kept and np.isfinite(at[1]):
            axes.plot(*at, "o", color=FOUND)
            axes.annotate(f"{at[1]:.2f}", at, (0, 8), textcoords="offset points", ha="center")
    axes.set(xlabel="epoch", ylabel="development set, onset within 0.5 s", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize="small" if own else None)


def _columns(history):
    """Epoch numbers, and each column of `metrics.csv` with None as NaN."""
    column = {name: np.array([row[name] for row in history], float) for name in history[0]}
    return [row["epoch"] for row in history], column


def examples(store, evaluation, path, title, rows):
    """Some clips one above the other: log-mel, p_t, the true and the detected event; written as PNG.

    Parameters
    ----------
    store : minirsed.store.dataset.FeatureStore
    evaluation : minirsed.analysis.evaluation.Evaluation
    path : str or Path
    title : str
    rows : list of int
        Clips of the store to draw.
    """
    figure = new_figure(figsize=(11, 2.9 * len(rows)), layout="constrained")
    figure.suptitle(plain(title))
    axes = figure.subplots(2 * len(rows), 1, sharex=True, height_ratios=[2, 1] * len(rows), squeeze=False)[:, 0]
    for row, mel, probability in zip(rows, axes[0::2], axes[1::2], strict=True):
        draw_clip(mel, probability, store, evaluation, row)
        mel.set_title(plain(caption(store, evaluation, row)), fontsize="medium")
        if probability.get_legend_handles_labels()[0]:
            probability.legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("seconds")
    save_figure(figure, path, 90)


def mistakes(store, evaluation, path, title, rows):
    """Wrong clips in two columns, the worst first, drawn as in `examples` and described in words; written as PNG.

    Parameters
    ----------
    store, evaluation, path, title : as for `examples`
    rows : list of int
        Clips of the store, in the order of `minirsed.analysis.breakdown.mistakes`.
    """
    n_columns = min(2, len(rows))
    n_rows = -(-len(rows) // n_columns)
    figure = new_figure(figsize=(8.5 * n_columns, 2.6 * n_rows + 1.0), layout="constrained")
    figure.suptitle(f"{plain(title)}\np: probability that the clip holds the event; $p_t$: that frame t does")
    axes = figure.subplots(2 * n_rows, n_columns, sharex=True, height_ratios=[2, 1] * n_rows, squeeze=False)
    pairs = [(axes[i, j], axes[i + 1, j]) for i in range(0, 2 * n_rows, 2) for j in range(n_columns)]
    legend = {}
    for number, (row, (mel, probability)) in enumerate(zip(rows, pairs, strict=False), 1):
        draw_clip(mel, probability, store, evaluation, row)
        mel.set_title(plain(f"{number}. {mistake_caption(store, evaluation, row)}"), fontsize="medium", loc="left")
        handles, labels = probability.get_legend_handles_labels()
        legend |= dict(zip(labels, handles, strict=True))
        probability.set_xlabel("seconds" if number > len(rows) - n_columns else None)
        probability.tick_params(labelbottom=number > len(rows) - n_columns)
    for unused in (place for pair in pairs[len(rows) :] for place in pair):
        unused.set_visible(False)
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=len(legend))
    save_figure(figure, path, 90)


def draw_clip(mel, probability, store, evaluation, row):
    """One clip on two axes: log-mel with the true event's edges, p_t with the true and the detected event.

    Events of other classes, where a store is seen as one of several, are grey and have their names.
    """
    found = evaluation.detections[row]
    features = np.asarray(store.features[row], np.float32)
    seconds = frame_to_seconds(np.arange(len(features)))
    draw_log_mel(mel, features, seconds[0], seconds[-1])
    probability.plot(seconds, found.frame_probabilities, color="k", linewidth=1)
    probability.set(ylabel="$p_t$", ylim=(-0.02, 1.02), xlim=(seconds[0], seconds[-1]))
    if store.has_event[row]:
        span = store.onset_s[row], store.offset_s[row]
        probability.axvspan(*span, color=TRUTH, alpha=0.35, label="true event")
        for edge in span:
            mel.axvline(edge, color="w", linewidth=0.8, linestyle="--")
    for event in mixed(store)[row].events:
        if event not in store.recipes[row].events:
            probability.axvspan(event.onset_s, event.offset_s, color=OTHER, alpha=0.25, linewidth=0)
            probability.text(event.onset_s, 0.98, plain(event.label), va="top", fontsize="x-small", clip_on=True)
    if found.onset_s is not None:
        probability.plot((found.onset_s, found.offset_s), (0.5, 0.5), color=FOUND, linewidth=5, label="detected")


def draw_log_mel(axes, features, first_s, last_s):
    """Features (T, D) as an image from `first_s` to `last_s` seconds, the faintest 2 % black."""
    low, high = np.percentile(features, (2, 99.8))
    extent = (first_s, last_s, 0, features.shape[1])
    axes.imshow(features.T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
    axes.set_yticks(height_of(TICKS_HZ, features.shape[1]), [f"{hz / 1000:g}" for hz in TICKS_HZ])
    axes.set(ylabel="kHz (mel scale)", ylim=(0, features.shape[1]))


def height_of(frequency_hz, n_mels):
    """Where a frequency is in a picture of `n_mels` bands, each one high: the centre of band m at m + ½."""
    centre_of_first = hz_to_mel(SAMPLE_RATE / 2) / (n_mels + 1)  # and the distance of the centres, in mel
    return hz_to_mel(frequency_hz) / centre_of_first - 0.5


def caption(store, evaluation, row):
    """Scene, EBR, p and outcome of a clip, as a line."""
    recipe = store.recipes[row]
    p = evaluation.detections[row].probability
    return f"{_scene(recipe)}, {_event(recipe)}:  p = {p:.3f}  →  {outcome(store, evaluation, row)}"


def mistake_caption(store, evaluation, row):
    """What went wrong with a clip, as a line."""
    recipe, found = store.recipes[row], evaluation.detections[row]
    kind = outcome(store, evaluation, row)
    if kind == "wrong place":
        late_s = found.onset_s - store.onset_s[row]
        kind += f", {abs(late_s):.1f} s too {'late' if late_s > 0 else 'early'}"
    return f"{kind}: p = {found.probability:.3f}, {_event(recipe)}, {_scene(recipe)}"


def _event(recipe):
    if not recipe.has_event:
        return "no event"
    return recipe.label + (f" at {_ratio(recipe.ebr_db)} dB" if np.isfinite(recipe.ebr_db) else "")


def _ratio(ebr_db):
    return f"{ebr_db:+.0f}" if round(ebr_db) else "0"


def _scene(recipe):
    return recipe.scene or "unknown scene"


def telling_clips(store, evaluation, n=4):
    """Clips that show what a detector does: its faintest hit, a correct rejection, its worst mistake, another hit.

    Kinds that do not occur are made up for by further clips in order.
    """
    kinds = [outcome(store, evaluation, row) for row in range(len(store))]
    hits = sorted((row for row, kind in enumerate(kinds) if kind == "hit"), key=lambda row: store.ebr_db[row])
    rejected = [row for row, kind in enumerate(kinds) if kind == "correct rejection"]
    mistakes = [row for row, kind in enumerate(kinds) if kind in MISTAKES]
    mistakes.sort(key=lambda row: -evaluation.loss[row])
    wanted = hits[:1] + rejected[:1] + hits[-1:] + mistakes[:1]
    return sorted(list(dict.fromkeys(wanted + mistakes + hits + rejected))[:n])


def det(curves, points, path, title):
    """Detection error trade-off of the decision by clip: misses against false alarms; written as PNG.

    Both axes are logarithmic down to the rate of a single clip and linear from there to 0, which a finite set of clips
    can reach.

    Parameters
    ----------
    curves : list of (str, minirsed.analysis.thresholds.DetCurve)
        One or two, of the same clips, of which some have an event and some have none.
    points : list of (str, minirsed.analysis.thresholds.ClipRates)
        Operating points to mark on the first curve, one or two.
    path : str or Path
    title : str
    """
    figure = new_figure(figsize=(7, 5.2), layout="constrained")
    axes = figure.subplots()
    draw_det(axes, curves, points)
    figure.suptitle(f"{plain(title)}\ndecision by clip, p > thres0; the lower left is better", fontsize="large")
    save_figure(figure, path, 110)


def draw_det(axes, curves, points):
    """What `det` shows, on axes."""
    for (name, curve), colour in zip(curves, ("k", "#7570b3"), strict=False):
        axes.plot(100 * curve.false_alarm_rate, 100 * curve.miss_rate, color=colour, linewidth=1.6, label=plain(name))
    for (name, rates), mark in zip(points, POINT_MARKS, strict=False):
        at = 100 * rates.false_alarm_rate, 100 * rates.miss_rate
        label = plain(f"{name}: {at[0]:.0f} % false alarms, {at[1]:.0f} % missed")
        axes.plot(*at, **mark, linestyle="", label=label, zorder=3)
    curve, rates = curves[0][1], points[0][1]
    one_alarm, one_miss = 100 / rates.n_quiet, 100 / rates.n_events
    for axis, one, set_scale, set_limits in (
        (axes.xaxis, one_alarm, axes.set_xscale, axes.set_xlim),
        (axes.yaxis, one_miss, axes.set_yscale, axes.set_ylim),
    ):
        set_scale("symlog", linthresh=one, linscale=0.4)
        set_limits(-0.3 * one, 120.0)
        steps = [digit * 10.0**power for power in range(-3, 3) for digit in (1, 2, 5)]
        ticks = [0.0, *(step for step in steps if one <= step <= 100)]
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set(
        xlabel=f"false alarms, % of the clips without an event ({rates.n_quiet} clips)",
        ylabel=f"events missed, % ({rates.n_events} clips)",
    )
    axes.grid(which="major", alpha=0.3)
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}  # on the axes it may hide the curve's corner
    axes.legend(title="numbers on the curve: thres0", title_fontsize="small", **place)
    _mark_thresholds(axes, curve)


def _mark_thresholds(axes, curve):
    """Some values of thres0 beside a DET curve, each where it stands; not where two would overlap."""
    taken = []
    for thres0 in MARKED_THRES0:
        i = np.searchsorted(curve.thres0, thres0, side="right") - 1  # clips pass above it
        at = 100 * curve.false_alarm_rate[i], 100 * curve.miss_rate[i]
        place = axes.transData.transform(at)
        if all(np.hypot(*(place - other)) > MARK_DISTANCE * axes.figure.dpi for other in taken):
            taken.append(place)
            axes.plot(*at, ".", color="k", markersize=5)
            inwards = {"xytext": (-4 if at[0] > 80 else 4, -11 if at[1] > 80 else 4), "textcoords": "offset points"}
            axes.annotate(f"{thres0:g}", at, **inwards, ha="right" if at[0] > 80 else "left", fontsize="small")


def threshold_map(grids, points, path, title):
    """Error rate over both thresholds as heat maps side by side; written as PNG.

    Parameters
    ----------
    grids : list of (str, minirsed.analysis.thresholds.ThresholdGrid)
        Name and grid, at least one; all of them with events.
    points : list of (str, (thres0, thres1))
        To mark on every map.
    path : str or Path
    title : str
    """
    figure = new_figure(figsize=(5.6 * len(grids) + 1.0, 5.4), layout="constrained")
    figure.suptitle(plain(title))
    rates = [grid.figure("error_rate") for _, grid in grids]
    low = min(rate.min() for rate in rates)
    high = min(max(rate.max() for rate in rates), max(1.0, 2 * low))
    all_axes = figure.subplots(1, len(grids), squeeze=False)[0]
    for axes, (name, grid), rate in zip(all_axes, grids, rates, strict=True):
        image = axes.pcolormesh(grid.thres1, grid.thres0, rate, cmap="viridis_r", vmin=low, vmax=high)
        for (label, (thres0, thres1)), marker in zip(points, "oD", strict=False):
            i, j = (int(np.abs(values - t).argmin()) for values, t in ((grid.thres0, thres0), (grid.thres1, thres1)))
            axes.plot(
                thres1,
                thres0,
                marker,
                color="w",
                markeredgecolor="k",
                markersize=11,
                label=f"{label}: {rate[i, j]:.2f}",
            )
        axes.set(xlabel="thres1, of the frames", ylabel="thres0, of the clip", title=plain(name), aspect="equal")
        axes.legend(loc="lower left")
    extend = "max" if any(rate.max() > high for rate in rates) else "neither"
    figure.colorbar(image, ax=all_axes, label="error rate (lower is better)", extend=extend)
    save_figure(figure, path, 110)


LINES = (("#1b9e77", "s", "--"), ("#d95f02", "^", "-."), ("#7570b3", "o", "-"), ("k", "D", ":"), ("#e7298a", "v", "-"))


def sweep_figure(panels, path, ylabel, over="α"):
    """Scores of a sweep in the style of the paper's Figure 3: a panel for each event; written as PNG.

    With several α: a line for each system over α, and one across where it has no α. With one: a point for each system,
    the seeds beside it. Bars are one standard deviation over seeds, with a single seed the 95 % interval.

    Parameters
    ----------
    panels : dict
        event → name of a system → list of (α or None, minirsed.sweep.scores.Figure).
    path : str or Path
    ylabel : str
    over : str
        What stands in the place of α.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    alphas = sorted({alpha for lines in panels.values() for points in lines.values() for alpha, _ in points if alpha})
    figure = new_figure(figsize=(1.2 + 3.6 * len(panels), 3.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=False, squeeze=False)[0]
    for axes, (event, lines) in zip(all_axes, panels.items(), strict=True):
        for place, name in enumerate(names):
            if name in lines:
                _draw_system(axes, place, name, lines[name], alphas, _style(place))
        axes.set(title=event, ylim=(0, None))
        if len(alphas) > 1:
            axes.set(xscale="log", xlabel=over)
            axes.set_xticks(alphas, [f"{alpha:g}" for alpha in alphas])
            axes.set_xticks([], minor=True)
        else:
            axes.set_xticks(range(len(names)), names)
            axes.set_xlim(-0.5, len(names) - 0.5)
        axes.grid(axis="y", alpha=0.3)
    all_axes[0].set_ylabel(ylabel)
    if len(alphas) > 1:
        figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    save_figure(figure, path, 110)


def sweep_curves(panels, path, ylabel):
    """Learning curves of a sweep: a panel for each event, a line for each system, its seeds thin; written as PNG.

    Parameters
    ----------
    panels : dict
        event → name of a system → (seeds, epochs) array.
    path : str or Path
    ylabel : str
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    figure = new_figure(figsize=(1.2 + 3.6 * len(panels), 3.9), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=False, squeeze=False)[0]
    handles = {}
    for axes, (event, lines) in zip(all_axes, panels.items(), strict=True):
        for name, values in lines.items():
            style, epochs = _style(names.index(name)), np.arange(1, values.shape[1] + 1)
            if len(values) > 1:
                axes.plot(epochs, values.T, color=style["color"], linewidth=0.6, alpha=0.5)
            (handles[name],) = axes.plot(epochs, values.mean(axis=0), **style, markersize=4)
        axes.set(title=plain(event), xlabel="epoch", ylim=(0, None))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", alpha=0.3)
    all_axes[0].set_ylabel(ylabel)
    figure.legend(handles.values(), map(plain, handles), loc="outside lower center", ncols=min(len(handles), 6))
    save_figure(figure, path, 110)


def _style(place):
    """Colour, marker and line of the system at a place of the table; no two alike among len(LINES)² of them."""
    color, (_, marker, line) = LINES[place % len(LINES)][0], LINES[(place + place // len(LINES)) % len(LINES)]
    return {"color": color, "marker": marker, "linestyle": line}


def _draw_system(axes, place, name, points, alphas, style):
    """One system in one panel."""
    points = sorted(points, key=lambda point: point[0] or 0)
    mean = np.array([figure.mean for _, figure in points])
    bars = np.array([_bar(figure) for _, figure in points]).T  # (2, points)
    if len(alphas) < 2:
        axes.errorbar(place, mean[0], bars[:, :1], **style, capsize=4, markersize=7)
        values = points[0][1].by_seed
        if len(values) > 1:
            axes.plot(np.full(len(values), place + 0.2), values, ".", color=style["color"], alpha=0.6)
    elif points[0][0] is None:
        axes.axhline(mean[0], color=style["color"], linestyle=style["linestyle"], label=name)
    else:
        x = np.array([alpha for alpha, _ in points]) * 1.04 ** (place - 1)  # beside each other
        axes.errorbar(x, mean, bars, **style, capsize=3, markersize=5, label=name)


def _bar(figure):
    """Lengths of an error bar below and above the mean."""
    if np.isfinite(figure.sd):
        return figure.sd, figure.sd
    return max(0.0, figure.mean - figure.low), max(0.0, figure.high - figure.mean)
