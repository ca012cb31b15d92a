"""A torch network as a graph, with keys that survive a new capture at another input size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.errors import RequestError
from edgekd.quantize.placement import Op

_aten: Any = torch.ops.aten
TYPES: dict[Any, str] = {
    _aten.conv2d.default: "Conv",
    _aten.relu.default: "Relu",
    _aten.add.Tensor: "Add",
    _aten.mul.Tensor: "Mul",
    _aten.sigmoid.default: "Sigmoid",
    _aten.upsample_nearest2d.vec: "Resize",
    _aten.max_pool2d.default: "MaxPool",
}
FUNCTIONAL: dict[Any, Any] = {
    _aten.relu_.default: _aten.relu.default,
    _aten.add_.Tensor: _aten.add.Tensor,
    _aten.mul_.Tensor: _aten.mul.Tensor,
    _aten.sigmoid_.default: _aten.sigmoid.default,
}


@dataclass(frozen=True)
class Captured:
    """A graph, its operators, the node behind each value, and the values it takes and gives out."""

    module: fx.GraphModule
    ops: tuple[Op, ...]
    nodes: dict[str, fx.Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def tap(self, path: str) -> str:
        """The value a module gives out: that of the last operator inside it."""
        inside = [op.output for op in self.ops if path in _paths(self.nodes[op.output])]
        if not inside:
            raise RequestError(f"the network has no module `{path}` to tap", "name a module as in `named_modules()`")
        return inside[-1]


def capture(net: nn.Module, inputs: tuple[Tensor, ...]) -> Captured:
    """Capture `net` in eval mode with `torch.export`, at the shapes of `inputs`.

    Raises RequestError when the network cannot be captured, with the first line of torch's reason.
    """
    try:
        program = torch.export.export(net.eval(), inputs, strict=False)
    except Exception as error:  # torch.export raises many kinds
        reason = str(error).strip().splitlines()[0]
        raise RequestError(
            f"the network cannot be captured: {reason}", "remove control flow that depends on data"
        ) from None
    exported: Any = program.module(check_guards=False)
    module = fx.GraphModule(exported, exported.graph)  # one that has train() and eval()
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in FUNCTIONAL:
            node.target = FUNCTIONAL[node.target]
    module.graph.eliminate_dead_code()
    module.recompile()
    return _view(module)


def _view(module: fx.GraphModule) -> Captured:
    names: dict[fx.Node, str] = {}
    seen: Counter[str] = Counter()
    ops: list[Op] = []
    outputs: tuple[str, ...] = ()
    for node in module.graph.nodes:
        if node.op == "placeholder":
            names[node] = str(node.target)
        elif node.op == "call_function":
            values = [n for n in node.all_input_nodes if n in names]
            stem = _stem(node)
            seen[stem] += 1
            names[node] = stem if seen[stem] == 1 else f"{stem}_{seen[stem] - 1}"
            ops.append(Op(_type(node), tuple(names[n] for n in values), names[node]))
        elif node.op == "output":
            outputs = tuple(names[n] for n in node.all_input_nodes)
    inputs = tuple(name for node, name in names.items() if node.op == "placeholder")
    return Captured(module, tuple(ops), {name: node for node, name in names.items()}, inputs, outputs)


def _stem(node: fx.Node) -> str:
    """Module path and operator; of a weighted operator the weight's name, which no rewriting moves."""
    weight = node.args[1] if len(node.args) > 1 else None
    if isinstance(weight, fx.Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return f"{_paths(node)[-1]}/{_type(node).lower()}".removeprefix("/")


def _paths(node: fx.Node) -> list[str]:
    """Paths of the modules a node lies in, outermost first."""
    return [path for path, _ in (node.meta.get("nn_module_stack") or {"": ("", None)}).values()]


def _type(node: fx.Node) -> str:
    return TYPES.get(node.target) or str(node.target).removeprefix("aten.").partition(".")[0]
