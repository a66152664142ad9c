"""`minirsed.evaluate` of a run of several classes: each class, their average, which sound was taken for which."""

import textwrap

from data_tools.console import WIDTH
from minirsed.evaluate.tables import difference_text, guard_lines, rate, score_lines, span


def tables(figures):
    """The report for people."""
    from data_tools.inventory import Holding

    lines = [
        f"{figures['run']}: {figures['n_clips']} {figures['subset']} mixtures; a hit is an onset within 0.5 s",
        *([f"drawn from {Holding(**figures['made_of'])}"] if figures["made_of"] else []),
        "",
        f"{'':22} events  found   hits misses  false    ER  95 % interval    F1  95 % interval",
        *(line for label, own in figures["classes"].items() for line in score_lines(label, own)),
        *average_lines("average", figures["average"]),
        *tuned_lines(figures),
        "",
        *confusion_lines(figures["confusions"], "which sound was taken for which: detected events by what they lie on"),
        "",
        *other_lines(figures),
        *(f"events {name + ':':15} {overlap_text(own)}" for name, own in figures["by_overlap"].items()),
        *(
            line
            for text in figures["notes"] + figures["warnings"]
            for line in textwrap.wrap(text, WIDTH, subsequent_indent="    ")
        ),
        *textwrap.wrap(f"{figures['run']}: {', '.join(figures['files'])}", WIDTH, subsequent_indent="    "),
    ]
    return "\n".join(lines)


def average_lines(name, row):
    """ER and F1 of the average with intervals over mixtures; below them, if it is known, those over recordings."""
    rates = (f"{rate(row[figure]):>4}  {span(row[f'{figure}_95']):13}" for figure in ("error_rate", "f1"))
    yield f"{name:57}  {'  '.join(rates)}".rstrip()
    if "error_rate_95_by_recording" in row:
        edges = (span(row[f"{figure}_95_by_recording"]) for figure in ("error_rate", "f1"))
        yield f"{'  over recordings':59}  {'    '.join(f'    {edge:13}' for edge in edges)}".rstrip()


def tuned_lines(figures):
    """The same with the thresholds that were chosen on dev for each class."""
    if not figures["tuned"]:
        return
    yield "thresholds of the lowest ER on dev, for each class:"
    for label, own in figures["classes"].items():
        row = own["tuned"]
        yield from score_lines(f"{label[:12]} {row['thres0']:.2g}, {row['thres1']:.2g}", row)
    yield from average_lines("average", figures["tuned"])


def other_lines(figures):
    """Another run, or several, on the same mixtures."""
    if not figures["other"]:
        return
    other = figures["other"]
    for own in figures["classes"].values():
        yield from score_lines(f"other: {own['label']}"[:22], own["other"])
    yield from average_lines("average of the other runs", other["average"])
    yield f"other: {', '.join(other['runs'])}"
    yield (
        f"average ER minus that of the other: {rate(other['error_rate_difference'])}, 95 % interval "
        f"{span(other['error_rate_difference_95'])}"
    )
    if "error_rate_difference_95_by_recording" in other:
        yield f"  over recordings: {span(other['error_rate_difference_95_by_recording'])}"
    yield ""
    yield from confusion_lines(other["confusions"], "other: which sound was taken for which")
    yield ""


def confusion_lines(found, title):
    """A row for each class that was there, and a column for each that was detected; hits are where both are one."""
    labels = found["labels"]
    widths = [max(len(label), 6) for label in labels]

    def line(name, n, row):
        return f"{name:22} {n:>6}  " + "  ".join(f"{value:>{width}}" for value, width in zip(row, widths, strict=True))

    yield title
    yield line("on \\ detected as", "events", labels)
    for label, n, row in zip(labels, found["events"], found["taken_for"], strict=True):
        yield line(label, n, row)
    yield line("its own, misplaced", "", found["misplaced"])
    yield line("nothing", "", found["nothing"])


def hours_together(figures):
    """What was measured in hours of sound, a line for each class; nothing where there is one."""
    if len(figures) < 2:
        return
    lines = [f"{'in hours of sound':22} events   hits misses misplaced  false alarms"]
    for own in figures:
        counts = "{:6} {:6} {:6} {:9}".format(*(own[n] for n in ("n_events", "n_hits", "n_misses", "n_misplaced")))
        lines.append(f"{own['label']:22} {counts}  {own['in_words'].removeprefix('false alarms: ')}")
    yield "\n".join(lines)


def overlap_text(own):
    """Hits among the events that overlap with others, or do not."""
    if not own["n_ref"]:
        return "none"
    return f"{own['n_tp']} of {own['n_ref']} hit, recall {rate(own['recall'])}, 95 % {span(own['recall_95'])}"


def robust_tables(figures):
    """Error rates under each change, a column for each class and their average; then p of the guards for each class."""
    widths = {label: max(len(label), 6) for label in figures["labels"]}
    heading = "  ".join(f"{label:>{width}}" for label, width in widths.items())
    lines = [
        f"ER on the same {figures['n_clips']} mixtures, changed; a gain is not clipped",
        f"{'':22} {heading}  average  95 % interval  minus plain  95 % interval",
    ]
    for change in figures["changes"]:
        own = "  ".join(f"{rate(change['classes'][label]):>{width}}" for label, width in widths.items())
        of_all = f"{rate(change['error_rate']):>7}  {span(change['error_rate_95']):13}{difference_text(change)}"
        lines.append(f"{change['change']:22} {own}  {of_all}".rstrip())
    return "\n".join(
        [
            *lines,
            "",
            *guard_lines({label: own["guards"] for label, own in figures["classes"].items()}),
            "",
            *figures["notes"],
            f"{figures['run']}: {', '.join(figures['files'])}",
        ]
    )
