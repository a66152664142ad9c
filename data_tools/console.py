"""What every command does alike at the terminal: options in any order, one layout of `-h`, and how it ends.

A command is a module with

    @command
    def main(argv=None):
        arguments = parse_arguments(argv)  # made with `Parser`
"""

import argparse
import codecs
import functools
import os
import shutil
import sys
import unicodedata
import warnings
from collections import deque

from data_tools.errors import REQUIRED, InputError, missing_package

WIDTH = 100  # columns of what is printed, at most
HELP_COLUMN = 28  # where the explanations of -h begin

# Names that the challenge and its data set use for the three subsets.
OFFICIAL_SUBSETS = {
    "devtrain": "train", "devtest": "dev", "development": "dev", "evaltest": "eval", "evaluation": "eval",
}  # fmt: skip

# What stands for a character that the terminal's encoding does not have; accents are dropped, all else becomes "?".
PLAIN = {
    "…": "...", "×": "x", "·": "*", "→": "->", "←": "<-", "−": "-", "–": "-", "—": "-", "±": "+-", "α": "alpha",
    "β": "beta", "√": "sqrt ", "∜": "4th root of ", "≤": "<=", "≥": ">=", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip

# Words of `argparse` for programmers, and what the user is told instead.
PLAINER_WORDS = {
    "invalid int value:": "expected a whole number, not",
    "invalid float value:": "expected a number, not",
    "expected one argument": "expected a value",
}


# ---- words


def counted(n, noun):
    """`1 event`, `2 events`."""
    return f"{n} {noun}" + ("" if n == 1 else "s")


# ---- options


class Layout(argparse.HelpFormatter):
    """Layout of `-h`: at most `WIDTH` columns; paragraphs are wrapped, indented ones (tables) stay as they are."""

    def __init__(self, prog):
        columns = shutil.get_terminal_size((WIDTH, 24)).columns
        super().__init__(prog, max_help_position=HELP_COLUMN, width=min(WIDTH, max(columns, 60)))

    def _fill_text(self, text, width, indent):
        paragraphs = text.split("\n\n")
        wrapped = [p if "\n " in p else super(Layout, self)._fill_text(p, width, indent) for p in paragraphs]
        return "\n\n".join(wrapped)


class Several(argparse.Action):
    """Option with one or more values: `--seeds 0 1 2`, or `--seeds 0 --seeds 1 --seeds 2`; gives a list.

    Needs a `Parser`, which ends the list where its values end, so that a positional argument may follow. A list of
    which any text is a value takes one word at a time in a command with positional arguments.
    """

    def __init__(self, option_strings, dest, metavar=None, **about):
        metavar = metavar or "{" + ",".join(about["choices"]) + "}"
        super().__init__(option_strings, dest, metavar=f"{metavar} …", **about)

    def __call__(self, parser, namespace, values, option_string=None):
        """Add a value to those given so far; the first replaces the default."""
        so_far = getattr(namespace, self.dest, self.default)
        setattr(namespace, self.dest, [*([] if so_far is self.default else so_far), values])

    def takes(self, word):
        """Whether a word of the command line is a value of this option."""
        try:
            value = self.type(word) if self.type else word
            if word.startswith("-"):
                float(word)  # a negative number; everything else that begins like this is an option
        except (ValueError, argparse.ArgumentTypeError):
            return False
        return value in self.choices if self.choices else True


class _HelpAll(argparse.Action):
    """Print all options and exit."""

    def __call__(self, parser, namespace, values, option_string=None):
        parser.left_out = None
        parser.print_help()
        parser.exit()


class Parser(argparse.ArgumentParser):
    """An `argparse` parser for options before, between and after the positional arguments.

    Parameters
    ----------
    module : str
        What `python -m` runs: minirsed.train.
    positional : str
        The positional arguments as the usage line shows them: RUN PATH …
    description, epilog : str
        See `Layout`.
    """

    def __init__(self, module, positional="", *, description, epilog=None):
        self.module, self.left_out = module, None  # the title of a group that -h does not show
        super().__init__(
            prog=f"python -m {module}",
            usage=f"%(prog)s [options] {positional}".rstrip(),
            description=description,
            epilog=epilog,
            formatter_class=Layout,
            allow_abbrev=False,  # an abbreviation would change its meaning with the next option
        )

    def leave_to_help_all(self, title, about):
        """Have `-h` leave out a group of options, and `--help-all` show it too; `about` says what they are for."""
        self.left_out = title
        self.add_argument("--help-all", action=_HelpAll, nargs=0, help=f"this and the group {title}: {about}")

    def format_help(self):
        """Text of `-h`."""
        groups = self._action_groups
        try:
            self._action_groups = [group for group in groups if group.title != self.left_out]
            return super().format_help()
        finally:
            self._action_groups = groups

    def parse_args(self, args=None, namespace=None):
        """As that of `argparse`, with positional arguments anywhere."""
        words = self._separate_lists(sys.argv[1:] if args is None else [str(word) for word in args])
        found, unknown = self.parse_known_intermixed_args(words, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown)}")
        return found

    def _separate_lists(self, words):
        """`--seeds 0 1 2` → `--seeds=0 --seeds=1 --seeds=2`, each list as far as its values go."""
        lists = {
            name: action for action in self._actions if isinstance(action, Several) for name in action.option_strings
        }
        words, separated = deque(words), []
        while words:
            word = words.popleft()
            if word == "--":
                return [*separated, word, *words]
            values = []
            while word in lists and words and self._continues(lists[word], values, words[0]):
                values.append(f"{word}={words.popleft()}")
            separated += values or [word]
        return separated

    def _continues(self, action, values, word):
        """Whether a word belongs to the values of a list."""
        has_positional = any(not action.option_strings for action in self._actions)
        if not action.takes(word):  # argparse is to refuse it, unless it is an option or a positional argument
            return not word.startswith("-") and not (values and has_positional)
        return not (values and has_positional and action.takes("any text"))

    def _hint(self, unknown):
        import difflib

        known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
        for word in unknown:
            if word.startswith("--") and (near := difflib.get_close_matches(word.split("=")[0], known, 1, cutoff=0.75)):
                return f"; did you mean {near[0]}?"
        return ""

    def error(self, message):
        """End with one line and status 2; the usage, which is long, is left to `-h`."""
        message = message.removeprefix("argument ")
        for theirs, ours in PLAINER_WORDS.items():
            message = message.replace(theirs, ours)
        self.exit(2, f"{self.module}: error: {' '.join(message.split())} (-h shows all options)\n")


