"""Explain a graph in an engine: its reasons, joined with the layers in which it really ran."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekd.explain.costs import QUANTIZING, Costs
from edgekd.explain.findings import Finding, Kind
from edgekd.graph.alternatives import ALTERNATIVES
from edgekd.graph.cost import macs
from edgekd.graph.executed import Ran, weighted
from edgekd.graph.model import WEIGHTED, Graph
from edgekd.graph.reasons import Reason, instead, is_operator

AT_MOST = "at most: all of its time"
COUNTED = (*WEIGHTED, "Add", "Mul")
"""Operators whose time in int8 is judged by others of this run."""
KINDS: dict[str, Kind] = {"float": "float layer", "slow": "slow layer", "answers": "answers"}
SLOWER = 1.25
"""How many times its float time a layer of codes must take to be told; ours."""


def static(graph: Graph, reasons: Sequence[Reason]) -> list[Finding]:
    """What the rules say of a graph that no engine here ran, the most MACs first."""
    found = []
    for reason in reasons:
        work = sum(macs(graph, graph.maker[n]) for n in reason.tensors if n in graph.maker)
        told = (reason.tensor, reason.what, reason.change, reason.tensors)
        found.append(Finding(KINDS[reason.kind], *told, len(reason.tensors), work))
    return sorted(found, key=lambda finding: -finding.macs)


def measured(costs: Costs, reasons: Sequence[Reason], twin: Costs | None = None) -> list[Finding]:
    """Every finding with the time it takes, the largest saving first. A layer counts once."""
    found, told = list[Finding](), set[str]()
    for make in (_by_reason, _unexplained, _islands):
        for finding in make(costs, reasons, told):
            found.append(finding)
            if finding.kind != "answers":
                told |= {layer.name for layer in costs.of(finding.tensors)}
            if finding.kind in ("float layer", "float island"):  # their pairs count with them
                told |= {layer.name for layer in costs.pairs_around(finding.tensors)}
    found += [*_slower(costs, twin, told), *_pairs(costs, found), *_layout(costs)]
    return sorted(found, key=lambda f: (-(f.saving or 0.0), -(f.ms or 0.0)))


def _by_reason(costs: Costs, reasons: Sequence[Reason], told: set[str]) -> Iterator[Finding]:
    """Reasons that the layers as they ran confirm."""
    for reason in reasons:
        layers = [layer for layer in costs.of(reason.tensors) if layer.name not in told]
        if reason.kind == "float" and any(not layer.is_int8 for layer in layers):
            yield _timed(costs, reason, _with_pairs(costs, layers, reason.tensors, told))
        elif reason.kind == "answers" or (reason.kind == "slow" and layers):
            yield _timed(costs, reason, layers)


def _with_pairs(costs: Costs, layers: list[Ran], tensors: Sequence[str], told: set[str]) -> list[Ran]:
    """Layers and those that quantize around them, but for what is told already."""
    return [*layers, *(x for x in costs.pairs_around(tensors) if x not in layers and x.name not in told)]


def _timed(costs: Costs, reason: Reason, layers: list[Ran]) -> Finding:
    """A reason with its layers' time and what their operators would take instead."""
    graph, kind, ms = costs.graph, KINDS[reason.kind], sum(layer.ms for layer in layers)
    told = (reason.tensor, reason.what, reason.change, reason.tensors)
    nodes = [graph.maker[n] for n in reason.tensors if n in graph.maker and graph.maker[n].op_type in COUNTED]
    work = sum(macs(graph, node) for node in nodes)
    if kind == "answers":
        return Finding(kind, *told, len(reason.tensors), work)
    known = [wanted for node in nodes if (wanted := costs.int8_ms(node, reason.lanes)) is not None]
    if not nodes or len(known) < len(nodes):
        return Finding(kind, *told, len(layers), work, ms)
    saving = max(0.0, ms - sum(wanted for wanted, _ in known))
    return Finding(kind, *told, len(layers), work, ms, saving, f"at the rate of `{known[0][1]}`")


def _unexplained(costs: Costs, reasons: Sequence[Reason], told: set[str]) -> Iterator[Finding]:
    """Convolutions and products that ran in float though no rule says why."""
    for node in weighted(costs.graph):
        layer = costs.made.get(node.output[0])
        if layer is not None and not layer.is_int8 and layer.name not in told:
            what = f"`{layer.type}` ran in float, and no rule here tells why"
            reason = Reason("float", node.output[0], what, "", (node.output[0],))
            yield _timed(costs, reason, _with_pairs(costs, [layer], reason.tensors, told))


