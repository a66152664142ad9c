"""A day with every command, as somebody types them at a terminal: options in any order, Ctrl-C in whatever takes long.

Each command runs in a pseudo-terminal of its own, in which Ctrl-C is a key. They build on each other, so they are one
test; what is checked of each is its exit status, what it says, that no traceback comes, and that files, numbers of
files and commands that it names are there. `python -m pytest -m slow tests/test_a_day.py`
"""

import contextlib
import importlib.util
import os
import re
import select
import shlex
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

pty, termios, fcntl = map(pytest.importorskip, ("pty", "termios", "fcntl"))

ROOT = Path(__file__).parents[1]
SMALL = "--units 8 --layers 1 --dev-clips 20"
LONGEST_S = 300  # of a command, on a busy machine
LONGEST_END_S = 60  # from Ctrl-C to the end
HAS_ONNX = importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime")
pytestmark = pytest.mark.slow


def at_a_terminal(command, folder, ctrl_c=None):
    """Run a line of the shell at a terminal of its own; with `ctrl_c`, press that key when this pattern has come.

    Returns
    -------
    status : int
        As the shell has it: 130 after Ctrl-C.
    text : str
        All that the terminal got, bars included, without what they are overwritten by.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))  # a terminal without columns has no bars
        os.chdir(folder)
        os.environ.update(
            PYTHONPATH=str(ROOT), COLUMNS="120", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        os.execvp("bash", ["bash", "-c", command])
    text, pressed, deadline = "", False, time.monotonic() + LONGEST_S
    try:
        while True:
            assert time.monotonic() < deadline, f"{command}: does not end\n{text[-2000:]}"
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(terminal, 65536)
            except OSError:  # Linux: the last process at the terminal has ended
                break
            if not data:
                break
            text += data.decode("utf-8", "replace")
            if ctrl_c and not pressed and re.search(ctrl_c, text):
                os.write(terminal, b"\x03")
                pressed, deadline = True, time.monotonic() + LONGEST_END_S
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert pressed == bool(ctrl_c), f"{command}: ended before {ctrl_c!r} came\n{text[-2000:]}"
    return (128 - status if status < 0 else status), text.replace("\r\n", "\n")


def own_sounds(folder):
    """What people have: several formats, rates and channels, a name with blanks, a list with semicolons."""
    rng = np.random.default_rng(0)
    for i, (suffix, sr, n_channels) in enumerate(
        [
            ("wav", 44100, 1),
            ("flac", 48000, 2),
            ("ogg", 22050, 1),
            ("mp3", 32000, 2),
            ("wav", 16000, 1),
            ("aiff", 8000, 1),
        ]
    ):
        seconds = np.arange(int(0.8 * sr)) / sr
        tone = np.sin(2 * np.pi * (600 + 90 * i) * seconds) * np.exp(-4 * seconds)
        for kind, y in (
            (f"events/doorbell/my ring {i}", 0.4 * tone),
            (f"backgrounds/hall/hall {i}", 0.02 * rng.standard_normal(12 * sr)),
        ):
            path = folder / f"{kind}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.repeat(y[:, None], n_channels, axis=1), sr)
    (folder / "events" / "events.csv").write_text("file;onset_s;offset_s\ndoorbell/my ring 0.wav;0,05;0,6\n")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    own_sounds(folder / "my sounds")
    rng = np.random.default_rng(1)
    (folder / "nights" / "monday").mkdir(parents=True)
    for i in range(3):
        noise = 0.02 * rng.standard_normal(16000 * 1200).astype(np.float32)
        soundfile.write(folder / "nights" / "monday" / f"{i}.flac", noise, 16000)
    (folder / "nights" / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    soundfile.write(folder / "a b.wav", 0.1 * rng.standard_normal(44100 * 40), 44100)
    truth = "".join(f"{i}.wav\t{i % 20}.5\t{i % 20 + 2}.0\tdoorbell\n" for i in range(2000))
    (folder / "truth.csv").write_text(truth)
    (folder / "found.csv").write_text(truth.replace(".5\t", ".7\t"))
    os.mkfifo(folder / "pipe")
    return folder


M, SYNTHESIZE = "python -m minirsed", "python -m data_tools.synthesize"
DAY = [
    # command, exit status, what it says, and the moment of Ctrl-C
    (M, 0, "usage: minirsed COMMAND"),
    (f"{M} trian", 2, "no command 'trian'; did you mean train"),
    (f"{M} --version", 0, "^minirsed [0-9]"),
    (f"{M}.train -h", 0, "--save-minutes"),
    (f"{M}.train", 2, "required: CLASS"),
    (f"{M}.train --units 1000000 babycry", 2, "at least 672 TB of memory; there are"),
    (f"{M}.train --clips 60 {SMALL} babycry --epochs 2", 0, "best epoch [12] on 20 development mixtures"),
    (f"{M}.train babycry --out runs/babycry", 2, "holds a run already; --resume continues it"),
    (f"{M}.train --resume --epochs 3 babycry", 0, "resuming after epoch 2 of 3"),
    (f"{M}.train gunshot --clips 3000 {SMALL}", 130, "nothing was trained yet; the same command", "mixtures: +[1-9]"),
    (f"{M}.train --ebr-db -18 -12 -6 gunshot --clips 40 --epochs 5000 {SMALL}", 130, "resume with", r" 3 +\d\.\d+ +\("),
    ("RESUME", 130, "(?s)resuming after epoch .*resume with: ", r"resuming[\s\S]* \d+ +\d\.\d+ +\("),
    (f"{M}.train --dev-clips 20 doorbell --data 'my sounds' --clips 40 --epochs 2 --units 8", 0, "runs/doorbell: best"),
    (f"{M}.evaluate runs/nothing", 2, "runs/nothing: no such folder"),
    (f"{M}.evaluate runs/babycry --clips 4000", 130, "stopped", "eval mixtures: +[1-9]"),
    (f"{M}.evaluate --clips 40 runs/babycry", 0, "40 eval mixtures, 0.33 hours"),
    (f"{M}.evaluate runs/doorbell --subset devtest --no-tune --clips 20", 0, "20 dev mixtures"),
    (f"{M}.report --clips 4000 runs/babycry --subset dev", 130, "stopped", "dev mixtures: +[1-9]"),
    (f"{M}.report runs/babycry --examples 1 --clips 40", 0, "runs/babycry/report_eval.html: .* MB, complete in itself"),
    (f"{M}.detect --format csv runs/babycry 'a b.wav'", 0, "1 recording, 0:00:40 of sound"),
    (f"{M}.detect runs/babycry --thres0 0.2 'a b.wav' --format json", 0, '"file": "a b.wav"'),
    (f"cat 'a b.wav' | {M}.detect runs/babycry -", 0, "0:00:40 of sound"),
    (f"{M}.detect runs/babycry nights --plot --out heard", 130, "the same command does the rest", "detecting: +[1-9]"),
    (f"{M}.detect --plot runs/babycry --out heard nights", 0, "phone.m4a: .m4a cannot be read; ffmpeg converts it"),
    (f"{M}.detect runs/babycry nights --out heard --plot", 0, "0 recordings, .*; 3 recordings done before"),
    (f"{M}.detect runs/babycry pipe", 2, "pipe: is a pipe, not a file; sound from a pipe is read as -"),
    (f"{M}.detect runs/babycry <(cat 'a b.wav')", 2, "is a pipe, not a file; sound from a pipe is read as -"),
    (f"{M}.detect runs/babycry https://example.org/a.wav", 2, "https://example.org/a.wav: is an address; download it"),
    (f"{M}.detect runs/babycry /dev/zero", 2, "error: /dev/zero: is a device, not a file"),
    (f"{M}.mine runs/babycry nights", 130, "stopped", "searching: +[1-9]"),
    (f"{M}.mine 'a b.wav' --near 3 runs/babycry", 2, "a b.wav"),
    (f"{M}.mine --near 3 runs/babycry 'a b.wav'", 0, "1 recording, 0.01 hours of sound"),
    (f"{M}.mine --data 'my sounds' --apply verdicts.csv", 2, "(clips|verdicts).csv: no such file"),
    (f"{M}.score truth.csv --json found.csv", 0, '"error_rate": 0.0'),
    (f"{M}.score found.csv truth.csv --resamples 100000000", 130, "stopped", "READY"),
    (f"{M}.score --class doorbell truth.csv found.csv --offset", 0, "2000 files"),
    (f"{M}.export runs/babycry runs", 2, "FILE runs: is a folder; expected a file name"),
    (f"{M}.export runs/babycry m.c", 0, "m.c: detector of babycry"),
    (f"{M}.export runs/babycry m.html", 0, "m.html: .* MB, detector of babycry"),
    (f"{M}.export runs/babycry m.onnx", 0 if HAS_ONNX else 2, "m.onnx: .* detector of babycry|needs onnx"),
    (f"{M}.sweep --clips 40 {SMALL} --dry-run --epochs 2 --class gunshot", 0, "training: about"),
    (f"{M}.sweep --class gunshot --clips 40 {SMALL} --epochs 3000", 130, "the same command continues", "training: +0"),
    (f"{M}.sweep {SMALL} --seeds 0 1 --clips 40 --epochs 2 --class gunshot --out sweeps/two", 0, "table.md, table.csv"),
    (f"{M}.bench --only LFBE --runs 100000000", 130, "stopped", "READY"),
    (f"{M}.bench --runs 2 --only scoring", 0, "scoring"),
    (f"{SYNTHESIZE} -n 3000 --out made --class gunshot", 130, "stopped", "[1-9][0-9]*/3000"),
    (f"{SYNTHESIZE} --out made2 -n 12 --class gunshot babycry", 0, "24 mixtures written, 0 were there"),
    (f"{SYNTHESIZE} --class gunshot babycry -n 12 --out made2", 0, "0 mixtures written, 24 were there"),
    ("python -m data_tools.download tut2017 --parts nothing", 2, "error: .*nothing"),
    (f"{M}.clean", 0, "not used by any of [4-9] runs: [1-9]"),
    (f"{M}.clean --remove", 0, "removed [1-9]"),
    (f"{M}.clean", 0, "not used by any of [4-9] runs: none"),
    (f"{M}.train --resume babycry --epochs 4", 0, "resuming after epoch 3 of 4"),
    (f"mkdir killed; cp runs/babycry/config.json killed; {M}.export killed x",
     2, "killed: no epoch finished yet; resume with: python -m minirsed.train babycry --resume --out killed"),
]  # fmt: skip


def test_a_day(desk):
    assert len(DAY) >= 40
    resume = None
    for command, status, says, *ctrl_c in DAY:
        command = resume if command == "RESUME" else command
        print(f"$ {command}", flush=True)
        if ctrl_c == ["READY"]:  # there is nothing to be seen of its work
            found, text = at_a_terminal(f"(sleep 6; echo READY) & {command}", desk, "READY")
        else:
            found, text = at_a_terminal(command, desk, *ctrl_c)
        print(text, flush=True)
        assert found == status, (command, found, text[-3000:])
        assert re.search(says, text, re.M), (command, text[-3000:])
        assert not re.search("Traceback|Warning", text) and not re.search(r"\bnan\b", text), (command, text[-3000:])
        check_what_is_named(text, desk)
        check_nothing_is_left(desk, ctrl_c)
        if ctrl_c:
            after = text.rpartition("^C")[2].replace("\r", "\n")
            lines = [line for line in after.splitlines() if line.strip() and "%|" not in line]
            assert 1 <= len(lines) <= 3, (command, lines)
        if advice := re.search(r"resume with: (python .*)", text):
            resume = advice[1].strip()
            assert not ctrl_c or shlex.split(command)[2] == "minirsed.train"


def check_what_is_named(text, folder):
    """`FOLDER: a.csv, b.png, …` at the end of what a command says: these files are there."""
    for line in text.replace(",\n    ", ", ").splitlines():
        listed = re.fullmatch(
            r"((?:/|runs/|sweeps/)\S*): ((?:[\w.-]+\.(?:npz|csv|png|json|md)(?: \(\w+\))?(?:, |$))+)", line
        )
        if listed:
            for name in re.findall(r"[\w.-]+\.(?:npz|csv|png|json|md)", listed[2]):
                assert (folder / listed[1] / name).is_file(), (line, name)
    for path in re.findall(r"features in (features/[\w.-]+)", text):
        assert (folder / path / "index.json").is_file() or "minirsed.clean" in text, path


def check_nothing_is_left(folder, ctrl_c):
    """No file that was half written, and no process at work."""
    assert not list(folder.rglob(".*.tmp")), ctrl_c
    if Path("/proc").exists():
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                assert Path(os.readlink(process / "cwd")) != folder, (process / "cmdline").read_text()
