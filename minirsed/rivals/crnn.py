"""After the second place of the challenge, in the paper's Table 2 (`--arch crnn`): Cakir, Virtanen 2017.

Data flow: features → **crnn** → a head, in the place of `minirsed.multires`.

Small kernels in time and frequency, in three steps that each see the maps of the last in fewer bands; then recurrent
layers that read the clip from both ends:

    y⁰  = x                                                  one map of D bands
    yⁱ  = dropout(max over S_i bands of ReLU(BN(W_i * yⁱ⁻¹)))     i = 1, 2, 3: 4H maps, kernels of 3 × 3, q = 0.5
    a⁰_t = all maps and bands of y³_t in a row
    a^l  = h⃗^l ⊙ h⃖^l,    [h⃗^l | h⃖^l] = GRU(a^{l−1})          L layers of H units in each direction, multiplied
    h_t  = dropout(a^L_t W + b)                              H units, no ReLU

with L = 2 and H = 32. They took 40 bands and S = 5, 2, 2. Here are 64 bands and S = 8, 2, 2: of both, the first step
leaves 8 bands, then there are 4 and 2, so that all that follows it has the size of theirs.

The authors' report, "Convolutional recurrent neural networks for rare sound event detection", was not at hand: this is
built after the code that their group published in the same year, for another task of the same challenge. In that code,
and not here, GRU layers also drop inputs and states (Keras's dropout and recurrent_dropout, 0.5), and ε of the
batch normalisation is 1e-3. Its GRU is the cell of `minirsed.gru`. Adam at 1e-3 on the cross-entropy of all frames,
threshold 0.5, a median over 0.54 s (`minirsed.rivals.frames`). Theirs saw the mixtures in short sequences, here they
are whole clips.
"""

import math

import numpy as np

from minirsed.gru import gru_shapes, init_gru
from minirsed.multires import layer_backward, layer_forward
from minirsed.rivals.dense import dense_backward, dense_forward, dense_shapes, init_dense
from minirsed.rivals.dropout import dropout_backward, dropout_forward
from minirsed.rivals.feature_maps import (
    feature_maps_backward,
    feature_maps_forward,
    feature_maps_shapes,
    init_feature_maps,
)
from minirsed.rivals.naming import named, part
from minirsed.rivals.product import product_backward, product_forward

KERNEL = (3, 3)  # frames, bands
POOLS = (8, 2, 2)  # S
MAPS_PER_UNIT = 4
LEAST_BANDS = math.prod(POOLS)
PER_STATE = 4  # numbers kept for the way back through time: three gates and the state
DROPOUT = 0.5
DIRECTIONS = ("fwd", "bwd")


def shapes(n_layers, n_inputs, n_units):
    """Name and shape of all parameters, running statistics included."""
    found, n_maps = {}, MAPS_PER_UNIT * n_units
    for i in range(len(POOLS)):
        found |= named(f"conv{i}", feature_maps_shapes(KERNEL, n_maps if i else 1, n_maps))
    for name, n_own in gru_layers(n_layers, n_inputs, n_units):
        found |= named(name, gru_shapes(n_own, n_units))
    return found | named("dense", dense_shapes(n_units, n_units))


def kept_numbers(n_layers, n_inputs, n_units):
    """Numbers for each frame that a training step keeps for the way back, at least."""
    first = n_inputs // POOLS[0]  # bands of what the second step reads and makes, and of its gradients
    return (3 * first * MAPS_PER_UNIT + len(DIRECTIONS) * PER_STATE * n_layers) * n_units


def gru_layers(n_layers, n_inputs, n_units):
    """Name and number of inputs of each direction of each layer."""
    for layer in range(n_layers):
        for direction in DIRECTIONS:
            yield f"gru{layer}.{direction}", n_units if layer else n_bands_left(n_inputs) * MAPS_PER_UNIT * n_units


def n_bands_left(n_inputs):
    """Bands after the last maximum."""
    for size in POOLS:
        n_inputs //= size
    return n_inputs


def init(n_layers, n_inputs, n_units, rng, dtype=np.float32):
    """Draw all parameters, each part by its own rule."""
    params, n_maps = {}, MAPS_PER_UNIT * n_units
    for i in range(len(POOLS)):
        params |= named(f"conv{i}", init_feature_maps(KERNEL, n_maps if i else 1, n_maps, rng, dtype))
    for name, n_own in gru_layers(n_layers, n_inputs, n_units):
        params |= named(name, init_gru(n_own, n_units, rng, dtype))
    return params | named("dense", init_dense(n_units, n_units, rng, dtype))


def forward(params, x, n_layers, rng=None, *, with_cache=True):
    """Frame states of a batch.

    Parameters
    ----------
    params : dict of ndarray
        Names as made by `init`; others are ignored.
    x : (B, T, D) ndarray, T ≥ 1, D ≥ 32
    n_layers : int ≥ 1
        GRU layers.
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
    convs, grus, a = [], [], x[..., None]
    for i, size in enumerate(POOLS):
        y, maps = feature_maps_forward(part(params, f"conv{i}"), a, KERNEL[1] // 2, size, own=rng is not None)
        a, dropped = dropout_forward(y, DROPOUT, rng)
        convs.append((maps, dropped) if with_cache else None)
        del y, maps, dropped
    n_bands, a = a.shape[2], a.reshape(*a.shape[:2], -1)
    for layer in range(n_layers):
        both, cache = layer_forward(params, layer, a, DIRECTIONS)
        a, multiplied = product_forward(both)
        grus.append((cache, multiplied) if with_cache else None)
        del both, cache, multiplied
    h, dense = dense_forward(part(params, "dense"), a, rectify=False)
    h, dropped = dropout_forward(h, DROPOUT, rng)
    return h, (convs, n_bands, grus, dense, dropped) if with_cache else None


def backward(dh, cache, *, with_dx=True):
    """Differentiate `forward`: dx (B, T, D), None without `with_dx`, and a dict of gradients.

    After a forward pass with `rng` the latter has entries for the running statistics, see `minirsed.rivals.batch_norm`.
    """
    convs, n_bands, grus, dense, dropped = cache
    da, own = dense_backward(dropout_backward(dh, dropped), dense)
    grads = named("dense", own)
    for layer in reversed(range(len(grus))):
        gru, multiplied = grus[layer]
        da, own = layer_backward(product_backward(da, multiplied), layer, gru)
        grads |= own
    da = np.ascontiguousarray(da).reshape(*da.shape[:2], n_bands, -1)
    for i in reversed(range(len(convs))):
        maps, dropped = convs[i]
        da, own = feature_maps_backward(dropout_backward(da, dropped), maps, with_dx=with_dx or i > 0)
        grads |= named(f"conv{i}", own)
    return None if da is None else da[..., 0], grads
