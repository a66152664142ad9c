"""Do the tables of minirsed/sweep/README.md say what the sweeps have left?

    python tests/benchmarks/tables.py sweeps/table1 sweeps/speed …

A table belongs to the command above it, under the same heading. A folder is that of a command if it has all of its
trainings, with their settings; where sounds that are not built in were does not matter. Each cell that the sweep
decides, rates and their differences, averages too, is made again from the counts in the folder and compared with the
text, digit by digit; a cell may leave out the interval, or the deviation too. Rows and columns that begin with * are
others' figures; what else the sweep does not have is wrong. A table of event_speed.py must stand in the
speed_SUBSET.md that it left, and no two may be the same one there. Tables whose folder is not given are counted apart.
Exit status 1 if anything differs, or if nothing could be compared.
"""

import argparse
import dataclasses
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # runs from a checkout, installed or not

from data_tools.console import command  # noqa: E402
from data_tools.errors import InputError  # noqa: E402
from minirsed.run.folder import CONFIG, read_settings  # noqa: E402
from minirsed.run.settings import given_settings  # noqa: E402
from minirsed.sweep.__main__ import parse_arguments as parse_sweep  # noqa: E402
from minirsed.sweep.jobs import RESULT, read_result  # noqa: E402
from minirsed.sweep.plan import AXES, plan  # noqa: E402
from minirsed.sweep.results import cell_text, system_labels, unique_systems  # noqa: E402
from minirsed.sweep.scores import average, gap, rows_of  # noqa: E402

README = ROOT / "minirsed" / "sweep" / "README.md"
NO_CELL = "no such cell"
SWEEP, SPEED = "python -m minirsed.sweep ", "python tests/benchmarks/event_speed.py "


class Table(NamedTuple):
    """A table of the text with the commands before it, the nearest last."""

    commands: list
    line: int  # number of its first
    rows: list  # of lists of cells, the header first


def tables_of(text):
    """All tables of a Markdown text that stand below a command, under the same heading of second order."""
    tables, commands, block, fence = [], [], [], None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line.startswith("```"):
            fence = None if fence is not None else []
        elif fence is not None:
            fence.append(line)
            if not line.endswith("\\"):
                commands.append(" ".join(part.removesuffix("\\").strip() for part in fence))
                fence = []
        elif line.startswith("## "):
            commands = []
        if fence is None and line.startswith("|"):
            if not block and commands:
                tables.append(Table(list(commands), number, block))
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set(line) - set("|-: "):
                block.append(cells)
        else:
            block = []
    return tables


def cells_of(words):
    """The trainings of a sweep's command."""
    arguments = parse_sweep(shlex.split(words.removeprefix(SWEEP)))
    others = {name: value for name, value in given_settings(arguments).items() if name not in AXES}
    return plan({name: getattr(arguments, name) for name in AXES}, arguments.preset, arguments.scale, **others)


def rows_in(folder, cells):
    """`rows_of` the cells of a command in a folder; None if it is of another."""

    def same(cell):
        own = folder / cell.name
        if not (own / RESULT).exists() or not (own / CONFIG).exists():
            return False
        found = read_settings(own)
        is_same_kind = (found.data == "builtin") == (cell.settings.data == "builtin")
        return is_same_kind and dataclasses.replace(found, data=cell.settings.data) == cell.settings

    return rows_of([(cell, read_result(folder / cell.name)) for cell in cells]) if all(map(same, cells)) else None


# ---- what a cell should say


def expected(rows, system, column, other=None, tuned=False):
    """Text of the figure that a row and a column name: `multires, eval`, `average`; None if it is not of the sweep.

    With `other`, the difference to that system; with `tuned`, at the thresholds of each training.
    """
    system, subset = split_subset(system)
    column, subset_of_column = split_subset(column)
    labels = system_labels(unique_systems(rows))
    own = _rows_named(rows, labels, system, column)
    subset = (subset or subset_of_column or "dev") + ("_tuned" if tuned else "")
    if not own or not all((subset, "error_rate") in row.scores for row in own):
        return None
    if other is None:
        figure = own[0].scores[subset, "error_rate"] if len(own) == 1 else average(own)[subset, "error_rate"]
        return cell_text(figure, "error_rate")
    theirs = _rows_named(rows, labels, other, column)
    return cell_text(gap(own, theirs, subset), "error_rate", "+") if len(theirs) == len(own) else None


def split_subset(name):
    """`multires, eval` → (`multires`, `eval`); None for the subset of a name that has none."""
    name, comma, subset = name.rpartition(", ")
    return (name, subset) if comma and subset in ("dev", "eval") else (name + comma + subset, None)


