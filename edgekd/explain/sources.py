"""What is explained: a run's bundle, or an ONNX file."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgekd.backends.base import read_artifact
from edgekd.backends.registry import BACKENDS, backend, is_installed, names
from edgekd.devices.local import can_run, is_board
from edgekd.errors import EdgekdError, MissingError, RequestError, nearest
from edgekd.evidence import Bundle
from edgekd.explain.findings import REFUSED, Explanation
from edgekd.explain.run import Inputs, explain_here, explain_static
from edgekd.graph.model import Graph, read_model, with_batch
from edgekd.schema.targets import boards, load_board
from edgekd.verify.check import read_probes
from edgekd.verify.foreign import read_graph

_NUMPY = {1: np.float32, 10: np.float16, 11: np.float64}


def explain_run(folder: Path, engine: str | None, runs: int) -> list[Explanation]:
    """The run's engine: timed where this host is its board, else by its rules. A named engine is timed here."""
    bundle = Bundle(folder)
    graph, target = Graph(read_model(bundle.path / "graph.onnx")), bundle.manifest.target
    inputs = read_probes(bundle.path / "probes.npz")[0][0]
    if engine is not None:
        return [_here(graph, engine, options_here(engine), inputs, runs, f"on this host: {platform.machine()}")]
    found = []
    for name, record in bundle.manifest.engines.items():
        artifact, reach = read_artifact(bundle.path / "artifacts" / name), target.board.reach
        if record.role != "target":
            continue
        if artifact.runner is not None and can_run(artifact.runner) and is_board(reach):
            found.append(explain_here(graph, artifact.backend, target.engine.options, inputs, runs))
        else:
            why = f"this host is not a {target.board.title}; nothing was timed"
            found.append(explain_static(graph, artifact.backend, reach.machines, why))
    return found


def explain_file(path: Path, engine: str | None, runs: int) -> list[Explanation]:
    """A file in one engine, or in every engine that is installed here; numbers of a normal distribution go in."""
    graph = _one(read_graph(path))
    if not list(graph.codes()):
        raise RequestError(
            f"`{path}` has no Q/DQ pairs", "give a quantized graph; `edgekd inspect` shows what a file holds"
        )
    engines = [engine] if engine else [name for name in BACKENDS if is_installed(name) and backend(name).package]
    if not engines:
        raise MissingError("no engine is installed here", "pip install 'edgekd[openvino]'")
    inputs = noise(graph)
    if engine is not None:
        return [_here(graph, engine, options_here(engine), inputs, runs)]
    return [_tried(graph, name, inputs, runs) for name in engines]


def _tried(graph: Graph, engine: str, inputs: Inputs, runs: int) -> Explanation:
    """One of all engines here; that it refuses the graph is an explanation too."""
    try:
        return _here(graph, engine, options_here(engine), inputs, runs)
    except EdgekdError as error:
        return Explanation(engine, REFUSED, note=error.message)


def _one(graph: Graph) -> Graph:
    """The graph, its batch fixed to one where it is free."""
    free = any(0 in graph.shapes[name] for name in graph.inputs)
    return Graph(onnx.shape_inference.infer_shapes(with_batch(graph, 1).model)) if free else graph


def _here(graph: Graph, engine: str, options: dict[str, Any], inputs: Inputs, runs: int, note: str = "") -> Explanation:
    """Timed here where it can be, else by the rules. Raises RequestError for an unknown engine."""
    if engine not in names():
        raise RequestError(f"unknown engine `{engine}`", nearest(engine, sorted(names())))
    if not is_installed(engine):
        raise MissingError(f"`{engine}` is not installed", f"pip install 'edgekd[{engine}]'")
    if backend(engine).package is None:
        return explain_static(graph, engine, (), "it does not run here; nothing was timed")
    return replace(explain_here(graph, engine, options, inputs, runs), note=note)


def options_here(engine: str) -> dict[str, Any]:
    """What the descriptor of a board like this host gives the engine; nothing where there is none."""
    for path in boards().values():
        board = load_board(path)
        if engine in board.engines and is_board(board.reach):
            return board.engines[engine].options
    return {}


def noise(graph: Graph) -> Inputs:
    """One input of each kind, the same every time. Raises RequestError where a shape is not static or codes go in."""
    rng, out = np.random.default_rng(0), {}
    for name in graph.inputs:
        if 0 in graph.shapes[name] or graph.types[name] not in _NUMPY:
            raise RequestError(f"input `{name}` has no static shape of floating-point numbers", "fix the graph's input")
        out[name] = rng.normal(0, 1, graph.shapes[name]).astype(_NUMPY[graph.types[name]])
    return out
