"""Learn from a detector's mistakes: `python -m minirsed.mine RUN PATH…`, then `--apply verdicts.csv --data my_sounds`.

Finds the strongest alarms and what came close to one in recordings, writes them as clips and one page to judge them
on, and files the clips in a sound folder as the verdicts say. `README.md` shows the whole circle.
"""

import shlex
import sys
from functools import cache, partial
from pathlib import Path

from data_tools.console import Parser, add_threads, command, counted
from data_tools.errors import InputError
from minirsed.console.options import Progress, add_class, add_place, named

OUT = Path("mined")


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.mine",
        "RUN PATH … | --apply FILE --data DIR",
        description="Find the strongest alarms of a detector in recordings, and what came close to one, and write them "
        "as short clips and one page to listen to them and say what they are. What the page saves goes to --apply, "
        "which files the clips in a sound folder, under events/CLASS and negatives/not-CLASS, for the next training. "
        "Nothing there is overwritten; done twice, it changes nothing.",
        epilog="Recordings that cannot be used are named at the end, and the exit status is then 2; all others are "
        "searched nevertheless.",
    )
    search, apply, machine = (parser.add_argument_group(name) for name in ("search", "verdicts", "machine"))
    search.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        type=Path,
        help="run folder that minirsed.train has written, or a detector file",
    )
    search.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="sound file, or folder of them to any depth"
    )
    add_class(search)
    add_place(
        search,
        "--out",
        default=OUT,
        help="folder to write the page (index.html) and the clips into; with --apply, the one to take clips from, if "
        "FILE is not in it (default: %(default)s)",
    )
    for name, default, what in (("alarms", 30, "alarms, the strongest"), ("near", 10, "near alarms, the closest")):
        search.add_argument(
            f"--{name}", metavar="N", type=int, default=default, help=f"{what} (default: %(default)s clips)"
        )
    search.add_argument("--open", action="store_true", help="show the page in the browser when it is finished")
    apply.add_argument("--apply", metavar="FILE", type=Path, help="verdicts.csv of the page (default: none, search)")
    apply.add_argument("--data", metavar="DIR", type=Path, help="sound folder to file the clips in (default: none)")
    add_threads(machine, "threads that run the detector")
    arguments = parser.parse_args(argv)
    if arguments.apply and (arguments.run or not arguments.data):
        parser.error("--apply FILE needs --data DIR, and neither RUN nor PATH")
    if not arguments.apply and (not arguments.paths or arguments.data):
        parser.error("give RUN and PATH …, or --apply FILE and --data DIR")
    return arguments


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    if arguments.apply:
        with named(data=arguments.data):
            apply_verdicts(arguments)
        return
    for name in ("alarms", "near"):
        if getattr(arguments, name) < 0:
            raise InputError(f"--{name} is {getattr(arguments, name)}: expected 0 or more")
    if arguments.threads < 1:
        raise InputError(f"--threads is {arguments.threads}: expected at least 1")
    from minirsed.mine.clips import LIST

    if (arguments.out / LIST).exists():
        raise InputError(f"--out {arguments.out}: holds clips already; another --out leaves them")
    words = sys.argv[1:] if argv is None else [*map(str, argv)]
    with named(out=arguments.out):
        search(arguments, shlex.join(["python", "-m", "minirsed.mine", *words]))


