"""What the paper is measured against: the DCASE 2017 baseline, and detectors trained on frames alone (Sec. 1, Table 2).

Data flow: features → **baseline** → model, in the place of `multires` (`--arch mlp`) and of `attention`
(`--head frames`); each of the two works with any of the other's kind.

**mlp**, the baseline's network. Frame t is seen with two neighbours on either side, edges repeated, then come dense
layers with dropout (Srivastava et al. 2014; q = 0.2, none when detecting):

    a⁰_t = [x_{t−2} x_{t−1} x_t x_{t+1} x_{t+2}]
    z^l  = a^{l−1} W_l + b_l
    a^l  = m ⊙ max(z^l, 0) / (1 − q),    m ~ Bernoulli(1 − q)
    h_t  = a^L_t

**frames**, the approach that Sec. 1 argues against: frames are classified, nothing else is learnt, and a rule makes the
decision for the clip. The rule is the baseline's: a median filter over about half a second, after which any frame above
the threshold is an event. A median commutes with thresholds, so it may be taken of the probabilities:

    e_t  = wᵀ h_t + b,   p_t = σ(e_t)      L = L_frame over all frames of all clips (`model.losses`)
    p    = max_t median(p_{t−11} … p_{t+11})

and `decode` sees the smoothed p_t. The head has a bias here: without an utterance loss nothing else sets the level.

As in the baseline: 40 bands, five frames, two layers of 50, dropout, weights uniform in ±0.05, Adam at 1e-3 on binary
cross-entropy: 12,651 weights. Its own system differs in what is shared here by all: frames of 46 ms every 23 ms (40
and 20), Hann window and power (Hamming and magnitude), whole clips per update (256 frames), the epoch with the best
development ER (accuracy on a tenth of the training files), one event per clip, the longest (any number).
"""

import numpy as np

CONTEXT = 2  # frames on either side
DROPOUT = 0.2
INITIAL_RANGE = 0.05  # of Keras's `uniform`
SMOOTHING_FRAMES = 23  # 0.53 s; the baseline's 27 frames of 20 ms are 0.54 s


def mlp_shapes(n_layers, n_inputs, n_units):
    """Name and shape of the parameters of all layers."""
    sizes = [n_inputs * (2 * CONTEXT + 1)] + [n_units] * n_layers
    shapes = {}
    for layer in range(n_layers):
        shapes |= {f"mlp{layer}.W": (sizes[layer], sizes[layer + 1]), f"mlp{layer}.b": (sizes[layer + 1],)}
    return shapes


def init_mlp(n_layers, n_inputs, n_units, rng, dtype=np.float32):
    """Draw the parameters of all layers: weights uniform in ±0.05, biases 0."""
    return {
        name: np.zeros(shape, dtype)
        if name.endswith(".b")
        else rng.uniform(-INITIAL_RANGE, INITIAL_RANGE, shape).astype(dtype)
        for name, shape in mlp_shapes(n_layers, n_inputs, n_units).items()
    }


def mlp_forward(params, x, n_layers, rng=None, *, with_cache=True):
    """Frame states of a batch.

    Parameters
    ----------
    params : dict of ndarray
        Names as made by `init_mlp`; others are ignored.
    x : (B, T, D) ndarray, T ≥ 1
    n_layers : int ≥ 1
    rng : numpy.random.Generator, optional
        For dropout; default: none.
    with_cache : bool
        Whether `mlp_backward` is to follow; without it a layer's inputs are freed as soon as it has run.

    Returns
    -------
    h : (B, T, H) ndarray
    cache : tuple
    """
    a, layers = with_context(x), []
    for layer in range(n_layers):
        W = params[f"mlp{layer}.W"]
        inputs = a
        a = inputs @ W + params[f"mlp{layer}.b"]  # (B, T, H)
        passes = (a > 0).astype(a.dtype)  # da/dz: 0 where the unit is off, 1/(1 − q) where dropout leaves it on
        if rng is not None:
            passes *= (rng.random(a.shape, np.float32) >= DROPOUT) / a.dtype.type(1 - DROPOUT)
        a *= passes
        layers.append((inputs, W, passes) if with_cache else None)
        del inputs, passes
    return a, layers


def mlp_backward(dh, cache, *, with_dx=True):
    """Differentiate `mlp_forward`, last layer first.

        a = passes ⊙ z:    dz = passes ⊙ da
        z = a' W + b:      dW = Σ_{B,T} a'ᵀ dz     db = Σ_{B,T} dz     da' = dz Wᵀ

    Returns
    -------
    dx : (B, T, D) ndarray, None without `with_dx`
    grads : dict of ndarray
    """
    grads, da = {}, dh
    for layer, (inputs, W, passes) in reversed(list(enumerate(cache))):
        dz = passes * da
        flat = dz.reshape(-1, dz.shape[2])
        grads[f"mlp{layer}.W"] = inputs.reshape(-1, inputs.shape[2]).T @ flat
        grads[f"mlp{layer}.b"] = flat.sum(axis=0)
        da = dz @ W.T if layer or with_dx else None
    return None if da is None else with_context_backward(da), grads


def with_context(x):
    """Each frame with its neighbours, the first and last frames repeated beyond the edges: (B, T, D) → (B, T, 5D)."""
    n_frames = x.shape[1]
    padded = np.pad(x, ((0, 0), (CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[:, shift : shift + n_frames] for shift in range(2 * CONTEXT + 1)], axis=2)


def with_context_backward(dy):
    """A frame's gradient is the sum over its copies, those beyond the edges too: (B, T, 5D) → (B, T, D)."""
    n_frames, parts = dy.shape[1], np.split(dy, 2 * CONTEXT + 1, axis=2)
    padded = np.zeros((len(dy), n_frames + 2 * CONTEXT, parts[0].shape[2]), dy.dtype)
    for shift, part in enumerate(parts):
        padded[:, shift : shift + n_frames] += part
    dx = padded[:, CONTEXT : CONTEXT + n_frames].copy()
    dx[:, 0] += padded[:, :CONTEXT].sum(axis=1)
    dx[:, -1] += padded[:, CONTEXT + n_frames :].sum(axis=1)
    return dx


def frames_head_forward(w, b, h):
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


def frames_head_backward(dframe_logits, cache):
    """Of e_t = wᵀh_t + b: dh_t = de_t w, dw = Σ_{B,T} de_t h_t, db = Σ_{B,T} de_t."""
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
