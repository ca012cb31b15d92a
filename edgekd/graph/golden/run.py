"""Walk a graph: codes of every QuantizeLinear, and the outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx

from edgekd.errors import Problem, RequestError
from edgekd.graph.alternatives import alternative
from edgekd.graph.golden.moving import split
from edgekd.graph.golden.operators import OPERATORS, REFUSE
from edgekd.graph.golden.rounding import Rounding, quantize_float
from edgekd.graph.golden.values import Table, Value, numbers
from edgekd.graph.golden.windows import Attributes
from edgekd.graph.model import Array, Graph, along, attributes

Trace = dict[str, Array]
OLDEST = 13
"""First opset whose Softmax works on one axis, as the interpreter's does."""


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    force: Mapping[str, Array] | None = None,
    rounding: Rounding = "rne_f32",
) -> Trace:
    """Codes of every QuantizeLinear and the graph's outputs, by tensor name.

    With `force`, every tensor named there is replaced by the codes given, after its own were noted: the result then
    tells what each operator makes of another engine's inputs, so that no difference is carried on.
    Raises RequestError at an operator or opset it does not know, and at NaN.
    """
    if graph.opset < OLDEST:
        raise RequestError(_old(graph), "convert it with onnx.version_converter")
    force = force or {}
    values: dict[str, Value] = {**graph.constants, **_finite(inputs)}
    trace: Trace = {}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.input}
    for i, node in enumerate(graph.nodes):
        if node.op_type == "Constant":
            continue
        name, arguments = node.output[0], [values[n] if n else np.empty(0) for n in node.input]
        if node.op_type == "QuantizeLinear":
            trace[name] = _quantize(name, arguments, attributes(node), rounding)
            values[name] = force.get(name, trace[name])
        else:
            values |= zip(node.output, _compute(node, arguments), strict=False)
        for used in node.input:
            if last.get(used) == i and used not in graph.outputs:
                values.pop(used, None)
    return trace | {name: numbers(values[name]) for name in graph.outputs}


def _finite(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The inputs; infinities saturate, but no code stands for what is not a number."""
    for name, value in inputs.items():
        if np.isnan(np.min(value, initial=0)):
            raise RequestError(f"input `{name}` holds NaN, for which there is no code", "look at how it was made")
    return inputs


def _quantize(name: str, arguments: Sequence[Value], attrs: Attributes, rounding: Rounding) -> Array:
    """Codes of a value."""
    x, scale = arguments[0], numbers(arguments[1])
    zero = numbers(arguments[2]) if len(arguments) > 2 else _zero(attrs)
    shaped = numbers(x) if scale.size > 1 else np.empty(1)
    scale, zero = (along(a, shaped, attrs) for a in (scale, zero))
    plain = isinstance(x, np.ndarray | np.generic)
    doubtful = np.isnan(x.single).any() if isinstance(x, Table) else plain
    if doubtful and np.isnan(np.min(numbers(x), initial=0)):
        raise RequestError(f"`{name}` is made of NaN, for which there is no code", "its operators divide by zero")
    if isinstance(x, np.ndarray | np.generic):
        return quantize_float(np.asarray(x), scale, zero, rounding)
    return x.quantize(scale, zero, rounding)


def _zero(attrs: Attributes) -> Array:
    """The zero point where none is given: uint8 by ONNX's default."""
    kind = attrs.get("output_dtype", 0)
    return np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else np.uint8)


def check(graph: Graph) -> list[Problem]:
    """Operators the interpreter does not know, one problem each, and modes of operators."""
    known = {*OPERATORS, "QuantizeLinear", "Split", "Constant"}
    unknown = {n.op_type: n.output[0] for n in reversed(graph.nodes) if n.op_type not in known}
    return [
        *([Problem("opset", _old(graph), "convert it with onnx.version_converter")] if graph.opset < OLDEST else []),
        *(
            Problem(where, f"operator `{kind}` has no integer reference, so it cannot be checked", alternative(kind))
            for kind, where in sorted(unknown.items())
        ),
        *(problem for node in graph.nodes for problem in _refused(node)),
    ]


def _old(graph: Graph) -> str:
    return f"the graph has opset {graph.opset}, the integer reference knows {OLDEST} and later"


def _refused(node: onnx.NodeProto) -> Iterator[Problem]:
    """What a node's attributes ask for that the interpreter does not know."""
    if node.op_type in REFUSE:
        try:
            REFUSE[node.op_type](attributes(node))
        except NotImplementedError as reason:
            yield Problem(
                node.output[0],
                f"operator `{node.op_type}` has no integer reference: {reason}",
                alternative(node.op_type),
            )


def _compute(node: onnx.NodeProto, arguments: list[Value]) -> list[Value]:
    """What an operator makes. Raises RequestError, with its name, where it cannot be interpreted."""
    kind, name, attrs = node.op_type, node.output[0], attributes(node)
    if kind == "Split":
        return split(arguments, attrs, len(node.output))
    if kind not in OPERATORS:
        raise RequestError(f"operator `{kind}` at `{name}` cannot be checked")
    try:
        return [OPERATORS[kind](arguments, attrs)]
    except NotImplementedError as reason:
        raise RequestError(f"operator `{kind}` at `{name}` cannot be checked: {reason}") from None
