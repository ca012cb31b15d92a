"""Every operator with random scales: LiteRT's reference kernels make the integer reference's codes, all of them."""

import numpy as np
import pytest
from edgekd.backends.litert.write import write
from edgekd.errors import RequestError
from edgekd.graph import golden

from tests.backends.litert.nets import LITERT, Net, check, run

SEEDS = range(3)
ONCE = "rne_f32"
"""The rounding of LiteRT 2.3's reference FULLY_CONNECTED; that of TFLM and of tflite-runtime 2.14 is `tfl_double`."""


def conv(seed, relu=None, channels=6, k=3, out=8, group=1, size=(9, 12), **attrs):
    net = Net(seed, x=(1, channels, *size))
    weight = net.weight("x.in", (out, channels // group, k, k), 0)
    slide = {"strides": [1, 1], "dilations": [1, 1], "pads": [k // 2] * 4} | attrs
    spans = [(size[i] + slide["pads"][i] + slide["pads"][i + 2] - slide["dilations"][i] * (k - 1) - 1)
             // slide["strides"][i] + 1 for i in (0, 1)]  # fmt: skip
    net.then("Conv", ["x.in", *weight], (1, out, *spans), relu=relu, group=group, **slide)
    return net


CONVS = {
    "plain": {},
    "relu": {"relu": 1},
    "relu6": {"relu": 6},
    "pointwise": {"k": 1, "pads": [0] * 4},
    "stride, torch's padding": {"strides": [2, 2], "size": (8, 12)},
    "stride, same padding": {"strides": [2, 2], "size": (8, 12), "pads": [0, 0, 1, 1]},
    "dilated": {"dilations": [2, 2], "pads": [2] * 4},
    "depthwise": {"group": 6, "out": 6},
    "depthwise, two a channel": {"group": 6, "out": 12},
    "depthwise, stride": {"group": 6, "out": 6, "strides": [2, 2], "size": (8, 8)},
    "groups": {"group": 2, "out": 4},
    "one channel": {"channels": 1, "out": 4},
    "lopsided padding": {"pads": [0, 2, 1, 0]},
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", CONVS)
def test_conv(kind, seed, tmp_path):
    net = conv(seed, **CONVS[kind])
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("k", "stride", "pads", "more"), [
    (2, 2, [0] * 4, 0), (4, 2, [1] * 4, 0), (3, 2, [1] * 4, 1), (3, 1, [1] * 4, 0), (3, 3, [0] * 4, 0),
    (2, 3, [0] * 4, 1),
])  # fmt: skip
def test_conv_transpose(k, stride, pads, more, seed, tmp_path):
    net = Net(seed, x=(1, 5, 6, 7))
    weight = net.weight("x.in", (5, 4, k, k), 1)
    sizes = [(n - 1) * stride + k + more - 2 * pads[0] for n in (6, 7)]
    net.then("ConvTranspose", ["x.in", *weight], (1, 4, *sizes), strides=[stride] * 2, pads=pads,
             output_padding=[more] * 2)  # fmt: skip
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("relu", [None, 1])
@pytest.mark.parametrize("across", [0, 1])
def test_gemm(across, relu, seed, tmp_path):
    net = Net(seed, x=(1, 20))
    weight = net.weight("x.in", (40, 20) if across else (20, 40), 1 - across, bias=bool(seed))
    net.then("Gemm", ["x.in", *weight], (1, 40), relu=relu, transB=across)
    check(net.graph(), net.values(), tmp_path, rounding=ONCE)


@pytest.mark.parametrize("seed", SEEDS)
def test_matmul_with_a_constant_and_a_bias_behind_it(seed, tmp_path):
    net = Net(seed, x=(1, 5, 12))
    weight, bias = net.weight("x.in", (12, 7), 1)
    from onnx import helper

    net.nodes.append(helper.make_node("MatMul", ["x.in", weight], ["m"]))
    net.then("Add", ["m", bias], (1, 5, 7), relu=1)
    check(net.graph(), net.values(), tmp_path, rounding=ONCE)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("a", "b"), [((1, 2, 5, 4), (1, 2, 4, 6)), ((1, 5, 4), (1, 4, 6)), ((5, 4), (4, 6))])
def test_matmul_of_two_activations(a, b, seed, tmp_path):
    net = Net(seed, a=a, b=b)
    net.then("MatMul", ["a.in", "b.in"], (*a[:-1], b[-1]), grid=(net.scale(0.2, 0.9), 3))
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize(("a", "b"), [
    ((1, 4, 5, 6), (1, 4, 5, 6)), ((1, 4, 5, 6), (1, 4, 1, 1)), ((1, 1, 5, 6), (1, 4, 5, 6)), ((1, 4, 5, 6), (5, 6)),
    ((1, 4, 5, 6), (6,)), ((2, 7), (7,)), ((1, 3, 7), (1, 3, 1)),
])  # fmt: skip
def test_elementwise(a, b, kind, seed, tmp_path):
    net = Net(seed, a=a, b=b)
    net.then(kind, ["a.in", "b.in"], np.broadcast_shapes(a, b), relu=1 if seed else None)
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("shape", [(), (4, 1, 1), (1, 4, 5, 6)])
def test_elementwise_with_a_constant(shape, kind, seed, tmp_path):
    net = Net(seed, x=(1, 4, 5, 6))
    net.then(kind, ["x.in", net.constant(shape)], (1, 4, 5, 6))
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["Relu", "Sigmoid", "Tanh", "Gelu", "LeakyRelu"])
def test_functions_of_one_tensor(kind, seed, tmp_path):
    net = Net(seed, x=(1, 4, 8, 8))
    net.then(kind, ["x.in"], (1, 4, 8, 8), grid=LITERT.get(kind))
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("kind", "attrs", "share"), [("HardSwish", {}, 0.1), ("Softmax", {"axis": 1}, 0.1),
                                                      ("Softmax", {"axis": -1}, 0.1)])  # fmt: skip
def test_kernels_of_their_own_arithmetic(kind, attrs, share, seed, tmp_path):
    net = Net(seed, x=(1, 4, 8, 8))
    net.then(kind, ["x.in"], (1, 4, 8, 8), grid=LITERT.get(kind), **attrs)
    graph, inputs = net.graph(), net.values()
    found, written = run(graph, inputs, tmp_path)
    assert not written.operators["float"]
    wanted = golden.run(graph, inputs, rounding="tfl_double")
    name = graph.nodes[-2].output[0]
    apart = np.abs(found[name].astype(int) - wanted[name])
    assert apart.max() <= 1
    assert np.mean(apart > 0) <= share


POOLS = {
    "two": ({"kernel_shape": [2, 2], "strides": [2, 2]}, (4, 6)),
    "three, torch's padding": ({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}, (4, 6)),
    "same": ({"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4}, (8, 12)),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", POOLS)
def test_max_pool(kind, seed, tmp_path):
    attrs, size = POOLS[kind]
    net = Net(seed, x=(1, 4, 8, 12))
    net.then("MaxPool", ["x.in"], (1, 4, *size), grid="x.in", **attrs)
    check(net.graph(), net.values(), tmp_path)


def test_a_max_pool_on_another_grid_is_followed_by_a_requantisation(tmp_path):
    net = Net(0, x=(1, 4, 8, 12))
    net.then("MaxPool", ["x.in"], (1, 4, 4, 6), **POOLS["two"][0])
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", POOLS)
def test_average_pool(kind, seed, tmp_path):
    attrs, size = POOLS[kind]
    counted = {"count_include_pad": 1} if "torch" in kind else {}
    net = Net(seed, x=(1, 4, 8, 12))
    net.then("AveragePool", ["x.in"], (1, 4, *size), grid="x.in", **attrs, **counted)
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("moved", [0, 1.7])
def test_an_average_pool_on_another_grid_is_float(moved, tmp_path):
    """Another zero point alone, which makes every second code a tie, and another scale."""
    net = Net(1, x=(1, 8, 24, 24))
    scale, zero = net.grids["x.in"]
    grid = (np.float32(scale * moved), zero) if moved else (scale, zero + 31)
    net.then("AveragePool", ["x.in"], (1, 8, 12, 12), grid=grid, kernel_shape=[2, 2], strides=[2, 2])
    check(net.graph(), net.values(), tmp_path, int8=False)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("axes", "keep"), [([2, 3], 1), ([2, 3], 0), ([-1], 1), ([1], 1), ([3], 0)])
def test_mean(axes, keep, seed, tmp_path):
    net = Net(seed, x=(1, 4, 7, 9))
    shape = (1, 4, 7, 9)
    axes_ = {a % 4 for a in axes}
    out = tuple(1 if a in axes_ else n for a, n in enumerate(shape) if keep or a not in axes_)
    net.then("ReduceMean", ["x.in", net.ints(axes)], out, grid=(net.grids["x.in"][0] * 0.6, 5), keepdims=keep)
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("attrs", [
    {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
    {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
])  # fmt: skip
def test_resize(attrs, seed, tmp_path):
    net = Net(seed, x=(1, 4, 5, 6))
    size = (1, 4, 10, 18)
    net.then("Resize", ["x.in", "", "", net.ints(size)], size, grid="x.in", **attrs)
    check(net.graph(), net.values(), tmp_path)


MOVES = {
    "Reshape": ((1, 4, 30), lambda net: [net.ints((1, 4, 30))], {}),
    "Reshape all": ((120,), lambda net: [net.ints((-1,))], {}),
    "Flatten": ((1, 120), lambda net: [], {"axis": 1}),
    "Transpose": ((1, 5, 6, 4), lambda net: [], {"perm": [0, 2, 3, 1]}),
    "Transpose rows": ((1, 4, 6, 5), lambda net: [], {"perm": [0, 1, 3, 2]}),
    "Slice": ((1, 2, 5, 4), lambda net: [net.ints([1, 1]), net.ints([3, 5]), net.ints([1, 3])], {}),
    "Slice steps": ((1, 4, 3, 2), lambda net: [net.ints([0, 1]), net.ints([99, -1]), net.ints([2, 3]),
                                               net.ints([2, 2])], {}),
    "Pad": ((1, 4, 6, 9), lambda net: [net.ints([0, 0, 0, 1, 0, 0, 1, 2])], {}),
    "Squeeze": ((4, 5, 6), lambda net: [net.ints([0])], {}),
    "Unsqueeze": ((1, 1, 4, 5, 6), lambda net: [net.ints([1])], {}),
    "Expand": ((2, 4, 5, 6), lambda net: [net.ints([2, 1, 1, 1])], {}),
    "Gather": ((1, 4, 6), lambda net: [net.ints(3)], {"axis": 2}),
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVES)
def test_operators_that_move_codes(kind, tmp_path):
    shape, more, attrs = MOVES[kind]
    net = Net(1, x=(1, 4, 5, 6))
    net.then(kind.split(maxsplit=1)[0], ["x.in", *more(net)], shape, grid="x.in", **attrs)
    check(net.graph(), net.values(), tmp_path)


@pytest.mark.parametrize("axis", [1, 3, -2])
def test_concat_and_split(axis, tmp_path):
    from onnx import helper

    net = Net(2, a=(1, 4, 6, 6), b=(1, 4, 6, 6))
    net.quantize("b.same", "b", (1, 4, 6, 6), net.grids["a.in"])
    shape = [1, 4, 6, 6]
    shape[axis] *= 2
    whole = net.then("Concat", ["a.in", "b.same"], tuple(shape), grid="a.in", axis=axis)
    sizes = [1, shape[axis] - 1]
    net.nodes.append(helper.make_node("Split", [whole, net.ints(sizes)], ["one", "rest"], axis=axis))
    for name, size in zip(("one", "rest"), sizes, strict=True):
        part = list(shape)
        part[axis] = size
        net.quantize(f"{name}.out", name, tuple(part), net.grids["a.in"])
    check(net.graph("one.out", "rest.out"), net.values(), tmp_path)


def test_two_inputs_three_outputs_as_codes(tmp_path):
    net = Net(3, a=(1, 4, 6, 6), b=(1, 4, 1, 1))
    weight = net.weight("a.in", (4, 4, 3, 3), 0)
    c = net.then("Conv", ["a.in", *weight], (1, 4, 6, 6), pads=[1] * 4)
    m = net.then("Mul", [c, "b.in"], (1, 4, 6, 6))
    p = net.then("ReduceMean", [m, net.ints([2, 3])], (1, 4), grid=(net.grids[m][0] * 0.7, 0), keepdims=0)
    graph, inputs = net.graph(c, m, p), net.values()
    wanted = golden.run(graph, inputs, rounding="tfl_double")
    for io in ("float", "int8"):
        found, written = run(graph, inputs, tmp_path, io=io)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    from edgekd.backends.litert.structure import Parsed

    kinds = {Parsed(written.data).kind(op) for op in Parsed(written.data).graph.operators}
    from ai_edge_litert.schema_py_generated import BuiltinOperator as B

    assert not kinds & {B.QUANTIZE, B.DEQUANTIZE}


def test_what_has_no_kernel_is_refused_by_name():
    net = Net(0, x=(1, 4, 6))
    weight = net.weight("x.in", (4, 4, 3), 0)
    net.then("Conv", ["x.in", *weight], (1, 4, 4))
    with pytest.raises(RequestError, match=r"`Conv` at `conv.*slides over two axes"):
        write(net.graph())


def test_a_quantizer_rounds_ties_as_the_reference_kernel_does(tmp_path):
    """Pixels in [-1, 1] lie half between two codes, all of them."""
    net = Net(0)
    net.inputs["x"] = (1, 1, 16, 16)
    net.quantize("x.in", "x", (1, 1, 16, 16), grid=(np.float32(2 / 256), 0))
    net.then("MaxPool", ["x.in"], (1, 1, 8, 8), grid="x.in", kernel_shape=[2, 2], strides=[2, 2])
    ties = (np.arange(-128, 128, dtype=np.float32) + np.float32(0.5)) / np.float32(128)
    graph, inputs = net.graph(), {"x": ties.reshape(1, 1, 16, 16)}
    found = check(graph, inputs, tmp_path, int8=False)
    assert found["x.in.q"].ravel()[[0, 1, 128, 129]].tolist() == [-128, -127, 1, 2]
    fed, _ = run(graph, inputs, tmp_path, io="int8")  # the runner quantizes what a file of codes takes
    np.testing.assert_array_equal(fed["x.in.q"], found["x.in.q"])
    for io in ("float", "int8"):
        even, _ = run(graph, inputs, tmp_path, "xnnpack", io)
        np.testing.assert_array_equal(even["x.in.q"], golden.run(graph, inputs)["x.in.q"])
