"""What a run takes, before it begins: sizes worked by hand, a bound that holds, refusals in one line and at once."""

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.files import folder_size, require_space, size_text
from data_tools.synthesize import main as synthesize
from minirsed.bench.__main__ import main as bench
from minirsed.evaluate.__main__ import main as evaluate
from minirsed.model import ModelConfig, param_shapes
from minirsed.rivals.encoders import ENCODERS, RIVALS
from minirsed.run import size
from minirsed.run.settings import TrainSettings
from minirsed.sweep.__main__ import main as sweep
from minirsed.train.__main__ import main as train

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0.0 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (266_854_400, "267 MB"), (10**9, "1.0 GB"),
     (33e12, "33 TB"), (10**18, "1000000 TB")],
)  # fmt: skip
def test_size_text(n_bytes, text):
    assert size_text(n_bytes) == text


def test_size_of_a_folder(tmp_path):
    assert folder_size(tmp_path / "missing") == 0
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a").write_bytes(bytes(range(100)) * 1000)
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10**9)
    assert 100_000 <= folder_size(tmp_path) < 200_000


def test_space_is_that_of_the_disk_on_which_a_folder_will_be(tmp_path, monkeypatch):
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=1000)

    monkeypatch.setattr("shutil.disk_usage", disk_usage)
    require_space(tmp_path / "new" / "er", 1000, "files")
    require_space(tmp_path, 1500, "files", there=500)
    assert asked == [tmp_path, tmp_path]
    with pytest.raises(InputError, match=r"new: files take 1\.0 kB, 1\.0 kB are free; buy a disk$"):
        require_space(tmp_path / "new", 1001, "files", advice="; buy a disk")


def test_features_of_the_quick_preset():
    """800 clips · 1303 frames · 64 bands · 4 bytes."""
    assert size.feature_bytes(800, TrainSettings()) == 266_854_400
    assert size.feature_bytes(800, TrainSettings(feature_dtype="float16", n_mels=32)) == 266_854_400 // 4


@pytest.mark.parametrize("arch", ENCODERS)
@pytest.mark.parametrize("n_layers", [1, 2, 3, 4, 9])
def test_number_of_weights(arch, n_layers):
    config = ModelConfig(arch, n_layers, 5, 37, "frames" if arch in RIVALS else "attention")
    listed = 0
    for shape in param_shapes(config).values():
        listed += np.zeros(shape).size
    assert size.n_weights(config) == listed


MEASURED = """
import numpy as np
from minirsed.adam import Adam
from minirsed.kernels.threads import worker_threads
from minirsed.model import ModelConfig, batch_loss_and_grads, init_params
from minirsed.rivals.batch_norm import follow
from tests.peak_memory import peak_bytes

def step(config, shape):
    rng, adam = np.random.default_rng(0), Adam()
    params, x = init_params(config, rng), rng.standard_normal(shape, np.float32)
    with worker_threads(1) as executor:
        for _ in range(2):
            labels = np.ones(shape[:2], np.float32)
            adam.update(*follow(params, batch_loss_and_grads(executor, params, config, x, labels, 1.0, rng)[1]))

step(ModelConfig("{arch}", 1, 4), (2, 50, 64))
before = peak_bytes()
step(ModelConfig("{arch}", {n_layers}, {n_units}), ({n_clips}, 1303, 64))
print(peak_bytes() - before)
"""


@pytest.mark.parametrize(
    ("arch", "n_layers", "n_units", "n_clips"),
    [("bi", 2, 128, 10), ("multires", 3, 64, 5), ("uni", 1, 512, 2), ("crnn1d", 2, 256, 5), ("crnn", 2, 24, 3)],
)
def test_a_training_step_takes_what_is_said_and_not_four_times_as_much(arch, n_layers, n_units, n_clips):
    """Peak memory of a process, with one thread; a bound that were too high would refuse what fits."""
    script = MEASURED.format(arch=arch, n_layers=n_layers, n_units=n_units, n_clips=n_clips)
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    measured = int(result.stdout)
    bound = size.network_bytes(ModelConfig(arch, n_layers, n_units), n_clips, 1303)
    assert bound <= measured <= 4 * bound


LINES = {
    "units": (
        train,
        ["gunshot", "--preset", "plain", "--units", "1000000"],
        "--layers 3 --units 1000000: takes at least 672 TB of memory",
    ),
    "layers": (
        train,
        ["gunshot", "--preset", "plain", "--layers", "1000000000"],
        "--layers 1000000000 --units 64: takes at least",
    ),
    "clips": (
        train,
        ["gunshot", "--preset", "plain", "--clips", "100000000"],
        "--clips 100000000 --dev-clips 200: takes at least 50 GB",
    ),
    "batch": (
        train,
        ["gunshot", "--preset", "plain", "--clips", "1000000", "--batch-size", "1000000"],
        "--batch-size 1000000: takes",
    ),
    "disk": (
        train,
        ["gunshot", "--preset", "plain", "--dev-clips", "10000"],
        "features: the features of --clips 600 --dev-clips 10000 take 3.5 GB, 1.0 GB are free; --feature-dtype float16",
    ),
    "bands": (
        train,
        ["gunshot", "--preset", "plain", "--n-mels", "1000"],
        "--clips 600 --dev-clips 200 --n-mels 1000 take 4.2 GB",
    ),
    "sweep": (sweep, ["--units", "1000000"], "--layers 3 --units 1000000: takes at least 672 TB of memory"),
    "bench": (bench, ["--units", "1000000"], "--units 1000000: takes at least"),
    "frames": (bench, ["--frames", "1000000000", "--units", "1"], "--batch 10 --frames 1000000000: takes at least"),
    "synthesize": (
        synthesize,
        ["--class", "gunshot", "-n", "100000000", "--out", "o"],
        "o: 100000000 mixtures take 397 TB, 1.0 GB are free",
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_what_cannot_fit_is_refused_before_anything_is_drawn(name, tmp_path, monkeypatch, capsys):
    command, words, message = LINES[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(size, "memory", lambda: 16e9)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**9))
    monkeypatch.setattr("data_tools.recipes.draw_recipes", None)
    with pytest.raises(SystemExit) as ended:
        command(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and message in line and not list(tmp_path.iterdir())


def test_an_evaluation_of_too_many_clips_is_refused(tmp_path, monkeypatch, capsys):
    from minirsed.run.session import train as train_run

    monkeypatch.chdir(tmp_path)
    said = []
    settings = TrainSettings(label="gunshot", clips=4, dev_clips=2, epochs=1, layers=1, units=2)
    train_run(settings, "run", say=said.append)
    assert "train: computing features of 4 mixtures, 1.3 MB in features …" in said
    assert "dev: computing features of 2 mixtures, 667 kB in features …" in said
    again = []
    train_run(settings, "again", say=again.append)
    assert not [line for line in again if "computing" in line]
    with pytest.raises(SystemExit):
        evaluate(["run", "--clips", "1000000000000"])
    assert "--clips 1000000000000: takes at least 500 TB of memory; there are" in capsys.readouterr().err


def test_memory_of_this_machine():
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < size.memory() < 1e15


def test_memory_that_runs_out_nevertheless_is_one_line(capsys):
    from data_tools.console import command

    @command
    def main():
        raise MemoryError("Unable to allocate 7.28 TiB for an array\nwith shape (1000000, 1000000)")

    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "error: not enough memory (Unable to allocate 7.28 TiB for an array with shape (1000000, 1000000))"
    )
