"""Why an engine would run part of a quantized graph slowly: rules that several engines share.

A rule looks at the graph alone and knows no engine; which rules hold is the engine's to say. The rules are ours, from
what ONNX Runtime 1.32 and OpenVINO 2026.4 were seen to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from edgekd.graph.alternatives import alternative
from edgekd.graph.executed import PAIR, weighted
from edgekd.graph.golden.moving import MOVING
from edgekd.graph.model import WEIGHTED, Graph, attributes, code_limits

Kind = Literal["float", "slow", "answers"]
ACTIVATIONS = ("Relu", "Clip")


@dataclass(frozen=True)
class Reason:
    """What slows the operators that make `tensors`, or changes their answers, and what would end that.

    `float`: they run in float. `slow`: they run on codes, but not in the fast kernel. `answers`: as fast, other codes.
    """

    kind: Kind
    tensor: str
    what: str
    change: str
    tensors: tuple[str, ...]
    lanes: int = 1
    """Channels that a kernel fills at a time, where that is the reason."""


def is_paired(graph: Graph, name: str) -> bool:
    """Whether a tensor comes out of a DequantizeLinear, perhaps moved since, or is a constant that was one."""
    maker = graph.maker.get(name)
    if maker is None:
        return False
    sources = maker.input if maker.op_type == "Concat" else maker.input[:1]
    return maker.op_type == "DequantizeLinear" or (
        maker.op_type in MOVING and all(is_paired(graph, source) for source in sources)
    )


def input_reasons(graph: Graph) -> Iterator[Reason]:
    """Convolutions and products of which one input lacks its pair, or both do."""
    for node in weighted(graph):
        bare = [name for name in node.input[:2] if not is_paired(graph, name)]
        if not bare:
            continue
        name, is_weight = bare[0], bare[0] in graph.constants
        what = f"its weight `{name}` is float" if is_weight else f"its input `{name}` has no Q/DQ pair"
        change = "quantize the weight" if is_weight else f"put a Q/DQ pair on `{name}`"
        yield Reason("float", node.output[0], what, change, (node.output[0],))


def output_reasons(graph: Graph, operators: Sequence[str], functions: Sequence[str]) -> Iterator[Reason]:
    """Those of `operators` that read codes and write float. The engine has `functions` of one tensor on codes."""
    for node in weighted(graph):
        if node.op_type in operators and all(is_paired(graph, name) for name in node.input[:2]):
            chain, end = _activated(graph, node)
            found = (
                _given_out(graph, (node.output[0], end))
                or _unfolded(graph, chain, end)
                or _unread(graph, end, functions)
            )
            if found is not None:
                tensor, what, change, more = found
                names = (node.output[0], *(n.output[0] for n in chain), *more)
                yield Reason("float", tensor, what, change, names)


Found = tuple[str, str, str, tuple[str, ...]]


def _activated(graph: Graph, node: onnx.NodeProto) -> tuple[list[onnx.NodeProto], str]:
    """The Relu and Clip that follow an operator one after the other, and the last tensor."""
    chain, end = list[onnx.NodeProto](), node.output[0]
    while len(graph.readers.get(end, [])) == 1 and graph.readers[end][0].op_type in ACTIVATIONS:
        chain.append(graph.readers[end][0])
        end = chain[-1].output[0]
    return chain, end


def _given_out(graph: Graph, tensors: Sequence[str]) -> Found | None:
    """A graph's output that is taken before the pair."""
    name = next((name for name in tensors if name in graph.outputs), None)
    if name is None:
        return None
    if graph.readers.get(name):
        return name, "the graph gives it out between the operator and its pair", "give out what is behind the pair", ()
    return name, "it is an output without a Q/DQ pair", f"put a Q/DQ pair on `{name}`", ()


def _unfolded(graph: Graph, chain: Sequence[onnx.NodeProto], end: str) -> Found | None:
    """A Relu or Clip that cuts off codes which the quantizer behind it would keep."""
    quantizers = [n for n in graph.readers.get(end, []) if n.op_type == "QuantizeLinear"]
    if not quantizers:
        return None
    scale, zero = graph.scalar(quantizers[0].input[1]), graph.zero_point(quantizers[0])
    if zero is None or scale.size != 1:
        return None
    step, point, (least, most) = float(scale.item()), int(zero.item()), code_limits(zero.dtype)
    for node in chain:
        low, high = limits(graph, node)
        if (least - point) * step < low:
            change = f"a zero point of {least}, so that codes begin at {low:g}"
            return node.output[0], f"`{node.op_type}` cuts codes off below {low:g}, so it is not folded", change, ()
        if (most - point) * step > high:
            what = f"`{node.op_type}` at {high:g} cuts off codes that reach {(most - point) * step:.4g}"
            change = f"`Relu`, or a scale of at most {high / (most - point):.6g}"
            return node.output[0], f"{what}, so it is not folded", change, ()
    return None


