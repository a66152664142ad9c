"""Events at other speeds: what the phase vocoder keeps, and the mixtures made of them."""

import csv
import dataclasses
import re
import shutil

import numpy as np
import pytest

from data_tools.audio import SAMPLE_RATE, rms
from data_tools.mixing import event_clip, render
from data_tools.recipes import Recipe
from data_tools.soundbank import open_bank
from minirsed.detector import Detector
from minirsed.robustness.measure import measure
from minirsed.robustness.speed import SPEEDS, Stretched, at_speed, name, render_at, speeds_here, stretch
from minirsed.run.settings import TrainSettings
from minirsed.store.mixtures import recipes_of
from tests.benchmarks import event_speed, tables
from tests.sweeping import LONG, TINY
from tests.test_robustness import Loudness

PART = {"segment_onset_s": 0.0, "segment_offset_s": 0.5}
RECIPE = Recipe("a.wav", "a", "park", duration_s=8.0, label="ping", event="a", **PART, onset_s=2.0, ebr_db=6.0)
QUIET = Recipe("quiet.wav", "a", "park", duration_s=8.0)


class Sounds:
    """A bank of one event, and of faint noise as a background."""

    def __init__(self, event):
        self.event = event

    def event_audio(self, key):
        return self.event

    def background_audio(self, key, start_s, duration_s):
        return 1e-3 * np.random.default_rng(1).standard_normal(8 * SAMPLE_RATE)


def tone(frequency_hz, duration_s=1.5):
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE)


# ---- the vocoder


@pytest.mark.parametrize("n_samples", [0, 1, 700, 30_001])
def test_at_speed_1_it_is_the_waveform_to_the_bit(n_samples):
    y = np.random.default_rng(0).standard_normal(n_samples)
    assert np.array_equal(stretch(y, 1.0), y)


@pytest.mark.parametrize("speed", [*SPEEDS, 1.001, 1 / 3])
@pytest.mark.parametrize("n_samples", [0, 1, 700, 30_001])
def test_its_length_is_divided_by_the_speed(n_samples, speed):
    z = stretch(np.random.default_rng(0).standard_normal(n_samples), speed)
    assert len(z) == round(n_samples / speed) and np.isfinite(z).all()


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("frequency_hz", [220.0, 440.0, 1003.3, 7001.0])
def test_a_tone_keeps_its_pitch_and_its_level_from_the_first_sample_to_the_last(frequency_hz, speed):
    """To 2 cents, measured by the phase between two halves, and 1.5 dB."""
    y = tone(frequency_hz)
    z = stretch(y, speed)
    n = len(z) // 4
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(2 * n) / SAMPLE_RATE) * np.hanning(2 * n)
    one, other = (np.sum(wave * z[first : first + 2 * n]) for first in (0, n))
    turns = np.angle(other / one * np.exp(-2j * np.pi * frequency_hz * n / SAMPLE_RATE)) / (2 * np.pi)
    cents = 1200 * np.log2(1 + turns * SAMPLE_RATE / n / frequency_hz)
    assert abs(cents) < 2
    parts = (z, z[:882], z[-882:])  # 20 ms at both ends
    assert [20 * np.log10(rms(part) / rms(y)) for part in parts] == pytest.approx([0, 0, 0], abs=1.5)


@pytest.mark.parametrize("speed", SPEEDS)
def test_two_tones_stay_as_far_apart_as_they_were(speed):
    z = stretch(tone(700.0) + tone(1900.0), speed)
    power = np.abs(np.fft.rfft(z * np.hanning(len(z)), 1 << 18)) ** 2
    peaks = [np.argmax(power * mask) for mask in (np.arange(len(power)) < 7_000, np.arange(len(power)) >= 7_000)]
    assert np.array(peaks) * SAMPLE_RATE / (1 << 18) == pytest.approx([700, 1900], rel=0.001)  # 1.7 cents


