"""What `python -m minirsed.bench` times: our work, prepared so that one call does it once.

The peers that do the same work are in `minirsed.bench.peers`. GFLOP count the multiplications and additions of
matrix products alone; gates, head, losses and Adam are a few per cent more.
"""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from minirsed.adam import Adam
from minirsed.attention import attention_forward
from minirsed.detector import Detector
from minirsed.inference.network import Network, ready
from minirsed.model import ModelConfig, batch_loss_and_grads, groups, init_params
from minirsed.multires import (
    ARCHITECTURES,
    average_pairs,
    average_pairs_backward,
    directions,
    init_encoder,
    layer_backward,
    layer_forward,
)
from minirsed.outside.members import join
from minirsed.rivals.batch_norm import follow
from minirsed.run.settings import ARCH_SETTINGS

SR = 44100  # Hz
CLIP_SAMPLES = 30 * SR
HOUR_CLIPS = 120  # of 30 s


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
    key : str
        Kind of work: lfbe, mixing, layer, step, inference, stream, clip or scoring; peers are found by it.
    prepare : callable
        `prepare(executor)` returns a function without arguments that does the work once.
    gflop : float, optional
        Of matrix products; None where there are none to speak of.
    shape : dict
        What a peer must know to do the same work.
    """

    name: str
    key: str
    prepare: callable
    gflop: float | None = None
    shape: dict = field(default_factory=dict)


WINNERS = {arch: ARCH_SETTINGS[arch] for arch in ("crnn1d", "crnn")}  # always at the size that was published


@dataclass(frozen=True)
class Size:
    """Clips, frames and units of the model's rows; `members` networks of so many units are joined into one."""

    batch: int = 10
    frames: int = 1303
    units: int = 256
    inputs: int = 64
    members: int = 1


QUICK = {"units": 32, "inputs": 48, "members": 4}  # of a detector that minirsed.train makes without options
SMALL = (64, 32)  # units of what one streams with
STREAMED = ((1, "1 frame"), (4, "100 ms"))  # frames at a time; 4 or 5 come in 100 ms


def winner_size(arch, size):
    """So many clips and frames for a network of `WINNERS`."""
    return Size(size.batch, size.frames, WINNERS[arch]["units"], size.inputs)


def rows(size):
    """All rows of the table, in data-flow order."""
    models = [("uni", 3), ("bi", 3), ("multires", 3), ("multires", 4)]
    found = [Row("LFBE of a 30 s clip", "lfbe", prepare_lfbe), Row("mixing a 30 s clip", "mixing", prepare_mixing)]
    winners = [(arch, winner_size(arch, size)) for arch in WINNERS]
    for arch in ARCHITECTURES:
        found += [layer_row(arch, size, step) for step in ("forward", "backward")]
    found.append(Row("head forward", "head", lambda executor: prepare_head(executor, size)))
    found += [step_row(arch, n_layers, size) for arch, n_layers in models]
    found.append(step_row("multires", 3, Size(size.batch, size.frames, 32, size.inputs)))
    for arch, n_layers in models:
        found += [inference_row(arch, n_layers, size, clips) for clips in (1, size.batch)]
    for units in (small for small in SMALL if small != size.units):
        own = dataclasses.replace(size, units=units)
        found += [inference_row(arch, 3, own, clips) for arch in ("uni", "multires") for clips in (1, size.batch)]
    quick = dataclasses.replace(size, **QUICK)
    found += [inference_row("multires", 3, quick, clips) for clips in (1, size.batch)]
    found.append(inference_row("multires", 3, size, HOUR_CLIPS))
    for units in dict.fromkeys((size.units, *SMALL)):
        found += [stream_row(dataclasses.replace(size, units=units), *each) for each in STREAMED]
    found.append(Row("30 s of samples to their event, quick", "clip", prepare_clip))
    found += [step_row(arch, WINNERS[arch]["layers"], own) for arch, own in winners]
    found += [inference_row(arch, WINNERS[arch]["layers"], own, size.batch) for arch, own in winners]
    found.append(Row("scoring 500 files", "scoring", prepare_scoring))
    return found


def growth_rows(size):
    """Training steps in which T, B, H or L is doubled, after the one they are compared with.

    As many GFLOP/s in each row mean that time grows with the work: linear in T and B, and in L for `uni`; with H a
    little less than its square; in `multires` the layers on top are ever shorter.
    """
    doubled = [
        Size(size.batch, 2 * size.frames, size.units),
        Size(2 * size.batch, size.frames, size.units),
        Size(size.batch, size.frames, 2 * size.units),
    ]
    return [
        step_row("multires", 2, size),
        *(step_row("multires", 2, s) for s in doubled),
        step_row("multires", 4, size),
        step_row("uni", 2, size),
        step_row("uni", 4, size),
    ]


