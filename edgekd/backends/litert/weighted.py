"""Operators with weights, and products of two activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert import padding
from edgekd.backends.litert.file import Grid
from edgekd.backends.litert.layout import NHWC, plain, with_last
from edgekd.backends.litert.writer import B, Step, Stored, Writer
from edgekd.graph.golden.windows import Window, window
from edgekd.graph.model import Array, attributes


@dataclass(frozen=True)
class Weight:
    """A weight and bias as the file has them: output channels along `axis`, codes where scales are given."""

    names: tuple[str, str]
    array: Array
    bias: Array
    axis: int
    scale: Array | None = None
    """Of the weight's codes."""

    def write(self, w: Writer, x: Stored) -> list[int]:
        """The two tensors; the bias has the scale of input times weight."""
        pair = list(zip(self.names, (self.array, self.bias), strict=True))
        if self.scale is None or x.grid is None:
            return [w.file.tensor(name, array.shape, "float32", data=array) for name, array in pair]
        grids = Grid(self.scale, 0, self.axis), Grid((x.grid.scale * self.scale).astype(np.float32), 0)
        both = zip(pair, ("int8", "int32"), grids, strict=True)
        return [w.file.tensor(name, array.shape, dtype, grid, array) for (name, array), dtype, grid in both]


def weight_of(w: Writer, node: onnx.NodeProto, bias: str, axis: int, order: tuple[int, ...], int8: bool) -> Weight:
    """Weight and bias of an operator; `axis` are the output channels in the graph, `order` its axes in the file."""
    name, shape, place = node.input[1], w.shape(node.input[1]), order.index(axis)
    names = (w.graph.source(name) or f"{name}.weight", (w.graph.source(bias) if bias else "") or f"{name}.bias")
    if not int8:
        zeros = np.zeros(shape[axis], np.float32)
        array = w.constant(name).transpose(order)
        return Weight(names, array, w.constant(bias).reshape(-1) if bias else zeros, place)
    codes, scale, _, _ = w.quantized(name)
    grid = w.grid(node.input[0])
    assert grid is not None
    step = (grid.scale * scale).astype(np.float32)
    return Weight(names, codes.transpose(order), _bias_codes(w, bias, step, shape[axis]), place, scale.reshape(-1))


def _bias_codes(w: Writer, bias: str, step: Array, channels: int) -> Array:
    """int32 on the accumulator's grid, float biases rounded to it; zeros where there is none."""
    if not bias:
        return np.zeros(channels, np.int32)
    if bias not in w.graph.constants:
        return w.quantized(bias)[0].reshape(-1)
    return np.rint(w.constant(bias).reshape(-1).astype(np.float64) / step.astype(np.float64)).astype(np.int32)


def grid_of(w: Writer, node: onnx.NodeProto, step: Step, axis: int) -> Grid | None:
    """The grid an int8 kernel would make its codes on; None where the operator has to be float."""
    name = node.input[1]
    if w.grid(node.input[0]) is None or name in w.graph.constants or not w.is_constant(name):
        return None
    codes, scale, zero, along = w.quantized(name)
    fits = codes.dtype == np.int8 and not zero.any() and (scale.size == 1 or along == axis)
    return step.grid if fits else None


def conv(w: Writer, node: onnx.NodeProto) -> None:
    """CONV_2D, or DEPTHWISE_CONV_2D where every channel is a group."""
    attrs, step = attributes(node), w.step(node, fuses=True)
    channels, shape, groups = w.shape(node.input[0])[1], w.shape(node.input[1]), attrs.get("group", 1)
    slide = _window(w, node, attrs, shape[2:])
    depthwise = groups == channels > 1
    grid = grid_of(w, node, step, 0)
    x, kind = padding.resolve(w, w.read(node.input[0], grid is not None, NHWC), slide)
    bias = node.input[2] if len(node.input) > 2 else ""
    weight = weight_of(w, node, bias, 0, (1, 2, 3, 0) if depthwise else (0, 2, 3, 1), grid is not None)
    options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
    _slide_options(options, slide, kind, step.activation)
    options.dilationHFactor, options.dilationWFactor = slide.dilations
    if depthwise:
        options.depthMultiplier = shape[0] // channels
    inputs, kernel = [x.index, *weight.write(w, x)], B.DEPTHWISE_CONV_2D if depthwise else B.CONV_2D
    w.emit(step, NHWC, grid, kernel, 3 if grid else _float_version(slide, depthwise), inputs, options, fuses=True)


def _float_version(slide: Window, depthwise: bool) -> int:
    """The first that knows what is asked for."""
    return 2 if depthwise and slide.dilations != (1, 1) else 1


def _slide_options(options: Any, slide: Window, kind: int, activation: int) -> None:
    options.padding, options.fusedActivationFunction = kind, activation
    options.strideH, options.strideW = slide.strides


def _window(w: Writer, node: onnx.NodeProto, attrs: dict[str, Any], kernel: tuple[int, ...]) -> Window:
    size = w.shape(node.input[0])[2:]
    if len(size) != 2:
        raise w.refuse(node, f"slides over two axes, not {len(size)}", "add an axis of one element")
    if not w.is_constant(node.input[1]):
        raise w.refuse(node, "needs a constant weight")
    return window(size, kernel, attrs)


