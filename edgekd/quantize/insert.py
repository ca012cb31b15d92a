"""Put quantizers into a captured graph, as the arithmetic's placement says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from edgekd.errors import RequestError
from edgekd.quantize.capture import Captured
from edgekd.quantize.fake import ActivationQuantizer, Mode, QuantConv2d, SharedQuantizer
from edgekd.quantize.placement import place
from edgekd.schema.target import Arithmetic

Ranges = Sequence[tuple[float, float]]
"""Known range of each input, in the order of the network's arguments."""


class Tap(nn.Module):
    """Hands a tensor on and remembers it."""

    value: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        self.value = x
        return x


@dataclass(frozen=True)
class Quantized:
    """A graph with quantizers: activation quantizers and convolutions by key, taps by module path."""

    module: fx.GraphModule
    activations: dict[str, ActivationQuantizer]
    convolutions: dict[str, QuantConv2d]
    scopes: dict[str, str]
    """Name of the quantizer's submodule -> the value it quantizes, shared places included."""

    def names(self) -> dict[str, str]:
        """Name of the convolution's submodule -> its key."""
        return {f"convolution_{i}": key for i, key in enumerate(self.convolutions)}

    def mode(self, mode: Mode) -> None:
        """Switch every quantizer."""
        for quantizer in self.activations.values():
            quantizer.mode = mode
        if mode == "export":
            for quantizer in self.activations.values():
                quantizer.freeze()
            for convolution in self.convolutions.values():
                convolution.freeze()

    def weights(self) -> dict[str, Tensor]:
        """Every weight under the name it has in the eager network."""
        own = ("quantizer_", "convolution_")
        out = {n: p.detach() for n, p in self.module.named_parameters() if not n.startswith(own)}
        for conv in self.convolutions.values():
            pairs = zip(conv.names, (conv.weight, conv.bias), strict=True)
            out |= {name: value.detach() for name, value in pairs if value is not None}
        return out

    def state(self) -> dict[str, Tensor]:
        """Steps and zero points by key: what a new capture needs beside the weights."""
        out = {}
        for key, q in self.activations.items():
            out[f"{key}:log_scale"], out[f"{key}:zero_point"] = q.log_scale.detach(), q.zero_point
        for key, conv in self.convolutions.items():
            out[f"{key}:weight_log_scale"] = conv.quantizer.log_scale.detach()
        return {name: tensor.cpu().clone().contiguous() for name, tensor in out.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take `state()` of another capture of the same net. Raises RequestError when the keys differ."""
        mine = self.state()
        if list(mine) != list(state) and sorted(mine) != sorted(state):
            odd = sorted(set(mine) ^ set(state))[0]
            raise RequestError(f"the deployed graph has other quantizers than the trained one: `{odd}`")
        for key, q in self.activations.items():
            q.log_scale.data.copy_(state[f"{key}:log_scale"])
            q.zero_point.copy_(state[f"{key}:zero_point"])
        for key, conv in self.convolutions.items():
            conv.quantizer.log_scale.data.copy_(state[f"{key}:weight_log_scale"])


def insert(captured: Captured, arithmetic: Arithmetic, ranges: Ranges) -> Quantized:
    """Quantize the captured graph in place."""
    graph, module = captured.module.graph, captured.module
    po2 = arithmetic.scale == "power-of-two"
    scales = place(captured.ops, captured.outputs, arithmetic.placement)
    known = {op.output: (0.0, 1.0) for op in captured.ops if op.type == "Sigmoid"}
    known |= dict(zip(captured.inputs, ranges, strict=True))
    activations: dict[str, ActivationQuantizer] = {}
    scopes: dict[str, str] = {}
    for i, (value, source) in enumerate(scales.items()):
        quantizer: nn.Module
        if value == source:
            quantizer = activations[value] = ActivationQuantizer(arithmetic.activations, po2, known.get(value))
        else:
            quantizer = SharedQuantizer(activations[source])
        scopes[f"quantizer_{i}"] = value
        _after(module, captured.nodes[value], f"quantizer_{i}", quantizer)

    convolutions: dict[str, QuantConv2d] = {}
    for op in captured.ops:
        if op.type == "Conv" and op.inputs[0] in scales:
            node = captured.nodes[op.output]
            name = f"convolution_{len(convolutions)}"
            convolution = _convolution(module, node, arithmetic, po2, activations[scales[op.inputs[0]]])
            module.add_submodule(name, convolution)
            with graph.inserting_after(node):
                new = graph.call_module(name, (node.args[0],))
            new.meta = dict(node.meta)
            node.replace_all_uses_with(new)
            graph.erase_node(node)
            convolutions[op.output] = convolution
    graph.eliminate_dead_code()
    module.recompile()
    return Quantized(module, activations, convolutions, scopes)


def tap(captured: Captured, path: str) -> Tap:
    """Remember the output of the module at `path` in every pass; call it before `insert`, on the same capture.

    The tap sits behind the value, so quantizers put in later come before it and it sees what is deployed.
    """
    probe = Tap()
    _after(captured.module, captured.nodes[captured.tap(path)], "tap_" + path.replace(".", "_"), probe)
    captured.module.recompile()
    return probe


def _after(module: fx.GraphModule, node: fx.Node, name: str, child: nn.Module) -> None:
    """Let everything that read `node` read `child(node)`."""
    module.add_submodule(name, child)
    with module.graph.inserting_after(node):
        new = module.graph.call_module(name, (node,))
    for reader in list(node.users):
        if reader is not new:
            reader.replace_input_with(node, new)


def _convolution(
    module: fx.GraphModule, node: fx.Node, arithmetic: Arithmetic, po2: bool, source: ActivationQuantizer
) -> QuantConv2d:
    defaults = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
    args = (*node.args, *defaults[len(node.args) :])
    weight_name, bias_name = (str(arg.target) if isinstance(arg, fx.Node) else "" for arg in args[1:3])
    bias = module.get_parameter(bias_name) if bias_name else None
    return QuantConv2d(module.get_parameter(weight_name), bias, (weight_name, bias_name),
                       tuple(args[3:7]), arithmetic.weights, po2, source)  # fmt: skip


def calibrate(quantized: Quantized, batches: list[tuple[Tensor, ...]]) -> None:
    """Observe float activations on `batches` and set every range. Memory: two numbers per tensor and batch."""
    quantized.mode("observe")
    with torch.no_grad():
        for inputs in batches:
            quantized.module(*inputs)
    for quantizer in quantized.activations.values():
        quantizer.finish()
    quantized.mode("quantize")
