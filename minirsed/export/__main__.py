"""A trained detector for other runtimes and languages: `python -m minirsed.export RUN FILE`.

The suffix of FILE says what it is. `minirsed.export.graph` builds an ONNX graph; here it is checked, run beside our own
model, and only then written. `c_file` and `page` fill in templates.
"""

import shlex
from pathlib import Path

from data_tools.console import Parser, command
from data_tools.errors import InputError, require_extra
from minirsed.console.options import add_class, add_place, probability_text, require_writable

TOLERANCE = 1e-4  # largest difference of a probability that is accepted; float32 gives some 1e-6
FINEST = 1 - 2.0**-20  # threshold of p, above which p in float32 has fewer than 16 steps
CHECKED_SHAPES = ((1, 1303), (3, 258), (2, 1))  # (B, T): a clip of 30 s, a batch, a single frame


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.export",
        "RUN FILE",
        description="Write the best detector of a run as one file that needs neither minirsed nor Python. Its suffix "
        "says what it is.\n\n"
        "  .onnx   the network, for onnxruntime and others in C++, C#, Java, JavaScript\n"
        "  .c .h   all of it, features too, in C99 for a microcontroller or any program\n"
        "  .html   a page that listens, to the microphone or a file, in any browser\n\n"
        "An ONNX file takes lfbe (B, T, D) float32, log filter-bank energies of B clips of T frames in D mel bands, "
        "as many as the model was trained with (--n-mels, usually 64), computed like minirsed.features.lfbe; B and T "
        "may vary. It gives probability (B,), that the clip holds an event, and frame_probabilities (B, T), that the "
        "frame does; of C classes (B, C) and (B, T, C). Its metadata hold the class, thresholds, shortest event, "
        "smallest gap, every setting of the features and the run's model card. Before it is written, onnxruntime runs "
        "it beside minirsed's own model.",
        epilog='.onnx needs the extra onnx: python -m pip install -e ".[onnx]".',
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="run folder that minirsed.train has written, or its best.npz"
    )
    parser.add_argument("out", metavar="FILE", type=Path, help="file to write; an older one is replaced")
    parser.add_argument(
        "--int8",
        action="store_true",
        help="C: weights in int8 with a scale for each column, a quarter of the flash; what is lost is measured on the "
        "run's development mixtures",
    )
    add_class(parser)
    add_place(parser, "--features", help="--int8: folder of prepared features (default: %(default)s)")
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_writable("FILE", arguments.out)
    write = KINDS.get(arguments.out.suffix.lower())
    if write is None:
        raise InputError(f"FILE {arguments.out}: expected a name that ends in {', '.join(KINDS)}")
    if arguments.int8 and write is not as_c:
        raise InputError("--int8: is for a file of C, .c or .h")
    from minirsed.run.folder import detector_of_class, trained_detector

    if write is as_onnx and arguments.label is None:
        detector = trained_detector(arguments.run, several=True)
    else:
        detector = detector_of_class(arguments.run, arguments.label)
    content, said = write(detector, arguments)
    from data_tools.files import atomic_write

    with atomic_write(arguments.out) as file:
        file.write(content)
    print(said)


def as_onnx(detector, arguments):
    """Bytes of an ONNX file, and what to say of them."""
    content, difference = export(detector, card_of(arguments.run))
    return content, summary(arguments.out, detector, len(content), difference)


def as_c(detector, arguments):
    """The same of a file of C."""
    from minirsed.export.c_file import c_text
    from minirsed.export.parts import parts_of

    parts, is_header = parts_of(detector, arguments.run), arguments.out.suffix.lower() == ".h"
    losses = int8_losses(detector, arguments) if arguments.int8 else ""
    notes = "\n\n".join(filter(None, [losses, card_of(arguments.run)]))
    text, ram, flash = c_text(detector, parts, arguments.out, int8=arguments.int8, notes=notes)
    file = "-x c " * is_header + shlex.quote(str(arguments.out))
    lines = [
        f"{arguments.out}: {named(parts, detector)}",
        f"RAM      {ram:,} bytes; flash {flash:,} bytes of constants, and the code",
        *([losses] if losses else []),
        f"try it   cc -std=c99 -O2 -DMINIRSED_MAIN {file} -lm -o detector",
    ]
    return text.encode(), "\n".join(lines)


def as_html(detector, arguments):
    """The same of a page."""
    from minirsed.export.page import figures_of_run, page_text
    from minirsed.export.parts import parts_of

    parts = parts_of(detector, arguments.run)
    about = {"figures": figures_of_run(arguments.run, detector), "card": card_of(arguments.run) or ""}
    content = page_text(detector, parts, networks=named(parts, detector), **about).encode()
    said = [f"{arguments.out}: {len(content) / 1e6:.2f} MB, {named(parts, detector)}"]
    said += [about["figures"]["sentence"]] if about["figures"] else []
    return content, "\n".join(
        [*said, "open it in a browser; from a file some allow no microphone: see the folder's README"]
    )


