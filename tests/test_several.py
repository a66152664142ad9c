"""Several sounds in one detector: C event vectors are C heads on the same states, and one is the paper's."""

import dataclasses
import importlib
import json
import os
import re

import numpy as np
import pytest
import soundfile

from data_tools.banks.builtin import BuiltinBank
from data_tools.errors import InputError
from data_tools.recipe_format import PlacedEvent
from data_tools.recipes import Recipe
from minirsed.analysis.evaluation import evaluate
from minirsed.detector import Detector
from minirsed.inference.network import Network, apart, ready
from minirsed.kernels import plain_numpy
from minirsed.kernels.threads import worker_threads
from minirsed.listening.operating import Operating
from minirsed.model import HEADS, ModelConfig, batch_loss_and_grads, forward, init_params, loss_and_grads, param_shapes
from minirsed.multires import ARCHITECTURES
from minirsed.outside.clips import draw_batch, draw_clip, presence
from minirsed.outside.members import join, shrink, split
from minirsed.outside.spectra import Spectra
from minirsed.run import session
from minirsed.run.checkpoint import FORMAT, NEWEST, read_checkpoint
from minirsed.run.folder import read_settings, trained_detector
from minirsed.run.metrics import class_columns, read_metrics, scores_of
from minirsed.run.resumable import Stopped, Training
from minirsed.run.settings import PRESETS, complete, of_classes, settings_from_file
from minirsed.several.detector import SeveralDetector, for_classes, load, views_of
from minirsed.several.evaluation import evaluate_any
from minirsed.several.heads import for_each_class
from minirsed.store.archive import read_arrays, write_arrays
from minirsed.store.dataset import prepare
from minirsed.store.mixtures import features_of, recipes_of
from minirsed.train.__main__ import main as train_command

C = 3


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def class_params(params, c):
    """Parameters of a network with the vector of one class alone."""
    return {name: value[c] if name.startswith("head") else value for name, value in params.items()}


def network(arch, head, rng, dtype=np.float64):
    """A network for C classes, one for any of them, and the parameters of the former."""
    config = ModelConfig(arch, n_layers=2, n_units=4, n_inputs=5, head=head, n_classes=C)
    params = init_params(config, rng, dtype)
    params |= {name: rng.standard_normal(value.shape).astype(dtype) for name, value in params.items() if "head" in name}
    return config, ModelConfig(arch, n_layers=2, n_units=4, n_inputs=5, head=head), params


@pytest.mark.parametrize(("arch", "head"), [("multires", "attention"), ("uni", "frames"), ("mlp", "frames")])
def test_each_class_is_a_network_with_its_vector(rng, arch, head):
    """Logits and losses are those of C networks with the same encoder, gradients of what they share are sums."""
    config, of_one, params = network(arch, head, rng)
    x, labels = rng.standard_normal((2, 9, 5)), np.zeros((2, C, 9))
    labels[0, 0, 2:5] = labels[0, 1, 4:8] = labels[1, 2, :1] = 1
    frame_logits, clip_logit, _ = forward(params, config, x)
    values, grads, dx = loss_and_grads(params, config, x, labels, 0.7, margin=2)
    alone = [loss_and_grads(class_params(params, c), of_one, x, labels[:, c], 0.7, margin=2) for c in range(C)]
    for c in range(C):
        frames, clip, _ = forward(class_params(params, c), of_one, x)
        assert np.array_equal(frame_logits[c::C], frames) and np.array_equal(clip_logit[c::C], clip)
        for name in ("head.w", *HEADS[head].shapes):
            assert np.allclose(grads[name][c], alone[c][1][name], atol=1e-15), name
    for part, parts in zip(values, zip(*(each for each, _, _ in alone), strict=True), strict=True):
        assert np.allclose(part, sum(parts), atol=1e-14)
    for name in [name for name in params if not name.startswith("head")]:
        assert np.allclose(grads[name], sum(each[1][name] for each in alone), atol=1e-14), name
    assert np.allclose(dx, sum(each[2] for each in alone), atol=1e-14)