def conv_transpose(w: Writer, node: onnx.NodeProto) -> None:
    """TRANSPOSE_CONV; where it cannot crop as the graph does, it makes all and SLICE crops."""
    attrs, step = attributes(node), w.step(node, fuses=True)
    kernel = w.shape(node.input[1])[2:]
    slide = _window(w, node, attrs, kernel)
    if attrs.get("group", 1) != 1 or slide.dilations != (1, 1):
        raise w.refuse(node, "has no groups and no dilation there", "use `Resize` and a `Conv`")
    grid = grid_of(w, node, step, 1)
    x = w.read(node.input[0], grid is not None, NHWC)
    weight = weight_of(w, node, node.input[2] if len(node.input) > 2 else "", 1, (1, 2, 3, 0), grid is not None)
    shape = w.shape(node.output[0])
    as_same = slide.pads == same_transposed(x.shape[2:], shape[2:], slide)
    whole = [max((n - 1) * s + k, m) for n, s, k, m in zip(x.shape[2:], slide.strides, kernel, shape[2:], strict=True)]
    crops = any(slide.pads) and not as_same
    options = schema.TransposeConvOptionsT()
    _slide_options(options, slide, padding.SAME if as_same else padding.VALID, 0)
    full = (*shape[:2], *whole) if crops else shape
    tensors = weight.write(w, x)
    inputs = [w.ints("output shape", [full[a] for a in NHWC]), tensors[0], x.index, tensors[1]]
    if not crops:
        w.emit(step, NHWC, grid, B.TRANSPOSE_CONV, 3, inputs, options)
        return
    uncropped = w.new(f"{node.output[0]}:uncropped", full, NHWC, grid)
    w.file.operator(B.TRANSPOSE_CONV, 3, inputs, [uncropped.index], options)
    cut = [w.ints("begin", [0, *slide.pads[:2], 0]), w.ints("size", [shape[a] for a in NHWC])]
    w.emit(step, NHWC, grid, B.SLICE, 2 if grid else 1, [uncropped.index, *cut], schema.SliceOptionsT())


def same_transposed(size: tuple[int, ...], out: tuple[int, ...], slide: Window) -> tuple[int, ...] | None:
    """What SAME crops of a transposed convolution; None where its input would have another size (TFLite)."""
    if any(-(-m // s) != n for n, m, s in zip(size, out, slide.strides, strict=True)):
        return None
    return padding.same_pads(out, slide)


def gemm(w: Writer, node: onnx.NodeProto) -> None:
    """FULLY_CONNECTED."""
    attrs = attributes(node)
    if attrs.get("transA", 0) or attrs.get("alpha", 1.0) != 1 or (len(node.input) > 2 and attrs.get("beta", 1.0) != 1):
        raise w.refuse(node, "knows neither `transA`, `alpha` nor `beta`", "write them as operators of their own")
    if not w.is_constant(node.input[1]):
        raise w.refuse(node, "needs a constant weight", "use `MatMul`")
    axis = 0 if attrs.get("transB", 0) else 1
    _fully_connected(w, node, w.step(node, fuses=True), axis, node.input[2] if len(node.input) > 2 else "")


def matmul(w: Writer, node: onnx.NodeProto) -> None:
    """FULLY_CONNECTED with a constant matrix and the bias that is added behind it, else BATCH_MATMUL."""
    weight = node.input[1]
    if not w.is_constant(weight) or len(w.shape(weight)) != 2:
        _batch_matmul(w, node)
        return
    add = w.only_reader(node.output[0])
    bias = next((n for n in add.input if _is_row(w, n)), "") if add is not None and add.op_type == "Add" else ""
    if add is None or not bias:
        _fully_connected(w, node, w.step(node, fuses=True), 1, "")
        return
    w.done.add(add.output[0])
    _fully_connected(w, node, w.step(node, fuses=True, behind=add.output[0]), 1, bias)


def _is_row(w: Writer, name: str) -> bool:
    """Whether a constant has one axis, as a bias has."""
    return w.is_constant(name) and len(w.shape(name)) == 1


def _fully_connected(w: Writer, node: onnx.NodeProto, step: Step, axis: int, bias: str) -> None:
    grid = grid_of(w, node, step, axis)
    rank = len(w.shape(node.input[0]))
    x = w.read(node.input[0], grid is not None)
    x = w.arrange(x, with_last(x.layout, rank - 1) if x.layout[-1] != rank - 1 else x.layout)
    weight = weight_of(w, node, bias, axis, (axis, 1 - axis), grid is not None)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction, options.keepNumDims = step.activation, rank > 2
    version = (5 if rank > 2 else 1) if grid is None else 4
    w.emit(step, x.layout, grid, B.FULLY_CONNECTED, version, [x.index, *weight.write(w, x)], options, fuses=True)


def _batch_matmul(w: Writer, node: onnx.NodeProto) -> None:
    step, rank = w.step(node, fuses=True), len(w.shape(node.output[0]))
    grid = step.grid if all(w.grid(n) is not None for n in node.input) else None
    if rank < 2 or min(len(w.shape(n)) for n in node.input) < 2:
        raise w.refuse(node, "multiplies matrices, not vectors", "add an axis of one element")
    a, b = (w.read(n, grid is not None, plain(rank), rank) for n in node.input)
    version = 1 if grid is None else 2
    w.emit(step, plain(rank), grid, B.BATCH_MATMUL, version, [a.index, b.index], schema.BatchMatMulOptionsT())
