"""One interface to all sources of sounds: event clips and background scenes, kept apart by subset.

    builtin ─┐
    tut2017 ─┼→ soundbank → recipes → mixing
    folder  ─┘

The paper's sounds are those of TUT Rare Sound Events 2017 (Sec. 4); the built-in ones need no download, and any folder
of the user's own will do. A bank holds names and lengths, no audio: it is small, and cheap to send to workers.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from data_tools.audio import SAMPLE_RATE
from data_tools.errors import InputError

SUBSETS = ("train", "dev", "eval")
CLIP_S = 30.0  # length of a background piece, seconds
SHORTEST_PIECE_S = 10.0  # a recording's last piece counts from this length on; it is looped


@dataclass(frozen=True)
class EventClip:
    """An isolated event: the part [onset_s, offset_s) of the recording `key`, in seconds."""

    key: str
    label: str
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


class SoundBank:
    """Events and backgrounds of three subsets. Make one with `builtin`, `from_folder`, `from_tut2017` or `open_bank`.

    Attributes
    ----------
    classes : tuple of str
        Event classes, in the bank's order.
    """

    has_whole_backgrounds = False  # True: every background is one whole recording, no pieces (TUT)
    _cache_size = 2  # recordings; a 30 s background takes 10 MB

    def __init__(self, name, classes):
        self.name = name
        self.classes = tuple(classes)
        self._cache = OrderedDict()

    @staticmethod
    def builtin(seed=0):
        """Synthetic sounds made by this program; `seed` varies the sound of every key."""
        return BuiltinBank(seed)

    @staticmethod
    def from_folder(path, *, resampler="soxr"):
        """The user's own sounds: `events/CLASS/*`, `backgrounds/**/*` (see `data_tools.folder`)."""
        from data_tools.folder import FolderBank

        return FolderBank(path, resampler=resampler)

    @staticmethod
    def from_tut2017(path, *, screening=True, resampler="soxr"):
        """TUT Rare Sound Events 2017, development and evaluation data (see `data_tools.tut2017`)."""
        from data_tools.tut2017 import Tut2017Bank

        return Tut2017Bank(path, screening=screening, resampler=resampler)

    def events(self, label, subset):
        """All event clips of a class in a subset, in a fixed order.

        Raises
        ------
        InputError
            Unknown class (the message lists the known ones), or none of it in that subset.
        ValueError
            `subset` is not train, dev or eval.
        """
        check_subset(subset)
        if label not in self.classes:
            raise InputError(f"{self.name}: no class {label!r}; it has {', '.join(self.classes)}")
        clips = self._events(label, subset)
        if not clips:
            raise InputError(f"{self.name}: no events of class {label!r} in subset {subset!r}")
        return clips

    def backgrounds(self, subset, label=None):
        """All background pieces of a subset, in a fixed order.

        With `label`, those known to contain that class are left out (TUT: the official screening list).
        Errors as in `events`.
        """
        check_subset(subset)
        pieces = [b for b in self._backgrounds(subset) if label is None or not self.is_screened(b.key, label)]
        if not pieces:
            raise InputError(f"{self.name}: no backgrounds in subset {subset!r}")
        return pieces

    def is_screened(self, key, label):
        """Whether background `key` is known to contain an event of class `label` itself."""
        return False

    def ready_mixtures(self, label, subset):
        """Recipes of mixtures that came rendered (TUT evaluation data), else an empty list."""
        return []

    def event_audio(self, key):
        """Whole event recording: (samples,) float64, mono, 44.1 kHz. InputError: no such file, unusable audio."""
        return self._cached(("event", key), lambda: self._event_audio(key))

    def background_audio(self, key, start_s=0.0, duration_s=None):
        """Background recording, or the part of it asked for: (samples,) float64, mono, 44.1 kHz.

        A part that reaches beyond the end is shorter than `duration_s`. InputError: no such file, unusable audio.
        """
        return self._cached(
            ("background", key, start_s, duration_s), lambda: self._background_audio(key, start_s, duration_s)
        )

    def fingerprint(self):
        """Hexadecimal digest that changes whenever any sound, list or setting of the bank may have changed."""
        raise NotImplementedError

    def _cached(self, what, read):
        """Least recently used store of a few read-only arrays."""
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


class BuiltinBank(SoundBank):
    """Sounds synthesised on the spot by `data_tools.builtin`; every event recording is active throughout."""

    _cache_size = 8

    def __init__(self, seed=0):
        from data_tools import builtin

        super().__init__("builtin", builtin.CLASSES)
        self.seed = seed
        self._clips = {}

    def _events(self, label, subset):
        from data_tools import builtin

        if (label, subset) not in self._clips:
            self._clips[label, subset] = [
                EventClip(key, label, 0.0, builtin.event_length(key, self.seed) / SAMPLE_RATE)
                for key in builtin.event_keys(label, subset)
            ]
        return self._clips[label, subset]

    def _backgrounds(self, subset):
        from data_tools import builtin

        return [Background(key, scene) for key, scene in builtin.background_keys(subset)]

    def _event_audio(self, key):
        from data_tools import builtin

        return builtin.event_audio(key, self.seed)

    def _background_audio(self, key, start_s, duration_s):
        from data_tools import builtin

        y = builtin.background_audio(key, self.seed)
        return part(y, start_s, duration_s)

    def fingerprint(self):
        """See `SoundBank.fingerprint`."""
        from data_tools import builtin

        return hashlib.sha256(f"builtin {builtin.VERSION} {self.seed}".encode()).hexdigest()


def open_bank(data, *, seed=0, screening=True, resampler="soxr"):
    """The bank that a command's `--data` names.

    Parameters
    ----------
    data : str or Path
        "builtin"; a TUT Rare Sound Events 2017 folder, recognised by its layout; any other folder is read as one of
        the user's own sounds. (A folder that is itself called builtin: write `./builtin`.)
    seed : int
        Of the built-in sounds.
    screening : bool
        TUT only, see `data_tools.tut2017`.
    resampler : {"soxr", "kaiser_best"}
        For files that are not at 44.1 kHz, see `data_tools.audio.resample`.

    Raises
    ------
    InputError
        The folder is missing or not laid out as expected.
    """
    from data_tools.tut2017 import is_tut2017

    if str(data) == "builtin":
        return SoundBank.builtin(seed)
    if is_tut2017(data):
        return SoundBank.from_tut2017(data, screening=screening, resampler=resampler)
    return SoundBank.from_folder(data, resampler=resampler)


def check_subset(subset):
    """ValueError unless `subset` is train, dev or eval."""
    if subset not in SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(SUBSETS)}, not {subset!r}")


def part(y, start_s, duration_s):
    """Samples of `y` (44.1 kHz) from `start_s` on, at most `duration_s` of them if that is not None."""
    first = int(start_s * SAMPLE_RATE)
    return y[first:] if duration_s is None else y[first : first + round(duration_s * SAMPLE_RATE)]


def files_digest(paths, *settings):
    """Digest of files by name, size and time of change, and of settings; reads no audio.

    Parameters
    ----------
    paths : iterable of (name, Path)
        `name` enters the digest instead of the full path, so a bank may move.
    settings : str
        Everything else that bears on the sounds.
    """
    digest = hashlib.sha256("\0".join(settings).encode())
    for name, path in sorted(paths):
        status = Path(path).stat()
        digest.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()
