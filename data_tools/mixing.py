"""From a recipe to audio: cut the event, loop the background, set the level, add (paper, Sec. 4).

    recipe + bank → render → (samples,) float64 at 44.1 kHz → features, or 24-bit WAV files

Steps and samples are those of the official synthesizer. It neither fades nor normalises.
"""

import contextlib
from functools import partial

import numpy as np

from data_tools.audio import SAMPLE_RATE, read_audio, rms
from data_tools.banks.base import SUBSETS, Bank
from data_tools.errors import InputError

SEAM_S = 0.05  # crossfade where a looped background meets itself, seconds; at most a quarter of the recording
ANTICLIPPING_FACTOR = 0.2  # of every mixture, applied after the event-to-background ratio


def render(recipe, bank):
    """Mix a recipe's events into its background.

    m = 0.2 · (background + scaling_factor · event, from sample trunc(onset·44100) on). If a mixture with an event has
    a peak of 1 or more, it is divided by it. Further events and a negative are added in the same way, each at its ratio
    to the background alone, whatever else is there. If the recipe is of a mixture that came rendered, its file is read.

    Parameters
    ----------
    recipe : data_tools.recipes.Recipe
        Without `scaling_factor`, the factor follows from `ebr_db`, see `scaling_factor`.
    bank : data_tools.banks.base.Bank

    Returns
    -------
    (samples,) float64 at 44.1 kHz, as long as the recipe's `duration_s` or, if that is None, as the background.

    Raises
    ------
    InputError
        A sound is missing, unusable or silent, or the event ends after the background.
    """
    if recipe.rendered is not None:
        return read_audio(recipe.rendered)
    background = background_clip(bank, recipe.background, recipe.background_start_s, recipe.duration_s)
    mixture = background * ANTICLIPPING_FACTOR
    for i, placed in enumerate(recipe.events):
        event = event_clip(bank, placed.event, placed.segment_onset_s, placed.segment_offset_s)
        names = f"{recipe.name}: {placed.event} in {recipe.background}"
        extent = _extent(event, background, placed.onset_s, names)
        factor = placed.scaling_factor
        if factor is None:
            factor = scaling_factor(event, background, placed.onset_s, placed.ebr_db, names)
        if i == 0:  # the official sum, to the last bit
            mixture[extent] = (factor * event + background[extent]) * ANTICLIPPING_FACTOR
        else:
            mixture[extent] += factor * event * ANTICLIPPING_FACTOR
    if recipe.negative is not None:
        part = recipe.negative_segment_onset_s, recipe.negative_segment_offset_s
        negative = event_clip(bank, recipe.negative, *part, read=bank.negative_audio)
        names = f"{recipe.name}: {recipe.negative} in {recipe.background}"
        extent = _extent(negative, background, recipe.negative_onset_s, names)
        factor = scaling_factor(negative, background, recipe.negative_onset_s, recipe.negative_ebr_db, names)
        mixture[extent] += factor * negative * ANTICLIPPING_FACTOR
    if recipe.has_event or recipe.negative is not None:
        peak = max(mixture.max(), -mixture.min())
        if peak >= 1:
            mixture /= peak
    return mixture


def _extent(event, background, onset_s, names):
    """The samples of a background where an event goes. InputError: it does not fit there."""
    first = int(onset_s * SAMPLE_RATE)
    if not 0 <= first <= len(background) - len(event):
        raise InputError(
            f"{names}: event of {len(event) / SAMPLE_RATE:.3f} s at {onset_s} s does not fit in a background of "
            f"{len(background) / SAMPLE_RATE:.3f} s"
        )
    return slice(first, first + len(event))


@contextlib.contextmanager
def naming_all(recipes, bank):
    """Context for rendering: once a sound cannot be used, find all others and name them together.

    Raises
    ------
    InputError
        With a line for each sound of the recipes, and of any subset of their classes, that cannot be used; or the one
        that came, if there are not several.
    """
    try:
        yield
    except InputError as error:
        faults = _faults(recipes, bank)
        raise InputError.several(faults, "sounds cannot be used") if len(faults) > 1 else error from None


