"""What a graph costs, counted from the graph itself: an estimate of no device."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from edgekd.errors import RequestError
from edgekd.graph.model import Graph, attributes, stored_bytes

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_IN_KERNEL = ("QuantizeLinear", "Relu", "Clip", "Add")


@dataclass(frozen=True)
class Cost:
    """Counts of one graph at its static shape."""

    parameters: int
    """Weights and biases, scales and zero points left out."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products, one inference."""
    weight_bytes: int
    """Weights and biases as stored."""
    peak_activation_bytes: int
    """Most bytes of activations alive at once, operators in graph order."""


def count(graph: Graph) -> Cost:
    """Cost of a portable graph or of a float one. Raises RequestError where a shape is not static."""
    unknown = [n for node in graph.nodes for n in node.output if n and 0 in graph.shapes.get(n, (0,))]
    if unknown:
        raise RequestError(f"the shape of `{unknown[0]}` is not static", "fix the graph's input shape")
    weights = _weights(graph)
    return Cost(
        parameters=sum(graph.constants[name].size for name in weights),
        macs=sum(macs(graph, node) for node in graph.nodes),
        weight_bytes=sum(stored_bytes(graph.constants[name]) for name in weights),
        peak_activation_bytes=_peak(graph),
    )


def _weights(graph: Graph) -> set[str]:
    """Constants that convolutions and matrix products read, directly or through a DequantizeLinear."""
    out = set()
    for node in graph.nodes:
        if node.op_type in _WEIGHTED:
            for name in node.input:
                maker = graph.maker.get(name)
                source = maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else name
                if source in graph.constants:
                    out.add(source)
    return out


def macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-accumulates of one operator, one inference; 0 where its shape is not static."""
    if node.op_type not in _WEIGHTED or any(n not in graph.shapes for n in (*node.input[:2], node.output[0])):
        return 0
    out, weight = (
        graph.shapes[node.output[0]],
        graph.shapes.get(node.input[1] if len(node.input) > 1 else "", ()),
    )
    if node.op_type == "Conv":
        return prod(out) * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return prod(graph.shapes[node.input[0]]) * prod(weight[1:])
    if node.op_type in ("Gemm", "MatMul"):
        return prod(out) * graph.shapes[node.input[0]][0 if attributes(node).get("transA", 0) else -1]
    return 0


def _peak(graph: Graph) -> int:
    """Liveness over the tensors that are stored.

    Not stored: a dequantized tensor (its codes are), and one whose only reader works in the maker's kernel
    (`_IN_KERNEL`). Codes take one byte an element, all else four.
    """
    stored = {name: prod(graph.shapes[name]) * 4 for name in graph.inputs}
    alias: dict[str, str] = {}
    for node in graph.nodes:
        name, readers = node.output[0], graph.readers.get(node.output[0], [])
        if node.op_type == "DequantizeLinear":
            alias[name] = alias.get(node.input[0], node.input[0])
        elif node.op_type != "Constant":
            alone = len(readers) == 1 and name not in graph.outputs
            if not (alone and readers[0].op_type in _IN_KERNEL):
                stored[name] = prod(graph.shapes[name]) * (1 if node.op_type == "QuantizeLinear" else 4)
    last = {}
    for i, node in enumerate(graph.nodes):
        for name in node.input:
            last[alias.get(name, name)] = len(graph.nodes) if node.output[0] in graph.outputs else i
    alive, peak = {name: stored[name] for name in graph.inputs}, 0
    for i, node in enumerate(graph.nodes):
        if node.output[0] in stored:
            alive[node.output[0]] = stored[node.output[0]]
        peak = max(peak, sum(alive.values()))
        for name in [n for n in alive if last.get(n, -1) <= i and n not in graph.outputs]:
            del alive[name]
    return int(np.int64(peak))
