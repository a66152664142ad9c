"""One recording → what a detector finds in it, and its picture; the same here and on a worker of a cluster.

Data flow: results (which recordings) → **finding**, here or through cluster → results (files).
"""

import io
from typing import Any, NamedTuple

from data_tools.sound_blocks import file_blocks
from minirsed.recordings.listing import file_state
from minirsed.recordings.several import detect_any


class Found(NamedTuple):
    """What there is to write down of a recording."""

    state: list | None  # `file_state` of the recording, from before it was read
    recording: Any  # minirsed.recordings.files.Recording, or SeveralRecording
    picture: bytes | None  # PNG, if it was asked for


def find(detector, path, name, executor, *, n_threads, all_events=False, plot=False, progress=None):
    """Look for events in a sound file.

    Parameters
    ----------
    detector : minirsed.detector.Detector
        Of one class or of several.
    path : Path
    name : str
        For the picture.
    executor, n_threads, all_events : as in `minirsed.recordings.files.detect_recording`
    plot : bool
        Draw it as well.
    progress : callable, optional
        As in `data_tools.sound_blocks.file_blocks`.

    Returns
    -------
    Found
        The same for any number of threads.

    Raises
    ------
    InputError
        The file cannot be used.
    """
    state, overview, picture = file_state(path), None, None
    if plot:
        from minirsed.detect.plots import Overview, draw

        overview = Overview()
    recording = detect_any(
        detector,
        file_blocks(path, progress=progress),
        executor,
        n_threads=n_threads,
        all_events=all_events,
        on_features=overview and overview.push,
    )
    if plot:
        with io.BytesIO() as file:
            draw(file, detector, path, name, recording, overview)
            picture = file.getvalue()
    return Found(state, recording, picture)
