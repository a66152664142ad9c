"""Pictures of what was found in a recording: log-mel, p_t, events.

Memory is bounded, whatever the length: the overview pools features while they pass by, and the neighbourhood of each
event is read from the file again.
"""

import numpy as np

from data_tools.audio import read_audio
from minirsed.analysis.plots import FOUND, draw_log_mel, new_figure, plain
from minirsed.detect.formats import clock
from minirsed.features import frame_to_seconds, lfbe, seconds_to_frame
from minirsed.recordings.several import by_class, labelled_events
from minirsed.several.detector import views_of

N_COLUMNS = 1500  # about as many as the picture has pixels
DETAIL_S = 60.0  # longer recordings also have their events drawn one by one
MARGIN_S = 3.0  # of sound on either side of an event
MOST_DETAILS = 12
TICKS_S = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 24 * 3600)


class Overview:
    """The largest value of each band, over more and more frames as a recording grows: at most 2 `N_COLUMNS` columns."""

    def __init__(self):
        self.columns, self.n_pooled, self.rest = None, 1, None  # n_pooled: frames in a column; rest: fewer than that

    def push(self, features):
        """Take the next (T, D) features."""
        if self.rest is not None:
            features = np.concatenate([self.rest, features])
        new, self.rest = self._pool(features, self.n_pooled)
        self.columns = new if self.columns is None else np.concatenate([self.columns, new])
        while len(self.columns) >= 2 * N_COLUMNS:
            self.columns, odd = self._pool(self.columns, 2)
            self.rest = np.concatenate([odd.repeat(self.n_pooled, axis=0), self.rest])
            self.n_pooled *= 2

    def image(self):
        """(columns, D), the last column of what frames there are."""
        return np.concatenate([self.columns, *([self.rest.max(axis=0, keepdims=True)] if len(self.rest) else [])])

    @staticmethod
    def _pool(frames, n):
        whole = len(frames) - len(frames) % n
        return frames[:whole].reshape(-1, n, frames.shape[1]).max(axis=1), frames[whole:]


def draw(file, detector, path, name, recording, overview):
    """Draw a recording as PNG.

    Parameters
    ----------
    file : path or binary file
    detector : minirsed.detector.Detector
        Of several classes, each has its own row of p_t.
    path : Path
        The sound file, from which the neighbourhood of events is read once more.
    name : str
        For the title.
    recording : minirsed.recordings.files.Recording or minirsed.recordings.several.SeveralRecording
    overview : Overview
        Of its features.
    """
    views, own = views_of(detector), by_class(detector, recording)
    everything, events = labelled_events(detector, recording), []
    if recording.duration_s > DETAIL_S:
        surest = sorted(everything, key=lambda pair: -pair[1].probability)[:MOST_DETAILS]
        events = sorted(surest, key=lambda pair: pair[1])
    n_columns = min(3, len(events)) or 1
    n_rows = -(-len(events) // n_columns)
    height = 4 + 1.3 * (len(views) - 1)
    figure = new_figure(figsize=(14, height + 2.6 * n_rows), layout="constrained")
    shown = f", the {MOST_DETAILS} surest below" if len(everything) > len(events) > 0 else ""
    figure.suptitle(plain(f"{name}: {', '.join(_counted(each.label, own[each.label]) for each in views)}{shown}"))
    parts = figure.subfigures(2, 1, height_ratios=[height, 2.6 * n_rows]) if events else [figure]
    mel, *rows = parts[0].subplots(1 + len(views), 1, sharex=True, height_ratios=[2] + [1] * len(views))
    n_frames = len(own[views[0].label].frame_probabilities)
    edges = _draw_mel(mel, overview.image(), everything, 0, n_frames)
    for row, view in zip(rows, views, strict=True):
        _draw_probability(row, own[view.label], view, 0, n_frames, edges, has_name=len(views) > 1)
        row.label_outer()
    if not events:
        return figure.savefig(file, dpi=90, format="png")
    axes = parts[1].subplots(2 * n_rows, n_columns, height_ratios=[2, 1] * n_rows, squeeze=False)
    places = [(axes[i, j], axes[i + 1, j]) for i in range(0, 2 * n_rows, 2) for j in range(n_columns)]
    for (label, event), (mel, probability) in zip(events, places, strict=False):
        start, stop = neighbourhood(event, n_frames)
        seconds = frame_to_seconds(np.array([start, stop])) - frame_to_seconds(0)
        y = read_audio(path, start_s=seconds[0], duration_s=seconds[1] - seconds[0])
        features, view = lfbe(y, **detector.features), views[[each.label for each in views].index(label)]
        edges = _draw_mel(mel, features, labelled_events(view, own[label]), start, stop)
        _draw_probability(probability, own[label], view, start, stop, edges, n_ticks=18 // n_columns)
        of_class = f"{label}, " if len(views) > 1 else ""
        title = f"{clock(event.onset_s)}, {of_class}p = {event.probability:.2f}"
        mel.set_title(plain(title), fontsize="medium", loc="left")
    for unused in (axes for pair in places[len(events) :] for axes in pair):
        unused.set_visible(False)
    figure.savefig(file, dpi=90, format="png")


def neighbourhood(event, n_frames):
    """Frames [start, stop) of an event with `MARGIN_S` on either side, as far as the recording's ends allow."""
    start, last = seconds_to_frame(np.array([event.onset_s - MARGIN_S, event.offset_s + MARGIN_S]))
    return int(start), int(min(n_frames, last + 1))


def _counted(label, recording):
    """How many events there are, for a title."""
    n_events = len(recording.events)
    return f"{n_events or 'no'} {label} event{'s' if n_events > 1 else ''}"


def _draw_mel(mel, image, events, start, stop):
    """Frames [start, stop) of a recording, an image of any width and the edges of events; returns its own, seconds."""
    edges = frame_to_seconds(np.array([start - 0.5, stop - 0.5]))
    draw_log_mel(mel, image, *edges)
    mel.tick_params(labelbottom=False)
    for _, event in events:
        if event.offset_s > edges[0] and event.onset_s < edges[1]:
            for edge in event[:2]:
                mel.axvline(edge, color="w", linewidth=0.7, linestyle="--")
    return edges


def _draw_probability(probability, recording, detector, start, stop, edges, has_name=False, n_ticks=12):
    """p_t of one class in those frames, and its events; `n_ticks` at most where they are hours, minutes and seconds."""
    p_t = recording.frame_probabilities[start:stop]
    pooled = max(1, len(p_t) // N_COLUMNS)
    starts = np.arange(0, len(p_t), pooled)
    probability.plot(frame_to_seconds(start + starts), np.maximum.reduceat(p_t, starts), color="k", linewidth=1)
    probability.axhline(detector.thres1, color="0.6", linewidth=0.7, linestyle=":")
    for event in recording.events:
        if event.offset_s > edges[0] and event.onset_s < edges[1]:
            probability.axvspan(event.onset_s, event.offset_s, color=FOUND, alpha=0.35)
            probability.plot((event.onset_s, event.offset_s), (1.06, 1.06), color=FOUND, linewidth=4)
    name = plain(detector.label) + "\n" if has_name else ""
    probability.set(ylabel=f"{name}$p_t$", ylim=(-0.02, 1.12), xlim=edges)
    if edges[1] <= 120:
        probability.set_xlabel("seconds")
        return
    step = next((step for step in TICKS_S if (edges[1] - edges[0]) / step <= n_ticks), TICKS_S[-1])
    probability.set_xticks(np.arange(np.ceil(edges[0] / step) * step, edges[1], step))
    probability.xaxis.set_major_formatter(lambda seconds, position: clock(seconds))