def test_one_class_is_the_head_itself():
    """Nothing is between the paper's model and its head, and its vector has one axis."""
    assert for_each_class(HEADS["attention"], 1) is HEADS["attention"]
    assert param_shapes(ModelConfig(n_units=3))["head.w"] == (6,)
    assert param_shapes(ModelConfig(n_units=3, n_classes=C))["head.w"] == (C, 6)
    assert param_shapes(ModelConfig(n_units=3, n_classes=C, head="frames"))["head.b"] == (C, 1)
    with pytest.raises(ValueError, match="n_classes must be at least 1"):
        ModelConfig(n_classes=0)


def test_labels_of_another_number_of_classes_are_refused(rng):
    config, _, params = network("uni", "attention", rng)
    with pytest.raises(ValueError, match="reshape"):
        loss_and_grads(params, config, rng.standard_normal((2, 9, 5)), np.zeros((2, C - 1, 9)))


def test_batch_gradient_for_any_number_of_threads(rng):
    """Groups of clips, each with all of its classes: the mean loss, and the same bits on 1, 2 or 3 threads."""
    config, _, params = network("multires", "attention", rng, np.float32)
    x, labels = rng.standard_normal((12, 21, 5)).astype(np.float32), np.zeros((12, C, 21), np.float32)
    labels[::2, 0, 4:9] = labels[::3, 2, 1:5] = 1
    results = []
    for n_threads in (1, 2, 3):
        with worker_threads(n_threads) as executor:
            results.append(batch_loss_and_grads(executor, params, config, x, labels, 1.0))
    values, grads = results[0]
    whole, expected, _ = loss_and_grads(params, config, x, labels)
    assert values.total.shape == (12,) and np.allclose(values.total, whole.total, atol=1e-5)
    for name, grad in grads.items():
        assert np.allclose(grad, expected[name], atol=1e-5)
        assert all(np.array_equal(grad, other[name]) for _, other in results[1:])


def joined(arch, n_members, dtype=np.float32):
    """Members for C classes, the parameters of the network that they are joined to, and the configurations of both."""
    config = ModelConfig(arch, n_layers=2, n_units=6, n_inputs=9, n_classes=C)
    members = [init_params(config, np.random.default_rng(k), dtype) for k in range(n_members)]
    return members, join(members, config), config, dataclasses.replace(config, n_units=n_members * 6)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("n_members", "n_clips", "n_frames"), [(1, 2, 5), (4, 7, 37)])
def test_network_that_listens(rng, arch, n_members, n_clips, n_frames):
    """All classes of one pass through the layers: as the model has them, members joined or apart, compiled or plain."""
    members, params, config, whole = joined(arch, n_members)
    x = rng.standard_normal((n_clips, n_frames, 9)).astype(np.float32)
    frame_logits, clip_logit, _ = forward(params, whole, x)
    mean = np.mean([forward(each, config, x)[0] for each in members], axis=0)
    assert frame_logits.shape == (n_clips * C, n_frames) and np.abs(frame_logits - mean).max() < 2e-6
    network = Network(params, whole)
    assert len(network.parts) == n_members
    found = network.logits(x)
    with plain_numpy():
        plain = network.logits(x)
    for frames, clip in (found, plain):
        assert np.abs(frames - frame_logits).max() < 2e-6 and np.abs(clip - clip_logit).max() < 2e-6


def test_network_of_a_rival(rng):
    config, _, params = network("mlp", "frames", rng, np.float32)
    x = rng.standard_normal((2, 9, 5)).astype(np.float32)
    for found, expected in zip(ready(params, config).logits(x), forward(params, config, x)[:2], strict=True):
        assert found.shape[0] == 2 * C and np.array_equal(found, expected)


