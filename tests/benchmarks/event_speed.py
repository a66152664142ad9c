"""Error rate against the speed of events, for the detectors of a sweep: does an architecture mind less than another?

    python -m minirsed.sweep --preset table1 --scale 0.3 --units 64 --seeds 0 1 2 --class babycry --out sweeps/speed
    python tests/benchmarks/event_speed.py sweeps/speed --clips 500

All detectors hear the same mixtures, in which events are slower or faster at their pitch (`minirsed.robustness.speed`);
at speed 1 they are those of `minirsed.evaluate`. Tables, in Markdown: ER at each speed, mean ± standard deviation over
seeds, with the 95 % interval over recordings, or over mixtures where it is not known of which recordings they are; the
difference of each system to --than, on the same mixtures and seeds; and how much further than that one it *falls*,
which is its ER at a speed minus its ER at speed 1, minus the same of the other.
Left in the folder of the sweep: speed_SUBSET.md, .csv and .png.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.console import add_jobs, command  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from data_tools.files import atomic_write  # noqa: E402
from data_tools.inventory import recordings_of  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402
from data_tools.workers import in_processes  # noqa: E402
from minirsed.analysis.breakdown import RESAMPLES, SEED  # noqa: E402
from minirsed.analysis.plots import sweep_figure  # noqa: E402
from minirsed.analysis.uncertainty import compare  # noqa: E402
from minirsed.console.options import Progress  # noqa: E402
from minirsed.detector import Detector  # noqa: E402
from minirsed.features import lfbe  # noqa: E402
from minirsed.robustness.speed import SPEEDS, at_speed, render_at, speeds_here  # noqa: E402
from minirsed.run.folder import read_settings  # noqa: E402
from minirsed.scoring import count_events  # noqa: E402
from minirsed.store.files import chunk_rows  # noqa: E402
from minirsed.store.mixtures import recipes_of  # noqa: E402
from minirsed.sweep.jobs import RESULT  # noqa: E402
from minirsed.sweep.results import cell_text, system_labels  # noqa: E402
from minirsed.sweep.scores import figures, over_seeds, system_of  # noqa: E402

ALL_SPEEDS = tuple(sorted((*SPEEDS, 1.0)))
TASK_CLIPS = 4  # neighbours, which share backgrounds
COUNTS = ("n_ref", "n_sys", "n_tp", "n_subs")


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="folder of a sweep")
    parser.add_argument("--subset", choices=("dev", "eval"), default="eval")
    parser.add_argument("--clips", type=int, help="mixtures (default: as many as dev had in the sweep)")
    parser.add_argument("--data", help="sounds (default: those of the sweep)")
    parser.add_argument("--than", default="bi", help="system that the others are compared with (default: %(default)s)")
    add_jobs(parser, "processes")
    return parser.parse_args(argv)


def runs_of(sweep):
    """Settings of the finished trainings of a sweep by folder, in the order of their names."""
    runs = {path.parent: read_settings(path.parent) for path in sorted(sweep.glob(f"*/{RESULT}"))}
    if not runs:
        raise InputError(f"{sweep}: no finished trainings of a sweep in it")
    return runs


def names_of(runs):
    """What tables call the system of each run: with its α, clips and layers, where there are several."""
    labels = system_labels(list(dict.fromkeys(map(system_of, runs.values()))))
    return {folder: labels[system_of(settings)] for folder, settings in runs.items()}


def heard(detectors, bank, recipes):
    """What detectors find in some mixtures at all speeds: [mixture][detector][speed] → (onset_s, offset_s) or None."""
    return [
        list(map(list, zip(*(_at_one_speed(detectors, bank, recipe, speed) for speed in ALL_SPEEDS), strict=True)))
        if recipe.has_event
        else [[found] * len(ALL_SPEEDS) for found in _at_one_speed(detectors, bank, recipe, 1)]
        for recipe in recipes
    ]


def _at_one_speed(detectors, bank, recipe, speed):
    """[detector] → (onset_s, offset_s) or None. As `Detector.detect`, but features are computed once for all."""
    y, features, found = render_at(speed, recipe, bank), {}, []
    for detector in detectors:
        kind = tuple(detector.features.items())
        if kind not in features:
            features[kind] = lfbe(y, **detector.features)[None]
        p, p_t = detector.probabilities(*detector.logits(features[kind]))
        event = detector.decode(float(p[0]), p_t[0])
        found.append(None if event.onset_s is None else (event.onset_s, event.offset_s))
    return found


def counts_of(detectors, bank, recipes, n_jobs):
    """n_ref, n_sys, n_tp, n_subs: (detectors, speeds, mixtures, 4) int array."""
    rows = [row for chunk in chunk_rows(recipes) for row in chunk]
    tasks = [rows[first : first + TASK_CLIPS] for first in range(0, len(rows), TASK_CLIPS)]
    calls = [(detectors, bank, [recipes[row] for row in task]) for task in tasks]
    found = {}
    with Progress(f"{detectors[0].label} at {len(ALL_SPEEDS)} speeds", "clip") as done:
        for task, events in zip(tasks, in_processes(heard, calls, n_jobs), strict=True):
            found |= dict(zip(task, events, strict=True))
            if done:
                done(len(found), len(recipes))
    counts = np.zeros((len(detectors), len(ALL_SPEEDS), len(recipes), len(COUNTS)), np.int64)
    for k, speed in enumerate(ALL_SPEEDS):
        changed = [at_speed(recipe, speed) for recipe in recipes]
        reference = {r.name: [(r.onset_s, r.offset_s, r.label)] if r.has_event else [] for r in changed}
        for i, detector in enumerate(detectors):
            events = [found[row][i][k] for row in range(len(recipes))]
            named = zip(recipes, events, strict=True)
            estimated = {r.name: [] if event is None else [(*event, detector.label)] for r, event in named}
            counts[i, k] = count_events(reference, estimated).overall
    return counts


# ---- figures


def fall(own, other, recordings=None):
    """How much further a system falls than another from speed 1 on, with the paired 95 % interval: (value, low, high).

    Parameters
    ----------
    own, other : (two) of (mixtures, 4) int array
        Counts at a speed and at speed 1, of the same mixtures, summed over as many seeds.
    recordings : list, optional
        Those of the mixtures, for an interval over recordings.

    Notes
    -----
    Errors are sums, so (own − own at 1) − (other − other at 1) is the difference of two systems that make the errors
    of both (own, other at 1) and of both (own at 1, other), over twice the events.
    """
    result = compared(own[0] + other[1], own[1] + other[0], recordings)
    return tuple(2 * value for value in (result.error_rate_difference, *result.interval))


def compared(own, other, recordings):
    """`compare` with the intervals' own seed."""
    return compare(own, other, np.random.default_rng(SEED), recordings=recordings, n_resamples=RESAMPLES)


