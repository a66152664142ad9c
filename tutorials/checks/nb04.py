"""Checks of the exercises in 04_backpropagation_through_time.md: finite differences decide what is right."""

import numpy as np

from minirsed.gradcheck import compare
from tutorials.checks import WrongAnswer, exercise, expect, expect_equal

TOLERANCE = 1e-6


def _parts(answer, shapes):
    """The arrays of an answer, or WrongAnswer where it is None or their shapes are not `shapes`."""
    expect(answer is not None, "It returns None: does it end with `return`?")
    if isinstance(answer, str):
        raise WrongAnswer(f"It returns {type(answer).__name__}; asked for are {len(shapes)} arrays.")
    got = tuple(np.shape(part) for part in answer) if isinstance(answer, tuple | list) else np.shape(answer)
    expect(got == shapes, f"It returns shape {got}; asked for are {shapes}.")
    return [np.asarray(part, np.float64) for part in answer]


def _wrong_parts(loss, parts, names, arrays):
    """Names of the gradients that finite differences contradict."""
    grads = dict(zip(names, parts, strict=True))
    rows = compare(loss, grads, {name: arrays[name] for name in names}, np.random.default_rng(1), "element")
    return [row.name for row in rows if not row.error <= TOLERANCE]


@exercise("04.running_mean_backward")
def running_mean_backward(answer):
    """`answer(G, x, z)`."""
    rng = np.random.default_rng(0)
    G, x, z = rng.standard_normal(7), rng.standard_normal(7), np.array(0.6)
    dx, dz = _parts(answer(G.copy(), x.copy(), 0.6), ((7,), ()))

    def states(x, z):
        h = [0.0]
        for value in x:
            h.append(z * h[-1] + (1 - z) * value)
        return np.array(h)

    def loss(a):
        return G @ states(a["x"], a["z"])[1:]

    wrong = _wrong_parts(loss, (dx, dz), ("x", "z"), {"x": x, "z": z})
    expect(
        not np.allclose(dx, (1 - z) * G),
        "In dx, what later states hand back is missing: h_t is used by the loss and by h_{t+1}.",
    )
    expect(
        "x" not in wrong, "dx is wrong: start at the last frame, and let dh of frame t be G_t plus z times the next dh."
    )
    dh = dx / (1 - z)
    h = states(x, 0.6)
    expect(not np.allclose(dz, dh @ (h[1:] - x)), "dz: z multiplied the state *before* the frame, not the one after.")
    expect(not np.allclose(dz, dh @ h[:-1]), "dz: z stands in (1 − z) as well.")
    expect(
        "z" not in wrong, "dx is right, dz is wrong: z is used at every frame, so its gradient is a sum over frames."
    )


@exercise("04.reset_after_backward")
def reset_after_backward(answer):
    """`answer(da_c, r, h_prev, U_c, b_after)`."""
    rng = np.random.default_rng(0)
    B, H = 3, 4
    da_c, h, U, b = (rng.standard_normal(shape) for shape in ((B, H), (B, H), (H, H), (H,)))
    r = rng.uniform(0.1, 0.9, (B, H))
    dr, dh, db = _parts(answer(da_c.copy(), r.copy(), h.copy(), U.copy(), b.copy()), ((B, H), (B, H), (H,)))

    def loss(a):
        return np.vdot(da_c, a["r"] * (a["h"] @ U + a["b"]))

    wrong = _wrong_parts(loss, (dr, dh, db), ("r", "h", "b"), {"r": r, "h": h, "b": b})
    expect(not np.allclose(dr, da_c * (h @ U)), "δr: r multiplies the bias b', too.")
    expect("r" not in wrong, "δr is wrong: r multiplies the whole bracket h' U_c + b', so what is its derivative?")
    expect(
        not np.allclose(dh, da_c @ U.T * r),
        "δh': that is the cell which resets *before*; here r comes first on the way back.",
    )
    expect(not np.allclose(dh, (da_c * r) @ U), "δh': U_c must be transposed; that it fits without is bad luck.")
    expect("h" not in wrong, "δh' is wrong: give the bracket a name, find its gradient, then go through the product.")
    expect(
        not np.allclose(db, (da_c * r).mean(axis=0)), "δb': the loss is a sum over clips, so its gradient is one, too."
    )
    expect(not np.allclose(db, da_c.sum(axis=0)), "δb': b' stands inside the bracket that r multiplies.")
    expect("b" not in wrong, "δb' is wrong: all clips share b', so what comes from each adds up.")


@exercise("04.clip")
def clip(answer):
    """`answer(grads, limit)` on short, long and very unequal gradients."""
    rng = np.random.default_rng(0)
    grads = {"W": rng.standard_normal((3, 4)), "b": 100 * rng.standard_normal(4)}
    norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
    given = {name: g.copy() for name, g in grads.items()}
    long, short = answer(given, 2.0), answer({name: g.copy() for name, g in grads.items()}, 2 * norm)
    expect(long is not None, "It returns None: does it end with `return`?")
    expect(
        isinstance(long, dict) and long.keys() == grads.keys(),
        f"It returns {type(long).__name__} and returns shape {np.shape(long)}; asked for is a dict like the given one.",
    )
    expect(all(np.array_equal(given[name], grads[name]) for name in grads), "It changes the arrays that it was given.")
    for name, g in grads.items():
        expect_equal(short[name], g, "A gradient shorter than the limit must stay as it is.")
    each = all(np.isclose(np.linalg.norm(long[name]), 2.0) for name in grads)
    expect(not each, "Each array is clipped by itself, which turns the step; one factor for all keeps its direction.")
    clamped = all(np.allclose(long[name], np.clip(g, -2.0, 2.0)) for name, g in grads.items())
    expect(not clamped, "Each element is cut at the limit, which turns the step; scale by one factor instead.")
    for name, g in grads.items():
        expect_equal(
            long[name], g * (2.0 / norm), "The norm is over all arrays together: the root of the sum of all squares."
        )


