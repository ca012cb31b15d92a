"""What a portable graph holds that the sensor's dialect of ONNX has no words for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from edgekd.errors import Problem
from edgekd.graph.model import Array, Graph, attributes, code_bits

KERNELS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ACTIVATIONS = ("int8", "uint8", "int16", "uint16")


def unsaid(graph: Graph) -> Iterator[Problem]:
    """What the dialect cannot say, each with the tensor's name."""
    for node in graph.nodes:
        where = node.output[0]
        if node.op_type == "QuantizeLinear":
            told = _activation(graph, node)
        elif node.op_type == "DequantizeLinear":
            told = _dequantized(graph, node)
        else:
            told = _operator(node)
        if told:
            yield Problem(where, told)


def _activation(graph: Graph, node: onnx.NodeProto) -> str:
    """What is wrong with a QuantizeLinear; nothing where it is said."""
    scale, zero, codes = graph.constants.get(node.input[1]), graph.zero_point(node), node.output[0]
    if scale is None or zero is None:
        return "its scale or zero point is computed"
    if scale.size > 1:
        return "activations have one scale for all channels"
    if str(zero.dtype) not in _ACTIVATIONS:
        return f"activations have 8 or 16 bits, not the type {zero.dtype}"
    if zero.any():
        return f"its zero point is {int(zero.ravel()[0])}, only 0 can be said"
    if np.frexp(scale.ravel()[0])[0] != 0.5:
        return f"its threshold {threshold(scale, zero.dtype):.6g} is no power of two"
    if codes in graph.outputs or sum(r.output[0] in graph.outputs for r in graph.readers.get(codes, [])) > 1:
        return "the graph gives out the codes themselves, or their values twice"
    others = sorted({r.op_type for r in graph.readers.get(codes, [])} - {"DequantizeLinear"})
    return f"its codes themselves are read by `{others[0]}`" if others else ""


def _dequantized(graph: Graph, node: onnx.NodeProto) -> str:
    """What is wrong with a DequantizeLinear: of a constant, or that it does not undo a QuantizeLinear."""
    codes, scale, zero = graph.constants.get(node.input[0]), graph.constants.get(node.input[1]), graph.zero_point(node)
    maker = graph.maker.get(node.input[0])
    if scale is None or zero is None:
        return "its scale or zero point is computed"
    if codes is None:
        same = maker is not None and maker.op_type == "QuantizeLinear" and _same_grid(graph, maker, node)
        return "" if same else "it dequantizes on another grid than its codes were made on"
    if (
        codes.dtype.name.startswith("u")
        or zero.any()
        or scale.ndim > 1
        or not np.all((scale >= 0) & np.isfinite(scale))
    ):
        return "constants have signed codes around 0, and one scale or one a channel"
    readers = graph.readers.get(node.output[0], []) if codes.dtype != np.int32 else []
    others = sorted({r.op_type for r in readers if r.op_type not in KERNELS or node.output[0] not in r.input[1:2]})
    return f"`{others[0]}` reads a quantized constant, which only {', '.join(KERNELS)} do" if others else ""


def _same_grid(graph: Graph, q: onnx.NodeProto, dq: onnx.NodeProto) -> bool:
    """Whether a DequantizeLinear has the scale and zero point of the QuantizeLinear."""
    scales = (graph.constants.get(n.input[1]) for n in (q, dq))
    zeros = (graph.zero_point(n) for n in (q, dq))
    return all(a is not None and b is not None and np.array_equal(a, b) for a, b in (scales, zeros))


def _operator(node: onnx.NodeProto) -> str:
    """What is wrong with an operator."""
    attrs = attributes(node)
    if node.domain not in ("", "ai.onnx") or node.op_type == "BatchNormalization":
        return f"operator `{node.op_type}` is not one of the dialect's"
    if any(isinstance(value, onnx.GraphProto) for value in attrs.values()):
        return f"operator `{node.op_type}` holds a graph"
    if attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
        return "its padding is given by `auto_pad`, only `pads` can be said"
    return ""


def is_global(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a mean is taken over each channel's whole picture, whose axes stay."""
    attrs, shape = attributes(node), graph.shapes.get(node.input[0], ())
    axes = graph.constants.get(node.input[1]) if len(node.input) > 1 else attrs.get("axes")
    over = {int(axis) % 4 for axis in np.ravel(axes)} if axes is not None else set()
    return len(shape) == 4 and over == {2, 3} and attrs.get("keepdims", 1) == 1


def threshold(scale: Array, kind: np.dtype[Any]) -> float:
    """The value that lies one step above the highest code."""
    bits = code_bits(kind)
    return float(np.float64(scale.ravel()[0]) * 2 ** (bits if kind.kind == "u" else bits - 1))