def subset_name(text):
    """Argument type: train, dev or eval for any name of a subset; an unknown one as it is, for `choices` to refuse."""
    return OFFICIAL_SUBSETS.get(text, text)


def available_cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def add_jobs(parser, what):
    """Give a parser `--jobs`, the number of processes at a time; `what` says what they do."""
    _add_per_core(parser, "--jobs", what)


def add_threads(parser, what):
    """Give a parser `--threads`, the number of threads in one process; `what` says what they do."""
    _add_per_core(parser, "--threads", what)


def _add_per_core(parser, option, what):
    text = f"{what} (default: %(default)s, one a core)"
    parser.add_argument(option, metavar="N", type=int, default=available_cores(), help=text)


def require_positive(arguments, *names):
    """Refuse options below 1 in one line that names them; one that was not given (None) passes."""
    for name in names:
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')} is {value}: expected at least 1")


# ---- how a command ends


def command(main):
    """Decorate a command's `main`: whatever the user, the terminal or the system does ends it in one line.

    `InputError`, `OSError`, `MemoryError` and a required package that is not installed give exit status 2; Ctrl-C
    (KeyboardInterrupt, whose text is shown) gives 130. Every other exception is a defect of the program and keeps its
    traceback.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs):
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # not so in a notebook
                stream.reconfigure(errors="plainer")
        warnings.filterwarnings("ignore", ".*tasks.* (cancelled|not used)", UserWarning)  # of joblib, after Ctrl-C
        try:
            return main(*args, **kwargs)
        except BrokenPipeError:  # the reader of our output has gone, as in `… | head`; nobody is left to tell
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
            sys.exit(1)
        except KeyboardInterrupt as stop:
            print(f"\n{_program_name(main)}: {str(stop) or 'stopped'}", file=sys.stderr)
            sys.exit(130)
        except (InputError, OSError) as error:
            message = _message(error)
            if not isinstance(error, InputError):
                message = " ".join(message.split())  # one line, whatever a library put into its message
            print(f"{_program_name(main)}: error: {message}", file=sys.stderr)
            sys.exit(2)
        except ModuleNotFoundError as error:
            if not (name := missing_package(error)):
                raise
            program = _program_name(main)
            print(f"{program}: error: it needs {name}: python -m pip install {REQUIRED[name]}", file=sys.stderr)
            sys.exit(2)
        except MemoryError as error:
            reason = f" ({' '.join(str(error).split())})" if str(error) else ""
            print(f"{_program_name(main)}: error: not enough memory{reason}", file=sys.stderr)
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


def _plainer(error):
    """Error handler of `codecs`: write a character that the encoding does not have in another way."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is no text: as it is
        return os.fsencode(character), error.start + 1
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return PLAIN.get(character, letters or "?"), error.start + 1


codecs.register_error("plainer", _plainer)
