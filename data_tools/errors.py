"""Errors for what the user gave, and for a library that is not installed."""

import importlib


class InputError(ValueError):
    """A file, folder, setting or sound from the user cannot be used.

    The message is one line that says which and why, or a line for each of `several`. Commands print it without a
    traceback (`data_tools.console.command`). Every other exception is a defect of the program and keeps its traceback.
    """

    def __init__(self, message=""):
        super().__init__(" ".join(str(message).splitlines()))  # a quoted name may contain line breaks

    @classmethod
    def several(cls, errors, what):
        """One error of several: the only one, or one with a line for each below a heading, the same line once.

        The heading is their number and `what`: `2 sounds cannot be used:`.
        """
        messages = list(dict.fromkeys(map(str, errors)))
        error = cls(messages[0])
        if len(messages) > 1:
            error.args = ("\n  ".join([f"{len(messages)} {what}:", *messages]),)
        return error


def require_extra(extra, what, *modules, note=""):
    """Import modules of an optional extra, before the work that needs them; returns the last one.

    Parameters
    ----------
    extra : str
        Key of `[project.optional-dependencies]`.
    what : str
        What needs them, for the message: an option.
    *modules : str
    note : str
        Further advice.

    Raises
    ------
    InputError
        One of them cannot be imported; the message has the command that installs the extra.
    """
    module = None
    for name in modules:
        # quoted, since zsh has a meaning for [
        module = _imported(name, what, f'python -m pip install -e ".[{extra}]"{note}')
    return module


# What is always installed with this package, and what it is called there; a test compares pyproject.toml.
REQUIRED = {name: name for name in "numpy numba scipy soundfile matplotlib joblib tqdm soxr threadpoolctl".split()}
REQUIRED["yaml"] = "PyYAML"


def require(what, *modules):
    """Import required packages before the work that needs them at its end; InputError if one cannot be imported."""
    for name in modules:
        _imported(name, what, f"python -m pip install {REQUIRED[name]}")


def missing_package(error):
    """The key of `REQUIRED` that is not there, if a ModuleNotFoundError says so; else None."""
    return error.name if isinstance(error, ModuleNotFoundError) and error.name in REQUIRED else None


def _imported(name, what, advice):
    """A module, or InputError with what needs it, why it cannot be imported unless it is just not there, and advice."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # OSError: a library of the system that the module loads is not there
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == name else f" ({error})"
        raise InputError(f"{what} needs {name}{reason}: {advice}") from None
