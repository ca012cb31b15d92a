"""Operators that LiteRT does not have: float, from their parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.elementwise import KERNELS, write_limits
from edgekd.backends.litert.writer import B, Step, Stored, Writer
from edgekd.graph.model import Array, attributes


def layer_norm(w: Writer, node: onnx.NodeProto) -> None:
    """`(x - mean) / sqrt(mean of squares + epsilon) * gain + shift` over the last axes."""
    attrs, step = attributes(node), w.step(node)
    x = w.read(node.input[0], False)
    rank = len(x.shape)
    axes = list(range(attrs.get("axis", -1) % rank, rank))
    narrow = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    centred = _binary(w, node, "Sub", [x, _mean(w, node, x, axes, narrow)], x)
    square = _binary(w, node, "Mul", [centred, centred], x)
    variance = _mean(w, node, square, axes, narrow)
    shifted = _binary(w, node, "Add", [variance, _constant(w, attrs.get("epsilon", 1e-5), variance)], variance)
    root = w.new(f"{node.output[0]}:root", narrow, x.layout)
    w.file.operator(B.RSQRT, 1, [shifted.index], [root.index], None)
    scaled = _binary(w, node, "Mul", [centred, root], x)
    _scale(w, node, step, scaled, [w.constant(n) for n in node.input[1:] if n])


def batch_norm(w: Writer, node: onnx.NodeProto) -> None:
    """Stored statistics as a product and a sum."""
    step, epsilon = w.step(node), attributes(node).get("epsilon", 1e-5)
    x = w.read(node.input[0], False)
    gain, shift, centre, variance = (w.constant(n).astype(np.float64) for n in node.input[1:5])
    factor = gain / np.sqrt(variance + epsilon)
    across = (-1,) + (1,) * (len(x.shape) - 2)
    _scale(w, node, step, x, [a.reshape(across) for a in (factor, shift - centre * factor)])


def hard_sigmoid(w: Writer, node: onnx.NodeProto) -> None:
    """`min(max(alpha x + beta, 0), 1)`."""
    attrs, step = attributes(node), w.step(node)
    x = w.read(node.input[0], False)
    scaled = _binary(w, node, "Mul", [x, _constant(w, attrs.get("alpha", 0.2), x)], x)
    moved = _binary(w, node, "Add", [scaled, _constant(w, attrs.get("beta", 0.5), x)], x)
    write_limits(w, moved, (0.0, 1.0), w.result(step, x.layout, None))


def _scale(w: Writer, node: onnx.NodeProto, step: Step, x: Stored, parts: Sequence[Array]) -> None:
    """`x * parts[0] + parts[1]`, the second where there is one."""
    made = w.result(step, x.layout, None)
    product = made if len(parts) == 1 else w.new(f"{node.output[0]}:scaled", x.shape, x.layout)
    _write(w, "Mul", [x, _constant(w, parts[0], x)], product)
    if len(parts) > 1:
        _write(w, "Add", [product, _constant(w, parts[1], x)], made)


def _mean(w: Writer, node: onnx.NodeProto, x: Stored, axes: Sequence[int], shape: tuple[int, ...]) -> Stored:
    options = schema.ReducerOptionsT()
    options.keepDims = True
    made = w.new(f"{node.output[0]}:mean", shape, x.layout)
    places = w.ints("axes", sorted(x.layout.index(a) for a in axes))
    w.file.operator(B.MEAN, 1, [x.index, places], [made.index], options)
    return made


def _constant(w: Writer, value: Array | float, like: Stored) -> Stored:
    array = np.asarray(value, np.float32)
    array = array.reshape((1,) * (len(like.shape) - array.ndim) + array.shape)
    made = Stored(0, array.shape, like.layout)
    return Stored(w.tensor("constant", made, array), array.shape, like.layout)


def _binary(w: Writer, node: onnx.NodeProto, kind: str, operands: Sequence[Stored], like: Stored) -> Stored:
    made = w.new(f"{node.output[0]}:{kind.lower()}", like.shape, like.layout)
    _write(w, kind, operands, made)
    return made


def _write(w: Writer, kind: str, operands: Sequence[Stored], made: Stored) -> None:
    kernel = KERNELS[kind]
    inputs = [operand.index for operand in operands]
    w.file.operator(kernel.kind, kernel.float_version, inputs, [made.index], kernel.options({}, 0))
