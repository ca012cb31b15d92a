"""The written dialect: what it holds, that it says the same codes, what it refuses."""

from collections import Counter

import numpy as np
import onnx
import pytest
from edgekd.backends.imx500.dialect import DOMAIN, write
from edgekd.backends.imx500.inverse import read
from edgekd.errors import ProblemsError
from edgekd.graph import golden
from edgekd.graph.model import Graph, attributes, with_batch, with_constants
from hypothesis import given, settings
from onnx import AttributeProto, helper, numpy_helper

from tests.backends.imx500.nets import crops, finished, gated, graphs, untrained
from tests.graph.graphs import pair
from tests.graph.ort import reference

INVENTORY = {
    "ActivationPOTQuantizer": 10, "WeightsSymmetricQuantizer": 5, "Conv": 5, "Constant": 6, "Relu": 1, "Resize": 1,
    "Add": 1, "GlobalAveragePool": 1, "Sigmoid": 1, "Mul": 1,
}  # fmt: skip
"""Constants: five thresholds, one of Resize's factors."""
TYPES = {
    "ActivationPOTQuantizer": {"threshold": "FLOAT", "signed": "INT", "num_bits": "INT", "mctq_version": "STRING"},
    "WeightsSymmetricQuantizer": {"num_bits": "INT", "per_channel": "INT", "channel_axis": "INT", "signed": "INT",
                                  "mctq_version": "STRING"},
    "Conv": {"dilations": "INTS", "group": "INT", "kernel_shape": "INTS", "pads": "INTS", "strides": "INTS"},
    "Resize": {"coordinate_transformation_mode": "STRING", "cubic_coeff_a": "FLOAT", "mode": "STRING",
               "nearest_mode": "STRING"},
}  # fmt: skip
"""As MCT 2.6.1 exports them."""


def of_kind(model, kind):
    return [node for node in model.graph.node if node.op_type == kind]


