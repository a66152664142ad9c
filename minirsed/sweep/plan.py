"""Which trainings a sweep consists of: events × architectures × heads × α × seeds × clips × layers.

Data flow: settings → **plan** → `jobs` runs the cells → `results` puts them together.

A cell is one training, `TrainSettings` and the name of its folder. Two cells of one plan always differ in their
settings: what an architecture has no use for is left out of the grid.
"""

import dataclasses
import itertools
from dataclasses import dataclass, field

from data_tools.console import counted
from data_tools.errors import InputError
from minirsed.multires import ARCHITECTURES
from minirsed.run.settings import ARCH_SETTINGS, PRESETS, TrainSettings, complete, option_name, value_text

EVENTS = ("babycry", "glassbreak", "gunshot")  # Sec. 4
MIN_DEV_CLIPS = 200  # of a scaled plan: 100 events, steps of 0.01 in ER
LARGEST_STEP = 2e-3  # of Adam in a scaled plan; that of the plain preset
UNITS_STEP = 8  # units of a scaled plan are multiples of it

SUBSETS = {  # what cells are scored on, as a table calls it; the last two where evaluation mixtures are wanted
    "dev": "Development mixtures",
    "eval": "Evaluation mixtures",
    "dev_tuned": "Development mixtures, thresholds of each training chosen on them",
    "eval_tuned": "Evaluation mixtures, thresholds of each training chosen on development ones",
}
AXES = ("label", "arch", "head", "alpha", "seed", "clips", "layers")  # order of the grid, fields of TrainSettings


@dataclass(frozen=True)
class SweepPreset:
    """A table or figure of the paper: the preset of its trainings, and the values of the axes that it varies.

    `head` holds the heads in which an architecture is trained, where that is not its own alone.
    """

    train: str
    arch: tuple
    alpha: tuple = (1.0,)
    evaluate: bool = False  # also on the evaluation mixtures
    figure: bool = False
    head: dict = field(default_factory=dict)

    def systems(self, arch=None, head=None):
        """Pairs of an architecture and its head, None for its own; those of the preset where neither is given."""
        own = {} if arch or head else self.head
        return [(each, other) for each in arch or self.arch for other in own.get(each, head or (None,))]


# Table 1 does not say which α it has; 1 is the best in Fig. 3 and that of Table 2. The paper has one run of each.
SWEEPS = {
    "quick": SweepPreset("quick", ("multires",), (None,)),  # its own α
    "plain": SweepPreset("plain", ("multires",)),
    "table1": SweepPreset("paper-5k", ("uni", "bi", "multires")),
    "figure3": SweepPreset("paper-5k", ("uni", "bi", "multires"), (0.1, 0.5, 1.0, 5.0, 10.0), figure=True),
    # the paper's four rows, winners built after their systems (`minirsed.rivals`), and a fifth that is in no table: the
    # paper's head on the layers of the first place
    "table2": SweepPreset(
        "paper-15k", ("mlp", "multires", "crnn", "crnn1d"), evaluate=True, head={"crnn1d": (None, "attention")}
    ),
}


@dataclass(frozen=True)
class Cell:
    """One training of a sweep; `name` is that of its folder."""

    name: str
    settings: TrainSettings


