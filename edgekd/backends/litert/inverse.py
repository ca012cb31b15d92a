"""Each operator of a .tflite file as operators of the graph."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.layout import NHWC, Shape, plain, stored
from edgekd.backends.litert.padding import same_pads
from edgekd.backends.litert.reader import LIMITS, B, Reader, Value
from edgekd.graph.golden.windows import Window

Handler = Callable[[Reader, Any], None]
ELEMENTWISE = {
    B.ADD: "Add", B.SUB: "Sub", B.MUL: "Mul", B.DIV: "Div", B.MAXIMUM: "Max", B.MINIMUM: "Min", B.RELU: "Relu",
    B.LOGISTIC: "Sigmoid", B.TANH: "Tanh", B.HARD_SWISH: "HardSwish", B.GELU: "Gelu", B.LEAKY_RELU: "LeakyRelu",
    B.ABS: "Abs", B.EXP: "Exp", B.NEG: "Neg", B.SQRT: "Sqrt",
}  # fmt: skip
CLIPS = {B.RELU6: schema.ActivationFunctionType.RELU6, B.RELU_N1_TO_1: schema.ActivationFunctionType.RELU_N1_TO_1}


def _active(op: Any) -> int:
    return int(getattr(op.builtinOptions, "fusedActivationFunction", 0))


def elementwise(r: Reader, op: Any) -> None:
    """One operator of the graph, all operands in one layout."""
    kind, out = ELEMENTWISE[r.file.kind(op)], op.outputs[0]
    rank = len(r.shape(out))
    layout = r.layout_of(op.inputs, rank)
    names = [r.read(i, layout, rank).name for i in op.inputs]
    attributes: dict[str, Any] = {}
    if kind == "Gelu":
        attributes["approximate"] = "tanh" if op.builtinOptions.approximate else "none"
    if kind == "LeakyRelu":
        attributes["alpha"] = float(op.builtinOptions.alpha)
    r.leave(out, r.add(kind, names, f"{r.name(out)}.made", **attributes), layout, _active(op))


def clip(r: Reader, op: Any) -> None:
    """RELU6 and RELU_N1_TO_1."""
    x = r.read(op.inputs[0])
    assert CLIPS[r.file.kind(op)] in LIMITS
    r.leave(op.outputs[0], r.activate(x.name, CLIPS[r.file.kind(op)]), x.layout)


def rsqrt(r: Reader, op: Any) -> None:
    """A root and its reciprocal."""
    x, out = r.read(op.inputs[0]), r.name(op.outputs[0])
    r.leave(op.outputs[0], r.add("Reciprocal", [r.add("Sqrt", [x.name], f"{out}.root")], f"{out}.made"), x.layout)


def _window(op: Any, kernel: Shape) -> Window:
    options = op.builtinOptions
    dilations = getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)
    return Window((kernel[0], kernel[1]), (options.strideH, options.strideW), dilations=dilations)


def _slide(op: Any, slide: Window, size: Shape) -> dict[str, Any]:
    """Attributes of a convolution or pool."""
    pads = same_pads(size, slide) if op.builtinOptions.padding == schema.Padding.SAME else (0, 0, 0, 0)
    return {"strides": list(slide.strides), "pads": list(pads)}


def _weight(r: Reader, op: Any, place: int, order: Shape) -> tuple[str, Shape]:
    """The weight's name and shape in the graph, where its axes are the file's in this order."""
    found = r.data(op.inputs[place])
    if found is None:
        raise r.refuse(op, "has a computed weight", "only constant ones can be read")
    array = found.transpose(order)
    axis = order.index(r.tensors[op.inputs[place]].quantization.quantizedDimension) if found.dtype == np.int8 else 0
    return r.dequantized(op.inputs[place], array, axis), array.shape


def _bias(r: Reader, op: Any, place: int) -> list[str]:
    index = op.inputs[place] if len(op.inputs) > place else -1
    found = r.data(index)
    return [] if found is None else [r.dequantized(index, found, 0)]


def conv(r: Reader, op: Any) -> None:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    out, x = op.outputs[0], r.read(op.inputs[0], NHWC)
    depthwise = r.file.kind(op) == B.DEPTHWISE_CONV_2D
    weight, shape = _weight(r, op, 1, (3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    slide, groups = _window(op, shape[2:]), x.shape[1] // shape[1]
    attributes = _slide(op, slide, x.shape[2:]) | {"dilations": list(slide.dilations), "group": groups}
    r.leave(
        out, r.add("Conv", [x.name, weight, *_bias(r, op, 2)], f"{r.name(out)}.made", **attributes), NHWC, _active(op)
    )


def conv_transpose(r: Reader, op: Any) -> None:
    """TRANSPOSE_CONV; what SAME crops are pads, what the output has beyond them is `output_padding`."""
    out, x = op.outputs[0], r.read(op.inputs[2], NHWC)
    weight, shape = _weight(r, op, 1, (3, 0, 1, 2))
    slide, size = _window(op, shape[2:]), r.shape(out)[1:3]
    same = op.builtinOptions.padding == schema.Padding.SAME
    pads = same_pads(size, slide) if same else (0, 0, 0, 0)
    whole = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], slide.strides, shape[2:], strict=True)]
    more = [m - n + pads[i] + pads[i + 2] for i, (m, n) in enumerate(zip(size, whole, strict=True))]
    attributes = {"strides": list(slide.strides), "pads": list(pads), "output_padding": more}
    made = r.add("ConvTranspose", [x.name, weight, *_bias(r, op, 3)], f"{r.name(out)}.made", **attributes)
    r.leave(out, made, NHWC, _active(op))


def fully_connected(r: Reader, op: Any) -> None:
    """Gemm, or MatMul and Add where more than two axes are kept."""
    out, (rows, columns) = op.outputs[0], r.shape(op.inputs[1])
    x = r.read(op.inputs[0])
    x = r.arrange(x, plain(len(x.shape)))
    if op.builtinOptions.keepNumDims and len(x.shape) > 2:
        weight, _ = _weight(r, op, 1, (1, 0))
        made = r.add("MatMul", [x.name, weight], f"{r.name(out)}.product")
        for bias in _bias(r, op, 2):
            made = r.add("Add", [made, bias], f"{r.name(out)}.made")
    else:
        x = x if len(x.shape) == 2 else _reshaped(r, x, (prod(x.shape) // columns, columns), r.name(out))
        weight, _ = _weight(r, op, 1, (0, 1))
        made = r.add("Gemm", [x.name, weight, *_bias(r, op, 2)], f"{r.name(out)}.made", transB=1)
    assert rows == r.shape(out)[-1]
    r.leave(out, made, plain(len(r.shape(out))), _active(op))


def _reshaped(r: Reader, x: Value, shape: Shape, name: str) -> Value:
    size = r.constant(f"{name}.shape", np.array(shape, np.int64))
    return Value(r.add("Reshape", [x.name, size], f"{name}.flat"), shape, plain(len(shape)))


def batch_matmul(r: Reader, op: Any) -> None:
    """MatMul, operands transposed where the file says so."""
    out, names = op.outputs[0], []
    for index, adjoint in zip(op.inputs, (op.builtinOptions.adjX, op.builtinOptions.adjY), strict=True):
        x = r.read(index)
        rank = len(x.shape)
        x = r.arrange(x, plain(rank))
        turned = [*range(rank - 2), rank - 1, rank - 2]
        names.append(r.add("Transpose", [x.name], f"{x.name}.turned", perm=turned) if adjoint else x.name)
    r.leave(out, r.add("MatMul", names, f"{r.name(out)}.made"), plain(len(r.shape(out))))


def pool(r: Reader, op: Any) -> None:
    """MAX_POOL_2D and AVERAGE_POOL_2D."""
    out, x, options = op.outputs[0], r.read(op.inputs[0], NHWC), op.builtinOptions
    slide = _window(op, (options.filterHeight, options.filterWidth))
    kind = "MaxPool" if r.file.kind(op) == B.MAX_POOL_2D else "AveragePool"
    attributes = _slide(op, slide, x.shape[2:]) | {"kernel_shape": list(slide.kernel)}
    r.leave(out, r.add(kind, [x.name], f"{r.name(out)}.made", **attributes), NHWC, _active(op))


def mean(r: Reader, op: Any) -> None:
    """ReduceMean."""
    out, x, keep = op.outputs[0], r.read(op.inputs[0]), bool(op.builtinOptions.keepDims)
    axes = sorted(x.layout[a % len(x.shape)] for a in r.ints(op.inputs[1]))
    places = r.constant(f"{r.name(out)}.axes", np.array(axes, np.int64))
    left = [a for a in range(len(x.shape)) if a not in axes]
    layout = x.layout if keep else tuple(left.index(a) for a in x.layout if a not in axes)
    r.leave(out, r.add("ReduceMean", [x.name, places], f"{r.name(out)}.made", keepdims=int(keep)), layout)


def softmax(r: Reader, op: Any) -> None:
    """Softmax over the last axis of the file."""
    if op.builtinOptions.beta != 1.0:
        raise r.refuse(op, "has a `beta` that is not 1", "scale before it")
    out, x = op.outputs[0], r.read(op.inputs[0])
    r.leave(out, r.add("Softmax", [x.name], f"{r.name(out)}.made", axis=x.layout[-1]), x.layout)


def resize(r: Reader, op: Any) -> None:
    """Resize with the same samples."""
    out, x, options = op.outputs[0], r.read(op.inputs[0], NHWC), op.builtinOptions
    linear = r.file.kind(op) == B.RESIZE_BILINEAR
    where = "align_corners" if options.alignCorners else "half_pixel" if options.halfPixelCenters else "asymmetric"
    rounding = {} if linear else {"nearest_mode": "floor" if where == "asymmetric" else "round_prefer_ceil"}
    size = r.constant(f"{r.name(out)}.size", np.array([*x.shape[:2], *r.shape(out)[1:3]], np.int64))
    attributes = {"mode": "linear" if linear else "nearest", "coordinate_transformation_mode": where} | rounding
    r.leave(out, r.add("Resize", [x.name, "", "", size], f"{r.name(out)}.made", **attributes), NHWC)


def reshape(r: Reader, op: Any) -> None:
    """RESHAPE, SQUEEZE and EXPAND_DIMS: the file's order of values is kept."""
    out, x = op.outputs[0], r.read(op.inputs[0])
    x, shape = r.arrange(x, plain(len(x.shape))), r.shape(op.outputs[0])
    size = r.constant(f"{r.name(out)}.shape", np.array(shape, np.int64))
    r.leave(out, r.add("Reshape", [x.name, size], f"{r.name(out)}.made"), plain(len(shape)))


