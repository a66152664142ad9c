"""The house rules that a reader relies on: which way imports point, what an import costs, what the README says."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_tools", "minirsed")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = ("numba", "scipy", "matplotlib", "soundfile", "soxr", "joblib", "numpy")
COMMANDS = ("train", "evaluate", "score", "detect", "export", "report", "sweep", "bench")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def command_of(path):
    """The command to which a module belongs: train for train.py, sweep for a file of the folder sweep; else None."""
    parts = path.relative_to(ROOT / "minirsed").parts if path.is_relative_to(ROOT / "minirsed") else ("",)
    room = parts[0].removesuffix(".py")
    return room if room in COMMANDS else None


def imports(path, top_level_only=False):
    """Modules of the two packages that a module imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = {name_of(module) for module in MODULES}
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in full)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_data_tools_know_nothing_of_models(path):
    if name_of(path).startswith("data_tools"):
        assert not [name for name in imports(path) if name.split(".")[0] == "minirsed"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_kernels_import_numba(path):
    if not name_of(path).startswith("minirsed.kernels"):
        assert not [name for name in imports(path) if name.split(".")[0] == "numba"]


def test_imports_form_no_loop():
    """Nothing flows back: the modules can be put in one order in which each imports only earlier ones.

    Of imports at the top of a file; `SoundBank.from_folder` and its like import what they make when they are called.
    """
    remaining = {name_of(path): set(imports(path, top_level_only=True)) for path in MODULES}
    while remaining:
        ready = [name for name, needs in remaining.items() if not needs & (remaining.keys() - {name})]
        assert ready, f"import loop among {sorted(remaining)}"
        for name in ready:
            del remaining[name]


def test_a_command_stays_apart():
    """Nothing needs a command but those that are made of others, and nobody needs what is inside of its folder."""
    rooms = {name_of(path): command_of(path) for path in MODULES}
    needs = {(command_of(path), name) for path in MODULES for name in imports(path)}
    crossing = {(mine, name) for mine, name in needs if rooms.get(name) not in (None, mine)}
    commands = {("report", "evaluate"), ("sweep", "evaluate"), ("sweep", "train")}
    assert crossing == {(mine, f"minirsed.{name}.__main__") for mine, name in commands}


UNSAFE = r"import pickle|allow_pickle=True|yaml\.(unsafe|full)_load|yaml\.load\((?!.*SafeLoader)|joblib\.(dump|load)\("


def test_the_corridor_points_one_way():
    """The order of the design: each module imports only what stands before it, commands come last."""
    corridor = (
        *("activations", "features", "losses", "gru", "multires", "attention"),
        *("rivals.mlp", "rivals.frames", "model"),
        *("store.archive", "decode", "detector", "adam"),
        "store.dataset",
        "augmentation.colouring",
        *("analysis.evaluation", "training"),
    )
    place = {f"minirsed.{name}": number for number, name in enumerate(corridor)}
    for name, number in place.items():
        for needed in imports(ROOT / (name.replace(".", "/") + ".py")):
            assert place.get(needed, -1) < number, f"{name} imports {needed}"


@pytest.mark.parametrize(
    ("module", "allowed"),
    [("minirsed", ()), ("data_tools", ()), ("minirsed.scoring", ("numpy",)), ("minirsed.decode", ("numpy",))],
)
def test_importing_loads_nothing_heavy(module, allowed):
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) <= set(allowed)


def test_every_folder_of_modules_is_a_package():
    """One that is not would be left out of the wheel."""
    for folder in {path.parent for path in MODULES}:
        assert (folder / "__init__.py").exists(), folder


def test_no_pickle_anywhere():
    for path in MODULES:
        source = path.read_text(encoding="utf-8")
        assert not re.search(UNSAFE, source), path


@pytest.mark.parametrize("command", sorted(set(re.findall(r"python -m ((?:minirsed|data_tools)\.\w+)", README))))
def test_commands_of_the_readme_exist(command):
    """Their help comes at once, for it loads nothing that takes long."""
    words = [sys.executable, "-X", "importtime", "-m", command, "-h"]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage:")
    loaded = set(re.findall(r"\| +(\w+)", result.stderr))
    assert "argparse" in loaded and not loaded & {"distributed", "joblib", "matplotlib", "numba", "scipy", "soundfile"}


def test_gradient_check_of_the_readme_runs_and_prints_what_it_says(capsys):
    """Names, shapes and derivatives of its table; errors differ from machine to machine, but stay `ok`."""
    code, shown = re.search(r"```python\n(import numpy.*?gradcheck.*?)```\n\n```\n(.*?)```", README, re.S).groups()
    exec(compile(code, "README.md", "exec"), {})
    printed = sorted(line.split()[:-2] for line in capsys.readouterr().out.splitlines()[1:])
    assert printed == sorted(line.split()[:-2] for line in shown.splitlines()[1:]) and len(printed) == 4


def test_files_of_the_readme_exist():
    """Every relative link leads somewhere, and the file map names every module and nothing else."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    listed = [path for path, _ in file_map()]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(MODULES)


def test_a_file_imports_what_stands_above_it():
    """In the README's map, or is indented under it: whoever reads on has met it, or meets it next."""
    order = list(file_map())
    names = [name_of(path) for path, _ in order]
    for number, (path, indentation) in enumerate(order):
        end = next((n for n in range(number + 1, len(order)) if order[n][1] <= indentation), len(order))
        if names[number].startswith("minirsed"):
            unseen = set(imports(path, top_level_only=True)) & set(names[end:])
            assert not unseen, f"{names[number]} imports {unseen}"


def file_map():
    """Each path of the README's map and its indentation; a folder is its `__init__.py` and, last, its `__main__.py`."""
    folders = []  # (indentation, path) of those that are open
    for line in [*re.search(r"```\n(data_tools/ .*?)```", README, re.S)[1].splitlines(), ""]:
        indentation = len(line) - len(line.lstrip())
        while folders and indentation <= folders[-1][0]:
            inside, folder = folders.pop()
            if (folder / "__main__.py").exists():
                yield folder / "__main__.py", inside + 1
        here = folders[-1][1] if folders else ROOT
        for name in re.findall(r"[\w/]+(?:\.py\b|/(?= ))", line):
            if name.endswith("/"):
                folders.append((indentation, here / name))
            yield here / name / "__init__.py" if name.endswith("/") else here / name, indentation


@pytest.mark.parametrize("module", ["minirsed.gradcheck", "minirsed.detector"])
def test_examples_in_docstrings_run(module):
    import doctest
    import importlib

    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed
