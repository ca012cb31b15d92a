"""The layers of a run joined with the graph: what each is for, and what integers would cost instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log2, prod

import onnx

from edgekd.explain.findings import Share
from edgekd.graph.cost import macs
from edgekd.graph.executed import PAIR, Ran, owners, weighted
from edgekd.graph.model import WEIGHTED, Graph, attributes

ALIKE = 1.5
"""How far apart two layers' shapes may be, in octaves, for one to be judged by the other; ours."""
WEIGHTS = (1, 1, 1, 0.25)
"""Of output channels, inputs, window and places: the rate hardly depends on the last."""
_PAIRS = (*PAIR, "FakeQuantize", "QUANTIZE", "DEQUANTIZE")
QUANTIZING = "quantize and dequantize"


@dataclass(frozen=True)
class Costs:
    """A graph and the layers in which an engine ran it."""

    graph: Graph
    layers: Sequence[Ran]

    @cached_property
    def made(self) -> dict[str, Ran]:
        """The layer that makes each tensor."""
        return owners(self.graph, self.layers)

    @cached_property
    def _weighted(self) -> dict[str, list[onnx.NodeProto]]:
        """The convolutions and products of each layer, by its name."""
        out: dict[str, list[onnx.NodeProto]] = {}
        for node in weighted(self.graph):
            if (layer := self.made.get(node.output[0])) is not None:
                out.setdefault(layer.name, []).append(node)
        return out

    def kind(self, layer: Ran) -> str:
        """Weighted or other, in int8 or float; or only quantizing, or added for its layout."""
        if layer.name in self._weighted:
            return "weighted, int8" if layer.is_int8 else "weighted, float"
        operators = {self.graph.maker[n].op_type for n in self._makes(layer) if n in self.graph.maker}
        if layer.type in _PAIRS or (operators and operators <= set(_PAIRS)):
            return QUANTIZING
        if not operators:
            return "layout"
        return "other, int8" if layer.is_int8 else "other, float"

    def _makes(self, layer: Ran) -> set[str]:
        """What a layer names, and what else is made in it: LiteRT names codes alone."""
        return {*layer.nodes, *self._owned.get(layer.name, ())}

    @cached_property
    def _owned(self) -> dict[str, list[str]]:
        """The tensors of each layer, by its name."""
        out: dict[str, list[str]] = {}
        for tensor, layer in self.made.items():
            out.setdefault(layer.name, []).append(tensor)
        return out

    def shares(self, twin: Costs | None = None) -> list[Share]:
        """Time by class, weighted layers also by the form of their work, beside the float twin's; the longest first.

        A layer of the twin counts once: for weighted layers first. What only quantizes has no part in it.
        """
        groups: dict[str, list[Ran]] = {}
        for layer in self.layers:
            groups.setdefault(self._class(layer), []).append(layer)
        counted, shares = set[str](), list[Share]()
        for kind, group in sorted(groups.items(), key=lambda item: not item[0].startswith("weighted")):
            names = {x.name for x in group} if kind != QUANTIZING else set()
            tensors = [tensor for tensor, layer in self.made.items() if layer.name in names]
            beside = {x.name: x.ms for x in (twin.of(tensors) if twin else ()) if x.name not in counted}
            counted |= {*beside}
            shares.append(Share(kind, len(group), sum(x.ms for x in group), sum(beside.values()) or None))
        return sorted(shares, key=lambda share: -share.ms)

    def _class(self, layer: Ran) -> str:
        nodes = self._weighted.get(layer.name)
        return self.kind(layer) + (f", {_form(self.graph, nodes[0])}" if nodes else "")

    def of(self, tensors: Iterable[str]) -> list[Ran]:
        """The layers that make these tensors, each once."""
        found = {layer.name: layer for name in tensors if (layer := self.made.get(name)) is not None}
        return list(found.values())

    def pairs_around(self, tensors: Iterable[str]) -> list[Ran]:
        """Layers that only quantize or dequantize, right before or behind the operators that make these tensors."""
        names = set(tensors)
        read = {n for name in names if name in self.graph.maker for n in self.graph.maker[name].input}
        behind = {r.output[0] for name in names for r in self.graph.readers.get(name, []) if r.op_type in PAIR}
        near = {n for n in (*read, *behind) if n in self.graph.maker and self.graph.maker[n].op_type in PAIR}
        return [x for x in self.layers if near & set(x.nodes) and self.kind(x) == QUANTIZING]

    def int8_ms(self, node: onnx.NodeProto, lanes: int = 1) -> tuple[float, str] | None:
        """What an operator would take in int8, and the tensor whose layer it is judged by.

        Its work at the rate of the int8 layer of this run that is nearest in shape (ours): MACs of a convolution or
        product, elements of a sum. With `lanes`, channels are rounded up and only layers that fill them are compared.
        """
        want, best = _shape(self.graph, node, lanes), None
        for layer, other in self._rated:
            have = _shape(self.graph, other, 1)
            if other is node or have[0] != want[0] or (lanes > 1 and have[1] % lanes):
                continue
            apart = sum(w * abs(log2(a / b)) for w, a, b in zip(WEIGHTS, have[1:], want[1:], strict=True))
            if apart <= ALIKE and (best is None or apart < best[0]):
                best = apart, prod(want[1:]) * layer.ms / prod(have[1:]), other.output[0]
        return None if best is None else best[1:]

    @cached_property
    def _rated(self) -> list[tuple[Ran, onnx.NodeProto]]:
        """int8 layers of one weighted operator, or of one sum whose operands have the same shape."""
        out = []
        for layer in self.layers:
            nodes = self._weighted.get(layer.name) or [
                self.graph.maker[n] for n in layer.nodes if n in self.graph.maker
            ]
            if layer.is_int8 and layer.ms > 0 and len(nodes) == 1 and _is_plain(self.graph, nodes[0]):
                out.append((layer, nodes[0]))
        return out


def _form(graph: Graph, node: onnx.NodeProto) -> str:
    """What a convolution or product is in short."""
    if not node.op_type.startswith("Conv"):
        return "products"
    if attributes(node).get("group", 1) > 1:
        return "depthwise"
    window = graph.shapes.get(node.input[1], (0, 0))[2:]
    return "convolutions " + "x".join(map(str, window))


def _is_plain(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type in WEIGHTED:
        return macs(graph, node) > 0
    return node.op_type in ("Add", "Mul") and len({graph.shapes.get(n) for n in (*node.input, node.output[0])}) == 1


def _shape(graph: Graph, node: onnx.NodeProto, lanes: int) -> tuple[str, int, int, int, int]:
    """What kind of work; then output channels, inputs to each, window, places."""
    out, convolves = graph.shapes[node.output[0]], node.op_type.startswith("Conv")
    channels = out[1] if convolves or len(out) == 4 else out[-1]
    if node.op_type not in WEIGHTED:
        return "sum", channels, 1, 1, prod(out) // channels
    alone = convolves and attributes(node).get("group", 1) > 1
    window = prod(graph.shapes[node.input[1]][2:]) if convolves else 1
    inputs = max(1, macs(graph, node) // prod(out) // window)
    if lanes > 1 and not alone and 2 * inputs >= lanes:  # a picture's 3 stay 3
        inputs = _rounded(inputs, lanes)
    kind = "channels apart" if alone else "product"
    return kind, _rounded(channels, lanes), inputs, window, prod(out) // channels


def _rounded(count: int, lanes: int) -> int:
    return -(-count // lanes) * lanes
