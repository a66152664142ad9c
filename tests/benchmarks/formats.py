"""A detector on the same mixtures in other formats: hits and false alarms by sample rate and codec.

    python tests/benchmarks/formats.py runs/babycry [--clips 12] [--subset eval]

Each mixture is resampled, written as WAV, MP3 (32 and 128 kbit/s; below 32 kHz the same settings give about 8 and 64),
Ogg Vorbis and Opus, and `minirsed.recordings.detect_file` looks for its event. Combinations that libsndfile does not
write have a dash. Opus takes rates of its own: 11.025, 22.05, 32, 44.1 and 96 kHz become 12, 24, 48, 48 and 48.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import soundfile

sys.path.insert(0, str(Path(__file__).parents[2]))  # runs from a checkout, installed or not

from data_tools.audio import SAMPLE_RATE, resample  # noqa: E402
from data_tools.mixing import render  # noqa: E402
from data_tools.soundbank import open_bank  # noqa: E402
from minirsed.detector import Detector  # noqa: E402
from minirsed.recordings import detect_file  # noqa: E402
from minirsed.run.folder import read_settings  # noqa: E402
from minirsed.store.mixtures import recipes_of  # noqa: E402

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)
MP3 = {"format": "MP3", "bitrate_mode": "CONSTANT"}
FORMATS = {
    "wav": (".wav", {}),
    "mp3 32": (".mp3", MP3 | {"compression_level": 0.99}),
    "mp3 128": (".mp3", MP3 | {"compression_level": 0.6}),
    "ogg": (".ogg", {"format": "OGG", "subtype": "VORBIS"}),
    "opus": (".opus", {"format": "OGG", "subtype": "OPUS"}),
}
OPUS_RATE = {22050: 24000, 11025: 12000, 32000: 48000, 44100: 48000, 96000: 48000}


def main():
    """Print one row for each rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--subset", default="eval", choices=("dev", "eval"))
    arguments = parser.parse_args()
    detector, settings = Detector.load(arguments.run), read_settings(arguments.run)
    bank = open_bank(settings.data)
    recipes = recipes_of(bank, settings, arguments.subset, arguments.clips)
    sounds = [(recipe, render(recipe, bank)) for recipe in recipes]
    n_events = sum(recipe.has_event for recipe in recipes)
    print(f"hits of {n_events} + false alarms in {len(recipes) - n_events} mixtures without an event")
    print(f"{'Hz':>6}" + "".join(f"{name:>10}" for name in FORMATS))
    with tempfile.TemporaryDirectory() as folder:
        for sr in RATES:
            cells = [counts(detector, sounds, sr, name, Path(folder)) for name in FORMATS]
            print(f"{sr:6}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


def counts(detector, sounds, sr, name, folder):
    """Hits + false alarms at one rate in one format; a dash where it cannot be written."""
    suffix, options = FORMATS[name]
    rate, hits, alarms = OPUS_RATE.get(sr, sr) if name == "opus" else sr, 0, 0
    for recipe, y in sounds:
        path = folder / f"mixture{suffix}"
        try:
            soundfile.write(path, resample(y, SAMPLE_RATE, rate) if rate != SAMPLE_RATE else y, rate, **options)
        except (soundfile.LibsndfileError, ValueError):
            return "–"
        events = detect_file(detector, path).events
        if recipe.has_event:
            hits += any(abs(event.onset_s - recipe.onset_s) <= 0.5 for event in events)
        else:
            alarms += bool(events)
    return f"{hits}+{alarms}"


if __name__ == "__main__":
    main()
