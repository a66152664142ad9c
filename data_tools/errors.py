"""One kind of error for what the user gave, and one way for commands to report it."""

import functools
import os
import sys


class InputError(ValueError):
    """A file, folder, setting or sound from the user that cannot be used.

    The message is one line that names the thing and the reason. Commands print it without a traceback;
    every other exception is a defect of the program and keeps its traceback.
    """

    def __init__(self, message=""):
        super().__init__(" ".join(str(message).splitlines()))  # a name that it quotes may hold line ends


def exit_on_input_error(main):
    """Decorate a command's `main`: `InputError` and `OSError` become one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except BrokenPipeError:  # the reader of our output has gone, as in `… | head`; nobody is left to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
            sys.exit(1)
        except (InputError, OSError) as error:
            message = " ".join(_message(error).split())  # one line, whatever a library put into its message
            print(f"{_program_name(main)}: error: {message}", file=sys.stderr)
            sys.exit(2)

    return wrapped


def _program_name(main):
    """The command as the user typed it, e.g. `minirsed.train`."""
    spec = getattr(sys.modules.get(main.__module__), "__spec__", None)
    return (spec.name if spec else main.__module__).removesuffix(".__main__")  # that of a package


def _message(error):
    """`file/run: Not a directory` rather than `[Errno 20] Not a directory: 'file/run'`."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
