"""What TensorRT refuses or runs in float, by its static rules; nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.backends.tensorrt.rules import check
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason


def reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """The rules' problems, each with the operator it is about."""
    for problem in check(graph):
        yield Reason("float", problem.where, problem.message, problem.hint, (problem.where,))
