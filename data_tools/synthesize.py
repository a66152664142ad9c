"""Command: render mixtures as WAV files, from recipe files or from recipes that it draws itself.

python -m data_tools.synthesize --bank ROOT --recipes FILE.yaml ... --out DIR
python -m data_tools.synthesize --bank ROOT --class babycry --subset devtrain -n 5000 --seed 42 --out DIR
python -m data_tools.synthesize --class babycry glassbreak gunshot --together -n 500 --out DIR
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from data_tools.audio import RESAMPLERS
from data_tools.console import Parser, Several, add_jobs, command, require_positive, subset_name
from data_tools.errors import InputError
from data_tools.files import atomic_write, exclusive, folder_size, remove_temporaries, require_space
from data_tools.mixture_files import MIXTURE_BYTES
from data_tools.official import SUBSET_NAMES
from data_tools.recipes import (
    EBR_DB,
    GENERATORS,
    NEGATIVE_PROB,
    Recipe,
    drop_screened,
    read_recipes,
    recipes_text,
    write_annotations,
)
from data_tools.several import draw_several, joined


@dataclass(frozen=True)
class RecipeSet:
    """The recipes of one file: `text` is all of them as YAML, `recipes` those that are left after screening."""

    file_name: str
    text: str
    recipes: list[Recipe]
    n_screened_out: int


def parse_arguments(argv=None):
    """Command line → namespace."""
    parser = Parser(
        "data_tools.synthesize",
        description="Render mixtures as mono 24-bit WAV files at 44.1 kHz, with their recipes (YAML) and event list "
        "beside them, in the formats of the DCASE 2017 rare-event synthesizer. Recipes come from files (--recipes) "
        "or are drawn (--class, --subset, -n, --seed). Run it again after an interruption: complete files are kept.",
    )
    sounds, draw, output, machine = (
        parser.add_argument_group(name)
        for name in ("sounds", "drawing recipes (without --recipes)", "output", "machine")
    )
    sounds.add_argument(
        "--bank",
        default="builtin",
        metavar="ROOT",
        help="builtin, a TUT Rare Sound Events 2017 folder, or a folder with events/CLASS/ and backgrounds/ "
        "(default: %(default)s)",
    )
    sounds.add_argument(
        "--resampler",
        choices=RESAMPLERS,
        default="soxr",
        help="for sounds not at 44.1 kHz; kaiser_best is the filter of 2017, for samples equal to the official ones "
        "(default: %(default)s)",
    )
    sounds.add_argument(
        "--no-screening",
        action="store_true",
        help="TUT: keep mixtures whose background itself contains the class (left out since the patch of June 2017)",
    )
    _add_drawing_options(draw)
    output.add_argument(
        "--recipes", action=Several, metavar="FILE", type=Path, help="render these recipe files (default: draw recipes)"
    )
    output.add_argument("--out", required=True, metavar="DIR", type=Path, help="folder to write, made if missing")
    add_jobs(machine, "processes that render")
    args = parser.parse_args(argv)
    if bool(args.recipes) == bool(args.classes):
        parser.error("give either --recipes FILE … or --class CLASS …")
    return args


def _add_drawing_options(draw):
    draw.add_argument("--class", dest="classes", action=Several, metavar="CLASS", help="classes of the events")
    draw.add_argument(
        "--together",
        action="store_true",
        help="mixtures of all these classes instead of one after another: each class is in them with "
        "--event-presence-prob, whatever the others do",
    )
    draw.add_argument(
        "--subset",
        choices=("train", "dev", "eval"),
        type=subset_name,
        default="train",
        help="subset of the sounds; the challenge's names devtrain, devtest and evaltest are known as well "
        "(default: %(default)s)",
    )
    draw.add_argument(
        "-n",
        metavar="N",
        type=int,
        default=500,
        help="mixtures of each class, or --together of all (default: %(default)s mixtures)",
    )
    draw.add_argument(
        "--seed", metavar="N", type=count, default=42, help="random seed of the recipes (default: %(default)s)"
    )
    draw.add_argument(
        "--generator",
        choices=GENERATORS,
        default="minirsed",
        help="minirsed: independent recipes; official: the random stream of the DCASE 2017 program "
        "(default: %(default)s)",
    )
    draw.add_argument(
        "--ebr-db",
        metavar="DB",
        action=Several,
        type=decibels,
        default=list(EBR_DB),
        help="event-to-background ratios to choose from (default: -6 0 6 dB)",
    )
    draw.add_argument(
        "--event-presence-prob",
        type=share,
        default=0.5,
        metavar="P",
        help="share of mixtures with an event, 0 … 1 (default: %(default)s)",
    )
    draw.add_argument(
        "--negatives",
        type=share,
        default=NEGATIVE_PROB,
        metavar="P",
        help="how likely a mixture has a sound of the folder negatives, 0 … 1; not with --generator official "
        "(default: %(default)s)",
    )


@command
def main(argv=None):
    """Parse, draw or read recipes, render, and print what was done."""
    args = parse_arguments(argv)
    require_positive(args, "jobs")
    if args.n < 1:
        raise InputError(f"-n is {args.n}: expected at least 1 mixture of each class")
    if args.together and args.recipes:
        raise InputError("--together: is for drawing recipes, not for those of --recipes")
    if not args.recipes:
        n = args.n * (1 if args.together else len(args.classes))
        require_space(args.out, n * MIXTURE_BYTES, f"{n} mixtures", there=folder_size(args.out))

    from tqdm import tqdm

    from data_tools.mixture_files import write_mixtures
    from data_tools.soundbank import open_bank

    bank = open_bank(args.bank, screening=not args.no_screening, resampler=args.resampler)
    sets = _read_sets(args.recipes, bank) if args.recipes else _draw_sets(args, bank)
    recipes = [recipe for recipe_set in sets for recipe in recipe_set.recipes]
    args.out.mkdir(parents=True, exist_ok=True)
    with exclusive(args.out / ".lock", "writing mixtures into"):
        remove_temporaries(args.out)
        for recipe_set in sets:
            _write_lists(args.out, recipe_set)
        files = write_mixtures(bank, recipes, args.out, args.jobs)
        written = sum(tqdm(files, total=len(recipes), unit="file", disable=None))
    screened_out = sum(recipe_set.n_screened_out for recipe_set in sets)
    print(f"{args.out}: {written} mixtures written, {len(recipes) - written} were there, {screened_out} screened out")


def _read_sets(paths, bank):
    """The recipe sets of files; InputError if two have the same name, since their lists would be one file."""
    sets = {}
    for path in paths:
        if path.name in sets:
            raise InputError(f"{path}: two recipe files have this name; give each its own --out")
        recipes = read_recipes(path)
        sets[path.name] = _screened(path.name, path.read_text(encoding="utf-8"), recipes, bank)
    return list(sets.values())


def _draw_sets(args, bank):
    """A recipe set for each class, or one for all together, drawn as the arguments say."""
    sets = []
    options = {"generator": args.generator, "ebr_db": args.ebr_db, "event_presence_prob": args.event_presence_prob}
    options["negative_prob"] = args.negatives
    for labels in [args.classes] if args.together else [[label] for label in args.classes]:
        recipes = draw_several(bank, labels, args.subset, args.n, args.seed, **options, screen=False)
        file_name = f"mixture_recipes_{SUBSET_NAMES[args.subset]}_{joined(labels)}.yaml"
        sets.append(_screened(file_name, recipes_text(recipes), recipes, bank))
    return sets


def _screened(file_name, text, recipes, bank):
    kept = drop_screened(recipes, bank)
    return RecipeSet(file_name, text, kept, len(recipes) - len(kept))


def _write_lists(folder, recipe_set):
    """Write recipe file and event list. InputError: the folder's recipe file holds others, and not just fewer."""
    path = folder / recipe_set.file_name
    if path.exists() and not recipe_set.text.startswith(path.read_text(encoding="utf-8")):
        raise InputError(f"{path}: holds other recipes; choose another --out or remove the old mixtures")
    with atomic_write(path, "w") as file:
        file.write(recipe_set.text)
    stem = path.stem.removeprefix("mixture_recipes_")
    write_annotations(folder / f"event_list_{stem}.csv", recipe_set.recipes)


def count(text):
    """Type of an argument: a whole number, 0 or more."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative, not {text}")
    return value


def share(text):
    """Type of an argument: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must lie in 0 to 1, not {text}")
    return value


def decibels(text):
    """Type of an argument: a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be finite, not {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