def _islands(costs: Costs, reasons: Sequence[Reason], told: set[str]) -> Iterator[Finding]:
    """Chains of operators in float, from one pair or convolution to the next."""
    graph, in_float = costs.graph, dict[str, Ran]()
    for name, layer in costs.made.items():
        if is_operator(graph.maker[name]) and costs.kind(layer) == "other, float" and layer.name not in told:
            in_float[name] = layer
    for names in _chains(graph, in_float):
        layers = list({in_float[n].name: in_float[n] for n in names}.values())
        layers = _with_pairs(costs, layers, names, told)
        kinds, ms = list(dict.fromkeys(graph.maker[n].op_type for n in names)), sum(x.ms for x in layers)
        what, change = ", ".join(f"`{kind}`" for kind in kinds) + " in float", _change(kinds)
        yield Finding("float island", names[0], what, change, tuple(names), len(layers), 0, ms, ms, AT_MOST)


def _change(kinds: Sequence[str]) -> str:
    """What to write instead of an island's operators."""
    known = [f"`{kind}`: {instead(kind)}" for kind in kinds if kind in ALTERNATIVES]
    return "; ".join(known) or "Q/DQ pairs on its inputs and its output, where the engine has the operator on codes"


def _chains(graph: Graph, members: dict[str, Ran]) -> list[list[str]]:
    """Members joined where one reads another, or the same layer makes them; in graph order."""
    group = {name: name for name in members}

    def root(name: str) -> str:
        while group[name] != name:
            name = group[name]
        return name

    same: dict[str, str] = {}
    for name, layer in members.items():
        for other in (*graph.maker[name].input, same.setdefault(layer.name, name)):
            if other in members:
                group[root(name)] = root(other)
    out: dict[str, list[str]] = {}
    for name in members:
        out.setdefault(root(name), []).append(name)
    return list(out.values())


def _slower(costs: Costs, twin: Costs | None, told: set[str]) -> Iterator[Finding]:
    """Layers of codes that take longer than the float twin's."""
    for layer in costs.layers if twin is not None else ():
        name = next((n for n in layer.nodes if n in twin.made), None) if twin is not None else None
        if twin is None or name is None or not layer.is_int8 or layer.name in told:
            continue
        float_ms, operator = twin.made[name].ms, costs.graph.maker[name].op_type
        if layer.ms > SLOWER * float_ms > 0:
            what = f"`{operator}` takes {layer.ms:.3f} ms on codes and {float_ms:.3f} ms in the float twin"
            saving, method = layer.ms - float_ms, "the float twin's time"
            yield Finding("slow layer", name, what, "", (name,), 1, 0, layer.ms, saving, method)


def _pairs(costs: Costs, found: Sequence[Finding]) -> Iterator[Finding]:
    """Layers that only quantize or dequantize and belong to no finding yet; those at inputs and outputs are needed."""
    graph = costs.graph
    counted = {x.name for f in found for x in costs.pairs_around(f.tensors)}
    ends = {n for name in graph.inputs for r in graph.readers.get(name, []) for n in r.output} | {*graph.outputs}
    pairs = [x for x in costs.layers if costs.kind(x) == QUANTIZING and not ends & {*x.nodes}]
    if rest := [x for x in pairs if x.name not in counted]:
        worst, ms = max(rest, key=lambda x: x.ms), sum(x.ms for x in rest)
        what = f"{len(rest)} layers only quantize or dequantize"
        change = "one scale on both sides of operators that only move codes"
        yield Finding("quantize", (*worst.nodes, worst.name)[0], what, change, (), len(rest), 0, ms, ms, AT_MOST)


def _layout(costs: Costs) -> Iterator[Finding]:
    """Layers that the engine added to change layouts."""
    groups: dict[str, list[Ran]] = {}
    for layer in costs.layers:
        if costs.kind(layer) == "layout":
            groups.setdefault(layer.type, []).append(layer)
    for kind, layers in groups.items():
        worst, what = max(layers, key=lambda x: x.ms), f"{len(layers)} `{kind}` that the engine added"
        yield Finding("layout", worst.name, what, "", (), len(layers), 0, sum(x.ms for x in layers))
