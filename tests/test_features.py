"""Features against librosa's frozen answers and against hand-worked cases; frames and seconds; bad input."""

import runpy
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirsed.features import (
    band_energies_compiled,
    band_energies_numpy,
    event_frames,
    frame_labels,
    frame_to_seconds,
    hz_to_mel,
    lfbe,
    mel_filter_bank,
    mel_to_hz,
    n_frames,
    run_to_seconds,
    seconds_to_frame,
    tables,
)
from minirsed.kernels import plain_numpy

SR, WIN, HOP = 44100, 2029, 1014
HALF_HOP_S = HOP / 2 / SR
FOLDER = Path(__file__).parent / "oracle"
SCRIPT = runpy.run_path(str(FOLDER / "make_librosa_oracle.py"))  # its questions; the answers lie beside it
SETTINGS, SOUNDS, kept_frames = SCRIPT["SETTINGS"], SCRIPT["sounds"](), SCRIPT["kept_frames"]
with np.load(FOLDER / "librosa_oracle.npz", allow_pickle=False) as file:
    ORACLE = dict(file)


def noise(n, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(n)


# --- against librosa


@pytest.mark.parametrize("sound", SOUNDS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_librosa(setting, sound):
    """All bands of frames over the whole clip; 1e-4 is asked for, in float64 we differ by float32's last digit."""
    n_mels, win_s, hop_s = SETTINGS[setting]
    features = lfbe(SOUNDS[sound], n_mels=n_mels, win_s=win_s, hop_s=hop_s)
    assert features.dtype == np.float32 and features.shape == (ORACLE[f"{setting}/{sound}/T"], n_mels)
    expected = ORACLE[f"{setting}/{sound}/frames"]
    np.testing.assert_allclose(features[kept_frames(len(features))], expected, rtol=0, atol=5e-6)


def test_librosa_filter_bank_and_window():
    np.testing.assert_allclose(mel_filter_bank(64, 2048), ORACLE["filter_bank"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(tables(64, WIN).window, ORACLE["window"], rtol=0, atol=1e-15)


# --- the equations, by hand


def test_mel_scale():
    """200/3 Hz a mel up to 1000 Hz = 15 mel; 27 mel for each factor of 6.4 above."""
    np.testing.assert_allclose(hz_to_mel([0, 200, 1000, 6400, 40960]), [0, 3, 15, 42, 69])
    np.testing.assert_allclose(mel_to_hz([0, 3, 15, 42, 69]), [0, 200, 1000, 6400, 40960])


def test_triangles_have_unit_area():
    """Bins of a fine FFT, 44100/2^17 = 0.34 Hz apart, times heights in 1/Hz: 1."""
    bank = mel_filter_bank(64, 1 << 17)
    np.testing.assert_allclose(bank.sum(axis=1) * SR / (1 << 17), 1, rtol=1e-3)


def test_power_of_a_tone_on_a_bin():
    """A cos(2π·64 n / 1024) in a window of 1024, whose sum is 512: |X_64| = A/2 · 512, |X_63| = |X_65| = half of it.

    With A = 0.5: P = 128² = 16384 at bin 64 (2756.25 Hz), 64² = 4096 beside it, weighted by the triangles there.
    """
    y = 0.5 * np.cos(2 * np.pi * 64 * np.arange(1024) / 1024)
    bank = mel_filter_bank(64, 1024)
    energy = bank[:, 63] * 4096 + bank[:, 64] * 16384 + bank[:, 65] * 4096
    features = lfbe(y, win_s=1024 / SR)
    np.testing.assert_allclose(features[0], np.log(np.maximum(energy, 1e-10)), atol=1e-6)
    assert (energy > 0).sum() >= 2


def test_silence_is_the_floor():
    assert np.all(lfbe(np.zeros(SR)) == np.float32(np.log(1e-10)))


def test_frames_cover_what_they_should():
    """A click at sample 5·1014 + 1000 is seen by frames 4 (at 2014 of 2029) and 5 (at 1000), not by 3 or 6."""
    y = np.zeros(20_000)
    y[5 * HOP + 1000] = 1.0
    heard = lfbe(y).max(axis=1) > np.float32(np.log(1e-10))
    assert np.flatnonzero(heard).tolist() == [4, 5]


def test_paper_shape():
    assert lfbe(np.zeros(30 * SR, np.float32)).shape == (1303, 64)


@pytest.mark.parametrize("n, T", [(1, 1), (WIN - 1, 1), (WIN, 1), (WIN + HOP - 1, 1), (WIN + HOP, 2), (30 * SR, 1303)])
def test_n_frames(n, T):
    """30 s: 1 + ⌊(1323000 − 2029) / 1014⌋ = 1 + 1302."""
    assert n_frames(n) == T
    if n < 10_000:
        assert len(lfbe(noise(n))) == T


def test_short_clip_is_zero_padded():
    y = noise(700)
    np.testing.assert_array_equal(lfbe(y), lfbe(np.concatenate([y, np.zeros(WIN - 700)])))


# --- one definition, whatever the route


@pytest.mark.parametrize(
    "n, n_mels, win, hop",
    [(66_000, 64, WIN, HOP), (2029, 64, WIN, HOP), (9_000, 40, 441, 200), (9_000, 10, 3000, 4000), (900, 2, 16, 9),
     (100, 1, 3, 1)],
)  # fmt: skip
def test_kernel_equals_numpy_twin(n, n_mels, win, hop):
    """n_fft 2048, 512, 4096, 16 and 4: log₂ of half of it odd and even, one and several groups of 8 frames."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # one band of a 4-point FFT may well be empty
        constants = tables(n_mels, win)
    T = 1 + (n - win) // hop
    y = noise(n)
    ours, twin = (f(y, T, hop, constants) for f in (band_energies_compiled, band_energies_numpy))
    assert ours.shape == twin.shape == (T, n_mels) and ours.dtype == twin.dtype == np.float64
    np.testing.assert_allclose(ours, twin, rtol=1e-12, atol=1e-15)


def test_blocks_do_not_show():
    """600 frames run through three blocks; each frame alone gives the same bits up to float32's last."""
    y = noise(599 * HOP + WIN)
    features = lfbe(y)
    assert len(features) == 600
    for t in (0, 7, 8, 255, 256, 257, 511, 512, 599):
        np.testing.assert_allclose(features[t], lfbe(y[t * HOP : t * HOP + WIN])[0], rtol=1e-6)
    with plain_numpy():
        np.testing.assert_array_equal(features, lfbe(y))


def test_memory_is_bounded():
    """Two minutes in float32 stereo: y 42 MB, features 1.3 MB; the work needs the memory of one block at any length."""
    y = np.zeros((120 * SR, 2), np.float32)
    lfbe(y[:SR])  # compiled, tables made
    tracemalloc.start()
    lfbe(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_input_layouts():
    y = noise(5000)
    expected = lfbe(y)
    np.testing.assert_array_equal(lfbe(np.stack([y, np.ones(5000)], axis=1)[:, 0]), expected)  # strided
    np.testing.assert_array_equal(lfbe(y[:, None]), expected)
    np.testing.assert_array_equal(lfbe(y.astype(">f8")), expected)
    y.flags.writeable = False
    np.testing.assert_array_equal(lfbe(y), expected)
    np.testing.assert_allclose(lfbe(y.astype(np.float32)), expected, atol=1e-4)


def test_channels_are_averaged():
    y, z = noise(5000), noise(5000, seed=1)
    np.testing.assert_array_equal(lfbe(np.stack([y, z], axis=1)), lfbe((y + z) / 2))
    np.testing.assert_array_equal(lfbe(np.stack([y, -y], axis=1)), lfbe(np.zeros(5000)))
    np.testing.assert_array_equal(lfbe(np.stack([y, z, z, y], axis=1)), lfbe((y + z) / 2))


@pytest.mark.parametrize("sr", [8000, 22050, 48000, 96000])
def test_other_sample_rates(sr):
    """A 1 kHz tone of amplitude ½ sampled at any rate: the same features where it is, and the same frame count."""
    tone, expected = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(rate) / rate) for rate in (sr, SR))
    features, expected = lfbe(tone, sr), lfbe(expected)
    assert abs(len(features) - len(expected)) <= 1
    strongest = expected[5:-5].mean(axis=0).argsort()[-3:]
    np.testing.assert_allclose(features[5 : len(expected) - 5, strongest], expected[5:-5, strongest], atol=0.01)
    stereo = lfbe(np.stack([tone, tone], axis=1), sr)
    np.testing.assert_allclose(stereo, features, atol=1e-5)


def test_empty_bands_warn():
    """512 bands of about 7.8 Hz below 1 kHz cannot all meet bins 21.5 Hz apart."""
    tables.cache_clear()
    with pytest.warns(UserWarning, match=r"of 512 mel bands hold no bin of the 2048-point FFT"):
        features = lfbe(noise(3000), n_mels=512)
    assert (features == np.float32(np.log(1e-10))).all(axis=0).any()


def test_import_is_light():
    code = "import sys, minirsed.features as f; print({'scipy', 'numba', 'soxr', 'soundfile'} & set(sys.modules))"
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "set()\n"


# --- bad input


@pytest.mark.parametrize(
    "y, message",
    [
        (np.zeros(5000, np.int16), r"y has dtype int16: .* scale integers to \[-1, 1\]"),
        (np.zeros(5000, np.float16), "y has dtype float16: expected float32 or float64$"),
        (np.zeros(5000, complex), "y has dtype complex128"),
        (np.zeros(0), r"y has shape \(0,\): expected at least one sample"),
        (np.zeros((5000, 0)), "at least one sample"),
        (np.float64(0.5), r"y has shape \(\): expected \(samples,\) or"),
        (np.zeros((10, 2, 2)), r"y has shape \(10, 2, 2\)"),
        (np.zeros((2, 5000)), r"y has shape \(2, 5000\): .* is it transposed\?"),
    ],
)
def test_bad_waveforms(y, message):
    with pytest.raises(ValueError, match=message):
        lfbe(y)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample", [0, 65_535, 65_536, 99_999])
def test_not_finite(value, sample):
    y = np.zeros((100_000, 2), np.float32)
    y[sample, 1] = value
    with pytest.raises(ValueError, match=f"y holds NaN or Inf, first at sample {sample}$"):
        lfbe(y)


def test_both_infinities():
    with pytest.raises(ValueError, match="first at sample 0$"):
        lfbe(np.array([np.inf, -np.inf, 0.0]))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"n_mels": 0}, "n_mels is 0"),
        ({"n_mels": 2.5}, "n_mels is 2.5"),
        ({"win_s": 0.0}, "win_s is 0.0"),
        ({"win_s": np.nan}, "win_s is nan"),
        ({"hop_s": -0.01}, "hop_s -0.01"),
        ({"hop_s": np.inf}, "hop_s inf"),
        ({"sr": 0}, "sr is 0"),
        ({"sr": np.nan}, "sr is nan"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        lfbe(np.zeros(5000), **settings)


# --- frames and seconds


def test_centres():
    """Frame 0: 1014.5 samples = 23.00 ms. Frame 10: 10·1014 + 1014.5 = 11154.5 samples."""
    assert frame_to_seconds(0) == 1014.5 / 44100
    assert frame_to_seconds(10) == 11154.5 / 44100
    np.testing.assert_array_equal(frame_to_seconds(np.array([0, 10])), [1014.5 / 44100, 11154.5 / 44100])


def test_nearest_frame():
    """Frame 0 is nearest up to 1014.5 + 507 samples = 34.5 ms, and before its centre too."""
    assert [seconds_to_frame(s) for s in (0.0, 0.0344, 0.0346, 1.0)] == [0, 0, 1, 42]  # (44100 − 1014.5)/1014 = 42.49
    np.testing.assert_array_equal(seconds_to_frame(frame_to_seconds(np.arange(1303))), np.arange(1303))


def test_frame_labels_by_hand():
    """Centres 23.0, 46.0, 69.0, 92.0, 115.0 ms: [40, 95) ms holds those of frames 1, 2 and 3."""
    labels = frame_labels(0.040, 0.095, 5)
    assert labels.dtype == np.float32 and labels.tolist() == [0, 1, 1, 1, 0]


def test_onset_counts_and_offset_does_not():
    """An event from exactly the centre of frame 1 to exactly that of frame 3: frames 1 and 2."""
    assert frame_labels(frame_to_seconds(1), frame_to_seconds(3), 5).tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "onset_s, offset_s, frame",
    [(0.047, 0.057, 1), (0.058, 0.068, 2), (0.0, 0.010, 0), (0.130, 0.135, 4), (0.05, 0.05, 1)],
)
def test_event_between_centres_gets_the_nearest_frame(onset_s, offset_s, frame):
    """Middles 52 and 63 ms, centres 46 and 69 ms (57.5 halfway); before the first centre; after the last of five."""
    assert event_frames(onset_s, offset_s, 5) == (frame, frame + 1)
    assert frame_labels(onset_s, offset_s, 5).sum() == 1


def test_event_beyond_the_last_frame_is_cut():
    assert frame_labels(0.06, 99.0, 5).tolist() == [0, 0, 1, 1, 1]


def test_no_event_no_labels():
    assert not frame_labels(np.nan, np.nan, 7).any()


@pytest.mark.parametrize("onset_s, offset_s", [(-0.1, 1.0), (2.0, 1.0), (np.nan, 1.0), (1.0, np.nan), (1.0, np.inf)])
def test_bad_events(onset_s, offset_s):
    with pytest.raises(ValueError, match="expected 0 <= onset_s <= offset_s"):
        frame_labels(onset_s, offset_s, 100)


def test_run_to_seconds_by_hand():
    """Frames 10–19: centres 11154.5 and 19·1014 + 1014.5 = 20280.5 samples, half a hop (507) outwards."""
    assert run_to_seconds(10, 20) == pytest.approx((10647.5 / 44100, 20787.5 / 44100), abs=1e-12)
    assert run_to_seconds(0, 1) == pytest.approx((507.5 / 44100, 1521.5 / 44100), abs=1e-12)


@pytest.mark.parametrize("run", [(5, 5), (6, 5), (-1, 3)])
def test_bad_runs(run):
    with pytest.raises(ValueError, match="run of frames"):
        run_to_seconds(*run)


@given(onset_s=st.floats(0.012, 29.0), duration_s=st.floats(0.024, 5.0))
def test_labels_and_back_lose_half_a_hop_at_most(onset_s, duration_s):
    offset_s = min(onset_s + duration_s, 29.97)
    labels = frame_labels(onset_s, offset_s, 1303)
    active = np.flatnonzero(labels)
    back = run_to_seconds(int(active[0]), int(active[-1]) + 1)
    assert np.all(np.diff(active) == 1)
    assert abs(back[0] - onset_s) <= HALF_HOP_S + 1e-9 and abs(back[1] - offset_s) <= HALF_HOP_S + 1e-9
