"""The float network that Q/DQ pairs were laid on."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgekd.errors import RequestError
from edgekd.graph.model import Array, Graph, along, attributes, code_limits
from edgekd.graph.rewrite.edit import copy_of, finish


def without_pairs(graph: Graph) -> onnx.ModelProto:
    """The graph without pairs: activations are not rounded, constants stand in float32.

    A pair whose range begins at zero clips what is below, and some quantizers leave out a Relu because of it; a Relu
    takes its place. Not the network before training: the weights are the quantized ones. Raises RequestError where an
    input or output is codes, or an operator takes them.
    """
    constants: dict[str, Array] = {}
    renamed: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in copy_of(graph).graph.node:
        source = node.input[0] if node.input else ""
        if node.op_type == "QuantizeLinear":
            renamed[node.output[0]] = _bypass(graph, node, renamed.get(source, source), nodes)
        elif node.op_type == "DequantizeLinear" and source in graph.constants:
            constants[node.output[0]] = _real(graph, node)
        elif node.op_type == "DequantizeLinear" and source in graph.inputs:
            raise RequestError(f"input `{source}` is codes, so the graph has no float form", "give the float model")
        elif node.op_type == "DequantizeLinear" and source not in renamed:
            hint = "give the float model, or one with Q/DQ pairs around float operators"
            raise RequestError(f"`{source}` is codes of an integer operator, so the graph has no float form", hint)
        elif node.op_type == "DequantizeLinear":
            renamed[node.output[0]] = renamed[source]
        else:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            nodes.append(node)
    if left := [
        name for name in graph.outputs if name in graph.maker and graph.maker[name].op_type == "QuantizeLinear"
    ]:
        raise RequestError(f"output `{left[0]}` is codes, so the graph has no float form", "give the float model")
    gone = {name: renamed[name] for name in graph.outputs if name in renamed}
    nodes += [helper.make_node("Identity", [source], [name]) for name, source in gone.items()]
    return finish(copy_of(graph), nodes, constants, {*renamed})


def _bypass(graph: Graph, node: onnx.NodeProto, source: str, nodes: list[onnx.NodeProto]) -> str:
    """What stands for the codes: the value, or its Relu."""
    zero = graph.zero_point(node)
    clips = zero is not None and bool(np.all(zero == code_limits(zero.dtype)[0]))
    maker = next((n for n in nodes if source in n.output), None)
    if clips and (maker is None or maker.op_type not in ("Relu", "Clip", "Sigmoid", "Softmax")):
        nodes.append(helper.make_node("Relu", [source], [f"{node.output[0]}.real"]))
        source = f"{node.output[0]}.real"
    return source


def _real(graph: Graph, node: onnx.NodeProto) -> Array:
    """A constant's real values, float32."""
    codes, scale, zero = graph.constants[node.input[0]], graph.scalar(node.input[1]), graph.zero_point(node)
    assert zero is not None
    attrs = attributes(node)
    shifted = codes.astype(np.int64) - along(zero, codes, attrs).astype(np.int64)
    return (shifted.astype(np.float32) * along(scale, codes, attrs)).astype(np.float32)
