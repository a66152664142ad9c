"""Probabilities → one event or none (paper, Sec. 2.1).

Stands between the detector and the scorer: the detector gives `p` for the clip and `p_t` for its frames, the
scorer wants an onset. The clip decides *whether* there is an event, the frames decide *where*; a clip holds
one event at most, as in DCASE 2017 task 2, so of several runs of active frames only the longest counts.
Frames become seconds in `minirsed.features`.
"""

import numpy as np


def decode(probability, frame_probabilities, thres0=0.5, thres1=0.5):
    """Find the frames of the event, if there is one.

    Paper, Sec. 2.1: no event if `p ≤ thres0`; otherwise the longest run of frames with `p_t > thres1`, the
    first of equals. No frame above `thres1` means no event, whatever the clip says.

    Parameters
    ----------
    probability : float in [0, 1]
        `p`, that the clip holds an event.
    frame_probabilities : (T,) array_like in [0, 1]
        `p_t`, that frame t is active. T = 0 gives no event.
    thres0, thres1 : float, default 0.5
        Thresholds for the clip and for its frames. A probability *equal* to a threshold is not above it.

    Returns
    -------
    (onset_frame, offset_frame) : tuple of int, or None
        The event covers frames onset_frame ≤ t < offset_frame.

    Raises
    ------
    ValueError
        A probability is NaN or outside [0, 1], a threshold is NaN, `probability` is not one number or
        `frame_probabilities` not one row of them.

    Notes
    -----
    Built by hand, with a picture, in `tutorials/08_scoring_and_uncertainty.md`.

    Examples
    --------
    >>> decode(0.9, [0.1, 0.7, 0.2, 0.8, 0.9, 0.6, 0.3])
    (3, 6)
    >>> decode(0.4, [0.1, 0.7, 0.2, 0.8, 0.9, 0.6, 0.3]) is None
    True
    """
    probability = _numbers("probability", probability, n_dims=0)
    frame_probabilities = _numbers("frame_probabilities", frame_probabilities, n_dims=1)
    for name, threshold in (("thres0", thres0), ("thres1", thres1)):
        if np.isnan(threshold):
            raise ValueError(f"{name} is NaN; expected a number")

    if probability <= thres0:
        return None
    active = np.zeros(len(frame_probabilities) + 2, np.int8)  # a silent frame at each end closes every run
    active[1:-1] = frame_probabilities > thres1
    edges = np.diff(active)
    onset_frames, offset_frames = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    if len(onset_frames) == 0:
        return None
    longest = np.argmax(offset_frames - onset_frames)  # argmax takes the first of equals
    return int(onset_frames[longest]), int(offset_frames[longest])


def _numbers(name, values, n_dims):
    values = np.asarray(values)
    if values.ndim != n_dims:
        expected = ("one number", "shape (T,)")[n_dims]
        raise ValueError(f"{name} has shape {values.shape}; expected {expected}")
    wrong = ~((values >= 0) & (values <= 1))  # written so that NaN is wrong too
    if wrong.any():
        raise ValueError(f"{name} holds {values[wrong].flat[0]}; expected probabilities in [0, 1]")
    return values
