"""Checks of the exercises in 01_sound_to_lfbe.md."""

import numpy as np

from minirsed.features import HOP, WIN, frame_labels, lfbe, mel_filter_bank
from tutorials.checks import exercise, expect, expect_equal, numbers_of


@exercise("01.louder")
def louder(answer):
    """`answer(log_mel, gain_db)` against features of a sound that was really made louder."""
    y = 0.1 * np.random.default_rng(0).standard_normal(6000)
    log_mel = lfbe(y).astype(np.float64)
    got = answer(log_mel.copy(), 6.0)
    truth = lfbe(10 ** (6 / 20) * y)
    expect_equal(answer(log_mel.copy(), 0.0), log_mel, "With 0 dB nothing may change.", 1e-6)
    shift = np.mean(np.asarray(got) - log_mel) if np.shape(got) == log_mel.shape else np.nan
    expect(
        not np.isclose(shift, -6.0 / 10 * np.log(10), atol=0.01), "The size is right, the sign is not: louder is more."
    )
    expect(not np.isclose(shift, 6.0, atol=0.01), "The features are natural logarithms, not decibels.")
    expect(
        not np.isclose(shift, 6.0 / 20 * np.log(10), atol=0.01),
        "Half of it is there: the features are logarithms of power, and decibels of 20·log10 speak of amplitude.",
    )
    expect_equal(got, truth, "Which constant does a gain add to ln(power)? Step 6 has it for g; turn dB into g.", 1e-4)


@exercise("01.hearing")
def hearing(answer):
    """`answer(n, win, hop)` against a search through all frames."""
    for win, hop in ((2029, 1014), (10, 4), (7, 7), (6, 1)):
        for n in (0, 1, win - 1, win, 5 * hop, 5 * hop + win - 1, 5 * hop + win, 3333):
            holding = [t for t in range(n // hop + 2) if t * hop <= n < t * hop + win]
            expect_equal(
                answer(n, win, hop),
                (holding[0], holding[-1]),
                f"For n = {n}, win = {win}, hop = {hop}: frame t holds sample n if t·hop ≤ n < t·hop + win. "
                "Solve both for t, and mind which way to round; there is no frame before 0.",
            )


@exercise("01.label")
def label(answer):
    """`answer(onset_s, offset_s, T)` against `frame_labels`; onsets and offsets exactly on a centre, and late ones."""

    def centre_s(t):
        return (t * 1014 + 2029 / 2) / 44100

    late_s = centre_s(1200.4)
    for onset_s, offset_s, T in (
        *((1.0, 1.2, 80), (0.0, 0.5, 80), (0.8, 99.0, 80), (centre_s(40), 1.3, 80)),
        *((0.5, centre_s(40), 80), (late_s, late_s + 0.5, 1300)),
    ):
        got = answer(onset_s, offset_s, T)
        truth = frame_labels(onset_s, offset_s, T)
        ones = np.asarray(got, np.float64) if np.shape(got) == (T,) else np.zeros(T)
        expect(
            T == 80 or not ones.any() or np.array_equal(ones, truth),
            f"Right near the beginning, wrong at {onset_s:.1f} s: a hop is 1014 samples, which is not exactly 23 ms.",
        )
        late = np.flatnonzero(truth)[0] - (np.flatnonzero(ones)[0] if ones.any() else 0)
        expect(
            late == 0 or not ones.any(),
            f"For an event from {onset_s:.3f} s it begins {abs(late)} frame(s) too {'early' if late > 0 else 'late'}: "
            "is the time of a frame that of its centre? And an onset exactly on a centre counts.",
        )
        expect_equal(got, truth, f"For an event from {onset_s:.3f} to {offset_s:.3f} s. The offset itself is out.")


@exercise("01.mended")
def mended(answer):
    """`answer(y, window, triangles, hop, n_fft)` on a loud sound, and on one that touches the floor."""
    window, triangles = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WIN) / WIN), mel_filter_bank(64, 2048)
    loud = 0.1 * np.random.default_rng(0).standard_normal(6000)

    def spectrum(y):
        frames = y[HOP * np.arange(1 + (len(y) - WIN) // HOP)[:, None] + np.arange(WIN)]
        return np.abs(np.fft.rfft(window * frames, 2048))

    for y in (loud, 1e-5 * loud):
        got, truth = answer(y.copy(), window.copy(), triangles.copy(), HOP, 2048), lfbe(y)
        if np.shape(got) == truth.shape:
            doubled = np.mean(
                np.asarray(answer(2 * loud, window, triangles, HOP, 2048)) - answer(loud, window, triangles, HOP, 2048)
            )
            expect(
                doubled > 0.75 * 2 * np.log(2),
                "At twice the amplitude every value must rise by 2 ln 2, and it is half of that: power or amplitude?",
            )
            expect(
                not np.allclose(got, np.log(np.maximum((spectrum(y) @ triangles.T) ** 2, 1e-10)), atol=1e-3),
                "The square of a sum is not the sum of squares: which of the two does a band add up?",
            )
            expect(
                not np.allclose(got, np.log(spectrum(y) ** 2 @ triangles.T + 1e-10), atol=1e-3) or y is loud,
                "The floor is a maximum, nothing that is added.",
            )
        expect_equal(got, truth, "The numbers are still not those of `lfbe`. Go through the six steps.", 1e-4)


@exercise("01.bands_up")
def bands_up(answer):
    """Plays the four tones."""
    tones = (0.1 * np.sin(2 * np.pi * hz * np.arange(22050) / 44100) for hz in (440, 880, 4000, 8000))
    low, low_up, high, high_up = (int(lfbe(tone).mean(axis=0).argmax()) for tone in tones)
    truth = np.array([low_up - low, high_up - high])
    got = numbers_of(answer(), (2,))
    in_hertz = np.array([440, 4000]) / 22050 * 65
    expect(
        not (np.abs(got - in_hertz) <= 1).all() or (np.abs(got - truth) <= 1).all(),
        "So it would be with bands of equal width in hertz. Here they have equal width in mel.",
    )
    expect(
        abs(got[0] - got[1]) > 1,
        "An octave is the same step everywhere only where mel is a logarithm. What is it below 1000 Hz?",
    )
    hint = "Turn both frequencies into mel; 64 + 2 points are spread evenly between 0 and the mel of 22,050 Hz."
    expect((np.abs(got - truth) <= 1).all(), hint)
