"""An archive on a cluster: a real Dask scheduler and two real workers, one of which is killed in the middle.

Needs distributed (`python -m pip install -e ".[dask]"`), which the test extra brings.
"""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import soundfile

from minirsed.detect import __main__ as detect
from minirsed.detect import results as detect_results
from minirsed.store import cluster
from minirsed.store import files as store_files
from tests.conftest import tone_detector, tones
from tests.test_cluster import dask, kill_all, wait_for  # noqa: F401  the fixture

N_RECORDINGS = 12
LONG_S = 200.0


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A run folder and a dozen recordings in two folders, short and long, with a tone in most of them; one is bad."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    tone_detector("multires").save("run/best.npz")
    for number in range(N_RECORDINGS):
        path = Path("nights", f"night {number % 2}", f"{number:02}.wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        duration_s, spans = (LONG_S, [(50.0, 51.0), (150.0, 151.5)]) if number % 3 else (3, [(1.0, 2.0)])
        soundfile.write(path, tones(duration_s, spans if number % 4 else [], sr=32000, seed=number), 32000)
    Path("nights", "bad.wav").write_text("hello")
    return tmp_path


def call(*arguments):
    """Run the command; its exit status."""
    with pytest.raises(SystemExit) as stop:
        detect.main([str(argument) for argument in arguments])
        raise SystemExit(0)
    return stop.value.code


def contents(folder):
    """Bytes of all results by name; the lines of the log in order of names, for they come as recordings end."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    first, *lines = files.pop("detected.jsonl").splitlines()
    return files, [first, *sorted(lines)]


def names_done(folder):
    return [json.loads(line)["name"] for line in (folder / "detected.jsonl").read_text().splitlines()[1:]]


class Watch:
    """Calls `act` when a number of results have been noted down."""

    def __init__(self, monkeypatch, n, act):
        mark, self.n_marks = detect_results.ResultsFolder.mark, 0

        def noting(results, *given):
            mark(results, *given)
            self.n_marks += 1
            if self.n_marks == n:
                act()

        monkeypatch.setattr(detect_results.ResultsFolder, "mark", noting)


@pytest.mark.parametrize("options", [["--thres0", "0.999"], ["--format", "json", "--plot", "--all-events"]])
def test_same_files_as_here(archive, dask, capsys, options):  # noqa: F811
    """Events and pictures byte for byte, the same words; thresholds of the command line; nothing is done twice."""
    said = []
    for out, more in (("here", []), ("there", ["--cluster", dask.address])):
        assert call("run", "nights", "--out", out, *options, *more) == 2
        said.append(capsys.readouterr().err.replace(f"{archive}/", ""))
    assert said[0] == said[1] and said[0].startswith(f"{N_RECORDINGS} recordings, ")
    assert (" 0 tone events" in said[0]) == ("--thres0" in options)
    here, there = contents(archive / "here"), contents(archive / "there")
    assert here == there and len(there[0]) == N_RECORDINGS * (1 + ("--plot" in options)) + 1  # and the lock
    (archive / "nights" / "bad.wav").unlink()
    before = (archive / "there" / "detected.jsonl").stat().st_mtime_ns
    assert call("run", "nights", "--out", "there", *options, "--cluster", "tcp://127.0.0.1:1") == 0  # asks nobody
    assert f"; {N_RECORDINGS} recordings done before" in capsys.readouterr().err
    assert (archive / "there" / "detected.jsonl").stat().st_mtime_ns == before


def test_worker_killed_in_the_middle(archive, dask, monkeypatch):  # noqa: F811
    """SIGKILL while it searches: the other does its recording, every recording is noted once."""
    assert call("run", "nights", "--out", "here") == 2
    victim = dask.workers[0]
    Watch(monkeypatch, 2, lambda: os.kill(victim.pid, signal.SIGKILL))
    assert call("run", "nights", "--out", "there", "--cluster", dask.address) == 2
    assert victim.wait() == -signal.SIGKILL
    assert contents(archive / "here") == contents(archive / "there")
    names = names_done(archive / "there")
    assert len(names) == len(set(names)) == N_RECORDINGS
    dask.workers.remove(victim)
    wait_for(dask.add(), "Registered to:")


def test_all_workers_gone_and_the_rest_done_here(archive, dask, monkeypatch, capsys):  # noqa: F811
    """One line; what is done stays, and the same command without the cluster does only the rest."""
    monkeypatch.setattr(cluster, "GONE_S", 1)
    with monkeypatch.context() as patch:
        Watch(patch, 2, lambda: kill_all(dask))
        assert call("run", "nights", "--out", "there", "--cluster", dask.address) == 2
    assert f"{dask.address}: no worker has been there for 1 s" in capsys.readouterr().err.splitlines()[-1]
    done = names_done(archive / "there")
    assert 2 <= len(done) < N_RECORDINGS
    assert call("run", "nights", "--out", "there") == 2
    assert f"; {len(done)} recordings done before" in capsys.readouterr().err
    assert names_done(archive / "there")[: len(done)] == done
    assert call("run", "nights", "--out", "here") == 2
    assert contents(archive / "here") == contents(archive / "there")
    for worker in (dask.add(), dask.add()):
        wait_for(worker, "Registered to:")


def elsewhere(monkeypatch, folder, name):
    """Have the workers find a folder of this name instead, as if it were not shared."""
    absolute = Path.absolute
    monkeypatch.setattr(Path, "absolute", lambda path: Path(str(absolute(path)).replace(f"/{folder}", f"/{name}", 1)))


def test_recordings_that_a_worker_does_not_see(archive, dask, monkeypatch, capsys):  # noqa: F811
    shutil.copytree("nights", "others", copy_function=shutil.copy)  # as if recorded at another time
    for name, reason in (("nowhere", "not there"), ("others", "another file there")):
        with monkeypatch.context() as patch:
            elsewhere(patch, "nights", name)
            assert call("run", "nights", "--out", name + "-out", "--cluster", dask.address) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "error: worker tcp://" in line and f"{reason}; share the recordings" in line
        assert not names_done(archive / f"{name}-out")


def test_a_detector_that_a_worker_does_not_see(archive, dask, monkeypatch, capsys):  # noqa: F811
    Path("other").mkdir()
    tone_detector("uni").save("other/best.npz")
    for name, reason in (
        ("nowhere", "cannot read the detector: .*/nowhere: no such file; share it"),
        ("other", ".*/other is another detector there; share it"),
    ):
        with monkeypatch.context() as patch:
            elsewhere(patch, "run", name)
            assert call("run", "nights/night 0", "--out", f"{name}-out", "--cluster", dask.address) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(f"error: worker tcp://.*: {reason}$", line), line


def test_a_recording_that_changes_meanwhile(archive, dask, monkeypatch, capsys):  # noqa: F811
    """It is named, the others are done, and the same command does it."""
    late = Path("nights", "night 1", "11.wav")

    def change():
        soundfile.write(late, tones(4, [(2.0, 3.0)], sr=32000), 32000)

    Watch(monkeypatch, 1, change)
    Path("nights", "bad.wav").unlink()
    assert call("run", "nights", "--out", "out", "--cluster", dask.address) == 2
    assert f"{late}: has changed meanwhile" in capsys.readouterr().err
    assert sorted(names_done(archive / "out")) == sorted(
        path.relative_to("nights").as_posix() for path in Path("nights").rglob("*.wav") if path != late
    )
    assert call("run", "nights", "--out", "out", "--cluster", dask.address) == 0
    assert "1 recording, 0:00:04 of sound, 1 tone event; 11 recordings done before" in capsys.readouterr().err


def test_other_code_there_is_refused(archive, dask, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(store_files, "code_digest", lambda: "edited")
    assert call("run", "nights", "--out", "out", "--cluster", dask.address) == 2
    assert "not the same code of minirsed as here" in capsys.readouterr().err


def test_needs_a_results_folder(archive, capsys):
    assert call("run", "nights", "--cluster", "tcp://127.0.0.1:1") == 2
    assert capsys.readouterr().err == "minirsed.detect: error: --cluster needs --out DIR\n"
