"""The sweep on a cluster: a real Dask scheduler and two real workers, one of which is killed in the middle.

Needs distributed (`python -m pip install -e ".[dask]"`), which the test extra brings.
"""

import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from minirsed.store import cluster
from minirsed.store import files as store_files
from minirsed.sweep import __main__ as sweep
from minirsed.sweep import cluster as sweep_cluster
from tests.sweeping import LONG, TINY, assert_same_sweep, epochs, wait_until
from tests.test_cluster import dask, kill_all, wait_for  # noqa: F401  the fixture


def command(sweep_place, out, address, *more):
    """The words of a sweep on the cluster, features of its own."""
    return [
        "--data",
        str(sweep_place / "sounds"),
        *TINY,
        *LONG,
        "--out",
        str(sweep_place / out),
        "--cluster",
        address,
        *more,
    ]


def has_open(pid, path):
    """Whether a process has a file open."""
    links = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            links.append(os.readlink(link))
    return str(path) in links


@pytest.mark.slow
def test_same_table_as_here_though_a_worker_is_killed(sweep_place, dask, undisturbed_sweep, capsys):  # noqa: F811
    """SIGKILL to a worker in the middle of a cell: the other goes on with it from the checkpoint. 10 s."""
    out, killed = sweep_place / "on cluster", []

    def kill_one():
        wait_until(lambda: epochs(out, "ping-uni-*") >= 1)
        log = next(out.glob("ping-uni-*")) / "log.txt"
        killed.append(next(worker for worker in dask.workers if has_open(worker.pid, log)))
        os.kill(killed[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    sweep.main(command(sweep_place, "on cluster", dask.address, "--features", str(sweep_place / "cluster features")))
    killer.join()
    assert killed[0].wait() == -signal.SIGKILL
    assert "2/2" in capsys.readouterr().out
    assert_same_sweep(undisturbed_sweep, out)
    assert "resuming after epoch" in next(out.glob("ping-uni-*/log.txt")).read_text()
    dask.workers.remove(killed[0])
    wait_for(dask.add(), "Registered to:")


def test_workers_without_a_shared_folder_send_their_files(sweep_place, dask, undisturbed_sweep, monkeypatch):  # noqa: F811
    """A worker that does not find the sweep's mark works in a folder of its own."""
    write_token = sweep_cluster.write_token
    monkeypatch.setattr(sweep_cluster, "write_token", lambda out: "not " + write_token(out))
    sweep.main(command(sweep_place, "sent", dask.address, "--features", str(sweep_place / "features")))
    assert_same_sweep(undisturbed_sweep, sweep_place / "sent")
    for folder in (sweep_place / "sent").glob("ping-*"):
        assert str(sweep_place) not in (folder / "log.txt").read_text().split("run folder ")[1].split("\n")[0]


def test_all_workers_gone_for_good(sweep_place, dask, undisturbed_sweep, monkeypatch, capsys):  # noqa: F811
    """Exit status 2 and one line; the same command goes on, here from the checkpoints that the workers have left."""
    monkeypatch.setattr(cluster, "GONE_S", 1)
    out = sweep_place / "gone"

    def kill_both():
        wait_until(lambda: epochs(out, "ping-uni-*") >= 1)
        kill_all(dask)

    killer = threading.Thread(target=kill_both)
    killer.start()
    words = command(sweep_place, "gone", dask.address, "--features", str(sweep_place / "features"))
    with pytest.raises(SystemExit) as caught:
        sweep.main(words)
    killer.join()
    errors = capsys.readouterr().err.strip().splitlines()
    assert caught.value.code == 2 and len(errors) == 1
    assert f"{dask.address}: no worker has been there for 1 s" in errors[0]
    at = words.index("--cluster")
    sweep.main(words[:at] + words[at + 2 :])
    assert_same_sweep(undisturbed_sweep, out)
    assert "resuming after epoch" in next(out.glob("ping-uni-*/log.txt")).read_text()
    for worker in (dask.add(), dask.add()):
        wait_for(worker, "Registered to:")


def test_other_code_there_is_refused(sweep_place, dask, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(store_files, "code_digest", lambda: "edited")
    with pytest.raises(SystemExit) as caught:
        sweep.main(command(sweep_place, "other code", dask.address, "--features", str(sweep_place / "features")))
    errors = capsys.readouterr().err.strip().splitlines()
    assert caught.value.code == 2 and len(errors) == 1
    assert "not the same code of minirsed as here" in errors[0]
