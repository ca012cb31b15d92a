"""Worst cases against a search over the codes themselves."""

import numpy as np
import pytest
from edgekd.graph.accumulator import accumulators, check
from edgekd.graph.model import Graph, with_constants

from tests.graph.graphs import conv_graph

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, 0), (np.int8, -128), (np.uint8, 0), (np.uint8, 117)])
def test_the_worst_input_reaches_the_bound(dtype, zero):
    """Each weight gets the code that is furthest from the zero point, in the weight's sign."""
    graph = conv_graph(RNG, dtype=dtype, zero=zero)
    weight, bias = graph.constants["w"].astype(int), graph.constants["b"].astype(int)
    limits = np.iinfo(dtype)
    low, high = limits.min - zero, limits.max - zero
    ends = []
    for w, b in zip(weight, bias, strict=True):
        top = np.where(w > 0, w * high, w * low).sum() + b
        bottom = np.where(w > 0, w * low, w * high).sum() + b
        ends.append(max(abs(top), abs(bottom)))
    (found,) = accumulators(graph)
    assert found.tensor == "c"
    assert max(ends) <= found.worst <= 2.1 * max(ends)
    assert found.exact_in_float32
    assert found.head_room > 8


def test_overflow_and_bad_scales_are_refused():
    graph = conv_graph(RNG)
    assert check(graph) == []
    big = Graph(with_constants(graph.model, {"b": np.full(4, 2**31 - 5, np.int32)}))
    assert "accumulator can reach" in check(big)[0].message
    for scale in (0.0, np.nan, np.inf, -1.0):
        bad = Graph(with_constants(graph.model, {"sy": np.float32(scale)}))
        assert "not a positive finite number" in check(bad)[0].message
