"""A graph as a table of its operators: what they cost, and in which arithmetic they run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
            weight_bytes=sum(stored_bytes(_stored(graph, name)) for name in node.input if _is_constant(graph, name)),
            arithmetic=_arithmetic(graph, node),
            head_room=rooms.get(node.output[0]),
        )
        for node in graph.nodes
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Constant")
    ]


def _arithmetic(graph: Graph, node: onnx.NodeProto) -> str:
    """The types of the codes an operator reads, its weight's last."""
    types = []
    for name in node.input[:2]:
        maker = graph.maker.get(name)
        if maker is not None and maker.op_type == "DequantizeLinear":
            zero = graph.constants.get(maker.input[2]) if len(maker.input) > 2 else np.zeros(1, np.uint8)
            types.append(str(zero.dtype) if zero is not None else "?")
        elif name not in graph.constants:
            return "float"
    return " × ".join(dict.fromkeys(types)) or "float"


def _is_constant(graph: Graph, name: str) -> bool:
    maker = graph.maker.get(name)
    behind = maker is not None and maker.op_type == "DequantizeLinear" and maker.input[0] in graph.constants
    return name in graph.constants or behind


def _stored(graph: Graph, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    maker = graph.maker.get(name)
    source = name if name in graph.constants or maker is None else maker.input[0]
    return graph.constants[source]
