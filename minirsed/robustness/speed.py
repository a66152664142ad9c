"""The same events slower and faster at their pitch: a phase vocoder, and mixtures whose events have been through it.

Data flow: recipe, bank → **speed** → mixture → `measure`.

An event is stretched before it is mixed, so the background, the onset and the event-to-background ratio of a recipe
stay what they are, and its offset moves. Training and test events usually come from the same range of speeds and
lengths; this is how to meet others.

The vocoder is Flanagan and Golden's ("Phase vocoder", *Bell System Technical Journal* 45, 1966, 1493–1509) on
short-time spectra, with two improvements. Phases of neighbouring bins are locked (Puckette, "Phase-locked vocoder",
*IEEE WASPAA*, 1995; compared with others by Laroche and Dolson, "Improved phase vocoder time-scale modification of
audio", *IEEE Transactions on Speech and Audio Processing* 7(3), 1999, 323–332). And where a sound begins, the phases
are those of the sound itself, as Röbel proposed with finer rules ("A new approach to transient processing in the phase
vocoder", *DAFx*, 2003): phases that have drifted apart would spread a bang over a whole window.
"""

import numpy as np

from data_tools.audio import CLIP_S, SAMPLE_RATE
from data_tools.mixing import render

SPEEDS = (0.5, 0.7, 1.4, 2.0)  # that are measured: 2 is twice as fast, in half the time
WINDOW, HOP = 1024, 256  # samples, 23 and 6 ms: short, since bangs and breaking glass matter more than low tones
RISE = 4.0  # a sound begins where the energy in a window has grown by this factor, 6 dB, within a hop


def stretch(y, speed):
    r"""Play a waveform faster or slower; what is heard keeps its pitch.

    Frame k of the output, at sample k·HOP, has the magnitudes of the input there, X_k at round(k·HOP·speed). Its phases
    move on from those of the frame before as far as the phases of the input do in one hop:

        ∠Y_k = ∠(Z_{k−1} · X_k · conj(X_k')),    X_k' one HOP before X_k in the input

    with Z_{k−1} = Y_{k−1} and both of its neighbours of opposite sign, as the bins of one partial have it under this
    window: they lock to the strongest. Both spectra of a pair are a hop of the *output* apart, so no phase has to be
    unwrapped. At the start, and where the energy rises by more than `RISE`, Y_k = X_k.

    Parameters
    ----------
    y : (samples,) float64
        At about 44.1 kHz; only the lengths of window and hop depend on it.
    speed : float
        More than 0: 2 takes half the time; 0.5 to 2 sounds natural.

    Returns
    -------
    (round(samples / speed),) float64
        At speed 1 `y` itself.
    """
    if speed == 1:
        return y
    n_samples = round(len(y) / speed)
    window = np.hanning(WINDOW + 1)[:-1]
    padded = np.pad(y, (WINDOW + HOP, WINDOW))
    out = np.zeros(n_samples + 2 * WINDOW)
    for centre in range(-WINDOW // 2, n_samples + WINDOW // 2, HOP):  # in the output
        at = min(round(centre * speed), len(y)) if centre > 0 else centre  # in the input; as fast as it is before it
        first = at + WINDOW // 2  # of the earlier window, in `padded`
        pair = np.stack([padded[first : first + WINDOW], padded[first + HOP : first + HOP + WINDOW]])
        earlier, spectrum = np.fft.rfft(window * pair)
        if centre <= 0 or _energy(spectrum) > RISE * _energy(earlier):
            before = spectrum
        else:
            before = np.abs(spectrum) * _phases(_locked(before) * spectrum * earlier.conj())
        out[centre + WINDOW // 2 :][:WINDOW] += window * np.fft.irfft(before, WINDOW)
    overlapping = np.sum(window[::HOP] ** 2)  # the squares of the windows add up to this, the same everywhere
    return out[WINDOW:][:n_samples] / overlapping


def _locked(spectrum):
    """Each bin minus both of its neighbours: within a partial their signs alternate, so all three add up."""
    locked = spectrum.copy()
    locked[1:] -= spectrum[:-1]
    locked[:-1] -= spectrum[1:]
    return locked


def _phases(spectrum):
    """Each bin at magnitude 1; 1 where it is 0."""
    magnitude = np.abs(spectrum)
    return np.divide(spectrum, magnitude, out=np.ones_like(spectrum), where=magnitude > 0)


def _energy(spectrum):
    return np.sum(np.abs(spectrum) ** 2)


class Stretched:
    """The sounds of a bank as `data_tools.mixing.render` wants them, with all events at another speed.

    Parameters
    ----------
    bank : data_tools.banks.base.Bank
    speed : float
        As for `stretch`.
    """

    def __init__(self, bank, speed):
        self.bank, self.speed = bank, speed

    def event_audio(self, key):
        """As that of the bank, stretched: (samples,) float64."""
        return stretch(self.bank.event_audio(key), self.speed)

    def background_audio(self, key, start_s=0.0, duration_s=None):
        """That of the bank."""
        return self.bank.background_audio(key, start_s, duration_s)

    def negative_audio(self, key):
        """That of the bank."""
        return self.bank.negative_audio(key)


def at_speed(recipe, speed):
    """The recipe of the same mixture with its events at another speed, for a `Stretched` bank.

    An event that would end after the mixture begins earlier, as late as it can. If it is longer than the mixture, it
    begins with it, and is cut at the end. The factor of its level follows from `ebr_db` again.

    Parameters
    ----------
    recipe : data_tools.recipes.Recipe
    speed : float

    Returns
    -------
    data_tools.recipes.Recipe
        The same one if it has no event, or at speed 1.
    """
    if not recipe.has_event or speed == 1:
        return recipe
    duration_s = CLIP_S if recipe.duration_s is None else recipe.duration_s
    duration_s -= 1 / SAMPLE_RATE  # cutting to whole samples may add one to a length
    return recipe.with_events([_event_at(speed, event, duration_s) for event in recipe.events])


def _event_at(speed, event, duration_s):
    first_s, length_s = event.segment_onset_s / speed, min(event.length_s / speed, duration_s)
    return event._replace(
        segment_onset_s=first_s,
        segment_offset_s=first_s + length_s,
        onset_s=min(event.onset_s, duration_s - length_s),
        scaling_factor=None,
    )


def render_at(speed, recipe, bank):
    """`data_tools.mixing.render` of a recipe with its event at another speed."""
    return render(at_speed(recipe, speed), Stretched(bank, speed))


def speeds_here(recipes):
    """The speeds at which the events of mixtures can be played, and notes on those that had to move.

    Parameters
    ----------
    recipes : list of data_tools.recipes.Recipe

    Returns
    -------
    speeds : tuple of float
        `SPEEDS`; none if there are mixtures that came rendered.
    notes : list of str
    """
    if any(recipe.rendered is not None for recipe in recipes):
        return (), ["events at other speeds left out: these mixtures came rendered"]
    notes = []
    for speed in SPEEDS:
        pairs = [pair for r in recipes for pair in zip(r.events, at_speed(r, speed).events, strict=True)]
        n_moved = sum(changed.onset_s < event.onset_s for event, changed in pairs)
        n_cut = sum(changed.length_s < event.length_s / speed - 1 / SAMPLE_RATE for event, changed in pairs)
        if n_moved or n_cut:
            notes.append(f"{name(speed)}: {n_moved} of {len(pairs)} begin earlier, so that they fit, {n_cut} are cut")
    return SPEEDS, notes


def name(speed):
    """`events at 0.5 × speed`."""
    return f"events at {speed:g} × speed"
