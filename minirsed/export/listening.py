"""What `minirsed.listening` puts before and behind the network, as ONNX nodes.

Data flow: **listening** → graph. Names of values are those of the equations in `listening.inputs` and `segments`.
"""

import numpy as np

from minirsed.listening.inputs import (
    FORGET,
    PCEN_FLOOR,
    PCEN_FORGET,
    PCEN_GAIN,
    PCEN_OFFSET,
    PCEN_ROOT,
    RATE,
    RELATIVE_FLOOR,
    band_widths_hz,
    n_bands,
)
from minirsed.listening.segments import EVIDENCE, MOST_A_FRAME, logit, retention


def relative_inputs(graph, lfbe, n_mels):
    """`minirsed.listening.inputs.relative` of LFBE (B, T, n_mels): the name of x (B, ⌈T/2⌉, D)."""
    width = band_widths_hz(n_mels)[: n_bands(n_mels)]
    power = _pairs(graph, lfbe, n_mels)
    graph.add(
        "MatMul", f"{power} {graph.constant('w_m', (width / width.sum())[:, None], np.float32)}", "L"
    )  # (B, T', 1)
    graph.add("Div", f"{power} {_running_mean(graph, power, 'L', FORGET)}", "P_over_M")
    graph.add("Add", f"P_over_M {_number(graph, 'relative_floor', RELATIVE_FLOOR)}", "P_over_M.floored")
    return graph.add("Log", "P_over_M.floored", "inputs")


def pcen_inputs(graph, lfbe, n_mels):
    """`minirsed.listening.inputs.pcen` of LFBE (B, T, n_mels): the name of x (B, ⌈T/2⌉, D)."""
    power = _pairs(graph, lfbe, n_mels)
    mean = _running_mean(graph, power, power, PCEN_FORGET)
    graph.add("Add", f"{mean} {_number(graph, 'epsilon', PCEN_FLOOR)}", "M.floored")
    graph.add("Pow", f"M.floored {_number(graph, 'minus_alpha', -PCEN_GAIN)}", "gain_of_M")
    graph.add("Mul", f"{power} gain_of_M", "P_over_M")
    graph.add("Add", f"P_over_M {_number(graph, 'delta', PCEN_OFFSET)}", "P_over_M.raised")
    graph.add("Pow", f"P_over_M.raised {_number(graph, 'r', PCEN_ROOT)}", "root")
    return graph.add("Sub", f"root {_number(graph, 'root_of_delta', PCEN_OFFSET**PCEN_ROOT)}", "inputs")


INPUT_NODES = {"relative": relative_inputs, "pcen": pcen_inputs}  # lfbe has none


def _pairs(graph, lfbe, n_mels):
    """P_im (B, T', D) of LFBE (B, T, n_mels): power of the lowest bands, neighbouring frames averaged."""
    start, second, end = (graph.constant(name, [v]) for name, v in (("start", 0), ("second", 1), ("last", 2**62)))
    time, band, pair = (graph.constant(name, [v]) for name, v in (("time_axis", 1), ("band_axis", 2), ("pair", RATE)))
    graph.add("Slice", f"{lfbe} {start} {graph.constant('D', [n_bands(n_mels)])} {band}", "lfbe_low")
    graph.add("Exp", "lfbe_low", "P_t")
    graph.add("Pad", f"P_t {graph.constant('one_frame_more', [0, 0, 0, 0, 1, 0])}", "P_t.padded", mode="edge")
    graph.add("Slice", f"P_t {start} {end} {time} {pair}", "P.even")
    graph.add("Slice", f"P_t.padded {second} {end} {time} {pair}", "P.odd")  # an odd last frame: with itself
    graph.add("Add", "P.even P.odd", "P.sum")
    return graph.add("Mul", f"P.sum {_number(graph, 'half_a_pair', 0.5)}", "P")


