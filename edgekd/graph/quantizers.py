"""The quantizer map of a graph: each quantized tensor, its grid, and what lies on the same one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx

from edgekd.graph.model import Graph, code_limits

_ROLES = {1: "weight", 2: "bias"}


@dataclass(frozen=True)
class Quantizer:
    """One quantized tensor. `low` and `high` are the ends of its real range, of the widest channel."""

    tensor: str
    role: str
    """`activation`, `weight`, `bias`, or `constant`."""
    type: str
    scales: int
    """How many: one, or one a channel or block."""
    scale_min: float
    scale_max: float
    zero: int | None
    """None where channels differ."""
    low: float
    high: float
    power_of_two: bool
    shares_with: tuple[str, ...] = ()
    """Other activations of the same type, scale and zero point."""


def quantizers(graph: Graph) -> list[Quantizer]:
    """Of every QuantizeLinear, and every DequantizeLinear of a constant or an input; not where a scale is computed."""
    found = [
        _quantizer(graph, node)
        for node in graph.nodes
        if (node.op_type == "QuantizeLinear" or _starts_here(graph, node))
        and node.input[1] in graph.constants
        and graph.zero_point(node) is not None
    ]
    groups: dict[tuple[object, ...], list[str]] = {}
    for q in found:
        if q.role == "activation" and q.scales == 1:
            groups.setdefault((q.type, q.scale_min, q.zero), []).append(q.tensor)
    return [
        replace(q, shares_with=tuple(t for t in groups.get((q.type, q.scale_min, q.zero), ()) if t != q.tensor))
        if q.role == "activation"
        else q
        for q in found
    ]


def _starts_here(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether codes enter the graph at a DequantizeLinear."""
    return node.op_type == "DequantizeLinear" and (node.input[0] in graph.constants or node.input[0] in graph.inputs)


def _quantizer(graph: Graph, node: onnx.NodeProto) -> Quantizer:
    scale, zero = graph.constants[node.input[1]].astype(np.float64), graph.zero_point(node)
    assert zero is not None
    low, high = code_limits(zero.dtype)
    points = zero.astype(np.int64)
    quantizes = node.op_type == "QuantizeLinear"
    return Quantizer(
        tensor=node.output[0] if quantizes else node.input[0],
        role="activation" if quantizes or node.input[0] in graph.inputs else _role(graph, node),
        type=str(zero.dtype),
        scales=scale.size,
        scale_min=float(scale.min()),
        scale_max=float(scale.max()),
        zero=int(points.flat[0]) if np.all(points == points.flat[0]) else None,
        low=float(((low - points) * scale).min()),
        high=float(((high - points) * scale).max()),
        power_of_two=bool(np.all(np.frexp(scale)[0] == 0.5)),
    )


def _role(graph: Graph, node: onnx.NodeProto) -> str:
    """What a constant is to its first reader."""
    for reader in graph.readers.get(node.output[0], []):
        if reader.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            return _ROLES.get(list(reader.input).index(node.output[0]), "constant")
    return "constant"
