"""The two losses of the model and their gradients (paper, Sec. 2 and 4.1).

Data flow: attention → **losses** → model. Per clip, with its label y ∈ {0, 1} and frame labels y_t:

    L_utt   = −[ y log p + (1 − y) log(1 − p) ]
    L_frame = −(1/|W|) Σ_{t ∈ W} [ y_t log p_t + (1 − y_t) log(1 − p_t) ]   if y = 1, else 0
    L       = L_utt + α L_frame

W is the set of frames from 50 before the onset to 50 after the offset (Sec. 4.1). The paper prints both losses
without the minus sign, as log-likelihoods; minimising needs it.

All is computed from the logit e, p = σ(e), because log σ(e) underflows where its value does not:

    −[ y log σ(e) + (1 − y) log(1 − σ(e)) ] = softplus(e) − y e          derivative: σ(e) − y

with softplus(e) = log(1 + exp e) of `minirsed.activations`, exact to rounding at ±100 and beyond.
"""

import numpy as np

from minirsed.activations import sigmoid, softplus

FRAME_LOSS_MARGIN = 50  # frames on either side of the event (paper, Sec. 4.1); 1.15 s at a 23 ms hop


def utterance_loss_forward(clip_logit, has_event):
    """L_utt of each clip (paper, Sec. 2).

    Parameters
    ----------
    clip_logit : (B,) ndarray
        Logit of p, any real.
    has_event : (B,) ndarray, 0 or 1

    Returns
    -------
    loss : (B,) ndarray, natural-log units, ≥ 0
    cache : tuple

    Notes
    -----
    L_utt = −[y ln p + (1 − y) ln(1 − p)] = softplus(e) − y e with p = σ(e): `tutorials/05_attention_and_losses.md`.

    Examples
    --------
    >>> loss, _ = utterance_loss_forward(np.array([0.0, 1000.0, 1000.0]), [1, 1, 0])
    >>> loss.round(4)  # ln 2 for p = ½; nothing for a sure hit; e itself for a sure mistake
    array([6.931e-01, 0.000e+00, 1.000e+03])
    """
    y = np.asarray(has_event, clip_logit.dtype)
    return softplus(clip_logit) - y * clip_logit, (clip_logit, y)


def utterance_loss_backward(dloss, cache):
    """∂/∂e [softplus(e) − y e] = σ(e) − y = p − y; `dloss` and result (B,)."""
    clip_logit, y = cache
    return dloss * (sigmoid(clip_logit) - y)


def frame_loss_forward(frame_logits, frame_labels, frame_weights):
    """L_frame of each clip (paper, Sec. 2 and 4.1).

    Parameters
    ----------
    frame_logits : (B, T) ndarray
        Logits of p_t.
    frame_labels : (B, T) ndarray, 0 or 1
    frame_weights : (B, T) ndarray
        1/|W| inside the window W of a clip with an event, 0 elsewhere: see `frame_loss_weights`.

    Returns
    -------
    loss : (B,) ndarray, natural-log units, ≥ 0; 0 for clips without an event
    cache : tuple

    Notes
    -----
    L_frame = (1/|W|) Σ_{t ∈ W} [softplus(e_t) − y_t e_t]; W is that of `frame_loss_weights`. What it teaches, and what
    it leaves untaught, is shown in `tutorials/05_attention_and_losses.md`.

    Examples
    --------
    >>> labels = np.zeros((2, 300))
    >>> labels[0, 100:140] = 1
    >>> loss, _ = frame_loss_forward(np.zeros((2, 300)), labels, frame_loss_weights(labels))
    >>> loss.round(4)  # p_t = ½ everywhere: ln 2, and 0 for the clip without an event
    array([0.6931, 0.    ])
    """
    y = np.asarray(frame_labels, frame_logits.dtype)
    weights = np.asarray(frame_weights, frame_logits.dtype)
    loss = (weights * (softplus(frame_logits) - y * frame_logits)).sum(axis=1)
    return loss, (frame_logits, y, weights)


def frame_loss_backward(dloss, cache):
    """Of L_frame = Σ w_t [softplus(e_t) − y_t e_t]: dL/de_t = w_t (p_t − y_t); (B,) → (B, T)."""
    frame_logits, y, weights = cache
    return dloss[:, None] * weights * (sigmoid(frame_logits) - y)


def frame_loss_weights(frame_labels, margin=FRAME_LOSS_MARGIN):
    """Weights that average the frame loss over the neighbourhood of the event (paper, Sec. 4.1).

    Parameters
    ----------
    frame_labels : (B, T) ndarray, 0 or 1
        A row without a 1 is a clip without an event. The 1s of a row are one run.
    margin : int
        Frames before the onset and after the offset that count as well; cut at the clip's edges.

    Returns
    -------
    (B, T) ndarray, dtype of `frame_labels`
        Rows sum to 1 (event) or 0 (none).

    Notes
    -----
    w_t = 1/|W| for t in W, from `margin` frames before the onset to as many after the offset; what this window leaves
    out is shown in `tutorials/05_attention_and_losses.md`.

    Examples
    --------
    >>> labels = np.zeros((1, 300))
    >>> labels[0, 100:140] = 1
    >>> weights = frame_loss_weights(labels)
    >>> int((weights > 0).sum()), float(weights.sum().round(6))  # 50 + 40 + 50 frames
    (140, 1.0)
    """
    weights = np.zeros_like(frame_labels)
    for row, labels in zip(weights, frame_labels, strict=True):
        active = np.flatnonzero(labels)
        if active.size:
            window = slice(max(active[0] - margin, 0), active[-1] + 1 + margin)
            row[window] = 1.0 / row[window].size
    return weights
