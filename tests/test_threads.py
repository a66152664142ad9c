"""Threads: tasks within tasks, idle threads used, memory kept between steps."""

import ctypes
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from minirsed.kernels.threads import side_by_side, worker_threads

ROOT = Path(__file__).resolve().parents[1]


def test_results_come_in_the_order_of_the_tasks():
    tasks = [lambda i=i: i * i for i in range(7)]
    with worker_threads(3):
        assert side_by_side(tasks) == [0, 1, 4, 9, 16, 25, 36]
    assert side_by_side(tasks) == [0, 1, 4, 9, 16, 25, 36]  # in turn, without threads


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_tasks_of_an_executor_may_use_it_inside(n_threads):
    """As groups of clips do for their directions: with every thread in a group nobody is left to wait for."""

    def group(i):
        return sum(side_by_side([lambda j=j: 10 * i + j for j in range(3)]))

    with worker_threads(n_threads) as executor:
        found = executor.map(group, range(20), timeout=60)
        assert list(found) == [30 * i + 3 for i in range(20)]


def test_an_idle_thread_takes_a_task():
    """Both tasks wait for each other: only two threads get them through."""
    meeting = threading.Barrier(2, timeout=60)
    with worker_threads(2) as executor:
        assert executor.submit(lambda: side_by_side([meeting.wait] * 2)).result(60) in ([0, 1], [1, 0])


def test_a_task_that_was_run_is_let_go():
    """Groups of clips queue up by the hundred; what they did on the side must not wait in the queue behind them."""

    class Work:
        def __call__(self):
            return threading.get_ident()

    kept = []

    def group(i):
        tasks = [Work(), Work()]
        kept.append(weakref.ref(tasks[1]))
        side_by_side(tasks)
        tasks.clear()
        return sum(ref() is not None for ref in kept)

    with worker_threads(1) as executor:  # no other thread: the caller runs both, and the queue holds 19 groups more
        assert list(executor.map(group, range(20))) == [0] * 20


def test_an_error_in_a_task_reaches_the_caller():
    with worker_threads(2), pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1, lambda: 1 / 0])


def test_blas_has_one_thread_inside_and_its_own_number_again_after():
    from threadpoolctl import threadpool_info

    def blas_threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    before = blas_threads()
    with worker_threads(2) as executor:
        assert blas_threads() == executor.submit(blas_threads).result() == {1}
    assert blas_threads() == before


STEPS = """
import resource, sys
from minirsed.kernels import threads
from minirsed.bench.rows import Size, prepare_step
if sys.argv[1] == "ours":
    threads.keep_freed_memory()
with threads.worker_threads(2) as executor:
    step = prepare_step(executor, "multires", 2, Size(batch=10, frames=600, units=96))
    for _ in range(4):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        step()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 3)
"""


def page_faults_of_a_step(setting):
    command = [sys.executable, "-c", STEPS, setting]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be asked for it"
)
def test_a_step_uses_the_memory_of_the_step_before():
    """Some 25 MB a step, 6,000 pages: by default thousands of them are cleared anew."""
    default, kept = page_faults_of_a_step("glibc's way"), page_faults_of_a_step("ours")
    assert kept < 300 and kept < default / 5, (default, kept)
