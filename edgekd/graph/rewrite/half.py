"""float16 for what is not quantized."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekd.errors import RequestError
from edgekd.graph.golden.moving import MOVING
from edgekd.graph.model import Array, Graph
from edgekd.graph.rewrite.edit import copy_of, finish

_LIMITS = ("Relu", "Clip")
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_KEPT = (*_PAIR, "Constant", "Cast")
_FLOAT32_ONLY = {"Resize": (1, 2)}
"""Inputs that ONNX wants as float32 whatever the tensor's type is."""


def half_floats(graph: Graph, pairs: bool = False) -> onnx.ModelProto:
    """Operators that read no codes work in float16, with casts where they meet others; Q/DQ scales stay float32.

    `pairs`: everything between the network's inputs and outputs works in float16, Q/DQ scales too (opset 19), so that
    no cast stands inside a chain that an engine runs as one integer kernel.

    Not lossless: each result is rounded to 11 bits, a relative error of at most 2^-11 an operator, and what leaves
    float16's range (above 65504) overflows. Raises RequestError where a constant does, or where a scale becomes 0.
    """
    kept = ("Constant", "Cast") if pairs else _KEPT
    half = {n.output[0] for n in graph.nodes if n.op_type not in kept and (pairs or not _on_codes(graph, n))}
    scales = {n.input[1] for n in graph.nodes if n.op_type in _PAIR}
    made = {out for node in graph.nodes if node.output[0] in half for out in node.output if _is_float(graph, out)}
    model, constants, nodes, cast = copy_of(graph), dict[str, Array](), list[onnx.NodeProto](), set[str]()
    for node in model.graph.node:
        if node.output[0] not in half:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if not name or not _is_float(graph, name) or place in _FLOAT32_ONLY.get(node.op_type, ()):
                continue
            node.input[place] = _name(name)
            if name in graph.constants:
                constants[_name(name)] = _half(name, graph.constants[name], name in scales)
            elif name not in made and name not in cast:
                cast.add(name)
                nodes.append(helper.make_node("Cast", [name], [_name(name)], to=TensorProto.FLOAT16))
        outside = [out for out in node.output if out in made and _leaves(graph, out, half)]
        node.output[:] = [_name(out) if out in made else out for out in node.output]
        nodes.append(node)
        nodes += [helper.make_node("Cast", [_name(out)], [out], to=TensorProto.FLOAT) for out in outside]
    return finish(model, nodes, constants, set())


def _on_codes(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether all an operator reads was dequantized: itself, or before the Relu or Clip in its kernel."""
    if node.op_type in _KEPT:
        return True
    maker = graph.maker.get(node.input[0])
    if node.op_type in _LIMITS and maker is not None and maker.op_type not in _KEPT:
        return _on_codes(graph, maker)
    read = [name for name in node.input if name and name not in graph.constants]
    return bool(read) and all(_dequantized(graph, name) for name in read)


def _dequantized(graph: Graph, name: str) -> bool:
    """Whether a tensor is a constant, or codes dequantized and at most moved since."""
    maker = graph.maker.get(name)
    if name in graph.constants or not name:
        return True
    moves = maker is not None and maker.op_type in (*MOVING, "Split")
    return maker is not None and (
        maker.op_type == "DequantizeLinear" or (moves and all(_dequantized(graph, n) for n in maker.input))
    )


def _leaves(graph: Graph, name: str, half: set[str]) -> bool:
    return name in graph.outputs or any(reader.output[0] not in half for reader in graph.readers.get(name, []))


def _is_float(graph: Graph, name: str) -> bool:
    """Whether a tensor is float32."""
    constant = graph.constants.get(name)
    return constant.dtype == np.float32 if constant is not None else graph.types.get(name) == TensorProto.FLOAT


def _half(name: str, value: Array, is_scale: bool) -> Array:
    with np.errstate(over="ignore"):
        out = value.astype(np.float16)
    if np.isinf(out).any() and not np.isinf(value).any():
        raise RequestError(f"constant `{name}` exceeds float16's largest number, 65504", "keep that part in float32")
    if is_scale and not out.all():
        raise RequestError(f"scale `{name}` is below float16's smallest number, 6e-8", "keep that part in float32")
    return out


def _name(name: str) -> str:
    return f"{name}.f16"
