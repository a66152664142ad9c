"""What notebook 12 says of a reader's own folders: each fault gets its own remark, and nothing else does."""

import json

import numpy as np
import pytest
import soundfile

from data_tools.banks.base import SUBSETS
from data_tools.errors import InputError
from minirsed.alarms.poisson import interval, upper
from minirsed.run.session import Machine, train
from minirsed.run.settings import TrainSettings
from tutorials import stand_in
from tutorials.checks import folders
from tutorials.checks.folders import look_at_alarms, look_at_run, look_at_sounds

SR = 44100
LABEL = "knock"


def noise(rng, seconds, sr=SR):
    return 0.05 * rng.standard_normal(round(seconds * sr))


@pytest.fixture
def sounds(tmp_path):
    """A folder without a fault: 30 events, all recordings of their own, and six minutes of background to train on."""
    rng, root = np.random.default_rng(0), tmp_path / "sounds"
    (root / "events" / LABEL).mkdir(parents=True)
    (root / "backgrounds").mkdir()
    rows = ["file,subset"]
    for i in range(30):
        soundfile.write(root / "events" / LABEL / f"a{i:02}.wav", noise(rng, 0.3), SR)
        rows.append(f"events/{LABEL}/a{i:02}.wav,{SUBSETS[i // 10]}")
    for subset, seconds in zip(SUBSETS, (360, 30, 30), strict=True):
        soundfile.write(root / "backgrounds" / f"{subset}.wav", noise(rng, seconds, 8000), 8000)
        rows.append(f"backgrounds/{subset}.wav,{subset}")
    (root / "split.csv").write_text("\n".join(rows) + "\n")
    return root


def event(root, i):
    return root / "events" / LABEL / f"a{i:02}.wav"


def without_an_event(root):
    event(root, 15).unlink()
    rows = [row for row in (root / "split.csv").read_text().splitlines() if "a15" not in row]
    (root / "split.csv").write_text("\n".join(rows) + "\n")


def little_background(root):
    soundfile.write(root / "backgrounds" / "train.wav", noise(np.random.default_rng(1), 60, 8000), 8000)


def the_same_file(root):
    event(root, 12).write_bytes(event(root, 3).read_bytes())


def clipped(root):
    y, _ = soundfile.read(event(root, 3))
    soundfile.write(event(root, 3), np.clip(y, -0.05, 0.05), SR)


def low_rate(root):
    soundfile.write(event(root, 3), noise(np.random.default_rng(1), 0.3, 16000), 16000)


def mostly_quiet(root):
    y = noise(np.random.default_rng(1), 4.0)
    y[SR:] *= 0.01
    soundfile.write(event(root, 3), y, SR)


def takes_apart(root):
    """Rings of three bells, by their names, in two subsets each."""
    text = (root / "split.csv").read_text()
    for bell in (1, 2, 3):
        for ring, i in ((1, bell), (2, 10 + bell)):
            event(root, i).rename(event(root, i).with_name(f"bell{bell}_ring{ring}.wav"))
            text = text.replace(f"a{i:02}.wav", f"bell{bell}_ring{ring}.wav")
    (root / "split.csv").write_text(text)


def no_events(root):
    for path in (root / "events" / LABEL).iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "kind", "seen"),
    [
        (without_an_event, "few recordings of the event", "10 in train, 9 in dev, 10 in eval"),
        (little_background, "little background", "1.0 minutes"),
        (the_same_file, "the same file twice", "a03.wav (train)"),
        (clipped, "clipped", "a03.wav."),
        (low_rate, "16 kHz", "a03.wav: nothing above 8 kHz"),
        (mostly_quiet, "mostly quiet", "a03.wav"),
        (takes_apart, "one recording in two subsets?", "bell1_ring1.wav (train) and bell1_ring2.wav (dev)"),
        (no_events, "cannot be used", "no sound files"),
    ],
)
def test_each_fault_of_a_sound_folder_gets_its_remark(sounds, spoil, kind, seen):
    spoil(sounds)
    found = look_at_sounds(sounds, LABEL)
    assert found.kinds == [kind]
    assert seen in found[0].seen and found[0].todo.endswith(".")
    assert f"**{kind}**" in found._repr_markdown_()


