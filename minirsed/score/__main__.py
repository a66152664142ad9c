"""Score event lists: python -m minirsed.score REFERENCE.csv ESTIMATED.csv.

Only files of the reference count, as in the official evaluation; one without a row in the estimates counts as
empty. `data_tools.event_lists` says what a list may look like, `minirsed.scoring` how it is scored.
"""

import argparse
import dataclasses
import json
import math
import sys

from data_tools.console import Parser, Several, command
from data_tools.errors import InputError

FIGURES = ("error_rate", "f1", "precision", "recall")
COUNTS = ("n_ref", "n_sys", "n_tp", "n_fp", "n_fn", "n_subs")


def _number(kind, low, high=math.inf, *, low_allowed=True):
    """Argument type: `kind` within a range, NaN refused."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not (low < value < math.inf or low_allowed and value == low) or value > high:
            limits = f"{'>=' if low_allowed else '>'} {low}" + (f" and <= {high}" if high < math.inf else "")
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {limits}")
        return value

    return parse


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.score",
        "REFERENCE ESTIMATED …",
        description="Event-based error rate and F1 of event lists (file, onset, offset, class), by the rules of DCASE "
        "2017 task 2. Only files of the reference count.",
        epilog="A list has a row for each event: file, onset and offset in seconds, class, separated by tabs, commas "
        "or semicolons; a file without events has a row with its name alone. Label tracks of Audacity and selection "
        "tables of Raven, which are about one recording, are read as well.\n\n"
        "Several pairs, one for each class, also give the task's average: the plain mean over classes.",
    )
    lists, hit, figures, output = (
        parser.add_argument_group(name) for name in ("lists", "what counts as a hit", "figures", "output")
    )
    lists.add_argument("lists", nargs="+", metavar="LIST", help="the reference, then the estimated events")
    lists.add_argument(
        "--class",
        dest="labels",
        action=Several,
        metavar="CLASS",
        help="score only events of this class, may be repeated; a single one also names the events of a list without "
        "classes (default: all classes)",
    )
    lists.add_argument(
        "--file-names",
        choices=("name", "path"),
        default="name",
        help="compare files by name, without folders, or by path as written (default: %(default)s)",
    )
    _add_conditions(hit)
    _add_figures(figures)
    output.add_argument("--json", action="store_true", help="print JSON; undefined figures are null")
    args = parser.parse_args(argv)
    args.labels = args.labels and [label.strip() for label in args.labels]
    if len(args.lists) % 2:
        parser.error(f"{len(args.lists)} list(s); expected pairs of REFERENCE ESTIMATED")
    if args.compare and len(args.lists) > 2:
        parser.error("--compare takes one pair of lists")
    if args.no_onset and not args.offset:
        parser.error("--no-onset without --offset leaves no condition")
    if args.confidence in (0, 1):
        parser.error("--confidence must lie between 0 and 1")
    return args


def _add_conditions(hit):
    hit.add_argument(
        "--collar",
        metavar="S",
        type=_number(float, 0, low_allowed=False),
        default=0.5,
        help="allowed distance of onsets (and offsets) (default: %(default)s seconds)",
    )
    hit.add_argument("--offset", action="store_true", help="the offset must agree too")
    hit.add_argument("--no-onset", action="store_true", help="the onset need not agree (with --offset)")
    hit.add_argument(
        "--percentage-of-length",
        metavar="X",
        type=_number(float, 0, 1),
        default=0.5,
        help="share of the reference event's length that widens the collar of its offset, 0 … 1 (default: %(default)s)",
    )
    hit.add_argument(
        "--matching",
        choices=("optimal", "greedy"),
        default="optimal",
        help="how estimates are assigned to the reference events of a file: with as many hits as possible, or each "
        "event to the first estimate that fits (default: %(default)s)",
    )


def _add_figures(figures):
    figures.add_argument(
        "--zero-score-empty", action="store_true", help="without any estimate, precision is 0 instead of undefined"
    )
    figures.add_argument(
        "--compare",
        metavar="OTHER",
        help="another system's list, for a paired test of the error rates (default: none)",
    )
    figures.add_argument(
        "--confidence",
        metavar="X",
        type=_number(float, 0, 1),
        default=0.95,
        help="confidence level of the intervals, between 0 and 1 (default: %(default)s)",
    )
    figures.add_argument(
        "--resamples",
        metavar="N",
        type=_number(int, 1),
        default=10_000,
        help="bootstrap samples of the files, from which the intervals come (default: %(default)s samples)",
    )
    figures.add_argument(
        "--seed",
        metavar="N",
        type=_number(int, 0),
        default=0,
        help="random seed of the bootstrap (default: %(default)s)",
    )


@command
def main(argv=None):
    """Entry point of `python -m minirsed.score`."""
    args = parse_arguments(argv)
    from minirsed.scoring import task_average

    pairs = list(zip(args.lists[::2], args.lists[1::2], strict=True))
    reports = [score_pair(args, *pair) for pair in pairs]
    average = task_average(report["scores"] for report in reports) if len(reports) > 1 else None
    if args.json:
        merged = [_jsonable(report.pop("scores")) | _jsonable(report) for report in reports]
        result = {"lists": merged, "task_average": _jsonable(average)} if average else merged[0]
        print(json.dumps(result, indent=2))
        return
    for report in reports:
        print_report(args, report)
    if average:
        figures = f"error_rate {_figure(average.error_rate)}, f1 {_figure(average.f1)}"
        print(f"task average, plain mean of {len(reports)} classes: {figures}")


def score_pair(args, reference_path, estimated_path):
    """Score one pair of lists; returns what is printed, by name."""
    import numpy as np

    from minirsed.analysis.uncertainty import bootstrap_intervals, compare
    from minirsed.scoring import count_events, scores_from_counts

    settings = {
        "labels": args.labels,
        "collar_s": args.collar,
        "evaluate_onset": not args.no_onset,
        "evaluate_offset": args.offset,
        "percentage_of_length": args.percentage_of_length,
        "matching": args.matching,
    }
    reference = _read(args, reference_path, needs_label=True)
    if not reference:
        raise InputError(f"{reference_path}: no files; a reference names every file, with or without events")
    estimated, unknown, n_missing = _read_estimates(args, estimated_path, reference, reference_path)
    counts = count_events(reference, estimated, **settings)
    resampling = {"n_resamples": args.resamples, "confidence": args.confidence}
    intervals = bootstrap_intervals(counts.overall, np.random.default_rng(args.seed), **resampling)
    report = {
        "reference": reference_path,
        "estimated": estimated_path,
        "n_files": len(reference),
        "n_files_without_row": n_missing,
        "unknown_files": unknown,
        "settings": settings | {"zero_score_empty": args.zero_score_empty},
        "intervals": intervals._asdict() | resampling | {"seed": args.seed},
        "scores": scores_from_counts(counts, zero_score_empty=args.zero_score_empty),
    }
    if args.compare:
        other, _, _ = _read_estimates(args, args.compare, reference, reference_path)
        other_counts = count_events(reference, other, **settings)
        comparison = compare(counts.overall, other_counts.overall, np.random.default_rng(args.seed), **resampling)
        other_scores = scores_from_counts(other_counts, zero_score_empty=args.zero_score_empty)
        report["comparison"] = {"estimated": args.compare, "scores": other_scores, **comparison._asdict()}
    return report


def _read(args, path, needs_label=False):
    """Read a list, with files named and labels chosen as asked."""
    from data_tools.event_lists import read_event_list
    from data_tools.label_tracks import read_label_track

    found = read_label_track(path)
    found = read_event_list(path) if found is None else found
    _warn_of_times(path, found)
    events, path_of = {}, {}
    for file, of_file in found.items():
        name = file.replace("\\", "/").rpartition("/")[2] if args.file_names == "name" else file
        if name in events:
            raise InputError(f"{path}: {path_of[name]} and {file} have one name; use --file-names path")
        events[name], path_of[name] = of_file, file
    if args.labels:
        named = {file: [_relabel(args, path, event) for event in of_file] for file, of_file in events.items()}
        events = {file: [event for event in of_file if event[2] in args.labels] for file, of_file in named.items()}
        if needs_label and any(named.values()) and not any(events.values()):
            raise InputError(f"{path}: no event of class {' or '.join(args.labels)}")
    return events


def _relabel(args, path, event):
    if len(event) == 2 and len(args.labels) > 1:
        raise InputError(f"{path}: names no classes, and --class names {len(args.labels)}; give the one of its events")
    return event if len(event) == 3 else (*event, args.labels[0])


def _read_estimates(args, path, reference, reference_path):
    """Read the estimates; returns those of the reference's files, the unknown files, how many have no row."""
    from data_tools.label_tracks import read_label_track

    estimated = _read(args, path)
    if len(reference) == len(estimated) == 1 and (read_label_track(path) or read_label_track(reference_path)):
        estimated = dict(zip(reference, estimated.values(), strict=True))  # a label track does not say of which file
    unknown = [file for file in estimated if file not in reference]
    if unknown and len(unknown) == len(estimated):
        raise InputError(
            f"{path}: none of its {len(estimated)} files is in {reference_path} "
            f"({unknown[0]} against {next(iter(reference))})"
        )
    if unknown:
        _warn(f"{path}: {len(unknown)} file(s) that are not in {reference_path} are left out, e.g. {unknown[0]}")
    _warn_of_case(path, estimated, reference_path, reference)
    estimated = {file: events for file, events in estimated.items() if file in reference}
    # `score` drops or refuses events without labels; a list has labels on all or none, so a look at one will do.
    lengths = [next((len(e[0]) for e in lists.values() if e), None) for lists in (reference, estimated)]
    if set(lengths) == {2, 3}:
        bare, other = (reference_path, path) if lengths[0] == 2 else (path, reference_path)
        raise InputError(f"{bare}: names no classes, but {other} does; say with --class what its events are")
    return estimated, unknown, len(reference) - len(estimated)