def limits(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """Between what a Relu or Clip keeps its values."""
    if node.op_type == "Relu":
        return 0.0, float("inf")
    given = [graph.constants.get(name) if name else None for name in (*node.input[1:3], "", "")[:2]]
    old = attributes(node)
    low, high = (float(v.item()) if v is not None else None for v in given)
    return (old.get("min", -np.inf) if low is None else low), (old.get("max", np.inf) if high is None else high)


def _unread(graph: Graph, end: str, functions: Sequence[str]) -> Found | None:
    """A reader in float before any pair."""
    readers = [n for n in graph.readers.get(end, []) if n.op_type != "QuantizeLinear"]
    if not readers:
        return None
    reader = readers[0]
    alone = len(readers) == 1 and sum(name not in graph.constants for name in reader.input) == 1
    if alone and reader.op_type not in functions:
        what = f"`{reader.op_type}` stands between it and the next Q/DQ pair"
        change = "`Relu`, which is folded" if "`Relu`" in instead(reader.op_type) else instead(reader.op_type)
        return end, what, change, (reader.output[0],)
    return end, f"no Q/DQ pair stands between it and `{reader.op_type}`", f"put a Q/DQ pair on `{end}`", ()


def product_reasons(graph: Graph, who: str) -> Iterator[Reason]:
    """Products of two activations, for engines that leave them in float."""
    for node in weighted(graph):
        if node.op_type == "MatMul" and graph.source(node.input[1]) is None:
            yield Reason(
                "float", node.output[0], f"{who} leaves products of two activations in float", "", (node.output[0],)
            )


def bias_reasons(graph: Graph) -> Iterator[Reason]:
    """Integer biases on another grid than the accumulator's."""
    for node in weighted(graph):
        pairs = [graph.maker.get(name) for name in node.input[:3]]
        if len(pairs) < 3 or any(p is None or p.op_type != "DequantizeLinear" for p in pairs):
            continue
        x, w, b = (graph.scalar(p.input[1]).astype(np.float64) for p in pairs if p is not None)
        if not np.allclose(b, x * w, rtol=1e-3, atol=0):
            what = "its bias lies on another grid than input scale times weight scale"
            yield Reason("float", node.output[0], what, "write the bias on that grid", (node.output[0],))


def zero_point_reasons(graph: Graph, kind: Kind) -> Iterator[Reason]:
    """Weights whose zero point is not 0: they run in float, or slowly."""
    for node in weighted(graph):
        pair = graph.maker.get(node.input[1])
        zero = graph.zero_point(pair) if pair is not None and pair.op_type == "DequantizeLinear" else None
        if zero is not None and graph.source(node.input[1]) is not None and np.any(zero != 0):
            what = f"its weight has a zero point other than 0 ({zero.dtype})"
            yield Reason(kind, node.output[0], what, "symmetric int8 weights", (node.output[0],))


def sum_reasons(graph: Graph, who: str) -> Iterator[Reason]:
    """Pairs between a convolution and a sum, for engines that make both in one kernel and skip the pair."""
    for node in graph.nodes:
        if node.op_type != "Add":
            continue
        for name in node.input:
            before = _behind_pair(graph, name)
            if before is not None and before.op_type in (*ACTIVATIONS, "Conv"):
                base = before if before.op_type == "Conv" else graph.maker.get(before.input[0])
                if base is not None and base.op_type == "Conv" and len(graph.readers[before.output[0]]) == 1:
                    what = f"{who} adds in the convolution's kernel and skips the Q/DQ pair between them"
                    change = "train without that pair: `Conv`, `Add` in the placement's `fused`"
                    yield Reason("answers", before.output[0], what, change, (base.output[0], node.output[0]))


def _behind_pair(graph: Graph, name: str) -> onnx.NodeProto | None:
    """The operator before a Q/DQ pair that only one operator reads."""
    maker = graph.maker.get(name)
    if maker is None or maker.op_type != "DequantizeLinear" or len(graph.readers[name]) != 1:
        return None
    quantize = graph.maker.get(maker.input[0])
    if quantize is None or len(graph.readers[quantize.output[0]]) != 1:
        return None
    return graph.maker.get(quantize.input[0])


def unsupported(graph: Graph, operators: Sequence[str], who: str) -> Iterator[Reason]:
    """Weighted operators that an engine has no int8 kernel for."""
    for node in weighted(graph):
        if node.op_type in operators:
            what = f"{who} has no int8 `{node.op_type}`"
            yield Reason("float", node.output[0], what, instead(node.op_type), (node.output[0],))


def instead(operator: str) -> str:
    """What to write in place of an operator."""
    return alternative(operator).removeprefix("instead: ")


def is_operator(node: onnx.NodeProto) -> bool:
    """Whether a node computes: no pair, constant, nor weighted operator."""
    return node.op_type not in (*PAIR, *WEIGHTED, "Constant", *MOVING)
