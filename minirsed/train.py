"""Train a detector: `python -m minirsed.train CLASS`.

Draws mixtures, computes their features once, trains, and leaves a run folder that evaluate and detect read.
"""

import argparse
import dataclasses
import sys
from contextlib import nullcontext
from pathlib import Path

from data_tools.errors import InputError, exit_on_input_error
from minirsed.console import Progress, available_cores, require_positive, score_table
from minirsed.settings import PRESETS, add_arguments, from_arguments

RESUMED = ("epochs",)  # settings that may change when a run goes on


def parse_arguments(argv=None):
    """Command line → namespace; settings that were not given are absent from it."""
    parser = argparse.ArgumentParser(
        prog="python -m minirsed.train",
        description="Train a detector of one class of rare sound events and keep the epoch with the lowest "
        "development error rate. With the built-in sounds and the quick preset this takes minutes on two cores.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=100),
    )
    parser.add_argument(
        "--preset",
        default="quick",
        choices=PRESETS,
        help="settings to start from; options overrule it (default: quick). "
        + "; ".join(f"{name}: {describe_preset(name)}" for name in PRESETS if PRESETS[name]),
    )
    add_arguments(parser)
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="run folder to write (default: the first free of runs/CLASS, runs/CLASS-2, …)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --out (default: the newest of runs/CLASS…), "
        "with its own settings; only --epochs, --threads and --workers may be given anew",
    )
    parser.add_argument(
        "--features",
        metavar="DIR",
        type=Path,
        default=Path("features"),
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
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
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
    try:
        train(arguments)
    except KeyboardInterrupt:
        print("\nstopped; if an epoch was done, the same command with --resume goes on after it", file=sys.stderr)
        sys.exit(130)


def train(arguments):
    """Prepare, train, report; returns the finished `Training` and its best epoch's `Evaluation` on dev."""
    from data_tools.soundbank import open_bank
    from minirsed.run_folder import new_run_folder
    from minirsed.training import recipes_of

    settings = resumed_settings(arguments) if arguments.resume else from_arguments(arguments, arguments.preset)
    print(f"drawing mixtures of {settings.data} sounds …", flush=True)
    data = settings.data
    if arguments.cluster and data != "builtin":
        data = Path(data).absolute()  # the workers have other working folders
    bank = open_bank(data)
    recipes = {subset: recipes_of(bank, settings, subset) for subset in ("train", "dev")}
    opened = nullcontext(arguments.out) if arguments.resume else new_run_folder(arguments.out, settings)
    with opened as folder:
        print(f"{settings.label}, {settings.arch}, {settings.layers} × {settings.units} units, run folder {folder}")
        stores = [prepared(arguments, settings, bank, subset, recipes[subset]) for subset in ("train", "dev")]
        redraw = redrawing(arguments, settings, bank, stores[0]) if settings.redraw else None
        return train_epochs(arguments, settings, folder, *stores, redraw)


def prepared(arguments, settings, bank, subset, recipes):
    """The feature store of a subset, computed or found."""
    from minirsed.dataset import prepare

    with Progress(f"{subset} mixtures", "clip") as progress:
        store = prepare(
            bank,
            recipes,
            arguments.features,
            n_jobs=arguments.workers,
            cluster=arguments.cluster,
            dtype=settings.feature_dtype,
            n_mels=settings.n_mels,
            progress=progress,
        )
    print(f"{subset}: {len(store)} mixtures, features in {store.folder}")
    return store


def redrawing(arguments, settings, bank, first_store):
    """A function that makes the training store of an epoch and removes that of the epoch before."""
    import shutil

    from minirsed.training import recipes_of

    last = first_store

    def store_of(epoch):
        nonlocal last
        if last is not first_store:  # the first epoch's serves the feature statistics of other runs and of --resume
            shutil.rmtree(last.folder)
        last = prepared(arguments, settings, bank, "train", recipes_of(bank, settings, "train", epoch=epoch))
        return last

    return store_of


def train_epochs(arguments, settings, folder, train_store, dev_store, redraw):
    """Start or resume; a line for each epoch; then the report."""
    from minirsed.threads import worker_threads
    from minirsed.training import Training

    with worker_threads(arguments.threads) as executor, Progress("epoch", "clip") as progress:
        if arguments.resume:
            run = Training.resume(folder, settings)
            run.write_metrics()
            print(f"going on after epoch {len(run.history)} of {settings.epochs}")
        else:
            run = Training.start(folder, settings, train_store)
        warm_up(run.detector)
        print("epoch  train loss (clip + α·frame)  dev loss  dev ER  dev F1  seconds")
        for row in run.epochs(train_store, dev_store, executor, progress, redraw):
            progress.close()
            print(epoch_line(row, settings.alpha, run.best_epoch), flush=True)
        return run, report(run, dev_store, executor)


def warm_up(detector):
    """Compile the kernels, or read them from Numba's cache, before the clock of the first epoch starts."""
    import time

    import numpy as np

    from minirsed.detector import loss_and_grads
    from minirsed.gru import numba_recurrence

    started = time.perf_counter()
    print("compiling kernels (once after installation) …", end=" ", flush=True)
    x = np.zeros((1, 2, detector.config.n_inputs), detector.mean.dtype)
    loss_and_grads(detector.params, detector.config, x, np.ones((1, 2), x.dtype), recurrence=numba_recurrence())
    print(f"{time.perf_counter() - started:.1f} s")


def epoch_line(row, alpha, best_epoch):
    """One epoch, in the columns of the heading."""
    er = "   -" if row["dev_error_rate"] is None else f"{row['dev_error_rate']:.2f}"
    f1 = "   -" if row["dev_f1"] is None else f"{row['dev_f1']:.2f}"
    parts = f"({row['train_utterance_loss']:.3f} + {alpha:g}·{row['train_frame_loss']:.3f})"
    best = "  best so far" if best_epoch == row["epoch"] else ""
    return (
        f"{row['epoch']:5}  {row['train_loss']:7.3f} {parts:>20}  {row['dev_loss']:8.3f}  {er:>6}  {f1:>6}  "
        f"{row['seconds']:7.1f}{best}"
    )


def report(run, dev_store, executor):
    """Run the best epoch's detector once more on the development set; table, event list, pictures; its `Evaluation`."""
    from data_tools.event_lists import write_event_list
    from minirsed import plots
    from minirsed.detector import Detector
    from minirsed.evaluation import evaluate
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
    print(f"\nbest epoch {best} on {len(dev_store)} development mixtures (onset within 0.5 s)")
    print(score_table(label, scores))
    print(f"\n{run.folder}: best.npz (detector), metrics.csv, events_dev.csv, curves.png, examples.png")
    return dev


def resumed_settings(arguments):
    """Settings of the run to go on with; also sets `arguments.out` where it was not given."""
    from minirsed.run_folder import newest_run, read_settings

    arguments.out = arguments.out or newest_run(arguments.label)
    settings = read_settings(arguments.out)
    for name, value in dataclasses.asdict(settings).items():
        given = getattr(arguments, name, value)
        if given != value and name not in RESUMED:
            raise InputError(f"--resume: {arguments.out} has {name} {value}, not {given}")
    return dataclasses.replace(settings, epochs=getattr(arguments, "epochs", settings.epochs))


if __name__ == "__main__":
    main()
