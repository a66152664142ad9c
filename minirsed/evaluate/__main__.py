"""Score a trained run on mixtures that it has not seen: `python -m minirsed.evaluate RUN`.

Prints what a reviewer asks for; `minirsed.analysis.files` leaves all of it in the run folder. The headline has
the run's own thresholds, in the paper 0.5 and 0.5; those tuned on the development mixtures have a row of their
own below it. Nothing is ever tuned on evaluation mixtures.
"""

import argparse
import json
import sys
import textwrap
from pathlib import Path

from data_tools.console import (
    WIDTH,
    Parser,
    Several,
    add_jobs,
    add_threads,
    command,
    counted,
    require_positive,
    subset_name,
)
from data_tools.errors import InputError, require
from minirsed.console.options import Progress, add_place, named, probability_text
from minirsed.evaluate import several
from minirsed.evaluate.tables import difference_text, guard_lines, rate, score_lines, span


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.evaluate",
        "RUN",
        description="Run the best detector of a run over development or evaluation mixtures: counts, error rate (ER) "
        "and F1 with 95 % intervals, over mixtures and over the recordings that they are made of, by "
        "event-to-background ratio (EBR) and by scene, misses and false alarms by clip, with the thresholds of the "
        "paper and with tuned ones. An event counts as found if its onset is within 0.5 s.",
        epilog="Files left in RUN: figures_SUBSET.json, event lists, thresholds_SUBSET.csv (scores over a grid of both "
        "thresholds), det_SUBSET.csv (misses against false alarms), pictures of these, of some clips and of the ten "
        "worst mistakes; with --robust also robust_SUBSET.json, .csv and .png; with recordings alarms_NAME.json, .csv, "
        ".png, …; card.md, brought up to date. Of several classes: average_SUBSET.json, confusions_SUBSET.csv (which "
        "sound was taken for which), event lists, and these files for each in RUN/CLASS.",
    )
    add_mixture_arguments(parser)
    hours = parser.add_argument_group("hours of sound")
    hours.add_argument(
        "--recordings",
        metavar="DIR",
        type=Path,
        help="instead of mixtures, measure on recordings of any length with labels beside them (Audacity, Raven, CSV, "
        "…), as minirsed.detect would find events there: false alarms an hour, misses, and when they came (default: "
        "mixtures, then the recordings that the sounds have in this subset, if any)",
    )
    hours.add_argument(
        "--alarms-per-hour",
        metavar="X",
        type=float,
        help="first choose the detector's thresholds, shortest event and smallest gap for at most X false alarms an "
        "hour with the fewest misses, and keep them in RUN/best.npz; on --recordings, otherwise on recordings of "
        "dev, otherwise on dev mixtures, which is weaker (default: leave the detector as it is)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--tune",
        action=argparse.BooleanOptionalAction,
        help="also report the thresholds with the lowest ER on as many dev mixtures of the same sounds as in training "
        "(--subset dev: on the ones scored), and their ER on recordings left out of the choice; with fewer than 10 "
        "recordings of events or of backgrounds there is no choice; done unless --no-tune is given",
    )
    output.add_argument(
        "--compare",
        metavar="OTHER_RUN",
        action=Several,
        type=Path,
        help="run of the same class to compare with on the same mixtures, by a paired test; for several classes also "
        "one run of each, --compare A --compare B (default: none)",
    )
    output.add_argument(
        "--robust",
        action="store_true",
        help="also score the same mixtures at other levels and sample rates, low-passed, tilted, as MP3, in a room, "
        "with hum and with events slower and faster, and try noises in which there is nothing; takes about a second of "
        "one core for each mixture",
    )
    output.add_argument("--json", action="store_true", help="print the figures, those of --robust too, not tables")
    add_machine_arguments(parser)
    parser.set_defaults(tune=True)  # given to add_argument, Python 3.10 would show it as (default: True)
    return parser.parse_args(argv)


def add_mixture_arguments(parser):
    """Which run, which mixtures, made how."""
    data = parser.add_argument_group("data")
    data.add_argument("run", metavar="RUN", type=Path, help="run folder that minirsed.train has written")
    data.add_argument(
        "--subset",
        choices=("dev", "eval"),
        type=subset_name,
        default="eval",
        help="mixtures to use: dev chose the best epoch, eval has had no part in training (default: %(default)s)",
    )
    data.add_argument(
        "--clips",
        metavar="N",
        type=int,
        help="number of mixtures, half of them with an event (default: --dev-clips of the training)",
    )
    data.add_argument("--data", metavar="PATH", help="sounds, as for minirsed.train (default: those of the run)")


