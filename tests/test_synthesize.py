"""The command as a user runs it: official bytes, restarts, any number of workers, clear refusals."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.console import available_cores
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.mixing import quantize24, render
from data_tools.mixture_files import is_complete, write_mixtures, write_wav24
from data_tools.recipes import Recipe, draw_recipes, read_recipes
from data_tools.soundbank import open_bank
from data_tools.synthesize import main

ROOT = Path(__file__).parents[1]
RENDER = Path(__file__).parent / "golden-mixtures" / "render"
MIXTURES = RENDER / "data" / "mixture_data" / "devtest" / "render"
RECIPE_FILES = sorted(map(str, (MIXTURES / "meta").glob("*.yaml")))


@pytest.fixture
def sounds(tmp_path):
    """A folder of the user's own: 4 dogs, 3 short backgrounds."""
    rng = np.random.default_rng(0)
    root = tmp_path / "sounds"
    for folder, count, seconds in (("events/dog", 4, 0.5), ("backgrounds", 3, 2.0)):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            soundfile.write(root / folder / f"{i}.wav", rng.normal(0, 0.1, round(8000 * seconds)), 8000)
    return root


def draw_arguments(sounds, out, **changes):
    settings = {
        "--bank": sounds,
        "--class": "dog",
        "--subset": "devtrain",
        "-n": 6,
        "--out": out,
        "--jobs": 1,
        **changes,
    }
    return [str(x) for pair in settings.items() for x in pair]


def test_golden_mixtures_come_out_byte_for_byte(tmp_path, capsys):
    """Audio, recipes and event lists of the official program, from the sound files alone, WAV headers included."""
    arguments = ["--bank", str(RENDER), "--out", str(tmp_path), "--resampler", "kaiser_best", "--jobs", "1"]
    main([*arguments, "--recipes", *RECIPE_FILES])
    assert "21 mixtures written, 0 were there, 0 screened out" in capsys.readouterr().out
    for path in [*(MIXTURES / "audio").iterdir(), *(MIXTURES / "meta").iterdir()]:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert len(list(tmp_path.glob("[!.]*"))) == 27  # beside the lock


def test_drawn_mixtures_and_their_lists(sounds, tmp_path):
    out = tmp_path / "new" / "out"
    main(draw_arguments(sounds, out, **{"--seed": 3}))
    bank = open_bank(sounds)
    recipes = draw_recipes(bank, "dog", "train", 6, 3)
    assert read_recipes(out / "mixture_recipes_devtrain_dog.yaml") == recipes
    events = read_event_list(out / "event_list_devtrain_dog.csv")
    assert [(name, bool(found)) for name, found in events.items()] == [(r.name, r.has_event) for r in recipes]
    for recipe in recipes:
        stored, sr = soundfile.read(out / recipe.name, dtype="int32")
        info = soundfile.info(out / recipe.name)
        assert (sr, info.subtype, info.channels, info.frames) == (44100, "PCM_24", 1, 30 * 44100)
        assert np.array_equal(stored >> 8, quantize24(render(recipe, bank)))
    assert sorted(p.suffix for p in out.glob("[!.]*")) == [".csv"] + [".wav"] * 6 + [".yaml"]


def test_restart_keeps_complete_files_and_mends_cut_ones(sounds, tmp_path, capsys):
    out = tmp_path / "out"
    main(draw_arguments(sounds, out))
    files = sorted(out.glob("*.wav"))
    before = {path: path.read_bytes() for path in files}
    files[0].unlink()
    files[1].write_bytes(before[files[1]][:-3000])
    files[2].write_bytes(b"")
    stamps = {path: path.stat().st_mtime_ns for path in files[3:]}
    main(draw_arguments(sounds, out))
    assert "3 mixtures written, 3 were there" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in files} == before
    assert {path: path.stat().st_mtime_ns for path in files[3:]} == stamps
    main(draw_arguments(sounds, out, **{"-n": 8}))
    assert "2 mixtures written, 6 were there" in capsys.readouterr().out


def test_any_number_of_workers_gives_the_same_bytes(sounds, tmp_path):
    for jobs in (1, 2):
        main(draw_arguments(sounds, tmp_path / str(jobs), **{"-n": 17, "--jobs": jobs}))
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / str(jobs)).glob("[!.]*")} for jobs in (1, 2))
    assert one == two and len(one) == 19


def test_screened_mixtures_are_left_out_unless_asked_for(tmp_path, capsys):
    """The golden patcher's list flags three babycry mixtures (000, 001, 002, 004 share its background) and more."""
    bank = tmp_path / "bank" / "source_data"
    (bank / "bgs").mkdir(parents=True)
    os.symlink(RENDER / "data/source_data/events", bank / "events")
    os.symlink(RENDER / "data/source_data/bgs/audio", bank / "bgs" / "audio")
    patcher = RENDER.parent / "patcher"
    (bank / "bgs" / "bg_screening.csv").write_bytes((patcher / "bg_screening.csv").read_bytes())
    arguments = ["--bank", str(tmp_path / "bank"), "--recipes", *RECIPE_FILES, "--jobs", "1", "--out"]
    main([*arguments, str(tmp_path / "screened")])
    listing = (patcher / "audio-names-after.txt").read_text().split()
    kept = sorted(name for name in listing if name.endswith(".wav"))
    assert sorted(p.name for p in (tmp_path / "screened").glob("*.wav")) == kept
    assert f"{len(kept)} mixtures written, 0 were there, {21 - len(kept)} screened out" in capsys.readouterr().out
    for path in (patcher / "meta").glob("*.csv"):
        assert (tmp_path / "screened" / path.name).read_bytes() == path.read_bytes()
    for path in map(Path, RECIPE_FILES):
        assert (tmp_path / "screened" / path.name).read_bytes() == path.read_bytes()
    main([*arguments, str(tmp_path / "all"), "--no-screening"])
    assert len(list((tmp_path / "all").glob("*.wav"))) == 21


