"""One interface to all sources of sounds.

    builtin ─┐
    tut2017 ─┼→ soundbank → recipes → mixing
    folder  ─┘

The paper's sounds are those of TUT Rare Sound Events 2017 (Sec. 4). The built-in ones need no download, and any folder
of the user's own sounds will do.
"""

from data_tools.banks.builtin import BuiltinBank
from data_tools.banks.folder import FolderBank
from data_tools.banks.folds import Folded, parse_fold
from data_tools.banks.tut2017 import Tut2017Bank, is_tut2017


class SoundBank:
    """Three constructors. Each returns a `data_tools.banks.base.Bank`."""

    @staticmethod
    def builtin(seed=0):
        """Synthetic sounds made by this program; `seed` varies the sound of every key."""
        return BuiltinBank(seed)

    @staticmethod
    def from_folder(path, *, resampler="soxr"):
        """The user's own sounds: `events/CLASS/*`, `backgrounds/**/*` (see `data_tools.banks.folder`)."""
        return FolderBank(path, resampler=resampler)

    @staticmethod
    def from_tut2017(path, *, screening=True, resampler="soxr"):
        """TUT Rare Sound Events 2017, development and evaluation data (see `data_tools.banks.tut2017`)."""
        return Tut2017Bank(path, screening=screening, resampler=resampler)


def open_bank(data, *, fold="", seed=0, screening=True, resampler="soxr"):
    """Open the bank that a command's `--data` names.

    Parameters
    ----------
    data : str or Path
        "builtin"; a TUT Rare Sound Events 2017 folder, recognised by its layout; any other folder is read as one of
        the user's own sounds. (If a folder is itself called builtin, write `./builtin`.)
    fold : str, optional
        "2/5": train and dev dealt into five folds, of which the second is dev, see `data_tools.banks.folds`.
    seed : int
        Of the built-in sounds.
    screening : bool
        TUT only, see `data_tools.banks.tut2017`.
    resampler : {"soxr", "kaiser_best"}
        For files that are not at 44.1 kHz, see `data_tools.audio.resample`.

    Raises
    ------
    InputError
        The folder is missing or not laid out as expected, or there is no such fold.
    """
    if fold:
        return Folded(open_bank(data, seed=seed, screening=screening, resampler=resampler), *parse_fold(fold))
    if str(data) == "builtin":
        return SoundBank.builtin(seed)
    if is_tut2017(data):
        return SoundBank.from_tut2017(data, screening=screening, resampler=resampler)
    return SoundBank.from_folder(data, resampler=resampler)
