"""More channels, of zeros: the same codes in kernels that work on many channels at a time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import onnx

from edgekd.graph.executed import PAIR
from edgekd.graph.model import Array, Graph, attributes
from edgekd.graph.rewrite.edit import copy_of, finish, read_nodes

_SAME = (
    "QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "Sigmoid", "LeakyRelu", "HardSigmoid", "HardSwish", "Tanh",
    "MaxPool", "AveragePool", "GlobalAveragePool",
)  # fmt: skip
"""Operators that treat each channel by itself and alike; Resize is one where it is told its scales."""
_SUMS = ("Add", "Sub", "Mul")


class Channels:
    """Which tensors have the same channels: those of a group are filled up together, or not at all."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._group: dict[str, str] = {}
        self.fixed: set[str] = set()
        self.spread: dict[str, set[str]] = {}
        """Tensors of one channel that a sum or product spreads over another's."""
        for name in (*graph.inputs, *graph.outputs):
            self.fixed.add(name)
        for node in graph.nodes:
            self._read(node)

    def root(self, name: str) -> str:
        """The group of a tensor."""
        while (parent := self._group.get(name, name)) != name:
            name = parent
        return name

    def _join(self, *names: str) -> None:
        for name in names[1:]:
            self._group[self.root(name)] = self.root(names[0])

    def _read(self, node: onnx.NodeProto) -> None:
        """Join what a node reads and makes, or fix it."""
        graph, kind, out = self.graph, node.op_type, node.output[0]
        if kind == "DequantizeLinear" and node.input[0] in graph.constants:
            return
        if kind in PAIR and self.graph.scalar(node.input[1]).size > 1:  # a scale for each channel
            self.fixed |= {*node.input, *node.output}
        elif kind in _SAME or (kind == "Resize" and len(node.input) == 3 and self._keeps_channels(node)):
            self._join(node.input[0], out)
        elif kind == "Conv" and self.is_writable(node):
            if attributes(node).get("group", 1) > 1:
                self._join(node.input[0], out)
        elif kind in _SUMS and all(len(graph.shapes.get(n, ())) == 4 for n in node.input):
            self._sum(node)
        else:
            self.fixed |= {*node.input, *node.output}

    def is_writable(self, node: onnx.NodeProto) -> bool:
        """Whether a Conv reads codes, its weight and bias are constants, its groups one or as many as channels."""
        shapes, group = (
            [self.graph.shapes.get(n, ()) for n in (node.input[0], node.output[0])],
            attributes(node).get("group", 1),
        )
        on_codes = all(_is_dequantized(self.graph, name) for name in node.input[:2])
        known = all(self.graph.source(name) is not None for name in node.input[1:] if name)
        return on_codes and known and all(len(s) == 4 and group in (1, s[1]) for s in shapes)

    def _keeps_channels(self, node: onnx.NodeProto) -> bool:
        before, after = (self.graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
        return before[:2] == after[:2]

    def _sum(self, node: onnx.NodeProto) -> None:
        counts = [self.graph.shapes[name][1] for name in node.input]
        wide = node.input[counts.index(max(counts))]
        for name, count in zip(node.input, counts, strict=True):
            if name in self.graph.constants:
                self.fixed.add(wide)
            elif count == max(counts):
                self._join(wide, name)
            else:
                self.spread.setdefault(name, set()).add(wide)
        self._join(wide, node.output[0])

    @cached_property
    def fixed_groups(self) -> set[str]:
        """The groups that stay as they are."""
        return {self.root(name) for name in self.fixed}

    @cached_property
    def members(self) -> dict[str, list[str]]:
        """The tensors of each group."""
        out: dict[str, list[str]] = {}
        for name in (*self.graph.inputs, *self.graph.maker):
            if len(self.graph.shapes.get(name, ())) == 4:
                out.setdefault(self.root(name), []).append(name)
        return out

    def wanted(self, lanes: int, least: int) -> dict[str, int]:
        """New channel counts by group: those of `least` to `lanes` channels; then what is spread."""
        fixed, out = self.fixed_groups, dict[str, int]()
        for root, names in self.members.items():
            count = self.graph.shapes[names[0]][1]
            if root not in fixed and least <= count < lanes:
                out[root] = lanes
        for root, over in self._spread_groups(fixed):
            count = self.graph.shapes[self.members[over][0]][1]
            out[root] = out.get(over, count)
        return out

    def _spread_groups(self, fixed: set[str]) -> Iterator[tuple[str, str]]:
        """Groups of one channel that are only ever spread, all over the same other group."""
        for root, names in self.members.items():
            if root in fixed or self.graph.shapes[names[0]][1] != 1:
                continue
            over = {self.root(wide) for name in names for wide in self.spread.get(name, ())}
            readers = [reader for name in names for reader in self.graph.readers.get(name, [])]
            inside = all(r.op_type in _SUMS or self.root(r.output[0]) == root for r in readers)
            alone = all(self.graph.maker[n].op_type == "Conv" for n in names if self._starts(n))
            if len(over) == 1 and inside and alone:
                yield root, over.pop()

    def _starts(self, name: str) -> bool:
        """Whether a tensor's maker reads nothing of its group."""
        return all(self.root(n) != self.root(name) for n in self.graph.maker[name].input)


def _is_dequantized(graph: Graph, name: str) -> bool:
    maker = graph.maker.get(name)
    return maker is not None and maker.op_type == "DequantizeLinear"


def fill_channels(graph: Graph, lanes: int, least: int, inputs: int = 1) -> tuple[onnx.ModelProto, dict[str, int]]:
    """Convolutions of `least` to `lanes` output channels get `lanes` of them, the new ones of zeros.

    What reads them has zeros in its weights there, so every code stays. A map of one channel that is only spread over
    others is made as often as they are. Few channels that come from elsewhere, as a picture's, are padded to a multiple
    of `inputs`; fewer than `least` that leave the convolutions are cut out of `lanes`. Also given: the true channel
    counts of the tensors that changed.
    """
    channels = Channels(graph)
    wanted = channels.wanted(lanes, least)
    model, constants, nodes, cut = copy_of(graph), dict[str, Array](), list[onnx.NodeProto](), dict[str, str]()
    for node in model.graph.node:
        if node.op_type == "Conv" and channels.is_writable(node):
            inside, outside = (wanted.get(channels.root(name)) for name in (node.input[0], node.output[0]))
            count = graph.shapes[node.input[0]][1]
            leaves = not outside and channels.root(node.output[0]) in channels.fixed_groups
            if leaves and (quantize := _leaves(graph, node, least)) is not None:
                outside = lanes
                cut[quantize] = node.output[0]
            if not inside and attributes(node).get("group", 1) == 1 and count < lanes and count % inputs:
                inside = -(-count // inputs) * inputs
                nodes += _padded(graph, node, inside - count, constants)
            if inside or outside:
                nodes += _filled(graph, node, inside, outside, constants)
        nodes.append(node)
        if node.output[0] in cut:
            nodes += _cut(graph, node, cut[node.output[0]], constants)
    true = {n: graph.shapes[n][1] for root in wanted for n in channels.members[root]}
    return onnx.shape_inference.infer_shapes(
        finish(model, read_nodes(model, nodes), constants, {*true, *cut.values()})
    ), true


def _leaves(graph: Graph, node: onnx.NodeProto, least: int) -> str | None:
    """The codes of a Conv with fewer than `least` output channels, where nothing else reads it."""
    readers = graph.readers.get(node.output[0], [])
    alone = len(readers) == 1 and readers[0].op_type == "QuantizeLinear" and node.output[0] not in graph.outputs
    group = attributes(node).get("group", 1)
    return readers[0].output[0] if alone and group == 1 and graph.shapes[node.output[0]][1] < least else None


def _cut(graph: Graph, quantize: onnx.NodeProto, made: str, constants: dict[str, Array]) -> list[onnx.NodeProto]:
    """Keep the first channels of the codes, as many as the Conv really makes."""
    codes, count = quantize.output[0], graph.shapes[made][1]
    names = [f"{codes}.{part}" for part in ("from", "to", "axis")]
    constants |= {n: np.array([v], np.int64) for n, v in zip(names, (0, count, 1), strict=True)}
    quantize.output[0] = f"{codes}.filled"
    return [onnx.helper.make_node("Slice", [quantize.output[0], *names], [codes])]


def _padded(graph: Graph, node: onnx.NodeProto, more: int, constants: dict[str, Array]) -> list[onnx.NodeProto]:
    """Give the codes that a Conv reads `more` channels of zeros."""
    pair, name = graph.maker[node.input[0]], f"{node.output[0]}.padded"
    constants[f"{name}.by"] = np.array([0, 0, 0, 0, 0, more, 0, 0], np.int64)
    constants[f"{name}.zero"] = np.zeros((), graph.code_type(pair))
    node.input[0] = name
    return [
        onnx.helper.make_node("Pad", [pair.input[0], f"{name}.by", f"{name}.zero"], [f"{name}.q"]),
        onnx.helper.make_node("DequantizeLinear", [f"{name}.q", *pair.input[1:]], [name]),
    ]


def _filled(
    graph: Graph, node: onnx.NodeProto, inside: int | None, outside: int | None, constants: dict[str, Array]
) -> list[onnx.NodeProto]:
    """Give a Conv's weight and bias more channels; the DequantizeLinear operators that this takes."""
    group, nodes = next((a for a in node.attribute if a.name == "group" and a.i > 1), None), []
    if group is not None:
        inside, group.i = None, outside or group.i
    for place, name in list(enumerate(node.input))[1:]:
        pair, new = graph.maker.get(name), f"{node.output[0]}.filled.{place}"
        node.input[place] = new
        if pair is None or pair.op_type != "DequantizeLinear":
            constants[new] = _more(graph.constants[name], inside, outside)
            continue
        parts = [f"{new}.{i}" for i in range(len(pair.input))]
        for part, old in zip(parts, pair.input, strict=True):
            constants[part] = _more(graph.constants[old], inside, outside, is_grid=old != pair.input[0])
        nodes.append(onnx.helper.make_node("DequantizeLinear", parts, [new], axis=0))
    return nodes


def _more(array: Array, inside: int | None, outside: int | None, is_grid: bool = False) -> Array:
    """Zeros behind; a scale or zero point goes on with its last value, and a single output is repeated."""
    if outside and array.ndim and not (is_grid and array.size == 1):
        mode: Any = "edge" if is_grid or len(array) == 1 else "constant"
        array = np.pad(array, [(0, outside - len(array)), *[(0, 0)] * (array.ndim - 1)], mode=mode)
    if inside and array.ndim == 4:
        array = np.pad(array, [(0, 0), (0, inside - array.shape[1]), (0, 0), (0, 0)])
    return array
