"""Decoding and resampling: exact values where the source is exact, one clear line where it cannot be used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools.audio import SAMPLE_RATE, audio_header, read_audio, resample
from data_tools.errors import InputError

RENDER = Path(__file__).parent / "golden-mixtures" / "render"
RESAMPLED = sorted((RENDER / "resampled").glob("*.npy"))
assert len(RESAMPLED) == 5


def tone(seconds, sr, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr)


def test_integer_samples_are_divided_by_their_range(tmp_path):
    """16 bit: v / 2^15. 24 bit: v / 2^23. 8 bit WAV: (v - 128) / 128, so the byte 64 is -0.5."""
    soundfile.write(tmp_path / "16.wav", np.array([-32768, 1, 32767], dtype=np.int16), SAMPLE_RATE)
    assert read_audio(tmp_path / "16.wav").tolist() == [-1.0, 1 / 32768, 32767 / 32768]
    soundfile.write(tmp_path / "24.flac", np.array([1, -(2**23)], dtype=np.int32) << 8, SAMPLE_RATE, subtype="PCM_24")
    assert read_audio(tmp_path / "24.flac").tolist() == [2.0**-23, -1.0]
    soundfile.write(tmp_path / "8.wav", np.array([-0.5, 0.25]), SAMPLE_RATE, subtype="PCM_U8")
    assert read_audio(tmp_path / "8.wav").tolist() == [-0.5, 0.25]


def test_float_samples_are_taken_as_they_are_and_channels_averaged(tmp_path):
    soundfile.write(tmp_path / "f.wav", np.array([[1.5, 0.5], [-2.0, 1.0]]), SAMPLE_RATE, subtype="FLOAT")
    y = read_audio(tmp_path / "f.wav")
    assert y.tolist() == [1.0, -0.5] and y.dtype == np.float64 and y.shape == (2,)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "WAV"])
def test_formats_and_names(tmp_path, suffix):
    """Any format, a name with spaces and letters beyond ASCII; lossy ones may pad, their level stays."""
    path = tmp_path / f"été – 音 1.{suffix}"
    soundfile.write(path, tone(1.0, SAMPLE_RATE), SAMPLE_RATE, format=suffix.upper())
    y = read_audio(path)
    assert abs(len(y) - SAMPLE_RATE) < 3000
    assert np.sqrt(np.mean(y**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_native_rate_header_and_parts(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.arange(16000) / 32768, 16000, subtype="PCM_16")
    assert audio_header(path) == (16000, 16000)
    y = read_audio(path, sr=None)
    assert len(y) == 16000
    assert len(read_audio(path)) == SAMPLE_RATE
    assert np.array_equal(read_audio(path, sr=None, start_s=0.25, duration_s=0.5), y[4000:12000])
    assert np.array_equal(read_audio(path, sr=None, start_s=0.75, duration_s=9.0), y[12000:])
    with pytest.raises(InputError, match="no samples from 1.5 s on"):
        read_audio(path, start_s=1.5)


@pytest.mark.parametrize(
    ("name", "message"), [("none.wav", "no such file"), ("noise.raw", "not a readable sound file")]
)
def test_files_that_cannot_be_used(tmp_path, name, message):
    """All others are in `test_audio_matrix.py`."""
    (tmp_path / "noise.raw").write_bytes(b"0123")
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        read_audio(tmp_path / name)


@pytest.mark.parametrize("path", RESAMPLED, ids=lambda p: p.stem)
def test_kaiser_best_equals_the_official_loader(path):
    """22.05, 32, 48 and 96 kHz, with one whose length needs the appended zero; 24-bit steps are 1.2e-7."""
    (source,) = (RENDER / "data" / "source_data").rglob(f"{path.stem}.wav")
    y = read_audio(source, resampler="kaiser_best")
    expected = np.load(path)
    assert y.shape == expected.shape
    assert np.abs(y - expected).max() < 1e-14


@pytest.mark.parametrize("resampler", ["soxr", "kaiser_best"])
@pytest.mark.parametrize("sr", [8000, 16000, 22050, 32000, 48000, 96000])
def test_a_tone_stays_the_tone(resampler, sr):
    """440 Hz from any rate: the same samples as made at 44.1 kHz, away from the ends, to -60 dB of its amplitude.

    (192 kHz has its own test below: there the old filter is 0.4 % too loud.)
    """
    y = resample(tone(0.5, sr), sr, SAMPLE_RATE, resampler=resampler)
    assert len(y) == 22050 and y.dtype == np.float64
    middle = slice(2000, 20000)
    assert np.abs(y - tone(0.5, SAMPLE_RATE))[middle].max() < 0.5e-3


@pytest.mark.parametrize("resampler", ["soxr", "kaiser_best"])
@pytest.mark.parametrize("n", [1, 2, 3, 100, 4801])
def test_short_signals_and_lengths(resampler, n):
    """ceil(n · 44100/48000): 1 → 1, 2 → 2, 3 → 3, 100 → 92, 4801 → 4411."""
    y = resample(np.ones(n), 48000, SAMPLE_RATE, resampler=resampler)
    assert len(y) == {1: 1, 2: 2, 3: 3, 100: 92, 4801: 4411}[n] and np.isfinite(y).all()


def test_resample_keeps_equal_rates_and_refuses_nonsense():
    y = tone(0.1, SAMPLE_RATE)
    assert resample(y, SAMPLE_RATE, SAMPLE_RATE) is y
    with pytest.raises(ValueError, match="soxr, kaiser_best, not 'linear'"):
        resample(y, 8000, SAMPLE_RATE, resampler="linear")
    with pytest.raises(ValueError, match="positive"):
        resample(y, 0, SAMPLE_RATE)
    with pytest.raises(ValueError, match=r"not shape \(1, 4410\)"):
        resample(y[None], 8000, SAMPLE_RATE)


def test_kaiser_best_truncates_the_table_step_as_the_original_did():
    """192 → 44.1 kHz: 512 · R = 117.6 table entries a sample, R = 44100/192000, are truncated to 117.

    Only the two innermost taps keep their distance of 117.6; there the table holds the roll-off 0.9475937. Constant 1
    therefore becomes R · (512 - 0.6 · 0.9475937) / 117 = 1.004012 (untruncated: 1).
    """
    y = resample(np.ones(48000), 192000, SAMPLE_RATE, resampler="kaiser_best")
    assert np.median(y) == pytest.approx(1.004012, abs=5e-6)


BAD_MP3 = """
import sys
from data_tools.audio import read_audio
from data_tools.errors import InputError
from data_tools.sound_blocks import file_blocks
for path in sys.argv[1:]:
    for read in (read_audio, lambda path: list(file_blocks(path))):
        try:
            read(path)
        except InputError as error:
            print(error)
