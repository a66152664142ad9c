"""Find events in sound: `python -m minirsed.detect RUN PATH…`: files, folders, a pipe or a microphone.

Recordings may be of any length: longer ones than the training clips go through overlapping windows
(`minirsed.recordings.windows`). What comes from a pipe or a microphone is detected as it arrives
(`minirsed.recordings.streaming`).
"""

import contextlib
import sys
import time
from functools import partial
from pathlib import Path

from data_tools.console import Parser, add_threads, command, counted, require_positive
from data_tools.errors import InputError
from minirsed.console.options import Progress, add_place, named

FORMATS = ("table", "csv", "audacity", "raven", "jams", "rttm", "json")
SAMPLE_FORMATS = ("s16le", "s16be", "s24le", "s32le", "u8", "f32le", "f64le")
LOWEST_RATE = 32000  # Hz, of sound that leaves few of the 64 bands empty
NARROW = (
    f"below {LOWEST_RATE} Hz, for a detector that was trained on all bands up to 22 kHz and may take empty ones for an "
    "event; the preset quick of minirsed.train sees no more than 8 kHz"
)


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.detect",
        "RUN [PATH …]",
        description="Find events in sound files of any format, rate and length, or in live sound. A recording of at "
        "most 30 s holds one event or none, as in the paper; a longer one any number of them. Where a detector knows "
        "several classes, this holds for each of them, and their events may overlap.",
        epilog="Recordings that cannot be used are named at the end, and the exit status is then 2; all others are "
        "done nevertheless.",
    )
    sound, output, model, machine, live = (
        parser.add_argument_group(name) for name in ("sound", "output", "detection", "machine", "live sound")
    )
    sound.add_argument(
        "run", metavar="RUN", type=Path, help="run folder that minirsed.train has written, or a detector file"
    )
    sound.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="sound file, or folder of them to any depth; - is WAV, or raw PCM (--raw), from standard input",
    )
    output.add_argument("--format", choices=FORMATS, help="format of the output (default: table; with --out: csv)")
    add_place(
        output,
        "--out",
        help="folder to write a file for each recording into; the same command does only what is missing there "
        "(default: none, print)",
    )
    output.add_argument("--overwrite", action="store_true", help="recompute results that are already in --out")
    output.add_argument(
        "--plot",
        action="store_true",
        help="also draw each recording as PNG in --out: log-mel spectrogram, p_t and events",
    )
    _add_thresholds(model)
    model.add_argument(
        "--all-events", action="store_true", help="any number of events also in recordings of at most 30 s"
    )
    add_threads(machine, "threads that run the detector")
    add_place(
        machine,
        "--cluster",
        help="Dask scheduler whose workers search the recordings, tcp://HOST:8786; they need the extra dask, one "
        "thread each, and RUN and the recordings under the same absolute paths (default: none, this machine does it)",
    )
    _add_live_options(live)
    arguments = parser.parse_args(argv)
    if arguments.live == bool(arguments.paths):
        parser.error("give either recordings or --live")
    return arguments


def _add_thresholds(model):
    for names, what in (
        (("--threshold", "--thres0"), "an event needs a probability p above P"),
        (("--thres1",), "its frames need p_t above P"),
    ):
        model.add_argument(
            *names,
            dest=names[-1][2:],
            metavar="P",
            type=float,
            help=f"{what}, 0 … 1, for all classes (default: the detector's, as trained or chosen by minirsed.evaluate)",
        )


