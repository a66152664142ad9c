"""From a recipe to audio: the last step of the sound side (paper, Sec. 4).

    recipe + bank → render → (samples,) float64 at 44.1 kHz → features, or 24-bit WAV files

The steps are the official synthesizer's, and so are the samples. There are no fades and no normalisation.
"""

import numpy as np

from data_tools.audio import SAMPLE_RATE, read_audio
from data_tools.clips import background_clip, event_clip, scaling_factor
from data_tools.errors import InputError

ANTICLIPPING_FACTOR = 0.2  # applied to every mixture, after the event-to-background ratio


def render(recipe, bank):
    """Mix a recipe's event into its background.

    m = 0.2 · (scaling_factor · event, from sample trunc(onset·44100) on, + background). With an event in it, m is
    divided by its peak where that reaches 1. A recipe of an already rendered mixture is just read.

    Parameters
    ----------
    recipe : data_tools.recipes.Recipe
        Without `scaling_factor`, the factor follows from `ebr_db` (`data_tools.clips.scaling_factor`).
    bank : data_tools.soundbank.SoundBank

    Returns
    -------
    (samples,) float64, 44.1 kHz; its length is the recipe's `duration_s`, or the background's where that is None.

    Raises
    ------
    InputError
        A sound is missing, unusable or silent, or the event reaches beyond the background's end.
    """
    if recipe.rendered is not None:
        return read_audio(recipe.rendered)
    background = background_clip(bank, recipe.background, recipe.background_start_s, recipe.duration_s)
    if not recipe.has_event:
        return background * ANTICLIPPING_FACTOR
    event = event_clip(bank, recipe.event, recipe.segment_onset_s, recipe.segment_offset_s)
    first = int(recipe.onset_s * SAMPLE_RATE)
    if not 0 <= first <= len(background) - len(event):
        raise InputError(
            f"{recipe.name}: event of {len(event) / SAMPLE_RATE:.3f} s at {recipe.onset_s} s does not fit in a "
            f"background of {len(background) / SAMPLE_RATE:.3f} s ({recipe.event} in {recipe.background})"
        )
    factor = recipe.scaling_factor
    if factor is None:
        names = f"{recipe.name}: {recipe.event} in {recipe.background}"
        factor = scaling_factor(event, background, recipe.onset_s, recipe.ebr_db, names)
    mixture = background * ANTICLIPPING_FACTOR
    extent = slice(first, first + len(event))
    mixture[extent] = (factor * event + background[extent]) * ANTICLIPPING_FACTOR
    peak = max(mixture.max(), -mixture.min())
    if peak >= 1:
        mixture /= peak
    return mixture


def quantize24(y):
    """24-bit integers that libsndfile (up to 1.2.2) stores for float samples: (samples,) float64 → int32.

    floor(rint(y · 2^31) / 256), limited to the 32-bit range first: a rounding *down* to the 24-bit grid, so that 1.0
    gives 8388607 and -1e-9 gives -1. The value of a stored integer is itself / 2^23.
    """
    scaled = np.rint(np.asarray(y, dtype=np.float64) * 2.0**31)
    np.clip(scaled, -(2.0**31), 2.0**31 - 1, out=scaled)
    return (scaled.astype(np.int64) >> 8).astype(np.int32)
