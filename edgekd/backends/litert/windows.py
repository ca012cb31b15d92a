"""Pools, means, softmax and resizing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert import padding
from edgekd.backends.litert.elementwise import SHARE
from edgekd.backends.litert.layout import NHWC, with_last
from edgekd.backends.litert.moving import move
from edgekd.backends.litert.writer import B, Stored, Writer
from edgekd.graph.golden.resize import COORDINATES, ROUND
from edgekd.graph.golden.windows import Window, window
from edgekd.graph.model import Array, attributes

_POSITIVE = ("Relu", "Sigmoid", "Softmax")


def max_pool(w: Writer, node: onnx.NodeProto) -> None:
    """MAX_POOL_2D: codes keep their grid."""
    slide, name = _pool(w, node), node.input[0]
    source = w.graph.maker.get(_value_behind(w, name))
    fill = 0.0 if source is not None and source.op_type in _POSITIVE else padding.LOWEST

    def write(x: Stored, made: Stored) -> None:
        read, kind = padding.resolve(w, x, slide, fill)
        _write_pool(w, B.MAX_POOL_2D, slide, kind, read, made)

    move(w, node, lambda x: NHWC, write, NHWC)


def _value_behind(w: Writer, name: str) -> str:
    """The value whose pair makes `name`."""
    for _ in range(2):
        node = w.graph.maker.get(name)
        if node is not None and node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            name = node.input[0]
    return name


def average_pool(w: Writer, node: onnx.NodeProto) -> None:
    """AVERAGE_POOL_2D; its int8 kernel keeps the grid."""
    slide, step = _pool(w, node), w.step(node)
    grid = step.grid if step.grid == w.grid(node.input[0]) else None
    x = w.read(node.input[0], grid is not None, NHWC)
    counted = bool(attributes(node).get("count_include_pad", 0)) and any(slide.pads)
    if counted:
        top, left, bottom, right = slide.pads
        shape = (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right)
        padded = w.new(f"{w.file.name(x.index)}:padded", shape, NHWC, x.grid)
        padding.write_pad(w, x, padded, np.array([(0, 0), (0, 0), (top, bottom), (left, right)]))
        x, kind = padded, padding.VALID
    elif not any(slide.pads) or slide.pads == padding.same_pads(x.shape[2:], slide):
        kind = padding.SAME if any(slide.pads) else padding.VALID
    else:
        raise w.refuse(node, "averages no such padding", "set `count_include_pad`")
    _write_pool(w, B.AVERAGE_POOL_2D, slide, kind, x, w.result(step, NHWC, grid))


def _pool(w: Writer, node: onnx.NodeProto) -> Window:
    attrs, size = attributes(node), w.shape(node.input[0])[2:]
    if len(size) != 2 or tuple(attrs.get("dilations", (1, 1))) != (1, 1):
        raise w.refuse(node, "pools over two axes without dilation")
    slide = window(size, attrs["kernel_shape"], attrs)
    padded = [n + slide.pads[i] + slide.pads[i + 2] for i, n in enumerate(size)]
    if slide.size(padded) != w.shape(node.output[0])[2:]:
        raise w.refuse(node, "has no `ceil_mode`", "pad before the pool")
    return slide


def _write_pool(w: Writer, kind: int, slide: Window, pad: int, x: Stored, made: Stored) -> None:
    options = schema.Pool2DOptionsT()
    options.padding, (options.strideH, options.strideW) = pad, slide.strides
    options.filterHeight, options.filterWidth = slide.kernel
    w.file.operator(kind, 2 if x.grid else 1, [x.index], [made.index], options)


def mean(w: Writer, node: onnx.NodeProto) -> None:
    """MEAN, of ReduceMean and GlobalAveragePool."""
    step, attrs, name = w.step(node, fuses=True), attributes(node), node.input[0]
    grid, rank = (step.grid if w.grid(name) else None), len(w.shape(name))
    x = w.read(name, grid is not None)
    axes, keep = _axes(w, node, attrs, rank)
    layout, out = x.layout, x.layout
    if not keep:
        left = [a for a in range(rank) if a not in axes]
        out = tuple(left.index(a) for a in layout if a not in axes)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    places = w.ints("axes", sorted(layout.index(a) for a in axes))
    w.emit(step, out, grid, B.MEAN, 2 if grid else 1, [x.index, places], options)


def _axes(w: Writer, node: onnx.NodeProto, attrs: dict[str, Any], rank: int) -> tuple[list[int], bool]:
    """The axes a mean is over, and whether they stay as ones."""
    if node.op_type == "GlobalAveragePool":
        return list(range(2, rank)), True
    given = w.constant(node.input[1]).tolist() if len(node.input) > 1 and node.input[1] else attrs.get("axes")
    if not given:
        raise w.refuse(node, "is told the axes of a mean")
    return [a % rank for a in given], bool(attrs.get("keepdims", 1))


def softmax(w: Writer, node: onnx.NodeProto) -> None:
    """SOFTMAX over the axis that lies last in the file."""
    step, name = w.step(node), node.input[0]
    axis = attributes(node).get("axis", -1) % len(w.shape(name))
    grid = SHARE if w.grid(name) and step.grid == SHARE else None
    x = w.read(name, grid is not None)
    if x.layout[-1] != axis:
        x = w.arrange(x, with_last(x.layout, axis))
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    w.file.operator(B.SOFTMAX, 2 if grid else 1, [x.index], [w.result(step, x.layout, grid).index], options)


def resize(w: Writer, node: onnx.NodeProto) -> None:
    """RESIZE_NEAREST_NEIGHBOR or RESIZE_BILINEAR: codes keep their grid."""
    attrs, name = attributes(node), node.input[0]
    before, after = w.shape(name), w.shape(node.output[0])
    if len(before) != 4 or before[:2] != after[:2]:
        raise w.refuse(node, "resizes the last two of four axes")
    _check_scales(w, node, before, after)
    linear = attrs.get("mode", b"nearest") == b"linear"
    options = _linear_options(w, node, attrs) if linear else _nearest_options(w, node, attrs, before, after)
    kind = B.RESIZE_BILINEAR if linear else B.RESIZE_NEAREST_NEIGHBOR

    factors = [m / n for n, m in zip(before[2:], after[2:], strict=True)]
    if w.kernels == "xnnpack" and not linear and options.halfPixelCenters and all(f in (1, 2, 3, 4) for f in factors):
        move(w, node, lambda x: NHWC, lambda x, made: _repeat(w, x, made, int(factors[0]), int(factors[1])), NHWC)
        return

    def write(x: Stored, made: Stored) -> None:
        version = 3 if options.halfPixelCenters else 2 if x.grid else 1
        w.file.operator(kind, version, [x.index, w.ints("size", after[2:])], [made.index], options)

    move(w, node, lambda x: NHWC, write, NHWC)


def _repeat(w: Writer, x: Stored, made: Stored, rows: int, columns: int) -> None:
    """Every pixel `rows` times down and `columns` times across, as CONCATENATION and RESHAPE, which XNNPACK has."""
    n, c, height, width = x.shape
    pixels = _beside(w, x, x.index, (n, height, width, c), columns)
    lines = _reshape(w, x, pixels, (n, height, 1, width * columns * c))
    twice = _beside(w, x, lines, (n, height, 1, width * columns * c), rows)
    w.write_reshape(Stored(twice, made.shape, made.layout, made.grid), made)


def _beside(w: Writer, x: Stored, index: int, shape: tuple[int, ...], times: int) -> int:
    """A tensor of the file so many times along its last axis."""
    made = w.file.tensor(f"{w.file.name(index)}:repeated", (*shape[:-1], times * shape[-1]), x.dtype, x.grid)
    options = schema.ConcatenationOptionsT()
    options.axis = len(shape) - 1
    w.file.operator(B.CONCATENATION, 2 if x.grid else 1, [index] * times, [made], options)
    return made


def _reshape(w: Writer, x: Stored, index: int, shape: tuple[int, ...]) -> int:
    made = w.file.tensor(f"{w.file.name(index)}:lines", shape, x.dtype, x.grid)
    options = schema.ReshapeOptionsT()
    options.newShape = list(shape)
    w.file.operator(B.RESHAPE, 1, [index, w.ints("shape", shape)], [made], options)
    return made


def _check_scales(w: Writer, node: onnx.NodeProto, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    scales = w.constant(node.input[2]).ravel() if len(node.input) > 2 and node.input[2] else np.empty(0)
    given = dict(zip(attributes(node).get("axes", range(4)), scales.tolist(), strict=False))
    if any(np.float32(before[a] * s) != after[a] for a, s in given.items()):
        raise w.refuse(node, "resizes to whole sizes, not by these scales", "give sizes")


def _linear_options(w: Writer, node: onnx.NodeProto, attrs: dict[str, Any]) -> Any:
    options = schema.ResizeBilinearOptionsT()
    where = attrs.get("coordinate_transformation_mode", b"half_pixel")
    if where not in COORDINATES or attrs.get("antialias", 0):
        raise w.refuse(node, "knows no such coordinates", "use `half_pixel`")
    options.halfPixelCenters = where in (b"half_pixel", b"pytorch_half_pixel")
    options.alignCorners = where == b"align_corners"
    return options


def _nearest_options(
    w: Writer, node: onnx.NodeProto, attrs: dict[str, Any], before: tuple[int, ...], after: tuple[int, ...]
) -> Any:
    """The mode that takes the same samples as the graph's coordinates and rounding do, half-pixel first."""
    pairs = list(zip(before[2:], after[2:], strict=True))
    wanted = [_onnx_samples(w, node, attrs, n, m) for n, m in pairs]
    options = schema.ResizeNearestNeighborOptionsT()
    for half, corners in ((True, False), (False, False), (False, True)):
        options.halfPixelCenters, options.alignCorners = half, corners
        if all(np.array_equal(a, samples(n, m, half, corners)) for a, (n, m) in zip(wanted, pairs, strict=True)):
            return options
    raise w.refuse(node, "takes other samples than these coordinates and rounding ask for", "resize by a whole factor")


def _onnx_samples(w: Writer, node: onnx.NodeProto, attrs: dict[str, Any], n: int, m: int) -> Array:
    where = attrs.get("coordinate_transformation_mode", b"half_pixel")
    if where not in COORDINATES:
        raise w.refuse(node, "knows no such coordinates", "use `half_pixel`")
    at = COORDINATES[where](np.arange(m, dtype=np.float32), np.float32(m / n), n, m)
    rounded = ROUND[attrs.get("nearest_mode", b"round_prefer_floor")](at)
    out: Array = np.clip(rounded, 0, n - 1).astype(np.int64)
    return out


def samples(n: int, m: int, half: bool, corners: bool) -> Array:
    """The input sample of each of `m` output samples, in float32 (TFLite GetNearestNeighbor)."""
    scale = np.float32((n - 1) / (m - 1)) if corners and m > 1 else np.float32(n) / np.float32(m)
    at = (np.arange(m, dtype=np.float32) + np.float32(0.5 if half else 0.0)) * scale
    out: Array = np.clip(np.floor(at + np.float32(0.5)) if corners else np.floor(at), 0, n - 1).astype(np.int64)
    return out
