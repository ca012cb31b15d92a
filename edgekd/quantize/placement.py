"""Where quantizers sit, decided on a small view of operators that knows neither torch nor ONNX."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from edgekd.schema.target import Placement


@dataclass(frozen=True)
class Op:
    """An operator: ONNX type, the values it reads (weights left out), the value it makes."""

    type: str
    inputs: tuple[str, ...]
    output: str
    moves: bool = False
    """Whether it only moves values, so that codes stay codes."""
    nonnegative: bool = False
    """Whether what it makes cannot be negative by what the operator is told, such as a Clip from 0."""


NONNEGATIVE = ("Relu", "Sigmoid", "Softmax", "HardSigmoid")
KNOWN_RANGES = dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), (0.0, 1.0))


def nonnegative(ops: Sequence[Op], inputs: Iterable[str] = ()) -> set[str]:
    """Values that cannot be negative: such `inputs`, behind a Relu and the like, and what only moves such values."""
    out = set(inputs)
    for op in ops:
        if op.nonnegative or op.type in NONNEGATIVE or (op.moves and op.inputs and out.issuperset(op.inputs)):
            out.add(op.output)
    return out


def place(
    ops: Sequence[Op], outputs: Iterable[str], policy: Placement, keep_float: Container[str] = ()
) -> dict[str, str]:
    """Which values pass a quantizer, in graph order: value -> the value whose scale it uses (mostly itself).

    A value is quantized when an operator of `policy.quantize`, not one of `keep_float`, reads it and the two are not
    fused, or when it is an output and outputs are quantized. An operator of `policy.shared` hands its input's scale on.
    """
    made_by = {op.output: op for op in ops}
    readers: dict[str, list[Op]] = {}
    for op in ops:
        for value in op.inputs:
            readers.setdefault(value, []).append(op)
    outputs = set(outputs)
    wanted = set(outputs) if policy.output == "quantized" else set()
    for op in ops:
        if op.type in policy.quantize and op.output not in keep_float:
            fused = _fused_input(op, made_by, readers, outputs, policy)
            wanted |= {value for value in op.inputs if value != fused}

    shared_with: dict[str, str] = {}
    for op in ops:
        if op.type in policy.shared:
            group = [value for value in (*op.inputs, op.output) if value in wanted]
            roots = {_root(value, shared_with) for value in group}
            shared_with |= dict.fromkeys(roots - {_root(group[0], shared_with)}, group[0]) if group else {}
    order = [v for v in dict.fromkeys(v for op in ops for v in (*op.inputs, op.output)) if v in wanted]
    first: dict[str, str] = {}
    for value in order:
        first.setdefault(_root(value, shared_with), value)
    return {value: first[_root(value, shared_with)] for value in order}


def _root(value: str, shared_with: dict[str, str]) -> str:
    while value in shared_with:
        value = shared_with[value]
    return value


def _fused_input(
    op: Op, made_by: dict[str, Op], readers: dict[str, list[Op]], outputs: set[str], policy: Placement
) -> str | None:
    """The one input that the engine computes in the same kernel as `op`.

    From its first operator on, a chain of the policy leads to `op`, and each member's only reader is the next.
    """

    def before(value: str, chain: tuple[str, ...]) -> bool:
        if not chain:
            return True
        maker = made_by.get(value)
        if maker is None or maker.type != chain[-1] or len(readers[value]) != 1 or value in outputs:
            return False
        return len(chain) == 1 or any(before(v, chain[:-1]) for v in maker.inputs)

    for value in reversed(op.inputs):
        heads = (chain[:i] for chain in policy.fused for i in range(1, len(chain)) if chain[i] == op.type)
        if any(before(value, head) for head in heads):
            return value
    return None
