"""Every kind of sound file that people hand in, as an event and as a background: used, or one line with its name."""

import os
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.audio import HIGHEST_PEAK, read_audio
from data_tools.errors import InputError
from data_tools.mixture_files import write_mixtures
from data_tools.recipes import draw_recipes
from data_tools.sound_blocks import file_blocks
from data_tools.soundbank import SoundBank
from minirsed.store.dataset import prepare
from tests.test_train_command import own_sounds

SR = 44100


def sound(seconds=2.0, sr=SR, channels=1):
    """A decaying tone in a little noise, (samples, channels), peak about 0.5."""
    t = np.arange(round(seconds * sr)) / sr
    noise = 0.01 * np.random.default_rng(0).standard_normal((len(t), channels))
    return 0.4 * np.exp(-t)[:, None] * np.sin(2 * np.pi * 440 * t)[:, None] + noise


def write(y=None, sr=SR, **options):
    return lambda path: soundfile.write(path, sound(sr=sr) if y is None else y, sr, **options)


def spoilt(index, value):
    y = sound()
    y[index] = value
    return write(y, subtype="DOUBLE")


def cut(n_bytes, **options):
    def make(path):
        soundfile.write(path, sound(), SR, **options)
        path.write_bytes(path.read_bytes()[:n_bytes])

    return make


def header_only(path):
    """RIFF, fmt and an empty data chunk: 44 bytes."""
    form = struct.pack("<HHIIHH", 1, 1, SR, 2 * SR, 2, 16)
    path.write_bytes(b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + bytes(4))


