"""A portable graph, Q/DQ or float, as a .tflite file: scales, zero points and codes are copied, nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx

from edgekd.backends.litert import composed, moving, weighted, windows
from edgekd.backends.litert.elementwise import KERNELS, clip, elementwise
from edgekd.backends.litert.layout import Layout, channels_last, plain
from edgekd.backends.litert.writer import B, Kernels, Stored, Writer
from edgekd.errors import Problem, RequestError
from edgekd.graph.alternatives import alternative
from edgekd.graph.model import Graph

Handler = Callable[[Writer, onnx.NodeProto], None]


@dataclass(frozen=True)
class Written:
    """A file, and how the graph's tensors are found in it."""

    data: bytes
    layouts: dict[str, Layout]
    """Of the tensors of the graph that lie in another order."""
    names: dict[str, str]
    """Of the tensors of the graph that have another name."""
    operators: dict[str, dict[str, int]]
    """`int8` and `float`: operators of the graph by type."""


def write(graph: Graph, io: Literal["float", "int8"] = "float", kernels: Kernels = "reference") -> Written:
    """The file of a graph; with `io` int8 its inputs and outputs are codes.

    `kernels` says what it is written for; every runtime runs it.

    Raises RequestError at what has no kernel.
    """
    w, outputs = Writer(graph, kernels), dict[str, Stored]()
    inputs = [_input(w, name, io) for name in graph.inputs]
    for node in graph.nodes:
        if node.output[0] not in w.done and not _is_known(w, node):
            HANDLERS[node.op_type](w, node)
    for name in graph.outputs:
        outputs[name] = _output(w, name, io)
    for node in graph.codes():
        if node.input[0] in graph.constants:
            w.fix(node)
    data = w.file.finish(inputs, list(dict.fromkeys(stored.index for stored in outputs.values())))
    places = {name: found for name, found in (w.fixed | w.codes | w.floats | outputs).items() if name in _named(graph)}
    return Written(
        data,
        {name: at.layout for name, at in places.items() if at.layout != plain(len(at.shape))},
        {name: real for name, at in places.items() if (real := w.file.name(at.index)) != name},
        {kind: {op: n for (op, k), n in sorted(w.counts.items()) if k == kind} for kind in ("int8", "float")},
    )


def _named(graph: Graph) -> set[str]:
    """Tensors that people and checks ask for: codes, inputs and outputs."""
    return {*graph.inputs, *graph.outputs, *(node.output[0] for node in graph.codes())}


def _input(w: Writer, name: str, io: str) -> int:
    """Index of an input; as codes where they alone are read."""
    shape, readers = w.shape(name), w.graph.readers.get(name, [])
    layout = channels_last(len(shape))
    if io == "float":
        w.floats[name] = w.new(name, shape, layout)
        return w.floats[name].index
    if not readers or any(node.op_type != "QuantizeLinear" for node in readers):
        raise RequestError(f"input `{name}` is read as float, so the file cannot take codes", 'set `io = "float"`')
    w.codes[name] = made = w.new(readers[0].output[0], shape, layout, w.pair_grid(readers[0]))
    return made.index


def _output(w: Writer, name: str, io: str) -> Stored:
    """Where an output is found."""
    if io == "int8" and name in w.codes:
        return w.codes[name]
    if name not in w.codes and name not in w.floats:
        raise RequestError(f"output `{name}` is a constant", "leave it out")
    return w.floating(name)


def _is_known(w: Writer, node: onnx.NodeProto) -> bool:
    """Whether an operator only makes a constant."""
    return node.op_type == "Constant" or (
        node.op_type in ("QuantizeLinear", "DequantizeLinear")
        and (node.input[0] in w.graph.constants or w.is_constant(node.output[0]))
    )


def _quantize(w: Writer, node: onnx.NodeProto) -> None:
    """QUANTIZE, of float or from one grid to another."""
    name, codes, grid = node.input[0], node.output[0], w.pair_grid(node)
    if name in w.codes and w.codes[name].grid == grid:
        w.codes[codes] = w.codes[name]
        return
    x = w.read(name, name in w.codes and w.kernels == "reference")
    w.codes[codes] = made = w.new(codes, x.shape, x.layout, grid)
    w.file.operator(B.QUANTIZE, 2 if x.grid else 1, [x.index], [made.index], None)


def _dequantize(w: Writer, node: onnx.NodeProto) -> None:
    """Nothing yet: a DEQUANTIZE is written where the value is read as float."""
    codes, grid = node.input[0], w.pair_grid(node)
    if codes not in w.codes or w.codes[codes].grid != grid:
        raise RequestError(f"`{codes}` is dequantized on another grid than it was quantized on", "use one pair")
    w.codes[node.output[0]] = w.codes[codes]


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(KERNELS, elementwise),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), moving.reshape),
    **dict.fromkeys(("ReduceMean", "GlobalAveragePool"), windows.mean),
    **dict.fromkeys(("Identity", "Dropout"), moving.same),
    "AveragePool": windows.average_pool,
    "BatchNormalization": composed.batch_norm,
    "Clip": clip,
    "Concat": moving.concat,
    "Conv": weighted.conv,
    "ConvTranspose": weighted.conv_transpose,
    "DequantizeLinear": _dequantize,
    "Expand": moving.expand,
    "Gather": moving.gather,
    "Gemm": weighted.gemm,
    "HardSigmoid": composed.hard_sigmoid,
    "LayerNormalization": composed.layer_norm,
    "MatMul": weighted.matmul,
    "MaxPool": windows.max_pool,
    "Pad": moving.pad,
    "QuantizeLinear": _quantize,
    "Resize": windows.resize,
    "Slice": moving.slice_,
    "Softmax": windows.softmax,
    "Split": moving.split,
    "Transpose": moving.transpose,
}


def unknown(graph: Graph) -> list[Problem]:
    """Operators that cannot be written, one problem each."""
    where = {n.op_type: n.output[0] for n in reversed(graph.nodes) if n.op_type not in {*HANDLERS, "Constant"}}
    return [
        Problem(at, f"LiteRT has no operator for `{kind}`", alternative(kind)) for kind, at in sorted(where.items())
    ]
