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
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a library of the system that the module loads is not there
            reason = "" if isinstance(error, ModuleNotFoundError) and error.name == name else f" ({error})"
            advice = f'python -m pip install -e ".[{extra}]"{note}'  # quoted: zsh has a meaning for [
            raise InputError(f"{what} needs {name}{reason}: {advice}") from None
    return module
