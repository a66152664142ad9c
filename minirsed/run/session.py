"""The main job as functions: train a detector, evaluate one. `minirsed.train`, `evaluate`, `report`, `sweep` call them.

Data flow: settings → mixtures, features → resumable → **session** → a run folder.

A training in four lines, here a very small one of built-in sounds:

>>> from minirsed.run.session import train
>>> from minirsed.run.settings import TrainSettings
>>> settings = TrainSettings(label="gunshot", clips=4, dev_clips=2, epochs=1, layers=1, units=2)
>>> run, dev = train(settings, "runs/tiny", say=lambda text: None)
>>> len(run.history), dev.scores.n_ref
(1, 1)
"""

import contextlib
import dataclasses
import itertools
import logging
import math
import shlex
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from data_tools.console import WIDTH, counted
from data_tools.errors import InputError
from data_tools.event_lists import write_event_list
from data_tools.files import folder_size, size_text
from data_tools.inventory import recordings_of
from data_tools.several import inventory_of
from data_tools.soundbank import open_bank
from minirsed.alarms import keeping
from minirsed.alarms.choice import sentences
from minirsed.analysis import plots
from minirsed.analysis.evaluation import evaluate
from minirsed.analysis.files import Results, tune_on_dev
from minirsed.kernels.threads import worker_threads
from minirsed.model import loss_and_grads
from minirsed.outside.members import model_config, split
from minirsed.outside.spectra import Spectra
from minirsed.run.checkpoint import has_checkpoint
from minirsed.run.folder import (
    new_run_folder,
    newest_run,
    read_settings,
    resumed_run_folder,
    settings_to_resume,
    trained_detector,
    versions,
)
from minirsed.run.log import run_log, saying
from minirsed.run.metrics import OF_CLASS
from minirsed.run.resumable import SAVE_EVERY_S, Stopped, Training
from minirsed.run.settings import option_name, value_text
from minirsed.run.size import feature_bytes, prepared_clips, require_room
from minirsed.several.detector import for_classes, load, views_of
from minirsed.several.evaluation import by_class, evaluate_any, of_each_class
from minirsed.store.dataset import prepare, remove_store
from minirsed.store.files import plain_name
from minirsed.store.mixtures import features_of, recipes_of

FEATURES = Path("features")  # where prepared features are kept unless told otherwise
RESUMED = ("epochs",)  # settings that may change when a run is resumed

log = logging.getLogger(__name__)


