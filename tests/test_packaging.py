"""The wheel: what is in it, and that it does the main job in a fresh environment: `python -m pytest -m slow -k wheel`.

It needs the network for the dependencies.
"""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import soundfile

from tests.conftest import tones

ROOT = Path(__file__).parents[1]
PACKAGES = ("data_tools", "minirsed")
TINY = ["--clips", "8", "--dev-clips", "6", "--epochs", "2", "--units", "4", "--layers", "1", "--jobs", "1"]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a clone")]


def run(*command, cwd):
    """Standard output of a command that must succeed; it sees nothing of this folder or of this environment."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def sources():
    """Files that git tracks or would add, relative to the root; what lies here from earlier builds is none of them."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    return [PurePosixPath(name) for name in listed if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, because setuptools would pack what an earlier build has left in `build/`."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in sources():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", out, copy, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The Python of a fresh environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    path = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(path, "-m", "pip", "install", "-q", wheel, cwd=folder)
    return path


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    """Every module and every data file; of the rest, pages for people who read the source may stay out."""
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not re.match(r"[^/]+\.dist-info/", name)}
    expected = {str(name) for name in sources() if name.parts[0] in PACKAGES and name.suffix != ".md"}
    assert {name for name in packed if not name.endswith(".md")} == expected
    assert any(not name.endswith(".py") for name in expected)


def test_wheel_trains_and_detects_elsewhere(python, tmp_path):
    empty = tmp_path / "somewhere else"
    empty.mkdir()
    code = "import data_tools, minirsed; print(data_tools.__file__); print(minirsed.__file__)"
    for path in run(python, "-c", code, cwd=empty).splitlines():
        assert Path(path).is_relative_to(python.parents[1])
    assert "last epoch" in run(python, "-m", "minirsed.train", "babycry", *TINY, cwd=empty)
    soundfile.write(empty / "a sound.wav", tones(3, [(1.0, 2.0)]), 44100)
    told = json.loads(
        run(python, "-m", "minirsed.detect", "runs/babycry", "a sound.wav", "--format", "json", cwd=empty)
    )
    assert Path(told["file"]).name == "a sound.wav" and told["label"] == "babycry" and told["duration_s"] == 3.0
    run(python, "-m", "minirsed.report", "runs/babycry", "--examples", "1", "-o", "page.html", cwd=empty)
    assert (empty / "page.html").stat().st_size > 100_000
    assert {path.name for path in empty.iterdir()} == {"runs", "features", "a sound.wav", "page.html"}


def test_wheel_commands_explain_themselves(wheel, python, tmp_path):
    """Every module of the wheel that is a command, and every program that it installs."""
    commands = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".py") and '__name__ == "__main__"' in archive.read(name).decode():
                module = name.removesuffix(".py").removesuffix("/__main__").replace("/", ".")
                commands.append([python, "-m", module])
        programs = configparser.ConfigParser()
        for name in archive.namelist():
            if name.endswith(".dist-info/entry_points.txt"):
                programs.read_string(archive.read(name).decode())
        if "console_scripts" in programs:
            commands += [[shutil.which(name, path=python.parent)] for name in programs["console_scripts"]]
    assert len(commands) >= 9
    for command in commands:
        assert run(*command, "-h", cwd=tmp_path).startswith("usage: "), command
