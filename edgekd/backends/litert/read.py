"""A foreign .tflite file, int8 or float, as a portable graph: NCHW, Q/DQ pairs with the file's own scales."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgekd.backends.litert.inverse import HANDLERS
from edgekd.backends.litert.layout import Layout, Shape, channels_last
from edgekd.backends.litert.reader import CODES, NAMES, Reader, Value, image_layout, initializers
from edgekd.backends.litert.structure import Parsed
from edgekd.errors import EdgekdError, MissingError, Problem, ProblemsError, RequestError, last_line
from edgekd.graph.model import IO_KEY, Graph
from edgekd.schema.io import ImageInput, Input, IoRecord, TensorInput, TensorOutput

OPSET = 20
DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError)
"""What the schema's own reader raises on a damaged file."""


@dataclass(frozen=True)
class Found:
    """The graph of a file, and where its inputs, outputs and codes are there: name and layout."""

    graph: Graph
    places: dict[str, tuple[str, Layout]]


def read_tflite(path: Path) -> Graph:
    """The graph of a file; its inputs and outputs are real values, whatever the file takes. Raises as `find`."""
    return find(path).graph


def find(path: Path) -> Found:
    """The graph of a file, and its places.

    Raises MissingError, RequestError where the file is damaged, ProblemsError that names every operator that the graph
    cannot hold.
    """
    try:
        return _found(Reader(_parse(path)))
    except EdgekdError:
        raise
    except (*DAMAGE, AssertionError, KeyError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as e:
        raise RequestError(f"`{path}` is damaged, or holds what is not understood: {last_line(e)}") from e


def _found(r: Reader) -> Found:
    known = {*HANDLERS}
    kinds = {r.file.kind(op): r.name(op.outputs[0]) for op in reversed(r.file.graph.operators)}
    if unknown := {kind: at for kind, at in kinds.items() if kind not in known}:
        raise ProblemsError([
            Problem(at, f"the graph cannot hold `{NAMES.get(kind, str(kind))}`", "replace it before the file is made")
            for kind, at in sorted(unknown.items())
        ])  # fmt: skip
    inputs = {index: _input(r, index) for index in r.file.graph.inputs}
    for operator in r.file.graph.operators:
        HANDLERS[r.file.kind(operator)](r, operator)
    outputs = [_output(r, index) for index in r.file.graph.outputs]
    graph = Graph(_model(r, list(inputs.values()), outputs, _io(r, inputs, outputs)))
    ends = [*inputs.items(), *zip(r.file.graph.outputs, outputs, strict=True)]
    return Found(graph, r.places | {value.name: (r.name(index), value.layout) for index, value in ends})


def _parse(path: Path) -> Parsed:
    """Raises MissingError or RequestError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingError(f"`{path}` does not exist") from None
    if data[4:8] != b"TFL3":
        raise RequestError(f"`{path}` is no .tflite file")
    try:
        file = Parsed(data)
    except DAMAGE:
        raise RequestError(f"`{path}` is damaged", "make it again") from None
    if len(file.model.subgraphs) > 1:
        raise RequestError(f"`{path}` has several subgraphs", "only a plain network can be read")
    return file


def _input(r: Reader, index: int) -> Value:
    """An input, with its pair where the file takes codes."""
    layout, shape = image_layout(r.shape(index)), r.shape(index)
    ours = tuple(shape[layout.index(a)] for a in range(len(shape)))
    value = Value(r.fresh(r.name(index).removesuffix(".q")), ours, layout)
    r.leave(index, value.name, layout)
    return value


def _output(r: Reader, index: int) -> Value:
    """An output by the file's name; of four axes it is NCHW."""
    value = r.read(index)
    value = r.arrange(value, channels_last(len(value.shape)))
    name = r.add("Identity", [value.name], r.name(index).removesuffix(".q"))
    return Value(name, value.shape, value.layout)


def _io(r: Reader, inputs: dict[int, Value], outputs: list[Value]) -> IoRecord:
    """Pictures where an input has one or three channels; their range is that of its codes, else [0, 1]."""
    made = tuple(_input_record(value, _ends(r, index)) for index, value in inputs.items())
    return IoRecord(inputs=made, outputs=tuple(TensorOutput(name=value.name) for value in outputs))


def _ends(r: Reader, index: int) -> tuple[float, float] | None:
    """The range of an input's codes, or of those that it is quantized to; None where it stays float."""
    behind = (op.outputs[0] for op in r.file.graph.operators if index in op.inputs)
    tensor = next((r.tensors[i] for i in (index, *behind) if r.tensors[i].type in CODES), None)
    if tensor is None:
        return None
    low = int(np.iinfo(CODES[tensor.type]).min)
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    return (low - zero) * scale, (low + 255 - zero) * scale


def _input_record(value: Value, ends: tuple[float, float] | None) -> Input:
    low, high = ends or (0.0, 1.0)
    if value.shape[0] != 1:
        raise RequestError(f"input `{value.name}` takes {value.shape[0]} samples at once", "make the file for one")
    if len(value.shape) != 4 or value.shape[1] not in (1, 3):
        return TensorInput(name=value.name, shape=value.shape, ends=(low, high))
    std, channels = 1 / (high - low), value.shape[1]
    n, c, h, w = value.shape
    return ImageInput(name=value.name, shape=(n, c, h, w), color="RGB" if channels == 3 else "L",
                      mean=(-low * std,) * channels, std=(std,) * channels)  # fmt: skip


def _model(r: Reader, inputs: list[Value], outputs: list[Value], io: IoRecord) -> onnx.ModelProto:
    def infos(values: list[Value]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(v.name, TensorProto.FLOAT, _plain(v.shape)) for v in values]

    graph = helper.make_graph(r.nodes, "main", infos(inputs), infos(outputs), initializers(r.constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    model.producer_name = "edgekd"
    helper.set_model_props(model, {IO_KEY: io.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


def _plain(shape: Shape) -> list[int]:
    return [int(n) for n in shape]
