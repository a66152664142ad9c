"""What a run writes for people: train.log, metrics.csv, TensorBoard scalars."""

import csv
import logging
import re
import struct
import sys

import pytest

from data_tools.errors import InputError
from minirsed.run import tensorboard
from minirsed.run.checkpoint import METRICS
from minirsed.run.log import LOG, log, run_log, say
from tests.test_training import train

ROW = {name: 0.5 for name in METRICS} | {"epoch": 1}


def test_log_holds_what_was_said_and_how_it_ended(tmp_path, capsys):
    for error in (InputError("the disk has gone"), ZeroDivisionError("a defect"), KeyboardInterrupt("stopped, saved")):
        with pytest.raises(type(error)), run_log(tmp_path):
            say("epoch  loss\n    1  0.5")
            log.warning("mind the gap")
            raise error
    say("not any more")
    text = (tmp_path / LOG).read_text()
    lines = [line for line in text.splitlines() if re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ ", line)]
    assert [line.split(" ", 3)[2:] for line in lines[:4]] == [
        ["INFO", "epoch  loss"],
        ["INFO", "    1  0.5"],
        ["WARNING", "mind the gap"],
        ["ERROR", "the disk has gone"],
    ]
    assert "ERROR stopped, saved" in text and "not any more" not in text
    assert text.count("Traceback") == 1 and "ZeroDivisionError: a defect" in text
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["mind the gap"] * 3  # the command itself prints how it ends
    assert printed.out.count("    1  0.5") == 3
    assert not log.handlers


def test_a_log_that_cannot_be_written_is_reported_once(tmp_path, capsys):
    """/dev/full is a disk without space."""
    (tmp_path / LOG).symlink_to("/dev/full")
    with run_log(tmp_path):
        for number in range(3):
            log.info("line %d", number)
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device; the log has gaps from here on" in line and LOG in line


def test_modules_log_below_the_packages_name():
    """Or run_log would not see them; `python -m` calls the command's module __main__."""
    from minirsed import training
    from minirsed.run import checkpoint, folder
    from minirsed.train import __main__ as train
    from minirsed.train import resuming

    for module in (checkpoint, folder, resuming, train, training):
        assert module.log.name.startswith("minirsed.") and module.log.parent is logging.getLogger("minirsed")


def test_metrics_open_in_a_spreadsheet(line_stores, tmp_path):
    """A heading, a row an epoch, commas, numbers with points, line feeds, nothing in quotes."""
    run = train(tmp_path, line_stores, epochs=2)
    text = (tmp_path / "metrics.csv").read_bytes().decode("ascii")
    assert '"' not in text and "\r" not in text and text.endswith("\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"] and tuple(rows[0]) == METRICS
    for row, expected in zip(rows, run.history, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == {
            name: value for name, value in expected.items() if value is not None
        }


def scalars(folder):
    """(tag, step) → value of the event files in a folder: TFRecords, length and its sum, content and its sum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
            content = content[16 + length :]
    return found


def test_tensorboard_scalars(tmp_path):
    pytest.importorskip("tensorboardX")
    second = ROW | {"epoch": 2, "dev_error_rate": None, "train_loss": 0.25}
    with tensorboard.scalar_writer(tmp_path, [ROW]) as write:
        write(second)
    found = scalars(tmp_path / "tensorboard")
    assert found["loss/train", 1] == 0.5 and found["loss/train", 2] == 0.25
    assert ("dev/error_rate", 1) in found and ("dev/error_rate", 2) not in found
    assert tensorboard.TAGS.keys() == set(METRICS) - {"epoch"}


def test_without_tensorboardx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r'needs tensorboardX: python -m pip install -e "\.\[tensorboard\]"$'):
        with tensorboard.scalar_writer(tmp_path, []):
            pass
