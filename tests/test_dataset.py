"""`minirsed.store.dataset`: the same bytes for any number of workers and after any kill, and honest refusals."""

import contextlib
import dataclasses
import errno
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_tools import files
from data_tools.errors import InputError
from data_tools.recipes import Recipe
from data_tools.soundbank import SoundBank
from minirsed.features import lfbe
from minirsed.store import dataset
from minirsed.store import files as store_files
from minirsed.store.dataset import FeatureStore, feature_stats, minibatches, prepare

ROOT = Path(__file__).parents[1]
CLIP_S = 0.5  # T = 20 frames: 1 + (22050 - 2029) // 1014


class NoiseBank:
    """Noise that follows from its key; counts what is asked of it in a file, for that works across processes."""

    def __init__(self, log, version="1", pause_s=0.0):
        self.log, self.version, self.pause_s, self.wait_for = log, version, pause_s, None

    def fingerprint(self):
        return self.version

    def background_audio(self, key, start_s=0.0, duration_s=None):
        with open(self.log, "a") as file:
            file.write(f"{key}\n")
        time.sleep(60 if key == "slow" else self.pause_s)
        while key == "room6" and self.wait_for and not self.wait_for.exists():
            time.sleep(0.01)
        if key == "missing":
            raise InputError("missing.wav: no such file")
        if key == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return noise(key, 1.0 if key == "long" else CLIP_S) * {"nan": np.nan, "huge": 1e200}.get(key, 1)

    def event_audio(self, key):
        return noise(key, 0.2)


