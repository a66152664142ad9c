"""Raw PCM, WAV from a pipe and the microphone: the samples that a file gives, whatever the cut."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_tools.errors import InputError
from data_tools.live_sound import PcmFormat, microphone_blocks, pcm_blocks, read_wav_header

SUBTYPES = {"u8": "PCM_U8", **{f"s{n}le": f"PCM_{n}" for n in (16, 24, 32)}, "f32le": "FLOAT", "f64le": "DOUBLE"}


class Pipe(io.BytesIO):
    """Hands out a few bytes at a time, as a pipe may."""

    def read1(self, size=-1):
        return super().read1(min(size, 7))


def sound(n_channels, n=2000):
    return 0.3 * np.random.default_rng(0).standard_normal((n, n_channels))


def written(y, sr, **options):
    file = io.BytesIO()
    soundfile.write(file, y, sr, **options)
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), always_2d=True)
    return file.getvalue(), expected.mean(axis=1)


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("sample_format", SUBTYPES)
def test_raw_samples(sample_format, n_channels):
    raw, expected = written(sound(n_channels), 8000, subtype=SUBTYPES[sample_format], format="WAV")
    raw = raw[raw.index(b"data") + 8 :]
    cut_short = raw[-1:] if (sample_format, n_channels) != ("u8", 1) else b""  # bytes that are no whole frame
    blocks = pcm_blocks(Pipe(raw + cut_short), PcmFormat(8000, n_channels, sample_format), "pipe")
    np.testing.assert_allclose(np.concatenate(list(blocks)), expected, rtol=0, atol=1e-12)


def test_big_endian():
    blocks = pcm_blocks(Pipe(np.array([1, -2], ">i2").tobytes()), PcmFormat(sample_format="s16be"), "pipe")
    np.testing.assert_array_equal(np.concatenate(list(blocks)), np.array([1, -2]) / 32768)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("sample_format", SUBTYPES)
def test_wav_headers(sample_format, container):
    content, expected = written(sound(2), 16000, format=container, subtype=SUBTYPES[sample_format])
    pipe = Pipe(content)
    wav, first = read_wav_header(pipe, "pipe")
    n_bytes = len(expected) * 2 * {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8}[sample_format]
    assert wav == PcmFormat(16000, 2, sample_format, n_bytes) and first == b""
    found = np.concatenate(list(pcm_blocks(pipe, wav, "pipe")))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_no_wav_header_loses_nothing():
    raw = np.arange(100, dtype="<i2").tobytes()
    pipe = Pipe(raw)
    wav, first = read_wav_header(pipe, "pipe", raw=True)
    assert wav is None
    np.testing.assert_array_equal(
        np.concatenate(list(pcm_blocks(pipe, PcmFormat(), "pipe", first))), np.arange(100) / 32768
    )


def test_blocks_are_short_and_start_at_once():
    """A pipe that has 10 s ready still gives 0.1 s at a time, and one that has 20 samples gives those."""
    ready = io.BytesIO(bytes(2 * 441000))
    assert {len(y) for y in pcm_blocks(ready, PcmFormat(), "pipe")} == {4410}
    assert len(next(pcm_blocks(io.BytesIO(bytes(40)), PcmFormat(), "pipe"))) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFF\0\0\0\0WAVEfmt ", "ends within its WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "WAV without a format chunk"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x55\0\1\0\x44\xac\0\0\0\0\0\0\0\0\x10\0", "WAV of kind 85 with 16 bits"),
        (b"fLaC" + bytes(8), "is FLAC, not WAV; convert it first with `ffmpeg"),
        (b"ID3\4" + bytes(8), "is MP3, not WAV"),
    ],
)
def test_refuses_headers(content, message):
    with pytest.raises(InputError, match=f"pipe: {message}"):
        read_wav_header(Pipe(content), "pipe")


@pytest.mark.parametrize(("value", "fault"), [(np.nan, "NaN or infinite samples"), (1e29, r"samples up to 1e\+29; .*")])
def test_refuses_what_is_no_float(value, fault):
    raw = np.full(9, value, "<f4").tobytes()
    with pytest.raises(InputError, match=f"{fault}; is it really f32le"):
        list(pcm_blocks(Pipe(raw), PcmFormat(sample_format="f32le"), "pipe"))


class FakeSounddevice(SimpleNamespace):
    """Stands in for the library: calls back from `start` with what a sound card might have."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self, blocks, rates=(44100,)):
        super().__init__(blocks=blocks, rates=rates, closed=False)

    def InputStream(self, *, samplerate, device, channels, blocksize, dtype, callback):
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")
        assert dtype == "float32" and blocksize == samplerate // 10
        module = self

        class Stream:
            def __enter__(self):
                buffer = np.zeros((blocksize, channels), np.float32)
                for block, overflowed in module.blocks:
                    buffer[:] = block  # the card uses its buffer again
                    callback(buffer, blocksize, None, overflowed)

            def __exit__(self, *exception):
                module.closed = True

        return Stream()


def test_microphone(monkeypatch):
    heard = [(np.full((4410, 2), 0.1 * i, np.float32) * [1, 3], i == 2) for i in range(3)]
    fake, overflows = FakeSounddevice(heard), []
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    blocks = microphone_blocks(44100, n_channels=2, on_overflow=lambda: overflows.append(1))
    for i in range(3):
        np.testing.assert_allclose(next(blocks), np.full(4410, 0.2 * i), atol=1e-6)
    blocks.close()
    assert overflows == [1] and fake.closed


def test_microphone_of_another_rate(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSounddevice([]))
    with pytest.raises(InputError, match="microphone: Invalid sample rate"):
        next(microphone_blocks(8000))


def test_without_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match=r'--live needs sounddevice: python -m pip install -e "\.\[live\]"; on Linux'):
        next(microphone_blocks(44100))
