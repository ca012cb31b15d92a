"""The quantizer map, on a graph whose grids are known."""

import numpy as np
from edgekd.graph.model import Graph, with_constants
from edgekd.graph.quantizers import quantizers
from onnx import helper

from tests.graph.graphs import build, conv_graph, pair


def test_every_quantized_tensor_is_listed():
    powers = np.array([2**-7, 2**-6, 2**-7, 2**-8], np.float32)
    graph = conv_graph(np.random.default_rng(0), dtype=np.uint8, zero=128, x_scale=0.5, w_scale=powers, y_scale=0.3)
    found = {q.tensor: q for q in quantizers(graph)}
    assert {name: (q.role, q.type, q.scales, q.zero) for name, q in found.items()} == {
        "x.q": ("activation", "uint8", 1, 128),
        "w": ("weight", "int8", 4, 0),
        "b": ("bias", "int32", 4, 0),
        "y.q": ("activation", "uint8", 1, 128),
    }
    x, w = found["x.q"], found["w"]
    assert (x.low, x.high, x.power_of_two) == (-64.0, 63.5, True)
    assert (w.scale_min, w.scale_max, w.power_of_two, w.low) == (2**-8, 2**-6, True, -2.0)
    assert not found["y.q"].power_of_two
    assert found["y.q"].shares_with == ()


def test_tensors_on_one_grid_name_each_other():
    nodes = [*pair("a", "image"), *pair("b", "a"), *pair("restored", "b", "t", "z")]
    graph = build(nodes, {"s": np.float32(1), "t": np.float32(2), "z": np.int8(0)}, (1, 3, 2, 2), (1, 3, 2, 2))
    assert [q.shares_with for q in quantizers(graph)] == [("b.q",), ("a.q",), ()]
    same = Graph(with_constants(graph.model, {"t": np.float32(1)}))
    assert quantizers(same)[2].shares_with == ("a.q", "b.q")


def test_without_zero_points_and_with_computed_scales():
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("ReduceMax", ["d"], ["top"], keepdims=0),
        helper.make_node("QuantizeLinear", ["d", "top"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "top"], ["restored"]),
    ]
    graph = build(nodes, {"s": np.float32(0.25)}, (1, 3, 2, 2), (1, 3, 2, 2))
    (only,) = quantizers(graph)
    assert (only.tensor, only.type, only.zero, only.high) == ("q", "uint8", 0, 63.75)