def tables(counts, than, recordings=None):
    """Markdown of one class.

    Parameters
    ----------
    counts : dict
        System → {seed: (speeds, mixtures, 4) int array}.
    than : str
        System that the others with the same seeds are compared with.
    recordings : list, optional
        Those of the mixtures.

    Returns
    -------
    lines : list of str
    panel : dict
        System → list of (speed, Figure), for the picture.
    """
    head = [f"| | {' | '.join(f'{speed:g} ×' for speed in ALL_SPEEDS)} |", "|---|" + "--:|" * len(ALL_SPEEDS)]
    stacked = {system: np.stack([own[seed] for seed in sorted(own)]) for system, own in counts.items()}
    panel = {
        system: [(speed, figures(own[:, k], recordings)["error_rate"]) for k, speed in enumerate(ALL_SPEEDS)]
        for system, own in stacked.items()
    }
    lines = ["error rate", "", *head]
    for system, points in panel.items():
        lines.append(f"| {system} | {' | '.join(cell_text(point, 'error_rate') for _, point in points)} |")
    if than not in counts or len(counts) == 1:
        return lines, panel
    one = ALL_SPEEDS.index(1.0)
    for title, of in (("difference from", apart), ("how much further it falls than", further)):
        lines += ["", f"{title} {than}, on the same mixtures", "", *head]
        for system, own in stacked.items():
            if system != than and counts[system].keys() == counts[than].keys():
                gaps = [of(own, stacked[than], k, one, recordings) for k in range(len(ALL_SPEEDS))]
                cells = [cell_text(gap, "error_rate", "+") for gap in gaps]
                lines.append(f"| {system} | {' | '.join(cells)} |")
    return lines, panel


