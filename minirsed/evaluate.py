"""Score a trained run on mixtures that it has not seen: `python -m minirsed.evaluate RUN`.

Writes `events_SUBSET.csv`, `reference_SUBSET.csv` and `examples_SUBSET.png` into the run folder.
"""

import argparse
import json
import math
from pathlib import Path

from data_tools.errors import InputError, exit_on_input_error
from minirsed.console import Progress, available_cores, score_table

RESAMPLES = 10_000  # bootstrap resamples of the mixtures


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = argparse.ArgumentParser(
        prog="python -m minirsed.evaluate",
        description="Run the best detector of a run over development or evaluation mixtures: counts, error rate and "
        "F1 with 95 % intervals, and by event-to-background ratio (EBR). An event counts as found if its onset is "
        "within 0.5 s.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=32, width=100),
    )
    cores = available_cores()
    parser.add_argument("run", metavar="RUN", type=Path, help="run folder that minirsed.train has written")
    parser.add_argument("--subset", choices=("dev", "eval"), default="eval", help="mixtures to use (default: eval)")
    parser.add_argument(
        "--clips",
        metavar="N",
        type=int,
        help="mixtures, half of them with an event (default: as in training, --dev-clips)",
    )
    parser.add_argument("--data", metavar="PATH", help="sounds, as for minirsed.train (default: those of the run)")
    parser.add_argument(
        "--features",
        metavar="DIR",
        type=Path,
        default=Path("features"),
        help="folder that keeps computed features (default: ./features)",
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of a table")
    parser.add_argument(
        "--threads",
        metavar="N",
        type=int,
        default=cores,
        help=f"threads and worker processes (default: {cores}, one a core)",
    )
    return parser.parse_args(argv)


@exit_on_input_error
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    for name in ("clips", "threads"):
        if getattr(arguments, name) is not None and getattr(arguments, name) < 1:
            raise InputError(f"--{name} is {getattr(arguments, name)}: expected at least 1")
    settings, store, evaluation = run_on_subset(arguments)
    overall, by_ebr = figures(store, evaluation)
    if arguments.json:
        print(
            json.dumps({"subset": arguments.subset, "label": settings.label, **overall, "by_ebr_db": by_ebr}, indent=2)
        )
    else:
        print_tables(arguments, settings, store, evaluation, overall, by_ebr)


def run_on_subset(arguments):
    """Prepare the mixtures, run the detector, leave its event list and a picture in the run folder."""
    from data_tools.soundbank import open_bank
    from minirsed import plots
    from minirsed.dataset import prepare
    from minirsed.detector import Detector
    from minirsed.evaluation import evaluate
    from minirsed.event_lists import write_event_list
    from minirsed.gru import numba_recurrence
    from minirsed.run_folder import read_settings
    from minirsed.training import recipes_of, worker_threads

    settings = read_settings(arguments.run)
    detector = Detector.load(arguments.run)
    bank = open_bank(arguments.data or settings.data)
    recipes = recipes_of(bank, settings, arguments.subset, arguments.clips)
    with Progress(f"{arguments.subset} mixtures", "clip") as progress:
        store = prepare(
            bank, recipes, arguments.features, n_jobs=arguments.threads, dtype=settings.feature_dtype, progress=progress
        )
    with worker_threads(arguments.threads) as executor, Progress("detecting", "clip") as progress:
        evaluation = evaluate(detector, store, executor, numba_recurrence(), alpha=settings.alpha, progress=progress)
    write_event_list(arguments.run / f"events_{arguments.subset}.csv", evaluation.estimated)
    write_event_list(arguments.run / f"reference_{arguments.subset}.csv", evaluation.reference)
    plots.examples(
        store,
        evaluation,
        arguments.run / f"examples_{arguments.subset}.png",
        f"{settings.label}: four clips of {arguments.subset}",
        plots.telling_clips(store, evaluation),
    )
    return settings, store, evaluation


def figures(store, evaluation):
    """Counts and rates with their 95 % intervals overall, and counts and recall for each EBR."""
    import numpy as np

    from minirsed.scoring import count_events, score
    from minirsed.uncertainty import bootstrap_intervals

    scores = evaluation.scores
    overall = {name: getattr(scores, name) for name in ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn")}
    overall |= {name: none_if_nan(getattr(scores, name)) for name in ("error_rate", "f1", "precision", "recall")}
    counts = count_events(evaluation.reference, evaluation.estimated).overall
    intervals = bootstrap_intervals(counts, np.random.default_rng(0), n_resamples=RESAMPLES)
    overall |= {f"{name}_95": [none_if_nan(edge) for edge in getattr(intervals, name)] for name in ("error_rate", "f1")}
    by_ebr = {}
    for ebr_db in sorted(set(store.ebr_db[store.has_event].tolist())):
        names = [recipe.name for recipe in store.recipes if recipe.ebr_db == ebr_db]
        part = score(
            *({name: events[name] for name in names} for events in (evaluation.reference, evaluation.estimated))
        )
        by_ebr[f"{ebr_db:+g}"] = {"n_ref": part.n_ref, "n_tp": part.n_tp, "recall": part.recall}
    return overall, by_ebr


def none_if_nan(value):
    """JSON has no NaN."""
    return None if math.isnan(value) else float(value)


def print_tables(arguments, settings, store, evaluation, overall, by_ebr):
    """What `figures` gave, for people."""
    print(f"{arguments.run}, {len(store)} {arguments.subset} mixtures (onset within 0.5 s)")
    print(score_table(settings.label, evaluation.scores))
    for title, name in (("ER", "error_rate"), ("F1", "f1")):
        low, high = overall[f"{name}_95"]
        if low is not None:
            print(f"{title} {overall[name]:.2f}, 95 % interval {low:.2f} … {high:.2f} ({RESAMPLES} resamples)")
    for ebr, part in by_ebr.items():
        print(f"EBR {ebr:>3} dB: {part['n_tp']} of {part['n_ref']} events found")
    written = f"events_{arguments.subset}.csv, reference_{arguments.subset}.csv, examples_{arguments.subset}.png"
    print(f"{arguments.run}: {written}")


if __name__ == "__main__":
    main()
