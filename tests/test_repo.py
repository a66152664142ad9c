"""The house rules that a reader relies on: which way imports point, what an import costs, what the READMEs say."""

import ast
import functools
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.test_recordings import random_detector

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_tools", "minirsed")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
HEAVY = ("numba", "scipy", "matplotlib", "soundfile", "soxr", "joblib", "numpy")
COMMANDS = ("train", "evaluate", "score", "detect", "mine", "export", "report", "sweep", "clean", "bench")
READMES = [ROOT / "README.md", *(path for name in PACKAGES for path in sorted((ROOT / name).rglob("README.md")))]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "tests/golden-mixtures/README.md"]
TEXT = {path: path.read_text(encoding="utf-8") for path in PAGES}
README = TEXT[ROOT / "README.md"]


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def command_of(path):
    """The command to which a module belongs: train for train.py, sweep for a file of the folder sweep; else None."""
    parts = path.relative_to(ROOT / "minirsed").parts if path.is_relative_to(ROOT / "minirsed") else ("",)
    room = parts[0].removesuffix(".py")
    return room if room in COMMANDS else None


def imports(path, top_level_only=False):
    """Modules of the two packages that a module imports, inside its functions too unless told otherwise."""
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

    Imports inside functions count.
    """
    remaining = {name_of(path): set(imports(path)) for path in MODULES}
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
    assert crossing == {
        ("bench", "minirsed.export.graph"),  # times that file in its runtime
        ("report", "minirsed.evaluate.__main__"),
    }


UNSAFE = r"import pickle|allow_pickle=True|yaml\.(unsafe|full)_load|yaml\.load\((?!.*SafeLoader)|joblib\.(dump|load)\("


def test_the_corridor_points_one_way():
    """The order of the design: each module imports only what stands before it, commands come last."""
    corridor = (
        *("activations", "features", "losses", "gru", "multires", "attention"),
        *("rivals.mlp", "rivals.frames", "model"),
        *("store.archive", "decode", "detector", "adam"),
        "store.dataset",
        "augmentation.colouring",
        *("store.mixtures", "analysis.evaluation", "training"),
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


COMMAND = r"python -m ((?:minirsed|data_tools|tutorials)\.[a-z]\w*)"


def page_name(path):
    return path.relative_to(ROOT).as_posix()


each_page = pytest.mark.parametrize("path", PAGES, ids=page_name)


@functools.cache
def help_of(command, option="-h"):
    """The process that answers `-h`, with what it imports on its standard error."""
    words = [sys.executable, "-X", "importtime", "-m", command, option]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", sorted(set(re.findall(COMMAND, "".join(TEXT.values())))))
def test_commands_of_the_pages_exist(command):
    """The help of those of the packages comes at once, since it loads nothing that takes long."""
    result = help_of(command)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("usage:")
    loaded = set(re.findall(r"\| +(\w+)", result.stderr))
    assert "argparse" in loaded
    if not command.startswith("tutorials"):
        assert not loaded & {"distributed", "joblib", "matplotlib", "numba", "scipy", "soundfile"}


@each_page
def test_options_of_the_pages_exist(path):
    """In a command that is written out, that command must have the option; in a text, some command of ours must."""
    written_out = [*re.findall(r"```bash\n(.*?)```", TEXT[path], re.S), *re.findall(r"`([^`\n]+)`", TEXT[path])]
    for line in "\n".join(written_out).replace("\\\n", " ").splitlines():
        for command, arguments in re.findall(COMMAND + r"([^&|#]*)", line):
            missing = options(arguments) - options_of(command)
            assert not missing, f"{command} has no {missing}"
    if path in READMES:
        known = set().union(
            *(options(help_of(command).stdout) for command in re.findall(COMMAND, "".join(TEXT.values())))
        )
        assert options(re.sub(r"python -m pytest[^\n`]*", "", TEXT[path])) <= known


def options_of(command):
    """All options of a command, those that only `--help-all` shows too."""
    shown = options(help_of(command).stdout)
    return shown | (options(help_of(command, "--help-all").stdout) if "--help-all" in shown else set())


def options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text))


@each_page
def test_links_and_paths_of_the_pages_lead_somewhere(path):
    """Relative links, their anchors included, and the modules, tests and scripts that a page names."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", TEXT[path], flags=re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
        page = (path.parent / target).resolve() if target else path
        assert page.exists(), target
        if anchor:
            assert anchor in anchors(page.read_text(encoding="utf-8")), f"{target}#{anchor}"
    for target in re.findall(r"(?<![\w/])(?:minirsed|data_tools|tests|tutorials)/[\w/-]+\.(?:py|md)\b", TEXT[path]):
        assert "NN" in target or (ROOT / target).exists(), target


