"""Checks of the exercises in 02_mixtures_and_ebr.md."""

import builtins
from unittest import mock

import numpy as np

from data_tools.banks.base import SUBSETS
from data_tools.mixing import scaling_factor
from tutorials.checks import WrongAnswer, exercise, expect, expect_equal, numbers_of


@exercise("02.measure_ebr")
def measure_ebr(answer):
    """`answer(mixture, background, onset_s, length_s)` on mixtures of known ratio, the background louder elsewhere."""
    rng = np.random.default_rng(0)
    for ebr_db in (-6.0, 0.0, 13.0):
        background = rng.standard_normal(44100)
        background[:10000] *= 5
        first, length = 22050, 8820  # 0.5 s, 0.2 s
        under, event = background[first : first + length], rng.standard_normal(length)
        factor = 10 ** (ebr_db / 20) * np.sqrt((under**2).mean() / (event**2).mean())
        mixture = 0.2 * background
        mixture[first : first + length] += 0.2 * factor * event
        got = answer(mixture, 0.2 * background, 0.5, 0.2)
        with_background = 20 * np.log10(np.std(mixture[first : first + length]) / np.std(0.2 * under))
        whole = 20 * np.log10(np.linalg.norm(0.2 * factor * event) / np.linalg.norm(0.2 * background))
        for mistake, hint in (
            (with_background, "You compare the mixture with the background: take the event out of the mixture first."),
            (whole, "The background counts only where the event is, not over the whole clip."),
            (ebr_db / 2, "Amplitudes take 20·log10, powers 10·log10."),
            (-ebr_db, "Upside down: the event is above the line."),
        ):
            close = isinstance(got, int | float | np.floating) and abs(got - mistake) < 0.02
            expect(not close or abs(mistake - ebr_db) < 0.02, hint)
        expect_equal(got, ebr_db, f"A mixture made at {ebr_db:g} dB comes out at {got} dB.", 1e-6)


@exercise("02.further_away")
def further_away(answer):
    """`answer(ebr_db, times)`."""
    for ebr_db, times in ((0.0, 1.0), (0.0, 10.0), (6.0, 2.0), (-6.0, 0.5)):
        got, shift_db = answer(ebr_db, times), 20 * np.log10(times)
        number = isinstance(got, int | float | np.floating)
        expect(
            not (number and times != 1 and np.isclose(got, ebr_db - shift_db / 2)),
            "That is one over the square root of distance: 20·log10 is for amplitudes.",
        )
        expect(
            not (number and times != 1 and np.isclose(got, ebr_db + shift_db)),
            "Further away is quieter.",
        )
        expect_equal(
            got,
            ebr_db - shift_db,
            f"{times:g} times the distance: by what factor does g·e change? In dB?",
        )


@exercise("02.subset_of")
def subset_of(answer):
    """`answer(file_name)` on 1000 recordings of three pieces; Python's own `hash` is not allowed, see the hint."""

    def forbidden(_):
        raise WrongAnswer("`hash` of a text is salted differently in every process; hashlib is the same everywhere.")

    recordings = [f"day{i:02}" for i in range(500)] + [f"night{i}" for i in range(500)]
    with mock.patch.object(builtins, "hash", forbidden):
        got = {name: [answer(f"{name}_piece{i}.wav") for i in (1, 2, 3)] for name in recordings}
        again = [answer(f"{name}_piece1.wav") for name in reversed(recordings)]
    expect(got["day00"][0] is not None, "It returns None: does it end with `return`?")
    shape = np.shape(got["day00"][0])
    expect(shape == (), f"It returns shape {shape}; asked for is one of {', '.join(SUBSETS)}.")
    for pieces in got.values():
        kind = type(pieces[0]).__name__
        expect(all(p in SUBSETS for p in pieces), f"It returns {kind}, {pieces[0]!r}; asked for is one of {SUBSETS}.")
    expect(
        again == [got[name][0] for name in reversed(recordings)],
        "Asked again, it answers otherwise: it must depend on the name alone.",
    )
    crossing = [name for name, pieces in got.items() if len(set(pieces)) > 1]
    expect(not crossing, f"Pieces of {crossing[:1]} are in two subsets: which part of the name is the recording's?")
    for subset, wanted in zip(SUBSETS, (0.6, 0.2, 0.2), strict=True):
        share = np.mean([pieces[0] == subset for pieces in got.values()])
        expect(abs(share - wanted) < 0.08, f"{subset} gets a share of {share:.2f} of the recordings, not {wanted}.")


@exercise("02.mended")
def mended(answer):
    """`answer(background, event, first, ebr_db)` at several ratios, and twice with the same background."""
    rng = np.random.default_rng(0)
    background, event, first = rng.standard_normal(44100), rng.standard_normal(8820), 22050
    background[:10000] *= 5
    stretch, is_spoilt = slice(first, first + len(event)), False
    for ebr_db in (0.0, 6.0, -6.0):
        given = background.copy()
        got = answer(given, event.copy(), first, ebr_db)
        truth = background.copy()
        truth[stretch] += scaling_factor(event, background, first / 44100, ebr_db) * event
        if np.shape(got) == truth.shape:
            left = np.asarray(got, np.float64) - background
            measured = 20 * np.log10(np.std(left[stretch]) / np.std(background[stretch])) if left.any() else np.nan
            expect(
                not np.isclose(measured, 2 * ebr_db, atol=0.1) or ebr_db == 0,
                f"Right at 0 dB, but {ebr_db:g} dB come out as {measured:.0f}: do amplitudes take 10 or 20·log10?",
            )
            whole = ebr_db + 20 * np.log10(np.std(background) / np.std(background[stretch]))
            expect(not np.isclose(measured, whole, atol=0.1), "The background counts only where the event is.")
        expect_equal(got, truth, f"Asked for {ebr_db:g} dB, it is not what comes out.", 1e-6)
        is_spoilt = is_spoilt or not np.array_equal(given, background)
    expect(
        not is_spoilt,
        "The mixture is right. But the background that it was given has an event in it now, and so has every later "
        "mixture that is made of it: a slice is a view.",
    )


@exercise("02.rises_db")
def rises_db(answer):
    """Mixes noise into noise."""
    rng = np.random.default_rng(0)
    under, event = rng.standard_normal((2, 200_000))
    ratios = np.array([-6.0, 0.0, 6.0])
    truth = [
        20 * np.log10(np.std(under + 10 ** (db / 20) * event / np.std(event) * np.std(under)) / np.std(under))
        for db in ratios
    ]
    got = numbers_of(answer(), (3,))
    expect((got > 0).all(), "Whatever is added makes it louder, and be it faint: none of the three is zero or below.")
    expect(
        not np.allclose(got, 20 * np.log10(1 + 10 ** (ratios / 20)), atol=0.5),
        "Amplitudes add up only if both have the same waveform. These have nothing to do with each other.",
    )
    hint = "They have nothing to do with each other, so their powers add up: take 10·log10 of 1 + P_e / P_b."
    expect(np.allclose(got, truth, atol=0.5), hint)