USED = None
NOT_READABLE, NO_SAMPLES = "not a readable sound file", "no samples"
MATRIX = {
    # name of the file: how it is made, and what is said of it as an event and as a background; USED: nothing
    "empty.wav": (Path.touch, NOT_READABLE, NOT_READABLE),
    "header only.wav": (header_only, NO_SAMPLES, NO_SAMPLES),
    "half a header.wav": (cut(20), NOT_READABLE, NOT_READABLE),
    "zero samples.wav": (write(np.zeros((0, 1))), NO_SAMPLES, NO_SAMPLES),
    "cut short.wav": (cut(100_000), USED, USED),  # as long as it is, as everywhere in libsndfile
    "cut short.flac": (cut(60_000), "damaged sound file", "damaged sound file"),
    "text.wav": (lambda path: path.write_text("this is no sound"), NOT_READABLE, NOT_READABLE),
    "folder.wav": (Path.mkdir, "is a folder", "is a folder"),
    "loop.wav": (lambda path: path.symlink_to(path), "is a link to itself", "is a link to itself"),
    "pipe.wav": (lambda path: os.mkfifo(path), "is a pipe, not a file", "is a pipe, not a file"),
    "device.wav": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a file", "is a device, not a file"),
    "dangling.wav": (lambda path: path.symlink_to("nowhere.wav"), "is a link to nothing", "is a link to nothing"),
    "8 channels.wav": (write(sound(channels=8)), USED, USED),
    **{f"{sr} Hz.wav": (write(sr=sr), USED, USED) for sr in (8000, 11025, 16000, 22050, 32000, 48000, 96000, 192000)},
    **{f"{kind}.wav": (write(subtype=kind), USED, USED) for kind in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32")},
    **{f"{kind}.wav": (write(subtype=kind), USED, USED) for kind in ("FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM")},
    "nan.wav": (spoilt(1000, np.nan), "has NaN or infinite samples", "has NaN or infinite samples"),
    "inf.wav": (spoilt(1000, -np.inf), "has NaN or infinite samples", "has NaN or infinite samples"),
    "nan and inf.wav": (spoilt([5, 6], [[np.nan], [np.inf]]), "has NaN or infinite", "has NaN or infinite"),
    "1e29.wav": (spoilt(1000, 1e29), "has samples up to 1e+29", "has samples up to 1e+29"),
    "whole numbers.wav": (write(sound() * 32768, subtype="FLOAT"), "full scale is 1", "full scale is 1"),
    "beyond full scale.wav": (write(sound() * 20, subtype="FLOAT"), USED, USED),
    "dc.wav": (write(np.full((2 * SR, 1), 0.25)), USED, USED),
    "silence.wav": (write(np.zeros((2 * SR, 1))), "the event is silent", "the background is silent"),
    "LOUD.WAV": (write(format="WAV"), USED, USED),
    "with spaces  in it.wav": (write(), USED, USED),
    "Türklingel – 音 ☎.wav": (write(), USED, USED),
    "a.flac": (write(format="FLAC"), USED, USED),
    "a.ogg": (write(format="OGG"), USED, USED),
    "a.mp3": (write(format="MP3"), USED, USED),
    "a.aiff": (write(format="AIFF"), USED, USED),
    "too short.wav": (write(sound(0.5)), USED, "background of 0.500 s"),
    "too long.wav": (write(sound(31.0)), "longer than a clip", USED),
}


def features(root, make, kind, name):
    """Make the file an event or a background of a sound folder; features of clips with each of those in them."""
    own_sounds(root)
    folder = root / ("events/ping" if kind == "event" else "backgrounds")
    (folder / "0.wav").unlink()
    (folder / "1.wav").unlink()  # or the file might not be drawn
    make(folder / name)
    fixed = [line for line in (root / "split.csv").read_text().splitlines() if not line.startswith(f"{folder.name}/")]
    lines = [line for line in fixed if (root / line.split(",")[0]).exists() or line == "file,subset"]
    (root / "split.csv").write_text("\n".join([*lines, f'"{folder.relative_to(root).as_posix()}/{name}",train']) + "\n")
    bank = SoundBank.from_folder(root)
    recipes = draw_recipes(bank, "ping", "train", 4, seed=0, duration_s=6.0)
    assert all(name in (r.background if kind == "background" else r.event or name) for r in recipes)
    return prepare(bank, recipes, root / "features", n_jobs=1)


@pytest.mark.parametrize("kind", ["event", "background"])
@pytest.mark.parametrize("name", MATRIX)
def test_used_or_one_line_with_its_name(name, kind, tmp_path):
    make, as_event, as_background = MATRIX[name]
    message = as_event if kind == "event" else as_background
    if message is USED:
        store = features(tmp_path / "sounds", make, kind, name)
        assert len(store) == 4 and np.isfinite(store.features).all() and store.features.std() > 0.1
        return
    with pytest.raises(InputError) as error:
        features(tmp_path / "sounds", make, kind, name)
    assert name in str(error.value) and message in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", MATRIX)
def test_readers_say_the_same(name, tmp_path):
    """In one piece and in blocks. Readers accept any length and level, silence included."""
    make, message, _ = MATRIX[name]
    make(tmp_path / name)
    if message is USED or name in ("silence.wav", "too long.wav"):
        y = read_audio(tmp_path / name)
        assert y.ndim == 1 and len(y) > SR / 4 and np.abs(y).max() <= HIGHEST_PEAK
        return
    for read in (read_audio, lambda path: list(file_blocks(path))):
        with pytest.raises(InputError, match=re.escape(message)) as error:
            read(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: ") and len(str(error.value).splitlines()) == 1


def test_links_are_followed_but_not_round_and_round(tmp_path):
    """A folder elsewhere counts; one that holds itself, or two that hold each other, are named."""
    root = own_sounds(tmp_path / "sounds")
    (tmp_path / "elsewhere").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "rain.wav", sound(12.0), SR)
    (root / "backgrounds" / "linked").symlink_to(tmp_path / "elsewhere")
    bank = SoundBank.from_folder(root)
    keys = {piece.key for subset in ("train", "dev", "eval") for piece in bank.backgrounds(subset)}
    assert "linked/rain.wav" in keys and len(keys) == 5
    (tmp_path / "elsewhere" / "back").symlink_to(root / "backgrounds")
    with pytest.raises(InputError, match=r"linked/back: is a link to a folder that contains it$"):
        SoundBank.from_folder(root)


def test_all_sounds_that_cannot_be_used_are_named_when_one_is_found(tmp_path):
    """Also those of other subsets: nobody should have to start once for each. The same in mixtures as files.

    Events whose active part is not listed are read, and named together, as soon as the folder is opened.
    """
    root = own_sounds(tmp_path / "sounds", event=np.full(20000, np.nan), background=np.zeros(12 * SR))
    soundfile.write(root / "events" / "ping" / "3.wav", np.full(20000, 1000.0), SR, subtype="FLOAT")  # in eval
    with pytest.raises(InputError) as error:
        SoundBank.from_folder(root)
    heading, *lines = str(error.value).splitlines()
    assert heading == "2 sounds cannot be used:"
    assert [line.partition("/ping/")[2].partition(":")[0] for line in lines] == ["0.wav", "3.wav"]
    (root / "events/events.csv").write_text("file,onset_s,offset_s\nping/0.wav,0.0,0.4\nping/3.wav,0.0,0.4\n")
    bank = SoundBank.from_folder(root)
    recipes = draw_recipes(bank, "ping", "train", 16, 0)
    (tmp_path / "out").mkdir()
    for work in (
        lambda: prepare(bank, recipes, tmp_path / "features", n_jobs=1),
        lambda: list(write_mixtures(bank, recipes, tmp_path / "out", 1)),
    ):
        with pytest.raises(InputError) as error:
            work()
        heading, *lines = str(error.value).splitlines()
        assert heading == "3 sounds cannot be used:"
        assert sorted(line.partition(": ")[2] for line in lines) == [
            "has NaN or infinite samples",
            "has samples up to 1e+03; full scale is 1, expected at most 100",
            "the background is silent (all samples zero)",
        ]