def _faults(recipes, bank):
    """Read all sounds of some recipes, and all others of their classes: a list of InputError, one for each fault."""
    reads = {}  # in order, each once
    for recipe in recipes:
        if recipe.rendered is not None:
            reads["mixture", recipe.rendered] = read_audio
            continue
        reads["background", recipe.background, recipe.background_start_s, recipe.duration_s] = bank.background_audio
        for event in recipe.events:
            reads["event", event.event, event.segment_onset_s, event.segment_offset_s] = partial(event_clip, bank)
        if recipe.negative is not None:
            part = recipe.negative_segment_onset_s, recipe.negative_segment_offset_s
            reads[("negative", recipe.negative, *part)] = partial(event_clip, bank, read=bank.negative_audio)
    for subset in SUBSETS if isinstance(bank, Bank) else ():
        with contextlib.suppress(InputError):  # it has none of them
            labels = {event.label for recipe in recipes for event in recipe.events}
            clips = [clip for label in labels for clip in bank.events(label, subset)]
            reads |= {("event", c.key, c.onset_s, c.offset_s): partial(event_clip, bank) for c in clips}
        with contextlib.suppress(InputError):
            pieces = bank.backgrounds(subset)
            reads |= {("background", p.key, p.start_s, p.duration_s): bank.background_audio for p in pieces}
    faults = {}
    for (kind, key, *part), read in reads.items():
        try:
            if not read(key, *part).any():
                raise InputError(f"{key}: the {kind} is silent (all samples zero)")
        except InputError as error:
            faults.setdefault(str(error), error)
    return [*faults.values()]


def event_clip(bank, key, onset_s, offset_s, *, read=None):
    """Samples [trunc(onset·44100), trunc(offset·44100)) of the recording of an event, fewer if that is shorter.

    The products are float64, as in the official program: 0.29 s is sample 12788. `read` is `bank.event_audio` or, for
    a negative, `bank.negative_audio`.

    Raises
    ------
    InputError
        The part lies outside the recording, or as in `bank.event_audio`.
    """
    event = (read or bank.event_audio)(key)[int(onset_s * SAMPLE_RATE) : int(offset_s * SAMPLE_RATE)]
    if len(event) == 0:
        raise InputError(f"{key}: no samples between {onset_s} s and {offset_s} s")
    return event


def background_clip(bank, key, start_s=0.0, duration_s=None):
    """A background of `duration_s` seconds from `start_s` on, looped if the recording is too short.

    Parameters
    ----------
    duration_s : float or None
        None: the whole recording (official recipes).

    Returns
    -------
    (round(duration_s * 44100),) float64, possibly read-only
    """
    y = bank.background_audio(key, start_s, duration_s)
    if duration_s is None:
        return y
    n_samples = round(duration_s * SAMPLE_RATE)
    return y[:n_samples] if len(y) >= n_samples else loop(y, n_samples)


def loop(y, n_samples):
    """Repeat `y` up to `n_samples`. At each seam its end is faded into its beginning with constant power.

    (samples,) float64 → (n_samples,) float64. Deterministic; the first pass up to the seam is `y` itself.
    """
    n_seam = min(round(SEAM_S * SAMPLE_RATE), len(y) // 4)
    angle = np.pi / 2 * (np.arange(n_seam) + 0.5) / max(n_seam, 1)
    period = y[: len(y) - n_seam].copy()
    period[:n_seam] = y[:n_seam] * np.sin(angle) + y[len(y) - n_seam :] * np.cos(angle)
    looped = np.resize(period, n_samples)
    looped[:n_seam] = y[: min(n_seam, n_samples)]
    return looped


def scaling_factor(event, background, onset_s, ebr_db, name="mixture"):
    """Amplitude factor that gives the event the requested event-to-background ratio.

    10^(ebr_db/20) / (rms(event) / rms(background under the event)), pauses included. If the background under the event
    is silent (digital zero), the level of the whole background is used.

    Parameters
    ----------
    event, background : (samples,) float64
    onset_s, ebr_db : float
        Seconds; decibels.
    name : str
        For error messages.

    Raises
    ------
    InputError
        The event or the whole background is silent, or the event ends after the background.
    """
    first = onset_s * SAMPLE_RATE
    under = background[int(first) : int(first + len(event))]
    if len(under) < len(event):
        raise InputError(f"{name}: the event at {onset_s} s ends after the background")
    event_level, background_level = rms(event), rms(under)
    if event_level == 0:
        raise InputError(f"{name}: the event is silent (all samples zero)")
    if background_level == 0:
        background_level = rms(background)
    if background_level == 0:
        raise InputError(f"{name}: the background is silent (all samples zero)")
    return float(np.power(10.0, ebr_db / 20.0) / (event_level / background_level))


def quantize24(y):
    """The 24-bit integers that libsndfile (up to 1.2.2) stores for float samples: (samples,) float64 → int32.

    floor(rint(y · 2^31) / 256), after limiting to 32 bits. This rounds *down* to the 24-bit grid: 1.0 gives 8388607
    and -1e-9 gives -1. An integer k stands for the sample k / 2^23.
    """
    scaled = np.rint(np.asarray(y, dtype=np.float64) * 2.0**31)
    np.clip(scaled, -(2.0**31), 2.0**31 - 1, out=scaled)
    return (scaled.astype(np.int64) >> 8).astype(np.int32)
