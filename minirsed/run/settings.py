"""Every setting of a training run: its default, its unit, its check; the command line is made from it."""

import dataclasses
import math
import os
from dataclasses import dataclass, field

from data_tools.errors import InputError
from minirsed.listening.inputs import INPUTS
from minirsed.model import RULES
from minirsed.multires import ARCHITECTURES
from minirsed.rivals.encoders import ENCODERS

GENERATORS = ("minirsed", "official")
HEADS = ("attention", "frames")
DTYPES = ("float32", "float16")
MIXINGS, FRAME_LOSSES, SCHEDULES, KEPT = (
    ("waveforms", "spectra"),
    ("event", "all"),
    ("constant", "cosine"),
    ("best", "last", "promise"),
)
NEED_SPECTRA = (  # settings of `minirsed.outside`; where waveforms are mixed they must be as in the paper
    *("inputs", "whitening", "members", "frame_loss", "onset_weight", "schedule", "average", "stretch", "pitch_bands"),
    *("pieces", "event_equaliser_db", "distance", "second_background", "other_events", "other_classes", "low_pass"),
    *("input_noise", "weight_decay", "everyday"),
)
KIND_NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


GROUPS = ("data", "model", "training", "augmentation", "elsewhere")  # of settings, in the order of `-h`
RENAMED = {"clip_norm": "max_grad_norm"}  # settings by the names that older runs have written


