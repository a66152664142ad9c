"""What a sweep will cost, from a few seconds of measurement.

Data flow: `plan` → **cost** → shown before anything is begun. Measured on this machine as it is at the moment,
with one job's share of the cores: other work on it, or jobs that take memory bandwidth from each other, make it longer.
"""

import functools
import os
import time
from dataclasses import dataclass

import numpy as np

from data_tools.console import available_cores
from minirsed.adam import Adam
from minirsed.features import SAMPLE_RATE, lfbe, n_frames
from minirsed.kernels.threads import worker_threads
from minirsed.listening.inputs import INPUTS
from minirsed.model import batch_loss_and_grads, forward, groups, init_params, loss_and_grads
from minirsed.outside.members import model_config
from minirsed.store import files as store_files
from minirsed.store.mixtures import features_of, recipes_of
from minirsed.sweep.jobs import epochs_done, mixture_sets

CLIP_S = 30.0
BUSY = 0.25  # share of the cores
N_MEASURED = 3  # updates, and mixtures, timed after one that is not


@dataclass(frozen=True)
class Cost:
    """Seconds that a sweep will take on this machine."""

    preparing_s: float
    training_s: float
    n_mixtures: int  # still to be prepared
    update_s: dict  # (arch, head, layers, units) → seconds of an update, measured
    load: float = 0.0  # processes that were at work on average in the minute before, of other programs
    n_cores: int = 1

    @property
    def is_busy(self):
        """Whether other work may have slowed down what was measured."""
        return self.load > BUSY * self.n_cores


def estimate(cells, jobs, bank):
    """Measure a few updates at each size, and the preparation of a few mixtures.

    Parameters
    ----------
    cells : list of Cell
        Not finished.
    jobs : Jobs
    bank : data_tools.soundbank.SoundBank

    Returns
    -------
    Cost
    """
    update_s, detect_s, training_s = {}, {}, 0.0
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before any work of our own
    with worker_threads(jobs.n_threads) as executor:
        for cell in cells:
            s = cell.settings
            size = (s.arch, s.head, s.layers, s.units, s.n_mels, s.batch_size, s.mixing, s.members, s.clip_s)
            if size not in update_s:
                update_s[size], detect_s[size] = time_model(s, executor)
            n_epochs = s.epochs - epochs_done(jobs.folder(cell))
            n_updates = -(-s.clips // s.batch_size)
            training_s += n_epochs * (n_updates * update_s[size] + s.dev_clips * detect_s[size])
    n_mixtures, first = 0, None
    for settings, subset in mixture_sets(cells, jobs.evaluate):
        recipes = recipes_of(bank, settings, subset)
        fingerprint = store_files.store_settings(bank, recipes, settings.feature_dtype, **features_of(settings))[
            "fingerprint"
        ]
        if not store_files.is_done(jobs.features / store_files.store_name(recipes, fingerprint), fingerprint):
            n_mixtures += len(recipes)
            first = first or recipes
    mixture_s = time_mixtures(bank, first) if first else 0.0
    n_cores = jobs.n_jobs * jobs.n_threads
    named = {(*size[:4],): seconds for size, seconds in update_s.items()}
    preparing_s = n_mixtures * mixture_s / n_cores
    return Cost(preparing_s, training_s / jobs.n_jobs, n_mixtures, named, load, available_cores())


def time_model(settings, executor):
    """Seconds of an update, and of detecting in one clip, on random features; compiles first what is not yet."""
    rng, kind = np.random.default_rng(0), INPUTS[settings.inputs]
    config = model_config(settings, settings.n_mels)
    params, adams = init_params(config, rng), [Adam() for _ in range(settings.members)]
    clip_s = settings.clip_s if settings.mixing == "spectra" else CLIP_S
    shape = (settings.batch_size, n_frames(int(clip_s * SAMPLE_RATE)) // kind.rate, config.n_inputs)
    x, labels = rng.standard_normal(shape, np.float32), np.zeros(shape[:2], np.float32)
    labels[::2, shape[1] // 2 : shape[1] // 2 + 50] = 1

    def update():
        if settings.mixing == "spectra":  # a thread for each member; drawing the clips is not in it
            grads = list(executor.map(lambda _: loss_and_grads(params, config, x, labels, with_dx=False)[1], adams))
        else:
            grads = [batch_loss_and_grads(executor, params, config, x, labels, 1.0, rng)[1]]
        for adam, own in zip(adams, grads, strict=True):
            adam.update(params, own)

    def detect():
        run = functools.partial(forward, params, config, with_cache=False)
        list(executor.map(lambda rows: run(x[rows]), groups(len(x))))

    return median_seconds(update), median_seconds(detect) / len(x) * CLIP_S / clip_s


def time_mixtures(bank, recipes):
    """Seconds to render one mixture and compute its features, on one core."""
    from data_tools.mixing import render

    some = iter(recipes[:: max(1, len(recipes) // (N_MEASURED + 1))])
    return median_seconds(lambda: lfbe(render(next(some), bank)), min(N_MEASURED, len(recipes) - 1))


def median_seconds(work, n=N_MEASURED):
    """Median of `n` timed calls after one that is not timed."""
    seconds = []
    for _ in range(n + 1):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds[1:] or seconds))
