"""The command line as a whole: help of every command, options in any order, how a command ends, any terminal."""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_tools.console import WIDTH, Parser, Several, command, subset_name
from data_tools.errors import REQUIRED, InputError, require_extra
from minirsed import __main__ as overview
from minirsed import __version__
from minirsed.run.folder import read_settings
from minirsed.run.settings import PRESETS, TrainSettings
from tests.conftest import tone_detector

ROOT = Path(__file__).parents[1]
MODULES = [f"{package}.{name}" for name, (package, _) in overview.COMMANDS.items()] + ["tutorials.build"]


def module_of(name):
    package = importlib.import_module(name)
    return importlib.import_module(f"{name}.__main__") if hasattr(package, "__path__") else package


def run(module, *words, **environment):
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
    )


def parser_of(name, monkeypatch):
    """The `Parser` that a command makes."""
    made = []

    def stop(self, *_):
        made.append(self)
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Parser, "parse_args", stop)
        module_of(name).parse_arguments([])
    return made[0]


# ---- help


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("columns", [WIDTH, 80])
def test_help(name, columns, monkeypatch, capsys):
    """One layout; numbers and choices with their default and its unit, flags without."""
    monkeypatch.setenv("COLUMNS", str(columns))
    parser = parser_of(name, monkeypatch)
    with pytest.raises(SystemExit) as stop:
        module_of(name).main(["-h"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and shown.startswith(f"usage: python -m {name}")
    assert max(map(len, shown.splitlines())) <= columns
    assert not re.search(r"\(default: (no|False|None|True|\[)", " ".join(shown.split()).replace("(default: none", ""))
    for action in parser._actions:
        assert action.help, action.dest
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        is_flag = action.nargs == 0
        needs_default = action.option_strings and not is_flag and not action.required
        if name == "data_tools.synthesize" and action.dest == "classes":
            needs_default = False  # required where there are no --recipes
        text = parser._get_formatter()._expand_help(action)
        count = len(re.findall(r"\(default: [^)]+\)$", text))
        assert count == text.count("(default") == (1 if needs_default else 0), f"{action.dest}: {text}"


def test_training_help_fits_two_screens(capsys, monkeypatch):
    from minirsed.train import __main__ as train

    monkeypatch.setenv("COLUMNS", str(WIDTH))  # otherwise that of a terminal, if there is one
    with pytest.raises(SystemExit):
        train.main(["-h"])
    shown = capsys.readouterr().out
    assert shown.count("\n") <= 100
    headings = re.findall(r"^(\w+):$", shown, re.M)
    assert headings == ["options", "data", "model", "training", "augmentation", "run", "machine"]  # not elsewhere
    table = shown[shown.index("The presets") :]
    assert re.search(r"quick +plain +paper-5k +paper-15k +baseline", table) and list(PRESETS)[5:] == [
        "winner",
        "runner-up",
    ]
    assert re.search(r"--clips +2500 +600 +5000 +15000 +500\n", table)
    assert re.search(r"--arch( +multires){4} +mlp\n", table)


@pytest.mark.parametrize("name", MODULES)
def test_a_number_of_processes_or_threads_has_one_name(name, monkeypatch):
    options = {option for action in parser_of(name, monkeypatch)._actions for option in action.option_strings}
    assert not options & {"--workers", "-j", "--clip-norm", "--label", "--n-jobs"}


# ---- options in any order


@pytest.mark.parametrize(
    ("name", "words", "expected"),
    [
        ("minirsed.train", "--ebr-db -18 -12 -6 babycry", {"label": ["babycry"], "ebr_db": [-18, -12, -6]}),
        ("minirsed.train", "--ebr-db -1e1 babycry --epochs 3", {"label": ["babycry"], "ebr_db": [-10], "epochs": 3}),
        ("minirsed.train", "babycry --ebr-db 0 --ebr-db=-6 --clips 8", {"ebr_db": [0, -6], "clips": 8}),
        ("minirsed.detect", "RUN --format csv -- -x.wav", {"paths": ["-x.wav"], "format": "csv"}),
        ("minirsed.detect", "RUN --format csv FILE", {"run": Path("RUN"), "paths": ["FILE"], "format": "csv"}),
        ("minirsed.detect", "--format csv RUN a b --out o c", {"paths": ["a", "b", "c"], "out": Path("o")}),
        ("minirsed.detect", "RUN --plot nights/ --out o", {"paths": ["nights/"], "plot": True}),
        ("minirsed.detect", "RUN --format csv -", {"paths": ["-"]}),
        ("minirsed.detect", "--live RUN", {"paths": [], "live": True}),
        ("minirsed.score", "truth.csv --json est.csv", {"lists": ["truth.csv", "est.csv"], "json": True}),
        ("minirsed.score", "--class a t.csv --class b e.csv", {"lists": ["t.csv", "e.csv"], "labels": ["a", "b"]}),
        ("minirsed.evaluate", "--clips 8 RUN --json", {"run": Path("RUN"), "clips": 8, "json": True}),
        ("minirsed.evaluate", "RUN --subset devtest", {"subset": "dev"}),
        ("minirsed.report", "RUN --subset evaluation", {"subset": "eval"}),
        ("minirsed.evaluate", "RUN", {"subset": "eval"}),
        ("minirsed.report", "RUN", {"subset": "eval"}),
        ("minirsed.export", "RUN m.onnx", {"run": Path("RUN"), "out": Path("m.onnx")}),
        ("minirsed.sweep", "--class a b --arch uni bi --seeds 0 1", {"label": ["a", "b"], "seed": [0, 1]}),
        ("minirsed.sweep", "--events a b --alpha 0.1 10", {"label": ["a", "b"], "alpha": [0.1, 10]}),
        ("minirsed.bench", "--against torch librosa --only gru", {"against": ["torch", "librosa"], "only": ["gru"]}),
        ("data_tools.download", "--subset eval DIR", {"subset": ["eval"], "folder": Path("DIR")}),
        ("data_tools.download", "DIR --subset development evaluation", {"subset": ["dev", "eval"]}),
        ("data_tools.synthesize", "--class a b --subset evaltest --out o", {"classes": ["a", "b"], "subset": "eval"}),
        ("data_tools.synthesize", "--recipes a b --jobs 2 --out o", {"recipes": [Path("a"), Path("b")], "jobs": 2}),
        ("tutorials.build", "03 --images 04", {"tutorial": ["03", "04"], "images": True}),
    ],
)
def test_options_stand_anywhere(name, words, expected):
    found = vars(module_of(name).parse_arguments(words.split()))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("minirsed.train", "babycry --ebr-db x", "--ebr-db: expected a number, not 'x'"),
        ("minirsed.train", "--ebr-db --epochs 3 babycry", "--ebr-db: expected a value"),
        ("minirsed.train", "babycry --epochs many", "--epochs: expected a whole number, not 'many'"),
        ("minirsed.train", "babycry --dog", "unrecognized arguments: --dog"),
        ("minirsed.train", "--epochs 3", "the following arguments are required: CLASS"),
        ("minirsed.train", "babycry --epoch 3", "unrecognized arguments: --epoch 3; did you mean --epochs?"),
        ("minirsed.train", "babycry --clip-norm 1", "unrecognized arguments: --clip-norm 1 ("),
        ("minirsed.train", "babycry --workers 2", "unrecognized arguments: --workers 2 ("),
        ("minirsed.detect", "RUN --live x.wav", "give either recordings or --live"),
        ("minirsed.sweep", "--arch uni tri", "--arch: invalid choice: 'tri'"),
        ("data_tools.download", "--subset test DIR", "--subset: invalid choice: 'test'"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(name, words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        module_of(name).main(words.split())
    printed = capsys.readouterr()
    assert stop.value.code == 2 and not printed.out and printed.err.count("\n") == 1
    assert printed.err.startswith(f"{name}: error: {message}"), printed.err


def test_a_list_replaces_its_default():
    parser = Parser("x", description="")
    parser.add_argument("--n", action=Several, type=int, default=[7], metavar="N")
    assert parser.parse_args([]).n == [7]
    assert parser.parse_args(["--n", "1", "2"]).n == [1, 2] and parser.parse_args([]).n == [7]


def test_names_of_subsets():
    official = {"devtrain": "train", "devtest": "dev", "evaltest": "eval", "development": "dev", "evaluation": "eval"}
    assert {name: subset_name(name) for name in official} == official
    assert [subset_name(name) for name in ("train", "dev", "eval", "test")] == ["train", "dev", "eval", "test"]


def test_errors_of_settings_use_the_names_of_options():
    with pytest.raises(InputError, match="^--max-grad-norm is -1.0: expected at least 0$"):
        TrainSettings(max_grad_norm=-1.0)
    with pytest.raises(InputError, match="^CLASS is 3: expected a text$"):
        TrainSettings(label=3)


def test_settings_of_before_a_renaming_load(tmp_path):
    """`clip_norm`, which became `max_grad_norm`; what was never a setting is refused as before."""
    for name, value in (("clip_norm", 0.25), ("max_grad_norm", 0.25)):
        (tmp_path / "config.json").write_text(json.dumps({"settings": {"label": "ping", name: value}}))
        assert read_settings(tmp_path) == TrainSettings(label="ping", max_grad_norm=0.25)
    for damaged in ({"label": "ping", "norm": 1.0}, {"clip_norm": "much"}, [1], 3):
        (tmp_path / "config.json").write_text(json.dumps({"settings": damaged}))
        with pytest.raises(InputError, match=r"config\.json: damaged, or of another version"):
            read_settings(tmp_path)


# ---- all commands behind one name


def test_overview_lists_every_command():
    shown = run("minirsed").stdout.decode()
    assert run("minirsed", "-h").stdout.decode() == shown
    listed = re.findall(r"^  (\w+) +\w", shown, re.M)
    folders = {path.parent.name for path in (ROOT / "minirsed").glob("*/__main__.py")}
    assert set(listed) == folders | {"synthesize", "download"} and len(listed) == len(set(listed))


def test_overview_runs_commands(capsys):
    for name in overview.COMMANDS:
        with pytest.raises(SystemExit) as stop:
            overview.main([name, "-h"])
        assert stop.value.code == 0 and f".{name} [options]" in capsys.readouterr().out
    overview.main(["--version"])
    assert capsys.readouterr().out == f"minirsed {__version__}\n"


@pytest.mark.parametrize(
    ("word", "advice"), [("trian", "did you mean train?"), ("xyz", "there are train, evaluate, "), ("-x", "there are ")]
)
def test_overview_knows_no_such_command(word, advice, capsys):
    with pytest.raises(SystemExit) as stop:
        overview.main([word])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith(f"minirsed: error: no command '{word}'; {advice}")
    assert error.count("\n") == 1


def test_console_script():
    """Of an installation: pyproject.toml names the function that `python -m minirsed` calls."""
    script = re.search(r'\[project\.scripts\]\nminirsed = "([\w.]+):(\w+)"', (ROOT / "pyproject.toml").read_text())
    assert getattr(importlib.import_module(script[1]), script[2]) is overview.main


# ---- how a command ends


@pytest.mark.parametrize("name", ["minirsed", *MODULES])
def test_every_command_ends_in_one_line(name):
    """By the decorator, whose own tests follow."""
    assert module_of(name).main.__wrapped__


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "\nx.y: stopped\n"),
        (KeyboardInterrupt("stopped; go home"), 130, "\nx.y: stopped; go home\n"),
        (InputError("a\nb"), 2, "x.y: error: a b\n"),
        (FileNotFoundError(2, "No such file", "f"), 2, "x.y: error: f: No such file\n"),
    ],
)
def test_errors_and_ctrl_c(error, status, message, capsys):
    def main():
        raise error

    main.__module__ = "x.y"
    with pytest.raises(SystemExit) as stop:
        command(main)()
    assert (stop.value.code, capsys.readouterr().err) == (status, message)


INTERRUPTED = """
import os, signal, sys
from {module} import {name}
def interrupted(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)  # as from the terminal
    for _ in range(10**7):  # and some work, into which it falls
        pass
{name}.{function} = interrupted
{command}.main({words})
"""


@pytest.mark.parametrize(
    ("command_name", "target", "words"),
    [
        ("minirsed.evaluate.__main__", "minirsed.run.folder.read_settings", ["RUN"]),
        ("minirsed.score.__main__", "minirsed.score.__main__.score_pair", ["a.csv", "b.csv"]),
        ("minirsed.bench.__main__", "minirsed.bench.__main__.measure", []),
        ("minirsed.export.__main__", "minirsed.export.__main__.require_writable", ["RUN", "m.onnx"]),
        ("minirsed.report.__main__", "minirsed.report.__main__.read_run", ["RUN"]),
        ("minirsed.sweep.__main__", "minirsed.sweep.__main__.describe", []),
        ("data_tools.synthesize", "data_tools.soundbank.open_bank", ["--class", "babycry", "--out", "o"]),
        ("data_tools.download.__main__", "data_tools.download.install.plan", ["DIR"]),
        ("tutorials.build", "tutorials.build.execute", ["01"]),
    ],
)
def test_ctrl_c_during_the_work(command_name, target, words, tmp_path):
    """A real signal in a real process: status 130 and one line."""
    module, _, function = target.rpartition(".")
    package, _, name = module.rpartition(".")
    code = f"import {command_name}\n" + INTERRUPTED.format(
        module=package, name=name, function=function, command=command_name, words=words
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
    result = subprocess.run([sys.executable, "-c", code], **options)
    assert result.returncode == 130, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert re.match(rf"{command_name.removesuffix('.__main__')}: stopped", line)


def test_workers_do_not_see_ctrl_c():
    """They would print tracebacks of their own."""
    import signal

    from data_tools.workers import spared_from_ctrl_c

    code = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    start = [sys.executable, "-c", code]
    before = signal.getsignal(signal.SIGINT)
    with spared_from_ctrl_c():
        inside = subprocess.run(start, capture_output=True, text=True).stdout
    assert inside == "True\n" and subprocess.run(start, capture_output=True, text=True).stdout == "False\n"
    assert signal.getsignal(signal.SIGINT) is before


# ---- libraries that are not installed


def test_require_extra():
    assert require_extra("x", "it", "json") is importlib.import_module("json")
    with pytest.raises(InputError) as caught:
        require_extra("live", "--live", "json", "no_such_module_here")
    assert str(caught.value) == '--live needs no_such_module_here: python -m pip install -e ".[live]"'


@pytest.mark.parametrize(
    ("name", "words", "library", "message"),
    [
        (
            "minirsed.train",
            ["babycry", "--tensorboard"],
            "tensorboardX",
            '--tensorboard needs tensorboardX: {}tensorboard]"',
        ),
        (
            "minirsed.train",
            ["babycry", "--cluster", "tcp://x:1"],
            "distributed",
            '--cluster needs distributed: {}dask]"',
        ),
        ("minirsed.sweep", ["--cluster", "tcp://x:1"], "distributed", '--cluster needs distributed: {}dask]"'),
        (
            "minirsed.detect",
            ["RUN", "x", "--out", "o", "--cluster", "tcp://x:1"],
            "distributed",
            '--cluster needs distributed: {}dask]"',
        ),
        ("minirsed.detect", ["RUN", "--live"], "sounddevice", '--live needs sounddevice: {}live]"; on Linux '),
        ("minirsed.detect", ["RUN", "x", "--format", "jams"], "jams", '--format jams needs jams: {}jams]"'),
        ("tutorials.build", [], "jupytext", 'tutorials.build needs jupytext: {}tutorials]"'),
        ("minirsed.train", ["babycry"], "numba", "training needs numba: python -m pip install numba\n"),
        ("minirsed.train", ["babycry"], "matplotlib", "training needs matplotlib: python -m pip install matplotlib\n"),
        ("minirsed.sweep", [], "numba", "training needs numba: python -m pip install numba\n"),
    ],
)
def test_a_missing_library_is_noticed_before_any_work(name, words, library, message, tmp_path, capsys, monkeypatch):
    """Nothing is printed before, read (there is no RUN) or written; the advice is for a clone, quoted for zsh."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as stop:
        module_of(name).main(words)
    printed = capsys.readouterr()
    assert stop.value.code == 2 and not printed.out and not list(tmp_path.iterdir())
    assert printed.err.startswith(f"{name}: error: " + message.format('python -m pip install -e ".['))
    assert printed.err.count("\n") == 1


SYNTHESIZE = ["data_tools.synthesize", "--class", "babycry", "-n", "1", "--jobs", "1", "--out", "mixtures"]


@pytest.mark.parametrize(
    ("words", "library", "package"),
    [
        (["minirsed.train", "babycry", "--clips", "2"], "joblib", "joblib"),
        (["minirsed.train", "babycry", "--clips", "2"], "tqdm", "tqdm"),
        (["minirsed.detect", "tone.npz", "tone.wav"], "soxr", "soxr"),
        (["minirsed.detect", "tone.npz", "tone.wav"], "soundfile", "soundfile"),
        (["minirsed.detect", "tone.npz", "tone.wav"], "threadpoolctl", "threadpoolctl"),
        (["minirsed.mine", "tone.npz", "tone.wav"], "soxr", "soxr"),
        (SYNTHESIZE, "joblib", "joblib"),
    ],
)
def test_a_required_package_that_is_not_installed(words, library, package, tmp_path, capsys, monkeypatch):
    """Wherever a command comes upon it: one line, with what to install."""
    import soundfile

    monkeypatch.chdir(tmp_path)
    tone_detector("uni").save("tone.npz")
    soundfile.write("tone.wav", np.zeros(16000), 16000)
    name, *words = words
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SystemExit) as stop:
        module_of(name).main(words)
    said = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and said == f"{name}: error: it needs {library}: python -m pip install {package}"


def test_the_list_of_required_packages_is_that_of_the_project():
    tomllib = pytest.importorskip("tomllib", reason="from Python 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.match(r"[\w.-]+", each)[0] for each in project["dependencies"]} == set(REQUIRED.values())
    for module in REQUIRED:
        importlib.import_module(module)


def test_training_in_a_python_without_numba(tmp_path):
    script = "import sys; sys.modules['numba'] = None; from minirsed.__main__ import main; main(['train', 'babycry'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "") and not list(tmp_path.iterdir())
    assert ran.stderr == "minirsed.train: error: training needs numba: python -m pip install numba\n"


# ---- terminals


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1"])
def test_other_code_pages_degrade_characters(encoding):
    for name in MODULES:
        shown = run(name, "-h", PYTHONIOENCODING=encoding)
        assert shown.returncode == 0, shown.stderr
        assert "?" not in shown.stdout.decode(encoding).replace("did you mean", ""), name
    wrong = run("minirsed.train", "b\u00e4ren\u2013\u4e2d", "--clips", "2", PYTHONIOENCODING=encoding)
    assert wrong.returncode == 2 and b"Traceback" not in wrong.stderr and b"no class 'b" in wrong.stderr


def test_what_stands_for_a_character(capfdbinary):
    code = "from data_tools.console import command\ncommand(lambda: print('… × → −1 α √2 naïve ﬁ 中 \\udcff'))()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert shown.stdout == b"... x -> -1 alpha sqrt 2 naive fi ? \xff\n", shown.stderr
    shown = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"PYTHONIOENCODING": "utf-8"}, capture_output=True
    )
    assert shown.stdout == "… × → −1 α √2 naïve ﬁ 中 ".encode() + b"\xff\n", shown.stderr
