"""Where each value of the graph lies in the file so far, and how operators get and leave their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.file import File, Grid
from edgekd.backends.litert.layout import Layout, Shape, channels_last, permutation, plain, same_order, stored
from edgekd.errors import RequestError
from edgekd.graph.golden.rounding import quantize_real
from edgekd.graph.model import Array, Graph, along, attributes

B = schema.BuiltinOperator
Active = schema.ActivationFunctionType

Kernels = Literal["reference", "xnnpack"]
"""What a file is written for. XNNPACK brings codes to another grid less exactly than float does, and has no nearest
Resize; microcontrollers and NPUs want the operators as they are."""


@dataclass(frozen=True)
class Stored:
    """A value in the file. Its shape is the graph's; `grid` is None where it is float32."""

    index: int
    shape: Shape
    layout: Layout
    grid: Grid | None = None

    @property
    def dtype(self) -> str:
        """Element type."""
        return "float32" if self.grid is None else "int8"


@dataclass(frozen=True)
class Step:
    """An operator with what the file runs in the same kernel: a Relu and the like, then the quantizer."""

    node: onnx.NodeProto
    value: str
    """The graph's value that comes out, before the quantizer."""
    activation: int
    quantizer: onnx.NodeProto | None
    grid: Grid | None
    """Of the codes behind it; None where it stays float."""
    fused: tuple[str, ...]
    """Values of the operators that are not written on their own."""