def add_machine_arguments(parser):
    """Where features are kept, and how much of the machine is used."""
    machine = parser.add_argument_group("machine")
    add_place(machine, "--features", help="folder that keeps computed features (default: %(default)s)")
    add_threads(machine, "threads that run the detector")
    add_jobs(machine, "processes that prepare mixtures")


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "clips", "threads", "jobs")
    from minirsed.run.folder import read_settings

    classes = read_settings(arguments.run).classes
    if arguments.recordings and arguments.compare:
        raise InputError("--compare: is for mixtures, not for --recordings")
    if arguments.recordings and (arguments.robust or arguments.clips):
        raise InputError(f"{'--robust' if arguments.robust else '--clips'}: is for mixtures, not for --recordings")
    if arguments.alarms_per_hour is not None:
        require_comparable(arguments, len(classes) > 1)  # before anything is kept
        promised(arguments)
    if arguments.recordings:
        figures = in_hours(arguments)
        print(json.dumps(figures if len(classes) > 1 else figures[0], indent=2) if arguments.json else hours(figures))
        return
    from minirsed.run.session import inventory_of_run

    if len(classes) > 1:
        from minirsed.analysis.several import write_report

        of_scores, of_changes = several.tables, several.robust_tables
    else:
        from minirsed.analysis.files import write_report

        of_scores, of_changes = tables, robust_tables
    inventory = inventory_of_run(arguments.run, arguments.subset, data=arguments.data, tune=arguments.tune)
    print(*inventory, sep="\n", file=sys.stderr if arguments.json else sys.stdout, flush=True)
    results = evaluated(arguments, tune=arguments.tune, compare=arguments.compare)
    figures = write_report(results)
    if not arguments.json:
        print(of_scores(figures))
    if arguments.robust:
        figures["robust"] = measured(results, arguments.jobs)
        if not arguments.json:
            print(f"\n{of_changes(figures['robust'])}")
    if alarms := in_hours(arguments):
        figures["alarms"] = alarms if len(classes) > 1 else alarms[0]
        if not arguments.json:
            print(f"\n{hours(alarms)}")
    write_card(arguments.run)
    if arguments.json:
        print(json.dumps(figures, indent=2))


def one_run(runs):
    """The run to compare with, if any. InputError: there are several."""
    if runs and len(runs) > 1:
        raise InputError(f"--compare: takes one run for a detector of one class, not {len(runs)}")
    return runs[0] if runs else None


def require_comparable(arguments, is_several):
    """InputError: the runs of `--compare` cannot be compared with this one."""
    from minirsed.run.folder import trained_detector
    from minirsed.run.session import compared_detector
    from minirsed.run.several import compared_detectors

    if arguments.compare and is_several:
        compared_detectors(arguments.compare, trained_detector(arguments.run, several=True))
    elif arguments.compare:
        compared_detector(one_run(arguments.compare), trained_detector(arguments.run))


def promised(arguments):
    """Choose thresholds for `--alarms-per-hour`, keep them, say how."""
    from minirsed.alarms.choice import sentences
    from minirsed.run.folder import read_settings
    from minirsed.run.promise import keep_promise
    from minirsed.run.several import keep_promise_of_each
    from minirsed.several.detector import views_of

    keep = keep_promise_of_each if read_settings(arguments.run).labels else keep_promise
    detector = keep(arguments.run, arguments.alarms_per_hour, **sounds(arguments))
    views = views_of(detector)
    texts = [f"{view.label}, {text}" if len(views) > 1 else text for view in views for text in sentences(view)]
    lines = [line for text in texts for line in textwrap.wrap(text, WIDTH, subsequent_indent="    ")]
    file = sys.stderr if arguments.json else sys.stdout
    print(*lines, f"kept in {arguments.run / 'best.npz'}", "", sep="\n", file=file, flush=True)


def in_hours(arguments):
    """Figures of the recordings that are asked for or that the sounds have, of each class: list, or [] without any."""
    from minirsed.run.folder import read_settings
    from minirsed.run.promise import measure_run
    from minirsed.run.several import measure_each_class

    if read_settings(arguments.run).labels:
        return measure_each_class(arguments.run, arguments.subset, **sounds(arguments))
    figures = measure_run(arguments.run, arguments.subset, **sounds(arguments))
    return [figures] if figures else []


def hours(figures):
    """`hour_tables` of each class, and before them all together."""
    return "\n\n".join([*several.hours_together(figures), *map(hour_tables, figures)])


def sounds(arguments):
    """What the functions of `minirsed.run.promise` want to know of sounds and machine."""
    from minirsed.run.session import Machine

    machine = Machine(arguments.features, arguments.threads, arguments.jobs)
    return {
        "recordings": arguments.recordings,
        "data": arguments.data,
        "machine": machine,
        "progress": Progress,
    }


