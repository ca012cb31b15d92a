"""A graph beside the layers in which an engine really ran it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import onnx

from edgekd.graph.cost import macs
from edgekd.graph.model import Graph

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
PAIR = ("QuantizeLinear", "DequantizeLinear")
_INT8 = ("u8", "i8")


@dataclass(frozen=True)
class Ran:
    """One layer as an engine ran it; `nodes` are the graph's tensors made in it, none where the engine added it."""

    name: str
    type: str
    precision: str
    ms: float
    nodes: tuple[str, ...]

    @property
    def is_int8(self) -> bool:
        """Whether it computed on 8-bit codes."""
        return self.precision in _INT8


def as_ran(layers: Iterable[dict[str, Any]]) -> list[Ran]:
    """What a runner's `layers` gave."""
    return [Ran(**(layer | {"nodes": tuple(layer["nodes"])})) for layer in layers]


def weighted(graph: Graph) -> list[onnx.NodeProto]:
    """Convolutions and matrix products that are computed when the graph runs, in order."""
    return [node for node in graph.nodes if node.op_type in WEIGHTED and not _is_constant(graph, node.output[0])]


def _is_constant(graph: Graph, name: str) -> bool:
    """Whether a tensor does not depend on the inputs, so that engines compute it beforehand."""
    maker = graph.maker.get(name)
    if maker is None:
        return name not in graph.inputs
    return all(_is_constant(graph, n) for n in maker.input if n)


def owners(graph: Graph, layers: Iterable[Ran]) -> dict[str, Ran]:
    """Which layer makes each tensor: one that names it, else one that names what its only reader makes."""
    named = {tensor: layer for layer in layers for tensor in layer.nodes}
    return {name: layer for name in graph.maker if (layer := _owner(graph, named, name)) is not None}


def _owner(graph: Graph, named: dict[str, Ran], name: str) -> Ran | None:
    for _ in graph.nodes:
        if name in named:
            return named[name]
        readers = graph.readers.get(name, [])
        ends = {n.output[0] for n in readers}
        if len(ends) != 1 or readers[0].op_type in WEIGHTED or name in graph.outputs:
            return None
        name = ends.pop()
    return None


def int8_proof(graph: Graph, layers: Iterable[Ran]) -> dict[str, Any]:
    """How much of a graph's convolutions and matrix products an engine ran in int8, and which ones it did not."""
    made, nodes = owners(graph, layers), weighted(graph)
    known = [node for node in nodes if node.output[0] in made]
    int8 = [node for node in known if made[node.output[0]].is_int8]
    whole = sum(macs(graph, node) for node in known)
    return {
        "weighted layers": len(nodes),
        "of them in int8": len(int8),
        "share of MACs in int8": round(sum(macs(graph, node) for node in int8) / whole, 4) if whole else 0.0,
        "in float": [node.output[0] for node in known if not made[node.output[0]].is_int8],
    }
