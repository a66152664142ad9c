"""Changes of mixtures, each measured on its own; what a detector makes of them; the files that are left of it."""

import csv
import dataclasses
import io
import json
import math
import os
import signal

import numpy as np
import pytest
import soundfile

from data_tools.audio import SAMPLE_RATE, rms
from data_tools.errors import InputError
from data_tools.recipes import Recipe
from data_tools.workers import in_processes
from minirsed.analysis.files import figures_of, write_report
from minirsed.detector import Detection, Detector
from minirsed.evaluate import __main__ as evaluate
from minirsed.report import __main__ as report
from minirsed.robustness import changes, files
from minirsed.robustness.changes import CHANGES, GUARDS
from minirsed.robustness.measure import identity, measure, measure_run
from tests.test_evaluate_command import arguments_for, results_of, runs  # noqa: F401  a fixture
from tests.test_report import Page

HAS_MP3 = "MP3, 32 kbit/s" in changes.changes_here()[0]
needs_mp3 = pytest.mark.skipif(not HAS_MP3, reason="libsndfile without MP3")


def changed(name, y, sr=SAMPLE_RATE, seed=0):
    return CHANGES[name](y, sr, np.random.default_rng(seed))


def tone(frequency_hz, duration_s=2.0, sr=SAMPLE_RATE):
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(duration_s * sr)) / sr)


