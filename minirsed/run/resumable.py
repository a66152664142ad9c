"""A training that can be stopped at any instant and resumed to the same bytes.

Data flow: training, evaluation → **resumable** → a run folder, which `session` opens:

    config.json      settings, versions, command line, machine
    metrics.csv      a row for each epoch
    checkpoint.npz   weights, optimizer, random state, feature statistics: everything to continue, bit for bit
    best.npz         the detector of the epoch with the lowest development ER, of the last one, or of the one that keeps
                     a promise best, with thresholds for it

Each file is written aside and renamed. The checkpoint alone says how far a run is: it is written every few minutes,
when the caller asks to stop, and at the end of an epoch, there after `best.npz` and before `metrics.csv`. Killed at any
instant, a run resumes from its checkpoint and repeats what came after it to the bit, since the random state and the
position inside the epoch are part of it; `best.npz` and `metrics.csv` are first put back to what belongs to it.
"""

import dataclasses
import logging
import time
from pathlib import Path

import numpy as np

from data_tools.console import counted
from data_tools.errors import InputError
from minirsed.adam import Adam
from minirsed.alarms.keeping import columns
from minirsed.listening.operating import AS_FOUND, Operating
from minirsed.listening.segments import STRONGEST
from minirsed.model import init_params
from minirsed.outside.members import Members, model_config, split
from minirsed.run.checkpoint import (
    Position,
    State,
    generator,
    promise_of,
    read_checkpoint,
    with_promise,
    write_checkpoint,
)
from minirsed.run.metrics import METRICS, best_epoch, scores_of, write_metrics
from minirsed.several.detector import for_classes, load, new_detector
from minirsed.several.evaluation import evaluate_any
from minirsed.store.dataset import minibatches
from minirsed.store.mixtures import finite_clips
from minirsed.training import updates

SAVE_EVERY_S = 300.0  # the most that a kill costs, in seconds of work

log = logging.getLogger(__name__)


class Stopped(KeyboardInterrupt):
    """Training was asked to stop, and has saved its state; `folder` is that of the run, if there is one to resume."""

    folder = None


