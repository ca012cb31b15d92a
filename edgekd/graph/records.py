"""Whether an io record fits a graph, and one for a graph without, read off its inputs and their quantizers."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import onnx

from edgekd.errors import Problem, RequestError
from edgekd.graph.model import IO_KEY, Graph, code_limits
from edgekd.schema.io import (
    ClassesOutput,
    ImageInput,
    ImageOutput,
    Input,
    IoRecord,
    MaskOutput,
    Output,
    TensorInput,
    TensorOutput,
)

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


def misfits(graph: Graph, io: IoRecord) -> list[Problem]:
    """Where a record does not fit the graph: shapes of inputs, names of outputs, labels, channels, sizes of tiles."""
    inputs = [Problem(s.name, told) for s in io.inputs for told in _input_misfit(s, graph.shapes.get(s.name, s.shape))]
    tiled = next((s.shape[2:] for s in io.inputs if isinstance(s, ImageInput) and s.resize == "tile"), None)
    outputs = [Problem(s.name, told) for s in io.outputs for told in _output_misfit(graph, s, tiled)]
    return [*inputs, *outputs]


def _input_misfit(spec: Input, shape: tuple[int, ...]) -> Iterator[str]:
    if len(shape) != len(spec.shape) or any(a not in (0, b) for a, b in zip(shape, spec.shape, strict=True)):
        yield f"the network takes the shape {list(shape)}, the io record has {list(spec.shape)}"


def _output_misfit(graph: Graph, spec: Output, tiled: tuple[int, ...] | None) -> Iterator[str]:
    """What is wrong with one output; nothing of a shape that is not known."""
    if spec.name not in graph.outputs:
        yield f"the network gives no such output, but {', '.join(f'`{name}`' for name in graph.outputs)}"
        return
    shape = graph.shapes.get(spec.name, (0,))
    if 0 in shape:
        return
    if isinstance(spec, ClassesOutput) and prod(shape) != len(spec.labels):
        yield f"the network gives {prod(shape)} values, the io record has {len(spec.labels)} labels"
    if isinstance(spec, MaskOutput) and (len(shape) != 4 or shape[1] != 1):
        yield f"the network gives the shape {list(shape)}, which is no mask of one channel"
    if isinstance(spec, ImageOutput):
        if len(shape) != 4 or {len(spec.mean), len(spec.std)} - {1, shape[1]}:
            yield f"the network gives the shape {list(shape)}, which is no picture of {len(spec.mean)} channels"
        elif tiled is not None and shape[2:] != tiled:
            yield f"the network gives {list(shape[2:])} pixels, so tiles of {list(tiled)} cannot be blended"


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
