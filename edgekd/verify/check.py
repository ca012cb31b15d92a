"""Verify a bundle: its files, every hop of its network, the task's scores, the gates. No torch."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edgekd.backends.base import read_artifact
from edgekd.devices.base import Device
from edgekd.devices.local import RUNNERS, can_run, how_to_get
from edgekd.devices.work import work_of
from edgekd.errors import MissingError, Problem, RequestError, last_line
from edgekd.evidence import Bundle, Figure
from edgekd.graph import golden
from edgekd.graph.cost import count
from edgekd.graph.images import data_digests
from edgekd.graph.model import Array, Graph, read_model
from edgekd.schema.io import IoRecord
from edgekd.schema.recipes import PARTS
from edgekd.students.base import Task, sign_of
from edgekd.students.registry import bundled_task
from edgekd.verify.engines import DeviceEngine, Engine, LocalEngine
from edgekd.verify.gates import Gate, group_gates, parity_gate, score_gates, size_gates
from edgekd.verify.parity import Hop, compare
from edgekd.verify.records import encoding_gate, read_record, record_gate
from edgekd.verify.scores import Answers, Scores, controls, score
from edgekd.verify.search import check_engine
from edgekd.verify.witness import Losses, figures
from edgekd.verify.worst import group_losses, groups, sample_losses

Say = Callable[[str], None]
GOLDEN = "integer reference"


@dataclass
class Verification:
    """What was found, and what could not be looked at here."""

    hops: list[Hop] = field(default_factory=list)
    scores: dict[str, Scores] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def failures(self) -> list[Problem]:
        """Gates that did not hold."""
        return [gate.problem for gate in self.gates if not gate.held]


def verify(
    bundle: Bundle, say: Say = lambda text: None, every: bool = False, device: Device | None = None, again: bool = True
) -> Verification:
    """Verify `bundle`: its engines here, or the target's own on a device.

    `every`: all tensors of every engine, however many. `again`: data files are read, whatever is remembered of them.
    What fails is collected; raised is MissingError, where the device cannot be reached or lacks what it needs.
    """
    manifest, found, changed = bundle.manifest, Verification(), bundle.changed()
    found.gates += [_intact(name, "the manifest's SHA-256") for name in changed]
    if any(name.partition("/")[0] in PARTS for name in changed):
        return found  # code that is not what was bundled is not run
    found.skipped += [Problem(f"arms.{arm}", why) for arm, why in manifest.left_out.items()]
    task = bundled_task(bundle)
    if data_digests(task.folders(), again) != manifest.data:
        found.gates.append(_intact("data", "the data the run was made with"))
    if any(not (bundle.path / name).is_file() for name in manifest.files):
        return found  # what is left tells too little
    engines = _runnable(bundle, found) if device is None else _on_device(bundle, found, device)
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    found.gates += _check_records(bundle, task, graph, read_probes(bundle.path / "probes.npz")[0])
    _check_hops(bundle, graph, engines, found, say, every)
    _score_all(bundle, task, engines, found, say)
    losses = _find_losses(bundle, task, graph.io, found, {engine.name for engine in engines})
    found.gates += [parity_gate(hop) for hop in found.hops]
    found.gates += score_gates(manifest.recipe, task, found.scores)
    found.gates += size_gates(manifest.recipe, count(graph).weight_bytes)
    found.gates += group_gates(manifest.recipe, task, losses["group"])
    witnesses = {name: e.witness for e in engines for name in (e.name, hop_name(e)) if e.witness}
    found.figures = figures(bundle, task, found.scores, found.hops, found.gates, found.skipped, losses, witnesses)
    return found


def read_probes(path: Path) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Probe inputs and the codes training saw, from entries `N/input/NAME` and `N/codes/NAME`.

    Raises RequestError where the file is damaged.
    """
    parts: dict[str, dict[int, dict[str, Array]]] = {"input": {}, "codes": {}}
    try:
        with np.load(path, allow_pickle=False) as file:
            for entry in file.files:
                number, kind, name = entry.split("/", 2)
                parts[kind].setdefault(int(number), {})[name] = file[entry]
    except (BadZipFile, EOFError, KeyError, ValueError, zlib.error):
        raise RequestError(f"`{path}` is damaged", "make the run again, or restore that file") from None
    inputs, codes = ([part[i] for i in sorted(part)] for part in parts.values())
    return inputs, codes


def _intact(name: str, what: str) -> Gate:
    return Gate(name, "unchanged", "changed or gone", what, False, "make the run again, or restore that file")


