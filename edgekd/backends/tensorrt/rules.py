"""Static rules of TensorRT's explicit quantization: which Q/DQ placements it fuses, which it refuses.

Source of the rules: TensorRT documentation, "Working with Quantized Types"; the operator lists are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx

from edgekd.errors import Problem
from edgekd.graph.model import Graph, attributes

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_SCALE_KEPT = ("MaxPool", "Reshape", "Transpose", "Resize", "Concat", "Slice", "Flatten")
_FLOAT = ("Softmax", "LayerNormalization", "Gelu")


def check(graph: Graph) -> list[Problem]:
    """Every placement that TensorRT refuses, or runs in other arithmetic than was trained."""
    rules: tuple[Callable[[Graph], Iterator[Problem]], ...] = (
        _pairs, _constants, _inputs_of_weighted, _nothing_before_activation, _sums, _one_scale, _float_operators,
    )  # fmt: skip
    return [problem for rule in rules for problem in rule(graph)]


def _pairs(graph: Graph) -> Iterator[Problem]:
    """Symmetric int8, zero point 0; finite positive scales; per tensor for activations."""
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        where, scale = node.output[0], graph.scalar(node.input[1])
        if len(node.input) < 3:
            yield Problem(where, "has no zero point, so its type is uint8", "write an int8 zero point of 0")
            continue
        zero = graph.scalar(node.input[2])
        if zero.dtype == np.uint8:
            yield Problem(where, "uint8 is read as int8 by TensorRT", "train with signed codes")
        if np.any(zero != 0):
            yield Problem(where, "TensorRT refuses zero points other than 0", "train with a symmetric range")
        if not np.all(np.isfinite(scale)) or np.any(scale <= 0):
            yield Problem(where, "its scale is not a positive finite number")
        if node.op_type == "QuantizeLinear" and scale.size != 1:
            yield Problem(where, "activations need one scale per tensor")


def _constants(graph: Graph) -> Iterator[Problem]:
    """int8 weights directly behind their DequantizeLinear, scaled along the output channels; no int32 there."""
    axes = {"Conv": 0, "ConvTranspose": 1}
    for node in graph.nodes:
        if node.op_type != "DequantizeLinear" or node.input[0] not in graph.constants:
            continue
        codes, where = graph.constants[node.input[0]], node.input[0]
        if codes.dtype == np.int32:
            yield Problem(where, "TensorRT refuses an int32 bias behind DequantizeLinear", "write it in float32")
        for reader in graph.readers.get(node.output[0], []):
            if reader.op_type not in _WEIGHTED:
                yield Problem(where, f"a `{reader.op_type}` stands between weight and operator")
            axis = attributes(node).get("axis", 1)
            per_channel = graph.scalar(node.input[1]).size > 1
            if per_channel and codes.ndim > 1 and reader.op_type in axes and axis != axes[reader.op_type]:
                yield Problem(where, f"its scales run along axis {axis}, not the output channels")


def _is_dequantized(graph: Graph, name: str) -> bool:
    maker = graph.maker.get(name)
    return maker is not None and maker.op_type == "DequantizeLinear"


def _inputs_of_weighted(graph: Graph) -> Iterator[Problem]:
    """Both inputs of a weighted operator come through a pair, or neither does."""
    for node in graph.nodes:
        if node.op_type in _WEIGHTED:
            quantized = [_is_dequantized(graph, name) for name in node.input[:2]]
            if any(quantized) and not all(quantized):
                yield Problem(
                    node.output[0],
                    f"only one input of this `{node.op_type}` is quantized, so it runs in float",
                )


def _nothing_before_activation(graph: Graph) -> Iterator[Problem]:
    """No pair between a convolution and its Relu: they are one kernel."""
    for node in graph.nodes:
        source = _through_pair(graph, node.input[0]) if node.op_type == "Relu" else None
        if source is not None and source.op_type in (*_WEIGHTED, "Add"):
            yield Problem(node.output[0], f"a Q/DQ pair stands between `{source.op_type}` and `Relu`")


def _through_pair(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The operator behind a Q/DQ pair, if `name` comes out of one."""
    dequantize = graph.maker.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = graph.maker.get(dequantize.input[0])
    return graph.maker.get(quantize.input[0]) if quantize is not None else None


def _sums(graph: Graph) -> Iterator[Problem]:
    """A residual Add: the skip input through a pair, the convolution's own output not."""
    for node in graph.nodes:
        if node.op_type != "Add":
            continue
        sources = [_through_pair(graph, name) for name in node.input]
        if any(source is not None and source.op_type == "Conv" for source in sources):
            yield Problem(node.output[0], "a Q/DQ pair stands between `Conv` and `Add`", "quantize the skip input only")
        makers = [graph.maker.get(name) for name in node.input]
        convolved = any(maker is not None and maker.op_type == "Conv" for maker in makers)
        if convolved and not any(_is_dequantized(graph, name) or name in graph.constants for name in node.input):
            yield Problem(node.output[0], "the skip input of this `Add` is not quantized, so nothing is fused")


def _one_scale(graph: Graph) -> Iterator[Problem]:
    """Operators that only move values: the scales before and after them are equal."""
    for node in graph.nodes:
        if node.op_type not in _SCALE_KEPT:
            continue
        before = [graph.maker[name] for name in node.input if _is_dequantized(graph, name)]
        after = [n for n in graph.readers.get(node.output[0], []) if n.op_type == "QuantizeLinear"]
        scales = {float(graph.scalar(n.input[1]).ravel()[0]) for n in (*before, *after)}
        if before and len(scales) > 1:
            yield Problem(node.output[0], f"the scales around `{node.op_type}` differ, which costs a requantisation")


def _float_operators(graph: Graph) -> Iterator[Problem]:
    """Operators TensorRT runs in float: no pair inside the chains it fuses around them."""
    for node in graph.nodes:
        if node.op_type in _FLOAT and any(_is_dequantized(graph, name) for name in node.input):
            yield Problem(node.output[0], f"`{node.op_type}` reads quantized values; leave it in float")
