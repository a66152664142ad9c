"""Recipes → features on disk → minibatches (paper, Sec. 4.1): what training reads instead of sound.

Data flow: `data_tools.mixing` renders a recipe, `features` turns it into LFBE, the row goes to disk (`store_files`
says how); `training` takes the rows back from a memory map, ten at a time, half of them with an event.
"""

import copy
import functools
import math
import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from data_tools.audio import fault_of
from data_tools.errors import InputError
from data_tools.files import exclusive, naming, remove_temporaries, require_space
from data_tools.mixing import naming_all, render
from data_tools.workers import processes, spared_from_ctrl_c
from minirsed.features import lfbe
from minirsed.store import files as store_files
from minirsed.store.files import CHUNK_CLIPS

MIN_STD = 0.1  # natural-log units, 0.4 dB of power


class FeatureStore:
    """A complete store, opened for reading; `prepare` returns one.

    Parameters
    ----------
    folder : str or Path
        The folder of one store (not the root that holds several).

    Attributes
    ----------
    features : (N, T, 64) float32 or float16
        Read-only memory map; nothing is read until it is indexed.
    recipes, mixed : list of Recipe
        The same; where `of_class` has left out events, `mixed` are still those that were rendered.
    has_event : (N,) bool
        Of any class.
    onset_s, offset_s : (N,) float64
        Seconds from the start of the clip, NaN without an event. Of several events in a mixture, the first is in these
        and in `ebr_db`; `of_class` has those of one class.
    ebr_db : (N,) float64
        Event-to-background ratio in dB, -inf without an event.
    scene : (N,) str
    stats : tuple of two (64,) float64
        Mean and standard deviation of every band, see `feature_stats`; computed once, when the store was filled.

    Raises
    ------
    InputError
        The store is not complete, or one of its files is missing, damaged or of another store.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        index = store_files.read_index(self.folder)
        if index is None or not index["done"]:
            raise InputError(f"{self.folder}: not a complete feature store")
        self.features = store_files.open_features(self.folder, index)
        self.stats = tuple(np.array(index["stats"]))
        self.mixed = store_files.read_recipes(self.folder, len(self.features))
        self._describe(self.mixed)

    def _describe(self, recipes):
        self.recipes = recipes
        self.has_event = np.array([recipe.has_event for recipe in recipes])
        self.onset_s = np.array([r.onset_s if r.has_event else np.nan for r in recipes], np.float64)
        self.offset_s = np.array([r.offset_s if r.has_event else np.nan for r in recipes], np.float64)
        self.ebr_db = np.array([recipe.ebr_db for recipe in recipes], np.float64)
        self.scene = np.array([recipe.scene for recipe in recipes])

    def of_class(self, label):
        """The same store, of whose events there are those of one class alone: the others are part of the background.

        Its recipes are those of `Recipe.of_class`: to be described and counted, not to be rendered.
        """
        view = copy.copy(self)
        view._describe([recipe.of_class(label) for recipe in self.recipes])
        return view

    def __len__(self):
        return len(self.features)

    def name(self, row):
        """Of a mixture."""
        return self.recipes[row].name

    def clips(self, rows):
        """Features of some rows, a copy: (len(rows), T, 64), dtype of the store.

        Whatever the map has read is given back at once (the system keeps it in its own cache of files), so that a
        training of days takes no more memory than one of minutes. `rows` is a slice or an array of row numbers.

        Raises
        ------
        InputError
            The file has been cut short since; reading on would end the process with SIGBUS.
        """
        mapped = self.features.base
        if isinstance(mapped, mmap.mmap) and mapped.size() < len(mapped):
            raise InputError(f"{self.folder / 'features.npy'}: cut short while in use; delete the folder {self.folder}")
        copy = np.array(self.features[rows])
        store_files.give_back(self.features)
        return copy


def prepare(bank, recipes, folder, *, n_jobs=None, dtype="float32", progress=None, cluster=None, **features):
    """Render recipes and store their features, or open the store if that has been done before.

    A preparation that was stopped, in whatever way, resumes where it was; only chunks in work are done again. The
    bytes of `features.npy` depend neither on `n_jobs`, `cluster` nor on interruptions. Memory: one clip per worker at a
    time.

    Parameters
    ----------
    bank : data_tools.soundbank.SoundBank
        Or anything picklable with its `event_audio`, `background_audio` and `fingerprint`.
    recipes : list of Recipe
        All mixtures of one length.
    folder : str or Path
        Root of the stores; this one gets a folder in it (`store_files`). Made if missing.
    n_jobs : int, optional
        Worker processes; by default one for every core. They start only if more than one chunk is to be done.
    dtype : {"float32", "float16"}
        float16 halves the disk space; its step is at most 0.016 at the values of LFBE, which lie within ±30.
    progress : callable, optional
        `progress(n_done, n_total)`, in clips: called once before any work with what an earlier run has left, then
        after each chunk. For a bar with the time left, give the first `n_done` to `tqdm(initial=…)`.
    **features
        n_mels and floor of `minirsed.features.lfbe`.

    Returns
    -------
    FeatureStore

    Raises
    ------
    InputError
        No recipes; a sound cannot be read or gives NaN or Inf; not enough disk space; another process prepares this
        store; a file of the store is damaged; a worker was killed; a cluster cannot be used.
    ValueError
        `dtype` or `n_jobs` out of range; a mixture of another length than the first.
    OSError
        The folder cannot be written.
    """
    if dtype not in ("float32", "float16"):
        raise ValueError(f"dtype is {dtype!r}: expected 'float32' or 'float16'")
    if n_jobs is not None and n_jobs < 1:
        raise ValueError(f"n_jobs is {n_jobs}: expected at least 1, or None for all cores")
    if not recipes:
        raise InputError("recipes: expected at least one, got none")
    settings = store_files.store_settings(bank, recipes, dtype, **features)
    fingerprint = settings["fingerprint"]
    store = Path(folder) / store_files.store_name(recipes, fingerprint)
    if not store_files.is_done(store, fingerprint):
        store.mkdir(parents=True, exist_ok=True)
        with exclusive(store / "lock", "preparing"):
            if not store_files.is_done(store, fingerprint):  # another process may just have finished it
                remove_temporaries(store)
                _fill(store, bank, recipes, settings, n_jobs, cluster, progress or (lambda n_done, n_total: None))
    return FeatureStore(store)


def remove_store(bank, recipes, folder, *, dtype="float32", **features):
    """Remove the store that `prepare` made of these arguments, see `store_files.remove`."""
    fingerprint = store_files.store_settings(bank, recipes, dtype, **features)["fingerprint"]
    store_files.remove(Path(folder) / store_files.store_name(recipes, fingerprint))


def minibatches(has_event, batch_size, rng):
    """Deal one epoch into minibatches with equal shares of clips with and without an event (paper, Sec. 4.1).

    Both kinds are shuffled. The first k batches together hold `n · share` clips with an event, rounded to the
    nearest (share: that of all clips), so a batch is within one clip of its share, and a set that is half events
    gives every batch of ten five of them.

    Parameters
    ----------
    has_event : (N,) bool
    batch_size : int
    rng : numpy.random.Generator

    Returns
    -------
    list of (batch,) int64
        Row numbers, each of 0 … N−1 once; the last batch may be smaller.

    Raises
    ------
    ValueError
        `has_event` is not one-dimensional and boolean, or `batch_size` is below 1.
    """
    has_event = np.asarray(has_event)
    if has_event.dtype != bool or has_event.ndim != 1:
        raise ValueError(f"has_event is {has_event.dtype} {has_event.shape}: expected bool (N,)")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: expected at least 1")
    positive = rng.permutation(np.flatnonzero(has_event))
    negative = rng.permutation(np.flatnonzero(~has_event))
    n = len(has_event)
    if n == 0:
        return []
    dealt = np.minimum(np.arange(0, n + batch_size, batch_size), n)  # clips in the first 0, 1, 2 … batches
    dealt_positive = (2 * len(positive) * dealt + n) // (2 * n)  # ⌊share · dealt + ½⌋ in whole numbers
    dealt_negative = dealt - dealt_positive
    return [
        np.concatenate([positive[p0:p1], negative[n0:n1]])
        for p0, p1, n0, n1 in zip(
            dealt_positive[:-1], dealt_positive[1:], dealt_negative[:-1], dealt_negative[1:], strict=True
        )
    ]


def feature_stats(features):
    """Mean and standard deviation of every band over all frames of all clips, to normalise with.

    One pass in float64, a chunk of clips at a time in the order of the rows, chunks joined as in Chan, Golub and
    LeVeque (1979): bounded memory, no cancellation, the same result whatever the machine's load.

    Parameters
    ----------
    features : (N, T, 64) ndarray, or a memory map of one

    Returns
    -------
    mean, std : (64,) float64
        `std` is at least `MIN_STD`: a band that is (nearly) constant over the training set, such as one above the
        bandwidth of all recordings, is centred but not blown up.

    Raises
    ------
    ValueError
        There are no frames.
    """
    if features.size == 0:
        raise ValueError(f"features is {features.shape}: expected at least one clip and one frame")
    count, mean, squares = 0, 0.0, 0.0
    for first in range(0, len(features), CHUNK_CLIPS):
        x = features[first : first + CHUNK_CLIPS].reshape(-1, features.shape[-1]).astype(np.float64)
        chunk_mean = x.mean(axis=0)
        x -= chunk_mean
        delta = chunk_mean - mean
        squares = squares + np.einsum("ij,ij->j", x, x) + delta**2 * (count * len(x) / (count + len(x)))
        mean = mean + delta * (len(x) / (count + len(x)))
        count += len(x)
        store_files.give_back(features)
    return mean, np.maximum(np.sqrt(squares / count), MIN_STD)


class _Chunk(NamedTuple):
    """Some rows of a store that are still to be computed, with everything that a worker needs for them."""

    store: Path
    number: int  # of the chunk's byte in `chunks.done`
    rows: list  # of `features.npy`
    recipes: list  # one for each row
    bank: Any  # data_tools.soundbank.SoundBank
    lfbe: dict  # keyword arguments of `minirsed.features.lfbe`


def _fill(store, bank, recipes, settings, n_jobs, cluster, progress):
    """Create the store, or resume one that was left unfinished, and compute the missing chunks."""
    rows_of_chunks = store_files.chunk_rows(recipes)
    index = store_files.read_index(store)
    kind = {name: settings["lfbe"][name] for name in ("n_mels", "floor")}
    is_begun = index and all((store / name).exists() for name in ("features.npy", "recipes.json", "chunks.done"))
    if is_begun:
        store_files.open_features(store, index)  # raises if damaged
        done = store_files.read_marks(store, len(rows_of_chunks))
    else:
        with naming_all(recipes, bank):
            shape = [len(recipes), *_features(recipes[0], bank, kind).shape]
        index = settings | {"shape": shape, "done": False}
        done = np.zeros(len(rows_of_chunks), bool)
    missing = [
        _Chunk(store, number, rows, [recipes[row] for row in rows], bank, kind)
        for number, rows in enumerate(rows_of_chunks)
        if not done[number]
    ]
    n_left = sum(len(chunk.rows) for chunk in missing)
    _check_disk(store, n_left, index)
    if not is_begun:
        store_files.create_files(store, recipes, index)
    progress(len(recipes) - n_left, len(recipes))
    for n_clips in _run(missing, n_jobs) if cluster is None else _run_on_cluster(missing, cluster, index["dtype"]):
        n_left -= n_clips
        progress(len(recipes) - n_left, len(recipes))
    stats = [part.tolist() for part in feature_stats(store_files.open_features(store, index))]
    store_files.write_index(store, index | {"stats": stats, "done": True})
    (store / "chunks.done").unlink()


def _check_disk(store, n_clips, index):
    needed = n_clips * math.prod(index["shape"][1:]) * np.dtype(index["dtype"]).itemsize
    require_space(store, needed, f"the features of {n_clips} clips")


def _run(chunks, n_jobs):
    """Compute the chunks in this process or in workers; yield the number of clips of each."""
    if not chunks:
        return
    n_most = processes(n_jobs or -1)
    import joblib  # here, so that opening a store that is done stays quick
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    recipes, bank = [recipe for chunk in chunks for recipe in chunk.recipes], chunks[0].bank
    n_jobs = min(joblib.cpu_count() if n_most == -1 else n_most, len(chunks))
    if n_jobs <= 1:  # spares the second that workers take to start
        with naming_all(recipes, bank):
            yield from map(_do_chunk, chunks)
        return
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs, return_as="generator", batch_size=1, max_nbytes=None)
    try:
        with spared_from_ctrl_c():
            results = parallel(joblib.delayed(_do_chunk)(chunk) for chunk in chunks)
        with naming_all(recipes, bank):
            yield from results
    except TerminatedWorkerError as error:
        reason = "a worker was killed, most likely for lack of memory; fewer (n_jobs) need less, finished chunks stay"
        raise InputError(f"{chunks[0].store}: {reason}") from error


def _run_on_cluster(chunks, address, dtype):
    """Have the chunks computed elsewhere, write them here; yield the number of clips of each."""
    from minirsed.store.cluster import results_from_cluster

    if not chunks:
        return
    by_number = {chunk.number: chunk for chunk in chunks}
    calls = [(chunk.number, chunk.recipes, chunk.bank) for chunk in chunks]
    settings = store_files.store_settings(chunks[0].bank, [], dtype, **chunks[0].lfbe)
    compute = functools.partial(_compute_chunk, kind=chunks[0].lfbe)
    for number, features in results_from_cluster(compute, calls, address, settings):
        chunk = by_number[number]
        with store_files.chunk_writer(chunk.store, number) as write:
            for row, clip in zip(chunk.rows, features, strict=True):
                write(row, clip)
        yield len(features)


def _compute_chunk(recipes, bank, kind):
    """List of (T, n_mels) float32; with one thread, because the last bits of a matrix product may depend on it."""
    with threadpool_limits(1):
        return [_features(recipe, bank, kind) for recipe in recipes]


def _do_chunk(chunk):
    """Render some recipes into their rows; return the number of clips."""
    # One thread each: the last bits of a matrix product may depend on their number.
    writer = store_files.chunk_writer(chunk.store, chunk.number)
    with threadpool_limits(1), naming(chunk.store / "features.npy"), writer as write:
        for row, recipe in zip(chunk.rows, chunk.recipes, strict=True):
            write(row, _features(recipe, chunk.bank, chunk.lfbe))
    return len(chunk.rows)


def _features(recipe, bank, kind):
    """One clip, (T, n_mels) float32, checked."""
    y = render(recipe, bank)
    if not fault_of(y):
        features = lfbe(y, **kind)
        if np.isfinite(features).all():
            return features
    event = "".join(f" with event {event.event}" for event in recipe.events)
    raise InputError(f"{recipe.name}: background {recipe.background}{event} gives NaN or infinite features")