class Writer:
    """Writes operators of one graph."""

    def __init__(self, graph: Graph, kernels: Kernels = "reference") -> None:
        self.graph, self.file, self.kernels = graph, File(), kernels
        self.floats: dict[str, Stored] = {}
        self.codes: dict[str, Stored] = {}
        """By the tensor of codes and by the value they stand for."""
        self.done: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.fixed: dict[str, Stored] = {}
        """Codes of constants that the graph quantizes itself, by their tensor."""
        self._moved: dict[tuple[int, Layout], Stored] = {}

    def shape(self, name: str) -> Shape:
        """Static shape of a value."""
        return self.graph.shapes[name]

    def is_constant(self, name: str) -> bool:
        """Whether a value is known now: a constant, or the codes of one."""
        return self.graph.source(name) is not None or self._codes_of_constant(name) is not None

    def constant(self, name: str) -> Array:
        """A constant's real values."""
        if name in self.graph.constants:
            return self.graph.constants[name]
        codes, scale, zero, axis = self.quantized(name)
        across = [-1 if i == axis else 1 for i in range(codes.ndim)]
        scale, zero = (a.reshape(across) if a.size > 1 else a.reshape(()) for a in (scale, zero))
        return ((codes.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)

    def quantized(self, name: str) -> tuple[Array, Array, Array, int]:
        """Codes, scale, zero point and channel axis of a constant behind a DequantizeLinear."""
        node = self.graph.maker[name]
        codes = self.graph.constants.get(node.input[0])
        zero = self.graph.zero_point(node)
        assert zero is not None
        codes = self._codes_of_constant(name) if codes is None else codes
        assert codes is not None
        return codes, self.graph.scalar(node.input[1]), zero, attributes(node).get("axis", 1) % max(1, codes.ndim)

    def _codes_of_constant(self, name: str) -> Array | None:
        node = self.graph.maker.get(name)
        pair = self.graph.maker.get(node.input[0]) if node is not None and node.op_type == "DequantizeLinear" else None
        if pair is None or pair.op_type != "QuantizeLinear" or pair.input[0] not in self.graph.constants:
            return None
        zero, array, attrs = self.graph.zero_point(pair), self.graph.constants[pair.input[0]], attributes(pair)
        assert zero is not None
        return quantize_real(array, *(along(a, array, attrs) for a in (self.graph.scalar(pair.input[1]), zero)))

    def grid(self, name: str) -> Grid | None:
        """Grid of a value that is there as codes."""
        if name in self.codes:
            return self.codes[name].grid
        if name in self.graph.constants or not self.is_constant(name):
            return None
        codes, scale, zero, _ = self.quantized(name)
        return Grid(scale.reshape(()), int(zero.item())) if codes.dtype == np.int8 and scale.size == 1 else None

    def pair_grid(self, node: onnx.NodeProto) -> Grid:
        """Grid of a QuantizeLinear or DequantizeLinear. Raises RequestError where it is not int8 with one scale."""
        zero, scale = self.graph.zero_point(node), self.graph.scalar(node.input[1])
        if zero is None or zero.dtype != np.int8 or scale.size != 1:
            codes = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            raise RequestError(
                f"the codes `{codes}` are not int8 with one scale", "LiteRT runs signed activation codes"
            )
        return Grid(np.asarray(scale, np.float32).reshape(()), int(zero.item()))

    def step(self, node: onnx.NodeProto, fuses: bool = False, behind: str = "") -> Step:
        """What is run with an operator (or with the value `behind` it); `fuses`: also a Relu and the like."""
        value, fused, activation = behind or node.output[0], list[str](), Active.NONE
        reader = self.only_reader(value)
        if fuses and reader is not None and (kind := self.activation(reader)) in FUSED:
            value, activation = reader.output[0], FUSED[kind]
            fused, reader = [value], self.only_reader(value)
        if reader is None or reader.op_type != "QuantizeLinear":
            return Step(node, value, activation, None, None, tuple(fused))
        return Step(node, value, activation, reader, self.pair_grid(reader), tuple(fused))

    def only_reader(self, value: str) -> onnx.NodeProto | None:
        """The one operator that reads a value; None where there are more, or it is an output."""
        readers = self.graph.readers.get(value, [])
        return readers[0] if len(readers) == 1 and value not in self.graph.outputs else None

    def activation(self, node: onnx.NodeProto) -> tuple[float, float] | None:
        """Limits of a Relu or Clip."""
        if node.op_type == "Relu":
            return 0.0, np.inf
        if node.op_type != "Clip":
            return None
        attrs, ends = attributes(node), [self.constant(n).item() if n else None for n in node.input[1:]] + [None, None]
        low, high = (attrs.get(key) if end is None else end for key, end in zip(("min", "max"), ends, strict=False))
        return (-np.inf if low is None else low), (np.inf if high is None else high)

    def read(self, name: str, int8: bool, layout: Layout | None = None, rank: int = 0) -> Stored:
        """A value as codes or float, in this layout (any by default), with ones before its shape up to `rank`."""
        if self.is_constant(name) and name not in self.codes:
            return self._write_constant(name, int8, layout, rank)
        found = self.codes[name] if int8 else self.floating(name)
        if len(found.shape) < rank:
            found = self.reshape(self.arrange(found, plain(len(found.shape))), _grown(found.shape, rank))
        return found if layout is None else self.arrange(found, layout)

    def _write_constant(self, name: str, int8: bool, layout: Layout | None, rank: int) -> Stored:
        array = self.quantized(name)[0] if int8 else self.constant(name)
        array = array.reshape(_grown(array.shape, rank))
        layout = plain(array.ndim) if layout is None else layout
        made = Stored(0, array.shape, layout, self.grid(name) if int8 else None)
        codes = self.graph.maker[name].input[0] if int8 else name
        made = replace(made, index=self.tensor(codes, made, array))
        if int8 and array.shape == self.shape(name):
            self.fixed.setdefault(codes, made)
        return made

    def fix(self, node: onnx.NodeProto) -> None:
        """Keep what a QuantizeLinear makes of a constant, so that it can be looked at."""
        reader = next((r for r in self.graph.readers.get(node.output[0], []) if r.op_type == "DequantizeLinear"), None)
        if reader is not None and node.output[0] not in self.fixed and self.grid(reader.output[0]) is not None:
            self._write_constant(reader.output[0], True, None, 0)

    def floating(self, name: str) -> Stored:
        """A value as float32. Raises RequestError where nothing makes it."""
        if name not in self.floats:
            if name not in self.codes:
                raise RequestError(f"`{name}` is read before it is made", "the graph is not in order")
            source = self.codes[name]
            self.floats[name] = made = self.new(name, source.shape, source.layout)
            self.file.operator(B.DEQUANTIZE, 2, [source.index], [made.index], None)
        return self.floats[name]

    def tensor(self, name: str, like: Stored, array: Array | None = None) -> int:
        """A tensor in the file for a value; the array is in the graph's order."""
        data = None if array is None else array.transpose(like.layout)
        return self.file.tensor(name, stored(like.shape, like.layout), like.dtype, like.grid, data)

    def new(self, name: str, shape: Shape, layout: Layout, grid: Grid | None = None) -> Stored:
        """A tensor that an operator will make."""
        made = Stored(0, shape, layout, grid)
        return replace(made, index=self.tensor(name, made))

    def ints(self, name: str, values: Sequence[Any] | Array) -> int:
        """A constant of int32 that an operator is told."""
        data = np.asarray(values, np.int32)
        return self.file.tensor(name, data.shape, "int32", data=data)

    def arrange(self, x: Stored, layout: Layout) -> Stored:
        """The same value in another layout: a TRANSPOSE, or nothing where no value changes its place."""
        if x.layout == layout:
            return x
        if (x.index, layout) not in self._moved:
            if same_order(x.shape, x.layout, layout):
                made = self.reshape(x, x.shape, layout)
            else:
                made = self.new(f"{self.file.name(x.index)}:transposed", x.shape, layout, x.grid)
                to = self.ints("permutation", permutation(x.layout, layout))
                self.file.operator(B.TRANSPOSE, 2 if x.grid else 1, [x.index, to], [made.index], None)
            self._moved[x.index, layout] = made
        return self._moved[x.index, layout]

    def reshape(self, x: Stored, shape: Shape, layout: Layout | None = None) -> Stored:
        """The same values in the file's order under another shape."""
        layout = plain(len(shape)) if layout is None else layout
        made = self.new(f"{self.file.name(x.index)}:reshaped", shape, layout, x.grid)
        self.write_reshape(x, made)
        return made

    def write_reshape(self, x: Stored, made: Stored) -> None:
        """RESHAPE from one tensor into another."""
        options = schema.ReshapeOptionsT()
        options.newShape = list(stored(made.shape, made.layout))
        size = self.ints("shape", options.newShape)
        self.file.operator(B.RESHAPE, 1, [x.index, size], [made.index], options)

    def result(self, step: Step, layout: Layout, grid: Grid | None, moves: bool = False) -> Stored:
        """The tensor that an operator leaves its value in, as codes of `grid` or float.

        Where it moves codes without changing them, they keep their grid whatever the quantizer behind says.
        """
        self.done |= set(step.fused)
        self.counts[step.node.op_type, "float" if grid is None else "int8"] += 1
        shape = self.shape(step.value)
        if grid is None:
            self.floats[step.value] = made = self.new(step.value, shape, layout)
        elif step.quantizer is not None and step.grid == grid:
            name = step.quantizer.output[0]
            self.codes[step.value] = self.codes[name] = made = self.new(name, shape, layout, grid)
            self.done.add(name)
        else:
            assert moves
            self.codes[step.value] = made = self.new(f"{step.value}:codes", shape, layout, grid)
        return made

    def emit(
        self, step: Step, layout: Layout, grid: Grid | None, kind: int, version: int, inputs: Sequence[int],
        options: Any, fuses: bool = False,
    ) -> Stored:  # fmt: skip
        """An operator and where its value lies; a Relu that its kernel does not fuse comes behind it."""
        made = self.result(step, layout, grid)
        apart = step.activation and not fuses
        raw = self.new(f"{step.node.output[0]}:raw", made.shape, layout, grid) if apart else made
        self.file.operator(kind, version, inputs, [raw.index], options)
        if apart:
            self.file.operator(ALONE[step.activation], 1 if grid is None else 2, [raw.index], [made.index], None)
        return made

    def layout_of(self, names: Sequence[str], rank: int) -> Layout:
        """The layout that the first computed value of this rank has; its usual one where there is none."""
        for name in names:
            found = self.codes.get(name) or self.floats.get(name)
            if found is not None and len(found.shape) == rank:
                return found.layout
        return channels_last(rank)

    def refuse(self, node: onnx.NodeProto, why: str, hint: str = "") -> RequestError:
        """An error that names the operator."""
        return RequestError(f"`{node.op_type}` at `{node.output[0]}`: LiteRT {why}", hint)


FUSED: dict[tuple[float, float] | None, int] = {
    (0.0, np.inf): Active.RELU,
    (0.0, 6.0): Active.RELU6,
    (-1.0, 1.0): Active.RELU_N1_TO_1,
}
"""Limits that a kernel applies to what it makes."""
ALONE = {Active.RELU: B.RELU, Active.RELU6: B.RELU6, Active.RELU_N1_TO_1: B.RELU_N1_TO_1}


def _grown(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + tuple(shape)
