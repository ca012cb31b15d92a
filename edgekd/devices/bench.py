"""A bundle on a device: what it costs there and what it answers there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.backends.base import Artifact, Job, read_artifact
from edgekd.backends.registry import backend, is_installed
from edgekd.devices import answers, measure
from edgekd.devices.base import Device, Probe, Say, Timing, Work, silent
from edgekd.devices.local import Local, is_board
from edgekd.errors import Problem, RequestError, nearest
from edgekd.evidence import Bundle, Figure
from edgekd.graph.model import Array, Graph, read_model
from edgekd.resources import sha256
from edgekd.schema.target import Reach
from edgekd.verify.gates import Gate


@dataclass
class Benched:
    """What one device gave."""

    device: str
    host: str
    figures: list[Figure] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def engines_of(bundle: Bundle, named: Sequence[str]) -> list[str]:
    """The engines of a bundle, or those named. Raises RequestError with the nearest name."""
    known = list(bundle.manifest.engines)
    for name in named:
        if name not in known:
            raise RequestError(f"the run has no engine `{name}`", nearest(name, known))
    return list(named) or known


def bench(bundle: Bundle, device: Device, timing: Timing, engines: Sequence[str], say: Say = silent) -> Benched:
    """Engines of a bundle on a device: latency and memory beside the FP32 twin where the device is the target, and the
    answers to probes and evaluation set everywhere.

    Raises MissingError where the device cannot be reached or cannot run an engine.
    """
    probe, asked = device.probe(), answers.questions(bundle)
    found = Benched(device.name, probe.host)
    for name in engines:
        record = bundle.manifest.engines[name]
        artifact = read_artifact(bundle.path / "artifacts" / name)
        if artifact.runner is None:
            found.notes.append(Problem(name, "is a kit: it is built and measured on its board", "see its README"))
            continue
        reason = not_timed(device, probe, bundle, record.role)
        if reason:
            found.notes.append(Problem(name, reason))
        say(f"{name} on {device.name}")
        _run(asked, name, artifact, device, timing, not reason, found, say)
    return found


def not_timed(device: Device, probe: Probe, bundle: Bundle, role: str) -> str:
    """Why an engine's speed on this device says nothing about the target's; empty where it does."""
    board = bundle.manifest.target.board
    if not is_target(device, probe, board.reach):
        return f"no latency: {device.name} is not a {board.title}"
    return "" if role == "target" else "no latency: it stands in for the target's arithmetic, not for its speed"


def is_target(device: Device, probe: Probe, reach: Reach) -> bool:
    """Whether a device may be what a descriptor describes."""
    return is_board(reach) if isinstance(device, Local) else probe.machine in reach.machines


def _run(
    asked: answers.Questions, name: str, artifact: Artifact, device: Device, timing: Timing, timed: bool,
    found: Benched, say: Say,
) -> None:  # fmt: skip
    """One engine: all of it, or its answers alone."""
    shipped, inputs = work_of(asked.bundle, name, artifact), asked.inputs
    if timed:
        measured = _measured(asked.bundle, artifact, shipped, device, inputs, timing, say)
        found.figures += measure.figures(measured)
        outputs, tool, host = measured.outputs, measured.tools[name], measured.host
    else:
        result = device.do([shipped], inputs, [{"task": "run", "model": name}], say)
        outputs, tool, host = result.arrays[0], result.told[0]["tool"], result.host
    hop, scores = answers.judge(asked, f"{name} on {device.name}", outputs)
    witness = {"tool": tool, "host": host, "device": device.name, "sha256": sha256(shipped.model)}
    found.figures += answers.figures(asked, hop, scores, witness)
    found.gates += answers.gates(asked, scores)


def _measured(
    bundle: Bundle, artifact: Artifact, shipped: Work, device: Device, inputs: Sequence[dict[str, Array]],
    timing: Timing, say: Say,
) -> measure.Measured:  # fmt: skip
    """The artifact beside its FP32 twin, which is compiled where its backend is installed."""
    with tempfile.TemporaryDirectory() as folder:
        twins = [float_twin(bundle, artifact, inputs[0], Path(folder))] if is_installed(artifact.backend) else []
        return measure.measure_works(device, [*twins, shipped], inputs, timing, say)


def work_of(bundle: Bundle, name: str, artifact: Artifact) -> Work:
    """An artifact as it is run."""
    assert artifact.runner is not None
    return Work(name, artifact.runner, bundle.path / "artifacts" / name / artifact.model, artifact.options)


def float_twin(bundle: Bundle, artifact: Artifact, inputs: dict[str, Array], out: Path) -> Work:
    """The FP32 graph, compiled with the artifact's backend and options; named as its arm."""
    arm = bundle.manifest.recipe.teacher
    graph = bundle.path / bundle.manifest.arms[arm].graph
    twin = compile_float(artifact, graph, inputs, out)
    assert twin.runner is not None
    return Work(arm, twin.runner, out / twin.model, twin.options, graph)


def compile_float(artifact: Artifact, reference: Path, inputs: dict[str, Array], out: Path) -> Artifact:
    """The float graph, compiled with the artifact's backend and options."""
    engine, graph = backend(artifact.backend), Graph(read_model(reference))
    known = engine.Options.model_fields
    options = engine.Options.model_validate({k: v for k, v in artifact.options.items() if k in known})
    return engine.compile(Job(graph, graph, [inputs], []), options, out)
