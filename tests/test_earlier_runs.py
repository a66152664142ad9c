"""Run folders that earlier versions left: they load, resume and evaluate as they did.

`earlier_runs/COMMIT/` is a run of that commit on `ping_sounds`, stopped after one update of its second epoch, with the
`metrics_to_the_end.csv` and `events_dev.csv` of the same run when it was not stopped:

    minirsed.train ping --data sounds --clips 12 --dev-clips 8 --units 4 --layers 2 --epochs 3 --batch-size 4
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.event_lists import read_event_list
from minirsed.detector import Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.run.checkpoint import FORMAT
from minirsed.store.archive import read_arrays, write_arrays
from minirsed.train import __main__ as train

FOLDERS = sorted(path for path in (Path(__file__).parent / "earlier_runs").iterdir())
SR = 44100


def ping_sounds(root):
    """The sounds that these runs were trained on: tones in noise."""
    rng, lines = np.random.default_rng(0), ["file,subset"]
    for kind, seconds in (("events/ping", 0.7), ("backgrounds", 12.0)):
        (root / kind).mkdir(parents=True)
        for i, subset in enumerate(("train", "train", "dev", "eval")):
            n = int(seconds * SR)
            tone = 0.3 * np.sin(np.arange(n) * 0.1 * (1 + i)) if kind != "backgrounds" else 0
            soundfile.write(root / kind / f"{i}.wav", tone + 0.02 * rng.standard_normal(n), SR)
            lines.append(f"{kind}/{i}.wav,{subset}")
    (root / "split.csv").write_text("\n".join(lines))


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def earlier_run(request, tmp_path):
    """The folder, a copy of it, and where its sounds are now; the copy knows."""
    ping_sounds(tmp_path / "sounds")
    run, sounds = tmp_path / "run", str((tmp_path / "sounds").resolve())
    shutil.copytree(request.param, run)
    config = json.loads((run / "config.json").read_text())
    config["settings"]["data"] = sounds
    (run / "config.json").write_text(json.dumps(config))
    description, arrays = read_arrays(run / "checkpoint.npz", FORMAT)
    description["settings"]["data"] = sounds
    write_arrays(run / "checkpoint.npz", FORMAT, description, arrays)
    return request.param, run


def rows(path):
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_it_detects(earlier_run):
    _, run = earlier_run
    detection = Detector.load(run).detect(np.random.default_rng(1).standard_normal(10 * SR) / 50)
    assert detection.frame_probabilities.shape == (433,) and 0 < detection.probability < 1


def test_it_resumes_where_it_was(earlier_run, monkeypatch):
    """The losses of the epochs that were missing are those of the run that was not stopped, up to rounding."""
    before, run = earlier_run
    monkeypatch.chdir(run.parent)
    train.main(["ping", "--resume", "--out", "run", "--threads", "1"])
    expected, found = rows(before / "metrics_to_the_end.csv"), rows(run / "metrics.csv")
    assert [row["epoch"] for row in found] == [1, 2, 3]
    for ours, theirs in zip(found, expected, strict=True):
        for name in theirs.keys() - {"seconds"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name
    for name, events in read_event_list(before / "events_dev.csv").items():
        np.testing.assert_allclose(
            [e[:2] for e in read_event_list(run / "events_dev.csv")[name]], [e[:2] for e in events], atol=0.025
        )


def test_it_is_evaluated(earlier_run, monkeypatch, capsys):
    _, run = earlier_run
    monkeypatch.chdir(run.parent)
    evaluate.main([str(run), "--clips", "4"])
    assert "4 eval mixtures" in capsys.readouterr().out