def test_members_taken_apart_again():
    members, params, config, whole = joined("multires", 3)
    detector = Detector(whole, params, "any", np.zeros(9), np.ones(9))
    for found, member in zip(split(detector, config), members, strict=True):
        assert all(np.allclose(found[name], value, atol=1e-6) for name, value in member.items())
    with pytest.raises(InputError, match="n_classes=3.*; expected .*n_classes=1"):
        split(detector, dataclasses.replace(config, n_classes=1))
    params["head.w"][1, 0] += 1  # still the same networks: a vector is not what holds them together
    assert len(apart(params, whole)[0]) == 3
    params["gru1.bwd.U"][0, 7] = 1
    assert len(apart(params, whole)[0]) == 1


def test_weight_decay_leaves_event_vectors_alone():
    params = joined("uni", 1)[1]
    before = {name: value.copy() for name, value in params.items()}
    shrink(params, 0.5)
    assert np.array_equal(params["head.w"], before["head.w"])
    assert np.allclose(params["gru0.fwd.W"], before["gru0.fwd.W"] / 2)


# --- a detector of several classes ------------------------------------------------------------------------------------

LABELS = ("cry", "glass", "shot")


@pytest.fixture
def detector(rng):
    """Loud enough to find something in noise; each class has thresholds of its own."""
    config = ModelConfig("bi", n_layers=1, n_units=4, n_classes=C)
    params = init_params(config, rng)
    params["head.w"] *= 6
    made = SeveralDetector.new(config, params, LABELS, np.full(64, -5.0), np.full(64, 2.0), 0.5)
    return dataclasses.replace(made, thres0=(0.4, 0.5, 0.6), thres1=(0.3, 0.5, 0.45))


def test_its_views_are_detectors_of_one_class(detector, rng):
    y = 0.1 * rng.standard_normal(44100)
    features = rng.standard_normal((2, 30, 64)) - 5
    frame_logits, clip_logit = detector.logits(features)
    assert frame_logits.shape == (2, C, 30) and clip_logit.shape == (2, C)
    found = detector.detect(y)
    assert list(found) == list(LABELS) and detector.label == "cry+glass+shot"
    for c, (label, view) in enumerate(zip(LABELS, detector.views, strict=True)):
        assert type(view) is Detector and view.label == label and view.thres0 == detector.thres0[c]
        assert np.allclose(view.logits(features)[0], frame_logits[:, c], atol=1e-5)
        alone = view.detect(y)
        assert alone[1:3] == found[label][1:3] and alone.probability == pytest.approx(found[label].probability)
        assert np.allclose(alone.frame_probabilities, found[label].frame_probabilities, atol=1e-6)
    assert any(each.onset_s is not None for each in found.values())
    (one,) = views_of(view)
    assert one is view
    with pytest.raises(InputError, match="class 'bark': the detector knows cry, glass, shot"):
        detector.of_class("bark")


