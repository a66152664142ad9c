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


def _features(y, window, triangles, hop, n_fft, of=lambda s, tri: np.log(np.maximum(s @ tri.T, 1e-10))):
    T = 1 + (len(y) - len(window)) // hop
    frames = y[hop * np.arange(T)[:, None] + np.arange(len(window))]
    return of(np.abs(np.fft.rfft(window * frames, n_fft)), triangles)


def _with(of):
    return lambda *arguments: _features(*arguments, of=of)


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
    "01.mended": [
        (_features, "power or amplitude"),
        (_with(lambda s, tri: np.log(np.maximum((s @ tri.T) ** 2, 1e-10))), "sum of squares"),
        (_with(lambda s, tri: 2 * np.log(np.maximum(s @ tri.T, 1e-5))), "sum of squares"),
        (_with(lambda s, tri: np.log(s**2 @ tri.T + 1e-10)), "The floor is a maximum"),
        (_with(lambda s, tri: 10 * np.log10(np.maximum(s**2 @ tri.T, 1e-10))), "Go through the six steps"),
    ],
    "01.bands_up": [
        (lambda: (7, 7), "What is it below 1000 Hz"),
        (lambda: (11, 11), "What is it below 1000 Hz"),
        (lambda: (1.3, 11.8), "equal width in hertz"),
        (lambda: (11, 7), "spread evenly"),
    ],
}
