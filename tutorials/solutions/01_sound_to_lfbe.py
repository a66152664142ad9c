"""Solutions of the exercises in 01_sound_to_lfbe.md."""

import numpy as np


def louder(log_mel, gain_db):
    """Amplitude factor g = 10^(dB/20); ln(g²) = dB/10 · ln 10, added everywhere."""
    return log_mel + gain_db / 10 * np.log(10)


def hearing(n, win, hop):
    """t·hop ≤ n gives the last frame, n < t·hop + win the first: the smallest t above (n − win) / hop."""
    return max(0, (n - win) // hop + 1), n // hop


def label(onset_s, offset_s, T):
    """The definition, frame by frame."""
    centre_s = (np.arange(T) * 1014 + 2029 / 2) / 44100
    return ((centre_s >= onset_s) & (centre_s < offset_s)).astype(float)
