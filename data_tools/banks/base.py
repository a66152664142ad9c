"""What every source of sounds offers: event clips and background pieces, kept apart by subset.

    banks.builtin, banks.folder, banks.tut2017 → Bank → recipes → mixing

A bank holds names and lengths but no audio, so it is small and cheap to send to workers.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from data_tools.audio import CLIP_S
from data_tools.errors import InputError

SUBSETS = ("train", "dev", "eval")


@dataclass(frozen=True)
class EventClip:
    """An isolated event: the part [onset_s, offset_s) of the recording `key`, in seconds."""

    key: str
    label: str | None  # None: of no class, a sound that is not to be found (`Bank.negatives`)
    onset_s: float
    offset_s: float

    @property
    def length_s(self):
        """Length of the active part, seconds."""
        return self.offset_s - self.onset_s


@dataclass(frozen=True)
class Background:
    """A piece of a background recording: `duration_s` seconds of `key` from `start_s` on."""

    key: str
    scene: str
    start_s: float = 0.0
    duration_s: float = CLIP_S


class Bank:
    """Events and backgrounds in three subsets. `data_tools.soundbank` makes one.

    A new kind of bank defines `_events(label, subset)`, `_backgrounds(subset)`, `_event_audio(key)`,
    `_background_audio(key, start_s, duration_s)` and `fingerprint()`; one that has negatives also
    `_negatives(label, subset)` and `_negative_audio(key)`, one that has everyday sounds `everyday_sounds()` and
    `everyday_audio(key)`, one that has long recordings `_whole(subset)`,
    `_uncut_events(label, subset)` and `_uncut_backgrounds(subset)`.

    Attributes
    ----------
    name : str
        For messages.
    classes : tuple of str
        Event classes, in the bank's order.
    """

    has_whole_backgrounds = False  # True: every background is one whole recording, not a piece of one (TUT)
    _cache_size = 2  # recordings; a 30 s background takes 10 MB

    def __init__(self, name, classes):
        self.name = name
        self.classes = tuple(classes)
        self._cache = OrderedDict()

    def events(self, label, subset):
        """All event clips of a class in a subset, in a fixed order.

        Raises
        ------
        InputError
            Unknown class (the message lists the known ones), or no event of it in that subset.
        ValueError
            `subset` is not train, dev or eval.
        """
        check_subset(subset)
        if label not in self.classes:
            raise InputError(f"{self.name}: no class {label!r}; it has {', '.join(self.classes)}")
        clips = self._events(label, subset)
        if not clips:
            raise InputError(f"{self.name}: no events of class {label!r} in subset {subset!r}{self._advice(label)}")
        return clips

    def backgrounds(self, subset, label=None):
        """All background pieces of a subset, in a fixed order.

        With `label`, those known to contain that class are left out (TUT: the official screening list).
        Errors as in `events`.
        """
        check_subset(subset)
        pieces = [b for b in self._backgrounds(subset) if label is None or not self.is_screened(b.key, label)]
        if not pieces:
            raise InputError(f"{self.name}: no backgrounds in subset {subset!r}{self._advice()}")
        return pieces

    def negatives(self, label, subset):
        """Sounds of a subset that are known not to be `label`: EventClip of no class, in a fixed order, or none.

        They are mixed in like events, and nobody is to find them. Events of other classes are not among them.
        """
        check_subset(subset)
        return self._negatives(label, subset)

    def _negatives(self, label, subset):
        return []

    def everyday_sounds(self):
        """Keys of training sounds that are none of the classes, apart from `negatives`, in a fixed order, or none.

        Only clips that are new each time have them (`minirsed.outside`): mixtures that are drawn once do without.
        """
        return []

    def everyday_audio(self, key):
        """An everyday sound: (samples,) float64, mono, 44.1 kHz."""
        raise NotImplementedError

    def recordings(self, subset):
        """Recordings of a subset as they are, for measuring: list of LabelledRecording, or none."""
        check_subset(subset)
        return [recording for _, recording in self._whole(subset)]

    def _whole(self, subset):
        """As `recordings`, with keys: (key, LabelledRecording)."""
        return []

    def _uncut_events(self, label, subset):
        """Events that recordings would give a subset if it were for training, and `_events` does not have."""
        return []

    def _uncut_backgrounds(self, subset):
        """As `_uncut_events`, of backgrounds."""
        return []

    def is_screened(self, key, label):
        """Whether background `key` is known to contain an event of class `label` itself."""
        return False

    def event_recording(self, key):
        """Name of the recording that event `key` was cut from: its own key, unless the bank knows better.

        What sounds alike because it was recorded together is of one recording; nothing of it may be in two subsets.
        """
        return key

    def background_recording(self, key):
        """As `event_recording`, for a background; its pieces have one key, and so one recording."""
        return key

    def negative_recording(self, key):
        """As `event_recording`, for a negative."""
        return key

    def equal_sounds(self):
        """Groups of sounds whose files have the same bytes: list of lists of ("events", "backgrounds" …, key)."""
        return []

    def places(self, label):
        """Where the sounds for a class are: {("events", "backgrounds", "negatives" or "recordings", key): subset}."""
        whole = {("recordings", key): subset for subset in SUBSETS for key, _ in self._whole(subset)}
        found = whole | {("events", clip.key): subset for subset in SUBSETS for clip in self._events(label, subset)}
        found |= {("negatives", clip.key): subset for subset in SUBSETS for clip in self._negatives(label, subset)}
        return found | {("backgrounds", b.key): subset for subset in SUBSETS for b in self._backgrounds(subset)}

    def ready_mixtures(self, label, subset):
        """Recipes of mixtures that came already rendered (TUT evaluation data), else an empty list."""
        return []

    def event_audio(self, key):
        """Whole event recording: (samples,) float64, mono, 44.1 kHz. InputError: no such file, unusable audio."""
        return self._cached(("event", key), lambda: self._event_audio(key))

    def negative_audio(self, key):
        """As `event_audio`, of a negative."""
        return self._cached(("negative", key), lambda: self._negative_audio(key))

    def background_audio(self, key, start_s=0.0, duration_s=None):
        """Background recording, or the requested part of it: (samples,) float64, mono, 44.1 kHz.

        A part that reaches beyond the end is shorter than `duration_s`. InputError: no such file, unusable audio.
        """
        return self._cached(
            ("background", key, start_s, duration_s), lambda: self._background_audio(key, start_s, duration_s)
        )

    def fingerprint(self):
        """Hexadecimal digest that changes whenever any sound, list or setting of the bank may have changed."""
        raise NotImplementedError

    def _advice(self, label=None):
        """What to do where a subset holds no event of a class, or no background: "; …", or nothing."""
        return ""

    def _cached(self, what, read):
        """Return the array from a cache of a few read-only arrays, least recently used out first."""
        if what not in self._cache:
            audio = read().view()  # a view: the owner of the array may still write to it
            audio.flags.writeable = False
            self._cache[what] = audio
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        self._cache.move_to_end(what)
        return self._cache[what]

    def __getstate__(self):
        return {**self.__dict__, "_cache": OrderedDict()}

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"


def check_subset(subset):
    """ValueError unless `subset` is train, dev or eval."""
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, not {subset!r}")


def files_digest(paths, *settings):
    """Digest of the names, sizes and modification times of files, and of settings. It reads no audio.

    Parameters
    ----------
    paths : iterable of (name, Path)
        `name` enters the digest instead of the full path, so that a bank may be moved.
    settings : str
        Everything else that changes the sounds.
    """
    digest = hashlib.sha256("\0".join(settings).encode())
    for name, path in sorted(paths):
        status = Path(path).stat()
        digest.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()