@contextlib.contextmanager
def silent(title, unit):
    """The default for `progress`: shows nothing."""
    yield None


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where and with what a job is done; none of it changes a result.

    Attributes
    ----------
    features : Path
        Folder that keeps prepared features for the next run.
    threads : int
        That train and detect.
    jobs : int
        Processes that prepare mixtures.
    cluster : str, optional
        Address of a Dask scheduler whose workers prepare them instead.
    """

    features: Path = FEATURES
    threads: int = 1
    jobs: int = 1
    cluster: str | None = None


def train(
    settings,
    folder=None,
    *,
    machine=Machine(),
    resume=False,
    stop=None,
    save_every_s=SAVE_EVERY_S,
    tensorboard=False,
    command=None,
    say=print,
    progress=silent,
):
    """Prepare mixtures, train, and leave a run folder.

    Parameters
    ----------
    settings : minirsed.run.settings.TrainSettings
    folder : str or Path, optional
        By default the first free of runs/CLASS, runs/CLASS-2, …; with `resume` the last of them that holds a run.
    machine : Machine
    resume : bool
        Continue the run in `folder`. Only the number of epochs in `settings` may differ from the run's own.
    stop : minirsed.run.interrupt.StopSignals, optional
        Asked after every update; once it is true, the state is saved and `Stopped` raised.
    save_every_s : float
        Seconds between checkpoints inside an epoch.
    tensorboard : bool
        Write TensorBoard scalars as well.
    command : list of str, optional
        For `config.json`; by default the command line of this process.
    say : callable
        `say(text)`, what is worth knowing as it happens.
    progress : callable
        `progress(title, unit)` gives a context with a function of the number done and the number to do, or None.

    Returns
    -------
    run : minirsed.run.resumable.Training
    dev : minirsed.analysis.evaluation.Evaluation
        Of the best epoch on the development mixtures.

    Raises
    ------
    InputError
        Sounds, settings or folder cannot be used; a loss is not finite; no development mixture has an event.
    Stopped
        Asked for by `stop`, or KeyboardInterrupt; its `folder` can be resumed, if it has one.
    """
    folder = None if folder is None else Path(folder)
    if resume:
        folder = folder or newest_run(settings.label)
        settings = resumed_settings(folder, dataclasses.asdict(settings))
    bank, recipes = _drawn(settings, machine, say, resume)
    open_folder = resumed_run_folder if resume else new_run_folder
    with open_folder(folder, settings, command) as folder, run_log(folder):
        log.info("%s", shlex.join(["python", *sys.orig_argv[1:]] if command is None else command))
        job = _Job(settings, bank, machine, stop, saying(say), progress)
        return job.run(folder, recipes, resume, save_every_s, tensorboard)


def _drawn(settings, machine, say, resume):
    """The sounds of a run and the recipes of its mixtures by subset; InputError if there is nothing of its class.

    And if there is no room for features, or no use for the detector to start from: now, not after minutes of preparing.
    """
    if settings.init_from and not resume:
        origin = load(settings.init_from)
        split(for_classes(origin, settings.classes), model_config(settings, settings.n_mels))
        say_origin(settings, [view.label for view in views_of(origin)], say)
    require_room(settings, prepared_clips(settings), machine.features)
    data = settings.data
    if machine.cluster and data != "builtin":
        data = Path(data).absolute()  # the workers have other working folders
    bank = open_bank(data, fold=settings.fold)
    for label in settings.classes:
        bank.events(label, "train")
    say(f"drawing mixtures of {settings.data} sounds …")
    recipes = {subset: recipes_of(bank, settings, subset) for subset in ("train", "dev")}
    found = {event.label for recipe in recipes["dev"] for event in recipe.events}
    missing = [label for label in settings.labels if label not in found]
    if missing:
        clips = f"--dev-clips {settings.dev_clips}"
        raise InputError(f"{clips}: no development mixture has an event of {', '.join(missing)}; ask for more")
    return bank, recipes


def say_origin(settings, known, say):
    """Say which classes a detector of the `known` ones has no event vector for, if either side has several."""
    if max(len(known), len(settings.classes)) > 1:
        new = [label for label in settings.classes if label not in known]
        at_0 = f"; new, with an event vector of 0: {', '.join(new)}" if new else ""
        say(f"starting from {settings.init_from}, a detector of {', '.join(known)}{at_0}")


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the steps of a training share."""

    settings: object
    bank: object
    machine: Machine
    stop: object
    say: object
    progress: object

    def run(self, folder, recipes, resume, save_every_s, tensorboard):
        """All of it; what stops it also says which folder can be resumed."""
        s = self.settings
        log.info("%s", s)
        self.say(f"{s.label}, {s.network}, run folder {folder}")
        self.say("\n".join(inventory_of(self.bank, s.classes, ("train", "dev"))))
        try:
            train, dev = stores = [self.prepared(subset, recipes[subset]) for subset in ("train", "dev")]
            self.say_what_is_kept(stores)
            if s.mixing == "spectra":
                train = self.spectra(train)
            return self.train(folder, train, dev, resume, save_every_s, tensorboard)
        except KeyboardInterrupt as error:
            stopped = Stopped(str(error) or "stopped")
            stopped.folder = folder if has_checkpoint(folder) else None
            raise stopped from None

    def prepared(self, subset, recipes):
        """The feature store of a subset, computed or found."""
        what = "backgrounds" if subset == "train" and self.settings.mixing == "spectra" else "mixtures"
        with self.progress(f"{subset} {what}", "clip") as progress:
            store = _prepare(self.bank, recipes, self.settings, self.machine, self.announced(subset, what, progress))
        self.say(f"{subset}: {len(store)} {what}, features in {store.folder}")
        return store

    def spectra(self, backgrounds):
        """What training clips are mixed of."""
        with self.progress("train events", "event") as progress:
            spectra = Spectra.of(self.bank, self.settings, backgrounds, progress)
        groups = (sum(spectra.events, []), spectra.others, spectra.negatives)
        n_events, n_others, n_negatives = (sum(map(len, group)) for group in groups)
        negatives = f", {counted(n_negatives, 'negative')}" if n_negatives else ""
        everyday = f", {counted(len(spectra.everyday), 'everyday sound')}" if spectra.everyday else ""
        made_of = f"{n_events} events, {n_others} of other classes{negatives}{everyday}"
        self.say(f"train: {made_of}; every clip of {self.settings.clip_s:g} s is new")
        return spectra

    def say_what_is_kept(self, stores):
        """Say the size of all features if there are others than those of this run."""
        kept = folder_size(self.machine.features)
        if kept > sum(folder_size(store.folder) for store in stores):
            advice = "python -m minirsed.clean shows and removes those that no run uses"
            self.say(f"{self.machine.features}: {size_text(kept)} of features by now; {advice}")

    def announced(self, subset, what, progress):
        """`progress`, but what is about to be computed, if anything is, is said first."""
        calls = itertools.count()

        def show(n_done, n_total):
            if next(calls) == 0 and n_done < n_total:
                n_left, place = n_total - n_done, self.machine.features
                size = size_text(feature_bytes(n_left, self.settings))
                self.say(f"{subset}: computing features of {n_left} {what}, {size} in {place} …")
            if progress is not None:
                progress(n_done, n_total)

        return show

    def redrawn(self, epoch):
        """The training store of an epoch; that of the epoch before is removed.

        That of the first epoch stays: it serves other runs, and `resume`.
        """

        def recipes(epoch):
            return recipes_of(self.bank, self.settings, "train", epoch=epoch)

        with self.deferred(False):  # all is saved, and preparing can be stopped anywhere
            if epoch > 2:
                kind = {"dtype": self.settings.feature_dtype} | features_of(self.settings)
                remove_store(self.bank, recipes(epoch - 1), self.machine.features, **kind)
            return self.prepared("train", recipes(epoch))

    def deferred(self, is_deferred=True):
        """Context in which signals wait for the end of an update, if there is anyone to catch them."""
        return self.stop.deferred(is_deferred) if self.stop else contextlib.nullcontext()

    def train(self, folder, train_store, dev_store, resume, save_every_s, tensorboard):
        """Start or resume; a line for each epoch; then the report."""
        redraw = self.redrawn if self.settings.redraw else None
        with worker_threads(self.machine.threads) as executor, self.progress("epoch", "clip") as progress:
            run = self.opened(folder, train_store, resume)
            self.say("compiling kernels (once after installation) …")
            log.info("kernels compiled or loaded in %.1f s", warm_up(run.detector))
            run.keeper = self.keeper(dev_store, executor)
            self.say(
                "epoch  train loss      (clip + α·frame)  dev loss  dev ER  dev F1  seconds"
                + "".join(f"  ER {label}" for label in self.settings.labels)
                + (f"  missed at {self.settings.alarms_per_hour:g} alarms an hour" if run.keeper else "")
            )
            options = {"stop": self.stop, "save_every_s": save_every_s}
            with _scalars(tensorboard, run) as write_scalars, self.deferred():
                for row in run.epochs(train_store, dev_store, executor, progress, redraw, **options):
                    best = 0 if self.settings.keep == "last" else run.best_epoch
                    self.say(epoch_line(row, self.settings.alpha, best))
                    write_scalars(row)
            return run, self.report(run, dev_store, executor)

    def keeper(self, dev_store, executor):
        """What chooses thresholds after each epoch, if the promise decides which epoch is kept."""
        s = self.settings
        if s.keep != "promise":
            return None
        recordings, n_threads = self.bank.recordings("dev"), self.machine.threads
        made_of = recordings_of(self.bank, dev_store.recipes)
        return keeping.Keeper(s.label, s.alarms_per_hour, recordings, dev_store, executor, n_threads, made_of)

    def opened(self, folder, train_store, resume):
        """A new run, or the one to resume; one that was killed before its first checkpoint starts again."""
        if not (resume and has_checkpoint(folder)):
            return Training.start(folder, self.settings, train_store, versions())
        run = Training.resume(folder, self.settings)
        place = f" and {counted(run.position.n_batches, 'update')} of the next" if run.position else ""
        self.say(f"resuming after epoch {len(run.history)}{place} of {self.settings.epochs}")
        now = versions()
        # as far as it knows; earlier runs name SciPy's BLAS as well, after a comma
        changed = sorted(name for name in run.versions if now.get(name) not in run.versions[name].split(", "))
        if changed:
            then = ", ".join(f"{name} {run.versions.get(name)} → {now.get(name)}" for name in changed)
            log.warning("not what the run started with, so its last bits may differ: %s", then)
        return run

    def report(self, run, dev_store, executor):
        """Run the best epoch's detector once more on the development mixtures; table, event list, pictures."""
        from minirsed.card import files as card  # here: it also knows what stands behind this file in the map
        from minirsed.card.sounds import write_sounds

        best, label = run.best_epoch, self.settings.label
        if not best:
            reason = "no development mixture has an event"
            raise InputError(f"the development error rate is undefined in every epoch: {reason}")
        detector = load(run.folder / "best.npz")
        dev = evaluate_any(detector, dev_store, executor, alpha=self.settings.alpha)
        write_event_list(run.folder / "events_dev.csv", dev.estimated)
        epoch = f"{self.settings.keep} epoch ({best})"
        names = ", ".join(self.settings.classes)
        plots.curves(run.history, run.folder / "curves.png", f"{names}, {self.settings.arch}, {epoch}", best)
        every = of_each_class(dev_store, dev)
        pictures = ", ".join(examples(run.folder, own or label, own, *of_class) for own, *of_class in every)
        self.say(f"\n{epoch} on {len(dev_store)} development mixtures (onset within 0.5 s)")
        self.say(score_table(label, dev.scores, by_class(dev)))
        for text in itertools.chain(*map(sentences, views_of(detector))):
            self.say(textwrap.fill(text, WIDTH, subsequent_indent="    "))
        write_sounds(run.folder, self.bank, self.settings)
        card.write(run.folder)
        self.say(f"\n{run.folder}: best.npz (detector), card.md, metrics.csv, events_dev.csv, curves.png, {pictures}")
        return dev


