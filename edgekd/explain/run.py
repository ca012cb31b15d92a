"""Compile a graph for an engine here, time it beside its float twin, and explain it."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekd.backends.base import Artifact, Explains, Job
from edgekd.backends.registry import backend
from edgekd.devices.local import open_session
from edgekd.explain.costs import Costs
from edgekd.explain.explain import measured, static
from edgekd.explain.findings import Explanation
from edgekd.graph.executed import as_ran, int8_proof
from edgekd.graph.model import Array, Graph, read_model
from edgekd.graph.reasons import Reason
from edgekd.graph.rewrite import without_pairs

Inputs = dict[str, Array]


def explain_static(graph: Graph, engine: str, machines: Sequence[str], why: str) -> Explanation:
    """By the engine's rules alone. Raises RequestError for an unknown engine."""
    return Explanation(engine, "static rules", static(graph, reasons_of(engine, graph, machines)), note=why)


def reasons_of(engine: str, graph: Graph, machines: Sequence[str]) -> list[Reason]:
    """An engine's reasons; none where its backend knows no rules."""
    maker = backend(engine)
    return list(maker.reasons(graph, machines)) if isinstance(maker, Explains) else []


def explain_here(graph: Graph, engine: str, options: dict[str, Any], inputs: Inputs, runs: int) -> Explanation:
    """Compile here with these options, run each of `runs` in turns with the float twin, and explain what ran."""
    maker = backend(engine)
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for name, each in (("graph", graph), ("twin", Graph(without_pairs(graph)))):
            place = Path(folder) / name
            place.mkdir()
            artifact = maker.compile(Job(each, each, [inputs], []), maker.Options.model_validate(options), place)
            made.append((artifact, place, as_given(artifact, place, each)))
        sessions = [open_session(a.runner or "", place / a.model, a.options) for a, place, _ in made]
        times = in_turns(sessions, inputs, runs)
        costs, twin = (Costs(g, as_ran(s.layers(inputs, runs))) for s, (_, _, g) in zip(sessions, made, strict=True))
    artifact, _, given = made[0]
    machines = (platform.machine(),)
    found = measured(costs, reasons_of(engine, given, machines), twin)
    saved = sum(f.saving or 0.0 for f in found)
    ms, float_ms = (statistics.median(t) for t in times)
    return Explanation(
        engine,
        artifact.tool,
        found,
        costs.shares(twin),
        int8_proof(given, costs.layers),
        ms,
        float_ms,
        max(0.0, ms - saved),
    )


def as_given(artifact: Artifact, folder: Path, graph: Graph) -> Graph:
    """The graph that the engine was given, where its file is ONNX; else the portable one."""
    model = folder / artifact.model
    return Graph(read_model(model)) if model.suffix == ".onnx" else graph


def in_turns(sessions: Sequence[Any], inputs: Inputs, runs: int) -> list[list[float]]:
    """Milliseconds of each session's runs, one after the other so that what disturbs one disturbs all; 3 to warm up."""
    fed = [session.feed(inputs) for session in sessions]
    times: list[list[float]] = [[] for _ in sessions]
    for i in range(3 + runs):
        for session, given, taken in zip(sessions, fed, times, strict=True):
            start = time.perf_counter()
            session.call(given)
            if i >= 3:
                taken.append((time.perf_counter() - start) * 1e3)
    return times