def search(arguments, made_by):
    """Look through all recordings, write clips and page, and say what to do with them."""
    from minirsed.kernels.threads import keep_freed_memory
    from minirsed.mine.findings import Mine
    from minirsed.recordings.listing import find_recordings
    from minirsed.run.folder import detector_of_class

    keep_freed_memory()
    detector = detector_of_class(arguments.run, arguments.label)
    passed_over = []
    recordings = find_recordings(arguments.paths, lambda path, reason: passed_over.append(f"{path}: {reason}"))
    if passed_over:
        print(f"passed over {counted(len(passed_over), 'file')}:", *passed_over, sep="\n  ", file=sys.stderr)
    arguments.out.mkdir(parents=True, exist_ok=True)
    mine = Mine(detector, arguments.alarms, arguments.near)
    failures = dig(mine, recordings, arguments.threads)
    n_heard = len(recordings) - len(failures)
    hours = mine.seconds / 3600
    summary = f"{counted(n_heard, 'recording')}, {hours:.2f} hours of sound, {counted(mine.n_found, 'alarm')}"
    what = "alarm"
    if mine.n_pieces > mine.n_found:
        what = "piece"
        summary += f", joined of {mine.n_pieces} pieces, each of which is judged by itself"
    if mine.findings():
        n_each = write(arguments, mine, made_by, summary)
        shown = f"{counted(n_each['alarm'], what)} and {n_each['near']} near ones"
        print(f"{arguments.out / 'index.html'}: {shown}, of {summary}")
        print(f"judge them there, then: {next_command(arguments.out)}")
        if arguments.open:
            import webbrowser

            webbrowser.open((arguments.out / "index.html").resolve().as_uri())
    else:
        print(f"{summary}, and nothing came close to one: there is nothing to judge")
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        raise InputError(f"{len(failures)} of {len(recordings)} recordings cannot be used, see above")


def next_command(out):
    """What to type when all is judged."""
    place = "" if out == OUT else f" --out {shlex.quote(str(out))}"
    return f"python -m minirsed.mine --apply verdicts.csv{place} --data my_sounds"


def dig(mine, recordings, n_threads):
    """Search recordings one after the other; the InputError of each that cannot be used."""
    from minirsed.kernels.threads import worker_threads
    from minirsed.recordings.listing import file_size

    failures, n_bytes, n_read = [], sum(file_size(path) for path, _ in recordings), 0

    def show(n_before, size, share):
        progress(n_before + int(share * size), n_bytes)

    with worker_threads(n_threads) as executor, Progress("searching", "B") as progress:
        for path, name in recordings:
            size = file_size(path)
            try:
                mine.dig(path, name, executor, n_threads=n_threads, progress=partial(show, n_read, size))
            except InputError as error:
                failures.append(error)
            n_read += size
            progress(n_read, n_bytes)
    return failures


def write(arguments, mine, made_by, summary):
    """Write clips, page and, last, the list: how many of each kind."""
    from data_tools.files import atomic_write, content_of
    from minirsed.mine.clips import FOLDER, PAGE, write_clip, write_list
    from minirsed.mine.findings import KINDS
    from minirsed.mine.page import card, page

    (arguments.out / FOLDER).mkdir(exist_ok=True)
    clips, cards, findings, content = {}, {kind: [] for kind in KINDS}, mine.findings(), cache(content_of)
    with Progress("drawing", "clip") as progress:
        for n_done, finding in enumerate(findings):
            progress(n_done, len(findings))
            clip, y, sr = write_clip(arguments.out, mine.detector.label, finding, content(finding.path))
            if clip.clip not in clips:  # the same recording twice, under two names
                clips[clip.clip] = clip
                shown = card(len(clips), clip, y, sr, finding, mine.detector)
                cards[finding.kind].append((clip.clip, shown))
        progress(len(findings), len(findings))
    with atomic_write(arguments.out / PAGE, "w") as file:
        file.write(page(mine.detector.label, cards, made_by, summary))
    write_list(arguments.out, clips.values())
    return {kind: len(group) for kind, group in cards.items()}


def apply_verdicts(arguments):
    """File clips as the verdicts say, and name each."""
    from minirsed.mine.clips import LIST
    from minirsed.mine.filing import file_clips

    beside = arguments.apply.parent
    folder = beside if arguments.out == OUT and (beside / LIST).exists() else arguments.out
    filed, n_unsure = file_clips(arguments.apply, folder, arguments.data)
    for each in filed:
        event = "{2} from {0:.3f} to {1:.3f} s, ".format(*each.event) if each.event else ""
        print(f"{each.path} ({event}{each.subset}){'' if each.is_new else ': was there'}")
    n_new = sum(each.is_new for each in filed)
    print(f"{arguments.data}: {counted(n_new, 'clip')} filed, {len(filed) - n_new} there before, {n_unsure} unsure")


if __name__ == "__main__":
    main()
