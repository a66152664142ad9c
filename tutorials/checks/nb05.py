"""Checks of the exercises in 05_attention_and_losses.md."""

import numpy as np

from minirsed.activations import softplus
from minirsed.attention import attention_backward, attention_forward
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("05.log_sigmoid")
def log_sigmoid(answer):
    """`answer(x)` against −softplus(−x)."""
    x = np.array([-1.5, 0.0, 0.3, 4.0])
    expect_equal(answer(x.copy()), -softplus(-x), "Not the logarithm of σ(x), not even at small x. Mind the signs.")
    with np.errstate(all="ignore"):
        large = np.array([-1000.0, -800.0, 800.0, 1000.0])
        expect_equal(answer(large), -softplus(-large), "Right at small x, but not at ±1000: something overflows.")
        got = np.asarray(answer(np.array([40.0])))
    expect(
        np.allclose(got, -softplus(np.array([-40.0])), rtol=1e-9, atol=0),
        "At x = 40 the digits are lost: 1 + exp(−40) rounds to 1. There is a function for the logarithm of 1 + small.",
    )


@exercise("05.softmax_influence")
def softmax_influence(answer):
    """`answer(frame_logits)` against the closed form."""
    frame_logits = np.random.default_rng(0).normal(0, 2, 9)
    a = np.exp(frame_logits - frame_logits.max())
    a /= a.sum()
    e = a @ frame_logits
    got, truth = answer(frame_logits.copy()), a * (1 + frame_logits - e)
    if np.shape(got) == truth.shape:
        expect(not np.allclose(got, a), "That is the attention: e_t acts on e as a value. It also moves the weights.")
        expect(
            not np.allclose(got, a * (frame_logits - e)),
            "That is what comes through the weights. e_t is also one of the numbers that are averaged.",
        )
        expect(not np.isclose(np.sum(got), np.sum(truth) * 9), "Is something summed or averaged over the frames?")
    hint = "Shift all logits by one constant: e moves by the same constant, so the g_t must add up to 1. Do yours?"
    if np.shape(got) == truth.shape and np.isclose(np.sum(got), 1):
        hint = "They add up to 1, as they must, but are not shared out rightly. Derive ∂a_s/∂e_t once more."
    expect_equal(got, truth, hint)
    expect_equal(answer(frame_logits + 900), truth, "Right for small logits; add 900 to all and it fails.", 1e-6)


@exercise("05.two_vectors")
def two_vectors(answer):
    """`answer(dclip, w, v, h)` with v = w against the package, then with another v against the closed form."""
    rng = np.random.default_rng(1)
    h, w, v, dclip = rng.standard_normal((11, 4)), rng.standard_normal(4), rng.standard_normal(4), 1.3
    frame_logits, _, cache = attention_forward(w, h[None])
    a, p = cache.a[0], 1 / (1 + np.exp(-frame_logits[0]))
    through_value = dclip * np.outer(a, v)
    centred = h @ v - a @ h @ v
    through_weight = dclip * np.outer(a * (1 - p) * centred, w)
    one_vector = attention_backward(np.zeros((1, 11)), np.array([dclip]), cache)[0][0]
    without_p = dclip * np.outer(a * centred, w)
    not_centred = dclip * np.outer(a * (1 - p) * (h @ v), w)
    got, truth = answer(dclip, w, v, h), through_value + through_weight
    if np.shape(got) == truth.shape:
        expect(not np.allclose(got, through_value), "The attention depends on h_t as well, through w.")
        expect(not np.allclose(got, through_weight), "h_t is also one of the vectors that are averaged.")
        expect(not np.allclose(got, one_vector), "That is the gradient for e = wᵀh; where does v come in?")
        expect(not np.allclose(got, truth / dclip), "dclip is missing.")
        expect(
            not np.allclose(got, through_value + without_p),
            "The derivative of σ is missing in the way through the weights: p_t (1 − p_t), of which p_t is in a_t.",
        )
        expect(
            not np.allclose(got, through_value + not_centred),
            "a_s has p_t in its denominator, too: what a frame wins, others lose, so vᵀh_t counts against e.",
        )
    hint = "Two ways lead from h_t to e. One gives a multiple of v, the other a multiple of w. "
    if np.shape(got) == truth.shape and np.allclose(answer(dclip, w, w, h), one_vector):
        hint += "With v = w yours is right: which of its w should be a v, and which e_t a vᵀh_t?"
    expect_equal(got, truth, hint)