def test_it_survives_saving_and_is_refused_where_one_class_is_expected(detector, rng, tmp_path):
    operating = (Operating(min_event_s=0.1), Operating(), Operating(min_gap_s=1.0))
    detector = dataclasses.replace(detector, operating=operating)
    detector.save(tmp_path / "best.npz")
    loaded = load(tmp_path)
    assert loaded.labels == LABELS and loaded.config == detector.config and loaded.operating == operating
    assert (loaded.thres0, loaded.thres1) == (detector.thres0, detector.thres1)
    assert loaded.fingerprint() == detector.fingerprint() != loaded.views[0].fingerprint()
    features = rng.standard_normal((1, 9, 64))
    assert np.array_equal(loaded.logits(features)[0], detector.logits(features)[0])
    assert loaded.network() is loaded.network()
    loaded.save(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "best.npz").read_bytes()
    for read in (Detector.load, trained_detector):
        with pytest.raises(InputError, match="best.npz: detects several classes; this takes a detector of one"):
            read(tmp_path)
    detector.views[1].save(tmp_path / "one.npz")
    assert load(tmp_path / "one.npz").label == Detector.load(tmp_path / "one.npz").label == "glass"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "classes": d["classes"][:2]},
        lambda d: {**d, "classes": 3},
        lambda d: {**d, "classes": [1, 2, 3]},
        lambda d: {**d, "classes": []},
        lambda d: {**d, "classes": [d["classes"][0]] * 3},
        lambda d: {**d, "classes": [{**each, "thres0": "x"} for each in d["classes"]]},
        lambda d: {**d, "classes": [{**each, "thres1": float("nan")} for each in d["classes"]]},
        lambda d: {**d, "classes": [{**each, "label": 7} for each in d["classes"]]},
        lambda d: {**d, "model": {**d["model"], "n_classes": 2}},
        lambda d: {**d, "model": {**d["model"], "n_classes": "3"}},
        lambda d: {**d, "model": {**d["model"], "n_units": 5}},
        lambda d: {**d, "model": None},
        lambda d: {"classes": d["classes"]},
    ],
)
def test_a_damaged_description_is_refused_by_name(detector, change):
    description, arrays = json.loads(json.dumps(detector.description())), detector.arrays()
    assert SeveralDetector.from_parts("a.npz", description, arrays).labels == LABELS
    with pytest.raises(InputError, match=r"^a\.npz: "):
        SeveralDetector.from_parts("a.npz", change(description), arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"params/head.w": a["params/head.w"][:2]},
        lambda a: a | {"params/head.w": a["params/head.w"][0]},
        lambda a: a | {"params/head.w": np.float32(1)},
        lambda a: a | {"params/head.w": a["params/head.w"] * np.float32(np.nan)},
        lambda a: {name: value for name, value in a.items() if name != "params/head.w"},
        lambda a: {name: value for name, value in a.items() if name != "features/std"},
        lambda a: a | {"params/head.b": np.zeros((3, 1), np.float32)},
    ],
)
def test_other_arrays_are_refused_by_name(detector, change):
    with pytest.raises(InputError, match=r"^a\.npz: "):
        SeveralDetector.from_parts("a.npz", detector.description(), change(detector.arrays()))


def placed(label, onset_s):
    return PlacedEvent(label, "x.wav", 0.0, 0.2, onset_s, 0.0)


def same_params(one, other):
    return all(np.array_equal(one[name], value) for name, value in other.items())


def test_classes_of_a_detector_to_start_from_are_found_by_name(detector):
    """In another order, with others between them, fewer, or one; the encoder is the same, a new vector is 0."""
    for labels in (LABELS[::-1], ("shot", "bark", "cry"), ("cry", "shot"), ("bark", "miaow")):
        other = for_classes(detector, labels)
        assert other.labels == labels and other.config.n_classes == len(labels) == len(other.params["head.w"])
        for view in other.views:
            own = detector.of_class(view.label if view.label in LABELS else "cry").params
            own = own if view.label in LABELS else own | {"head.w": np.zeros_like(own["head.w"])}
            assert view.params.keys() == own.keys() and same_params(view.params, own)
    assert same_params(for_classes(detector, LABELS).params, detector.params)
    one = for_classes(detector, ("glass",))
    assert type(one) is Detector and one.label == "glass" and same_params(one.params, detector.of_class("glass").params)
    assert for_classes(one, ("bark",)) is one
    both = for_classes(one, ("bark", "glass"))
    assert same_params(both.views[1].params, one.params) and not both.views[0].params["head.w"].any()
    biased = dataclasses.replace(one, params=one.params | {"head.b": np.array([2.0])})
    assert for_classes(biased, ("bark", "glass")).params["head.b"].tolist() == [[0.0], [2.0]]


class TinyStore:
    """Noise as features of six mixtures, with none to three events, which overlap."""

    def __init__(self, recipes=None):
        self.features = np.random.default_rng(0).standard_normal((6, 61, 64)).astype(np.float32) - 5
        names = [Recipe(name=f"{i}.wav", background="noise", scene="park") for i in range(6)]
        events = [[], [("cry", 0.1), ("shot", 0.2)], [("glass", 1.0)], [(label, 0.5) for label in LABELS], [], []]
        events = [[placed(*event) for event in own] for own in events]
        self.recipes = recipes or [r.with_events(own) for r, own in zip(names, events, strict=True)]
        self.has_event = np.array([recipe.has_event for recipe in self.recipes])
        times = [(r.onset_s, r.offset_s) if r.has_event else (np.nan, np.nan) for r in self.recipes]
        self.onset_s, self.offset_s = np.array(times).T

    def of_class(self, label):
        return TinyStore([recipe.of_class(label) for recipe in self.recipes])

    def __len__(self):
        return len(self.features)

    def clips(self, rows):
        return self.features[rows]


