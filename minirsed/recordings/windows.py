"""Sound of any length → features → windows of 30 s that overlap → one logit for every frame.

Data flow: data_tools.sound_blocks → **windows** → event_finder; `recordings` puts them together.

The model was trained on clips of 30 s, so it is given 30 s at a time, whatever the length of a recording:

    window 0   |───────────────────────|                       starts are STEP_FRAMES apart, so that more than half
    window 1               |───────────────────────|           of each window is in the next one as well
    window 2                     |────────────────────────|    the last one ends with the recording
                                                               (and starts earlier than its turn)
    taken from 00000000000000000111111112222222222222222222

A frame's logit is that of the window in whose middle it lies: seams are halfway through the overlaps, where both
windows still have 7.6 s of sound on either side. So nothing has to be merged: an event across a seam is a run of frames
like any other. Features are those of the recording in one piece, because windows start at frames of it.
"""

import numpy as np

from minirsed.features import HOP, POWER_FLOOR, SAMPLE_RATE, WIN, lfbe, n_frames

WINDOW_FRAMES = n_frames(30 * SAMPLE_RATE)  # 1303: every training clip is 30 s long
STEP_FRAMES = 640
ALIGNMENT = 16  # starts are multiples of 2^4: pairs that `multires` averages are those of the recording in one piece
LONGEST_CLIP = WINDOW_FRAMES + ALIGNMENT - 1  # frames, 30.4 s: a recording of one window (MP3 adds 0.05 s)


class FeatureStream:
    """LFBE of a waveform that comes in pieces: the frames that `lfbe` gives for the whole, as they are complete.

    Parameters
    ----------
    n_mels, floor
        As in `lfbe`.
    """

    def __init__(self, n_mels, floor=POWER_FLOOR):
        self.n_mels, self.floor, self.rest = n_mels, floor, np.zeros(0)
        self.n_samples = self.n_frames = 0  # so far

    def push(self, y):
        """Features (T, n_mels) float32, T ≥ 0, of all frames that end within the (samples,) given so far."""
        self.n_samples += len(y)
        y = np.concatenate([self.rest, y])
        if len(y) < WIN:
            self.rest = y
            return np.empty((0, self.n_mels), np.float32)
        features = lfbe(y, n_mels=self.n_mels, floor=self.floor)
        self.rest = y[len(features) * HOP :].copy()
        self.n_frames += len(features)
        return features

    def finish(self):
        """The one zero-padded frame of a sound shorter than a window, no frame for any other."""
        if self.n_frames or not len(self.rest):
            return np.empty((0, self.n_mels), np.float32)
        self.n_frames = 1
        return lfbe(self.rest, n_mels=self.n_mels, floor=self.floor)

    def of(self, blocks):
        """Features of all blocks of a recording, as they come; no piece is empty."""
        for y in blocks:
            features = self.push(y)
            if len(features):
                yield features
        features = self.finish()
        if len(features):
            yield features


def windows(pieces, n_window=WINDOW_FRAMES, step=STEP_FRAMES, alignment=ALIGNMENT):
    """Cut frames that come in pieces into overlapping windows.

    Parameters
    ----------
    pieces : iterable of (T, D) ndarray
    n_window, step : int
        Length of a window and distance of their starts, 1 ≤ step ≤ n_window.
    alignment : int
        The last window, too, starts at a multiple of it; `step` is one.

    Yields
    ------
    start : int
        First frame: 0, step, 2 step, …; the last window ends with the last frame.
    frames : (n_window, D) ndarray
        Up to `alignment` − 1 more in the last one; fewer if the recording is shorter. Nothing for an empty one.
    """
    kept, first, start = None, 0, 0  # `kept` begins at frame `first`, the next window at `start`
    for piece in pieces:
        kept = piece if kept is None else np.concatenate([kept, piece])
        while first + len(kept) >= start + n_window + alignment:  # else it may be the last one, and longer
            yield start, kept[start - first : start - first + n_window]
            start += step
        last = max(0, first + len(kept) - n_window) // alignment * alignment  # frames before it are not wanted again
        kept, first = kept[last - first :], last
    if kept is not None and len(kept):
        yield first, kept


def stitch(windowed):
    """Take every frame from the window in whose middle it lies.

    Parameters
    ----------
    windowed : iterable of (start, (T,) ndarray)
        Values of the frames of windows, in the order of `windows`.

    Yields
    ------
    (n,) ndarray
        Pieces that, one after another, hold each frame once.
    """
    previous, taken = None, 0  # `taken`: frames that have been handed out
    for start, values in windowed:
        if previous is not None:
            last_start, last_values = previous
            seam = (start + last_start + len(last_values)) // 2
            yield last_values[taken - last_start : seam - last_start]
            taken = seam
        previous = start, values
    if previous is not None:
        yield previous[1][taken - previous[0] :]
