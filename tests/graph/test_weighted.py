"""Convolutions and matrix products against ONNX Runtime: code for code with power-of-two scales."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.graph import golden
from edgekd.graph.model import Graph
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import pair
from tests.graph.ort import reference

RNG = np.random.default_rng(7)


def weighted(kind, x_shape, w_shape, *, bias=None, per=0, attrs=None, clip=None, codes=np.int8, scale=2.0**-7):
    """image -> Q/DQ -> operator with int8 weights and an int32 bias on the grid -> [Clip] -> Q/DQ, powers of two."""
    rng, attrs = np.random.default_rng(3), attrs or {}
    count = w_shape[per] if per is not None else 1
    ws = (2.0 ** -rng.integers(6, 9, count)).astype(np.float32) if per is not None else np.float32(scale)
    low, high = (-8, 8) if "int4" in np.dtype(codes).name else (-127, 128)
    constants = {
        "s": np.float32(2**-5), "z": np.uint8(100), "sy": np.float32(2**-2), "zy": np.int8(-9), "ws": ws,
        "w": rng.integers(low, high, w_shape).astype(codes), "low": np.float32(-1.3), "high": np.float32(6),
    }  # fmt: skip
    axis = {"axis": per} if per is not None else {}
    nodes = [*pair("x", "image"), helper.make_node("DequantizeLinear", ["w", "ws"], ["wf"], **axis)]
    if bias:
        constants |= {"b": rng.integers(-900, 900, bias).astype(np.int32), "bs": np.float32(2**-5) * ws}
        nodes.append(helper.make_node("DequantizeLinear", ["b", "bs"], ["bf"], axis=0))
    nodes.append(helper.make_node(kind, ["x", "wf", *(["bf"] if bias else [])], ["made"], **attrs))
    nodes += [helper.make_node("Clip", ["made", "low", "high"], ["c"])] if clip else []
    nodes += pair("y", "c" if clip else "made", "sy", "zy")
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, x_shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )  # fmt: skip
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


INT4 = helper.tensor_dtype_to_np_dtype(TensorProto.INT4)
WEIGHTED = {
    "conv": {
        "kind": "Conv",
        "x_shape": (2, 6, 9, 8),
        "w_shape": (4, 3, 3, 2),
        "bias": 4,
        "attrs": {"group": 2, "strides": [2, 1]},
    },
    "conv, same": {
        "kind": "Conv",
        "x_shape": (1, 3, 9, 8),
        "w_shape": (4, 3, 3, 2),
        "attrs": {"auto_pad": "SAME_UPPER"},
    },
    "conv, relu6": {"kind": "Conv", "x_shape": (1, 3, 9, 8), "w_shape": (4, 3, 3, 2), "bias": 4, "clip": True},
    "conv, int4": {"kind": "Conv", "x_shape": (1, 3, 9, 8), "w_shape": (4, 3, 3, 2), "bias": 4, "codes": INT4},
    "conv, one axis": {
        "kind": "Conv",
        "x_shape": (2, 6, 19),
        "w_shape": (6, 2, 3),
        "bias": 6,
        "attrs": {"group": 3, "pads": [2, 1], "dilations": [2]},
    },
    "depthwise": {
        "kind": "Conv",
        "x_shape": (1, 5, 9, 8),
        "w_shape": (10, 1, 3, 3),
        "bias": 10,
        "attrs": {"group": 5, "strides": [2, 2], "pads": [1, 1, 0, 1]},
    },
    "conv transpose": {
        "kind": "ConvTranspose",
        "x_shape": (2, 4, 5, 6),
        "w_shape": (4, 3, 3, 2),
        "per": 1,
        "bias": 3,
        "attrs": {"strides": [2, 3], "pads": [1, 0, 1, 1], "output_padding": [1, 0]},
    },
    "conv transpose, groups": {
        "kind": "ConvTranspose",
        "x_shape": (2, 4, 5, 6),
        "w_shape": (4, 3, 3, 2),
        "per": None,
        "attrs": {"group": 2, "dilations": [2, 1], "strides": [1, 2]},
    },
    "conv transpose, cut": {
        "kind": "ConvTranspose",
        "x_shape": (1, 4, 5, 6),
        "w_shape": (4, 3, 1, 2),
        "per": 1,
        "attrs": {"pads": [1, 2, 0, 0]},
    },
    "conv transpose, one axis": {
        "kind": "ConvTranspose",
        "x_shape": (1, 4, 9),
        "w_shape": (4, 3, 4),
        "per": 1,
        "bias": 3,
        "attrs": {"strides": [2], "pads": [1, 1]},
    },
    "gemm": {"kind": "Gemm", "x_shape": (5, 7), "w_shape": (3, 7), "bias": 3, "attrs": {"transB": 1}},
    "gemm, across": {"kind": "Gemm", "x_shape": (7, 5), "w_shape": (7, 3), "per": 1, "bias": 3, "attrs": {"transA": 1}},
    "gemm, alpha": {
        "kind": "Gemm",
        "x_shape": (5, 7),
        "w_shape": (7, 3),
        "per": 1,
        "bias": 3,
        "attrs": {"alpha": 0.5, "beta": 2.0},
    },
    "matmul": {"kind": "MatMul", "x_shape": (2, 5, 7), "w_shape": (7, 3), "per": 1},
    "matmul, rows scaled": {"kind": "MatMul", "x_shape": (2, 5, 7), "w_shape": (7, 3), "per": 0},
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_on_codes(name):
    graph = weighted(**WEIGHTED[name])
    shape = WEIGHTED[name]["x_shape"]
    image = {"image": np.random.default_rng(1).normal(0, 1.5, shape).astype(np.float32)}
    want, trace = reference(graph, image, ["y.q"])["y.q"], golden.run(graph, image)
    np.testing.assert_array_equal(trace["y.q"], want)
    assert np.unique(want).size > 3


def test_a_limit_acts_on_the_accumulator():
    """Clip behind a convolution limits its codes to those of the limits, in both roundings."""
    graph = weighted(**WEIGHTED["conv, relu6"])
    image = {"image": np.random.default_rng(1).normal(0, 1.5, (1, 3, 9, 8)).astype(np.float32)}
    plain = weighted(**WEIGHTED["conv, relu6"] | {"clip": False})
    for rounding in ("rne_f32", "tfl_double"):
        limited, free = (golden.run(g, image, rounding=rounding)["y.q"] for g in (graph, plain))
        np.testing.assert_array_equal(limited, np.clip(free, -9 - 5, -9 + 24))  # -1.3 / 0.25 = -5.2, 6 / 0.25 = 24
        assert (limited != free).any()


def test_int4_weights_in_blocks():
    """One scale for each two rows of the weight: they cannot leave the sum, so it is added in float32."""
    codes = RNG.integers(-8, 8, (6, 3))
    scales = np.array([[1, 2, 4], [8, 1, 2], [4, 4, 1]], np.float32) / 16
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["wf"], axis=0, block_size=2),
             helper.make_node("MatMul", ["image", "wf"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, (2, 6))],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(codes.astype(INT4), "w"), numpy_helper.from_array(scales, "s")],
    )  # fmt: skip
    model = Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    image = RNG.integers(-9, 9, (2, 6)).astype(np.float32)
    want = image @ (codes * scales[[0, 0, 1, 1, 2, 2]])
    np.testing.assert_array_equal(golden.run(model, {"image": image})["y"], want)


@pytest.mark.parametrize("per", [0, None])
@pytest.mark.parametrize("attrs", [{}, {"alpha": 0.5, "beta": 2.0}])
def test_a_gemm_whose_bias_is_one_number(per, attrs):
    """It lies on the grid of every channel: 2^-6 is a multiple of all of them."""
    plain = weighted("Gemm", (5, 7), (3, 7), per=per, attrs={"transB": 1, **attrs})
    model = type(plain.model)()
    model.CopyFrom(plain.model)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(37 * 2.0**-6), "b"))
    next(n for n in model.graph.node if n.op_type == "Gemm").input.append("b")
    graph, image = Graph(model), {"image": np.random.default_rng(1).normal(0, 1.5, (5, 7)).astype(np.float32)}
    want = reference(graph, image, ["y.q"])["y.q"]
    np.testing.assert_array_equal(golden.run(graph, image)["y.q"], want)
    assert (golden.run(plain, image)["y.q"] != want).any()