def test_evaluation_runs_the_encoder_once_and_scores_each_class(detector, monkeypatch):
    store, n_clips = TinyStore(), []
    logits = Network.logits
    monkeypatch.setattr(Network, "logits", lambda self, x: n_clips.append(len(x)) or logits(self, x))
    with worker_threads(1) as executor:
        whole = evaluate_any(detector, store, executor, alpha=0.7)
        assert sum(n_clips) == 6
        alone = [evaluate(view, store.of_class(view.label), executor, alpha=0.7) for view in detector.views]
    for one, (label, own) in zip(alone, whole.of_class.items(), strict=True):
        assert own.scores == one.scores and own.reference == one.reference and own.scores.n_ref == 2, label
        assert own.estimated.keys() == one.estimated.keys() and np.allclose(own.loss, one.loss, atol=1e-5)
        assert [found.onset_s for found in own.detections] == [found.onset_s for found in one.detections]
    assert any(own.scores.n_sys for own in whole.of_class.values())
    assert np.allclose(whole.loss, sum(one.loss for one in alone), atol=1e-5)
    assert whole.scores.error_rate == pytest.approx(np.mean([one.scores.error_rate for one in alone]))
    events = whole.reference["3.wav"]
    assert [label for *_, label in events] == list(LABELS) and whole.reference["0.wav"] == []
    row = scores_of(whole)
    assert row.keys() == {"dev_error_rate", "dev_f1"} | class_columns(LABELS)
    assert row["dev_error_rate/glass"] == alone[1].scores.error_rate


# --- training ---------------------------------------------------------------------------------------------------------


def test_presence_of_one_class_is_that_of_before():
    assert presence(np.random.default_rng(0), 1, 6)[:, 0].tolist() == [True] * 3 + [False] * 3
    one, other = np.random.default_rng(5), np.random.default_rng(5)
    n_events = (7 + other.integers(2)) // 2
    assert presence(one, 1, 7).sum() == n_events and one.bit_generator.state == other.bit_generator.state


def test_each_class_is_in_half_of_the_clips_whatever_the_others_do():
    rng = np.random.default_rng(0)
    drawn = np.array([presence(rng, C, 10) for _ in range(2000)])
    assert (drawn.sum(axis=1) == 5).all()
    pairs = drawn.reshape(-1, C)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (pairs[:, a] & pairs[:, b]).mean() == pytest.approx(0.25, abs=0.01)
    assert (~pairs.any(axis=1)).mean() == pytest.approx(1 / 8, abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.35, 1.0])
def test_another_share_of_the_clips(share):
    rng = np.random.default_rng(0)
    drawn = np.array([presence(rng, C, 7, share) for _ in range(3000)])
    assert drawn.mean(axis=(0, 1)) == pytest.approx([share] * C, abs=0.01)
    assert (np.abs(drawn.sum(axis=1) - 7 * share) < 1).all()


SETTINGS = complete(
    PRESETS["quick"],
    dict(labels=("babycry", "gunshot"), clips=12, members=2, units=3, layers=2, epochs=2, batch_size=4, clip_s=2.0)
    | dict(dev_clips=6, backgrounds=4, everyday=0.0),
)


