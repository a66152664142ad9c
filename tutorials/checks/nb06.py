"""Checks of the exercises in 06_multiresolution.md."""

import numpy as np

from minirsed.multires import average_pairs, average_pairs_backward, init_encoder, layer_forward, replicate
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("06.frames_behind")
def frames_behind(answer):
    """`answer(t, level, T)` against the support of averaging and copying unit vectors."""
    for T in (16, 13, 1):
        for level in range(4):
            s = np.eye(T)[None]
            for _ in range(level):
                s = average_pairs(s)
            behind = replicate(s, 2**level, T)[0] > 0  # (t, s)
            for t in range(T):
                frames = np.flatnonzero(behind[t])
                got = answer(t, level, T)
                example = f"For t = {t}, level = {level}, T = {T}: "
                if np.shape(got) == (2,):
                    expect(got[1] <= T, f"{example}there are no frames from T on.")
                    expect(got[0] != t or frames[0] == t, f"{example}the block begins before t; blocks lie on a grid.")
                    expect(got[1] != frames[-1], f"{example}`end` is the frame *after* the last one.")
                expect_equal(got, (frames[0], frames[-1] + 1), f"{example}which t share the same ⌊t / 2^level⌋?")


@exercise("06.max_pairs_backward")
def max_pairs_backward(answer):
    """`answer(ds, x)` against a loop, for even and odd T and with ties."""
    rng = np.random.default_rng(0)
    for T in (6, 7):
        x, ds = rng.standard_normal((T, 3)), rng.standard_normal((-(-T // 2), 3))
        expect_equal(answer(ds.copy(), x.copy()), _max_truth(ds, x), _max_hint(answer, ds, x))
    x[2] = x[3]
    hint = "Right without ties. Where both of a pair are equal, the first one gets all of the gradient, the other none."
    expect_equal(answer(ds.copy(), x.copy()), _max_truth(ds, x), hint)


def _max_truth(ds, x):
    dx = np.zeros_like(x)
    for t in range(0, len(x), 2):
        larger = t + x[t : t + 2].argmax(axis=0)
        dx[larger, np.arange(x.shape[1])] = ds[t // 2]
    return dx


def _max_hint(answer, ds, x):
    got, truth = answer(ds.copy(), x.copy()), _max_truth(ds, x)
    if np.shape(got) == truth.shape:
        if np.allclose(got, np.repeat(ds, 2, axis=0)[: len(x)]):
            return "A frame that was not the larger had no say: it gets nothing."
        if len(x) % 2 and np.allclose(got[:-1], truth[:-1]):
            return "Look at the lone last frame of an odd T: it *is* its own maximum."
        if np.allclose(got, truth / 2):
            return "The maximum is not an average: what is handed back is not halved."
        if np.allclose(np.sum(got), np.sum(truth)):
            return "The sum is right, the places are not: decide for each of the K columns by itself who was larger."
    return "Which of the two does the output change with, if you change it a little?"


OTHERS = ((0.2, 0.73, 0.023), (0.05, 0.73, 0.023), (1.0, 0.5, 0.02), (3.0, 0.9, 0.01), (0.01, 0.9, 1.0))


@exercise("06.layers_needed")
def layers_needed(answer):
    """`answer(seconds, z, hop)` against a search."""
    missing = "one layer is missing: a step of layer l spans 2^(l − 1) frames, not 2^l."
    down = "that many layers fall short of it: round up, not down."
    summed = "that many fall short: the slowest layer alone must do it, memories of layers do not add up."
    for seconds, z, hop, hint in (
        (2.0, 0.5, 0.5, missing),  # exactly 4 steps
        (1.75, 0.5, 0.5, down),  # 3.5 steps, for which memories added up would ask the right number
        (1.25, 0.5, 0.5, summed),  # 2.5 steps
        *((*case, missing) for case in OTHERS),
    ):
        L = 1
        while np.log(0.5) / np.log(z) * 2 ** (L - 1) * hop < seconds * (1 - 1e-12):
            L += 1
        got = answer(seconds, z, hop)
        example = f"For {seconds} s, z = {z}, hop = {hop} s "
        if np.shape(got) == () and isinstance(got, int | float | np.number):
            expect(got != L - 1, f"{example}{hint}")
            expect(got >= 1, f"{example}it says {got}; there is always one layer.")
            expect(got == int(got), f"{example}it says {got}; layers come whole.")
        expect_equal(got, L, f"{example}{got} is not the smallest number that does. Count steps first, then seconds.")


@exercise("06.mended")
def mended(answer):
    """`answer(ds, T)` against `average_pairs_backward`, for even and odd T."""
    rng = np.random.default_rng(0)
    for T in (16, 7, 1):
        ds = rng.standard_normal((-(-T // 2), 3))
        got, truth = answer(ds.copy(), T), average_pairs_backward(ds[None], T)[0]
        if np.shape(got) == truth.shape:
            expect(
                T % 2 or not np.allclose(got, np.concatenate([truth[:-1], 2 * truth[-1:]])),
                "With an even T the last frame has a partner and gets half, as all others.",
            )
            expect(
                not np.allclose(got, 2 * truth) or T == 1,
                "An average hands each of its two frames *half* of its gradient.",
            )
            expect(
                T % 2 == 0 or not np.allclose(got[:-1], truth[:-1]) or np.allclose(got[-1], truth[-1]),
                "Right but for the lone last frame of an odd T: it is its own average. What does it get?",
            )
        expect_equal(got, truth, f"Wrong for T = {T}. Write down how s depends on each frame, then transpose.")


@exercise("06.frames_that_change")
def frames_that_change(answer):
    """Changes the frame and looks."""
    got = numbers_of(answer(), (3, 2))
    clip = np.random.default_rng(0).standard_normal((1, 21, 5))
    other = clip + (np.arange(21) == 9)[:, None]
    layer = init_encoder("bi", 1, 5, 4, np.random.default_rng(1), np.float64)
    hints = (
        "Read from the front, frames before the change do not know of it, and all after it do.",
        "One of the two directions comes from the end and meets frame 9 before it meets frame 8.",
        "Averaged twice, frames are in blocks of four on a grid that begins at frame 0. In which block is frame 9?",
    )
    for which, f, said, hint in zip(
        "abc",
        (
            lambda x: layer_forward(layer, 0, x, ("fwd",))[0],
            lambda x: layer_forward(layer, 0, x, ("fwd", "bwd"))[0],
            lambda x: replicate(average_pairs(average_pairs(x)), 4, 21),
        ),
        got,
        hints,
        strict=True,
    ):
        changed = np.flatnonzero((f(clip) != f(other)).any(axis=(0, 2)))
        expect(
            said[1] != changed[-1],
            f"({which}) The second number is that of the frame *after* the last one that changes.",
        )
        expect(tuple(said) == (changed[0], changed[-1] + 1), f"({which}) {hint}")
