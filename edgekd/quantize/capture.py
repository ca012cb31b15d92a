"""A torch network as a graph, with keys that survive a new capture at another input size."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.errors import RequestError
from edgekd.quantize.placement import Op

_aten: Any = torch.ops.aten
TYPES: dict[Any, str] = {
    _aten.add.Tensor: "Add",
    _aten.cat.default: "Concat",
    _aten.conv2d.default: "Conv",
    _aten.conv_transpose2d.input: "ConvTranspose",
    _aten.flatten.using_ints: "Flatten",
    _aten.gelu.default: "Gelu",
    _aten.hardswish.default: "HardSwish",
    _aten.layer_norm.default: "LayerNormalization",
    _aten.linear.default: "Gemm",
    _aten.matmul.default: "MatMul",
    _aten.max_pool2d.default: "MaxPool",
    _aten.mean.dim: "ReduceMean",
    _aten.mul.Tensor: "Mul",
    _aten.permute.default: "Transpose",
    _aten.relu.default: "Relu",
    _aten.reshape.default: "Reshape",
    _aten.sigmoid.default: "Sigmoid",
    _aten.slice.Tensor: "Slice",
    _aten.softmax.int: "Softmax",
    _aten.sub.Tensor: "Sub",
    _aten.tanh.default: "Tanh",
    _aten.transpose.int: "Transpose",
    _aten.upsample_nearest2d.vec: "Resize",
    _aten.view.default: "Reshape",
}
FUNCTIONAL: dict[Any, Any] = {
    _aten.add_.Tensor: _aten.add.Tensor,
    _aten.hardswish_.default: _aten.hardswish.default,
    _aten.mul_.Tensor: _aten.mul.Tensor,
    _aten.relu_.default: _aten.relu.default,
    _aten.sigmoid_.default: _aten.sigmoid.default,
    _aten.silu_.default: _aten.silu.default,
}
WEIGHTED = ("Conv", "ConvTranspose", "Gemm")
DROPOUT, BATCH_NORM = _aten.dropout.default, _aten.batch_norm.default
LISTS = (_aten.split.Tensor, _aten.split_with_sizes.default, _aten.chunk.default, _aten.unbind.int)


@dataclass(frozen=True)
class Captured:
    """A graph, its operators, the node behind each value, and the values it takes and gives out."""

    module: fx.GraphModule
    ops: tuple[Op, ...]
    nodes: dict[str, fx.Node]
    weighted: dict[str, fx.Node]
    """Value -> the weighted operator that makes it; a batch norm folded into it may stand between."""
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
    return _View(module).captured()


def same_graph(trained: Captured, deployed: Captured) -> None:
    """Whether the graph that is trained and the one that ships have the same operators with the same keys, in order.

    Raises RequestError that names the first one that differs: sizes decide on the network's operators there.
    """
    for a, b in zip_longest(trained.ops, deployed.ops):
        if a != b:
            first = next(op.output for op in (a, b) if op is not None)
            raise RequestError(
                f"the network has other operators at the deployed size than in training, first at `{first}`",
                "make its operators independent of the input's size",
            )


@dataclass
class _View:
    """Walks a graph once and names its values."""

    module: fx.GraphModule
    names: dict[fx.Node, str] = field(default_factory=dict)
    nodes: dict[str, fx.Node] = field(default_factory=dict)
    weighted: dict[str, fx.Node] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)

    def captured(self) -> Captured:
        outputs: tuple[str, ...] = ()
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.seen[str(node.target)] += 1  # a module may have an input's name
                self._name(node, str(node.target))
            elif node.op == "output":
                outputs = tuple(self.names[n] for n in node.all_input_nodes)
            elif node.op == "call_function" and not self._transparent(node):
                self._operator(node)
        inputs = tuple(self.names[n] for n in self.module.graph.nodes if n.op == "placeholder")
        return Captured(self.module, tuple(self.ops), self.nodes, self.weighted, inputs, outputs)

    def _name(self, node: fx.Node, name: str) -> None:
        self.names[node] = name
        self.nodes[name] = node

    def _transparent(self, node: fx.Node) -> bool:
        """Whether a node makes no value of its own: dropout, a list of parts, a batch norm that is folded."""
        source = node.all_input_nodes[0] if node.all_input_nodes else None
        if source is None or source not in self.names:
            return False
        if node.target is BATCH_NORM and self.weighted.get(self.names[source]) is source and len(source.users) == 1:
            self._name(node, self.names[source])
            return True
        if node.target is DROPOUT or node.target in LISTS:
            self.names[node] = self.names[source]
            return True
        return False

    def _operator(self, node: fx.Node) -> None:
        values = tuple(self.names[n] for n in node.all_input_nodes if n in self.names)
        stem = _stem(node)
        self.seen[stem] += 1
        name = stem if self.seen[stem] == 1 else f"{stem}_{self.seen[stem] - 1}"
        self._name(node, name)
        kind = _type(node)
        if kind in WEIGHTED:
            self.weighted[name] = node
        self.ops.append(Op(kind, values, name))


def _stem(node: fx.Node) -> str:
    """Module path and operator; of a weighted operator the weight's name, which no rewriting moves."""
    weight = node.args[1] if len(node.args) > 1 else None
    if _type(node) in WEIGHTED and isinstance(weight, fx.Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return f"{_paths(node)[-1]}/{_type(node).lower()}".removeprefix("/")


def _paths(node: fx.Node) -> list[str]:
    """Paths of the modules a node lies in, outermost first."""
    return [path for path, _ in (node.meta.get("nn_module_stack") or {"": ("", None)}).values()]


def _type(node: fx.Node) -> str:
    if node.target is operator.getitem:
        return "Split"
    return TYPES.get(node.target) or str(node.target).removeprefix("aten.").partition(".")[0]
