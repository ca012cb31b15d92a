"""Lossless rewrites of a portable graph into the form an engine reads."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from edgekd.graph.model import Graph


def float_biases(graph: Graph) -> onnx.ModelProto:
    """int32 biases behind a DequantizeLinear as float32 constants on the same grid."""
    changed = {}
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
            codes, scale = graph.constants[node.input[0]], graph.scalar(node.input[1])
            if codes.dtype == np.int32:
                changed[node.output[0]] = codes.astype(np.float32) * scale
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = [node for node in model.graph.node if node.output[0] not in changed]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in changed.items())
    return drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without constants that nothing reads."""
    used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