@exercise("04.where_to_look")
def where_to_look(answer):
    """`answer(errors)` on the reports of a right pass, of mistakes in one sum, and of one in what is handed on."""
    names, words = ("x", "h0", "W", "U", "b"), ("nothing", "W", "U", "b", "x", "handed on")
    reports = {"nothing": (), "handed on": names, **{name: (name,) for name in ("W", "U", "b", "x")}}
    hints = {
        "nothing": "1e-10 is what rounding leaves when everything is right",
        "handed on": "every array is wrong: all of them are computed from what is handed on",
        "x": "x alone is wrong: it is computed last and used by nothing else here",
    }
    for size in (1e-4, 0.3, 1.0):
        for truth, wrong in reports.items():
            errors = {name: size if name in wrong else 2e-10 for name in names}
            got = answer(dict(errors))
            expect(got is not None, "It returns None: does it end with `return`?")
            expect(np.shape(got) == (), f"It returns shape {np.shape(got)}; asked for is one word.")
            expect(got in words, f"It returns {type(got).__name__}, {got!r}; asked for is one of {words}.")
            hint = hints.get(
                truth, f"{truth} alone is wrong: whatever is handed on must be right, or all would be wrong"
            )
            expect(got == truth, f"It says {got!r} for {errors}: {hint}.")


def _backward(G, x, h0, W, U, bug=""):
    """Gradients of Σ G ⊙ h, for one GRU layer without biases in its gates, with one of three bugs in it."""
    B, T, H = G.shape
    h, kept, z_r_c = h0, [], [slice(i * H, (i + 1) * H) for i in range(3)]
    for t in range(T):
        z, r = (1 / (1 + np.exp(-x[:, t] @ W[:, s] - h @ U[:, s])) for s in z_r_c[:2])
        c = np.tanh(x[:, t] @ W[:, z_r_c[2]] + (r * h) @ U[:, z_r_c[2]])
        kept.append((h, z, r, c))
        h = z * h + (1 - z) * c
    grads = {"x": np.zeros_like(x), "W": np.zeros_like(W), "U": np.zeros_like(U), "b": np.zeros(3 * H)}
    from_next = np.zeros((B, H))
    for t in reversed(range(T)):
        h, z, r, c = kept[t]
        dh = G[:, t] + from_next
        da_c = dh * (1 - z) * (1 if bug == "tanh" else 1 - c**2)
        dq = da_c @ U[:, z_r_c[2]].T
        da = np.concatenate([dh * (h - c) * z * (1 - z), dq * h * r * (1 - r), da_c], axis=1)
        from_next = dh * z + dq * r + da[:, : 2 * H] @ U[:, : 2 * H].T
        grads["x"][:, t] = da_c @ W[:, z_r_c[2]].T if bug == "x" else da @ W.T
        grads["W"] = (0 if bug == "W" else grads["W"]) + x[:, t].T @ da
        grads["U"] += np.concatenate([h.T @ da[:, : 2 * H], (r * h).T @ da_c], axis=1)
        grads["b"] += da.sum(axis=0)
    return grads | {"h0": from_next}


@exercise("04.wrong_arrays")
def wrong_arrays(answer):
    """Runs a backward pass with each of the bugs."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in ((2, 5, 3), (2, 5, 4), (2, 3), (4, 9), (3, 9))]
    right = _backward(*arrays)
    got = answer()
    expect(got is not None, "It returns None: does it end with `return`?")
    is_kind = isinstance(got, tuple | list) and len(got) == 3 and all(isinstance(each, set) for each in got)
    what = f"It returns {type(got).__name__}" + (f" and returns shape {np.shape(got)}" if hasattr(got, "shape") else "")
    expect(is_kind, f"{what}; asked for are three sets.")
    strange = set().union(*got) - right.keys()
    expect(not strange, f"There is no array called {sorted(map(str, strange))[:1]}.")
    sums = "The right one is a sum over all frames, this one is that of frame 0. No other array is computed from it."
    hints = {
        "W": sums,
        "tanh": "What is wrong in da_c goes on to q, and over q to the state before: nothing stays right.",
        "x": "x comes last: nothing else is computed from its gradient, and it has all of its own from one line.",
    }
    for place, ((bug, hint), said) in enumerate(zip(hints.items(), got, strict=True), 1):
        found = _backward(*arrays, bug=bug)
        wrong = {name for name in right if not np.allclose(found[name], right[name])}
        expect(said == wrong, f"Bug {place}: you say {', '.join(sorted(said)) or 'none'}. {hint}")
