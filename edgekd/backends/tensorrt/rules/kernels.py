"""Rules of which int8 kernels there are: what they want, and where none is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from edgekd.backends.tensorrt.rules.views import Rule, is_quantized, readers, weight
from edgekd.errors import Problem
from edgekd.graph.model import Graph, attributes

_GATES = ("Sigmoid", "HardSigmoid", "HardSwish", "Gelu", "Tanh")


@dataclass(frozen=True)
class _Conv:
    """A quantized convolution: its channels and groups, and whether its weight has a scale for each."""

    node: onnx.NodeProto
    read: int
    made: int
    groups: int
    per_channel: bool

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.read == self.groups

    def rounded(self, lanes: int) -> str:
        """What its channels are, and what they would be."""
        full = (-(-n // lanes) * lanes for n in (self.read, self.made))
        return "{} to {} channels instead of {} to {}".format(*full, self.read, self.made)


def _convolutions(graph: Graph) -> Iterator[_Conv]:
    for node in graph.nodes:
        codes = weight(graph, node) if node.op_type in ("Conv", "ConvTranspose") else None
        if codes is None or codes.ndim < 3 or not is_quantized(graph, node):
            continue
        scale = graph.constants.get(graph.maker[node.input[1]].input[1])
        groups = attributes(node).get("group", 1)
        made, read = codes.shape[0], codes.shape[1] * groups
        if node.op_type == "ConvTranspose":
            read, made = made, read
        yield _Conv(node, read, made, groups, scale is None or scale.size > 1)


def channels_of_4(graph: Graph) -> Iterator[Problem]:
    """int8 formats pack channels by 4 (NC/4HW4), so that of 3 a quarter is padding; a first layer is the usual case."""
    for conv in _convolutions(graph):
        if conv.groups == 1 and (conv.read % 4 or conv.made % 4):
            what = "its channels are no multiple of 4, which int8 kernels pad"
            hint = f"{conv.rounded(4)}; a first or last layer may be as fast in float"
            yield Problem(conv.node.output[0], what, hint)


def channels_of_32(graph: Graph) -> Iterator[Problem]:
    """The fast int8 kernels work on 32 channels at a time (NC/32HW32)."""
    for conv in _convolutions(graph):
        fours = not (conv.read % 4 or conv.made % 4)
        if conv.groups == 1 and fours and (conv.read % 32 or conv.made % 32):
            what = "its channels are no multiple of 32, which the fast int8 kernels want"
            yield Problem(conv.node.output[0], what, conv.rounded(32))


def _gated_depthwise(graph: Graph) -> Iterator[Problem]:
    """A quantized depthwise convolution before a gate or Swish: builds failed for want of a kernel (3385, 4060)."""
    for conv in _convolutions(graph):
        if conv.depthwise and any(reader.op_type in _GATES for reader in readers(graph, conv.node)):
            what = "a quantized depthwise convolution before a gate may have no int8 kernel, so that the build fails"
            yield Problem(conv.node.output[0], what, "keep this convolution in float, or use Relu")


def _grouped(graph: Graph) -> Iterator[Problem]:
    """Grouped, not depthwise, convolutions in int8 were slower than in float16 (1409, 4529)."""
    for conv in _convolutions(graph):
        if conv.groups > 1 and not conv.depthwise:
            what = "a grouped convolution was often slower in int8 than in float16"
            yield Problem(conv.node.output[0], what, "keep it in float, or use one group")


def _grouped_transposed(graph: Graph) -> Iterator[Problem]:
    """Scales per output channel of a ConvTranspose are documented for one group only."""
    for conv in _convolutions(graph):
        if conv.node.op_type == "ConvTranspose" and conv.groups > 1 and conv.per_channel:
            what = "TensorRT documents scales per channel of a `ConvTranspose` for one group only"
            yield Problem(conv.node.output[0], what, "give its weight one scale, or keep it in float")


RULES: tuple[Rule, ...] = (
    _gated_depthwise, _grouped_transposed, channels_of_4, channels_of_32, _grouped,
)  # fmt: skip
