"""Verify a bundle: its files, every hop of its network, the task's scores, the gates. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgekd.backends.base import Artifact, read_artifact
from edgekd.devices.local import RUNNERS, can_run, how_to_get, open_session
from edgekd.errors import MissingError, Problem, RequestError
from edgekd.evidence import Bundle, Figure
from edgekd.graph import golden
from edgekd.graph.images import Picture, data_digests, read_picture
from edgekd.graph.model import Array, Graph, read_model
from edgekd.schema.io import ImageInput, IoRecord
from edgekd.schema.recipes import PARTS
from edgekd.students.base import Task
from edgekd.students.registry import bundled_task
from edgekd.verify.gates import Gate, parity_gate, score_gates
from edgekd.verify.parity import OBSERVED_APART, Hop, compare
from edgekd.verify.scores import Run, Scores, score
from edgekd.verify.witness import figures

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


def verify(bundle: Bundle, say: Say = lambda text: None) -> Verification:
    """Verify `bundle`. What fails is collected, not raised."""
    manifest, found, changed = bundle.manifest, Verification(), bundle.changed()
    found.gates += [_intact(name, "the manifest's SHA-256") for name in changed]
    if any(name.partition("/")[0] in PARTS for name in changed):
        return found  # code that is not what was bundled is not run
    found.skipped += [Problem(f"arms.{arm}", why) for arm, why in manifest.left_out.items()]
    task = bundled_task(bundle)
    if data_digests(task.folders()) != manifest.data:
        found.gates.append(_intact("data", "the data the run was made with"))
    if any(not (bundle.path / name).is_file() for name in manifest.files):
        return found  # what is left tells too little
    engines = _runnable(bundle, found)
    _check_hops(bundle, engines, found, say)
    _score_all(bundle, task, engines, found, say)
    found.gates += [parity_gate(hop) for hop in found.hops]
    found.gates += score_gates(manifest.recipe, task, found.scores)
    found.figures = figures(bundle, task, found.scores, found.hops, found.gates, found.skipped)
    return found


def answer(bundle: Bundle, engine: str, files: Sequence[Path]) -> tuple[Any, IoRecord]:
    """What an engine of the bundle, or the integer reference (`reference`), answers to one picture an input.

    With the answer comes the io record by which it is read. Raises RequestError where pictures do not fit the inputs.
    """
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    task, io = bundled_task(bundle), graph.io
    raw = read_raw(files, io)
    inputs = task.encode(raw if len(io.inputs) > 1 else raw[io.inputs[0].name], io)
    if engine == "reference":
        rounding = bundle.manifest.target.arithmetic.rounding
        return task.decode(golden.run(graph, inputs, rounding=rounding), io), io
    folder = bundle.path / "artifacts" / engine
    artifact = read_artifact(folder)
    if artifact.runner is None or (artifact.kind == "kit" and not can_run(artifact.runner)):
        raise MissingError(f"`{engine}` is a kit: it runs on the device", "use `--engine reference`")
    return task.decode(open_session(artifact.runner, folder / artifact.model, artifact.options).run(inputs), io), io


def read_raw(files: Sequence[Path], io: IoRecord) -> dict[str, Picture]:
    """A picture file an input, in the record's order, in the input's colours. Raises RequestError on a misfit."""
    specs = [spec for spec in io.inputs if isinstance(spec, ImageInput)]
    if len(specs) < len(io.inputs):
        raise RequestError("the network takes more than pictures", "run it from Python with its task's samples")
    if len(files) != len(specs):
        names = ", ".join(f"`{spec.name}`" for spec in specs)
        raise RequestError(f"the network takes {len(specs)} pictures, not {len(files)}", f"one each for {names}")
    raw = {spec.name: read_picture(file, spec.color) for spec, file in zip(specs, files, strict=True)}
    for spec in specs:
        if (size := raw[spec.name].shape[:2]) != spec.shape[2:]:
            raise RequestError(f"the picture has {size} pixels, the network takes {spec.shape[2:]}", "crop it")
    return raw


def read_probes(path: Path) -> tuple[list[dict[str, Array]], list[dict[str, Array]]]:
    """Probe inputs and the codes training saw, from entries `N/input/NAME` and `N/codes/NAME`."""
    parts: dict[str, dict[int, dict[str, Array]]] = {"input": {}, "codes": {}}
    with np.load(path, allow_pickle=False) as file:
        for entry in file.files:
            number, kind, name = entry.split("/", 2)
            parts[kind].setdefault(int(number), {})[name] = file[entry]
    inputs, codes = ([part[i] for i in sorted(part)] for part in parts.values())
    return inputs, codes


def trace(artifact: Artifact, folder: Path, inputs: dict[str, Array], tensors: list[str]) -> dict[str, Array]:
    """An engine's codes at every tensor, and its outputs as it really runs, with nothing exposed."""
    assert artifact.runner is not None
    model, out = folder / artifact.model, dict[str, Array]()
    for group in [tensors] if artifact.observe == "all" else [[name] for name in tensors]:
        out |= open_session(artifact.runner, model, artifact.options, group).run(inputs)
    moved = [name for name in artifact.moved if name in out]
    out |= {name: (out[name].astype(np.int16) - artifact.code_offset).astype(np.int8) for name in moved}
    out |= open_session(artifact.runner, model, artifact.options).run(inputs)
    return out