class Training:
    """A run: its state, and the folder that keeps it.

    Attributes
    ----------
    folder : Path
    settings : minirsed.run.settings.TrainSettings
    detector : minirsed.detector.Detector or minirsed.several.detector.SeveralDetector
        With the newest weights.
    history : list of dict
        Rows of `metrics.csv`, one for each epoch done.
    position : minirsed.run.checkpoint.Position or None
        How far the epoch in work is; None between epochs.
    keeper : minirsed.alarms.keeping.Keeper or None
        To be set before `epochs` where `settings.keep` is promise.
    """

    keeper = None

    def __init__(self, folder, state):
        self.folder, self.settings = Path(folder), state.settings
        self.detector, self.adam, self.rng = state.detector, state.adam, state.rng
        self.history, self.position, self.best = state.history, state.position, state.best
        self.versions, self.members, self.promise = state.versions, state.members, state.promise

    @classmethod
    def start(cls, folder, settings, train_store, versions=None):
        """A new run: statistics of the training features, random weights.

        Parameters
        ----------
        folder : str or Path
        settings : TrainSettings
        train_store : minirsed.store.dataset.FeatureStore or minirsed.outside.spectra.Spectra
            What waveforms or spectra gave, as `settings.mixing` says.
        versions : dict, optional
            Of the libraries, for the checkpoint to remember.

        Raises
        ------
        InputError
            NaN or Inf in the features: names the mixtures.
        """
        rng = np.random.default_rng(settings.seed)
        origin = for_classes(load(settings.init_from), settings.classes) if settings.init_from else None
        how = 0.5, AS_FOUND
        if settings.rule == "strongest":
            how = STRONGEST, Operating(memory_s=settings.memory)
        if settings.mixing == "spectra":
            members = Members.start(settings, train_store, origin)
            params, config = members.joined()
            detector = new_detector(config, params, settings.classes, members.mean, members.std, *how)
            return cls(folder, State(settings, detector, None, rng, [], None, None, dict(versions or {}), members))
        mean, std = train_store.stats
        if not np.isfinite([mean, std]).all():
            for rows in minibatches(train_store.has_event, settings.batch_size, np.random.default_rng()):
                finite_clips(train_store, rows)
        config = model_config(settings, train_store.features.shape[2])
        params = init_params(config, rng)
        if origin:
            mean, std, (params,) = origin.mean, origin.std, split(origin, config)
        detector = new_detector(config, params, settings.classes, mean, std, *how)
        return cls(
            folder, State(settings, detector, Adam(settings.learning_rate), rng, [], None, None, dict(versions or {}))
        )

    @classmethod
    def resume(cls, folder, settings):
        """Read the newest state, and put `best.npz` and `metrics.csv` back to what belongs to it.

        Raises
        ------
        InputError
            There is no checkpoint that can be read, or `settings` are not its own, `epochs` apart.
        """
        state = read_checkpoint(folder)
        own, given = dataclasses.asdict(state.settings), dataclasses.asdict(settings)
        for name in own.keys() - {"epochs"}:
            if own[name] != given[name]:
                raise InputError(f"{folder}: its checkpoint has {name} {own[name]}, not {given[name]}")
        run = cls(folder, dataclasses.replace(state, settings=settings))
        if run.best is not None and not run._is_best_in_place():
            best = dataclasses.replace(run.detector, params=run.best)
            with_promise(best, run.promise).save(run.folder / "best.npz")
        write_metrics(run.folder, run.history)
        return run

    @property
    def best_epoch(self):
        """Number of the epoch that `settings.keep` asks for, see `minirsed.run.metrics.best_epoch`; 0: none yet."""
        return best_epoch(self.history, self.settings.keep)

    def epochs(
        self, train_store, dev_store, executor, progress=None, redraw=None, stop=None, save_every_s=SAVE_EVERY_S
    ):
        """Train until `settings.epochs`; after each epoch save and yield its row of `metrics.csv`.

        Parameters
        ----------
        train_store : minirsed.store.dataset.FeatureStore or minirsed.outside.spectra.Spectra
        dev_store : minirsed.store.dataset.FeatureStore
        executor : concurrent.futures.Executor
            See `worker_threads`.
        progress : callable, optional
            `progress(n_done, n_total)`, in clips of the epoch, training and development together.
        redraw : callable, optional
            `redraw(epoch)` gives the epoch's own training store, from the second epoch on.
        stop : callable, optional
            Asked after every update; once `stop()` is true, the state is saved and `Stopped` raised.
        save_every_s : float
            Seconds between checkpoints inside an epoch; 0: after every update. Each writes the whole state, twice the
            size of Adam's means and twice that of the weights.

        Raises
        ------
        InputError
            A feature, loss or gradient is not finite: names the epoch, the update and the mixtures. Nothing is
            overwritten.
        OSError
            The disk is full or the folder cannot be written: what was saved last stays.
        Stopped
            Asked for by `stop`.
        """
        while len(self.history) < self.settings.epochs:
            if redraw and self.history:
                train_store = redraw(len(self.history) + 1)
            clock = Clock(self, stop, save_every_s)
            total = self._clips_of_epoch(train_store) + len(dev_store)
            ahead = progress and (lambda done, _, total=total: progress(done, total))
            row = {"epoch": len(self.history) + 1, **self._train_epoch(train_store, executor, clock, ahead)}

            def behind(done, _, clock=clock, total=total):
                if progress:
                    progress(total - len(dev_store) + done, total)
                clock.tick()

            if self.members:
                self.detector.params, self.detector.config = self.members.joined()
            row |= self._scores(dev_store, executor, behind)
            detector = self.keeper(self.detector, clock.tick) if self.keeper else self.detector
            row["seconds"] = round(clock.seconds(), 2)
            row = {name: row[name] for name in METRICS} | row  # in the order of the columns
            self._end_epoch(row | (columns(detector) if self.keeper else {}), detector)
            yield self.history[-1]

    def _scores(self, store, executor, progress):
        """Loss, ER and F1 on the development mixtures, as a row has them."""
        dev = evaluate_any(self.detector, store, executor, alpha=self.settings.alpha, progress=progress)
        if not np.isfinite(dev.loss).all():
            self._refuse(store, range(len(store)), dev.loss)
        return {"dev_loss": float(dev.loss.mean(dtype=np.float64)), **scores_of(dev)}

    def _train_epoch(self, store, executor, clock, progress):
        """One pass over the training mixtures, or the rest of one; returns the means of its losses and gradient norm.

        The order of the clips follows from the random state before the epoch, which the position keeps.
        """
        steps = self._steps(store, executor)
        position = self.position
        for update in self._placed(steps):
            if not (np.isfinite(update.losses.total).all() and np.isfinite(update.grad_norm)):
                self._refuse(store, update.rows, update.losses.total)
            parts = [*(float(part.sum(dtype=np.float64)) for part in update.losses), update.grad_norm]
            position.sums = [total + part for total, part in zip(position.sums, parts, strict=True)]
            position.n_batches += 1
            position.n_clips += len(update.rows)
            if progress:
                progress(position.n_clips, self._clips_of_epoch(store))
            clock.tick()
        means = [total / position.n_clips for total in position.sums[:3]]
        return {**dict(zip(METRICS[1:4], means, strict=True)), "grad_norm": position.sums[3] / position.n_batches}

    def _steps(self, store, executor):
        """The updates of an epoch, or what is left of them."""
        settings = self.settings
        if self.members:
            self.position = self.position or Position(self.rng.bit_generator.state)
            epoch, n_done = len(self.history) + 1, self.position.n_batches
            return self.members.updates(store, settings, epoch, n_done, executor)
        if self.position is None:
            self.position = Position(self.rng.bit_generator.state)
            batches = minibatches(store.has_event, settings.batch_size, self.rng)
        else:
            batches = minibatches(store.has_event, settings.batch_size, generator(self.position.random_state))
        remaining = batches[self.position.n_batches :]
        return updates(self.detector, self.adam, store, remaining, settings, self.rng, executor)

    def _clips_of_epoch(self, store):
        return self.settings.clips * self.settings.members if self.members else len(store)

    @property
    def n_updates(self):
        """Updates so far."""
        return self.members.adams[0].n_updates if self.members else self.adam.n_updates

    def _placed(self, steps):
        """The updates; an InputError from one of them also says in which it was."""
        try:
            yield from steps
        except InputError as error:
            raise InputError(f"{error} (in {self._place(self.n_updates + 1)})") from error

    def _refuse(self, store, rows, loss):
        """Stop at a loss or, where every loss is finite, a gradient that is not; what is on disk stays."""
        bad = [row for row, value in zip(rows, loss, strict=True) if not np.isfinite(value)]
        names = ", ".join(store.name(row) for row in (bad or rows))
        raise InputError(
            f"{'loss' if bad else 'gradient'} is not finite in {self._place(self.n_updates)}, mixtures {names}; "
            f"{self.folder} keeps what was saved before"
        )

    def _place(self, n_updates):
        return f"epoch {len(self.history) + 1}, update {n_updates}"

    def _end_epoch(self, row, detector):
        """Write `best.npz` if this epoch is the best, then the checkpoint, then `metrics.csv`."""
        self.history.append(row)
        self.position = None
        if self.best_epoch == row["epoch"]:
            self.best = {name: value.copy() for name, value in self.detector.params.items()}
            self.promise = promise_of(detector) if self.settings.keep == "promise" else None
            detector.save(self.folder / "best.npz")
        self.save()
        write_metrics(self.folder, self.history)

    def save(self):
        """Write the checkpoint."""
        parts = (self.settings, self.detector, self.adam, self.rng, self.history, self.position, self.best)
        write_checkpoint(self.folder, State(*parts, self.versions, self.members, self.promise))

    def _is_best_in_place(self):
        """Whether `best.npz` holds the weights of the best epoch: it may be gone, damaged, or of an epoch to come."""
        try:
            found = load(self.folder / "best.npz").params
        except InputError as error:
            log.warning("%s; written again from the checkpoint", error)
            return False
        return found.keys() == self.best.keys() and all(np.array_equal(found[n], self.best[n]) for n in found)


class Clock:
    """Time spent on an epoch, in this process and before it; saves when it is time to, stops when it is asked to."""

    def __init__(self, run, stop, save_every_s):
        self.run, self.stop, self.save_every_s = run, stop, save_every_s
        self.before = run.position.seconds if run.position else 0.0
        self.started = self.saved = time.perf_counter()
        self.saved_updates = run.n_updates

    def seconds(self):
        """Seconds spent on the epoch."""
        return self.before + time.perf_counter() - self.started

    def tick(self):
        """Called between updates, and between groups of clips in evaluation: the only places to save or stop."""
        is_stopped = self.stop is not None and self.stop()
        is_due = time.perf_counter() - self.saved >= self.save_every_s
        if is_stopped or (is_due and self.run.n_updates > self.saved_updates):
            self.run.position.seconds = self.seconds()
            self.run.save()
            self.saved, self.saved_updates = time.perf_counter(), self.run.n_updates
            where = (
                f"in epoch {len(self.run.history) + 1}, after {counted(self.run.position.n_batches, 'update')} of it"
            )
            log.info("saved %s", where)
            if is_stopped:
                raise Stopped(f"stopped and saved {where}")
