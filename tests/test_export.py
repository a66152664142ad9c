"""The ONNX file: the same probabilities as the model's own, metadata that suffice, and the command that writes it.

Needs onnx and onnxruntime (`python -m pip install -e ".[onnx]"`), which the test extra brings.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from minirsed.activations import sigmoid
from minirsed.detector import Detector
from minirsed.export import __main__ as export
from minirsed.features import lfbe
from minirsed.listening.inputs import INPUTS, n_bands
from minirsed.listening.operating import Operating
from minirsed.model import ModelConfig, init_params
from minirsed.rivals.encoders import ENCODERS
from minirsed.several.detector import SeveralDetector, load

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

README = (Path(__file__).parents[1] / "minirsed/export/README.md").read_text(encoding="utf-8")
SHAPES = ((2, 61), (3, 16), (1, 1), (2, 2), (1, 3), (1, 7))  # (B, T); odd at each of the four resolutions, and tiny


def random_detector(arch, n_layers, dtype=np.float32, scale=2.0, n_inputs=10, **kind):
    """Weights far from their first values, so that gates saturate and probabilities spread; nothing symmetrical."""
    rng = np.random.default_rng(n_layers)
    config = ModelConfig(arch, n_layers, n_units=5, n_inputs=n_inputs, **kind)
    params = {name: (scale * value).astype(dtype) for name, value in init_params(config, rng, np.float64).items()}
    for name in params:
        if name.endswith("b"):
            params[name] += rng.normal(0, 0.5, params[name].shape).astype(dtype)
    mean, std = rng.normal(-8, 2, n_inputs), rng.uniform(0.5, 3, n_inputs)
    return Detector(config, params, "babycry", mean, std, thres0=0.4, thres1=0.6)


def session_of(detector):
    return onnxruntime.InferenceSession(export.export(detector)[0], providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("arch", ["uni", "bi", "multires"])
def test_onnxruntime_agrees_with_the_model_in_float64(arch, n_layers):
    """Against the plain NumPy loop, one file for all numbers of clips and frames."""
    exact = random_detector(arch, n_layers, np.float64)
    session = session_of(exact)
    spread = []
    for shape in SHAPES:
        features = np.random.default_rng(shape).normal(-8, 4, (*shape, 10)).astype(np.float32)
        p, p_t = session.run(["probability", "frame_probabilities"], {"lfbe": features})
        frame_logits, clip_logits = exact.logits(features)
        assert p.shape == shape[:1] and p_t.shape == shape and p.dtype == p_t.dtype == np.float32
        np.testing.assert_allclose(p, sigmoid(clip_logits), atol=1e-5)
        np.testing.assert_allclose(p_t, sigmoid(frame_logits), atol=1e-5)
        spread += [*p, *p_t.ravel()]
    assert max(spread) - min(spread) > 0.3  # an answer of one half for everything would not pass


@pytest.mark.parametrize("arch", ["uni", "multires"])
@pytest.mark.parametrize(("inputs", "memory_s"), [("relative", 0.0), ("pcen", 0.0), ("relative", 0.06)])
def test_inputs_and_rule_of_other_places_are_part_of_the_file(arch, inputs, memory_s):
    kind = {"n_inputs": n_bands(40), "n_mels": 40, "inputs": inputs, "rule": "strongest"}
    detector = random_detector(arch, 2, **kind)
    detector.mean[:], detector.std[:] = (-2, 2) if inputs == "relative" else (0.5, 0.5)
    detector.params["head.w"] *= 6
    detector.operating = Operating(memory_s=memory_s)
    session, spread = session_of(detector), []
    for shape in SHAPES:
        features = np.random.default_rng(shape).normal(-8, 4, (*shape, 40)).astype(np.float32)
        p, p_t = session.run(["probability", "frame_probabilities"], {"lfbe": features})
        expected = detector.probabilities(*detector.logits(features))
        np.testing.assert_allclose(p, expected[0], atol=1e-4)
        np.testing.assert_allclose(p_t, expected[1], atol=1e-5)
        spread += p.tolist()
    assert max(spread) - min(spread) > 0.3
    about = session.get_modelmeta().custom_metadata_map
    assert [about[name] for name in ("inputs", "rule", "n_mels", "power_floor")] == [
        *(inputs, "strongest", "40", "1e-13")
    ]


@pytest.mark.parametrize("kind", [{}, {"n_inputs": 48, "n_mels": 64, "inputs": "relative", "rule": "strongest"}])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_give_no_number(kind, value):
    """The clip that holds one has NaN; its neighbour has what it always has. Sizes of nothing are named in the file."""
    detector = random_detector("multires", 2, **kind)
    session, n_mels = session_of(detector), detector.features["n_mels"]
    features = np.random.default_rng(0).normal(-8, 4, (2, 9, n_mels)).astype(np.float32)
    fine = session.run(None, {"lfbe": features})
    features[1, 4, 3] = value
    p, p_t = session.run(None, {"lfbe": features})
    assert np.isnan(p[1]) and np.isnan(p_t[1]).all()
    assert p[0] == fine[0][0] and p_t[0].tolist() == fine[1][0].tolist()
    assert "T >= 1" in session.get_modelmeta().custom_metadata_map["shapes"]


def test_extreme_logits_stay_finite():
    """Logits far beyond ±100, where p_t underflows: the attention is still a mean of states."""
    for sign in (-1, 1):
        detector = random_detector("multires", 2)
        detector.params["head.w"] = np.full(10, 300 * sign, np.float32)
        features = np.random.default_rng(0).normal(-8, 4, (1, 9, 10)).astype(np.float32)
        outputs = session_of(detector).run(None, {"lfbe": features})
        frame_logits, clip_logits = detector.logits(features)
        assert np.abs(frame_logits).max() > 100
        for values, logits in zip(outputs, (clip_logits, frame_logits), strict=True):
            np.testing.assert_allclose(values, sigmoid(logits), atol=1e-5)


def test_the_file_names_its_sizes_and_is_old_enough_for_any_runtime():
    model = onnx.load_from_string(export.export(random_detector("multires", 3))[0])
    onnx.checker.check_model(model, full_check=True)

    def shape(value):
        return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]

    assert {value.name: shape(value) for value in model.graph.input} == {"lfbe": ["B", "T", 10]}
    outputs = {value.name: shape(value) for value in model.graph.output}
    assert outputs == {"probability": ["B"], "frame_probabilities": ["B", "T"]}
    assert model.ir_version == 8 and [opset.version for opset in model.opset_import] == [17]
    assert sum(node.op_type == "GRU" for node in model.graph.node) == 3


def features_from(about, y):
    """LFBE by nothing but the metadata: what a program in another language would do."""
    number = {
        name: float(value)
        for name, value in about.items()
        if re.fullmatch(r"[\d.]+(e-\d+)?", value) and value.count(".") < 2
    }
    n_fft, win, hop, n_mels = (int(number[name]) for name in ("n_fft", "win_length", "hop_length", "n_mels"))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win) / win)
    frames = [y[first : first + win] * window for first in range(0, len(y) - win + 1, hop)]
    power = np.abs(np.fft.rfft(frames, n_fft)) ** 2

    def mel(hz):  # Slaney: 15 mel at 1 kHz, 27 more for each factor of 6.4
        return 15 * hz / 1000 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    grid = np.arange(0, number["fmax"] + 1, 0.25)
    edges = np.interp(np.linspace(mel(number["fmin"]), mel(number["fmax"]), n_mels + 2), [mel(hz) for hz in grid], grid)
    hz = np.arange(n_fft // 2 + 1) * number["sr"] / n_fft
    bank = [np.interp(hz, edges[m : m + 3], [0, 2 / (edges[m + 2] - edges[m]), 0]) for m in range(n_mels)]
    return np.log(np.maximum(power @ np.transpose(bank), number["power_floor"]))


def test_metadata_suffice_to_compute_the_features():
    about = session_of(random_detector("uni", 1, n_inputs=64)).get_modelmeta().custom_metadata_map
    y = 0.1 * np.random.default_rng(0).standard_normal(20000)
    np.testing.assert_allclose(features_from(about, y), lfbe(y), atol=1e-3)
    assert (about["mel_formula"], about["mel_norm"], about["log"]) == ("Slaney", "area 1 (Slaney)", "natural")
    named = ("class", "thres0", "thres1", "architecture", "n_layers", "n_units", "sr", "fmax")
    assert [about[name] for name in named] == ["babycry", "0.4", "0.6", "uni", "1", "5", "44100", "22050"]


def rival(arch, head, n_layers=2, **kind):
    """Kinds beside the paper's: running statistics of their own, and logits on both sides of 0."""
    detector = random_detector(arch, n_layers, np.float64, 1.0, kind.pop("n_inputs", 40), head=head, **kind)
    rng = np.random.default_rng(7)
    for name in detector.params:
        if name.endswith("running_mean"):
            detector.params[name] = rng.normal(0, 1, detector.params[name].shape)
        if name.endswith("running_var"):
            detector.params[name] = rng.uniform(0.3, 3, detector.params[name].shape)
    features = rng.normal(-8, 4, (2, 200, detector.features["n_mels"])).astype(np.float32)
    x = detector.normalise(INPUTS[detector.config.inputs].of_lfbe(features)[0])
    h = (
        ENCODERS[arch]
        .forward(detector.params, detector.config, x, None, False)[0]
        .reshape(-1, len(detector.params["head.w"]))
    )
    mean, w = h.mean(axis=0), rng.standard_normal(h.shape[1])
    w -= mean * (w @ mean) / (mean @ mean)  # states of a ReLU are all on one side of most vectors
    detector.params["head.w"] = w * 2 / (h @ w).std()
    return detector


