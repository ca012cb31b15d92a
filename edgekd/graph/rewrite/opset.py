"""A graph under another version of ONNX's default operator set."""

from __future__ import annotations

import onnx

from edgekd.errors import RequestError
from edgekd.graph.model import Graph
from edgekd.graph.rewrite.edit import copy_of

OLDEST = 18
"""Before it, reductions took their axes as attributes and Split its parts."""
CHANGED = frozenset({"GroupNormalization"})
"""Operators whose meaning changed since, from ONNX's changelog; of the others later versions only add types, inputs and
attributes, whose absence means what it meant before."""


def with_opset(graph: Graph, version: int) -> onnx.ModelProto:
    """The same operators under opset `version`. Raises RequestError where one would mean something else there."""
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST <= min(version, graph.opset) <= max(version, graph.opset) <= newest:
        wanted = f"opset {graph.opset} cannot become {version}"
        raise RequestError(f"{wanted}: only {OLDEST} to {newest} are converted into each other")
    for node in graph.nodes:
        if node.domain in ("", "ai.onnx"):
            _same_meaning(node, graph.opset, version)
    model = copy_of(graph)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = version
    model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(model.opset_import, True))
    _check(model, version)
    return model


def _same_meaning(node: onnx.NodeProto, old: int, new: int) -> None:
    """What the operator uses must exist in both versions."""
    try:
        before, after = (onnx.defs.get_schema(node.op_type, max_inclusive_version=v) for v in (old, new))
    except onnx.defs.SchemaError:
        raise RequestError(f"operator `{node.op_type}` at `{node.output[0]}` is not in opset {new}") from None
    if before.since_version == after.since_version:
        return
    given = {a.name for a in node.attribute}
    shared = (set(before.attributes) & set(after.attributes)) - given
    defaults = {
        name for name in shared if before.attributes[name].default_value != after.attributes[name].default_value
    }
    unknown = (given - set(after.attributes)) | defaults
    if node.op_type in CHANGED or unknown or len(node.input) > after.max_input or len(node.input) < after.min_input:
        what = f"`{min(unknown)}` of operator" if unknown else "operator"
        raise RequestError(f"{what} `{node.op_type}` at `{node.output[0]}` means something else in opset {new}")


def _check(model: onnx.ModelProto, version: int) -> None:
    """Types too must be allowed there: an INT4 needs opset 21."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference raise their own kinds
        line = str(error).strip().splitlines()[0]
        raise RequestError(f"the graph is not valid in opset {version}: {line}") from None
