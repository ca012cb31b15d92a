"""A problem that is planted is named, with its tensor; the change that is advised, once made, ends it."""

import platform

import numpy as np
import pytest
from edgekd.backends.base import Explains
from edgekd.backends.registry import backend
from edgekd.devices.local import open_session
from edgekd.explain.run import explain_static
from edgekd.explain.sources import noise
from onnx import helper, numpy_helper

from tests.cpu import int8_in_openvino
from tests.explain.nets import facts, named, net, op
from tests.graph.graphs import pair

CLIP = {"low": np.float32(0), "high": np.float32(6)}
x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="what x86 kernels want")


def integer_convolutions(graph, tmp_path, **options):
    """How many convolutions ONNX Runtime executed on codes, and how many in float."""
    kinds = facts(graph, "onnxruntime", tmp_path, **options)["operators"]
    return kinds.get("QLinearConv", 0), sum(n for k, n in kinds.items() if k.endswith("Conv") and k != "QLinearConv")


@int8_in_openvino
def test_a_net_without_problems_has_none(tmp_path):
    graph = net([op("Relu")])
    assert named(graph, "onnxruntime") == {}
    assert named(graph, "openvino") == {}
    assert integer_convolutions(graph, tmp_path) == (2, 0)


@pytest.mark.parametrize(("vnni", "machine", "names"), [(False, "x86_64", ["first", "second"]), (True, "x86_64", []),
                                                        (False, "aarch64", [])])  # fmt: skip
def test_weights_whose_sums_a_cpu_would_cut_off(vnni, machine, names, monkeypatch):
    monkeypatch.setattr("edgekd.runners.board.saturates", lambda: not vnni)
    engine = backend("openvino")
    assert isinstance(engine, Explains)
    found = list(engine.reasons(net([op("Relu")]), (machine,)))
    assert [reason.tensor for reason in found] == names
    assert all("no VNNI" in reason.what for reason in found)


def test_a_clip_that_the_quantizer_exceeds(tmp_path):
    clip = [op("Clip", ("first", "low", "high"))]
    planted = net(clip, CLIP, scale=0.05)
    found = named(planted, "onnxruntime")["m"]
    assert found.kind == "float layer"
    assert "cuts off codes that reach 12.75" in found.what
    assert "0.0235294" in found.change
    assert found.tensors == ("first", "m")
    assert integer_convolutions(planted, tmp_path) == (1, 1)
    for mended in (net(clip, CLIP, scale=0.0235), net([op("Relu")])):
        assert named(mended, "onnxruntime") == {}
        assert integer_convolutions(mended, tmp_path) == (2, 0)


def test_a_relu_before_a_quantizer_that_goes_below_zero(tmp_path):
    planted = net([op("Relu")], zero=128)
    assert named(planted, "onnxruntime")["m"].change == "a zero point of 0, so that codes begin at 0"
    assert integer_convolutions(planted, tmp_path) == (1, 1)


def test_a_missing_pair_before_a_sum(tmp_path):
    added = [op("Add", ("first", "bypass"))]
    start = [helper.make_node("Conv", ["x", "w1.f"], ["other"], pads=[1, 1, 1, 1]), *pair("bypass", "other", "sm")]
    planted = net([*start, *added])
    found = named(planted, "onnxruntime")["first"]
    assert "no Q/DQ pair stands between it and `Add`" in found.what
    assert found.change == "put a Q/DQ pair on `first`"
    assert integer_convolutions(planted, tmp_path) == (2, 1)
    mended = net([*start, *pair("p", "first", "sm"), op("Add", ("p", "bypass"))])
    assert named(mended, "onnxruntime") == {}
    assert integer_convolutions(mended, tmp_path) == (3, 0)


@pytest.mark.parametrize("engine", ["onnxruntime", pytest.param("openvino", marks=int8_in_openvino)])
def test_a_missing_pair_on_an_input(engine, tmp_path):
    planted, mended = net([op("Relu")], paired=False), net([op("Relu")])
    found = named(planted, engine)["first"]
    assert (found.kind, found.change) == ("float layer", "put a Q/DQ pair on `image`")
    assert facts(planted, engine, tmp_path)["in float"] == ["first"]
    assert named(mended, engine) == {}
    assert facts(mended, engine, tmp_path)["in float"] == []


def test_gelu(tmp_path):
    planted = net([op("Gelu")])
    found = named(planted, "onnxruntime")["first"]
    assert found.what == "`Gelu` stands between it and the next Q/DQ pair"
    assert found.change == "`Relu`, which is folded"
    assert found.tensors == ("first", "m")
    assert integer_convolutions(planted, tmp_path) == (1, 1)
    assert integer_convolutions(net([op("Relu")]), tmp_path) == (2, 0)


def test_layer_normalization_is_an_island():
    scale = {"one": np.ones(16, np.float32), "none": np.zeros(16, np.float32)}
    planted = net([*pair("p", "first", "sm"), op("LayerNormalization", ("p", "one", "none"))], scale, zero=128)
    found = named(planted, "onnxruntime")["m"]
    assert (found.kind, found.what) == ("float island", "`LayerNormalization` in float")
    assert "`BatchNormalization`" in found.change
    assert found.saving == found.ms > 0