def examples(folder, title, label, store, evaluation):
    """Draw four development clips of the only class, or of one of several, which is in the picture's name: the name."""
    name = f"examples_{plain_name(label)}.png" if label else "examples.png"
    shown = plots.telling_clips(store, evaluation)
    plots.examples(store, evaluation, folder / name, f"{title}: four development clips", shown)
    return name


def _prepare(bank, recipes, settings, machine, progress, kind=None):
    """The feature store of some mixtures, of the kind of the run or another one."""
    return prepare(
        bank,
        recipes,
        machine.features,
        n_jobs=machine.jobs,
        cluster=machine.cluster,
        dtype=settings.feature_dtype,
        progress=progress,
        **(kind or features_of(settings)),
    )


def _scalars(tensorboard, run):
    """Context: a function that takes the row of an epoch to TensorBoard, or nowhere."""
    if not tensorboard:
        return contextlib.nullcontext(lambda row: None)
    from minirsed.run.tensorboard import scalar_writer

    return scalar_writer(run.folder, run.history)


def warm_up(detector):
    """Compile the kernels, or read them from Numba's cache, before the clock of the first epoch starts: seconds."""
    started = time.perf_counter()
    x = np.zeros((1, 2, detector.config.n_inputs), detector.mean.dtype)
    labels = np.ones((1, detector.config.n_classes, 2), x.dtype)
    loss_and_grads(detector.params, detector.config, x, labels, rng=np.random.default_rng(0))
    return time.perf_counter() - started


