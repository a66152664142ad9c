"""Banks over folders: what is found, how it is split, and one clear line for everything that cannot be used."""

import hashlib
import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.audio import SAMPLE_RATE
from data_tools.banks.base import Background, EventClip
from data_tools.banks.folder import split_by_hash
from data_tools.errors import InputError
from data_tools.files import equal_files
from data_tools.inventory import Holding, holding, holding_of, inventory_lines, recordings_of, repeated
from data_tools.mixing import quantize24, render
from data_tools.recipes import draw_recipes, write_recipes
from data_tools.soundbank import SoundBank, open_bank

GOLDEN = Path(__file__).parent / "golden-mixtures"


def write_noise(path, seconds, sr=8000, level=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    y = np.random.default_rng(len(str(path))).normal(0, level, round(seconds * sr))
    soundfile.write(path, y, sr, format=path.suffix[1:].upper())


@pytest.fixture
def sounds(tmp_path):
    """Two classes, one name beyond ASCII, and backgrounds of 1, 12, 30 and 95 s."""
    root = tmp_path / "my sounds"
    for i in range(6):
        write_noise(root / "events" / "dog" / f"dog {i}.wav", 0.5 + 0.1 * i)
        write_noise(root / "events" / "Türklingel" / f"ring{i}.FLAC", 1.0)
    for name, seconds in {"short": 1.0, "street/some": 12.0, "street/exact": 30.0, "deep/er/long": 95.0}.items():
        write_noise(root / "backgrounds" / f"{name}.wav", seconds)
    return root


def split(root, **subsets):
    """Write a split.csv: every file train unless its stem is named."""
    lines = ["file,subset"]
    for path in sorted([*root.glob("events/*/*"), *root.rglob("backgrounds/**/*.*")]):
        lines.append(f"{path.relative_to(root).as_posix()},{subsets.get(path.stem, 'train')}")
    (root / "split.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def all_in(bank, subset):
    events = [e for label in bank.classes for e in bank._events(label, subset)]
    return {e.key for e in events} | {b.key for b in bank._backgrounds(subset)}


def test_what_a_folder_holds(sounds):
    split(sounds)
    (sounds / "events" / "dog" / ".hidden.wav").touch()
    (sounds / "events" / "dog" / "notes.txt").touch()
    (sounds / "events" / ".git").mkdir()
    bank = SoundBank.from_folder(sounds)
    assert bank.classes == ("Türklingel", "dog")
    assert bank.events("dog", "train")[:2] == [
        EventClip("dog/dog 0.wav", "dog", 0.0, 0.5),
        EventClip("dog/dog 1.wav", "dog", 0.0, 0.6),
    ]
    assert [e.key for e in bank.events("Türklingel", "train")] == [f"Türklingel/ring{i}.FLAC" for i in range(6)]
    assert len(bank.event_audio("dog/dog 0.wav")) == SAMPLE_RATE // 2


def test_long_backgrounds_give_pieces_of_30_s(sounds):
    """95 s: 0–30, 30–60, 60–90 and a rest of 5 s, which is too short to count; 12 s: one piece, looped."""
    split(sounds)
    assert SoundBank.from_folder(sounds).backgrounds("train") == [
        Background("deep/er/long.wav", "er", 0.0, 30.0),
        Background("deep/er/long.wav", "er", 30.0, 30.0),
        Background("deep/er/long.wav", "er", 60.0, 30.0),
        Background("short.wav", "background", 0.0, 1.0),
        Background("street/exact.wav", "street", 0.0, 30.0),
        Background("street/some.wav", "street", 0.0, 12.0),
    ]
    write_noise(sounds / "backgrounds" / "deep/er/long.wav", 100.0)
    assert SoundBank.from_folder(sounds).backgrounds("train")[3] == Background("deep/er/long.wav", "er", 90.0, 10.0)


def test_every_recipe_of_a_folder_renders(sounds):
    split(sounds)
    bank = SoundBank.from_folder(sounds)
    recipes = draw_recipes(bank, "dog", "train", 30, 0)
    assert {r.background_start_s for r in recipes} == {0.0, 30.0, 60.0}
    for recipe in recipes:
        y = render(recipe, bank)
        assert len(y) == 30 * SAMPLE_RATE and np.isfinite(y).all() and np.abs(y).max() < 1
        assert np.std(y) > 0


def test_active_parts_come_from_events_csv(sounds):
    """Named files only; half a millisecond beyond the end of a file is rounding (0.5 s file)."""
    split(sounds)
    table = "offset_s,file,onset_s\n0.5004,dog/dog 0.wav,0.125\n\n"
    (sounds / "events" / "events.csv").write_text("\ufeff" + table, encoding="utf-8")
    clips = SoundBank.from_folder(sounds).events("dog", "train")
    assert clips[0] == EventClip("dog/dog 0.wav", "dog", 0.125, 0.5004)
    assert clips[1].onset_s == 0.0


def test_nothing_crosses_subsets(sounds):
    """By list and by hash: every recording is in exactly one subset, and small groups fill train, dev and eval."""
    split(sounds, **{"dog 0": "dev", "ring1": "eval", "long": "dev"})
    listed = SoundBank.from_folder(sounds)
    assert [e.key for e in listed.events("dog", "dev")] == ["dog/dog 0.wav"]
    assert {b.key for b in listed.backgrounds("dev")} == {"deep/er/long.wav"}
    (sounds / "split.csv").unlink()
    hashed = SoundBank.from_folder(sounds)
    for bank in (listed, hashed):
        parts = [all_in(bank, subset) for subset in ("train", "dev", "eval")]
        assert len(set.union(*parts)) == sum(map(len, parts)) == 16
    for subset in ("train", "dev", "eval"):
        assert hashed.events("dog", subset) and hashed.events("Türklingel", subset) and hashed.backgrounds(subset)


def test_files_that_the_list_leaves_out_go_by_hash(sounds):
    (sounds / "split.csv").write_text("file,subset\nevents/dog/dog 3.wav,eval\n")
    bank = SoundBank.from_folder(sounds)
    assert "dog/dog 3.wav" in [e.key for e in bank.events("dog", "eval")]
    assert bank.events("dog", "train") and bank.events("dog", "dev")


def test_hash_split_is_stable_and_70_15_15():
    """3000 names: shares within 4 standard deviations (0.033, 0.026, 0.026); a file stays when others come."""
    names = [f"events/dog/{i}.wav" for i in range(3000)]
    subsets = split_by_hash(names)
    shares = [sum(s == subset for s in subsets.values()) / 3000 for subset in ("train", "dev", "eval")]
    assert np.all(np.abs(np.array(shares) - [0.70, 0.15, 0.15]) < [0.033, 0.026, 0.026])
    fewer = split_by_hash(names[::3])
    assert all(subsets[name] == subset for name, subset in fewer.items())
    u = int(hashlib.md5(b"events/dog/7.wav").hexdigest()[:16], 16) / 2**64
    assert subsets["events/dog/7.wav"] == ("train" if u < 0.7 else "dev" if u < 0.85 else "eval")


@pytest.mark.parametrize("group", range(60))
def test_hash_split_fills_small_groups(group):
    """1 file: train. 2: train and dev. 3 or more: all three."""
    for n in range(1, 8):
        found = set(split_by_hash([f"{group}/{i}" for i in range(n)]).values())
        assert {"train"} | ({"dev"} if n > 1 else set()) | ({"eval"} if n > 2 else set()) == found


def test_hash_split_never_moves_listed_files():
    listed = {"a": "eval", "b": "eval", "c": "eval"}
    assert split_by_hash("abc", listed) == listed
    mixed = split_by_hash("abcde", listed)
    assert {name: mixed[name] for name in "abc"} == listed and {mixed["d"], mixed["e"]} == {"train", "dev"}


def change(path, text):
    def apply(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (shutil.rmtree, "my sounds: no such folder"),
        (lambda root: (shutil.rmtree(root), root.touch()), "my sounds: not a folder"),
        (lambda root: shutil.rmtree(root / "events"), "my sounds: no events folder"),
        (lambda root: shutil.rmtree(root / "backgrounds"), "my sounds: no backgrounds folder"),
        (lambda root: [shutil.rmtree(f) for f in (root / "events").iterdir()], "events: no class folder"),
        (lambda root: (root / "events" / "cat").mkdir(), "cat: no sound files"),
        (lambda root: [shutil.rmtree(root / "backgrounds"), (root / "backgrounds").mkdir()], "backgrounds: no sound"),
        (lambda root: write_noise(root / "backgrounds/click.wav", 0.999), r"click\.wav: background of 0\.999 s"),
        (change("split.csv", ""), r"split\.csv, line 1: no column 'file' \(found: none\)"),
        (change("split.csv", "file|subset\n"), r"split\.csv, line 1: no column 'file' \(found: file\|subset\)"),
        (change("split.csv", "file;subset\nevents/dog/dog 0.wav,dev\n"), r"split\.csv, line 2: expected 2 columns"),
        (change("events/events.csv", 'file,onset_s,offset_s\ndog/dog 0.wav,0,"0,1"\n'), r"offset_s is '0,1', not"),
        (change("split.csv", "file,part\n"), r"split\.csv, line 1: no column 'subset' \(found: file, part\)"),
        (change("split.csv", "file,subset\nevents/dog/dog 0.wav,test\n"), r"line 2: unknown subset 'test'"),
        (
            change("split.csv", "file,subset\nevents/dog/dog 9.wav,dev\n"),
            r"line 2: events/dog/dog 9\.wav is not a",
        ),
        (change("split.csv", "file,subset\nevents/dog/dog 0.wav\n"), r"split\.csv, line 2: expected 2 columns"),
        (change("split.csv", "file,subset\na,dev,x\n"), r"split\.csv, line 2: expected 2 columns"),
        (change("split.csv", 'file,subset\n"a,dev\n'), r"split\.csv: malformed list"),
        (
            change("split.csv", "file,subset\nevents/dog/dog 0.wav,dev\n./events/dog/dog 0.wav,train\n"),
            r"line 3: events/dog/dog 0\.wav is in 'dev' already",
        ),
        (change("events/events.csv", "file,onset_s\n"), r"events\.csv, line 1: no column 'offset_s'"),
        (change("events/events.csv", "file,onset_s,offset_s\ndog/x.wav,0,1\n"), r"events\.csv, line 2: no such file"),
        (change("events/events.csv", "file,onset_s,offset_s\n../a,0,1\n"), r"\.\./a: lies outside"),
        (change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,zero,1\n"), "line 2: onset_s is 'zero'"),
        (change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,0,nan\n"), "line 2: offset_s is 'nan'"),
        (change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,-1,1\n"), "line 2: negative onset"),
        (change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,0.2,0.2\n"), "line 2: onset 0.2 s is not"),
        (
            change("events/events.csv", "file,onset_s,offset_s\n\ndog/dog 0.wav,0.2,0.502\n"),
            r"events\.csv, line 3: offset 0\.502 s lies beyond the end of dog/dog 0\.wav \(0\.500 s\)",
        ),
        (
            change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,0,0.1\ndog/dog 0.wav,0.2,0.3\n"),
            "line 3: dog/dog 0.wav is listed twice",
        ),
        (change("recordings.csv", "file,source\n"), r"recordings\.csv, line 1: no column 'recording'"),
        (
            change("recordings.csv", "file,recording\nevents/dog/no.wav,a\n"),
            r"line 2: events/dog/no\.wav is not a sound",
        ),
        (
            change("recordings.csv", "file,recording\nevents/dog/dog 0.wav, \n"),
            r"line 2: .*dog 0\.wav has no recording",
        ),
        (
            change("recordings.csv", "file,recording\nevents/dog/dog 0.wav,a\nevents/dog/dog 0.wav,b\n"),
            r"recordings\.csv, line 3: events/dog/dog 0\.wav is of 'a' already",
        ),
        (
            lambda root: (
                change("recordings.csv", "file,recording\nevents/dog/dog 0.wav,a\nbackgrounds/short.wav,a\n")(root),
                change("split.csv", "file,subset\nevents/dog/dog 0.wav,dev\nbackgrounds/short.wav,train\n")(root),
            ),
            r"split\.csv, line 3: backgrounds/short\.wav is in 'train', another file of its recording 'a' in 'dev'",
        ),
        (lambda root: (root / "split.csv").write_bytes(b"\xff\xfe\xfa"), r"split\.csv: malformed list"),
    ],
)
def test_folders_that_cannot_be_used(sounds, spoil, message):
    spoil(sounds)
    with pytest.raises(InputError, match=message) as error:
        SoundBank.from_folder(sounds)
    assert "\n" not in str(error.value)


def test_asking_for_what_is_not_there(sounds):
    split(sounds)
    bank = SoundBank.from_folder(sounds)
    with pytest.raises(InputError, match="no class 'cow'; it has Türklingel, dog"):
        bank.events("cow", "train")
    with pytest.raises(
        InputError, match=r"no events of class 'dog' in subset 'eval' \(6 in train, 0 in dev, 0 in eval\)\."
    ):
        bank.events("dog", "eval")
    with pytest.raises(
        InputError, match=r"no backgrounds in subset 'dev' \(.* 0 in eval\)\. Put more .* into backgrounds"
    ):
        bank.backgrounds("dev")
    with pytest.raises(ValueError, match="train, dev, eval, not 'devtrain'"):
        bank.events("dog", "devtrain")
    with pytest.raises(InputError, match="no such file"):
        bank.event_audio("dog/none.wav")
    for key in ("../split.csv", "/etc/passwd"):
        with pytest.raises(InputError, match="lies outside"):
            bank.background_audio(key)


def test_recordings_are_not_torn_apart(sounds):
    """By hash a recording goes as a whole, also one of two classes and a background; a listed file takes it along."""
    plain = SoundBank.from_folder(sounds)
    lines = [f"events/dog/dog {i}.wav,walk {i // 2}" for i in range(6)]
    lines += [
        "events/Türklingel/ring0.FLAC,walk 0",
        "backgrounds/short.wav,walk 0",
        "backgrounds/street/some.wav,walk 1",
    ]
    change("recordings.csv", "\n".join(["file,recording", *lines]))(sounds)
    change("split.csv", "file,subset\nevents/dog/dog 1.wav,eval\n")(sounds)
    bank = SoundBank.from_folder(sounds)
    places = bank.places("dog") | bank.places("Türklingel")
    subsets = {}
    for (kind, key), subset in places.items():
        recording = bank.event_recording(key) if kind == "events" else bank.background_recording(key)
        subsets.setdefault(recording, set()).add(subset)
    assert all(len(found) == 1 for found in subsets.values()) and subsets["walk 0"] == {"eval"}
    assert {bank.event_recording(f"dog/dog {i}.wav") for i in range(6)} == {"walk 0", "walk 1", "walk 2"}
    assert {clip.key for clip in bank.events("dog", "eval")} >= {"dog/dog 0.wav", "dog/dog 1.wav"}
    assert bank.background_recording("street/exact.wav") == "backgrounds/street/exact.wav"
    assert bank.fingerprint() != plain.fingerprint()


def test_an_inventory_counts_sounds_recordings_and_minutes(sounds):
    """Six dogs of five recordings; backgrounds of 95 s (three pieces and 5 s too short to count), 1, 30 and 12 s."""
    split(sounds, **{"dog 5": "dev", "exact": "dev"})
    change("recordings.csv", "file,recording\nevents/dog/dog 0.wav,a\nevents/dog/dog 1.wav,a\n")(sounds)
    bank = SoundBank.from_folder(sounds)
    train = Holding(5, 4, 5, 3, 103.0)
    assert holding(bank, "dog", "train") == train
    assert str(train) == "5 events of 4 recordings and 5 background pieces of 3 recordings, 1.7 minutes together"
    lines = inventory_lines(bank, "dog", ("train", "dev"))
    assert lines[:2] == [f"train: {train}", f"dev: {Holding(1, 1, 1, 1, 30.0)}"] and len(lines) == 3
    assert "1 event of 1 recording and 1 background piece of 1 recording, 0.5 minutes" in lines[1]
    assert "fewer than 10 recordings (train: 4 of events, 3 of backgrounds; dev: 1 of events, 1 of" in lines[2]
    drawn = draw_recipes(bank, "dog", "train", 400, 0)
    assert holding_of(bank, "train", drawn) == train  # so many that each occurs
    without = [recipe for recipe in drawn if not recipe.has_event][:1]
    (pair,) = recordings_of(bank, without)
    assert pair == (None, f"backgrounds/{without[0].background}")
    assert holding_of(bank, "train", without)[:4] == (0, 0, 1, 1)


def test_equal_files_in_several_subsets_are_named(sounds):
    """Three copies of an event and two of a background under other names; files of equal size alone do not count."""
    for name in ("again", "and again"):
        shutil.copy(sounds / "events/dog/dog 0.wav", sounds / f"events/dog/{name}.wav")
    shutil.copy(sounds / "backgrounds/short.wav", sounds / "backgrounds/twin.wav")
    split(sounds, **{"again": "dev", "and again": "eval"})
    bank = SoundBank.from_folder(sounds)
    assert sorted(bank.equal_sounds(), reverse=True) == [
        [("events", "dog/again.wav"), ("events", "dog/and again.wav"), ("events", "dog/dog 0.wav")],
        [("events", f"Türklingel/ring{i}.FLAC") for i in range(6)],  # all of one seed
        [("backgrounds", "short.wav"), ("backgrounds", "twin.wav")],
    ]
    assert repeated(bank, "dog") == (
        "warning: the same recording in several subsets, so scores flatter: events/dog/again.wav (dev) = "
        "events/dog/and again.wav (eval) = events/dog/dog 0.wav (train)"
    )
    assert repeated(bank, "Türklingel") is None  # which are all in train, as both backgrounds are
    split(sounds)
    assert repeated(SoundBank.from_folder(sounds), "dog") is None
    assert repeated(open_bank("builtin"), "gunshot") is None


def test_equal_files_are_told_from_alike_ones(tmp_path):
    """The same size, the same middle, one byte at the end: other files."""
    for name, content in (("a", b"x" * 99_999 + b"1"), ("b", b"x" * 99_999 + b"2"), ("c", b"x" * 99_999 + b"1")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "d").touch()
    (tmp_path / "e").touch()
    groups = equal_files(sorted(tmp_path.iterdir()))
    assert [[path.name for path in group] for group in groups] == [["a", "c"], ["d", "e"]]
    assert equal_files([]) == []


def test_fingerprint_follows_sounds_lists_and_settings(sounds):
    """Unchanged: the same, wherever the folder lies. Changed with each change that could be heard."""
    split(sounds)
    before = SoundBank.from_folder(sounds).fingerprint()
    moved = sounds.rename(sounds.with_name("moved"))
    assert SoundBank.from_folder(moved).fingerprint() == before
    seen = {before, SoundBank.from_folder(moved, resampler="kaiser_best").fingerprint()}
    split(moved, short="dev")
    seen.add(SoundBank.from_folder(moved).fingerprint())
    change("events/events.csv", "file,onset_s,offset_s\ndog/dog 0.wav,0.1,0.5\n")(moved)
    seen.add(SoundBank.from_folder(moved).fingerprint())
    os.utime(moved / "backgrounds/short.wav", ns=(1, 1))
    seen.add(SoundBank.from_folder(moved).fingerprint())
    (moved / "events/dog/dog 5.wav").unlink()
    split(moved)
    seen.add(SoundBank.from_folder(moved).fingerprint())
    assert len(seen) == 6


def test_banks_are_small_to_send_and_sounds_read_only(sounds):
    bank = SoundBank.from_folder(sounds)
    whole = bank.background_audio("deep/er/long.wav")
    assert len(pickle.dumps(bank)) < 10_000
    again = pickle.loads(pickle.dumps(bank))
    assert np.array_equal(again.background_audio("deep/er/long.wav"), whole)
    with pytest.raises(ValueError, match="read-only"):
        whole[0] = 1.0


def test_builtin_bank():
    bank = open_bank("builtin")
    assert bank.classes == ("babycry", "glassbreak", "gunshot")
    clip = bank.events("gunshot", "eval")[3]
    assert clip.onset_s == 0 and round(clip.offset_s * SAMPLE_RATE) == len(bank.event_audio(clip.key))
    assert bank.fingerprint() == SoundBank.builtin(0).fingerprint() != SoundBank.builtin(1).fingerprint()
    piece = bank.background_audio(bank.backgrounds("dev")[0].key, 1.0, 2.0)
    assert np.array_equal(piece, bank.background_audio(bank.backgrounds("dev")[0].key)[44100 : 3 * 44100])


def test_tut2017_is_recognised_at_every_level():
    for path in (GOLDEN / "render", GOLDEN / "render/data", GOLDEN / "render/data/source_data"):
        bank = open_bank(path)
        assert len(bank.event_audio("babycry/1001.wav")) == 26460
        assert len(bank.background_audio("audio/bg_mono16.wav")) == 35280
    with pytest.raises(InputError, match="bgs_devtrain.yaml: no such list"):
        bank.backgrounds("train")


@pytest.fixture
def tut(tmp_path):
    """Both data sets as unpacked side by side, with a background that holds a gunshot."""
    source = tmp_path / "TUT-rare-sound-events-2017-development/data/source_data"
    for i in range(3):
        write_noise(source / f"bgs/audio/b00{i}_0_30.wav", 30.0)
        write_noise(source / f"events/gunshot/{i}.wav", 2.0)
    (source / "cv_setup").mkdir()
    backgrounds = [{"filepath": f"audio/b00{i}_0_30.wav", "classname": "park"} for i in (2, 0, 1)]
    events = {"gunshot": [{"audio_filename": f"{i}.wav", "segment": [0, 1.5]} for i in (1, 0)]}
    for name, content in (("bgs_devtrain", backgrounds), ("events_devtrain", events)):
        (source / f"cv_setup/{name}.yaml").write_text(json.dumps(content))
    (source / "bgs/bg_screening.csv").write_text("a,b,c,d\nb000_0_30.wav,,,x\nb001_0_30.wav,,,\n")
    mixtures = tmp_path / "TUT-rare-sound-events-2017-evaluation/data/mixture_data/evaltest/bbb"
    (mixtures / "meta").mkdir(parents=True)
    (mixtures / "meta/event_list_evaltest_gunshot.csv").write_text("m0.wav\t3.5\t4.25\tgunshot\nm1.wav\n")
    for name in ("m0.wav", "m1.wav"):
        write_noise(mixtures / "audio" / name, 30.0, sr=SAMPLE_RATE)
    return tmp_path


def test_tut2017_lists_keep_their_order_and_screening(tut):
    bank = open_bank(tut)
    assert [b.key for b in bank.backgrounds("train")] == [f"audio/b00{i}_0_30.wav" for i in (2, 0, 1)]
    assert [b.key for b in bank.backgrounds("train", "gunshot")] == ["audio/b002_0_30.wav", "audio/b001_0_30.wav"]
    assert len(bank.backgrounds("train", "babycry")) == 3
    assert len(open_bank(tut, screening=False).backgrounds("train", "gunshot")) == 3
    assert bank.events("gunshot", "train") == [EventClip(f"gunshot/{i}.wav", "gunshot", 0, 1.5) for i in (1, 0)]
    with pytest.raises(InputError, match="no events of class 'babycry' in subset 'train'"):
        bank.events("babycry", "train")
    used = {r.background for r in draw_recipes(bank, "gunshot", "train", 40, 0)}
    assert used == {"audio/b002_0_30.wav", "audio/b001_0_30.wav"}
    assert bank.fingerprint() != open_bank(tut, screening=False).fingerprint()
    assert len(render(draw_recipes(bank, "gunshot", "train", 1, 0)[0], bank)) == 30 * SAMPLE_RATE


def test_tut2017_recordings(tut):
    """Backgrounds cut from one recording; of mixtures that came rendered only what their recipes say is known."""
    bank = open_bank(tut)
    names = [bank.background_recording(f"audio/{name}.wav") for name in ("b020_90_120", "b020_120_150", "b021_90_120")]
    assert names == ["audio/b020", "audio/b020", "audio/b021"]
    assert holding(bank, "gunshot", "train") == Holding(2, 2, 2, 2, 60.0)
    assert holding(bank, "gunshot", "eval") is None
    assert inventory_lines(bank, "gunshot", ("eval",)) == ["eval: mixtures that came rendered"]
    (meta,) = tut.rglob("meta")
    write_recipes(meta / "mixture_recipes_evaltest_gunshot.yaml", draw_recipes(bank, "gunshot", "train", 2, 0))
    assert holding(open_bank(tut), "gunshot", "eval")[0] == 1


def test_tut2017_evaluation_mixtures_are_ready_made(tut):
    bank = open_bank(tut)
    first, second = draw_recipes(bank, "gunshot", "eval", 500, 0)
    assert (first.label, first.onset_s, first.offset_s, first.name) == ("gunshot", 3.5, 4.25, "m0.wav")
    assert not second.has_event
    stored, _ = soundfile.read(first.rendered, dtype="int32")
    assert np.array_equal(quantize24(render(first, bank)), stored >> 8)
    assert draw_recipes(bank, "gunshot", "eval", 1, 7, generator="official") == [first]
    # of several parameter folders, that of the released data (seed 13) counts
    released = Path(first.rendered).parents[2] / "bbb81504db15a03680a0044474633b67"
    shutil.copytree(Path(first.rendered).parents[1], released)
    Path(first.rendered).parents[1].rename(released.with_name("aaa"))
    assert draw_recipes(open_bank(tut), "gunshot", "eval", 1, 0)[0].rendered == str(released / "audio" / "m0.wav")
    only_evaluation = open_bank(tut / "TUT-rare-sound-events-2017-evaluation")
    assert draw_recipes(only_evaluation, "gunshot", "eval", 2, 0)[1].name == "m1.wav"
    with pytest.raises(InputError, match="no source sounds"):
        only_evaluation.backgrounds("train")


def test_tut2017_evaluation_recipes_are_preferred_to_the_event_list(tut):
    """They tell more: scene, ratio, event. The audio is still the rendered file; two events in a line are refused."""
    (meta,) = tut.rglob("meta")
    drawn = draw_recipes(open_bank(tut), "gunshot", "train", 2, 0)
    write_recipes(meta / "mixture_recipes_evaltest_gunshot.yaml", drawn)
    ready = draw_recipes(open_bank(tut), "gunshot", "eval", 2, 0)
    assert [replace(recipe, rendered=None) for recipe in ready] == drawn
    assert [recipe.rendered for recipe in ready] == [str(meta.parent / "audio" / recipe.name) for recipe in drawn]
    (meta / "mixture_recipes_evaltest_gunshot.yaml").unlink()
    (meta / "event_list_evaltest_gunshot.csv").write_text("m0.wav\t1\t2\tgunshot\nm0.wav\t3\t4\tgunshot\n")
    with pytest.raises(InputError, match="m0.wav has 2 events"):
        draw_recipes(open_bank(tut), "gunshot", "eval", 2, 0)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bgs", "- audio/a.wav\n", "bgs_devtrain.yaml: not a list of mappings with filepath and classname"),
        ("bgs", "- {filepath: audio/a.wav}\n", "bgs_devtrain.yaml: not a list of mappings"),
        ("bgs", "{a: [", "bgs_devtrain.yaml: not readable as YAML"),
        ("events", "[1, 2]\n", "events_devtrain.yaml: not lists of mappings"),
        ("events", "gunshot: [{audio_filename: a.wav}]\n", "events_devtrain.yaml: not lists of mappings"),
        ("events", "gunshot: [{audio_filename: a.wav, segment: [2, 1]}]\n", r"a\.wav: segment \[2, 1\] is not onset"),
    ],
)
def test_tut2017_lists_that_cannot_be_used(tut, name, text, message):
    path = tut / f"TUT-rare-sound-events-2017-development/data/source_data/cv_setup/{name}_devtrain.yaml"
    path.write_text(text)
    bank = open_bank(tut)
    with pytest.raises(InputError, match=message):
        bank.backgrounds("train") if name == "bgs" else bank.events("gunshot", "train")


def test_a_folder_that_is_no_bank(tmp_path):
    with pytest.raises(InputError, match="no events folder"):
        open_bank(tmp_path)
    with pytest.raises(InputError, match="no TUT Rare Sound Events 2017 data"):
        SoundBank.from_tut2017(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_lists_of_spreadsheets(sounds, separator):
    """Where columns are separated by semicolons or tabs, the comma may be that of decimals."""
    comma = "." if separator == "," else ","
    rows = [("file", "onset_s", "offset_s"), ("dog/dog 0.wav", f"0{comma}125", f"0{comma}25")]
    text = "\ufeff" + "".join(separator.join(row) + "\r\n" for row in rows)
    (sounds / "events" / "events.csv").write_text(text, encoding="utf-8", newline="")
    rows = [("file", "subset"), ("events/dog/dog 0.wav", "eval")]
    (sounds / "split.csv").write_text("".join(separator.join(row) + "\n" for row in rows))
    (clip,) = [clip for clip in SoundBank.from_folder(sounds).events("dog", "eval") if clip.key == "dog/dog 0.wav"]
    assert (clip.onset_s, clip.offset_s) == (0.125, 0.25)


def test_sounds_that_cannot_be_used_are_named_together(sounds):
    """Whatever their headers tell at once; what is in them when one is found."""
    (sounds / "events" / "dog" / "text.wav").write_text("no sound")
    write_noise(sounds / "backgrounds" / "short.wav", 0.5)
    (sounds / "backgrounds" / "nowhere.wav").symlink_to("nothing")
    with pytest.raises(InputError) as error:
        SoundBank.from_folder(sounds)
    heading, *lines = str(error.value).splitlines()
    assert heading == "3 sounds cannot be used:" and all(line.startswith(f"  {sounds}/") for line in lines)
    assert [line.rpartition("/")[2].partition(":")[0] for line in lines] == ["text.wav", "nowhere.wav", "short.wav"]
    assert str(pickle.loads(pickle.dumps(error.value))).split() == str(error.value).split()
