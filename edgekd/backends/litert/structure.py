"""A written file read again and compared with the graph: scales, zero points, weights, biases. It runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.errors import Problem, RequestError
from edgekd.graph.model import Array, Graph, attributes

DTYPES = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32, schema.TensorType.FLOAT32: np.float32}
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_HINT = "the file does not hold what the graph says: report this as a bug"


class Parsed:
    """The first subgraph of a file, by names."""

    def __init__(self, data: bytes) -> None:
        self.model = schema.ModelT.InitFromPackedBuf(data, 0)
        self.graph = self.model.subgraphs[0]
        self.tensors = {tensor.name.decode(): tensor for tensor in self.graph.tensors}
        self.makers = {index: op for op in self.graph.operators for index in op.outputs}
        self.names = [tensor.name.decode() for tensor in self.graph.tensors]

    def kind(self, operator: Any) -> int:
        """Builtin operator, by the schema's number."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))

    def data(self, tensor: Any) -> Array | None:
        """A constant's values; None where the tensor is computed. Raises RequestError for types that are not read."""
        raw = self.model.buffers[tensor.buffer].data
        shape = [] if tensor.shape is None else tensor.shape
        if raw is None or not len(raw):
            return None
        if tensor.type not in DTYPES:
            raise unread(tensor)
        return np.asarray(raw).view(DTYPES[tensor.type]).reshape(shape)


def unread(tensor: Any) -> RequestError:
    """An error that names a tensor and its type."""
    kind = next((name for name, number in vars(schema.TensorType).items() if number == tensor.type), "UNKNOWN")
    return RequestError(
        f"`{tensor.name.decode()}` is {kind}, which is not read from .tflite files", "give an int8 or a float32 file"
    )


def compare(graph: Graph, data: bytes, names: Mapping[str, str]) -> list[Problem]:
    """What the file has differently, by the graph's names; `names` are those that differ in the file."""
    file = Parsed(data)
    activations = [p for node in graph.codes() for p in _activation(graph, file, node, names)]
    weighted = [p for node in graph.nodes if node.op_type in WEIGHTED for p in _weighted(graph, file, node, names)]
    return activations + weighted


def _activation(graph: Graph, file: Parsed, node: onnx.NodeProto, names: Mapping[str, str]) -> Iterator[Problem]:
    name, zero = node.output[0], graph.zero_point(node)
    tensor = file.tensors.get(names.get(name, name))
    if tensor is None:
        if node.input[0] not in graph.constants:
            yield Problem(name, "is not in the file", _HINT)
        return
    assert zero is not None
    yield from _same(name, "scale", graph.scalar(node.input[1]).ravel(), tensor.quantization.scale)
    yield from _same(name, "zero point", zero.ravel(), tensor.quantization.zeroPoint)


def _weighted(graph: Graph, file: Parsed, node: onnx.NodeProto, names: Mapping[str, str]) -> Iterator[Problem]:
    """Weight and bias of an operator, where it has a constant weight."""
    operator = _operator(graph, file, node, names)
    if graph.source(node.input[1]) is None:
        return
    if operator is None:
        yield Problem(node.output[0], f"no operator of the file is this `{node.op_type}`", _HINT)
        return
    tensors = [file.graph.tensors[i] for i in operator.inputs]
    places = (1, 3) if file.kind(operator) == schema.BuiltinOperator.TRANSPOSE_CONV else (1, 2)
    weight, bias = (tensors[i] for i in places)
    found = file.data(weight)
    assert found is not None
    yield from _weight(graph, node, weight, _as_onnx(node, found, file.kind(operator)))
    yield from _bias(graph, node, file.data(bias), bias, tensors)


def _operator(graph: Graph, file: Parsed, node: onnx.NodeProto, names: Mapping[str, str]) -> Any:
    """The operator that makes what the node, or what is fused behind it, makes."""
    name, index = node.output[0], {n: i for i, n in enumerate(file.names)}
    while (at := index.get(names.get(name, name))) is None:
        readers = graph.readers.get(name, [])
        if len(readers) != 1:
            return None
        name = readers[0].output[0]
    operator = file.makers.get(at)
    while operator is not None and file.kind(operator) == schema.BuiltinOperator.SLICE:
        operator = file.makers.get(operator.inputs[0])
    return operator


def _as_onnx(node: onnx.NodeProto, found: Array, kind: int) -> Array:
    """A weight of the file in the graph's order."""
    if kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
        return np.moveaxis(found, -1, 0)
    if node.op_type == "Conv":
        return np.moveaxis(found, -1, 1)
    if node.op_type == "ConvTranspose":
        return np.moveaxis(found, -1, 0)
    return found if attributes(node).get("transB", 0) else found.T


def _weight(graph: Graph, node: onnx.NodeProto, tensor: Any, found: Array) -> Iterator[Problem]:
    source = graph.source(node.input[1])
    assert source is not None
    wanted, pair = graph.constants[source], graph.maker.get(node.input[1])
    if found.dtype == np.int8 or pair is None:
        yield from _same(source, "weight", wanted, found)
    if found.dtype == np.int8 and pair is not None:
        yield from _same(source, "weight scale", graph.scalar(pair.input[1]).ravel(), tensor.quantization.scale)


def _bias(
    graph: Graph, node: onnx.NodeProto, found: Array | None, tensor: Any, tensors: list[Any]
) -> Iterator[Problem]:
    """int32 codes, and their scale: input times weight in float32."""
    name = _bias_name(graph, node)
    source = graph.source(name) if name else None
    if found is not None and source is not None and graph.constants[source].dtype == found.dtype:
        yield from _same(source, "bias", graph.constants[source].ravel(), found)
    if found is not None and found.dtype == np.int32:
        x = tensors[2 if node.op_type == "ConvTranspose" else 0]
        step = np.float32(x.quantization.scale[0]) * np.asarray(tensors[1].quantization.scale, np.float32)
        yield from _same(source or node.output[0], "bias scale", step, tensor.quantization.scale)


def _bias_name(graph: Graph, node: onnx.NodeProto) -> str:
    """A bias is an input, or what is added behind a MatMul."""
    if node.op_type != "MatMul":
        return node.input[2] if len(node.input) > 2 else ""
    adds = [reader for reader in graph.readers.get(node.output[0], []) if reader.op_type == "Add"]
    return next((n for n in (adds[0].input if adds else ()) if graph.source(n) is not None), "")


def _same(where: str, what: str, wanted: Array, found: Any) -> Iterator[Problem]:
    found = np.asarray(() if found is None else found)
    if not np.array_equal(wanted, found):
        yield Problem(where, f"its {what} is another one in the file", _HINT)
