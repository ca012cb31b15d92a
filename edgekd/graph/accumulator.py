"""How large accumulators can become: what an int32 must hold, and where float32 is exact."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from edgekd.errors import Problem
from edgekd.graph.model import Graph, attributes, code_limits

INT32 = 2**31 - 1
FLOAT32_EXACT = 2**24
_CHANNEL_AXIS = {"Conv": 0, "ConvTranspose": 1}


@dataclass(frozen=True)
class Accumulator:
    """The worst case of one weighted operator over all inputs its codes allow."""

    tensor: str
    worst: int
    """`max over channels of sum |w| * max |x - zero| + |bias|`, in accumulator units."""

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
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            continue
        x, weight = (graph.maker.get(name) for name in node.input[:2])
        if x is None or weight is None or {x.op_type, weight.op_type} != {"DequantizeLinear"}:
            continue
        if weight.input[0] not in graph.constants:
            continue
        zero = graph.scalar(x.input[2]) if len(x.input) > 2 else np.zeros(1, np.uint8)
        low, high = code_limits(zero.dtype)
        span = max(int(zero.max()) - low, high - int(zero.min()))
        codes = graph.constants[weight.input[0]].astype(np.int64)
        axis = _CHANNEL_AXIS.get(node.op_type, 0 if attributes(node).get("transB", 0) else codes.ndim - 1)
        sums = np.abs(codes).sum(axis=tuple(a for a in range(codes.ndim) if a != axis)) * span
        out.append(Accumulator(node.output[0], int((sums + _bias(graph, node.input)).max())))
    return out


def _bias(graph: Graph, inputs: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Absolute bias codes; nothing where the bias is not stored as integers."""
    maker = graph.maker.get(inputs[2]) if len(inputs) > 2 else None
    codes = graph.constants.get(maker.input[0]) if maker is not None else None
    return np.zeros(1, np.int64) if codes is None else np.abs(codes.astype(np.int64))


def check(graph: Graph) -> list[Problem]:
    """What no integer engine may be given: accumulators that overflow, scales that are no positive number."""
    problems = [
        Problem(a.tensor, f"its accumulator can reach {a.worst:,}, an int32 ends at {INT32:,}", "use fewer channels")
        for a in accumulators(graph)
        if a.head_room < 0
    ]
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale = graph.scalar(node.input[1])
            if not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
                problems.append(Problem(node.output[0], "its scale is not a positive finite number", "train it longer"))
    return problems
