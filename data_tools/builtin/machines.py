"""Sounds by rule that are nothing in particular: clicks of switches and cables, sweeps, tones.

No scene has them. Beside `distractors` they are what a detector of the built-in classes must not take for its event
(`data_tools.builtin.keys.everyday_keys`). Functions take a random generator and return a new instance, (samples,)
float64 at 44.1 kHz, at any level.
"""

import numpy as np
from scipy.signal import chirp

from data_tools.audio import SAMPLE_RATE
from data_tools.builtin.parts import add_at, decay, fade, harmonic_tone, samples

PITCH_HZ = (60.0, 12000.0)


def clicks(rng):
    """Switches, plugs, dropped samples: one to twenty clicks, each over in a few milliseconds."""
    y = np.zeros(samples(rng.uniform(0.05, 2.5)))
    for _ in range(int(rng.choice([1, 2, 3, 5, 8, 12, 20]))):
        one = rng.choice([-1.0, 1.0]) * decay(samples(0.008), _log_uniform(rng, 1e-5, 2e-3))
        if rng.random() < 0.3:
            one = one * rng.standard_normal(len(one))
        add_at(y, rng.uniform(0.3, 1.0) * one, int(rng.integers(0, len(y) - 1)))
    return y if y.any() else np.ones(1)


def sweep(rng):
    """A tone that rises or falls, evenly or by octaves, in 0.2 to 6 s; a fifth of them has overtones."""
    t = np.arange(samples(_log_uniform(rng, 0.2, 6.0))) / SAMPLE_RATE
    first_hz, last_hz = _log_uniform(rng, *PITCH_HZ), _log_uniform(rng, *PITCH_HZ)
    method = "logarithmic" if rng.random() < 0.7 else "linear"
    y = chirp(t, first_hz, t[-1], last_hz, method=method)
    return fade(np.clip(3 * y, -1, 1) if rng.random() < 0.2 else y, 0.03, 0.05)


def tone(rng):
    """A steady tone of 0.1 to 4 s, pure or with overtones, with a soft or a sudden start."""
    n, pitch_hz = samples(_log_uniform(rng, 0.1, 4.0)), _log_uniform(rng, *PITCH_HZ)
    overtones = 1 / np.arange(1, int(rng.integers(1, 5)) + 1) ** 1.5
    return fade(
        harmonic_tone(np.full(n, pitch_hz), overtones[: max(1, int(20000 / pitch_hz))]), *rng.uniform(2e-3, 0.1, 2)
    )


def _log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