def anchors(text):
    """What a code host makes of the headings of a page: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(path):
    """Files to which a page links."""
    return {(path.parent / target).resolve() for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", TEXT[path])}


def test_the_front_page_links_to_every_page_and_each_of_them_back():
    front = ROOT / "README.md"
    assert {*READMES, ROOT / "CONTRIBUTING.md"} - {front} <= links(front)
    assert all(front in links(path) for path in READMES if path != front)


def test_front_page_is_short():
    assert len(README.splitlines()) <= 200
    assert len(README.encode()) <= 12_000


def test_pictures_of_the_front_page():
    """Small enough for a page that loads at once; true and detected events have the colours that the caption names."""
    import matplotlib.image

    from minirsed.analysis import plots

    pictures = [ROOT / name for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)]
    assert [path.name for path in pictures] == ["detections.png", "report.png", "05_learning.png"]
    limits = zip(pictures, (80_000, 60_000, 300_000), strict=True)  # bytes; the last one moves
    assert all(path.stat().st_size <= limit for path, limit in limits)
    orange = np.array([int(plots.FOUND[i : i + 2], 16) for i in (1, 3, 5)])
    green = 255 - 0.35 * (255 - np.array([int(plots.TRUTH[i : i + 2], 16) for i in (1, 3, 5)]))  # as draw_clip has it
    for path in pictures[:2]:
        pixels = 255 * matplotlib.image.imread(path)[:, :, :3]
        for colour in (orange, green):
            wanted = 200 if path == pictures[0] else 100  # the report's clips are a third of the size
            assert (np.abs(pixels - colour).max(axis=2) < 10).sum() > wanted, path


def code_lines(path):
    """Lines of a module that hold code: neither blank nor comment nor docstring."""
    source = path.read_text(encoding="utf-8")
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code, docstrings = set(), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            docstrings.update(range(node.lineno, node.end_lineno + 1))
    return len(code - docstrings)


def test_code_lines_are_those_of_code(tmp_path):
    path = tmp_path / "module.py"
    docstring, several = '"""Two lines\nof text."""\n\n# a comment\n', 'x = """a\nb"""  # code\n\n\n'
    path.write_text(docstring + several + 'def f():\n    "Text."\n    return (\n        1\n    )\n')
    assert code_lines(path) == 6


def test_the_paper_is_in_twelve_files():
    """Their table on the front page: lines of code are counted, sections of the paper are those that a file names."""
    rows = re.findall(r"^\| .* \| \[(\w+\.py)\]\(minirsed/\1\) \| (.*?) ?\| (\d+) \|$", README, re.M)
    counted = {name: code_lines(ROOT / "minirsed" / name) for name, _, _ in rows}
    assert len(counted) == 12
    assert {name: int(lines) for name, _, lines in rows} == counted
    assert f"{sum(counted.values()):,} lines" in README
    for name, sections, _ in rows:
        module_text = ast.get_docstring(ast.parse((ROOT / "minirsed" / name).read_text(encoding="utf-8")))
        for section in re.findall(r"\d(?:\.\d)?", sections):
            assert re.search(rf"(Sec\.|Fig\.|and|,) {re.escape(section)}(?!\.?\d)", module_text), f"{name}: {section}"


def test_gradient_check_of_the_readme_runs_and_prints_what_it_says(capsys):
    """Names, shapes and derivatives of its table; errors differ from machine to machine, but stay `ok`."""
    page = TEXT[ROOT / "minirsed/README.md"]
    code, shown = re.search(r"```python\n(import numpy.*?gradcheck.*?)```\n\n```\n(.*?)```", page, re.S).groups()
    exec(compile(code, "README.md", "exec"), {})
    printed = sorted(line.split()[:-2] for line in capsys.readouterr().out.splitlines()[1:])
    assert printed == sorted(line.split()[:-2] for line in shown.splitlines()[1:]) and len(printed) == 4


def test_use_from_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(import soundfile.*?)```", TEXT[ROOT / "minirsed/README.md"], re.S)[1]
    monkeypatch.chdir(tmp_path)
    Path("runs/babycry").mkdir(parents=True)
    random_detector("multires").save("runs/babycry/best.npz")
    y = np.random.default_rng(0).uniform(-0.5, 0.5, 44100)
    soundfile.write("recording.wav", y, 44100)
    soundfile.write("monday.flac", np.tile(y, 40), 44100)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    clip, whole, *parts = capsys.readouterr().out.splitlines()
    assert clip == str(names["detector"].detect(names["y"], 44100)[:3])
    assert whole.startswith("[Event(onset_s=") and len(parts) == 11


def test_file_maps_name_every_module_and_nothing_else():
    listed = [path for path, _ in file_map()]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(MODULES)


def test_a_file_imports_what_stands_above_it():
    """In the maps, or is indented under it: whoever reads on has met it, or meets it next."""
    order = list(file_map())
    names = [name_of(path) for path, _ in order]
    for number, (path, indentation) in enumerate(order):
        end = next((n for n in range(number + 1, len(order)) if order[n][1] <= indentation), len(order))
        if names[number].startswith("minirsed"):
            unseen = set(imports(path, top_level_only=True)) & set(names[end:])
            assert not unseen, f"{names[number]} imports {unseen}"


def file_map():
    """Each path of the packages' maps and its indentation; a folder is `__init__.py` and, last, `__main__.py`."""
    lines = []
    for package in PACKAGES:
        lines += re.search(rf"```\n({package}/ .*?)```", TEXT[ROOT / package / "README.md"], re.S)[1].splitlines()
    folders = []  # (indentation, path) of those that are open
    for line in [*lines, ""]:
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


WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "minirsed").rglob("*.py")
    if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.M)
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings_run(module, tmp_path, monkeypatch):
    import doctest
    import importlib

    monkeypatch.chdir(tmp_path)

    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("features", "lfbe frame_labels"),
        ("gru", "gru_forward gru_backward"),
        ("attention", "attention_weights attention_forward attention_backward"),
        ("losses", "utterance_loss_forward frame_loss_forward frame_loss_weights"),
        ("multires", "encoder_forward encoder_backward average_pairs average_pairs_backward replicate"),
        ("model", "loss_and_grads"),
        ("gradcheck", "compare"),
        ("adam", "Adam.update clip_by_global_norm"),
        ("decode", "decode"),
        ("scoring", "score"),
        ("analysis.uncertainty", "bootstrap_intervals compare"),
    ],
)
def test_what_notebooks_import_says_where_it_is_taught(module, names):
    """An example that runs (see above), and the notebook in which that function is built by hand and imported."""
    import importlib

    for name in names.split():
        about = importlib.import_module(f"minirsed.{module}")
        for part in name.split("."):
            about = getattr(about, part)
        assert ">>> " in about.__doc__, name
        taught = re.findall(r"`(tutorials/\d\d_\w+\.md)`", about.__doc__)
        assert taught and all(name.split(".")[0] in (ROOT / path).read_text(encoding="utf-8") for path in taught), name


def test_the_chapters_are_short():
    """The files at the top of minirsed, which are the paper: 1,150 lines of code together."""
    chapters = [path for path in (ROOT / "minirsed").glob("*.py") if not path.stem.startswith("__")]
    assert sum(map(code_lines, chapters)) <= 1150


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_longer_than_a_page(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
