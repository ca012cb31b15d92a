"""What a network in the sensor's dialect takes and gives, read off the quantizers at its ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import onnx

from edgekd.errors import RequestError
from edgekd.graph.model import Graph, attributes

QUANTIZER = "ActivationPOTQuantizer"


@dataclass(frozen=True)
class Tensor:
    """An input or output: its dimensions without the batch, and the grid of its codes."""

    name: str
    dims: tuple[int, ...]
    threshold: float
    signed: bool
    bits: int

    @property
    def step(self) -> float:
        """The value of one code: the threshold over 2^(bits - 1) signed, 2^bits unsigned (MCT's number format)."""
        return self.threshold / 2.0 ** (self.bits - self.signed)

    @property
    def elements(self) -> int:
        """Numbers in one sample."""
        return prod(self.dims)


def inputs_of(model: onnx.ModelProto) -> list[Tensor]:
    """The inputs, in order. Raises RequestError for one that no quantizer reads."""
    graph = Graph(model)
    found = [(value, graph.readers.get(value.name, [])) for value in model.graph.input]
    return [_tensor(value, readers[0] if len(readers) == 1 else None) for value, readers in found]


def outputs_of(model: onnx.ModelProto) -> list[Tensor]:
    """The outputs, in order. Raises RequestError for one that no quantizer makes."""
    maker = Graph(model).maker
    return [_tensor(value, maker.get(value.name)) for value in model.graph.output]


def _tensor(value: onnx.ValueInfoProto, node: onnx.NodeProto | None) -> Tensor:
    if node is None or node.op_type != QUANTIZER:
        raise RequestError(f"`{value.name}` has no quantizer of its own", "compile again with `edgekd compress`")
    dims = tuple(int(d.dim_value) for d in value.type.tensor_type.shape.dim)[1:]
    if 0 in dims:
        raise RequestError(f"`{value.name}` has a free dimension beside its batch", "give every size a number")
    told = attributes(node)
    return Tensor(value.name, dims, float(told["threshold"]), bool(told["signed"]), int(told["num_bits"]))
