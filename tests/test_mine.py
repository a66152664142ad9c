"""`python -m minirsed.mine`: what is found, the clips, the page, and what becomes of verdicts in a sound folder.

`tests/test_mine_in_browser.py` presses the keys of the page in a real browser.
"""

import base64
import csv
import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_tools import files as file_tools
from data_tools.errors import InputError
from data_tools.soundbank import open_bank
from minirsed.kernels.threads import worker_threads
from minirsed.listening.operating import Operating
from minirsed.listening.segments import EVIDENCE
from minirsed.mine import __main__ as mine
from minirsed.mine import clips as clip_files
from minirsed.mine import filing
from minirsed.mine import page as mine_page
from minirsed.mine.findings import Mine, near_events
from minirsed.recordings import detect_file
from minirsed.run.folder import read_settings
from minirsed.train import __main__ as train_command
from tests.conftest import tone_detector, tones
from tests.test_negatives import sounds  # noqa: F401, a fixture
from tests.test_report import NASTY, Page

LONG = [(5.0, 6.0), (20.0, 20.04), (36.6, 37.6), (50.0, 50.05), (64.0, 64.5)]  # the second and the fourth are near


def dog_detector():
    """Takes a tone of 1 kHz for a dog: 0.05 s of it have p = 0.33, a second has p = 1."""
    detector = tone_detector()
    return dataclasses.replace(detector, label="dog", config=dataclasses.replace(detector.config, rule="strongest"))


def lay_out(folder):
    """A detector, a long recording, and a short one at another rate with two channels."""
    dog_detector().save(folder / "dog.npz")
    (folder / "nights").mkdir()
    soundfile.write(folder / "nights/monday.flac", tones(70, LONG), 44100)
    short = tones(3, [(1.0, 1.7)], sr=16000)
    soundfile.write(folder / "nights/tu es <day>.wav", np.stack([short, short], axis=1), 16000)
    return folder


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lay_out(tmp_path)


@pytest.fixture(scope="module")
def mined_once(tmp_path_factory):
    """The folder that the command has written."""
    folder = lay_out(tmp_path_factory.mktemp("desk"))
    mine.main([str(folder / "dog.npz"), str(folder / "nights"), "--out", str(folder / "mined")])
    return folder / "mined"


def call(*words):
    """Exit status of the command."""
    try:
        mine.main([*map(str, words)])
    except SystemExit as end:
        return end.code
    return 0


def mined(*words):
    assert call("dog.npz", "nights", *words) == 0
    return clip_files.read_list(Path("mined"))


def dug(n_alarms=30, n_near=10, detector=None):
    found = Mine(detector or dog_detector(), n_alarms, n_near)
    with worker_threads(1) as executor:
        for path in sorted(Path("nights").iterdir()):
            found.dig(path, path.name, executor, n_threads=1)
    return found


# ---- what is found


def test_alarms_are_what_detect_reports_and_near_ones_are_not(desk):
    found = dug()
    reported = {
        (path.name, event) for path in Path("nights").iterdir() for event in detect_file(dog_detector(), path).events
    }
    assert {(each.name, each.event) for each in found.kept["alarm"]} == reported and len(reported) == 4
    assert found.n_found == 4 and found.seconds == pytest.approx(73)
    near = found.kept["near"]
    assert sorted(round(each.event.onset_s) for each in near) == [20, 50]
    assert all(0.25 < each.event.probability <= 0.5 for each in near)
    p = [each.event.probability for each in found.findings()]
    assert p[:4] == sorted(p[:4], reverse=True) and p[4:] == sorted(p[4:], reverse=True)


def test_no_more_are_kept_than_asked_for(desk):
    found, everything = dug(2, 1), dug()
    assert [len(found.kept[kind]) for kind in ("alarm", "near")] == [2, 1] and found.n_found == 4
    assert [e.event for e in found.kept["alarm"]] == [e.event for e in everything.kept["alarm"][:2]]
    assert found.kept["near"][0].event == everything.kept["near"][0].event
    assert not dug(0, 0).findings()


def test_of_those_that_are_certain_the_one_of_most_evidence_comes_first(desk):
    """All have p = 1, which is as much as a number can say."""
    for name, spans in (("a.wav", [(3, 9), (20, 28)]), ("b.wav", [(3, 10), (20, 30)])):
        soundfile.write(f"nights/{name}", tones(40, spans), 44100)
    found = dug().kept["alarm"]
    assert [each.event.probability for each in found[:4]] == 4 * [1.0] > [found[4].event.probability]
    assert [round(each.event.offset_s - each.event.onset_s) for each in found[:4]] == [10, 8, 7, 6]
    for each in found[4:]:  # the peak of the sum may lie a frame or two before its end
        assert each.evidence == pytest.approx(-EVIDENCE * np.log2(1 - each.event.probability), rel=0.05)
    assert [each.event for each in dug(n_alarms=3).kept["alarm"]] == [each.event for each in found[:3]]


