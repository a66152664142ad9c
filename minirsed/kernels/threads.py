"""Threads for the model: how many, what each may use, and memory that stays for the next step.

A minibatch is spread twice. Groups of clips run through the whole model side by side (`minirsed.model`); within a
group, the directions of a layer may run side by side as well, on threads that have no group. What is computed, and
the order of every sum, depends on neither: the same bits on any number of cores.
"""

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # of mallopt, <malloc.h>


@contextmanager
def worker_threads(n_threads):
    """An executor for training, evaluation and detection, whose threads each have a BLAS of one thread.

    One BLAS thread each keeps the order of every sum, and so the bits, apart from the number of cores, and keeps the
    cores from being claimed twice.
    """
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    with threadpool_limits(1), ThreadPoolExecutor(n_threads) as executor:
        yield executor


def keep_freed_memory():
    """Have the C library keep what is freed for the next step, where it is glibc; elsewhere do nothing.

    A step frees and allocates the same arrays again, a few hundred MB. By default glibc hands much of that back to the
    system, which clears every page (4 kB) anew at its next use: 25,000 page faults a step at the paper's size, a
    twentieth of its time. Arrays above 32 MB, the largest threshold that glibc takes, are still handed back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for parameter, value in ((M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20)):
            mallopt(parameter, value)


def one_by_one(tasks):
    """Results of functions without arguments, called in turn."""
    return [task() for task in tasks]


def side_by_side(executor):
    """A function like `one_by_one` that lets idle threads of an executor take tasks, its own threads included.

    The caller runs the first task, then whatever no thread has begun: it never waits for a task that waits for a
    thread, so tasks of an executor may use it inside.
    """

    def run(tasks):
        mine, *others = tasks
        # A cancelled future stays in the executor's queue until its turn; in a slot, emptied by whoever runs the
        # task, it does not keep the arrays of every batch that has passed.
        slots = [[task] for task in others]
        futures = [executor.submit(lambda slot=slot: slot.pop()()) for slot in slots]
        results = [mine()]
        for slot, future in zip(slots, futures, strict=True):
            results.append(slot.pop()() if future.cancel() else future.result())
        return results

    return run
