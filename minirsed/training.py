"""Epochs: minibatches → gradients → Adam, development ER after each, the best epoch kept (paper, Sec. 4.1).

Data flow: dataset, detector, adam → **training** → a run folder:

    config.json      settings, versions, command line, machine
    metrics.csv      a row for each epoch
    checkpoint.npz   weights, optimizer, random state, feature statistics: everything to go on, bit for bit
    best.npz         the detector of the epoch with the lowest development ER

The checkpoint is written at the end of an epoch, after `best.npz` and before `metrics.csv`, each aside and renamed.
A run that is killed goes on from its last whole epoch, and since the random state is in the checkpoint it repeats
the lost part exactly; `metrics.csv` is rewritten from the checkpoint, and `best.npz` belongs to an epoch that will
be reached again with the same result.
"""

import csv
import time
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write
from data_tools.recipes import draw_recipes
from minirsed.adam import Adam, clip_by_global_norm
from minirsed.archive import read_arrays, write_arrays
from minirsed.augmentation import augment
from minirsed.dataset import minibatches
from minirsed.detector import Detector, ModelConfig, batch_loss_and_grads, init_params
from minirsed.evaluation import batch_labels, evaluate
from minirsed.gru import numba_recurrence

FORMAT = "minirsed-checkpoint-1"
METRICS = (
    *("epoch", "train_loss", "train_utterance_loss", "train_frame_loss", "dev_loss", "dev_error_rate", "dev_f1"),
    *("grad_norm", "seconds"),
)


HELD_OUT_SEED = 1  # of development and evaluation mixtures: the same for every run, so that runs can be compared


def recipes_of(bank, settings, subset, n=None, epoch=1):
    """Recipes of a run's mixtures: those of training follow its seed and generator, the others are always the same.

    With `settings.redraw`, training goes on in the endless row of recipes: epoch e has numbers (e − 1)·n … e·n − 1.
    """
    if subset != "train":
        return draw_recipes(bank, settings.label, subset, n or settings.dev_clips, HELD_OUT_SEED)
    first = (epoch - 1) * settings.clips if settings.redraw else 0
    options = {"generator": settings.generator, "first": first}
    return draw_recipes(bank, settings.label, subset, n or settings.clips, settings.seed, **options)


