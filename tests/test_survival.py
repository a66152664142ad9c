"""A run that is killed, stopped, starved of disk or fed with NaN: what it leaves, and how it ends."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data_tools.errors import InputError
from data_tools.files import exclusive
from minirsed import training
from minirsed.detector import Detector
from minirsed.kernels.threads import worker_threads
from minirsed.run import resumable
from minirsed.run.checkpoint import DAMAGED, FORMAT, NEWEST, PREVIOUS
from minirsed.run.interrupt import StopSignals
from minirsed.run.resumable import Stopped, Training
from minirsed.run.settings import TrainSettings
from minirsed.store.archive import read_arrays, write_arrays
from tests.conftest import Store
from tests.killing import Killer, Server, contents, drop_random_state, where_killed, words_for
from tests.test_train_command import own_sounds

TINY = {"label": "line", "layers": 2, "units": 6, "learning_rate": 1e-2, "clips": 40, "dev_clips": 20, "epochs": 3}


def train(folder, stores, stop=None, **settings):
    """A run begun in `folder`, or gone on with."""
    folder.mkdir(exist_ok=True)
    settings = TrainSettings(**{**TINY, **settings})
    is_begun = (folder / NEWEST).exists() or (folder / PREVIOUS).exists()
    run = Training.resume(folder, settings) if is_begun else Training.start(folder, settings, stores[0])
    with worker_threads(2) as executor:
        list(run.epochs(*stores, executor, stop=stop))
    return run


def at_call(number):
    """A `stop` that is true at that call, counted from 1."""
    calls = iter(range(1, 1000))
    return lambda: next(calls) == number


@pytest.fixture(scope="module")
def whole(line_stores, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder, line_stores)
    return folder


# An epoch has 4 updates and then 4 groups of clips to evaluate.
@pytest.mark.parametrize("calls", [(1,), (4,), (6,), (8,), (2, 3), (11, 1, 9)])
def test_stopped_inside_an_epoch_and_resumed(calls, whole, line_stores, tmp_path):
    for call in calls:
        with pytest.raises(Stopped, match="stopped and saved in epoch"):
            train(tmp_path, line_stores, stop=at_call(call))
    train(tmp_path, line_stores)
    assert contents(tmp_path) == contents(whole)


@pytest.mark.parametrize("what", ["random_state", "position random_state", "sums", "n_batches", "n_updates"])
def test_every_part_of_the_position_counts(what, whole, line_stores, tmp_path):
    """The comparison is worth something: with any part of the state lost, it fails."""
    with pytest.raises(Stopped):
        train(tmp_path, line_stores, stop=at_call(2))
    about, arrays = read_arrays(tmp_path / NEWEST, FORMAT)
    if what == "n_updates":
        about["n_updates"] = 1
    elif what == "random_state":
        drop_random_state(tmp_path)
        about, arrays = read_arrays(tmp_path / NEWEST, FORMAT)
    else:
        lost = {"n_batches": 1, "sums": [0.0] * 4, "random_state": np.random.default_rng(9).bit_generator.state}
        about["position"][what.split()[-1]] = lost[what.split()[-1]]
    write_arrays(tmp_path / NEWEST, FORMAT, about, arrays)
    train(tmp_path, line_stores)
    assert contents(tmp_path) != contents(whole)


MLP = {"arch": "mlp", "head": "frames", "equaliser_db": 0.0, "mask_bands": 0}  # dropout alone draws inside an epoch


def test_dropout_goes_on_where_it_was(line_stores, tmp_path):
    """The mlp, stopped inside two epochs, ends as the undisturbed run; with its random state lost it does not."""
    train(tmp_path / "whole", line_stores, **MLP)
    for name in ("parts", "lost"):
        for call in (2, 5):
            with pytest.raises(Stopped):
                train(tmp_path / name, line_stores, stop=at_call(call), **MLP)
            if name == "lost":
                drop_random_state(tmp_path / name)
        train(tmp_path / name, line_stores, **MLP)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole") != contents(tmp_path / "lost")


@pytest.mark.parametrize("arch", ["crnn1d", "crnn"])
def test_running_statistics_go_on_where_they_were(arch, line_stores, tmp_path):
    """As the mlp above; and with the running statistics of a checkpoint set back the run ends otherwise."""
    settings = {"arch": arch, "head": "frames", "units": 3, "epochs": 2}
    train(tmp_path / "whole", line_stores, **settings)
    for name in ("parts", "lost", "set back"):
        for call in (2, 5):
            with pytest.raises(Stopped):
                train(tmp_path / name, line_stores, stop=at_call(call), **settings)
            if name == "lost":
                drop_random_state(tmp_path / name)
            if name == "set back":
                about, arrays = read_arrays(tmp_path / name / NEWEST, FORMAT)
                assert arrays["params/conv0.running_mean"].any() and "adam/m/conv0.running_mean" not in arrays
                arrays["params/conv0.running_mean"][:] = 0
                write_arrays(tmp_path / name / NEWEST, FORMAT, about, arrays)
        train(tmp_path / name, line_stores, **settings)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert contents(tmp_path / "whole") not in (contents(tmp_path / "lost"), contents(tmp_path / "set back"))


def test_a_checkpoint_every_so_often(line_stores, tmp_path, monkeypatch):
    """With a clock that goes forward 1 s at each look, and a look after each update: every 2 s is every second."""
    now = iter(range(10**6))
    monkeypatch.setattr(resumable, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    saved = []
    monkeypatch.setattr(Training, "save", lambda run: saved.append(run.position and run.position.n_batches))
    run = Training.start(tmp_path, TrainSettings(**TINY | {"epochs": 1}), line_stores[0])
    with worker_threads(1) as executor:
        list(run.epochs(*line_stores, executor, save_every_s=2))
    assert saved == [2, 4, None]


@pytest.fixture(scope="module")
def killer(tmp_path_factory, request):
    """A server, and an undisturbed run of the real command to compare with."""
    folder = tmp_path_factory.mktemp("killed")
    umask = os.umask(0o022)  # some children run as another user, who must be able to read
    request.addfinalizer(lambda: os.umask(umask))
    own_sounds(folder / "sounds")
    with Server() as server:
        yield Killer(server, folder, words_for(folder / "sounds"))


def test_killed_at_twenty_random_moments(killer):
    before = killer.n_kills
    assert killer.kill(20) == []
    assert killer.n_kills == before + 20


@pytest.mark.parametrize("arch", ["crnn1d", "crnn"])
def test_winners_killed_at_random_moments(arch, killer, tmp_path):
    """Whose running statistics are part of the state."""
    (tmp_path / "features").symlink_to(killer.folder / "features")
    own = Killer(killer.server, tmp_path, [*killer.words, "--arch", arch, "--units", "2", "--epochs", "3"])
    assert own.kill(5) == []


def test_killed_without_a_random_state_in_the_checkpoint(killer):
    """The control: whatever moments were hit, the same comparison sees that the random state is lost."""
    assert killer.kill(4, after_kill=drop_random_state) != []


@pytest.mark.slow
def test_killed_at_two_hundred_random_moments(killer):
    """Two to four minutes."""
    assert killer.kill(200) == []


def test_killed_at_every_system_call_of_a_save(killer, tmp_path):
    """Before each call that puts a file in its place, from the first save to the last.

    4 updates with 4 or 5 calls each, 2 epochs with 4 or 5 for each of three files.
    """
    (tmp_path / "whole").mkdir()
    assert killer.server.run({"small": str(tmp_path / "whole")}) == 0
    for number in range(0, 1000, 2):  # a checkpoint takes 5 calls, so every one of them is hit
        folder = tmp_path / str(number)
        folder.mkdir()
        status = killer.server.run({"small": str(folder), "kill_at": number, "save_every_s": 0})
        if status == 0:
            break
        assert status == -signal.SIGKILL
        assert killer.server.run({"small": str(folder)}) == 0
        assert contents(folder) == contents(tmp_path / "whole"), number
    assert number > 35


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_and_the_printed_command_goes_on(number, killer, tmp_path):
    run = tmp_path / "a run"
    assert killer.train("--out", run, "--epochs", 8, after=[NEWEST], signal=number) == 128 + number
    printed = killer.output()
    assert "stopping after this update" in printed and "Traceback" not in printed
    words = shlex.split(printed.rpartition("resume with: python -m minirsed.train ")[2])
    assert "--resume" in words and "stopped and saved in epoch" in (run / "train.log").read_text()
    assert killer.server.run({"command": words, "output": str(killer.folder / "output")}) == 0, killer.output()
    assert contents(run) == killer.whole


def test_stopped_before_training_nothing_is_left(killer, tmp_path):
    """While mixtures are prepared: at once, and the next command is the same."""
    words = ["--out", tmp_path / "run", "--features", tmp_path / "features"]
    assert killer.train(*words, after=["config.json", "recipes.json"], signal=signal.SIGTERM) == 143
    assert "nothing was trained yet; the same command" in killer.output()
    assert not (tmp_path / "run").exists()


def test_killed_before_the_first_checkpoint(killer, tmp_path):
    killed = {"after": ["config.json"], "signal": signal.SIGKILL}
    assert killer.train("--out", tmp_path / "run", **killed) == -signal.SIGKILL
    assert (tmp_path / "run" / "config.json").exists() and not (tmp_path / "run" / NEWEST).exists()
    assert killer.train("--out", tmp_path / "run", "--resume") == 0, killer.output()
    assert contents(tmp_path / "run") == killer.whole


def test_signals_wait_for_the_end_of_an_update():
    with StopSignals() as signals:
        with signals.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals() and signals.exit_status == 143
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)  # the second: at once
            with pytest.raises(KeyboardInterrupt), signals.deferred(False):
                pass
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals()
    finally:
        signal.signal(signal.SIGHUP, old)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def other_version(path):
    about, arrays = read_arrays(path, FORMAT)
    write_arrays(path, "minirsed-checkpoint-99", about, arrays)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "bit": flip_a_bit,
    "empty": lambda path: path.write_bytes(b""),
    "version": other_version,
    "foreign": lambda path: shutil.copy(path.with_name("best.npz"), path),
    "picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_previous_checkpoint_steps_in(damage, whole, line_stores, tmp_path, caplog):
    shutil.copytree(whole, tmp_path / "run")
    run = tmp_path / "run"
    DAMAGES[damage](run / NEWEST)
    bad = (run / NEWEST).read_bytes()
    resumed = train(run, line_stores)
    assert len(resumed.history) == 3 and contents(run) == contents(whole)
    assert (run / DAMAGED).read_bytes() == bad
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith(f"{run / NEWEST}: ") and PREVIOUS in warning
    for name in (NEWEST, PREVIOUS):
        DAMAGES[damage](run / name)
    with pytest.raises(InputError, match=f"^{re.escape(str(run / NEWEST))}: "):
        train(run, line_stores)


def test_a_flipped_bit_anywhere_is_noticed(whole, tmp_path):
    """Or does not matter: bytes of a zip that nobody reads, such as its time stamps."""
    content = (whole / NEWEST).read_bytes()
    rng, before = np.random.default_rng(0), contents(whole)
    (tmp_path / "run").mkdir()
    for name in ("best.npz", "metrics.csv"):
        shutil.copy(whole / name, tmp_path / "run")
    for place in rng.integers(len(content), size=100):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        (tmp_path / "run" / NEWEST).write_bytes(flipped)
        with contextlib.suppress(InputError):
            Training.resume(tmp_path / "run", TrainSettings(**TINY))
            assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("harm", ["gone", "damaged", "of another epoch"])
def test_best_is_put_back(harm, whole, line_stores, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    best = (run / "best.npz").read_bytes()
    if harm == "gone":
        (run / "best.npz").unlink()
    elif harm == "damaged":
        flip_a_bit(run / "best.npz")
    else:
        detector = Detector.load(run)
        detector.params = detector.params | {"head.w": detector.params["head.w"] + 1}
        detector.save(run / "best.npz")
    train(run, line_stores)
    assert (run / "best.npz").read_bytes() == best


def with_value(store, value, *place):
    features = store.features.copy()
    features[place] = value
    return Store(features, store.recipes, store.has_event, store.onset_s, store.offset_s)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("subset", ["train", "dev"])
def test_features_that_are_not_finite(value, subset, line_stores, tmp_path):
    """Infinity would saturate a unit and leave the loss finite."""
    train(tmp_path, line_stores, epochs=1)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    stores = list(line_stores)
    number = ("train", "dev").index(subset)
    stores[number] = with_value(stores[number], value, 7, 30, 5)
    where = r" \(in epoch 2, update \d+\)" if subset == "train" else ""
    with pytest.raises(InputError, match=rf"features are not finite, mixtures {subset}_007\.wav{where}$"):
        train(tmp_path, stores)
    assert kept == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_statistics_that_are_not_finite(line_stores, tmp_path):
    with pytest.raises(InputError, match=r"features are not finite, mixtures train_00[37]\.wav$"):
        train(tmp_path, (with_value(line_stores[0], np.nan, 7, 30, 5), line_stores[1]))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_loss_or_gradient_that_is_not_finite(what, line_stores, tmp_path, monkeypatch):
    train(tmp_path, line_stores, epochs=1)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    right = training.batch_loss_and_grads

    def wrong(*arguments):
        values, grads = right(*arguments)
        if what == "loss":
            values.total[3] = np.nan
        else:
            grads["head.w"][0] = np.inf
        return values, grads

    monkeypatch.setattr(training, "batch_loss_and_grads", wrong)
    with pytest.raises(InputError, match=rf"{what} is not finite in epoch 2, update 5, mixtures train_0\d\d") as error:
        train(tmp_path, line_stores)
    assert str(error.value).count(".wav") == (1 if what == "loss" else 10)
    assert kept == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def one_line(killer, *words):
    """The error that the last child printed: one line at the end, no traceback, with these words."""
    printed = killer.output()
    errors = [line for line in printed.splitlines() if "error: " in line]
    assert len(errors) == 1 and "Traceback" not in printed, printed
    assert all(str(word) in errors[0] for word in words), errors[0]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.5 MB, which holds three checkpoints."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=1500k", "tmpfs", folder]).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_disk_that_fills_up(killer, small_disk):
    run = small_disk / "run"
    assert killer.train("--out", run, after=[NEWEST], fill=str(small_disk / "other")) == 2
    one_line(killer, "No space left on device", run)
    assert not list(run.glob(".*.tmp"))
    read_arrays(run / NEWEST, FORMAT)
    (small_disk / "other").unlink()
    assert killer.train("--out", run, "--resume") == 0, killer.output()
    assert contents(run) == killer.whole


@pytest.fixture
def read_only(killer):
    """A finished run in a folder that may not be written, and how to run a child that this holds for."""
    folder = killer.folder / "read only"
    shutil.copytree(killer.folder / "whole", folder / "run")
    as_user = {"uid": 65534} if os.getuid() == 0 else {}  # root may write anywhere
    opened = [killer.folder, *killer.folder.parents[:-1]] if as_user else []
    modes = [(path, path.stat().st_mode) for path in opened if path.stat().st_uid == 0 and path != Path("/tmp")]
    for path, mode in modes:
        path.chmod(mode | 0o055)
    (killer.folder / "output").touch()
    for path in (folder / "run", folder):
        path.chmod(0o555)
    yield folder, as_user
    for path in (folder, folder / "run"):
        path.chmod(0o755)
    for path, mode in modes:
        path.chmod(mode)


def test_folder_that_may_not_be_written(killer, read_only):
    folder, as_user = read_only
    kept = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    for words in (["--out", folder / "run", "--resume"], ["--out", folder / "new"]):
        assert killer.train(*words, **as_user) == 2, killer.output()
        one_line(killer, "Permission denied", words[1])
    assert kept == {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    assert not (folder / "new").exists()


def test_two_trainings_in_one_folder(killer, tmp_path):
    shutil.copytree(killer.folder / "whole", tmp_path / "run")
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with exclusive(tmp_path / "run" / "lock", "training in"):
        assert killer.train("--out", tmp_path / "run", "--resume") == 2
        one_line(killer, f"{tmp_path / 'run'}: another process is training in it")
        (tmp_path / "new").mkdir()
        with exclusive(tmp_path / "new" / "lock", "training in"):
            assert killer.train("--out", tmp_path / "new") == 2
            one_line(killer, f"{tmp_path / 'new'}: another process is training in it")
    assert kept == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def test_two_trainings_at_once_get_two_folders(killer, tmp_path):
    """The second of a class begins beside the first, whether or not that has saved anything."""
    (tmp_path / "runs" / "ping").mkdir(parents=True)
    assert killer.train("--epochs", 1, folder=str(tmp_path)) == 0, killer.output()
    assert (tmp_path / "runs" / "ping-2" / "best.npz").exists()
    assert not any((tmp_path / "runs" / "ping").iterdir())


def test_data_that_vanish(killer, tmp_path):
    """Features are computed again, to the same end; without the sounds, one line and the old state."""
    run, sounds = tmp_path / "run", tmp_path / "sounds"
    shutil.copytree(killer.folder / "sounds", sounds)
    words = ["--data", sounds, "--features", tmp_path / "features", "--out", run]
    assert killer.train(*words, after=[NEWEST], signal=signal.SIGTERM) == 143
    kept = (run / NEWEST).read_bytes()
    shutil.rmtree(tmp_path / "features")
    sounds.rename(tmp_path / "elsewhere")
    assert killer.train(*words, "--resume") == 2
    one_line(killer, f"{sounds}: no such folder")
    (tmp_path / "elsewhere").rename(sounds)
    hidden = sounds / "backgrounds" / "0.wav"
    content = hidden.read_bytes()
    hidden.write_bytes(content[:20])
    assert killer.train(*words, "--resume") == 2
    one_line(killer, hidden)
    assert (run / NEWEST).read_bytes() == kept
    hidden.write_bytes(content)
    assert killer.train(*words, "--resume") == 0, killer.output()
    assert {**contents(run), "description": ""} == {**killer.whole, "description": ""}


def test_redrawn_mixtures_and_resume(killer, tmp_path):
    """Killed in its second epoch and gone on with; of the stores, the first and the last are left."""
    words = ["--preset", "plain", "--redraw", "--epochs", 3, "--clips", 6]
    assert killer.train(*words, "--out", tmp_path / "whole", "--features", tmp_path / "one") == 0, killer.output()
    options = [*words, "--out", tmp_path / "run", "--features", tmp_path / "two"]
    killed = {"after": ["metrics.csv", NEWEST, NEWEST], "signal": signal.SIGKILL}
    assert killer.train(*options, **killed) == -signal.SIGKILL
    assert where_killed(tmp_path / "run") == "inside an epoch"
    assert killer.train(*options, "--resume") == 0, killer.output()
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path / "one")) == sorted(os.listdir(tmp_path / "two"))
    assert len(os.listdir(tmp_path / "one")) == 3  # and that of the development mixtures


def test_any_number_of_threads_and_workers_gives_the_same_bytes(killer, tmp_path):
    features = tmp_path / "features"
    words = ["--out", tmp_path / "run", "--threads", 3, "--jobs", 2, "--features", features]
    assert killer.train(*words) == 0, killer.output()
    assert contents(tmp_path / "run") == killer.whole
    for store in features.iterdir():
        first = killer.folder / "features" / store.name / "features.npy"
        assert (store / "features.npy").read_bytes() == first.read_bytes()


def test_what_a_run_says_of_its_origin(killer, tmp_path):
    run = tmp_path / "run"
    assert killer.train("--preset", "plain", "--epochs", 1, "--out", run) == 0, killer.output()
    about, arrays = read_arrays(run / NEWEST, FORMAT)
    assert about["settings"]["seed"] == 0 and about["detector"]["label"] == "ping"
    assert {"minirsed", "numpy", "numba", "python"} <= about["versions"].keys()
    git = ["git", "-C", Path(__file__).parent, "rev-parse", "HEAD"]
    if shutil.which("git") and subprocess.run(git, capture_output=True).returncode == 0:
        assert len(about["versions"]["git"].removesuffix("-dirty")) == 40
    assert {"features/mean", "features/std"} <= arrays.keys()
    write_arrays(run / NEWEST, FORMAT, {**about, "versions": {**about["versions"], "numpy": "1.0"}}, arrays)
    assert killer.train("--out", run, "--resume", "--epochs", 2) == 0, killer.output()
    assert "last bits may differ: numpy 1.0 → " in killer.output()
    config = json.loads((run / "config.json").read_text())
    assert config["settings"]["epochs"] == 2 and {"versions", "command", "machine", "started"} <= config.keys()
    assert [set(resumed) for resumed in config["resumed"]] == [{"versions", "command", "machine", "started"}]
    # without --epochs, it goes on to what was asked for last
    again = {"command": ["ping", "--out", str(run), "--resume", "--features", str(killer.folder / "features")]}
    assert killer.server.run(again | {"output": str(killer.folder / "output")}) == 0
    assert "resuming after epoch 2 of 2" in killer.output()


def test_settings_of_a_run_stay_its_own(killer, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(killer.folder / "whole", run)
    config = json.loads((run / "config.json").read_text())
    alpha, config["settings"]["alpha"] = config["settings"]["alpha"], 0.5
    (run / "config.json").write_text(json.dumps(config))
    assert killer.train("--out", run, "--resume") == 2
    one_line(killer, f"{run}: its checkpoint has alpha {alpha}, not 0.5")
    (run / "config.json").write_text(json.dumps(config)[:-100])
    assert killer.train("--out", run, "--resume") == 0, killer.output()
    assert "its settings are taken from the checkpoint" in killer.output()
    assert json.loads((run / "config.json").read_text())["settings"]["alpha"] == alpha
