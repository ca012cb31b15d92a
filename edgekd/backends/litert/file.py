"""A .tflite file while it is written, on the schema that `ai-edge-litert` ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert.layout import Shape
from edgekd.graph.model import Array

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


@dataclass(frozen=True)
class Grid:
    """Scale and zero point of int8 codes; of weights and biases one scale, or one a channel, and zero point 0."""

    scale: Array
    zero: int
    axis: int = 0
    """Axis in the file that several scales lie along."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and np.array_equal(self.scale, other.scale) and self.zero == other.zero

    def __hash__(self) -> int:
        return hash((self.scale.tobytes(), self.zero))


class File:
    """Tensors, buffers and operators of one subgraph."""

    def __init__(self) -> None:
        self.graph, self.buffers = schema.SubGraphT(), [schema.BufferT()]  # the first is empty, as the format asks
        self.graph.tensors, self.graph.operators = [], []
        self.kinds: dict[tuple[int, int], int] = {}
        self.names: set[str] = set()

    def tensor(self, name: str, shape: Shape, dtype: str, grid: Grid | None = None, data: Array | None = None) -> int:
        """A tensor's index; a name that is taken is changed."""
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), TYPES[dtype], len(self.buffers)
        tensor.name = name if name not in self.names else f"{name}:{len(self.graph.tensors)}"
        self.names.add(tensor.name)
        if grid is not None:
            tensor.quantization = _quantization(grid)
        if data is not None:
            buffer.data = np.frombuffer(np.ascontiguousarray(data, np.dtype(dtype)).tobytes(), np.uint8)
        self.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind: int, version: int, inputs: Sequence[int], outputs: Sequence[int], options: Any) -> None:
        """Append an operator; `options` is an object of the schema, or None."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self.kinds.setdefault((kind, version), len(self.kinds))
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.graph.operators.append(operator)

    def name(self, index: int) -> str:
        """A tensor's name."""
        return str(self.graph.tensors[index].name)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        self.graph.inputs, self.graph.outputs, self.graph.name = list(inputs), list(outputs), "main"
        model = schema.ModelT()
        model.version, model.description, model.buffers, model.subgraphs = 3, "edgekd", self.buffers, [self.graph]
        model.operatorCodes = [_operator_code(*kind) for kind in self.kinds]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _operator_code(kind: int, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = kind, min(kind, 127), version
    return code


def _quantization(grid: Grid) -> Any:
    made, scales = schema.QuantizationParametersT(), np.asarray(grid.scale, np.float32).ravel()
    made.scale, made.zeroPoint = scales, np.full(scales.size, grid.zero, np.int64)
    made.quantizedDimension = grid.axis
    return made
