"""What the event vectors of detectors of several classes look like to each other: cosines, member by member.

    python tests/benchmarks/event_vectors.py runs/three-0 runs/three-1 runs/three-2 [--clips 24]

Runs of `python -m minirsed.train CLASS CLASS …`, preset `quick`, are networks joined into one; taken apart, each has
its own states and vectors, and the vectors it began with are those of its seed. q is the direction of its mean state
over the frames that hold no event, of `--clips` mixtures of built-in sounds, subset dev. Printed are mean and (lowest …
highest) over members: for each run its pairs of classes, then all of them together.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from data_tools.mixing import render  # noqa: E402
from data_tools.several import draw_several  # noqa: E402
from data_tools.soundbank import SoundBank  # noqa: E402
from minirsed.features import frame_labels, lfbe  # noqa: E402
from minirsed.listening.inputs import INPUTS  # noqa: E402
from minirsed.model import init_params  # noqa: E402
from minirsed.multires import encoder_forward  # noqa: E402
from minirsed.outside.members import split  # noqa: E402
from minirsed.several.detector import load  # noqa: E402
from minirsed.store.mixtures import HELD_OUT_SEED  # noqa: E402


def cosine(a, b):
    """Of vectors along the last axis."""
    return (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def quiet_frames(detector, recipes, bank):
    """Inputs of the mixtures, (N, T, D), and which of their frames hold no event, (N, T)."""
    kind = INPUTS[detector.config.inputs]
    features = np.stack([lfbe(render(recipe, bank), **detector.features) for recipe in recipes])
    x = detector.normalise(kind.of_lfbe(features)[0])
    is_quiet = np.ones(features.shape[:2], bool)
    for row, recipe in zip(is_quiet, recipes, strict=True):
        for event in recipe.events:
            row &= frame_labels(event.onset_s, event.offset_s, len(row)) == 0
    return x, is_quiet[:, :: kind.rate][:, : x.shape[1]]


def cosines_of(run, n_clips):
    """{what: (members, pairs or classes)} of one run."""
    settings = json.loads((Path(run) / "config.json").read_text(encoding="utf-8"))["settings"]
    detector, bank = load(run), SoundBank.builtin()
    recipes = draw_several(bank, detector.labels, "dev", n_clips, HELD_OUT_SEED)
    x, is_quiet = quiet_frames(detector, recipes, bank)
    config = dataclasses.replace(detector.config, n_units=settings["units"])
    i, j = np.triu_indices(len(detector.labels), 1)
    found = {name: [] for name in ("before training", "after it", "w and q", "without q", "before and after")}
    for k, params in enumerate(split(detector, config)):
        start, w = init_params(config, np.random.default_rng([settings["seed"], k]))["head.w"], params["head.w"]
        h, _ = encoder_forward(params, x, config.arch, config.n_layers, with_cache=False)
        q = h[is_quiet].mean(axis=0)
        rest = w - np.outer(w @ q, q) / (q @ q)
        own = cosine(start[i], start[j]), cosine(w[i], w[j]), cosine(w, q), cosine(rest[i], rest[j]), cosine(start, w)
        for values, value in zip(found.values(), own, strict=True):
            values.append(value)
    pairs = [f"{detector.labels[a]} and {detector.labels[b]}" for a, b in zip(i, j, strict=True)]
    return pairs, {name: np.stack(values) for name, values in found.items()}


def said(values):
    """Mean (lowest … highest)."""
    return f"{values.mean():+.2f} ({values.min():+.2f} … {values.max():+.2f})"


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--clips", type=int, default=24)
    args = parser.parse_args()
    of_runs = []
    for run in args.runs:
        pairs, found = cosines_of(run, args.clips)
        print(f"{run}: " + ", ".join(f"{pair} {said(found['after it'][:, p])}" for p, pair in enumerate(pairs)))
        of_runs.append(found)
    for name in of_runs[0]:
        print(f"{name:17}{said(np.concatenate([found[name] for found in of_runs]))}")


if __name__ == "__main__":
    main()
