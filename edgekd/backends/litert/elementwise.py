"""Operators on one place at a time: one table, one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.file import Grid
from edgekd.backends.litert.writer import B, Stored, Writer
from edgekd.graph.model import attributes

SHARE = Grid(np.array(1 / 256, np.float32), -128)
"""What LOGISTIC and SOFTMAX give out."""
SIGNED_SHARE = Grid(np.array(1 / 128, np.float32), 0)
"""What TANH gives out."""


@dataclass(frozen=True)
class Kernel:
    """A builtin operator: its versions for float and for int8 (0: it has no such kernel), and what it needs."""

    kind: int
    float_version: int
    int8_version: int
    fuses: bool = False
    gives: Grid | None = None
    """The only grid of its int8 codes."""
    rescales: bool = False
    """Whether its int8 kernel does nothing but bring codes to another grid."""
    same: bool = False
    """Whether its int8 kernel compares codes: inputs and output on one grid."""
    options: Callable[[dict[str, Any], int], Any] = lambda attrs, activation: None


def _active(kind: str) -> Callable[[dict[str, Any], int], Any]:
    def options(attrs: dict[str, Any], activation: int) -> Any:
        made = getattr(schema, kind)()
        made.fusedActivationFunction = activation
        return made

    return options


def _limit(attrs: dict[str, Any], activation: int) -> Any:
    return schema.MaximumMinimumOptionsT()


def _gelu(attrs: dict[str, Any], activation: int) -> Any:
    made = schema.GeluOptionsT()
    made.approximate = attrs.get("approximate", b"none") == b"tanh"
    return made


def _leaky(attrs: dict[str, Any], activation: int) -> Any:
    made = schema.LeakyReluOptionsT()
    made.alpha = attrs.get("alpha", 0.01)
    return made


KERNELS: dict[str, Kernel] = {
    "Add": Kernel(B.ADD, 1, 2, fuses=True, options=_active("AddOptionsT")),
    "Sub": Kernel(B.SUB, 1, 2, fuses=True, options=_active("SubOptionsT")),
    "Mul": Kernel(B.MUL, 1, 2, fuses=True, options=_active("MulOptionsT")),
    "Div": Kernel(B.DIV, 1, 0, fuses=True, options=_active("DivOptionsT")),
    "Max": Kernel(B.MAXIMUM, 1, 2, same=True, options=_limit),
    "Min": Kernel(B.MINIMUM, 1, 2, same=True, options=_limit),
    "Relu": Kernel(B.RELU, 1, 2, rescales=True),
    "Sigmoid": Kernel(B.LOGISTIC, 1, 2, gives=SHARE),
    "Tanh": Kernel(B.TANH, 1, 2, gives=SIGNED_SHARE),
    "HardSwish": Kernel(B.HARD_SWISH, 1, 1, options=lambda attrs, activation: schema.HardSwishOptionsT()),
    "Gelu": Kernel(B.GELU, 1, 2, options=_gelu),
    "LeakyRelu": Kernel(B.LEAKY_RELU, 1, 2, rescales=True, options=_leaky),
    "Abs": Kernel(B.ABS, 1, 0),
    "Exp": Kernel(B.EXP, 1, 0),
    "Neg": Kernel(B.NEG, 1, 0),
    "Sqrt": Kernel(B.SQRT, 1, 0),
}
CLIPS = {(0.0, np.inf): B.RELU, (0.0, 6.0): B.RELU6, (-1.0, 1.0): B.RELU_N1_TO_1}


def elementwise(w: Writer, node: onnx.NodeProto, kernel: Kernel | None = None) -> None:
    """An operator of the table; int8 where its kernel can, else float between DEQUANTIZE and QUANTIZE."""
    kernel = kernel or KERNELS[node.op_type]
    step, names = w.step(node, fuses=True), [n for n in node.input if n]
    if len(names) > 2:
        raise w.refuse(node, "takes two operands", f"write it as several `{node.op_type}`")
    grids, grid = [w.grid(n) for n in names], step.grid
    if None in grids or not kernel.int8_version or (kernel.gives or grid) != grid:
        grid = None
    if kernel.same and {*grids, grid} != {grid}:
        grid = None
    if kernel.rescales and w.kernels == "xnnpack" and (grid != grids[0] or node.op_type == "LeakyRelu"):
        grid = None
    rank = len(w.shape(step.value))
    layout = w.layout_of(names, rank)
    operands = [w.read(n, grid is not None, layout, rank).index for n in names]
    version = kernel.float_version if grid is None else kernel.int8_version
    options = kernel.options(attributes(node), step.activation)
    w.emit(step, layout, grid, kernel.kind, version, operands, options, kernel.fuses)


def clip(w: Writer, node: onnx.NodeProto) -> None:
    """A Clip on its own: one operator where there is one for its limits, else MAXIMUM and MINIMUM in float."""
    limits = w.activation(node)
    assert limits is not None
    if limits in CLIPS:
        short = onnx.helper.make_node("Clip", node.input[:1], node.output)
        elementwise(w, short, Kernel(CLIPS[limits], 1, 2, rescales=True))
        return
    x = w.read(node.input[0], False)
    write_limits(w, x, limits, w.result(w.step(node), x.layout, None))


def write_limits(w: Writer, x: Stored, limits: tuple[float, float], made: Stored) -> None:
    """`min(max(x, low), high)` in float."""
    low, high = (w.file.tensor("limit", (), "float32", data=np.array(end, np.float32)) for end in limits)
    raised = w.new(f"{w.file.name(made.index)}:raised", x.shape, x.layout)
    w.file.operator(B.MAXIMUM, 1, [x.index, low], [raised.index], schema.MaximumMinimumOptionsT())
    w.file.operator(B.MINIMUM, 1, [raised.index, high], [made.index], schema.MaximumMinimumOptionsT())
