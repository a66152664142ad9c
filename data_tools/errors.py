"""One kind of error for what the user gave, and one way for commands to report it."""

import functools
import sys


class InputError(ValueError):
    """A file, folder, setting or sound from the user that cannot be used.

    The message is one line that names the thing and the reason. Commands print it without a traceback;
    every other exception is a defect of the program and keeps its traceback.
    """


def exit_on_input_error(main):
    """Decorate a command's `main`: `InputError` and `OSError` become one line on stderr and exit status 2."""

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        except (InputError, OSError) as error:
            message = " ".join(str(error).split())  # one line, whatever a library put into its message
            sys.exit(_fail(f"{_program_name(main)}: error: {message}"))

    return wrapped


def _program_name(main):
    """The command as the user typed it, e.g. `minirsed.train`."""
    spec = getattr(sys.modules.get(main.__module__), "__spec__", None)
    return spec.name if spec else main.__module__


def _fail(line):
    print(line, file=sys.stderr)
    return 2
