"""What keeps a graph slow, or other than trained, in OpenVINO. Measured with 2026.4 on its CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekd.graph.executed import weighted
from edgekd.graph.model import Graph
from edgekd.graph.reasons import Reason, input_reasons, product_reasons, sum_reasons, zero_point_reasons
from edgekd.runners import board

WHO = "OpenVINO"
LARGEST = 64
"""Largest weight with which two products of uint8 codes fit 16 bits; as in `runners/ov.py`, which stands alone."""


def reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """In the order in which they explain a layer: the first that names it tells why."""
    yield from product_reasons(graph, WHO)
    yield from input_reasons(graph)
    yield from zero_point_reasons(graph, "float")
    yield from cut_off_reasons(graph, machines)
    yield from sum_reasons(graph, WHO)


def cut_off_reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """Every layer, where this CPU would cut sums off in int8: the runner has OpenVINO compute in float then."""
    codes = (array for array in graph.constants.values() if array.dtype == np.int8)
    wide = any(np.abs(array.astype(int)).max(initial=0) > LARGEST for array in codes)
    if wide and "x86_64" in machines and board.saturates():
        what = "this CPU has no VNNI, and in int8 would cut sums of such weights' products off"
        for node in weighted(graph):
            yield Reason("float", node.output[0], what, "train 7-bit weights: `--target x86-avx2`", (node.output[0],))
