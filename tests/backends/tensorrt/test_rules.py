"""Each rule on a graph that breaks it alone, and on the same graph with the change that its hint asks for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from edgekd.backends.tensorrt import rules
from edgekd.backends.tensorrt.reasons import reasons
from edgekd.graph.model import Graph
from onnx import helper, numpy_helper

from tests.graph.graphs import conv_graph, pair

RNG = np.random.default_rng(0)


def build(nodes, constants, shape, out, opset=20) -> Graph:
    """A graph from `image` to `restored` of any rank."""
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("image", shape), ("restored", out))]
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], arrays), opset_imports=[helper.make_opsetid("", opset)]
    )
    onnx.checker.check_model(model, full_check=True)
    return Graph(model)


def node(kind, inputs, output, **attrs):
    return helper.make_node(kind, inputs, [output], **attrs)


def weights(*shape, axis=0, scale=0.01, name="w"):
    """An int8 weight behind its DequantizeLinear, and its constants."""
    constants = {
        name: RNG.integers(-9, 9, shape).astype(np.int8), f"{name}s": np.full(shape[axis], scale, np.float32),
        f"{name}z": np.zeros(shape[axis], np.int8),
    }  # fmt: skip
    return [node("DequantizeLinear", [name, f"{name}s", f"{name}z"], f"{name}f", axis=axis)], constants


SCALES = {"s": np.float32(0.1), "z": np.int8(0), "s2": np.float32(0.2)}


def net(nodes, constants=None, shape=(1, 32, 4, 4), out=None, opset=20) -> Graph:
    """A graph that quantizes `image` to `x` first."""
    return build([*pair("x", "image"), *nodes], SCALES | (constants or {}), shape, out or shape, opset)


def conv_then(after, *, source="x", shape=(32, 32, 1, 1), axis=0, one_scale=False, kind="Conv", **attrs) -> Graph:
    """image -> x -> a convolution `c` -> `after`, which ends in `restored`."""
    made, constants = weights(*shape, axis=axis)
    if one_scale:
        constants |= {"ws": np.float32(0.01), "wz": np.int8(0)}
    read, channels = shape[1] * attrs.get("group", 1), shape[0]
    if kind == "ConvTranspose":
        read, channels = shape[0], shape[1] * attrs.get("group", 1)
    nodes = [*made, node(kind, [source, "wf"], "c", **attrs), *after]
    return net(nodes, constants, (1, read, 4, 4), (1, channels, 4, 4))


def residual(skip, own) -> Graph:
    pairs = pair("cq", "c") if own == "cq" else []
    return conv_then([*pairs, node("Add", [own, skip], "restored")])


END = [node("Relu", ["c"], "restored")]


def matmul(axis: int) -> Graph:
    made, constants = weights(4, 4, axis=axis)
    return net([*made, node("MatMul", ["x", "wf"], "restored")], constants)


def gemm(axis: int, transposed: int) -> Graph:
    made, constants = weights(4, 4, axis=axis)
    nodes = [*made, node("Gemm", ["x", "wf"], "restored", transB=transposed)]
    return net(nodes, constants, (4, 4))


def shaped(before: bool) -> Graph:
    """A Reshape of integer weights before their DequantizeLinear, or weights of that shape."""
    made, constants = weights(32, 32, 1, 1)
    if before:
        constants |= {"flat": constants.pop("w").ravel(), "shape": np.array([32, 32, 1, 1])}
        made = [node("Reshape", ["flat", "shape"], "w"), *made]
    return net([*made, node("Conv", ["x", "wf"], "restored")], constants)


def moved(between: bool) -> Graph:
    """A Transpose between dequantized weights and their operator, or none."""
    made, constants = weights(4, 4, axis=1)
    constants |= {"ws": np.float32(0.01), "wz": np.int8(0)}
    made = [node("DequantizeLinear", ["w", "ws", "wz"], "wf"), *([node("Transpose", ["wf"], "wt")] * between)]
    return net([*made, node("MatMul", ["x", "wt" if between else "wf"], "restored")], constants)


def computed(which: int) -> Graph:
    """A scale or a zero point that an operator makes."""
    inputs, kind = ["image", "s", "z"], ("Abs", "Abs")[which - 1]
    made = node(kind, [inputs[which]], "made")
    inputs[which] = "made"
    nodes = [made, node("QuantizeLinear", inputs, "q"), node("DequantizeLinear", ["q", *inputs[1:]], "restored")]
    return build(nodes, SCALES, (1, 2), (1, 2))


def types(signed: bool) -> Graph:
    zero = np.int8(0) if signed else np.uint8(0)
    return build(pair("restored", "image", "s", "u"), {"s": np.float32(0.1), "u": zero}, (1, 2), (1, 2))


def int16(wide: bool) -> Graph:
    zero = np.int16(0) if wide else np.int8(0)
    return build(pair("restored", "image", "s", "w"), {"s": np.float32(0.1), "w": zero}, (1, 2), (1, 2), opset=21)


def per_channel(per: bool) -> Graph:
    scale = np.full(2, 0.1, np.float32) if per else np.float32(0.1)
    zero = np.zeros(2, np.int8) if per else np.int8(0)
    return build(pair("restored", "image", "s", "w"), {"s": scale, "w": zero}, (1, 2), (1, 2))


def without_zero(without: bool) -> Graph:
    inputs = ["s"] if without else ["s", "z"]
    nodes = [node("QuantizeLinear", ["image", *inputs], "q"), node("DequantizeLinear", ["q", *inputs], "restored")]
    return build(nodes, SCALES, (1, 2), (1, 2))


def dynamic(free: bool) -> Graph:
    graph = net(pair("restored", "x"))
    if free:
        graph.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return Graph(graph.model)


REFUSED = [
    (types(signed=False), types(signed=True), "uint8 is read as int8"),
    (without_zero(True), without_zero(False), "has no zero point"),
    (int16(True), int16(False), "no `int16` codes"),
    (conv_graph(RNG, int_bias=False, zero=3), conv_graph(RNG, int_bias=False), "zero points other than 0"),
    (computed(2), without_zero(False), "zero point is computed"),
    (computed(1), without_zero(False), "scale is computed"),
    (conv_graph(RNG, int_bias=False, x_scale=float("inf")), conv_graph(RNG, int_bias=False), "not a positive finite"),
    (conv_graph(RNG, int_bias=False, y_scale=-1.0), conv_graph(RNG, int_bias=False), "not a positive finite"),
    (per_channel(True), per_channel(False), "one scale per tensor"),
    (conv_graph(RNG), conv_graph(RNG, int_bias=False), "int32 bias"),
    (shaped(before=True), shaped(before=False), "a `Reshape` stands between integer weights"),
    (moved(between=True), moved(between=False), "a `Transpose` stands between weight and operator"),
    (conv_then(END, axis=1), conv_then(END), "run along axis 1"),
    (conv_then(END, kind="ConvTranspose"), conv_then(END, kind="ConvTranspose", axis=1), "run along axis 0"),
    (matmul(0), matmul(1), "run along axis 0"),
    (gemm(0, transposed=0), gemm(0, transposed=1), "run along axis 0"),
    (dynamic(True), dynamic(False), "not static"),
]  # fmt: skip


def pool(scale) -> Graph:
    nodes = [node("MaxPool", ["x"], "m", kernel_shape=[2, 2], strides=[2, 2]), *pair("restored", "m", scale)]
    return net(nodes, out=(1, 32, 2, 2))


def joined(scale) -> Graph:
    nodes = [*pair("y", "image", scale), node("Concat", ["x", "y"], "j", axis=1), *pair("restored", "j")]
    return net(nodes, out=(1, 64, 4, 4))


def resized(scale, mode="nearest") -> Graph:
    nodes = [node("Resize", ["x", "", "twice"], "r", mode=mode), *pair("restored", "r", scale)]
    return net(nodes, {"twice": np.array([1, 1, 2, 2], np.float32)}, out=(1, 32, 8, 8))


def pooled(quantized) -> Graph:
    after = pair("restored", "g", "s2") if quantized else [node("Relu", ["g"], "restored")]
    return net([node("GlobalAveragePool", ["x"], "g"), *after], out=(1, 32, 1, 1))


def softmax(source) -> Graph:
    return net([node("Softmax", [source], "restored")])


def attention(source) -> Graph:
    return net([node("MatMul", [source, source], "m"), node("Softmax", ["m"], "restored")])


def depthwise(gated) -> Graph:
    after = [node("Sigmoid", ["c"], "g"), node("Mul", ["c", "g"], "restored")] if gated else END
    return conv_then(after, shape=(32, 1, 1, 1), group=32)


NOTED = [
    (conv_then(END, source="image"), conv_then(END), "only one input of this `Conv`"),
    (conv_then([*pair("q", "c"), node("Relu", ["q"], "restored")]), conv_then([node("Relu", ["c"], "r"),
     *pair("restored", "r")]), "between `Conv` and `Relu`"),
    (residual("x", "cq"), residual("x", "c"), "between `Conv` and `Add`"),
    (residual("image", "c"), residual("x", "c"), "skip input of this `Add`"),
    (pool("s2"), pool("s"), "scales around `MaxPool` differ"),
    (joined("s2"), joined("s"), "scales around `Concat` differ"),
    (resized("s2"), resized("s"), "scales around `Resize` differ"),
    (pooled(False), pooled(True), "`GlobalAveragePool` reads codes but its result is not"),
    (softmax("x"), softmax("image"), "`Softmax` reads quantized values"),
    (attention("x"), attention("image"), "attention product is quantized"),
    (depthwise(gated=True), depthwise(gated=False), "depthwise convolution before a gate"),
    (conv_then(END, shape=(32, 16, 1, 1), group=2), conv_then(END), "grouped convolution was often slower"),
    (conv_then(END, shape=(32, 16, 1, 1), group=2, kind="ConvTranspose", axis=1),
     conv_then(END, shape=(32, 16, 1, 1), group=2, kind="ConvTranspose", one_scale=True), "for one group only"),
    (conv_then(END, shape=(32, 3, 1, 1)), conv_then(END), "no multiple of 4"),
    (conv_then(END, shape=(36, 32, 1, 1)), conv_then(END), "no multiple of 32"),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "fixed", "what"), REFUSED, ids=[what for *_, what in REFUSED])
def test_what_is_refused(broken, fixed, what):
    assert what in " | ".join(map(str, rules.check(broken)))
    assert rules.check(fixed) == []


@pytest.mark.parametrize(("broken", "fixed", "what"), NOTED, ids=[what for *_, what in NOTED])
def test_what_is_noted(broken, fixed, what):
    """It is not refused; the change that the note names makes it go."""
    assert rules.check(broken) == []
    (note,) = (note for note in rules.notes(broken) if what in note.message)
    assert note.where in broken.maker
    assert note.hint
    assert not any(what in note.message for note in rules.notes(fixed))


def test_every_rule_is_broken_once_here():
    for table, functions in (
        (REFUSED, rules.refusals.RULES),
        (NOTED, (*rules.placement.FLOAT, *rules.placement.SLOW, *rules.kernels.RULES)),
    ):
        for rule in functions:
            assert any(list(rule(broken)) for broken, *_ in table), rule.__name__
    assert all(isinstance(rules.notes(broken), list) for broken, *_ in REFUSED)


def test_a_sum_of_two_convolutions():
    """One is fused with the sum; what the other makes is the skip input, so its pair is right."""
    made, constants = weights(32, 32, 1, 1)
    nodes = [*made, node("Conv", ["x", "wf"], "c"), node("Conv", ["x", "wf"], "d")]
    nodes += [*pair("dq", "d"), node("Add", ["c", "dq"], "restored")]
    assert rules.notes(net(nodes, constants)) == []


def test_a_pair_that_others_need_too():
    """A norm beside a residual sum reads what the sum has to read through a pair."""
    assert rules.notes(net([node("Softmax", ["x"], "m"), node("Add", ["x", "m"], "restored")])) == []


def test_a_linear_resize_and_a_float_graph():
    """A linear Resize mixes values, so other scales behind it cost nothing; without pairs there is nothing to note."""
    assert rules.notes(resized("s2", "linear")) == []
    assert rules.notes(build([node("Softmax", ["image"], "restored")], {}, (1, 4), (1, 4))) == []


def test_a_weight_that_is_quantized_in_the_graph():
    """float32 weights through a pair, as other exporters write them, are weights all the same."""
    made = pair("wf", "w")
    nodes = [*made, node("Conv", ["x", "wf"], "restored")]
    graph = net(nodes, {"w": RNG.normal(size=(32, 3, 1, 1)).astype(np.float32)}, (1, 3, 4, 4), (1, 32, 4, 4))
    assert rules.check(graph) == []
    assert [note.where for note in rules.notes(graph)] == ["restored"]


def test_reasons_tell_what_runs_in_float_and_how_many_channels_a_kernel_wants():
    """int32 biases are no reason: the kit has them in float32."""
    assert [(r.kind, r.tensor, r.lanes) for r in reasons(conv_graph(RNG), ["aarch64"])] == [("slow", "c", 32)]
    assert [(r.kind, r.tensor) for r in reasons(conv_then(END, source="image"), ["aarch64"])] == [("float", "c")]
    assert [r.kind for r in reasons(types(signed=False), ["aarch64"])] == ["answers", "answers"]
