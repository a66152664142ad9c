"""A run's detector in hours of sound, and with thresholds for a promise of so many alarms an hour.

Data flow: a run folder, recordings with labels → `minirsed.alarms` → **promise** → files in the run folder, `best.npz`.
Whatever changes there, `card.md` says it afterwards.
"""

from pathlib import Path

from data_tools.errors import InputError
from data_tools.files import exclusive
from data_tools.inventory import recordings_of
from data_tools.labelled_recordings import labelled_recordings
from minirsed.alarms import files
from minirsed.alarms.choice import require_promise, too_sure, tried
from minirsed.alarms.keeping import DEV, kept
from minirsed.alarms.measure import measure, measure_mixtures, of_class
from minirsed.kernels.threads import worker_threads
from minirsed.run.folder import BEST, CONFIG, LOCK, read_settings, trained_detector
from minirsed.run.session import Machine, mixtures_of_run, silent, sounds_of_run

THIS_MACHINE = Machine()


def measure_run(folder, subset="eval", *, recordings=None, data=None, machine=THIS_MACHINE, progress=silent):
    """Measure the detector of a run on recordings with labels, and leave the files of `minirsed.alarms.files` there.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    subset : {"dev", "eval"}
        Of the run's own sounds, unless `recordings` are given.
    recordings : str or Path, optional
        Folder of recordings with labels beside them.
    data : str or Path, optional
        Sounds; by default those of the run.
    machine, progress : as in `minirsed.run.session.train`

    Returns
    -------
    dict or None
        The figures; None if the sounds have no recordings of this subset.

    Raises
    ------
    InputError
        A folder, detector, recording or label cannot be used.
    """
    figures = measure_detector(trained_detector(folder), folder, subset, recordings, data, machine, progress)
    if figures:
        write_card(folder)
    return figures


def measure_detector(detector, folder, subset, recordings, data, machine, progress, out=None):
    """`measure_run` with a detector, perhaps of one class of the run, whose files go to `out`; writes no card."""
    labelled = labelled_of(folder, subset, detector.label, recordings, data)
    if not labelled:
        return None
    measured = _measured(detector, labelled, machine, progress)
    return files.write(detector, measured, out or folder, files.GIVEN if recordings else subset)


def keep_promise(folder, alarms_per_hour, *, recordings=None, data=None, machine=THIS_MACHINE, progress=silent):
    """Choose thresholds on recordings, or on dev mixtures if there are none, and keep them in the run's detector.

    Parameters
    ----------
    folder, recordings, data, machine, progress : as in `measure_run`
        Without `recordings`, those of the subset dev.
    alarms_per_hour : float
        The promise.

    Returns
    -------
    minirsed.detector.Detector
        As it is now in the run folder; `operating.chosen` says how it was chosen.

    Raises
    ------
    InputError
        As `measure_run`; a promise that is no number above 0, or that no threshold can keep, since more false alarms
        than it allows have p = 1; or a process trains in the folder. The detector then stays as it was.
    """
    options = {"recordings": recordings, "data": data, "machine": machine, "progress": progress}
    detector = promised_detector(trained_detector(folder), folder, alarms_per_hour, **options)
    keep(detector, folder)
    return detector


def keep(detector, folder):
    """Replace the detector in a run folder. InputError: a process trains there."""
    with exclusive(Path(folder) / LOCK, "training in"):
        detector.save(Path(folder) / BEST)
    write_card(folder)


def promised_detector(detector, folder, alarms_per_hour, *, recordings, data, machine, progress):
    """A detector, perhaps of one class of the run, with the thresholds of `keep_promise`; writes nothing."""
    require_promise(alarms_per_hour)
    folder, settings = Path(folder), read_settings(folder)
    thres1 = tried(detector.config.rule)
    labelled = labelled_of(folder, "dev", detector.label, recordings, data)

    def mixtures():
        store = mixtures_of_run(folder, "dev", data=data, detector=detector, machine=machine, progress=progress)
        store = store.of_class(detector.label) if settings.labels else store
        made_of = recordings_of(sounds_of_run(settings, data), store.recipes)
        with worker_threads(machine.threads) as executor, progress("detecting, dev", "clip") as done:
            return measure_mixtures(detector, store, executor, thres1=thres1, progress=done, recordings=made_of)

    measured = _measured(detector, labelled, machine, progress, thres1) if labelled else None
    source = Path(recordings).absolute().name if recordings else DEV
    detector = kept(detector, alarms_per_hour, measured, mixtures, source=source)
    if detector.operating.chosen.get("at_one"):
        advice = "so no threshold keeps the promise, and best.npz stays as it was; minirsed.mine shows these alarms"
        raise InputError(f"{folder}: {too_sure(detector.operating.chosen)}, {advice}")
    return detector


def labelled_of(folder, subset, label, recordings=None, data=None):
    """Recordings with labels: those of a folder, or of the run's own sounds; events of the class alone."""
    if recordings is not None:
        return labelled_recordings(recordings, label)
    return of_class(sounds_of_run(read_settings(folder), data).recordings(subset), label)


def write_card(folder):
    """Bring `card.md` of a run folder up to date."""
    from minirsed.card import files as card  # here: it also knows what stands behind this file in the map

    if (Path(folder) / CONFIG).exists():  # a detector alone can be measured too, and has no card
        card.write(folder)


def _measured(detector, labelled, machine, progress, thres1=None):
    with progress("listening to recordings", "s") as done:
        measured = measure(detector, labelled, n_threads=machine.threads, thres1=thres1, progress=done)
    if not measured.hours:
        raise InputError("the recordings hold no sound")
    return measured
