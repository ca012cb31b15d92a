"""A graph beside the layers in which an engine really ran it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from edgekd.graph.cost import macs
from edgekd.graph.model import WEIGHTED, Graph

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
    fed = set(graph.inputs)  # what depends on them; engines compute the rest beforehand
    for node in graph.nodes:
        if not fed.isdisjoint(node.input):
            fed.update(node.output)
    return [node for node in graph.nodes if node.op_type in WEIGHTED and node.output[0] in fed]


def owners(graph: Graph, layers: Iterable[Ran]) -> dict[str, Ran]:
    """Which layer makes each tensor.

    One that names it; else, since operators are fused, one that names what its only reader makes, or what it was made
    of; at last one that names its codes.
    """
    named = {tensor: layer for layer in layers for tensor in layer.nodes}
    out = {}
    for name in graph.maker:
        ahead = list(_ahead(graph, name))
        own = [n for n in ahead if n == name or graph.maker[n].op_type != "QuantizeLinear"]
        places = [*own, *_behind(graph, name), *ahead]
        if (place := next((n for n in places if n in named), None)) is not None:
            out[name] = named[place]
    return out


def _ahead(graph: Graph, name: str) -> Iterator[str]:
    """A tensor, what its only reader makes of it, and so on to the next codes or the next weighted operator."""
    yield name
    while graph.maker[name].op_type != "QuantizeLinear" and name not in graph.outputs:
        ends = {n.output[0]: n for n in graph.readers.get(name, [])}
        if len(ends) != 1 or (reader := next(iter(ends.values()))).op_type in WEIGHTED:
            return
        yield (name := reader.output[0])


def _behind(graph: Graph, name: str) -> Iterator[str]:
    """What a tensor was made of, by operators that alone read it, back to the last codes or weighted operator."""
    while (maker := graph.maker.get(name)) is not None and maker.op_type not in (*PAIR, *WEIGHTED) and maker.input:
        name = maker.input[0]
        if len(graph.readers[name]) != 1:
            return
        yield name


def int8_proof(graph: Graph, layers: Iterable[Ran]) -> dict[str, Any]:
    """How much of a graph's convolutions and matrix products an engine ran in int8, and which ones it did not.

    One that no layer tells of counts as not in int8.
    """
    made, nodes = owners(graph, layers), weighted(graph)
    known = [node for node in nodes if node.output[0] in made]
    int8 = [node for node in known if made[node.output[0]].is_int8]
    whole = sum(macs(graph, node) for node in nodes)
    return {
        "weighted layers": len(nodes),
        "of them in int8": len(int8),
        "share of MACs in int8": round(sum(macs(graph, node) for node in int8) / whole, 4) if whole else 0.0,
        "in float": [node.output[0] for node in known if not made[node.output[0]].is_int8],
    }
