"""What a network needs of the memory beside the sensor, before Sony's converter says so: a range, an estimate.

Fitted to exact bytes in packager logs that users published (converter 3.14): MobileNetV2's activations are the peak of
its live int8 tensors, an operator and its activation one step, less 0.9 %; coefficients are 1.021 and 1.061 times the
weights of two networks. YOLOv8n, with SiLU, Split and Concat, needs 1.6 to 1.95 times the peak, nobody tells why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import onnx

from edgekd.backends.imx500.unsaid import KERNELS
from edgekd.errors import Problem
from edgekd.graph.model import Graph, stored_bytes

AVAILABLE = 8 * 2**20 - 128
"""Bytes for weights and activations and `RESERVED`; 8.00MB in the converter's reports."""
RESERVED = 1024
PERSISTENT = 4096
"""Bytes that an input which can be read back takes beside its own."""
LANES = 32
MARGIN = 1.01
MODEL = (1.02, 1.061)
TANGLED = (1.6, 1.95)
FAILS, WARNS = 0.95, 0.8
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_VIEWS = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
_TANGLES = ("Concat", "HardSwish", "Split")


@dataclass(frozen=True)
class Step:
    """What runs as one: tensors read, tensors made."""

    reads: frozenset[str]
    makes: frozenset[str]


@dataclass(frozen=True)
class Memory:
    """Bytes, each as the low and the high end of a range."""

    peak: tuple[int, int]
    """Most bytes of int8 tensors alive at once: in the order that needs least of two tried, and in the graph's."""
    runtime: tuple[int, int]
    """Activations as the converter counts them, the persistent input included."""
    weights: int
    """Weights as stored, without biases."""
    model: tuple[int, int]
    padded: int
    """All, if the channels of every tensor were filled up to 32: a bound that MobileNetV2 stayed 5 % below."""

    @property
    def total(self) -> tuple[int, int]:
        """All that is needed."""
        low, high = (r + m + RESERVED for r, m in zip(self.runtime, self.model, strict=True))
        return low, high

    @property
    def shares(self) -> tuple[float, float]:
        """The same as a share of what is there."""
        low, high = (need / AVAILABLE for need in self.total)
        return low, high

    def told(self) -> dict[str, object]:
        """As an artifact's facts."""
        low, high = self.shares
        note = ["may not fit: ask the converter early"] if high > WARNS else []
        return {
            "estimate": f"{low:.1%} to {high:.1%} of {AVAILABLE:,} bytes",
            "activations": list(self.runtime),
            "coefficients": list(self.model),
            "channels filled up to 32": self.padded,
            "notes": note,
        }


def estimate(graph: Graph, persistent: bool = True) -> Memory:
    """Of a portable graph with static shapes; with a `persistent` input its pixels can be read back from the sensor."""
    steps, order, sizes = _steps(graph), _frugal, _sizes(graph)
    own = set(graph.inputs) if persistent else set[str]()
    kept = sum(sizes[name] + PERSISTENT for name in own)
    bare = {name: 0 if name in own else size for name, size in sizes.items()}
    ends = frozenset(graph.outputs)
    peaks = sorted((_peak(order(steps, bare, ends), bare, ends), _peak(steps, bare, ends)))
    padded = {name: _padded(graph, name) if size else 0 for name, size in bare.items()}
    factors = TANGLED if _is_tangled(graph) else (1.0, 1.0)
    weights = sum(stored_bytes(graph.constants[name]) for name in _kernels(graph))
    low, high = (int((peak * factor + kept) * MARGIN) for peak, factor in zip(peaks, factors, strict=True))
    model = int(weights * MODEL[0]), int(weights * MODEL[1])
    worst = int((_peak(steps, padded, ends) * factors[1] + kept) * MARGIN) + model[1] + RESERVED
    return Memory((peaks[0], peaks[1]), (low, high), weights, model, worst)


