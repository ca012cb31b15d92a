"""Put quantizers into a captured graph, as the arithmetic's placement says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from edgekd.errors import RequestError, nearest
from edgekd.quantize.capture import Captured, line
from edgekd.quantize.fake import ActivationQuantizer, Mode, SharedQuantizer
from edgekd.quantize.grid import Grid, activation_grid, weight_grid
from edgekd.quantize.operators import BATCH_NORM, DROPOUTS, WEIGHTED, is_grouped_transpose
from edgekd.quantize.placement import KNOWN_RANGES, Op, nonnegative, place
from edgekd.quantize.weighted import Norm, QuantWeighted, Settings
from edgekd.schema.recipe import Calibration
from edgekd.schema.target import Arithmetic

Ranges = Sequence[tuple[float, float]]
"""Known range of each input, in the order of the network's arguments."""
Kept = Literal["float", 8, 4, 2]
Keep = Mapping[str, Kept]
"""Layer, by key or pattern -> bits of its weight, or `float`: then neither its weight nor its input is quantized."""


OWN = "edgekd_"
"""What the names of modules that are put into a graph begin with."""


class Tap(nn.Module):
    """Hands a tensor on and remembers it."""

    value: Tensor
    _is_impure = True  # kept where nothing reads it

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
        return {f"{OWN}weighted_{i}": key for i, key in enumerate(self.weighted)}

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
        for norm in (m for m in self.module.modules() if isinstance(m, Norm)):
            norm.frozen = True

    def weights(self) -> dict[str, Tensor]:
        """Every weight under the name it has in the eager network."""
        out = {n: p.detach() for n, p in self.module.named_parameters() if not n.startswith(OWN)}
        for part in self.module.modules():
            if isinstance(part, QuantWeighted | Norm):
                out |= part.trained()
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
        if set(mine) != set(state):
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
    """Quantize the captured graph in place; `keep` names layers of other weight bits, or that stay float.

    Raises RequestError where a weight is not a plain parameter, or `keep` names no layer.
    """
    kept = kept_layers(keep or {}, list(captured.weighted))
    floats = {key for key, bits in kept.items() if bits == "float"}
    scales = place(captured.ops, captured.outputs, arithmetic.placement, floats)
    activations, scopes = _insert_activations(captured, arithmetic, scales, ranges, calibration)
    weighted: dict[str, QuantWeighted] = {}
    for op in captured.ops:
        if op.type not in WEIGHTED or op.type not in arithmetic.placement.quantize or op.output in floats:
            continue
        _check_weights(captured, op)
        spec = weight_grid(arithmetic, int(kept.get(op.output, arithmetic.weights.bits)))
        weighted[op.output] = _insert_weighted(
            captured, op, f"{OWN}weighted_{len(weighted)}", spec, arithmetic, activations[scales[op.inputs[0]]]
        )
    for key in floats:
        _read_unquantized(captured.weighted[key])
    _train_norms(captured.module)
    _train_dropout(captured.module)
    captured.module.graph.eliminate_dead_code()
    captured.module.recompile()
    return Quantized(captured.module, activations, weighted, scopes)


def kept_layers(keep: Keep, layers: Sequence[str]) -> dict[str, Kept]:
    """Layer -> bits or `float`; of several patterns the last counts. Raises RequestError for one that matches none."""
    out: dict[str, Kept] = {}
    for pattern, bits in keep.items():
        found = [layer for layer in layers if fnmatchcase(layer, pattern)]
        if not found:
            raise RequestError(f"`quantize.keep` names `{pattern}`, which matches no layer", nearest(pattern, layers))
        out |= dict.fromkeys(found, bits)
    return out


def _insert_activations(
    captured: Captured, arithmetic: Arithmetic, scales: dict[str, str], ranges: Ranges, calibration: Calibration | None
) -> tuple[dict[str, ActivationQuantizer], dict[str, str]]:
    """A quantizer behind every value that has a scale, its own or another's."""
    policy = arithmetic.placement
    known = {op.output: KNOWN_RANGES[op.type] for op in captured.ops if op.type in KNOWN_RANGES}
    ends_of = {op.output: policy.ranges[op.type] for op in captured.ops if op.type in policy.ranges}
    entering = dict(zip(captured.inputs, ranges, strict=True)) if policy.input == "known" else {}
    known |= entering
    moved = {
        op.output
        for op in captured.ops
        if op.moves and len(op.inputs) == 1 and scales.get(op.inputs[0], "") == scales.get(op.output)
    }
    positive = nonnegative(captured.ops, (name for name, (low, _) in entering.items() if low >= 0))
    activations: dict[str, ActivationQuantizer] = {}
    scopes: dict[str, str] = {}
    for i, (value, source) in enumerate(scales.items()):
        quantizer: nn.Module
        if value == source:
            users = [v for v, s in scales.items() if s == value]
            others = [v for v in users if v != value and v not in moved]
            fixed = None if others else known.get(value)  # a known range holds only where nothing else shares it
            ends = None if others else ends_of.get(value)
            grid = activation_grid(arithmetic, positive.issuperset(users))
            quantizer = activations[value] = ActivationQuantizer(grid, fixed, calibration, ends)
        else:
            quantizer = SharedQuantizer(activations[source], value in moved)
        scopes[f"{OWN}quantizer_{i}"] = value
        _after(captured.module, captured.nodes[value], f"{OWN}quantizer_{i}", quantizer)
    return activations, scopes


