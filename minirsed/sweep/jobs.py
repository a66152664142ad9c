"""The trainings of a sweep, several at a time.

Data flow: `plan` → **jobs** → a run folder for each cell, as `minirsed.train` leaves it, with two files more:

    log.txt        what the training command would have shown
    result.json    counts by mixture, and the recordings that each is made of; written last, so a cell that has it is
                   finished

Features are prepared first, once for all cells that share mixtures. A cell that was stopped is resumed from its
checkpoint. Each job is a process of its own: one that is killed takes no other with it, and all end with the process
that started them. Cores are divided among the jobs; the result depends neither on that nor on where a job ran.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from data_tools.files import atomic_write
from data_tools.inventory import recordings_of
from data_tools.soundbank import open_bank
from minirsed.analysis.breakdown import with_thresholds
from minirsed.analysis.files import grid_of, write_report
from minirsed.analysis.thresholds import lowest_error
from minirsed.card import files as card
from minirsed.detector import Detector
from minirsed.kernels.threads import keep_freed_memory
from minirsed.run.checkpoint import has_checkpoint
from minirsed.run.folder import BEST, CONFIG, require_settings
from minirsed.run.metrics import METRICS_FILE
from minirsed.run.session import Machine, evaluate_run, train
from minirsed.run.settings import option_name, value_text
from minirsed.scoring import count_events
from minirsed.store.dataset import prepare
from minirsed.store.mixtures import features_of, recipes_of
from minirsed.sweep.plan import SUBSETS

RESULT, LOG = "result.json", "log.txt"
POLL_S = 1.0  # between two looks at how far the jobs are


@dataclass(frozen=True)
class Jobs:
    """Where and how cells are run.

    Attributes
    ----------
    out : Path
        Folder of the sweep; absolute.
    features : Path
        Root of the feature stores; absolute.
    n_jobs, n_threads : int
        Jobs at a time, and threads of each.
    evaluate : bool
        Whether the detectors are run on the evaluation mixtures as well.
    cluster : str or None
        Address of a Dask scheduler whose workers do the cells, one thread each.
    """

    out: Path
    features: Path
    n_jobs: int = 1
    n_threads: int = 1
    evaluate: bool = False
    cluster: str | None = None

    def folder(self, cell):
        """Run folder of a cell."""
        return self.out / cell.name


# ---- what is there already


def check_cells(cells, jobs):
    """Tell the cells that are still to be done from those that are finished.

    Returns
    -------
    list of Cell
        Not finished, in order.

    Raises
    ------
    InputError
        The folder of a cell holds a run with other settings.
    """
    unfinished = []
    for cell in cells:
        folder = jobs.folder(cell)
        require_settings(folder, cell.settings)
        if not is_finished(folder, jobs.evaluate):
            unfinished.append(cell)
    return unfinished


def require_same_sounds(finished, jobs, bank):
    """InputError: a finished cell was scored on other mixtures than those that the sounds give now."""
    drawn, sounds = {}, sounds_id(bank)
    for cell in finished:
        result = read_result(jobs.folder(cell))
        for subset in result.keys() & {"dev", "eval"}:
            key = cell.settings.label, cell.settings.dev_clips, subset
            if key not in drawn:
                drawn[key] = [recipe.name for recipe in recipes_of(bank, cell.settings, subset)]
            if (result[subset].get("mixtures", drawn[key]), result.get("sounds", sounds)) != (drawn[key], sounds):
                raise InputError(
                    f"{jobs.folder(cell)}: the sounds have changed since it was scored; choose another --out"
                )


def sounds_id(bank):
    """What tells one version of the built-in sounds from another; None of files, which their mixtures name."""
    return bank.fingerprint() if bank.name == "builtin" else None


def is_finished(folder, evaluate):
    """Whether a cell's result is there, with that on the evaluation mixtures if it is wanted."""
    path = folder / RESULT
    return path.exists() and ("eval" in read_result(folder) or not evaluate)