def transpose(r: Reader, op: Any) -> None:
    """Transpose in the file's order."""
    out, x = op.outputs[0], r.read(op.inputs[0])
    x, perm = r.arrange(x, plain(len(x.shape))), r.ints(op.inputs[1])
    r.leave(out, r.add("Transpose", [x.name], f"{r.name(out)}.made", perm=perm), plain(len(perm)))


def concat(r: Reader, op: Any) -> None:
    """Concat."""
    out, rank = op.outputs[0], len(r.shape(op.outputs[0]))
    layout = r.layout_of(op.inputs, rank)
    names = [r.read(i, layout).name for i in op.inputs]
    axis = layout[op.builtinOptions.axis % rank]
    r.leave(out, r.add("Concat", names, f"{r.name(out)}.made", axis=axis), layout, _active(op))


def pad(r: Reader, op: Any) -> None:
    """Pad with zeros, or with PADV2's value."""
    out, x = op.outputs[0], r.read(op.inputs[0])
    ends = np.array(r.ints(op.inputs[1])).reshape(-1, 2)[[x.layout.index(a) for a in range(len(x.shape))]]
    inputs = [x.name, r.constant(f"{r.name(out)}.pads", ends.T.ravel().astype(np.int64))]
    if len(op.inputs) > 2:
        inputs.append(r.read(op.inputs[2]).name)
    r.leave(out, r.add("Pad", inputs, f"{r.name(out)}.made"), x.layout)