def plan(axes, preset="quick", scale=1.0, **others):
    """All cells of a sweep.

    Parameters
    ----------
    axes : dict
        Values by name, any of `AXES`; what is missing has the preset's value, or the default of the training command.
    preset : str
        A key of `SWEEPS`.
    scale : float in (0, 1]
        See `scaled`.
    **others
        Further fields of `TrainSettings`, the same for all cells; they overrule the scale.

    Returns
    -------
    list of Cell

    Raises
    ------
    InputError
        A value out of range, or named twice on its axis.
    """
    sweep = SWEEPS[preset]
    shared = scaled(PRESETS[sweep.train], scale)
    grid = {"label": EVENTS, "alpha": sweep.alpha, "seed": (0,)}
    grid |= {name: tuple(values) for name, values in axes.items() if values is not None}
    for name, values in grid.items():
        if len(set(values)) != len(values):
            raise InputError(f"{axis_option(name)} {' '.join(map(str, values))} names a value twice")
    systems = sweep.systems(grid.pop("arch", None), grid.pop("head", None))
    labels, varied = grid.pop("label"), [name for name in AXES if name in grid]
    cells = {}
    for label, (arch, head), *values in itertools.product(labels, systems, *(grid[name] for name in varied)):
        chosen = {"label": label, "arch": arch, "head": head, **dict(zip(varied, values, strict=True))}
        chosen = {name: value for name, value in chosen.items() if value is not None}
        own = ARCH_SETTINGS.get(chosen["arch"], {}).keys() - {"head"}
        given = {name: value for name, value in {**others, **chosen}.items() if name not in own}
        settings = complete(shared, given)
        if settings.head == "frames":
            settings = dataclasses.replace(settings, alpha=1.0)  # there is nothing to weigh the frame loss against
        name = cell_name(settings)
        if cells.setdefault(name, Cell(name, settings)).settings != settings:
            raise InputError(f"two trainings would be called {name}: choose values that differ more")
    return list(cells.values())


def axis_option(name):
    """The option that gives the values of an axis."""
    return {"label": "--class", "seed": "--seeds"}.get(name, option_name(name))


def scaled(preset, scale):
    """The settings of a preset made smaller: S of its clips, √S of its units, ∜S of its epochs.

    The work shrinks about as S². There are S^1.25 as many updates, so Adam's step is divided by that,
    to `LARGEST_STEP` at most, and gradients are clipped at a joint norm of 1, as in the plain preset. Development
    mixtures, with which scores are measured, shrink like those of training, but to no fewer than `MIN_DEV_CLIPS`.
    S = 1 changes nothing.

    Raises
    ------
    InputError
        `scale` is not in (0, 1].
    """
    if not 0 < scale <= 1:
        raise InputError(f"--scale is {scale}: expected more than 0 and at most 1")
    if scale == 1:
        return dict(preset)
    full = TrainSettings(**preset)
    return preset | {
        "clips": max(2, round(full.clips * scale)),
        "dev_clips": min(full.dev_clips, max(MIN_DEV_CLIPS, round(full.dev_clips * scale))),
        "units": max(UNITS_STEP, UNITS_STEP * round(full.units * scale**0.5 / UNITS_STEP)),
        "epochs": max(1, round(full.epochs * scale**0.25)),
        "learning_rate": max(full.learning_rate, min(LARGEST_STEP, full.learning_rate / scale**1.25)),
        "max_grad_norm": 1.0,
    }


def cell_name(settings):
    """Folder of a cell: babycry-multires-alpha1-clips600-layers3-seed0."""
    head = "-frames" if settings.head == "frames" and settings.arch in ARCHITECTURES else ""
    alpha = f"-alpha{settings.alpha:g}" if settings.head == "attention" else ""
    size = f"-clips{settings.clips}-layers{settings.layers}"
    return f"{settings.label}-{settings.arch}{head}{alpha}{size}-seed{settings.seed}"


def system_name(settings):
    """What a table or legend calls the architecture; with its head where that is unusual."""
    if settings.arch not in ARCHITECTURES:
        return settings.arch if settings.head == "frames" else f"{settings.arch}, attention"
    return settings.arch if settings.head == "attention" else f"{settings.arch}, frames alone"


def size_text(settings):
    """How large a training is, and on which mixtures: what a table must say of its rows."""
    s = settings
    size = f"{s.clips} clips, {counted(s.epochs, 'epoch')}, {s.layers} × {s.units} units, step size {s.learning_rate:g}"
    ratios = f" at an EBR of {value_text(s.ebr_db)} dB" if s.ebr_db != TrainSettings().ebr_db else ""
    return f"{size}, {s.dev_clips} development clips, {s.data} sounds{ratios}"


def row_key(settings):
    """All that two cells of one row of the table have in common: everything but the seed."""
    return dataclasses.replace(settings, seed=0)
