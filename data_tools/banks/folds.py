"""A bank whose train and dev recordings are dealt into folds: each is dev once, and train for the other folds.

    train + dev of a bank → recordings → n folds → fold k is dev, the others are train; eval is not touched

For cross-validation (Stone, "Cross-validatory choice and assessment of statistical predictions", *Journal of the Royal
Statistical Society* B 36, 1974): where there are few recordings, each of them has a say in the score. Whole recordings
are dealt, never their files, so that nothing is learnt from the recording that it is tried on.
"""

import hashlib

from data_tools.banks.base import Bank
from data_tools.errors import InputError

POOLED = ("train", "dev")


class Folded(Bank):
    """Fold `k` of `n_folds`, counted from 1, of the train and dev recordings of a bank.

    Recordings of a class are dealt so that every fold gets as many of its events as the others, as nearly as whole
    recordings allow, and so are the seconds of backgrounds: the largest recordings first, each to the fold that has
    least; of equally large ones the order is that of a hash of their names, which is random, and the same everywhere. A
    recording of several classes, or of an event and a background, goes where the first of them takes it.

    Raises
    ------
    ValueError
        Fewer than two folds, or `k` is none of them.
    """

    def __init__(self, bank, k, n_folds):
        if n_folds < 2 or not 1 <= k <= n_folds:
            raise ValueError(f"fold {k} of {n_folds}: expected at least two folds, and one of them")
        super().__init__(bank.name, bank.classes)
        self.bank, self.k, self.n_folds = bank, k, n_folds
        self.has_whole_backgrounds, self._cache_size = bank.has_whole_backgrounds, bank._cache_size
        self._fold_of = {}  # recording → 0 … n_folds − 1
        for label in self.classes:
            self._deal([(bank.event_recording(clip.key), 1.0) for clip in sum(self._pooled_events(label), [])])
        self._deal([(bank.background_recording(b.key), b.duration_s) for b in sum(self._pooled_backgrounds(), [])])
        self._deal([(whole.recording, whole.duration_s) for _, whole in self._pooled_whole()])
        for label in self.classes:
            self._deal([(bank.negative_recording(clip.key), clip.length_s) for clip in self._pooled_negatives(label)])

    def _deal(self, sounds):
        """Give each recording of one kind a fold, unless it has one; `sounds` are (recording, its size)."""
        sizes, filled = {}, [0.0] * self.n_folds
        for recording, size in sounds:
            sizes[recording] = sizes.get(recording, 0.0) + size
        order = sorted(sizes, key=lambda recording: (-sizes[recording], _hash(recording)))
        for recording in sorted(order, key=lambda recording: recording not in self._fold_of):
            fold = self._fold_of.setdefault(recording, filled.index(min(filled)))
            filled[fold] += sizes[recording]

    def _pooled_events(self, label):
        """Those for all subsets, and those that are for training unless there are no others."""
        return [
            [clip for subset in POOLED for clip in of_subset(label, subset)]
            for of_subset in (self.bank._events, self.bank._uncut_events)
        ]

    def _pooled_backgrounds(self):
        """As `_pooled_events`."""
        return [
            [piece for subset in POOLED for piece in of_subset(subset)]
            for of_subset in (self.bank._backgrounds, self.bank._uncut_backgrounds)
        ]

    def _pooled_whole(self):
        return [whole for subset in POOLED for whole in self.bank._whole(subset)]

    def _pooled_negatives(self, label):
        return [clip for subset in POOLED for clip in self.bank._negatives(label, subset)]

    def _events(self, label, subset):
        if subset == "eval":
            return self.bank._events(label, subset)
        clips = [[(clip, self.event_recording(clip.key)) for clip in own] for own in self._pooled_events(label)]
        return self._part(*clips, subset, f"recordings of class {label!r}")

    def _backgrounds(self, subset):
        if subset == "eval":
            return self.bank._backgrounds(subset)
        pieces = [
            [(piece, self.background_recording(piece.key)) for piece in own] for own in self._pooled_backgrounds()
        ]
        return self._part(*pieces, subset, "recordings of backgrounds")

    def _negatives(self, label, subset):
        if subset == "eval":
            return self.bank._negatives(label, subset)
        return self._of(subset, [(c, self.negative_recording(c.key)) for c in self._pooled_negatives(label)])

    def _part(self, sounds, uncut, subset, what):
        """Those of the (sound, recording) that are in train or dev; InputError if there are none left for it."""
        part = self._of(subset, sounds)
        if subset == "train" or not part:
            part = part + self._of(subset, uncut)
        sounds = sounds + uncut
        if sounds and not part:
            recordings = {recording for _, recording in sounds}
            n_filled = len({self._fold_of[recording] for recording in recordings})
            raise InputError(
                f"{self.name}: {what} in train and dev: {len(recordings)}, which fill {n_filled} of {self.n_folds} "
                "folds; take fewer folds, or more recordings"
            )
        return part

    def _whole(self, subset):
        if subset == "eval":
            return self.bank._whole(subset)
        return self._of(subset, [(whole, whole[1].recording) for whole in self._pooled_whole()])

    def _of(self, subset, sounds):
        """Those of the (sound, recording) that are in train or dev."""
        return [sound for sound, recording in sounds if (self._fold_of[recording] == self.k - 1) == (subset == "dev")]

    def event_recording(self, key):
        """See `Bank.event_recording`."""
        return self.bank.event_recording(key)

    def background_recording(self, key):
        """See `Bank.background_recording`."""
        return self.bank.background_recording(key)

    def negative_recording(self, key):
        """See `Bank.negative_recording`."""
        return self.bank.negative_recording(key)

    def everyday_sounds(self):
        """See `Bank.everyday_sounds`."""
        return self.bank.everyday_sounds()

    def everyday_audio(self, key):
        """See `Bank.everyday_audio`."""
        return self.bank.everyday_audio(key)

    def equal_sounds(self):
        """See `Bank.equal_sounds`."""
        return self.bank.equal_sounds()

    def is_screened(self, key, label):
        """See `Bank.is_screened`."""
        return self.bank.is_screened(key, label)

    def ready_mixtures(self, label, subset):
        """See `Bank.ready_mixtures`."""
        return self.bank.ready_mixtures(label, subset)

    def _event_audio(self, key):
        return self.bank._event_audio(key)

    def _negative_audio(self, key):
        return self.bank._negative_audio(key)

    def _background_audio(self, key, start_s, duration_s):
        return self.bank._background_audio(key, start_s, duration_s)

    def _advice(self, label=None):
        return self.bank._advice(label)

    def fingerprint(self):
        """See `Bank.fingerprint`: that of the bank, the fold and how many there are."""
        return hashlib.sha256(f"{self.bank.fingerprint()} fold {self.k}/{self.n_folds}".encode()).hexdigest()


def _hash(recording):
    return hashlib.md5(recording.encode("utf-8", "surrogateescape")).digest()


def parse_fold(text):
    """`2/5` → (2, 5), the second of five folds.

    Raises
    ------
    InputError
        Anything else, or a fold that there is not.
    """
    k, slash, n_folds = text.partition("/")
    if not (slash and k.isascii() and k.isdigit() and n_folds.isascii() and n_folds.isdigit()):
        raise InputError(f"--fold is {text!r}: expected K/N, such as 2/5 for the second of five folds")
    if int(n_folds) < 2 or not 1 <= int(k) <= int(n_folds):
        raise InputError(f"--fold is {text!r}: expected a fold from 1/N to N/N, of N = 2 or more")
    return int(k), int(n_folds)
