"""A run on one page: `python -m minirsed.report RUN` → an HTML file to look at, listen to and pass on.

Evaluates like `minirsed.evaluate`, by the same code; `minirsed.report.page` makes the page.
"""

import dataclasses
import json
import shlex
import sys

from data_tools.console import Parser, command, require_positive
from data_tools.errors import require
from minirsed.console.options import Progress, add_place, require_writable
from minirsed.evaluate.__main__ import add_machine_arguments, add_mixture_arguments, evaluated


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.report",
        "RUN",
        description="Evaluate the best detector of a run and write one HTML file that any browser shows, also offline: "
        "scores with intervals, DET and precision-recall curves, tables by event-to-background ratio and by scene, the "
        "worst mistakes and the best hits with spectrogram, frame probability and sound, training curves, settings, "
        "and what minirsed.evaluate has left in RUN with --robust and of recordings. The file needs no network "
        "and no other file, and contains no script.",
    )
    add_mixture_arguments(parser)
    page = parser.add_argument_group("page")
    page.add_argument(
        "--examples",
        metavar="N",
        type=int,
        default=3,
        help="clips to show of each kind (misses, wrong places, false alarms, hits), 0.4 MB for a clip of 30 s "
        "(default: %(default)s clips)",
    )
    add_place(page, "-o", "--out", metavar="FILE", help="page to write (default: report_SUBSET.html in RUN)")
    page.add_argument("--open", action="store_true", help="show the page in the browser when it is finished")
    add_machine_arguments(parser)
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "clips", "examples", "threads", "jobs")
    record = read_run(arguments.run, arguments.data)
    out = arguments.out or arguments.run / f"report_{arguments.subset}.html"
    require_writable("--out", out)
    require("the sound of the page", "soundfile")
    command = shlex.join(["python", "-m", "minirsed.report", *(sys.argv[1:] if argv is None else argv)])
    from data_tools.files import atomic_write

    make = page_of_one if len(record.settings.classes) == 1 else page_of_several
    text = make(arguments, record, command)
    with atomic_write(out, "w") as file:
        file.write(text)
    print(f"{out}: {len(text.encode()) / 1e6:.1f} MB, complete in itself")
    if arguments.open:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())


def page_of_one(arguments, record, command):
    """HTML text for a run of one class."""
    from minirsed.report.hours import sections
    from minirsed.robustness.files import read

    robust, results = read(arguments.run, arguments.subset), evaluated(arguments)
    more = sections(arguments.run, arguments.subset, results.detector, 2 * arguments.examples)
    return make_page(results, record, arguments.examples, command, robust, more)


def page_of_several(arguments, record, command):
    """HTML text for a run of several classes."""
    from minirsed.analysis.files import figures_of as figures_of_class
    from minirsed.analysis.several import figures_of
    from minirsed.card.content import sections
    from minirsed.card.facts import read_facts
    from minirsed.report import several
    from minirsed.report.page import card
    from minirsed.robustness.files import read

    robust, results = read(arguments.run, arguments.subset), evaluated(arguments)
    cards = {
        label: drawn(own, arguments.examples, f"drawing, {label}", f"c{c}")
        for c, (label, own) in enumerate(results.classes.items())
    }
    classes = {label: figures_of_class(own) for label, own in results.classes.items()}
    shown = card(sections(read_facts(results.run)))
    record = dataclasses.replace(record, card=shown)
    figures = figures_of(results, classes) | {"classes": classes}
    return several.page(results, figures, record, cards, command, robust)


def make_page(results, record, n_of_each, command, robust=None, more=None):
    """HTML text from an evaluation; renders the clips that it shows once more, for their sound.

    `robust` is what `minirsed.robustness.files.read` gave, None if the run has not been measured; `more` are further
    sections, title → content.
    """
    from minirsed.analysis.files import figures_of
    from minirsed.card.content import sections
    from minirsed.card.facts import read_facts
    from minirsed.report.page import card, page

    cards = drawn(results, n_of_each, "drawing")
    figures = figures_of(results)
    shown = card(sections(read_facts(results.run, {results.subset: figures})))
    return page(results, figures, dataclasses.replace(record, card=shown), cards, command, robust, more)


def drawn(results, n_of_each, title, prefix=""):
    """The clips to show, kind → list of their cards; renders them once more, for their sound."""
    from data_tools.mixing import render
    from minirsed.analysis.breakdown import mixed
    from minirsed.pages.media import audio
    from minirsed.report.page import choose_clips, clip_card

    if results.tuned_thresholds == results.thresholds:  # a row, a point and a sentence that would say nothing new
        results.tuned_thresholds = None
        results.notes.append("no tuned thresholds: on the dev mixtures none give a lower ER than the run's own")
    chosen = choose_clips(results, n_of_each)
    cards, n_done, n_total = {}, 0, sum(map(len, chosen.values()))
    with Progress(title, "clip") as progress:
        progress(0, n_total)
        for kind, rows in chosen.items():
            cards[kind] = []
            for row in rows:
                sound = audio(render(mixed(results.store)[row], results.bank))
                cards[kind].append(clip_card(results, row, sound, prefix))
                n_done += 1
                progress(n_done, n_total)
    return cards


def read_run(folder, data=None):
    """`RunRecord` of a run folder, scored on `data` or, by default, on its own sounds.

    Raises
    ------
    InputError
        No run folder; config.json or metrics.csv is damaged.
    """
    from minirsed.report.page import RunRecord
    from minirsed.run.folder import CONFIG, read_settings
    from minirsed.run.metrics import read_metrics

    settings = read_settings(folder)
    origin = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    origin = {name: value for name, value in origin.items() if name != "settings"}
    return RunRecord(settings, origin, read_metrics(folder), data or settings.data)


if __name__ == "__main__":
    main()
