"""A torch network as a graph, with keys that survive a new capture at another input size."""

from __future__ import annotations

import logging
import re
import traceback
from collections import Counter
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgekd.errors import EdgekdError, RequestError
from edgekd.quantize.operators import (
    BATCH_NORM,
    DROPOUTS,
    LISTS,
    READS_CONSTANTS,
    SAME,
    WEIGHTED,
    clips_from_zero,
    is_grouped_transpose,
    is_size,
    is_tensor,
    moves,
    normalise,
    onnx_type,
)
from edgekd.quantize.placement import Op
from edgekd.quantize.quiet import silence

_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parent))


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
    """Those that are real numbers: indices and masks are not quantized."""

    @property
    def gives(self) -> int:
        """How many tensors the network gives out."""
        return len(next(n for n in self.module.graph.nodes if n.op == "output").all_input_nodes)

    def tap(self, path: str) -> str:
        """The value a module gives out: that of the last operator inside it."""
        inside = [op.output for op in self.ops if path in _paths(self.nodes[op.output])]
        if not inside:
            raise RequestError(f"the network has no module `{path}` to tap", "name a module as in `named_modules()`")
        return inside[-1]

    def line(self, value: str) -> str:
        """Where the person's code makes a value, as `file.py:12`; empty where that is not known."""
        return line(self.nodes[value]) if value in self.nodes else ""


def capture(net: nn.Module, inputs: tuple[Tensor, ...], any_batch: bool = False) -> Captured:
    """Capture `net` in eval mode with `torch.export`, at the shapes of `inputs`; with `any_batch` for every batch size.

    Raises RequestError when the network cannot be captured, with torch's reason and the line of the network's code.
    """
    sizes: Any = tuple({0: torch.export.Dim.AUTO} for _ in inputs) if any_batch else None
    try:
        with silence(logging.CRITICAL):
            program = torch.export.export(net.eval(), inputs, dynamic_shapes=sizes, strict=False)
    except EdgekdError:  # the network's own refusal
        raise
    except Exception as error:  # torch.export raises many kinds
        raise _refusal(error) from None
    exported: Any = program.module(check_guards=False)
    module = fx.GraphModule(exported, exported.graph)  # one that has train() and eval()
    normalise(module)
    return _View(module).captured()


_ALTERNATIVES = {
    "data-dependent": "use `torch.where` in place of `if`: its operators must be the same for every input",
    "broadcast": "interpolate tables of a fixed size, or make sizes from the input's shape",
    "size of tensor": "interpolate tables of a fixed size, or make sizes from the input's shape",
}


def _refusal(error: Exception) -> RequestError:
    """Torch's reason in a line, the line of the person's code, and what to write instead."""
    text = str(error)
    reason = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((*_LIBRARIES, "<"))]
    last = frames[-1] if frames else None
    where = f" at `{Path(last.filename).name}:{last.lineno}`, `{last.line}`" if last else ""
    known = (hint for sign, hint in _ALTERNATIVES.items() if sign in text)
    hint = next(known, "make its operators the same for every input and size")
    return RequestError(f"the network cannot be captured{where}: {reason}", hint)


def same_graph(trained: Captured, deployed: Captured) -> None:
    """Whether the graph that is trained and the one that ships have the same operators with the same keys, in order.

    Raises RequestError that names the first one that differs: sizes decide on the network's operators there.
    """
    if trained.ops == deployed.ops:
        return
    pairs = zip_longest(*([(op, c.line(op.output)) for op in c.ops] for c in (trained, deployed)))
    odd = next((a, b) for a, b in pairs if a != b)
    op, where = odd[0] if odd[0] and len(trained.ops) > len(deployed.ops) else odd[1] or odd[0]
    at = f" ({where})" if where else ""
    raise RequestError(
        f"the network has other operators at the deployed size than in training, first {op.type} at `{op.output}`{at}",
        "make its operators independent of the input's size",
    )


def training_only(net: nn.Module, captured: Captured, inputs: tuple[Tensor, ...]) -> list[str]:
    """Operators that stand under `if self.training`, as `type (file.py:12)`: QAT goes on without them."""
    try:
        with silence(logging.CRITICAL):
            program = torch.export.export(net.train(), inputs, strict=False)
    except Exception:  # what training alone does may be beyond capture
        return []
    finally:
        net.eval()
    module: Any = program.module(check_guards=False)
    normalise(module)
    known = Counter(_kind(n) for n in captured.module.graph.nodes if n.op == "call_function")
    out = []
    for node in module.graph.nodes:
        if node.op == "call_function" and is_tensor(node) and node.target not in DROPOUTS:
            known[_kind(node)] -= 1
            if known[_kind(node)] < 0:
                out.append(f"{onnx_type(node)} ({line(node)})")
    return out


def _kind(node: fx.Node) -> tuple[str, ...]:
    return (*_paths(node), onnx_type(node))