def _setting(group, default, help_text, *, low=None, high=None, choices=None, unit=None, metavar="PATH"):
    """A dataclass field with what `-h` says of it and the range that `TrainSettings` accepts."""
    about = {"group": group, "help": help_text, "low": low, "high": high, "choices": choices, "unit": unit}
    about["metavar"] = metavar  # of a text
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class TrainSettings:
    """Settings of `python -m minirsed.train`; defaults are those of the preset `plain`.

    `complete(PRESETS["quick"], {"label": "babycry"})` gives those of the command line.

    Raises
    ------
    InputError
        A value out of range, named with what was expected.
    """

    label: str = _setting("data", "babycry", "class to detect, or several: babycry, glassbreak, gunshot, or of --data")
    labels: tuple = _setting("data", (), "several classes, one after the other; `label` is then a name for them all")
    data: str = _setting(
        "data", "builtin", "builtin, a TUT Rare Sound Events 2017 folder, or a folder of your own sounds"
    )
    fold: str = _setting(
        "data",
        "",
        "take fold K of N as dev, the others as train (default: none)",
        metavar="K/N",
    )
    arch: str = _setting(
        "model",
        "multires",
        "recurrent layers of the paper (Sec. 3), or what it is compared with: the networks of the DCASE 2017 baseline "
        "(mlp), of first (crnn1d) and second place (crnn), which set --head frames and their own size and step",
        choices=tuple(ENCODERS),
    )
    layers: int = _setting("model", 3, "recurrent or dense layers", low=1, unit="layers")
    units: int = _setting("model", 64, "units of a layer, in each direction", low=1, unit="units")
    head: str = _setting(
        "model",
        "attention",
        "attention: utterance and frame loss, as in the paper; frames: frame loss alone, over all frames of all clips, "
        "and clip probability = maximum of the median-filtered frame probabilities",
        choices=HEADS,
    )
    n_mels: int = _setting("model", 64, "mel bands of the features", low=1, unit="bands")
    inputs: str = _setting(
        "elsewhere",
        "lfbe",
        "what the network sees: the paper's features (lfbe), or what neither gain nor a sample rate of 16 kHz changes: "
        "power relative to a running level (relative, every 46 ms); or hardly changes: per-channel energy "
        "normalisation (pcen, as often)",
        choices=tuple(INPUTS),
    )
    whitening: float = _setting(
        "elsewhere", 0.0, "decorrelate the inputs, with this added to each variance (1 in the mean); 0: do not", low=0.0
    )
    members: int = _setting("elsewhere", 1, "networks trained side by side and joined into one", low=1, unit="networks")
    rule: str = _setting(
        "elsewhere",
        "longest",
        "what becomes an event: the longest run of active frames in a clip with p above a threshold, as in the paper, "
        "or the strongest segment, by the evidence of its frames",
        choices=RULES,
    )
    onset_lead: float = _setting(
        "elsewhere",
        0.0,
        "how long before its first frame the strongest segment begins, since in noise a beginning drowns",
        low=0.0,
        high=1.0,
        unit="s",
    )
    memory: float = _setting(
        "elsewhere",
        0.0,
        "time in which the evidence for a segment fades, so that long doubt does not outweigh a short, sure sound; 0: "
        "it adds up without end",
        low=0.0,
        high=30.0,
        unit="s",
    )
    init_from: str = _setting(
        "elsewhere",
        "",
        "run folder or detector whose weights and feature statistics to start from; of several classes each has the "
        "event vector of its name, and 0 if there is none (default: none)",
    )
    alpha: float = _setting("training", 1.0, "weight of the frame loss against the utterance loss (paper: α)", low=0.0)
    frame_loss: str = _setting(
        "elsewhere",
        "event",
        "frames that count in it: those near the event, as in the paper, or all, those of clips without an event too",
        choices=FRAME_LOSSES,
    )
    onset_weight: float = _setting(
        "elsewhere", 1.0, "how much more the frames within 0.5 s of an onset count in it", low=0.0
    )
    clips: int = _setting("data", 600, "training mixtures an epoch, half with an event", low=2, unit="clips")
    dev_clips: int = _setting("data", 200, "development mixtures, to choose an epoch on", low=2, unit="clips")
    epochs: int = _setting("training", 12, "passes over the training mixtures", low=1, unit="epochs")
    batch_size: int = _setting("training", 10, "mixtures per update", low=1, unit="clips")
    learning_rate: float = _setting("training", 2e-3, "step size of Adam", low=1e-12, high=1.0)
    schedule: str = _setting(
        "elsewhere", "constant", "the step size: constant, or rising for a tenth of the updates and then falling to 0 "
        "along a cosine", choices=SCHEDULES,
    )  # fmt: skip
    average: float = _setting(
        "elsewhere", 0.0, "keep a running average of the weights that forgets 1 − X of itself an update; 0: none",
        low=0.0, high=0.9999,
    )  # fmt: skip
    keep: str = _setting(
        "elsewhere",
        "best",
        "the epoch to keep: the best on dev, the last, or (promise) the one that misses least on dev with thresholds "
        "for --alarms-per-hour; without this option it is promise where the sounds have dev recordings or negatives",
        choices=KEPT,
    )
    alarms_per_hour: float = _setting(
        "elsewhere", 0.5, "the promise: false alarms an hour, at most", low=1e-6, unit="alarms"
    )
    max_grad_norm: float = _setting(
        "training", 1.0, "scale gradients with a larger joint norm down to this norm; 0: never", low=0.0
    )
    equaliser_db: float = _setting(
        "augmentation",
        4.0,
        "random equaliser on training clips: standard deviation of its gains; 0: none",
        low=0.0,
        unit="dB",
    )
    mask_bands: int = _setting(
        "augmentation", 12, "mask up to this many neighbouring mel bands of a training clip", low=0, unit="bands"
    )
    stretch: float = _setting(
        "elsewhere", 0.0, "play events up to e^X times as fast or slow, at their pitch", low=0.0, high=1.0
    )
    pitch_bands: float = _setting(
        "elsewhere", 0.0, "shift events up to this far up or down, at their length", low=0.0, unit="mel bands"
    )
    pieces: float = _setting(
        "elsewhere",
        0.0,
        "how likely an event is cut short, and repeated up to twice with pauses of up to 0.5 s",
        low=0.0,
        high=1.0,
    )
    event_equaliser_db: float = _setting(
        "elsewhere", 0.0, "the equaliser, on the event alone; 0: none", low=0.0, unit="dB"
    )
    distance: float = _setting(
        "elsewhere",
        0.0,
        "how likely an event is far away: in a room, and without its highest frequencies",
        low=0.0,
        high=1.0,
    )
    event_share: float = _setting(
        "elsewhere",
        0.5,
        "how many of the training clips have the event, of several classes that of each, whatever the others have",
        low=0.0,
        high=1.0,
    )
    second_background: float = _setting(
        "elsewhere", 0.0, "how likely a clip has a second background, at -10 to 3 dB", low=0.0, high=1.0
    )
    other_events: float = _setting(
        "elsewhere",
        0.0,
        "how likely a clip has one or two sounds that are not to be found: of the folder negatives, events of other "
        "classes",
        low=0.0,
        high=1.0,
    )
    other_classes: str = _setting(
        "elsewhere", "yes", "whether events of other classes are such sounds", choices=("yes", "no")
    )
    negatives: float = _setting(
        "elsewhere",
        0.3,
        "how likely a mixture of waveforms, as dev and eval have them, has one of the folder negatives",
        low=0.0,
        high=1.0,
    )
    everyday: float = _setting(
        "elsewhere",
        0.0,
        "how likely a clip is in a quiet place, where up to four of the built-in everyday sounds are heard, barks, "
        "doors, clicks, tones …; for built-in classes only",
        low=0.0,
        high=1.0,
    )
    low_pass: float = _setting("elsewhere", 0.0, "how likely a clip is low-passed, at 3 to 16 kHz", low=0.0, high=1.0)
    input_noise: float = _setting(
        "elsewhere", 0.0, "standard deviation of noise on the normalised inputs of training clips; 0: none", low=0.0
    )
    weight_decay: float = _setting(
        "elsewhere", 0.0, "share of each matrix taken off in an update, times the step size; 0: none", low=0.0, high=1.0
    )
    ebr_db: tuple = _setting(
        "data",
        (-6.0, 0.0, 6.0),  # the task's
        "event-to-background ratios that mixtures are drawn with; ready-made mixtures keep their own",
        unit="dB",
    )
    seed: int = _setting(
        "training", 0, "random seed of the mixtures, the initial weights and the order of the clips", low=0
    )
    mixing: str = _setting(
        "elsewhere",
        "waveforms",
        "training mixtures: of waveforms, once, 30 s long, as in the paper, or of spectra, a new clip every time",
        choices=MIXINGS,
    )
    clip_s: float = _setting(
        "elsewhere", 10.0, "length of a training clip where spectra are mixed", low=0.1, high=30.0, unit="s"
    )
    backgrounds: int = _setting(
        "elsewhere", 600, "pieces of background, 30 s each, that such clips are cut from, at most", low=1, unit="pieces"
    )
    generator: str = _setting(
        "data",
        "minirsed",
        "how training mixtures are drawn: independently (minirsed) or as in the challenge (official)",
        choices=GENERATORS,
    )
    redraw: bool = _setting(
        "data", False, "draw new training mixtures for every epoch; their features are computed each time"
    )
    feature_dtype: str = _setting("data", "float32", "features on disk; float16 takes half the space", choices=DTYPES)

    def __post_init__(self):
        """Check ranges and choices."""
        for name in ("labels", "ebr_db"):
            if isinstance(getattr(self, name), list):  # JSON has no tuples
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.labels:
            check_labels(self.labels)
            object.__setattr__(self, "label", one_name(self.labels))
        for setting in dataclasses.fields(self):
            if setting.name != "labels":
                check(setting, getattr(self, setting.name))
        least = ENCODERS[self.arch].least_inputs
        if self.n_mels < least:
            raise InputError(f"--n-mels is {self.n_mels}: --arch {self.arch} needs at least {least} bands")
        if self.mixing == "spectra":
            self._check_spectra()
        else:
            for setting in dataclasses.fields(self):
                if setting.name in NEED_SPECTRA and getattr(self, setting.name) != setting.default:
                    raise InputError(
                        f"{option_name(setting.name)} needs --mixing spectra; --preset plain is without both"
                    )
        if self.fold:
            from data_tools.banks.folds import parse_fold  # it loads NumPy, for which -h should not wait

            parse_fold(self.fold)
        if self.labels and self.generator != "minirsed":
            raise InputError(f"--generator {self.generator}: makes mixtures of one class, not of {len(self.labels)}")
        if self.labels and self.keep == "promise":
            raise InputError("--keep promise: chooses thresholds for one class; train several with --keep best or last")
        if self.redraw and self.generator != "minirsed":
            raise InputError("--redraw needs --generator minirsed: the official one knows one set of mixtures a seed")

    @property
    def classes(self):
        """The classes to detect: tuple of str."""
        return self.labels or (self.label,)

    @property
    def network(self):
        """What is trained, in words: multires, 4 networks of 3 × 32 units."""
        networks = f"{self.members} networks of " if self.members > 1 else ""
        return f"{self.arch}, {networks}{self.layers} × {self.units} units"

    def _check_spectra(self):
        if self.arch not in ARCHITECTURES:
            raise InputError(f"--mixing spectra needs --arch uni, bi or multires, not {self.arch}")
        if self.generator != "minirsed" or self.redraw:
            other = "--redraw" if self.redraw else f"--generator {self.generator}"
            raise InputError(f"{other} needs --mixing waveforms, as --preset plain has it")


