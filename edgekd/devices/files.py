"""A model file that no run made, on a device: each engine beside the same net in float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekd.devices import measure
from edgekd.devices.base import Device, Say, Timing, Work, silent
from edgekd.devices.bench import Benched, compile_float
from edgekd.devices.local import Local, can_run
from edgekd.errors import MissingError, Problem, RequestError, last_line, nearest
from edgekd.evidence import Figure
from edgekd.graph.model import Graph
from edgekd.graph.rewrite import without_pairs
from edgekd.verify.engines import LocalEngine
from edgekd.verify.foreign import Foreign

FLOAT = "float"
EXACT = ("onnxruntime, unoptimised", "litert, reference kernels")
"""Engines that are there to be compared with, not to be fast; measured only where they are named."""


def bench_file(
    found: Foreign, device: Device, timing: Timing, engines: Sequence[str], power: bool = True, say: Say = silent
) -> Benched:
    """Latency, memory and energy of the file's engines, each beside the float net in the same engine.

    Raises RequestError for an unknown engine, ProblemsError where none here runs the file, MissingError where the
    device cannot be reached or runs none of them.
    """
    found.demand_engine()
    for name in engines:
        if name not in found.engines:
            raise RequestError(f"the file has no engine `{name}`", nearest(name, [*found.engines]))
    probe = device.probe()
    out, missing = Benched(device.name, probe.host), list[MissingError]()
    chosen = list(engines) or [name for name in found.engines if name not in EXACT]
    for name in chosen:
        engine = found.engines[name]
        if isinstance(device, Local) and not can_run(engine.runner):
            out.notes.append(Problem(name, "does not run here"))
            continue
        say(f"{name} on {device.name}")
        try:
            out.figures += _measured(found, engine, device, timing, power and probe.power, out.notes, say)
        except MissingError as error:
            missing.append(error)
            out.notes.append(Problem(name, error.message, error.hint, missing=True))
    if missing and not out.figures:
        raise missing[0]
    return out


def _measured(
    found: Foreign, engine: LocalEngine, device: Device, timing: Timing, power: bool, notes: list[Problem], say: Say
) -> list[Figure]:
    inputs = found.probes(1)
    ours = Work(engine.name, engine.runner, engine.folder / engine.artifact.model, engine.artifact.options, found.path)
    with TemporaryDirectory() as folder:
        works = [*_twin(found, engine, Path(folder), notes), ours]
        return measure.figures(measure.measure_works(device, works, inputs, timing, power, say))


def _twin(found: Foreign, engine: LocalEngine, folder: Path, notes: list[Problem]) -> list[Work]:
    """The net without its pairs, for the same engine; where there is none, why."""
    if next(found.graph.codes(), None) is None:
        return []
    try:
        real = Graph(without_pairs(found.graph))
        made = compile_float(engine.artifact, real, found.probes(1)[0], folder)
    except Exception as error:  # each compiler raises its own kinds; the file itself can be timed all the same
        notes.append(Problem(engine.name, f"has no float neighbour: {last_line(error)}"))
        return []
    assert made.runner is not None
    return [Work(f"{FLOAT}, {engine.name}", made.runner, folder / made.model, made.options)]


def defaults(runs: int | None, seconds: float | None, threads: int | None) -> Timing:
    """The usual measurement, changed where a person says so."""
    given = {"runs": runs, "seconds": seconds, "threads": threads}
    return replace(Timing(), **{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