def _running_mean(graph, power, values, forget):
    """M of (B, T', n) values: a product with a triangular matrix of all pairs of frames, 1.7 MB in a clip of 30 s."""
    graph.add("Shape", power, "n_pairs_1", start=1, end=2)
    graph.add("Squeeze", "n_pairs_1", "n_pairs")
    graph.add("Range", f"{graph.constant('from_0', 0)} n_pairs {graph.constant('by_1', 1)}", "i")
    graph.add("Unsqueeze", f"i {graph.constant('as_column', [1])}", "i.column")
    graph.add("Sub", "i.column i", "age")  # i − k, (T', T')
    graph.add("Cast", "age", "age.float", to=1)
    graph.add("Mul", f"age.float {_number(graph, 'ln_a', np.log(forget))}", "ln_a_age")
    graph.add("Exp", "ln_a_age", "a_age.all")
    graph.add("Trilu", "a_age.all", "a_age", upper=0)  # a^(i−k), 0 for k > i
    graph.add("MatMul", f"a_age {values}", "M.numerator")
    graph.add("ReduceSum", f"a_age {graph.constant('over_k', [1])}", "M.denominator", keepdims=1)
    return graph.add("Div", "M.numerator M.denominator", "M")


def repeated(graph, logits, lfbe):
    """Each logit of (B, ⌈T/2⌉) twice, cut to the T frames of `lfbe`: the name of (B, T)."""
    graph.add("Shape", lfbe, "n_lfbe_1", start=1, end=2)
    graph.add("Squeeze", "n_lfbe_1", "n_lfbe")
    graph.add("Range", f"{graph.constant('from_0', 0)} n_lfbe {graph.constant('by_1', 1)}", "t_lfbe")
    graph.add("Div", f"t_lfbe {graph.constant('frames_of_input', RATE)}", "t_inputs")  # of integers: rounded down
    return graph.add("Gather", f"{logits} t_inputs", "e_t.repeated", axis=1)


def strongest_probability(graph, frame_logits, thres1, memory_s, output):
    """Compute p = 1 − 2^(−S / EVIDENCE) of e_t (B, T), S the peak of `segments.strongest_segments`."""
    from onnx import TensorProto, helper

    def state(name):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)

    frame = type(graph)()  # one step of the sum, for all clips at once
    zero, least = _number(frame, "C.zero", 0.0), _number(frame, "EVIDENCE", EVIDENCE)
    frame.add("Sub", f"peak.before {least}", "lowest")
    frame.add("Max", f"lowest {zero}", "ended")  # at or below it, the segment has ended
    frame.add("LessOrEqual", "C.before ended", "is_new")
    frame.add("Where", f"is_new {zero} C.before", "C.kept")
    frame.add("Where", f"is_new {zero} peak.before", "peak.kept")
    frame.add("Add", "C.kept gain", "C.after")
    frame.add("Max", "peak.kept C.after", "peak.after")
    names, sums = ("C", "peak", "S"), "C.after"
    if memory_s:
        frame.add("Max", f"F.before {zero}", "F.above")
        frame.add("Where", f"is_new {zero} F.above", "F.kept")
        frame.add("Mul", f"F.kept {_number(frame, 'r', retention(memory_s))}", "F.faded")
        names, sums = (*names, "F"), frame.add("Add", "F.faded gain", "F.after")
    frame.add("Max", f"S.before {sums}", "S.after")
    body = frame.subgraph(
        "frame", [state(f"{name}.before") for name in names] + [state("gain")], [state(f"{n}.after") for n in names]
    )
    limits = (_number(graph, name, value) for name, value in (("least_e", -MOST_A_FRAME), ("most_e", MOST_A_FRAME)))
    graph.add("Clip", f"{frame_logits} {' '.join(limits)}", "evidence_t")
    graph.add("Sub", f"evidence_t {_number(graph, 'b', logit(thres1))}", "gain_t")
    graph.add("ReduceMax", "gain_t", "gain.most", axes=[1], keepdims=0)
    graph.add("Mul", f"gain.most {_number(graph, 'nothing', 0.0)}", "C.start")  # (B,) zeros
    ends = ["S" if name == "S" else f"{name}.end" for name in names]
    graph.scan(f"{'C.start ' * len(names)}gain_t", ends, body, axis=1)
    graph.add("Mul", f"S {_number(graph, 'bits', -np.log(2) / EVIDENCE)}", "S.bits")
    graph.add("Exp", "S.bits", "p.not")
    return graph.add("Sub", f"{_number(graph, 'all', 1.0)} p.not", output)


def _number(graph, name, value):
    return graph.constant(name, value, np.float32)
