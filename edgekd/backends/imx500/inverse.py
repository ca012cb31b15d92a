"""The sensor's dialect of ONNX read back as Q/DQ pairs: files of our own, and those that MCT exports.

A quantizer of the dialect rounds to `T / 2^(b-1)` where signed, else to `T / 2^b`, with T its threshold; so each is a
pair of that scale and zero point 0, and no number changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgekd.backends.imx500.dialect import DOMAIN
from edgekd.errors import Problem, ProblemsError, RequestError
from edgekd.graph.model import Array, Graph, along, attributes, code_name
from edgekd.graph.rewrite import integer_biases, with_opset
from edgekd.graph.rewrite.edit import copy_of, finish

_ACTIVATIONS = ("ActivationPOTQuantizer", "ActivationSymmetricQuantizer")
_WEIGHTS = ("WeightsSymmetricQuantizer", "WeightsPOTQuantizer")
_TYPES: dict[tuple[int, int], type[np.integer[Any]]] = {
    (8, 1): np.int8, (8, 0): np.uint8, (16, 1): np.int16, (16, 0): np.uint16,
}  # fmt: skip
_FIRST_INT16 = 21


def is_dialect(model: onnx.ModelProto) -> bool:
    """Whether a file is written in the dialect."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def read(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with Q/DQ pairs, its codes named after the dialect's nodes; inputs and outputs keep their names.

    Biases are int32 where all lie on their accumulators' grids, as in our files, else float32, as in MCT's.
    Raises ProblemsError with each quantizer that has no such pair.
    """
    graph = Graph(without_copies(model))
    if problems := [*_unread(graph)]:
        raise ProblemsError(problems)
    constants: dict[str, Array] = {}
    nodes: list[onnx.NodeProto] = []
    names = _codes(graph)
    for node in graph.nodes:
        if node.op_type in _ACTIVATIONS:
            nodes += _activation(node, names[node.output[0]], constants)
        elif node.op_type in _WEIGHTS:
            nodes.append(_weight(graph, node, names[node.output[0]], constants))
        else:
            nodes.append(node)
    used = {name for node in nodes for name in node.input} | {*graph.outputs}
    nodes = [node for node in nodes if node.op_type != "Constant" or node.output[0] in used]
    made = finish(copy_of(graph), nodes, constants, set())
    kept = [entry for entry in made.opset_import if entry.domain != DOMAIN]
    del made.opset_import[:]
    made.opset_import.extend(kept)
    wide = any(constant.dtype in (np.int16, np.uint16) for constant in constants.values())
    return _integers(with_opset(Graph(made), _FIRST_INT16) if wide and graph.opset < _FIRST_INT16 else made)


def _integers(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return integer_biases(Graph(model))
    except RequestError:  # one does not lie on its grid
        return model


def without_copies(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without Identity of constants, which PyTorch's exporter writes where two constants are equal."""
    graph = Graph(model)
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        if node.op_type == "Identity" and node.input[0] in {*graph.constants, *renamed}:
            renamed[node.output[0]] = renamed.get(node.input[0], node.input[0])
    out = copy_of(graph)
    for node in out.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    return finish(out, [node for node in out.graph.node if node.output[0] not in renamed], {}, set())


def _unread(graph: Graph) -> Iterator[Problem]:
    """Quantizers that are no pair, or whose numbers are computed."""
    for node in graph.nodes:
        if node.domain == DOMAIN and (told := _told(graph, node)):
            yield Problem(node.output[0], told)


def _told(graph: Graph, node: onnx.NodeProto) -> str:
    """Why a quantizer is no pair; nothing where it is one."""
    attrs, bits = attributes(node), attributes(node).get("num_bits", 0)
    if node.op_type in _ACTIVATIONS:
        if (bits, attrs.get("signed")) not in _TYPES:
            return f"its codes of {bits} bits have no type of ONNX"
        return "" if 0 < attrs.get("threshold", 0) < np.inf else "its threshold is no positive number"
    if node.op_type not in _WEIGHTS:
        return f"`{node.op_type}` is no symmetric quantizer, so it cannot be read as integers"
    if not attrs.get("signed", 1):
        return "its weights are unsigned, which are not read"
    if any(name not in graph.constants for name in node.input):
        return "its weight or threshold is computed, not a constant"
    weight, limits = (graph.constants[name] for name in node.input)
    axis = attrs.get("channel_axis", 0)
    if bits not in (2, 4, 8) or not -weight.ndim <= axis < weight.ndim:
        return f"its codes of {bits} bits along axis {axis} cannot be read"
    channels = weight.shape[axis] if attrs.get("per_channel") else 1
    if limits.size != channels:
        return f"it has {limits.size} thresholds for {channels} channels"
    return "" if np.all((limits > 0) & np.isfinite(limits)) else "a threshold is no positive number"


def _codes(graph: Graph) -> dict[str, str]:
    """Names of codes by the quantizer's output: the node's own where it has one that nothing else bears."""
    taken = {name for node in graph.nodes for name in (*node.input, *node.output)}
    out: dict[str, str] = {}
    for node in graph.nodes:
        if node.domain == DOMAIN:
            free = node.name and node.name not in taken
            out[node.output[0]] = node.name if free else code_name(node.output[0])
            taken.add(out[node.output[0]])
    return out


def _activation(node: onnx.NodeProto, codes: str, constants: dict[str, Array]) -> list[onnx.NodeProto]:
    attrs = attributes(node)
    bits, signed = attrs["num_bits"], attrs["signed"]
    scale, zero = f"{codes}.scale", f"{codes}.zero"
    constants[scale] = np.float32(attrs["threshold"] / 2 ** (bits - signed))  # type: ignore[assignment]
    constants[zero] = np.zeros((), _TYPES[bits, signed])
    return [
        helper.make_node("QuantizeLinear", [node.input[0], scale, zero], [codes], name=codes),
        helper.make_node("DequantizeLinear", [codes, scale, zero], [node.output[0]], name=node.output[0]),
    ]


def _weight(graph: Graph, node: onnx.NodeProto, codes: str, constants: dict[str, Array]) -> onnx.NodeProto:
    attrs = attributes(node)
    weight, limit = (graph.constants[name].astype(np.float32) for name in node.input)
    axis = {"axis": attrs["channel_axis"]} if attrs.get("per_channel") else {}
    scale = (limit.reshape(-1) if axis else limit.reshape(())) / np.float32(2 ** (attrs["num_bits"] - 1))
    step, top = along(scale, weight, axis), along(limit, weight, axis)
    constants[f"{codes}.scale"] = scale
    constants[codes] = np.rint(np.clip(weight, -top, top - step) / step).astype(np.int8)
    return helper.make_node("DequantizeLinear", [codes, f"{codes}.scale"], [node.output[0]], name=codes, **axis)
