"""What does each ingredient of `minirsed.outside` buy? One training for each of them, class and fold of a sound folder.

    python tests/benchmarks/ablation.py my_sounds [--clips 800] [--seeds 0 1 2] [--out ablation] [--class babycry …]

Seed s is trained without fold s + 1 of the recordings (`--fold`, as many folds as seeds) and tried on that fold, so
that every recording is tried once. Rows differ from the second, clips mixed of spectra and nothing else, in one
ingredient; "paper" is the preset plain. "all" is the preset quick, and the rows after it differ from that one in one
ingredient. All keep the last epoch: nothing is chosen on the mixtures that a row is scored on. A row's figures are
those of all folds' mixtures together; intervals are over recordings (pigeonhole bootstrap), and differences are paired.
Finished trainings are in OUT/results.jsonl and not repeated.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.inventory import recordings_of  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402
from minirsed.analysis.uncertainty import bootstrap_intervals, compare  # noqa: E402
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
    "all, and distance": QUICK | {"distance": 1.0},
    "all, PCEN": QUICK | {"inputs": "pcen"},
    "all, events in pieces": QUICK | {"pieces": 0.5},
    "all, from built-in sounds": QUICK | {"init_from": "{label}"},  # see --origin
}
BASE, ALL = "clips of spectra, always new", "all (preset quick)"


def parse_arguments():
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
    arguments = parser.parse_args()
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


def main():
    """Train what is missing, then print the table."""
    arguments = parse_arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = arguments.out / "results.jsonl"
    machine = Machine(arguments.features, arguments.threads, arguments.threads)
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
                    "counts": count_events(dev.reference, dev.estimated).overall.tolist(),
                    "recordings": recordings_of(bank, recipes_of(bank, settings, "dev")),
                    "seconds": sum(line["seconds"] for line in run.history),
                }
                with open(results, "a") as file:
                    file.write(json.dumps(kept) + "\n")
                print(row, label, seed, f"{kept['seconds']:.0f} s", flush=True)
    print(table(arguments, done(results)))


def base_of(row):
    """The row that a row differs from in one ingredient."""
    return ALL if row.startswith("all, ") else BASE


def table(arguments, found):
    """Markdown: error rate of each row and class, and its difference to the row that it is made from."""
    lines = [
        "| | " + " | ".join(arguments.labels) + " | mean | difference |",
        "|---|" + "--:|" * len(arguments.labels) + "--:|--:|",
    ]
    for row in arguments.rows:
        cells, rates, differences = [], [], []
        for label in arguments.labels:
            both = [found.get((name, label, seed)) for name in (row, base_of(row)) for seed in arguments.seeds]
            own, base = both[: len(arguments.seeds)], both[len(arguments.seeds) :]
            if not all(own):
                cells.append("–")
                continue
            counts = np.concatenate([each["counts"] for each in own])
            recordings = [tuple(pair) for each in own for pair in each["recordings"]]
            low, high = bootstrap_intervals(counts, np.random.default_rng(0), recordings=recordings).error_rate
            rates.append((counts[:, 0] + counts[:, 1] - 2 * counts[:, 2] - counts[:, 3]).sum() / counts[:, 0].sum())
            cells.append(f"{rates[-1]:.2f} ({low:.2f} … {high:.2f})")
            if all(base):
                other = np.concatenate([each["counts"] for each in base])
                differences.append(compare(counts, other, np.random.default_rng(0), recordings=recordings))
        mean = f"{np.mean(rates):.2f}" if rates else ""
        shift = ""
        if differences and row != BASE:
            shift = f"{np.mean([each.error_rate_difference for each in differences]):+.2f}: " + ", ".join(
                f"{each.error_rate_difference:+.2f} ({each.interval[0]:+.2f} … {each.interval[1]:+.2f})"
                for each in differences
            )
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {mean} | {shift} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
