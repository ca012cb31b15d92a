"""What every rewrite does: copy, add constants, forget what is stale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import numpy_helper

from edgekd.graph.model import Array, Graph


def copy_of(graph: Graph) -> onnx.ModelProto:
    """The model, free to be changed."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def finish(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], constants: Mapping[str, Array], stale: set[str]
) -> onnx.ModelProto:
    """The model with these operators and further constants, without recorded types of the tensors in `stale`."""
    new = list(nodes)
    del model.graph.node[:]
    model.graph.node.extend(new)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    kept = [value for value in model.graph.value_info if value.name not in stale]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    return drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without constants that nothing reads."""
    used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def read_nodes(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The operators without each DequantizeLinear that nothing reads any more."""
    all_nodes = list(nodes)
    read = {name for node in all_nodes for name in node.input} | {value.name for value in model.graph.output}
    return [node for node in all_nodes if node.op_type != "DequantizeLinear" or node.output[0] in read]