@pytest.mark.parametrize("head", ["attention", "frames"])
@pytest.mark.parametrize(("arch", "n_inputs"), [("crnn1d", 40), ("crnn", 45), ("mlp", 11), ("multires", 10)])
def test_onnxruntime_agrees_with_the_networks_of_others(arch, n_inputs, head):
    """Folded normalisation, an LSTM from the end, products of directions, a median: for clips of any length."""
    exact = rival(arch, head, n_inputs=n_inputs)
    session, spread = session_of(exact), []
    for shape in (*SHAPES, (2, 12), (1, 200)):
        features = np.random.default_rng(shape).normal(-8, 4, (*shape, n_inputs)).astype(np.float32)
        p, p_t = session.run(["probability", "frame_probabilities"], {"lfbe": features})
        expected = exact.probabilities(*exact.logits(features))
        np.testing.assert_allclose(p, expected[0], atol=1e-5)
        np.testing.assert_allclose(p_t, expected[1], atol=1e-5)
        spread += [*p, *p_t.ravel()]
    assert max(spread) - min(spread) > 0.3
    about = session.get_modelmeta().custom_metadata_map
    assert (about["architecture"], about["head"]) == (arch, head)


def test_frames_alone_with_inputs_of_other_places():
    """Inputs of two frames each: the median is over frames, p is that of the inputs."""
    kind = {"n_inputs": n_bands(40), "n_mels": 40, "inputs": "relative"}
    detector = rival("bi", "frames", 1, **kind)
    session = session_of(detector)
    for shape in ((2, 61), (1, 200)):
        features = np.random.default_rng(shape).normal(-8, 4, (*shape, 40)).astype(np.float32)
        for ours, theirs in zip(
            detector.probabilities(*detector.logits(features)), session.run(None, {"lfbe": features}), strict=True
        ):
            np.testing.assert_allclose(theirs, ours, atol=1e-4)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A working folder with runs/babycry."""
    monkeypatch.chdir(tmp_path)
    Path("runs/babycry").mkdir(parents=True)
    random_detector("multires", 2, n_inputs=64).save("runs/babycry/best.npz")
    return Path("runs/babycry")


def test_example_of_the_readme_finds_what_the_detector_finds(run, capsys):
    command = re.search(r"python -m minirsed\.export (\S+) (\S+)\n", README).groups()
    export.main(command)
    printed = capsys.readouterr().out
    assert printed.startswith("babycry.onnx: 0.0") and "detector of babycry, multires, 2 × 5 units" in printed
    y = 0.1 * np.random.default_rng(0).standard_normal(5 * 22050)
    soundfile.write("recording.wav", y, 22050)
    code = re.search(r"```python\n(import onnxruntime.*?)```", README, re.S)[1]
    assert len(code.splitlines()) <= 11
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    expected = Detector.load(run).detect(*soundfile.read("recording.wav"))
    assert found["p"][0] == pytest.approx(expected.probability, abs=1e-5)
    np.testing.assert_allclose(found["p_t"][0], expected.frame_probabilities, atol=1e-5)
    assert capsys.readouterr().out.startswith("babycry ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "m.onnx"], "nowhere: no such file"),
        (["runs", "m.onnx"], "runs: no run folder of minirsed's (it has no best.npz)"),
        (["text", "m.onnx"], "text: no file of minirsed's, or damaged"),
        (["runs/babycry", "runs"], "FILE runs: is a folder; expected a file name"),
        (["runs/babycry", "nowhere/m.onnx"], "FILE nowhere/m.onnx: there is no folder nowhere"),
    ],
)
def test_bad_input_is_one_line(run, arguments, message, capsys):
    Path("text").write_text("no detector")
    assert message in failure(capsys, *arguments)
    assert not list(Path().rglob("*.onnx")) and not list(Path().rglob("*.tmp"))


def failure(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        export.main(arguments)
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and len(error.splitlines()) == 1, error
    return error


def test_a_folder_that_may_not_be_written_is_named_before_the_work(run, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr(export, "export", lambda detector: pytest.fail("exported"))
    assert "FILE runs/m.onnx: the folder runs is not writable" in failure(capsys, "runs/babycry", "runs/m.onnx")


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_without_the_extra_it_says_how_to_install_it(run, library, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    error = failure(capsys, "runs/babycry", "m.onnx")
    assert f'needs {library}: python -m pip install -e ".[onnx]"' in error


def test_a_graph_that_computes_something_else_is_not_written(run, capsys, monkeypatch):
    Path("m.onnx").write_text("of an earlier export")
    logits = Detector.logits
    monkeypatch.setattr(Detector, "logits", lambda self, x: tuple(1.01 * values for values in logits(self, x)))
    assert "differs from minirsed's model by" in failure(capsys, "runs/babycry", "m.onnx")
    assert Path("m.onnx").read_text() == "of an earlier export"


def random_detector_of_several(**kind):
    """Three classes on one encoder, thresholds of their own."""
    rng = np.random.default_rng(3)
    config = ModelConfig(kind.pop("arch", "multires"), 2, n_units=5, n_classes=3, **{"n_inputs": 10, **kind})
    params = {name: (2 * value).astype(np.float32) for name, value in init_params(config, rng, np.float64).items()}
    params["head.w"] *= 3
    each = {"thres0": (0.4, 0.5, 0.6), "thres1": (0.6, 0.7, 0.8), "operating": (Operating(0.1, 0.2),) * 3}
    n = config.n_inputs
    return SeveralDetector(config, params, "a+b+ü", np.full(n, -8.0), np.full(n, 4.0), **each, labels=("a", "b", "ü"))


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"n_inputs": n_bands(40), "n_mels": 40, "inputs": "relative", "rule": "strongest", "arch": "uni"},
        {"head": "frames", "arch": "bi"},
    ],
)
def test_several_classes_are_the_last_axis(kind):
    detector, spread = random_detector_of_several(**kind), []
    session = session_of(detector)
    for shape in SHAPES:
        features = np.random.default_rng(shape).normal(-8, 4, (*shape, detector.features["n_mels"]))
        p, p_t = session.run(["probability", "frame_probabilities"], {"lfbe": features.astype(np.float32)})
        assert p.shape == (shape[0], 3) and p_t.shape == (*shape, 3)
        for c, view in enumerate(detector.views):
            expected = view.probabilities(*view.logits(features.astype(np.float32)))
            np.testing.assert_allclose(p[:, c], expected[0], atol=1e-4)
            np.testing.assert_allclose(p_t[..., c], expected[1], atol=1e-5)
        spread += np.ptp(p, axis=1).tolist()
    assert max(spread) > 0.1  # the classes differ
    features[0, 0, 0] = np.nan
    assert all(np.isnan(output[0]).all() for output in session.run(None, {"lfbe": features.astype(np.float32)}))
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["a", "b", "ü"] and about["class"] == "a+b+ü"
    assert json.loads(about["thres0"]) == [0.4, 0.5, 0.6] and json.loads(about["thres1"]) == [0.6, 0.7, 0.8]
    assert json.loads(about["min_gap_s"]) == [0.2] * 3 and json.loads(about["chosen"]) == [None] * 3
    operators = [node.op_type for node in onnx.load_from_string(export.export(detector)[0]).graph.node]
    assert operators.count("GRU") == 2  # one encoder for all


def test_several_classes_are_written_as_onnx_and_one_of_them_as_anything(tmp_path, capsys):
    random_detector_of_several().save(tmp_path / "best.npz")
    export.main([str(tmp_path / "best.npz"), str(tmp_path / "d.onnx")])
    out = capsys.readouterr().out
    assert "detector of a, b, ü, " in out
    assert (
        "probability (B, C), frame_probabilities (B, T, C)" in out and "thresholds a 0.4 and 0.6, b 0.5 and 0.7" in out
    )
    for name in ("d.c", "d.html"):
        with pytest.raises(SystemExit, match="2"):
            export.main([str(tmp_path / "best.npz"), str(tmp_path / name)])
        assert "detects a, b, ü; --class says which of them is meant" in capsys.readouterr().err
        assert not (tmp_path / name).exists()
    with pytest.raises(SystemExit, match="2"):
        export.main([str(tmp_path / "best.npz"), str(tmp_path / "d.c"), "--class", "c"])
    assert "--class c: " in capsys.readouterr().err
    load(tmp_path / "best.npz").of_class("b").save(tmp_path / "b.npz")
    for name in ("d.c", "d.html", "d.onnx"):
        export.main([str(tmp_path / "best.npz"), str(tmp_path / name), "--class", "b"])
        of_class = (tmp_path / name).read_bytes()
        export.main([str(tmp_path / "b.npz"), str(tmp_path / name)])
        assert of_class == (tmp_path / name).read_bytes()
