"""What keeps a graph slow, or other than trained, in OpenVINO. Measured with 2026.4 on its CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason, input_reasons, product_reasons, sum_reasons, zero_point_reasons

WHO = "OpenVINO"


def reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """In the order in which they explain a layer: the first that names it tells why."""
    yield from product_reasons(graph, WHO)
    yield from input_reasons(graph)
    yield from zero_point_reasons(graph, "float")
    yield from sum_reasons(graph, WHO)
