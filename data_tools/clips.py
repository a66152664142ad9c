"""What goes into a mixture: cut events, backgrounds of a clip's length, and their levels (paper, Sec. 4).

Between the banks, which give whole recordings, and `mixing`, which adds them up.
"""

import numpy as np

from data_tools.audio import SAMPLE_RATE
from data_tools.errors import InputError

SEAM_S = 0.05  # crossfade where a looped background meets itself, seconds; at most a quarter of the recording


def event_clip(bank, key, onset_s, offset_s):
    """Samples of an event: [trunc(onset·44100), trunc(offset·44100)) of its recording, cut short at its end.

    Products are float64, as the official program's: 0.29 s is sample 12788.

    Raises
    ------
    InputError
        The part lies outside the recording; or what `bank.event_audio` raises.
    """
    event = bank.event_audio(key)[int(onset_s * SAMPLE_RATE) : int(offset_s * SAMPLE_RATE)]
    if len(event) == 0:
        raise InputError(f"{key}: no samples between {onset_s} s and {offset_s} s")
    return event


def background_clip(bank, key, start_s=0.0, duration_s=None):
    """Background of `duration_s` seconds from `start_s` on, looped where the recording is too short.

    Parameters
    ----------
    duration_s : float or None
        None: the recording as it is (official recipes).

    Returns
    -------
    (round(duration_s * 44100),) float64; possibly read-only
    """
    y = bank.background_audio(key, start_s, duration_s)
    if duration_s is None:
        return y
    n_samples = round(duration_s * SAMPLE_RATE)
    return y[:n_samples] if len(y) >= n_samples else loop(y, n_samples)


def loop(y, n_samples):
    """Repeat `y` up to `n_samples`; at each seam its end is faded into its beginning with constant power.

    (samples,) float64 → (n_samples,) float64. Deterministic; the first pass up to the seam is `y` itself.
    """
    n_seam = min(round(SEAM_S * SAMPLE_RATE), len(y) // 4)
    angle = np.pi / 2 * (np.arange(n_seam) + 0.5) / max(n_seam, 1)
    period = y[: len(y) - n_seam].copy()
    period[:n_seam] = y[:n_seam] * np.sin(angle) + y[len(y) - n_seam :] * np.cos(angle)
    looped = np.resize(period, n_samples)
    looped[:n_seam] = y[: min(n_seam, n_samples)]
    return looped


def rms(x):
    """Root mean square of a (samples,) signal; float64."""
    return np.sqrt(np.mean(np.abs(x) ** 2))


def scaling_factor(event, background, onset_s, ebr_db, name="mixture"):
    """Amplitude factor that gives the event the wanted event-to-background ratio.

    10^(ebr_db/20) / (rms(event) / rms(background under the event)); measured before any other factor, pauses included.
    Where the background is silent under the event (digital zero), its level over the whole clip stands in.

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
        The event, or the whole background, is silent: no factor gives the ratio. Or the event does not fit.
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
