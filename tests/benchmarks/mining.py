"""One round of mining on the training backgrounds: what it does to false alarms an hour and misses on other recordings.

    python -m minirsed.train doorbell --data my_sounds --folds 3 --out runs/doorbell-folds
    python tests/benchmarks/mining.py runs/doorbell-folds mining [--hours 2] [--promise 0.5]

For each fold, `mining/fold-K/sounds` is the sound folder with that fold's recordings dealt half to dev and half to
eval, and `dev`, `eval` are hours made of each half (`hours.py`). The fold's detector is measured on both. Then it
searches the fold's training backgrounds (`minirsed.mine`), all that it finds is filed as none, for they hold no event,
and training continues from it (`--init-from`). The detector that this gives is measured on the same hours.

Thresholds for the promise are chosen on the hours of one half and measured on those of the other, both ways, so that no
recording that they are measured on had a part in the choice. What is finished is not repeated; OUT/results.json has all
counts.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.labelled_recordings import labelled_recordings  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402
from minirsed.alarms.choice import THRES1, choose, tried  # noqa: E402
from minirsed.alarms.counting import judge  # noqa: E402
from minirsed.alarms.measure import measure  # noqa: E402
from minirsed.alarms.poisson import interval  # noqa: E402
from minirsed.listening.operating import COUNTS  # noqa: E402
from minirsed.run.folder import read_settings, trained_detector  # noqa: E402

ROOT = Path(__file__).parents[2]
HALVES = ("dev", "eval")


def parse_arguments():
    """Command line → namespace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folds", type=Path, help="what minirsed.train --folds has left")
    parser.add_argument("out", type=Path, help="folder for everything")
    parser.add_argument("--hours", type=float, default=2.0, help="of each half of a fold (default %(default)s)")
    parser.add_argument("--promise", type=float, default=0.5, help="false alarms an hour (default %(default)s)")
    parser.add_argument(
        "--alarms", type=int, default=100, help="mined at most, and as many near ones (default %(default)s)"
    )
    parser.add_argument("--features", type=Path, default=Path("features"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def sounds_of_fold(run, folder):
    """Make the sound folder of a fold: links to the sounds, lists of its own."""
    settings = read_settings(run)
    bank, data = open_bank(settings.data, fold=settings.fold), Path(settings.data).resolve()
    subset_of, half_of = {}, {}
    for label in (settings.label, *(c for c in bank.classes if c != settings.label)):
        for (kind, key), subset in bank.places(label).items():
            if subset == "dev" and (kind, key) not in subset_of:
                recording = bank.event_recording(key) if kind == "events" else bank.background_recording(key)
                groups = half_of.setdefault(label if kind == "events" else kind, {})
                subset = HALVES[groups.setdefault(recording, len(groups) % 2)]
            subset_of.setdefault((kind, key), subset)
    folder.mkdir(parents=True)
    for kind in ("events", "backgrounds"):
        for path in sorted((data / kind).rglob("*")):
            link = folder / kind / path.relative_to(data / kind)
            if path.is_file():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
    if (data / "recordings.csv").exists():
        (folder / "recordings.csv").write_bytes((data / "recordings.csv").read_bytes())
    with open(folder / "split.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "subset"])
        writer.writerows([f"{kind}/{key}", subset] for (kind, key), subset in sorted(subset_of.items()) if subset)


def run_command(*words):
    """Run Python with these words, from the checkout; stop with it where it fails."""
    subprocess.run([sys.executable, *map(str, words)], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


def mined(arguments, run, folder):
    """Train on from the fold's run with what it takes for events in training backgrounds; the new run's folder."""
    sounds, settings, out = folder / "sounds", read_settings(run), folder / "run"
    if (out / "curves.png").exists():
        return out
    if not (folder / "mined").exists():
        keys = sorted({piece.key for piece in open_bank(sounds).backgrounds("train", settings.label)})
        paths = [sounds / "backgrounds" / key for key in keys]
        n = arguments.alarms
        run_command("-m", "minirsed.mine", run, *paths, "--out", folder / "mined", "--alarms", n, "--near", n)
    clips = folder / "mined" / "clips.csv"
    if clips.exists():
        with open(clips, newline="") as file:
            names = [row["clip"] for row in csv.DictReader(file)]
        (folder / "mined" / "verdicts.csv").write_text("clip,verdict\n" + "".join(f"{name},not\n" for name in names))
        run_command("-m", "minirsed.mine", "--apply", folder / "mined" / "verdicts.csv", "--data", sounds)
    words = ["--data", sounds, "--init-from", run, "--seed", settings.seed, "--keep", "last", "--out", out]
    words += ["--features", arguments.features, "--threads", arguments.threads]
    run_command("-m", "minirsed.train", settings.label, *words)
    return out


def counts_of(arguments, run, folder):
    """Counts of a run's detector on both halves: at the thresholds of a new one, and at those chosen on the other."""
    detector = trained_detector(run)
    rule, n_threads = detector.config.rule, arguments.threads
    found = [
        measure(detector, labelled_recordings(folder / half, detector.label), n_threads=n_threads, thres1=tried(rule))
        for half in HALVES
    ]
    rows = {"hours": sum(half.hours for half in found), "as it is": [], "promise": [], "chosen": []}
    for here, there in (found, found[::-1]):
        choice = choose(there, rule, arguments.promise)
        rows["as it is"].append(judge(here, 0.5, THRES1[rule][0]).counts())
        rows["promise"].append(judge(here, choice.thres0, choice.thres1, choice.operating).counts())
        rows["chosen"].append([choice.thres0, choice.thres1, vars(choice.operating), choice.counts, choice.is_shown])
    return {name: _sum(value) if name in ("as it is", "promise") else value for name, value in rows.items()}


def _sum(counts):
    return {name: sum(each[name] for each in counts) for name in COUNTS}


def main():
    """All folds, then the table."""
    arguments = parse_arguments()
    results = arguments.out / "results.json"
    found = json.loads(results.read_text()) if results.exists() else {}
    for run in sorted(arguments.folds.glob("fold-*")):
        folder = arguments.out / run.name
        label = read_settings(run).label
        if not (folder / "sounds").exists():
            sounds_of_fold(run, folder / "sounds")
        for seed, half in enumerate(HALVES):
            if not (folder / half).exists():
                words = [folder / "sounds", label, folder / half, "--subset", half, "--hours", arguments.hours]
                run_command(ROOT / "tests/benchmarks/hours.py", *words, "--seed", seed)
        for name in ("before", "after"):
            if name not in found.setdefault(run.name, {}):
                which = run if name == "before" else mined(arguments, run, folder)
                found[run.name][name] = counts_of(arguments, which, folder)
                results.write_text(json.dumps(found, indent=1))
    print(table(found))


def table(found):
    """Markdown: alarms an hour with exact intervals and misses, before and after, for each fold and all."""
    lines = ["| fold | | false alarms an hour | missed | … chosen elsewhere: false alarms an hour | missed |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    for name in ("before", "after"):
        folds = [fold[name] for fold in found.values()]
        whole = {key: _sum([fold[key] for fold in folds]) for key in ("as it is", "promise")}
        whole["hours"] = float(np.sum([fold["hours"] for fold in folds]))
        for title, own in [*zip(found, folds, strict=True), ("all", whole)]:
            cells = []
            for key in ("as it is", "promise"):
                n, hours = own[key]["n_false_alarms"], own["hours"]
                low, high = (end for end in interval(n, hours))
                cells.append(f"{n / hours:.1f} ({low:.1f} … {high:.1f})")
                cells.append(f"{own[key]['n_misses']} of {own[key]['n_events']}")
            lines.append(f"| {title} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
