"""Small views of a portable graph: initializers, makers and readers, shapes, the io record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.errors import MissingError, RequestError
from edgekd.schema.io import IoRecord

IO_KEY = "edgekd.io"
Array = NDArray[Any]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that add products of a tensor with weights."""


def code_name(key: str) -> str:
    """Name of the integer tensor that stands for the value `key`."""
    return f"{key}.q"


def code_limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Lowest and highest code of an integer type; INT4 and INT2, which numpy does not know, included."""
    bits = code_bits(dtype)
    return (0, 2**bits - 1) if dtype.name.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def code_bits(dtype: np.dtype[Any]) -> int:
    """Bits of a type as a graph stores it: two INT4 share a byte."""
    return {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}.get(dtype.name, 8 * dtype.itemsize)


def stored_bytes(array: Array) -> int:
    """Bytes of a constant in the file."""
    return -(-array.size * code_bits(array.dtype) // 8)


def read_model(path: Path) -> onnx.ModelProto:
    """An ONNX file, checked. Raises MissingError or RequestError."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except FileNotFoundError:
        raise MissingError(f"graph `{path}` does not exist") from None
    except Exception as error:  # protobuf and the checker raise their own kinds
        raise RequestError(f"graph `{path}` is damaged: {str(error).splitlines()[0]}") from None
    return model


@dataclass(frozen=True)
class Graph:
    """A model seen as operators over named tensors; never changed in place."""

    model: onnx.ModelProto

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Operators in execution order."""
        return list(self.model.graph.node)

    @cached_property
    def constants(self) -> dict[str, Array]:
        """Initializers and Constant nodes by name."""
        out = {t.name: numpy_helper.to_array(t) for t in self.model.graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant":
                key, value = next(iter(attributes(node).items()))
                is_tensor, single = isinstance(value, onnx.TensorProto), np.float32 if "float" in key else None
                out[node.output[0]] = numpy_helper.to_array(value) if is_tensor else np.array(value, single)
        return out

    @cached_property
    def maker(self) -> dict[str, onnx.NodeProto]:
        """The operator that makes a tensor."""
        return {name: node for node in self.nodes for name in node.output}

    @cached_property
    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        """The operators that read a tensor."""
        out: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                out.setdefault(name, []).append(node)
        return out

    @cached_property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [v.name for v in self.model.graph.input if v.name not in self.constants]

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [v.name for v in self.model.graph.output]

    @cached_property
    def _inferred(self) -> dict[str, onnx.TypeProto.Tensor]:
        """Type and shape of every tensor but the constants."""
        found = onnx.shape_inference.infer_shapes(self.model).graph
        return {v.name: v.type.tensor_type for v in (*found.value_info, *found.input, *found.output)}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Static shape of every tensor that has one."""
        out = {name: tuple(d.dim_value for d in kind.shape.dim) for name, kind in self._inferred.items()}
        return out | {name: array.shape for name, array in self.constants.items()}

    def has_no_elements(self, name: str) -> bool:
        """Whether a static dimension of a tensor is zero."""
        kind = self._inferred.get(name)
        dims = kind.shape.dim if kind is not None else ()
        return any(d.HasField("dim_value") and d.dim_value == 0 for d in dims)

    @cached_property
    def types(self) -> dict[str, int]:
        """ONNX's number of the element type of every tensor but the constants."""
        return {name: kind.elem_type for name, kind in self._inferred.items()}

    @cached_property
    def opset(self) -> int:
        """Version of the default operator set."""
        return next(int(entry.version) for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))

    @property
    def io(self) -> IoRecord:
        """The io record in the metadata. Raises RequestError when there is none, or none that is understood."""
        text = next((p.value for p in self.model.metadata_props if p.key == IO_KEY), None)
        if text is None:
            raise RequestError("the graph carries no io record", f"write one to the metadata key `{IO_KEY}`")
        try:
            return IoRecord.model_validate_json(text)
        except ValueError as error:  # pydantic's errors are ValueErrors
            raise RequestError(f"the graph's io record is not understood: {str(error).splitlines()[0]}",
                               "it may be of a newer edgekd") from None  # fmt: skip

    def codes(self) -> Iterator[onnx.NodeProto]:
        """The QuantizeLinear operators, in order; the output of each is a tensor of codes."""
        return (node for node in self.nodes if node.op_type == "QuantizeLinear")

    def scalar(self, name: str) -> Array:
        """A constant by name. Raises RequestError when it is computed instead."""
        if name not in self.constants:
            raise RequestError(f"`{name}` is computed, not a constant", "scales and zero points must be constants")
        return self.constants[name]

    def source(self, name: str) -> str | None:
        """The constant that a tensor is, or that its DequantizeLinear reads; None where it is computed."""
        maker = self.maker.get(name)
        behind = maker.input[0] if maker is not None and maker.op_type == "DequantizeLinear" else name
        return behind if behind in self.constants else None

    def code_type(self, pair: onnx.NodeProto) -> np.dtype[Any]:
        """Type of the codes that a QuantizeLinear makes or a DequantizeLinear reads."""
        codes = pair.output[0] if pair.op_type == "QuantizeLinear" else pair.input[0]
        if codes in self.constants:
            return self.constants[codes].dtype
        kind = self.types.get(codes, 0) or onnx.TensorProto.UINT8
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))

    def zero_point(self, pair: onnx.NodeProto) -> Array | None:
        """Zero point of a QuantizeLinear or DequantizeLinear, zeros where none is given; None where it is computed."""
        if len(pair.input) > 2 and pair.input[2]:
            return self.constants.get(pair.input[2])
        scale = self.constants.get(pair.input[1])
        return np.zeros(() if scale is None else scale.shape, self.code_type(pair))

    def expose(self, name: str) -> bytes:
        """The model with one more output."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        if name not in self.outputs:
            copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
        return bytes(copy.SerializeToString())


def with_batch(graph: Graph, size: int) -> Graph:
    """The graph with the first axis of its inputs, where it is free, fixed; shapes are inferred anew."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name in graph.inputs and dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = size
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return Graph(model)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """An operator's attributes by name."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def along(parameter: Array, x: Array, attrs: dict[str, Any]) -> Array:
    """A scale or zero point in a shape that broadcasts against the tensor it belongs to."""
    axis = attrs.get("axis", 1)
    if parameter.size == 1:
        return parameter.reshape(())
    if parameter.ndim == 1:
        return parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return np.repeat(parameter, attrs["block_size"], axis).take(range(x.shape[axis]), axis)


def with_constants(model: onnx.ModelProto, changed: dict[str, Array]) -> onnx.ModelProto:
    """A copy of the model with these initializers replaced or added."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [t for t in copy.graph.initializer if t.name not in changed]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend(kept)
    copy.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), n) for n, a in changed.items())
    return copy