def noise(key, length_s):
    seed = int.from_bytes(hashlib.md5(key.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).normal(0, 0.1, int(length_s * 44100))


def make_recipe(i, background=None, **fields):
    if i % 2:
        event = {"label": "bell", "event": f"bell{i % 5}", "segment_onset_s": 0.05, "segment_offset_s": 0.15}
        fields = event | {"onset_s": 0.1 + i * 1e-3, "ebr_db": 6.0 * (i % 3 - 1)} | fields
    name = f"mixture_devtrain_bell_{i:03d}_ab.wav"
    return Recipe(name=name, background=background or f"room{i % 7}", scene="room", **fields)


RECIPES = [make_recipe(i) for i in range(70)]  # 5 chunks, the last of 6 clips


@pytest.fixture
def bank(tmp_path):
    (tmp_path / "log").touch()
    return NoiseBank(tmp_path / "log")


def n_rendered(bank):
    return len(bank.log.read_text().splitlines())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Bytes of `features.npy` after a preparation in one process."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return (prepare(NoiseBank(folder / "log"), RECIPES, folder, n_jobs=1).folder / "features.npy").read_bytes()


def stored_bytes(store):
    return (store.folder / "features.npy").read_bytes()


# ---- what a store holds


def test_store_holds_every_recipe_in_its_row(bank, tmp_path):
    """Row i is the LFBE of recipe i although chunks are ordered by background; times are those of the recipe."""
    from data_tools.mixing import render

    store = prepare(bank, RECIPES, tmp_path / "root", n_jobs=1)
    assert len(store) == 70 and store.features.shape == (70, 20, 64) and store.features.dtype == np.float32
    for i, recipe in enumerate(RECIPES):
        np.testing.assert_array_equal(store.features[i], lfbe(render(recipe, bank)))
    assert store.recipes == RECIPES
    assert store.has_event.tolist() == [False, True] * 35
    assert store.onset_s[1] == 0.101 and store.offset_s[1] == pytest.approx(0.201)  # 0.1 s of the bell
    assert np.isnan(store.onset_s[0]) and np.isnan(store.offset_s[0]) and store.ebr_db[0] == -np.inf
    assert store.ebr_db[[1, 3, 5]].tolist() == [0.0, -6.0, 6.0] and set(store.scene) == {"room"}
    assert store.folder.name.startswith("bell-devtrain-") and store.folder.parent == tmp_path / "root"
    names = ["features.npy", "index.json", "lock", "recipes.json"]
    assert sorted(path.name for path in store.folder.iterdir()) == names
    with pytest.raises(ValueError, match="read-only"):
        store.features[0, 0, 0] = 1


@pytest.mark.parametrize("n_jobs", [2, 4])
def test_any_number_of_workers_gives_the_same_bytes(bank, tmp_path, undisturbed, n_jobs):
    assert stored_bytes(prepare(bank, RECIPES, tmp_path, n_jobs=n_jobs)) == undisturbed


def test_float16_is_the_rounded_float32(bank, tmp_path):
    full = prepare(bank, RECIPES[:20], tmp_path, n_jobs=1)
    half = prepare(bank, RECIPES[:20], tmp_path, n_jobs=1, dtype="float16")
    assert half.folder != full.folder and half.features.dtype == np.float16
    np.testing.assert_array_equal(half.features, full.features.astype(np.float16))
    assert np.abs(full.features).max() < 24 and np.abs(half.features - full.features).max() <= 0.008
    assert os.path.getsize(half.folder / "features.npy") == 128 + 20 * 20 * 64 * 2  # header, clips, frames, bands


def test_builtin_bank(tmp_path):
    """The real thing, with workers: two chunks of 30 s clips."""
    from data_tools.recipes import draw_recipes

    bank = SoundBank.builtin(seed=0)
    recipes = draw_recipes(bank, "glassbreak", "dev", 20, seed=3)
    store = prepare(bank, recipes, tmp_path, n_jobs=2)
    assert store.features.shape == (20, 1303, 64) and store.has_event.sum() == 10
    assert store.folder.name.startswith("glassbreak-devtest-")
    mean, std = store.stats
    np.testing.assert_array_equal(store.stats, feature_stats(store.features))
    assert np.isfinite(mean).all() and (std > dataset.MIN_STD).all()


# ---- unchanged, changed


def test_unchanged_store_starts_at_once(bank, tmp_path):
    """Nothing is rendered, no worker starts."""
    first = prepare(bank, RECIPES, tmp_path, n_jobs=1)
    before, inode = n_rendered(bank), os.stat(first.folder / "features.npy").st_ino
    again = prepare(bank, [*RECIPES], tmp_path, progress=lambda *_: pytest.fail("there is nothing to do"))
    assert n_rendered(bank) == before == 71  # 70 clips and once more the first, to learn T
    assert os.stat(again.folder / "features.npy").st_ino == inode


def changed_recipe(recipes, **fields):
    return [*recipes[:3], dataclasses.replace(recipes[3], **fields), *recipes[4:]]


@pytest.mark.parametrize("change", ["bank", "recipe", "one less", "order", "float16", "version", "library", "lfbe"])
def test_changed_setting_rebuilds(bank, tmp_path, monkeypatch, change):
    recipes = RECIPES[:6]
    folder = prepare(bank, recipes, tmp_path, n_jobs=1).folder
    before = n_rendered(bank)
    dtype = "float32"
    if change == "bank":
        bank = NoiseBank(bank.log, version="2")
    elif change == "recipe":
        recipes = changed_recipe(recipes, onset_s=0.1031)
    elif change == "one less":
        recipes = recipes[:5]
    elif change == "order":
        recipes = recipes[::-1]
    elif change == "float16":
        dtype = "float16"
    elif change == "version":
        monkeypatch.setattr(store_files, "STORE_VERSION", 99)
    elif change == "library":
        monkeypatch.setattr(store_files.importlib.metadata, "version", lambda name: "99")
    elif change == "lfbe":
        monkeypatch.setitem(lfbe.__kwdefaults__, "hop_s", 0.024)
    store = prepare(bank, recipes, tmp_path, n_jobs=1, dtype=dtype)
    assert store.folder != folder and n_rendered(bank) == before + len(recipes) + 1
    assert FeatureStore(folder).recipes == RECIPES[:6]  # the old one is still there


def test_rendered_mixture_counts_by_its_file(bank, tmp_path):
    import soundfile

    path = tmp_path / "mixture.wav"
    recipes = [make_recipe(0, rendered=str(path))]
    with pytest.raises(InputError, match=r"mixture\.wav: No such file"):
        prepare(bank, recipes, tmp_path)
    soundfile.write(path, noise("a", CLIP_S), 44100)
    first = prepare(bank, recipes, tmp_path)
    soundfile.write(path, noise("b", CLIP_S), 44100)
    os.utime(path, ns=(0, 1))  # the new file may come within the clock's step
    second = prepare(bank, recipes, tmp_path)
    assert first.folder != second.folder and (first.features != second.features).any()


def test_a_change_of_any_module_is_other_code(tmp_path, monkeypatch):
    packages = [tmp_path / "data_tools", tmp_path / "minirsed"]
    for package in packages:
        (package / "room").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "room" / "a.py").write_text("x = 1")
    where = {package.name: SimpleNamespace(origin=str(package / "__init__.py")) for package in packages}
    monkeypatch.setattr(store_files.importlib.util, "find_spec", where.get)
    digests = [store_files.code_digest()]
    for package in packages:
        (package / "room" / "a.py").write_text("x = 2")
        digests.append(store_files.code_digest())
    (packages[0] / "room" / "a.py").rename(packages[0] / "room" / "b.py")
    digests.append(store_files.code_digest())
    assert len(set(digests)) == 4