def write_card(run):
    """Bring the run's `card.md` up to date."""
    from minirsed.card import files

    files.write(run)


def measured(results, n_jobs):
    """Figures of the evaluated detector on the same mixtures, changed; their files are in the run folder."""
    from minirsed.robustness import files
    from minirsed.robustness.measure import measure

    figures = measure(results.detector, results.store.recipes, results.bank, n_jobs=n_jobs, progress=Progress)
    return files.write({"run": str(results.run), "subset": results.subset, **figures}, results.run)


def evaluated(arguments, **options):
    """`Results`, or `SeveralResults`, of what `add_mixture_arguments` asks for."""
    from minirsed.kernels.threads import keep_freed_memory
    from minirsed.run.folder import read_settings
    from minirsed.run.session import Machine, evaluate_run
    from minirsed.run.several import evaluate_several

    require("what an evaluation draws", "matplotlib")  # at its end
    keep_freed_memory()
    is_several = len(read_settings(arguments.run).classes) > 1
    evaluate = evaluate_several if is_several else evaluate_run
    if "compare" in options:
        options["compare"] = options["compare"] or () if is_several else one_run(options["compare"])
    machine = Machine(arguments.features, arguments.threads, arguments.jobs)
    options |= {"data": arguments.data, "n_clips": arguments.clips, "machine": machine, "progress": Progress}
    with named(features=arguments.features):
        return evaluate(arguments.run, arguments.subset, **options)


def tables(figures):
    """The report for people."""
    from data_tools.inventory import Holding

    rows = {"thresholds": figures}
    rows |= {name: figures[name] for name in ("tuned", "other") if figures[name]}
    names = [(f"{name:10} {probability_text(row['thres0']):>4}, {row['thres1']:4g}", row) for name, row in rows.items()]
    lines = [
        f"{figures['run']}: {figures['n_clips']} {figures['subset']} mixtures; a hit is an onset within 0.5 s",
        *([f"drawn from {Holding(**figures['made_of'])}"] if figures["made_of"] else []),
        "",
        f"{figures['label']:22} events  found   hits misses  false    ER  95 % interval    F1  95 % interval",
        *(line for name, row in names for line in score_lines(name, row)),
        *remarks(figures),
        "",
        "by clip, p > thres0    events missed  false alarms in clips without an event",
        *(clip_line(name, row["by_clip"]) for name, row in names),
        "",
        f"{'':22}  clips events   hits  false  recall  95 % interval",
        *(group_line(ebr_name(ebr), group) for ebr, group in figures["by_ebr_db"].items()),
        *(group_line(scene, group) for scene, group in figures["by_scene"].items()),
        "",
        "mistakes: miss {miss}, wrong place {wrong place} (counts as a miss and a false alarm), "
        "false alarm {false alarm}".format(**figures["mistakes"]),
        *figures["notes"],
        *(line for text in figures["warnings"] for line in textwrap.wrap(text, WIDTH, subsequent_indent="    ")),
        *textwrap.wrap(f"{figures['run']}: {', '.join(figures['files'])}", WIDTH, subsequent_indent="    "),
    ]
    return "\n".join(lines)


def ebr_name(ebr_db):
    """Name of a group of mixtures of one event-to-background ratio, which may be unknown."""
    from minirsed.analysis.breakdown import UNKNOWN

    return f"EBR {ebr_db}" if ebr_db == UNKNOWN else f"EBR {'0' if ebr_db == '+0' else ebr_db:>3} dB"


def remarks(figures):
    """How the thresholds were tuned, and what the paired test says."""
    if figures["tuned"]:
        dev, untuned = figures["tuned"]["dev"], figures["tuned"]["dev_untuned"]
        these = " (these very mixtures, so the row flatters)" if figures["subset"] == "dev" else ""
        yield (
            f"tuned: lowest ER on {dev['n_clips']} dev mixtures, {rate(dev['error_rate'])} there instead of "
            f"{rate(untuned['error_rate'])}{these}"
        )
        if left_out := figures["tuned"].get("left_out"):
            yield (
                f"  chosen without a mixture's recordings, and judged on it: {rate(left_out['error_rate'])}, 95 % "
                f"{span(left_out['error_rate_95_by_recording'])}"
            )
            own = [figures[name] == figures["tuned"][name] for name in ("thres0", "thres1")]
            if left_out["error_rate"] >= untuned["error_rate"] and not all(own):
                yield "  no sign that they are better than the run's own"
    if figures["other"]:
        other = figures["other"]
        yield f"other: {other['run']}"
        yield (
            f"ER minus that of the other: {rate(other['error_rate_difference'])}, 95 % interval "
            f"{span(other['error_rate_difference_95'])}, p = {other['p_value']:.2g} (paired sign-flip test)"
        )
        if "error_rate_difference_95_by_recording" in other:
            yield f"  over recordings: {span(other['error_rate_difference_95_by_recording'])}"


