"""Train a detector: `python -m minirsed.train CLASS`.

Draws mixtures, computes their features once, trains, and leaves a run folder that evaluate and detect read.
"""

import argparse
import shlex
import sys
from functools import partial

from data_tools.errors import InputError, exit_on_input_error
from minirsed.console.options import (
    Progress,
    add_place,
    available_cores,
    help_formatter,
    named,
    require_positive,
)
from minirsed.run.interrupt import StopSignals
from minirsed.run.settings import PRESETS, add_arguments, from_arguments, given_settings

SAVE_MINUTES = 5.0


def parse_arguments(argv=None):
    """Command line → namespace; settings that were not given are absent from it."""
    parser = argparse.ArgumentParser(
        prog="python -m minirsed.train",
        description="Train a detector of one class of rare sound events and keep the epoch with the lowest "
        "development error rate. With the built-in sounds and the quick preset this takes minutes on two cores.",
        formatter_class=help_formatter,
    )
    parser.add_argument(
        "--preset",
        default="quick",
        choices=PRESETS,
        help="settings to start from; options overrule it (default: quick). "
        + "; ".join(f"{name}: {describe_preset(name)}" for name in PRESETS if PRESETS[name]),
    )
    add_arguments(parser)
    add_place(
        parser,
        "--out",
        help="run folder to write (default: the first free of runs/CLASS, runs/CLASS-2, …)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out (default: the newest of runs/CLASS…), with its own settings, to the same "
        "bytes as if it had not been stopped; of the settings only --epochs may be given anew",
    )
    parser.add_argument(
        "--save-minutes",
        metavar="X",
        type=float,
        default=SAVE_MINUTES,
        help="time between checkpoints inside an epoch: the most that a kill costs; 0: after every update. Ctrl-C, "
        f"SIGTERM and the end of an epoch save as well (default: {SAVE_MINUTES:g} minutes)",
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the columns of metrics.csv as TensorBoard scalars too, into the run folder's tensorboard; needs "
        "minirsed[tensorboard] (default: False)",
    )
    add_place(
        parser,
        "--features",
        help="folder that keeps computed features for the next run: 0.33 MB a clip (default: ./features)",
    )
    cores = available_cores()
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        default=cores,
        help=f"training threads; the result does not depend on them (default: {cores} threads, one a core)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=cores,
        help=f"processes that prepare mixtures; likewise (default: {cores} processes, one a core)",
    )
    add_place(
        parser,
        "--cluster",
        help="Dask scheduler whose workers prepare the mixtures instead, tcp://HOST:8786; they need minirsed[dask], "
        "one thread each, and the sounds under the same absolute path (default: this machine alone)",
    )
    return parser.parse_args(argv)


def describe_preset(name):
    """`clips 5000, epochs 15, …`."""
    shown = {key: f"{value:g}" if isinstance(value, (int, float)) else value for key, value in PRESETS[name].items()}
    return ", ".join(f"{key.replace('_', '-')} {value}" for key, value in shown.items())


@exit_on_input_error
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "threads", "workers")
    if not 0 <= arguments.save_minutes < float("inf"):
        raise InputError(f"--save-minutes is {arguments.save_minutes:g}: expected 0 or more minutes")
    from minirsed.kernels.threads import keep_freed_memory
    from minirsed.run.folder import newest_run
    from minirsed.run.session import Machine, resumed_settings, train

    keep_freed_memory()
    folder = arguments.out
    if arguments.resume:
        folder = folder or newest_run(arguments.label)
        settings = resumed_settings(folder, given_settings(arguments))
    else:
        settings = from_arguments(arguments, arguments.preset)
    with StopSignals() as signals, named(features=arguments.features, out=arguments.out):
        try:
            train(
                settings,
                folder,
                machine=Machine(arguments.features, arguments.threads, arguments.workers, arguments.cluster),
                resume=arguments.resume,
                stop=signals,
                save_every_s=60 * arguments.save_minutes,
                tensorboard=arguments.tensorboard,
                say=partial(print, flush=True),
                progress=Progress,
            )
        except KeyboardInterrupt as stopped:
            words = sys.argv[1:] if argv is None else [*map(str, argv)]
            folder = getattr(stopped, "folder", None)
            print(f"\n{str(stopped) or 'stopped'}; {how_to_resume(folder, words)}", file=sys.stderr)
            sys.exit(signals.exit_status)


def how_to_resume(folder, words):
    """The command that continues what the one with these words began; `folder` is None if nothing was saved."""
    if folder is None:
        return "nothing was trained yet; the same command uses the mixtures that are prepared already"
    words = words + ([] if "--resume" in words else ["--resume"])
    words += [] if any(word.split("=")[0] == "--out" for word in words) else ["--out", str(folder)]
    return f"resume with: python -m minirsed.train {shlex.join(words)}"


if __name__ == "__main__":
    main()
