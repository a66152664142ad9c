"""A detector for other runtimes, `python -m minirsed.export`: its ONNX graph, checked against our own model."""
