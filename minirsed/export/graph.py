"""The model as an ONNX graph, equation by equation: what other runtimes need to run a trained detector.

Data flow: detector → **graph** → `minirsed.export` writes it. B clips of T frames, both free; D bands, K states:

    lfbe (B, T, D)  →  x = (lfbe − mean) / std  →  f(X) = [h_1 … h_T]  →  p_t (B, T), a_t, h, p (B,)

Names of values in the graph are those of the equations in `minirsed.gru`, `multires` and `attention`. Between
normalisation and head, time comes first, (T, B, ·), as ONNX's GRU wants it. What the paper is compared with is in
`minirsed.export.rivals`.

ONNX's GRU with linear_before_reset = 0 is the cell of `minirsed.gru`, h_t = z ⊙ h_{t-1} + (1 − z) ⊙ c, its gates in
the same order [z | r | c]. It keeps its matrices transposed, (directions, 3H, inputs), and has a second bias, that of
the recurrent product, which is 0 here.
"""

import json

import numpy as np

from minirsed import __version__
from minirsed.export.listening import INPUT_NODES, repeated, strongest_probability
from minirsed.export.rivals import STATES, smoothed
from minirsed.export.several import metadata_of_all, stacked
from minirsed.features import HOP, SAMPLE_RATE, WIN, tables
from minirsed.multires import directions
from minirsed.several.detector import views_of

OPSET, IR_VERSION = 17, 8  # of 2022: old enough for every runtime in use, new enough for all that is needed
INPUT, OUTPUTS = "lfbe", ("probability", "frame_probabilities")


class Graph:
    """Nodes and constants, collected in the order in which they are computed."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def add(self, operator, inputs, output, **attributes):
        """Append a node with one output; inputs are names of values, "" leaves an optional one out."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs.split(" "), [output], name=output, **attributes))
        return output

    def scan(self, inputs, outputs, body, axis):
        """Append a loop over an axis of the last input; the others are the state that `body` hands on."""
        from onnx import helper

        names = inputs.split(" ")
        self.nodes.append(
            helper.make_node("Scan", names, outputs, body=body, num_scan_inputs=1, scan_input_axes=[axis])
        )

    def shifted(self, x, n, output):
        """Windows of n frames: (B, T + n − 1, K) → (B, T, nK), x from frame 0 on, from frame 1 on, …, side by side."""
        axis1 = self.constant("axis1", [1])
        for shift in range(n):
            end = shift - n + 1 or np.iinfo(np.int64).max
            start, end = self.constant(f"from{shift}", [shift]), self.constant(f"to{end}", [end])
            self.add("Slice", f"{x} {start} {end} {axis1}", f"{output}.{shift}")
        return self.add("Concat", " ".join(f"{output}.{shift}" for shift in range(n)), output, axis=2)

    def largest(self, x, n, output):
        """The n largest numbers of the last axis, in order."""
        from onnx import helper

        inputs = [x, self.constant(f"{output}.n", [n])]
        self.nodes.append(helper.make_node("TopK", inputs, [output, f"{output}.where"]))
        return output

    def gru_layer(self, params, layer, x, names):
        """Append a GRU of one direction or two: (T, B, D) → `gru{layer}.by_direction` (T, directions, B, H)."""

        def stacked(key):
            return np.stack([params[f"gru{layer}.{name}.{key}"].T for name in names])

        W, R, b = (f"gru{layer}.{key}" for key in "WRb")
        n_units = params[f"gru{layer}.fwd.U"].shape[0]
        self.constant(W, stacked("W"), np.float32)  # (directions, 3H, D)
        self.constant(R, stacked("U"), np.float32)  # (directions, 3H, H); ONNX calls it R
        self.constant(b, np.pad(stacked("b"), ((0, 0), (0, 3 * n_units))), np.float32)  # (directions, 6H): b, then 0
        return self.add(
            "GRU",
            f"{x} {W} {R} {b}",
            f"gru{layer}.by_direction",
            hidden_size=n_units,
            direction="forward" if len(names) == 1 else "bidirectional",
            linear_before_reset=0,
        )

    def subgraph(self, name, inputs, outputs):
        """All of it as an `onnx.GraphProto`."""
        from onnx import helper, numpy_helper

        constants = [numpy_helper.from_array(value, key) for key, value in self.constants.items()]
        return helper.make_graph(self.nodes, name, inputs, outputs, constants)

    def constant(self, name, value, dtype=np.int64):
        """Store a constant; int64 is what ONNX wants for axes and indices."""
        self.constants[name] = np.ascontiguousarray(value, dtype)
        return name


