"""Mistakes that people make in the exercises of notebook 02, each with words of the hint that it must get."""

import zlib

import numpy as np


def _rms(x):
    return np.sqrt(np.mean(x**2))


def _stretch(onset_s, length_s):
    return slice(int(onset_s * 44100), int((onset_s + length_s) * 44100))


def mixture_over_background(mixture, background, onset_s, length_s):
    at = _stretch(onset_s, length_s)
    return 20 * np.log10(_rms(mixture[at]) / _rms(background[at]))


def over_the_whole_clip(mixture, background, onset_s, length_s):
    return 20 * np.log10(np.linalg.norm(mixture - background) / np.linalg.norm(background))


def ten_times_the_logarithm(mixture, background, onset_s, length_s):
    at = _stretch(onset_s, length_s)
    return 10 * np.log10(_rms((mixture - background)[at]) / _rms(background[at]))


def natural_logarithm(mixture, background, onset_s, length_s):
    at = _stretch(onset_s, length_s)
    return 20 * np.log(_rms((mixture - background)[at]) / _rms(background[at]))


def _share(text):
    return zlib.crc32(text.encode()) / 2**32


def _subset(share):
    return "train" if share < 0.6 else "dev" if share < 0.8 else "eval"


def _mixing(tenths=20, of=slice(None), copied=True):
    def answer(background, event, first, ebr_db):
        mixture = background.copy() if copied else background
        under = mixture[first : first + len(event)]
        level = _rms(under if of is None else mixture[of])
        mixture[first : first + len(event)] += 10 ** (ebr_db / tenths) * level / _rms(event) * event
        return mixture

    return answer


WRONG = {
    "02.measure_ebr": [
        (mixture_over_background, "take the event out of the mixture first"),
        (over_the_whole_clip, "only where the event is"),
        (ten_times_the_logarithm, "powers 10·log10"),
        (natural_logarithm, "A mixture made at"),
    ],
    "02.further_away": [
        (lambda db, times: db - 10 * np.log10(times), "20·log10 is for amplitudes"),
        (lambda db, times: db + 20 * np.log10(times), "Further away is quieter"),
        (lambda db, times: db / times, "by what factor"),
    ],
    "02.subset_of": [
        (lambda name: _subset(hash(name.split("_")[0]) % 1000 / 1000), "salted differently"),
        (lambda name: _subset(np.random.default_rng().random()), "answers otherwise"),
        (lambda name: _subset(_share(name)), "in two subsets"),
        (lambda name: _subset(0.7 * _share(name.split("_")[0])), "gets a share of"),
        (lambda name: "test", "asked for is one of"),
    ],
    "02.mended": [
        (_mixing(10, None, copied=False), "Right at 0 dB"),
        (_mixing(10, None), "Right at 0 dB"),
        (_mixing(20, None, copied=False), "a slice is a view"),
        (_mixing(20), "only where the event is"),
        (lambda background, event, first, ebr_db: background.copy(), "it is not what comes out"),
    ],
    "02.rises_db": [
        (lambda: (0, 0, 6), "none of the three is zero"),
        (lambda: (-6, 0, 6), "none of the three is zero"),
        (lambda: (3.53, 6.02, 9.53), "the same waveform"),
        (lambda: (3, 3, 3), "their powers add up"),
    ],
}
