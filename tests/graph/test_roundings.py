"""The `tfl_double` rounding, code for code against LiteRT's reference kernels."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgekd.graph import golden
from edgekd.graph.golden import rounding
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.graph.graphs import build, conv_graph, pair
from tests.graph.litert import B, reference

SEEDS = range(6)


def scales(rng, n=1):
    return np.exp(rng.uniform(-6, -2, n)).astype(np.float32)


def codes(rng, shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def nhwc(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def golden_of(nodes, constants, values, name, shape_in, shape_out, mode="tfl_double"):
    """Codes of `name` when the graph's quantized inputs hold `values`."""
    graph = build(nodes, constants, shape_in, shape_out)
    return golden.run(graph, {"image": np.zeros(shape_in, np.float32)}, values, mode)[name]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("relu", [False, True])
def test_convolution(seed, relu):
    rng = np.random.default_rng(seed)
    w_scale, zero, y_scale = scales(rng, 4), int(rng.integers(-100, 100)), float(scales(rng)[0] * 30)
    graph = conv_graph(
        rng, zero=zero, size=32, x_scale=float(scales(rng)[0]), w_scale=w_scale, y_scale=y_scale, relu=relu
    )
    c = graph.constants
    x = codes(rng, (1, 4, 32, 32))
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.SAME, 1, 1
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = int(relu)
    run = reference(
        B.CONV_2D,
        [((1, 32, 32, 4), "int8", c["s"], zero, None, 0),
         ((4, 3, 3, 4), "int8", w_scale, np.zeros(4), c["w"].transpose(0, 2, 3, 1), 0),
         ((4,), "int32", c["bs"], np.zeros(4), c["b"], 0),
         ((1, 32, 32, 4), "int8", c["sy"], zero, None, 0)],
        [0, 1, 2], 3, options, schema.BuiltinOptions.Conv2DOptions, 3,
    )  # fmt: skip
    trace = golden.run(graph, {"image": np.zeros((1, 4, 32, 32), np.float32)}, {"x.q": x}, "tfl_double")
    np.testing.assert_array_equal(nhwc(trace["y.q"]), run(nhwc(x)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_elementwise(seed, kind):
    rng = np.random.default_rng(seed)
    shape, (sa, sb), (za, zb, zy) = (1, 3, 32, 32), scales(rng, 2), rng.integers(-60, 60, 3)
    sy = np.float32(sa * sb * 150 if kind == "Mul" else max(sa, sb) * 1.3)
    constants = {"sa": sa, "za": np.int8(za), "sb": sb, "zb": np.int8(zb), "sy": sy, "zy": np.int8(zy)}
    nodes = [*pair("a", "image", "sa", "za"), *pair("b", "image", "sb", "zb"),
             helper.make_node(kind, ["a", "b"], ["c"]), *pair("restored", "c", "sy", "zy")]  # fmt: skip
    a, b = codes(rng, shape), codes(rng, shape)
    options = getattr(schema, f"{kind}OptionsT")()
    run = reference(
        getattr(B, kind.upper()),
        [(shape, "int8", sa, za, None, 0), (shape, "int8", sb, zb, None, 0), (shape, "int8", sy, zy, None, 0)],
        [0, 1], 2, options, getattr(schema.BuiltinOptions, f"{kind}Options"),
    )  # fmt: skip
    mine = golden_of(nodes, constants, {"a.q": a, "b.q": b}, "restored.q", shape, shape)
    np.testing.assert_array_equal(mine, run(a, b))


@pytest.mark.parametrize("seed", SEEDS)
def test_mean(seed):
    rng = np.random.default_rng(seed)
    shape, (sx, sy), (zx, zy) = (1, 16, 7, 9), scales(rng, 2), rng.integers(-60, 60, 2)
    sy = np.float32(sx * rng.uniform(0.2, 0.9))
    constants = {"s": sx, "z": np.int8(zx), "sy": sy, "zy": np.int8(zy), "axes": np.array([2, 3], np.int64)}
    nodes = [
        *pair("x", "image"),
        helper.make_node("ReduceMean", ["x", "axes"], ["m"]),
        *pair("restored", "m", "sy", "zy"),
    ]
    x = codes(rng, shape)
    options = schema.ReducerOptionsT()
    options.keepDims = True
    run = reference(
        B.MEAN,
        [((1, 7, 9, 16), "int8", sx, zx, None, 0), ((2,), "int32", None, None, np.array([1, 2], np.int32), 0),
         ((1, 1, 1, 16), "int8", sy, zy, None, 0)],
        [0, 1], 2, options, schema.BuiltinOptions.ReducerOptions,
    )  # fmt: skip
    mine = golden_of(nodes, constants, {"x.q": x}, "restored.q", shape, (1, 16, 1, 1))
    np.testing.assert_array_equal(nhwc(mine), run(nhwc(x)))


@pytest.mark.parametrize("seed", SEEDS)
def test_logistic(seed):
    """All 256 codes, the output grid that LiteRT asks for."""
    rng = np.random.default_rng(seed)
    shape, sx, zx = (1, 1, 16, 16), np.float32(rng.uniform(0.01, 0.1)), int(rng.integers(-60, 60))
    constants = {"s": sx, "z": np.int8(zx), "sy": np.float32(1 / 256), "zy": np.int8(-128)}
    nodes = [*pair("x", "image"), helper.make_node("Sigmoid", ["x"], ["g"]), *pair("restored", "g", "sy", "zy")]
    x = np.arange(-128, 128).astype(np.int8).reshape(shape)
    run = reference(B.LOGISTIC, [(shape, "int8", sx, zx, None, 0), (shape, "int8", 1 / 256, -128, None, 0)], [0], 1)
    np.testing.assert_array_equal(golden_of(nodes, constants, {"x.q": x}, "restored.q", shape, shape), run(x))


UNARY = {
    "Tanh": (B.TANH, (1 / 128, 0), {}, 1),
    "Gelu": (B.GELU, None, {"approximate": "none"}, 2),
    "Exp": (B.EXP, None, {}, 1),
    "LeakyRelu": (B.LEAKY_RELU, None, {"alpha": 0.1}, 2),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_tensor(kind, seed):
    """All 256 codes."""
    rng, (operator, grid, attrs, version) = np.random.default_rng(seed), UNARY[kind]
    shape, (sx, sy), (zx, zy) = (1, 1, 16, 16), rng.uniform(0.01, 0.1, 2).astype(np.float32), rng.integers(-60, 60, 2)
    sy, zy = grid or (sy, zy)
    options, number = None, 0
    if attrs:
        options, number = getattr(schema, f"{kind}OptionsT")(), getattr(schema.BuiltinOptions, f"{kind}Options")
        options.alpha, options.approximate = attrs.get("alpha", 0), False
    constants = {"s": sx, "z": np.int8(zx), "sy": np.float32(sy), "zy": np.int8(zy)}
    nodes = [*pair("x", "image"), helper.make_node(kind, ["x"], ["g"], **attrs), *pair("restored", "g", "sy", "zy")]
    x = np.arange(-128, 128).astype(np.int8).reshape(shape)
    tensors = [(shape, "int8", sx, zx, None, 0), (shape, "int8", sy, zy, None, 0)]
    run = reference(operator, tensors, [0], 1, options, number, version)
    np.testing.assert_array_equal(golden_of(nodes, constants, {"x.q": x}, "restored.q", shape, shape), run(x))


@pytest.mark.parametrize("seed", SEEDS)
def test_average_pool(seed):
    rng = np.random.default_rng(seed)
    sx, zx, (kh, kw) = scales(rng)[0], int(rng.integers(-60, 60)), (int(k) for k in rng.integers(1, 4, 2))
    options = schema.Pool2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 2, 1
    options.filterHeight, options.filterWidth = kh, kw
    height, width = (9 - kh) // 2 + 1, 10 - kw + 1
    run = reference(
        B.AVERAGE_POOL_2D,
        [((1, 9, 10, 4), "int8", sx, zx, None, 0), ((1, height, width, 4), "int8", sx, zx, None, 0)],
        [0], 1, options, schema.BuiltinOptions.Pool2DOptions, 1,
    )  # fmt: skip
    pool = helper.make_node("AveragePool", ["x"], ["g"], kernel_shape=[kh, kw], strides=[2, 1])
    nodes, x = [*pair("x", "image"), pool, *pair("restored", "g")], codes(rng, (1, 4, 9, 10))
    constants, made = {"s": sx, "z": np.int8(zx)}, (1, 4, height, width)
    mine = golden_of(nodes, constants, {"x.q": x}, "restored.q", (1, 4, 9, 10), made)
    np.testing.assert_array_equal(nhwc(mine), run(nhwc(x)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", ["half_pixel", "align_corners", "asymmetric"])
def test_linear_resize(where, seed):
    rng = np.random.default_rng(seed)
    sx, zx, (height, width) = scales(rng)[0], int(rng.integers(-60, 60)), rng.integers(2, 20, 2).tolist()
    options = schema.ResizeBilinearOptionsT()
    options.halfPixelCenters, options.alignCorners = where == "half_pixel", where == "align_corners"
    size = np.array([height, width], np.int32)
    run = reference(
        B.RESIZE_BILINEAR,
        [((1, 5, 6, 4), "int8", sx, zx, None, 0), ((2,), "int32", None, None, size, 0),
         ((1, height, width, 4), "int8", sx, zx, None, 0)],
        [0, 1], 2, options, schema.BuiltinOptions.ResizeBilinearOptions, 3,
    )  # fmt: skip
    kind = {"mode": "linear", "coordinate_transformation_mode": where}
    made = (1, 4, height, width)
    nodes = [*pair("x", "image"), helper.make_node("Resize", ["x", "", "", "size"], ["g"], **kind),
             *pair("restored", "g")]  # fmt: skip
    constants, x = {"s": sx, "z": np.int8(zx), "size": np.array(made, np.int64)}, codes(rng, (1, 4, 5, 6))
    mine = golden_of(nodes, constants, {"x.q": x}, "restored.q", (1, 4, 5, 6), made)
    np.testing.assert_array_equal(nhwc(mine), run(nhwc(x)))


def test_the_two_roundings_differ_by_one_at_most_and_not_often():
    rng = np.random.default_rng(0)
    graph = conv_graph(rng, channels=16, size=64, x_scale=0.031, w_scale=scales(rng, 16), y_scale=0.7)
    image = {"image": rng.normal(0, 1, (1, 16, 64, 64)).astype(np.float32)}
    a, b = (golden.run(graph, image, rounding=mode)["y.q"].astype(int) for mode in ("rne_f32", "tfl_double"))
    assert np.abs(a - b).max() <= 1
    assert 0 < np.mean(a != b) < 0.02


@settings(max_examples=200)
@given(x=st.integers(-(2**31), 2**31 - 1), exponent=st.integers(0, 31))
def test_divide_by_power_of_two_rounds_half_away(x, exponent):
    from fractions import Fraction

    exact = Fraction(x, 2**exponent)
    want = int(abs(exact) + Fraction(1, 2)) * (1 if exact >= 0 else -1)
    assert int(rounding.divide_by_power_of_two(np.int64(x), np.int64(exponent))) == want


@given(st.floats(1e-9, 8.0))
def test_fixed_point_is_within_half_a_unit_of_31_bits(value):
    q, shift = rounding.fixed_point(np.array(value))
    assert 2**30 <= int(q) < 2**31
    assert abs(float(q) * 2.0 ** (int(shift) - 31) - value) <= value * 2.0**-31