class FewSounds(BuiltinBank):
    """Three events of each built-in class."""

    def _events(self, label, subset):
        return super()._events(label, subset)[:3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Spectra and development mixtures of a run of two classes."""
    bank, folder = FewSounds(0), tmp_path_factory.mktemp("features")
    stores = [
        prepare(bank, recipes_of(bank, SETTINGS, subset), folder, n_jobs=1, **features_of(SETTINGS))
        for subset in ("train", "dev")
    ]
    return Spectra.of(bank, SETTINGS, stores[0]), stores[1]


def test_clips_hold_what_their_labels_say(made):
    """The third class is a sound not to be found; the two have places and ratios of their own."""
    spectra, _ = made
    assert [len(own) for own in spectra.events] == [3, 3] and len(spectra.others) == 3
    batch = draw_batch(np.random.default_rng(0), spectra, SETTINGS, 8)
    assert batch.labels.shape == (8, 2, 86) and (batch.labels.any(axis=2).sum(axis=0) == 4).all()
    plain = dataclasses.replace(
        SETTINGS, clip_s=10.0, ebr_db=(40.0,), other_events=0.0, second_background=0.0, low_pass=0.0, equaliser_db=0.0
    )
    rng = np.random.default_rng(1)
    for has_event in ([False, False], [True, False], [False, True], [True, True]) * 4:
        power, labels = draw_clip(rng, spectra, plain, has_event)
        assert labels.any(axis=1).tolist() == has_event
        level = power @ spectra.widths[: spectra.bands]
        heard = labels.any(axis=0)
        if any(has_event):
            assert level[heard].mean() > 30 * np.median(level[~heard])


def test_the_share_of_training_mixtures_is_asked_for():
    settings = complete({}, {"labels": SETTINGS.labels, "event_share": 0.1, "clips": 200, "dev_clips": 200})
    n_events = [
        sum(len(recipe.events) for recipe in recipes_of(FewSounds(0), settings, subset)) for subset in ("train", "dev")
    ]
    assert n_events == pytest.approx([40, 200], rel=0.25)


def train(folder, made, resume=False, stop=None):
    run = Training.resume(folder, SETTINGS) if resume else Training.start(folder, SETTINGS, made[0])
    with worker_threads(2) as executor:
        list(run.epochs(*made, executor, stop=stop))
    return run


def test_a_run_of_several_classes_ends_with_the_bytes_of_one_never_stopped(made, tmp_path):
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    run = train(tmp_path / "whole", made)
    calls = iter(range(100))
    with pytest.raises(Stopped):
        train(tmp_path / "stopped", made, stop=lambda: next(calls) == 6)
    train(tmp_path / "stopped", made, resume=True)
    whole, stopped = (load(tmp_path / name) for name in ("whole", "stopped"))
    assert (tmp_path / "whole" / "best.npz").read_bytes() == (tmp_path / "stopped" / "best.npz").read_bytes()
    assert whole.labels == SETTINGS.labels and whole.params["head.w"].shape == (2, 12) == stopped.params["head.w"].shape
    rows = read_metrics(tmp_path / "whole")
    assert len(rows) == 2 and class_columns(SETTINGS.labels) < rows[0].keys()
    mean = np.mean([rows[1][f"dev_error_rate/{label}"] for label in SETTINGS.labels])
    assert rows[1]["dev_error_rate"] == pytest.approx(mean) and run.best_epoch == 2
    last = {name: value for name, value in rows[1].items() if name != "seconds"}
    assert last == {name: value for name, value in read_metrics(tmp_path / "stopped")[1].items() if name != "seconds"}
    about, arrays = read_arrays(tmp_path / "stopped" / NEWEST, FORMAT)
    about["settings"] |= {"labels": [*SETTINGS.labels, "glassbreak"]}
    write_arrays(tmp_path / NEWEST, FORMAT, about, arrays)
    with pytest.raises(InputError, match="classes is not as it should be"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("mixing", ["spectra", "waveforms"])
def test_a_training_starts_from_a_detector_of_other_classes(mixing, made, tmp_path):
    """By name, whatever the order; what is new learns from the first update on."""
    settings, store = SETTINGS, made[0]
    if mixing == "waveforms":
        settings = complete({}, dict(labels=SETTINGS.labels, clips=6, units=3, layers=1, epochs=1, dev_clips=6))
        store = made[1]
    origin = Training.start(tmp_path, settings, store).detector
    origin.save(tmp_path / "origin.npz")
    labels = ("glassbreak", *SETTINGS.labels[::-1])
    further = dataclasses.replace(settings, labels=labels, init_from=str(tmp_path / "origin.npz"), seed=4)
    run = Training.start(tmp_path, further, store)
    for view in run.detector.views:
        if view.label in SETTINGS.labels:
            of_origin = origin.of_class(view.label)
            assert all(np.allclose(view.params[name], value, atol=1e-6) for name, value in of_origin.params.items())
    assert not run.detector.of_class("glassbreak").params["head.w"].any()
    assert run.detector.mean.tolist() == origin.mean.tolist()
    origin.of_class("gunshot").save(tmp_path / "origin.npz")
    run = Training.start(tmp_path, dataclasses.replace(further, labels=SETTINGS.labels), store)
    assert not run.detector.params["head.w"][0].any() and run.detector.params["head.w"][1].any()
    with worker_threads(1) as executor:
        next(run.epochs(store, made[1], executor))
    assert run.detector.params["head.w"].any(axis=1).all() and run.detector.labels == SETTINGS.labels


def test_mixtures_of_waveforms_train_several_classes(made, tmp_path):
    """The paper's presets: rows of a store with the labels of each class."""
    settings = complete({}, dict(labels=SETTINGS.labels, clips=6, units=3, layers=1, epochs=1, dev_clips=6))
    run = Training.start(tmp_path, settings, made[1])
    with worker_threads(1) as executor:
        (row,) = run.epochs(made[1], made[1], executor)
    assert row["train_loss"] > 0 and load(tmp_path).labels == SETTINGS.labels


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ("babycry", "babycry")}, "CLASS is babycry babycry: names a class twice"),
        ({"labels": ("babycry",)}, "expected names of classes"),
        ({"labels": ("babycry", 7)}, "expected names of classes"),
        ({"labels": "babycry"}, "expected names of classes"),
        ({"keep": "promise"}, "--keep promise: chooses thresholds for one class"),
        ({"mixing": "waveforms", "generator": "official"}, "--generator official: makes mixtures of one class"),
    ],
)
def test_settings_that_do_not_go_with_several_classes(change, message):
    own = complete({}, {"labels": ("babycry", "gunshot")})
    with pytest.raises(InputError, match=message):
        dataclasses.replace(own, **change)


