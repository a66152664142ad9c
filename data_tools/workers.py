"""Work for several processes: whether there can be any, and what Ctrl-C does to them."""

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import threading
import warnings

from data_tools.errors import InputError

log = logging.getLogger(__name__)


def processes(n):
    """As many processes as may be used instead of `n` (-1: one a core): 1 where the system gives them no semaphores.

    That is so where /dev/shm is missing or read-only, as in some containers, and with JOBLIB_MULTIPROCESSING=0. It
    costs time alone, and one line on standard error. Call it before joblib is imported, which says so less plainly.
    """
    if n == 1 or not (reason := _no_semaphores()):
        return n
    _say_once(f"there can be no worker processes here ({reason}), so one process does all the work")
    return 1


@functools.cache
def _no_semaphores():
    """Why processes cannot share a lock; None if they can."""
    if os.environ.get("JOBLIB_MULTIPROCESSING") == "0":
        return "JOBLIB_MULTIPROCESSING=0"
    try:
        multiprocessing.Lock()
    except (ImportError, OSError) as error:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import joblib  # noqa: F401  warns when it is imported first
        return f"no semaphores: {getattr(error, 'strerror', None) or error}"
    return None


@functools.cache
def _say_once(message):
    log.warning("minirsed: %s", message)


@contextlib.contextmanager
def spared_from_ctrl_c():
    """Context: processes that are started in it ignore Ctrl-C, which a terminal sends to all that belong to it.

    Each of them would print a traceback; the process that starts them ends them when it is stopped itself. That one
    ignores Ctrl-C too while the context lasts, so it is to hold no more than their start. Of no effect outside of the
    main thread, which alone may change what signals do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a new process inherits
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def in_processes(function, calls, n_jobs):
    """Results of `function(*call)` for each of some calls, in their order; how many at a time does not change them.

    Parameters
    ----------
    function : callable
        Of a module, so that a process finds it. One thread each is what libraries are allowed there.
    calls : list of tuple
        Arguments; they are sent to the processes.
    n_jobs : int
        Processes. With one, with one call, or where there can be no others, all happens in this process: others take
        a second to start.

    Yields
    ------
    result

    Raises
    ------
    InputError
        A process was killed; or as `function`.
    """
    n_jobs = processes(max(1, min(n_jobs, len(calls))))
    if n_jobs == 1:
        for call in calls:
            yield function(*call)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs, return_as="generator", batch_size=1, max_nbytes=None)
    try:
        with spared_from_ctrl_c():
            results = parallel(joblib.delayed(function)(*call) for call in calls)
        yield from results
    except (InputError, OSError) as error:
        raise error from None  # its message says all; joblib would show the traceback of the process on top
    except TerminatedWorkerError as error:
        raise InputError("a process was killed, most likely because memory ran out; fewer --jobs need less") from error
