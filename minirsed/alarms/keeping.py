"""The promise during a training: after each epoch, thresholds that keep it, and what is then missed.

Data flow: dev recordings, or dev mixtures if there are none → measure, choice → **keeping** → `minirsed.run.resumable`,
which keeps the epoch with the fewest misses. Only thres0 is chosen: the other settings take a look at the whole grid,
`minirsed.evaluate --alarms-per-hour`, once the epoch is known.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from data_tools.soundbank import open_bank
from minirsed.alarms.choice import FALSE, THRES1, choose, evidence, judged_elsewhere, with_choice
from minirsed.alarms.measure import measure, measure_mixtures, of_class, setting
from minirsed.multires import ARCHITECTURES

FEW = 20  # events in recordings, below which those of mixtures count as well
DEV = "the subset dev"  # as the source of what was chosen


def usual(settings):
    """Settings of a new run that was not told which epoch to keep: for the promise, where the sounds give reason to.

    That is, where there are recordings of dev, or negatives, sounds that are not the event.

    Raises
    ------
    InputError
        The sounds cannot be used.
    """
    if settings.labels:  # thresholds are chosen for one class
        return settings
    is_rival = settings.arch not in ARCHITECTURES or settings.head != "attention"  # judged as its authors did
    if is_rival or not any((Path(settings.data) / name).is_dir() for name in ("recordings", "negatives")):
        return settings
    bank = open_bank(settings.data, fold=settings.fold)
    negatives = getattr(bank, "negatives", lambda label, subset: [])  # not every source of sounds has them
    has_reason = bank.recordings("dev") or negatives(settings.label, "dev")
    return replace(settings, keep="promise") if has_reason else settings


def kept(detector, alarms_per_hour, measured, mixtures, *, source=DEV, every=True):
    """The detector with thresholds that keep a promise, and the evidence.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    alarms_per_hour : float
    measured : minirsed.alarms.measure.Measured or None
        Of recordings; None if there are none.
    mixtures : callable
        Gives the same of dev mixtures: for what there are no recordings for, or with fewer than `FEW` events in them,
        for their events.
    source : str
        Where the recordings are from.
    every : bool
        False: thres0 alone is chosen.

    Returns
    -------
    minirsed.detector.Detector

    Raises
    ------
    InputError
        See `minirsed.alarms.choice.choose`.
    """
    rule, events, chosen_on = detector.config.rule, None, "recordings"
    if measured is None:
        measured, chosen_on, source = mixtures(), "mixtures", DEV
    elif len(measured.reference.row) < FEW:
        events = mixtures()
    how = {"events": events, "every": every}
    choice = choose(measured, rule, alarms_per_hour, **how)
    about = {"rule": rule, "chosen_on": chosen_on, "source": source, "events": events}
    about["left_out"] = judged_elsewhere(measured, rule, alarms_per_hour, **how)
    return with_choice(detector, choice, evidence(choice, measured, alarms_per_hour, **about))


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
    made_of : list, optional
        Recordings of the mixtures, as `data_tools.inventory.recordings_of` gives them.
    """

    def __init__(self, label, alarms_per_hour, recordings, dev_store, executor, n_threads, made_of=None):
        self.recordings, self.alarms_per_hour, self.made_of = of_class(recordings, label), alarms_per_hour, made_of
        self.dev_store, self.executor, self.n_threads = dev_store, executor, n_threads

    def __call__(self, detector, tick=lambda: None):
        """The detector with thresholds that keep the promise; `operating.chosen` says what it then misses.

        `tick()` is called every now and then, and may raise.
        """
        own = setting(THRES1[detector.config.rule][0], detector.operating.memory_s)
        options = {"thres1": (own,), "progress": lambda *counts: tick()}
        measured = None
        if self.recordings:
            measured = measure(detector, self.recordings, n_threads=self.n_threads, **options)
        mixtures = partial(
            measure_mixtures, detector, self.dev_store, self.executor, recordings=self.made_of, **options
        )
        return kept(detector, self.alarms_per_hour, measured, mixtures, every=False)


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
