"""The memory estimate against bytes that are known: a packager's log of MobileNetV2, a reckoning of PicoSAM3."""

from itertools import pairwise

import numpy as np
import pytest
from edgekd.backends.imx500 import memory
from edgekd.graph.model import Graph
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig
from onnx import TensorProto, helper, numpy_helper

from tests.backends.imx500.pico import exported
from tests.graph.graphs import pair


class Net:
    """Convolutions and the like in int8, their weights zero."""

    def __init__(self, size):
        self.size, self.nodes = size, list(pair("x", "image"))
        self.constants = {"s": np.float32(0.5), "z": np.int8(0), "six": np.float32(6), "zero": np.float32(0)}

    def _add(self, kind, inputs, quantized=True, **attrs):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attrs))
        if quantized:
            self.nodes.extend(pair(f"{name}.y", name))
        return f"{name}.y" if quantized else name

    def conv(self, x, inputs, outputs, kernel=1, stride=1, group=1, relu=True):
        weight = f"w{len(self.nodes)}"
        self.constants[weight] = np.zeros((outputs, inputs // group, kernel, kernel), np.int8)
        self.nodes.append(helper.make_node("DequantizeLinear", [weight, "s", "z"], [f"{weight}.f"]))
        pads, strides = [kernel // 2] * 4, [stride] * 2
        y = self._add("Conv", [x, f"{weight}.f"], not relu, pads=pads, strides=strides, group=group)
        return self._add("Clip", [y, "zero", "six"]) if relu else y

    def op(self, kind, *inputs, **attrs):
        return self._add(kind, list(inputs), **attrs)

    def graph(self, *ends):
        shape = (1, 3, self.size, self.size)
        outputs = [helper.make_tensor_value_info(end, TensorProto.FLOAT, None) for end in ends]
        inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)]
        constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in self.constants.items()]
        made = helper.make_graph(self.nodes, "g", inputs, outputs, constants)
        return Graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def mobilenet_v2() -> Graph:
    """Sandler et al. 2018, table 2, at 224 x 224; the last layer a 1x1 convolution on the mean."""
    net = Net(224)
    x, channels = net.conv("x", 3, 32, 3, 2), 32
    for wider, outputs, count, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for i in range(count):
            inner = channels * wider
            y = net.conv(x, channels, inner) if wider > 1 else x
            y = net.conv(y, inner, inner, 3, stride if i == 0 else 1, inner)
            y = net.conv(y, inner, outputs, relu=False)
            x = net.op("Add", x, y) if i else y
            channels = outputs
    x = net.op("GlobalAveragePool", net.conv(x, 320, 1280))
    return net.graph(net.conv(x, 1280, 1000, relu=False))


def test_mobilenet_v2_is_met_within_a_percent():
    """Packager's log, converter 3.14.15, persistent input: 1,674,240 and 3,680,416 bytes."""
    found = memory.estimate(mobilenet_v2())
    assert found.weights == 3_469_760
    assert found.peak == (112 * 112 * (24 + 96), 112 * 112 * (24 + 96))  # the second block's widening
    assert found.runtime[1] == pytest.approx(1_674_240, rel=0.01)
    assert found.model[0] <= 3_680_416 <= found.model[1] * 1.001
    assert found.padded > found.total[1]


def test_picosam3_needs_what_was_reckoned_by_hand():
    """dec4's depthwise: 96 x 96 of 80 + 80 channels and enc1's 48, or its skip's 40 where that runs early."""
    graph = Graph(exported(ModelConfig(), 96, calibrated=False).model)
    found = memory.estimate(graph, persistent=False)
    assert found.peak == (96 * 96 * (80 + 80 + 40), 96 * 96 * (80 + 80 + 48)) == (1_843_200, 1_916_928)
    assert found.weights == 1_364_411
    low, high = found.shares
    assert 0.38 < low < high < 0.42
    kept = memory.estimate(graph)
    assert kept.runtime[1] - found.runtime[1] == pytest.approx(96 * 96 * 3 + 4096, rel=0.02)
    assert not memory.check(graph)


def chain(*channels, size=64):
    net, x = Net(size), "x"
    for inputs, outputs in pairwise((3, *channels)):
        x = net.conv(x, inputs, outputs)
    return net, x


def test_an_operator_and_its_activation_are_one_step():
    net, x = chain(8, 16)
    found = memory.estimate(net.graph(x), persistent=False)
    assert found.peak == (64 * 64 * (8 + 16),) * 2


def test_views_take_no_memory_of_their_own():
    net, x = chain(8)
    net.constants["shape"] = np.array([1, 8, -1])
    flat = net.op("Reshape", x, "shape")
    assert memory.estimate(net.graph(flat), persistent=False).peak == (64 * 64 * (3 + 8),) * 2


@pytest.mark.parametrize("kind", ["silu", "concat"])
def test_tangled_networks_get_the_factors_that_yolo_showed(kind):
    net, x = chain(8)
    plain = memory.estimate(net.graph(x), persistent=False)
    y = net.op("Mul", x, net.op("Sigmoid", x)) if kind == "silu" else net.op("Concat", x, x, axis=1)
    found = memory.estimate(net.graph(y), persistent=False)
    assert found.runtime[0] == int(found.peak[0] * 1.6 * 1.01)
    assert found.runtime[1] == int(found.peak[1] * 1.95 * 1.01)
    assert plain.runtime[1] == int(plain.peak[1] * 1.01)


def test_a_gate_by_something_else_is_no_silu():
    net, x = chain(8)
    y = net.op("Mul", x, net.op("Sigmoid", net.conv(x, 8, 8, relu=False)))
    found = memory.estimate(net.graph(y), persistent=False)
    assert found.runtime[1] == int(found.peak[1] * 1.01)


def test_what_cannot_fit_is_refused_and_what_may_not_is_noted():
    net, x = chain(16, 16, size=640)  # 640 x 640 x 32 bytes are 13 MB
    (problem,) = memory.check(net.graph(x))
    assert "needs at least about" in problem.message
    assert "8,388,480" in problem.message
    net, x = chain(8, 9, size=640)  # 7 MB
    assert not memory.check(net.graph(x), False)
    assert memory.estimate(net.graph(x), False).told()["notes"] == ["may not fit: ask the converter early"]


def test_the_descriptor_and_the_estimate_know_one_size():
    assert find_target("imx500").board.cost.memory_bytes == memory.AVAILABLE == 8_388_480