def test_settings_of_several_classes():
    assert (SETTINGS.label, SETTINGS.classes) == ("babycry+gunshot", ("babycry", "gunshot"))
    assert settings_from_file(json.loads(json.dumps(dataclasses.asdict(SETTINGS)))) == SETTINGS
    older = {name: value for name, value in dataclasses.asdict(complete({}, {})).items() if name != "labels"}
    assert settings_from_file(older).classes == ("babycry",)


# --- as a user has it -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Somebody's own sounds: tones that glide, and noise that is cut to pieces, in the noise of a garden."""
    rng, root, sr = np.random.default_rng(0), tmp_path_factory.mktemp("my sounds"), 44100
    for i in range(8):
        seconds = np.arange(int((0.5 + 0.1 * i) * sr)) / sr
        glide = 0.3 * np.sin(2 * np.pi * (500 + 100 * i + 800 * seconds) * seconds)
        buzz = 0.2 * rng.standard_normal(len(seconds)) * (np.sin(2 * np.pi * (20 + i) * seconds) > 0)
        noise = 0.02 * rng.standard_normal(sr * (5 + i))
        for name, y in (("events/glide", glide), ("events/buzz", buzz), ("backgrounds/garden", noise)):
            (root / name).mkdir(parents=True, exist_ok=True)
            soundfile.write(root / name / f"{i}.wav", y, sr)
    return root


@pytest.fixture(scope="module")
def finished(sounds, tmp_path_factory):
    """A run folder and what training said."""
    folder, said = tmp_path_factory.mktemp("run"), []
    tiny = dict(clips=8, dev_clips=6, epochs=2, units=4, layers=1, members=2)
    settings = complete(PRESETS["quick"], {"labels": ("glide", "buzz"), "data": str(sounds)} | tiny)
    session.train(settings, folder / "run", machine=session.Machine(folder / "features"), say=said.append)
    return folder / "run", "\n".join(said)


