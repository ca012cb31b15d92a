"""Small graphs for tests, built with onnx alone."""

from __future__ import annotations

import numpy as np
import onnx
from edgekd.graph.model import IO_KEY, Graph
from edgekd.schema.io import ImageInput, ImageOutput, IoRecord
from onnx import TensorProto, helper, numpy_helper


def build(nodes, constants, shape, out_shape, opset=20) -> Graph:
    """A graph from `image` to `restored` with an io record."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, out_shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    half = (0.5, 0.5, 0.5)
    io = IoRecord(
        inputs=(ImageInput(name="image", shape=shape, mean=half, std=half),),
        outputs=(ImageOutput(name="restored", mean=half[:1] * out_shape[1], std=half[:1] * out_shape[1]),),
    )
    helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    return Graph(model)


def pair(name, source, scale="s", zero="z"):
    """A Q/DQ pair: `NAME.q` the codes, `NAME` the values."""
    return [
        helper.make_node("QuantizeLinear", [source, scale, zero], [f"{name}.q"]),
        helper.make_node("DequantizeLinear", [f"{name}.q", scale, zero], [name]),
    ]


def conv_graph(rng, *, channels=4, size=8, zero=0, dtype=np.int8, stride=1, pads=(1, 1, 1, 1), group=1, relu=True,
               x_scale=0.02, w_scale=None, y_scale=0.05, int_bias=True):  # fmt: skip
    """image -> Q/DQ -> Conv (int8 weight, bias on the grid) -> Relu -> Q/DQ."""
    weight = rng.integers(-127, 128, (channels, channels // group, 3, 3)).astype(np.int8)
    w_scale = np.full(channels, 0.01, np.float32) if w_scale is None else w_scale
    grid = (np.float32(x_scale) * w_scale).astype(np.float32)
    bias = rng.integers(-500, 500, channels).astype(np.int32)
    constants = {
        "s": np.float32(x_scale), "z": dtype(zero), "sy": np.float32(y_scale), "w": weight, "ws": w_scale,
        "wz": np.zeros(channels, np.int8),
    }  # fmt: skip
    nodes = pair("x", "image")
    nodes.append(helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0))
    if int_bias:
        constants |= {"b": bias, "bs": grid, "bz": np.zeros(channels, np.int32)}
        nodes.append(helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bf"], axis=0))
    else:
        constants["bf"] = bias.astype(np.float32) * grid
    nodes.append(
        helper.make_node("Conv", ["x", "wf", "bf"], ["c"], pads=list(pads), strides=[stride, stride], group=group)
    )
    if relu:
        nodes.append(helper.make_node("Relu", ["c"], ["r"]))
    nodes += pair("y", "r" if relu else "c", "sy", "z")
    nodes.append(helper.make_node("Identity", ["y"], ["restored"]))
    out = (size + pads[0] + pads[2] - 3) // stride + 1
    return build(nodes, constants, (1, channels, size, size), (1, channels, out, out))


def linear(bias) -> Graph:
    """image -> Q/DQ -> MatMul (int8 weight of 127, zero point 0) -> Add of the dequantized `b` -> restored."""
    constants = {"s": np.float32(0.02), "z": np.int8(0), "ws": np.float32(0.01), "bs": np.float32(0.02 * 0.01),
                 "w": np.full((4, 3), 127, np.int8), **bias}  # fmt: skip
    nodes = [
        *pair("x", "image"),
        helper.make_node("DequantizeLinear", ["w", "ws"], ["wf"]),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bf"]),
        helper.make_node("MatMul", ["x", "wf"], ["m"]),
        helper.make_node("Add", ["m", "bf"], ["restored"]),
    ]
    return build(nodes, constants, (1, 3, 2, 4), (1, 3, 2, 3))