def read_result(folder):
    """What a finished cell left: a dict with `dev`, `seconds` and, if it was evaluated, the other `SUBSETS`.

    Raises
    ------
    InputError
        Missing or damaged.
    """
    path = Path(folder) / RESULT
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        for subset in result.keys() & SUBSETS.keys():
            scored = result[subset]
            scored["counts"] = np.array(scored["counts"], np.int64).reshape(-1, 4)
            if scored.get("recordings"):  # results of earlier versions have none
                scored["recordings"] = [(event, background) for event, background in scored["recordings"]]
                if len(scored["recordings"]) != len(scored["counts"]):
                    raise ValueError("other recordings than mixtures")
        return result | {"seconds": float(result["seconds"]), "dev": result["dev"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: missing or damaged ({error}); delete it to have the cell done again") from error


def epochs_done(folder):
    """Epochs that a run has finished, from its `metrics.csv`."""
    try:
        return (folder / METRICS_FILE).read_text().count("\n") - 1
    except FileNotFoundError:
        return 0


# ---- the work


def mixture_sets(cells, evaluate):
    """Distinct sets of mixtures that cells need: list of (TrainSettings, subset), as `recipes_of` takes them."""
    sets = {}
    for cell in cells:
        s = cell.settings
        shared = (s.label, s.feature_dtype, *features_of(s).values())
        drawn = (s.backgrounds, s.members) if s.mixing == "spectra" else (s.seed, s.generator)
        sets.setdefault((*shared, "train", s.mixing, s.clips, *drawn), (s, "train"))
        sets.setdefault((*shared, "dev", s.dev_clips), (s, "dev"))
        if evaluate:
            sets.setdefault((*shared, "eval", s.dev_clips), (s, "eval"))
    return list(sets.values())


def prepare_all(cells, jobs, bank, progress_of):
    """Prepare the features that cells need; `progress_of(title)` gives a context with a progress function."""
    sets = mixture_sets(cells, jobs.evaluate)
    for number, (settings, subset) in enumerate(sets, 1):
        with progress_of(f"mixtures {number}/{len(sets)}: {settings.label}, {subset}") as progress:
            prepare(
                bank,
                recipes_of(bank, settings, subset),
                jobs.features,
                n_jobs=jobs.n_jobs * jobs.n_threads,
                dtype=settings.feature_dtype,
                progress=progress,
                cluster=jobs.cluster,
                **features_of(settings),
            )


def run_here(cells, jobs, report):
    """A process for each cell, `n_jobs` at a time; `report` is called while they work."""
    context = multiprocessing.get_context("spawn")  # forking a process with threads may hang it
    waiting, running = deque(cells), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs.n_jobs:
                cell = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_job, args=(cell, jobs, sender), name=cell.name, daemon=True)
                process.start()
                sender.close()  # the job's end alone stays open, so that its death is the end of the pipe
                running[process.sentinel] = cell, process, receiver
            for sentinel in connection.wait(list(running), POLL_S):
                cell, process, receiver = running.pop(sentinel)
                process.join()
                yield cell, _reason(process, receiver)
            report()
    finally:
        for _, process, _ in running.values():
            process.terminate()
            process.join()


def _job(cell, jobs, sender):
    """Body of a job's process: a cell, and the reason if it fails."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a job that is killed leaves behind
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep too, which ends its jobs
    keep_freed_memory()
    reason = run_cell(cell, jobs.folder(cell), jobs.features, jobs.n_threads, jobs.evaluate)
    sender.send(reason)


def _end_with_parent():
    """A job that outlived a killed sweep would get in the way of the next one."""
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _reason(process, receiver):
    with contextlib.suppress(EOFError):
        return receiver.recv()
    if process.exitcode is not None and process.exitcode < 0:
        return (
            f"its process was killed by signal {-process.exitcode}, perhaps for lack of memory; fewer --jobs need less"
        )
    return f"its process ended with exit status {process.exitcode}"


def run_cell(cell, folder, features, n_threads, evaluate):
    """Train one cell, or resume it, in this process.

    Returns
    -------
    reason : str or None
        Why it failed, in one line; None if it is finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "a", encoding="utf-8", buffering=1) as log, contextlib.redirect_stderr(log):
        try:
            machine = Machine(features, n_threads, n_threads)
            _train_and_evaluate(cell.settings, folder, machine, evaluate, partial(print, file=log))
        except (InputError, OSError) as error:
            print(f"error: {error}", file=log)
            return " ".join(str(error).split())
        except Exception as error:  # a defect of the program: its traceback is in the log
            traceback.print_exc()
            return f"{type(error).__name__}: {error}; its {LOG} has more"
    return None