def test_nothing_is_said_where_nothing_is_wrong(sounds):
    """Neither of a low tone, whose waveform is nearly flat at its peak, nor of a long sound that fades a little."""
    t = np.arange(3 * SR) / SR
    soundfile.write(event(sounds, 0), 0.999 * np.sin(2 * np.pi * 60 * t), SR)
    soundfile.write(event(sounds, 1), noise(np.random.default_rng(1), 3.0) * np.exp(-t), SR)
    found = look_at_sounds(sounds, LABEL)
    assert found.kinds == [] and "Nothing stands out" in found._repr_markdown_()


def test_takes_of_one_recording_by_its_list_are_no_fault(sounds):
    """Once `recordings.csv` says that they are of one, they are in one subset."""
    takes_apart(sounds)
    rows = [row for row in (sounds / "split.csv").read_text().splitlines() if "bell" not in row]
    (sounds / "split.csv").write_text("\n".join(rows) + "\n")
    names = (f"events/{LABEL}/bell{bell}_ring{ring}.wav,bell{bell}" for bell in (1, 2, 3) for ring in (1, 2))
    (sounds / "recordings.csv").write_text("\n".join(["file,recording", *names]) + "\n")
    assert "one recording in two subsets?" not in look_at_sounds(sounds, LABEL).kinds


