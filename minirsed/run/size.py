"""What a run takes of disk and memory, at least, known before anything is drawn: what cannot fit is refused at once.

Data flow: settings → **size** → `minirsed.run.session`, `minirsed.sweep`, `minirsed.bench`.
"""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np

from data_tools.audio import CLIP_S
from data_tools.errors import InputError
from data_tools.files import folder_size, require_space, size_text
from minirsed.features import SAMPLE_RATE, n_frames
from minirsed.model import GROUP_CLIPS, param_shapes
from minirsed.multires import directions
from minirsed.outside.members import model_config
from minirsed.rivals import crnn, crnn1d

FLOAT_BYTES = 4
PER_WEIGHT = 4  # arrays as large as the weights: themselves, their gradient, Adam's two averages
PER_STATE = 4  # numbers kept for the way back through time: three gates and the state
KEPT = {  # numbers for each frame that a training step keeps
    "mlp": lambda n_layers, n_inputs, n_units: n_layers * n_units,
    "crnn1d": crnn1d.kept_numbers,
    "crnn": crnn.kept_numbers,
}
RECIPE_BYTES = 500  # of a mixture's recipe in memory, at least


def feature_bytes(n_clips, settings):
    """Size of the features of so many clips of 30 s on disk."""
    clip = n_frames(int(CLIP_S * SAMPLE_RATE)) * settings.n_mels
    return n_clips * clip * np.dtype(settings.feature_dtype).itemsize


def prepared_clips(settings):
    """How many clips of 30 s a training computes features of at most, by the option that asks for them."""
    trained = "backgrounds" if settings.mixing == "spectra" else "clips"
    return {f"--{trained}": getattr(settings, trained), "--dev-clips": settings.dev_clips}


def n_weights(config):
    """Number of weights of a model; that of very many layers without a list of them all."""

    def count(n_layers):
        shapes = param_shapes(dataclasses.replace(config, n_layers=n_layers))
        return sum(math.prod(shape) for shape in shapes.values())

    if config.n_layers <= 3:
        return count(config.n_layers)
    return count(3) + (config.n_layers - 3) * (count(3) - count(2))  # from the second on they are alike


def network_bytes(config, n_clips, T):
    """Memory of a training step: less than it takes, about half of it for the sizes of the presets.

    Parameters
    ----------
    config : minirsed.model.ModelConfig
    n_clips : int
        Of the minibatch; the network sees `GROUP_CLIPS` of them at a time, or more in several threads.
    T : int
        Frames in a clip.
    """
    n_layers = min(config.n_layers, 2) if config.arch == "multires" else config.n_layers  # T + T/2 + T/4 + … < 2T
    if config.arch in KEPT:
        per_frame = KEPT[config.arch](config.n_layers, config.n_inputs, config.n_units)
    else:
        per_frame = n_layers * config.n_units * PER_STATE * len(directions(config.arch))
    states = min(n_clips, GROUP_CLIPS) * T * per_frame
    return FLOAT_BYTES * (PER_WEIGHT * n_weights(config) + states)


def require_memory(parts):
    """Refuse what takes more memory than there is.

    Parameters
    ----------
    parts : dict of str to int
        Bytes by what asks for them, such as "--units 256"; the largest is named.

    Raises
    ------
    InputError
    """
    total = memory()
    if sum(parts.values()) > total:
        largest = max(parts, key=parts.get)
        raise InputError(
            f"{largest}: takes at least {size_text(sum(parts.values()))} of memory; there are {size_text(total)}"
        )


def require_room(settings, n_clips, features):
    """Refuse a training whose network, minibatch or list of mixtures does not fit the memory, or its features the disk.

    Parameters
    ----------
    settings : minirsed.run.settings.TrainSettings
    n_clips : dict of str to int
        Mixtures or backgrounds to prepare by the option that asks for them: {"--clips": 600, "--dev-clips": 200}.
    features : Path
        Folder that keeps the features; what is in it may be among them.

    Raises
    ------
    InputError
        It cannot fit; the line names the option, what it takes and what there is.
    """
    config = model_config(settings, settings.n_mels)
    T = n_frames(int((settings.clip_s if settings.mixing == "spectra" else CLIP_S) * SAMPLE_RATE))
    in_batch = min(settings.batch_size, settings.clips)
    clips = " ".join(f"{option} {n}" for option, n in n_clips.items())
    require_memory(
        {
            f"--layers {settings.layers} --units {settings.units}": network_bytes(config, in_batch, T),
            f"--batch-size {settings.batch_size}": FLOAT_BYTES * in_batch * T * settings.n_mels,
            clips: RECIPE_BYTES * sum(n_clips.values()),
        }
    )
    needed = feature_bytes(sum(n_clips.values()), settings)
    half = "; --feature-dtype float16 takes half" if settings.feature_dtype == "float32" else ""
    mels = f" --n-mels {settings.n_mels}" if settings.n_mels != type(settings).n_mels else ""
    require_space(features, needed, f"the features of {clips}{mels}", folder_size(features), advice=half)


def memory():
    """Bytes of this machine's memory, or of the part of it that a container may use; inf where it does not say."""
    found = [math.inf]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no Linux, no container, or "max"
        pass
    return min(found)
