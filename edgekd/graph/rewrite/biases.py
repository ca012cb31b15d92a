"""Biases as integers on the accumulator's grid, or as float numbers on it."""

from __future__ import annotations

import numpy as np
import onnx

from edgekd.errors import RequestError
from edgekd.graph.model import Array, Graph
from edgekd.graph.rewrite.edit import copy_of, finish


def float_biases(graph: Graph) -> onnx.ModelProto:
    """int32 biases behind a DequantizeLinear as float32 constants on the same grid."""
    changed = {}
    for node in graph.nodes:
        if node.op_type == "DequantizeLinear" and node.input[0] in graph.constants:
            codes, scale = graph.constants[node.input[0]], graph.scalar(node.input[1])
            if codes.dtype == np.int32:
                changed[node.output[0]] = codes.astype(np.float32) * scale
    model = copy_of(graph)
    return finish(model, [n for n in model.graph.node if n.output[0] not in changed], changed, set())


def integer_biases(graph: Graph) -> onnx.ModelProto:
    """float32 biases of operators on codes as int32 constants behind a DequantizeLinear.

    Raises RequestError where a bias is not an integer multiple of `s_x * s_w` that an int32 holds.
    """
    model, constants, nodes = copy_of(graph), dict[str, Array](), []
    for node in model.graph.node:
        grid = _grid(graph, node)
        if grid is not None:
            codes = _codes(node.input[2], graph.constants[node.input[2]], grid)
            names = [f"{node.output[0]}.bias.{part}" for part in ("codes", "scale", "real")]
            constants |= {names[0]: codes, names[1]: grid}
            nodes.append(onnx.helper.make_node("DequantizeLinear", names[:2], names[2:], axis=0))
            node.input[2] = names[2]
        nodes.append(node)
    return finish(model, nodes, constants, set())


def _grid(graph: Graph, node: onnx.NodeProto) -> Array | None:
    """`s_x * s_w` for each output channel, where a float bias meets codes; else None."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm") or len(node.input) < 3:
        return None
    x, weight = (graph.maker.get(name) for name in node.input[:2])
    dequantized = all(m is not None and m.op_type == "DequantizeLinear" for m in (x, weight))
    if x is None or weight is None or not dequantized or node.input[2] not in graph.constants:
        return None
    scale = (graph.scalar(x.input[1]) * graph.scalar(weight.input[1])).astype(np.float32)
    return np.broadcast_to(scale.ravel(), graph.constants[node.input[2]].shape)


def _codes(name: str, bias: Array, grid: Array) -> Array:
    codes = np.rint(bias.astype(np.float64) / grid)
    if np.abs(codes).max(initial=0) >= 2**31 or not np.array_equal(codes.astype(np.float32) * grid, bias):
        raise RequestError(f"bias `{name}` does not lie on its accumulator's grid", "round it there before")
    return codes.astype(np.int32)
