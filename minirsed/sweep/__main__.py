"""Train over events, architectures, α and seeds, and put the scores into one table: `python -m minirsed.sweep`.

The tables and the figure of the paper are presets of it.
"""

import argparse
from pathlib import Path

from data_tools.console import Parser, Several, add_jobs, available_cores, command, counted, require_positive
from data_tools.errors import InputError, require
from minirsed.console.options import Progress, add_place, named
from minirsed.multires import ARCHITECTURES
from minirsed.rivals.encoders import ENCODERS
from minirsed.run.settings import HEADS, add_arguments, given_settings, value_text
from minirsed.sweep.plan import AXES, EVENTS, SWEEPS, plan, size_text, system_name

NUMBER_OF = {"label": "classes", "arch": "architectures", "head": "heads", "seed": "seeds"}


def parse_arguments(argv=None):
    """Command line → namespace; settings that were not given are absent from it."""
    parser = Parser(
        "minirsed.sweep",
        description="Train a detector for every combination of classes, architectures, heads, α, seeds, clips and "
        "layers, several at a time, and put their scores into tables and figures. It first says what this will cost. "
        "If it is stopped, in whatever way, the same command continues where it was.",
        epilog="Files left in the folder --out: table.md, table.csv, figure.png, curves.png, and a run folder for each "
        "combination, which minirsed.evaluate reads. The settings of the groups data, model, training and augmentation "
        "are those of minirsed.train and the same in every combination; only mlp, crnn and crnn1d keep their own "
        "layers, units and step size. Their defaults are those of the preset quick; the other presets are the paper's.",
    )
    add_axes(parser.add_argument_group("combinations"))
    add_arguments(parser, leave_out=AXES)
    run, machine = parser.add_argument_group("run"), parser.add_argument_group("machine")
    run.add_argument(
        "--preset",
        default="quick",
        choices=SWEEPS,
        help="table1, figure3, table2: those of the paper (Sec. 4) with its settings; quick: the quick preset of "
        "minirsed.train; options overrule it (default: %(default)s)",
    )
    run.add_argument(
        "--scale",
        metavar="S",
        type=float,
        default=1.0,
        help="shrink the preset to S of its clips, √S of its units, ∜S of its epochs, which is about S² of the work, "
        "and S of its development clips, but not below 200; Adam's step grows as the updates grow fewer, to 0.002 at "
        "most; gradients are clipped at norm 1 (default: %(default)g, the preset as it is)",
    )
    run.add_argument(
        "--evaluate",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also score on the evaluation mixtures; if neither is given, only the preset table2 does",
    )
    run.add_argument(
        "--than",
        metavar="SYSTEM",
        help="system whose error rate the others' are compared with, on the same mixtures, such as bi; if there are "
        "several α, clips or layers, each with that at its own (default: the system with the lowest)",
    )
    run.add_argument("--dry-run", action="store_true", help="say what would be done and what it costs, and stop")
    add_place(run, "--out", help="folder to write (default: sweeps/PRESET)")
    add_place(machine, "--features", help="folder that keeps computed features, 0.33 MB a clip (default: %(default)s)")
    add_jobs(machine, "processes that train, one training each; the cores are divided among them")
    add_place(
        machine,
        "--cluster",
        help="Dask scheduler whose workers prepare and train, tcp://HOST:8786; they need the extra dask, one thread "
        "each, and the sounds under the same absolute path. If they also see --out and --features under the same "
        "path, a worker that dies costs nothing (default: none, this machine does everything)",
    )
    arguments = parser.parse_args(argv)
    arguments.out = (arguments.out or Path("sweeps") / arguments.preset).absolute()
    arguments.features = arguments.features.absolute()
    return arguments


def add_axes(parser):
    """The lists that a sweep goes through."""
    parser.add_argument("--events", dest="label", action=Several, metavar="CLASS", help=argparse.SUPPRESS)
    axes = [
        ("label", "--class", "CLASS", str, None, f"classes to detect (default: {' '.join(EVENTS)})"),
        ("arch", "--arch", None, str, tuple(ENCODERS), "architectures (default: those of the preset)"),
        ("head", "--head", None, str, HEADS, "heads (default: attention for uni, bi and multires, else frames)"),
        ("alpha", "--alpha", "X", float, None, "weights of the frame loss (default: those of the preset)"),
        ("seed", "--seeds", "N", int, None, "random seeds (default: 0)"),
        ("clips", "--clips", "N", int, None, "numbers of training mixtures (default: that of the preset)"),
        ("layers", "--layers", "N", int, None, "numbers of recurrent layers (default: that of the preset)"),
    ]
    for name, option, metavar, kind, choices, text in axes:
        parser.add_argument(option, dest=name, metavar=metavar, type=kind, choices=choices, action=Several, help=text)


@command
def main(argv=None):
    """Run the command."""
    arguments = parse_arguments(argv)
    require_positive(arguments, "jobs")
    require("training", "numba", "matplotlib")
    if arguments.cluster:
        from minirsed.store.cluster import import_distributed

        import_distributed()
    try:
        with named(features=arguments.features, out=arguments.out):
            sweep(arguments)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command continues where it was") from None


