"""Answers of librosa for `tests/test_features.py`, frozen in `librosa_oracle.npz`.

    pip install librosa==0.11.0
    python tests/oracle/make_librosa_oracle.py      # rewrites tests/oracle/librosa_oracle.npz, a few seconds

librosa pads its window on both sides up to n_fft, so its frame t holds samples t·hop − shift … of a signal with
shift = (n_fft − win) // 2 zeros put in front (9 of them at 2029 and 2048). Moving a window inside n_fft changes only
phases, not the power spectrum, so with those zeros its frames are ours; zeros behind complete the last one.
All in float64: librosa's float32 is itself off by more than 1e-4 where one tone stands over silence.
"""

import json
import platform
from pathlib import Path

import numpy as np

OUT = Path(__file__).with_name("librosa_oracle.npz")
SAMPLE_RATE = 44100
SETTINGS = {  # name: n_mels, win_s, hop_s
    "paper": (64, 0.046, 0.023),
    "short": (40, 0.025, 0.010),
    "long": (128, 0.1, 0.033),
    "power_of_two": (32, 1024 / 44100, 512 / 44100),
    "gaps": (20, 0.02, 0.05),
}
KEPT_FRAMES = 6  # evenly spaced over each clip


def sounds(n=30_000, seed=20_260):
    """Test signals, the same arrays on any machine: name → (n,) float64. `tests/test_features.py` calls this too."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n)
    t = np.arange(n) / SAMPLE_RATE
    clicks = np.zeros(n)
    clicks[::4001] = 1.0
    return {
        "noise": 0.1 * noise,
        "chirp": 0.5 * np.sin(2 * np.pi * (50 * t + 15_000 * t**2)),
        "clicks": clicks,
        "silence": np.zeros(n),
        "quiet_tone": 1e-4 * np.sin(2 * np.pi * 1000 * t),
        "loud_tone": 0.9 * np.sin(2 * np.pi * 440 * t),
        "half_silent": np.where(t < t[n // 2], noise, 0.0),
    }


def log_mel(y, n_mels, win_s, hop_s):
    """The melspectrogram of librosa at our settings, natural log with our floor, (T, n_mels)."""
    import librosa  # here, so that the tests can import `sounds` without it

    win, hop = round(win_s * SAMPLE_RATE), round(hop_s * SAMPLE_RATE)
    n_fft = 2 ** int(np.ceil(np.log2(win)))
    shift = (n_fft - win) // 2
    padded = np.concatenate([np.zeros(shift), y, np.zeros(n_fft - win - shift)])
    energy = librosa.feature.melspectrogram(
        y=padded, sr=SAMPLE_RATE, n_fft=n_fft, win_length=win, hop_length=hop, window="hann", center=False,
        power=2.0, n_mels=n_mels, fmin=0.0, fmax=SAMPLE_RATE / 2, htk=False, norm="slaney", dtype=np.float64,
    )  # fmt: skip
    return np.log(np.maximum(energy, 1e-10)).T


def kept_frames(T):
    """Frames of a clip that the file holds."""
    return np.unique(np.linspace(0, T - 1, KEPT_FRAMES).round().astype(int))


def main():
    """Run all sounds through all settings and write the file."""
    import librosa
    import scipy

    versions = {
        "librosa": librosa.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "python": platform.python_version(),
    }
    answers = {"versions": np.array(json.dumps(versions))}
    for setting, values in SETTINGS.items():
        for name, y in sounds().items():
            features = log_mel(y, *values)
            answers[f"{setting}/{name}/T"] = np.array(len(features))
            answers[f"{setting}/{name}/frames"] = features[kept_frames(len(features))]
    win = round(0.046 * SAMPLE_RATE)
    answers["filter_bank"] = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=2048, n_mels=64, dtype=np.float64)
    answers["window"] = librosa.filters.get_window("hann", win)
    np.savez_compressed(OUT, allow_pickle=False, **answers)
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