def _write_slice(r: Reader, out: int, x: Value, cuts: list[slice]) -> str:
    """`cuts` along the file's axes."""
    names = [r.constant(f"{r.name(out)}.{part}", np.array(values, np.int64)) for part, values in (
        ("starts", [c.start for c in cuts]), ("ends", [c.stop for c in cuts]), ("axes", x.layout),
        ("steps", [c.step for c in cuts]))]  # fmt: skip
    return r.add("Slice", [x.name, *names], f"{r.name(out)}.made")


def slice_(r: Reader, op: Any) -> None:
    """SLICE."""
    x, shape = r.read(op.inputs[0]), r.shape(op.inputs[0])
    begin, size = r.ints(op.inputs[1]), r.ints(op.inputs[2])
    cuts = [slice(b, n if s < 0 else b + s, 1) for b, s, n in zip(begin, size, shape, strict=True)]
    r.leave(op.outputs[0], _write_slice(r, op.outputs[0], x, cuts), x.layout)


def strided_slice(r: Reader, op: Any) -> None:
    """STRIDED_SLICE; axes that it drops are squeezed."""
    out, x, o = op.outputs[0], r.read(op.inputs[0]), op.builtinOptions
    begin, end, step = (r.ints(i) for i in op.inputs[1:4])
    if o.ellipsisMask or o.newAxisMask or min(step) < 1:
        raise r.refuse(op, "adds axes or reads backwards", "slice plainly")
    cuts = []
    for i, n in enumerate(r.shape(op.inputs[0])):
        first, last = None if o.beginMask >> i & 1 else begin[i], None if o.endMask >> i & 1 else end[i]
        one = o.shrinkAxisMask >> i & 1
        cuts.append(slice(begin[i] % n, begin[i] % n + 1, 1) if one else slice(*slice(first, last, step[i]).indices(n)))
    made = _write_slice(r, out, x, cuts)
    dropped = [x.layout[i] for i in range(len(cuts)) if o.shrinkAxisMask >> i & 1]
    if dropped:
        made = r.add("Squeeze", [made, r.constant(f"{made}.axes", np.array(dropped, np.int64))], f"{made}.squeezed")
    left = [a for a in range(len(cuts)) if a not in dropped]
    r.leave(out, made, tuple(left.index(a) for a in x.layout if a not in dropped))


