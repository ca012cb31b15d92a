"""Where quantizers sit, decided on a small view of operators that knows neither torch nor ONNX."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgekd.schema.target import Placement


@dataclass(frozen=True)
class Op:
    """An operator: ONNX type, the values it reads (weights left out), the value it makes."""

    type: str
    inputs: tuple[str, ...]
    output: str


def place(ops: Sequence[Op], outputs: Iterable[str], policy: Placement, floats: Collection[str] = ()) -> dict[str, str]:
    """Which values pass a quantizer, in graph order: value -> the value whose scale it uses (mostly itself).

    A value is quantized when an operator of `policy.quantize` reads it and the two are not fused, or when it is an
    output and outputs are quantized. An operator of `policy.shared` hands its input's scale on. Operators that make
    `floats` stay float and ask for no quantizer.
    """
    made_by = {op.output: op for op in ops}
    readers: dict[str, list[Op]] = {}
    for op in ops:
        for value in op.inputs:
            readers.setdefault(value, []).append(op)
    outputs = set(outputs)
    wanted = set(outputs) if policy.output == "quantized" else set()
    for op in ops:
        if op.type in policy.quantize and op.output not in floats:
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
    """The one input that the engine computes in the same kernel as `op`: its maker's only reader is `op`."""
    links = {pair for chain in policy.fused for pair in pairwise(chain)}
    for value in reversed(op.inputs):
        maker = made_by.get(value)
        alone = len(readers[value]) == 1 and value not in outputs
        if maker and alone and (maker.type, op.type) in links:
            return value
    return None
