"""The promise during a training: after each epoch, thresholds that keep it, and what is then missed.

Data flow: dev recordings, or dev mixtures if there are none → measure, choice → **keeping** → `minirsed.run.resumable`,
which keeps the epoch with the fewest misses. Only thres0 is chosen: the other settings take a look at the whole grid,
`minirsed.evaluate --alarms-per-hour`, once the epoch is known.
"""

from dataclasses import replace
from pathlib import Path

from data_tools.soundbank import open_bank
from minirsed.alarms.choice import FALSE, THRES1, choose, evidence, with_choice
from minirsed.alarms.measure import measure, measure_mixtures, of_class
from minirsed.multires import ARCHITECTURES

DEV = "the subset dev"  # as the source of what was chosen


def usual(settings):
    """Settings of a new run that was not told which epoch to keep: for the promise, where the sounds give reason to.

    That is, where there are recordings of dev, or negatives, sounds that are not the event.

    Raises
    ------
    InputError
        The sounds cannot be used.
    """
    is_for_any_length = settings.arch in ARCHITECTURES and settings.head == "attention"
    if not (is_for_any_length and any((Path(settings.data) / name).is_dir() for name in ("recordings", "negatives"))):
        return settings
    bank = open_bank(settings.data, fold=settings.fold)
    negatives = getattr(bank, "negatives", lambda label, subset: [])  # not every source of sounds has them
    has_reason = bank.recordings("dev") or negatives(settings.label, "dev")
    return replace(settings, keep="promise") if has_reason else settings


class Keeper:
    """Choose thresholds for a detector, always on the same sounds.

    Parameters
    ----------
    label : str
    alarms_per_hour : float
    recordings : list of data_tools.labelled_recordings.LabelledRecording
        Of dev, with events of any class; may be empty.
    dev_store : minirsed.store.dataset.FeatureStore
        Mixtures, for what the recordings do not have.
    executor : concurrent.futures.Executor
        Of `n_threads` threads.
    n_threads : int
    """

    def __init__(self, label, alarms_per_hour, recordings, dev_store, executor, n_threads):
        self.recordings, self.alarms_per_hour = of_class(recordings, label), alarms_per_hour
        self.dev_store, self.executor, self.n_threads = dev_store, executor, n_threads

    def __call__(self, detector, tick=lambda: None):
        """The detector with thresholds that keep the promise; `operating.chosen` says what it then misses.

        `tick()` is called every now and then, and may raise.
        """
        rule, measured, events = detector.config.rule, None, None
        thres1 = THRES1[rule][:1]
        if self.recordings:
            measured = measure(
                detector, self.recordings, n_threads=self.n_threads, thres1=thres1, progress=lambda *counts: tick()
            )
        if measured is None or not len(measured.reference.row):
            events = measure_mixtures(
                detector, self.dev_store, self.executor, thres1=thres1, progress=lambda *counts: tick()
            )
        if measured is None:
            measured, events = events, None
        choice = choose(measured, rule, self.alarms_per_hour, events=events, every=False)
        chosen_on = "recordings" if self.recordings else "mixtures"
        about = {"rule": rule, "chosen_on": chosen_on, "source": DEV, "events": events}
        return with_choice(detector, choice, evidence(choice, measured, self.alarms_per_hour, **about))


def rank(row):
    """What makes one epoch better than another, of a row of `metrics.csv`: the lower."""
    return row["promise_misses"], row["promise_false_alarms"], row["dev_loss"]


def columns(detector):
    """What a row of `metrics.csv` has of a `Keeper`'s detector."""
    chosen = detector.operating.chosen
    return {
        "promise_misses": chosen["n_misses"],
        "promise_false_alarms": chosen[FALSE],
        "promise_thres0": detector.thres0,
    }