print("to standard error", file=sys.stderr)
"""


def test_libmpg123_does_not_write_to_the_terminal_past_us(tmp_path):
    """It comments on each bad frame; of that nothing is left but our own lines. Nor is a file said not to exist."""
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.mp3", 0.1 * rng.standard_normal(44100 * 10), 44100, format="MP3")
    good = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "hole.mp3").write_bytes(good[: len(good) // 2] + bytes(5000) + good[len(good) // 3 :])
    (tmp_path / "noise.mp3").write_bytes(rng.bytes(50_000))
    command = [sys.executable, "-c", BAD_MP3, tmp_path / "hole.mp3", tmp_path / "noise.mp3"]
    loud = BAD_MP3.replace("for path", "import contextlib, data_tools.audio as a, data_tools.sound_blocks as b\n"
                           "a.hushed = b.hushed = lambda *_: contextlib.nullcontext()\nfor path", 1)  # fmt: skip
    options = {"cwd": Path(__file__).parents[1], "capture_output": True, "text": True, "check": True}
    result = subprocess.run(command, **options)
    assert result.stderr == "to standard error\n"
    assert result.stdout.count("noise.mp3: not a readable sound file (Format not recognised)\n") == 2
    command[2] = loud
    assert "resync" in subprocess.run(command, **options).stderr  # or there is nothing to be silenced any more
