"""Operators that move values: codes keep their grid, and what the quantizer behind asks beyond that is a QUANTIZE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema

from edgekd.backends.litert import padding
from edgekd.backends.litert.layout import Layout, plain, reshaped, stored
from edgekd.backends.litert.writer import B, Stored, Writer
from edgekd.graph.model import attributes

Write = Callable[[Stored, Stored], None]


def move(
    w: Writer, node: onnx.NodeProto, behind: Callable[[Stored], Layout], write: Write, layout: Layout | None = None
) -> None:
    """Read in `layout` (any by default); `behind` tells the layout of the result, `write(x, made)` the operator."""
    x = w.read(node.input[0], w.grid(node.input[0]) is not None, layout)
    write(x, w.result(w.step(node), behind(x), x.grid, moves=True))


def reshape(w: Writer, node: onnx.NodeProto) -> None:
    """RESHAPE, of all operators that keep the order of values; behind a TRANSPOSE where axes lie apart."""
    name, after = node.input[0], w.shape(node.output[0])
    x = w.read(name, w.grid(name) is not None)
    layout = reshaped(x.shape, after, x.layout)
    if layout is None:
        x, layout = w.arrange(x, plain(len(x.shape))), plain(len(after))
    w.write_reshape(x, w.result(w.step(node), layout, x.grid, moves=True))


def transpose(w: Writer, node: onnx.NodeProto) -> None:
    """TRANSPOSE; RESHAPE where the file has the wanted order already."""
    rank = len(w.shape(node.input[0]))
    perm = attributes(node).get("perm", list(range(rank))[::-1])

    def write(x: Stored, made: Stored) -> None:
        to = [x.layout.index(perm[axis]) for axis in made.layout]
        if to == list(range(rank)):
            w.write_reshape(x, made)
        else:
            w.file.operator(B.TRANSPOSE, 2 if x.grid else 1, [x.index, w.ints("permutation", to)], [made.index], None)

    move(w, node, lambda x: plain(rank), write)


def concat(w: Writer, node: onnx.NodeProto) -> None:
    """CONCATENATION; int8 where all parts are on the grid of the whole."""
    step, names = w.step(node), list(node.input)
    rank, grids = len(w.shape(node.output[0])), [w.grid(n) for n in names]
    same = grids[0] is not None and set(grids) == {grids[0]}
    layout, axis = w.layout_of(names, rank), attributes(node)["axis"] % rank
    parts = [w.read(n, same, layout).index for n in names]
    options = schema.ConcatenationOptionsT()
    options.axis = layout.index(axis)
    made = w.result(step, layout, grids[0] if same else None, moves=True)
    w.file.operator(B.CONCATENATION, 2 if same else 1, parts, [made.index], options)


def pad(w: Writer, node: onnx.NodeProto) -> None:
    """PAD with a constant."""
    attrs, rank = attributes(node), len(w.shape(node.input[0]))
    given = w.constant(node.input[1]).tolist() if len(node.input) > 1 else attrs["pads"]
    axes = w.constant(node.input[3]).tolist() if len(node.input) > 3 else range(rank)
    fill = float(w.constant(node.input[2]).item()) if len(node.input) > 2 and node.input[2] else 0.0
    if attrs.get("mode", b"constant") != b"constant" or min(given) < 0:
        raise w.refuse(node, "pads with a constant and does not crop", "pad with zeros")
    ends = np.zeros((rank, 2), np.int64)
    ends[list(axes)] = np.reshape(given, (2, -1)).T
    move(w, node, lambda x: x.layout, lambda x, made: padding.write_pad(w, x, made, ends, fill))


def slice_(w: Writer, node: onnx.NodeProto) -> None:
    """SLICE, or STRIDED_SLICE where steps are not one."""
    shape = w.shape(node.input[0])
    starts, ends, axes, steps = [*(w.constant(n).tolist() if n else [] for n in node.input[1:]), [], []][:4]
    cuts = [slice(0, n, 1) for n in shape]
    for i, axis in enumerate(axes or range(len(starts))):
        step = steps[i] if steps else 1
        if step < 1:
            raise w.refuse(node, "reads forwards", "keep the order")
        cuts[axis] = slice(*slice(starts[i], ends[i], step).indices(shape[axis]))
    move(w, node, lambda x: x.layout, lambda x, made: write_slice(w, x, made, cuts))


def write_slice(w: Writer, x: Stored, made: Stored, cuts: Sequence[slice]) -> None:
    """`cuts`: start, end and step along each axis of the graph."""
    order, version = [cuts[a] for a in x.layout], 2 if x.grid else 1
    begin = w.ints("begin", [c.start for c in order])
    if all(c.step == 1 for c in cuts):
        size = w.ints("size", [c.stop - c.start for c in order])
        w.file.operator(B.SLICE, version, [x.index, begin, size], [made.index], schema.SliceOptionsT())
        return
    rest = [w.ints("end", [c.stop for c in order]), w.ints("strides", [c.step for c in order])]
    inputs = [x.index, begin, *rest]
    w.file.operator(B.STRIDED_SLICE, version, inputs, [made.index], schema.StridedSliceOptionsT())


def split(w: Writer, node: onnx.NodeProto) -> None:
    """A SLICE for each part."""
    shape, name = w.shape(node.input[0]), node.input[0]
    axis, start = attributes(node).get("axis", 0) % len(shape), 0
    for output in node.output:
        one = onnx.helper.make_node("Split", [name], [output])
        cuts = [slice(0, n, 1) for n in shape]
        cuts[axis] = slice(start, start := start + w.shape(output)[axis], 1)
        move(w, one, lambda x: x.layout, lambda x, made, cuts=cuts: write_slice(w, x, made, cuts))  # type: ignore[misc]


def gather(w: Writer, node: onnx.NodeProto) -> None:
    """One place along an axis: SLICE and RESHAPE."""
    shape = w.shape(node.input[0])
    axis = attributes(node).get("axis", 0) % len(shape)
    if not w.is_constant(node.input[1]) or w.constant(node.input[1]).ndim:
        raise w.refuse(node, "takes one constant place here", "use `Slice`")
    at = int(w.constant(node.input[1]).item()) % shape[axis]
    cuts = [slice(at, at + 1, 1) if i == axis else slice(0, n, 1) for i, n in enumerate(shape)]

    def write(x: Stored, made: Stored) -> None:
        one = w.new(
            f"{node.output[0]}:slice", tuple(1 if i == axis else n for i, n in enumerate(shape)), x.layout, x.grid
        )
        write_slice(w, x, one, cuts)
        w.write_reshape(one, made)

    left = [a for a in range(len(shape)) if a != axis]
    move(w, node, lambda x: tuple(left.index(a) for a in x.layout if a != axis), write)


def expand(w: Writer, node: onnx.NodeProto) -> None:
    """BROADCAST_TO."""
    after, name = w.shape(node.output[0]), node.input[0]
    x = w.read(name, w.grid(name) is not None, w.layout_of([name], len(after)), len(after))
    made = w.result(w.step(node), x.layout, x.grid, moves=True)
    size = w.ints("shape", stored(after, made.layout))
    w.file.operator(B.BROADCAST_TO, 3 if x.grid else 2, [x.index, size], [made.index], schema.BroadcastToOptionsT())


def same(w: Writer, node: onnx.NodeProto) -> None:
    """Nothing: the value under another name."""
    source, name = node.input[0], node.output[0]
    for known in (w.codes, w.floats):
        if source in known:
            known[name] = known[source]