@pytest.mark.parametrize("resampler", ["soxr", "kaiser_best"])
def test_the_version_is_raised_with_any_change_of_the_rows(tmp_path, resampler):
    """If this fails and rows were meant to change, raise STORE_VERSION and write down the new numbers with it.

    Decoding, resampling, looping, the ratio, the mixture and its features, of sounds that leave no band empty. The
    numbers are mean, deviation and projection on a noise; they do not show the last bits, in which machines differ.
    """
    import soundfile

    from data_tools.recipes import draw_recipes

    rng = np.random.default_rng(0)
    for name, sr, shape in [("events/bell/a.wav", 48000, 9600), ("backgrounds/b.flac", 44100, (60000, 2))]:
        (tmp_path / name).parent.mkdir(parents=True)
        soundfile.write(tmp_path / name, rng.uniform(-0.5, 0.5, shape), sr)
    bank = SoundBank.from_folder(tmp_path, resampler=resampler)
    recipes = draw_recipes(bank, "bell", "train", 6, seed=0, duration_s=3.0)
    features = prepare(bank, recipes, tmp_path / "features", n_jobs=1).features.astype(float)
    projection = np.vdot(rng.standard_normal(features.shape), features - features.mean())
    found = [features.mean(), features.std(), projection / np.linalg.norm(features - features.mean())]
    assert found == pytest.approx(ON_RECORD[store_files.STORE_VERSION][resampler], abs=1e-4)


ON_RECORD = {4: {"soxr": [-2.91776, 0.47402, 0.57704], "kaiser_best": [-2.91765, 0.47416, 0.57176]}}


# ---- killed, resumed

