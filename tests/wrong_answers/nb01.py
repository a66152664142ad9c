"""Mistakes that people make in the exercises of notebook 01, each with words of the hint that it must get."""

import numpy as np


def label_by_start(onset_s, offset_s, T):
    start_s = np.arange(T) * 1014 / 44100
    return ((start_s >= onset_s) & (start_s < offset_s)).astype(float)


def label_to_the_end(onset_s, offset_s, T):
    centre_s = (np.arange(T) * 1014 + 2029 / 2) / 44100
    return (centre_s >= onset_s).astype(float)


def label_after_the_onset(onset_s, offset_s, T):
    centre_s = (np.arange(T) * 1014 + 2029 / 2) / 44100
    return ((centre_s > onset_s) & (centre_s < offset_s)).astype(float)


def label_closed(onset_s, offset_s, T):
    centre_s = (np.arange(T) * 1014 + 2029 / 2) / 44100
    return ((centre_s >= onset_s) & (centre_s <= offset_s)).astype(float)


def label_by_hops_of_23_ms(onset_s, offset_s, T):
    centre_s = np.arange(T) * 0.023 + 2029 / 2 / 44100
    return ((centre_s >= onset_s - 2e-4) & (centre_s < offset_s - 2e-4)).astype(float)


WRONG = {
    "01.louder": [
        (lambda x, db: x - db / 10 * np.log(10), "louder is more"),
        (lambda x, db: x + db, "natural logarithms, not decibels"),
        (lambda x, db: x + db / 20 * np.log(10), "Half of it is there"),
        (lambda x, db: x * 10 ** (db / 20), "Which constant"),
        (lambda x, db: x + 1, "With 0 dB nothing may change"),
    ],
    "01.hearing": [
        (lambda n, win, hop: (n // hop - 1, n // hop), "no frame before 0"),
        (lambda n, win, hop: (max(0, (n - win) // hop), n // hop), "which way to round"),
        (lambda n, win, hop: (max(0, (n - win) // hop + 1), n // hop + 1), "which way to round"),
    ],
    "01.label": [
        (label_by_start, "that of its centre"),
        (label_to_the_end, "The offset itself is out"),
        (label_after_the_onset, "exactly on a centre counts"),
        (label_closed, "The offset itself is out"),
        (label_by_hops_of_23_ms, "not exactly 23 ms"),
    ],
}
