"""Walk a graph: codes of every QuantizeLinear, and the outputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekd.errors import Problem, RequestError
from edgekd.graph.golden.operators import OPERATORS
from edgekd.graph.golden.rounding import Rounding, quantize_real
from edgekd.graph.golden.values import Value, real
from edgekd.graph.model import Array, Graph, attributes

Trace = dict[str, Array]


def run(
    graph: Graph,
    inputs: Mapping[str, Array],
    force: Mapping[str, Array] | None = None,
    rounding: Rounding = "rne_f32",
) -> Trace:
    """Codes of every QuantizeLinear and the graph's outputs, by tensor name.

    With `force`, every tensor named there is replaced by the codes given, after its own were noted: the result then
    tells what each operator makes of another engine's inputs, so that no difference is carried on.
    Raises RequestError at an operator it does not know.
    """
    force = force or {}
    values: dict[str, Value] = {**graph.constants, **inputs}
    trace: Trace = {}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.input}
    for i, node in enumerate(graph.nodes):
        if node.op_type == "Constant":
            continue
        name, arguments = node.output[0], [values[n] if n else np.empty(0) for n in node.input]
        if node.op_type == "QuantizeLinear":
            zero = np.asarray(arguments[2]) if len(arguments) > 2 else np.uint8(0)  # ONNX's default
            trace[name] = quantize(arguments[0], np.asarray(arguments[1]), np.asarray(zero), rounding)
            values[name] = force.get(name, trace[name])
        elif node.op_type == "Split":
            parts = np.cumsum(np.asarray(arguments[1]))[:-1] if len(arguments) > 1 else len(node.output)
            whole = np.split(real(arguments[0]), parts, attributes(node).get("axis", 0))
            values |= dict(zip(node.output, whole, strict=True))
        else:
            values[name] = _compute(node.op_type, name, arguments, attributes(node))
        for used in node.input:
            if last.get(used) == i and used not in graph.outputs:
                values.pop(used, None)
    return trace | {name: real(values[name]) for name in graph.outputs}


def quantize(x: Value, scale: Array, zero: Array, rounding: Rounding) -> Array:
    """Codes of a value."""
    if isinstance(x, np.ndarray | np.generic):
        return quantize_real(np.asarray(x), scale, zero)
    return x.quantize(scale, zero, rounding)


def check(graph: Graph) -> list[Problem]:
    """Operators the interpreter does not know, one problem each."""
    known = {*OPERATORS, "QuantizeLinear", "Split", "Constant"}
    unknown = {n.op_type: n.output[0] for n in reversed(graph.nodes) if n.op_type not in known}
    return [
        Problem(where, f"operator `{kind}` has no integer reference, so no conversion of it could be checked")
        for kind, where in sorted(unknown.items())
    ]


def _compute(kind: str, name: str, arguments: list[Value], attrs: dict[str, object]) -> Value:
    if kind not in OPERATORS:
        raise RequestError(f"operator `{kind}` at `{name}` cannot be checked")
    try:
        return OPERATORS[kind](arguments, attrs)
    except NotImplementedError as reason:
        raise RequestError(f"operator `{kind}` at `{name}` cannot be checked: {reason}") from None
