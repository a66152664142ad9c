"""Work on a Dask cluster, through joblib's Dask backend: chunks of features, trainings of a sweep, recordings.

The workers send rows back and `dataset` writes them, so the folder of the store need not be shared. Several machines
that write one file of a network file system may undo each other's rows, for clients send whole pages of 4 kB.
The sounds, unless they are built-in, are to be found under the same absolute path everywhere. A worker joins in only if
sounds, code and libraries are those of the process that asks (their part of the store's fingerprint), which is what
makes the bytes the same; on another kind of processor the last bits of sums may differ all the same.

    python -m pip install -e ".[dask]"                                                on every machine
    dask scheduler                                                                    on one
    dask worker tcp://HOST:8786 --nthreads 1 --nworkers CORES                         on the others
    python -m minirsed.train babycry --cluster tcp://HOST:8786

A worker that dies costs the chunks that it had in work: the scheduler gives them to others. While there is no worker
left, everything waits for a new one, `GONE_S` at most.
"""

import concurrent.futures
import contextlib
import gc
import importlib.util
import logging
import threading
import time

from data_tools.errors import InputError, require_extra
from minirsed.store import files as store_files

CONNECT_S = 10  # to reach the scheduler, and again for the first worker to turn up
GONE_S = 60  # without any worker before all is given up: a nanny restarts a dead one in seconds
POLL_S = 1.0  # between two looks at how many there are
_checked = set()  # (fingerprint, code) that this process, a worker, has been found equal to


def results_from_cluster(function, tasks, address, settings):
    """Call `function(work, bank)` on the cluster for each task.

    Parameters
    ----------
    function : callable
        Importable on the workers.
    tasks : list of (number, work, bank)
        Where there is no bank, anything else with a `fingerprint()`.
    address : str
        Of the scheduler: tcp://HOST:8786.
    settings : dict
        `store_files.store_settings(bank, [], dtype)`, as the workers must find it too, and the same code.

    Yields
    ------
    number, result
        As they come, in any order. They wait in memory if the caller takes them more slowly than they come.

    Raises
    ------
    InputError
        No library, no scheduler, no worker, or none any more; minirsed is not installed on them; a worker that is not
        like this process; work that killed one worker after another; the scheduler was lost.
    Exception
        Whatever `function` raises.
    """
    distributed = import_distributed()
    import joblib

    client = _connected(distributed, address)
    settings = settings | {"code": store_files.code_digest()}
    with _quiet(), client, _explained(address, distributed):
        _check_installed(client, address)
        calls = [joblib.delayed(_on_worker)(function, *task, settings) for task in tasks]
        with joblib.parallel_config(_backend(client, address)):
            yield from joblib.Parallel(return_as="generator_unordered", batch_size=1)(calls)


def import_distributed():
    """Dask's library for clusters. InputError: it is not installed."""
    return require_extra("dask", "--cluster", "distributed")


def _connected(distributed, address):
    """A client of the scheduler at `address`. InputError: none answers there.

    distributed leaves a client that could not connect to the garbage collector, which closes it under a lock. Should
    that happen while the next client starts, which holds the same lock, both wait for ever. So it is collected here.
    """
    try:
        return distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, distributed.TimeoutError) as error:  # no OSError before Python 3.11
        reason = str(error)  # the error itself would keep its traceback, and so the client
    gc.collect()
    raise InputError(f"{address}: no Dask scheduler answers there ({reason})")


