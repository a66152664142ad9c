"""Train a detector: `python -m minirsed.train CLASS`.

Draws mixtures, computes their features once, trains, and leaves a run folder that evaluate and detect read.
"""

import dataclasses
import shlex
import sys
import textwrap
from functools import partial

from data_tools.console import WIDTH, Parser, add_jobs, add_threads, command, require_positive
from data_tools.errors import InputError, require
from minirsed.console.options import Progress, add_place, named
from minirsed.run.interrupt import StopSignals
from minirsed.run.settings import (
    PRESETS,
    add_arguments,
    complete,
    from_arguments,
    given_settings,
    option_name,
    value_text,
)

SAVE_MINUTES = 5.0


def parse_arguments(argv=None):
    """Command line → namespace; settings that were not given are absent from it."""
    parser = Parser(
        "minirsed.train",
        "CLASS [CLASS ...]",
        description="Train a detector of one class of rare sound events, or of several. With the built-in sounds and "
        "the quick preset this takes minutes on two cores.",
        epilog="The presets differ in these settings, and quick in those of --help-all; options overrule them:\n\n"
        + preset_table(),
    )
    add_arguments(parser)
    parser.leave_to_help_all("elsewhere", "what holds in other places")
    run, machine = parser.add_argument_group("run"), parser.add_argument_group("machine")
    run.add_argument(
        "--preset", default="quick", choices=PRESETS, help="settings to start from, see below (default: %(default)s)"
    )
    add_place(run, "--out", help="run folder (default: the first free of runs/CLASS, runs/CLASS-2, …)")
    run.add_argument(
        "--folds",
        metavar="N",
        type=int,
        help="for few recordings: deal those of train and dev into N folds, train N runs, each tried on another fold, "
        "score all together; in --out or runs/CLASS-folds; continued by the same command (default: none)",
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out, or the newest of runs/CLASS, runs/CLASS-2, …; only --epochs may change. It "
        "ends with the bytes of a run never stopped",
    )
    run.add_argument(
        "--save-minutes",
        metavar="X",
        type=float,
        default=SAVE_MINUTES,
        help="time between checkpoints, the most that a kill costs; 0: after every update. Ctrl-C and the end of "
        "an epoch save too (default: %(default)g minutes)",
    )
    run.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write the columns of metrics.csv as TensorBoard scalars, into the folder tensorboard of the run; "
        "needs the extra tensorboard",
    )
    add_place(
        machine,
        "--features",
        help="folder that keeps computed features for the next run, 0.33 MB a clip (default: %(default)s)",
    )
    add_threads(machine, "threads that train; the result does not depend on their number")
    add_jobs(machine, "processes that prepare mixtures; the result does not depend on their number")
    add_place(
        machine,
        "--cluster",
        help="Dask scheduler whose workers prepare the mixtures, tcp://HOST:8786; they need the extra dask, one thread "
        "each, and the sounds under the same absolute path (default: none, this machine prepares them)",
    )
    return parser.parse_args(argv)


def preset_table():
    """The settings in which presets differ, a column for each of them that has room in 80 characters."""
    settings = {name: complete(PRESETS[name], {}) for name in list(PRESETS)[:5]}
    rows = [["", *settings]]
    shown = [each.name for each in dataclasses.fields(settings["quick"]) if each.metadata["group"] != "elsewhere"]
    for name in shown:
        values = [value_text(getattr(of_preset, name)) for of_preset in settings.values()]
        if len(set(values)) > 1:
            rows.append([option_name(name), *values])
    return "\n".join("".join(f"  {cell:16}" if not i else f"{cell:>11}" for i, cell in enumerate(row)) for row in rows)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "threads", "jobs")
    if not 0 <= arguments.save_minutes < float("inf"):
        raise InputError(f"--save-minutes is {arguments.save_minutes:g}: expected 0 or more minutes")
    require_folds(arguments)
    require_extras(arguments)
    from minirsed.alarms.keeping import usual
    from minirsed.kernels.threads import keep_freed_memory
    from minirsed.run.folder import newest_run
    from minirsed.run.folds import cross_validate
    from minirsed.run.session import Machine, resumed_settings, train

    keep_freed_memory()
    folder = arguments.out
    if arguments.resume:
        folder = folder or newest_run(given_settings(arguments)["label"])
        settings = resumed_settings(folder, given_settings(arguments))
    else:
        settings = from_arguments(arguments, arguments.preset)
        by_promise = settings if "keep" in given_settings(arguments) else usual(settings)
        if not arguments.folds:
            settings = by_promise
        elif by_promise != settings:
            print(*textwrap.wrap(no_promise(settings), WIDTH), sep="\n", flush=True)
    with StopSignals() as signals, named(features=arguments.features, out=arguments.out):
        options = {
            "machine": Machine(arguments.features, arguments.threads, arguments.jobs, arguments.cluster),
            "stop": signals,
            "save_every_s": 60 * arguments.save_minutes,
            "tensorboard": arguments.tensorboard,
            "say": partial(print, flush=True),
            "progress": Progress,
        }
        try:
            if arguments.folds:
                cross_validate(settings, arguments.folds, folder, **options)
            else:
                train(settings, folder, resume=arguments.resume, **options)
        except KeyboardInterrupt as stopped:
            words = sys.argv[1:] if argv is None else [*map(str, argv)]
            # stopped before the run folder was opened, it has no `folder`; a run to resume is still as it was
            saved = getattr(stopped, "folder", folder if arguments.resume else None)
            advice = "the same command continues" if arguments.folds else how_to_resume(saved, words)
            print(f"\n{str(stopped) or 'stopped'}; {advice}", file=sys.stderr)
            sys.exit(signals.exit_status)


def no_promise(settings):
    """How folds differ from the training for which they stand, where that would choose for a promise."""
    kept = {"last": "its last epoch", "best": "the epoch of its lowest error rate"}[settings.keep]
    return (
        f"Each fold keeps {kept}, with the thresholds of a new detector. Without --folds, a training on these sounds, "
        f"which have dev recordings or negatives, chooses both for {settings.alarms_per_hour:g} false alarms an hour. "
        "With --keep promise each fold does so too, on the sounds that it is scored on, which flatters."
    )


def how_to_resume(folder, words):
    """The command that continues what the one with these words began; `folder` is None if nothing was saved."""
    if folder is None:
        return "nothing was trained yet; the same command uses the mixtures that are prepared already"
    words = words + ([] if "--resume" in words else ["--resume"])
    words += [] if any(word.split("=")[0] == "--out" for word in words) else ["--out", str(folder)]
    return f"resume with: python -m minirsed.train {shlex.join(words)}"


def require_folds(arguments):
    """Refuse `--folds` below 2, and with `--resume`, which it does not need."""
    if arguments.folds is not None and arguments.folds < 2:
        raise InputError(f"--folds is {arguments.folds}: expected at least 2")
    if arguments.folds and arguments.resume:
        raise InputError("--resume: with --folds, the same command continues by itself; leave --resume out")


def require_extras(arguments):
    """Import the libraries that options need, and two that would be missed late; InputError before any work."""
    require("training", "numba", "matplotlib")  # matplotlib draws when all is done; NumPy alone would take days
    if arguments.tensorboard:
        from minirsed.run.tensorboard import import_tensorboard

        import_tensorboard()
    if arguments.cluster:
        from minirsed.store.cluster import import_distributed

        import_distributed()


if __name__ == "__main__":
    main()