def epoch_line(row, alpha, best_epoch):
    """One epoch, in the columns of the heading."""
    er, f1 = _rate(row["dev_error_rate"]), _rate(row["dev_f1"])
    parts = f"({row['train_utterance_loss']:.3f} + {alpha:g}·{row['train_frame_loss']:.3f})"
    missed = f"  {row['promise_misses']}" if "promise_misses" in row else ""
    of_class = [(name, value) for name, value in row.items() if name.startswith(OF_CLASS.format("dev_error_rate", ""))]
    missed += "".join(f"  {_rate(value):>{len(name) - 12}}" for name, value in of_class)
    best = "  best so far" if best_epoch == row["epoch"] else ""
    return (
        f"{row['epoch']:5}  {row['train_loss']:7.3f} {parts:>24}  {row['dev_loss']:8.3f}  {er:>6}  {f1:>6}  "
        f"{row['seconds']:7.1f}{missed}{best}"
    )


def _rate(value):
    return "   -" if value is None else f"{value:.2f}"


def score_table(label, scores, of_class=None):
    """Counts, ER and F1, in two lines; of several classes, with `of_class`, a line for each and one of the average."""
    lines = [f"{'class':12} {'events':>6} {'found':>6} {'hits':>6} {'misses':>6} {'false':>6}  {'ER':>5}  {'F1':>5}"]
    for name, of in (of_class or {label: scores}).items():
        of = getattr(of, "scores", of)
        counts = " ".join(f"{n:6}" for n in (of.n_ref, of.n_sys, of.n_tp, of.n_fn, of.n_fp))
        lines.append(f"{name:12} {counts}  {_defined(of.error_rate):>5}  {_defined(of.f1):>5}")
    if of_class:
        lines.append(f"{'average':12} {'':34}  {_defined(scores.error_rate):>5}  {_defined(scores.f1):>5}")
    return "\n".join(lines)


def _defined(rate):
    return "-" if math.isnan(rate) else f"{rate:.2f}"