@dataclass
class _View:
    """Walks a graph once and names its values."""

    module: fx.GraphModule
    names: dict[fx.Node, str] = field(default_factory=dict)
    nodes: dict[str, fx.Node] = field(default_factory=dict)
    weighted: dict[str, fx.Node] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    constants: dict[fx.Node, frozenset[str]] = field(default_factory=dict)
    """Nodes that depend on no input -> the parameters and buffers behind them."""
    derived: dict[fx.Node, tuple[str, ...]] = field(default_factory=dict)
    """Nodes that are no real numbers, but made of values."""

    def captured(self) -> Captured:
        outputs: tuple[str, ...] = ()
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                self.seen[str(node.target)] += 1  # a module may have an input's name
                self._name(node, str(node.target))
            elif node.op == "get_attr":
                self.constants[node] = frozenset({str(node.target)})
            elif node.op == "output":
                outputs = tuple(dict.fromkeys(self.names[n] for n in node.all_input_nodes if n in self.names))
            elif node.op == "call_function" and not self._constant(node) and not self._transparent(node):
                self._operator(node)
        inputs = tuple(self.names[n] for n in self.module.graph.nodes if n.op == "placeholder")
        return Captured(self.module, tuple(self.ops), self.nodes, self.weighted, inputs, outputs)

    def _name(self, node: fx.Node, name: str) -> None:
        self.names[node] = name
        self.nodes[name] = node

    def _constant(self, node: fx.Node) -> bool:
        """Whether a node makes no real numbers that depend on the inputs: constants, sizes, indices, several tensors.

        Indices and the like that do depend on them are `derived`: what is made of them is an operator again.
        """
        sources = [n for n in node.all_input_nodes if n in self.names or n in self.constants or n in self.derived]
        values = [v for n in sources for v in ((self.names[n],) if n in self.names else self.derived.get(n, ()))]
        real = is_tensor(node) or node.target in LISTS
        if values and real:
            return False
        if values and not is_size(node):
            self.derived[node] = tuple(dict.fromkeys(values))
        elif real:
            self.constants[node] = frozenset().union(*(self.constants.get(n, frozenset()) for n in sources))
        return True

    def _transparent(self, node: fx.Node) -> bool:
        """Whether a node makes no value of its own: dropout, a list of parts, a batch norm that is folded."""
        source = node.all_input_nodes[0]
        if source not in self.names:
            return False
        if node.target is BATCH_NORM and self._folds(source):
            self._name(node, self.names[source])
            return True
        if node.target in (*DROPOUTS, *LISTS, *SAME):
            self.names[node] = self.names[source]
            return True
        return False

    def _folds(self, source: fx.Node) -> bool:
        """Whether a batch norm behind `source` goes into its weights."""
        made = self.weighted.get(self.names[source])
        if made is not source or len(source.users) != 1:
            return False
        if onnx_type(source) == "Gemm":  # of more dimensions, the norm's channels are not the last ones
            return bool(source.meta["val"].dim() == 2)
        return not is_grouped_transpose(source)

    def _operator(self, node: fx.Node) -> None:
        kind = onnx_type(node)
        values = tuple(name for n in node.all_input_nodes for name in self._values(n, kind))
        name = self._key(_stem(node))
        self._name(node, name)
        if kind in WEIGHTED and self._own_weights(node):
            self.weighted[name] = node
        self.ops.append(Op(kind, values, name, moves(node), clips_from_zero(node)))

    def _key(self, stem: str) -> str:
        self.seen[stem] += 1
        return stem if self.seen[stem] == 1 else f"{stem}_{self.seen[stem] - 1}"

    def _values(self, node: fx.Node, kind: str) -> tuple[str, ...]:
        """The keys of an operand; a constant has one where operators read it as they read activations."""
        if node in self.constants and kind in READS_CONSTANTS and self._many(node) and node not in self.names:
            self._name(node, self._key("+".join(sorted(self.constants[node])) or "constant"))
        elif node in self.constants and kind not in READS_CONSTANTS:
            return ()
        return (self.names[node],) if node in self.names else self.derived.get(node, ())

    def _many(self, node: fx.Node) -> bool:
        value = attribute(self.module, str(node.target)) if node.op == "get_attr" else node.meta.get("val")
        return isinstance(value, Tensor) and value.numel() > 1 and value.is_floating_point()

    def _own_weights(self, node: fx.Node) -> bool:
        """Whether weight and bias are the network's own parameters, not computed from them."""
        parameters = dict(self.module.named_parameters())
        return all(isinstance(n, fx.Node) and str(n.target) in parameters for n in node.args[1:3] if n is not None)


def attribute(module: fx.GraphModule, name: str) -> Any:
    """A parameter, buffer or constant of a graph by its dotted name."""
    path, _, leaf = name.rpartition(".")
    return getattr(module.get_submodule(path), leaf)


def _stem(node: fx.Node) -> str:
    """Module path and operator; of a weighted operator the weight's name, which no rewriting moves."""
    weight = node.args[1] if len(node.args) > 1 else None
    if onnx_type(node) in WEIGHTED and isinstance(weight, fx.Node) and weight.op == "get_attr":
        return str(weight.target).removesuffix(".weight")
    return f"{(_paths(node) or [''])[-1]}/{onnx_type(node).lower()}".removeprefix("/")


def _paths(node: fx.Node) -> list[str]:
    """Paths of the modules a node lies in, outermost first."""
    return [path for path, _ in (node.meta.get("nn_module_stack") or {"": ("", None)}).values()]


def line(node: fx.Node) -> str:
    """The innermost line of the person's code behind a node, as `file.py:12`."""
    return innermost(node.meta.get("stack_trace") or "")


def innermost(trace: str) -> str:
    """The last line of a traceback's text that is in no library, as `file.py:12`; empty where there is none."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', trace)
    own = [f"{Path(name).name}:{number}" for name, number in frames if not name.startswith(_LIBRARIES)]
    return own[-1] if own else ""