def test_an_output_between_a_convolution_and_its_pair(tmp_path):
    planted = net([op("Relu")])
    shape = [1, 16, 16, 16]
    planted.model.graph.output.append(helper.make_tensor_value_info("m", 1, shape))
    found = named(type(planted)(planted.model), "onnxruntime")["m"]
    assert found.change == "give out what is behind the pair"
    mended = net([op("Relu")])
    mended.model.graph.output.append(helper.make_tensor_value_info("y", 1, shape))
    assert named(type(mended)(mended.model), "onnxruntime") == {}


def test_a_bias_on_another_grid(tmp_path):
    def with_bias(scale):
        values = {"b": np.arange(16, dtype=np.int32), "b.s": np.full(16, scale, np.float32)}
        graph = net([helper.make_node("DequantizeLinear", ["b", "b.s"], ["bf"], axis=0), op("Relu")], values)
        nodes = list(graph.model.graph.node)
        first = next(n for n in nodes if n.output[0] == "first")
        first.input.append("bf")
        nodes.sort(key=lambda n: n.output[0] != "bf")  # what reads it comes later
        del graph.model.graph.node[:]
        graph.model.graph.node.extend(nodes)
        return graph

    planted, mended = with_bias(0.0001), with_bias(0.02 * 0.004)
    found = named(planted, "onnxruntime")["first"]
    assert (found.kind, found.change) == ("float layer", "write the bias on that grid")
    assert integer_convolutions(planted, tmp_path) == (1, 1)
    assert named(mended, "onnxruntime") == {}
    assert integer_convolutions(mended, tmp_path) == (2, 0)


@int8_in_openvino
def test_weights_with_a_zero_point(tmp_path):
    def with_zero(value):
        graph = net([op("Relu")])
        for node in graph.model.graph.node:
            if node.output[0] == "w1.f":
                node.input.append("w1.z")
        zeros = numpy_helper.from_array(np.full(16, value, np.int8), "w1.z")
        graph.model.graph.initializer.append(zeros)
        return graph

    planted, mended = with_zero(3), with_zero(0)
    found = named(planted, "openvino")["first"]
    assert (found.kind, found.change) == ("float layer", "symmetric int8 weights")
    assert facts(planted, "openvino", tmp_path)["in float"] == ["first"]
    assert named(planted, "onnxruntime")["first"].kind == "slow layer"
    assert named(mended, "openvino") == named(mended, "onnxruntime") == {}
    assert facts(mended, "openvino", tmp_path)["in float"] == []


@x86
def test_signed_activations_on_x86(tmp_path):
    planted = net([op("Relu")], dtype=np.int8, zero=-128)
    found = named(planted, "onnxruntime")["first"]
    assert "activations are int8" in found.what
    assert set(found.tensors) == {"first", "second"}
    assert "unsigned = true" in found.change
    assert named(planted, "onnxruntime", unsigned=True) == {}
    assert integer_convolutions(planted, tmp_path, unsigned=True) == (2, 0)


def test_signed_activations_are_what_arm_wants():
    planted, engine = net([op("Relu")], dtype=np.int8, zero=-128), backend("onnxruntime")
    assert isinstance(engine, Explains)
    assert list(engine.reasons(planted, ("aarch64",))) == []
    assert [r.tensor for r in engine.reasons(planted, ("x86_64",))] == ["first"]


@x86
def test_channels_that_do_not_fill_a_kernel(tmp_path):
    planted = net([op("Relu")], channels=8)
    found = named(planted, "onnxruntime")["first"]
    assert (found.kind, found.change) == ("slow layer", "16 channels")
    assert named(net([op("Relu")], channels=16), "onnxruntime") == {}
    assert named(planted, "onnxruntime", fit=True) == {}


def test_openvino_skips_a_pair_before_a_sum(tmp_path):
    start = [helper.make_node("Conv", ["x", "w1.f"], ["other"], pads=[1, 1, 1, 1]), *pair("bypass", "other", "sm")]
    planted = net([*start, *pair("p", "first", "sm"), op("Add", ("p", "bypass"))])
    mended = net([*start, op("Add", ("first", "bypass"))])
    found = named(planted, "openvino")["first"]
    assert (found.kind, found.saving) == ("answers", None)
    assert not [f for f in named(mended, "openvino").values() if f.kind == "answers" and f.tensor == "first"]
    answers = []
    for name, graph in (("planted", planted), ("mended", mended)):
        (tmp_path / name).mkdir()
        facts(graph, "openvino", tmp_path / name)
        answers.append(open_session("ov", tmp_path / name / "model.xml", {}).run(noise(graph))["restored"])
    np.testing.assert_array_equal(*answers)  # so the pair was not executed


def test_a_kit_is_explained_by_its_rules():
    found = explain_static(net([op("Relu")]), "tensorrt", ("aarch64",), "it is not here")
    assert found.ms is None
    assert any("uint8 is read as int8" in f.what for f in found.findings)
    assert all(f.ms is None and f.saving is None for f in found.findings)
