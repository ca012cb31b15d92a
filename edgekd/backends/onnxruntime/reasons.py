"""What keeps a graph slow in ONNX Runtime on a CPU. Measured with 1.32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgekd.graph.executed import weighted
from edgekd.graph.model import Graph, attributes
from edgekd.graph.reasons import (
    Reason,
    bias_reasons,
    input_reasons,
    is_paired,
    output_reasons,
    unsupported,
    zero_point_reasons,
)

WHO = "ONNX Runtime"
LANES = 16
"""Output channels that its kernels requantise at a time: 8 take twice as long as 16; 24 do only where depthwise."""
INPUTS = 4
"""Input channels that its kernels multiply at a time: 3 take twice as long as 4."""
FUNCTIONS = ("Sigmoid", "LeakyRelu", "Softmax", "AveragePool", "GlobalAveragePool")
"""Of one tensor, with kernels on codes."""
_X86 = ("x86_64", "AMD64")


def reasons(graph: Graph, machines: Sequence[str]) -> Iterator[Reason]:
    """In the order in which they explain a layer: the first that names it tells why."""
    if set(machines) & set(_X86):
        yield from _signed(graph)
    yield from unsupported(graph, ("ConvTranspose",), WHO)
    yield from input_reasons(graph)
    yield from bias_reasons(graph)
    yield from output_reasons(graph, ("Conv",), FUNCTIONS)
    yield from _mixed(graph)
    yield from zero_point_reasons(graph, "slow")
    yield from _narrow(graph)
    yield from _spread(graph)


def _signed(graph: Graph) -> Iterator[Reason]:
    """x86 kernels multiply uint8 by int8; int8 by int8 is turned into that where it can be, else runs in float."""
    found = [node for node in weighted(graph) if _code_type(graph, node.input[0]) == np.int8]
    if found:
        what = "activations are int8; the fast kernels of x86 want uint8"
        change = "engine option `unsigned = true`: the same codes, 128 higher"
        yield Reason("slow", found[0].output[0], what, change, tuple(node.output[0] for node in found))


def _code_type(graph: Graph, name: str) -> np.dtype[np.generic] | None:
    """Type of the codes a tensor was dequantized from."""
    maker = graph.maker.get(name)
    while maker is not None and maker.op_type != "DequantizeLinear" and is_paired(graph, name):
        name = maker.input[0]
        maker = graph.maker.get(name)
    return graph.code_type(maker) if maker is not None and maker.op_type == "DequantizeLinear" else None


def _mixed(graph: Graph) -> Iterator[Reason]:
    """int8 codes in and uint8 ones out, or the other way round."""
    for node in weighted(graph):
        before, name = _code_type(graph, node.input[0]), node.output[0]
        while len(graph.readers.get(name, [])) == 1 and graph.readers[name][0].op_type in ("Relu", "Clip"):
            name = graph.readers[name][0].output[0]
        after = {graph.code_type(n) for n in graph.readers.get(name, []) if n.op_type == "QuantizeLinear"}
        if before is not None and after and after != {before}:
            what = f"it reads {before} codes and writes {min(map(str, after))} ones"
            yield Reason("float", node.output[0], what, "one type of activations for all", (node.output[0],))


def _narrow(graph: Graph) -> Iterator[Reason]:
    """Convolutions whose channels do not fill the kernel's lanes; those of a network's input and output are given."""
    for node in weighted(graph):
        shape, group = graph.shapes.get(node.output[0], ()), attributes(node).get("group", 1)
        if node.op_type != "Conv" or len(shape) != 4 or shape[1] < LANES // 2:
            continue
        lanes = LANES if group > 1 or shape[1] < LANES else LANES // 2
        if shape[1] % lanes:
            what = f"{shape[1]} {'depthwise ' if group > 1 else 'output '}channels do not fill kernels of {lanes}"
            change = f"{-(-shape[1] // lanes) * lanes} channels"
            yield Reason("slow", node.output[0], what, change, (node.output[0],), lanes)


def _spread(graph: Graph) -> Iterator[Reason]:
    """Sums and products that spread a map of one channel over many: computed place by place."""
    for node in graph.nodes:
        shapes = [graph.shapes.get(name, ()) for name in node.input]
        if node.op_type in ("Add", "Mul") and all(len(shape) == 4 for shape in shapes):
            few, many = sorted(shapes, key=lambda shape: shape[1])
            if few[1] == 1 < many[1] and few[2:] == many[2:] and few[2:] != (1, 1):
                what = f"it spreads one channel over {many[1]}, place by place"
                yield Reason("slow", node.output[0], what, f"{many[1]} channels on both sides", (node.output[0],))
