"""What the rules ask of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx

from edgekd.errors import Problem
from edgekd.graph.model import Array, Graph

Rule = Callable[[Graph], Iterator[Problem]]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
PAIR = ("QuantizeLinear", "DequantizeLinear")


def is_dequantized(graph: Graph, name: str) -> bool:
    """Whether a tensor comes out of a DequantizeLinear."""
    maker = graph.maker.get(name)
    return maker is not None and maker.op_type == "DequantizeLinear"


def is_paired_for(graph: Graph, name: str, kinds: tuple[str, ...]) -> bool:
    """Whether a tensor comes out of a DequantizeLinear that operators of these kinds alone read."""
    return is_dequantized(graph, name) and all(reader.op_type in kinds for reader in graph.readers[name])


def behind_pair(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The operator in front of a Q/DQ pair, if `name` comes out of one."""
    dequantize = graph.maker.get(name)
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    quantize = graph.maker.get(dequantize.input[0])
    return graph.maker.get(quantize.input[0]) if quantize is not None else None


def is_quantized(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether an operator with weights runs on codes: both its inputs come out of a DequantizeLinear."""
    return node.op_type in WEIGHTED and all(is_dequantized(graph, name) for name in node.input[:2])


def weight(graph: Graph, node: onnx.NodeProto) -> Array | None:
    """The constant that is the second input of a weighted operator, alone or behind a pair or its half."""
    source = graph.source(node.input[1])
    maker = graph.maker.get(node.input[1])
    quantize = graph.maker.get(maker.input[0]) if maker is not None and maker.op_type == PAIR[1] else None
    return graph.constants.get(source or (quantize.input[0] if quantize is not None else ""))


def readers(graph: Graph, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The operators that read what an operator makes."""
    return graph.readers.get(node.output[0], [])
