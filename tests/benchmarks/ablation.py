"""What does each ingredient of `minirsed.outside` buy? One training for each of them, class and fold of a sound folder.

    python tests/benchmarks/ablation.py my_sounds [--clips 800] [--seeds 0 1 2] [--out ablation] [--class babycry …]

Seed s is trained without fold s + 1 of the recordings (`--fold`, as many folds as seeds) and tried on that fold, so
that every recording is tried once. Rows differ from the second, clips mixed of spectra and nothing else, in one
ingredient; "paper" is the preset plain. "all" is the preset quick, and the rows after it differ from that one in one
ingredient. All keep the last epoch: nothing is chosen on the mixtures that a row is scored on. A row's figures are
those of all folds' mixtures together. In brackets is the difference to the row that it is made from, paired, over
recordings (pigeonhole bootstrap); of those two rows themselves, whose difference to each other stands in a row of its
own, it is the error rate's interval. That of the mean draws the recordings of each class by itself, although classes
share backgrounds. Finished trainings are in OUT/results.jsonl and not repeated; one of other settings is an error.
"""

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.console import command  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.inventory import recordings_of  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402
from minirsed.analysis.uncertainty import errors_of, percentiles, resample  # noqa: E402
from minirsed.run.folder import CONFIG  # noqa: E402
from minirsed.run.session import Machine, train  # noqa: E402
from minirsed.run.settings import PRESETS, TrainSettings  # noqa: E402
from minirsed.scoring import count_events  # noqa: E402
from minirsed.store.mixtures import recipes_of  # noqa: E402

