"""Every operator against ONNX Runtime: close in float, code for code with power-of-two scales."""

from __future__ import annotations

import numpy as np
import pytest
from edgekd.errors import RequestError
from edgekd.graph import golden
from edgekd.graph.golden.elementwise import erf
from edgekd.graph.golden.operators import OPERATORS
from edgekd.graph.model import Graph
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import pair
from tests.graph.ort import reference
from tests.graph.test_weighted import WEIGHTED

RNG = np.random.default_rng(7)
IMAGE = (2, 4, 6, 7)


def f32(*shape):
    return RNG.normal(0, 1, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def resize(where, mode="nearest", rounded="round_prefer_floor", scales=(1, 1, 2, 1.5), sizes=None):
    rest = ["scales"] if sizes is None else ["", "sizes"]
    given = {"scales": np.array(scales, np.float32)} if sizes is None else {"sizes": ints(*sizes)}
    kind = {"coordinate_transformation_mode": where, "mode": mode, "nearest_mode": rounded}
    return "Resize", ["", *rest], given, kind


CASES: dict[str, tuple] = {
    "abs": ("Abs",),
    "neg": ("Neg",),
    "exp": ("Exp",),
    "elu": ("Elu", [], {}, {"alpha": 0.5}),
    "tanh": ("Tanh",),
    "sqrt of squares": ("Sqrt",),
    "leaky": ("LeakyRelu", [], {}, {"alpha": 0.125}),
    "sigmoid": ("Sigmoid",),
    "hard swish": ("HardSwish",),
    "hard sigmoid": ("HardSigmoid", [], {}, {"alpha": 0.25}),
    "erf": ("Erf",),
    "gelu": ("Gelu",),
    "gelu tanh": ("Gelu", [], {}, {"approximate": "tanh"}),
    "ceil": ("Ceil",),
    "floor": ("Floor",),
    "round": ("Round",),
    "sign": ("Sign",),
    "softplus": ("Softplus",),
    "reciprocal": ("Reciprocal",),
    "log": ("Log",),
    "sin": ("Sin",),
    "cos": ("Cos",),
    "prelu": ("PRelu", ["k"], {"k": np.array([0.25, 0.5, 0.125, 2], np.float32).reshape(4, 1, 1)}),
    "pow": ("Pow", ["k"], {"k": np.float32(2)}),
    "div": ("Div", ["k"], {"k": np.float32(4)}),
    "max": ("Max", ["k", "l"], {"k": np.float32(0.25), "l": np.float32(-1)}),
    "min": ("Min", ["k"], {"k": np.float32(1)}),
    "sum": ("Sum", ["k", "k"], {"k": np.float32(0.5)}),
    "clip": ("Clip", ["k", "l"], {"k": np.float32(0), "l": np.float32(0.7)}),
    "clip below": ("Clip", ["", "l"], {"l": np.float32(0.7)}),
    "identity": ("Identity",),
    "dropout": ("Dropout",),
    "softmax": ("Softmax", [], {}, {"axis": 1}),
    "relu": ("Relu",),
    "layer norm, two axes": ("LayerNormalization", ["k", "l"], {"k": f32(6, 7), "l": f32(6, 7)}, {"axis": -2}),
    "batch norm": (
        "BatchNormalization",
        ["a", "b", "c", "d"],
        {"a": f32(4), "b": f32(4), "c": f32(4), "d": np.abs(f32(4)) + 0.5},
    ),
    "average pool": ("AveragePool", [], {}, {"kernel_shape": [2, 2], "strides": [2, 1]}),
    "average pool, padded": ("AveragePool", [], {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average pool, pads count": (
        "AveragePool",
        [],
        {},
        {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "count_include_pad": 1},
    ),
    "average pool, same": ("AveragePool", [], {}, {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER"}),
    "max pool": ("MaxPool", [], {}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "max pool, dilated": ("MaxPool", [], {}, {"kernel_shape": [2, 2], "dilations": [2, 3]}),
    "max pool, same": ("MaxPool", [], {}, {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "global mean": ("GlobalAveragePool",),
    "global max": ("GlobalMaxPool",),
    "mean": ("ReduceMean", ["k"], {"k": ints(-1)}),
    "reduce all": ("ReduceMean", [], {}, {"keepdims": 0}),
    "reduce sum": ("ReduceSum", ["k"], {"k": ints(1, 3)}, {"keepdims": 0}),
    "reduce max": ("ReduceMax", ["k"], {"k": ints(2)}),
    "reduce min": ("ReduceMin", ["k"], {"k": ints(1)}),
    "norm": ("ReduceL2", ["k"], {"k": ints(1, -1)}),
    "norm of all": ("ReduceL2", [], {}, {"keepdims": 0}),
    "norm of each": ("ReduceL2", [], {}, {"noop_with_empty_axes": 1}),
    "where": ("Where", None, {"m": RNG.random((6, 7)) < 0.5, "k": np.float32(0.5)}, {}, ["m", "x", "k"]),
    "gather": ("Gather", ["k"], {"k": ints(3, 0, -1)}, {"axis": 1}),
    "tile": ("Tile", ["k"], {"k": ints(1, 2, 1, 3)}),
    "expand": ("Expand", ["k"], {"k": ints(3, 1, 1, 1, 1)}),
    "cast": ("Cast", [], {}, {"to": TensorProto.FLOAT}),
    "squeeze unsqueeze": ("Unsqueeze", ["k"], {"k": ints(0, -1)}),
    "transpose": ("Transpose",),
    "flatten": ("Flatten", [], {}, {"axis": -2}),
    "reshape": ("Reshape", ["k"], {"k": ints(0, -1, 7)}),
    "slice": ("Slice", ["a", "b", "c", "d"], {"a": ints(-1, 1), "b": ints(-99, 99), "c": ints(2, 3), "d": ints(-2, 2)}),
    "pad": ("Pad", ["k"], {"k": ints(0, 0, 1, 2, 0, 1, 0, -1)}),
    "pad by a value": ("Pad", ["k", "v"], {"k": ints(0, 0, 1, 2, 0, 0, 0, 1), "v": np.float32(0.5)}),
    "pad reflect": ("Pad", ["k"], {"k": ints(0, 0, 1, 2, 0, 0, 3, 1)}, {"mode": "reflect"}),
    "pad edge, two axes": ("Pad", ["k", "", "a"], {"k": ints(1, 2, 0, 3), "a": ints(2, 3)}, {"mode": "edge"}),
    "depth to space": ("DepthToSpace", [], {}, {"blocksize": 2}),
    "depth to space, CRD": ("DepthToSpace", [], {}, {"blocksize": 2, "mode": "CRD"}),
    "concat": ("Concat", None, {"k": f32(2, 1, 6, 7)}, {"axis": 1}, ["x", "k", "x"]),
    "matmul": ("MatMul", ["k"], {"k": f32(7, 3)}),
    "attention": ("MatMul", None, {}, {}, ["x", "t"]),
    **{
        f"nearest {where} {rounded}": resize(where, rounded=rounded)
        for where in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        for rounded in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    },
    **{
        f"linear {where}": resize(where, "linear", scales=(1, 1, 2, 4))
        for where in ("half_pixel", "asymmetric", "pytorch_half_pixel")
    },
    "linear, sizes": resize("align_corners", "linear", sizes=(2, 4, 11, 13)),
    "linear, smaller": resize("half_pixel", "linear", sizes=(2, 4, 3, 7)),
    "nearest, sizes": resize("asymmetric", rounded="floor", sizes=(2, 4, 9, 3)),
}
UNEQUAL = {"average pool, padded", "average pool, pads count"}
"""ONNX Runtime multiplies by 1 / 9 or adds in float; a tie may fall otherwise."""
POSITIVE = {"sqrt of squares", "log", "reciprocal"}


def graph_of(case, source, before=(), after=(), opset=20, more=None):
    """image -> before -> operator -> after; one input, one output of any shape."""
    kind, rest, constants, attrs, inputs = (*case, *([], {}, {}, None)[len(case) - 1 :])
    names = inputs or [source, *rest]
    nodes = [*before, helper.make_node(kind, [source if n == "x" else n for n in names], ["made"], **attrs), *after]
    if "t" in names:
        nodes.insert(len(before), helper.make_node("Transpose", [source], ["t"], perm=[0, 1, 3, 2]))
    constants = (
        constants
        | {"s": np.float32(2**-5), "z": np.int8(-7), "sy": np.float32(2**-4), "zy": np.uint8(90)}
        | (more or {})
    )
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE)],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )  # fmt: skip
    return Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))


def picture(name):
    image = RNG.normal(0, 1.5, IMAGE).astype(np.float32)
    return {"image": np.abs(image) + 0.2 if name in POSITIVE else image}


@pytest.mark.parametrize("name", CASES)
def test_in_float(name):
    graph, image = graph_of(CASES[name], "image"), picture(name)
    mine, want = golden.run(graph, image)["made"], reference(graph, image)["made"]
    assert mine.shape == want.shape
    np.testing.assert_allclose(mine, want, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_on_codes(name):
    """Quantized before and behind; what is compared is the codes behind, in a type and on a grid of their own."""
    graph = graph_of(CASES[name], "q", pair("q", "image"), pair("y", "made", "sy", "zy"))
    image = picture(name)
    want = reference(graph, image, ["y.q"])["y.q"]
    mine = golden.run(graph, image)["y.q"]
    apart = np.abs(mine.astype(int) - want)
    assert mine.dtype == want.dtype == np.uint8
    assert apart.max() <= (1 if name in UNEQUAL else 0)
    assert np.mean(apart > 0) < 0.02
    assert np.unique(mine).size > 1 or mine.size == 1


@pytest.mark.parametrize(("sizes", "count"), [(ints(1, 3), 2), (None, 3)])
def test_split_keeps_codes(sizes, count):
    """The parts go through a pair of the same grid unchanged, whatever the rounding."""
    names = [f"p{i}" for i in range(count)]
    how = {} if sizes is not None else {"num_outputs": count}
    cut = helper.make_node("Split", ["x"] if sizes is None else ["x", "k"], names, axis=1, **how)
    nodes = [*pair("x", "image"), cut, *(n for name in names for n in pair(f"{name}.again", name))]
    constants = {"s": np.float32(0.3), "z": np.int8(5)} | ({"k": sizes} if sizes is not None else {})
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE)],
        [helper.make_empty_tensor_value_info(f"{name}.again") for name in names],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )  # fmt: skip
    model = Graph(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    image = {"image": f32(*IMAGE)}
    want = reference(model, image, [f"{name}.again.q" for name in names])
    for rounding in ("rne_f32", "tfl_double"):
        trace = golden.run(model, image, rounding=rounding)
        for name in names:
            np.testing.assert_array_equal(trace[f"{name}.again.q"], want[f"{name}.again.q"])


REFUSED = {
    "cubic": (resize("half_pixel", "cubic"), "mode is cubic"),
    "cropped": (resize("tf_crop_and_resize"), "coordinates are tf_crop_and_resize"),
    "antialias": (("Resize", ["", "scales"], {"scales": np.ones(4, np.float32)}, {"antialias": 1}), "antialias"),
    "hanging": (("MaxPool", [], {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}), "hang over"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_interpreted_is_refused_by_name(name):
    case, message = REFUSED[name]
    early = [p.message for p in golden.check(graph_of(case, "image"))]
    assert name == "hanging" or (len(early) == 1 and message in early[0])
    with pytest.raises(RequestError, match=f"operator `{case[0]}` at `made` cannot be checked: .*{message}"):
        golden.run(graph_of(case, "image"), picture(name))


def test_every_operator_is_tested():
    tested = {case[0] for case in CASES.values()} | {case["kind"] for case in WEIGHTED.values()}
    simple = {"And", "Or", "Not", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
    elsewhere = {"DequantizeLinear", "Add", "Sub", "Mul", "Squeeze", "SpaceToDepth"}
    assert set(OPERATORS) - tested == simple | elsewhere


@pytest.mark.parametrize("kind", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_comparisons(kind):
    case = (kind, ["k"], {"k": np.float32(0.25)})
    after = [helper.make_node("Not", ["made"], ["n"]), helper.make_node("Or", ["n", "made"], ["o"]),
             helper.make_node("And", ["n", "o"], ["a"]),
             helper.make_node("Cast", ["a"], ["c"], to=TensorProto.INT32)]  # fmt: skip
    graph, image = graph_of(case, "image", after=after), {"image": (np.round(f32(*IMAGE) * 4) / 4)}
    np.testing.assert_array_equal(golden.run(graph, image)["c"], reference(graph, image)["c"])


def test_space_to_depth_undoes_depth_to_space():
    after = [helper.make_node("SpaceToDepth", ["made"], ["back"], blocksize=2)]
    graph, image = graph_of(CASES["depth to space"], "image", after=after), picture("")
    np.testing.assert_array_equal(golden.run(graph, image)["back"], reference(graph, image)["back"])


def test_error_function_is_exact_in_float32():
    from math import erf as exact

    x = np.linspace(-7, 7, 20011)
    np.testing.assert_allclose(erf(x), [exact(v) for v in x], rtol=0, atol=1e-10)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(value):
    """NaN has no code and is refused, whether given or made; infinities saturate as in ONNX Runtime."""
    graph, image = graph_of(("Identity",), "q", pair("q", "image"), pair("y", "made", "sy", "zy")), f32(*IMAGE)
    image[0, 0, 0, 0] = value
    if np.isnan(value):
        with pytest.raises(RequestError, match="input `image` holds NaN"):
            golden.run(graph, {"image": image})
    else:
        want = reference(graph, {"image": image}, ["y.q"])["y.q"]
        np.testing.assert_array_equal(golden.run(graph, {"image": image})["y.q"], want)


@pytest.mark.parametrize("before", [(), pair("q", "image")])
def test_not_a_number_within(before):
    graph = graph_of(("Sqrt",), "q" if before else "image", before, pair("y", "made", "sy", "zy"))
    with pytest.raises(RequestError, match=r"`y.q` is made of NaN"):
        golden.run(graph, {"image": -np.ones(IMAGE, np.float32)})
    golden.run(graph, {"image": np.ones(IMAGE, np.float32)})


@pytest.mark.parametrize("kind", ["ReduceL2", "ReduceMax", "ReduceMean"])
def test_axes_were_attributes_once(kind):
    graph = graph_of((kind, [], {}, {"axes": [1, -1], "keepdims": 0}), "image", opset=13)
    image = picture(kind)
    want = reference(graph, image)["made"]
    assert want.shape == (2, 6)
    np.testing.assert_allclose(golden.run(graph, image)["made"], want, rtol=1e-5)


def test_a_pool_of_four_bit_codes_is_padded_by_none_of_them():
    """All codes lie between the lowest and zero, so a padding of 0 would win."""
    int4 = helper.tensor_dtype_to_np_dtype(TensorProto.INT4)
    pool = ("MaxPool", [], {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]})
    graph = graph_of(pool, "q", pair("q", "image", "s", "z4"), pair("y", "made", "s", "z4"), opset=21,
                     more={"z4": np.array(7, int4)})  # fmt: skip
    image = {"image": RNG.uniform(-0.45, -0.25, IMAGE).astype(np.float32)}
    want, mine = reference(graph, image, ["made"])["made"], golden.run(graph, image)
    assert mine["y.q"].dtype == int4
    np.testing.assert_array_equal((mine["y.q"].astype(int) - 7) * np.float32(2**-5), want)
    assert np.unique(want).size > 3
