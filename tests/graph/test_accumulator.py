"""Worst cases against a search over the codes themselves."""

import numpy as np
import pytest
from edgekd.graph.accumulator import accumulators, check
from edgekd.graph.model import Graph, with_constants
from onnx import helper

from tests.graph.graphs import build, conv_graph, linear

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


@pytest.mark.parametrize(("value", "kind", "refused"), [(np.nan, "Mul", 1), (np.inf, "Mul", 1), (np.inf, "Add", 0)])
def test_constants_that_are_not_finite(value, kind, refused):
    """A mask may add minus infinity; nothing may be multiplied by it."""
    node = helper.make_node(kind, ["image", "k"], ["restored"])
    graph = build([node], {"k": np.array([1, -value, 2], np.float32).reshape(3, 1, 1)}, (1, 3, 2, 2), (1, 3, 2, 2))
    assert [str(p) for p in check(graph)] == ["k: it holds numbers that are not finite"] * refused


def test_tensors_of_no_size():
    cut = helper.make_node("Slice", ["image", "a", "a", "axis"], ["restored"])
    constants = {"a": np.array([1], np.int64), "axis": np.array([2], np.int64)}
    graph = build([cut], constants, (1, 3, 2, 2), (1, 3, 0, 2))
    assert [str(p) for p in check(graph)] == ["restored: it has no elements"]


def test_the_zero_point_of_a_weight_counts():
    """uint8 weights around 128, as other exporters write them, are the int8 weights."""
    graph = conv_graph(RNG)
    shifted = {"w": (graph.constants["w"].astype(int) + 128).astype(np.uint8), "wz": np.full(4, 128, np.uint8)}
    (signed,), (unsigned,) = accumulators(graph), accumulators(Graph(with_constants(graph.model, shifted)))
    assert signed == unsigned


def test_the_bias_behind_a_matrix_product_is_in_its_accumulator():
    (found,) = accumulators(linear({"b": np.array([-5, 2**30, 7], np.int32)}))
    assert found.worst == 4 * 127 * 128 + 2**30
    (plain,) = accumulators(linear({"b": np.array([-5, 90, 7], np.int8)}))
    assert plain.worst == 4 * 127 * 128
