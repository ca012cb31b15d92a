"""Graphs in the sensor's arithmetic: zero points of 0, steps of activations powers of two."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
import torch
from edgekd.graph.model import IO_KEY, Graph
from edgekd.quantize.capture import capture
from edgekd.quantize.export import export_quantized
from edgekd.quantize.insert import calibrate, insert
from edgekd.schema.io import ImageInput, IoRecord, TensorOutput
from edgekd.schema.targets import find_target
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.graph.graphs import pair
from tests.graph.random_graphs import KINDS, Builder

GREY = (128 / 255,) * 3


class SensorBuilder(Builder):
    """Signed and unsigned tensors mixed, no zero points."""

    def quantize(self, source, shape, grid=None):
        dtype = np.int8 if self.rng.random() < 0.5 else np.uint8
        super().quantize(source, shape, grid or (self.power(-5, -1), dtype(0)))


@st.composite
def graphs(draw):
    """(graph, image) of one to seven operators, exact whoever computes them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 4, 8, 4), (2, 3, 5, 7), (1, 1, 1, 1)]))
    builder = SensorBuilder(rng, True, shape)
    builder.quantize("image", shape)
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=7)):
        builder.apply(kind)
    return builder.graph(), {"image": rng.normal(0, draw(st.sampled_from([0.1, 1.0, 30.0])), shape).astype(np.float32)}


def gated(seed=0, size=8, real=True) -> Graph:
    """crop -> Conv-Relu -> down -> Resize + skip -> times Sigmoid(Conv(mean)) -> logits.

    `real`: scales of weights are no powers of two.
    """
    rng = np.random.default_rng(seed)
    constants: dict[str, np.ndarray] = {"factors": np.array([1, 1, 2, 2], np.float32), "axes": np.array([2, 3])}
    nodes: list[onnx.NodeProto] = []

    def quantize(name, source, step, dtype):
        constants[f"{name}.s"], constants[f"{name}.z"] = np.float32(step), dtype(0)
        nodes.extend(pair(name, source, f"{name}.s", f"{name}.z"))

    def conv(name, x, shape, **attrs):
        scale = (rng.uniform(0.005, 0.02, shape[0]) if real else np.full(shape[0], 2.0**-7)).astype(np.float32)
        constants.update({
            f"{name}.weight_codes": rng.integers(-127, 128, shape).astype(np.int8), f"{name}.ws": scale,
            f"{name}.bias_codes": rng.integers(-900, 900, shape[0]).astype(np.int32),
            f"{name}.bs": (constants[f"{x}.s"] * scale).astype(np.float32),
        })  # fmt: skip
        nodes.extend([
            helper.make_node("DequantizeLinear", [f"{name}.weight_codes", f"{name}.ws"], [f"{name}.w"], axis=0),
            helper.make_node("DequantizeLinear", [f"{name}.bias_codes", f"{name}.bs"], [f"{name}.b"], axis=0),
            helper.make_node("Conv", [x, f"{name}.w", f"{name}.b"], [name], **attrs),
        ])  # fmt: skip

    quantize("x", "crop", 2.0**-7, np.int8)
    conv("first", "x", (4, 3, 3, 3), pads=[1] * 4)
    nodes.append(helper.make_node("Relu", ["first"], ["relu"]))
    quantize("r", "relu", 2.0**-6, np.uint8)
    conv("down", "r", (4, 4, 3, 3), pads=[1] * 4, strides=[2, 2])
    quantize("d", "down", 2.0**-5, np.int8)
    resize = {
        "mode": "nearest",
        "nearest_mode": "floor",
        "coordinate_transformation_mode": "asymmetric",
        "antialias": 0,
    }
    nodes.append(helper.make_node("Resize", ["d", "", "factors"], ["up"], **resize))
    nodes.extend(pair("u", "up", "d.s", "d.z"))
    conv("skip", "r", (4, 1, 1, 1), group=4)
    quantize("s", "skip", 2.0**-5, np.int8)
    nodes.append(helper.make_node("Add", ["u", "s"], ["sum"]))
    quantize("a", "sum", 2.0**-5, np.int8)
    nodes.append(helper.make_node("ReduceMean", ["a", "axes"], ["mean"], keepdims=1))
    quantize("m", "mean", 2.0**-7, np.int8)
    conv("mix", "m", (4, 4, 1, 1))
    nodes.append(helper.make_node("Sigmoid", ["mix"], ["share"]))
    quantize("g", "share", 2.0**-8, np.uint8)
    nodes.append(helper.make_node("Mul", ["a", "g"], ["times"]))
    quantize("t", "times", 2.0**-5, np.int8)
    conv("last", "t", (1, 4, 1, 1))
    quantize("logits", "last", 2.0**-4, np.int8)
    return finished(nodes, constants, (1, 3, size, size), (1, 1, size, size))


def finished(nodes, constants, shape, out_shape, opset=20, **more) -> Graph:
    """A graph from `crop` to `logits` with an io record."""
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("crop", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    crop = ImageInput(name="crop", shape=shape, mean=GREY, std=GREY)
    io = IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))
    helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    return Graph(model)


def crops(count=2, size=8, seed=1):
    """Pixels as the sensor gives them: (p - 128) / 128."""
    rng = np.random.default_rng(seed)
    return [{"crop": (rng.integers(-128, 128, (1, 3, size, size)) / 128).astype(np.float32)} for _ in range(count)]


@cache
def untrained() -> Graph:
    """A narrow PicoSAM3 in the target's arithmetic, its quantizers calibrated on noise."""
    torch.manual_seed(0)
    arithmetic, crop = (
        find_target("imx500").arithmetic,
        ImageInput(name="crop", shape=(1, 3, 32, 32), mean=GREY, std=GREY),
    )
    io = IoRecord(inputs=(crop,), outputs=(TensorOutput(name="logits"),))
    net = PicoSam3Net(ModelConfig(encoder=(4, 4, 8, 8), neck=8, decoder=(8, 8, 4, 4)))
    x = torch.randint(-128, 128, (2, 3, 32, 32)) / 128
    net(x)  # gives batch norm statistics that are not the initial ones
    quantized = insert(capture(net.eval(), (x,), any_batch=True), arithmetic, [crop.ends])
    calibrate(quantized, [(x,)])
    return Graph(export_quantized(net, quantized.state(), arithmetic, [crop.ends], io).model)
