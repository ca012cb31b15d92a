"""Which tensors of an engine are looked at: all, or in a large network cuts, then what lies before a bad one.

Exposing a tensor changes what an engine fuses, so tensors are exposed one a compile; a network of hundreds would need
hundreds. Between two cuts the reference gets the engine's codes at the cuts before, so that what differs at a cut
was made since.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekd.graph.golden import Rounding
from edgekd.graph.model import Array, Graph
from edgekd.verify.engines import Engine, traces
from edgekd.verify.parity import OBSERVED_APART, Difference, Hop, all_bounds, compare

EVERY = 64
"""Tensors up to which all are looked at. Ours, as what follows."""
CUTS = 32
SLACK = 3
"""A cut is suspicious when the share of its codes that differ is more than so many times what the operators since the
last cut may make differ together, or when more than `BEYOND_ONE` of its codes differ by more than one."""
BEYOND_ONE = 1e-3


def check_engine(
    name: str,
    engine: Engine,
    graph: Graph,
    inputs: Sequence[dict[str, Array]],
    rounding: Rounding,
    every: bool = False,
) -> Hop:
    """Compare an engine with the golden interpreter on these inputs; `every`: all tensors, however many."""
    bounds = all_bounds(graph, rounding)
    codes = [node.output[0] for node in graph.codes()]
    apart = OBSERVED_APART if engine.artifact.observe == "each" else 0.0
    if every or engine.artifact.observe == "all" or len(codes) <= EVERY:
        return compare(name, graph, inputs, traces(engine, inputs, codes), apart, rounding)
    parts = segments(codes)
    cuts = {part[-1]: min(1.0, SLACK * sum(bounds[t] for t in part)) for part in parts}
    seen, outputs = traces(engine, inputs, list(cuts)), {name: bounds[name] for name in graph.outputs}
    coarse = compare(name, graph, inputs, seen, BEYOND_ONE, rounding, cuts | outputs)
    found: list[Difference] = []
    for part, cut in zip(parts, coarse.tensors, strict=False):
        if not cut.inside:
            seen = [a | b for a, b in zip(seen, traces(engine, inputs, part[:-1]), strict=True)]
            found += compare(name, graph, inputs, seen, apart, rounding, {t: bounds[t] for t in part}).tensors
        else:
            found.append(cut)
    return Hop(name, (*found, *coarse.tensors[len(parts) :]))


def segments(tensors: Sequence[str]) -> list[Sequence[str]]:
    """The tensors in graph order in `CUTS` parts at most; the last of each is a cut."""
    step = -(-len(tensors) // CUTS)
    return [tensors[i : i + step] for i in range(0, len(tensors), step)]
