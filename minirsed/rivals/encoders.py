"""The table of encoders: the paper's, and those that it is compared with.

Data flow: features → a row of **encoders** → a head, see `minirsed.model`.
"""

from collections.abc import Callable
from typing import NamedTuple

from minirsed.multires import ARCHITECTURES, encoder_backward, encoder_forward, encoder_shapes, init_encoder, n_states
from minirsed.rivals import crnn, crnn1d
from minirsed.rivals.mlp import init_mlp, mlp_backward, mlp_forward, mlp_shapes


class Encoder(NamedTuple):
    """f(X), from features (B, T, D) to frame states (B, T, K). To add an architecture, add a row to `ENCODERS`."""

    shapes: Callable  # config → {name: shape}
    init: Callable  # config, rng, dtype → {name: array}
    n_states: Callable  # config → K
    forward: Callable  # params, config, x, rng, with_cache → h, cache
    backward: Callable  # dh, cache, with_dx= → dx or None, {name: gradient}
    is_random: bool = False  # whether training needs rng: for dropout, and as the sign that it is training
    least_inputs: int = 1  # D, at least
    origin: str = ""  # whose network it is, if not the paper's


def _size(config):
    return config.n_layers, config.n_inputs, config.n_units


def _rival(origin, shapes, init, forward, backward, least_inputs=1):
    return Encoder(
        shapes=lambda config: shapes(*_size(config)),
        init=lambda config, rng, dtype: init(*_size(config), rng, dtype),
        n_states=lambda config: config.n_units,
        forward=lambda params, config, x, rng, with_cache: forward(
            params, x, config.n_layers, rng, with_cache=with_cache
        ),
        backward=backward,
        is_random=True,
        least_inputs=least_inputs,
        origin=origin,
    )


RECURRENT = Encoder(
    shapes=lambda config: encoder_shapes(config.arch, *_size(config)),
    init=lambda config, rng, dtype: init_encoder(config.arch, *_size(config), rng, dtype),
    n_states=lambda config: n_states(config.arch, config.n_units),
    forward=lambda params, config, x, rng, with_cache: encoder_forward(
        params, x, config.arch, config.n_layers, with_cache=with_cache
    ),
    backward=encoder_backward,
)
RIVALS = {
    "mlp": _rival("the network of the DCASE 2017 baseline", mlp_shapes, init_mlp, mlp_forward, mlp_backward),
    "crnn1d": _rival(
        "built after the first place of DCASE 2017, Lim, Park and Han, and no copy of it",
        *(crnn1d.shapes, crnn1d.init, crnn1d.forward, crnn1d.backward, crnn1d.LEAST_BANDS),
    ),
    "crnn": _rival(
        "built after the second place of DCASE 2017, Cakir and Virtanen, and no copy of it",
        *(crnn.shapes, crnn.init, crnn.forward, crnn.backward, crnn.LEAST_BANDS),
    ),
}
ENCODERS = {**dict.fromkeys(ARCHITECTURES, RECURRENT), **RIVALS}
