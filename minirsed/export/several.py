"""Several classes as part of an ONNX graph: a head and a rule for each, on the same states, and their answers stacked.

Data flow: states → **several** → p (B, C), p_t (B, T, C) in `minirsed.export.graph`. The values of class c have names
that begin with c and a slash.
"""

import json

OF_CLASS = (
    "thres0",
    "thres1",
    "min_gap_s",
    "min_event_s",
    "memory_s",
    "chosen",
)  # of the metadata; each class has its own


def stacked(graph, views, append):
    """Append to a graph what `append` makes of each class; the names of p (B, C) and p_t (B, T, C).

    Parameters
    ----------
    graph : minirsed.export.graph.Graph
    views : sequence of C minirsed.detector.Detector
    append : callable
        `append(graph, view)` adds nodes to a graph and returns the names of p (B,) and p_t (B, T).
    """
    p, p_t = [], []
    known = {name for node in graph.nodes for name in node.output}
    for c, view in enumerate(views):
        own = type(graph)()
        of_clip, of_frames = (f"{c}/{name}" for name in append(own, view))
        _take(graph, own, f"{c}/", known)
        axis1, axis2 = graph.constant("axis1", [1]), graph.constant("axis2", [2])
        p.append(graph.add("Unsqueeze", f"{of_clip} {axis1}", f"{c}/p.column"))
        p_t.append(graph.add("Unsqueeze", f"{of_frames} {axis2}", f"{c}/p_t.column"))
    return graph.add("Concat", " ".join(p), "p.of_any", axis=1), graph.add(
        "Concat", " ".join(p_t), "p_t.of_any", axis=2
    )


def metadata_of_all(of_each, label, labels):
    """The metadata of C detectors as one table.

    What a class has of its own becomes a list in JSON, in the order of the outputs' last axis, which `classes` names.
    """
    table = {**of_each[0], "class": label, "classes": json.dumps(labels, ensure_ascii=False)}
    for name in OF_CLASS:
        table[name] = json.dumps([json.loads(own[name]) for own in of_each])
    return table


def _take(graph, own, prefix, known):
    """Append the nodes and constants of another graph under names of their own; `known` and inputs keep theirs."""
    made = {name for node in own.nodes for name in node.output} | own.constants.keys()

    def renamed(name):
        return prefix + name if name in made and name not in known else name

    for node in own.nodes:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        node.name = prefix + node.name if node.name else ""
        graph.nodes.append(node)
    graph.constants |= {renamed(name): value for name, value in own.constants.items()}