def of_classes(labels):
    """The settings that name the classes to detect, of a list of them."""
    return {"label": labels[0]} if len(labels) == 1 else {"label": one_name(labels), "labels": tuple(labels)}


def one_name(labels):
    """A name for several classes, for messages and folders: babycry+glassbreak."""
    from data_tools.several import joined  # it loads NumPy, for which -h should not wait

    return joined(labels)


def check_labels(labels):
    """Refuse several classes that are none."""
    are_names = isinstance(labels, tuple) and all(isinstance(label, str) and label for label in labels)
    if not are_names or len(labels) < 2:
        raise InputError(f"CLASS is {value_text(labels)!r}: expected names of classes")
    if len(set(labels)) < len(labels):
        raise InputError(f"CLASS is {value_text(labels)}: names a class twice")


def check(setting, value):
    """Refuse a value of another kind, or out of a field's range or choices, in one line with the option's name."""
    about, option, kind = setting.metadata, option_name(setting.name), type(setting.default)
    if kind is tuple:
        if not (isinstance(value, tuple) and value and all(map(_is_finite, value))):
            raise InputError(f"{option} is {value_text(value)}: expected one or more finite numbers")
        return
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):  # bool is an int in Python
        raise InputError(f"{option} is {value!r}: expected {KIND_NAMES[kind]}")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{option} is {value}: expected a finite number")
    if about["choices"] and value not in about["choices"]:
        raise InputError(f"{option} is {value!r}: expected one of {', '.join(about['choices'])}")
    if about["low"] is not None and not value >= about["low"]:
        raise InputError(f"{option} is {value}: expected at least {about['low']:g}")
    if about["high"] is not None and not value <= about["high"]:
        raise InputError(f"{option} is {value}: expected at most {about['high']:g}")