@pytest.mark.parametrize("speed", SPEEDS)
def test_clicks_stay_clicks_and_move_with_the_time(speed):
    """To 5 ms. Nearly all energy about a click is within a millisecond of it, and no click loses more than half."""
    places = np.array([0, 11_000, 25_137, 40_001])
    y = np.zeros(60_000)
    y[places] = 1.0
    z = stretch(y, speed)
    assert np.argmax(np.abs(z[:1500])) == 0  # what begins with the recording still does
    for place in np.round(places / speed).astype(int):
        first = max(0, place - 1500)
        around = np.abs(z[first : place + 1500])
        peak = np.argmax(around)
        assert abs(first + peak - place) <= 0.005 * SAMPLE_RATE
        assert around[peak] > 0.45
        assert np.sum(around[max(0, peak - 44) : peak + 45] ** 2) > 0.85 * np.sum(around**2)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_bang_begins_at_once(speed):
    """Noise that decays in 50 ms, out of faint noise: 20 ms before it hardly anything, and its peak keeps its height.

    Without taking the phases from the sound where it begins, a tenth of the peak and more is heard before it.
    """
    rng = np.random.default_rng(0)
    y = 1e-4 * rng.standard_normal(SAMPLE_RATE)
    y[SAMPLE_RATE // 2 :] += rng.standard_normal(SAMPLE_RATE // 2) * np.exp(-np.arange(SAMPLE_RATE // 2) / 2205)
    z = stretch(y, speed)
    place, peak = round(SAMPLE_RATE / 2 / speed), np.abs(z).max()
    loud = np.flatnonzero(np.abs(z) > 0.3 * peak)
    assert abs(loud[0] - place) < 0.004 * SAMPLE_RATE
    assert np.abs(z[: place - 400]).max() < 0.03 * peak
    assert 0.5 < peak / np.abs(y).max() < 1.5


def test_what_is_silent_stays_silent():
    assert not stretch(np.zeros(5000), 0.7).any()


# ---- mixtures


def test_only_the_event_and_its_end_change():
    bank = Sounds(np.random.default_rng(0).standard_normal(SAMPLE_RATE // 2))
    slow = at_speed(RECIPE, 0.5)
    assert (slow.onset_s, slow.length_s, slow.ebr_db) == (2.0, 1.0, 6.0)
    assert slow.offset_s == 3.0 and RECIPE.offset_s == 2.5
    one, other = render(RECIPE, bank), render_at(0.5, RECIPE, bank)
    apart = np.flatnonzero(one != other)
    assert apart[0] >= 2 * SAMPLE_RATE and 2.9 * SAMPLE_RATE < apart[-1] < 3 * SAMPLE_RATE
    background = render(QUIET, bank)
    extent = slice(2 * SAMPLE_RATE, 3 * SAMPLE_RATE)
    ratio = rms((other - background)[extent]) / rms(background[extent])
    assert 20 * np.log10(ratio) == pytest.approx(6.0, abs=1e-6)


def test_the_part_of_a_recording_that_is_the_event_moves_with_it():
    """A click at 0.6 s of a recording whose event lasts from 0.5 to 0.9 s."""
    y = np.zeros(SAMPLE_RATE)
    y[round(0.6 * SAMPLE_RATE)] = 1.0
    part = {"segment_onset_s": 0.5, "segment_offset_s": 0.9}
    recipe = at_speed(dataclasses.replace(RECIPE, **part), 2.0)
    clip = event_clip(Stretched(Sounds(y), 2.0), "a", recipe.segment_onset_s, recipe.segment_offset_s)
    assert len(clip) == pytest.approx(0.2 * SAMPLE_RATE, abs=1)
    assert np.argmax(np.abs(clip)) / SAMPLE_RATE == pytest.approx(0.05, abs=0.005)


def test_at_speed_1_and_without_an_event_the_recipe_is_the_same():
    assert at_speed(RECIPE, 1) is RECIPE and at_speed(QUIET, 0.5) is QUIET
    bank = Sounds(tone(440.0))
    assert np.array_equal(render_at(1, RECIPE, bank), render(RECIPE, bank))


@pytest.mark.parametrize(("onset_s", "length_s", "moved_s"), [(7.0, 0.5, 7.0), (7.2, 0.5, 7.0), (7.2, 5.0, 0.0)])
def test_an_event_that_no_longer_fits_begins_earlier_and_is_cut_if_it_is_too_long(onset_s, length_s, moved_s):
    recipe = dataclasses.replace(RECIPE, onset_s=onset_s, segment_onset_s=0.1, segment_offset_s=0.1 + length_s)
    slow = at_speed(recipe, 0.5)
    assert slow.onset_s == pytest.approx(moved_s, abs=2 / SAMPLE_RATE) and slow.onset_s >= 0
    assert slow.length_s == pytest.approx(min(2 * length_s, 8.0), abs=2 / SAMPLE_RATE)
    assert slow.segment_onset_s == 0.2
    bank = Sounds(np.random.default_rng(0).standard_normal(round(5.2 * SAMPLE_RATE)))
    assert len(render_at(0.5, recipe, bank)) == 8 * SAMPLE_RATE  # there is room for it


def test_a_factor_that_was_measured_at_another_length_is_not_used():
    assert at_speed(dataclasses.replace(RECIPE, scaling_factor=3.0), 2.0).scaling_factor is None


def test_what_had_to_move_is_noted_and_rendered_mixtures_are_left_out():
    late = dataclasses.replace(RECIPE, onset_s=7.3)
    long = dataclasses.replace(RECIPE, onset_s=0.0, segment_offset_s=5.0)
    speeds, notes = speeds_here([RECIPE, late, long, QUIET])
    assert speeds == SPEEDS
    assert notes == [
        "events at 0.5 × speed: 1 of 3 begin earlier, so that they fit, 1 are cut",
        "events at 0.7 × speed: 1 of 3 begin earlier, so that they fit, 0 are cut",
    ]
    assert speeds_here([RECIPE])[1] == []
    speeds, notes = speeds_here([RECIPE, dataclasses.replace(QUIET, rendered="c.wav")])
    assert speeds == () and notes == ["events at other speeds left out: these mixtures came rendered"]


def test_every_speed_is_measured_against_the_true_times_that_it_has(monkeypatch):
    """A detector by loudness finds all of them: at 0.5 × speed the second begins at 7.2 s, not at 7.6."""
    monkeypatch.setattr("minirsed.robustness.measure.changes_here", lambda: (["plain"], []))
    monkeypatch.setattr("minirsed.robustness.measure.GUARDS", {})
    recipes = [dataclasses.replace(RECIPE, name=f"{i}.wav", onset_s=onset_s) for i, onset_s in enumerate((2.0, 7.6))]
    recipes = [dataclasses.replace(recipe, ebr_db=80.0, segment_offset_s=0.4) for recipe in recipes]
    figures = measure(Loudness(), [*recipes, QUIET], Sounds(tone(1000.0, 0.4)))
    found = {change["change"]: change for change in figures["changes"]}
    assert list(found) == ["plain", *map(name, SPEEDS)] and name(0.5) == "events at 0.5 × speed"
    for change in found.values():
        assert (change["n_ref"], change["n_tp"], change["error_rate"]) == (2, 2, 0.0), change["change"]
    moved = [f"{name(speed)}: 1 of 2 begin earlier, so that they fit, 0 are cut" for speed in (0.5, 0.7)]
    assert figures["notes"] == moved


# ---- the detectors of a sweep


def test_speeds_of_a_sweep_are_measured_on_the_mixtures_of_the_evaluation(
    undisturbed_sweep, sweep_place, tmp_path, monkeypatch, capsys
):
    """Detectors that see 64 and 40 bands; at speed 1 each finds what it does by itself."""
    monkeypatch.chdir(sweep_place)
    event_speed.main([str(undisturbed_sweep), "--clips", "4", "--than", "uni", "--jobs", "1"])
    text = capsys.readouterr().out
    assert (undisturbed_sweep / "speed_eval.md").read_text() + "\n" == text
    title = "ping, 4 eval mixtures, seeds 0, intervals over recordings: error rate"
    assert text.startswith(f"{title}\n\n| | 0.5 × | 0.7 × | 1 × | 1.4 × | 2 × |")
    assert text.count("\n| mlp | ") == 3 and text.count("\n| uni | ") == 1 and "further it falls than uni" in text
    assert (undisturbed_sweep / "speed_eval.png").read_bytes().startswith(b"\x89PNG")
    with open(undisturbed_sweep / "speed_eval.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["system"], float(row["speed"])) for row in rows] == [
        (system, speed) for system in ("mlp", "uni") for speed in event_speed.ALL_SPEEDS
    ]
    assert {row["n_ref"] for row in rows} == {"2"}
    runs = event_speed.runs_of(undisturbed_sweep)
    bank = open_bank("sounds")
    recipes = recipes_of(bank, next(iter(runs.values())), "eval", 4)
    detectors = [Detector.load(folder) for folder in runs]
    for recipe, found in zip(recipes, event_speed.heard(detectors, bank, recipes), strict=True):
        alone = [detector.detect(render(recipe, bank)) for detector in detectors]
        assert [each[event_speed.ALL_SPEEDS.index(1)] for each in found] == [
            None if event.onset_s is None else (event.onset_s, event.offset_s) for event in alone
        ]
    check_tables_of_the_text(undisturbed_sweep)
    with pytest.raises(SystemExit):
        event_speed.main([str(undisturbed_sweep), "--than", "multirez"])
    assert capsys.readouterr().err.endswith("--than multirez: no system of this sweep, which has mlp, uni\n")
    copy = shutil.copytree(undisturbed_sweep, tmp_path / "copy")
    next(copy.glob("ping-uni-*/result.json")).unlink()  # killed after its first epoch
    assert [settings.arch for settings in event_speed.runs_of(copy).values()] == ["mlp"]


def check_tables_of_the_text(sweep):
    """`tables.py` on what the sweep and the script have left: all cells are found, and a wrong digit is too."""
    of_sweep, of_speed = (sweep / name for name in ("table.md", "speed_eval.md"))
    commands = f"## Results\n\n```bash\npython -m minirsed.sweep --data sounds {' '.join([*LONG, *TINY])}\n```\n\n"
    more = "```bash\npython tests/benchmarks/event_speed.py sweeps/speed --clips 4 \\\n    --than uni\n```\n\n"
    text = commands + of_sweep.read_text().split("\n\n")[1] + "\n\n" + more + of_speed.read_text()
    assert tables.check(text, [sweep.parent, sweep]) == (2 + 4 * 5, [], [])
    assert tables.check(text.replace("--data sounds", "--data elsewhere"), [sweep]) == (2 + 4 * 5, [], [])
    lines = text.splitlines()
    begins = [number for number, line in enumerate(lines, 1) if line[:1] == "|" != lines[number - 2][:1]]
    assert tables.check(text.replace("--data sounds ", ""), [sweep]) == (0, [], begins)  # of built-in sounds
    (cell,) = re.findall(r"\| mlp \| (\d.\d\d)(?= )", of_sweep.read_text().split("\n\n")[1])
    wrong = text.replace(f"| mlp | {cell}", "| mlp | 7.77", 1)
    n_compared, (remark,), _ = tables.check(wrong, [sweep])
    assert n_compared == 22 and re.match(rf"line 7, mlp, ping: 7.77.*, should be {cell}$", remark)
    last = text.rindex("| mlp | ")
    assert len(tables.check(text[:last] + "| mlp | +9.99 | " + text[last:].split("|", 3)[3], [sweep])[1]) == 1
    rates, gaps, _ = re.findall(r"(?:^\|.*\n)+", of_speed.read_text(), re.M)
    assert tables.check(text.replace(gaps, rates), [sweep])[1]  # one table twice, in the place of another
    assert len(tables.check(f"{text}\n{rates}", [sweep])[1]) == 2 * 5  # one more than the script left
    assert tables.check(text.replace("--epochs 120", "--epochs 121"), [sweep]) == (0, [], begins)  # another sweep
    for named, other in (("| mlp |", "| mlpp |"), ("|  | ping |", "|  | ping, evall |")):  # not of the sweep
        n_compared, remarks, _ = tables.check(text.replace(named, other, 1), [sweep])
        assert n_compared == 22 and remarks and all(remark.endswith("should be no such cell") for remark in remarks)
    others = text.replace("|  | ping |", "|  | *paper* |", 1)
    assert tables.check(others, [sweep]) == (4 * 5, [], [])


def test_systems_are_paired_by_seed_and_told_apart_by_what_differs():
    """A system with other seeds is not compared; the order of the seeds is nothing; α is part of a name."""
    rng = np.random.default_rng(0)
    counts = np.zeros((2, 2, len(event_speed.ALL_SPEEDS), 12, 4), np.int64)
    counts[..., :6, 0] = 1
    counts[..., 1] = rng.integers(0, 2, counts.shape[:-1])
    one, other = (dict(enumerate(each)) for each in counts)
    lines, _ = event_speed.tables({"bi": one, "uni": other}, "bi")
    assert len([line for line in lines if line.startswith("| uni ")]) == 3
    assert event_speed.tables({"bi": one, "uni": dict(reversed(other.items()))}, "bi")[0] == lines
    lines, _ = event_speed.tables({"bi": one, "uni": {0: other[0], 2: other[1]}}, "bi")
    assert len([line for line in lines if line.startswith("| uni ")]) == 1

    runs = {name: TrainSettings("ping", arch=name[:2], alpha=float(name[2:])) for name in ("bi1", "bi5")}
    assert event_speed.names_of(runs) == {"bi1": "bi, α = 1", "bi5": "bi, α = 5"}


def test_how_much_further_a_system_falls_by_hand():
    """Of 10 events, one system finds 9 at speed 1 and 4 at another, the other 8 and 6: 0.5 − 0.2 further."""

    def found(n):
        return np.array([[1, 1, 1, 0]] * n + [[1, 0, 0, 0]] * (10 - n))

    value, low, high = event_speed.fall((found(4), found(9)), (found(6), found(8)))
    assert value == pytest.approx(0.3) and low < 0.3 < high
    assert event_speed.fall((found(4), found(9)), (found(4), found(9))) == (0.0, 0.0, 0.0)
    recordings = [(f"event {i % 4}", f"background {i % 3}") for i in range(10)]
    assert event_speed.fall((found(4), found(9)), (found(6), found(8)), recordings)[0] == value
    one = [("event", "background")] * 10
    assert np.isnan(event_speed.fall((found(4), found(9)), (found(6), found(8)), one)[1:]).all()
    two_seeds = [tuple(2 * each for each in pair) for pair in ((found(4), found(9)), (found(6), found(8)))]
    assert event_speed.fall(*two_seeds) == pytest.approx((value, low, high))


def test_a_folder_that_is_no_sweep_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        event_speed.main([str(tmp_path)])
    assert capsys.readouterr().err.endswith(f"error: {tmp_path}: no finished trainings of a sweep in it\n")
