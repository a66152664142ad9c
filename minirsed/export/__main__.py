"""A trained detector for other runtimes and languages: `python -m minirsed.export RUN MODEL.onnx`.

`minirsed.export.graph` builds the graph; here it is checked, run beside our own model, and only then written.
"""

from pathlib import Path

from data_tools.console import Parser, command
from data_tools.errors import InputError, require_extra
from minirsed.console.options import probability_text, require_writable

TOLERANCE = 1e-4  # largest difference of a probability that is accepted; float32 gives some 1e-6
FINEST = 1 - 2.0**-20  # threshold of p, above which p in float32 has fewer than 16 steps
CHECKED_SHAPES = ((1, 1303), (3, 258), (2, 1))  # (B, T): a clip of 30 s, a batch, a single frame


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "minirsed.export",
        "RUN MODEL.onnx",
        description="Write the best detector of a run as an ONNX file, which onnxruntime and others run in Python, "
        "C++, C#, Java, JavaScript and on phones. Input: lfbe (B, T, D) float32, log filter-bank energies of B clips "
        "of T frames in D mel bands, as many as the model was trained with (--n-mels, usually 64), computed like "
        "minirsed.features.lfbe; B and T may vary. Outputs: probability (B,), that the clip holds an event, and "
        "frame_probabilities (B, T), that the frame does. Normalisation is part of the graph. The file's metadata "
        "holds the class, thresholds, shortest event, smallest gap, every setting of the features, and the model card "
        "of the run. Before the file is written, onnxruntime runs the graph beside minirsed's own model.",
        epilog='Needs the extra onnx: python -m pip install -e ".[onnx]".',
    )
    parser.add_argument(
        "run", metavar="RUN", type=Path, help="run folder that minirsed.train has written, or its best.npz"
    )
    parser.add_argument("out", metavar="MODEL.onnx", type=Path, help="file to write; an older one is replaced")
    return parser.parse_args(argv)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_writable("MODEL.onnx", arguments.out)
    from minirsed.run.folder import trained_detector

    detector = trained_detector(arguments.run)
    content, difference = export(detector, card_of(arguments.run))
    from data_tools.files import atomic_write

    with atomic_write(arguments.out) as file:
        file.write(content)
    print(summary(arguments.out, detector, len(content), difference))


def card_of(run):
    """The card of a run folder, None for the file of a detector alone."""
    if not run.is_dir() or not (run / "config.json").exists():
        return None
    from minirsed.card.files import card

    return card(run)


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
            difference = max(difference, float(np.abs(ours - theirs).max()))
    if not difference <= TOLERANCE:
        raise InputError(
            f"onnxruntime {onnxruntime.__version__} differs from minirsed's model by {difference:.1e}; nothing written"
        )
    return content, difference


def summary(path, detector, n_bytes, difference):
    """What was written, in four lines."""
    config, n_mels, floor = detector.config, *detector.features.values()
    thresholds = f"{probability_text(detector.thres0)} and {detector.thres1:g}"
    if detector.thres0 > FINEST:
        thresholds += " (p is float32 here, which hardly tells what is so close to 1 apart)"
    return (
        f"{path}: {n_bytes / 1e6:.2f} MB, detector of {detector.label}, {config.arch}, {config.n_layers} × "
        f"{config.n_units} units\n"
        f"input    lfbe (B, T, {n_mels}) float32, from minirsed.features.lfbe, "
        f"floor={floor:g}\n"
        f"outputs  probability (B,), frame_probabilities (B, T); thresholds {thresholds}\n"
        f"checked: differs from minirsed's own model by {difference:.0e} at most"
    )


if __name__ == "__main__":
    main()
