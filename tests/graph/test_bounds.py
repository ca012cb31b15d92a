"""Each tensor gets the bound of what made it."""

import numpy as np
import pytest
from edgekd.graph.bounds import SHARE, allowed_share
from edgekd.graph.model import Graph
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import conv_graph, pair

WEIGHT = [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["flat"]),
          helper.make_node("Reshape", ["flat", "shape"], ["wf"])]  # fmt: skip


def bound_of(nodes, rounding="rne_f32"):
    constants = {"s": np.float32(0.1), "z": np.int8(0), "twice": np.array([1, 1, 2, 2], np.float32),
                 "k": np.ones((4, 4, 1, 1), np.float32), "w": np.ones((4, 4), np.int8),
                 "shape": np.array([4, 4, 1, 1], np.int64)}  # fmt: skip
    proto = helper.make_graph(
        [*pair("x", "image"), *nodes, *pair("y", "made")], "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 4, 6, 6))],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )  # fmt: skip
    graph = Graph(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)]))
    return allowed_share(graph, next(n for n in graph.codes() if n.output[0] == "y.q"), rounding)


@pytest.mark.parametrize(
    ("kind", "nodes"),
    [
        ("moved", [helper.make_node("Transpose", ["x"], ["made"])]),
        ("moved", [helper.make_node("Resize", ["x", "", "twice"], ["made"])]),
        ("product", [helper.make_node("MatMul", ["x", "x"], ["made"])]),
        ("sum", [helper.make_node("Add", ["x", "x"], ["a"]), helper.make_node("Relu", ["a"], ["made"])]),
        ("table", [helper.make_node("Sigmoid", ["x"], ["made"])]),
        ("mean", [helper.make_node("GlobalAveragePool", ["x"], ["made"])]),
        ("linear", [helper.make_node("Resize", ["x", "", "twice"], ["made"], mode="linear")]),
        ("normal", [helper.make_node("Softmax", ["x"], ["a"]), helper.make_node("Mul", ["a", "x"], ["made"])]),
        ("float", [helper.make_node("MatMul", ["x", "image"], ["made"])]),
        ("float", [helper.make_node("Conv", ["x", "k"], ["made"])]),
        ("float", [helper.make_node("Identity", ["k"], ["wf"]), helper.make_node("Conv", ["x", "wf"], ["made"])]),
        ("weighted", [*WEIGHT, helper.make_node("Conv", ["x", "wf"], ["made"])]),
        ("float", [*WEIGHT, helper.make_node("Concat", ["wf", "k"], ["both"], axis=0),
                   helper.make_node("Conv", ["x", "both"], ["made"])]),
    ],
)  # fmt: skip
def test_kinds(kind, nodes):
    for rounding in ("rne_f32", "tfl_double"):
        assert bound_of(nodes, rounding) == SHARE[kind][rounding]


def test_a_convolution_and_the_input():
    graph = conv_graph(np.random.default_rng(0))
    assert [allowed_share(graph, node, "tfl_double") for node in graph.codes()] == [0, 0]
    assert [allowed_share(graph, node, "rne_f32") for node in graph.codes()] == [0.002, 0.002]
