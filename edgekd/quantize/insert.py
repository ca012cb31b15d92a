"""Put quantizers into a captured graph, as the arithmetic's placement says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import Tensor, fx, nn

from edgekd.errors import RequestError, nearest
from edgekd.quantize.capture import BATCH_NORM, DROPOUT, Captured
from edgekd.quantize.fake import ActivationQuantizer, Mode, SharedQuantizer
from edgekd.quantize.placement import place
from edgekd.quantize.weighted import KINDS, Norm, QuantWeighted
from edgekd.schema.recipe import Calibration
from edgekd.schema.target import Arithmetic

Ranges = Sequence[tuple[float, float]]
"""Known range of each input, in the order of the network's arguments."""
Kept = Literal["float", 8, 4, 2]
Keep = Mapping[str, Kept]
"""Layer, by key or pattern -> bits of its weight, or `float`: then neither its weight nor its input is quantized."""


class Tap(nn.Module):
    """Hands a tensor on and remembers it."""

    value: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        self.value = x
        return x


@dataclass(frozen=True)
class Quantized:
    """A graph with quantizers: activation quantizers and operators with weights, by key."""

    module: fx.GraphModule
    activations: dict[str, ActivationQuantizer]
    weighted: dict[str, QuantWeighted]
    scopes: dict[str, str]
    """Name of the quantizer's submodule -> the value it quantizes, shared places included."""

    def names(self) -> dict[str, str]:
        """Name of a weighted operator's submodule -> its key."""
        return {f"weighted_{i}": key for i, key in enumerate(self.weighted)}

    def mode(self, mode: Mode) -> None:
        """Switch every quantizer."""
        for quantizer in self.activations.values():
            quantizer.mode = mode
        if mode == "export":
            for quantizer in self.activations.values():
                quantizer.freeze()
            for operator in self.weighted.values():
                operator.freeze()

    def freeze(self) -> None:
        """Activation ranges and batch norm statistics stay from now on."""
        for quantizer in self.activations.values():
            quantizer.log_scale.requires_grad_(False)
        for operator in self.weighted.values():
            if operator.norm is not None:
                operator.norm.frozen = True

    def weights(self) -> dict[str, Tensor]:
        """Every weight under the name it has in the eager network."""
        own = ("quantizer_", "weighted_")
        out = {n: p.detach() for n, p in self.module.named_parameters() if not n.startswith(own)}
        for operator in self.weighted.values():
            out |= operator.trained()
        return out

    def state(self) -> dict[str, Tensor]:
        """Steps and zero points by key: what a new capture needs beside the weights."""
        out = {}
        for key, q in self.activations.items():
            out[f"{key}:log_scale"], out[f"{key}:zero_point"] = q.log_scale.detach(), q.zero_point
        for key, operator in self.weighted.items():
            out[f"{key}:weight_log_scale"] = operator.quantizer.log_scale.detach()
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
        for key, operator in self.weighted.items():
            operator.quantizer.log_scale.data.copy_(state[f"{key}:weight_log_scale"])


def insert(
    captured: Captured,
    arithmetic: Arithmetic,
    ranges: Ranges,
    calibration: Calibration | None = None,
    keep: Keep | None = None,
) -> Quantized:
    """Quantize the captured graph in place. Raises RequestError where a key of `keep` matches no layer."""
    graph, module = captured.module.graph, captured.module
    po2 = arithmetic.scale == "power-of-two"
    kept = _kept(captured, arithmetic, keep or {})
    floats = {key for key, bits in kept.items() if bits == "float"}
    scales = place(captured.ops, captured.outputs, arithmetic.placement, floats)
    known = {op.output: (0.0, 1.0) for op in captured.ops if op.type == "Sigmoid"}
    known |= dict(zip(captured.inputs, ranges, strict=True))
    activations: dict[str, ActivationQuantizer] = {}
    scopes: dict[str, str] = {}
    moved = {op.output for op in captured.ops if op.type in arithmetic.placement.shared and len(op.inputs) == 1}
    for i, (value, source) in enumerate(scales.items()):
        quantizer: nn.Module
        if value == source:
            others = [v for v, s in scales.items() if s == value != v and v not in moved]
            fixed = None if others else known.get(value)  # a known range holds only where nothing else shares it
            quantizer = activations[value] = ActivationQuantizer(arithmetic.activations, po2, fixed, calibration)
        else:
            quantizer = SharedQuantizer(activations[source], value in moved)
        scopes[f"quantizer_{i}"] = value
        _after(module, captured.nodes[value], f"quantizer_{i}", quantizer)

    weighted: dict[str, QuantWeighted] = {}
    for op in captured.ops:
        quantized = op.type in KINDS and op.type in arithmetic.placement.quantize and op.output not in floats
        if quantized and op.inputs[0] in scales:
            name, end = f"weighted_{len(weighted)}", captured.nodes[op.output]
            node = captured.weighted[op.output]
            weights = arithmetic.weights.model_copy(update={"bits": kept.get(op.output, arithmetic.weights.bits)})
            spec = arithmetic.model_copy(update={"weights": weights})
            operator = _weighted(captured, op.type, op.output, spec, activations[scales[op.inputs[0]]])
            module.add_submodule(name, operator)
            with graph.inserting_after(end):
                new = graph.call_module(name, (node.args[0],))
            new.meta = dict(node.meta)
            end.replace_all_uses_with(new)
            weighted[op.output] = operator
    for key in floats:
        _read_unquantized(captured.weighted[key])
    _train_dropout(module)
    graph.eliminate_dead_code()
    module.recompile()
    return Quantized(module, activations, weighted, scopes)


