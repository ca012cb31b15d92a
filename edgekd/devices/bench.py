"""A bundle on a device: what it costs there and what it answers there."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekd.backends.base import Artifact, Firmware, Job, read_artifact
from edgekd.backends.registry import backend, is_installed
from edgekd.devices import answers, measure
from edgekd.devices.base import Device, Probe, Say, Timing, Work, silent
from edgekd.devices.local import Local, can_run, how_to_get, is_board
from edgekd.devices.work import work_of
from edgekd.errors import MissingError, Problem, RequestError, nearest
from edgekd.evidence import Bundle, Figure
from edgekd.graph.model import Array, Graph, read_model
from edgekd.resources import sha256
from edgekd.schema.target import Reach
from edgekd.verify.gates import Gate, latency_gates


@dataclass
class Benched:
    """What one device gave."""

    device: str
    host: str
    figures: list[Figure] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    missing: list[Problem] = field(default_factory=list)
    """What kept an engine from running there."""


def engines_of(bundle: Bundle, named: Sequence[str], device: Device) -> list[str]:
    """The engines named, or those meant for the target; on a host that is not the target, those that stand in for it.

    Raises RequestError with the nearest name.
    """
    known = bundle.manifest.engines
    for name in named:
        if name not in known:
            raise RequestError(f"the run has no engine `{name}`", nearest(name, [*known]))
    here = isinstance(device, Local) and not is_board(bundle.manifest.target.board.reach)
    stand_ins = [name for name, e in known.items() if e.role == "stand-in"]
    return list(named) or (stand_ins if here and stand_ins else [name for name in known if name not in stand_ins])


def bench(
    bundle: Bundle, device: Device, timing: Timing, engines: Sequence[str], samples: int | None = None,
    power: bool = True, say: Say = silent,
) -> Benched:  # fmt: skip
    """Engines of a bundle on a device: latency, memory and energy beside the FP32 twin where the device is the target,
    and the answers to probes and evaluation set, or its first `samples`, everywhere.

    An engine that cannot run there does not keep the others from it. Raises MissingError where the device cannot be
    reached.
    """
    asked = answers.questions(bundle, samples)
    say(f"state of {device.name}")
    probe = device.probe()
    found = Benched(device.name, probe.host)
    if reason := not_target(device, probe, bundle):
        found.notes.append(Problem("", reason))
    if len(asked.samples) < asked.whole:
        found.notes.append(Problem("", f"scores are of the first {len(asked.samples)} of {asked.whole} samples"))
    for name in engines:
        artifact = read_artifact(bundle.path / "artifacts" / name)
        if isinstance(device, Local) and (artifact.runner is None or not can_run(artifact.runner)):
            hint = how_to_get(artifact.runner) if artifact.runner else ""
            found.notes.append(Problem(name, "does not run here", hint))
            continue
        timed = not reason and bundle.manifest.engines[name].role == "target"
        try:
            _run(asked, name, artifact, device, timing if timed else None, power and probe.power, found, say)
        except MissingError as error:
            found.missing.append(Problem(name, error.message, error.hint, missing=True))
    return found


def not_target(device: Device, probe: Probe, bundle: Bundle) -> str:
    """Why speed on this device says nothing about the target's; empty where it does."""
    board = bundle.manifest.target.board
    same = is_board(board.reach) if isinstance(device, Local) else is_such(board.reach, probe)
    what = "this host" if isinstance(device, Local) else f"`{device.name}` ({probe.state.model or probe.machine})"
    return "" if same else f"no latency: {what} is not a {board.title}, and its speed says nothing about one"


def is_such(reach: Reach, probe: Probe) -> bool:
    """Whether a machine is what a descriptor describes: of its kind, and of its model where it names some."""
    named = not reach.models or any(model in probe.state.model for model in reach.models)
    return probe.machine in reach.machines and named


def _run(
    asked: answers.Questions, name: str, artifact: Artifact, device: Device, timing: Timing | None, power: bool,
    found: Benched, say: Say,
) -> None:  # fmt: skip
    """One engine: its answers, and where there is a `timing` all that is measured."""
    shipped, inputs = work_of(asked.bundle, name, artifact), asked.inputs
    if timing is None:
        result = device.do([shipped], inputs, [{"task": "run", "model": name}], say)
        outputs, tool, host = result.arrays[0], result.told[0]["tool"], found.host
    else:
        with tempfile.TemporaryDirectory() as folder:
            works = [*twins(asked.bundle, name, artifact, inputs[0], Path(folder)), shipped]
            measured = measure.measure_works(device, works, inputs, timing, power, say)
        timed = measure.figures(measured)
        found.figures += timed
        found.gates += latency_gates(asked.bundle.manifest.recipe, [name], timed)
        outputs, tool, host = measured.outputs, measured.tool(shipped), measured.before.host
    hop, scores = answers.judge(asked, f"{name} on {device.name}", outputs)
    witness = {"tool": tool, "host": host, "device": device.name, "sha256": sha256(shipped.model)}
    found.figures += answers.figures(asked, hop, scores, witness)
    found.gates += answers.gates(asked, scores)


def twins(bundle: Bundle, name: str, artifact: Artifact, inputs: dict[str, Array], out: Path) -> list[Work]:
    """The same net in float for the same engine: what the artifact brings, else compiled here, where that can be."""
    assert artifact.runner is not None
    if isinstance(backend(artifact.backend), Firmware):
        return []  # no float runs there
    if artifact.beside:
        folder, float_arm = bundle.path / "artifacts" / name, bundle.manifest.recipe.reference
        named = {float_arm if key == "float" else key: folder / file for key, file in artifact.beside.items()}
        return [Work(key, artifact.runner, path, artifact.options) for key, path in named.items()]
    return [float_twin(bundle, artifact, inputs, out)] if is_installed(artifact.backend) else []


def float_twin(bundle: Bundle, artifact: Artifact, inputs: dict[str, Array], out: Path) -> Work:
    """The FP32 graph, compiled with the artifact's backend and options; named as its arm."""
    arm = bundle.manifest.recipe.reference
    graph = bundle.path / bundle.manifest.arms[arm].graph
    twin = compile_float(artifact, Graph(read_model(graph)), inputs, out)
    assert twin.runner is not None
    return Work(arm, twin.runner, out / twin.model, twin.options, graph)


def compile_float(artifact: Artifact, graph: Graph, inputs: dict[str, Array], out: Path) -> Artifact:
    """The float graph, compiled with the artifact's backend and options."""
    engine = backend(artifact.backend)
    known = engine.Options.model_fields
    options = engine.Options.model_validate({k: v for k, v in artifact.options.items() if k in known})
    return engine.compile(Job(graph, graph, [inputs], []), options, out)
