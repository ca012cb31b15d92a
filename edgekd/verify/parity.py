"""Traces of two hops compared tensor by tensor, and the first one that left its bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekd.graph import golden
from edgekd.graph.model import Array, Graph

MAX_CODES = 1
SHARE = {"integer": 0.002, "float": 0.02}
"""Largest share of a tensor's codes that may differ, by one code, when an engine's own inputs are given to the golden
interpreter (`rne_f32`). `integer`: made by a convolution and its Relu alone; measured 3e-5 or less on trained nets.
`float`: an operator between worked in float32, whose rounding differs between libraries; measured 3e-3 or less."""
OUTPUT_SHARE = 0.05
"""The same for a float output, in steps of its decoded picture: nothing rounds it before it is compared."""


@dataclass(frozen=True)
class Difference:
    """One tensor in two traces."""

    tensor: str
    size: int
    differing: int
    largest: int
    """In codes, each hop on its own inputs, from the network's input on."""
    forced_differing: int
    forced_largest: int
    """In codes, the reference given this engine's codes for everything before the tensor."""
    bound: float

    @property
    def inside(self) -> bool:
        """Whether the tensor kept its bound."""
        return self.forced_largest <= MAX_CODES and self.forced_differing <= max(1, self.bound * self.size)


@dataclass(frozen=True)
class Hop:
    """Two consecutive forms of a network on the same probes."""

    name: str
    tensors: tuple[Difference, ...]

    @property
    def equal(self) -> float:
        """Share of equal codes over all tensors, end to end."""
        return 1 - sum(t.differing for t in self.tensors) / max(1, sum(t.size for t in self.tensors))

    @property
    def largest(self) -> int:
        """Largest difference in codes, end to end."""
        return max((t.largest for t in self.tensors), default=0)

    @property
    def first_beyond(self) -> str | None:
        """The first tensor, in the graph's order, beyond its bound."""
        return next((t.tensor for t in self.tensors if not t.inside), None)

    def plain(self) -> list[dict[str, Any]]:
        """The tensors as JSON types."""
        return [asdict(t) | {"inside": t.inside} for t in self.tensors]


def compare(name: str, graph: Graph, inputs: list[Mapping[str, Array]], traces: list[Mapping[str, Array]]) -> Hop:
    """Compare an engine's traces, one for each probe, with the golden interpreter's."""
    own = [golden.run(graph, x) for x in inputs]
    forced = [golden.run(graph, x, trace) for x, trace in zip(inputs, traces, strict=True)]
    bounds = {node.output[0]: SHARE[_kind(graph, node.input[0])] for node in graph.codes()}
    bounds |= dict.fromkeys(graph.outputs, OUTPUT_SHARE)
    steps = {output.name: 255.0 * np.asarray(output.std).reshape(-1, 1, 1) for output in graph.io.outputs}
    tensors = []
    for tensor, bound in bounds.items():
        if all(tensor in trace for trace in traces):
            step = steps.get(tensor)
            ends = [_distance(a[tensor], b[tensor], step) for a, b in zip(own, traces, strict=True)]
            local = [_distance(a[tensor], b[tensor], step) for a, b in zip(forced, traces, strict=True)]
            tensors.append(
                Difference(
                    tensor,
                    sum(d.size for d in ends),
                    sum(int(np.count_nonzero(d)) for d in ends),
                    max(int(d.max(initial=0)) for d in ends),
                    sum(int(np.count_nonzero(d)) for d in local),
                    max(int(d.max(initial=0)) for d in local),
                    bound,
                )
            )
    return Hop(name, tuple(tensors))


def _distance(a: Array, b: Array, step: Array | None) -> Array:
    """Absolute difference in codes; float outputs are rounded to steps of their decoded form first."""
    if step is not None:
        a, b = np.rint(a * step), np.rint(b * step)
    if a.shape != b.shape or not np.all(np.isfinite(b.astype(np.float64))):
        return np.full(a.shape, 10**6)
    return np.abs(a.astype(np.int64) - b.astype(np.int64))


def _kind(graph: Graph, name: str) -> str:
    """`integer` when only Relu, Resize and pooling lie between `name` and a convolution, a pair or an input."""
    node = graph.maker.get(name)
    while node is not None and node.op_type in ("Relu", "Resize", "MaxPool"):
        node = graph.maker.get(node.input[0])
    return "integer" if node is None or node.op_type in ("Conv", "DequantizeLinear") else "float"
