"""Detectors trained on frames alone, the approach that Sec. 1 of the paper argues against (`--head frames`).

Data flow: any encoder → **frames** → losses, in the place of `minirsed.attention`.

Frames are classified, nothing else is learnt, and a rule makes the decision for the clip. The rule is that of the DCASE
2017 baseline: a median filter over about half a second, after which any frame above the threshold is an event. A median
commutes with thresholds, so it may be taken of the probabilities:

    e_t  = wᵀ h_t + b,   p_t = σ(e_t)      L = L_frame over all frames of all clips (`minirsed.model.losses`)
    p    = max_t median(p_{t−11} … p_{t+11})

and `minirsed.decode` sees the smoothed p_t. The head has a bias here: without an utterance loss nothing else sets the
level.
"""

import numpy as np

SMOOTHING_FRAMES = 23  # 0.53 s; the baseline's 27 frames of 20 ms are 0.54 s


def frames_forward(w, b, h):
    """Frame logits, and the clip logit that the rule makes of them.

    Parameters
    ----------
    w : (K,) ndarray
    b : (1,) ndarray
    h : (B, T, K) ndarray, dtype of `w`, T ≥ 1

    Returns
    -------
    frame_logits : (B, T) ndarray, not smoothed
    clip_logit : (B,) ndarray
        Largest smoothed frame logit. No gradient goes through it.
    cache : tuple
    """
    frame_logits = h @ w + b
    return frame_logits, smooth(frame_logits, -np.inf).max(axis=1), (w, h)


def frames_backward(dframe_logits, cache):
    """Differentiate e_t = wᵀh_t + b: dh_t = de_t w, dw = Σ_{B,T} de_t h_t, db = Σ_{B,T} de_t."""
    w, h = cache
    dw = dframe_logits.reshape(-1) @ h.reshape(-1, h.shape[2])
    return dframe_logits[:, :, None] * w, dw, dframe_logits.sum(keepdims=True)[0]


def smooth(values, outside=0.0):
    """Running median over `SMOOTHING_FRAMES` of (…, T), with `outside` beyond the edges."""
    half = SMOOTHING_FRAMES // 2
    edges = [(0, 0)] * (values.ndim - 1) + [(half, half)]
    padded = np.pad(values, edges, constant_values=values.dtype.type(outside))
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHING_FRAMES, axis=-1)
    return np.partition(windows, half, axis=-1)[..., half]
