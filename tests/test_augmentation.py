"""Augmentation: what it does to a clip, and what it leaves alone."""

import numpy as np

from minirsed.augmentation.colouring import NATS_PER_DB, augment


def features(n_clips=3, n_frames=7, n_bands=64):
    return np.random.default_rng(1).standard_normal((n_clips, n_frames, n_bands)).astype(np.float32)


def test_off_is_a_copy():
    x = features()
    y = augment(x, np.random.default_rng(0), 0.0, 0)
    assert np.array_equal(x, y) and not np.shares_memory(x, y)


def test_equaliser_adds_one_smooth_curve_to_all_frames_of_a_clip():
    """G has four cosine terms: its transform has four coefficients, and neighbouring bands differ by little."""
    x = features()
    gain = augment(x, np.random.default_rng(0), 4.0, 0) - x
    assert np.abs(gain - gain[:, :1]).max() < 1e-5
    curves = gain[:, 0]
    assert len({curve.tobytes() for curve in curves}) == 3
    order, band = np.arange(64)[:, None], np.arange(64) + 0.5
    coefficients = curves @ np.cos(np.pi * order * band / 64).T
    assert np.abs(coefficients[:, 4:]).max() < 1e-3 * np.abs(coefficients[:, :4]).max()


def test_equaliser_has_the_strength_asked_for():
    """Mean gain of a clip is its o = 0 term, N(0, s²): 4 dB is 0.921 nats; 4000 clips give it to 5 %."""
    x = np.zeros((4000, 1, 64), np.float32)
    level = augment(x, np.random.default_rng(0), 4.0, 0).mean(axis=(1, 2))
    assert abs(level.std() / (4 * NATS_PER_DB) - 1) < 0.05 and abs(level.mean()) < 0.05


def test_mask_covers_neighbouring_bands_with_the_mean():
    x = features(n_clips=500)
    y = augment(x, np.random.default_rng(0), 0.0, 12)
    widths = []
    for before, after in zip(x, y, strict=True):
        changed = np.flatnonzero((before != after).any(axis=0))
        widths.append(len(changed))
        if len(changed):
            assert np.array_equal(changed, np.arange(changed[0], changed[-1] + 1))
            assert np.allclose(after[:, changed], before.mean(), atol=1e-6)
    assert set(widths) == set(range(13))


def test_mask_wider_than_the_features_and_input_untouched():
    x = features(n_bands=5)
    before = x.copy()
    assert augment(x, np.random.default_rng(0), 3.0, 99).shape == x.shape
    assert np.array_equal(x, before)


def test_same_generator_same_bytes():
    x = features()
    one, two = (augment(x, np.random.default_rng(7), 4.0, 12) for _ in range(2))
    assert one.tobytes() == two.tobytes()
