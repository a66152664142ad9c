"""Show prepared features, and remove those that no run uses: `python -m minirsed.clean [PATH …]`.

`minirsed.run.stores` finds out which run uses which.
"""

from pathlib import Path

from data_tools.console import Parser, command, counted
from data_tools.errors import InputError
from data_tools.files import exclusive, size_text
from minirsed.console.options import add_place, named

PLACES = ("runs", "sweeps")


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.clean",
        "[PATH …]",
        description="Show which prepared features there are, their size, and the runs that use them: that resuming, "
        "evaluating or reporting a run with its own sounds would read. With --remove, those that no run uses are "
        "removed. Whatever is removed is computed again when it is needed, in a minute or two for 600 clips.",
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        type=Path,
        help="where you have runs besides runs and sweeps: run folders, or folders that hold some, to any depth",
    )
    add_place(parser, "--features", help="folder of the features (default: %(default)s)")
    parser.add_argument("--remove", action="store_true", help="remove the features that no run uses")
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    for path in [*arguments.paths, arguments.features]:
        if not path.is_dir():
            raise InputError(f"{path}: no such folder")
    places = arguments.paths + [path for path in map(Path, PLACES) if path.is_dir()]
    if not places:
        raise InputError(f"no folder {' or '.join(PLACES)} here; name the folders that hold your runs")
    from minirsed.run.stores import kept_stores, run_folders

    stores, n_runs = kept_stores(arguments.features, places), len(run_folders(places))
    for store in stores:
        print(f"{size_text(store.n_bytes):>8}  {store.folder.name:44}  {users(store.runs)}")
    unused = [store for store in stores if not store.runs]
    runs = counted(n_runs, "run")
    print(f"{arguments.features}: {summary(stores)}; not used by any of {runs}: {summary(unused)}")
    if arguments.remove:
        with named(features=arguments.features):
            removed = [store for store in unused if remove(store.folder)]
        print(f"removed {summary(removed)}")
    elif unused:
        print("--remove removes what no run uses")


def users(runs):
    """The runs of a store, the first few by name."""
    shown = ", ".join(map(str, runs[:3]))
    return shown + (f" and {len(runs) - 3} more" if len(runs) > 3 else "") or "no run"


def summary(stores):
    """`3 sets, 801 MB`, or `none`."""
    if not stores:
        return "none"
    return f"{counted(len(stores), 'set')}, {size_text(sum(store.n_bytes for store in stores))}"


def remove(folder):
    """Remove a store and return True, or say that somebody is preparing it."""
    import contextlib
    import sys

    from minirsed.store import files as store_files

    lock = folder / "lock"
    try:
        with exclusive(lock, "preparing") if lock.exists() else contextlib.nullcontext():
            store_files.remove(folder)
    except InputError as error:
        print(f"kept: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    main()