def resumed_settings(folder, asked):
    """Settings of the run to resume in a folder.

    Parameters
    ----------
    folder : Path
    asked : dict
        Settings that were asked for, by name; all but those in `RESUMED` must be the run's own.

    Raises
    ------
    InputError
        Not the folder of a run, or a setting is another one.
    """
    settings = settings_to_resume(folder)
    if settings.schedule != "constant" and asked.get("epochs", settings.epochs) != settings.epochs:
        raise InputError(
            f"--resume: the step size of {folder} falls to 0 over its {settings.epochs} epochs; "
            f"for {asked['epochs']} train a new run"
        )
    for name, value in dataclasses.asdict(settings).items():
        given = asked.get(name, value)
        if given != value and name not in RESUMED:
            option = option_name(name)
            raise InputError(f"--resume: {folder} has {option} {value_text(value)}, not {value_text(given)}")
    return dataclasses.replace(settings, **{name: asked[name] for name in RESUMED if name in asked})


def inventory_of_run(folder, subset="eval", *, data=None, tune=True):
    """What `evaluate_run` with these arguments draws its mixtures from, as `inventory_of` says it."""
    settings = read_settings(folder)
    subsets = dict.fromkeys((subset, "dev") if tune else (subset,))
    return inventory_of(sounds_of_run(settings, data), settings.classes, subsets)


def mixtures_of_run(folder, subset, *, data=None, detector, machine=Machine(), progress=silent):
    """The feature store of as many mixtures of a subset as the training had of dev; see `evaluate_run`."""
    settings = read_settings(folder)
    require_room(settings, {"--dev-clips": settings.dev_clips}, machine.features)
    return prepared_mixtures(sounds_of_run(settings, data), settings, subset, None, detector, machine, progress)


def prepared_mixtures(bank, settings, subset, n_clips, detector, machine, progress):
    """The feature store of the first `n_clips` mixtures of a run's subset, None: as of dev, for a detector."""
    with progress(f"{subset} mixtures", "clip") as done:
        recipes = recipes_of(bank, settings, subset, n_clips)
        return _prepare(bank, recipes, settings, machine, done, detector.features)


def sounds_of_run(settings, data=None):
    """The sounds of a run, in its own fold, or others."""
    return open_bank(data) if data else open_bank(settings.data, fold=settings.fold)


def compared_detector(folder, detector):
    """That of another run of the same class. InputError: it cannot be used, or is of another class."""
    other = trained_detector(folder)
    if other.label != detector.label:
        raise InputError(f"{folder}: detects {other.label}, not {detector.label}")
    return other


def evaluate_run(
    folder, subset="eval", *, data=None, n_clips=None, tune=True, compare=None, machine=Machine(), progress=silent
):
    """Run the best detector of a run over mixtures that it was not trained on.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    subset : {"dev", "eval"}
    data : str or Path, optional
        Sounds; by default those of the run.
    n_clips : int, optional
        Mixtures; by default `dev_clips` of the training.
    tune : bool
        Also choose the thresholds with the lowest error rate on the development mixtures, see
        `minirsed.analysis.files.tune_on_dev`.
    compare : str or Path, optional
        Another run of the same class, for a paired test on the same mixtures.
    machine, progress : as in `train`

    Returns
    -------
    minirsed.analysis.files.Results

    Raises
    ------
    InputError
        A folder, detector or sound cannot be used, or the other run is of another class.
    """
    settings, detector = read_settings(folder), trained_detector(folder)
    other = compared_detector(compare, detector) if compare else None
    require_room(settings, {"--clips": n_clips or settings.dev_clips}, machine.features)
    bank = sounds_of_run(settings, data)

    def mixtures(subset, n_clips=None, own=None):
        return prepared_mixtures(bank, settings, subset, n_clips, own or detector, machine, progress)

    def detect(detector, store, title="detecting"):
        with worker_threads(machine.threads) as executor, progress(title, "clip") as done:
            return evaluate(detector, store, executor, alpha=settings.alpha, progress=done)

    store = mixtures(subset, n_clips)
    results = Results(Path(folder), subset, detector, store, detect(detector, store), bank)
    if tune:
        results.dev_store, results.dev_evaluation = store, results.evaluation
        if subset != "dev":
            results.dev_store = mixtures("dev")
            results.dev_evaluation = detect(detector, results.dev_store, "detecting, dev")
        tune_on_dev(results)
    if other:
        results.other_run, results.other_detector = Path(compare), other
        other_store = mixtures(subset, n_clips, other)  # the same rows, if its features are
        results.other = detect(other, other_store, "detecting, other run")
    return results
