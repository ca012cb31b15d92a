"""Counts of a graph small enough to count by hand."""

import numpy as np
import pytest
from edgekd.graph.cost import count
from edgekd.graph.model import Graph, stored_bytes, with_constants
from edgekd.graph.rewrite import pack_weights
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import build, conv_graph, linear


def test_counts_by_hand():
    cost = count(conv_graph(np.random.default_rng(0), channels=4, size=8))
    assert cost.parameters == 4 * 4 * 9 + 4
    assert cost.macs == 4 * 64 * 4 * 9
    assert cost.weight_bytes == 4 * 4 * 9 + 4 * 4  # int8 weights, int32 biases
    # image in float32 and its codes, or codes in and codes out: 4 channels of 8 by 8
    assert cost.peak_activation_bytes == 256 * 4 + 256


def test_four_bit_weights_share_bytes():
    graph = conv_graph(np.random.default_rng(0), channels=4, size=8)
    small = Graph(with_constants(graph.model, {"w": np.clip(graph.constants["w"], -8, 7)}))
    packed = count(Graph(pack_weights(small)))
    assert packed.weight_bytes == 4 * 4 * 9 // 2 + 4 * 4
    assert packed.parameters == 4 * 4 * 9 + 4
    assert stored_bytes(np.zeros(5, helper.tensor_dtype_to_np_dtype(TensorProto.INT4))) == 3


@pytest.mark.parametrize(("across", "shape"), [({}, (5, 7)), ({"transA": 1}, (7, 5))])
def test_a_matrix_product(across, shape):
    nodes = [helper.make_node("Gemm", ["image", "w"], ["restored"], **across)]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, (5, 3))],
        [numpy_helper.from_array(np.zeros((7, 3), np.float32), "w")],
    )  # fmt: skip
    assert count(Graph(helper.make_model(graph))).macs == 5 * 7 * 3


def test_the_bias_behind_a_matrix_product_is_a_parameter():
    cost = count(linear({"b": np.arange(3, dtype=np.int32)}))
    assert (cost.parameters, cost.weight_bytes) == (4 * 3 + 3, 4 * 3 + 3 * 4)
    nodes = [helper.make_node("MatMul", ["image", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["restored"])]
    floats = {"w": np.zeros((4, 3), np.float32), "b": np.zeros(3, np.float32)}
    assert count(build(nodes, floats, (1, 3, 2, 4), (1, 3, 2, 3))).parameters == 4 * 3 + 3


def test_every_part_of_a_split_is_alive():
    """64 bytes of image and two parts of 32, then both parts and their 64 bytes in another order."""
    nodes = [helper.make_node("Split", ["image"], ["a", "b"], axis=1, num_outputs=2),
             helper.make_node("Concat", ["b", "a"], ["restored"], axis=1)]  # fmt: skip
    assert count(build(nodes, {}, (1, 4, 2, 2), (1, 4, 2, 2))).peak_activation_bytes == 128