def _intact(name: str, what: str) -> Gate:
    return Gate(name, "unchanged", "changed or gone", what, False, "make the run again, or restore that file")


def _runnable(bundle: Bundle, found: Verification) -> dict[str, Artifact]:
    """Artifacts that can be run here; why the others cannot is noted."""
    out = {}
    for name in bundle.manifest.engines:
        artifact = read_artifact(bundle.path / "artifacts" / name)
        if artifact.runner is None or (artifact.kind == "kit" and not can_run(artifact.runner)):
            found.skipped.append(Problem(name, "is a kit: its answers are checked on the device"))
        elif not can_run(artifact.runner):
            package = RUNNERS[artifact.runner]
            found.skipped.append(Problem(name, f"`{package}` is not installed", how_to_get(artifact.runner)))
        else:
            out[name] = artifact
    return out


def _check_hops(bundle: Bundle, engines: dict[str, Artifact], found: Verification, say: Say) -> None:
    graph = Graph(read_model(bundle.path / "graph.onnx"))
    inputs, trained = read_probes(bundle.path / "probes.npz")
    say(f"parity: training → {GOLDEN}")
    found.hops.append(compare(f"training → {GOLDEN}", graph, inputs, trained))
    for name, artifact in engines.items():
        say(f"parity: {GOLDEN} → {name}")
        tensors = [node.output[0] for node in graph.codes()]
        try:
            traces = [trace(artifact, bundle.path / "artifacts" / name, x, tensors) for x in inputs]
        except Exception as error:  # each runtime raises its own kinds; a damaged artifact fails in any of them
            found.gates.append(_does_not_run(name, error))
        else:
            apart = OBSERVED_APART if artifact.observe == "each" else 0.0
            rounding = bundle.manifest.target.arithmetic.rounding
            found.hops.append(compare(f"{GOLDEN} → {name}", graph, inputs, traces, apart, rounding))


def _score_all(bundle: Bundle, task: Task, engines: dict[str, Artifact], found: Verification, say: Say) -> None:
    samples, manifest = task.evalset(), bundle.manifest
    io = Graph(read_model(bundle.path / "graph.onnx")).io

    def add(name: str, run: Run | None) -> None:
        say(f"scores of {len(samples)} samples: {name}")
        found.scores[name] = score(name, task, io, samples, run)

    if task.baseline is not None:
        add(task.baseline, None)
    for name, arm in manifest.arms.items():
        reference = Graph(read_model(bundle.path / arm.graph))
        add(name, partial(golden.run, reference, rounding=manifest.target.arithmetic.rounding))
    for name, artifact in engines.items():
        assert artifact.runner is not None
        try:
            model = bundle.path / "artifacts" / name / artifact.model
            add(name, open_session(artifact.runner, model, artifact.options).run)
        except Exception as error:  # as in `_check_hops`
            found.gates.append(_does_not_run(name, error))


def _does_not_run(name: str, error: Exception) -> Gate:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return Gate(name, "runs here", reason, "no error", False, "compile it again")
