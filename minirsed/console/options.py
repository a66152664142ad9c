"""What the commands share at the terminal: options, a progress bar, a score table."""

import contextlib
import math
import os
from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import not_a_file

PLACES = {
    "--features": {"metavar": "DIR", "type": Path, "default": Path("features")},
    "--out": {"metavar": "DIR", "type": Path},
    "--cluster": {"metavar": "ADDRESS"},
}


def add_class(parser):
    """`--class`: which class of a detector of several."""
    help_text = "the class that is meant, of a detector of several (default: the only one)"
    parser.add_argument("--class", dest="label", metavar="CLASS", help=help_text)


def add_place(parser, *options, **about):
    """Give a parser an option of `PLACES`, the same for every command; `about` (help, metavar) is its own.

    The last of `options` is the name in `PLACES`; short ones may stand before it.
    """
    parser.add_argument(*options, **PLACES[options[-1]] | about)


@contextlib.contextmanager
def named(**places):
    """Context: re-raise an OSError as an InputError that names the option whose path, or missing parent, caused it.

    `named(out=arguments.out)`; an option that was not given (None) is passed over.
    """
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, str | os.PathLike):  # None, or the number of an open file
            raise
        found = Path(error.filename)
        for name, place in places.items():
            if place and (place in (found, *found.parents) or (found in place.parents and not found.exists())):
                raise InputError(f"--{name} {found}: {error.strerror}") from error
        raise


def probability_text(probability, n_digits=0):
    """A probability with at least n digits after the point, and so many that what is below 1 does not look like 1."""
    text = f"{probability:.{n_digits}f}" if n_digits else f"{probability:g}"
    if float(text) == 1 > probability:
        text = f"{probability:.{1 - math.floor(math.log10(1 - probability))}f}"
    return text


def require_writable(name, path):
    """Refuse an output file that cannot be written, before the work that fills it; `name` is the option or argument."""
    folder = path.parent
    if path.exists() and not path.is_file():
        raise InputError(f"{name} {path}: {not_a_file(path)}; expected a file name")
    if not folder.is_dir():
        raise InputError(f"{name} {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{name} {path}: the folder {folder} is not writable")


class Progress:
    """A tqdm bar behind the `progress(n_done, n_total)` that the library calls; gone when it is done.

    The unit "B" is bytes, shown as kB, MB and so on.
    """

    def __init__(self, description, unit):
        self.description, self.unit, self.bar = description, unit, None

    def __call__(self, n_done, n_total):
        """Show that `n_done` of `n_total` are done."""
        from tqdm import tqdm

        if self.bar is None and n_done < n_total:
            self.bar = tqdm(
                total=n_total,
                initial=n_done,
                desc=self.description,
                unit=self.unit,
                unit_scale=self.unit == "B",
                leave=False,
                disable=None,
            )
        if self.bar is not None:
            self.bar.update(n_done - self.bar.n)
            if n_done >= n_total:
                self.close()

    def close(self):
        """Take the bar away; the next call starts a new one."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def __enter__(self):
        """Nothing to set up."""
        return self

    def __exit__(self, *exception):
        """Take the bar away."""
        self.close()
