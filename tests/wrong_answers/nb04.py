"""Mistakes that people make in the exercises of notebook 04, each with words of the hint that it must get."""

import numpy as np


def _running_mean(dz_of=lambda before, x, after: before - x, through_time=True, reduce=np.sum):
    def answer(G, x, z):
        h = [0.0]
        for value in x:
            h.append(z * h[-1] + (1 - z) * value)
        dx, shares, from_next = np.zeros_like(x), [], 0.0
        for t in range(len(x) - 1, -1, -1):
            dh = G[t] + from_next
            dx[t] = (1 - z) * dh
            shares.append(dz_of(h[t], x[t], h[t + 1]) * dh)
            from_next = z * dh if through_time else 0.0
        return dx, reduce(shares)

    return answer


def forward_in_time(G, x, z):
    dx, from_next = np.zeros_like(x), 0.0
    for t in range(len(x)):
        dh = G[t] + from_next
        dx[t], from_next = (1 - z) * dh, z * dh
    return dx, 0.0


def _reset_after(dr=None, dh=None, db=None):
    def answer(da_c, r, h, U, b):
        ds = da_c * r
        right = da_c * (h @ U + b), ds @ U.T, ds.sum(axis=0)
        changed = (change and change(da_c, r, h, U, b) for change in (dr, dh, db))
        return tuple(part if new is None else new for part, new in zip(right, changed, strict=True))

    return answer


def each_by_itself(grads, limit):
    return {name: g * min(1, limit / np.linalg.norm(g)) for name, g in grads.items()}


def always(grads, limit):
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    return {name: g * limit / norm for name, g in grads.items()}


def sum_of_norms(grads, limit):
    norm = sum(np.linalg.norm(g) for g in grads.values())
    return {name: g * min(1, limit / norm) for name, g in grads.items()}


def in_place(grads, limit):
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    for g in grads.values():
        g *= min(1, limit / norm)
    return grads


WRONG = {
    "04.running_mean_backward": [
        (_running_mean(through_time=False), "what later states hand back is missing"),
        (forward_in_time, "start at the last frame"),
        (_running_mean(lambda before, x, after: after - x), "*before* the frame"),
        (_running_mean(lambda before, x, after: before), "(1 − z) as well"),
        (_running_mean(reduce=np.mean), "a sum over frames"),
    ],
    "04.reset_after_backward": [
        (_reset_after(dr=lambda da, r, h, U, b: da * (h @ U)), "r multiplies the bias"),
        (_reset_after(dr=lambda da, r, h, U, b: da * h), "the whole bracket"),
        (_reset_after(dh=lambda da, r, h, U, b: da @ U.T * r), "resets *before*"),
        (_reset_after(dh=lambda da, r, h, U, b: (da * r) @ U), "must be transposed"),
        (_reset_after(dh=lambda da, r, h, U, b: da @ U.T), "give the bracket a name"),
        (_reset_after(db=lambda da, r, h, U, b: (da * r).mean(axis=0)), "a sum over clips"),
        (_reset_after(db=lambda da, r, h, U, b: da.sum(axis=0)), "inside the bracket"),
        (_reset_after(db=lambda da, r, h, U, b: (da * r)[0]), "all clips share"),
    ],
    "04.clip": [
        (each_by_itself, "clipped by itself"),
        (always, "shorter than the limit"),
        (sum_of_norms, "root of the sum of all squares"),
        (in_place, "changes the arrays"),
        (lambda grads, limit: {name: np.clip(g, -limit, limit) for name, g in grads.items()}, "cut at the limit"),
    ],
    "04.where_to_look": [
        (lambda errors: "handed on", "what rounding leaves"),
        (
            lambda errors: max(errors, key=errors.get) if max(errors.values()) > 1e-6 else "nothing",
            "every array is wrong",
        ),
        (lambda errors: "handed on" if max(errors.values()) > 1e-6 else "nothing", "W alone is wrong"),
        (lambda errors: "the third line", "asked for is one of"),
    ],
    "04.wrong_arrays": [
        (lambda: ({"W", "U", "b"}, set(), set()), "Bug 1: you say U, W, b. The right one is a sum over all frames"),
        (lambda: ({"W"}, {"W", "U", "b"}, {"x"}), "Bug 2: you say U, W, b. What is wrong in da_c goes on"),
        (lambda: ({"W"}, {"x", "h0", "W", "U", "b"}, {"x", "h0", "W", "U", "b"}), "x comes last"),
        (lambda: ({"W"}, {"x", "h0", "W", "U", "b"}, set()), "Bug 3: you say none"),
        (lambda: ({"w"}, set(), set()), "no array called"),
        (lambda: ("W", "x", "x"), "asked for are three sets"),
    ],
}