def test_near_ones_of_a_clip_and_of_any_rule(desk):
    """By the paper's rule p belongs to the clip; at a threshold above it, what was an alarm is near."""
    for rule in ("longest", "strongest"):
        detector = dog_detector()
        detector = dataclasses.replace(detector, config=dataclasses.replace(detector.config, rule=rule))
        for path in Path("nights").iterdir():
            recording = detect_file(detector, path)
            strict = dataclasses.replace(detector, thres0=max(e.probability for e in recording.events) + 1e-4)
            heard = detect_file(strict, path)
            assert not heard.events
            times = [(event.onset_s, event.offset_s) for event in near_events(strict, heard)]
            assert {(event.onset_s, event.offset_s) for event in recording.events} <= set(times)


def test_a_finding_shows_the_event_with_what_is_around_it(desk):
    found = dug()
    (last,) = [each for each in found.findings() if round(each.event.onset_s) == 64]
    assert last.start_s == last.event.onset_s - 2 and last.end_s == last.event.offset_s + 2
    whole = detect_file(dog_detector(), last.path).frame_probabilities
    np.testing.assert_array_equal(last.probabilities, whole[last.first_frame :][: len(last.probabilities)])
    assert last.probabilities.base is None  # not a view that keeps hours in memory
    (short,) = [each for each in found.findings() if each.name.startswith("tu")]
    assert short.start_s == 0 and short.end_s == 3.0


# ---- clips


