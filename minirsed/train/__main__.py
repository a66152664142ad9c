"""Train a detector: `python -m minirsed.train CLASS`.

Draws mixtures, computes their features once, trains, and leaves a run folder that evaluate and detect read.
"""

import logging
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

from data_tools.console import Parser, add_jobs, command, require_positive
from data_tools.errors import InputError
from minirsed.console.options import Progress, add_place, add_threads, named, score_table
from minirsed.run.interrupt import StopSignals
from minirsed.run.log import run_log, say
from minirsed.run.settings import PRESETS, add_arguments, complete, from_arguments, option_name, value_text

SAVE_MINUTES = 5.0

log = logging.getLogger("minirsed.train")  # __name__ is __main__ for a command


def parse_arguments(argv=None):
    """Command line → namespace; settings that were not given are absent from it."""
    parser = Parser(
        "minirsed.train",
        "CLASS",
        description="Train a detector of one class of rare sound events and keep the epoch with the lowest "
        "development error rate. With the built-in sounds and the quick preset this takes minutes on two cores.",
        epilog="The presets differ in these settings; options overrule them:\n\n" + preset_table(),
    )
    add_arguments(parser)
    run, machine = parser.add_argument_group("run"), parser.add_argument_group("machine")
    run.add_argument(
        "--preset", default="quick", choices=PRESETS, help="settings to start from, see below (default: %(default)s)"
    )
    add_place(run, "--out", help="run folder to write (default: the first free of runs/CLASS, runs/CLASS-2, …)")
    run.add_argument(
        "--resume",
        action="store_true",
        help="continue the run in --out or, without --out, the newest of runs/CLASS, runs/CLASS-2, … with its own "
        "settings, of which only --epochs may be changed. It ends with the same bytes as if it had never been stopped",
    )
    run.add_argument(
        "--save-minutes",
        metavar="X",
        type=float,
        default=SAVE_MINUTES,
        help="time between checkpoints within an epoch, the most that a kill costs; 0: save after every update. "
        "Ctrl-C, SIGTERM and the end of an epoch save as well (default: %(default)g minutes)",
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
    """The settings in which presets differ, a column for each preset."""
    settings = {name: complete(PRESETS[name], {}) for name in PRESETS}
    rows = [["", *PRESETS]]
    for name in vars(settings["quick"]):
        values = [value_text(getattr(of_preset, name)) for of_preset in settings.values()]
        if len(set(values)) > 1:
            rows.append([option_name(name), *values])
    return "\n".join("".join(f"  {cell:16}" if not i else f"{cell:>12}" for i, cell in enumerate(row)) for row in rows)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "threads", "jobs")
    if not 0 <= arguments.save_minutes < float("inf"):
        raise InputError(f"--save-minutes is {arguments.save_minutes:g}: expected 0 or more minutes")
    require_extras(arguments)
    with StopSignals() as signals, named(features=arguments.features, out=arguments.out):
        try:
            train(arguments, signals)
        except KeyboardInterrupt as stopped:
            from minirsed.train.resuming import how_to_resume

            words = sys.argv[1:] if argv is None else [*map(str, argv)]
            print(f"\n{str(stopped) or 'stopped'}; {how_to_resume(arguments, words)}", file=sys.stderr)
            sys.exit(signals.exit_status)


def require_extras(arguments):
    """Import the libraries that options need; InputError before any work."""
    if arguments.tensorboard:
        from minirsed.run.tensorboard import import_tensorboard

        import_tensorboard()
    if arguments.cluster:
        from minirsed.store.cluster import import_distributed

        import_distributed()


def train(arguments, signals=None):
    """Prepare, train, report; returns the finished `Training` and its best epoch's `Evaluation` on dev.

    Parameters
    ----------
    arguments : argparse.Namespace
        Of `parse_arguments`; its `out` becomes the run folder, where it was not given.
    signals : StopSignals, optional
        None: leave signals as they are.
    """
    from data_tools.soundbank import open_bank
    from minirsed.run.folder import new_run_folder, resumed_run_folder
    from minirsed.train.resuming import resumed_settings
    from minirsed.training import recipes_of

    settings = resumed_settings(arguments) if arguments.resume else from_arguments(arguments, arguments.preset)
    data = settings.data
    if arguments.cluster and data != "builtin":
        data = Path(data).absolute()  # the workers have other working folders
    bank = open_bank(data)
    bank.events(settings.label, "train")  # there is such a class, or this names those that there are
    print(f"drawing mixtures of {settings.data} sounds …", flush=True)
    recipes = {subset: recipes_of(bank, settings, subset) for subset in ("train", "dev")}
    with (resumed_run_folder if arguments.resume else new_run_folder)(arguments.out, settings) as folder:
        arguments.out = folder
        with run_log(folder):
            log.info("%s", shlex.join(["python", *sys.orig_argv[1:]]))
            log.info("%s", settings)
            say(f"{settings.label}, {settings.arch}, {settings.layers} × {settings.units} units, run folder {folder}")
            stores = [prepared(arguments, settings, bank, subset, recipes[subset]) for subset in ("train", "dev")]
            redraw = redrawing(arguments, settings, bank, signals) if settings.redraw else None
            return train_epochs(arguments, settings, folder, *stores, redraw, signals)