def split(r: Reader, op: Any) -> None:
    """SPLIT: a Slice for each part."""
    x, start = r.read(op.inputs[1]), 0
    axis = r.ints(op.inputs[0])[0] % len(x.shape)
    for out in op.outputs:
        cuts = [slice(0, n, 1) for n in stored(x.shape, x.layout)]
        cuts[axis] = slice(start, start := start + r.shape(out)[axis], 1)
        r.leave(out, _write_slice(r, out, x, cuts), x.layout)


def broadcast_to(r: Reader, op: Any) -> None:
    """Expand."""
    out, shape = op.outputs[0], r.shape(op.outputs[0])
    x = r.read(op.inputs[0], plain(len(shape)), len(shape))
    size = r.constant(f"{r.name(out)}.shape", np.array(shape, np.int64))
    r.leave(out, r.add("Expand", [x.name, size], f"{r.name(out)}.made"), plain(len(shape)))


def convert(r: Reader, op: Any) -> None:
    """QUANTIZE and DEQUANTIZE: pairs are put where tensors are codes."""
    x = r.read(op.inputs[0])
    r.leave(op.outputs[0], x.name, x.layout)


HANDLERS: dict[int, Handler] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(CLIPS, clip),
    **dict.fromkeys((B.CONV_2D, B.DEPTHWISE_CONV_2D), conv),
    **dict.fromkeys((B.MAX_POOL_2D, B.AVERAGE_POOL_2D), pool),
    **dict.fromkeys((B.RESIZE_BILINEAR, B.RESIZE_NEAREST_NEIGHBOR), resize),
    **dict.fromkeys((B.RESHAPE, B.SQUEEZE, B.EXPAND_DIMS), reshape),
    **dict.fromkeys((B.PAD, B.PADV2), pad),
    **dict.fromkeys((B.QUANTIZE, B.DEQUANTIZE), convert),
    B.BATCH_MATMUL: batch_matmul,
    B.BROADCAST_TO: broadcast_to,
    B.CONCATENATION: concat,
    B.FULLY_CONNECTED: fully_connected,
    B.MEAN: mean,
    B.RSQRT: rsqrt,
    B.SLICE: slice_,
    B.SOFTMAX: softmax,
    B.SPLIT: split,
    B.STRIDED_SLICE: strided_slice,
    B.TRANSPOSE: transpose,
    B.TRANSPOSE_CONV: conv_transpose,
}