def apart(own, other, k, one, recordings):
    """`Figure` of ER − ER of the other at speed k."""
    result = compared(own[:, k].sum(axis=0), other[:, k].sum(axis=0), recordings)
    return over_seeds(_rates(own[:, k]) - _rates(other[:, k]), result.interval)


def further(own, other, k, one, recordings):
    """`Figure` of `fall` at speed k."""
    _, *interval = fall(*(each[:, [k, one]].sum(axis=0) for each in (own, other)), recordings)
    falls = [_rates(each[:, k]) - _rates(each[:, one]) for each in (own, other)]
    return over_seeds(falls[0] - falls[1], interval)


def _rates(counts):
    """ER of each seed: (seeds,) of (seeds, mixtures, 4)."""
    n_ref, n_sys, n_tp, n_subs = counts.sum(axis=1).T
    return (n_ref + n_sys - 2 * n_tp - n_subs) / n_ref


# ---- files


def measured(sweep, arguments):
    """Counts by class and system, recordings by class, and notes.

    Returns
    -------
    counts : dict
        {label: {system: {seed: (speeds, mixtures, 4)}}}.
    recordings : dict
        {label: `data_tools.inventory.recordings_of` its mixtures}.
    notes : list of str
    """
    runs, counts, recordings, notes = runs_of(sweep), {}, {}, []
    names = names_of(runs)
    if arguments.than not in names.values():
        systems = ", ".join(dict.fromkeys(names.values()))
        raise InputError(f"--than {arguments.than}: no system of this sweep, which has {systems}")
    for label in dict.fromkeys(settings.label for settings in runs.values()):
        own = {folder: settings for folder, settings in runs.items() if settings.label == label}
        settings = next(iter(own.values()))
        bank = open_bank(arguments.data) if arguments.data else open_bank(settings.data, fold=settings.fold)
        recipes = recipes_of(bank, settings, arguments.subset, arguments.clips)
        speeds, more = speeds_here(recipes)
        if not speeds:
            raise InputError(f"{sweep}: {more[0]}")
        notes += [f"{label}, {note}" for note in more]
        recordings[label] = recordings_of(bank, recipes)
        found = counts_of([Detector.load(folder) for folder in own], bank, recipes, arguments.jobs)
        counts[label] = {}
        for folder, each in zip(own, found, strict=True):
            counts[label].setdefault(names[folder], {})[runs[folder].seed] = each
        if len({frozenset(by_seed) for by_seed in counts[label].values()}) > 1:
            notes.append(f"{label}: not all systems have the same seeds, and only those that have are compared")
    return counts, recordings, notes


def write(counts, recordings, notes, arguments):
    """Write the three files and give the text of the tables."""
    parts, panels = [], {}
    for label, own in counts.items():
        (_, n_mixtures, _), *_ = (each.shape for by_seed in own.values() for each in by_seed.values())
        seeds = {" ".join(map(str, sorted(by_seed))) for by_seed in own.values()}
        lines, panels[label] = tables(own, arguments.than, recordings[label])
        over = "recordings" if recordings[label] else "mixtures"
        what = f"{label}, {n_mixtures} {arguments.subset} mixtures, seeds {' or '.join(sorted(seeds))}"
        parts.append(f"{what}, intervals over {over}: " + "\n".join(lines))
    text = "\n\n".join([*parts, *notes]) + "\n"
    stem = arguments.sweep / f"speed_{arguments.subset}"
    with atomic_write(stem.with_suffix(".md"), "w") as file:
        file.write(text)
    with atomic_write(stem.with_suffix(".csv"), "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["event", "system", "seed", "speed", "error_rate", *COUNTS])
        for label, systems in counts.items():
            for system, own in systems.items():
                for seed, by_speed in sorted(own.items()):
                    for speed, each, rate in zip(ALL_SPEEDS, by_speed, _rates(by_speed), strict=True):
                        writer.writerow([label, system, seed, speed, rate, *each.sum(axis=0)])
    sweep_figure(panels, stem.with_suffix(".png"), "error rate", "speed of the events")
    return text


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    print(write(*measured(arguments.sweep, arguments), arguments))


if __name__ == "__main__":
    main()
