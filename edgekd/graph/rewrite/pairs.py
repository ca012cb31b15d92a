"""The float twin of a quantized graph: the same network without its Q/DQ pairs."""

from __future__ import annotations

import numpy as np
import onnx

from edgekd.graph.model import Array, Graph, along, attributes
from edgekd.graph.rewrite.edit import copy_of, finish

_PAIR = ("QuantizeLinear", "DequantizeLinear")


def without_pairs(graph: Graph) -> onnx.ModelProto:
    """Activations pass their pairs unrounded, constants are the float32 numbers their codes stand for.

    Not the network as it was trained in float: what the same one costs there.
    """
    model, constants, renamed, nodes = copy_of(graph), dict[str, Array](), dict[str, str](), list[onnx.NodeProto]()
    for node in model.graph.node:
        source = renamed.get(node.input[0], node.input[0]) if node.input else ""
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
            constants[node.output[0]] = _real(graph, node)
        elif node.op_type in _PAIR and node.output[0] in graph.outputs:
            nodes.append(onnx.helper.make_node("Identity", [source], [node.output[0]]))
        elif node.op_type in _PAIR:
            renamed[node.output[0]] = source
        else:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            nodes.append(node)
    return finish(model, nodes, constants, set(renamed) | set(constants))


def _real(graph: Graph, node: onnx.NodeProto) -> Array:
    """`(q - z) * s`, as ONNX defines DequantizeLinear."""
    codes, zero, attrs = graph.constants[node.input[0]], graph.zero_point(node), attributes(node)
    scale = along(graph.scalar(node.input[1]), codes, attrs)
    point = np.int32(0) if zero is None else along(zero.astype(np.int32), codes, attrs)
    return ((codes.astype(np.int32) - point) * scale).astype(np.float32)
