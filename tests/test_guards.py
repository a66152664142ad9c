"""Sounds that are nothing, an hour of them: `benchmarks/guards.py`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import poisson

from data_tools.audio import SAMPLE_RATE
from minirsed.detector import Detector
from minirsed.run import promise
from minirsed.run.session import Machine, train
from minirsed.run.settings import PRESETS, complete
from tests.benchmarks import guards
from tests.conftest import tone_detector

FEW = dict.fromkeys(guards.KINDS, 1)
AS_TRAINED = {"babycry": 1, "glassbreak": 1, "gunshot": 3}  # alarms in the hour at p > 0.5, at most; 1 is the aim


def test_the_hour_is_an_hour_and_always_the_same():
    assert sum(n for _, n in guards.KINDS.values()) * guards.PIECE_S == 3600
    pieces, again = (list(guards.hour(3, FEW)) for _ in range(2))
    assert [kind for kind, _ in pieces] == list(guards.KINDS)
    for (kind, y), (_, same) in zip(pieces, again, strict=True):
        assert y.tobytes() == same.tobytes() and len(y) == guards.PIECE_S * SAMPLE_RATE, kind
        assert np.isfinite(y).all() and (np.abs(y).max() > 1e-4) == (kind != "silence"), kind
    others = [y for _, y in guards.hour(4, FEW)]
    assert all((y != other).any() for (kind, y), other in zip(pieces, others, strict=True) if kind != "silence")
    more = [y for kind, y in guards.hour(3, FEW | {"tones": 2}) if kind == "tones"]
    assert more[0].tobytes() == dict(pieces)["tones"].tobytes() and (more[0] != more[1]).any()


def test_alarms_are_counted_by_what_they_lie_in():
    """By a detector made by hand that finds every tone of 1 kHz: here in two of four half minutes, none in noise."""
    t = np.arange(round(guards.PIECE_S * SAMPLE_RATE)) / SAMPLE_RATE
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(t))
    tone = noise + 0.3 * np.sin(2 * np.pi * 1000 * t) * (t % 10 < 1) * (t < 20)
    pieces = [("noise", noise), ("tones", tone), ("noise", noise), ("sweeps", tone)]
    for joined in (False, True):
        found, duration_s = guards.alarms(tone_detector("multires"), pieces, joined=joined)
        check_alarms(found, duration_s)


def check_alarms(found, duration_s):
    assert [alarm.kind for alarm in found] == ["tones", "tones", "sweeps", "sweeps"]
    assert [alarm.onset_s for alarm in found] == pytest.approx([30, 40, 90, 100], abs=0.1)
    assert duration_s == {"noise": 60.0, "tones": 30.0, "sweeps": 30.0}
    lines = guards.table(found, duration_s).splitlines()
    assert lines[2].split()[:4] == ["tones", "0.5", "2", "240.00"]
    assert ["all", "2.0", "4", "120.00"] in [line.split()[:4] for line in lines]


@pytest.mark.parametrize("n", [1, 2, 17])
def test_the_interval_is_exact(n):
    """At its ends, what was counted or a more extreme number has a probability of 2.5 %."""
    low, high = guards.interval(n, hours=2.0)
    assert poisson.sf(n - 1, 2 * low) == pytest.approx(0.025) and poisson.cdf(n, 2 * high) == pytest.approx(0.025)
    assert poisson.pmf(0, 2 * guards.interval(0, 2.0)[1]) == pytest.approx(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("label", AS_TRAINED)
def test_the_default_detectors_take_an_hour_of_nothing_for_nothing(label, tmp_path):
    """As trained, and for a promise. Only the first is trained here; MINIRSED_RUNS may name a folder that has all."""
    run, features = tmp_path / "run", tmp_path / "features"
    trained = os.environ.get("MINIRSED_RUNS")
    if trained is None and label != "babycry":
        pytest.skip("a second training takes minutes: MINIRSED_RUNS names a folder of trained runs")
    if trained is None:
        settings = complete(PRESETS["quick"], {"label": label})
        train(settings, run, machine=Machine(features, 2, 2), say=lambda text: None)
    else:
        shutil.copytree(Path(trained) / label, run)
    check_hour(Detector.load(run), AS_TRAINED[label])
    words = ["builtin", label, tmp_path / "hours", "--hours", "4", "--minutes", "30"]
    subprocess.run([sys.executable, Path(guards.__file__).with_name("hours.py"), *map(str, words)], check=True)
    machine = Machine(features, 2, 2)
    check_hour(promise.keep_promise(run, 0.5, recordings=tmp_path / "hours", machine=machine), guards.ALLOWED)


def check_hour(detector, n_allowed):
    found, duration_s = guards.alarms(detector, guards.hour(0), 2)
    assert len(found) <= n_allowed, guards.table(found, duration_s)