def gain_db(name, frequency_hz):
    """What a change does to a tone, measured in its middle, in dB."""
    y = tone(frequency_hz)
    z, sr = changed(name, y)
    middle = slice(sr // 2, 3 * sr // 2)
    return 20 * math.log10(rms(z[middle]) / rms(y[SAMPLE_RATE // 2 : 3 * SAMPLE_RATE // 2]) + 1e-12)


# ---- changes


def test_plain_is_the_mixture_itself():
    y = tone(440)
    assert changed("plain", y) == (y, SAMPLE_RATE)


@pytest.mark.parametrize("db", [-24, -12, 12, 24])
def test_a_gain_changes_the_level_by_exactly_that_and_clips_nothing(db):
    y = tone(440)
    z, sr = changed(f"gain {db:+d} dB", y)
    assert sr == SAMPLE_RATE
    assert 20 * math.log10(rms(z) / rms(y)) == pytest.approx(db, abs=1e-9)
    assert z.max() == pytest.approx(0.3 * 10 ** (db / 20), rel=1e-3)  # 4.75 at +24 dB


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050])
def test_another_source_rate_keeps_the_duration_and_what_lies_below_half_of_it(rate_hz):
    name = f"source at {rate_hz / 1000:g} kHz"
    z, sr = changed(name, tone(440, 30.0))
    assert sr == rate_hz and len(z) == 30 * rate_hz
    assert gain_db(name, 0.4 * rate_hz) == pytest.approx(0.0, abs=0.1)
    assert gain_db(name, 0.6 * rate_hz) < -80


@pytest.mark.parametrize("cutoff_hz", [4000, 7500])
def test_a_low_pass_attenuates_above_its_cutoff_and_nothing_below(cutoff_hz):
    name = f"low-pass {cutoff_hz / 1000:g} kHz"
    assert gain_db(name, 100) == pytest.approx(0.0, abs=0.01)
    assert gain_db(name, 0.75 * cutoff_hz) == pytest.approx(0.0, abs=0.1)
    assert gain_db(name, cutoff_hz) == pytest.approx(-3.01, abs=0.05)
    assert gain_db(name, 1.5 * cutoff_hz) == pytest.approx(-320 * math.log10(1.5), abs=1.0)  # 16th order: 320 dB/decade
    assert len(changed(name, tone(100))[0]) == 2 * SAMPLE_RATE


@pytest.mark.parametrize("slope_db", [-6, 6])
def test_a_tilt_has_its_slope_about_1_khz(slope_db):
    gains = [gain_db(f"tilt {slope_db:+d} dB a decade", frequency_hz) for frequency_hz in (100, 1000, 10_000)]
    assert gains == pytest.approx([-slope_db, 0.0, slope_db], abs=0.02)


@needs_mp3
@pytest.mark.parametrize("n_samples", [44100 * 10, 44100 * 10 + 1153, 500])
def test_mp3_of_32_kbit_a_second_moves_nothing(n_samples):
    """By cross-correlation; the file's size is that of 32 kbit/s, whatever its content."""
    y = 0.1 * np.random.default_rng(0).standard_normal(n_samples)
    z, sr = changed("MP3, 32 kbit/s", y)
    assert sr == SAMPLE_RATE and len(z) == len(y)
    n = 2 * len(y)
    correlation = np.fft.irfft(np.fft.rfft(z, n) * np.fft.rfft(y, n).conj(), n)
    assert np.argmax(correlation) == 0
    buffer = io.BytesIO()
    soundfile.write(buffer, y, sr, **changes.MP3)
    if n_samples >= 44100:
        assert len(buffer.getvalue()) * 8 / (n_samples / sr) == pytest.approx(32_000, rel=0.02)


def test_a_machine_without_mp3_says_so_and_leaves_it_out(monkeypatch):
    monkeypatch.setitem(changes.MP3, "compression_level", 1.5)  # which no libsndfile takes
    names, notes = changes.changes_here()
    assert "MP3, 32 kbit/s" not in names and len(names) == len(CHANGES) - 1
    assert len(notes) == 1 and notes[0].startswith("MP3 left out: libsndfile ")


def test_a_room_by_rule_decays_in_its_time_after_a_direct_sound():
    """Reverberation time by Schroeder's backward integration, from −5 to −25 dB of the tail."""
    ratios, times = [], []
    for seed in range(20):
        h = changes.room_response(SAMPLE_RATE, np.random.default_rng(seed))
        assert np.sum(h**2) == pytest.approx(1.0)
        assert np.argmax(np.abs(h)) == 0 and not h[1 : round(0.003 * SAMPLE_RATE) - 1].any()
        ratios.append(10 * math.log10(h[0] ** 2 / np.sum(h[1:] ** 2)))
        left = np.cumsum(h[:0:-1] ** 2)[::-1]
        left_db = 10 * np.log10(left / left[0])
        first, last = (np.argmax(left_db < level) for level in (-5, -25))
        times.append((last - first) / SAMPLE_RATE * 3)
    assert 0 <= min(ratios) < 2 and 4 < max(ratios) <= 6
    assert np.mean(times) == pytest.approx(0.3, rel=0.1)


def test_a_room_keeps_the_level_of_noise():
    y = 0.1 * np.random.default_rng(1).standard_normal(5 * SAMPLE_RATE)
    z, sr = changed("small room", y)
    assert sr == SAMPLE_RATE and len(z) == len(y)
    assert rms(z) == pytest.approx(rms(y), rel=0.03)


@pytest.mark.parametrize("sr", [16000, SAMPLE_RATE])
def test_a_hum_is_as_loud_as_the_mixture_and_at_multiples_of_50_hz(sr):
    y = 0.1 * np.random.default_rng(0).standard_normal(4 * sr)
    z, _ = changed("hum at 0 dB", y, sr)
    added = z - y
    assert 20 * math.log10(rms(added) / rms(y)) == pytest.approx(0, abs=1e-6)
    power = np.abs(np.fft.rfft(added)) ** 2
    lines = 50 * 4 * np.arange(1, 11)  # bins of a quarter of a hertz
    assert power[lines].sum() == pytest.approx(power.sum(), rel=1e-6)
    assert power[lines[1]] == pytest.approx(power[lines[0]] / 4, rel=1e-3)  # amplitude 1/k
    silent = np.zeros(sr)
    assert not changed("hum at 0 dB", silent, sr)[0].any()


@pytest.mark.parametrize("name", [name for name in CHANGES if HAS_MP3 or "MP3" not in name])
def test_no_change_moves_an_onset(name):
    """A tone burst of 1 kHz in faint noise: where it first reaches 0.3 of its slope, to within a millisecond."""
    y = 1e-4 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
    y[SAMPLE_RATE : 2 * SAMPLE_RATE] += tone(1000, 1.0)
    z, sr = changed(name, y)
    slope = np.abs(np.diff(z))  # small of a hum
    onset_s = np.argmax(slope > 0.3 * np.quantile(slope, 0.9)) / sr
    assert onset_s == pytest.approx(1.0, abs=1e-3)
    assert len(z) / sr == pytest.approx(3.0, abs=1 / sr)


@pytest.mark.parametrize("name", [name for name in CHANGES if HAS_MP3 or "MP3" not in name])
def test_a_change_depends_on_its_generator_alone_and_leaves_its_input_as_it_is(name):
    y = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE)
    before = y.copy()
    first, again, other = (changed(name, y, seed=seed)[0] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and np.array_equal(y, before)
    assert np.array_equal(first, other) == (name not in ("small room", "hum at 0 dB"))


@pytest.mark.parametrize(("sound", "decay_db"), [("white noise", 0), ("pink noise", 10), ("brown noise", 20)])
@pytest.mark.parametrize("sr", [8000, 44100])
def test_a_noise_has_the_slope_of_its_colour(sound, decay_db, sr):
    """Mean power density in octaves about 100 Hz and 1 kHz."""
    y = GUARDS[sound](30.0, sr, np.random.default_rng(0))
    assert len(y) == 30 * sr and rms(y) == pytest.approx(0.1)
    density = np.abs(np.fft.rfft(y * np.hanning(len(y)))) ** 2

    def level_db(frequency_hz):
        first, last = (round(frequency_hz * factor * 30) for factor in (2**-0.5, 2**0.5))
        return 10 * math.log10(np.mean(density[first:last]))

    assert level_db(1000) - level_db(100) == pytest.approx(-decay_db, abs=0.3)
    below = density[: 15 * 30].sum() / density.sum()
    assert below < 1e-5 if decay_db else below == pytest.approx(15 / (sr / 2), rel=0.2)


def test_silence_is_silent():
    assert np.array_equal(GUARDS["silence"](30.0, 8000, None), np.zeros(240_000))


# ---- measuring


class Loudness:
    """A detector that takes for an event, at its onset, whatever is above 0.5; noise it takes for nothing."""

    label = "ping"

    def detect(self, y, sr):
        loud = np.flatnonzero(np.abs(y) > 0.5)
        if not len(loud):
            return Detection(0.1, None, None, np.zeros(1))
        return Detection(0.9, loud[0] / sr, loud[-1] / sr, np.zeros(1))

    def fingerprint(self):
        return "of no weights"

    def description(self):
        return {"label": self.label, "pair": (1, 2)}


class Sounds:
    """A bank of clicks: `render` finds one at 2 s of 5 s of background, as loud as the background's name says."""

    def background_audio(self, key, start_s, duration_s):
        y = np.zeros(5 * SAMPLE_RATE)
        if key:
            y[2 * SAMPLE_RATE : 2 * SAMPLE_RATE + 2000] = float(key) / 0.2
        return y

    def event_audio(self, key):
        return np.full(100, 1e-9)


def click(name, level, onset_s):
    """A mixture with a click at 2 s of that level, and an event said to be at `onset_s` or, None, no event."""
    return Recipe(name, str(level), "park", duration_s=5.0) if onset_s is None else Recipe(
        name, str(level), "park", 0.0, "ping", "a", 0.0, 1.0, onset_s, 0.0, 0.0, 5.0
    )  # fmt: skip


CLICKS = [
    click("loud.wav", 0.9, 2.0),  # a hit, until it is made quieter
    click("faint.wav", 0.2, 2.0),  # a miss, until it is made louder
    click("elsewhere.wav", 0.3, 4.0),  # a miss, and then misplaced
    click("none.wav", 0.15, None),  # nothing, and at +24 dB a false alarm
]


@pytest.fixture(scope="module")
def by_hand():
    return measure(Loudness(), CLICKS, Sounds())


def test_counts_worked_by_hand(by_hand):
    """Levels of 0.9, 0.2, 0.3 and 0.15 against a threshold of 0.5; ER = (missed + 2 · misplaced + false) / 3.

    −12 dB is a factor of 0.25: nothing is found. +12 dB, 3.98: all are, 0.15 too.
    """
    found = {change["change"]: change for change in by_hand["changes"]}
    counts = ("n_tp", "n_missed", "n_misplaced", "n_false_alarms")

    def counted(name):
        return [found[name][count] for count in counts]

    assert counted("plain") == [1, 2, 0, 0] and counted("gain -12 dB") == [0, 3, 0, 0]
    assert counted("gain +12 dB") == counted("gain +24 dB") == [2, 0, 1, 1]
    assert found["plain"]["error_rate"] == pytest.approx(2 / 3)
    assert found["gain +24 dB"]["error_rate"] == pytest.approx(3 / 3)
    assert found["gain +24 dB"]["error_rate_difference"] == pytest.approx(1 / 3)
    assert found["plain"]["error_rate_difference"] == 0.0
    low, high = found["plain"]["error_rate_95"]
    assert low < 2 / 3 < high
    assert all(change["n_clips"] == 4 and change["n_ref"] == 3 for change in by_hand["changes"])
    assert by_hand["label"] == "ping" and by_hand["n_clips"] == 4
    assert by_hand["detector"] == {"fingerprint": "of no weights", "label": "ping", "pair": [1, 2]}


def test_every_guard_is_tried_at_every_rate(by_hand):
    """Of a detector of loud samples: noise of RMS 0.1 has some above 0.5 if it is white and long, silence none."""
    pairs = [(guard["sound"], guard["rate_hz"]) for guard in by_hand["guards"]]
    assert pairs == [(sound, rate_hz) for sound in GUARDS for rate_hz in (8000, 16000, 44100)]
    assert all(guard["probability"] == 0.1 for guard in by_hand["guards"] if guard["sound"] == "silence")
    assert {guard["is_detected"] for guard in by_hand["guards"]} <= {False, True}


def test_the_detector_is_given_each_mixture_at_its_own_rate():
    heard = []

    class Listener(Loudness):
        def detect(self, y, sr):
            heard.append((sr, round(len(y) / sr, 3)))
            return super().detect(y, sr)

    measure(Listener(), CLICKS[:1], Sounds())
    clips = [sr for sr, duration_s in heard if duration_s == 5.0]
    guards = [sr for sr, duration_s in heard if duration_s == 30.0]
    assert sorted(clips)[:4] == [8000, 11025, 16000, 22050] and clips.count(SAMPLE_RATE) == len(clips) - 4
    assert guards == [8000, 16000, 44100] * 4
    assert len(heard) == len(clips) + len(guards)


def test_mixtures_without_any_event_have_no_error_rate():
    figures = measure(Loudness(), CLICKS[3:], Sounds())
    assert {change["error_rate"] for change in figures["changes"]} == {None}
    assert {change["n_false_alarms"] for change in figures["changes"]} == {0, 1}


def test_a_mixture_that_is_not_finite_is_named():
    with pytest.raises(InputError, match="broken.wav: has NaN or infinite samples"):
        measure(Loudness(), [click("broken.wav", "nan", None)], Sounds())


def test_figures_of_a_run_do_not_depend_on_processes_and_the_plain_ones_are_those_of_the_evaluation(runs):  # noqa: F811
    """Five mixtures are two tasks; random weights, but probabilities on both sides of the thresholds."""
    one, two = (measure_run(runs / "a", n_clips=5, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one == two and one["run"] == str(runs / "a") and one["subset"] == "eval"
    plain = one["changes"][0]
    evaluated = figures_of(results_of(runs, runs / "a", "--no-tune", "--clips", 5))
    shared = [name for name in plain if name in evaluated]
    assert {"n_ref", "n_tp", "n_fp", "error_rate", "error_rate_95", "f1"} <= set(shared)
    assert {name: plain[name] for name in shared} == {name: evaluated[name] for name in shared}
    kinds = ("n_missed", "n_misplaced", "n_false_alarms")
    assert [plain[kind] for kind in kinds] == list(evaluated["mistakes"].values())
    assert len({json.dumps(change["error_rate"]) for change in one["changes"]}) > 1  # the changes do change something


# ---- files, command, page


def test_files_hold_what_was_measured(by_hand, tmp_path):
    figures = files.write({"run": str(tmp_path), "subset": "dev", **by_hand}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(figures["files"]) == set(files.names("dev"))
    assert files.read(tmp_path, "dev") == figures == json.loads(json.dumps(figures))
    assert (tmp_path / "robust_dev.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "robust_dev.csv", newline="") as file:
        rows = {row["change"]: row for row in csv.DictReader(file)}
    assert list(rows)[: len(by_hand["changes"])] == [change["change"] for change in by_hand["changes"]]
    for change in by_hand["changes"]:
        row = rows[change["change"]]
        assert [int(row[name]) for name in files.COUNTS] == [change[name] for name in files.COUNTS]
        for rate in files.RATES:
            edges = [row[rate], row[f"{rate}_low"], row[f"{rate}_high"]]
            assert list(map(float, edges)) == [change[rate], *change[f"{rate}_95"]]
        assert row["probability"] == ""
    assert float(rows["silence at 8 kHz"]["probability"]) == 0.1 and rows["silence at 8 kHz"]["n_ref"] == ""


def test_without_events_the_files_are_written_too(tmp_path):
    figures = measure(Loudness(), CLICKS[3:], Sounds())
    files.write({"run": "r", "subset": "eval", **figures}, tmp_path)
    assert files.read(tmp_path, "eval")["changes"][0]["error_rate"] is None
    with open(tmp_path / "robust_eval.csv", newline="") as file:
        assert next(csv.DictReader(file))["error_rate"] == ""
    assert " -  -" in evaluate.robust_tables({"run": "r", "files": [], **figures})


@pytest.mark.parametrize(
    "damage",
    [
        lambda figures: "[]",
        lambda figures: "no JSON",
        lambda figures: json.dumps(figures)[:-1],
        lambda figures: json.dumps({**figures, "changes": []}),
        lambda figures: json.dumps({**figures, "changes": 5}),
        lambda figures: json.dumps({**figures, "notes": [1]}),
        lambda figures: json.dumps({**figures, "guards": [{**figures["guards"][0], "probability": math.nan}]}),
        lambda figures: json.dumps({**figures, "guards": [{**figures["guards"][0], "rate_hz": "8 kHz"}]}),
        lambda figures: json.dumps({**figures, "changes": [{**figures["changes"][0], "error_rate_95": [0.0]}]}),
        lambda figures: json.dumps({**figures, "changes": [{**figures["changes"][0], "n_tp": True}]}),
    ],
)
def test_a_damaged_file_is_one_line(by_hand, damage, tmp_path):
    assert files.read(tmp_path, "eval") is None
    (tmp_path / "robust_eval.json").write_text(damage({**by_hand}))
    with pytest.raises(InputError, match="robust_eval.json: damaged") as error:
        files.read(tmp_path, "eval")
    assert len(str(error.value).splitlines()) == 1


@pytest.fixture(scope="module")
def measured(runs):  # noqa: F811
    """What the command prints of a run, as JSON."""
    words = arguments_for(runs, runs / "b", "--robust", "--json", "--no-tune", "--clips", 4)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", printed)
        evaluate.main(words)
    return json.loads(printed.getvalue())


def test_the_command_leaves_its_files_beside_those_of_the_evaluation(runs, measured):  # noqa: F811
    robust = measured.pop("robust")
    assert measured == json.loads((runs / "b" / "figures_eval.json").read_text())
    assert robust == files.read(runs / "b", "eval")
    assert all((runs / "b" / name).exists() for name in robust["files"])
    assert robust["n_clips"] == measured["n_clips"] == 4 and robust["run"] == str(runs / "b")
    assert robust["detector"] == identity(Detector.load(runs / "b"))


def test_the_tables_are_short(runs, measured, by_hand):  # noqa: F811
    table = evaluate.robust_tables({"run": "runs/b", "files": files.names("eval"), **by_hand})
    lines = table.splitlines()
    assert len(lines) < 40 and max(map(len, lines)) <= 110
    (plain,) = (line.split() for line in lines if line.startswith("plain"))
    assert plain[1:6] == ["1", "2", "0", "0", "0.67"]
    (louder,) = (line.split() for line in lines if line.startswith("gain +24 dB"))
    assert louder[3:8] == ["2", "0", "1", "1", "1.00"] and "+0.33" in louder
    (silence,) = (line.split() for line in lines if line.startswith("silence"))
    assert silence == ["silence", "0.10", "0.10", "0.10"]


def test_the_page_has_a_section_if_the_file_is_there_and_of_this_detector(runs, measured, monkeypatch):  # noqa: F811
    results = results_of(runs, runs / "b", "--no-tune", "--clips", 4)
    record = report.read_run(runs / "b")
    robust = files.read(runs / "b", "eval")
    with_it, without = (report.make_page(results, record, 1, "again", each) for each in (robust, None))
    pages = Page(with_it), Page(without)
    title = "Other levels, rates, places and speeds"
    assert title in "".join(pages[0].text) and title not in "".join(pages[1].text)
    assert pages[0].tags.count("figure") == pages[1].tags.count("figure") + 3
    for words in ("source at 16 kHz", "white noise at 8 kHz", "small room", "events at 0.5 × speed"):
        assert words in "".join(pages[0].text), words
    results.detector = dataclasses.replace(results.detector, thres0=0.4)
    monkeypatch.setattr("minirsed.card.facts.trained_detector", lambda folder, several: results.detector)
    text = "".join(Page(report.make_page(results, record, 1, "again", robust)).text)
    assert "measured with another detector" in text and "small room" not in text


def test_an_evaluation_without_it_leaves_the_files_of_one_before(runs, measured):  # noqa: F811
    before = (runs / "b" / "robust_eval.json").read_bytes()
    write_report(results_of(runs, runs / "b", "--no-tune", "--clips", 4))
    assert (runs / "b" / "robust_eval.json").read_bytes() == before


# ---- processes


def double(number):
    return 2 * number


def refuse(number):
    raise InputError(f"{number}: refused")


def vanish(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("n_jobs", [1, 2, 8])
def test_results_come_in_order_from_any_number_of_processes(n_jobs):
    assert list(in_processes(double, [(n,) for n in range(5)], n_jobs)) == [0, 2, 4, 6, 8]
    assert list(in_processes(double, [], n_jobs)) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_a_process_is_that_of_its_function(n_jobs):
    with pytest.raises(InputError, match="refused"):
        list(in_processes(refuse, [(0,), (1,)], n_jobs))


def test_a_killed_process_is_one_line():
    with pytest.raises(InputError, match="a process was killed"):
        list(in_processes(vanish, [(0,), (1,)], 2))