def test_clips_are_cut_from_their_recordings(desk):
    clips = mined()
    assert len(clips) == 6
    for name, clip in clips.items():
        y, sr = soundfile.read(f"mined/clips/{name}")
        source, source_sr = soundfile.read(clip.recording, always_2d=True)
        first = int(clip.at_s * source_sr)
        assert sr == source_sr and y.ndim == 1
        part = source[:, 0]
        shifts = sorted(range(-min(first, 30), 30), key=abs)
        shift = min(shifts, key=lambda k: np.abs(part[first + k :][: sr // 2] - y[: sr // 2]).sum())
        assert abs(shift) <= sr // 1000 + 1  # at_s is rounded to the millisecond
        window = y[int(clip.onset_s * sr) : int(clip.offset_s * sr)]
        assert np.abs(window).max() > 0.2 and clip.label == "dog"
        assert re.fullmatch(r"(monday|tu-es-day)-0h0[01]m\d\ds-[0-9a-f]{10}\.wav", name)
    again = {path.name: path.read_bytes() for path in Path("mined/clips").iterdir()}
    shutil.rmtree("mined")
    mined()
    assert again == {path.name: path.read_bytes() for path in Path("mined/clips").iterdir()}


def test_a_recording_beyond_full_scale_is_scaled_and_not_clipped(desk):
    y = 8 * tones(40, [(10.0, 11.0)])
    soundfile.write("nights/monday.wav", y, 44100, subtype="FLOAT")
    (name,) = [n for n, clip in mined("--alarms", "50").items() if clip.recording.endswith("monday.wav")]
    clip, _ = soundfile.read(f"mined/clips/{name}")
    assert 0.999 < np.abs(clip).max() <= 1 and (np.abs(clip) > 0.9999).mean() < 0.02


def test_the_same_recording_under_two_names_is_judged_once(desk):
    Path("nights/copy").mkdir()
    shutil.copy("nights/monday.flac", "nights/copy/monday.flac")
    assert len(mined()) == 6


# ---- the page


def page_text():
    return Path("mined/index.html").read_text(encoding="utf-8")


def test_the_page_is_whole_and_complete_in_itself(desk):
    clips = mined()
    page = Page(page_text())
    text = " ".join(page.text)
    assert page.tags.count("article") == page.tags.count("audio") == 6 and page.tags.count("svg") == 6
    assert page.tags.count("script") == 1 and page.tags.count("button") == 3 * 6 + 1
    assert "Alarms: 4" in text and "Nearly alarms: 2" in text and "2 recordings, 0.02 hours of sound, 4 alarms" in text
    assert re.findall(r'data-clip="([^"]+)"', page_text()) == list(clips)
    assert "tu es <day>.wav" in text and "<day>" not in re.sub("&lt;day&gt;", "", page_text())
    assert "python -m minirsed.mine dog.npz nights" in text


def test_nothing_in_a_name_breaks_out_of_the_page(desk):
    """Not of a recording, of a class, of the command; and the policy would refuse a script but our own."""
    evil = "<script>alert(1)</script>"
    detector = dataclasses.replace(dog_detector(), label=NASTY + evil)
    found = dug(detector=detector).findings()[0]._replace(name=f"{evil}'{NASTY}.wav")
    Path("out/clips").mkdir(parents=True)
    clip, y, sr = clip_files.write_clip(Path("out"), "dog", found)
    assert re.fullmatch(r"script-[A-Za-z0-9-]+\.wav", clip.clip)
    shown = mine_page.card(1, clip, y, sr, found, detector)
    text = mine_page.page(detector.label, {"alarm": [(clip.clip, shown)]}, f"python {evil}", f"{evil} {NASTY}")
    page = Page(text)
    assert page.tags.count("script") == 1 and "b" not in page.tags
    assert " ".join(page.text).count(evil) == 6
    script = re.search("<script>(.*)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; ") and f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


# ---- the command


def test_what_the_command_says(desk, capsys):
    mined("--near", "1")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "mined/index.html: 4 alarms and 1 near ones, of 2 recordings, 0.02 hours of sound, 4 alarms",
        "judge them there, then: python -m minirsed.mine --apply verdicts.csv --data my_sounds",
    ]
    before = Path("mined/clips.csv").read_bytes()
    assert call("dog.npz", "nights") == 2
    assert (
        capsys.readouterr().err == "minirsed.mine: error: --out mined: holds clips already; another --out leaves them\n"
    )
    assert Path("mined/clips.csv").read_bytes() == before
    assert call("dog.npz", "nights", "--out", "a b") == 0
    assert "--apply verdicts.csv --out 'a b' --data" in capsys.readouterr().out


def test_recordings_that_cannot_be_used_are_named_and_all_others_searched(desk, capsys):
    Path("nights/bad.wav").write_text("hello")
    Path("nights/film.mp4").write_text("hello")
    assert call("dog.npz", "nights") == 2
    printed = capsys.readouterr()
    assert "4 alarms and 2 near ones, of 2 recordings" in printed.out
    assert "nights/film.mp4: .mp4 cannot be read" in printed.err and "nights/bad.wav: " in printed.err
    assert printed.err.endswith("1 of 3 recordings cannot be used, see above\n")


def test_where_there_is_nothing_to_judge(desk, capsys):
    soundfile.write("quiet.wav", tones(40, []), 44100)
    assert call("dog.npz", "quiet.wav") == 0
    assert "1 recording, 0.01 hours of sound, 0 alarms, and nothing came close" in capsys.readouterr().out
    assert not Path("mined/index.html").exists() and not Path("mined/clips.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dog.npz"], "give RUN and PATH …, or --apply FILE and --data DIR"),
        (["dog.npz", "nights", "--data", "sounds"], "give RUN and PATH …, or --apply FILE and --data DIR"),
        (["--apply", "v.csv"], "--apply FILE needs --data DIR, and neither RUN nor PATH"),
        (["dog.npz", "nights", "--apply", "v.csv", "--data", "sounds"], "neither RUN nor PATH"),
        (["dog.npz", "nights", "--near", "-1"], "--near is -1: expected 0 or more"),
        (["dog.npz", "nights", "--threads", "0"], "--threads is 0: expected at least 1"),
        (["nothing.npz", "nights"], "nothing.npz"),
        (["dog.npz", "nothing"], "nothing"),
        (["--apply", "v.csv", "--data", "sounds"], "mined/clips.csv: no such file; expected the folder that"),
    ],
)
def test_what_the_command_refuses(words, message, desk, capsys):
    assert call(*words) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (desk / "sounds" / ".lock").exists()


def test_a_search_that_is_stopped_leaves_nothing_half_done(desk, monkeypatch):
    """Stopped when the first clip is written: no list, so the same command does it all."""
    write = clip_files.write_clip

    def stop(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_files, "write_clip", stop)
    assert call("dog.npz", "nights") == 130
    monkeypatch.undo()
    monkeypatch.chdir(desk)
    assert not Path("mined/clips.csv").exists()
    assert len(mined()) == 6


# ---- verdicts


def write_verdicts(verdicts, name="verdicts.csv"):
    Path(name).write_text("clip,verdict\n" + "".join(f"{clip},{verdict}\n" for clip, verdict in verdicts.items()))


