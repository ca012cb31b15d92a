"""Where each tensor of a .tflite file is in the graph so far: the writer's inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper

from edgekd.backends.litert.layout import NHWC, Layout, Shape, permutation, plain, same_order
from edgekd.backends.litert.structure import Parsed, unread
from edgekd.errors import RequestError
from edgekd.graph.model import Array, code_name

B = schema.BuiltinOperator
NAMES = {number: name for name, number in vars(B).items() if isinstance(number, int)}
CODES = {schema.TensorType.INT8: np.int8, schema.TensorType.UINT8: np.uint8}


@dataclass(frozen=True)
class Value:
    """A value of the graph: its name, shape there, and the graph's axis at each axis of the file."""

    name: str
    shape: Shape
    layout: Layout


class Reader:
    """Builds the graph of one file."""

    def __init__(self, file: Parsed) -> None:
        self.file, self.tensors = file, file.graph.tensors
        self.values: dict[int, Value] = {}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._arranged: dict[tuple[str, Layout], Value] = {}
        self.places: dict[str, tuple[str, Layout]] = {}
        """The graph's inputs, outputs and codes: their name in the file, and how they lie there."""
        self._taken: set[str] = set()

    def name(self, index: int) -> str:
        """A tensor's name in the file."""
        return str(self.file.names[index])

    def shape(self, index: int) -> Shape:
        """A tensor's shape in the file."""
        found = self.tensors[index].shape
        return () if found is None else tuple(int(n) for n in found)

    def data(self, index: int) -> Array | None:
        """A constant's values as the file has them; None where the tensor is computed."""
        return None if index < 0 else self.file.data(self.tensors[index])

    def ints(self, index: int) -> list[int]:
        """A constant list that an operator is told. Raises RequestError where it is computed."""
        found = self.data(index)
        if found is None:
            raise RequestError(f"`{self.name(index)}` is computed, and decides about shapes", "fold it to a constant")
        return [int(n) for n in found.ravel()]

    def fresh(self, name: str) -> str:
        """A name that nothing in the graph has."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """An operator with one output; its name."""
        name = self.fresh(name)
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, name: str, value: Any) -> str:
        """A constant by a name that is free."""
        name = self.fresh(name)
        self.constants[name] = np.asarray(value)
        return name

    def dequantized(self, index: int, array: Array, axis: int) -> str:
        """A constant of the file, already in the graph's order, as real values; `axis` is that of its scales."""
        made, grid = self.constant(self.name(index), array), self.tensors[index].quantization
        if grid is None or grid.scale is None or not len(grid.scale):
            return made
        scale, zero = np.asarray(grid.scale, np.float32), np.asarray(grid.zeroPoint).astype(array.dtype)
        several = scale.size > 1
        names = [self.constant(f"{made}.{part}", a if several else a.reshape(()))
                 for part, a in (("scale", scale), ("zero", zero))]  # fmt: skip
        return self.add("DequantizeLinear", [made, *names], f"{made}.real", **({"axis": axis} if several else {}))

    def read(self, index: int, layout: Layout | None = None, rank: int = 0) -> Value:
        """A tensor as a value of the graph in this layout (as it is by default), with ones before its shape."""
        array = self.data(index)
        if index not in self.values and array is None:
            raise RequestError(f"`{self.name(index)}` is read before it is made", "the file is not in order")
        if index not in self.values:
            assert array is not None
            array = array.reshape((1,) * (rank - array.ndim) + array.shape)
            layout = plain(array.ndim) if layout is None else layout
            array = array.transpose(np.argsort(layout))
            return Value(self.dequantized(index, array, 0), array.shape, layout)
        found = self.values[index]
        if len(found.shape) < rank:
            found = self.reshape(self.arrange(found, plain(len(found.shape))), (1,) * (rank - len(found.shape)))
        return found if layout is None else self.arrange(found, layout)

    def reshape(self, x: Value, before: Shape) -> Value:
        """With axes of one element put before the others."""
        shape = (*before, *x.shape)
        size = self.constant(f"{x.name}.shape", np.array(shape, np.int64))
        return Value(self.add("Reshape", [x.name, size], f"{x.name}.ranked"), shape, plain(len(shape)))

    def arrange(self, x: Value, layout: Layout) -> Value:
        """In another layout: the graph's axes change their order, the file's values do not."""
        if x.layout == layout:
            return x
        if (x.name, layout) not in self._arranged:
            perm = permutation(_inverse(x.layout), _inverse(layout))
            shape = tuple(x.shape[a] for a in perm)
            if same_order(x.shape, plain(len(perm)), perm):
                size = self.constant(f"{x.name}.shape", np.array(shape, np.int64))
                name = self.add("Reshape", [x.name, size], f"{x.name}.moved")
            else:
                name = self.add("Transpose", [x.name], f"{x.name}.moved", perm=list(perm))
            self._arranged[x.name, layout] = Value(name, shape, layout)
        return self._arranged[x.name, layout]

    def layout_of(self, indices: Sequence[int], rank: int) -> Layout:
        """That of the first computed operand of this rank."""
        found = (self.values[i].layout for i in indices if i in self.values and len(self.values[i].shape) == rank)
        return next(found, plain(rank))

    def leave(self, index: int, made: str, layout: Layout, activation: int = 0) -> None:
        """What an operator made, behind its fused activation, is a tensor of the file: a pair where it is codes.

        Raises RequestError where it is neither codes of 8 bits nor float32.
        """
        if self.tensors[index].type not in (*CODES, schema.TensorType.FLOAT32):
            raise unread(self.tensors[index])
        if activation:
            made = self.activate(made, activation)
        shape = tuple(np.array(self.shape(index), int)[list(_inverse(layout))])
        tensor, value = self.tensors[index], Value(made, shape, layout)
        self.values[index] = Value(self.pair(index, made, layout), shape, layout) if tensor.type in CODES else value

    def activate(self, made: str, activation: int) -> str:
        """The Relu or Clip of a fused activation."""
        if activation == schema.ActivationFunctionType.RELU:
            return self.add("Relu", [made], f"{made}.relu")
        if activation not in LIMITS:
            raise RequestError(f"`{made}` has a fused activation that the graph cannot hold", "use `Relu`")
        ends = [self.constant(f"{made}.limit", np.float32(end)) for end in LIMITS[activation]]
        return self.add("Clip", [made, *ends], f"{made}.clip")

    def pair(self, index: int, made: str, layout: Layout) -> str:
        """Q/DQ of a tensor of codes, with the file's scale and zero point; the name of the real value."""
        tensor, name = self.tensors[index], self.name(index).removesuffix(".q")
        grid, dtype = tensor.quantization, CODES[tensor.type]
        if grid is None or grid.scale is None or len(grid.scale) != 1:
            raise RequestError(f"`{self.name(index)}` is codes without one scale", "quantize the file in whole")
        scale = self.constant(f"{name}.scale", np.float32(grid.scale[0]))
        zero = self.constant(f"{name}.zero", dtype(grid.zeroPoint[0]))
        codes = self.add("QuantizeLinear", [made, scale, zero], code_name(name))
        self.places[codes] = self.name(index), layout
        return self.add("DequantizeLinear", [codes, scale, zero], f"{name}.value")

    def refuse(self, operator: Any, why: str, hint: str = "") -> RequestError:
        """An error that names the operator and its tensor."""
        kind = NAMES.get(self.file.kind(operator), "an unknown operator")
        return RequestError(f"`{kind}` at `{self.name(operator.outputs[0])}` {why}", hint)


LIMITS = {
    schema.ActivationFunctionType.RELU6: (0.0, 6.0),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}


def _inverse(layout: Layout) -> Layout:
    return tuple(layout.index(a) for a in range(len(layout)))


def image_layout(shape: Shape) -> Layout:
    """NHWC of four axes, unless one or three channels evidently come before a picture."""
    if len(shape) != 4 or (shape[1] in (1, 3) and min(shape[2:]) >= 8):
        return plain(len(shape))
    return NHWC


def initializers(constants: dict[str, Array]) -> list[onnx.TensorProto]:
    """Constants of the graph."""
    return [numpy_helper.from_array(array, name) for name, array in constants.items()]
