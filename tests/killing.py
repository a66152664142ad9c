"""Trainings that can be killed: what test_survival.py and benchmarks/train_kill.py share.

A server process imports everything and compiles the kernels once; for each request it forks a child, which trains and
may be killed with SIGKILL. `python -m tests.killing` is that server: requests and answers are lines of JSON.
"""

import contextlib
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from minirsed.run.checkpoint import FORMAT, NEWEST
from minirsed.store.archive import read_arrays, write_arrays

ROOT = Path(__file__).parents[1]
SMALL = {"label": "line", "layers": 1, "units": 4, "clips": 8, "dev_clips": 6, "batch_size": 4, "epochs": 2}
IMPORTED = (
    *(
        "encodings.utf_8_sig",
        "matplotlib",
        "soundfile",
        "soxr",
        "tqdm",
        "threadpoolctl",
        "data_tools.soundbank",
    ),
    *("minirsed.analysis.plots", "minirsed.run.session", "tests.conftest"),
)


class Server:
    """Context: a server process; one child at a time."""

    def __enter__(self):
        """Start it and wait until it is warm."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.killing"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._read()
        return self

    def __exit__(self, *exception):
        """Let it go."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def run(self, request, meanwhile=None):
        """Have a child do something; its exit status, negative for a signal.

        Parameters
        ----------
        request : dict
            See `do`.
        meanwhile : callable, optional
            Gets the child's process number while it runs.
        """
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        pid = self._read()
        try:
            if meanwhile is not None:
                meanwhile(pid)
        finally:
            status = self._read()  # or the next request would get this answer
        return status

    def _read(self):
        line = self.process.stdout.readline()
        assert line, "the server has ended"
        return json.loads(line)


