"""Sound in blocks: the samples that reading in one piece gives, whatever the rate, the format and the cut."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from data_tools.audio import read_audio, resample
from data_tools.errors import InputError
from data_tools.sound_blocks import StreamResampler, file_blocks


def noise(n, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(n)


def pieces(y, rng, longest=5000):
    while len(y):
        piece, y = np.split(y, [int(rng.integers(0, longest))])
        yield piece


@pytest.mark.parametrize("sr", [8000, 11025, 22050, 44100, 44101, 48000, 96000])
def test_resampling_in_pieces_is_resampling(sr):
    y, rng, resampler = noise(sr + 137), np.random.default_rng(1), StreamResampler(sr)
    parts = [resampler.push(piece) for piece in pieces(y, rng)] + [resampler.push(np.zeros(0), last=True)]
    expected = resample(y, sr, 44100)
    assert sum(map(len, parts)) == len(expected)
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 5, 100])
def test_resampling_few_samples(n):
    resampler = StreamResampler(8000)
    parts = [resampler.push(noise(n)), resampler.push(np.zeros(0), last=True)]
    np.testing.assert_allclose(np.concatenate(parts), resample(noise(n), 8000, 44100), rtol=0, atol=1e-12)


def test_resampler_refuses_rates():
    with pytest.raises(ValueError, match="must be positive, not 0 and 44100 Hz"):
        StreamResampler(0)


@pytest.mark.parametrize(
    ("suffix", "sr", "n_channels", "options"),
    [
        (".wav", 44100, 1, {"subtype": "PCM_16"}),
        (".wav", 48000, 2, {"subtype": "PCM_24"}),
        (".wav", 8000, 1, {"subtype": "FLOAT"}),
        (".w64", 44100, 3, {"subtype": "PCM_16"}),
        (".flac", 22050, 2, {}),
        (".ogg", 44100, 1, {}),
        (".mp3", 44100, 2, {}),
    ],
)
def test_files_in_blocks_are_files(tmp_path, suffix, sr, n_channels, options):
    path, shares = tmp_path / f"ä b{suffix}", []
    soundfile.write(path, noise(3 * sr * n_channels).reshape(-1, n_channels), sr, **options)
    blocks = list(file_blocks(path, block_s=0.37, progress=shares.append))
    assert len(blocks) >= 8 and shares == sorted(shares) and shares[-1] == 1.0
    np.testing.assert_allclose(
        np.concatenate(blocks), read_audio(path), rtol=0, atol=1e-7 if suffix == ".mp3" else 1e-12
    )


def test_damage_is_named_with_its_place(tmp_path):
    path = tmp_path / "x.wav"
    y = noise(5 * 8000)
    y[4 * 8000] = np.inf
    soundfile.write(path, y, 8000, subtype="FLOAT")
    blocks = file_blocks(path, block_s=1.0)
    assert sum(len(next(blocks)) for _ in range(4)) > 3.9 * 44100
    with pytest.raises(InputError, match=r"infinite samples \(after 4\.0 s\)"):
        list(blocks)


def test_memory_is_that_of_a_block(tmp_path):
    """Ten minutes of stereo would take 423 MB as float64."""
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", 44100, 2) as file:
        for _ in range(60):
            file.write(np.zeros((441000, 2)))
    tracemalloc.start()
    n = sum(map(len, file_blocks(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 600 * 44100 and peak < 30e6
