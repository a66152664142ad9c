"""After the first place of the challenge, the best row of the paper's Table 2 (`--arch crnn1d`): Lim, Park, Han 2017.

Data flow: features → **crnn1d** → a head, in the place of `minirsed.multires`.

Each frame is searched along frequency for short pieces of spectrum, wherever they lie, and what was found is followed
through time, from the end of the clip to its start:

    y_t  = max over all positions of ReLU(BN(W * x_t))       H kernels of 32 bands, see `minirsed.rivals.feature_maps`
    a⁰_t = dropout(y_t)                                      q = 0.3
    a^l  = LSTM(a^{l−1})                                     L layers, backwards in time
    h_t  = max(a^L_t W + b, 0)                               H units

With L = 2, H = 128 and 128 bands these are 284,000 weights, as in theirs. With 64 bands a kernel has 33 positions.

The authors' report, "Rare sound event detection using 1D convolutional recurrent neural networks", was not at hand:
this is what summaries tell of it, and a reconstruction. Known are kernels, layers and units, the direction, dropout,
Adam at 1e-3 on the cross-entropy of all frames (`minirsed.rivals.frames`), log-mel of 46 ms. Chosen here: dropout
stands after the maximum and nowhere else, the start of all weights (as in Keras), batch normalisation's ε and m.
A threshold for each class (0.8, 0.8 and 0.5, as summaries recall) is left to `minirsed.sweep` and `minirsed.evaluate`,
which choose them on development mixtures by the same rule for all systems; a run's own are 0.5.
Theirs also averaged networks for several lengths of chunk, and took the mixtures in chunks; here there is one network,
on whole clips.
"""

import numpy as np

from minirsed.rivals.dense import dense_backward, dense_forward, dense_shapes, init_dense
from minirsed.rivals.dropout import dropout_backward, dropout_forward
from minirsed.rivals.feature_maps import (
    feature_maps_backward,
    feature_maps_forward,
    feature_maps_shapes,
    init_feature_maps,
)
from minirsed.rivals.lstm import init_lstm, lstm_backward, lstm_forward, lstm_shapes
from minirsed.rivals.naming import named, part

KERNEL = (1, 32)  # frames, bands
LEAST_BANDS = KERNEL[1]
PER_STATE = 6  # numbers kept for the way back through time: four gates, cell and state
DROPOUT = 0.3


def shapes(n_layers, n_inputs, n_units):
    """Name and shape of all parameters, running statistics included."""
    found = named("conv0", feature_maps_shapes(KERNEL, 1, n_units))
    for layer in range(n_layers):
        found |= named(f"lstm{layer}", lstm_shapes(n_units, n_units))
    return found | named("dense", dense_shapes(n_units, n_units))


def kept_numbers(n_layers, n_inputs, n_units):
    """Numbers for each frame that a training step keeps for the way back, at least."""
    return (PER_STATE * n_layers + 2) * n_units


def init(n_layers, n_inputs, n_units, rng, dtype=np.float32):
    """Draw all parameters, each part by its own rule."""
    params = named("conv0", init_feature_maps(KERNEL, 1, n_units, rng, dtype))
    for layer in range(n_layers):
        params |= named(f"lstm{layer}", init_lstm(n_units, n_units, rng, dtype))
    return params | named("dense", init_dense(n_units, n_units, rng, dtype))


def forward(params, x, n_layers, rng=None, *, with_cache=True):
    """Frame states of a batch.

    Parameters
    ----------
    params : dict of ndarray
        Names as made by `init`; others are ignored.
    x : (B, T, D) ndarray, T ≥ 1, D ≥ 32
    n_layers : int ≥ 1
        LSTM layers.
    rng : numpy.random.Generator, optional
        Training: dropout draws from it, and maps are normalised by their own statistics. Default: no dropout, running
        statistics.
    with_cache : bool
        Whether `backward` is to follow; without it what a layer keeps is freed as soon as it has run.

    Returns
    -------
    h : (B, T, H) ndarray
    cache : tuple
    """
    n_positions = x.shape[2] - KERNEL[1] + 1
    y, maps = feature_maps_forward(part(params, "conv0"), x[..., None], 0, n_positions, own=rng is not None)
    a, dropped = dropout_forward(y[:, :, 0], DROPOUT, rng)
    caches = [(maps, dropped)] if with_cache else []
    del y, maps, dropped
    for layer in range(n_layers):
        a, cache = lstm_forward(part(params, f"lstm{layer}"), a, reverse=True)
        caches += [cache] if with_cache else []
        del cache
    h, dense = dense_forward(part(params, "dense"), a, rectify=True)
    return h, [*caches, dense] if with_cache else None


def backward(dh, cache, *, with_dx=True):
    """Differentiate `forward`: dx (B, T, D), None without `with_dx`, and a dict of gradients.

    After a forward pass with `rng` the latter has entries for the running statistics, see `minirsed.rivals.batch_norm`.
    """
    (maps, dropped), *lstms, dense = cache
    da, own = dense_backward(dh, dense)
    grads = named("dense", own)
    for layer in reversed(range(len(lstms))):
        da, own = lstm_backward(da, lstms[layer])
        grads |= named(f"lstm{layer}", own)
    dx, own = feature_maps_backward(dropout_backward(da, dropped)[:, :, None], maps, with_dx=with_dx)
    return None if dx is None else dx[..., 0], grads | named("conv0", own)
