"""A detector as one page that listens: `templates/detector.html` with style, programs and numbers filled in.

Data flow: parts → **page** → `minirsed.export` writes it. `detector.js` is the detector, the third twin; `worker.js`
runs it; `worklet.js` hears the microphone; `page.js` is what one sees. What others have named goes through
`html.escape` or, as data, through `script_json`; the page's own policy forbids any address outside of it.
"""

import json
from base64 import b64encode
from html import escape
from pathlib import Path

import numpy as np

from data_tools.errors import InputError
from minirsed import __version__
from minirsed.alarms import files as alarm_files
from minirsed.export.parts import TEMPLATES, filled, rate_of
from minirsed.features import HOP, SAMPLE_RATE, WIN
from minirsed.listening.inputs import FORGET, RELATIVE_FLOOR
from minirsed.listening.operating import LONGEST_S, NAMES, ROUNDING_S
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME, retention
from minirsed.recordings.files import GAP_FRAMES
from minirsed.recordings.streaming import DELAY, STEP, about
from minirsed.recordings.windows import ALIGNMENT, STEP_FRAMES, WINDOW_FRAMES

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob: data:; worker-src blob:; style-src 'unsafe-inline'; "
    "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'"
)
SHOWN = (
    *("class", "architecture", "n_layers", "n_units", "inputs", "rule", "thres0", "thres1"),
    *("min_event_s", "min_gap_s", "memory_s", "n_mels"),
)


def page_text(detector, parts, *, networks, figures=None, card=""):
    """The page.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    parts : minirsed.export.parts.Parts
        Its own.
    networks : str
        What it is, in words.
    figures : dict, optional
        Of an evaluation, `minirsed.analysis.files.figures_of`.
    card : str
        A model card.

    Returns
    -------
    str
    """
    files = {name: (TEMPLATES / name).read_text(encoding="utf-8") for name in ("detector.css", "worker.js", "page.js")}
    values = {
        **{"POLICY": POLICY, "LABEL": escape(detector.label), "VERSION": __version__},
        "SUMMARY": escape(f"{networks[0].upper()}{networks[1:]}. {_waits(detector)}"),
        "ABOUT": _about(detector, parts, figures, card),
        "DETECTOR": script_json(detector_data(detector, parts)),
        **{"STYLE": files["detector.css"], "WORKER": files["worker.js"], "PAGE": files["page.js"]},
        "WORKLET": (TEMPLATES / "worklet.js").read_text(encoding="utf-8"),
        "TWIN": twin(parts),
    }
    return filled("detector.html", values)


def twin(parts):
    """The detector's program, `detector.js` with the constants of Python."""
    constants = {
        **{"SAMPLE_RATE": SAMPLE_RATE, "WIN": WIN, "HOP": HOP, "RATE": rate_of(parts.config)},
        **{"FORGET": float(FORGET), "RELATIVE_FLOOR": RELATIVE_FLOOR, "EVIDENCE": EVIDENCE},
        **{"MOST_A_FRAME": MOST_A_FRAME, "WINDOW_FRAMES": WINDOW_FRAMES, "STEP_FRAMES": STEP_FRAMES},
        **{
            "ROUNDING_S": ROUNDING_S,
            "LONGEST_S": LONGEST_S,
            "ALIGNMENT": ALIGNMENT,
            "GAP_FRAMES": GAP_FRAMES,
            "STEP": STEP,
            "DELAY": DELAY,
        },
    }
    return filled("detector.js", constants)


def detector_data(detector, parts):
    """What the class Detector of `detector.js` is made from, as JSON-able values."""
    config = parts.config
    matrices = [layer[key] for layer in parts.layers for key in ("W", "U", "b")]
    return {
        "label": detector.label,
        "operating": {name: float(getattr(detector.operating, name)) for name in NAMES},
        **{"thres0": detector.thres0, "thres1": detector.thres1, "floor": detector.features["floor"]},
        "config": {
            **{"arch": config.arch, "rule": config.rule, "inputs": config.inputs, "n_layers": config.n_layers},
            **{
                "n_units": config.n_units,
                "lead": config.lead,
                "kept": retention(detector.operating.memory_s),
                "n_inputs": config.n_inputs,
                "n_mels": detector.features["n_mels"],
            },
        },
        "n_networks": len(parts.head),
        **{name: np.asarray(getattr(parts, name), float).tolist() for name in ("mean", "std", "widths")},
        "weights": packed(np.concatenate([matrix.ravel() for matrix in [*matrices, *parts.head]])),
    }


def packed(numbers):
    """Numbers as base64 of whole numbers of 24 bits, 4 letters each, and the size of a step: largest / 2^23."""
    step = float(np.abs(numbers).max() / (2**23 - 1)) or 1.0
    whole = np.rint(np.asarray(numbers, np.float64) / step).astype("<i4")
    return {"numbers": b64encode(whole.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()).decode(), "step": step}


def script_json(data):
    """JSON within a <script>: nothing in it can end the element or begin a comment."""
    text = json.dumps(data)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def figures_of_run(run, detector):
    """What an evaluation of a run folder found, `figures_eval.json` or else `figures_dev.json`; None without one.

    Raises
    ------
    InputError
        It is damaged.
    """
    for subset in ("eval", "dev"):
        path = Path(run) / f"figures_{subset}.json"
        if Path(run).is_dir() and path.exists():
            try:
                figures = json.loads(path.read_text(encoding="utf-8"))
                return figures | {"sentence": _sentence(figures) + _in_hours(run, detector)}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"{path}: damaged, or of another version: {error}") from error
    return None


def _sentence(figures):
    clips = figures["by_clip"]
    return (
        f"On {figures['n_clips']:,} {figures['subset']} mixtures it found {figures['n_tp']} of {figures['n_ref']} "
        f"events in time, and took {clips['n_false_alarms']} of {clips['n_quiet']} clips without any for one."
    )


def _in_hours(run, detector):
    """What `minirsed.evaluate --recordings` found; mixtures that are drawn are no hours of sound."""
    measured = filter(None, (alarm_files.read(run, name) for name in (alarm_files.GIVEN, "eval", "dev")))
    own = {
        **{"detector": detector.fingerprint(), "thres0": detector.thres0, "thres1": detector.thres1},
        **{name: getattr(detector.operating, name) for name in NAMES},
    }  # figures of another detector, or with other thresholds, are not its own
    whole = (dict.fromkeys(NAMES, 0.0) | figures for figures in measured)  # those of an earlier version know no memory
    found = next((figures for figures in whole if all(figures[name] == value for name, value in own.items())), None)
    return f" In recordings, {found['in_words']}." if found else " False alarms an hour have not been measured."


def _waits(detector):
    """How long one waits for an event."""
    words = about(detector).rsplit("events appear ", 1)[1].replace("their", "its")
    return f"Listening to a microphone, it shows an event {words}."


def _about(detector, parts, figures, card):
    """What the detector is: how well it does, its settings, its card."""
    measured = figures["sentence"] if figures else "How well it does has not been measured by minirsed.evaluate."
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in parts.about.items() if name in SHOWN
    )
    shown = f"<details open><summary>Model card</summary><pre>{escape(card)}</pre></details>" if card else ""
    return (
        f'<p id="measured">{escape(measured)}</p>{shown}<details><summary>Settings</summary><dl>{rows}</dl></details>'
    )