def _warn_of_times(path, events):
    """Events that end before they begin are scored as they are, as in the official tool."""
    wrong = [
        (file, onset_s, offset_s) for file in events for onset_s, offset_s, *_ in events[file] if offset_s < onset_s
    ]
    if wrong:
        example = "{} from {:g} s to {:g} s".format(*wrong[0])
        _warn(f"{path}: {len(wrong)} event(s) with an offset before the onset, e.g. in {example}")


def _warn_of_case(path, estimated, reference_path, reference):
    """Labels that differ in case only are different classes."""
    ours, theirs = (
        {event[2] for of_file in lists.values() for event in of_file if len(event) == 3}
        for lists in (estimated, reference)
    )
    for label in sorted(ours - theirs):
        like = [other for other in sorted(theirs) if other.casefold() == label.casefold()]
        if like:
            _warn(f"{path}: class {label} and class {like[0]} of {reference_path} differ in case and count as two")


def _warn(message):
    print(f"minirsed.score: warning: {message}", file=sys.stderr)


def print_report(args, report):
    """Print one pair's figures as a table."""
    scores = report["scores"]
    without_row = f", {report['n_files_without_row']} without a row" if report["n_files_without_row"] else ""
    print(f"{report['estimated']} against {report['reference']}: {report['n_files']} files{without_row}")
    conditions = [] if args.no_onset else [f"onset within {args.collar:g} s"]
    if args.offset:
        conditions.append(f"offset within {args.collar:g} s or {args.percentage_of_length:g} of the length")
    print(f"hit: {' and '.join(conditions)}; {args.matching} matching\n")
    several = len(scores.per_class) > 1
    width = max(map(len, ["class-wise average", *scores.per_class])) if several else len("overall")
    print(" " * width, *(f"{name:>10}" for name in FIGURES), *(f"{name:>7}" for name in COUNTS))
    if several:
        for label, of_class in scores.per_class.items():
            _print_row(label, of_class, width)
        _print_row("class-wise average", scores.class_wise_average, width)
    _print_row("overall", scores, width)
    intervals = report["intervals"]
    print(
        f"\n{args.confidence:.4g} interval: error_rate {_interval(intervals['error_rate'])}, "
        f"f1 {_interval(intervals['f1'])} ({args.resamples} bootstrap samples of the files, seed {args.seed})"
    )
    if scores.n_ref == 0:
        print("no reference events: each false alarm adds 4.5e15 to the error rate, as in the official tool")
    if "comparison" in report:
        other = report["comparison"]
        print(
            f"against {other['estimated']} (error_rate {_figure(other['scores'].error_rate)}, "
            f"f1 {_figure(other['scores'].f1)}): error_rate difference {_figure(other['error_rate_difference'])} "
            f"{_interval(other['interval'])}, p = {other['p_value']:.3g} (paired sign-flip test over files)"
        )
    print()


def _print_row(name, scores, width):
    figures = (f"{_figure(getattr(scores, figure)):>10}" for figure in FIGURES)
    counts = (f"{getattr(scores, count):>7}" for count in COUNTS if hasattr(scores, count))
    print(f"{name:<{width}}", *figures, *counts)


def _figure(value):
    if math.isnan(value):
        return "undefined"
    return f"{value:.4f}" if abs(value) < 1e4 else f"{value:.2e}"


def _interval(low_high):
    return f"[{', '.join(map(_figure, low_high))}]"


def _jsonable(value):
    """Plain dicts and lists; NaN, which JSON does not have, becomes None."""
    if dataclasses.is_dataclass(value):
        value = vars(value)
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


if __name__ == "__main__":
    main()
