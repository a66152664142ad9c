"""A detector as one file of C99: `templates/detector.c` with numbers filled in.

Data flow: parts → **c_file** → `minirsed.export` writes it. What others have named, the class and files, goes through
`string` or `comment`, so that nothing in it can end a string or a comment.
"""

import math
import shlex
import unicodedata

import numpy as np

from data_tools.audio import HIGHEST_PEAK
from data_tools.console import PLAIN
from minirsed import __version__
from minirsed.export.parts import filled, int8_columns, n_directions, rate_of
from minirsed.features import HOP, SAMPLE_RATE, WIN
from minirsed.listening.inputs import FORGET, INPUTS, RELATIVE_FLOOR
from minirsed.listening.operating import LONGEST_S, ROUNDING_S
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME, logit, retention
from minirsed.recordings.files import GAP_FRAMES
from minirsed.recordings.streaming import DELAY
from minirsed.recordings.streaming import STEP as LIVE_STEP
from minirsed.recordings.windows import ALIGNMENT, STEP_FRAMES, WINDOW_FRAMES

CAPACITY = -(-(WINDOW_FRAMES + LIVE_STEP - 1) // LIVE_STEP) * LIVE_STEP  # frames: the longest window of either kind
STACK = 1024  # bytes; a test measures it
COLUMNS = 120
OF_ONNX = ("shapes", "minirsed_version")  # of the table of an ONNX file: of no use here, or said already
STEPS = {  # how a detector listens, in words
    "uni": "It looks back only: each frame goes through it once, as soon as it is complete.",
    "else": "It looks ahead as well, so it judges 30 s at a time. MINIRSED_LIVE, see below, says how often.",
}
INCLUDE = {
    ".c": "Other files of a program see its declarations after\n"
    " *\n *     #define MINIRSED_DECLARATIONS\n *     #include {file}\n *",
    ".h": "One file of a program defines MINIRSED_IMPLEMENTATION before it includes this one; the program at the end,\n"
    " * too: cc -x c -DMINIRSED_IMPLEMENTATION -DMINIRSED_MAIN ...",
}
IMPLEMENTATION = {
    ".c": "#ifndef MINIRSED_DECLARATIONS\n#define MINIRSED_IMPLEMENTATION\n#endif\n",
    ".h": "#ifdef MINIRSED_MAIN\n#define MINIRSED_IMPLEMENTATION\n#endif\n",
}


def c_text(detector, parts, path, *, int8=False, notes=""):
    """The file.

    Parameters
    ----------
    detector : minirsed.detector.Detector
    parts : minirsed.export.parts.Parts
        Its own.
    path : Path
        Where it is to be; its suffix, .c or .h, decides what the heading says of its use.
    int8 : bool
        Weights as int8 with a scale for each column, a quarter of the flash.
    notes : str
        For the heading, such as a model card.

    Returns
    -------
    text : str
    ram, flash : int
        Bytes, as in its heading; the compiler checks both.
    """
    config, file = parts.config, comment(shlex.quote(path.name))
    constants, ram = _constants(parts, int8), ram_bytes(parts, joins=detector.operating.min_gap_s > 0)
    flash = sum(n_bytes for _, n_bytes in constants.values())
    weights = sum(constants[name][1] for name in ("WEIGHTS", "BIASES", "SCALES", "HEAD"))
    values = {name: text for name, (text, _) in constants.items()} | {
        **{"NAME": comment(detector.label), "LABEL": string(detector.label), "VERSION": __version__, "FILE": file},
        **{"RAM": ram, "RAM_KB": round(ram / 1000), "FLASH": flash, "STACK": STACK},
        **{"FLASH_WEIGHTS": weights, "FLASH_TABLES": flash - weights},
        "HOW_IT_LISTENS": STEPS.get(config.arch, STEPS["else"]),
        "HOW_TO_INCLUDE": INCLUDE[path.suffix.lower()].format(file=f'"{comment(path.name)}"'),
        "IMPLEMENTATION": IMPLEMENTATION[path.suffix.lower()],
        "ABOUT": "\n".join(_about(parts, notes)),
        **_settings(detector, parts),
        "INT8": int(int8),
    }
    return filled("detector.c", values), ram, flash


def _settings(detector, parts):
    """Numbers of the settings of the file, by the name of their place in the template."""
    config, (n_dirs, _), operating = parts.config, n_directions(parts.config), detector.operating
    return {
        **{"THRES0": repr(float(detector.thres0)), "THRES1": number(detector.thres1)},
        **{"MIN_GAP_S": repr(float(operating.min_gap_s)), "MIN_EVENT_S": repr(float(operating.min_event_s))},
        **{"JOINS": int(operating.min_gap_s > 0), "ROUNDING_S": repr(ROUNDING_S), "LONGEST_S": repr(LONGEST_S)},
        **{"SAMPLE_RATE": SAMPLE_RATE, "WIN": WIN, "HOP": HOP, "N_FFT": len(parts.cosine)},
        **{"N_BANDS": config.n_inputs, "N_MELS": detector.features["n_mels"], "N_BANK": sum(map(len, parts.bank))},
        **{"POWER_FLOOR": number(INPUTS[config.inputs].power_floor), "HIGHEST_PEAK": number(HIGHEST_PEAK)},
        **{"RELATIVE": int(config.inputs == "relative"), "RATE": rate_of(config)},
        **{"FORGET": repr(float(FORGET)), "RELATIVE_FLOOR": number(RELATIVE_FLOOR)},
        **{"STRONGEST": int(config.rule == "strongest"), "EVIDENCE": repr(EVIDENCE), "LEAD": config.lead},
        "KEPT": repr(retention(operating.memory_s)),
        **{"MOST_A_FRAME": repr(MOST_A_FRAME), "BIAS": repr(float(logit(detector.thres1))), "LN2": repr(math.log(2))},
        **{"AHEAD": n_dirs - 1, "POOLED": int(config.arch == "multires"), "N_NETWORKS": len(parts.head)},
        **{"N_LAYERS": config.n_layers, "N_UNITS": config.n_units, "CONTEXT": WINDOW_FRAMES, "CAPACITY": CAPACITY},
        **{"GAP": GAP_FRAMES, "STEP": STEP_FRAMES, "ALIGNMENT": ALIGNMENT},
        **{"LIVE_STEP": LIVE_STEP, "LIVE_DELAY": DELAY},
    }


def _constants(parts, int8):
    """Arrays as text and their bytes, by the name of their place in the template."""
    matrices = [layer[key] for layer in parts.layers for key in ("W", "U")]
    columns = [int8_columns(matrix) for matrix in matrices] if int8 else []
    weights = [matrix.ravel() for matrix, _ in columns] if int8 else [matrix.ravel() for matrix in matrices]
    scales = [scale for _, scale in columns]
    n_bins = [len(weights_of_band) for weights_of_band in parts.bank]
    return {
        "WEIGHTS": array([np.concatenate(weights)], 1 if int8 else 4),
        "BIASES": array([layer["b"] for layer in parts.layers], nested=True),
        "SCALES": array(scales, nested=True) if int8 else ("", 0),
        "HEAD": array(parts.head, nested=True),
        "WINDOW": array([parts.window]),
        "COSINE": array([parts.cosine]),
        "FIRST_BIN": array([parts.first_bin], 2),
        "N_BINS": array([np.array(n_bins)], 2),
        "BANK": array([np.concatenate(parts.bank)]),
        "WIDTH": array([parts.widths] if parts.config.inputs == "relative" else []),
        "MEAN": array([parts.mean]),
        "STD": array([parts.std]),
    }


def ram_bytes(parts, joins):
    """`sizeof(minirsed)`: its members in the order of the template; `joins` has those of an event that waits."""
    config, (n_dirs, K) = parts.config, n_directions(parts.config)
    rate, pair = rate_of(config), 2 if config.arch == "multires" else 1
    n_inputs = CAPACITY // rate if n_dirs > 1 else 1
    floats = WIN + len(parts.cosine) + 4 * config.n_inputs + n_inputs * (config.n_inputs + 2) + 6 * config.n_units
    if n_dirs > 1:
        floats += (-(-n_inputs // pair) + -(-n_inputs // pair**2)) * K + config.n_units
    else:
        floats += len(parts.head) * config.n_layers * config.n_units
    floats += 0 if config.rule == "strongest" else 3 * WINDOW_FRAMES
    return (
        -(-((6 + 3 * joins) * 8 + 8 * 8 + 2 * 4 + 4 * floats) // 8) * 8
    )  # doubles, int64_t, int32_t; a whole number of doubles


def number(value):
    """A float of C."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def array(rows, n_bytes=4, nested=False):
    """Numbers between the braces of an array, and their bytes; `nested`: each row has braces of its own."""
    written = []
    for row in rows:
        flat = np.asarray(row).ravel().tolist()
        words = list(map(number, flat)) if n_bytes == 4 else list(map(str, flat))
        written.append(_lines(words))
    text = ",\n".join(f"{{{row}}}" for row in written) if nested else ",\n".join(written)
    return text, n_bytes * sum(np.size(row) for row in rows)


def _lines(words):
    """Words with commas, in lines of at most `COLUMNS` characters."""
    lines, line = [], "\n    "
    for word in words:
        if len(line) + len(word) > COLUMNS:
            lines.append(line.rstrip())
            line = "    "
        line += word + ", "
    return "\n".join([*lines, line.rstrip(", ")])


def string(text):
    """Between the quotes of a string of C: UTF-8, anything but plain letters in octal, so no trigraph either."""
    return "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?%' else f"\\{byte:03o}" for byte in text.encode()
    )


def comment(text):
    """A line within a comment of C: ASCII that can neither end it nor begin another, nor be spliced to the next."""
    plain = unicodedata.normalize("NFKD", text.translate(str.maketrans(PLAIN)))
    plain = plain.encode("ascii", "ignore").decode().replace("\\", "/")
    plain = "".join(letter if letter.isprintable() else " " for letter in plain)
    for pair in ("*/", "/*", "??"):
        while pair in plain:
            plain = plain.replace(pair, " ".join(pair))
    return plain


def _about(parts, notes):
    """Lines of the heading: the table that an ONNX file has as its metadata, then `notes`."""
    lines = [f"{name:16} {value}" for name, value in parts.about.items() if name not in OF_ONNX]
    lines += ["", *notes.splitlines()] if notes else []
    return [f" * {comment(line)}".rstrip() for line in lines]