def _add_live_options(live):
    live.add_argument("--live", action="store_true", help="listen to the microphone until Ctrl-C; needs the extra live")
    live.add_argument(
        "--raw",
        action="store_true",
        help="take standard input as raw PCM without a look at its first bytes; one of the options --rate, --channels "
        "and --sample-format says that it is raw as well",
    )
    live.add_argument("--device", metavar="NAME", help="number or name of the microphone (default: the system's)")
    live.add_argument(
        "--rate",
        metavar="HZ",
        type=int,
        help="sample rate of raw PCM or the microphone (default: 44100 Hz)",
    )
    live.add_argument(
        "--channels",
        metavar="N",
        type=int,
        help="channels of raw PCM or the microphone (default: 1 channel)",
    )
    live.add_argument(
        "--sample-format",
        choices=SAMPLE_FORMATS,
        help="sample format of raw PCM, by ffmpeg's names (default: s16le)",
    )


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "threads", "rate", "channels")
    from data_tools.audio import LOWEST_RATE

    if arguments.rate is not None and arguments.rate < LOWEST_RATE:
        raise InputError(f"--rate is {arguments.rate}: expected Hz, at least {LOWEST_RATE}")
    piped = "-" in arguments.paths
    if piped and len(arguments.paths) > 1:
        raise InputError("-: standard input cannot be mixed with other recordings")
    if (piped or arguments.live) and arguments.out:
        raise InputError("--out: is for recordings; live sound is printed as it comes")
    for option in ("plot", "overwrite", "cluster"):
        if getattr(arguments, option) and not arguments.out:
            raise InputError(f"--{option} needs --out DIR")
    arguments.format = arguments.format or ("csv" if arguments.out else "table")
    require_extras(arguments)
    from minirsed.kernels.threads import keep_freed_memory

    keep_freed_memory()
    detector = load_detector(arguments)
    try:
        with named(out=arguments.out):
            (listen if piped or arguments.live else detect_recordings)(arguments, detector)
    except KeyboardInterrupt:
        advice = "; the same command does the rest" if arguments.out else ""
        raise KeyboardInterrupt(f"stopped{advice}") from None


def require_extras(arguments):
    """Import the libraries that options need; InputError before any work."""
    if arguments.live:
        from data_tools.live_sound import import_sounddevice

        import_sounddevice()
    if arguments.format == "jams":
        from minirsed.detect.formats import import_jams

        import_jams()
    if arguments.cluster:
        from minirsed.store.cluster import import_distributed

        import_distributed()


def load_detector(arguments):
    """The run's detector with the thresholds of the command line."""
    import dataclasses

    from minirsed.run.folder import trained_detector
    from minirsed.several.detector import views_of

    thresholds = {name: getattr(arguments, name) for name in ("thres0", "thres1")}
    for name, value in thresholds.items():
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{name} is {value}: expected a probability, 0 … 1")
    given = {name: value for name, value in thresholds.items() if value is not None}
    detector = trained_detector(arguments.run, several=True)
    n_classes = len(views_of(detector))
    return dataclasses.replace(
        detector, **{name: value if n_classes == 1 else (value,) * n_classes for name, value in given.items()}
    )