def _insert_weighted(
    captured: Captured, op: Op, name: str, grid: Grid, arithmetic: Arithmetic, source: ActivationQuantizer
) -> QuantWeighted:
    """The operator with quantized weight and bias in place of the node, the batch norm behind it included."""
    module, node, end = captured.module, captured.weighted[op.output], captured.nodes[op.output]
    weight_name, bias_name = _names(node)
    tensors = module.get_parameter(weight_name), module.get_parameter(bias_name) if bias_name else None
    norm = _norm(module, end) if end.target is BATCH_NORM else None
    per = "tensor" if is_grouped_transpose(node) else arithmetic.weights.per
    flat = op.type != "Gemm" or node.meta["val"].dim() == 2
    settings = Settings(op.type, node.target, (weight_name, bias_name), tuple(node.args[3:]), flat)
    operator = QuantWeighted(settings, tensors, grid, per, source, norm)
    module.add_submodule(name, operator)
    with module.graph.inserting_after(end):
        new = module.graph.call_module(name, (node.args[0],))
    new.meta = dict(node.meta)
    end.replace_all_uses_with(new)
    return operator


def _names(node: fx.Node) -> tuple[str, str]:
    weight, bias = (*node.args, None)[1:3]
    return str(weight.target), str(bias.target) if isinstance(bias, fx.Node) else ""  # type: ignore[union-attr]


def _check_weights(captured: Captured, op: Op) -> None:
    if op.output not in captured.weighted:
        where = captured.line(op.output)
        raise RequestError(
            f"the weight of `{op.output}` ({op.type}, {where}) is a buffer or computed, so it cannot be quantized",
            "use a module with a weight of its own, such as `nn.Conv2d`",
        )


def tap(captured: Captured, path: str) -> Tap:
    """Remember the output of the module at `path` in every pass; call it before `insert`, on the same capture.

    The tap sits behind the value, so quantizers put in later come before it and it sees what is deployed.
    """
    probe = Tap()
    _after(captured.module, captured.nodes[captured.tap(path)], f"{OWN}tap_" + path.replace(".", "_"), probe)
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
    while source.op == "call_module" and str(source.target).startswith((f"{OWN}quantizer_", f"{OWN}tap_")):
        source = source.all_input_nodes[0]
    node.update_arg(0, source)


def _norm(module: fx.GraphModule, node: fx.Node) -> Norm:
    """The batch norm of a node `batch_norm(x, gamma, beta, mean, var, training, momentum, eps, cudnn)`."""
    names = tuple(str(arg.target) if isinstance(arg, fx.Node) else "" for arg in node.args[1:5])
    if not all(names[2:]):
        where = f" ({line(node)})" if line(node) else ""
        raise RequestError(f"a batch norm{where} keeps no running statistics, so it cannot ship", "let it track them")
    mean, var = (module.get_buffer(name) for name in names[2:])
    gamma = module.get_parameter(names[0]) if names[0] else torch.ones_like(mean)
    beta = module.get_parameter(names[1]) if names[1] else torch.zeros_like(mean)
    momentum, eps = float(node.args[6]), float(node.args[7])  # type: ignore[arg-type]
    return Norm((gamma, beta, mean, var), names, eps, momentum)


def _train_norms(module: fx.GraphModule) -> None:
    """A batch norm that is folded nowhere follows train() and eval() too."""
    for i, node in enumerate([n for n in module.graph.nodes if n.target is BATCH_NORM and n.users]):
        module.add_submodule(f"{OWN}norm_{i}", _norm(module, node))
        with module.graph.inserting_after(node):
            new = module.graph.call_module(f"{OWN}norm_{i}", (node.args[0],))
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)


def _train_dropout(module: fx.GraphModule) -> None:
    """A capture in eval mode keeps each dropout's share; as a module it follows train() and eval()."""
    for i, node in enumerate([n for n in module.graph.nodes if n.target in DROPOUTS]):
        module.add_submodule(f"{OWN}dropout_{i}", Dropout(node.target, float(node.args[1])))
        with module.graph.inserting_after(node):
            new = module.graph.call_module(f"{OWN}dropout_{i}", (node.args[0],))
        node.replace_all_uses_with(new)


class Dropout(nn.Module):
    """One of torch's dropouts with its share, in training alone."""

    def __init__(self, function: Any, share: float) -> None:
        super().__init__()
        self.function, self.share = function, share

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        y: Tensor = self.function(x, self.share, True) if self.training else x
        return y


def calibrate(quantized: Quantized, batches: list[tuple[Tensor, ...]]) -> None:
    """Observe float activations on `batches` and set every range; `calibration.py` states the memory."""
    quantized.mode("observe")
    quantized.module.eval()
    with torch.no_grad():
        for inputs in batches:
            quantized.module(*inputs)
            for quantizer in quantized.activations.values():
                quantizer.next_batch()
    for value, quantizer in quantized.activations.items():
        try:
            quantizer.finish()
        except RequestError as error:
            raise RequestError(f"{error.message}, first at `{value}`", error.hint) from None
    quantized.mode("quantize")