def check(graph: Graph, persistent: bool = True) -> list[Problem]:
    """A problem where even the low end of the range is above 95 % of what is there.

    The high end does not decide: YOLOv8n's lies above, and it fits.
    """
    found = estimate(graph, persistent)
    if found.shares[0] <= FAILS:
        return []
    message = f"the network needs at least about {found.total[0]:,} bytes in the sensor, which has {AVAILABLE:,}"
    return [Problem("memory", message, "choose a smaller `model` or `deploy.shape`")]


def _steps(graph: Graph) -> list[Step]:
    """Operators in graph order; one whose result is not quantized is part of the one that reads it."""
    inside: dict[str, frozenset[str]] = {}
    steps = []
    for node in graph.nodes:
        if node.op_type in (*_PAIR, "Constant"):
            continue
        names = [_stored(graph, name) for name in node.input if name]
        reads = frozenset[str]().union(*(inside.get(n, frozenset({n})) for n in names if n not in graph.constants))
        readers = graph.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type not in _PAIR and node.output[0] not in graph.outputs:
            inside[node.output[0]] = reads
        else:
            steps.append(Step(reads, frozenset(_stored(graph, name) for name in node.output if name)))
    return steps


def _stored(graph: Graph, name: str) -> str:
    """The tensor in memory that stands behind a name: codes and what is made of them are one, and so is a view."""
    maker = graph.maker.get(name)
    if maker is not None and maker.op_type in (*_PAIR, *_VIEWS):
        return _stored(graph, maker.input[0])
    return name


def _sizes(graph: Graph) -> dict[str, int]:
    """Bytes of every tensor as int8."""
    return {name: prod(shape) for name, shape in graph.shapes.items()}


def _padded(graph: Graph, name: str) -> int:
    shape = graph.shapes[name]
    return prod((shape[0], -(-shape[1] // LANES) * LANES, *shape[2:])) if len(shape) > 1 else prod(shape)


def _frugal(steps: list[Step], sizes: dict[str, int], ends: frozenset[str]) -> list[Step]:
    """Another order: of what can run, always that after which least is alive."""
    made = frozenset[str]().union(*(step.makes for step in steps))
    todo, done, out = list(steps), set[str](), list[Step]()
    while todo:
        ready = [step for step in todo if all(name in done or name not in made for name in step.reads)]

        def grows(step: Step, todo: list[Step] = todo) -> int:
            last = {n for n in step.reads - ends if not any(n in other.reads for other in todo if other is not step)}
            return _bytes(step.makes, sizes) - _bytes(last, sizes)

        step = min(ready, key=grows)
        todo.remove(step)
        done |= step.makes
        out.append(step)
    return out


def _peak(steps: list[Step], sizes: dict[str, int], ends: frozenset[str]) -> int:
    """Most bytes alive at once; `ends` live on to the last step."""
    last = {name: i for i, step in enumerate(steps) for name in step.makes | step.reads}
    alive = frozenset[str]().union(*(s.reads for s in steps)) - frozenset[str]().union(*(s.makes for s in steps))
    peak = 0
    for i, step in enumerate(steps):
        alive |= step.makes
        peak = max(peak, _bytes(alive, sizes))
        alive -= {name for name in alive - ends if last.get(name, -1) <= i}
    return peak


def _bytes(names: Iterable[str], sizes: dict[str, int]) -> int:
    return sum(sizes.get(name, 0) for name in names)


def _kernels(graph: Graph) -> set[str]:
    """Constants of weights."""
    sources = (graph.source(node.input[1]) for node in graph.nodes if node.op_type in KERNELS)
    return {name for name in sources if name is not None}


def _is_tangled(graph: Graph) -> bool:
    """Whether there is a Split, a Concat or a SiLU, HardSwish or `x * sigmoid(x)`."""
    return any(node.op_type in _TANGLES or _is_silu(graph, node) for node in graph.nodes)


def _is_silu(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type != "Mul":
        return False
    stored = [_stored(graph, name) for name in node.input]
    makers = [graph.maker.get(name) for name in stored]
    gates = [_stored(graph, m.input[0]) for m in makers if m is not None and m.op_type == "Sigmoid"]
    return any(gate in stored for gate in gates)
