"""Compile a graph for an engine here, time it beside its float twin, and explain it."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekd.backends.base import Artifact, Explains, Job
from edgekd.backends.registry import backend
from edgekd.devices.local import open_session
from edgekd.errors import EdgekdError, RequestError, last_line
from edgekd.explain.costs import Costs
from edgekd.explain.explain import measured, static
from edgekd.explain.findings import UNRULED, Explanation
from edgekd.graph.executed import as_ran, int8_proof
from edgekd.graph.model import Array, Graph, read_model
from edgekd.graph.reasons import Reason
from edgekd.graph.rewrite import without_pairs

Inputs = dict[str, Array]


def explain_static(graph: Graph, engine: str, machines: Sequence[str], why: str) -> Explanation:
    """By the engine's rules alone. Raises RequestError for an unknown engine."""
    tool = "static rules" if isinstance(backend(engine), Explains) else UNRULED
    return Explanation(engine, tool, static(graph, reasons_of(engine, graph, machines)), note=why)


def reasons_of(engine: str, graph: Graph, machines: Sequence[str]) -> list[Reason]:
    """An engine's reasons; none where its backend knows no rules."""
    maker = backend(engine)
    return list(maker.reasons(graph, machines)) if isinstance(maker, Explains) else []


def explain_here(graph: Graph, engine: str, options: dict[str, Any], inputs: Inputs, runs: int) -> Explanation:
    """Compile here with these options, run each of `runs` in turns with the float twin, and explain what ran."""
    with tempfile.TemporaryDirectory() as folder:
        made = [_compiled(graph, engine, options, inputs, Path(folder) / "graph")]
        with suppress(EdgekdError):  # an engine of integers alone has no twin
            made.append(_compiled(Graph(without_pairs(graph)), engine, options, inputs, Path(folder) / "twin"))
        times = in_turns([session for _, session, _ in made], inputs, runs)
        costs, *twin = (Costs(given, as_ran(session.layers(inputs, runs))) for _, session, given in made)
    artifact, _, given = made[0]
    found = measured(costs, reasons_of(engine, given, (platform.machine(),)), *twin)
    ms, *float_ms = map(statistics.median, times)
    whole = sum(layer.ms for layer in costs.layers)
    return Explanation(
        engine,
        artifact.tool,
        found,
        costs.shares(*twin),
        int8_proof(given, costs.layers),
        ms,
        float_ms[0] if float_ms else None,
        ideal_ms=ideal(ms, whole, sum(f.saving or 0.0 for f in found)),
    )


def ideal(ms: float, layers: float, saved: float) -> float:
    """What is left of a whole inference when `saved` of its layers' time is, 0 at least; milliseconds. Ours.

    Layers that add up to more than the whole, as a profiler's may, save in proportion.
    """
    return max(0.0, ms - saved * min(1.0, ms / layers if layers else 1.0))


def _compiled(
    graph: Graph, engine: str, options: dict[str, Any], inputs: Inputs, folder: Path
) -> tuple[Artifact, Any, Graph]:
    """A graph's artifact, a session of it, and the graph as the engine was given it. Raises RequestError if refused."""
    maker = backend(engine)
    folder.mkdir()
    try:
        artifact = maker.compile(Job(graph, graph, [inputs], []), maker.Options.model_validate(options), folder)
        session = open_session(artifact.runner or "", folder / artifact.model, artifact.options)
    except EdgekdError:
        raise
    except Exception as error:  # each runtime raises its own kinds
        raise RequestError(f"{engine} does not run it: {last_line(error)}") from error
    return artifact, session, as_given(artifact, folder, graph)


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