def _backend(client, address):
    """The Dask backend of joblib, but raising where that of joblib 1.6 waits for ever.

    joblib tells its caller of results, and of exceptions of the function as results, but not where Dask itself fails
    (`KilledWorker`), nor that there is no worker left.
    """
    from joblib._dask import DaskDistributedBackend

    unfinished, ended = set(), threading.Event()

    def fail(error):  # in the loop's thread, where all jobs end; one that fails is enough
        for job in [*unfinished][:1]:
            job.set_exception(error)

    def watch():
        seen = time.monotonic()
        while not ended.wait(POLL_S):
            with contextlib.suppress(OSError):  # the scheduler is lost; the client tells the jobs
                seen = time.monotonic() if client.ncores() else seen
            if time.monotonic() - seen > GONE_S:
                reason = f"no worker has been there for {GONE_S} s; finished work stays, the same command goes on"
                client.loop.add_callback(fail, InputError(f"{address}: {reason}"))
                return

    watcher = threading.Thread(target=watch, daemon=True)

    class Backend(DaskDistributedBackend):
        def submit(self, func, callback=None):
            def tell(job):
                unfinished.discard(job)
                if job.exception() is not None:
                    callback(job.exception())

            job = super().submit(func, callback)
            unfinished.add(job)
            job.add_done_callback(tell)
            return job

        def effective_n_jobs(self, n_jobs):
            n_workers = super().effective_n_jobs(n_jobs)
            if not n_workers:  # the last one has just died; joblib would raise RuntimeError
                raise TimeoutError
            return max(2, n_workers)  # with 1 joblib would do everything in this process, which is no worker

        def start_call(self):
            super().start_call()
            watcher.start()

        def stop_call(self):
            ended.set()
            watcher.join(POLL_S)
            super().stop_call()

    return Backend(client=client)


def _check_installed(client, address):
    """InputError unless scheduler and workers can import minirsed; a worker that cannot dies of its first task."""
    client.wait_for_workers(1, timeout=CONNECT_S)
    found = {f"scheduler {address}": client.run_on_scheduler(importlib.util.find_spec, "minirsed")}
    found |= {f"worker {name}": spec for name, spec in client.run(importlib.util.find_spec, "minirsed").items()}
    for name, spec in found.items():
        if spec is None:
            raise InputError(f"{name}: minirsed is not installed there")


@contextlib.contextmanager
def _quiet():
    """No account of distributed's own, with a traceback, of a scheduler that is lost: `_explained` says it."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _explained(address, distributed):
    """What goes wrong with a cluster, in one line each."""
    try:
        yield
    except InputError as error:
        raise error from None  # its message says all; joblib would show the worker's traceback on top
    except (TimeoutError, distributed.TimeoutError) as error:  # one and the same from Python 3.11 on
        raise InputError(f"{address}: the scheduler has no workers") from error
    except concurrent.futures.CancelledError as error:
        raise InputError(f"{address}: lost the scheduler; finished work stays") from error
    except distributed.KilledWorker as error:
        reason = "a task killed one worker after another, most likely for lack of memory; finished work stays"
        raise InputError(f"{address}: {reason}") from error


def _on_worker(function, number, work, bank, settings):
    _check_worker(bank, settings)
    return number, function(work, bank)


def _check_worker(bank, settings):
    """InputError unless this worker is like the process that asked; once per process is enough."""
    from distributed import get_worker

    asked = settings["fingerprint"], settings["code"]
    if asked in _checked:
        return
    worker = get_worker()
    if worker.state.nthreads != 1:
        reason = "start workers with --nthreads 1, and --nworkers N for N cores: numbers of threads may change bits"
        raise InputError(f"worker {worker.address}: has {worker.state.nthreads} threads; {reason}")
    try:
        here = store_files.store_settings(
            bank, [], settings["dtype"], settings["lfbe"]["n_mels"], settings["lfbe"]["floor"]
        )
        here["code"] = store_files.code_digest()
    except OSError as error:
        raise InputError(f"worker {worker.address}: cannot read the sounds: {error}; share them") from error
    for name, what in (("code", "code of minirsed"), ("versions", "library versions"), ("bank", "sounds")):
        if here[name] != settings[name]:
            if isinstance(here[name], dict):
                what = ", ".join(key for key in here[name] if here[name][key] != settings[name].get(key))
            raise InputError(f"worker {worker.address}: not the same {what} as here; results would differ")
    if here["fingerprint"] != settings["fingerprint"]:
        raise InputError(f"worker {worker.address}: not the same version of minirsed as here; results would differ")
    _checked.add(asked)