def clip_line(name, rates):
    """Misses and false alarms of the decision by clip."""
    missed = f"{rates['n_misses']} of {rates['n_events']}, {rate(rates['miss_rate'])}"
    alarms = f"{rates['n_false_alarms']} of {rates['n_quiet']}, {rate(rates['false_alarm_rate'])}"
    return f"{name.partition(',')[0]:22} {missed:14} {alarms}"


def group_line(name, group):
    """Recall and false alarms at one ratio or in one scene."""
    counts = " ".join(f"{group[count]:6}" for count in ("n_clips", "n_ref", "n_tp", "n_fp"))
    return f"{name:22} {counts}    {rate(group['recall']):>4}  {span(group['recall_95'])}".rstrip()


def robust_tables(figures):
    """What `measure` has found, for people."""
    lines = [
        f"the same {figures['n_clips']} mixtures, changed; a gain is not clipped",
        f"{'':22}   hits missed misplaced  false    ER  95 % interval  minus plain  95 % interval",
        *(robust_line(change) for change in figures["changes"]),
        "misplaced: found more than 0.5 s from the onset, a miss and a false alarm",
        "",
        *guard_lines({"": figures["guards"]}),
        "",
        *figures["notes"],
        f"{figures['run']}: {', '.join(figures['files'])}",
    ]
    return "\n".join(lines)


def robust_line(change):
    """Counts, ER and how far it is from that of the plain mixtures."""
    counts = "{n_tp:6} {n_missed:6} {n_misplaced:9} {n_false_alarms:6}".format(**change)
    line = f"{change['change']:22} {counts}  {rate(change['error_rate']):>4}  {span(change['error_rate_95']):13}"
    return (line + difference_text(change)).rstrip()


N_LISTED = 20  # recordings and hours in the terminal; all are in the files


def hour_tables(figures):
    """What was measured on recordings, for people."""
    from minirsed.alarms.choice import operation
    from minirsed.alarms.poisson import hours_text

    n, n_events = figures["n_recordings"], figures["n_events"]
    lines = [
        f"{figures['run']}: {counted(n, 'recording')}, {hours_text(figures['hours'])}; a hit is an onset within 0.5 s",
        f"{figures['label']}: {operation(figures)}",
        "",
        figures["in_words"],
        f"events: {n_events}, {figures['n_hits']} hit, {figures['n_misses']} missed",
        f"misplaced: {figures['n_misplaced']} alarms during an event or close to it, but not at its onset",
    ]
    for rows, columns in (("by_recording", ("recording",)), ("by_hour", ("hour", "from"))):
        lines += _hour_rows(figures[rows], columns)
    if figures["worst_alarms"]:
        lines += ["", "strongest alarms that hit no event", *map(alarm_line, figures["worst_alarms"])]
    texts = [*figures["notes"], f"{figures['run']}: {', '.join(figures['files'])}"]
    lines += ["", *(line for text in texts for line in textwrap.wrap(text, WIDTH, subsequent_indent="    "))]
    return "\n".join(lines)


def _hour_rows(rows, columns):
    """A table of the recordings or of the hours, in order; of many, those with the most false alarms."""
    if len(rows) < 2:
        return
    counts = ("n_events", "n_hits", "n_misses", "n_misplaced", "n_false_alarms")
    kept = sorted(range(len(rows)), key=lambda i: -rows[i]["n_false_alarms"])[:N_LISTED]
    yield ""
    yield f"   hours events   hits misses misplaced  false  {' '.join(columns)}"
    for i in sorted(kept):
        numbers = "{:6} {:6} {:6} {:9} {:6}".format(*(rows[i][count] for count in counts))
        yield f"{rows[i]['hours']:8.2f} {numbers}  {' '.join(str(rows[i][column]) for column in columns)}"
    if len(rows) > N_LISTED:
        yield f"the {N_LISTED} of {len(rows)} with the most false alarms; all are in the files"


def alarm_line(alarm):
    """One alarm: when, how sure, where."""
    minutes, seconds = divmod(alarm["onset_s"], 60)
    at = f"{int(minutes) // 60}:{int(minutes) % 60:02}:{seconds:05.2f}"
    return f"  {at:>12}  p {probability_text(alarm['probability'], 2)}  {alarm['verdict']}  {alarm['recording']}"


if __name__ == "__main__":
    main()
