"""A run of several classes on mixtures that it was not trained on: every class, and all together.

Data flow: `session` → **several** → `minirsed.analysis.several`.
"""

from pathlib import Path

from data_tools.errors import InputError
from minirsed.analysis.files import tune_on_dev
from minirsed.analysis.several import SeveralResults, of_class
from minirsed.kernels.threads import worker_threads
from minirsed.run.folder import read_settings, trained_detector
from minirsed.run.session import Machine, prepared_mixtures, silent, sounds_of_run
from minirsed.run.size import require_room
from minirsed.several.detector import views_of
from minirsed.several.evaluation import by_class, evaluate_any


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
    others = {Path(path): trained_detector(path, several=True) for path in compare}
    known = {view.label: path for path, other in reversed(others.items()) for view in views_of(other)}
    for label in detector.labels if others else ():
        if label not in known:
            raise InputError(f"--compare {' '.join(map(str, others))}: none of them detects {label}")
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


def _compare(classes, path, other, wanted, store, detect):
    """Note what another run finds of the classes that are asked of it."""
    wanted = {label: view for label, view in wanted.items() if label in classes}
    title = f"detecting, {path}"
    several = by_class(detect(other, store, title)) if len(views_of(other)) > 1 else {}
    for label, view in wanted.items():
        own = classes[label]
        own.other_run, own.other_detector = path, view
        own.other = several[label] if several else detect(view, store.of_class(label), title)
