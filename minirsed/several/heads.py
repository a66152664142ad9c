"""The head once for each class, on the same frame states: C event vectors (after the paper's last sentence).

Data flow: any encoder → **heads**, which calls the head of `minirsed.model` C times → losses. With h_t the states, and
w_c the event vector of class c, `head.w` is (C, K), and every class has the equations of Sec. 2 to itself:

    e_tc = w_cᵀ h_t,   a_tc = σ(e_tc) / Σ_s σ(e_sc),   e_c = w_cᵀ Σ_t a_tc h_t        L = Σ_c (L_utt,c + α L_frame,c)

The classes meet in the states alone. So the gradient of the states is the sum of what each of them asks for,

    ∂L/∂h_t = Σ_c ∂L_c/∂h_t,

and that of w_c comes from L_c, as if no other class were there. A clip of C classes is C rows to everything behind the
head, those of the first clip first; the losses need not know that some of their rows have a clip in common.
`tutorials/05_attention_and_losses.md` derives this and looks at the angles between trained vectors.
"""

import numpy as np


def shapes_for_each_class(shapes, n_classes):
    """Shapes by name with a first axis for C > 1 classes."""
    return shapes if n_classes == 1 else {name: (n_classes, *shape) for name, shape in shapes.items()}


def for_each_class(head, n_classes):
    """A `minirsed.model.Head` with an event vector for each class; for one class the head as it is."""
    if n_classes == 1:
        return head
    return head._replace(
        shapes=shapes_for_each_class(head.shapes, n_classes),
        forward=lambda params, h: heads_forward(head, params, h),
        backward=lambda dframe_logits, dclip_logit, caches: heads_backward(head, dframe_logits, dclip_logit, caches),
    )


def heads_forward(head, params, h):
    """Logits of C classes.

    Parameters
    ----------
    head : minirsed.model.Head
        That of one class.
    params : dict of ndarray
        `head.w` (C, K), and the head's others with a first axis C.
    h : (B, T, K) ndarray
        Frame states.

    Returns
    -------
    frame_logits : (B C, T) ndarray
        Rows: clip 1 class 1, clip 1 class 2, …; `frame_logits[c::C]` is class c of all clips.
    clip_logit : (B C,) ndarray
    caches : list
        One of the head's for each class.
    """
    found = []
    for c in range(len(params["head.w"])):
        own = {name: params[name][c] for name in ("head.w", *head.shapes)}
        found.append(head.forward(own, h))
    frame_logits, clip_logit, caches = zip(*found, strict=True)
    return np.stack(frame_logits, axis=1).reshape(-1, h.shape[1]), np.stack(clip_logit, axis=1).reshape(-1), caches


def heads_backward(head, dframe_logits, dclip_logit, caches):
    """Differentiate `heads_forward`: dh (B, T, K) is a sum over the classes, every other gradient has an axis for them.

    Parameters
    ----------
    head : minirsed.model.Head
    dframe_logits : (B C, T) ndarray
    dclip_logit : (B C,) ndarray
    caches : list of C

    Returns
    -------
    dh : (B, T, K) ndarray
    dw : (C, K) ndarray
        And then one gradient for each of the head's other parameters.
    """
    C = len(caches)
    parts = [head.backward(dframe_logits[c::C], dclip_logit[c::C], cache) for c, cache in enumerate(caches)]
    states, *own = zip(*parts, strict=True)
    dh = states[0]
    for more in states[1:]:
        dh += more
    return dh, *(np.stack(grads) for grads in own)