def sweep(arguments):
    """Plan, say what it costs, prepare, train, put together."""
    axes = {name: getattr(arguments, name) for name in AXES}
    others = {name: value for name, value in given_settings(arguments).items() if name not in (*AXES, "labels")}
    cells = plan(axes, arguments.preset, arguments.scale, **others)
    systems = list(dict.fromkeys(system_name(cell.settings) for cell in cells))
    if arguments.than not in (None, *systems):
        raise InputError(f"--than {arguments.than}: no system of this sweep, which has {', '.join(systems)}")
    print(describe(cells, arguments), flush=True)
    from data_tools.files import exclusive
    from data_tools.soundbank import open_bank
    from minirsed.run.size import prepared_clips, require_room
    from minirsed.sweep.cost import estimate
    from minirsed.sweep.jobs import Jobs, check_cells, prepare_all, require_same_sounds

    cores, preset = available_cores(), SWEEPS[arguments.preset]
    n_jobs = min(arguments.jobs, len(cells))
    jobs = Jobs(
        out=arguments.out,
        features=arguments.features,
        n_jobs=n_jobs,
        n_threads=max(1, cores // n_jobs),
        evaluate=preset.evaluate if arguments.evaluate is None else arguments.evaluate,
        cluster=arguments.cluster,
    )
    for cell in cells:
        require_room(cell.settings, prepared_clips(cell.settings), jobs.features)
    unfinished = check_cells(cells, jobs)
    if len(unfinished) < len(cells):
        print(f"{len(cells) - len(unfinished)} of {len(cells)} are finished")
    if unfinished:
        bank = open_bank(cells[0].settings.data, fold=cells[0].settings.fold)
        for label in {cell.settings.label: None for cell in cells}:
            bank.events(label, "train")  # there is such a class, or this names those that there are
        require_same_sounds([cell for cell in cells if cell not in unfinished], jobs, bank)
        print("measuring what it will cost …", flush=True)
        print(cost_lines(estimate(unfinished, jobs, bank), jobs), flush=True)
    if arguments.dry_run:
        return
    jobs.out.mkdir(parents=True, exist_ok=True)
    with exclusive(jobs.out / "lock", "filling"):
        if unfinished:
            prepare_all(unfinished, jobs, bank, lambda title: Progress(title, "clip"))
        failed = train_all(unfinished, cells, jobs, bank) if unfinished else []
        put_together(cells, jobs, arguments.than)
    if failed:
        raise InputError(f"{len(failed)} of {len(cells)} trainings failed, see above; the same command tries again")


def train_all(unfinished, cells, jobs, bank):
    """Run the cells with a line for each; returns those that failed."""
    from minirsed.sweep.cluster import run_cells

    failed, n_done, width = [], len(cells) - len(unfinished), max(len(cell.name) for cell in cells)
    with Progress("training", "epoch") as progress:
        for cell, reason in run_cells(unfinished, jobs, bank, progress):
            progress.close()
            n_done += not reason
            failed += [cell] if reason else []
            print(f"{n_done:3}/{len(cells)}  {cell.name:{width}}  {reason or outcome(jobs.folder(cell))}", flush=True)
    return failed


def outcome(folder):
    """What a finished cell came to, in a line."""
    from minirsed.sweep.jobs import read_result

    result = read_result(folder)
    error_rate = result["dev"]["error_rate"]
    dev = "dev ER undefined" if error_rate is None else f"dev ER {error_rate:.2f}"
    return f"{dev}, best epoch {result['dev']['best_epoch']}, {duration(result['seconds'])}"


def put_together(cells, jobs, than=None):
    """Table and figure of the cells that are finished."""
    from minirsed.sweep.jobs import is_finished, read_result
    from minirsed.sweep.results import write_results

    finished = [cell for cell in cells if is_finished(jobs.folder(cell), jobs.evaluate)]
    if finished:
        results = [(cell, read_result(jobs.folder(cell))) for cell in finished]
        table, names = write_results(results, jobs.out, than, len(cells))
        print(f"\n{table}")
        print(f"{jobs.out}: {', '.join(names)}")


def describe(cells, arguments):
    """What a sweep consists of, in two or three lines."""
    counts = []
    paper = [cell for cell in cells if cell.settings.arch in ARCHITECTURES] or cells  # the others have one size
    for name in AXES:
        among = paper if name == "layers" else cells
        values = list(dict.fromkeys(getattr(cell.settings, name) for cell in among))
        if len(values) > 1:
            counts.append(f"{name if name not in NUMBER_OF else NUMBER_OF[name]} {value_text(values)}")
    preset = arguments.preset + (f" at scale {arguments.scale:g}" if arguments.scale != 1 else "")
    varied = f": {'; '.join(counts)}" if counts else f": {cells[0].name}"
    return f"{counted(len(cells), 'training')}{varied}\npreset {preset}: {size_text(paper[0].settings)}"


def cost_lines(cost, jobs):
    """What was measured, and what follows from it."""
    updates = ", ".join(
        f"{arch}{'' if head == 'attention' else f' ({head})'} {layers} × {units} {1000 * seconds:.0f} ms"
        for (arch, head, layers, units), seconds in cost.update_s.items()
    )
    where = f"{jobs.n_jobs} at a time, {counted(jobs.n_threads, 'thread')} each"
    if jobs.cluster:
        where = "if the cluster had no more than this machine"
    busy = f"load {cost.load:.1f} on {counted(cost.n_cores, 'core')} in the minute before"
    return (
        f"an update takes: {updates}\n"
        f"preparing {cost.n_mixtures} mixtures: about {duration(cost.preparing_s)}\n"
        f"training: about {duration(cost.training_s)} ({where})"
        + (f"\nmeasured on a busy machine, {busy}: alone on it, it may take less" if cost.is_busy else "")
    )


def duration(seconds):
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
