"""XNNPACK's codes against the integer reference, each operator given XNNPACK's own inputs: inside the bounds."""

import numpy as np
import pytest
from edgekd.graph import golden
from edgekd.verify.parity import compare
from hypothesis import given, settings

from tests.backends.litert.nets import LITERT, Net, check, run
from tests.graph.random_graphs import graphs

BIG = (1, 8, 24, 24)


def conv(net, k=3, group=1):
    weight = net.weight("x.in", (8, 8 // group, k, k), 0)
    return net.then("Conv", ["x.in", *weight], BIG, relu=1, pads=[k // 2] * 4, group=group)


KINDS = {
    "conv": conv,
    "depthwise": lambda net: conv(net, group=8),
    "grouped": lambda net: conv(net, group=2),
    "transposed": lambda net: net.then("ConvTranspose", ["x.in", *net.weight("x.in", (8, 4, 2, 2), 1)], (1, 4, 48, 48),
                                       strides=[2, 2]),
    "add": lambda net: net.then("Add", ["x.in", net.constant((8, 1, 1))], BIG),
    "mul": lambda net: net.then("Mul", ["x.in", "x.in"], BIG),
    "sub": lambda net: net.then("Sub", ["x.in", net.constant(BIG)], BIG),
    "relu on another grid": lambda net: net.then("Relu", ["x.in"], BIG),
    "leaky": lambda net: net.then("LeakyRelu", ["x.in"], BIG, alpha=0.1),
    "max pool on another grid": lambda net: net.then("MaxPool", ["x.in"], (1, 8, 12, 12), kernel_shape=[2, 2],
                                                     strides=[2, 2]),
    "average pool": lambda net: net.then("AveragePool", ["x.in"], BIG, grid="x.in", kernel_shape=[3, 3], pads=[1] * 4),
    "mean": lambda net: net.then("ReduceMean", ["x.in", net.ints([2, 3])], (1, 8, 1, 1),
                                 grid=(net.grids["x.in"][0] * np.float32(0.6371), 5)),
    "linear": lambda net: net.then("Resize", ["x.in", "", "", net.ints((1, 8, 40, 51))], (1, 8, 40, 51), grid="x.in",
                                   mode="linear", coordinate_transformation_mode="half_pixel"),
    "nearest": lambda net: net.then("Resize", ["x.in", "", "", net.ints((1, 8, 48, 72))], (1, 8, 48, 72), grid="x.in",
                                    coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "matmul": lambda net: net.then("MatMul", ["x.in", "x.in"], BIG, grid=(net.scale(0.2, 0.9), 3)),
    **{kind: lambda net, kind=kind: net.then(kind, ["x.in"], BIG, grid=LITERT.get(kind))
       for kind in ("Sigmoid", "Tanh", "HardSwish", "Gelu", "Softmax")},
}  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_inside_the_bounds(kind, seed, tmp_path):
    net = Net(seed, x=BIG)
    KINDS[kind](net)
    graph, inputs = net.graph(), net.values()
    found, _ = run(graph, inputs, tmp_path, kernels="xnnpack")
    hop = compare(kind, graph, [inputs], [found], rounding="rne_f32")
    assert hop.first_beyond is None, hop.tensors


@settings(max_examples=40, deadline=None)
@given(drawn=graphs())
def test_random_graphs(drawn, tmp_path_factory):
    """Power-of-two scales: every code of the reference kernels is the integer reference's."""
    graph, inputs = drawn
    if any(graph.code_type(node) != np.int8 for node in graph.codes()):
        return
    found, _ = run(graph, inputs, tmp_path_factory.mktemp("random"))
    wanted = golden.run(graph, inputs, rounding="tfl_double")
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


def test_a_chain_is_exact_on_reference_kernels(tmp_path):
    """Attention on a feature map: Reshape, Transpose, two products, Softmax between layouts."""
    net = Net(5, x=(1, 8, 4, 4))
    weight = net.weight("x.in", (8, 8, 1, 1), 0)
    c = net.then("Conv", ["x.in", *weight], (1, 8, 4, 4))
    tokens = net.then("Reshape", [c, net.ints((1, 8, 16))], (1, 8, 16), grid=c)
    rows = net.then("Transpose", [tokens], (1, 16, 8), grid=c, perm=[0, 2, 1])
    scores = net.then("MatMul", [rows, tokens], (1, 16, 16), grid=(0.3, 4))
    halves = net.then("Reshape", [scores, net.ints((1, 16, 4, 4))], (1, 16, 4, 4), grid=scores)
    weight = net.weight(halves, (3, 16, 3, 3), 0)
    net.then("Conv", [halves, *weight], (1, 3, 4, 4), pads=[1] * 4)
    check(net.graph(), net.values(), tmp_path)