def tree(root):
    """Everything below a folder but the lock."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def judged(mined_once, sounds, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Verdicts of each kind on clips of both recordings; returns {verdict: clips}."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mined_once, "mined")
    capsys.readouterr()
    clips = list(clip_files.read_list(Path("mined")))
    short = next(name for name in clips if name.startswith("tu-es"))
    rest = [name for name in clips if name != short]
    verdicts = {rest[0]: "event", rest[1]: "not", short: "not", rest[2]: "unsure"}
    write_verdicts(verdicts)
    return {kind: [name for name, verdict in verdicts.items() if verdict == kind] for kind in filing.VERDICTS}


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_clips_are_filed_as_the_verdicts_say(judged, sounds, capsys):  # noqa: F811
    before, clips = tree(sounds), clip_files.read_list(Path("mined"))
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    said = capsys.readouterr().out.splitlines()
    (event,), (no, short) = judged["event"], judged["not"]
    assert said == [
        f"sounds/events/dog/{event} (train)",
        f"sounds/negatives/not-dog/{no} (train)",
        f"sounds/negatives/not-dog/{short} (train)",
        "sounds: 3 clips filed, 0 there before, 1 unsure",
    ]
    after = tree(sounds)
    lists = {"split.csv", "recordings.csv", "events/events.csv", "negatives/negatives.csv"}
    new = {f"events/dog/{event}", f"negatives/not-dog/{no}", f"negatives/not-dog/{short}"}
    assert after.keys() - before.keys() == new | (lists - {"split.csv"})
    assert all(after[name] == content for name, content in before.items() if name != "split.csv")
    assert after["split.csv"].startswith(before["split.csv"])
    for name in new:
        assert after[name] == Path(f"mined/clips/{Path(name).name}").read_bytes()

    bank = open_bank(sounds)
    (clip,) = [c for c in bank.events("dog", "train") if c.key == f"dog/{event}"]
    assert (clip.onset_s, clip.offset_s) == (clips[event].onset_s, clips[event].offset_s)
    negatives = {c.key: (c.onset_s, c.offset_s) for c in bank.negatives("dog", "train")}
    assert set(negatives) == {f"not-dog/{no}", f"not-dog/{short}"} and not bank.negatives("cow", "train")
    assert negatives[f"not-dog/{no}"] == pytest.approx((clips[no].onset_s - 0.25, clips[no].offset_s + 0.25), abs=1e-3)
    assert bank.event_recording(clip.key) == bank.negative_recording(f"not-dog/{no}") == clips[no].recording
    assert bank.negative_recording(f"not-dog/{short}") == clips[short].recording != clips[no].recording


def test_done_twice_it_changes_nothing(judged, sounds, capsys):  # noqa: F811
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    once = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sounds.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    twice = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sounds.rglob("*") if path.is_file()}
    assert once == twice
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "sounds: 0 clips filed, 3 there before, 1 unsure" and said[0].endswith(" (train): was there")


@pytest.mark.parametrize("n_writes", range(7))
def test_what_was_interrupted_can_be_repeated(n_writes, judged, sounds, monkeypatch):  # noqa: F811
    """Before each of the seven writes, three files and four lists, and once more: the folder is as if never stopped."""
    shutil.copytree(sounds, "whole")
    assert call("--apply", "verdicts.csv", "--data", "whole") == 0
    write, done = filing.atomic_write, []

    def stopped(*arguments):
        done.append(arguments)
        if len(done) > n_writes:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(filing, "atomic_write", stopped)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 130
    monkeypatch.setattr(filing, "atomic_write", write)
    assert tree(sounds) != tree("whole")
    open_bank(sounds)  # which is never unusable in between
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    assert tree(sounds) == tree("whole")


def test_nothing_is_overwritten(judged, sounds, capsys):  # noqa: F811
    """Neither another file of the name, nor a row that somebody has corrected, nor a verdict of before."""
    (event,), (no, _) = judged["event"], judged["not"]
    target = sounds / "negatives/not-dog" / no
    target.parent.mkdir(parents=True)
    shutil.copy(sounds / "events/dog/0.wav", target)
    before = tree(sounds)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert f"{no}: is another file than mined/clips/{no}" in capsys.readouterr().err and tree(sounds) == before
    target.unlink()
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    listed = sounds / "events/events.csv"
    listed.write_text(re.sub(r"(wav),.*", r"\1,0.5,1.5", listed.read_text()))
    write_verdicts({event: "event"})
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    assert rows(listed) == [{"file": f"dog/{event}", "onset_s": "0.5", "offset_s": "1.5"}]
    write_verdicts({event: "not", no: "not"})
    before = tree(sounds)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert f"events/dog/{event}: was filed there before; to make it 'not', remove it" in capsys.readouterr().err
    assert tree(sounds) == before


def test_lists_keep_what_they_have(judged, sounds):  # noqa: F811
    """Semicolons, decimal commas, a byte order mark, further columns in another order, no last line end."""
    (event,), _ = judged["event"], judged["not"]
    text = "\ufeffonset_s;note;offset_s;file\r\n0,1;ä;0,4;dog/0.wav"
    (sounds / "events/events.csv").write_bytes(text.encode())
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    clip = clip_files.read_list(Path("mined"))[event]
    written = (sounds / "events/events.csv").read_bytes().decode()
    assert written == f"{text}\r\n{clip.onset_s:.3f};;{clip.offset_s:.3f};dog/{event}\r\n"
    clips = {c.key: c for c in open_bank(sounds).events("dog", "train")}
    assert clips["dog/0.wav"].offset_s == 0.4 and clips[f"dog/{event}"].onset_s == clip.onset_s


@pytest.mark.parametrize(("place", "subset"), [("backgrounds", "train"), ("backgrounds", "dev"), ("recordings", "dev")])
def test_clips_of_a_recording_of_the_folder_stay_where_it_is(place, subset, desk, sounds, capsys):  # noqa: F811
    (sounds / place).mkdir(exist_ok=True)
    shutil.copy("nights/monday.flac", sounds / place / "monday.flac")
    (sounds / place / "monday.txt").write_text("")  # none of it is an event
    with open(sounds / "split.csv", "a") as file:
        file.write(f"{place}/monday.flac,{subset}\n")
    assert call("dog.npz", sounds / place / "monday.flac") == 0
    write_verdicts(dict.fromkeys(clip_files.read_list(Path("mined")), "not"))
    before = (sounds / "split.csv").read_bytes()
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    assert capsys.readouterr().out.count(f".wav ({subset})\n") == 5
    bank = open_bank(sounds)
    after = (sounds / "split.csv").read_bytes()
    added = after.removeprefix(before).decode().split()
    assert after.startswith(before) and len(added) == 5 and all(row.endswith(f",{subset}") for row in added)
    assert {bank.negative_recording(c.key) for c in bank.negatives("dog", subset)} == {f"{place}/monday.flac"}
    assert len(bank.negatives("dog", subset)) == 5


def mined_from(recording, labels, sounds, place="recordings", subset="dev", verdict="event"):  # noqa: F811
    """Verdicts on the clips of a recording that lies in the sound folder, with labels beside it or without."""
    (sounds / place).mkdir(parents=True, exist_ok=True)
    shutil.copy(recording, sounds / place / "monday.flac")
    if labels is not None:
        (sounds / place / "monday.txt").write_text(labels)
    with open(sounds / "split.csv", "a") as file:
        file.write(f"{place}/monday.flac,{subset}\n")
    assert call("dog.npz", sounds / place / "monday.flac", "--near", "0") == 0
    clips = clip_files.read_list(Path("mined"))
    write_verdicts(dict.fromkeys(clips, verdict))
    return clips


@pytest.mark.parametrize("subset", ["train", "dev"])
def test_an_event_in_a_labelled_recording_becomes_a_label(subset, desk, sounds, capsys):  # noqa: F811
    """Not a file beside it, for then the recording would have a sound that is none; labels that it has stay."""
    clips = mined_from("nights/monday.flac", "36.5\t37.5\tdog\n50\t51\tcow\n", sounds, subset=subset)
    before, wholly = (
        tree(sounds),
        sorted((clip.at_s + clip.onset_s, clip.at_s + clip.offset_s) for clip in clips.values()),
    )
    assert len(clips) == 3
    capsys.readouterr()
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    said = capsys.readouterr().out.splitlines()
    labels = "sounds/recordings/monday.txt"
    assert said[-1] == "sounds: 2 clips filed, 1 there before, 0 unsure"
    spans = [f"dog from {onset_s:.3f} to {offset_s:.3f} s, {subset}" for onset_s, offset_s in wholly]
    assert sorted(said[:-1]) == sorted(
        [f"{labels} ({spans[0]})", f"{labels} ({spans[1]}): was there", f"{labels} ({spans[2]})"]
    )
    after = tree(sounds)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"recordings/monday.txt"}
    assert after["recordings/monday.txt"].startswith(before["recordings/monday.txt"])
    bank = open_bank(sounds)
    (whole,) = bank.recordings("dev") or [whole for _, whole in bank._whole("train")]
    assert [event[2] for event in whole.events] == ["dog", "dog", "cow", "dog"]
    np.testing.assert_allclose([event[:2] for event in whole.events][::3], wholly[::2], atol=1e-6)
    if subset == "train":  # cut out of the backgrounds, and an event to mix
        pieces = [(b.start_s, b.start_s + b.duration_s) for b in bank.backgrounds("train") if "monday" in b.key]
        assert pieces and not any(start_s < off and on < end_s for start_s, end_s in pieces for on, off in wholly)
        assert sum("monday" in clip.key for clip in bank.events("dog", "train")) == 3
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0 and tree(sounds) == after


@pytest.mark.parametrize(
    ("place", "labels"),
    [("recordings/quiet", None), ("recordings/quiet", ""), ("backgrounds", None), ("negatives", None)],
)
def test_an_event_where_there_must_be_none_is_refused(place, labels, desk, sounds, capsys):  # noqa: F811
    """With a line for each that says what to do; done so, also with a new name, it is filed where the recording is."""
    clips = mined_from("nights/monday.flac", labels, sounds, place)
    before = tree(sounds)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("3 verdicts cannot be filed; nothing was:") and len(lines) == 4 and tree(sounds) == before
    for line in lines[1:]:
        assert line.startswith(f"  sounds/{place}/monday.flac: has dog from ") and "but files there must have" in line
        assert "move it into sounds/recordings, with an empty monday.txt beside it" in line
    write_verdicts(dict.fromkeys(clips, "not"))  # of which it may have any number
    shutil.copytree(sounds, "other")
    assert call("--apply", "verdicts.csv", "--data", "other") == 0

    (sounds / "recordings").mkdir(exist_ok=True)
    shutil.move(sounds / place / "monday.flac", sounds / "recordings/tuesday.flac")
    (sounds / place / "monday.txt").unlink(missing_ok=True)
    if place != "backgrounds":
        shutil.rmtree(sounds / place)
    (sounds / "recordings/tuesday.txt").write_text("")
    split = (sounds / "split.csv").read_text()
    (sounds / "split.csv").write_text(split.replace(f"{place}/monday.flac", "recordings/tuesday.flac"))
    write_verdicts(dict.fromkeys(clips, "event"))
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    (whole,) = open_bank(sounds).recordings("dev")
    assert len(whole.events) == 3 and not list((sounds / "events/dog").glob("monday*"))


def test_what_is_no_cow_may_be_a_dog(desk, sounds):  # noqa: F811
    """All that is known of a file in negatives/not-cow is that it is no cow."""
    clips = mined_from("nights/monday.flac", None, sounds, "negatives/not-cow")
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    assert {clip.key.removeprefix("dog/") for clip in open_bank(sounds).events("dog", "dev")} > set(clips)


def test_a_verdict_against_a_label_is_refused(desk, sounds, capsys):  # noqa: F811
    """It would make a negative of an event. The same of an event that is a file."""
    mined_from("nights/monday.flac", "5\t6\tdog\n", sounds, verdict="not")
    before = tree(sounds)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    error = capsys.readouterr().err
    assert "sounds/recordings/monday.txt, line 1: has dog from 5.000 to 6.000 s, and monday-0h00m0" in error
    assert error.count("\n") == 1 and tree(sounds) == before
    shutil.rmtree("mined")
    soundfile.write(sounds / "events/dog/0.wav", tones(3, [(1.0, 1.7)], sr=16000), 16000)
    assert call("dog.npz", sounds / "events/dog") == 0
    (clip,) = clip_files.read_list(Path("mined"))
    write_verdicts({clip: "not"})
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert "sounds/events/dog/0.wav: has dog from 0.000 to 3.000 s" in capsys.readouterr().err
    write_verdicts({clip: "event"})
    before = tree(sounds)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0 and tree(sounds) == before
    assert capsys.readouterr().out.splitlines()[0] == "sounds/events/dog/0.wav (train): was there"


def test_files_of_one_size_are_not_all_read(tmp_path, monkeypatch):
    """Recorders make files of one length by the thousand; their middles tell them apart."""
    rng = np.random.default_rng(0)
    for name in "abc":
        (tmp_path / name).write_bytes(rng.bytes(20000))
    shutil.copy(tmp_path / "a", tmp_path / "copy")
    read, digest = [], file_tools._digest
    monkeypatch.setattr(file_tools, "_digest", lambda path: read.append(path.name) or digest(path))
    content = file_tools.content_of(tmp_path / "a")
    assert [name for name in ("a", "b", "c", "copy") if file_tools.is_content(tmp_path / name, content)] == [
        "a",
        "copy",
    ]
    assert read == ["a", "a", "copy"]
    (tmp_path / "b").write_bytes(b"x" + (tmp_path / "a").read_bytes()[1:])  # with the same middle
    assert not file_tools.is_content(tmp_path / "b", content)


@pytest.mark.parametrize("has_content", [True, False])
def test_a_copy_of_a_recording_of_the_folder_is_that_recording(has_content, desk, sounds, capsys):  # noqa: F811
    """Mined elsewhere, it is in no other subset; as is known for lists of earlier versions while the copy is there."""
    (sounds / "recordings").mkdir()
    shutil.copy("nights/monday.flac", sounds / "recordings/a.flac")
    (sounds / "recordings/a.txt").write_text("36.5\t37.5\tcow\n")
    with open(sounds / "split.csv", "a") as file:
        file.write("recordings/a.flac,eval\n")
    clips = mined()
    if not has_content:
        found = rows("mined/clips.csv")
        with open("mined/clips.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, clip_files.COLUMNS, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(found)
    verdicts = {name: "not" for name in clips if name.startswith("monday-0h00m0")}
    verdicts |= {name: "event" for name in clips if name.startswith("monday-0h01m0")}
    assert len(verdicts) == 2
    write_verdicts(verdicts)
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    bank = open_bank(sounds)
    (negative,) = bank.negatives("dog", "eval")
    assert bank.negative_recording(negative.key) == "recordings/a.flac" and not bank.negatives("dog", "train")
    assert [event[2] for event in bank.recordings("eval")[0].events] == ["cow", "dog"]


def test_clips_of_a_recording_do_not_stand_for_its_labels(desk, sounds):  # noqa: F811
    """Events that were filed in dev, as earlier versions did, are no reason to leave labelled ones out of mixtures."""
    for name in ("events/dog/1.wav", "backgrounds/1.wav"):
        (sounds / name).unlink()
    split = (sounds / "split.csv").read_text().splitlines()
    kept = [row for row in split if row.split(",")[0] not in ("events/dog/1.wav", "backgrounds/1.wav")]
    mined_from("nights/monday.flac", "5\t6\tdog\n64\t64.5\tdog\n", sounds)
    names = ["events/dog/part.wav", "backgrounds/part.wav"]
    for name in names:
        shutil.copy(sounds / "backgrounds/0.wav", sounds / name)
    kept += ["recordings/monday.flac,dev", *(f"{name},dev" for name in names)]
    (sounds / "split.csv").write_text("\n".join([*kept, ""]))
    alone = open_bank(sounds)
    assert [clip.key for clip in alone.events("dog", "dev")] == ["dog/part.wav"]
    assert [piece.key for piece in alone.backgrounds("dev")] == ["part.wav"]
    listed = "".join(f"{name},recordings/monday.flac\n" for name in names)
    (sounds / "recordings.csv").write_text("file,recording\n" + listed)
    bank = open_bank(sounds)
    assert len(bank.events("dog", "dev")) == 3 and len(bank.backgrounds("dev")) > 1


def test_an_alarm_that_was_joined_is_judged_piece_by_piece(desk, capsys):
    """What is between the pieces is no event; short pieces count if the alarm is long enough."""
    detector = dataclasses.replace(dog_detector(), operating=Operating(1.2, 30.0))
    (alarm,) = detect_file(detector, "nights/monday.flac").events
    assert (round(alarm.onset_s), round(alarm.offset_s)) == (37, 65)  # up to 30 s; the first is too short by itself
    found = dug(detector=detector)
    pieces = found.kept["alarm"]
    whole = detect_file(dog_detector(), "nights/monday.flac").events
    assert sorted(each.event for each in pieces) == whole[1:] and {each.alarm for each in pieces} == {alarm}
    assert (found.n_found, found.n_pieces) == (1, 2)
    assert whole[0][:2] in [each.event[:2] for each in found.kept["near"]]
    detector.save("dog.npz")
    assert call("dog.npz", "nights") == 0
    said = capsys.readouterr().out
    assert "2 pieces and " in said and "1 alarm, joined of 2 pieces, each of which is judged by itself" in said
    assert page_text().count("<dt>alarm</dt><dd>piece of 36.") == 2


def test_a_second_round_of_the_same_recording_joins_the_first(judged, sounds):  # noqa: F811
    """Also where its recording was put into another subset by hand."""
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    text = (sounds / "split.csv").read_text()
    (sounds / "split.csv").write_text(re.sub(r"(dog/(monday|tu).*),train", r"\1,eval", text))
    more = [name for name in clip_files.read_list(Path("mined")) if name not in sum(judged.values(), [])]
    write_verdicts({more[0]: "not"})
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    bank = open_bank(sounds)
    assert f"not-dog/{more[0]}" in [clip.key for clip in bank.negatives("dog", "eval")]
    assert not bank.negatives("dog", "train")


def test_verdicts_beside_the_clips_need_no_out(judged, sounds, monkeypatch):  # noqa: F811
    shutil.move("mined", "elsewhere")
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert call("--apply", "verdicts.csv", "--out", "elsewhere", "--data", "sounds") == 0
    shutil.move("verdicts.csv", "elsewhere/v.csv")
    assert call("--apply", "elsewhere/v.csv", "--data", "sounds") == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing.wav,event", "line 2: there is no clip 'nothing.wav' in the list; --out names the folder"),
        ("CLIP,perhaps", "line 2: unknown verdict 'perhaps', must be event, not, unsure"),
        ("CLIP,event\nCLIP,not", "line 3: CLIP is 'event' already, and cannot have two verdicts"),
        ("CLIP", "line 2: expected 2 columns"),
    ],
)
def test_verdicts_that_cannot_be_used(line, message, judged, sounds, capsys):  # noqa: F811
    (clip,) = judged["event"]
    before = tree(sounds)
    Path("verdicts.csv").write_text("clip,verdict\n" + line.replace("CLIP", clip))
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    error = capsys.readouterr().err
    assert f"verdicts.csv, {message.replace('CLIP', clip)}" in error and error.count("\n") == 1
    assert tree(sounds) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row | {"clip": "../../x.wav"}, "line 2: '../../x.wav' is not the name of a clip"),
        (lambda row: row | {"class": ".."}, "line 2: '..' cannot be a class"),
        (lambda row: row | {"class": "a/b"}, "line 2: 'a/b' cannot be a class"),
        (lambda row: row | {"onset_s": "nan"}, "line 2: onset_s is 'nan', not a number"),
        (lambda row: row | {"onset_s": "9"}, "line 2: onset 9.0 s is not before offset"),
        (lambda row: {"clip": row["clip"]}, "line 1: no column 'class'"),
    ],
)
def test_lists_of_clips_that_cannot_be_used(change, message, judged, sounds, capsys):  # noqa: F811
    before, first = tree(sounds), rows("mined/clips.csv")[0]
    with open("mined/clips.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, change(first).keys())
        writer.writeheader()
        writer.writerow(change(first))
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert f"mined/clips.csv, {message}" in capsys.readouterr().err
    assert tree(sounds) == before


def test_what_is_no_sound_folder_is_refused(judged, capsys):
    assert call("--apply", "verdicts.csv", "--data", "builtin") == 2
    assert "--data builtin: is not a folder of your own sounds" in capsys.readouterr().err
    (clip,) = judged["event"]
    Path(f"mined/clips/{clip}").unlink()
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 2
    assert f"mined/clips/{clip}: no such file" in capsys.readouterr().err
    with pytest.raises(InputError, match="no such file"):
        filing.read_verdicts(Path("none.csv"), {})


def test_the_whole_circle(sounds, tmp_path, monkeypatch, capsys):  # noqa: F811
    """Train, mine, judge, file, train on from there: the new run says where it started, and has the negatives."""
    monkeypatch.chdir(tmp_path)
    small = "--clips 8 --dev-clips 8 --layers 1 --units 2 --epochs 1 --members 1 --jobs 1".split()
    train_command.main(["dog", "--data", "sounds", *small])
    soundfile.write("night.wav", tones(40, [(5.0, 7.0), (20.0, 21.0)]), 44100)
    dog_detector().save("eager.npz")  # a training of eight clips finds nothing
    assert call("eager.npz", "night.wav") == 0
    write_verdicts(dict.fromkeys(clip_files.read_list(Path("mined")), "not"))
    assert call("--apply", "verdicts.csv", "--data", "sounds") == 0
    capsys.readouterr()
    train_command.main(["dog", "--data", "sounds", *small, "--init-from", "runs/dog"])
    assert "; 2 negatives of 1 recording" in capsys.readouterr().out
    assert read_settings(tmp_path / "runs/dog-2").init_from == "runs/dog"
