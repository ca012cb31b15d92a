"""ONNX Runtime with every optimisation off: the witness of `rne_f32` where all scales are powers of two."""

from __future__ import annotations

import numpy as np
import onnxruntime
from edgekd.graph.model import Graph


def reference(graph: Graph, inputs, expose=()):
    """Outputs by name, and the tensors of `expose`."""
    model = graph.model
    for name in expose:
        model = Graph(type(model).FromString(Graph(model).expose(name))).model
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(None, inputs)
    return {o.name: np.asarray(v) for o, v in zip(session.get_outputs(), values, strict=True)}
