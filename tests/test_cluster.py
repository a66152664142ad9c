"""Preparing on a cluster: a real Dask scheduler and real worker processes on this machine, some of which die.

Needs distributed (`python -m pip install -e ".[dask]"`), which the test extra brings.
"""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank
from minirsed.run import session
from minirsed.store import cluster, dataset
from minirsed.store import files as store_files
from minirsed.store.dataset import prepare
from minirsed.train import __main__ as train
from tests.test_dataset import RECIPES, NoiseBank, make_recipe

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]
SCHEDULER = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
WORKER = ["--nthreads", "1", "--no-nanny", "--no-dashboard"]


class PidBank(NoiseBank):
    """Notes which process renders each clip; the first to begin its clip of number `deadly` dies."""

    def __init__(self, log, deadly=None, **options):
        super().__init__(log, **options)
        self.deadly = deadly

    def background_audio(self, key, start_s=0.0, duration_s=None):
        with open(f"{self.log}.pids", "a") as file:
            file.write(f"{os.getpid()}\n")
        if self.pids().count(os.getpid()) == self.deadly:
            with contextlib.suppress(FileExistsError), open(f"{self.log}.killed", "x"):
                os.kill(os.getpid(), signal.SIGKILL)
        return super().background_audio(key, start_s, duration_s)

    def pids(self):
        return list(map(int, Path(f"{self.log}.pids").read_text().split()))


class FolderBank(NoiseBank):
    """Its sounds are others in every working folder."""

    def fingerprint(self):
        return os.getcwd()


