"""Nearest upsampling of codes as copies: Concat is memcpy where a Resize works element by element."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from edgekd.graph.model import Array, Graph, attributes
from edgekd.graph.rewrite.edit import copy_of, finish, read_nodes

_WHOLE = ((b"asymmetric", b"floor"), (b"half_pixel", b"round_prefer_floor"), (b"half_pixel", b"round_prefer_ceil"))
"""Coordinates and rounding by which a whole factor repeats each place."""


def copied_upsampling(graph: Graph) -> onnx.ModelProto:
    """Resize (nearest, by a whole factor) between pairs of one scale, as Transpose and Concat of the codes.

    Every code stays. Worth it where the engine keeps channels last, so that the two Transposes vanish.
    """
    model, constants, nodes = copy_of(graph), dict[str, Array](), list[onnx.NodeProto]()
    done = {
        q.output[0]: node for node in graph.nodes if _factor(graph, node) > 1 for q in graph.readers[node.output[0]]
    }
    for node in model.graph.node:
        if node.op_type == "Resize" and _factor(graph, node) > 1:
            continue
        if node.output[0] in done:
            nodes += _copies(graph, done[node.output[0]], node.output[0], constants)
        else:
            nodes.append(node)
    return onnx.shape_inference.infer_shapes(finish(model, read_nodes(model, nodes), constants, set()))


def _factor(graph: Graph, node: onnx.NodeProto) -> int:
    """By how much a Resize repeats rows and columns of codes; 1 where it does anything else."""
    attrs, before = attributes(node), graph.maker.get(node.input[0]) if node.input else None
    how = (attrs.get("coordinate_transformation_mode", b"half_pixel"), attrs.get("nearest_mode", b"round_prefer_floor"))
    readers = graph.readers.get(node.output[0], [])
    if node.op_type != "Resize" or attrs.get("mode", b"nearest") != b"nearest" or how not in _WHOLE or not readers:
        return 1
    if before is None or before.op_type != "DequantizeLinear" or node.output[0] in graph.outputs:
        return 1
    if any(not _same_grid(graph, before, reader) for reader in readers):
        return 1
    old, new = (graph.shapes.get(name, ()) for name in (node.input[0], node.output[0]))
    if len(old) != 4 or old[:2] != new[:2] or 0 in (*old, *new):
        return 1
    factor = new[2] // old[2]
    whole = (new[2], new[3]) == (old[2] * factor, old[3] * factor) and _is_scaled(graph, node, factor)
    return factor if whole else 1


def _is_scaled(graph: Graph, node: onnx.NodeProto, factor: int) -> bool:
    """Whether it is told no other scale: places lie by the scale, not by the size that it leads to."""
    scales = graph.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    return scales is None or scales.size == 0 or bool(np.all(scales.ravel()[-2:] == factor))


def _same_grid(graph: Graph, before: onnx.NodeProto, reader: onnx.NodeProto) -> bool:
    """Whether a QuantizeLinear gives back the codes that were dequantized."""
    if reader.op_type != "QuantizeLinear" or graph.code_type(before) != graph.code_type(reader):
        return False
    scales, zeros = (
        [graph.scalar(n.input[1]) for n in (before, reader)],
        [graph.zero_point(n) for n in (before, reader)],
    )
    return np.array_equal(*scales) and np.array_equal(*zeros)  # type: ignore[arg-type]


def _copies(graph: Graph, node: onnx.NodeProto, out: str, constants: dict[str, Array]) -> list[onnx.NodeProto]:
    """Channels last; each place `factor` times, then each row."""
    factor, codes = _factor(graph, node), graph.maker[node.input[0]].input[0]
    batch, channels, rows, columns = graph.shapes[node.input[0]]
    names = [f"{out}.copies.{i}" for i in range(5)]
    shapes = {f"{out}.rows": [batch, rows, -1], f"{out}.picture": [batch, rows * factor, columns * factor, channels]}
    constants |= {name: np.array(shape, np.int64) for name, shape in shapes.items()}
    flat, picture = shapes
    return [
        helper.make_node("Transpose", [codes], [names[0]], perm=[0, 2, 3, 1]),
        helper.make_node("Concat", [names[0]] * factor, [names[1]], axis=3),
        helper.make_node("Reshape", [names[1], flat], [names[2]]),
        helper.make_node("Concat", [names[2]] * factor, [names[3]], axis=2),
        helper.make_node("Reshape", [names[3], picture], [names[4]]),
        helper.make_node("Transpose", [names[4]], [out], perm=[0, 3, 1, 2]),
    ]