def int8_losses(detector, arguments):
    """A line: what rounding weights to int8 changes, measured on the development mixtures of the run.

    Raises
    ------
    InputError
        RUN is no folder with a `config.json`, or its sounds are gone.
    """
    import numpy as np

    from data_tools.console import available_cores
    from data_tools.soundbank import open_bank
    from minirsed.analysis.evaluation import evaluate
    from minirsed.console.options import Progress
    from minirsed.export.parts import quantised
    from minirsed.kernels.threads import worker_threads
    from minirsed.run.folder import read_settings
    from minirsed.store.dataset import prepare
    from minirsed.store.mixtures import features_of, recipes_of

    if arguments.run.is_file():
        raise InputError(
            f"{arguments.run}: is a file; --int8 needs the run folder, which says how to measure what it costs"
        )
    settings = read_settings(arguments.run)
    bank = open_bank(settings.data, fold=settings.fold)
    recipes, kind = recipes_of(bank, settings, "dev"), {"dtype": settings.feature_dtype} | features_of(settings)
    with Progress("dev mixtures", "clip") as progress:
        store = prepare(bank, recipes, arguments.features, progress=progress, **kind)
    store = store.of_class(detector.label) if settings.labels else store
    with worker_threads(available_cores()) as executor:
        before, after = (evaluate(each, store, executor) for each in (detector, quantised(detector)))
    p_t = [np.stack([found.frame_probabilities for found in each.detections]) for each in (before, after)]
    difference = np.abs(p_t[1] - p_t[0])
    rates = [f"{each.scores.error_rate:.3f}" for each in (after, before)]
    return (
        f"int8     error rate {rates[0]} instead of {rates[1]} on {len(store)} dev mixtures; p_t differs by "
        f"{difference.mean():.1g} on average, {difference.max():.2g} at most"
    )


def named(parts, detector):
    """What a file holds: class, architecture, size."""
    config, n = parts.config, len(parts.head)
    networks = f"{n} networks of " if n > 1 else ""
    return f"detector of {detector.label}, {config.arch}, {networks}{config.n_layers} × {config.n_units} units"


def card_of(run):
    """The card of a run folder as it would be written now; of a detector that was moved with its card alone, that.

    None for the file of a detector.

    Raises
    ------
    InputError
        It is no text.
    """
    from minirsed.card.files import CARD, card
    from minirsed.run.folder import CONFIG

    if (run / CONFIG).exists():
        return card(run)
    if not (run / CARD).exists():
        return None
    try:
        return (run / CARD).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{run / CARD}: is no text in UTF-8") from error


def export(detector, card=None):
    """ONNX bytes of a detector, checked.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    card : str, optional
        What `minirsed.card.files.card` says of its run, for the metadata.

    Returns
    -------
    content : bytes
    difference : float
        The largest between our probabilities and onnxruntime's, clips and frames, on random features.

    Raises
    ------
    InputError
        onnx or onnxruntime is not installed; onnxruntime disagrees by more than `TOLERANCE`.
    """
    onnx, onnxruntime = (require_extra("onnx", "minirsed.export", name) for name in ("onnx", "onnxruntime"))
    import numpy as np

    from minirsed.export.graph import INPUT, build
    from minirsed.kernels import plain_numpy

    model = build(detector, card)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng, difference = np.random.default_rng(0), 0.0
    for shape in CHECKED_SHAPES:
        features = (-6 + 6 * rng.standard_normal((*shape, detector.features["n_mels"]))).astype(np.float32)
        with plain_numpy():  # the definition
            logits = detector.logits(features)
        for ours, theirs in zip(detector.probabilities(*logits), session.run(None, {INPUT: features}), strict=True):
            ours = np.moveaxis(ours, 1, -1) if theirs.ndim > 2 else ours  # (B, C, T): there classes come last
            difference = max(difference, float(np.abs(ours - theirs).max()))
    if not difference <= TOLERANCE:
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} differs from minirsed's model by {difference:.1e}; nothing written"
        )
    return content, difference


def summary(path, detector, n_bytes, difference):
    """What was written, in four lines."""
    from minirsed.several.detector import views_of

    config, n_mels, floor = detector.config, *detector.features.values()
    views = views_of(detector)
    names = [f"{view.label} " for view in views] if len(views) > 1 else [""]
    own = zip(names, views, strict=True)
    thresholds = ", ".join(f"{name}{probability_text(view.thres0)} and {view.thres1:g}" for name, view in own)
    classes = ", C" if len(views) > 1 else ""
    if any(view.thres0 > FINEST for view in views):
        thresholds += " (p is float32 here, which hardly tells what is so close to 1 apart)"
    return (
        f"{path}: {n_bytes / 1e6:.2f} MB, detector of {', '.join(view.label for view in views)}, {config.arch}, "
        f"{config.n_layers} × {config.n_units} units\n"
        f"input    lfbe (B, T, {n_mels}) float32, from minirsed.features.lfbe, "
        f"floor={floor:g}\n"
        f"outputs  probability (B{classes or ','}), frame_probabilities (B, T{classes}); thresholds {thresholds}\n"
        f"checked: differs from minirsed's own model by {difference:.0e} at most"
    )


KINDS = {".onnx": as_onnx, ".c": as_c, ".h": as_c, ".html": as_html}


if __name__ == "__main__":
    main()