def detect_recordings(arguments, detector):
    """Run over files and folders, print or write what is found, and name what cannot be used at the end."""
    from minirsed.detect.formats import body_of, clock, format_for
    from minirsed.detect.results import open_results
    from minirsed.recordings.listing import file_size, find_recordings
    from minirsed.recordings.several import by_class

    form, passed_over = format_for(detector, arguments.format), []
    recordings = find_recordings(
        [Path(path) for path in arguments.paths], lambda path, reason: passed_over.append(f"{path}: {reason}")
    )
    if passed_over:
        print(f"passed over {counted(len(passed_over), 'file')}:", *passed_over, sep="\n  ", file=sys.stderr)
    if not (arguments.out or form.shared) and len(recordings) > 1:
        raise InputError(f"--format {arguments.format} is for one recording: give --out DIR for {len(recordings)}")
    failures, seconds, n_events, n_before, n_narrow = {}, [], none_of(detector), 0, 0
    sizes = [file_size(path) for path, _ in recordings]
    with contextlib.ExitStack() as stack:
        results, todo = None, list(range(len(recordings)))
        if arguments.out:
            settings, suffixes = settings_of(arguments, detector), suffixes_of(arguments, form)
            results = stack.enter_context(open_results(arguments.out, settings, overwrite=arguments.overwrite))
            todo = [number for number in todo if not results.is_done(*recordings[number], suffixes)]
            n_before = len(recordings) - len(todo)
        progress = stack.enter_context(Progress("detecting", "B"))
        every = found_in(arguments, detector, recordings, sizes, todo, progress)
        for number, found in stack.enter_context(contextlib.closing(every)):
            path, name = recordings[number]
            try:
                if isinstance(found, InputError):
                    raise found
                if results:
                    write(results, form, detector, name, found)
                else:
                    body = body_of(form, detector, name, found.recording)
                    if sys.stdout.isatty():
                        progress.close()  # or the bar would stand in the middle of a line
                    print(("" if seconds else form.header) + body, end="", flush=True)
                seconds.append(found.recording.duration_s)
                for label, own in by_class(detector, found.recording).items():
                    n_events[label] += len(own.events)
                n_narrow += is_narrow(detector, path)
            except InputError as error:
                failures[number] = InputError(f"{error}{advice(path)}")
    failures = [failures[number] for number in sorted(failures)]
    if len(recordings) == 1 and failures:
        raise failures[0]
    before = f"; {counted(n_before, 'recording')} done before" if n_before else ""
    found = f"{clock(sum(seconds))} of sound, {counted_events(n_events)}"
    print(f"{counted(len(seconds), 'recording')}, {found}{before}", file=sys.stderr)
    if n_narrow:
        print(f"warning: {n_narrow} of {counted(len(seconds), 'recording')} {NARROW}", file=sys.stderr)
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        raise InputError(f"{len(failures)} of {len(recordings)} recordings cannot be used, see above")


def none_of(detector):
    """{label: 0} of the classes that a detector knows."""
    from minirsed.several.detector import views_of

    return {view.label: 0 for view in views_of(detector)}


def counted_events(n_events):
    """How many there are of each class, {label: number}, in words."""
    return ", ".join(counted(n, f"{label} event") for label, n in n_events.items())


def found_in(arguments, detector, recordings, sizes, todo, progress):
    """(number, `Found` or InputError) of the recordings with the numbers `todo`: here in order, on a cluster in any."""
    n_total, n_read = sum(sizes), sum(sizes) - sum(sizes[number] for number in todo)
    progress(n_read, n_total)
    options = {"all_events": arguments.all_events, "plot": arguments.plot}
    if arguments.cluster:
        if todo:
            from minirsed.detect.cluster import find_on_cluster

            wanted = [recordings[number] for number in todo]
            for i, found in find_on_cluster(arguments.cluster, arguments.run, detector, wanted, **options):
                yield todo[i], found
                n_read += sizes[todo[i]]
                progress(n_read, n_total)
        return
    from minirsed.detect.finding import find
    from minirsed.kernels.threads import worker_threads

    with worker_threads(arguments.threads) as executor:
        for number in todo:
            options["progress"] = partial(_show, progress, n_read, sizes[number], n_total)
            try:
                found = find(detector, *recordings[number], executor, n_threads=arguments.threads, **options)
            except InputError as error:
                found = error
            yield number, found
            n_read += sizes[number]
            progress(n_read, n_total)


def write(results, form, detector, name, found):
    """Write what was found in a recording, and its picture, into the results folder, and note that it is done."""
    from data_tools.files import atomic_write
    from minirsed.detect.formats import text_of

    with atomic_write(results.path(name, form.suffix), "w") as file:
        file.write(text_of(form, detector, [(name, found.recording)]))
    suffixes = [form.suffix]
    if found.picture is not None:
        suffixes.append(".png")
        with atomic_write(results.path(name, ".png")) as file:
            file.write(found.picture)
    results.mark(found.state, name, suffixes, len(found.recording.events))


def is_narrow(detector, path):
    """Whether a recording holds less than a detector of all bands has learnt to expect."""
    from data_tools.audio import open_sound

    if detector.config.inputs != "lfbe":
        return False
    with open_sound(path) as file:
        return file.samplerate < LOWEST_RATE


def _show(progress, n_before, size, n_total, share):
    progress(n_before + int(share * size), n_total)