def test_a_training_says_and_leaves_each_class_and_the_average(finished):
    folder, said = finished
    heading = next(line for line in said.splitlines() if line.startswith("epoch"))
    assert heading.endswith("seconds  ER glide  ER buzz")
    first = next(line for line in said.splitlines() if line.startswith("    1"))
    rates = [float(text) for text in first.split()[-2:]]
    assert np.mean(rates) == pytest.approx(float(first.split()[-5]), abs=0.011)
    assert [line.split()[0] for line in said.splitlines()[-6:-2]] == ["class", "glide", "buzz", "average"]
    assert {"examples_glide.png", "examples_buzz.png", "curves.png", "events_dev.csv"} <= set(os.listdir(folder))
    card = (folder / "card.md").read_text()
    assert "A detector of 2 sounds, glide, buzz:" in card and "in the average of the classes" in card
    assert card.count("An event of any of them needs p above") == 1 and "| subset | events | recordings" in card
    assert card.count("chosen on no sound") == 1 and "preset quick with" in card


@pytest.mark.parametrize(
    ("known", "labels", "said"),
    [
        (["a", "b"], ("b", "a"), ["starting from origin, a detector of a, b"]),
        (["a"], ("c", "a", "b"), ["starting from origin, a detector of a; new, with an event vector of 0: c, b"]),
        (["a", "b"], ("a",), ["starting from origin, a detector of a, b"]),
        (["a"], ("b",), []),
    ],
)
def test_what_a_training_starts_from_is_said(known, labels, said):
    """Of one class for one class nothing, as ever."""
    heard = []
    session.say_origin(complete({}, of_classes(labels) | {"init_from": "origin"}), known, heard.append)
    assert heard == said


def test_a_class_without_a_development_event_is_said_at_once(finished, tmp_path, monkeypatch):
    """Few mixtures may have none by chance; its error rate would be undefined, or any number."""
    monkeypatch.setattr(session, "recipes_of", lambda *what: [each.of_class("glide") for each in recipes_of(*what)])
    settings = read_settings(finished[0])
    with pytest.raises(InputError, match="^--dev-clips 6: no development mixture has an event of buzz; ask for more$"):
        session.train(settings, tmp_path / "run", machine=session.Machine(tmp_path), say=lambda text: None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["glide", "buzz", "glide"], "CLASS is glide buzz glide: names a class twice"),
        (["glide", "bark"], "no class 'bark'; it has buzz, glide"),
        (["glide", "buzz", "--keep", "promise"], "--keep promise: chooses thresholds for one class"),
        (["glide", "buzz", "--init-from", "one.npz"], "n_units=8.*; expected .*n_units=32"),
        (["glide", "--resume", "--out", "RUN"], "has CLASS glide\\+buzz, not glide"),
        (["buzz", "glide", "--resume", "--out", "RUN"], "has CLASS glide\\+buzz, not buzz\\+glide"),
    ],
)
def test_train_says_in_one_line_what_it_cannot_do(words, message, finished, sounds, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    load(finished[0]).of_class("glide").save("one.npz")
    words = [str(finished[0]) if word == "RUN" else word for word in words]
    with pytest.raises(SystemExit):
        train_command([*words, *(["--data", str(sounds), "--epochs", "1"] if "--resume" not in words else [])])
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert os.listdir(tmp_path) == ["one.npz"] or not os.listdir(tmp_path / "runs")


@pytest.mark.parametrize(
    "words",
    ["mine RUN x", "export RUN x.c", "export RUN x.html"],
)
def test_commands_of_one_class_refuse_it(words, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name, *words = [str(finished[0]) if word == "RUN" else word for word in words.split()]
    with pytest.raises(SystemExit):
        importlib.import_module(f"minirsed.{name}.__main__").main(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert "glide, buzz" in line