def build(detector, card=None):
    """An `onnx.ModelProto` that computes p and p_t of a detector from unnormalised features.

    Parameters
    ----------
    detector : minirsed.detector.Detector
        Of one class, or of C. Its parameters become float32.
    card : str, optional
        For the metadata.

    Returns
    -------
    onnx.ModelProto
        Input `lfbe` (B, T, D) float32, T ≥ 1, as `minirsed.features.lfbe` makes them; outputs `probability` (B,) and
        `frame_probabilities` (B, T), float32 in [0, 1]; `metadata` as its metadata properties. Of C classes the outputs
        are (B, C) and (B, T, C).

    Raises
    ------
    ImportError
        The package onnx is not installed.
    """
    from onnx import TensorProto, helper

    graph = Graph()
    before = INPUT_NODES.get(detector.config.inputs)
    inputs = before(graph, INPUT, detector.features["n_mels"]) if before else INPUT
    h = _encoder(graph, detector.params, detector.config, _normalised(graph, detector, inputs))
    views = views_of(detector)
    classes = [len(views)] if len(views) > 1 else []
    if classes:
        stacked(graph, views, lambda own, view: _probabilities(own, view, h))
    else:
        _probabilities(graph, detector, h)
    _nan_where_features_are_not_finite(graph, bool(classes))
    n_bands, float32 = detector.features["n_mels"], TensorProto.FLOAT
    shapes = ["B", *classes], ["B", "T", *classes]
    proto = graph.subgraph(
        "minirsed",
        [helper.make_tensor_value_info(INPUT, float32, ["B", "T", n_bands])],
        [helper.make_tensor_value_info(name, float32, shape) for name, shape in zip(OUTPUTS, shapes, strict=True)],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name, model.producer_version = "minirsed", __version__
    model.doc_string = f"{', '.join(view.label for view in views)} or not, in a clip and in each of its frames"
    helper.set_model_props(model, metadata(detector) | ({"card": card} if card else {}))
    return model


def _probabilities(graph, detector, h):
    """From states (T, B, K) to the names of p (B,) and p_t (B, T) of one class."""
    is_frames = detector.config.head == "frames"
    logits, clip_logit = (_frames_head if is_frames else _head)(graph, detector.params, h)
    if detector.config.inputs in INPUT_NODES:
        logits = repeated(graph, logits, INPUT)
    logits = smoothed(graph, logits, "smoothed") if is_frames else logits
    p_t = graph.add("Sigmoid", logits, "p_t.of_any")
    if detector.config.rule == "strongest":
        return strongest_probability(graph, logits, detector.thres1, detector.operating.memory_s, "p.of_any"), p_t
    return graph.add("Sigmoid", clip_logit, "p.of_any"), p_t


def metadata(detector):
    """What one must know to use the graph, as text by name; feature settings by librosa's words.

    `frames` says which samples a frame covers; the others are as in the docstring of `minirsed.features`. Of several
    classes as in `minirsed.export.several.metadata_of_all`.
    """
    views = views_of(detector)
    if len(views) > 1:
        return metadata_of_all([metadata(view) for view in views], detector.label, [view.label for view in views])
    config, win_length = detector.config, WIN
    values = {
        "class": detector.label,
        "thres0": repr(float(detector.thres0)),  # all of its digits: event in the clip if p > thres0 …
        "thres1": detector.thres1,  # … where p_t > thres1, in the longest run of frames or the strongest segment
        "min_gap_s": detector.operating.min_gap_s,  # events with a shorter pause between them are one …
        "min_event_s": detector.operating.min_event_s,  # … and shorter ones are none
        "memory_s": detector.operating.memory_s,  # evidence in p fades in this time; 0: it does not
        "chosen": json.dumps(detector.operating.chosen, sort_keys=True),  # for a promise, see minirsed/alarms; or null
        "rule": detector.config.rule,
        "lead": detector.config.lead,  # frames that the strongest segment is reported to begin before
        "inputs": detector.config.inputs,
        "architecture": config.arch,
        "head": config.head,  # frames: probability is the largest of frame_probabilities, which have been smoothed
        "n_layers": config.n_layers,
        "n_units": config.n_units,
        "minirsed_version": __version__,
        "sr": SAMPLE_RATE,
        "n_fft": len(tables(detector.features["n_mels"], win_length).cosine),
        "win_length": win_length,
        "hop_length": HOP,
        "window": "periodic Hann, then zeros up to n_fft",
        "frames": "frame t covers samples [t*hop_length, t*hop_length + win_length), not centred",
        "spectrum": "power, no pre-emphasis",
        "n_mels": detector.features["n_mels"],
        "fmin": 0,
        "fmax": SAMPLE_RATE / 2,
        "mel_formula": "Slaney",
        "mel_norm": "area 1 (Slaney)",
        "log": "natural",
        "power_floor": detector.features["floor"],
        "shapes": "B >= 1 clips of T >= 1 frames; a clip whose features are not all finite has p = p_t = NaN",
    }
    return {name: value if isinstance(value, str) else f"{value:.12g}" for name, value in values.items()}


def _nan_where_features_are_not_finite(graph, has_classes):
    """Add to p and p_t of a clip 0 · Σ lfbe: NaN or infinity in its features ends as NaN and not as a likely number."""
    p, p_t = OUTPUTS
    zero, both, last = (
        graph.constant("times_nothing", 0, np.float32),
        graph.constant("axes12", [1, 2]),
        graph.constant("axis2", [2]),
    )
    graph.add("ReduceSum", f"{INPUT} {both}", "lfbe_sum", keepdims=1)
    graph.add("Mul", f"lfbe_sum {zero}", "no_sum")  # (B, 1, 1)
    if has_classes:  # the last axis
        graph.add("Squeeze", f"no_sum {last}", "nothing_of_clip")
        graph.add("Add", "p.of_any nothing_of_clip", p)
        graph.add("Add", "p_t.of_any no_sum", p_t)
        return
    graph.add("Squeeze", f"no_sum {both}", "nothing_of_clip")
    graph.add("Squeeze", f"no_sum {last}", "nothing_of_frames")
    graph.add("Add", "p.of_any nothing_of_clip", p)
    graph.add("Add", "p_t.of_any nothing_of_frames", p_t)


def _normalised(graph, detector, inputs):
    """Zero mean and unit variance per band, x = (inputs − mean) / std: (B, T, D)."""
    graph.constant("mean", detector.mean, np.float32)
    graph.constant("std", detector.std, np.float32)
    graph.add("Sub", f"{inputs} mean", "centred")
    return graph.add("Div", "centred std", "normalised")


def _encoder(graph, params, config, x):
    """f(X) = [h_1 … h_T] (paper, Sec. 3): (B, T, D) → (T, B, K); see `minirsed.multires`."""
    if config.arch in STATES:
        return STATES[config.arch](graph, params, config, x)
    x = graph.add("Transpose", x, "x", perm=[1, 0, 2])
    names, pooled = directions(config.arch), []
    for layer in range(config.n_layers):
        x = _gru_layer(graph, params, layer, x, names)
        if config.arch == "multires":
            x = _average_pairs(graph, x, f"s{layer + 1}")
            pooled.append(x)
    return _sum_of_resolutions(graph, pooled) if config.arch == "multires" else x


def _gru_layer(graph, params, layer, x, names):
    """One layer, its directions side by side: (T, B, D) → (T, B, K)."""
    graph.gru_layer(params, layer, x, names)
    graph.add("Transpose", f"gru{layer}.by_direction", f"gru{layer}.side_by_side", perm=[0, 2, 1, 3])
    keep_keep_rest = graph.constant("keep_keep_rest", [0, 0, -1])  # shape (T, B, directions · H)
    return graph.add("Reshape", f"gru{layer}.side_by_side {keep_keep_rest}", f"gru{layer}.h")


def _average_pairs(graph, h, s):
    """s_i = (h_{2i} + h_{2i+1}) / 2; an odd last frame is averaged with a copy of itself: (T, B, K) → (⌈T/2⌉, B, K).

    The copy is put behind every h; where T is even no pair reaches it.
    """
    zero, one, two = (graph.constant(name, [value]) for name, value in (("zero", 0), ("one", 1), ("two", 2)))
    end = graph.constant("end", [np.iinfo(np.int64).max])
    one_behind = graph.constant("one_behind", [0, 0, 0, 1, 0, 0])
    half = graph.constant("half", 0.5, np.float32)
    graph.add("Pad", f"{h} {one_behind}", f"{s}.padded", mode="edge")
    graph.add("Slice", f"{h} {zero} {end} {zero} {two}", f"{s}.even")  # h[0::2]; start, end, axis, step
    graph.add("Slice", f"{s}.padded {one} {end} {zero} {two}", f"{s}.odd")  # h[1::2]
    graph.add("Add", f"{s}.even {s}.odd", f"{s}.sum")
    return graph.add("Mul", f"{s}.sum {half}", s)


def _sum_of_resolutions(graph, pooled):
    """h_t = Σ_l s^l_{⌊t / 2^l⌋}, l = 1 … L: (⌈T / 2^l⌉, B, K) each → (T, B, K)."""
    first, step = graph.constant("first", 0), graph.constant("step", 1)
    graph.add("Shape", "x", "n_frames_1", start=0, end=1)
    graph.add("Squeeze", "n_frames_1", "n_frames")
    graph.add("Range", f"{first} n_frames {step}", "t")
    for level, s in enumerate(pooled, 1):
        graph.add("Div", f"t {graph.constant(f'rate{level}', 2**level)}", f"{s}.index")  # of integers: rounded down
        graph.add("Gather", f"{s} {s}.index", f"{s}.replicated", axis=0)
    return graph.add("Sum", " ".join(f"{s}.replicated" for s in pooled), "h_resolutions")


def _frames_head(graph, params, h):
    """e_t = wᵀh_t + b, e = max_t of its median (`minirsed.rivals.frames`): names of e_t, not smoothed, and e."""
    graph.constant("w", params["head.w"], np.float32)
    graph.constant("b", params["head.b"], np.float32)
    graph.add("Transpose", h, "h_t", perm=[1, 0, 2])  # (B, T, K)
    graph.add("MatMul", "h_t w", "w_h_t")
    graph.add("Add", "w_h_t b", "e_t")
    return "e_t", graph.add("ReduceMax", smoothed(graph, "e_t", "e_t.smoothed"), "e", axes=[1], keepdims=0)


def _head(graph, params, h):
    """e_t = wᵀh_t, a_t = p_t / Σ p_t as softmax of log p_t, h = Σ a_t h_t, e = wᵀh (paper, Sec. 2): names of e_t, e."""
    graph.constant("w", params["head.w"], np.float32)
    axis1 = graph.constant("axis1", [1])
    graph.add("Transpose", h, "h_t", perm=[1, 0, 2])  # (B, T, K)
    graph.add("MatMul", "h_t w", "e_t")  # (B, T)
    graph.add("Neg", "e_t", "minus_e_t")
    graph.add("Softplus", "minus_e_t", "minus_log_p_t")  # log p_t = −softplus(−e_t)
    graph.add("Neg", "minus_log_p_t", "log_p_t")
    graph.add("Softmax", "log_p_t", "a_t", axis=1)
    graph.add("Unsqueeze", f"a_t {axis1}", "a_row")  # (B, 1, T)
    graph.add("MatMul", "a_row h_t", "h_row")  # (B, 1, K)
    graph.add("Squeeze", f"h_row {axis1}", "h")  # (B, K)
    return "e_t", graph.add("MatMul", "h w", "e")  # (B,)
