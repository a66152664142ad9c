"""A run of several classes on mixtures that it was not trained on, and in hours of sound: every class, and together.

Data flow: `session`, `promise` → **several** → `minirsed.analysis.several`, `minirsed.alarms` for each class.
"""

import dataclasses
from pathlib import Path

from data_tools.errors import InputError
from minirsed.analysis.files import tune_on_dev
from minirsed.analysis.several import SeveralResults, of_class
from minirsed.kernels.threads import worker_threads
from minirsed.run import promise
from minirsed.run.folder import read_settings, trained_detector
from minirsed.run.session import Machine, prepared_mixtures, silent, sounds_of_run
from minirsed.run.size import require_room
from minirsed.several.detector import views_of
from minirsed.several.evaluation import by_class, evaluate_any
from minirsed.store.files import plain_name


def compared_detectors(folders, detector):
    """Those of other runs by folder, and the folder for each class. InputError: unusable, or a class is in none."""
    others = {Path(path): trained_detector(path, several=True) for path in folders}
    known = {view.label: path for path, other in reversed(others.items()) for view in views_of(other)}
    for label in detector.labels if others else ():
        if label not in known:
            raise InputError(f"--compare {' '.join(map(str, others))}: none of them detects {label}")
    return others, known


def evaluate_several(
    folder, subset="eval", *, data=None, n_clips=None, tune=True, compare=(), machine=None, progress=silent
):
    """Run the best detector of a run of several classes over mixtures that it was not trained on.

    Parameters
    ----------
    folder, subset, data, n_clips, machine, progress : as for `minirsed.run.session.evaluate_run`
    tune : bool
        Choose thresholds for each class by itself.
    compare : sequence of str or Path
        Runs that together know all the classes, of one class or of several, for a paired comparison.

    Returns
    -------
    minirsed.analysis.several.SeveralResults

    Raises
    ------
    InputError
        A folder, detector or sound cannot be used, or a class is in none of the other runs.
    """
    machine = machine or Machine()
    settings, detector = read_settings(folder), trained_detector(folder, several=True)
    others, known = compared_detectors(compare, detector)
    require_room(settings, {"--clips": n_clips or settings.dev_clips}, machine.features)
    bank = sounds_of_run(settings, data)

    def mixtures(subset, n_clips=None, own=detector):
        return prepared_mixtures(bank, settings, subset, n_clips, own, machine, progress)

    def detect(detector, store, title="detecting"):
        with worker_threads(machine.threads) as executor, progress(title, "clip") as done:
            return evaluate_any(detector, store, executor, alpha=settings.alpha, progress=done)

    store = mixtures(subset, n_clips)
    evaluation = detect(detector, store)
    classes = {label: of_class(folder, subset, detector, store, evaluation, bank, label) for label in detector.labels}
    results = SeveralResults(Path(folder), subset, detector, store, evaluation, bank, classes, list(others))
    if tune:
        dev_store, dev = store, evaluation
        if subset != "dev":
            dev_store = mixtures("dev")
            dev = detect(detector, dev_store, "detecting, dev")
        for label, own in classes.items():
            own.dev_store, own.dev_evaluation = dev_store.of_class(label), dev.of_class[label]
            tune_on_dev(own)
    for path, other in others.items():
        wanted = {view.label: view for view in views_of(other) if known.get(view.label) == path}
        _compare(classes, path, other, wanted, mixtures(subset, n_clips, other), detect)
    return results


def measure_each_class(folder, subset="eval", *, recordings=None, data=None, machine=None, progress=silent):
    """`minirsed.run.promise.measure_run` for each class, whose files go into a folder of its own.

    Returns
    -------
    list of dict
        The figures of each class; empty if the sounds have no recordings of this subset.
    """
    figures = []
    for view in trained_detector(folder, several=True).views:
        out = Path(folder) / plain_name(view.label)
        out.mkdir(exist_ok=True)
        own = promise.measure_detector(view, folder, subset, recordings, data, machine or Machine(), progress, out)
        figures += [own] if own else []
    if figures:
        promise.write_card(folder)
    return figures


def keep_promise_of_each(folder, alarms_per_hour, *, recordings=None, data=None, machine=None, progress=silent):
    """`minirsed.run.promise.keep_promise` for each class by itself: so many alarms an hour of each.

    Returns
    -------
    minirsed.several.detector.SeveralDetector
        As it is now in the run folder.
    """
    detector = trained_detector(folder, several=True)
    options = {"recordings": recordings, "data": data, "machine": machine or Machine(), "progress": progress}
    views = [promise.promised_detector(view, folder, alarms_per_hour, **options) for view in detector.views]
    own = {name: tuple(getattr(view, name) for view in views) for name in ("thres0", "thres1", "operating")}
    detector = dataclasses.replace(detector, **own)
    promise.keep(detector, folder)
    return detector


def _compare(classes, path, other, wanted, store, detect):
    """Note what another run finds of the classes that are asked of it."""
    wanted = {label: view for label, view in wanted.items() if label in classes}
    title = f"detecting, {path}"
    several = by_class(detect(other, store, title)) if len(views_of(other)) > 1 else {}
    for label, view in wanted.items():
        own = classes[label]
        own.other_run, own.other_detector = path, view
        own.other = several[label] if several else detect(view, store.of_class(label), title)
