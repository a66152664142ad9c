"""Random colouring of training features, so that a few recordings teach the sound and not their microphones.

Data flow: dataset → **augmentation** → training; the paper has none, and neither do its presets. Every time a clip is
seen, two things happen to its LFBE x_tm, which are natural logarithms of power (so gains add):

    equaliser   x_tm ← x_tm + g_m,    g_m = Σ_{o=0}^{3} c_o cos(π o (m + ½) / M),    c_o ~ N(0, (w_o s)²)
                a smooth gain over the M bands: level (o = 0), tilt (1) and two slower bends; w = 1, 1, 0.7, 0.5
    band mask   up to n neighbouring bands are set to the clip's mean (SpecAugment, Park et al. 2019)

A cry stays a cry through another microphone, in another room, with a band missing; labels do not change.
"""

import numpy as np

NATS_PER_DB = np.log(10) / 10
TERM_WEIGHTS = np.array([1.0, 1.0, 0.7, 0.5])


def augment(features, rng, equaliser_db, mask_bands):
    """A coloured copy of a batch of features.

    Parameters
    ----------
    features : (B, T, M) ndarray
        LFBE, natural logarithms, not normalised.
    rng : numpy.random.Generator
    equaliser_db : float
        s, standard deviation of level and of tilt, in dB of power; 0: no equaliser.
    mask_bands : int
        n, the most bands that a mask covers; each clip draws 0 … n. 0: no mask.

    Returns
    -------
    (B, T, M) float32 ndarray
    """
    n_clips, _, n_bands = features.shape
    coloured = np.array(features, np.float32)
    if equaliser_db > 0:
        order, band = np.arange(len(TERM_WEIGHTS))[:, None], np.arange(n_bands) + 0.5
        terms = TERM_WEIGHTS[:, None] * np.cos(np.pi * order * band / n_bands)  # (4, M)
        gains = rng.standard_normal((n_clips, len(TERM_WEIGHTS))) @ terms  # (B, M)
        coloured += (equaliser_db * NATS_PER_DB * gains).astype(np.float32)[:, None]
    if mask_bands > 0:
        for clip in coloured:
            width = rng.integers(min(mask_bands, n_bands) + 1)
            first = rng.integers(n_bands - width + 1)
            clip[:, first : first + width] = clip.mean()
    return coloured
