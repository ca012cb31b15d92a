"""Rules whose breach TensorRT refuses, or answers with other numbers.

TensorRT-RTX 1.7.1 refuses, without a GPU: zero points, negative scales, int16 and int32 codes, what stands between
integer constants and their DequantizeLinear, free dimensions. It reads uint8 without a word, infinite scales, scales
per channel of activations and along other axes of weights; those rules are the documentation's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgekd.backends.tensorrt.rules.views import PAIR, WEIGHTED, Rule
from edgekd.errors import Problem
from edgekd.graph.model import Array, Graph, attributes


def _types(graph: Graph) -> Iterator[Problem]:
    """int8 codes only: uint8 loses codes 128 to 255, int4 is for weights of a Gemm alone, float8 not on Orin."""
    for node in _pairs(graph):
        where, kind = node.output[0], graph.code_type(node).name
        if kind == "uint8" and len(node.input) < 3:
            yield Problem(where, "has no zero point, so its type is uint8", "write an int8 zero point of 0")
        elif kind == "uint8":
            yield Problem(where, "uint8 is read as int8 by TensorRT", "train with signed codes")
        elif kind == "int32":
            yield Problem(
                node.input[0], "TensorRT refuses an int32 bias behind DequantizeLinear", "write it in float32"
            )
        elif kind != "int8":
            yield Problem(where, f"TensorRT on Orin runs no `{kind}` codes of these operators", "train with 8 bits")


def _zero_points(graph: Graph) -> Iterator[Problem]:
    """Symmetric: every zero point is 0."""
    for node in _pairs(graph):
        zero = graph.zero_point(node)
        if zero is None:
            yield Problem(node.output[0], "its zero point is computed, not a constant")
        elif np.any(zero != 0):
            yield Problem(node.output[0], "TensorRT refuses zero points other than 0", "train with a symmetric range")


def _scales(graph: Graph) -> Iterator[Problem]:
    """Constant, finite and positive; one a tensor for activations."""
    for node in _pairs(graph):
        scale = graph.constants.get(node.input[1])
        if scale is None:
            yield Problem(node.output[0], "its scale is computed, not a constant")
        elif not np.all(np.isfinite(scale)) or np.any(scale <= 0):
            yield Problem(node.output[0], "its scale is not a positive finite number")
        elif node.op_type == "QuantizeLinear" and scale.size != 1 and node.input[0] not in graph.constants:
            yield Problem(node.output[0], "activations need one scale per tensor")


def _codes_of_weights(graph: Graph) -> Iterator[Problem]:
    """Nothing between integer constants and their DequantizeLinear, as a preprocessor's Reshape or Transpose."""
    for node in graph.nodes:
        maker = graph.maker.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if maker is not None and maker.op_type != "QuantizeLinear" and graph.constants.keys() & {*maker.input[:1]}:
            hint = "give the constant its final shape"
            yield Problem(maker.output[0], f"a `{maker.op_type}` stands between integer weights and their DQ", hint)


def _weights(graph: Graph) -> Iterator[Problem]:
    """A weight goes from its DequantizeLinear straight into its operator, scaled along the output channels."""
    for node in graph.nodes:
        if node.op_type != "DequantizeLinear" or graph.source(node.output[0]) is None:
            continue
        codes, scale, name = graph.constants[node.input[0]], graph.constants.get(node.input[1]), node.input[0]
        for reader in graph.readers.get(node.output[0], []):
            if reader.op_type not in WEIGHTED:
                yield Problem(name, f"a `{reader.op_type}` stands between weight and operator")
            elif scale is not None and scale.size > 1 and codes.ndim > 1 and reader.input[1] == node.output[0]:
                axis = attributes(node).get("axis", 1) % codes.ndim
                if axis != _output_axis(reader, codes):
                    yield Problem(name, f"its scales run along axis {axis}, not the output channels")


def _output_axis(reader: onnx.NodeProto, codes: Array) -> int:
    """Axis of a weight along which its output channels lie."""
    if reader.op_type == "Conv" or attributes(reader).get("transB", 0):
        return 0
    return 1 if reader.op_type in ("ConvTranspose", "Gemm") else codes.ndim - 1


def _shapes(graph: Graph) -> Iterator[Problem]:
    """Static shapes: a plan is built for one."""
    for value in graph.model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in graph.inputs and not all(dim.dim_value > 0 for dim in dims):
            yield Problem(value.name, "its shape is not static", "fix every dimension, the batch too")


def _pairs(graph: Graph) -> list[onnx.NodeProto]:
    return [node for node in graph.nodes if node.op_type in PAIR]


RULES: tuple[Rule, ...] = (
    _types, _zero_points, _scales, _codes_of_weights, _weights, _shapes,
)  # fmt: skip