def layer_gflop(size, n_inputs, n_directions):
    """Forward pass of a layer: (D + H) × 3H products and sums for each clip, frame and direction."""
    products = size.batch * size.frames * n_directions * (n_inputs + size.units) * 3 * size.units
    return 2e-9 * products


def model_gflop(arch, n_layers, size):
    """Forward pass of a model; the backward pass is twice as much, less the gradient of the features."""
    if arch in WINNERS:
        return first_gflop(arch, size) + sum(winner_gflop(arch, n_layers, size))
    n_directions, total, n_frames = len(directions(arch)), 0.0, size.frames
    for layer in range(n_layers):
        n_inputs = size.units * n_directions if layer else size.inputs
        total += layer_gflop(Size(size.batch, n_frames, size.units), n_inputs, n_directions)
        n_frames = -(-n_frames // 2) if arch == "multires" else n_frames
    return total


def first_gflop(arch, size):
    """Products with the features in a forward pass: as many as their gradient would take, which is not wanted."""
    frames = 2e-9 * size.batch * size.frames
    if arch in WINNERS:
        n_places, n_maps = (size.inputs, 4 * size.units) if arch == "crnn" else (size.inputs - 31, size.units)
        return frames * n_places * (9 if arch == "crnn" else 32) * n_maps
    return frames * len(directions(arch)) * size.inputs * 3 * size.units


def winner_gflop(arch, n_layers, size):
    """What else the forward pass of a network of `minirsed.rivals` has: maps, recurrent layers, the dense layer."""
    frames, H = 2e-9 * size.batch * size.frames, size.units
    if arch == "crnn1d":
        yield frames * n_layers * 2 * H * 4 * H
    else:
        bands = [size.inputs // 8, size.inputs // 16, size.inputs // 32]
        yield frames * (bands[0] + bands[1]) * 9 * (4 * H) ** 2
        for layer in range(n_layers):
            yield layer_gflop(size, H if layer else bands[2] * 4 * H, 2)
    yield frames * H * H


def step_row(arch, n_layers, size):
    """Forward, backward and Adam of a batch."""
    name = f"training step, {arch}, {n_layers} × {size.units}, {size.batch} clips of {size.frames} frames"
    shape = {"arch": arch, "n_layers": n_layers, "size": size}
    work = 3 * model_gflop(arch, n_layers, size) - first_gflop(arch, size)
    return Row(name, "step", lambda executor: prepare_step(executor, arch, n_layers, size), work, shape)


def prepare_step(executor, arch, n_layers, size):
    """A training step as `minirsed.training` makes it."""
    config, rng = config_of(arch, n_layers, size), np.random.default_rng(2)
    params, adam = init_params(config, np.random.default_rng(0)), Adam()
    x, labels = features_and_labels(size)

    def step():
        _, grads = batch_loss_and_grads(executor, params, config, x, labels, 1.0, rng)
        adam.update(*follow(params, grads))

    return step


def config_of(arch, n_layers, size):
    """A model with the head that it was published with."""
    return ModelConfig(arch, n_layers, size.units, size.inputs, WINNERS.get(arch, {}).get("head", "attention"))


def features_and_labels(size):
    """Normal features (B, T, D); every other clip has an event a tenth of it long."""
    x = np.random.default_rng(1).standard_normal((size.batch, size.frames, size.inputs), dtype=np.float32)
    labels = np.zeros((size.batch, size.frames), np.float32)
    labels[::2, size.frames // 3 : size.frames // 3 + max(size.frames // 10, 1)] = 1
    return x, labels


def inference_row(arch, n_layers, size, clips):
    """Logits of some clips."""
    batch = dataclasses.replace(size, batch=clips)
    networks = f"{size.members} networks of " if size.members > 1 else ""
    name = f"inference, {arch}, {networks}{n_layers} × {size.units}, " + (
        "an hour" if clips == HOUR_CLIPS else "1 clip" if clips == 1 else f"{clips} clips"
    )
    work = model_gflop(arch, n_layers, batch) * size.members
    shape = {"arch": arch, "n_layers": n_layers, "size": batch}
    return Row(name, "inference", lambda executor: prepare_inference(executor, arch, n_layers, batch), work, shape)


def prepare_inference(executor, arch, n_layers, size):
    """Groups of clips over the threads, as `minirsed.analysis.evaluation` does it."""
    network, x = ready(*trained(arch, n_layers, size)), features_and_labels(size)[0]
    return lambda: list(executor.map(lambda own: network.logits(x[own]), groups(size.batch)))


def trained(arch, n_layers, size):
    """Parameters and configuration of a detector's network, as if it had been trained."""
    config = config_of(arch, n_layers, size)
    members = [init_params(config, np.random.default_rng(k)) for k in range(size.members)]
    return join(members, config), dataclasses.replace(config, n_units=size.members * size.units)


def stream_row(size, n_frames, name):
    """A step of `uni` from features to logits, its state carried on; features are not part of it."""
    own = dataclasses.replace(size, batch=1, frames=n_frames)
    shape = {"arch": "uni", "n_layers": 3, "size": own}
    return Row(
        f"streaming step, uni, 3 × {size.units}, {name}", "stream", lambda executor: prepare_stream(own), None, shape
    )


def prepare_stream(size):
    """Frame logits of the next frames of one stream."""
    network, x = Network(*trained("uni", 3, size)), features_and_labels(size)[0]
    states = network.start(1)
    return lambda: network.frame_logits(x, states)


def quick_detector():
    """A detector as `minirsed.train` makes it without options, but for its weights."""
    params, config = trained("multires", 3, Size(**QUICK))
    config = dataclasses.replace(config, inputs="relative", rule="strongest", n_mels=64)
    for value in params.values():
        value.flags.writeable = False  # as those that have been loaded
    return Detector(config, params, "event", np.zeros(48), np.ones(48))


def prepare_clip(executor):
    """Everything from the samples of a clip to its event."""
    detector, y = quick_detector(), noise()
    return lambda: detector.detect(y)


def layer_row(arch, size, step):
    """The second layer of a model, which reads what the first made."""
    n_directions = len(directions(arch))
    n_inputs = size.units * n_directions
    work = layer_gflop(size, n_inputs, n_directions) * (1 if step == "forward" else 2)
    name = f"{arch} layer {step}, {n_inputs} → {n_inputs}"
    return Row(name, "layer", lambda executor: prepare_layer(executor, arch, size, step), work)


def prepare_layer(executor, arch, size, step):
    """One layer forward or backward, groups over the threads; averaging of neighbours included in `multires`."""
    names, rng = directions(arch), np.random.default_rng(0)
    n_inputs = size.units * len(names)
    params = init_encoder(arch, 1, n_inputs, size.units, rng)
    inputs = [
        rng.standard_normal((size.frames, len(range(size.batch)[own]), n_inputs), dtype=np.float32)
        for own in groups(size.batch)
    ]
    inputs = [x.swapaxes(0, 1) for x in inputs]  # time first in memory, as a layer below leaves it

    def one_forward(x):
        h, cache = layer_forward(params, 0, x, names)
        return (average_pairs(h) if arch == "multires" else h), cache

    def one_backward(output):
        dh, cache = output
        return layer_backward(average_pairs_backward(dh, size.frames) if arch == "multires" else dh, 0, cache)

    if step == "forward":
        return lambda: [h for h, _ in executor.map(one_forward, inputs)]
    outputs = [one_forward(x) for x in inputs]
    return lambda: list(executor.map(one_backward, outputs))


def prepare_head(executor, size):
    """Frame and clip logits of states (B, T, 2H)."""
    h = np.random.default_rng(0).standard_normal((size.frames, size.batch, 2 * size.units), dtype=np.float32)
    w = np.full(2 * size.units, 0.01, np.float32)
    return lambda: attention_forward(w, h.swapaxes(0, 1))


def prepare_lfbe(executor):
    """Features of noise."""
    from minirsed.features import lfbe

    y = noise()
    return lambda: lfbe(y)


def noise():
    """30 s of it, float64, at 44.1 kHz."""
    return 0.1 * np.random.default_rng(0).standard_normal(CLIP_SAMPLES)


def prepare_mixing(executor):
    """A built-in event in a built-in scene; what is timed includes making both sounds."""
    from data_tools.mixing import render
    from data_tools.recipes import draw_recipes
    from data_tools.soundbank import SoundBank

    bank = SoundBank.builtin()
    recipe = draw_recipes(bank, "babycry", "dev", 1, 0, event_presence_prob=1.0)[0]
    return lambda: render(recipe, bank)


def prepare_scoring(executor):
    """Event lists of `event_lists`."""
    from minirsed.scoring import score

    reference, estimated = event_lists(500, np.random.default_rng(0))
    return lambda: score(reference, estimated)


def event_lists(n_files, rng):
    """Half the files hold one event; the system hits most, misses some, adds false alarms."""
    reference, estimated = {}, {}
    for i in range(n_files):
        file, onset_s = f"mixture_{i:03}.wav", rng.uniform(0.5, 27.0)
        reference[file] = [(onset_s, onset_s + 1.5, "gunshot")] if i % 2 else []
        estimated[file] = []
        if rng.random() < (0.85 if reference[file] else 0.1):
            onset_s += rng.normal(0.0, 0.3)
            estimated[file] = [(onset_s, onset_s + 1.2, "gunshot")]
    return reference, estimated
