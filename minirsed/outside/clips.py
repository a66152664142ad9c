"""Training clips, each one new: a background or two, perhaps sounds that are not the event, perhaps the event.

Data flow: spectra, changes → **clips** → inputs → members. After the paper's Sec. 4 (an event at a random place in a
background, at one of three ratios), in the power domain and shorter: 10 s hold as much of an event as 30 s do, and
three times as many of them fit into a second of training.
"""

from typing import NamedTuple

import numpy as np

from minirsed.features import HOP, SAMPLE_RATE, frame_labels
from minirsed.listening.inputs import band_edges_hz
from minirsed.outside import changes
from minirsed.outside.spectra import FRAMES_BEFORE, LEAST_POWER, EventSpectrum

SECOND_BACKGROUND_DB = (-10.0, 3.0)  # of the first's level
OTHER_EVENTS_DB = (-6.0, 10.0)  # of the background under them
EVERYDAY_DB, MOST_EVERYDAY = (-6.0, 12.0), 4
QUIET_DB = (-45.0, -10.0)  # of a place of the usual level, in which events are as loud as elsewhere
QUIET_SLOPE = (0.0, 2.0)  # of the power over the frequency: white to brown
NEGATIVES = 0.5  # of the sounds that are not to be found, where events of other classes are there as well
MIXTURE_CUTOFF_HZ, EVENT_CUTOFF_HZ = (3000.0, 16000.0), (1500.0, 8000.0)
ROOM_T60_S, ROOM_DIRECT_DB = (0.15, 0.9), (-3.0, 12.0)
ROOM, EVENT_LOW_PASS = 0.5, 0.4  # how likely each is where an event is far away
LEAST_KEPT, MOST_TIMES = 0.25, 3  # of an event in pieces: share of its length, copies
SHORTEST_HOPS, LONGEST_PAUSE_HOPS = 4, 22  # 0.1 s, 0.5 s


class Batch(NamedTuple):
    """B clips of T frames."""

    power: np.ndarray  # (B, T, bands) float32
    labels: np.ndarray  # (B, C, T) float32, y_t of each class


def draw_batch(rng, spectra, settings, n_clips):
    """Draw a minibatch; which of its clips have events, see `presence`.

    Parameters
    ----------
    rng : numpy.random.Generator
    spectra : minirsed.outside.spectra.Spectra
    settings : minirsed.run.settings.TrainSettings
        Its `clip_s`, `event_share`, `ebr_db` and changes.
    n_clips : int

    Returns
    -------
    Batch
    """
    has_event = presence(rng, len(spectra.events), n_clips, settings.event_share)
    clips = [draw_clip(rng, spectra, settings, own) for own in has_event]
    return Batch(*(np.stack(part) for part in zip(*clips, strict=True)))


def presence(rng, n_classes, n_clips, share=0.5):
    """Which clips have which events, (n_clips, C) bool: a share of them each, an odd one out as often as it takes.

    Those of the first class come first. Each further class has that share at random, whatever the others have.
    """
    n_least, rest = divmod(share * n_clips, 1)
    has_event = np.zeros((n_clips, n_classes), bool)
    for c in range(n_classes):
        one_more = rest and (rng.integers(2) if rest == 0.5 else rng.random() < rest)
        own = np.arange(n_clips) < n_least + one_more
        has_event[:, c] = rng.permutation(own) if c else own
    return has_event


def n_clip_frames(clip_s):
    """Frames of a training clip: an even number, at least 2."""
    return max(2, round(clip_s * SAMPLE_RATE / HOP / 2) * 2)


def draw_clip(rng, spectra, settings, has_event):
    """One clip, with an event of each class where `has_event` (C,) is true: (T, bands) power and (C, T) labels."""
    n_frames = n_clip_frames(settings.clip_s)
    power, level = _background(rng, spectra, n_frames)
    if rng.random() < settings.second_background:
        second, second_level = _background(rng, spectra, n_frames)
        gain = np.float32(_ratio(rng, SECOND_BACKGROUND_DB) * level.mean() / max(second_level.mean(), LEAST_POWER))
        power, level = power + gain * second, level + gain * second_level
    if settings.everyday > 0 and spectra.everyday and rng.random() < settings.everyday:
        power = _quiet_place(rng, spectra, level)
        for _ in range(rng.integers(MOST_EVERYDAY + 1)):
            _put(rng, power, level, spectra.everyday, _ratio(rng, EVERYDAY_DB), spectra, settings)
    labels = np.zeros((len(has_event), n_frames), np.float32)
    if (spectra.others or spectra.negatives) and rng.random() < settings.other_events:
        for _ in range(rng.integers(1, 3)):
            _put(rng, power, level, *_not_to_be_found(rng, spectra, settings), spectra, settings)
    for c in np.flatnonzero(has_event):
        ratio = _event_ratio(rng, settings)
        onset_s, offset_s = _put(rng, power, level, spectra.events[c], ratio, spectra, settings)
        labels[c] = frame_labels(onset_s, offset_s, n_frames)
    if settings.equaliser_db > 0:
        power *= changes.equaliser(rng, settings.equaliser_db, spectra.bands)
    if rng.random() < settings.low_pass:
        power *= changes.low_pass(_log_uniform(rng, MIXTURE_CUTOFF_HZ), spectra.n_mels, spectra.bands)
    return power, labels


