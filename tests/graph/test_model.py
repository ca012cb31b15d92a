"""Reading graphs, and what is wrong with those that are none."""

import numpy as np
import onnx
import pytest
from edgekd.errors import MissingError, RequestError
from edgekd.graph import golden
from edgekd.graph.cost import count
from edgekd.graph.layers import layers
from edgekd.graph.model import Graph, read_model
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import build, pair


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(MissingError):
        read_model(tmp_path / "gone.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a graph")
    with pytest.raises(RequestError, match="damaged"):
        read_model(tmp_path / "bad.onnx")


def test_a_graph_without_io_record_is_told():
    with pytest.raises(RequestError, match="io record"):
        _ = Graph(onnx.ModelProto()).io


def test_an_input_that_is_left_out_says_nothing_of_the_arithmetic():
    nodes = [*pair("x", "image"), helper.make_node("Resize", ["x", "", "twice"], ["r"], mode="nearest")]
    constants = {"s": np.float32(0.5), "z": np.int8(0), "twice": np.float32([1, 1, 2, 2])}
    graph = build([*nodes, *pair("restored", "r")], constants, (1, 3, 4, 4), (1, 3, 8, 8))
    assert [layer.arithmetic for layer in layers(graph)] == ["int8"]


def test_a_foreign_graph_with_a_free_batch_and_pairs_without_zero_points():
    nodes = [
        helper.make_node("Constant", [], ["s"], value_float=0.5),
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:]), opset_imports=[helper.make_opsetid("", 20)]
    )
    graph = Graph(model)
    assert [layer.operator for layer in layers(graph)] == ["Relu"]
    with pytest.raises(RequestError, match="not static"):
        count(graph)
    trace = golden.run(graph, {"x": np.array([[-1.0, 0.3, 200.0]], np.float32)})
    assert trace["q"].dtype == np.uint8
    assert trace["y"].tolist() == [[0.0, 0.5, 127.5]]


def test_codes_have_the_type_their_zero_point_or_constant_has():
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["wf"]),
        helper.make_node("DequantizeLinear", ["q", "s", "q0"], ["e"]),
    ]
    values = {"s": np.float32(1), "w": np.zeros(3, np.int8)}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (3,))],
        [helper.make_empty_tensor_value_info("d")],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in values.items()],
    )  # fmt: skip
    view = Graph(helper.make_model(graph))
    assert [view.code_type(node).name for node in view.nodes[:3]] == ["uint8", "uint8", "int8"]
    assert view.zero_point(view.nodes[2]) == np.int8(0)
    assert view.zero_point(view.nodes[3]) is None


@pytest.mark.parametrize(
    ("attribute", "value", "kind"),
    [("value_float", 0.1, "float32"), ("value_floats", [0.1, 2.0], "float32"), ("value_int", 3, "int64"),
     ("value_ints", [3, 4], "int64")],
)  # fmt: skip
def test_constants_have_the_type_of_their_attribute(attribute, value, kind):
    node = helper.make_node("Constant", [], ["k"], **{attribute: value})
    found = Graph(helper.make_model(helper.make_graph([node], "g", [], []))).constants["k"]
    assert found.dtype == kind
    np.testing.assert_array_equal(found, np.array(value, kind))
