"""All commands behind one name: `python -m minirsed COMMAND …`, or `minirsed COMMAND …`.

`python -m minirsed` lists them. Each is a module of its own as well: `python -m minirsed.train …`.
"""

import importlib
import sys

from data_tools.console import command
from data_tools.errors import InputError
from minirsed import __version__

COMMANDS = {
    "train": ("minirsed", "train a detector of one class of sound; the built-in sounds will do"),
    "evaluate": ("minirsed", "score a trained detector on mixtures that it has not seen"),
    "report": ("minirsed", "the same as one HTML page, with pictures and sounds"),
    "detect": ("minirsed", "find events in sound files, folders, a pipe or a microphone"),
    "mine": ("minirsed", "find a detector's alarms in recordings, judge them, and file them to learn from"),
    "score": ("minirsed", "score any list of events against the true ones"),
    "export": ("minirsed", "write a detector as ONNX, for other programs and languages"),
    "sweep": ("minirsed", "train over classes, architectures and seeds: the paper's tables and figure"),
    "clean": ("minirsed", "show and remove prepared features that no run uses"),
    "bench": ("minirsed", "time every stage on this machine"),
    "synthesize": ("data_tools", "write mixtures as WAV files, with their recipes and event list"),
    "download": ("data_tools", "fetch TUT Rare Sound Events 2017, the data of the paper"),
}


@command
def main(argv=None):
    """Run a command, or say which there are."""
    words = sys.argv[1:] if argv is None else [str(word) for word in argv]
    if not words or words[0] in ("-h", "--help"):
        print(overview())
    elif words[0] == "--version":
        print(f"minirsed {__version__}")
    elif words[0] in COMMANDS:
        module_of(words[0]).main(words[1:])
    else:
        import difflib

        near = difflib.get_close_matches(words[0], COMMANDS, 1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise InputError(f"no command {words[0]!r}; {advice}")


def overview():
    """What `-h` shows: a line for each command."""
    lines = [f"  {name:12}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: minirsed COMMAND …    or    python -m minirsed COMMAND …",
            "",
            "Detection of rare sound events, from scratch in NumPy and Numba.",
            "",
            *lines,
            "",
            "COMMAND -h shows the options of a command, --version the version.",
        ]
    )


def module_of(name):
    """The module with the command's `main`."""
    package = importlib.import_module(f"{COMMANDS[name][0]}.{name}")
    return importlib.import_module(f"{package.__name__}.__main__") if hasattr(package, "__path__") else package


if __name__ == "__main__":
    main()
