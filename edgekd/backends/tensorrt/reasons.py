"""What TensorRT refuses, runs in float or runs slowly, by its static rules; nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.backends.tensorrt.rules import check, kernels, placement
from edgekd.backends.tensorrt.rules.views import Rule
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Kind, Reason
from edgekd.graph.rewrite import float_biases

_LANES: dict[Rule, int] = {kernels.channels_of_4: 4, kernels.channels_of_32: 32}


def reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """The rules' problems and notes on the graph as TensorRT reads it, each with the operator it is about."""
    graph = Graph(float_biases(graph))
    for problem in check(graph):
        yield Reason("answers", problem.where, problem.message, problem.hint, (problem.where,))
    for rule in (*placement.FLOAT, *placement.SLOW, *kernels.RULES):
        for note in rule(graph):
            kind: Kind = "float" if rule in placement.FLOAT else "slow"
            yield Reason(kind, note.where, note.message, note.hint, (note.where,), _LANES.get(rule, 1))
