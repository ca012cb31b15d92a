"""An io record for a graph that carries none, read off its inputs and their quantizers."""

from __future__ import annotations

import onnx

from edgekd.errors import RequestError
from edgekd.graph.model import IO_KEY, Graph, code_limits
from edgekd.schema.io import ImageInput, Input, IoRecord, TensorInput, TensorOutput

COLORS = {3: "RGB", 1: "L"}
NEAR = 0.02
"""How near the ends of a range must be to a known one, as a share of it. Ours."""
PIXELS = {(0.0, 1.0): (1 / 255, 0.0, 1.0), (-1.0, 1.0): (1 / 255, 0.5, 0.5), (0.0, 255.0): (1.0, 0.0, 1.0)}
"""Ranges by which pictures are known: scale, mean and standard deviation that give them from pixels 0..255."""


def has_record(graph: Graph) -> bool:
    """Whether the graph carries an io record."""
    return any(p.key == IO_KEY for p in graph.model.metadata_props)


def with_record(graph: Graph, io: IoRecord) -> Graph:
    """The graph with this record."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, kept | {IO_KEY: io.model_dump_json()})
    return Graph(model)


def guess_record(graph: Graph) -> IoRecord:
    """Inputs of one or three channels whose quantizer's range is known become pictures, all else tensors.

    A guess, to be told as one: nothing in a graph says how its pixels were prepared. Raises RequestError where an input
    has no static shape, or more than one sample.
    """
    inputs = tuple(_input(graph, name) for name in graph.inputs)
    return IoRecord(inputs=inputs, outputs=tuple(TensorOutput(name=name) for name in graph.outputs))


def _input(graph: Graph, name: str) -> Input:
    shape, ends = graph.shapes.get(name, ()), input_range(graph, name)
    if not shape or 0 in shape or shape[0] != 1:
        hint = "fix its shape at one sample, for example with `onnxruntime.tools.make_dynamic_shape_fixed`"
        raise RequestError(f"input `{name}` has the shape {list(shape)}, not that of one sample", hint)
    known = next((form for range_, form in PIXELS.items() if _near(ends, range_)), None)
    if known is None or len(shape) != 4 or shape[1] not in COLORS:
        return TensorInput(name=name, shape=shape, ends=ends)
    scale, mean, std = known
    size = (shape[0], shape[1], shape[2], shape[3])
    color = "RGB" if shape[1] == 3 else "L"
    return ImageInput(name=name, shape=size, color=color, scale=scale, mean=(mean,) * shape[1], std=(std,) * shape[1])


def input_range(graph: Graph, name: str) -> tuple[float, float]:
    """Real range of the quantizer that reads an input; (0, 1) where none does."""
    pair = next((n for n in graph.readers.get(name, []) if n.op_type == "QuantizeLinear"), None)
    if pair is None or pair.input[1] not in graph.constants:
        return 0.0, 1.0
    scale, zero = float(graph.constants[pair.input[1]].ravel()[0]), graph.zero_point(pair)
    if zero is None:
        return 0.0, 1.0
    low, high = code_limits(zero.dtype)
    point = int(zero.ravel()[0])
    return (low - point) * scale, (high - point) * scale


def _near(a: tuple[float, float], b: tuple[float, float]) -> bool:
    width = b[1] - b[0]
    return all(abs(x - y) <= NEAR * width for x, y in zip(a, b, strict=True))
