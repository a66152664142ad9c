"""Solutions of the exercises in 05_attention_and_losses.md."""

import numpy as np


def log_sigmoid(x):
    """−softplus(−x); logaddexp(0, y) is ln(1 + e^y), with the larger term taken out."""
    return -np.logaddexp(0, -x)


def softmax_influence(frame_logits):
    """∂a_s/∂e_t = a_s (1[s = t] − a_t), so g_t = a_t + Σ_s e_s a_s (1[s = t] − a_t) = a_t (1 + e_t − e).

    The factor 1 − p_t is missing: a frame that is sure wins yet more attention, so that one frame can end up with all
    of it. With σ the weights of sure frames cannot grow, and a whole event shares the attention evenly.
    """
    a = np.exp(frame_logits - frame_logits.max())
    a /= a.sum()
    return a * (1 + frame_logits - a @ frame_logits)


def two_vectors_backward(dclip, w, v, h):
    """∂L/∂h_t = ė a_t v + ė a_t (1 − p_t)(vᵀh_t − e) w: rank two."""
    p = 1 / (1 + np.exp(-(h @ w)))
    a = p / p.sum()
    values = h @ v
    return dclip * (np.outer(a, v) + np.outer(a * (1 - p) * (values - a @ values), w))


def mended(dframe, dclip, e_t):
    """1 − p_t, not p_t: what is sure already wins no more attention."""
    p_t = 1 / (1 + np.exp(-e_t))
    a_t = p_t / p_t.sum()
    return dframe + dclip * a_t * (1 + (1 - p_t) * (e_t - a_t @ e_t))


def three_clips():
    """Its e is −5; one frame of weight 1 against 1302 of 0.0003, together 0.44; against 1302 of 0.018, together 23."""
    return 0.007, 0.96, 0.03


def both_at_once(w, v):
    """The distance of the origin from the segment between v and w, since min(wᵀh, vᵀh) is that of all its points.

    With two vectors of the same length m at an angle θ, it is m cos(θ/2): 0.71 m for a right angle, and nothing for
    opposite ones. If the foot of the perpendicular is not between the tips, the shorter vector alone decides.
    """
    along = np.clip(v @ (v - w) / ((v - w) @ (v - w)), 0, 1)
    return np.linalg.norm(v + along * (w - v))