def serve():
    """Answer requests until there are no more."""
    warm_up()
    answers = os.fdopen(os.dup(1), "w")
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                status = do(json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def warm_up():
    """Everything that a training imports or compiles: some children may not read the installation."""
    for name in IMPORTED:
        importlib.import_module(name)
    from minirsed.detector import Detector
    from minirsed.model import ModelConfig, init_params
    from minirsed.run.session import warm_up as compile_kernels

    config = ModelConfig("multires", 1, 4)
    params = init_params(config, np.random.default_rng(0))
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        compile_kernels(Detector(config, params, "none", np.zeros(64), np.ones(64)))


def do(request):
    """In a child: `command`, words for minirsed.train, or `small`, a folder to train in; returns the exit status.

    `kill_at`: die at that system call of those that make a save, counted from 0. `after`: names of files; once they
    have been put in their places, one after another, send itself `signal` or `fill` the disk through a file of that
    name. `uid`: as that user. `output`: file that gets what is printed. `folder`: working folder. A command draws no
    pictures, which take longest.
    """
    os.chdir(request.get("folder", "."))
    descriptor = os.open(request.get("output", os.devnull), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if "kill_at" in request:
        die_at(request["kill_at"])
    if "signal" in request:
        act_after(request["after"], lambda: os.kill(os.getpid(), request["signal"]))
    if "fill" in request:
        act_after(request["after"], lambda: fill_disk(request["fill"]))
    if "uid" in request:
        os.setgid(request["uid"])
        os.setuid(request["uid"])
    if "small" in request:
        train_small(Path(request["small"]), request.get("save_every_s", 1e9))
        return 0
    from minirsed.analysis import plots
    from minirsed.train.__main__ import main

    plots.curves = plots.examples = lambda *arguments: None
    try:
        main(request["command"])
    except SystemExit as ended:
        return ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def die_at(number):
    """Send SIGKILL to this process instead of the call of that number among those that put a file in its place."""
    count = 0

    def counted(function):
        def call(*arguments, **options):
            nonlocal count
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            return function(*arguments, **options)

        return call

    for name in ("fsync", "chmod", "replace", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def act_after(names, action):
    """Have `os.replace` do that as well once files of these names have been put in their places, in this order."""
    replace, missing = os.replace, list(names)

    def counted(source, target, **options):
        replace(source, target, **options)
        if missing and Path(target).name == missing[0]:
            del missing[0]
            if not missing:
                action()

    os.replace = counted


def fill_disk(path):
    """Write zeros to a new file until there is no space left."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def train_small(folder, save_every_s):
    """A run on features without sound, begun or gone on with."""
    from minirsed.kernels.threads import worker_threads
    from minirsed.run.resumable import Training
    from minirsed.run.settings import TrainSettings
    from tests.conftest import pattern_store

    stores = pattern_store(8, name="train"), pattern_store(6, seed=1, name="dev")
    settings = TrainSettings(**SMALL)
    is_begun = (folder / NEWEST).exists() or (folder / "checkpoint.previous.npz").exists()
    run = Training.resume(folder, settings) if is_begun else Training.start(folder, settings, stores[0])
    with worker_threads(1) as executor:
        list(run.epochs(*stores, executor, save_every_s=save_every_s))


def contents(folder):
    """What a run must have in common with one that was not disturbed: all but the time that it took.

    (And but the git revision, which changes when somebody commits while the tests run.)
    """
    about, arrays = read_arrays(folder / NEWEST, FORMAT)
    about["versions"].pop("git", None)
    about["history"] = [{**row, "seconds": None} for row in about["history"]]
    metrics = [line.rsplit(",", 1)[0] for line in (folder / "metrics.csv").read_text().splitlines()]
    events = folder / "events_dev.csv"
    return {
        "description": json.dumps(about, sort_keys=True),
        "arrays": {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()},
        "best.npz": (folder / "best.npz").read_bytes(),
        "metrics.csv": metrics,
        "events_dev.csv": events.read_bytes() if events.exists() else None,
    }


def modified(path):
    """When a file was changed last; None without one."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def drop_random_state(folder):
    """Have the checkpoint forget the random state: it gets that of a new generator."""
    about, arrays = read_arrays(folder / NEWEST, FORMAT)
    about["random_state"] = np.random.default_rng(12345).bit_generator.state
    write_arrays(folder / NEWEST, FORMAT, about, arrays)


def words_for(sounds):
    """Words for a training of some seconds on a folder of sounds with the class ping, saved after every update."""
    settings = {"clips": 16, "dev-clips": 20, "batch-size": 2, "epochs": 8, "units": 8, "layers": 1}
    machine = {"jobs": 1, "threads": 1, "save-minutes": 0}
    options = [word for name, value in (settings | machine).items() for word in (f"--{name}", str(value))]
    return ["ping", "--data", str(sounds), *options]


def where_killed(folder):
    """In words, what the kill interrupted, as far as the files tell."""
    saving = "inside a save, " if any(folder.glob(".*.tmp")) else ""
    name = NEWEST if (folder / NEWEST).exists() else "checkpoint.previous.npz"
    if not (folder / name).exists():
        return saving + "before the first checkpoint"
    about, _ = read_arrays(folder / name, FORMAT)
    position, n_batches = about["position"], -(-about["settings"]["clips"] // about["settings"]["batch_size"])
    if position is None:
        is_done = len(about["history"]) == about["settings"]["epochs"]
        return saving + ("in the report" if is_done else "between epochs")
    return saving + ("in evaluation" if position["n_batches"] == n_batches else "inside an epoch")


class Killer:
    """Trains in one folder after another, killing at random moments; compares each that ends with an undisturbed run.

    Parameters
    ----------
    server : Server
    folder : Path
        Gets the run folders, and the features that all share.
    words : list of str
        For minirsed.train, without --out and --resume.
    seed : int
        Of the moments.
    longest_s : float
        The moments are spread evenly from 0 to this, in seconds from the first save on; one in eight from the start of
        the child, for on a busy machine there is much time before.
    """

    def __init__(self, server, folder, words, seed=0, longest_s=0.5):
        self.server, self.folder, self.words, self.rng = server, folder, words, random.Random(seed)
        self.longest_s, self.n_kills, self.n_ended, self.places = longest_s, 0, 0, {}
        assert self._run(folder / "whole") == 0, self.output()
        self.whole = contents(folder / "whole")

    def kill(self, n_kills, after_kill=None):
        """Do so `n_kills` times and let the last run end; returns the names of runs that ended otherwise."""
        wrong, goal = [], self.n_kills + n_kills
        while self.n_kills < goal:
            run = self.folder / f"killed {self.n_ended}"
            while self._run(run, self._killing(run) if self.n_kills < goal else None) != 0:
                assert self.status == -signal.SIGKILL, self.output()
                self.n_kills += 1
                place = where_killed(run)
                self.places[place] = self.places.get(place, 0) + 1
                if after_kill and (run / NEWEST).exists():
                    after_kill(run)
            self.n_ended += 1
            wrong += [run.name] if contents(run) != self.whole else []
        return wrong

    def output(self):
        """What the last child printed."""
        return (self.folder / "output").read_text()

    def train(self, *words, **options):
        """Have a child train with these words as well; its exit status. Options as of `do`, and `meanwhile`."""
        command = [*self.words, "--features", str(self.folder / "features"), *map(str, words)]
        meanwhile = options.pop("meanwhile", None)
        return self.server.run({"command": command, "output": str(self.folder / "output"), **options}, meanwhile)

    def _killing(self, run):
        """A function that kills a child at a random moment."""
        delay_s, is_from_start = self.rng.uniform(0, self.longest_s), self.rng.random() < 1 / 8
        saved = modified(run / NEWEST)

        def kill(pid):
            with contextlib.suppress(ProcessLookupError):  # it has ended before
                while not is_from_start and modified(run / NEWEST) == saved:
                    os.kill(pid, 0)
                    time.sleep(0.002)
                time.sleep(delay_s)
                os.kill(pid, signal.SIGKILL)

        return kill

    def _run(self, run, meanwhile=None):
        resume = ["--resume"] if (run / "config.json").exists() else []
        self.status = self.train("--out", run, *resume, meanwhile=meanwhile)
        return self.status


if __name__ == "__main__":
    serve()
