"""An archive on the workers of a Dask cluster: a recording is a task.

Data flow: results → **cluster**, with finding on the workers → results. The workers need the detector and the
recordings under the paths that they have here; they send back what they find, and the files are written here. So the
folder of the results need not be shared, and a worker that dies costs the recording that it had in work, which another
one takes. `minirsed.store.cluster` says how a cluster is started and what its workers must have in common.
"""

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

from data_tools.errors import InputError
from minirsed.detect.finding import find
from minirsed.kernels.threads import worker_threads
from minirsed.recordings.listing import file_state
from minirsed.recordings.several import without_frames
from minirsed.run.folder import trained_detector
from minirsed.store.cluster import results_from_cluster
from minirsed.store.files import store_settings

STORED = ("config", "params", "mean", "std")  # what a worker reads; the other fields may be from the command line


class SharedDetector(NamedTuple):
    """Where a worker finds the detector, and what it does with it. It is not sent: it may be larger than a result."""

    path: Path  # absolute
    expected: str  # its fingerprint
    values: tuple  # its fields that are not `STORED`, ((name, value), …): they come from here
    all_events: bool
    plot: bool

    def fingerprint(self):
        """As `minirsed.store.cluster` asks for it; whether it is true, `_stored` finds out."""
        return self.expected

    def detector(self):
        """The detector as it is where this was made. InputError, naming the worker: there is none or another here."""
        return dataclasses.replace(_stored(self.path, self.expected), **dict(self.values))


@functools.lru_cache(1)
def _stored(path, expected):
    from distributed import get_worker

    where = f"worker {get_worker().address}"
    try:
        detector = trained_detector(path, several=True)
    except (InputError, OSError) as error:
        raise InputError(f"{where}: cannot read the detector: {error}; share it") from error
    if detector.fingerprint() != expected:
        raise InputError(f"{where}: {path} is another detector there; share it")
    return detector


def find_on_cluster(address, run, detector, recordings, *, all_events=False, plot=False):
    """Look for events in recordings, on the cluster.

    Parameters
    ----------
    address : str
        Of the scheduler: tcp://HOST:8786.
    run : Path
        Where the detector is, as for `minirsed.run.folder.trained_detector`.
    detector : minirsed.detector.Detector
        The same, its thresholds perhaps from elsewhere.
    recordings : list of (Path, str)
        As from `find_recordings`.
    all_events, plot : as in `minirsed.detect.finding.find`

    Yields
    ------
    number : int
        Which of the recordings.
    found : minirsed.detect.finding.Found or InputError
        As `find` gives or raises it, without the frame probabilities. In any order, as they come.

    Raises
    ------
    InputError
        As `results_from_cluster`; a worker does not have the detector or a recording.
    """
    values = {field.name: getattr(detector, field.name) for field in dataclasses.fields(detector)}
    values = tuple((name, value) for name, value in values.items() if name not in STORED)
    shared = SharedDetector(run.absolute(), detector.fingerprint(), values, all_events, plot)
    states = [file_state(path) for path, _ in recordings]
    tasks = [
        (number, (path.absolute(), name, states[number]), shared) for number, (path, name) in enumerate(recordings)
    ]
    settings = store_settings(shared, [], "float32")
    results = results_from_cluster(find_on_worker, tasks, address, settings)
    with contextlib.closing(results):
        for number, (worker, state, found) in results:
            path = recordings[number][0]
            if state != states[number]:
                if file_state(path) == states[number]:
                    there = "not there" if state is None else "another file there"
                    raise InputError(f"worker {worker}: {path.absolute()} is {there}; share the recordings")
                found = InputError(f"{path}: has changed meanwhile; the same command takes it as it is then")
            yield number, found


def find_on_worker(work, shared):
    """Look for events on a worker: (its address, `file_state` of the recording there, `Found` or InputError)."""
    from distributed import get_worker

    path, name, state = work
    detector, here, found = shared.detector(), file_state(path), None
    if here == state:
        try:
            with worker_threads(1) as executor:
                options = {"n_threads": 1, "all_events": shared.all_events, "plot": shared.plot}
                found = find(detector, path, name, executor, **options)
        except InputError as error:
            found = error
        else:
            found = found._replace(recording=without_frames(found.recording))
    return get_worker().address, here, found
