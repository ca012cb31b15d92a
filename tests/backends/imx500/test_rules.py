"""Each rule is broken once in a graph that keeps them all, and named at the tensor where it is broken."""

import numpy as np
import onnx
import pytest
from edgekd.backends.imx500 import rules
from edgekd.backends.registry import backend
from edgekd.graph.model import Graph, with_constants
from edgekd.graph.records import with_record
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from onnx import helper

from tests.backends.imx500.nets import finished, gated
from tests.graph.graphs import pair

TARGET = find_target("imx500")
PLACEMENT = TARGET.arithmetic.placement


def told(graph: Graph) -> dict[str, str]:
    return {problem.where: problem.message for problem in rules.check(graph, PLACEMENT)}


def changed(**constants) -> Graph:
    return Graph(with_constants(gated().model, constants))


def edited(edit) -> Graph:
    """The good graph with its nodes changed by `edit(nodes by output)`; shapes are inferred anew."""
    model = onnx.ModelProto()
    model.CopyFrom(gated().model)
    edit(model.graph, {node.output[0]: node for node in model.graph.node})
    return Graph(model)


def test_a_graph_that_keeps_the_rules_has_no_problem():
    assert not rules.check(gated(), PLACEMENT)
    assert not backend("imx500").check(gated(), TARGET.engine)


@pytest.mark.parametrize(
    ("constants", "where", "message"),
    [
        ({"r.s": np.float32(0.01)}, "r.q", "no power of two"),
        ({"a.z": np.int8(3)}, "a.q", "zero point is 3"),
        ({"down.ws": np.array([0.01, 0, 0.01, 0.01], np.float32)}, "down.weight_codes", "not above zero"),
        ({"x.s": np.float32(1 / 32)}, "crop", "threshold is 4"),
        ({"axes": np.array([2])}, "mean", "whole picture alone"),
        ({"s.z": np.int16(0)}, "s.q", "8-bit codes, not `int16`"),
    ],
)
def test_a_constant_that_breaks_a_rule(constants, where, message):
    assert message in told(changed(**constants))[where]


def test_all_reasons_are_told_at_once():
    found = told(changed(**{"r.s": np.float32(0.01), "x.s": np.float32(1 / 32), "axes": np.array([2])}))
    assert {"r.q", "crop", "mean"} <= set(found)


@pytest.mark.parametrize(
    ("ends", "signed", "message"),
    [
        ((0.0, 1 / 256 * 255), False, ""),
        ((-1.0, 127 / 128), True, ""),
        ((0.0, 1 / 256 * 255), True, "but its codes are signed"),
        ((-1.0, 127 / 128), False, "but its codes are unsigned"),
        ((-1.0, 1.0), True, "the sensor gives (pixel - 128) / 128 or pixel / 256"),
        ((0.0, 1.0), False, "the sensor gives (pixel - 128) / 128 or pixel / 256"),
        ((-2.118, 2.249), True, "the sensor gives (pixel - 128) / 128 or pixel / 256"),
    ],
)
def test_pixels_are_codes_or_the_way_to_it_is_told(ends, signed, message):
    low, high = ends
    std = 1 / (high - low)
    crop = ImageInput(name="crop", shape=(1, 3, 8, 8), mean=(-low * std,) * 3, std=(std,) * 3)
    scale, zero = (np.float32(1 / 128), np.int8(0)) if signed else (np.float32(1 / 256), np.uint8(0))
    record = IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))
    graph = with_record(changed(**{"x.s": scale, "x.z": zero}), record)
    problems = rules.check(graph, PLACEMENT)
    assert [problem.where for problem in problems] == ["crop"] * bool(message)
    assert all(message in problem.message for problem in problems)
    assert all("ImageInput(scale=1/255, mean=128/255, std=128/255)" in problem.hint for problem in problems)


def test_a_net_is_given_the_colours_it_was_trained_on():
    crop = ImageInput(name="crop", shape=(1, 3, 8, 8), mean=(0.5,) * 3, std=(0.5,) * 3)
    graph = with_record(gated(), IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),)))
    (problem,) = rules.check_format(graph, "BGR")
    assert "trained on RGB, but the engine's `format` is BGR" in problem.message
    assert not [*rules.check_format(graph, "RGB")]


def test_channels_of_different_ranges_are_refused():
    crop = ImageInput(name="crop", shape=(1, 3, 8, 8), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    graph = with_record(gated(), IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),)))
    assert "the sensor gives" in told(graph)["crop"]


def test_a_tensor_without_its_quantizer_is_named():
    def skip_the_pair(_, made):
        made["times"].input[0] = "sum"  # the Add's own result, not the pair's

    assert told(edited(skip_the_pair))["sum"] == "`Mul` reads it without a quantizer"


def test_fused_pairs_need_none_and_others_do():
    def other(_, made):
        made["share"].op_type = "Softmax"

    assert told(edited(other))["mix"] == "`Softmax` reads it without a quantizer"


def test_an_output_needs_its_quantizer():
    def bare(graph, made):
        made["last"].output[0] = "logits"
        del graph.node[-2:]

    assert told(edited(bare))["logits"] == "the output has no quantizer"


def test_weights_that_stay_float_are_named():
    def real(graph, made):
        graph.initializer.append(onnx.numpy_helper.from_array(np.zeros((1, 4, 1, 1), np.float32), "w"))
        made["last"].input[1] = "w"

    assert told(edited(real))["last"] == "its weight is not quantized"


def small(nodes, shape, out_shape, **constants):
    constants = {"s": np.float32(2**-7), "z": np.int8(0)} | constants
    return finished([*pair("x", "crop"), *nodes, *pair("logits", "y")], constants, shape, out_shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3, 961, 8), "at most 1280 x 960"), ((1, 3, 8, 1281), "at most 1280 x 960")],
)
def test_pictures_larger_than_the_sensor_gives(shape, message):
    graph = small([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1])], shape, shape)
    assert message in told(graph)["crop"]


def test_outputs_have_three_dimensions_and_are_fifteen():
    reshape = helper.make_node("Reshape", ["x", "to"], ["y"])
    graph = small([reshape], (1, 3, 8, 8), (1, 3, 2, 4, 8), to=np.array([1, 3, 2, 4, 8]))
    assert "outputs have 3 dimensions beside the batch at most" in told(graph)["logits"]
    assert "at most 15 outputs, the network has 16" in told(many(16))["outputs"]
    assert "outputs" not in told(many(15))


def many(count) -> Graph:
    """A network of that many outputs."""

    def more(graph, _):
        for i in range(count - 1):
            graph.node.extend(pair(f"o{i}", "last", "logits.s", "logits.z"))
            graph.output.append(helper.make_tensor_value_info(f"o{i}", onnx.TensorProto.FLOAT, (1, 1, 8, 8)))

    return edited(more)


def test_one_picture_of_three_channels():
    graph = edited(lambda graph, _: graph.input.append(
        helper.make_tensor_value_info("other", onnx.TensorProto.FLOAT, (1, 3, 8, 8))))  # fmt: skip
    assert "takes 2 inputs" in told(graph)["inputs"]
    grey = edited(lambda graph, _: setattr(graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 1))
    assert "one picture of three channels" in told(grey)["crop"]


def test_operators_that_the_capabilities_lack_get_a_way_out():
    def other(_, made):
        made["relu"].op_type = "Gelu"

    problems = backend("imx500").check(edited(other), TARGET.engine)
    (gelu,) = [p for p in problems if p.where == "relu"]
    assert gelu.message == "the engine does not run `Gelu`"
    assert "Relu" in gelu.hint