def start(arguments, folder):
    """A process of the cluster; its working folder is not ours."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(folder)}
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".log", delete=False) as log:  # a pipe might fill up
        process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stderr=log)
    process.log = Path(log.name)
    return process


def wait_for(process, words):
    """Until there is a line with `words` in its log; the last word of that line."""
    is_running = True
    while is_running:
        is_running = process.poll() is None
        for line in process.log.read_text().splitlines(keepends=True):
            if words in line and line.endswith("\n"):
                return line.split()[-1]
        time.sleep(0.02)
    raise AssertionError(f"{process.args} ended before {words!r}")


@pytest.fixture(scope="module")
def dask(tmp_path_factory):
    """A scheduler's `address`; `workers` that the test may kill; `add()` starts one more."""
    folder, processes = tmp_path_factory.mktemp("dask"), []

    def add(code=("-m", "distributed.cli.dask_worker")):
        processes.append(start([*code, address, *WORKER], folder))
        return processes[-1]

    scheduler = start(SCHEDULER, folder)
    try:
        address = wait_for(scheduler, "Scheduler at:")
        for process in (add(), add()):
            wait_for(process, "Registered to:")
        yield SimpleNamespace(address=address, workers=processes, add=add)
    finally:
        for process in (*processes, scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def bank(tmp_path):
    (tmp_path / "log").touch()
    return NoiseBank(tmp_path / "log")


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Bytes of `features.npy` prepared here, in one process."""
    folder = tmp_path_factory.mktemp("local")
    return (prepare(NoiseBank(folder / "log"), RECIPES, folder, n_jobs=1).folder / "features.npy").read_bytes()


def stored_bytes(store):
    return (store.folder / "features.npy").read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_cluster_gives_the_same_store(bank, tmp_path, dask, dtype):
    """Name, bytes, recipes; progress by chunks; the second time there is nothing to do and nobody is asked."""
    here = prepare(bank, RECIPES, tmp_path / "here", n_jobs=1, dtype=dtype)
    calls = []
    settings = {"dtype": dtype, "progress": lambda *call: calls.append(call)}
    there = prepare(bank, RECIPES, tmp_path / "there", cluster=dask.address, **settings)
    assert there.folder.name == here.folder.name and there.recipes == here.recipes
    assert stored_bytes(there) == stored_bytes(here)
    done = [n_done for n_done, _ in calls]
    assert done[0] == 0 and done[-1] == 70 and done == sorted(done) and len(done) == 6  # 5 chunks
    again = prepare(bank, RECIPES, tmp_path / "there", cluster="tcp://127.0.0.1:1", dtype=dtype)
    assert again.folder == there.folder


def test_both_workers_share_the_work(tmp_path, dask, local):
    bank = PidBank(tmp_path / "log", pause_s=0.01)
    store = prepare(bank, RECIPES, tmp_path, cluster=dask.address)
    assert set(bank.pids()) == {os.getpid()} | {
        worker.pid for worker in dask.workers
    }  # ours: the first clip, to learn T
    assert stored_bytes(store) == local


def test_worker_killed_in_the_middle(tmp_path, dask, local):
    """SIGKILL while it renders: its chunk is done again by the other, nothing lacks, nothing else is done twice."""
    bank = PidBank(tmp_path / "log", deadly=8, pause_s=0.01)
    store = prepare(bank, RECIPES, tmp_path, cluster=dask.address)
    (worker,) = (worker for worker in dask.workers if worker.poll() is not None)
    assert worker.wait() == -signal.SIGKILL
    assert stored_bytes(store) == local
    pids = bank.pids()
    last = len(pids) - pids[::-1].index(worker.pid)
    assert set(pids[last:]) == {other.pid for other in dask.workers} - {worker.pid}
    n_lost = len(pids) - 71  # 70 clips, and the first once more to learn T
    assert n_lost == 8  # it was in its first chunk
    dask.workers.remove(worker)
    wait_for(dask.add(), "Registered to:")


def kill_all(dask):
    """SIGKILL to every worker."""
    for worker in dask.workers:
        worker.kill()
        worker.wait()
    dask.workers.clear()


def test_all_workers_gone_for_a_moment(tmp_path, dask, local):
    """Everything waits for a new one."""
    bank = PidBank(tmp_path / "log", pause_s=0.05)  # a second is left when the first chunk has come

    def replace_all(n_done, n):
        if 0 < n_done < n and len(dask.workers) == 2:
            kill_all(dask)
            dask.add()

    store = prepare(bank, RECIPES, tmp_path, cluster=dask.address, progress=replace_all)
    assert stored_bytes(store) == local and bank.pids()[-1] == dask.workers[0].pid
    wait_for(dask.workers[0], "Registered to:")
    wait_for(dask.add(), "Registered to:")


def test_all_workers_gone_for_good(tmp_path, dask, local, monkeypatch):
    """One line, not a wait without an end; what is done stays done."""
    monkeypatch.setattr(cluster, "GONE_S", 1)
    bank = PidBank(tmp_path / "log", pause_s=0.05)
    with pytest.raises(InputError, match=rf"^{dask.address}: no worker has been there for 1 s; finished work stays"):
        prepare(bank, RECIPES, tmp_path, cluster=dask.address, progress=lambda n_done, n: n_done and kill_all(dask))
    calls = []
    store = prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=lambda n_done, n: calls.append(n_done))
    assert stored_bytes(store) == local and calls[0] > 0
    for worker in (dask.add(), dask.add()):
        wait_for(worker, "Registered to:")


def test_a_single_worker_and_then_no_scheduler(tmp_path, local, capfd):
    """One worker does all the work, not this process; a lost scheduler is told in one line, by us alone."""
    bank = PidBank(tmp_path / "log", pause_s=0.03)
    scheduler = start(SCHEDULER, tmp_path)
    address = wait_for(scheduler, "Scheduler at:")
    worker = start(["-m", "distributed.cli.dask_worker", address, *WORKER], tmp_path)
    try:
        wait_for(worker, "Registered to:")
        assert stored_bytes(prepare(bank, RECIPES, tmp_path / "whole", cluster=address)) == local
        assert set(bank.pids()[1:]) == {worker.pid}  # the first clip is ours, to learn T
        with pytest.raises(InputError, match=f"^{address}: lost the scheduler; finished work stays$"):
            prepare(bank, RECIPES, tmp_path, cluster=address, progress=lambda n_done, n: n_done and scheduler.kill())
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()
    assert capfd.readouterr().err == ""


def test_last_worker_gone_between_two_looks(bank, tmp_path, dask, monkeypatch):
    """It was there when we asked, and is not when joblib asks."""
    from joblib._dask import DaskDistributedBackend

    monkeypatch.setattr(DaskDistributedBackend, "effective_n_jobs", lambda self, n_jobs: 0)
    with pytest.raises(InputError, match=f"^{dask.address}: the scheduler has no workers$"):
        prepare(bank, RECIPES, tmp_path, cluster=dask.address)


def test_stopped_on_the_cluster_goes_on_here(bank, tmp_path, dask, local):
    with pytest.raises(ZeroDivisionError):
        prepare(bank, RECIPES, tmp_path, cluster=dask.address, progress=lambda n_done, n: 1 // (n_done < 32))
    calls = []
    store = prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=lambda n_done, n: calls.append(n_done))
    assert stored_bytes(store) == local and calls[0] in (32, 38)  # two chunks of 16, and perhaps the last one of 6


@pytest.mark.parametrize(
    "background, error, message",
    [
        ("missing", InputError, r"^missing\.wav: no such file$"),
        ("long", ValueError, r"recipes\[3\]: features are \(42, 64\), those of recipes\[0\] \(20, 64\)"),
    ],
)
def test_bad_clip_is_named_in_one_line(bank, tmp_path, dask, background, error, message):
    recipes = [*RECIPES[:3], make_recipe(3, background=background), *RECIPES[4:40]]
    with pytest.raises(error, match=message) as caught:
        prepare(bank, recipes, tmp_path, cluster=dask.address)
    assert caught.value.__cause__ is None  # no wall of a worker's traceback


def test_chunk_that_kills_every_worker(bank, tmp_path, dask, monkeypatch):
    """Dask gives a chunk to four workers before it gives up; here they are started as they die."""
    recipes = [make_recipe(0), make_recipe(1, background="deadly")]
    for _ in range(2):
        dask.add()
    try:
        with pytest.raises(InputError, match=rf"^{dask.address}: a task killed one worker after another"):
            prepare(bank, recipes, tmp_path, cluster=dask.address)
    finally:
        kill_all(dask)
        for worker in (dask.add(), dask.add()):
            wait_for(worker, "Registered to:")


# ---- clusters that cannot be used


def test_sounds_must_be_seen_by_the_workers(tmp_path, dask, monkeypatch):
    """A folder of files: fine by its absolute path; by a relative one the workers do not find it."""
    rng = np.random.default_rng(0)
    for folder, n, seconds in (("events/dog", 6, 0.5), ("backgrounds", 6, 31)):
        (tmp_path / "sounds" / folder).mkdir(parents=True)
        for i in range(n):
            path = tmp_path / "sounds" / folder / f"{i}.wav"
            soundfile.write(path, 0.1 * rng.standard_normal(int(8000 * seconds)), 8000)
    bank = SoundBank.from_folder(tmp_path / "sounds")
    recipes = draw_recipes(bank, "dog", "train", 4, seed=0)
    here = prepare(bank, recipes, tmp_path / "here", n_jobs=1)
    assert stored_bytes(prepare(bank, recipes, tmp_path / "there", cluster=dask.address)) == stored_bytes(here)
    monkeypatch.chdir(tmp_path)
    bank = SoundBank.from_folder("sounds")
    with pytest.raises(InputError, match=r"^worker tcp://.*: cannot read the sounds: .*No such file.*sounds/"):
        prepare(bank, recipes, tmp_path / "relative", cluster=dask.address)


def test_other_sounds_or_code_there(tmp_path, dask, monkeypatch):
    with pytest.raises(InputError, match=r"^worker tcp://.*: not the same sounds as here; results would differ"):
        prepare(FolderBank(tmp_path / "log"), RECIPES[:2], tmp_path, cluster=dask.address)
    prepare(NoiseBank(tmp_path / "log"), RECIPES[:2], tmp_path / "before", cluster=dask.address)
    with monkeypatch.context() as patch:  # the workers that were like us are so no more
        patch.setattr(store_files, "code_digest", lambda: "edited")
        with pytest.raises(InputError, match=r"^worker .*: not the same code of minirsed as here"):
            prepare(NoiseBank(tmp_path / "log"), RECIPES[:2], tmp_path, cluster=dask.address)
    monkeypatch.setattr(store_files, "LIBRARIES", ("numba", "numpy"))
    with pytest.raises(InputError, match=r"^worker tcp://.*: not the same"):
        prepare(NoiseBank(tmp_path / "log"), RECIPES[:2], tmp_path, cluster=dask.address)


def test_worker_with_several_threads(monkeypatch):
    """The limit of one BLAS thread holds for a whole process, so chunks side by side in threads would undo it."""
    worker = SimpleNamespace(address="tcp://w:1", state=SimpleNamespace(nthreads=4))
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    with pytest.raises(InputError, match="worker tcp://w:1: has 4 threads; start workers with --nthreads 1"):
        cluster._check_worker(None, {"fingerprint": "f00", "code": "c0de"})


def test_no_scheduler(bank, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    for address in ("tcp://127.0.0.1:1", "nonsense", "http://127.0.0.1:1"):
        with pytest.raises(InputError, match=f"^{address}: no Dask scheduler answers there"):
            prepare(bank, RECIPES[:2], tmp_path, cluster=address)


def test_a_client_without_scheduler_is_collected(monkeypatch):
    """The collector would close it under a lock that the next client may hold as it starts: both would hang."""
    clients, connect = weakref.WeakSet(), distributed.Client.__init__

    def noted(self, *args, **options):
        clients.add(self)
        connect(self, *args, **options)

    monkeypatch.setattr(distributed.Client, "__init__", noted)
    monkeypatch.setattr(cluster, "CONNECT_S", 0.3)
    gc.disable()
    try:
        with pytest.raises(InputError) as error:
            next(cluster.results_from_cluster(print, [], "tcp://127.0.0.1:1", {}))
        assert error and not clients
    finally:
        gc.enable()


def test_a_scheduler_too_busy_to_answer(bank, tmp_path, monkeypatch):
    """What its client raises then is an OSError from Python 3.11 on alone."""

    def client(*_, **__):
        raise distributed.TimeoutError

    monkeypatch.setattr(distributed, "Client", client)
    with pytest.raises(InputError, match="^tcp://127.0.0.1:1: no Dask scheduler answers there"):
        prepare(bank, RECIPES[:2], tmp_path, cluster="tcp://127.0.0.1:1")


WITHOUT_MINIRSED = "import sys; sys.modules['minirsed'] = None; from distributed.cli.dask_worker import main; main()"


def test_scheduler_without_workers_and_workers_without_minirsed(bank, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 3)
    scheduler = start(SCHEDULER, tmp_path)
    worker = None
    try:
        address = wait_for(scheduler, "Scheduler at:")
        with pytest.raises(InputError, match=f"^{address}: the scheduler has no workers$"):
            prepare(bank, RECIPES[:2], tmp_path, cluster=address)
        worker = start(["-c", WITHOUT_MINIRSED, address, *WORKER], tmp_path)
        wait_for(worker, "Registered to:")
        with pytest.raises(InputError, match="^worker tcp://.*: minirsed is not installed there$"):
            prepare(bank, RECIPES[:2], tmp_path, cluster=address)
    finally:
        for process in filter(None, (worker, scheduler)):
            process.kill()
            process.wait()


def test_missing_library_is_one_line(bank, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r'^--cluster needs distributed: python -m pip install -e "\.\[dask\]"$'):
        prepare(bank, RECIPES[:2], tmp_path, cluster="tcp://127.0.0.1:1")


def test_train_prepares_on_the_cluster(tmp_path, dask, monkeypatch):
    """The command, up to the training: clips of 30 s of built-in sounds, the bytes those of a preparation here."""
    stores = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dataset, "_run", lambda *_: pytest.fail("chunks are to be done by the cluster"))
    monkeypatch.setattr(session._Job, "train", lambda job, folder, *given: stores.extend(given[:2]))
    train.main(["glassbreak", "--preset", "plain", "--cluster", dask.address, "--clips", "6", "--dev-clips", "4"])
    monkeypatch.undo()
    for store, n_clips in zip(stores, (6, 4), strict=True):
        assert store.features.shape == (n_clips, 1303, 64)
        here = prepare(SoundBank.builtin(seed=0), store.recipes, tmp_path / "here", n_jobs=1)
        assert here.folder.name == store.folder.name
        assert stored_bytes(here) == (tmp_path / store.folder / "features.npy").read_bytes()