def _is_finite(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def value_text(value):
    """A value as the command line takes it: 0.5, uni, -6 0 6."""
    if isinstance(value, (tuple, list)):
        return " ".join(map(value_text, value))
    short = f"{value:g}" if isinstance(value, float) else ""
    return short if short and float(short) == value else str(value)


def option_name(name):
    """What the command line calls a setting: `batch_size` → `--batch-size`; the class is positional."""
    return "CLASS" if name in ("label", "labels") else "--" + name.replace("_", "-")


# The paper's own settings (Sec. 4.1, 4.2); it tells of no clipping of gradients and no augmentation.
_PAPER = {
    "units": 256, "learning_rate": 1e-4, "dev_clips": 500, "max_grad_norm": 0.0, "equaliser_db": 0.0, "mask_bands": 0,
}  # fmt: skip
# What holds outside the laboratory, see `minirsed.outside`: minutes on two cores.
_OUTSIDE = {
    "mixing": "spectra", "inputs": "relative", "whitening": 0.05, "members": 4, "units": 32, "rule": "strongest",
    "onset_lead": 0.2, "memory": 0.5,
    "clips": 2500, "epochs": 10, "learning_rate": 6e-3, "schedule": "cosine", "average": 0.99, "keep": "last",
    "alpha": 3.0, "frame_loss": "all", "onset_weight": 4.0,
    "mask_bands": 10, "stretch": 0.15, "pitch_bands": 1.5, "event_equaliser_db": 3.0,
    "second_background": 0.5, "other_events": 0.3, "everyday": 0.15, "low_pass": 0.4, "input_noise": 0.2,
    "weight_decay": 0.03,
}  # fmt: skip
_CLIPS = {"clips": 5000, "dev_clips": 500, "epochs": 15}
PRESETS = {
    "quick": _OUTSIDE,
    "plain": {},  # the defaults above: the paper's features, losses and rule, and small enough for two cores
    "paper-5k": {**_PAPER, **_CLIPS, "layers": 3},
    "paper-15k": {**_PAPER, "clips": 15000, "epochs": 10, "layers": 4},
    # of the DCASE 2017 baseline, as far as whole clips allow: it takes 256 frames at a time, two clips are 2606
    "baseline": {
        "arch": "mlp", "clips": 500, "generator": "official", "dev_clips": 500, "batch_size": 2, "epochs": 200,
        "equaliser_db": 0.0, "mask_bands": 0,
    },
    # of the challenge's first and second place, as far as they are known; clips and epochs are the paper's
    "winner": {"arch": "crnn1d", **_CLIPS, "equaliser_db": 0.0, "mask_bands": 0},
    "runner-up": {"arch": "crnn", **_CLIPS, "equaliser_db": 0.0, "mask_bands": 0},
}  # fmt: skip

# What an architecture has of its own, whatever the preset; options overrule it.
ARCH_SETTINGS = {
    "mlp": {
        "head": "frames", "n_mels": 40, "layers": 2, "units": 50, "learning_rate": 1e-3, "max_grad_norm": 0.0,
    },
    "crnn1d": {"head": "frames", "layers": 2, "units": 128, "learning_rate": 1e-3, "max_grad_norm": 0.0},
    "crnn": {"head": "frames", "layers": 2, "units": 32, "learning_rate": 1e-3, "max_grad_norm": 0.0},
}  # fmt: skip


def add_arguments(parser, leave_out=()):
    """Give a parser one option for each setting, in groups; unset ones stay out of the namespace.

    Parameters
    ----------
    parser : data_tools.console.Parser
    leave_out : collection of str
        Names of settings that get no option.

    Returns
    -------
    dict of str to argparse group
        For further options.
    """
    groups = {name: parser.add_argument_group(name) for name in GROUPS}
    for setting in dataclasses.fields(TrainSettings):
        if setting.name not in leave_out:
            _add_argument(groups[setting.metadata["group"]], setting)
    return groups


def _add_argument(group, setting):
    import argparse

    from data_tools.console import Several

    about, kind = setting.metadata, type(setting.default)
    if setting.name == "label":
        group.add_argument("label", nargs="+", metavar="CLASS", help=about["help"])
    if setting.name in ("label", "labels"):
        return
    options = {"default": argparse.SUPPRESS, "help": about["help"]}
    if kind is bool:
        group.add_argument(option_name(setting.name), action="store_true", **options)
        return
    unit = f" {about['unit']}" if about["unit"] else ""
    default = PRESETS["quick"].get(setting.name, setting.default)
    options["help"] += f" (default: {value_text(default)}{unit})" if default != "" else ""
    options |= {"type": float, "action": Several} if kind is tuple else {"type": kind}
    if about["choices"]:
        options["choices"] = about["choices"]
    else:
        options["metavar"] = {int: "N", float: "X", str: about["metavar"], tuple: "DB"}[kind]
    group.add_argument(option_name(setting.name), **options)


def from_arguments(namespace, preset):
    """Settings of a preset, overruled by what the architecture has of its own, and that by the options given."""
    return complete(PRESETS[preset], given_settings(namespace))


def given_settings(namespace):
    """The options that were given, by name of the setting."""
    names = {setting.name for setting in dataclasses.fields(TrainSettings)}
    given = {name: value for name, value in vars(namespace).items() if name in names}
    if isinstance(given.get("label"), list):
        given |= of_classes(given["label"])
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if given.get("data", "builtin") != "builtin":
        given["data"] = os.path.realpath(given["data"])  # a run must find its data again from any folder
    return given


def complete(preset, given):
    """`TrainSettings` of a dict of settings, what its architecture has of its own, and a dict that overrules both."""
    arch = given.get("arch", preset.get("arch"))
    if arch in ARCH_SETTINGS and preset.get("mixing") == "spectra":
        preset = PRESETS["plain"]  # what is trained on whole clips
    return TrainSettings(**{**preset, **ARCH_SETTINGS.get(arch, {}), **given})


def settings_from_file(values):
    """`TrainSettings` of a dict that a run of this or an earlier version has written.

    Raises
    ------
    InputError
        A value out of range.
    AttributeError, TypeError
        No dict, or one with an unknown name.
    """
    return TrainSettings(**{RENAMED.get(name, name): value for name, value in values.items()})
