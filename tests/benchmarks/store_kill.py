"""Kill a preparation again and again with SIGKILL, at random moments; what is left must be whole every time.

    PYTHONPATH=. python tests/benchmarks/store_kill.py [--clips 300] [--kills 10] [--workers 2] [--seed 0]

A first, undisturbed preparation gives the bytes to compare with. Then the same store is begun elsewhere, in processes
that are killed: in turn the process alone, whose workers live on for a while, and with all its workers. After every
kill each marked chunk must hold its final bytes; the last run must end with the bytes of the undisturbed one.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from data_tools.recipes import draw_recipes
from data_tools.soundbank import SoundBank
from minirsed.store import files as store_files
from minirsed.store.dataset import prepare

CHILD = """
import sys
from pathlib import Path
from data_tools.soundbank import SoundBank
from minirsed.store.dataset import prepare
from minirsed.store.files import read_recipes
store, folder, n_jobs, n = sys.argv[1:]
recipes = read_recipes(Path(store), int(n))
prepare(SoundBank.builtin(), recipes, folder, n_jobs=int(n_jobs), progress=lambda *done: print(*done, flush=True))
"""


def main():
    """Run the kills and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of killing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bank = SoundBank.builtin()
        recipes = draw_recipes(bank, "babycry", "train", options.clips, seed=0)
        start = time.perf_counter()
        whole = prepare(bank, recipes, Path(folder) / "whole", n_jobs=options.workers)
        seconds = time.perf_counter() - start
        print(f"undisturbed: {options.clips} clips in {seconds:.1f} s with {options.workers} workers")
        kill_and_check(whole, Path(folder) / "killed", options, seconds)


def kill_and_check(whole, root, options, seconds):
    """Kill `options.kills` times, then let one run finish."""
    rng = random.Random(options.seed)
    groups = []
    try:
        for kill in range(options.kills):
            process = start(whole, root, options)
            groups.append(process.pid)
            n_found = int(process.stdout.readline().split()[0])  # the first report: what earlier runs have left
            time.sleep(rng.uniform(0, 2 * seconds / options.kills))
            if process.poll() is not None:
                print(f"{kill + 1:3d}. too late, the store is complete")
                break
            with_workers = kill % 2 == 0
            os.killpg(process.pid, signal.SIGKILL) if with_workers else process.kill()
            process.wait()
            n_marked = check_marked_chunks(whole, root / whole.folder.name)
            how = "with its workers" if with_workers else "alone"
            print(f"{kill + 1:3d}. killed {how}: found {n_found} clips, left {n_marked}, all of them final", flush=True)
        process = start(whole, root, options)
        first_report = process.stdout.readline().strip()
        process.communicate()
        assert process.returncode == 0, "the last run failed"
    finally:
        for group in groups:  # workers that outlived their parent; they would wait five minutes for more work
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    same = (root / whole.folder.name / "features.npy").read_bytes() == (whole.folder / "features.npy").read_bytes()
    print(f"last run found {first_report or 'all'} clips done; bytes equal to the undisturbed store: {same}")
    sys.exit(not same)


def start(whole, root, options):
    """Begin or resume the preparation in a process group of its own."""
    arguments = [whole.folder, root, options.workers, options.clips]
    command = [sys.executable, "-c", CHILD, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def check_marked_chunks(whole, store):
    """Number of clips in marked chunks; exits if a row of theirs is not final."""
    index = store_files.read_index(store)
    if index is None:
        return 0
    features = store_files.open_features(store, index)
    n_chunks = -(-len(whole) // store_files.CHUNK_CLIPS)
    marks = np.ones(n_chunks, bool) if index["done"] else store_files.read_marks(store, n_chunks)
    chunks = store_files.chunk_rows(whole.recipes)
    rows = [row for chunk, is_marked in zip(chunks, marks, strict=True) if is_marked for row in chunk]
    torn = [row for row in rows if features[row].tobytes() != whole.features[row].tobytes()]
    if torn:
        sys.exit(f"{store}: rows {torn} are marked as done and are not")
    return len(rows)


if __name__ == "__main__":
    main()
