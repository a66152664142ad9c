"""The same work by others, for `python -m minirsed.bench --against`: PyTorch, ONNX Runtime, librosa, sed_eval.

`python -m pip install -e ".[bench]"` brings them; nothing else here needs them. A peer is a function of a row of
`minirsed.bench.rows` and the number of threads; it returns the settings that it can run that work with, by name, each
a function without arguments. The bench compares with the fastest of them.

PyTorch's threads wait for each other in a loop without sleeping. On cores that others use as well a step can then take
ten times as long; OMP_WAIT_POLICY=passive in the environment of the bench makes them sleep, which is the fair
comparison there. Which of the two is faster on a quiet machine has not been measured: try both. ONNX Runtime's
threads are asked to stop as soon as a run has ended.
"""

import importlib
import importlib.metadata

import numpy as np

from minirsed.bench.rows import WINNERS, event_lists, features_and_labels, noise, quick_detector, trained
from minirsed.detector import Detector
from minirsed.features import lfbe

PAUSE_S = {"torch": 1.0}  # after a run: PyTorch's threads spin for a while and would slow whatever follows


def peer(name):
    """`peer(row, n_threads)` of a package, which this loads, and the package's version.

    Raises
    ------
    ImportError
        It is not installed, or misses something that it needs.
    """
    importlib.import_module(name)
    settings = {
        **{"torch": torch_settings, "onnxruntime": onnxruntime_settings},
        **{"librosa": librosa_settings, "sed_eval": sed_eval_settings},
    }[name]
    return settings, importlib.metadata.version(name)


def librosa_settings(row, n_threads):
    """Mel energies and their logarithm; librosa's transform uses one thread."""
    if row.key != "lfbe":
        return {}
    import librosa

    y = noise()

    def lfbe():
        energy = librosa.feature.melspectrogram(
            y=y, sr=44100, n_fft=2048, win_length=2029, hop_length=1014, center=False, power=2.0, n_mels=64
        )
        return np.log(np.maximum(energy, 1e-10)).T

    return {"librosa": lfbe}


def sed_eval_settings(row, n_threads):
    """Event-based metrics with the settings of DCASE 2017 task 2; the lists are in its own containers already."""
    if row.key != "scoring":
        return {}
    import dcase_util
    import sed_eval

    def contained(events, file):
        names = ("onset", "offset", "event_label")
        return dcase_util.containers.MetaDataContainer(
            [{"filename": file, **dict(zip(names, event, strict=True))} for event in events]
        )

    both = event_lists(500, np.random.default_rng(0))
    reference, estimated = ({file: contained(events, file) for file, events in lists.items()} for lists in both)

    def score():
        metrics = sed_eval.sound_event.EventBasedMetrics(
            event_label_list=["gunshot"], t_collar=0.5, evaluate_onset=True, evaluate_offset=False
        )
        for file in reference:
            metrics.evaluate(reference_event_list=reference[file], estimated_event_list=estimated[file])
        return metrics.results_overall_metrics(), metrics.results_class_wise_metrics()

    return {"sed_eval": score}


def onnxruntime_settings(row, n_threads):
    """What `minirsed.export` writes; for a stream, its layers with a state; for a clip, after our features."""
    if row.key not in ("inference", "stream", "clip"):
        return {}
    from minirsed.export.graph import build

    if row.key == "clip":
        detector, y = quick_detector(), noise()
        session = onnx_session(build(detector), n_threads)

        def clip():
            features = lfbe(y, **detector.features)[None]
            p, p_t = session.run(["probability", "frame_probabilities"], {"lfbe": features})
            return detector.decode(float(p[0]), p_t[0])

        return {"onnxruntime": clip}
    params, config = trained(**row.shape)
    x = features_and_labels(row.shape["size"])[0]
    if row.key == "stream":
        return {"onnxruntime": onnx_step(onnx_session(step_graph(params, config), n_threads), config, x)}
    detector = Detector(config, params, "event", np.zeros(config.n_inputs), np.ones(config.n_inputs))
    session = onnx_session(build(detector), n_threads)
    return {"onnxruntime": lambda: [session.run(None, {"lfbe": x})]}