def _train_and_evaluate(settings, folder, machine, evaluate, say):
    resume = has_checkpoint(folder)
    if not resume:
        for name in (CONFIG, BEST):  # of a run that was killed before its first checkpoint
            (folder / name).unlink(missing_ok=True)
    words = [settings.label, "--resume"] if resume else command_line(settings)
    command = ["python", "-m", "minirsed.train", *words, "--out", str(folder)]
    run, dev = train(settings, folder, machine=machine, resume=resume, command=command, say=say)
    if Detector.load(folder).operating.chosen and settings.keep != "promise":
        raise InputError(f"{folder}: its thresholds were chosen after its training; move it away to have it done again")
    best, bank = run.history[run.best_epoch - 1], open_bank(settings.data, fold=settings.fold)
    scored = counts_of(dev, bank, recipes_of(bank, settings, "dev"))
    result = {
        "dev": scored | {"best_epoch": run.best_epoch, "error_rate": best["dev_error_rate"]},
        "seconds": sum(row["seconds"] for row in run.history),
        "sounds": sounds_id(bank),
    }
    if evaluate:
        results = evaluate_run(folder, "eval", machine=machine)
        write_report(results)
        card.write(folder)
        result["eval"] = counts_of(results.evaluation, results.bank, results.store.recipes)
        result |= as_the_challenge_decided(results)
    with atomic_write(folder / RESULT, "w") as file:
        json.dump(result, file)


def as_the_challenge_decided(results):
    """Counts on both subsets, with the thresholds of the fewest errors on dev mixtures.

    However few recordings those are of: `minirsed.evaluate` advises against such a choice if they are few, but the
    teams had this rule, and the evaluation mixtures say what it is worth. Nothing if no dev mixture has an event.
    """
    detector, dev_store, dev = results.detector, results.dev_store, results.dev_evaluation
    if not dev_store.has_event.any():
        return {}
    thresholds = lowest_error(grid_of(detector, dev_store, dev), results.thresholds)
    found = {"dev_tuned": (dev, dev_store), "eval_tuned": (results.evaluation, results.store)}
    return {
        name: counts_of(with_thresholds(evaluation, store, detector, *thresholds), results.bank, store.recipes)
        | {"thresholds": list(thresholds)}
        for name, (evaluation, store) in found.items()
    }


def counts_of(evaluation, bank, recipes):
    """Event counts of each mixture, n_ref, n_sys, n_tp, n_subs, and its recordings, None if they are not known.

    Both as `minirsed.analysis.uncertainty` takes them.
    """
    counts, recordings = count_events(evaluation.reference, evaluation.estimated), recordings_of(bank, recipes)
    return {"mixtures": list(counts.files), "counts": counts.overall.tolist(), "recordings": recordings}


def command_line(settings):
    """The words after `python -m minirsed.train` that train a cell alone, for its `config.json`."""
    words = [*settings.classes, "--preset", "quick"]
    for setting in dataclasses.fields(settings):
        value = getattr(settings, setting.name)
        if isinstance(value, bool):
            words += [option_name(setting.name)] if value else []
        elif setting.name not in ("label", "labels"):
            words += [option_name(setting.name), *map(value_text, value if isinstance(value, tuple) else [value])]
    return words