class Training:
    """A run: its state between two epochs, and the folder that keeps it.

    Attributes
    ----------
    folder : Path
    settings : minirsed.settings.TrainSettings
    detector : Detector
        With the weights of the last epoch.
    history : list of dict
        Rows of `metrics.csv`, one for each epoch done.
    """

    def __init__(self, folder, settings, detector, adam, rng, history):
        self.folder, self.settings, self.detector = Path(folder), settings, detector
        self.adam, self.rng, self.history = adam, rng, history

    @classmethod
    def start(cls, folder, settings, train_store):
        """A new run: statistics of the training features, random weights."""
        rng = np.random.default_rng(settings.seed)
        mean, std = train_store.stats
        config = ModelConfig(settings.arch, settings.layers, settings.units, train_store.features.shape[2])
        detector = Detector(config, init_params(config, rng), settings.label, mean, std)
        return cls(folder, settings, detector, Adam(settings.learning_rate), rng, [])

    @classmethod
    def resume(cls, folder, settings):
        """Read the state after the last whole epoch.

        Raises
        ------
        InputError
            The checkpoint is missing or damaged.
        """
        path = Path(folder) / "checkpoint.npz"
        description, arrays = read_arrays(path, FORMAT)
        detector = Detector.from_parts(path, description["detector"], arrays)
        moments = [{name: arrays[f"adam/{moment}/{name}"] for name in detector.params} for moment in "mv"]
        adam = Adam(settings.learning_rate, n_updates=description["n_updates"], m=moments[0], v=moments[1])
        rng = np.random.default_rng()
        rng.bit_generator.state = description["random_state"]
        return cls(folder, settings, detector, adam, rng, description["history"])

    @property
    def best_epoch(self):
        """Number of the epoch with the lowest development ER, of equals the one with the lowest loss; 0: none yet."""
        ranked = [row for row in self.history if row["dev_error_rate"] is not None]
        return min(ranked, key=lambda row: (row["dev_error_rate"], row["dev_loss"]))["epoch"] if ranked else 0

    def epochs(self, train_store, dev_store, executor, progress=None, redraw=None):
        """Train until `settings.epochs`; after each epoch save and yield its row of `metrics.csv`.

        Parameters
        ----------
        train_store, dev_store : minirsed.dataset.FeatureStore
        executor : concurrent.futures.Executor
            See `worker_threads`.
        progress : callable, optional
            `progress(n_done, n_total)`, in clips of the epoch, training and development together.
        redraw : callable, optional
            `redraw(epoch)` gives the epoch's own training store, from the second epoch on.

        Raises
        ------
        InputError
            A loss or gradient is not finite: names the epoch, the update and the mixtures. Nothing is overwritten.
        """
        recurrence = numba_recurrence()
        while len(self.history) < self.settings.epochs:
            started = time.perf_counter()
            if redraw and self.history:
                train_store = redraw(len(self.history) + 1)
            total = len(train_store) + len(dev_store)
            ahead = progress and (lambda done, _, total=total: progress(done, total))
            row = {"epoch": len(self.history) + 1, **self._train_epoch(train_store, executor, recurrence, ahead)}
            behind = progress and (lambda done, _, total=total: progress(total - len(dev_store) + done, total))
            dev = evaluate(self.detector, dev_store, executor, recurrence, alpha=self.settings.alpha, progress=behind)
            row["dev_loss"] = float(dev.loss.mean(dtype=np.float64))
            row["dev_error_rate"], row["dev_f1"] = finite(dev.scores.error_rate), finite(dev.scores.f1)
            row["seconds"] = round(time.perf_counter() - started, 2)
            self.history.append({name: row[name] for name in METRICS})
            self.save()
            yield self.history[-1]

    def _train_epoch(self, store, executor, recurrence, progress):
        """One pass over the training mixtures; returns the means of its losses and gradient norm."""
        sums, n_done, norms = np.zeros(3), 0, []
        for rows in minibatches(store.has_event, self.settings.batch_size, self.rng):
            coloured = augment(store.clips(rows), self.rng, self.settings.equaliser_db, self.settings.mask_bands)
            x = self.detector.normalise(coloured)
            values, grads = batch_loss_and_grads(
                executor,
                self.detector.params,
                self.detector.config,
                x,
                batch_labels(store, rows),
                self.settings.alpha,
                recurrence,
            )
            grads, norm = clip_by_global_norm(grads, self.settings.clip_norm)
            if not (np.isfinite(values.total).all() and np.isfinite(norm)):
                self._refuse_update(store, rows, values.total)
            self.adam.update(self.detector.params, grads)
            sums += [part.sum(dtype=np.float64) for part in values]
            norms.append(norm)
            n_done += len(rows)
            if progress:
                progress(n_done, len(store))
        means = dict(zip(METRICS[1:4], (sums / n_done).tolist(), strict=True))
        return {**means, "grad_norm": float(np.mean(norms))}

    def _refuse_update(self, store, rows, loss):
        """Stop at a loss or gradient that is not finite; what is on disk stays."""
        bad = [row for row, value in zip(rows, loss, strict=True) if not np.isfinite(value)]
        names = ", ".join(store.recipes[row].name for row in (bad or rows))
        raise InputError(
            f"{'loss' if bad else 'gradient'} is not finite in epoch {len(self.history) + 1}, "
            f"update {self.adam.n_updates + 1}, mixtures {names}; {self.folder} keeps the last whole epoch"
        )

    def save(self):
        """Write `best.npz` if this epoch is the best, then `checkpoint.npz`, then `metrics.csv`."""
        if self.best_epoch == len(self.history):
            self.detector.save(self.folder / "best.npz")
        moments = {
            f"adam/{moment}/{name}": value
            for moment, values in (("m", self.adam.m), ("v", self.adam.v))
            for name, value in values.items()
        }
        description = {
            "detector": self.detector.description(),
            "n_updates": self.adam.n_updates,
            "random_state": self.rng.bit_generator.state,
            "history": self.history,
        }
        write_arrays(self.folder / "checkpoint.npz", FORMAT, description, {**self.detector.arrays(), **moments})
        self.write_metrics()

    def write_metrics(self):
        """Write `metrics.csv` from the history."""
        with atomic_write(self.folder / "metrics.csv", "w") as file:
            writer = csv.DictWriter(file, METRICS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: "" if row[name] is None else row[name] for name in METRICS} for row in self.history)


def finite(value):
    """None for an undefined score (NaN), which JSON cannot hold."""
    return float(value) if np.isfinite(value) else None