def test_the_borrowed_sounds_have_the_faults_that_the_notebook_mends(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(stand_in, "rooms", lambda *_: ((f"room{i:02}", noise(rng, 30.0)) for i in range(24)))
    stand_in.make_sounds(tmp_path / "sounds")
    found = look_at_sounds(tmp_path / "sounds", stand_in.LABEL)
    assert found.kinds[-3:] == ["one recording in two subsets?", "clipped", "16 kHz"]
    assert stand_in.CLIPPED in found[-2].seen and stand_in.TOO_LOW in found[-1].seen
    stand_in.record_again(tmp_path / "sounds")
    files = sorted((tmp_path / "sounds/events/doorbell").iterdir())
    rows = [f"events/doorbell/{path.name},{path.name.split('_')[0]}" for path in files]
    (tmp_path / "sounds/recordings.csv").write_text("\n".join(["file,recording", *rows]) + "\n")
    assert look_at_sounds(tmp_path / "sounds", stand_in.LABEL).kinds == ["few recordings of the event"]


def test_a_borrowed_night_is_labelled_where_its_bells_are(tmp_path, monkeypatch):
    from data_tools.labelled_recordings import labelled_recordings

    rng = np.random.default_rng(0)
    monkeypatch.setattr(stand_in, "rooms", lambda *_: ((f"room{i}", noise(rng, 30.0)) for i in range(8)))
    stand_in.make_night(tmp_path / "night", seed=1, n_recordings=1)
    (night,) = labelled_recordings(tmp_path / "night", "doorbell")
    assert len(night.events) == 5 and night.duration_s == pytest.approx(240)
    assert all(1.5 < offset_s - onset_s < 3 for onset_s, offset_s, _ in night.events)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    settings = TrainSettings(label="gunshot", clips=4, dev_clips=2, epochs=4, layers=1, units=2)
    train(settings, root / "run", machine=Machine(features=root / "features", jobs=1), say=lambda text: None)
    return root / "run"


def with_losses(run, train_losses, dev_losses, error_rate=0.2):
    """The run folder as if its epochs had had these losses."""
    rows = [
        f"{i},{a},0,0,{b},{error_rate},0.8,1,1"
        for i, (a, b) in enumerate(zip(train_losses, dev_losses, strict=True), 1)
    ]
    names = "epoch,train_loss,train_utterance_loss,train_frame_loss,dev_loss,dev_error_rate,dev_f1,grad_norm,seconds"
    (run / "metrics.csv").write_text("\n".join([names, *rows]) + "\n")


@pytest.mark.parametrize(
    ("train_losses", "dev_losses", "kind"),
    [
        ([1.0, 0.9, 0.9, 0.8], [1.0, 0.9, 0.9, 0.8], "has hardly learnt"),
        ([1.0, 0.5, 0.3, 0.1], [1.0, 0.5, 0.8, 0.9], "learns by heart"),
        ([1.0, 0.5, 0.3], [1.0, 0.5, 0.3], "not finished"),
        ([1.0, 0.5, 0.3, 0.2], [1.0, 0.5, 0.3, 0.3], None),
    ],
)
def test_curves_get_their_remark(trained, train_losses, dev_losses, kind):
    with_losses(trained, train_losses, dev_losses)
    kinds = look_at_run(trained).kinds
    assert [each for each in kinds if each in ("has hardly learnt", "learns by heart", "not finished")] == (
        [kind] if kind else []
    )
    assert kinds[-2:] == ["the development score flatters", "not scored yet"]  # the preset keeps the best epoch


def test_a_run_that_began_with_weights_has_less_to_learn(trained):
    with_losses(trained, [1.0, 0.9, 0.9, 0.8], [1.0, 0.9, 0.9, 0.8])
    config = json.loads((trained / "config.json").read_text())
    assert "has hardly learnt" in look_at_run(trained).kinds
    (trained / "config.json").write_text(json.dumps(config | {"settings": config["settings"] | {"init_from": "first"}}))
    assert "has hardly learnt" not in look_at_run(trained).kinds
    (trained / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("low", "flatters"), [(0.25, True), (0.15, False)])
def test_a_score_flatters_if_the_interval_elsewhere_says_so(trained, low, flatters):
    with_losses(trained, [1.0, 0.5, 0.3, 0.2], [1.0, 0.5, 0.3, 0.3], error_rate=0.2)
    figures = {"error_rate": 0.4, "error_rate_95": [0.3, 0.5], "error_rate_95_by_recording": [low, 0.6]}
    (trained / "figures_eval.json").write_text(json.dumps(figures))
    found = look_at_run(trained)
    (trained / "figures_eval.json").unlink()
    assert "not scored yet" not in found.kinds
    assert any(f"0.40 ({low:.2f} … 0.60)" in each.seen for each in found) == flatters


@pytest.mark.parametrize(("error_rate", "n", "said"), [(0.0, 5, "up to 45%"), (0.0, 59, "up to 5%"), (0.1, 5, None)])
def test_no_mistake_is_no_proof(trained, error_rate, n, said):
    """The rule of three, over recordings; 0.55 to the fifth power is 0.05."""
    with_losses(trained, [1.0, 0.5, 0.3, 0.2], [1.0, 0.5, 0.3, 0.3])
    figures = {"error_rate": error_rate, "error_rate_95": [0.0, error_rate], "error_rate_95_by_recording": None}
    (trained / "figures_eval.json").write_text(json.dumps(figures | {"made_of": {"n_event_recordings": n}}))
    found = [each.seen for each in look_at_run(trained) if each.kind == "no mistakes"]
    (trained / "figures_eval.json").unlink()
    assert (said in found[0]) if said else not found


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        look_at_run(tmp_path)


@pytest.mark.parametrize(
    ("n_false", "hours", "n_misplaced", "kinds"),
    [
        (26, 0.2, 1, ["cries wolf"]),
        (0, 0.2, 1, ["too few hours"]),
        (0, 10.0, 0, []),
        (0, 10.0, 4, ["misplaced"]),
    ],
)
def test_alarms_get_their_remark(trained, monkeypatch, n_false, hours, n_misplaced, kinds):
    figures = {
        "false_alarms_per_hour_95": interval(n_false, hours),
        "upper_95": upper(n_false, hours),
        "hours": hours,
        "n_misplaced": n_misplaced,
        "n_events": 15,
        "notes": [],
    }
    monkeypatch.setattr(folders.alarm_files, "read", lambda *_: figures)
    assert look_at_alarms(trained).kinds == kinds


def test_alarms_that_were_not_measured_are_named(trained):
    with pytest.raises(InputError, match="minirsed.evaluate RUN --recordings"):
        look_at_alarms(trained)
