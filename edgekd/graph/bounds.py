"""How many codes an engine may make differently from the golden interpreter, by operator and rounding.

A bound is the largest share of a tensor's codes that may differ, by one code, when the golden interpreter is given the
engine's own codes for everything before. The values are ours, some tenfold of what was measured on trained nets
(docs/parity.md); zero where an engine family was shown to agree in every code.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import onnx

from edgekd.graph.golden import Rounding
from edgekd.graph.golden.elementwise import ELEMENTWISE
from edgekd.graph.golden.moving import MOVING
from edgekd.graph.model import Graph

Kind = Literal["moved", "rescaled", "weighted", "dense", "product", "sum", "table", "mean", "linear", "normal", "float"]

SHARE: dict[Kind, dict[Rounding, float]] = {
    "moved": {"rne_f32": 0.002, "tfl_double": 0.0},
    "rescaled": {"rne_f32": 0.1, "tfl_double": 0.0},
    "weighted": {"rne_f32": 0.002, "tfl_double": 0.0},
    "dense": {"rne_f32": 0.002, "tfl_double": 0.05},
    "product": {"rne_f32": 0.05, "tfl_double": 0.0},
    "sum": {"rne_f32": 0.02, "tfl_double": 0.0},
    "table": {"rne_f32": 0.02, "tfl_double": 0.02},
    "mean": {"rne_f32": 0.02, "tfl_double": 0.0},
    "linear": {"rne_f32": 0.1, "tfl_double": 0.0},
    "normal": {"rne_f32": 0.1, "tfl_double": 0.1},
    "float": {"rne_f32": 0.02, "tfl_double": 0.1},
}
"""`tfl_double`: operators whose integer kernel the interpreter has are exact; the others it computes in float32.

`dense` is exact in TFLM, but LiteRT 2.3's reference FULLY_CONNECTED rounds once. `rescaled` are codes that only get
another grid: XNNPACK multiplies them by eight bits.
"""

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_NONE = np.empty(0)
_SUMS = ("Add", "Sub", "Mul")
_MEANS = ("ReduceMean", "ReduceSum", "GlobalAveragePool", "AveragePool")
_MOVES = (*MOVING, "Split", "Relu", "Clip", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin")


def allowed_share(graph: Graph, node: onnx.NodeProto, rounding: Rounding) -> float:
    """The share of a QuantizeLinear's codes that may differ: that of the loosest operator since the last codes."""
    kinds: set[Kind] = {kind(graph, maker) for maker in _since_codes(graph, node.input[0])} or {"moved"}
    if kinds == {"moved"} and _changes_grid(graph, node):
        kinds = {"rescaled"}
    return max(SHARE[k][rounding] for k in kinds)


def _changes_grid(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a QuantizeLinear has another scale or zero point than the codes that its value was moved from."""
    name, maker = node.input[0], graph.maker.get(node.input[0])
    while maker is not None and maker.op_type not in ("DequantizeLinear", "Constant"):
        name = maker.input[0]
        maker = graph.maker.get(name)
    if maker is None or maker.op_type != "DequantizeLinear":
        return False
    return any(
        not np.array_equal(graph.constants.get(a, _NONE), graph.constants.get(b, _NONE))
        for a, b in zip(maker.input[1:], node.input[1:], strict=False)
    )


def kind(graph: Graph, node: onnx.NodeProto) -> Kind:
    """What an operator is to the bounds."""
    name = node.op_type
    if name in _MOVES:
        return "moved"
    if name in _WEIGHTED:
        if not all(_is_codes(graph, n) for n in node.input[:2]):
            return "float"
        if name == "MatMul" and graph.source(node.input[1]) is None:
            return "product"
        return "dense" if name in ("Gemm", "MatMul") else "weighted"
    if name == "Resize":
        linear = any(a.name == "mode" and a.s == b"linear" for a in node.attribute)
        return "linear" if linear else "moved"
    if name in ("Softmax", "LayerNormalization"):
        return "normal"
    if name in _MEANS:
        return "mean"
    if name in _SUMS:
        return "sum"
    if name == "LeakyRelu":
        return "rescaled"
    return "table" if name in ELEMENTWISE else "float"


def _since_codes(graph: Graph, name: str) -> list[onnx.NodeProto]:
    """The operators between `name` and the codes, constants or inputs it comes from."""
    found: dict[str, onnx.NodeProto] = {}
    ahead = [name]
    while ahead:
        node = graph.maker.get(ahead.pop())
        if node is not None and node.op_type not in ("DequantizeLinear", "Constant") and node.output[0] not in found:
            found[node.output[0]] = node
            ahead += [n for n in node.input if n]
    return list(found.values())


def _is_codes(graph: Graph, name: str) -> bool:
    """Whether every path to a tensor begins at a DequantizeLinear and only moves values."""
    maker = graph.maker.get(name)
    if maker is None or maker.op_type not in MOVING:
        return maker is not None and maker.op_type == "DequantizeLinear"
    sources = maker.input if maker.op_type == "Concat" else maker.input[:1]
    return all(_is_codes(graph, source) for source in sources)