def _background(rng, spectra, n_frames):
    features = spectra.backgrounds.features
    return spectra.background(rng.integers(len(features)), rng.integers(features.shape[1]), n_frames)


def _quiet_place(rng, spectra, level):
    """Background of a place in which nothing is heard but a recorder's own noise, far below `level` (T,): power."""
    white = spectra.white[(rng.integers(len(spectra.white)) + np.arange(len(level))) % len(spectra.white)]
    centre_hz = band_edges_hz(spectra.n_mels)[1 : spectra.bands + 1]
    power = white * ((centre_hz / 1000) ** -rng.uniform(*QUIET_SLOPE)).astype(np.float32)
    loudness = (power @ spectra.widths[: spectra.bands]).mean()
    return power * np.float32(_ratio(rng, QUIET_DB) * level.mean() / loudness)


def _not_to_be_found(rng, spectra, settings):
    """Recordings to take a sound from, and its ratio: negatives, at those of events, in half of all cases."""
    if spectra.negatives and (not spectra.others or rng.random() < NEGATIVES):
        return spectra.negatives, _event_ratio(rng, settings)
    return spectra.others, _ratio(rng, OTHER_EVENTS_DB)


def _event_ratio(rng, settings):
    return 10.0 ** (settings.ebr_db[rng.integers(len(settings.ebr_db))] / 10)


def _put(rng, power, level, recordings, ratio, spectra, settings):
    """Add an event to `power`, in place; (onset_s, offset_s) of its frames' centres within the clip."""
    recording = recordings[rng.integers(len(recordings))]
    event, length_s, above = _changed(rng, recording[rng.integers(len(recording))], spectra, settings)
    n_frames = len(power)
    length = max(length_s * SAMPLE_RATE / HOP, 1.0)
    n_active = min(length, n_frames - 1)
    onset = int(rng.uniform(0, n_frames - n_active))  # the frame whose first sample is the event's
    under = level[onset : int(np.ceil(onset + n_active))].mean()
    energy = float((event @ spectra.widths[: spectra.bands]).sum()) + above
    gain = ratio * under * length / max(energy, LEAST_POWER)  # as the mixer's rms: over the event's length
    first = onset - FRAMES_BEFORE
    event = event[max(-first, 0) : n_frames - first]
    power[max(first, 0) : max(first, 0) + len(event)] += event * np.float32(gain)
    return onset * HOP / SAMPLE_RATE, (onset + n_active) * HOP / SAMPLE_RATE


def _changed(rng, event, spectra, settings):
    """An event as it might have been elsewhere, an `EventSpectrum`."""
    if settings.pieces > 0 and rng.random() < settings.pieces:
        event = _in_pieces(rng, event, spectra)
    power, length_s, above = event
    if settings.stretch > 0 or settings.pitch_bands > 0:
        speed = float(np.exp(rng.uniform(-1, 1) * settings.stretch))
        power = changes.stretched(power, speed, rng.uniform(-1, 1) * settings.pitch_bands)
        length_s, above = length_s / speed, above / speed
    if rng.random() < settings.distance:
        if rng.random() < ROOM:
            power = changes.reverberated(power, rng.uniform(*ROOM_T60_S), rng.uniform(*ROOM_DIRECT_DB))
        if rng.random() < EVENT_LOW_PASS:
            power, above = (
                power * changes.low_pass(_log_uniform(rng, EVENT_CUTOFF_HZ), spectra.n_mels, spectra.bands),
                0.0,
            )
    if settings.event_equaliser_db > 0:
        power = power * changes.equaliser(rng, settings.event_equaliser_db, spectra.bands)
    return EventSpectrum(power, length_s, above)


def _in_pieces(rng, event, spectra):
    """An event cut short and repeated, an `EventSpectrum`; what lies above its bands keeps its share of the energy."""
    length = max(1, int(event.length_s * SAMPLE_RATE / HOP))
    n_kept = max(min(SHORTEST_HOPS, length), round(length * rng.uniform(LEAST_KEPT, 1)))
    n_times, n_pause = int(rng.integers(1, MOST_TIMES + 1)), int(rng.integers(LONGEST_PAUSE_HOPS + 1))
    power = changes.pieces(event.power, n_kept, n_times, n_pause)
    before, after = (float((each @ spectra.widths[: spectra.bands]).sum()) for each in (event.power, power))
    length_s = (n_times * (n_kept + n_pause) - n_pause) * HOP / SAMPLE_RATE
    return EventSpectrum(power, length_s, event.above * after / max(before, LEAST_POWER))


def _ratio(rng, between_db):
    return 10.0 ** (rng.uniform(*between_db) / 10)


def _log_uniform(rng, between):
    return float(np.exp(rng.uniform(*np.log(between))))
