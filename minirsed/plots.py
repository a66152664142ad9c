"""Pictures of a run: its curves by epoch, and what the detector does on a few clips."""

import numpy as np

from minirsed.features import frame_to_seconds

TRUTH, FOUND = "#1b9e77", "#d95f02"  # told apart by colour-blind eyes and in grey print (ColorBrewer Dark2)


def _figure(*args, **kwargs):
    """A figure without a display, whatever the user's backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(*args, **kwargs)
    FigureCanvasAgg(figure)
    return figure


def curves(history, path, title):
    """Losses and development ER and F1 by epoch, the best epoch marked; written as PNG.

    Parameters
    ----------
    history : list of dict
        Rows of `metrics.csv`; an undefined score is None.
    path : str or Path
    title : str
    """
    epochs = [row["epoch"] for row in history]
    column = {name: np.array([row[name] for row in history], float) for name in history[0]}  # None becomes NaN
    figure = _figure(figsize=(9, 3.6), layout="constrained")
    figure.suptitle(title)
    loss, error = figure.subplots(1, 2)
    for name, style in (
        ("train_loss", "-"),
        ("train_utterance_loss", ":"),
        ("train_frame_loss", "--"),
        ("dev_loss", "-"),
    ):
        loss.plot(
            epochs, column[name], style, color="k" if name == "dev_loss" else "#7570b3", label=name.replace("_", " ")
        )
    loss.set(xlabel="epoch", ylabel="loss per clip (nats)", ylim=(0, None))
    loss.legend()
    error.plot(epochs, column["dev_error_rate"], color=FOUND, label="error rate (lower is better)")
    error.plot(epochs, column["dev_f1"], color=TRUTH, label="F1 (higher is better)")
    if np.isfinite(column["dev_error_rate"]).any():
        best = int(np.nanargmin(column["dev_error_rate"]))
        error.plot(epochs[best], column["dev_error_rate"][best], "o", color=FOUND)
        error.annotate(
            f"{column['dev_error_rate'][best]:.2f}",
            (epochs[best], column["dev_error_rate"][best]),
            (0, 8),
            textcoords="offset points",
            ha="center",
        )
    error.set(xlabel="epoch", ylabel="development set, onset within 0.5 s", ylim=(0, None))
    error.legend()
    for axes in (loss, error):
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(path, dpi=110)


def examples(store, evaluation, path, title, rows):
    """Some clips one above the other: log-mel, p_t, the true and the detected event; written as PNG.

    Parameters
    ----------
    store : minirsed.dataset.FeatureStore
    evaluation : minirsed.evaluation.Evaluation
    path : str or Path
    title : str
    rows : list of int
        Clips of the store to draw.
    """
    figure = _figure(figsize=(11, 2.9 * len(rows)), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2 * len(rows), 1, sharex=True, height_ratios=[2, 1] * len(rows), squeeze=False)[:, 0]
    for row, mel, probability in zip(rows, axes[0::2], axes[1::2], strict=True):
        found = evaluation.detections[row]
        features = np.asarray(store.features[row], np.float32)
        seconds = frame_to_seconds(np.arange(len(features)))
        low, high = np.percentile(features, (2, 99.8))
        mel.imshow(
            features.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=low,
            vmax=high,
            extent=(seconds[0], seconds[-1], 0, features.shape[1]),
        )
        mel.set(ylabel="mel band", title=caption(store, evaluation, row))
        mel.title.set_fontsize("medium")
        probability.plot(seconds, found.frame_probabilities, color="k", linewidth=1)
        probability.set(ylabel="$p_t$", ylim=(-0.02, 1.02), xlim=(seconds[0], seconds[-1]))
        if store.has_event[row]:
            span = store.onset_s[row], store.offset_s[row]
            probability.axvspan(*span, color=TRUTH, alpha=0.35, label="true event")
            for edge in span:
                mel.axvline(edge, color="w", linewidth=0.8, linestyle="--")
        if found.onset_s is not None:
            probability.plot((found.onset_s, found.offset_s), (0.5, 0.5), color=FOUND, linewidth=5, label="detected")
        if probability.get_legend_handles_labels()[0]:
            probability.legend(loc="upper right", fontsize="small")
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=90)


def outcome(store, evaluation, row):
    """One clip in a word: hit, miss, wrong place, false alarm or quiet (rightly nothing)."""
    name = store.recipes[row].name
    truth, found = evaluation.reference[name], evaluation.estimated[name]
    if not truth:
        return "false alarm" if found else "quiet"
    if not found:
        return "miss"
    return "hit" if abs(truth[0][0] - found[0][0]) <= 0.5 else "wrong place"


def caption(store, evaluation, row):
    """Scene, EBR, p and outcome of a clip, as a line."""
    recipe = store.recipes[row]
    event = f"{recipe.label} at {recipe.ebr_db:+.0f} dB" if recipe.has_event else "no event"
    p = evaluation.detections[row].probability
    return f"{recipe.scene}, {event}:  p = {p:.3f}  →  {outcome(store, evaluation, row)}"


def telling_clips(store, evaluation, n=4):
    """Clips that show what a detector does: its faintest hit, a rightly quiet clip, its worst mistake, another hit.

    Kinds that do not occur are made up for by further clips in order.
    """
    kinds = [outcome(store, evaluation, row) for row in range(len(store))]
    hits = sorted((row for row, kind in enumerate(kinds) if kind == "hit"), key=lambda row: store.ebr_db[row])
    quiet = [row for row, kind in enumerate(kinds) if kind == "quiet"]
    mistakes = [row for row, kind in enumerate(kinds) if kind not in ("hit", "quiet")]
    mistakes.sort(key=lambda row: -evaluation.loss[row])
    wanted = hits[:1] + quiet[:1] + hits[-1:] + mistakes[:1]
    return sorted(list(dict.fromkeys(wanted + mistakes + hits + quiet))[:n])
