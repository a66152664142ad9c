"""What a file of C and a page are made from: the numbers of a detector, in the order in which both read them.

Data flow: detector → **parts** → c_file, page, which fill in a template of `minirsed/export/templates`.

A detector of K networks joined (`minirsed.outside.members.join`) is taken apart again: of its matrices, which are
block-diagonal, only the blocks are kept, 1/K of the numbers. What the numbers mean is told by the same table as in an
ONNX file, `minirsed.export.graph.metadata`.
"""

import dataclasses
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_tools.errors import InputError
from minirsed.export.graph import metadata
from minirsed.features import WIN, tables
from minirsed.inference.network import apart
from minirsed.listening.inputs import INPUTS, band_widths_hz
from minirsed.multires import ARCHITECTURES, directions, gru_layers, n_states
from minirsed.outside.members import join, split

TEMPLATES = Path(__file__).with_name("templates")


class Parts(NamedTuple):
    """A detector as numbers.

    Attributes
    ----------
    config : minirsed.model.ModelConfig
        Of each network.
    about : dict of str to str
        `minirsed.export.graph.metadata`.
    layers : list of dict of ndarray
        W, U, b of each network, each layer, each direction, in this order; float32.
    head : (networks, K) float32 ndarray
        Event vectors; logits of all networks add up.
    window, cosine : (win,) and (n_fft,) float64 ndarray
    first_bin : (bands,) int64 ndarray
    bank : list of (n,) float64 ndarray
        Of each band, the weights of the bins from `first_bin` on.
    widths, mean, std : (bands,) ndarray
    """

    config: object
    about: dict
    layers: list
    head: np.ndarray
    window: np.ndarray
    cosine: np.ndarray
    first_bin: np.ndarray
    bank: list
    widths: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def parts_of(detector, name="detector"):
    """`Parts` of a detector; `name` is that of its file, for errors.

    Raises
    ------
    InputError
        A network other than the paper's, or inputs that neither has: pcen.
    """
    config = detector.config
    if config.arch not in ARCHITECTURES or config.head != "attention":
        raise InputError(
            f"{name}: a file of C and a page hold the paper's networks alone, {', '.join(ARCHITECTURES)} with --head "
            f"attention; this one, --arch {config.arch} --head {config.head}, can be written as .onnx"
        )
    if config.inputs == "pcen":
        raise InputError(f"{name}: has --inputs pcen, which a C file and a page do not compute; export it to ONNX")
    networks, config = networks_of(detector)
    names = [layer for layer, _ in gru_layers(config.arch, config.n_layers, config.n_inputs, config.n_units)]
    layers = [
        {key: np.asarray(params[f"{name}.{key}"], np.float32) for key in ("W", "U", "b")}
        for params in networks
        for name in names
    ]
    constants, widths = tables(detector.features["n_mels"], WIN), band_widths_hz(detector.features["n_mels"])
    D = config.n_inputs
    bins = list(zip(constants.first_bin[:D], constants.last_bin[:D], strict=True))
    return Parts(
        config=config,
        about=metadata(detector),
        layers=layers,
        head=np.stack([params["head.w"] for params in networks]).astype(np.float32) / np.float32(len(networks)),
        window=constants.window,
        cosine=constants.cosine,
        first_bin=constants.first_bin[:D],
        bank=[row[first:last] for row, (first, last) in zip(constants.bank, bins, strict=False)],
        widths=widths[:D] / widths[:D].sum(),
        mean=detector.mean.astype(np.float32),
        std=detector.std.astype(np.float32),
    )


def networks_of(detector):
    """The networks of which a detector was joined, as many as there are: list of dict of ndarray, their config."""
    if detector.config.arch not in ARCHITECTURES:
        return [detector.params], detector.config
    K = detector.config.n_units // apart(detector.params, detector.config)[1].n_units
    if K == 1:
        return [detector.params], detector.config
    config = dataclasses.replace(detector.config, n_units=detector.config.n_units // K)
    return split(detector, config), config


def quantised(detector):
    """The detector with W and U rounded to int8 times a scale for each column: what int8 weights compute with."""
    networks, config = networks_of(detector)
    rounded = [
        {
            name: np.multiply(*int8_columns(value)).astype(np.float32) if value.ndim == 2 else value
            for name, value in params.items()
        }
        for params in networks
    ]
    return dataclasses.replace(detector, params=join(rounded, config))


def int8_columns(matrix):
    """A matrix (n, m) as int8 (n, m) in ±127 and a scale (m,) float32 for each column."""
    largest = np.abs(matrix).max(axis=0)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


def n_directions(config):
    """1 or 2, and the number of states K."""
    return len(directions(config.arch)), n_states(config.arch, config.n_units)


def rate_of(config):
    """Frames of LFBE in an input."""
    return INPUTS[config.inputs].rate


def filled(template, values):
    """A template of `TEMPLATES` with each @@NAME@@ replaced by its value; all in one go, so values stay as they are."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    return re.sub(r"@@(\w+)@@", lambda found: str(values[found[1]]), text)
