"""Two directions multiplied, forward and backward by hand: what is seen coming and going.

    y_t = h⃗_t ⊙ h⃖_t             dh⃗_t = dy_t ⊙ h⃖_t,    dh⃖_t = dy_t ⊙ h⃗_t

The states of a bi-directional layer are [h⃗ | h⃖] in `minirsed.multires`; here half as many numbers go on.
"""

import numpy as np


def product_forward(h):
    """(B, T, 2H) → (B, T, H); the cache is `h`. ValueError: an odd number of states."""
    if h.shape[2] % 2:
        raise ValueError(f"two directions have an even number of states, got {h.shape[2]}")
    ahead, behind = np.split(h, 2, axis=2)
    return ahead * behind, h


def product_backward(dy, h):
    """(B, T, H) → (B, T, 2H)."""
    ahead, behind = np.split(h, 2, axis=2)
    return np.concatenate([dy * behind, dy * ahead], axis=2)
