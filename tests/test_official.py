"""The official synthesizer's stream, names and files against what the official program wrote."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_tools import official
from data_tools.banks.tut2017 import CLASSES, Tut2017Bank
from data_tools.errors import InputError
from data_tools.event_lists import read_event_list
from data_tools.recipes import (
    Recipe,
    draw_recipes,
    read_recipes,
    recipes_text,
    write_annotations,
    write_recipes,
)
from data_tools.soundbank import SoundBank

GOLDEN = Path(__file__).parent / "golden-mixtures"
RNG = json.loads((GOLDEN / "rng.json").read_text())
HASHES = json.loads((GOLDEN / "recipes" / "param_hashes.json").read_text())
OURS = {"devtrain": "train", "devtest": "dev"}


class GoldenBank(Tut2017Bank):
    """The official lists over audio that is kept as run lengths of 16-bit values."""

    def __init__(self, root):
        (root / "data/source_data/bgs/audio").mkdir(parents=True)
        (root / "data/source_data/events").mkdir()
        (root / "data/source_data/cv_setup").symlink_to(GOLDEN / "recipes" / "cv_setup")
        super().__init__(root)
        sources = json.loads((GOLDEN / "recipes" / "sources.json").read_text())
        self.sources = {entry["path"]: entry for entry in sources["backgrounds"] + sources["events"]}

    def _event_audio(self, key):
        return self._decoded(key)

    def _background_audio(self, key, start_s, duration_s):
        return self._decoded(key)

    def _decoded(self, key):
        channels = [
            np.concatenate([np.full(count, value / 32768) for count, value in runs])
            for runs in self.sources[key]["channels"]
        ]
        return np.mean(channels, axis=0)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return GoldenBank(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("subset", list(OURS))
@pytest.mark.parametrize("name", list(HASHES))
def test_golden_recipes_byte_for_byte(bank, name, subset):
    """Names, scaling factors, shared onsets and YAML text of every class of a set."""
    parameters = yaml.safe_load((GOLDEN / "recipes" / f"params_{name}.yaml").read_text())
    for label in CLASSES:
        options = {"ebr_db": parameters["ebrs"], "event_presence_prob": parameters["event_presence_prob"]}
        n, seed = parameters["mixtures_per_class"], parameters["seed"]
        recipes = draw_recipes(bank, label, OURS[subset], n, seed, generator="official", **options)
        folder = GOLDEN / "recipes" / "mixture_data" / subset / HASHES[name] / "meta"
        assert recipes_text(recipes) == (folder / f"mixture_recipes_{subset}_{label}.yaml").read_text()


@pytest.mark.parametrize("subset", list(RNG))
def test_random_stream_for_the_official_list_sizes(subset):
    golden = RNG[subset]
    sizes, parameters = golden["list_sizes"], golden["params"]
    stream = official.draw_stream(
        parameters["seed"], sizes["backgrounds"], [sizes["events"][c] for c in CLASSES], 500, 0.5, 3
    )
    for label, draws in zip(CLASSES, stream, strict=True):
        expected = golden["classes"][label]
        assert draws.background.tolist() == expected["bg_index"]
        assert draws.has_event.astype(int).tolist() == expected["event_present"]
        assert draws.event.tolist() == expected["event_index"]
        assert [parameters["ebrs"][k] for k in draws.ebr] == expected["ebr"]
        assert ((30 - 1.0) * draws.onset_share).tolist() == expected["event_start_in_mixture_seconds"]


def test_half_an_instance_rounds_up_and_none_is_fine():
    """25 mixtures at 0.5: 12.5 becomes 13, as in Python 2."""
    assert official.draw_stream(0, 3, [4], 25, 0.5, 3)[0].has_event.sum() == 13
    none = official.draw_stream(0, 3, [4], 25, 0.0, 3)[0]
    assert not none.has_event.any() and len(none.onset_share) == 0


@pytest.mark.parametrize(
    ("subset", "screened_backgrounds", "n_backgrounds", "n_events", "screened_ids"),
    [
        ("devtrain", (36, 157, 159, 160, 664), 844, 106, [66, 67, 99, 145, 152, 164, 216, 332, 392]),
        ("devtest", (96, 99), 277, 42, [38, 154, 161, 225]),
    ],
)
def test_the_13_screened_mixtures(
    tmp_path, monkeypatch, subset, screened_backgrounds, n_backgrounds, n_events, screened_ids
):
    """Lists as long as the released ones, the same positions flagged: the ids of the released patch, by name."""
    source = tmp_path / "data/source_data"
    for folder in ("bgs/audio", "events", "cv_setup"):
        (source / folder).mkdir(parents=True)
    paths = [f"audio/b{i:03d}.wav" for i in range(n_backgrounds)]
    backgrounds = [{"filepath": path, "classname": "park", "classid": 0} for path in paths]
    events = {"babycry": [{"audio_filename": f"{i}.wav", "segment": [0.0, 1.0]} for i in range(n_events)]}
    (source / f"cv_setup/bgs_{subset}.yaml").write_text(json.dumps(backgrounds))
    (source / f"cv_setup/events_{subset}.yaml").write_text(json.dumps(events))
    flags = "".join(f"b{i:03d}.wav,1,,\n" for i in screened_backgrounds)
    (source / "bgs/bg_screening.csv").write_text("file,a,b,c\n" + flags)
    silence = np.ones(30 * 44100)
    monkeypatch.setattr(Tut2017Bank, "_event_audio", lambda self, key: silence)
    monkeypatch.setattr(Tut2017Bank, "_background_audio", lambda self, key, start_s, duration_s: silence)

    everything, kept = (
        draw_recipes(tut, "babycry", OURS[subset], 500, 42, generator="official")
        for tut in (SoundBank.from_tut2017(tmp_path, screening=False), SoundBank.from_tut2017(tmp_path))
    )
    dropped = [recipe for recipe in everything if recipe not in kept]
    assert len(everything) == 500 and len(kept) == 500 - len(screened_ids)
    assert [recipe.name.split("_")[3] for recipe in dropped] == [f"{i:03d}" for i in screened_ids]
    without_event = {66, 152} if subset == "devtrain" else {161}
    assert {i for i, recipe in zip(screened_ids, dropped, strict=True) if not recipe.has_event} == without_event


@pytest.mark.parametrize(
    ("scene", "path", "name"),
    [
        ("residential_area", "a012_30_60", "mixture_devtrain_babycry_066_71268bdc57bb18f02637aeb63ae1ce00.wav"),
        ("city_center", "a131_210_240", "mixture_devtest_babycry_161_48703813b6307ecd546ad49af284628a.wav"),
    ],
)
def test_names_of_the_released_data(scene, path, name):
    fields = {"bg_classname": scene, "bg_path": f"audio/{path}.wav", "ebr": -np.inf, "event_present": False}
    subset = OURS[name.split("_")[1]]
    assert official.mixture_name(subset, "babycry", int(name.split("_")[3]), fields) == name
    assert official.class_of_name(name) == "babycry"


def test_class_of_a_name_with_underscores():
    assert official.class_of_name(f"mixture_devtrain_glass_break_1234_{'0' * 32}.wav") == "glass_break"
    with pytest.raises(InputError, match="dog.wav: not of the form"):
        official.class_of_name("dog.wav")


RECIPE_FILES = sorted(GOLDEN.rglob("mixture_recipes_*.yaml"))
assert len(RECIPE_FILES) == 27


@pytest.mark.parametrize("path", RECIPE_FILES, ids=lambda p: f"{p.parts[-3][:4]}-{p.stem[16:]}")
def test_recipe_files_are_read_and_written_byte_for_byte(path, tmp_path):
    write_recipes(tmp_path / "r.yaml", read_recipes(path))
    assert (tmp_path / "r.yaml").read_bytes() == path.read_bytes()


def test_annotations_are_read_back_as_an_event_list(tmp_path):
    path = tmp_path / "event_list.csv"
    recipes = [
        Recipe("a.wav", "bg", "park", 0.0, "dog", "dog/1.wav", 1.0, 2.5, 3.25, 0.0),
        Recipe("b.wav", "bg", "park"),
    ]
    write_annotations(path, recipes)
    assert path.read_text() == "a.wav\t3.25\t4.75\tdog\nb.wav\n"
    assert read_event_list(path) == {"a.wav": [(3.25, 4.75, "dog")], "b.wav": []}


def test_numbers_are_written_as_python_2_did():
    numbers = [27.37699915718047, 3.25, 4.0, 0, 1e-05]
    assert [official.number_text(x) for x in numbers] == ["27.3769991572", "3.25", "4.0", "0", "1e-05"]


def test_flow_text_breaks_lines_as_the_old_library_did():
    """A comma beyond column 80 is followed by a line feed and two spaces; its MD5 is in the name."""
    text = official.flow_text({"a": "x" * 40, "b": "y" * 40, "c": 1e-05, "d": True})
    assert text == "{a: " + "x" * 40 + ", b: " + "y" * 40 + ",\n  c: 1.0e-05, d: true}\n"
    fields = {"ebr": 0.0}
    digest = hashlib.md5(b"{ebr: 0.0}\n").hexdigest()
    assert official.mixture_name("eval", "dog", 1234, fields) == f"mixture_evaltest_dog_1234_{digest}.wav"
