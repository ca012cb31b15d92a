"""How large accumulators can become: what an int32 must hold, and where float32 is exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.errors import Problem
from edgekd.graph.model import WEIGHTED, Array, Graph, along, attributes, code_limits

Integers = NDArray[np.int64]
INT32 = 2**31 - 1
FLOAT32_EXACT = 2**24
_TAKES_INFINITY = {"Clip", "Where", "Add", "Min", "Max", "Pad"}
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True)
class Accumulator:
    """The worst case of one weighted operator over all inputs its codes allow."""

    tensor: str
    worst: int
    """`max over channels of sum |w - zero_w| * max |x - zero_x| + |bias|`, in accumulator units."""

    @property
    def head_room(self) -> float:
        """Bits that an int32 has left; negative when it can overflow."""
        return log2(INT32 / max(1, self.worst))

    @property
    def exact_in_float32(self) -> bool:
        """Whether float32 adds it without rounding, in any order."""
        return self.worst < FLOAT32_EXACT


def accumulators(graph: Graph) -> list[Accumulator]:
    """Of every operator whose input and weight are integers, in graph order."""
    out = []
    for node in graph.nodes:
        if node.op_type not in WEIGHTED:
            continue
        x, weight = (graph.maker.get(name) for name in node.input[:2])
        if x is None or weight is None or {x.op_type, weight.op_type} != {"DequantizeLinear"}:
            continue
        zero, codes = graph.zero_point(x), _centred(graph, weight)
        if codes is None or zero is None:
            continue
        low, high = code_limits(zero.dtype)
        span = max(int(zero.max()) - low, high - int(zero.min()))
        axis = _CHANNEL_AXIS.get(node.op_type, 0 if attributes(node).get("transB", 0) else codes.ndim - 1)
        sums = np.abs(codes).sum(axis=tuple(a for a in range(codes.ndim) if a != axis)) * span
        out.append(Accumulator(node.output[0], int((sums + _bias_codes(graph, node)).max())))
    return out


def _centred(graph: Graph, pair: onnx.NodeProto) -> Integers | None:
    """A constant's codes minus their zero point; None where one of them is computed."""
    codes, zero = graph.constants.get(pair.input[0]), graph.zero_point(pair)
    if codes is None or zero is None:
        return None
    return codes.astype(np.int64) - along(zero.astype(np.int64), codes, attributes(pair))


def bias(graph: Graph, node: onnx.NodeProto) -> str | None:
    """The constant added to a weighted operator's accumulator: its third input, or behind a MatMul an Add's."""
    names = list(node.input[2:3])
    if node.op_type == "MatMul":
        names = [n for r in graph.readers.get(node.output[0], []) if r.op_type == "Add" for n in r.input]
    sources = [s for s in map(graph.source, names) if s is not None]
    return next((s for s in sources if node.op_type != "MatMul" or _is_row(graph.constants[s])), None)


def _is_row(array: Array) -> bool:
    """One number a column, in float or on the accumulator's grid; codes of other types are a tensor to be added."""
    return array.ndim == 1 and (array.dtype.kind == "f" or array.dtype == np.int32)


def _bias_codes(graph: Graph, node: onnx.NodeProto) -> Integers:
    """Absolute bias codes; nothing where the bias is not stored as integers."""
    name = bias(graph, node)
    codes = np.zeros(1) if name is None else graph.constants[name]
    return np.zeros(1, np.int64) if codes.dtype.kind == "f" else np.abs(codes.astype(np.int64))


def check(graph: Graph) -> list[Problem]:
    """What no integer engine may be given: overflowing accumulators, bad scales or constants, tensors of no size."""
    return [*_overflows(graph), *_bad_scales(graph), *_bad_constants(graph), *_empty(graph)]


def _overflows(graph: Graph) -> Iterator[Problem]:
    for a in accumulators(graph):
        if a.head_room < 0:
            what = f"its accumulator can reach {a.worst:,}, an int32 ends at {INT32:,}"
            yield Problem(a.tensor, what, "use fewer channels")


def _bad_scales(graph: Graph) -> Iterator[Problem]:
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale = graph.scalar(node.input[1])
            if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
                yield Problem(node.output[0], "its scale is not a positive finite number", "train it longer")


def _bad_constants(graph: Graph) -> Iterator[Problem]:
    """NaN anywhere; infinities but where they are limits or masks. Scales are told by `_bad_scales`."""
    for name, value in graph.constants.items():
        readers = {node.op_type for node in graph.readers.get(name, [])}
        if value.dtype.kind != "f" or readers <= {"QuantizeLinear", "DequantizeLinear"}:
            continue
        if np.isnan(value).any() or (np.isinf(value).any() and not readers <= _TAKES_INFINITY):
            yield Problem(name, "it holds numbers that are not finite", "training diverged: lower its learning rate")


def _empty(graph: Graph) -> Iterator[Problem]:
    for name in (*graph.inputs, *graph.maker):
        if graph.has_no_elements(name):
            yield Problem(name, "it has no elements", "the input is too small for the network")
