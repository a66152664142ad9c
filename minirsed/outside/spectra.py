"""The sounds of a bank as power in mel bands, so that mixing them costs a third of a millisecond.

Data flow: bank, store → **spectra** → clips. Powers of sounds that have nothing to do with each other add up:

    |B_k + E_k|² = |B_k|² + |E_k|² + 2 Re(B_k E_k*),        E[Re(B_k E_k*)] = 0

and a mel band of a frame averages the last term over its bins. Against mixtures of waveforms, the logarithm in frames
under events differs by 0.006 in the mean and by 0.12 in its standard deviation, where that of the features is 3. So
every training clip can be a new one.
"""

import contextlib
from typing import NamedTuple

import numpy as np

from data_tools.audio import CLIP_S, SAMPLE_RATE
from data_tools.errors import InputError
from data_tools.mixing import event_clip
from data_tools.recipes import check_fits
from data_tools.several import negatives_for
from minirsed.features import HOP, WIN, lfbe
from minirsed.listening.inputs import INPUTS, band_widths_hz

FRAMES_BEFORE = 4  # empty frames before an event: the first that its first sample falls into is number 3 or 4
SILENCE = np.log(2e-10)  # LFBE below it throughout: not even the last bit of 16
LEAST_POWER = 1e-20  # far below any floor of the inputs


class EventSpectrum(NamedTuple):
    """An event: its sound starts at the first sample of frame `FRAMES_BEFORE`."""

    power: np.ndarray  # (frames, bands) float32
    length_s: float
    above: float = 0.0  # Σ_m w_m P_tm of all frames in the bands that `power` leaves out


class Spectra:
    """All that training clips are made of.

    Attributes
    ----------
    events : list of list of list of EventSpectrum
        Of each class to detect, those of one recording together.
    others : list of list of EventSpectrum
        Of all other classes.
    negatives : list of list of EventSpectrum
        `Bank.negatives`: known to be of none of the classes to detect.
    everyday : list of list of EventSpectrum
        `Bank.everyday_sounds`.
    backgrounds : minirsed.store.dataset.FeatureStore
        LFBE of pieces of 30 s, with the mixer's factor 0.2.
    n_mels : int
        Bands from 0 to 22,050 Hz.
    bands : int
        How many of them the clips have.
    widths : (n_mels,) float32
        w_m: Σ_m w_m P_tm is the power of the samples of a frame, but for a factor.
    white : (T, bands) float32
        30 s of white noise.
    levels : (N, T) float32
        That sum for every frame of the backgrounds, over all bands.
    """

    def __init__(self, events, others, backgrounds, n_mels, bands, negatives=(), everyday=()):
        self.events, self.others, self.backgrounds, self.negatives = events, others, backgrounds, list(negatives)
        self.everyday = list(everyday)
        self.n_mels, self.bands = n_mels, bands
        self.widths = band_widths_hz(n_mels)
        noise = np.random.default_rng(0).standard_normal(round(CLIP_S * SAMPLE_RATE))
        self.white = np.exp(lfbe(noise, n_mels=n_mels))[:, :bands]
        self.levels = np.stack([np.exp(frames, dtype=np.float32) @ self.widths for frames in backgrounds.features])
        for row in np.flatnonzero(backgrounds.features.reshape(len(self.levels), -1).max(axis=1) < SILENCE):
            raise InputError(f"{backgrounds.recipes[row].background}: the background is silent (all samples zero)")

    @classmethod
    def of(cls, bank, settings, backgrounds, progress=None):
        """Those of a run.

        Parameters
        ----------
        bank : data_tools.banks.base.Bank
        settings : minirsed.run.settings.TrainSettings
        backgrounds : minirsed.store.dataset.FeatureStore
            Of `minirsed.store.mixtures.background_recipes`.
        progress : callable, optional
            `progress(n_done, n_total)`, in events.

        Raises
        ------
        InputError
            An event cannot be read.
        """
        n_mels = settings.n_mels
        bands = INPUTS[settings.inputs].n_inputs(n_mels)
        clips = [clip for label in settings.classes for clip in bank.events(label, "train")]
        if settings.other_events > 0:
            others = other_events(bank, settings.classes) if settings.other_classes == "yes" else []
            clips = clips + others + negatives_for(bank, settings.classes, "train")
        everyday, recordings = bank.everyday_sounds() if settings.everyday > 0 else [], {}
        n_sounds = len(clips) + len(everyday)
        for i, clip in enumerate(clips, 1):
            recording = (bank.event_recording if clip.label else bank.negative_recording)(clip.key)
            recordings.setdefault((clip.label, recording), []).append(event_spectrum(bank, clip, n_mels, bands))
            if progress:
                progress(i, n_sounds)
        events = [[own for (label, _), own in recordings.items() if label == each] for each in settings.classes]
        others = [own for (label, _), own in recordings.items() if label not in (*settings.classes, None)]
        negatives = [own for (label, _), own in recordings.items() if label is None]
        made = []
        for i, key in enumerate(everyday, len(clips) + 1):
            made.append([spectrum_of(bank.everyday_audio(key), n_mels, bands)])
            if progress:
                progress(i, n_sounds)
        return cls(events, others, backgrounds, n_mels, bands, negatives, made)

    def name(self, row):
        """Of a clip of an epoch, for messages."""
        return f"number {row + 1} of the epoch"

    def background(self, row, first, n_frames):
        """A background from one of its frames on, which starts again where it ends.

        Returns
        -------
        power : (n_frames, bands) float32
        level : (n_frames,) float32
            See `levels`.
        """
        frames = self.backgrounds.features[row, :, : self.bands]
        pieces, levels = [], []
        while n_frames:
            pieces.append(frames[first : first + n_frames])
            levels.append(self.levels[row, first : first + n_frames])
            n_frames, first = n_frames - len(pieces[-1]), 0
        return np.exp(np.concatenate(pieces), dtype=np.float32), np.concatenate(levels)


def other_events(bank, labels):
    """Training events of all classes but some; a class that has none is passed over."""
    others = []
    for other in bank.classes:
        if other not in labels:
            with contextlib.suppress(InputError):  # none in this subset
                others += bank.events(other, "train")
    return others


def event_spectrum(bank, clip, n_mels, bands):
    """`spectrum_of` an event of a bank. InputError: it cannot be read, is silent, or longer than 30 s."""
    check_fits(clip)
    read = bank.event_audio if clip.label else bank.negative_audio
    y = event_clip(bank, clip.key, clip.onset_s, clip.offset_s, read=read)
    if not np.isfinite(y).all() or not y.any():
        raise InputError(
            f"{clip.key}: the event is {'silent (all samples zero)' if np.isfinite(y).all() else 'not finite'}"
        )
    return spectrum_of(y, n_mels, bands)


def spectrum_of(y, n_mels, bands):
    """A sound (samples,) as an `EventSpectrum`."""
    padded = np.concatenate([np.zeros(FRAMES_BEFORE * HOP), y, np.zeros(WIN)])
    power = np.exp(lfbe(padded, n_mels=n_mels, floor=LEAST_POWER))
    above = float((power[:, bands:] @ band_widths_hz(n_mels)[bands:]).sum())
    return EventSpectrum(power[:, :bands].copy(), len(y) / SAMPLE_RATE, above)