def _rows_named(rows, labels, system, column):
    """Rows of a system: that of an event, those of all for `average`, or at an α for `α = 0.1`."""
    events = {row.settings.label for row in rows}
    if column.startswith("α = "):
        system, column = f"{system}, {column}", "average"
    own = [row for row in rows if labels[row.system] == system and column in (row.settings.label, "average")]
    return own if column != "average" or len(own) == len(events) else []


def compared(table, rows):
    """Cells of a table that the sweep decides: list of (row, column, what the text says, what it should say)."""
    header, *body = table.rows
    found = []
    than = re.fullmatch(r"difference from (\w+), on the same mixtures", header[0])
    tuned = header[0].startswith("thresholds of each training")
    for name, *cells in body:
        if name.startswith("*"):
            continue
        system, _, other = name.partition(" − ")
        for column, cell in zip(header[1:], cells, strict=True):
            should = expected(rows, system, column, other or (than[1] if than else None), tuned)
            if cell and not column.startswith("*"):
                found.append((name, column, cell, NO_CELL if should is None else should))
    return found


def says(cell, should):
    """Whether a cell of the text is the figure; it may end before the interval or the deviation."""
    return should == cell or should.startswith((f"{cell} ±", f"{cell} ("))


# ---- the command


def check(text, folders):
    """Compare all tables of a text with the sweeps in some folders.

    Returns
    -------
    n_compared : int
        Cells.
    remarks : list of str
        A line for each cell that differs.
    left : list of int
        Where in the text the tables of sweeps begin whose folder was not given.
    """
    n_compared, remarks, left, taken = 0, [], [], set()
    for table in tables_of(text):
        nearest = table.commands[-1]
        if nearest.startswith(SPEED):
            found = speed_cells(table, folders, taken)
        elif nearest.startswith(SWEEP):
            cells = cells_of(nearest)
            rows = next((rows for folder in folders if (rows := rows_in(folder, cells)) is not None), None)
            found = compared(table, rows) if rows else None
        else:
            continue
        if found is None:
            left.append(table.line)
            continue
        n_compared += len(found)
        for row, column, cell, should in found:
            if not says(cell, should):
                remarks.append(f"line {table.line}, {row}, {column}: {cell}, should be {should}")
    return n_compared, remarks, left


def speed_cells(table, folders, taken):
    """As `compared`, of a table that event_speed.py has made of the sweep whose command stands before its own.

    Of the tables that the script left and that are not yet in the set `taken`, it is the most similar, which joins it;
    if none is left, all cells are wrong. None if no folder has them.
    """
    sweeps = [words for words in table.commands if words.startswith(SWEEP)]
    cells = cells_of(sweeps[-1])
    for folder in folders:
        if rows_in(folder, cells) is None:
            continue
        header, *body = table.rows
        own = {(name, place): cell for name, *cells in body for place, cell in enumerate(cells, 1)}
        blocks = ((path, block) for path in sorted(folder.glob("speed_*.md")) for block in enumerate(_blocks(path)))
        theirs = {(path, number): _by_place(rows) for path, (number, rows) in blocks}
        if theirs:
            left = [key for key in theirs if key not in taken]
            key = max(
                left, key=lambda key: sum(says(cell, theirs[key].get(at, "")) for at, cell in own.items()), default=None
            )
            taken.add(key)
            best = theirs.get(key, {})
            return [(at[0], header[at[1]], cell, best.get(at, NO_CELL)) for at, cell in own.items()]
    return None


def _blocks(path):
    """The tables of a file, each a list of rows."""
    for part in path.read_text(encoding="utf-8").split("\n\n"):
        if part.startswith("|"):
            yield [[cell.strip() for cell in line.strip("|").split("|")] for line in part.strip().splitlines()]


def _by_place(rows):
    """Cells by name of the row and number of the column."""
    return {(row[0], place): cell for row in rows for place, cell in enumerate(row[1:], 1)}


@command
def main(argv=None):
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of sweeps")
    parser.add_argument("--text", type=Path, default=README, help="Markdown (default: %(default)s)")
    arguments = parser.parse_args(argv)
    n_compared, remarks, left = check(arguments.text.read_text(encoding="utf-8"), arguments.folders)
    not_compared = f"; {len(left)} tables without a folder, at line {', '.join(map(str, left))}" if left else ""
    print(*remarks, f"{n_compared} cells compared, {len(remarks)} differ{not_compared}", sep="\n")
    if not n_compared:
        raise InputError(f"{arguments.text}: no table of a sweep in these folders")
    if remarks:
        sys.exit(1)


if __name__ == "__main__":
    main()
