"""The same integers in another type: activations signed or unsigned, weights in bytes or in half of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekd.errors import RequestError
from edgekd.graph.model import Array, Graph, code_limits
from edgekd.graph.rewrite.edit import copy_of, finish
from edgekd.graph.rewrite.opset import with_opset

_FIRST_INT4 = 21
_PACKED = {
    "int8": helper.tensor_dtype_to_np_dtype(TensorProto.INT4),
    "uint8": helper.tensor_dtype_to_np_dtype(TensorProto.UINT4),
}
_BYTES = {"int4": np.dtype(np.int8), "uint4": np.dtype(np.uint8)}


def unsigned_activations(graph: Graph) -> onnx.ModelProto:
    """int8 activations as uint8: code and zero point plus 128; weights stay as they are."""
    return _shifted(graph, np.dtype(np.int8), np.dtype(np.uint8), 128)


def signed_activations(graph: Graph) -> onnx.ModelProto:
    """uint8 activations as int8: code and zero point minus 128; weights stay as they are."""
    return _shifted(graph, np.dtype(np.uint8), np.dtype(np.int8), -128)


def _shifted(graph: Graph, old: np.dtype[Any], new: np.dtype[Any], offset: int) -> onnx.ModelProto:
    model, constants, stale = copy_of(graph), dict[str, Array](), set[str]()
    for node in model.graph.node:
        quantizes = node.op_type == "QuantizeLinear"
        if not quantizes and not (node.op_type == "DequantizeLinear" and node.input[0] in stale):
            continue
        zero = graph.zero_point(node)
        if zero is not None and zero.dtype == old:
            if quantizes:
                _only_pairs(graph, node.output[0])
                stale.add(node.output[0])
            name = f"{node.input[2] if len(node.input) > 2 else node.output[0]}.{new.name}"
            constants[name] = (zero.astype(np.int16) + offset).astype(new)
            del node.input[2:]
            node.input.append(name)
            kept = [a for a in node.attribute if a.name != "output_dtype"]  # the zero point tells
            del node.attribute[:]
            node.attribute.extend(kept)
    return finish(model, model.graph.node, constants, stale)


def _only_pairs(graph: Graph, name: str) -> None:
    """Codes may be read by DequantizeLinear alone. Raises RequestError."""
    readers = {node.op_type for node in graph.readers.get(name, [])} - {"DequantizeLinear"}
    if readers or name in graph.outputs:
        who = f"operator `{min(readers)}` reads" if readers else "the graph gives out"
        raise RequestError(f"{who} the codes `{name}` themselves, so their type must stay", "put a Q/DQ pair there")


def pack_weights(graph: Graph) -> onnx.ModelProto:
    """Weights whose codes fit in four bits as INT4, two in a byte; the opset rises to 21 where it is lower."""
    raised = graph if graph.opset >= _FIRST_INT4 else Graph(with_opset(graph, _FIRST_INT4))
    return _stored(raised, _PACKED)


def unpack_weights(graph: Graph) -> onnx.ModelProto:
    """INT4 weights as int8; the opset stays."""
    return _stored(graph, _BYTES)


def _stored(graph: Graph, types: dict[str, np.dtype[Any]]) -> onnx.ModelProto:
    """Constants that a DequantizeLinear reads in another type, where all their codes fit it."""
    model, constants = copy_of(graph), dict[str, Array]()
    for node in model.graph.node:
        codes = graph.constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if codes is None or codes.dtype.name not in types:
            continue
        to = types[codes.dtype.name]
        parts = [codes, *(graph.scalar(name) for name in node.input[2:])]
        low, high = code_limits(to)
        if all(low <= int(p.astype(np.int16).min()) and int(p.astype(np.int16).max()) <= high for p in parts):
            for place, part in zip((0, 2), parts, strict=False):
                name = f"{node.input[place]}.{to.name}"
                constants[name] = part.astype(to)
                node.input[place] = name
    return finish(model, model.graph.node, constants, set())