def prepared(arguments, settings, bank, subset, recipes):
    """The feature store of a subset, computed or found."""
    from minirsed.store.dataset import prepare

    with Progress(f"{subset} mixtures", "clip") as progress:
        store = prepare(
            bank,
            recipes,
            arguments.features,
            n_jobs=arguments.jobs,
            cluster=arguments.cluster,
            dtype=settings.feature_dtype,
            n_mels=settings.n_mels,
            progress=progress,
        )
    say(f"{subset}: {len(store)} mixtures, features in {store.folder}")
    return store


def redrawing(arguments, settings, bank, signals):
    """A function that makes the training store of an epoch and removes that of the epoch before.

    That of the first epoch stays: it serves other runs, and `--resume`.
    """
    from minirsed.store.dataset import remove_store
    from minirsed.training import recipes_of

    def recipes(epoch):
        return recipes_of(bank, settings, "train", epoch=epoch)

    def store_of(epoch):
        with signals.deferred(False) if signals else nullcontext():  # all is saved, and preparing goes on where it was
            if epoch > 2:
                kind = {"dtype": settings.feature_dtype, "n_mels": settings.n_mels}
                remove_store(bank, recipes(epoch - 1), arguments.features, **kind)
            return prepared(arguments, settings, bank, "train", recipes(epoch))

    return store_of


def train_epochs(arguments, settings, folder, train_store, dev_store, redraw, signals):
    """Start or resume; a line for each epoch; then the report."""
    from minirsed.kernels.threads import worker_threads
    from minirsed.train.resuming import begun

    with worker_threads(arguments.threads) as executor, Progress("epoch", "clip") as progress:
        run = begun(folder, settings, train_store, arguments.resume)
        warm_up(run.detector)
        say("epoch  train loss (utterance + α·frame)  dev loss  dev ER  dev F1  seconds")
        options = {"stop": signals, "save_every_s": 60 * arguments.save_minutes}
        with scalars(arguments, run) as write_scalars, signals.deferred() if signals else nullcontext():
            for row in run.epochs(train_store, dev_store, executor, progress, redraw, **options):
                progress.close()
                say(epoch_line(row, settings.alpha, run.best_epoch))
                write_scalars(row)
        return run, report(run, dev_store, executor)


def scalars(arguments, run):
    """Context: a function that takes the row of an epoch to TensorBoard, or nowhere."""
    if not arguments.tensorboard:
        return nullcontext(lambda row: None)
    from minirsed.run.tensorboard import scalar_writer

    return scalar_writer(run.folder, run.history)


def warm_up(detector):
    """Compile the kernels, or read them from Numba's cache, before the clock of the first epoch starts."""
    import time

    import numpy as np

    from minirsed.gru import numba_recurrence
    from minirsed.model import loss_and_grads

    started = time.perf_counter()
    print("compiling kernels (once after installation) …", end=" ", flush=True)
    x = np.zeros((1, 2, detector.config.n_inputs), detector.mean.dtype)
    loss_and_grads(detector.params, detector.config, x, np.ones((1, 2), x.dtype), recurrence=numba_recurrence())
    seconds = f"{time.perf_counter() - started:.1f} s"
    print(seconds)
    log.info("kernels compiled or loaded in %s", seconds)


def epoch_line(row, alpha, best_epoch):
    """One epoch, in the rows of the heading."""
    er = "   -" if row["dev_error_rate"] is None else f"{row['dev_error_rate']:.2f}"
    f1 = "   -" if row["dev_f1"] is None else f"{row['dev_f1']:.2f}"
    parts = f"({row['train_utterance_loss']:.3f} + {alpha:g}·{row['train_frame_loss']:.3f})"
    best = "  best so far" if best_epoch == row["epoch"] else ""
    return (
        f"{row['epoch']:5}  {row['train_loss']:7.3f} {parts:>24}  {row['dev_loss']:8.3f}  {er:>6}  {f1:>6}  "
        f"{row['seconds']:7.1f}{best}"
    )


def report(run, dev_store, executor):
    """Run the best epoch's detector once more on the development set; table, event list, pictures; its `Evaluation`."""
    from data_tools.event_lists import write_event_list
    from minirsed.analysis import plots
    from minirsed.analysis.evaluation import evaluate
    from minirsed.detector import Detector
    from minirsed.gru import numba_recurrence

    best = run.best_epoch
    if not best:
        raise InputError("the development error rate is undefined in every epoch: no development mixture has an event")
    detector = Detector.load(run.folder / "best.npz")
    dev = evaluate(detector, dev_store, executor, numba_recurrence(), alpha=run.settings.alpha)
    label, scores = run.settings.label, dev.scores
    write_event_list(run.folder / "events_dev.csv", dev.estimated)
    plots.curves(run.history, run.folder / "curves.png", f"{label}, {run.settings.arch}, best epoch {best}")
    plots.examples(
        dev_store,
        dev,
        run.folder / "examples.png",
        f"{label}: four development clips",
        plots.telling_clips(dev_store, dev),
    )
    say(f"\nbest epoch {best} on {len(dev_store)} development mixtures (onset within 0.5 s)")
    say(score_table(label, scores))
    say(f"\n{run.folder}: best.npz (detector), metrics.csv, events_dev.csv, curves.png, examples.png")
    return dev


if __name__ == "__main__":
    main()