PREPARE = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_dataset import RECIPES, NoiseBank
from minirsed.store.dataset import prepare
bank = NoiseBank({log!r}, pause_s=0.05)
prepare(bank, RECIPES, {folder!r}, n_jobs={n_jobs}, progress=lambda done, n: print(done, flush=True))
"""


def start_preparing(folder, log, n_jobs, code=PREPARE):
    names = {"tests": str(Path(__file__).parent), "root": str(ROOT), "log": str(log), "folder": str(folder)}
    code = code.format(**names, n_jobs=n_jobs)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.parametrize("n_jobs, n_clips, whole_group", [(1, 16, False), (2, 0, True), (2, 16, False)])
def test_killed_preparation_resumes_to_the_same_bytes(bank, tmp_path, undisturbed, n_jobs, n_clips, whole_group):
    """Killed a random moment after `n_clips` clips; with the group its workers die too, else they outlive it."""
    process = start_preparing(tmp_path / "root", bank.log, n_jobs)
    try:
        while int(process.stdout.readline()) < n_clips:
            pass
        time.sleep(random.random() * 0.2)  # a chunk takes 0.8 s
        os.killpg(process.pid, signal.SIGKILL) if whole_group else process.kill()
        process.wait()
        done = []
        store = prepare(bank, RECIPES, tmp_path / "root", n_jobs=1, progress=lambda n_done, n: done.append(n_done))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers that are left
    assert stored_bytes(store) == undisturbed
    assert done[0] >= n_clips  # what was reported done is not done again


def test_only_chunks_without_mark_are_done_again(bank, tmp_path, undisturbed):
    """5 chunks of 16, the last of 6; stopped after two: 38 clips are left, and T is known."""

    class Stop(Exception):
        pass

    def stop(n_done, n):
        if n_done == 32:
            raise Stop

    with pytest.raises(Stop):
        prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=stop)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert (folder / "chunks.done").read_bytes() == b"\1\1\0\0\0"
    with pytest.raises(InputError, match="not a complete feature store"):
        FeatureStore(folder)
    before, calls = n_rendered(bank), []
    store = prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=lambda *call: calls.append(call))
    assert n_rendered(bank) == before + 38
    assert calls == [(32, 70), (48, 70), (64, 70), (70, 70)]
    assert stored_bytes(store) == undisturbed


def test_mark_follows_the_synced_rows(bank, tmp_path, monkeypatch):
    """At every fsync of the rows the chunk is not yet marked; whatever happens before it leaves no mark."""
    marks_at_sync = []
    fsync = os.fsync

    def spy(descriptor):
        for path in tmp_path.glob("*/chunks.done"):
            marks_at_sync.append((os.readlink(f"/proc/self/fd/{descriptor}").split("/")[-1], path.read_bytes()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    prepare(bank, RECIPES[:20], tmp_path, n_jobs=1)
    chunks = [call for call in marks_at_sync if call[0] in ("features.npy", "chunks.done")]
    assert chunks == [
        ("features.npy", b"\0\0"), ("chunks.done", b"\1\0"), ("features.npy", b"\1\0"), ("chunks.done", b"\1\1")
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["index.json", "features.npy", "recipes.json", "chunks.done"])
def test_begun_store_with_a_file_missing_starts_over(bank, tmp_path, undisturbed, name):
    with pytest.raises(ZeroDivisionError):
        prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=lambda n_done, n: 1 // (n_done < 48))
    (path,) = tmp_path.glob(f"*/{name}")
    path.unlink()
    assert stored_bytes(prepare(bank, RECIPES, tmp_path, n_jobs=1)) == undisturbed


@pytest.mark.parametrize("n_written", [0, 1, 2, 3])
def test_stopped_while_starting_over(bank, tmp_path, undisturbed, monkeypatch, n_written):
    """Old marks must not vouch for new, empty rows, wherever the making of the four files stops."""
    with pytest.raises(ZeroDivisionError):
        prepare(bank, RECIPES, tmp_path, n_jobs=1, progress=lambda n_done, n: 1 // (n_done < 48))
    (path,) = tmp_path.glob("*/features.npy")
    path.unlink()
    calls, atomic_write = [], store_files.atomic_write

    def stop_after(*arguments):
        calls.append(arguments)
        if len(calls) > n_written:
            raise KeyboardInterrupt
        return atomic_write(*arguments)

    monkeypatch.setattr(store_files, "atomic_write", stop_after)
    with pytest.raises(KeyboardInterrupt):
        prepare(bank, RECIPES, tmp_path, n_jobs=1)
    monkeypatch.undo()
    assert stored_bytes(prepare(bank, RECIPES, tmp_path, n_jobs=1)) == undisturbed


# ---- two at once


def test_second_process_is_told_and_a_dead_one_blocks_nobody(bank, tmp_path):
    recipes = [make_recipe(0, background="slow"), make_recipe(1)]
    code = PREPARE.replace("import RECIPES, NoiseBank", "import NoiseBank, make_recipe")
    code = code.replace("RECIPES", "[make_recipe(0, background='slow'), make_recipe(1)]")
    process = start_preparing(tmp_path, bank.log, 1, code)
    try:
        while "slow" not in bank.log.read_text():  # it has the lock and sits in its first clip
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(InputError, match=r"bell-devtrain-.*: another process is preparing it"):
            prepare(bank, recipes, tmp_path, n_jobs=1)
    finally:
        process.kill()
        process.wait()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    with files.exclusive(folder / "lock", "preparing"):
        pass


def test_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with files.exclusive(tmp_path / "lock", "preparing"):
        pass


# ---- refusals


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    "background, error, message",
    [
        ("missing", InputError, r"^missing\.wav: no such file$"),
        ("nan", InputError, r"^mixture_devtrain_bell_003_ab\.wav: .*nan"),
        ("long", ValueError, r"recipes\[3\]: features are \(42, 64\), those of recipes\[0\] \(20, 64\)"),
    ],
)
def test_bad_clip_is_named_in_one_line(bank, tmp_path, n_jobs, background, error, message):
    recipes = [*RECIPES[:3], make_recipe(3, background=background), *RECIPES[4:40]]
    with pytest.raises(error, match=message) as caught:
        prepare(bank, recipes, tmp_path, n_jobs=n_jobs)
    assert "\n" not in str(caught.value)
    if error is InputError:
        assert caught.value.__cause__ is None  # no wall of a worker's traceback


def test_features_that_are_not_finite_name_background_and_event(bank, tmp_path):
    """NaN samples; samples whose power overflows float64; an infinite factor on the event."""
    for background in ("nan", "huge"):
        message = f"bell_000_ab.wav: background {background} gives NaN or infinite features"
        with np.errstate(over="ignore"), pytest.raises(InputError, match=message):
            prepare(bank, [make_recipe(0, background=background)], tmp_path)
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match="background room1 with event bell1 gives NaN"):
        prepare(bank, [make_recipe(1, scaling_factor=np.inf)], tmp_path)


def test_killed_worker_is_explained(bank, tmp_path):
    recipes = [*RECIPES[:39], make_recipe(39, background="deadly")]
    with pytest.raises(InputError, match=r"bell-devtrain-\w+: a worker was killed"):
        prepare(bank, recipes, tmp_path, n_jobs=2)


def test_disk_space_is_checked_before_anything_is_written(bank, tmp_path, monkeypatch):
    """20 clips · 20 frames · 64 bands · 4 bytes = 102,400 bytes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=102_399))
    with pytest.raises(InputError, match=r"the features of 20 clips take 102 kB, 102 kB are free$"):
        prepare(bank, RECIPES[:20], tmp_path, n_jobs=1)
    assert not list(tmp_path.glob("*/features.npy"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=102_400))
    prepare(bank, RECIPES[:20], tmp_path, n_jobs=1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 640 kB; 70 clips need 358 kB, and what a chunk has written before it failed stays."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder]).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_disk_that_fills_up_on_the_way(bank, small_disk, undisturbed, n_jobs):
    """Another program takes the space after the first chunk: an OSError, and later on nothing is lost."""
    bank.wait_for = small_disk / "other"  # chunks are ordered by background: room6 is in the last two

    def fill_disk(n_done, n):
        if n_done == 16:
            with pytest.raises(OSError), open(small_disk / "full", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            (small_disk / "full").rename(bank.wait_for)

    with pytest.raises(OSError, match="No space left on device"):
        prepare(bank, RECIPES, small_disk, n_jobs=n_jobs, progress=fill_disk)
    bank.wait_for.unlink()
    bank.wait_for, done = None, []
    store = prepare(bank, RECIPES, small_disk, n_jobs=1, progress=lambda n_done, n: done.append(n_done))
    assert stored_bytes(store) == undisturbed and done[0] >= 16


@pytest.mark.parametrize(
    "name, content",
    [
        ("index.json", b""),
        ("index.json", b"\xff\xfe"),
        ("index.json", b"[1, 2]"),
        ("index.json", b'{"done": true}'),
        ("index.json", b'{"fingerprint": "f00", "shape": [6, 20, 64], "dtype": "float32", "done": true}'),
        ("index.json", lambda was: was.replace(b'"stats"', b'"means"')),
        ("index.json", lambda was: was.replace(b'"stats": [', b'"stats": ["high", ')),
        ("features.npy", b""),
        ("features.npy", b"RIFF"),
        ("features.npy", None),
        ("recipes.json", b"[]"),
        ("recipes.json", b'[{"colour": "red"}]'),
        ("recipes.json", None),
    ],
)
def test_damaged_or_foreign_file_is_named(bank, tmp_path, name, content):
    (path,) = prepare(bank, RECIPES[:6], tmp_path, n_jobs=1).folder.glob(name)
    content = content(path.read_bytes()) if callable(content) else content
    path.write_bytes(content) if content is not None else path.unlink()
    with pytest.raises(InputError, match=rf"{name}: .*; delete the folder .*bell-devtrain-\w+ to prepare it anew$"):
        prepare(bank, RECIPES[:6], tmp_path, n_jobs=1)
    assert (path.read_bytes() if path.exists() else None) == content  # nothing was overwritten


@pytest.mark.parametrize("n_bytes", [-1, -(20 * 64 * 4)])
def test_features_cut_short_are_noticed(bank, tmp_path, n_bytes):
    path = prepare(bank, RECIPES[:6], tmp_path, n_jobs=1).folder / "features.npy"
    os.truncate(path, path.stat().st_size + n_bytes)
    with pytest.raises(InputError, match=r"features\.npy: missing or damaged"):
        prepare(bank, RECIPES[:6], tmp_path, n_jobs=1)


def test_features_cut_short_while_in_use(bank, tmp_path):
    """Reading beyond the end of a mapped file would end the process with SIGBUS."""
    store = prepare(bank, RECIPES[:6], tmp_path, n_jobs=1)
    os.truncate(store.folder / "features.npy", 5000)
    with pytest.raises(InputError, match=r"features\.npy: cut short while in use; delete the folder"):
        store.clips(slice(4, 6))


def test_arguments_are_checked(bank, tmp_path):
    with pytest.raises(ValueError, match="dtype is 'float64': expected 'float32' or 'float16'"):
        prepare(bank, RECIPES, tmp_path, dtype="float64")
    with pytest.raises(ValueError, match="n_jobs is 0: expected at least 1"):
        prepare(bank, RECIPES, tmp_path, n_jobs=0)
    with pytest.raises(InputError, match="recipes: expected at least one"):
        prepare(bank, [], tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        prepare(bank, RECIPES, tmp_path / "file", n_jobs=1)


def test_label_cannot_leave_the_root(bank, tmp_path):
    recipes = [make_recipe(1, label="../../etc/x y")]
    folder = prepare(bank, recipes, tmp_path / "root").folder
    assert folder.parent == tmp_path / "root" and folder.name.startswith("_.._etc_x_y-devtrain-")


# ---- minibatches


def test_minibatches_of_a_balanced_set_are_half_events():
    """The paper's: ten clips, five with an event."""
    has_event = np.arange(100) % 2 == 0
    batches = minibatches(has_event, 10, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [10] * 10
    assert [has_event[batch].sum() for batch in batches] == [5] * 10


def test_minibatches_by_hand():
    """7 clips, 3 with an event, batches of 2: after 2, 4, 6, 7 clips round(3/7 · n) = 1, 2, 3, 3 events are dealt."""
    has_event = np.array([1, 0, 0, 1, 0, 0, 1], bool)
    batches = minibatches(has_event, 2, np.random.default_rng(1))
    assert [has_event[batch].tolist() for batch in batches] == [[True, False], [True, False], [True, False], [False]]


@given(
    has_event=st.lists(st.booleans(), max_size=60).map(lambda x: np.array(x, bool)),
    batch_size=st.integers(1, 70),
    seed=st.integers(0, 9),
)
def test_minibatches_cover_the_epoch_in_equal_shares(has_event, batch_size, seed):
    batches = minibatches(has_event, batch_size, np.random.default_rng(seed))
    n, n_positive = len(has_event), has_event.sum()
    assert sorted(row for batch in batches for row in batch) == list(range(n))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert all(0 < len(batch) <= batch_size for batch in batches)
    for batch in batches:
        assert abs(has_event[batch].sum() - n_positive * len(batch) / n) <= 1
    again = minibatches(has_event, batch_size, np.random.default_rng(seed))
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))


def test_minibatches_shuffle_both_kinds():
    """Over 400 epochs clip 0 of 8 meets each of the four with the other label 1 time in 4 (100 ± 4σ, σ = 8.7)."""
    has_event, rng, met = np.arange(8) % 2 == 0, np.random.default_rng(0), np.zeros(8, int)
    for _ in range(400):
        (batch,) = (batch for batch in minibatches(has_event, 2, rng) if 0 in batch)
        met[batch[batch != 0]] += 1
    assert (met[::2] == 0).all() and (np.abs(met[1::2] - 100) < 35).all()


def test_minibatches_check_their_arguments():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"has_event is int64 \(3,\): expected bool \(N,\)"):
        minibatches(np.array([0, 1, 1]), 10, rng)
    with pytest.raises(ValueError, match="batch_size is 0"):
        minibatches(np.array([True]), 0, rng)


def test_clips_are_copies_whose_pages_are_given_back(bank, tmp_path):
    """What is read from the map is right, again and again, and does not stay in memory as part of the process."""
    store = prepare(bank, RECIPES, tmp_path, n_jobs=1)
    big = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.float32, (3000, 20, 64))  # 15 MB
    big[:] = np.arange(3000)[:, None, None]
    del big
    store.features = np.load(tmp_path / "big.npy", mmap_mode="r")
    for first in [0, 1000, 2000, 0]:
        x = store.clips(slice(first, first + 1000))
        assert np.array_equal(x, np.broadcast_to(np.arange(first, first + 1000)[:, None, None], x.shape))
    assert np.array_equal(store.clips(np.array([7, 5]))[:, 0, 0], [7, 5])
    x[:] = 0  # a copy
    smaps = Path("/proc/self/smaps")
    if smaps.exists():
        sizes = re.findall(r"big\.npy\n(?:.*\n)*?Rss: +(\d+) kB", smaps.read_text())
        assert sizes and int(sizes[0]) < 2000


