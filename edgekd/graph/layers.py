"""A graph as a table of its operators: what they cost, and in which arithmetic they run."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from edgekd.graph.accumulator import accumulators
from edgekd.graph.cost import macs
from edgekd.graph.model import Graph, stored_bytes


@dataclass(frozen=True)
class Layer:
    """One operator."""

    name: str
    operator: str
    shape: tuple[int, ...]
    macs: int
    weight_bytes: int
    arithmetic: str
    """`int8` and the like where weights or inputs are codes, else `float`."""
    head_room: float | None
    """Bits an int32 accumulator has left at worst."""


def layers(graph: Graph) -> list[Layer]:
    """Every operator but Q/DQ pairs and constants, in graph order."""
    rooms = {a.tensor: a.head_room for a in accumulators(graph)}
    return [
        Layer(
            name=node.output[0],
            operator=node.op_type,
            shape=graph.shapes.get(node.output[0], ()),
            macs=macs(graph, node),
            weight_bytes=sum(stored_bytes(graph.constants[s]) for s in map(graph.source, node.input) if s is not None),
            arithmetic=_arithmetic(graph, node),
            head_room=rooms.get(node.output[0]),
        )
        for node in graph.nodes
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Constant")
    ]


@dataclass(frozen=True)
class Total:
    """What one arithmetic does in a graph."""

    arithmetic: str
    operators: int
    macs: int
    weight_bytes: int


def totals(found: list[Layer]) -> list[Total]:
    """Sums by arithmetic, the most multiply-accumulates first."""
    kinds = dict.fromkeys(layer.arithmetic for layer in found)
    groups = [[layer for layer in found if layer.arithmetic == kind] for kind in kinds]
    sums = [
        Total(g[0].arithmetic, len(g), sum(layer.macs for layer in g), sum(layer.weight_bytes for layer in g))
        for g in groups
    ]
    return sorted(sums, key=lambda t: -t.macs)


def _arithmetic(graph: Graph, node: onnx.NodeProto) -> str:
    """The types of the codes an operator reads, its weight's last; a Relu or Clip works on what its maker reads."""
    before = graph.maker.get(node.input[0]) if node.op_type in ("Relu", "Clip") else None
    if before is not None and before.op_type != "DequantizeLinear":
        return _arithmetic(graph, before)
    types = []
    for name in filter(None, node.input[:2]):
        maker = graph.maker.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            types.append(graph.code_type(maker).name)
        elif name not in graph.constants:
            return "float"
    return " × ".join(dict.fromkeys(types)) or "float"