def onnx_session(model, n_threads):
    """A session on so many threads, which do not spin between runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = n_threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def step_graph(params, config):
    """`uni` with its states as inputs and outputs: an `onnx.ModelProto`, x (T, 1, D), h0, h1 … → e (T, 1), n0, n1 …"""
    from onnx import TensorProto, helper

    from minirsed.export.graph import IR_VERSION, OPSET, Graph

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph, H = Graph(), config.n_units
    x, inputs, outputs = "x", [value("x", "T", 1, config.n_inputs)], [value("e", "T", 1)]
    for layer in range(config.n_layers):
        own = {key: params[f"gru{layer}.fwd.{key}"] for key in ("W", "U", "b")}
        W, R = (graph.constant(f"{key}{layer}", own[key].T[None], np.float32) for key in ("W", "U"))
        b = graph.constant(f"b{layer}", np.pad(own["b"], (0, 3 * H))[None], np.float32)
        names, made = [x, W, R, b, "", f"h{layer}"], [f"y{layer}", f"n{layer}"]
        graph.nodes.append(helper.make_node("GRU", names, made, hidden_size=H, linear_before_reset=0))
        x = graph.add("Squeeze", f"y{layer} {graph.constant('axis1', [1])}", f"x{layer}")
        inputs.append(value(f"h{layer}", 1, 1, H))
        outputs.append(value(f"n{layer}", 1, 1, H))
    graph.add("MatMul", f"{x} {graph.constant('w', params['head.w'], np.float32)}", "e")
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph.subgraph("step", inputs, outputs), opset_imports=opset, ir_version=IR_VERSION)


def onnx_step(session, config, x):
    """A function that runs the next frames and keeps the state."""
    x, state = np.ascontiguousarray(x.swapaxes(0, 1)), {}
    for layer in range(config.n_layers):
        state[f"h{layer}"] = np.zeros((1, 1, config.n_units), np.float32)

    def step():
        logits, *after = session.run(None, {"x": x, **state})
        state.update(zip(state, after, strict=True))
        return logits

    return step


def torch_settings(row, n_threads):
    """The same model with nn.GRU and the like, in both orders of memory; Adam fused into one kernel."""
    if row.key not in ("step", "inference") or row.shape["size"].members > 1:
        return {}
    import torch

    torch.set_num_threads(n_threads)
    make = torch_step if row.key == "step" else torch_inference
    if row.shape["arch"] in WINNERS:
        orders = ("channels first", "channels last")
        return {f"torch, {order}": make(torch, row.shape, order == "channels last") for order in orders}
    return {f"torch, {order}": make(torch, row.shape, order == "time first") for order in ("clips first", "time first")}


def torch_model(torch, arch, n_layers, size, time_first):
    """The recurrent layers as nn.GRU, whose reset gate acts after the product: the same cost, other weights."""
    bidirectional = arch != "uni"
    n_states = size.units * (2 if bidirectional else 1)
    time = 0 if time_first else 1

    def gru(n_inputs, n_stacked):
        return torch.nn.GRU(n_inputs, size.units, n_stacked, batch_first=not time_first, bidirectional=bidirectional)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            if arch == "multires":
                layers = [gru(n_states if layer else size.inputs, 1) for layer in range(n_layers)]
            else:
                layers = [gru(size.inputs, n_layers)]
            self.layers = torch.nn.ModuleList(layers)
            self.w = torch.nn.Parameter(0.05 * torch.randn(n_states))

        def states(self, x):
            if arch != "multires":
                return self.layers[0](x)[0]
            n_frames, total = x.shape[time], 0.0
            for number, layer in enumerate(self.layers, 1):
                x = layer(x)[0]
                length = x.shape[time]
                if length % 2:
                    x = torch.cat([x, x.narrow(time, length - 1, 1)], time)
                x = x.unflatten(time, (-1, 2)).mean(time + 1)
                total = total + x.repeat_interleave(2**number, time).narrow(time, 0, n_frames)
            return total

        def forward(self, x):
            h = self.states(x.transpose(0, 1).contiguous() if time_first else x)
            logits = h @ self.w
            p = torch.sigmoid(logits)
            pooled = ((p / p.sum(time, keepdim=True)).unsqueeze(2) * h).sum(time)
            return (logits.t() if time_first else logits), pooled @ self.w

    return Model()


def torch_winner(torch, arch, n_layers, size, channels_last):
    """`minirsed.rivals.crnn1d` and `crnn` with Conv2d, BatchNorm2d, LSTM and GRU, as `torch_model` has the others."""
    nn, functional, H = torch.nn, torch.nn.functional, size.units
    kernels, n_maps, drop = (((1, 32), H, 0.3), ((3, 3), 4 * H, 0.5))[arch == "crnn"]
    pools = (8, 2, 2) if arch == "crnn" else (size.inputs - 31,)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            maps = []
            for i, pool in enumerate(pools):
                conv = nn.Conv2d(n_maps if i else 1, n_maps, kernels, padding=int(arch == "crnn"), bias=False)
                maps += [conv, nn.BatchNorm2d(n_maps), nn.ReLU(), nn.MaxPool2d((1, pool)), nn.Dropout(drop)]
            self.maps = nn.Sequential(*maps)
            n_seen = size.inputs // 32 * n_maps
            self.grus = nn.ModuleList(
                nn.GRU(H if layer else n_seen, H, batch_first=True, bidirectional=True)
                for layer in range(n_layers if arch == "crnn" else 0)
            )
            self.lstm = None if arch == "crnn" else nn.LSTM(H, H, n_layers, batch_first=True)
            self.dense, self.w = nn.Linear(H, H), nn.Linear(H, 1)

        def forward(self, x):
            x = x[:, None]
            x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
            h = self.maps(x).permute(0, 2, 3, 1).flatten(2)
            for gru in self.grus:
                ahead, behind = gru(h)[0].chunk(2, 2)
                h = ahead * behind
            h = functional.dropout(self.dense(h), 0.5, self.training) if arch == "crnn" else self.from_the_end(h)
            logits = self.w(h)[..., 0]
            return logits, None if self.training else smooth_maximum(logits)

        def from_the_end(self, h):
            return torch.relu(self.dense(self.lstm(h.flip(1))[0].flip(1)))

    def smooth_maximum(logits):
        return functional.pad(logits, (11, 11), value=-torch.inf).unfold(1, 23, 1).median(2).values.amax(1)

    model = Model()
    return model.to(memory_format=torch.channels_last) if channels_last else model


def torch_step(torch, shape, order):
    """Forward, backward and Adam of a batch."""
    is_winner = shape["arch"] in WINNERS
    model = (torch_winner if is_winner else torch_model)(torch, *shape.values(), order)
    adam = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    x, labels = map(torch.from_numpy, features_and_labels(shape["size"]))
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    weights = labels / labels.sum(1, keepdim=True).clamp(min=1)

    def step():
        frame_logits, clip_logit = model(x)
        if is_winner:
            loss = loss_of(frame_logits, labels)
        else:
            frame_loss = (weights * loss_of(frame_logits, labels, reduction="none")).sum(1).mean()
            loss = loss_of(clip_logit, labels.amax(1)) + frame_loss
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def torch_inference(torch, shape, order):
    """Logits of all clips in batches of ten."""
    model = (torch_winner if shape["arch"] in WINNERS else torch_model)(torch, *shape.values(), order).eval()
    batches = torch.from_numpy(features_and_labels(shape["size"])[0]).split(10)

    def logits():
        with torch.inference_mode():
            return [model(x) for x in batches]

    return logits