def test_operators_attributes_and_form_are_those_of_mct_s_exports():
    model = write(gated())
    onnx.checker.check_model(model)
    assert Counter(node.op_type for node in model.graph.node) == INVENTORY
    for kind, types in TYPES.items():
        for node in of_kind(model, kind):
            assert {a.name: AttributeProto.AttributeType.Name(a.type) for a in node.attribute} == types
    assert model.ir_version == 9
    assert {(entry.domain, entry.version) for entry in model.opset_import} == {("", 18), (DOMAIN, 1)}
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not model.functions
    (given,), (out,) = model.graph.input, model.graph.output
    assert (given.name, out.name) == ("input", "output")
    for value in (given, out):
        dims = value.type.tensor_type.shape.dim
        assert (dims[0].dim_param, dims[2].dim_value) == ("batch_size", 8)
    weights = {node.input[0] for node in of_kind(model, "WeightsSymmetricQuantizer")}
    biases = {node.input[2] for node in of_kind(model, "Conv")}
    assert {t.name for t in model.graph.initializer} == weights | biases
    assert {t.data_type for t in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    props = {p.key for p in model.metadata_props}
    assert props == {"edgekd.io"}


def test_picosam3_is_written_node_for_node_as_mct_exports_it():
    """The inventory is that of MCT 2.6.1's export of the same network, under capabilities 1.0, 4.0 and 5.0."""
    model = write(untrained())
    assert Counter(node.op_type for node in model.graph.node) == {
        "ActivationPOTQuantizer": 42, "WeightsSymmetricQuantizer": 31, "Conv": 31, "Constant": 35, "Relu": 21,
        "Resize": 4, "Add": 4, "GlobalAveragePool": 1, "Sigmoid": 1, "Mul": 1,
    }  # fmt: skip
    by_name = {node.name: attributes(node) for node in of_kind(model, "ActivationPOTQuantizer")}
    assert (by_name["crop.q"]["threshold"], by_name["crop.q"]["signed"]) == (1.0, 1)
    assert by_name["head.3.q"]["signed"] == 1  # logits
    assert (by_name["gate/sigmoid.q"]["threshold"], by_name["gate/sigmoid.q"]["signed"]) == (1.0, 0)
    assert sum(not attrs["signed"] for attrs in by_name.values()) == 23  # behind 21 Relu, a Resize of one, the Sigmoid


def test_thresholds_lie_one_step_above_the_highest_code():
    found = {node.name: attributes(node) for node in of_kind(write(gated()), "ActivationPOTQuantizer")}
    told = {name: (attrs["threshold"], attrs["signed"]) for name, attrs in found.items()}
    # step 2^-7 signed: 128 of them; 2^-6 and 2^-8 unsigned: 256
    assert told["x.q"] == (1.0, 1)
    assert told["r.q"] == (4.0, 0)
    assert told["g.q"] == (1.0, 0)
    assert told["logits.q"] == (8.0, 1)
    assert told["u.q"] == told["d.q"]  # Resize hands its codes on: one grid, two nodes


def test_weights_and_biases_are_real_numbers_on_the_grid():
    graph, model = gated(), write(gated())
    constants = Graph(model).constants
    node = next(n for n in of_kind(model, "WeightsSymmetricQuantizer") if n.name == "first.weight_codes")
    codes, scale = graph.constants["first.weight_codes"], graph.constants["first.ws"]
    assert np.array_equal(constants[node.input[0]], codes * scale.reshape(-1, 1, 1, 1))
    assert np.array_equal(constants[node.input[1]], scale * np.float32(128))
    conv = next(n for n in of_kind(model, "Conv") if n.output[0] == "first")
    bias = graph.constants["first.bias_codes"].astype(np.float32) * graph.constants["first.bs"]
    assert np.array_equal(constants[conv.input[2]], bias)


def test_the_io_record_goes_along_under_the_new_names():
    io = Graph(write(gated())).io
    assert [spec.name for spec in (*io.inputs, *io.outputs)] == ["input", "output"]
    assert io.inputs[0].mean == (128 / 255,) * 3


@settings(deadline=None)
@given(graphs())
def test_what_is_written_reads_back_to_the_same_codes(example):
    """Also in ONNX Runtime, as all scales are powers of two."""
    graph, inputs = example
    model = read(write(graph))
    onnx.checker.check_model(model, full_check=True)
    back = with_batch(Graph(model), inputs["image"].shape[0])
    wanted, found = golden.run(graph, inputs), golden.run(back, {"input": inputs["image"]})
    codes = [node.output[0] for node in graph.codes()]
    assert codes == [node.output[0] for node in back.codes()]
    ran = reference(back, {"input": inputs["image"]}, codes)
    for name in codes:
        assert np.array_equal(found[name], wanted[name]), name
        assert np.array_equal(ran[name], wanted[name]), name


def test_real_weight_scales_round_alike():
    graph, (inputs, *_) = gated(), crops()
    codes = [node.output[0] for node in graph.codes()]
    wanted = reference(graph, inputs, codes)
    found = reference(with_batch(Graph(read(write(graph))), 1), {"input": inputs["crop"]}, codes)
    assert all(np.array_equal(found[name], wanted[name]) for name in codes)
    assert len({int(c) for c in wanted["logits.q"].ravel()}) > 5  # it says something


def test_a_dead_channel_keeps_a_threshold_above_zero():
    graph = gated()
    codes, scale = graph.constants["first.weight_codes"].copy(), graph.constants["first.ws"].copy()
    codes[1], scale[1] = 0, 0
    model = write(Graph(with_constants(graph.model, {"first.weight_codes": codes, "first.ws": scale})))
    node = next(n for n in of_kind(model, "WeightsSymmetricQuantizer") if n.name == "first.weight_codes")
    assert (Graph(model).constants[node.input[1]] > 0).all()
    assert not Graph(model).constants[node.input[0]][1].any()


@pytest.mark.parametrize(("name", "taken"), [("sum", "output"), ("share", "input"), ("times", "first.weight")])
def test_a_tensor_may_bear_a_name_that_the_dialect_gives(name, taken):
    model = onnx.ModelProto()
    model.CopyFrom(gated().model)
    for node in model.graph.node:
        node.input[:] = [taken if tensor == name else tensor for tensor in node.input]
        node.output[:] = [taken if tensor == name else tensor for tensor in node.output]
    written = write(Graph(model))
    made = [tensor for node in written.graph.node for tensor in node.output]
    ends = [value.name for value in written.graph.input] + [t.name for t in written.graph.initializer]
    assert len({*made, *ends}) == len(made) + len(ends)
    (x, *_), codes = crops(), [node.output[0] for node in gated().codes()]
    wanted = golden.run(gated(), x)
    found = golden.run(with_batch(Graph(read(written)), 1), {"input": x["crop"]})
    assert all(np.array_equal(found[tensor], wanted[tensor]) for tensor in codes)


def test_a_tiny_scale_stays_as_it_is():
    scale = gated().constants["first.ws"] * np.float32(2.0**-60)
    model = write(Graph(with_constants(gated().model, {"first.ws": scale})))
    back = Graph(read(model))
    assert np.array_equal(back.constants["first.weight_codes"], gated().constants["first.weight_codes"])


def changed(**constants):
    return Graph(with_constants(gated().model, constants))


def edited(kind, edit):
    """The net with the first operator of a kind changed."""
    model = onnx.ModelProto()
    model.CopyFrom(gated().model)
    edit(next(node for node in model.graph.node if node.op_type == kind))
    return Graph(model)


def padded_by_name(node):
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))


