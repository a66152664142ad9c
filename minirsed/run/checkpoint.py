"""The state of a run as one file, and the one before it: what `--resume` needs to continue, bit for bit.

    checkpoint.npz            the newest
    checkpoint.previous.npz   the one before; read where the newest is damaged, or missing because a kill fell between
                              the two renames of a save
    checkpoint.damaged.npz    a newest one that could not be read, kept for whoever wants to look into it

A checkpoint describes itself: class, model, settings, versions, git revision, feature statistics, weights, Adam's
means, random state, rows of metrics.csv, the position inside an epoch, and the weights of the best epoch. It holds no
pickles and every member a CRC-32; whatever is not as `write_checkpoint` would have written it is refused.
"""

import dataclasses
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from minirsed.adam import Adam
from minirsed.detector import Detector
from minirsed.listening.operating import Operating
from minirsed.model import param_shapes
from minirsed.outside.members import Members, model_config
from minirsed.rivals.batch_norm import trained
from minirsed.run.metrics import METRICS, PROMISE, UNDEFINED_ALLOWED, best_epoch, class_columns
from minirsed.run.settings import TrainSettings, settings_from_file
from minirsed.several.detector import SeveralDetector
from minirsed.store.archive import read_arrays, write_arrays

FORMAT = "minirsed-checkpoint-2"
NEWEST, PREVIOUS, DAMAGED = "checkpoint.npz", "checkpoint.previous.npz", "checkpoint.damaged.npz"

log = logging.getLogger(__name__)


@dataclass
class Position:
    """Where inside an epoch a run is.

    Attributes
    ----------
    random_state : dict
        Of the run's generator before the epoch: deals the same minibatches again.
    n_batches, n_clips : int
        Done in this epoch.
    sums : (4,) list of float
        Of loss, utterance loss and frame loss over the clips done, and of the gradient norm over the batches done.
    seconds : float
        Spent on this epoch so far.
    """

    random_state: dict
    n_batches: int = 0
    n_clips: int = 0
    sums: list = dataclasses.field(default_factory=lambda: [0.0] * 4)
    seconds: float = 0.0


@dataclass
class State:
    """All that a run is; `position` is None between epochs, `best` (weights) None before a first best epoch."""

    settings: TrainSettings
    detector: Detector
    adam: Adam
    rng: np.random.Generator
    history: list
    position: Position | None
    best: dict | None
    versions: dict
    members: Members | None = None  # where spectra are mixed; `detector` is then what they have been joined to
    promise: dict | None = None  # thresholds of the best epoch and how they were chosen, as of `promise_of`


def write_checkpoint(folder, state):
    """Write the newest checkpoint; the one that was the newest becomes the previous.

    Raises
    ------
    OSError
        Disk full, folder not writable: both checkpoints stay as they were.
    """
    description = {
        "settings": dataclasses.asdict(state.settings),
        "versions": state.versions,
        "detector": state.detector.description(),
        "n_updates": state.adam.n_updates if state.members is None else state.members.adams[0].n_updates,
        "random_state": state.rng.bit_generator.state,
        "history": state.history,
        "position": state.position and dataclasses.asdict(state.position),
    }
    if state.promise:
        description["promise"] = state.promise
    arrays = state.detector.arrays()
    groups = {"best": state.best or {}}
    if state.members is None:
        groups |= {"adam/m": state.adam.m, "adam/v": state.adam.v}
    else:
        for k, (params, average, adam) in enumerate(state.members):
            arrays["whitener"] = state.members.whitener
            groups |= {f"members/{k}": params, f"averages/{k}": average, f"adam/m/{k}": adam.m, f"adam/v/{k}": adam.v}
    for group, values in groups.items():
        arrays |= {f"{group}/{name}": value for name, value in values.items()}
    write_arrays(folder / NEWEST, FORMAT, description, arrays, previous=folder / PREVIOUS)


def promise_of(detector):
    """Thresholds of a detector and how they were chosen, JSON-able."""
    return {"thres0": detector.thres0, "thres1": detector.thres1, **detector.operating.described()}


def with_promise(detector, promise):
    """The detector with what `promise_of` gave; as it is without any."""
    if promise is None:
        return detector
    operating = Operating.of(promise)
    return dataclasses.replace(detector, thres0=promise["thres0"], thres1=promise["thres1"], operating=operating)


def has_checkpoint(folder):
    """Whether a checkpoint exists, readable or not."""
    return any((Path(folder) / name).exists() for name in (NEWEST, PREVIOUS))


