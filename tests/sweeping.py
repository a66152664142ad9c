"""Sweeps as a user runs them, for tests of them here and on a cluster: sounds, processes, what must be the same."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from minirsed.sweep import jobs as sweep_jobs

ROOT = Path(__file__).parents[1]
SR = 44100
TINY = ["--clips", "8", "--dev-clips", "6", "--units", "4", "--layers", "1"]
# Long enough that a test which looks every 0.05 s whether two epochs are done finds it at work: some 3 s.
LONG = ["--class", "ping", "--arch", "uni", "mlp", "--epochs", "120", "--jobs", "2"]


@pytest.fixture(scope="session")
def sweep_place(tmp_path_factory):
    """A folder with someone's sounds, where features stay for all tests."""
    root = tmp_path_factory.mktemp("sweeps")
    rng, subsets = np.random.default_rng(0), ["file,subset"]
    for kind, seconds in (("events/ping", 0.7), ("events/pong", 0.6), ("backgrounds", 12.0)):
        (root / "sounds" / kind).mkdir(parents=True)
        for i, subset in enumerate(("train", "train", "dev", "eval")):
            tone = np.sin(np.arange(int(seconds * SR)) * 0.1 * (1 + i)) if kind != "backgrounds" else 0
            noise = 0.02 * rng.standard_normal(int(seconds * SR))
            soundfile.write(root / "sounds" / kind / f"{i}.wav", 0.3 * tone + noise, SR)
            subsets.append(f"{kind}/{i}.wav,{subset}")
    (root / "sounds" / "split.csv").write_text("\n".join(subsets))
    return root


def start(*arguments, cwd):
    """The command in a process of its own, in a group of its own."""
    command = [sys.executable, "-m", "minirsed.sweep", "--data", "sounds", *TINY, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment, start_new_session=True, **pipes)


def run(*arguments, cwd):
    """Exit status, standard output, standard error."""
    process = start(*arguments, cwd=cwd)
    return process.wait(300), *process.communicate()


def wait_until(condition, seconds=300):
    """Poll; an AssertionError if it never comes true."""
    for _ in range(20 * seconds):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def epochs(out, name):
    """Epochs done by the cells of a name, the fewest of them."""
    folders = list(out.glob(name))
    return min((sweep_jobs.epochs_done(folder) for folder in folders), default=-1)


@pytest.fixture(scope="session")
def undisturbed_sweep(sweep_place):
    status, _, errors = run(*LONG, "--out", "undisturbed", cwd=sweep_place)
    assert status == 0, errors
    return sweep_place / "undisturbed"


def assert_same_sweep(one, other):
    """Tables, and the weights of all cells."""
    assert (one / "table.md").read_text() == (other / "table.md").read_text()
    for folder in one.iterdir():
        if folder.is_dir():
            assert (folder / "best.npz").read_bytes() == (other / folder.name / "best.npz").read_bytes()