# ---- statistics


def test_feature_stats_by_hand():
    """Two clips of two frames: band 0 is 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5. Band 1 is constant."""
    features = np.array([[[1, -23], [2, -23]], [[3, -23], [6, -23]]], np.float32)
    mean, std = feature_stats(features)
    assert mean.tolist() == [3, -23] and mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(std, [np.sqrt(3.5), dataset.MIN_STD], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_feature_stats_equal_those_of_the_whole(dtype):
    """Against NumPy on everything at once; 37 clips are chunks of 16, 16 and 5. The large mean would cancel."""
    features = (np.random.default_rng(0).normal(1000, 3, (37, 11, 64))).astype(dtype)
    mean, std = feature_stats(features)
    whole = features.reshape(-1, 64).astype(np.float64)
    np.testing.assert_allclose(mean, whole.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(std, whole.std(axis=0), rtol=1e-12)


def test_feature_stats_take_no_more_memory_for_more_clips(tmp_path):
    """A map of 800 clips of 30 s, 267 MB (sparse), adds less than 64 MB to the peak of the process that reads it."""
    with open(tmp_path / "features.npy", "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (800, 1303, 64)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 800 * 1303 * 64 * 4)
    script = """if True:
        import sys
        from pathlib import Path
        from minirsed.store.dataset import feature_stats
        from minirsed.store.files import open_features
        from tests.peak_memory import peak_bytes
        features = open_features(Path(sys.argv[1]), {"shape": [800, 1303, 64], "dtype": "float32"})
        feature_stats(features[:16])
        before = peak_bytes()
        feature_stats(features)
        print(peak_bytes() - before)
    """
    command = [sys.executable, "-c", script, tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(result.stdout) < 64e6


def test_feature_stats_of_nothing():
    with pytest.raises(ValueError, match=r"features is \(0, 20, 64\)"):
        feature_stats(np.zeros((0, 20, 64), np.float32))