def read_checkpoint(folder):
    """The newest state of a run that can be read, `State`.

    A newest file that is damaged is set aside once the previous one has turned out to be whole, with a warning to
    `logging`.

    Raises
    ------
    InputError
        Neither can be used; the message names the file and the reason.
    """
    newest, previous = Path(folder) / NEWEST, Path(folder) / PREVIOUS
    if not newest.exists() and previous.exists():
        return _read(previous)  # killed between two renames: whole, and the newest there is
    try:
        return _read(newest)
    except InputError as error:
        if not previous.exists():
            raise
        try:
            state = _read(previous)
        except InputError:
            raise InputError(f"{error}; {previous.name} cannot be used either") from None
        os.replace(newest, Path(folder) / DAMAGED)  # or the next save would make it the previous one
        log.warning("%s; resuming from %s, the damaged file is now %s", error, PREVIOUS, DAMAGED)
        return state


def _read(path):
    description, arrays = read_arrays(path, FORMAT)
    try:
        return _state(path, description, arrays)
    except InputError as error:  # of the settings, which know of no file, or of the detector
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(f"{path}: not a usable checkpoint: {error!r}") from error


def _state(path, description, arrays):
    """A checked `State`; an error of the kinds that `_read` catches where something is not as it should be."""
    detector = SeveralDetector.from_parts(path, description["detector"], arrays)
    settings = settings_from_file(description["settings"])
    _check(detector.config.n_classes == len(settings.classes), "classes")
    n_updates, history = description["n_updates"], description["history"]
    _check(_is_count(n_updates) and n_updates > 0, "n_updates")
    adam = members = None
    if settings.mixing == "spectra":
        members = _members(arrays, settings, detector, n_updates)
    else:
        moments = [_like(arrays, f"adam/{moment}/", trained(detector.params)) for moment in "mv"]
        adam = Adam(settings.learning_rate, n_updates=n_updates, m=moments[0], v=moments[1])
    further = class_columns(settings.labels)
    _check(isinstance(history, list) and all(_is_row(row, i, further) for i, row in enumerate(history, 1)), "history")
    position = description["position"]
    if position is not None:
        position = Position(**position)
        _check(_is_position(position), "position")
        generator(position.random_state)
    promise = description.get("promise")
    with_promise(detector, promise)
    _check(promise is None or all(map(_is_number, (promise["thres0"], promise["thres1"]))), "promise")
    return State(
        settings,
        detector,
        adam,
        generator(description["random_state"]),
        history,
        position,
        _like(arrays, "best/", detector.params) if best_epoch(history, settings.keep) else None,
        dict(description["versions"]),
        members,
        promise,
    )


def _members(arrays, settings, detector, n_updates):
    """The networks in training of a run that mixes spectra."""
    config = model_config(settings, settings.n_mels)
    like = {name: np.empty(shape, detector.mean.dtype) for name, shape in param_shapes(config).items()}
    members = Members(config, [], [], [], detector.mean, detector.std, arrays["whitener"])
    for k in range(settings.members):
        params, average, m, v = (
            _like(arrays, f"{group}/{k}/", like) for group in ("members", "averages", "adam/m", "adam/v")
        )
        members.params.append(params)
        members.averages.append(average)
        members.adams.append(Adam(settings.learning_rate, n_updates=n_updates, m=m, v=v))
    return members


def generator(state):
    """A numpy Generator in a state that `generator.bit_generator.state` gave. ValueError: no such state."""
    rng = np.random.default_rng()
    rng.bit_generator.state = state
    _check(rng.bit_generator.state == state, "random state")
    return rng


def _like(arrays, prefix, params):
    """The arrays called prefix + name, which must be like the parameters and finite."""
    found = {name: arrays[prefix + name] for name in params}
    for name, param in params.items():
        array = found[name]
        _check(array.shape == param.shape and array.dtype == param.dtype and np.isfinite(array).all(), prefix + name)
    return found


def _is_row(row, number, further):
    undefined = {*UNDEFINED_ALLOWED, *further}
    numbers = [
        value for name, value in row.items() if not (value is None and name in undefined)
    ]  # AttributeError where it is no dict
    names = row.keys() - further
    is_whole = names in ({*METRICS}, {*METRICS, *PROMISE}) and len(row) == len(names) + len(further)
    return is_whole and row["epoch"] == number and all(map(_is_number, numbers))


def _is_position(position):
    counts = _is_count(position.n_batches) and _is_count(position.n_clips)
    return counts and len(position.sums) == 4 and all(map(_is_number, [*position.sums, position.seconds]))


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check(is_right, what):
    if not is_right:
        raise ValueError(f"{what} is not as it should be")
