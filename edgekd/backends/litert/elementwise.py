"""Operators on one place at a time: one table, one function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.file import Grid
from edgekd.backends.litert.writer import B, Writer
from edgekd.graph.model import attributes

SHARE = Grid(np.float32(1 / 256), -128)
"""What LOGISTIC and SOFTMAX give out."""
SIGNED_SHARE = Grid(np.float32(1 / 128), 0)
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
    same: bool = False
    """Whether its int8 kernel compares codes: inputs and output on one grid."""
    options: Callable[[dict[str, Any], int], Any] = lambda attrs, activation: None


def _active(kind: str) -> Callable[[dict[str, Any], int], Any]:
    def options(attrs: dict[str, Any], activation: int) -> Any:
        made = getattr(schema, kind)()
        made.fusedActivationFunction = activation
        return made

    return options


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
    "Max": Kernel(B.MAXIMUM, 1, 2, same=True),
    "Min": Kernel(B.MINIMUM, 1, 2, same=True),
    "Relu": Kernel(B.RELU, 1, 2),
    "Sigmoid": Kernel(B.LOGISTIC, 1, 2, gives=SHARE),
    "Tanh": Kernel(B.TANH, 1, 2, gives=SIGNED_SHARE),
    "HardSwish": Kernel(B.HARD_SWISH, 1, 1, options=lambda attrs, activation: schema.HardSwishOptionsT()),
    "Gelu": Kernel(B.GELU, 1, 2, options=_gelu),
    "LeakyRelu": Kernel(B.LEAKY_RELU, 1, 2, options=_leaky),
    "Abs": Kernel(B.ABS, 1, 0),
    "Exp": Kernel(B.EXP, 1, 0),
    "Neg": Kernel(B.NEG, 1, 0),
    "Sqrt": Kernel(B.SQRT, 1, 0),
}
CLIPS = {(0.0, np.inf): B.RELU, (0.0, 6.0): B.RELU6, (-1.0, 1.0): B.RELU_N1_TO_1, (0.0, 1.0): B.RELU_0_TO_1}


def elementwise(w: Writer, node: onnx.NodeProto, kernel: Kernel | None = None) -> None:
    """An operator of the table; int8 where its kernel can, else float between DEQUANTIZE and QUANTIZE."""
    kernel = kernel or KERNELS[node.op_type]
    step, names = w.step(node, kernel.fuses), [n for n in node.input if n]
    if len(names) > 2:
        raise w.refuse(node, "takes two operands", f"write it as several `{node.op_type}`")
    grids, grid = [w.grid(n) for n in names], step.grid
    if None in grids or not kernel.int8_version or (kernel.gives or grid) != grid:
        grid = None
    if kernel.same and {*grids, grid} != {grid}:
        grid = None
    rank = len(w.shape(step.value))
    layout = w.layout_of(names, rank)
    operands = [w.read(n, grid is not None, layout, rank).index for n in names]
    made = w.result(step, layout, grid)
    version = kernel.float_version if grid is None else kernel.int8_version
    w.file.operator(kernel.kind, version, operands, [made.index], kernel.options(attributes(node), step.activation))


def clip(w: Writer, node: onnx.NodeProto) -> None:
    """A Clip on its own: limits for which there is an operator."""
    limits = w.activation(node)
    if limits not in CLIPS:
        raise w.refuse(node, f"does not clip to {limits}", "clip to 0 and 6, or use `Relu`")
    short = onnx.NodeProto()
    short.CopyFrom(node)
    del short.input[1:]
    elementwise(w, short, Kernel(CLIPS[limits], 1, 2))