def _runnable(bundle: Bundle, found: Verification) -> list[Engine]:
    """Engines that run here; why the others cannot is noted."""
    out: list[Engine] = []
    for name in bundle.manifest.engines:
        folder = bundle.path / "artifacts" / name
        artifact = read_artifact(folder)
        if artifact.runner is None or (artifact.kind == "kit" and not can_run(artifact.runner)):
            found.skipped.append(Problem(name, "is a kit: its answers are checked on the device"))
        elif not can_run(artifact.runner):
            package = RUNNERS[artifact.runner]
            found.skipped.append(Problem(name, f"`{package}` is not installed", how_to_get(artifact.runner)))
        else:
            out.append(LocalEngine(name, artifact, folder))
    return out


def _on_device(bundle: Bundle, found: Verification, device: Device) -> list[Engine]:
    """The target's engine on a device; stand-ins are for hosts that are not the target."""
    out: list[Engine] = []
    for name, record in bundle.manifest.engines.items():
        artifact = read_artifact(bundle.path / "artifacts" / name)
        if record.role == "target" and artifact.runner is not None:
            model = work_of(bundle, name, artifact).model
            made = artifact.model_copy(update={"model": model.name})
            out.append(DeviceEngine(f"{name} on {device.name}", made, model.parent, device))
        else:
            found.skipped.append(Problem(name, "stands in for the target on a host; it is not run on a device"))
    return out


def hop_name(engine: Engine) -> str:
    """The hop that ends in an engine."""
    return f"{GOLDEN} → {engine.name}"


def _check_records(bundle: Bundle, task: Task, graph: Graph, inputs: list[dict[str, Array]]) -> Iterator[Gate]:
    """What lies before and behind the network: io records, and the probes encoded anew."""
    trained = task.io(bundle.manifest.recipe.deploy.shape)
    yield record_gate("graph.onnx", trained, graph.io)
    for name in bundle.manifest.engines:
        yield record_gate(name, trained, read_record(bundle.path / "artifacts" / name))
    yield encoding_gate(task, trained, task.evalset(), inputs)


def _check_hops(
    bundle: Bundle, graph: Graph, engines: list[Engine], found: Verification, say: Say, every: bool
) -> None:
    inputs, trained = read_probes(bundle.path / "probes.npz")
    rounding = bundle.manifest.target.arithmetic.rounding
    say(f"parity: training → {GOLDEN}")
    found.hops.append(compare(f"training → {GOLDEN}", graph, inputs, trained))
    for engine in engines:
        say(f"parity: {GOLDEN} → {engine.name}")
        try:
            found.hops.append(check_engine(hop_name(engine), engine, graph, inputs, rounding, every))
        except MissingError:
            raise
        except Exception as error:  # each runtime raises its own kinds; a damaged artifact fails in any of them
            found.gates.append(_does_not_run(engine.name, error))


def _score_all(bundle: Bundle, task: Task, engines: list[Engine], found: Verification, say: Say) -> None:
    samples, manifest = task.evalset(), bundle.manifest
    io = Graph(read_model(bundle.path / "graph.onnx")).io

    def add(name: str, answers: Answers) -> None:
        say(f"scores of {len(samples)} samples: {name}")
        found.scores[name] = score(name, task, io, samples, answers)

    found.scores |= {s.subject: s for s in controls(task, samples)}
    for name, arm in manifest.arms.items():
        reference = Graph(read_model(bundle.path / arm.graph))
        run = partial(golden.run, reference, rounding=manifest.target.arithmetic.rounding)
        add(name, partial(map, run))
    for engine in engines:
        try:
            add(engine.name, engine.outputs)
        except MissingError:
            raise
        except Exception as error:  # as in `_check_hops`
            found.gates.append(_does_not_run(engine.name, error))


def _find_losses(bundle: Bundle, task: Task, io: IoRecord, found: Verification, engines: set[str]) -> Losses:
    """What the shipped graph and the engines lose most against FP32: samples, and groups where there are any."""
    recipe, parts = bundle.manifest.recipe, groups(task, io, task.evalset())
    full, by = found.scores[recipe.reference], (task.metric, sign_of(task, task.metric))
    ours = [s for name, s in found.scores.items() if name == recipe.ship or name in engines]
    by_group = {s.subject: group_losses(parts, full, s, *by) for s in ours if parts}
    return {"sample": {s.subject: sample_losses(full, s, *by) for s in ours}, "group": by_group}


def _does_not_run(name: str, error: Exception) -> Gate:
    return Gate(name, "runs here", last_line(error), "no error", False, "compile it again")
