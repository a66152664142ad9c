"""The built-in sounds as a bank: computed when they are asked for, nothing to download."""

import hashlib

from data_tools.audio import SAMPLE_RATE
from data_tools.banks.base import Background, Bank, EventClip
from data_tools.builtin import keys


class BuiltinBank(Bank):
    """Sounds of `data_tools.builtin`. Every event recording is active throughout."""

    _cache_size = 8

    def __init__(self, seed=0):
        super().__init__("builtin", keys.CLASSES)
        self.seed = seed

    def _events(self, label, subset):
        lengths_s = {key: keys.event_length(key, self.seed) / SAMPLE_RATE for key in keys.event_keys(label, subset)}
        return [EventClip(key, label, 0.0, length_s) for key, length_s in lengths_s.items()]

    def _backgrounds(self, subset):
        return [Background(key, scene) for key, scene in keys.background_keys(subset)]

    def _event_audio(self, key):
        return keys.event_audio(key, self.seed)

    def _background_audio(self, key, start_s, duration_s):
        first = int(start_s * SAMPLE_RATE)
        last = None if duration_s is None else first + round(duration_s * SAMPLE_RATE)
        return keys.background_audio(key, self.seed)[first:last]

    def everyday_sounds(self):
        """See `Bank.everyday_sounds`."""
        return keys.everyday_keys()

    def everyday_audio(self, key):
        """See `Bank.everyday_audio`."""
        return keys.everyday_audio(key, self.seed)

    def fingerprint(self):
        """See `Bank.fingerprint`."""
        return hashlib.sha256(f"builtin {keys.VERSION} {self.seed}".encode()).hexdigest()