QUICK = PRESETS["quick"]
FIRST = {"mixing": "spectra", "units": QUICK["units"], "keep": "last"}
GROUPS = {
    "inputs without level, to 8 kHz": ("inputs",),
    "decorrelated inputs": ("whitening", "inputs"),
    "four networks": ("members",),
    "strongest segment": ("rule",),
    "frame loss on all frames": ("frame_loss", "alpha"),
    "… and onsets ×4": ("frame_loss", "alpha", "onset_weight"),
    "large step that falls to 0, average": ("schedule", "learning_rate", "average"),
    "speed and pitch": ("stretch", "pitch_bands"),
    "equaliser of the event": ("event_equaliser_db",),
    "second background": ("second_background",),
    "other classes as negatives": ("other_events",),
    "low-pass": ("low_pass",),
    "noise on the inputs": ("input_noise",),
    "weight decay": ("weight_decay",),
}
ROWS = {
    "paper (preset plain, waveforms)": {"keep": "last"},
    "clips of spectra, always new": FIRST,
    **{name: FIRST | {key: QUICK[key] for key in keys} for name, keys in GROUPS.items()},
    "rooms and distance": FIRST | {"distance": 1.0},
    "all (preset quick)": QUICK,
    "all, without onset lead": QUICK | {"onset_lead": 0.0},  # these two decide otherwise, with the networks of "all"
    "all, without memory": QUICK | {"memory": 0.0},
    "all, and distance": QUICK | {"distance": 1.0},
    "all, PCEN": QUICK | {"inputs": "pcen"},
    "all, events in pieces": QUICK | {"pieces": 0.5},
    "all, from built-in sounds": QUICK | {"init_from": "{label}"},  # see --origin
}
BASE, ALL = "clips of spectra, always new", "all (preset quick)"


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder of sounds")
    parser.add_argument("--class", dest="labels", nargs="+", default=["babycry", "glassbreak", "gunshot"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--clips", type=int, default=800, help="clips an epoch, of ten (default: %(default)s)")
    parser.add_argument("--dev-clips", type=int, default=100, help="mixtures of a fold (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", nargs="+", default=[name for name, own in ROWS.items() if "init_from" not in own])
    parser.add_argument(
        "--origin", metavar="RUNS/{label}", help="detectors of built-in sounds, for the row that starts from them"
    )
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    parser.add_argument("--features", type=Path, default=Path("features"))
    arguments = parser.parse_args(argv)
    if arguments.origin is None and any("init_from" in ROWS[row] for row in arguments.rows):
        parser.error("a row that starts from other detectors needs --origin")
    return arguments


def settings_of(arguments, row, label, seed):
    """Of one training. The plain preset sees its 600 mixtures as often as it always does."""
    own = ROWS[row] | {"label": label, "seed": seed, "data": str(Path(arguments.data).resolve())}
    own |= {"dev_clips": arguments.dev_clips, "fold": f"{seed + 1}/{len(arguments.seeds)}"}
    if "init_from" in own:
        own["init_from"] = arguments.origin.format(label=label)
    if own.get("mixing") == "spectra":
        own |= {"clips": arguments.clips, "epochs": 10}
    return TrainSettings(**own)


def done(path):
    """Results by (row, class, seed)."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(r["row"], r["label"], r["seed"]): r for r in map(json.loads, lines)}


def require_own(arguments, found):
    """InputError: a result is of other settings than those that its row has now."""
    for (row, label, seed), result in found.items():
        if row in arguments.rows and label in arguments.labels and seed in arguments.seeds:
            if result.get("settings") != described(settings_of(arguments, row, label, seed)):
                raise InputError(f"{arguments.out}: has {row}, {label}, {seed} of other settings; choose another --out")


def described(settings):
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


@command
def main(argv=None):
    """Train what is missing, then print the table."""
    arguments = parse_arguments(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    machine = Machine(arguments.features, arguments.threads, arguments.threads)
    require_own(arguments, done(results))
    for seed in arguments.seeds:
        for label in arguments.labels:
            for row in arguments.rows:
                if (row, label, seed) in done(results):
                    continue
                settings = settings_of(arguments, row, label, seed)
                folder = arguments.out / f"{label}-{re.sub('[^a-z0-9]+', '-', row.lower()).strip('-')}-{seed}"
                resume = (folder / CONFIG).exists()  # it was cut off
                run, dev = train(settings, folder, machine=machine, say=lambda text: None, resume=resume)
                bank = open_bank(settings.data, fold=settings.fold)
                kept = {
                    "row": row,
                    "label": label,
                    "seed": seed,
                    "settings": described(settings),
                    "counts": count_events(dev.reference, dev.estimated).overall.tolist(),
                    "recordings": recordings_of(bank, recipes_of(bank, settings, "dev")),
                    "seconds": sum(line["seconds"] for line in run.history),
                }
                with open(results, "a") as file:
                    file.write(json.dumps(kept) + "\n")
                print(row, label, seed, f"{kept['seconds']:.0f} s", flush=True)
    print(table(arguments, done(results)))


def base_of(row):
    """The row that a row differs from in one ingredient; None of the two that others differ from."""
    return None if row in (BASE, ALL) else ALL if row.startswith("all, ") else BASE


def drawn(own, base, seed):
    """Error rate of some trainings, minus that of others on the same mixtures, and 10,000 resamples of it: (10001,)."""
    counts = np.concatenate([each["counts"] for each in own])
    errors = errors_of(*counts.T) - (errors_of(*np.concatenate([each["counts"] for each in base]).T) if base else 0)
    columns = np.stack([counts[:, 0], errors], axis=1)
    recordings = [tuple(pair) for each in own for pair in each["recordings"]]
    sums = resample(columns, recordings, np.random.default_rng(seed), 10_000)
    n_ref, errors = np.concatenate([columns.sum(axis=0, keepdims=True), sums]).T
    return errors / n_ref


def cells_of(arguments, found, row, base):
    """(error rate, difference, low, high) of each class and of the mean; low and high are those of what `base` says.

    None if a training is missing.
    """
    rates, gaps = [], []
    for place, label in enumerate(arguments.labels):
        own, other = ([found.get((name, label, seed)) for seed in arguments.seeds] for name in (row, base or row))
        if not all(own + other):
            return None
        rates.append(drawn(own, None, place))
        gaps.append(drawn(own, other, place) if base else rates[-1])
    rates.append(np.mean(rates, axis=0))
    gaps.append(np.mean(gaps, axis=0))
    return [(rate[0], gap[0], *percentiles(gap[1:], 0.95)) for rate, gap in zip(rates, gaps, strict=True)]


def table(arguments, found):
    """Markdown: error rate of each row and class, and its difference to the row that it is made from."""
    lines = [f"| | {' | '.join(arguments.labels)} | mean |", "|---|" + "--:|" * (len(arguments.labels) + 1)]

    def line(name, row, base, text):
        cells = cells_of(arguments, found, row, base) or [None] * (len(arguments.labels) + 1)
        texts = ["–" if cell is None else text.format(*cell).replace("-", "−") for cell in cells]
        lines.append(f"| {name} | {' | '.join(texts)} |")

    for row in arguments.rows:
        base = base_of(row)
        line(row, row, base, "{0:.2f} ({2:+.2f} … {3:+.2f})" if base else "{0:.2f} ({2:.2f} … {3:.2f})")
        if row == ALL:
            line(f"… minus {BASE}", ALL, BASE, "{1:+.2f} ({2:+.2f} … {3:+.2f})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
