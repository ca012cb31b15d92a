"""Traces of two hops compared tensor by tensor, and the first one that left its bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekd.graph import golden
from edgekd.graph.bounds import allowed_share
from edgekd.graph.model import Array, Graph
from edgekd.schema.io import ImageOutput, Output

OUTPUT_SHARE = 0.05
"""Largest share of a float output that may differ by one, in steps of its decoded form: nothing rounds it before it is
compared. Ours; those of codes are in `graph/bounds.py`."""
OBSERVED_APART = 1e-4
"""Largest share that may differ by more than one code where an engine's tensors are observed one compile at a time: a
harmless flip in an input may then be in one observation and not in the next. Zero elsewhere. Ours."""

INCOMPARABLE = 10**6
"""The distance of codes that are missing, of another shape, or no numbers."""
_MISSING = np.empty(0)


@dataclass(frozen=True)
class Difference:
    """One tensor in two traces."""

    tensor: str
    size: int
    differing: int
    largest: int
    """In codes, each hop on its own inputs, from the network's input on."""
    forced_differing: int
    forced_beyond_one: int
    forced_largest: int
    """In codes, the reference given this engine's codes for everything before the tensor."""
    bound: float
    bound_beyond_one: float
    operator: str = ""
    """Type of the operator that made it, a Relu or Clip left aside; `input` where a quantizer alone did."""

    @property
    def inside(self) -> bool:
        """Whether the tensor kept its bounds."""
        few = self.forced_beyond_one <= self.bound_beyond_one * self.size
        return few and self.forced_differing <= (max(1, self.bound * self.size) if self.bound else 0)


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

    def by_operator(self) -> list[dict[str, Any]]:
        """What each type of operator makes of the same inputs: tensors, codes, differing, the largest; worst first."""
        kinds: dict[str, list[Difference]] = {}
        for t in self.tensors:
            kinds.setdefault(t.operator, []).append(t)
        rows = [
            {
                "operator": kind,
                "tensors": len(found),
                "codes": sum(t.size for t in found),
                "differing": sum(t.forced_differing for t in found),
                "largest": max(t.forced_largest for t in found),
            }
            for kind, found in kinds.items()
        ]
        return sorted(rows, key=lambda row: -row["differing"] / max(1, row["codes"]))


def compare(
    name: str,
    graph: Graph,
    inputs: Sequence[Mapping[str, Array]],
    traces: Sequence[Mapping[str, Array]],
    beyond_one: float = 0.0,
    rounding: golden.Rounding = "rne_f32",
    bounds: Mapping[str, float] | None = None,
) -> Hop:
    """Compare an engine's traces, one for each probe, with the golden interpreter's.

    `beyond_one` is the share of a tensor's codes that may differ by more than one; `rounding` is the engine's. A tensor
    that a trace lacks differs everywhere, by `INCOMPARABLE`. Float outputs may lack in all traces beside codes, since
    training notes only codes. `bounds`: the tensors to compare, and the share of each that may differ; else all.
    """
    own = [golden.run(graph, x, rounding=rounding) for x in inputs]
    forced = [golden.run(graph, x, trace, rounding) for x, trace in zip(inputs, traces, strict=True)]
    noted = any(name in trace for trace in traces for name in graph.outputs)
    bounds = all_bounds(graph, rounding, outputs=noted) if bounds is None else bounds
    steps = {output.name: _steps(output, [trace[output.name] for trace in own]) for output in graph.io.outputs}
    tensors = []
    for tensor, bound in bounds.items():
        found, step = [trace.get(tensor, _MISSING) for trace in traces], steps.get(tensor)
        ends, local = (_distances([t[tensor] for t in reference], found, step) for reference in (own, forced))
        tensors.append(
            Difference(
                tensor=tensor,
                size=ends.size,
                differing=int(np.count_nonzero(ends)),
                largest=int(ends.max(initial=0)),
                forced_differing=int(np.count_nonzero(local)),
                forced_beyond_one=int(np.count_nonzero(local > 1)),
                forced_largest=int(local.max(initial=0)),
                bound=bound,
                bound_beyond_one=beyond_one,
                operator=_operator(graph, tensor),
            )
        )
    return Hop(name, tuple(tensors))


def all_bounds(graph: Graph, rounding: golden.Rounding, outputs: bool = True) -> dict[str, float]:
    """Every tensor of codes with the share that may differ, in the graph's order; then the float outputs."""
    bounds = {node.output[0]: allowed_share(graph, node, rounding) for node in graph.codes()}
    return bounds | dict.fromkeys(graph.outputs if outputs or not bounds else (), OUTPUT_SHARE)


def _operator(graph: Graph, tensor: str) -> str:
    """Type of the operator whose result a tensor holds; a Relu or Clip belongs to what feeds it."""
    node = graph.maker.get(tensor)
    while node is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear", "Relu", "Clip"):
        node = graph.maker.get(node.input[0])
    return "input" if node is None else node.op_type


def _steps(output: Output, golden_values: Sequence[Array]) -> Array:
    """Steps in a unit of a float output: of its picture, else 127 for the largest golden value, as int8 would have."""
    if isinstance(output, ImageOutput):
        return 255.0 * np.asarray(output.std).reshape(-1, 1, 1)
    largest = max(float(np.abs(values).max(initial=0.0)) for values in golden_values)
    return np.asarray(127.0 / largest if largest > 0 else 1.0)


def _distances(a: Sequence[Array], b: Sequence[Array], step: Array | None) -> Array:
    return np.concatenate([_distance(x, y, step).ravel() for x, y in zip(a, b, strict=True)])


def _distance(a: Array, b: Array, step: Array | None) -> Array:
    """Absolute difference in codes; float outputs are rounded to steps of their decoded form first."""
    if step is not None:
        a, b = np.rint(a * step), np.rint(b * step)
    if a.shape != b.shape or not np.all(np.isfinite(b.astype(np.float64))):
        return np.full(a.shape, INCOMPARABLE)
    return np.abs(a.astype(np.int64) - b.astype(np.int64))
