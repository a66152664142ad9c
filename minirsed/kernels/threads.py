"""Threads for the model: how many, what each may use, and memory that stays for the next step.

A minibatch is spread twice. Groups of clips run through the whole model side by side (`minirsed.model`); within a
group, the directions of a layer may run side by side as well, on threads that have no group. What is computed, and
the order of every sum, depends on neither: the same bits on any number of cores.
"""

import ctypes
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt, <malloc.h>

_here = threading.local()  # `executor`: the one that this thread belongs to or has opened, and its `n_threads`


@contextmanager
def worker_threads(n_threads):
    """An executor for training, evaluation and detection, whose threads each have a BLAS of one thread.

    One BLAS thread each keeps the order of every sum, and so the bits, independent of the number of cores, and keeps
    the cores from being claimed twice. `side_by_side` uses it, in its threads and in the one that opened it.
    """
    from threadpoolctl import threadpool_limits

    def join():
        _here.executor, _here.n_threads = executor, n_threads

    outer = getattr(_here, "executor", None), getattr(_here, "n_threads", 1)
    with threadpool_limits(1), ThreadPoolExecutor(n_threads, initializer=join) as executor:
        join()
        try:
            yield executor
        finally:
            _here.executor, _here.n_threads = outer


def side_by_side(tasks, n_callers=1):
    """Results of functions without arguments, in order; idle threads of `worker_threads` take some of them.

    The caller runs the first task, then whatever no thread has begun. It never waits for a task that waits for a
    thread, so tasks of an executor may call this themselves. Outside of `worker_threads` the tasks run in turn, and so
    they do where `n_callers`, as many as call this at the same time, leave no thread idle: that costs nothing.
    """
    executor = getattr(_here, "executor", None)
    if executor is None or len(tasks) == 1 or _here.n_threads <= n_callers:
        return [task() for task in tasks]
    mine, *others = tasks
    # A cancelled future stays in the executor's queue until its turn; in a slot, emptied by whoever runs the task, it
    # does not keep the arrays of every batch that has passed.
    slots = [[task] for task in others]
    futures = [executor.submit(lambda slot=slot: slot.pop()()) for slot in slots]
    results = [mine()]
    for slot, future in zip(slots, futures, strict=True):
        results.append(slot.pop()() if future.cancel() else future.result())
    return results


def keep_freed_memory():
    """Have the C library keep what is freed for the next step, where it is glibc; elsewhere do nothing.

    For programs that train or detect and nothing else: it holds for the whole process. A step frees and allocates the
    same arrays again, a few hundred MB. By default glibc hands much of that back to the system, which clears every page
    (4 kB) at its next use: 25,000 page faults a step at the paper's size, a twentieth of its time. Arrays above 32 MB,
    the largest threshold that glibc takes, are still handed back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20)):
            mallopt(parameter, value)