def test_official_recipes_from_an_own_folder(sounds, tmp_path):
    out = tmp_path / "out"
    main(draw_arguments(sounds, out, **{"--generator": "official", "-n": 8}))
    recipes = read_recipes(out / "mixture_recipes_devtrain_dog.yaml")
    assert sum(r.has_event for r in recipes) == 4
    onsets = {(r.event, r.onset_s) for r in recipes if r.has_event}
    assert len(onsets) == len({event for event, _ in onsets})  # one onset per event: the official program's trait
    assert all(r.scaling_factor > 0 for r in recipes if r.has_event)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--class": "cow"}, "no class 'cow'; it has dog"),
        ({"--bank": "nowhere"}, "nowhere: no such folder"),
        ({"-n": "0"}, "^data_tools.synthesize: error: -n is 0: expected at least 1 mixture of each class$"),
        ({"-n": "-3"}, "-n is -3: expected at least 1"),
        ({"-n": "many"}, "-n: expected a whole number, not 'many'"),
        ({"--seed": "-3"}, "--seed: must not be negative, not -3"),
        ({"--event-presence-prob": "1.5"}, "must lie in 0 to 1, not 1.5"),
        ({"--ebr-db": "inf"}, "must be finite, not inf"),
        ({"--subset": "test"}, "--subset: invalid choice: 'test'"),
        ({"--jobs": "0"}, "--jobs is 0: expected at least 1"),
        ({"--recipes": "r.yaml"}, "give either --recipes FILE … or --class CLASS …"),
    ],
)
def test_arguments_that_cannot_be_used(sounds, tmp_path, changes, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(draw_arguments(sounds, tmp_path / "out", **changes))
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert re.search(message, error.splitlines()[-1])
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_other_mixtures_are_not_mixed_in(sounds, tmp_path, capsys):
    main(draw_arguments(sounds, tmp_path / "out"))
    with pytest.raises(SystemExit):
        main(draw_arguments(sounds, tmp_path / "out", **{"--seed": 1}))
    assert "holds other recipes; choose another --out" in capsys.readouterr().err


def test_recipes_of_sounds_that_are_not_there(tmp_path, capsys):
    (tmp_path / "source_data/bgs/audio").mkdir(parents=True)
    (tmp_path / "source_data/events").mkdir()
    with pytest.raises(SystemExit):
        main(["--bank", str(tmp_path), "--out", str(tmp_path / "o"), "--jobs", "1", "--recipes", RECIPE_FILES[0]])
    assert "bg_mono16.wav: no such file" in capsys.readouterr().err


def test_names_that_leave_the_folder_are_refused(tmp_path):
    for name in ("../m.wav", "/m.wav", "a\\m.wav", ""):
        with pytest.raises(InputError, match="not a plain file name"):
            list(write_mixtures(None, [Recipe(name, "b", "park")], tmp_path))
    with pytest.raises(InputError, match=r"m\.wav: two recipes have this name"):
        list(write_mixtures(None, [Recipe("m.wav", "b", "park")] * 2, tmp_path))


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("raise OSError(28, 'No space left on device', str(path))", OSError, "No space left on device"),
        ("os._exit(9)", InputError, "a process was killed, most likely because memory ran out"),
    ],
    ids=["full", "killed"],
)
def test_a_full_disk_or_a_killed_process_ends_in_one_line(tmp_path, n_jobs, fault, error, message):
    """In processes of their own, for one of them dies."""
    if n_jobs == 1 and error is InputError:
        pytest.skip("without worker processes there is none to kill")
    (tmp_path / "faulty.py").write_text(
        "import os, sys\nfrom data_tools import mixture_files, synthesize\n"
        f"def write_wav24(path, integers):\n    {fault}\n"
        "class Faulty:\n    def __call__(self, bank, recipes, folder):\n"
        "        mixture_files.write_wav24 = write_wav24\n        return right(bank, recipes, folder)\n"
        "right = mixture_files._write_chunk\nmixture_files._write_chunk = Faulty()\n"
        f"if __name__ == '__main__':\n    import faulty\n    synthesize.main(sys.argv[1:])\n"
    )
    words = ["--class", "gunshot", "--subset", "dev", "-n", "9", "--out", "o", "--jobs", str(n_jobs)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "faulty", *words]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    lines = [line for line in result.stderr.splitlines() if line.startswith("data_tools.synthesize: error: ")]
    assert result.returncode == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in result.stderr


def test_stored_integers_are_exactly_ours(tmp_path):
    integers = np.array([0, 1, -1, 8388607, -8388608, 12345, -54321], dtype=np.int32)
    write_wav24(tmp_path / "m.wav", integers)
    assert np.array_equal(soundfile.read(tmp_path / "m.wav", dtype="int32")[0] >> 8, integers)
    assert is_complete(tmp_path / "m.wav")
    soundfile.write(tmp_path / "16.wav", integers, 44100, subtype="PCM_16")
    assert not is_complete(tmp_path / "16.wav")
    assert not is_complete(tmp_path / "none.wav")


def test_help_shows_every_default():
    command = [sys.executable, "-m", "data_tools.synthesize", "-h"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = " ".join(shown.stdout.split())
    defaults = ("builtin", "train", "500 mixtures", "42", "minirsed", "-6 0 6 dB", "0.5", "soxr")
    for default in (*defaults, f"{available_cores()}, one a core"):
        assert f"(default: {default})" in text
    assert "dB" in text and "44.1 kHz" in text
