"""A rewrite changes the form, never the integers."""

import numpy as np
import onnx
import pytest
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.model import Graph, with_constants
from edgekd.graph.rewrite import (
    copied_upsampling,
    fill_channels,
    float_biases,
    half_floats,
    integer_biases,
    pack_weights,
    unsigned_activations,
    with_opset,
)
from onnx import TensorProto, helper

from tests.explain.nets import net
from tests.graph.graphs import build, conv_graph, pair
from tests.graph.ort import reference


def test_float_biases_keep_every_code():
    rng = np.random.default_rng(3)
    graph = conv_graph(rng)
    rewritten = Graph(float_biases(graph))
    assert not [a for a in rewritten.constants.values() if a.dtype == np.int32]
    image = rng.normal(0, 1, (1, 4, 8, 8)).astype(np.float32)
    a, b = (golden.run(g, {"image": image}) for g in (graph, rewritten))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def mixed() -> Graph:
    """A quantized convolution, then a float part that meets a pair, a resize and the output."""
    nodes = [
        *pair("x", "image"),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wf"], axis=0),
        helper.make_node("Conv", ["x", "wf"], ["c"]),
        helper.make_node("LayerNormalization", ["c", "gain"], ["n"]),
        helper.make_node("Softmax", ["n"], ["p"], axis=1),
        *pair("q", "p", "sy", "z"),
        helper.make_node("Resize", ["n", "", "twice"], ["r"], mode="linear"),
        helper.make_node("Resize", ["q", "", "twice"], ["rq"], mode="nearest"),
        helper.make_node("Add", ["r", "rq"], ["restored"]),
    ]
    rng = np.random.default_rng(0)
    constants = {
        "s": np.float32(0.02), "z": np.int8(-128), "sy": np.float32(1 / 256), "ws": np.full(3, 0.01, np.float32),
        "w": rng.integers(-127, 128, (3, 3, 1, 1)).astype(np.int8), "gain": rng.normal(1, 0.2, 8).astype(np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }  # fmt: skip
    return build(nodes, constants, (1, 3, 8, 8), (1, 3, 16, 16))


def test_the_float_part_is_halved_within_its_error():
    """Eleven bits a result: three operators after another, so a few times 2^-11 of the largest value."""
    graph, image = mixed(), {"image": np.random.default_rng(1).uniform(0, 4, (1, 3, 8, 8)).astype(np.float32)}
    halved = Graph(half_floats(graph))
    onnx.checker.check_model(halved.model, full_check=True)
    kinds = {name: dtype for name, dtype in halved.types.items() if name in ("c", "n.f16", "p.f16", "r.f16", "q.q")}
    assert kinds == {
        "c": TensorProto.FLOAT, "n.f16": TensorProto.FLOAT16, "p.f16": TensorProto.FLOAT16,
        "r.f16": TensorProto.FLOAT16, "q.q": TensorProto.INT8,
    }  # fmt: skip
    want, got = reference(graph, image)["restored"], reference(halved, image)["restored"]
    assert got.dtype == np.float32
    assert 0 < np.abs(got - want).max() < 8 * 2.0**-11 * np.abs(want).max()
    np.testing.assert_allclose(golden.run(halved, image)["restored"], got, atol=1 / 256 + 2.0**-9)  # one code of q


def test_what_float16_cannot_hold_is_refused():
    graph = Graph(with_constants(mixed().model, {"gain": np.full(8, 1e6, np.float32)}))
    with pytest.raises(RequestError, match="constant `gain` exceeds float16"):
        half_floats(graph)


def test_a_bias_beside_the_grid_is_refused():
    graph = conv_graph(np.random.default_rng(3), int_bias=False)
    bias = graph.constants["bf"] + np.float32(1e-5)
    with pytest.raises(RequestError, match="bias `bf` does not lie"):
        integer_biases(Graph(with_constants(graph.model, {"bf": bias})))


def test_codes_that_something_reads_keep_their_type():
    nodes = [*pair("x", "image"), helper.make_node("Cast", ["x.q"], ["restored"], to=TensorProto.FLOAT)]
    graph = build(nodes, {"s": np.float32(1), "z": np.int8(0)}, (1, 3, 2, 2), (1, 3, 2, 2))
    with pytest.raises(RequestError, match=r"operator `Cast` reads the codes `x.q`"):
        unsigned_activations(graph)


def test_opsets_with_another_meaning_are_refused():
    gelu = build([helper.make_node("Gelu", ["image"], ["restored"])], {}, (1, 3, 2, 2), (1, 3, 2, 2))
    with pytest.raises(RequestError, match="operator `Gelu` at `restored` is not in opset 19"):
        with_opset(gelu, 19)
    with pytest.raises(RequestError, match="opset 20 cannot become 13"):
        with_opset(gelu, 13)
    typed = helper.make_node("QuantizeLinear", ["image", "s"], ["q"], output_dtype=TensorProto.INT8)
    newer = build(
        [typed, helper.make_node("DequantizeLinear", ["q", "s"], ["restored"])],
        {"s": np.float32(1)}, (1, 3, 2, 2), (1, 3, 2, 2), opset=21,
    )  # fmt: skip
    with pytest.raises(RequestError, match="`output_dtype` of operator `QuantizeLinear` at `q` means something else"):
        with_opset(newer, 20)
    packed = Graph(pack_weights(Graph(with_constants(mixed().model, {"w": np.ones((3, 3, 1, 1), np.int8)}))))
    assert packed.opset == 21
    with pytest.raises(RequestError, match="not valid in opset 20"):
        with_opset(packed, 20)


@pytest.mark.parametrize(("scale", "copied"), [(2.0, True), (2.25, False)])
def test_only_whole_scales_are_copies(scale, copied):
    """Two rows by 2.25 become four, but the third still shows the first row: floor(2 / 2.25) is 0."""
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [*pair("x", "image"), helper.make_node("Resize", ["x", "", "by"], ["r"], **how), *pair("restored", "r")]
    known = {"s": np.float32(0.1), "z": np.uint8(0), "by": np.array([1, 1, scale, scale], np.float32)}
    graph = build(nodes, known, (1, 3, 2, 2), (1, 3, 4, 4))
    rewritten = Graph(copied_upsampling(graph))
    assert any(n.op_type == "Concat" for n in rewritten.nodes) is copied
    image = np.random.default_rng(0).uniform(0, 20, (1, 3, 2, 2)).astype(np.float32)
    before, after = (reference(g, {"image": image})["restored"] for g in (graph, rewritten))
    np.testing.assert_array_equal(before, after)


def test_codes_with_a_scale_for_each_channel_keep_their_channels():
    """Filled up they would lack scales; the image's own channels may still be padded."""
    model = net([helper.make_node("Relu", ["first"], ["m"])], channels=8).model
    scales = np.linspace(0.01, 0.1, 8).astype(np.float32)
    added = {"each": scales, "zeros": np.zeros(8, np.uint8)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in added.items())
    for node in model.graph.node:
        if node.output[0] in ("y", "y.q"):
            node.input[1:] = [*added]
    before = Graph(model)
    after, true = fill_channels(before, lanes=16, least=8)
    assert not {"first", "m", "y.q", "y"} & {*true}
    image = np.random.default_rng(0).normal(0, 1, before.shapes["image"]).astype(np.float32)
    a, b = (reference(g, {"image": image})["restored"] for g in (before, Graph(after)))
    np.testing.assert_array_equal(a, b)
