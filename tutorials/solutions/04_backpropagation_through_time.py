"""Solutions of the exercises in 04_backpropagation_through_time.md."""

import numpy as np


def running_mean_backward(G, x, z):
    """From h_t = z h' + (1 − z) x: δx = (1 − z) δh, δz += (h' − x) δh, δh' = z δh."""
    before, h = [], 0.0
    for value in x:
        before.append(h)
        h = z * h + (1 - z) * value
    dx, dz, from_next = np.zeros_like(x), 0.0, 0.0
    for t in range(len(x) - 1, -1, -1):
        dh = G[t] + from_next
        dx[t] = (1 - z) * dh
        dz += (before[t] - x[t]) * dh
        from_next = z * dh
    return dx, dz


def reset_after_backward(da_c, r, h_prev, U_c, b_after):
    """With s = h' U_c + b' and a_c = … + r ⊙ s: δs = δa_c ⊙ r, and from there as always."""
    ds = da_c * r
    return da_c * (h_prev @ U_c + b_after), ds @ U_c.T, ds.sum(axis=0)


def clip(grads, limit):
    """One norm over all arrays, one factor for all of them."""
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    factor = min(1.0, limit / norm) if norm else 1.0
    return {name: factor * g for name, g in grads.items()}


def where_to_look(errors):
    """One array wrong: its own line. All of them: the line that they share."""
    wrong = [name for name, error in errors.items() if error >= 1e-6]
    if not wrong:
        return "nothing"
    return wrong[0] if len(wrong) == 1 else "handed on"


def wrong_arrays():
    """A sum that nothing is computed from; what is handed on; the last line, that nothing is computed from."""
    return {"W"}, {"x", "h0", "W", "U", "b"}, {"x"}