@exercise("05.mended")
def mended(answer):
    """`answer(dframe, dclip, e_t)` against the package, whose h is here e_t itself and w is 1."""
    rng = np.random.default_rng(2)
    dframe, dclip, e_t = rng.standard_normal(9), -0.7, rng.normal(0, 2, 9)
    e, clip, cache = attention_forward(np.ones(1), e_t[None, :, None])
    truth = attention_backward(dframe[None], np.array([dclip]), cache)[0][0, :, 0]
    got, a, p = answer(dframe.copy(), dclip, e_t.copy()), cache.a[0], 1 / (1 + np.exp(-e[0]))
    if np.shape(got) == truth.shape:
        for factor, hint in (
            (
                1 + p * (e_t - clip[0]),
                "A frame that is sure of itself (p_t = 1) cannot win attention any more: is p_t the factor?",
            ),
            (1 + (e_t - clip[0]), "Without any factor it is a softmax; the σ levels off where p_t is near 1."),
            (1 + p * (1 - p) * (e_t - clip[0]), "σ' is p_t (1 − p_t), but one of the two is in a_t already."),
            (1 + (1 - p) * (clip[0] - e_t), "The sign: a frame *above* the clip's logit helps if it rises."),
            (1.0, "The frame acts through its weight as well as through its value."),
            ((1 - p) * (e_t - clip[0]), "The frame acts through its value as well as through its weight."),
        ):
            expect(not np.allclose(got, dframe + dclip * a * factor), hint)
        expect(not np.allclose(got, truth - dframe), "What the frame loss sends is missing.")
    expect_equal(got, truth, "Compare with (★), factor by factor.")


@exercise("05.three_clips")
def three_clips(answer):
    """Pools the three clips."""
    got, truth, means, largest = numbers_of(answer(), (3,)), [], [], []
    for one, others in ((-5.0, -5.0), (8.0, -8.0), (8.0, -4.0)):
        e_t = np.where(np.arange(1303) == 600, one, others)
        p_t = 1 / (1 + np.exp(-e_t))
        logits = p_t @ e_t / p_t.sum(), e_t.mean(), e_t.max()
        for each, logit in zip((truth, means, largest), logits, strict=True):
            each.append(1 / (1 + np.exp(-logit)))
    expect(((got >= 0) & (got <= 1)).all(), "Asked for are probabilities, not logits.")
    expect(abs(got[0] - truth[0]) <= 0.1, "A mean of equal numbers is that number, whatever their weights: e = −5.")
    expect(
        not np.allclose(got, means, atol=0.1),
        "So it would be with a plain mean. Here a frame counts in proportion to its p_t.",
    )
    expect(
        not np.allclose(got, largest, atol=0.1),
        "So it would be with the maximum. 1302 frames of p_t = σ(−4) have more weight together than one of σ(8).",
    )
    hint = "Compare the weight of the one frame, σ(8), with 1302 · σ(−8) or 1302 · σ(−4) of the others; e = Σ a_t e_t."
    expect(np.allclose(got, truth, atol=0.1), hint)


@exercise("05.both_at_once")
def both_at_once(answer):
    """`answer(w, v)` for vectors of one length, of two lengths, and where the longer one does not matter."""
    w, v = np.linalg.qr(np.random.default_rng(3).standard_normal((7, 2)))[0].T  # of length 1, at a right angle
    got = numbers_of(answer(w.copy(), v.copy()), ())
    expect(not np.isclose(got, 1), "Each logit can reach 1, but not both at once. Or is your h longer than 1?")
    expect(not np.isclose(got, 0.5), "That is so at h = (w + v) / 2, which is shorter than 1.")
    truth = np.sqrt(0.5)
    expect_equal(got, truth, "Try two unit vectors at a right angle: half-way between them both logits are cos 45°.")
    expect_equal(answer(3 * w, 3 * v), 3 * truth, "Right for vectors of length 1. Their lengths count, too.")
    for other in (2 * v - w, 1.2 * v + 0.6 * w):
        apart, halfway = other - w, (w + other) / np.linalg.norm(w + other)
        got = numbers_of(answer(w.copy(), other.copy()), ())
        expect(
            not np.isclose(got, min(w @ halfway, other @ halfway)),
            "Along w + v the two logits are only equal if w and v have one length. Where is wᵀh = vᵀh?",
        )
        hint = "Right for vectors of one length. In general h is at a right angle to w − v, in the plane of both."
        expect_equal(got, np.linalg.norm(other - (other @ apart) / (apart @ apart) * apart), hint)
    longer = 3 * w + 0.5 * v
    for pair in ((w, longer), (longer, w)):
        hint = "Where one vector is long and close to the other, its logit is never the smaller one. What remains?"
        expect_equal(answer(*pair), 1.0, hint)
