"""The networks of `minirsed.rivals` as parts of an ONNX graph, equation by equation.

Data flow: normalised features → **rivals** → states, in the place of the layers in `minirsed.export.graph`.

When detecting, batch normalisation is y = a z + b with a = γ / √(σ² + ε) and b = β − a μ, so it is left out: kernels
are multiplied by a, and b is the bias of the convolution. Maps are (B, M, T, bands), states (T, B, ·).

ONNX's LSTM has its gates in the order [i | o | f | g], its matrices transposed, and a second bias, which is 0 here.
"""

import numpy as np

from minirsed.rivals import crnn
from minirsed.rivals.batch_norm import EPSILON
from minirsed.rivals.frames import SMOOTHING_FRAMES
from minirsed.rivals.mlp import CONTEXT
from minirsed.rivals.naming import part

BEYOND = -1e30  # logit beyond the edges: no number is smaller, and p_t is 0


def crnn1d_states(graph, params, config, x):
    """`minirsed.rivals.crnn1d`: x (B, T, D) → (T, B, H)."""
    maps = _maps(graph, params, "conv0", _one_map(graph, x), (0, 0, 0, 0))
    graph.add("ReduceMax", maps, "conv0.anywhere", axes=[3], keepdims=0)  # (B, M, T)
    h = graph.add("Transpose", "conv0.anywhere", "a0", perm=[2, 0, 1])
    for layer in range(config.n_layers):
        h = _lstm_layer(graph, part(params, f"lstm{layer}"), f"lstm{layer}", h)
    return _dense(graph, part(params, "dense"), "dense", h, rectify=True)


def crnn_states(graph, params, config, x):
    """`minirsed.rivals.crnn`: x (B, T, D) → (T, B, H)."""
    maps = _one_map(graph, x)
    for i, size in enumerate(crnn.POOLS):
        maps = _maps(graph, params, f"conv{i}", maps, (1, 1, 1, 1))
        maps = graph.add("MaxPool", maps, f"conv{i}.y", kernel_shape=[1, size], strides=[1, size])
    graph.add("Transpose", maps, "bands_of_frames", perm=[2, 0, 3, 1])  # (T, B, bands, M)
    h = graph.add("Reshape", f"bands_of_frames {graph.constant('keep_keep_rest', [0, 0, -1])}", "a0")
    for layer in range(config.n_layers):
        graph.gru_layer(params, layer, h, crnn.DIRECTIONS)
        h = graph.add("ReduceProd", f"gru{layer}.by_direction", f"a{layer + 1}", axes=[1], keepdims=0)
    return _dense(graph, part(params, "dense"), "dense", h, rectify=False)


def mlp_states(graph, params, config, x):
    """`minirsed.rivals.mlp`: x (B, T, D) → (T, B, H)."""
    edges = graph.constant("edges", [0, CONTEXT, 0, 0, CONTEXT, 0])
    graph.add("Pad", f"{x} {edges}", "padded", mode="edge")
    h = graph.shifted("padded", 2 * CONTEXT + 1, "with_context")
    for layer in range(config.n_layers):
        h = _dense(graph, part(params, f"mlp{layer}"), f"mlp{layer}", h, rectify=True)
    return graph.add("Transpose", h, "states", perm=[1, 0, 2])


STATES = {"crnn1d": crnn1d_states, "crnn": crnn_states, "mlp": mlp_states}


def smoothed(graph, logits, name):
    """Median of (B, T) over `SMOOTHING_FRAMES`: the smallest of the larger half; a name for it."""
    half = SMOOTHING_FRAMES // 2
    ends = graph.constant("ends", [0, half, 0, half])
    graph.add("Pad", f"{logits} {ends} {graph.constant('beyond', BEYOND, np.float32)}", f"{name}.padded")
    graph.add("Unsqueeze", f"{name}.padded {graph.constant('axis2', [2])}", f"{name}.column")
    windows = graph.shifted(f"{name}.column", SMOOTHING_FRAMES, f"{name}.windows")  # (B, T, 23)
    larger = graph.largest(windows, half + 1, f"{name}.larger")
    return graph.add("ReduceMin", larger, name, axes=[2], keepdims=0)


def _one_map(graph, x):
    """(B, T, D) → (B, 1, T, D)."""
    return graph.add("Unsqueeze", f"{x} {graph.constant('axis1', [1])}", "one_map")


def _maps(graph, params, name, x, pads):
    """ReLU(BN(W * x)): (B, C, T, F) → (B, M, T, F')."""
    own = {key: np.asarray(value, np.float64) for key, value in part(params, name).items()}
    a = own["gamma"] / np.sqrt(own["running_var"] + EPSILON)
    graph.constant(f"{name}.W", (own["W"] * a).transpose(3, 2, 0, 1), np.float32)  # (M, C, I, J)
    graph.constant(f"{name}.b", own["beta"] - a * own["running_mean"], np.float32)
    graph.add("Conv", f"{x} {name}.W {name}.b", f"{name}.n", pads=list(pads))
    return graph.add("Relu", f"{name}.n", f"{name}.a")


def _lstm_layer(graph, params, name, x):
    """(T, B, D) → (T, B, H), from the last frame to the first."""
    n_units = len(params["U"])

    def in_order(columns):
        i, f, g, o = np.split(columns, 4, axis=-1)
        return np.concatenate([i, o, f, g], axis=-1)

    graph.constant(f"{name}.W", in_order(params["W"]).T[None], np.float32)  # (1, 4H, D)
    graph.constant(f"{name}.R", in_order(params["U"]).T[None], np.float32)
    graph.constant(f"{name}.b", np.pad(in_order(params["b"]), (0, 4 * n_units))[None], np.float32)
    inputs = f"{x} {name}.W {name}.R {name}.b"
    graph.add("LSTM", inputs, f"{name}.by_direction", hidden_size=n_units, direction="reverse")
    return graph.add("Squeeze", f"{name}.by_direction {graph.constant('axis1', [1])}", f"{name}.h")


def _dense(graph, params, name, x, *, rectify):
    """X W + b, or max(x W + b, 0), of the last axis."""
    for key in ("W", "b"):
        graph.constant(f"{name}.{key}", params[key], np.float32)
    graph.add("MatMul", f"{x} {name}.W", f"{name}.products")
    z = graph.add("Add", f"{name}.products {name}.b", f"{name}.z")
    return graph.add("Relu", z, f"{name}.h") if rectify else z
