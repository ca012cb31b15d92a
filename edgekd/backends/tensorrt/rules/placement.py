"""Rules of where Q/DQ pairs sit: a breach costs time, not answers."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgekd.backends.tensorrt.rules.views import (
    WEIGHTED,
    Rule,
    behind_pair,
    is_dequantized,
    is_paired_for,
    readers,
    weight,
)
from edgekd.errors import Problem
from edgekd.graph.model import Graph, attributes

_MOVES = ("MaxPool", "Reshape", "Transpose", "Slice", "Flatten", "Squeeze", "Unsqueeze", "Concat")
_MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_FLOAT = ("Softmax", "LayerNormalization", "Gelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh")
_ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "BatchNormalization")


def _half_quantized(graph: Graph) -> Iterator[Problem]:
    """Activation and weight of an operator come both through a pair, or neither does."""
    for node in graph.nodes:
        if node.op_type in WEIGHTED and (node.op_type != "MatMul" or weight(graph, node) is not None):
            quantized = [is_dequantized(graph, name) for name in node.input[:2]]
            if any(quantized) and not all(quantized):
                yield Problem(
                    node.output[0],
                    f"only one input of this `{node.op_type}` is quantized, so it runs in float",
                    "quantize both, or neither",
                )


def _before_activation(graph: Graph) -> Iterator[Problem]:
    """No pair between a convolution, or a sum, and its activation: they are one kernel."""
    for node in graph.nodes:
        source = behind_pair(graph, node.input[0]) if node.op_type in _ACTIVATIONS else None
        if source is not None and source.op_type in (*WEIGHTED, "Add"):
            what = f"a Q/DQ pair stands between `{source.op_type}` and `{node.op_type}`, which are then two kernels"
            yield Problem(node.output[0], what, "quantize behind the activation only")


def _sums(graph: Graph) -> Iterator[Problem]:
    """A residual Add: one convolution straight into it, the other input through a pair (1293, 1992, 3270)."""
    for node in (n for n in graph.nodes if n.op_type == "Add"):
        makers, sources = map(graph.maker.get, node.input), [behind_pair(graph, name) for name in node.input]
        fused = any(m is not None and m.op_type == "Conv" and is_dequantized(graph, m.input[0]) for m in makers)
        if not fused and any(source is not None and source.op_type == "Conv" for source in sources):
            what = "a Q/DQ pair stands between `Conv` and `Add`, which are then two kernels"
            yield Problem(node.output[0], what, "quantize the skip input only")
        if fused and not any(is_dequantized(graph, name) or name in graph.constants for name in node.input):
            what = "the skip input of this `Add` is not quantized, so `Conv` and `Add` are two kernels"
            yield Problem(node.output[0], what, "quantize the skip input")


def _moves(graph: Graph) -> Iterator[Problem]:
    """One scale through operators that only move values, and on all that a Concat joins (3861)."""
    for node in graph.nodes:
        if not _only_moves(node):
            continue
        before = [graph.maker[name] for name in node.input if is_dequantized(graph, name)]
        after = [n for n in readers(graph, node) if n.op_type == "QuantizeLinear"]
        scales = {graph.constants[n.input[1]].tobytes() for n in (*before, *after) if n.input[1] in graph.constants}
        if before and len(scales) > 1:
            what = f"the scales around `{node.op_type}` differ, which costs a requantisation"
            yield Problem(node.output[0], what, "share one scale")


def _only_moves(node: onnx.NodeProto) -> bool:
    nearest = attributes(node).get("mode", b"nearest") == b"nearest" if node.op_type == "Resize" else False
    return nearest or node.op_type in _MOVES


def _means(graph: Graph) -> Iterator[Problem]:
    """Averages do not commute with quantisation: a pair on both sides, or none."""
    for node in graph.nodes:
        if node.op_type in _MEANS or (node.op_type == "Resize" and not _only_moves(node)):
            before, after = is_dequantized(graph, node.input[0]), [n.op_type for n in readers(graph, node)]
            if before and after and "QuantizeLinear" not in after:
                what = f"`{node.op_type}` reads codes but its result is not quantized, so it runs in float"
                yield Problem(node.output[0], what, "quantize its output too, or leave its input in float")


def _float_operators(graph: Graph) -> Iterator[Problem]:
    """Gates, norms and softmax run in float: a pair for them alone only breaks the chains TensorRT fuses."""
    for node in graph.nodes:
        if node.op_type in _FLOAT and any(is_paired_for(graph, name, _FLOAT) for name in node.input):
            yield Problem(node.output[0], f"`{node.op_type}` reads quantized values", "leave its input in float")


def _attention(graph: Graph) -> Iterator[Problem]:
    """Products of two activations around a Softmax: pairs there break the fused float16 attention (4273)."""
    if not any(node.op_type == "Softmax" for node in graph.nodes):
        return
    for node in (n for n in graph.nodes if n.op_type == "MatMul" and weight(graph, n) is None):
        if any(is_paired_for(graph, name, ("MatMul",)) for name in node.input):
            what = "an attention product is quantized, which breaks the fused float16 attention"
            yield Problem(node.output[0], what, "quantize the projections and the MLP only")


FLOAT: tuple[Rule, ...] = (_half_quantized, _means)
"""What runs in float."""
SLOW: tuple[Rule, ...] = (_before_activation, _sums, _moves, _float_operators, _attention)
"""What takes kernels that could be one, or passes that could be none."""