def advice(path):
    """What to do with sound that is not in a file: an end of a message, empty for a file."""
    from data_tools.files import address_in

    address = address_in(path)
    if address and not address.startswith("file:"):
        return f", or: ffmpeg -i {address} -f wav - | python -m minirsed.detect RUN -"
    return "; sound from a pipe is read as -: … | python -m minirsed.detect RUN -" if path.is_fifo() else ""


def suffixes_of(arguments, form):
    """Endings of the files that a recording leaves in --out."""
    return [form.suffix, *([".png"] if arguments.plot else [])]


def settings_of(arguments, detector):
    """Everything that determines the results in --out, by which results of other settings are recognised."""
    from minirsed import __version__
    from minirsed.listening.operating import NAMES
    from minirsed.several.detector import views_of

    def own(view):
        shape = {name: getattr(view.operating, name) for name in NAMES}
        known = {name: value for name, value in shape.items() if value}  # unknown to logs of earlier versions
        return {"class": view.label, "thres0": view.thres0, "thres1": view.thres1, **known}

    of_classes = [own(view) for view in views_of(detector)]
    return {
        "detector": detector.fingerprint(),
        **(of_classes[0] if len(of_classes) == 1 else {"classes": of_classes}),
        "format": arguments.format,
        "all_events": arguments.all_events,
        "version": __version__,
    }


def listen(arguments, detector):
    """Print events of a pipe or the microphone as they end."""
    from data_tools.live_sound import PcmFormat, microphone_blocks, pcm_blocks, read_wav_header
    from minirsed.detect.formats import clock, format_for
    from minirsed.kernels.threads import worker_threads
    from minirsed.recordings.streaming import about
    from minirsed.several.detector import views_of

    form = format_for(detector, arguments.format)
    if form.event is None:
        raise InputError(f"--format {arguments.format} is written when a recording has ended: not for live sound")
    with worker_threads(arguments.threads):
        detector.stream().push([0.0] * (3 * 44100))  # compile before the first sound arrives
        if arguments.live:
            name, sr = "microphone", arguments.rate or 44100
            device = int(arguments.device) if (arguments.device or "").isdigit() else arguments.device
            print(f"since {time.strftime('%H:%M:%S')}", end=", ", file=sys.stderr)
            blocks = microphone_blocks(sr, device=device, n_channels=arguments.channels or 1, on_overflow=_overflow)
        else:
            name, pipe = "standard input", sys.stdin.buffer
            given = (arguments.rate, arguments.channels, arguments.sample_format)
            wav, first = (None, b"") if arguments.raw else read_wav_header(pipe, name, raw=any(given))
            given = PcmFormat(*(value or default for value, default in zip(given, PcmFormat(), strict=False)))
            sr = (wav or given).sr
            blocks = pcm_blocks(pipe, wav or given, name, first)
        stream = detector.stream(sr)
        print(f"{name}, {sr} Hz: {about(detector, views_of(detector))}", file=sys.stderr, flush=True)
        if detector.config.inputs == "lfbe" and sr < LOWEST_RATE:
            print(f"warning: {name} {NARROW}", file=sys.stderr, flush=True)
        n_events = none_of(detector)
        with contextlib.suppress(KeyboardInterrupt):
            for block in blocks:
                print("" if stream.n_samples else form.header, end="", flush=True)
                _print_events(form, name, stream.labelled(stream.push(block)), n_events)
        _print_events(form, name, stream.labelled(stream.finish()), n_events)
    heard_s = stream.n_samples / sr
    if not heard_s:
        raise InputError(f"{name}: no samples")
    print(f"{clock(heard_s)} of sound, {counted_events(n_events)}", file=sys.stderr)


def _print_events(form, name, events, n_events):
    """Print (label, Event) pairs, at once, and count them by class in `n_events`."""
    for label, event in events:
        n_events[label] += 1
        print(form.event(name, label, sum(n_events.values()), event), end="", flush=True)


def _overflow():
    print("microphone: the sound card dropped samples", file=sys.stderr)


if __name__ == "__main__":
    main()