def codes_given_out():
    nodes = [pair("x", "crop")[0], helper.make_node("Cast", ["x.q"], ["logits"], to=1)]
    return finished(nodes, {"s": np.float32(0.5), "z": np.int8(0)}, (1, 3, 2, 2), (1, 3, 2, 2))


def added_constant():
    nodes = [*pair("x", "crop"), helper.make_node("DequantizeLinear", ["c", "s"], ["cf"]),
             helper.make_node("Add", ["x", "cf"], ["logits"])]  # fmt: skip
    return finished(nodes, {"s": np.float32(0.5), "z": np.int8(0), "c": np.int8([3])}, (1, 3, 2, 2), (1, 3, 2, 2))


@pytest.mark.parametrize(
    ("graph", "where", "words"),
    [
        (changed(**{"d.s": np.float32(0.7)}), "d.q", "threshold 89.6 is no power of two"),
        (changed(**{"r.z": np.uint8(3)}), "r.q", "zero point is 3"),
        (changed(**{"a.s": np.full(4, 0.5, np.float32), "a.z": np.zeros(4, np.int8)}), "a.q", "one scale for all"),
        (edited("DequantizeLinear", lambda node: node.input.__setitem__(1, "r.s")), "x", "another grid"),
        (edited("Conv", padded_by_name), "first", "auto_pad"),
        (edited("Relu", lambda node: setattr(node, "domain", "com.example")), "relu", "not one of the dialect's"),
        (codes_given_out(), "x.q", "read by `Cast`"),
        (added_constant(), "cf", "`Add` reads a quantized constant"),
    ],
)
def test_what_the_dialect_cannot_say_is_named(graph, where, words):
    with pytest.raises(ProblemsError) as error:
        write(graph)
    assert any(problem.where == where and words in problem.message for problem in error.value.problems)


def test_everything_is_told_at_once():
    with pytest.raises(ProblemsError) as error:
        write(changed(**{"d.s": np.float32(0.7), "r.z": np.uint8(3), "g.s": np.float32(0.3)}))
    assert {problem.where for problem in error.value.problems} == {"d.q", "u.q", "r.q", "g.q"}


def test_constants_that_are_equal_are_written_once_a_reader():
    """As MCT writes them, each in front of its reader."""
    nodes = [
        *pair("x", "crop"),
        *(helper.make_node("Resize", [a, "", "f"], [b]) for a, b in (("x", "y"), ("y", "logits"))),
    ]
    constants = {"s": np.float32(0.5), "z": np.int8(0), "f": np.array([1, 1, 2, 2], np.float32)}
    model = write(finished(nodes, constants, (1, 3, 2, 2), (1, 3, 8, 8)))
    factors = of_kind(model, "Constant")
    assert len(factors) == 2
    assert all(numpy_helper.to_array(attributes(node)["value"]).tolist() == [1, 1, 2, 2] for node in factors)
