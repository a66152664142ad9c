"""The error for input that cannot be used, and how commands report it."""

import functools
import os
import sys


class InputError(ValueError):
    """A file, folder, setting or sound from the user cannot be used.

    The message is one line that says which and why. Commands print it without a traceback. Every other exception is a
    defect of the program and keeps its traceback.
    """

    def __init__(self, message=""):
        super().__init__(" ".join(str(message).splitlines()))  # a quoted name may contain line breaks


def exit_on_input_error(main):
    """Decorate the `main` of a command: `InputError` and `OSError` become one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except BrokenPipeError:  # the program that read our output has ended, as in `… | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it exits
            sys.exit(1)
        except (InputError, OSError) as error:
            message = " ".join(_message(error).split())  # one line, even if the message of a library has several
            print(f"{_program_name(main)}: error: {message}", file=sys.stderr)
            sys.exit(2)

    return wrapped


def _program_name(main):
    """The command as the user typed it, e.g. `minirsed.train`."""
    spec = getattr(sys.modules.get(main.__module__), "__spec__", None)
    return (spec.name if spec else main.__module__).removesuffix(".__main__")  # of a package


def _message(error):
    """`file/run: Not a directory` rather than `[Errno 20] Not a directory: 'file/run'`."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
