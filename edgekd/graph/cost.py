"""What a graph costs, counted from the graph itself: an estimate of no device."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx

from edgekd.errors import RequestError
from edgekd.graph.accumulator import bias
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
    """Constants of convolutions and matrix products, read directly or through a DequantizeLinear, and their biases."""
    weighted = [node for node in graph.nodes if node.op_type in _WEIGHTED]
    sources = {graph.source(name) for node in weighted for name in node.input}
    return {s for s in sources | {bias(graph, node) for node in weighted} if s is not None}


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
        if node.op_type == "DequantizeLinear":
            alias[node.output[0]] = alias.get(node.input[0], node.input[0])
        elif node.op_type != "Constant":
            size = 1 if node.op_type == "QuantizeLinear" else 4
            stored |= {n: prod(graph.shapes[n]) * size for n in node.output if n and not _stays_in_kernel(graph, n)}
    last: dict[str, int] = {}
    for i, node in enumerate(graph.nodes):
        ends = any(name in graph.outputs for name in node.output)
        last |= {alias.get(name, name): len(graph.nodes) if ends else i for name in node.input}
    alive, peak = {name: stored[name] for name in graph.inputs}, 0
    for i, node in enumerate(graph.nodes):
        alive |= {name: stored[name] for name in node.output if name in stored}
        peak = max(peak, sum(alive.values()))
        for name in [n for n in alive if last.get(n, -1) <= i and n not in graph.outputs]:
            del alive[name]
    return int(np.int64(peak))


def _stays_in_kernel(graph: Graph, name: str) -> bool:
    readers = graph.readers.get(name, [])
    return len(readers) == 1 and name not in graph.outputs and readers[0].op_type in _IN_KERNEL