def _kept(captured: Captured, arithmetic: Arithmetic, keep: Keep) -> dict[str, Kept]:
    """Layer -> what it keeps; of several patterns the last."""
    layers = [op.output for op in captured.ops if op.type in KINDS and op.type in arithmetic.placement.quantize]
    for pattern in keep:
        if not any(fnmatchcase(key, pattern) for key in layers):
            raise RequestError(f"`quantize.keep` names `{pattern}`, which matches no layer", nearest(pattern, layers))
    return {key: how for pattern, how in keep.items() for key in layers if fnmatchcase(key, pattern)}


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


def _read_unquantized(node: fx.Node) -> None:
    """Let a layer read its input as it is before the quantizer that others need behind it."""
    source = node.all_input_nodes[0]
    while source.op == "call_module" and str(source.target).startswith(("quantizer_", "tap_")):
        source = source.all_input_nodes[0]
    node.update_arg(0, source)


_DEFAULTS = {
    "Conv": (None, None, None, [1, 1], [0, 0], [1, 1], 1),
    "ConvTranspose": (None, None, None, [1, 1], [0, 0], [0, 0], 1, [1, 1]),
    "Gemm": (None, None, None),
}


def _weighted(
    captured: Captured, kind: str, value: str, arithmetic: Arithmetic, source: ActivationQuantizer
) -> QuantWeighted:
    node, end, module = captured.weighted[value], captured.nodes[value], captured.module
    args = (*node.args, *_DEFAULTS[kind][len(node.args) :])
    weight_name, bias_name = (str(arg.target) if isinstance(arg, fx.Node) else "" for arg in args[1:3])
    if kind == "ConvTranspose" and args[6] != 1:
        raise RequestError(f"`{value}` is a grouped ConvTranspose, which cannot be quantized per channel", "ungroup it")
    tensors = module.get_parameter(weight_name), module.get_parameter(bias_name) if bias_name else None
    norm = _norm(module, end) if end.target is BATCH_NORM else None
    po2 = arithmetic.scale == "power-of-two"
    return QuantWeighted(
        kind, tensors, (weight_name, bias_name), tuple(args[3:]), arithmetic.weights, po2, source, norm
    )


def _norm(module: fx.GraphModule, node: fx.Node) -> Norm:
    """The batch norm of a node `batch_norm(x, gamma, beta, mean, var, training, momentum, eps, cudnn)`."""
    names = [str(arg.target) if isinstance(arg, fx.Node) else "" for arg in node.args[1:5]]
    mean, var = (module.get_buffer(name) for name in names[2:])
    gamma = module.get_parameter(names[0]) if names[0] else torch.ones_like(mean)
    beta = module.get_parameter(names[1]) if names[1] else torch.zeros_like(mean)
    momentum, eps = float(node.args[6]), float(node.args[7])  # type: ignore[arg-type]
    return Norm((gamma, beta, mean, var), tuple(names), eps, momentum)


def _train_dropout(module: fx.GraphModule) -> None:
    """A capture in eval mode keeps each dropout's share; as a module it follows train() and eval()."""
    for i, node in enumerate([n for n in module.graph.nodes if n.target is DROPOUT]):
        module.add_submodule(f"dropout_{i}", nn.Dropout(float(node.args[1])))
        with module.graph.inserting_after(node):
            new = module.graph.call_module(f"dropout_{i}", (node.args[0],))
        node.replace_all_uses_with(new)


def calibrate(quantized: Quantized, batches: list[tuple[Tensor, ...]]) -> None:
    """Observe float activations on `batches` and set every range; `calibration.py` states the memory."""
    quantized.mode("observe")
    quantized.module.eval()
    with torch.no_grad():
        for inputs in batches:
            quantized.module(*inputs)
    for quantizer in quantized.activations.values():
        quantizer.finish()
    quantized.mode("quantize")
