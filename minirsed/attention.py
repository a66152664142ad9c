"""The head: one vector that classifies frames, pools them, and classifies the pool (paper, Sec. 2, Fig. 1).

Data flow: multires → **attention** → losses. With frame states h_t and the event vector w, both K-dimensional:

    e_t = wᵀ h_t                 frame logit
    p_t = σ(e_t)                 P(y_t = 1 | X)
    a_t = p_t / Σ_s p_s          attention: the frames that look like the event
    h   = Σ_t a_t h_t            clip state
    e   = wᵀ h,   p = σ(e)       clip logit and P(y = 1 | X)

There is no bias, as in the paper. The attention is computed as a softmax of log p_t = −softplus(−e_t): the same
number, but finite even where all p_t underflow.
"""

from typing import NamedTuple

import numpy as np

from minirsed.activations import sigmoid, softplus


class AttentionCache(NamedTuple):
    """What `attention_backward` needs; a is (B, T), pooled (B, K)."""

    w: np.ndarray
    h: np.ndarray
    frame_logits: np.ndarray
    a: np.ndarray
    pooled: np.ndarray


def attention_weights(frame_logits):
    """a_t = p_t / Σ p_t for (B, T) frame logits; each row sums to 1.

    The same as a softmax of log p_t. So it tends to a softmax of the logits where all of them are far below zero, and
    to the plain mean where all are far above (paper, Sec. 2; `tutorials/05_attention_and_losses.md`).

    Examples
    --------
    >>> attention_weights(np.array([[-30.0, -30.0, 30.0, 30.0]])).round(3)
    array([[0. , 0. , 0.5, 0.5]])
    >>> attention_weights(np.full((1, 4), -1000.0))  # no 0 / 0
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    log_p = -softplus(-frame_logits)
    p_scaled = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p_scaled / p_scaled.sum(axis=1, keepdims=True)


def attention_forward(w, h):
    """Frame logits and clip logit from frame states.

    Parameters
    ----------
    w : (K,) ndarray
        Event vector.
    h : (B, T, K) ndarray, dtype of `w`, T ≥ 1

    Returns
    -------
    frame_logits : (B, T) ndarray
    clip_logit : (B,) ndarray
    cache : AttentionCache

    Raises
    ------
    ValueError
        Shapes disagree or T = 0.

    Notes
    -----
    e_t = wᵀh_t, a_t = σ(e_t) / Σ_s σ(e_s), e = wᵀ Σ_t a_t h_t: paper, Sec. 2 and Fig. 1. Since one vector serves both,
    e = Σ_t a_t e_t; `tutorials/05_attention_and_losses.md` says what follows from that.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame_logits, clip_logit, cache = attention_forward(rng.standard_normal(4), rng.standard_normal((2, 9, 4)))
    >>> bool(np.allclose(clip_logit, (cache.a * frame_logits).sum(axis=1)))
    True
    """
    if h.ndim != 3 or h.shape[1] == 0 or w.shape != h.shape[2:]:
        raise ValueError(f"w must be (K,) and h (B, T ≥ 1, K), got {w.shape} and {h.shape}")
    frame_logits = h @ w  # (B, T)
    a = attention_weights(frame_logits)
    pooled = (a[:, None, :] @ h)[:, 0]  # (B, K)
    return frame_logits, pooled @ w, AttentionCache(w, h, frame_logits, a, pooled)


def attention_backward(dframe_logits, dclip_logit, cache):
    """Differentiate `attention_forward`, last equation first.

        e = wᵀh:         dh = de w                dw = Σ_B de h
        h = Σ a_t h_t:   da_t = dhᵀ h_t           dh_t = a_t dh
        a_t = p_t / S:   dp_t = (da_t − Σ_s a_s da_s) / S
        p_t = σ(e_t):    de_t += dp_t p_t (1 − p_t) = a_t (1 − p_t) (da_t − Σ_s a_s da_s)
        e_t = wᵀh_t:     dh_t += de_t w           dw += Σ_{B,T} de_t h_t

    Parameters
    ----------
    dframe_logits : (B, T) ndarray
    dclip_logit : (B,) ndarray
    cache : AttentionCache

    Returns
    -------
    dh : (B, T, K) ndarray
    dw : (K,) ndarray

    Notes
    -----
    Both parts of dh_t are multiples of w; `tutorials/05_attention_and_losses.md` derives the short form, line (★):
    ∂e/∂e_t = a_t [1 + (1 − p_t)(e_t − e)].

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> *_, cache = attention_forward(rng.standard_normal(4), rng.standard_normal((1, 9, 4)))
    >>> dh, dw = attention_backward(rng.standard_normal((1, 9)), np.array([1.0]), cache)
    >>> int(np.linalg.matrix_rank(dh[0]))
    1
    """
    w, h, a = cache.w, cache.h, cache.a
    da = dclip_logit[:, None] * cache.frame_logits  # dhᵀ h_t = de wᵀh_t = de e_t
    centred = da - (a * da).sum(axis=1, keepdims=True)
    de = dframe_logits + a * sigmoid(-cache.frame_logits) * centred  # (B, T); 1 − p_t = σ(−e_t)
    # both parts of dh_t are multiples of w: (de_t + a_t de) w
    dh = np.multiply((de + a * dclip_logit[:, None])[:, :, None], w, out=np.empty_like(h))
    dw = dclip_logit @ cache.pooled + (de[:, None, :] @ h).sum(axis=(0, 1))
    return dh, dw
