"""The trainings of a sweep on the workers of a Dask cluster, or here.

Data flow: `plan` → `jobs` → **cluster**. A worker that sees the sweep's folder under the same path works in it, so that
a cell whose worker dies is resumed from its checkpoint on another. Otherwise the worker uses a folder of its own and
sends the files; it then prepares the features that it needs itself.
"""

import contextlib
import os
import shutil
from pathlib import Path

from data_tools.files import atomic_write
from minirsed.store import files as store_files
from minirsed.store.cluster import results_from_cluster
from minirsed.sweep.jobs import RESULT, epochs_done, run_cell, run_here


def run_cells(cells, jobs, bank, progress=None):
    """Train cells, several at a time; a generator of (cell, reason).

    Parameters
    ----------
    cells : list of Cell
        Not finished; their features are prepared.
    jobs : Jobs
    bank : data_tools.soundbank.SoundBank
    progress : callable, optional
        `progress(n_done, n_total)`, in epochs of all these cells.

    Yields
    ------
    cell : Cell
    reason : str or None
        Why it failed; None if it is finished.

    Raises
    ------
    InputError
        The cluster cannot be used.
    """
    total = sum(cell.settings.epochs for cell in cells)

    def report():
        if progress:
            progress(sum(min(epochs_done(jobs.folder(c)), c.settings.epochs) for c in cells), total)

    report()
    finished = run_on_cluster(cells, jobs, bank) if jobs.cluster else run_here(cells, jobs, report)
    for cell, reason in finished:
        report()
        yield cell, reason


def run_on_cluster(cells, jobs, bank):
    """Have the workers do the cells; as `run_cells`."""
    by_name = {cell.name: cell for cell in cells}
    token = write_token(jobs.out)
    tasks = [(cell.name, (cell, jobs, token), bank) for cell in cells]
    settings = store_files.store_settings(bank, [], cells[0].settings.feature_dtype)
    for name, (reason, files) in results_from_cluster(cell_on_worker, tasks, jobs.cluster, settings):
        folder = jobs.folder(by_name[name])
        folder.mkdir(exist_ok=True)
        for file_name in sorted(files, key=lambda name: name == RESULT):  # the result last: it vouches for the rest
            with atomic_write(folder / file_name) as file:
                file.write(files[file_name])
        yield by_name[name], reason


def write_token(out):
    """Leave a random word in the folder of the sweep, by which a worker knows it."""
    token = os.urandom(16).hex()
    with atomic_write(out / ".token", "w") as file:
        file.write(token)
    return token


def cell_on_worker(work, bank):
    """Run a cell on a worker of the cluster: (reason, files), the files empty where the folder is shared."""
    from distributed import get_worker

    cell, jobs, token = work
    own = Path(get_worker().local_directory)
    with contextlib.suppress(OSError):
        if (jobs.out / ".token").read_text() == token:
            return run_cell(cell, jobs.folder(cell), jobs.features, 1, jobs.evaluate), {}
    folder = own / "runs" / cell.name
    reason = run_cell(cell, folder, own / "features", 1, jobs.evaluate)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    shutil.rmtree(folder)
    return reason, files
