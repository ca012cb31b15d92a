"""What Sony's tools ask of a network before they convert it, all reasons at once.

Operators and fused pairs are those of the target's descriptor (edge-mdt-tpc 1.0). Whether the converter itself insists
on each is not known; networks that keep all of them are what its users' logs show.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose

import numpy as np
import onnx

from edgekd.backends.imx500.unsaid import KERNELS, is_global, threshold, unsaid
from edgekd.errors import Problem
from edgekd.graph.model import Graph
from edgekd.graph.records import has_record
from edgekd.schema.io import ImageInput
from edgekd.schema.target import Placement

OUTPUTS, DIMENSIONS = 15, 3
"""Most outputs of a network, and dimensions of one beside its batch, that libcamera hands on."""
WIDTH, HEIGHT = 1280, 960
"""Largest input, from libcamera."""
RANGES = {True: (-1.0, 127 / 128), False: (0.0, 255 / 256)}
"""Values of pixels 0 and 255 that are the sensor's own codes, signed ones over 128 and unsigned ones over 256."""
HINT = "set `ImageInput(scale=1/255, mean=128/255, std=128/255)` for each channel: (pixel - 128) / 128"
_PAIR = ("QuantizeLinear", "DequantizeLinear", "Constant")


def check(graph: Graph, placement: Placement) -> list[Problem]:
    """Every reason why the sensor would not run the graph, or not as it was trained."""
    found = [
        *unsaid(graph), *_bits(graph), *_weights(graph), *_places(graph, placement), *_means(graph), *_inputs(graph),
        *_outputs(graph),
    ]  # fmt: skip
    return list(dict.fromkeys(found))


def check_format(graph: Graph, order: str) -> Iterator[Problem]:
    """A picture of the io record is trained red first, so that is how the sensor must give it."""
    for spec in graph.io.inputs if has_record(graph) else ():
        if isinstance(spec, ImageInput) and spec.color != order:
            yield Problem(spec.name, f"it is trained on {spec.color}, but the engine's `format` is {order}")


def _bits(graph: Graph) -> Iterator[Problem]:
    """8 bits everywhere."""
    for node in graph.codes():
        if graph.code_type(node).name not in ("int8", "uint8"):
            yield Problem(node.output[0], f"the sensor runs 8-bit codes, not `{graph.code_type(node).name}`")


def _weights(graph: Graph) -> Iterator[Problem]:
    """Weights are int8 constants behind a DequantizeLinear, every channel's scale above zero."""
    for node in (n for n in graph.nodes if n.op_type in KERNELS):
        pair, source = graph.maker.get(node.input[1]), graph.source(node.input[1])
        if source is None or pair is None or pair.op_type != "DequantizeLinear":
            yield Problem(node.output[0], "its weight is not quantized", "quantize every layer: empty `quantize.keep`")
        elif graph.constants[source].dtype != np.int8:
            yield Problem(source, f"the sensor runs int8 weights here, not `{graph.constants[source].dtype.name}`")
        elif (scale := graph.constants.get(pair.input[1])) is not None and not np.all(scale > 0):
            yield Problem(source, "the scale of a channel is not above zero", "give a dead channel a small scale")


def _places(graph: Graph, placement: Placement) -> Iterator[Problem]:
    """A quantizer on every tensor but those inside a fused pair."""
    for node in graph.nodes:
        if node.op_type in _PAIR:
            continue
        for name in node.input:
            maker = graph.maker.get(name)
            if not name or name in graph.constants or (maker is not None and maker.op_type == "DequantizeLinear"):
                continue
            if maker is None or not _is_fused(graph, maker, node, placement):
                yield Problem(name, f"`{node.op_type}` reads it without a quantizer", "compile for `imx500` from start")
    for name in graph.outputs:
        maker = graph.maker.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            yield Problem(name, "the output has no quantizer", "leave `placement.output` at `quantized`")


def _is_fused(graph: Graph, maker: onnx.NodeProto, reader: onnx.NodeProto, placement: Placement) -> bool:
    alone = len(graph.readers[maker.output[0]]) == 1 and maker.output[0] not in graph.outputs
    return alone and (maker.op_type, reader.op_type) in placement.fused


def _means(graph: Graph) -> Iterator[Problem]:
    """A mean is one over the whole picture, which the dialect writes as GlobalAveragePool."""
    for node in (n for n in graph.nodes if n.op_type == "ReduceMean"):
        if not is_global(graph, node):
            hint = "write `torch.nn.functional.adaptive_avg_pool2d(x, 1)`"
            yield Problem(node.output[0], "the sensor takes means over the whole picture alone, axes kept", hint)


def _inputs(graph: Graph) -> Iterator[Problem]:
    """One picture of three channels, whose codes are its pixels: the packager gives it these, whatever the scale."""
    if len(graph.inputs) != 1:
        yield Problem("inputs", f"the sensor gives one picture, the network takes {len(graph.inputs)} inputs")
    for name in graph.inputs[:1]:
        shape = graph.shapes.get(name, ())
        if len(shape) != 4 or shape[:2] != (1, 3):
            yield Problem(name, f"its shape is {list(shape)}, the sensor gives one picture of three channels")
        elif shape[2] > HEIGHT or shape[3] > WIDTH:
            yield Problem(name, f"{shape[3]} x {shape[2]} pixels, the sensor gives at most {WIDTH} x {HEIGHT}")
        for node in graph.readers.get(name, []):
            if node.op_type == "QuantizeLinear":
                yield from _pixels(graph, name, node)


def _pixels(graph: Graph, name: str, node: onnx.NodeProto) -> Iterator[Problem]:
    """The threshold is 1, and the io record's pixels are codes of that sign, channel by channel."""
    kind, scale = graph.code_type(node), graph.constants.get(node.input[1])
    if scale is not None and (found := threshold(scale, kind)) != 1.0:
        yield Problem(name, f"its threshold is {found:g}, but a pixel is a code of one of 1", HINT)
    specs = graph.io.inputs if has_record(graph) else ()
    for spec in (s for s in specs if isinstance(s, ImageInput) and s.name == name):
        ends = [tuple((v * 255 * spec.scale - m) / s for v in (0, 1)) for m, s in zip(spec.mean, spec.std, strict=True)]
        signs = [sign for sign, known in RANGES.items() if all(_same(each, known) for each in ends)]
        become = "pixels become {:.4g} to {:.4g}, but ".format(*spec.ends)
        if not signs:
            yield Problem(name, f"{become}the sensor gives (pixel - 128) / 128 or pixel / 256", HINT)
        elif signs != [kind.kind == "i"]:
            sign = "signed" if kind.kind == "i" else "unsigned"
            yield Problem(name, f"{become}its codes are {sign}, and so the sensor gives others", HINT)


def _same(ends: tuple[float, ...], known: tuple[float, float]) -> bool:
    return all(isclose(a, b, abs_tol=1e-5) for a, b in zip(ends, known, strict=True))


def _outputs(graph: Graph) -> Iterator[Problem]:
    """What libcamera hands on."""
    if len(graph.outputs) > OUTPUTS:
        yield Problem("outputs", f"the sensor gives at most {OUTPUTS} outputs, the network has {len(graph.outputs)}")
    for name in graph.outputs:
        if len(graph.shapes.get(name, ())) > DIMENSIONS + 1:
            shape = list(graph.shapes[name])
            yield Problem(name, f"its shape is {shape}, outputs have {DIMENSIONS} dimensions beside the batch at most")
