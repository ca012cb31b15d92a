"""How each step is built: one function a kind, each given a folder to fill.

The store counts this file as part of what made a step.
"""

from __future__ import annotations

import io as stream
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgekd.backends.base import RECORD, Job
from edgekd.backends.registry import backend
from edgekd.errors import GateFailedError, MissingError, Problem, ProblemsError, RequestError
from edgekd.graph import accumulator, golden
from edgekd.graph.cost import count
from edgekd.graph.model import Graph, read_model
from edgekd.graph.records import misfits
from edgekd.plan import Compile, Plan, Step
from edgekd.quantize.controls import TOOLS, at_shape
from edgekd.schema.io import IoRecord
from edgekd.schema.recipe import Recipe
from edgekd.store import write_atomic
from edgekd.students.base import Folds, Steers, deployed
from edgekd.train.cache import fill
from edgekd.verify.check import read_probes
from edgekd.verify.records import IO_FILE

if TYPE_CHECKING:
    from edgekd.quantize.methods import Source

NOTES = "notes.json"
FLOAT_TOLERANCE = 1e-3  # of the largest output; ours
Tick = Callable[[int, int, str], None]


def check_untrained(plan: Plan, part: Path) -> None:
    """Export the untrained net and hold it against every engine. Raises ProblemsError with all that does not fit."""
    from edgekd.quantize.capture import capture, same_graph, training_only
    from edgekd.quantize.export import example, export_captured

    shipped = plan.shipped
    student = _student(plan, shipped.recipe)
    net = deployed(student)
    small = student.inputs(student.batch(0, shipped.recipe.quantize.batch))
    trained, final = capture(net, small), capture(net, example(plan.io))
    check_record(plan.io, len(small), final.gives)
    same_graph(trained, final)
    for path in student.taps:
        trained.tap(path)
    keep = shipped.recipe.quantize.keep
    portable = export_captured(final, None, shipped.arithmetic, _ranges(plan), plan.io, keep)
    graph = Graph(portable.model)
    problems = [*misfits(graph, plan.io), *golden.check(graph)]
    for job in plan.compiles:
        problems += backend(job.backend).check(graph, plan.target.engine)
    cost, memory = count(graph), plan.target.board.cost.memory_bytes
    need = cost.weight_bytes + cost.peak_activation_bytes
    if need > memory:
        message = f"the net needs about {need:,} bytes, the board has {memory:,}"
        problems.append(Problem("memory", message, "choose a smaller `model` or `deploy.shape`"))
    if problems:
        raise ProblemsError([located(problem, portable.lines) for problem in dict.fromkeys(problems)])
    write_atomic(part / NOTES, json.dumps(training_only(net, trained, small)).encode())


def notes_of(checked: Path) -> list[Problem]:
    """What the early check found worth telling."""
    left_out = json.loads((checked / NOTES).read_text(encoding="utf-8"))
    message = "stands under `if self.training`, and quantization-aware training goes on without it"
    return [Problem(operator, message, "give it a module of its own if it must stay") for operator in left_out]


def located(problem: Problem, lines: dict[str, str]) -> Problem:
    """A problem at a tensor, with the line of the person's code that makes it."""
    line = lines.get(problem.where, "")
    return replace(problem, where=f"{problem.where} ({line})") if line else problem


def build(plan: Plan, step: Step, at: dict[str, Path], part: Path, tick: Tick) -> None:
    """Build one step into the folder `part`."""
    kind, _, owner = step.name.partition(" ")
    if kind == "compile":
        compile_engine(plan, next(c for c in plan.compiles if c.name == owner), at, part)
    elif kind == "export":
        export(plan, owner, step, at[step.needs[0]], part)
    elif step.ask:
        fill(step.ask.lesson, step.ask.record, part, tick)
    elif kind in TOOLS:
        control(plan, kind, step, at, part)
    else:
        train(plan, kind, step, at, part, tick)


def train(plan: Plan, kind: str, step: Step, at: dict[str, Path], part: Path, tick: Tick) -> None:
    """`teach`, `tune`, `ptq` or `qat`."""
    import torch

    from edgekd.quantize.methods import ptq, qat
    from edgekd.train.teach import load_weights, train_float

    recipe, q = step.recipe, step.recipe.quantize
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    student = learner(plan, step, at)
    if kind == "teach":
        teach(student, recipe, part, tick)
        return
    net = load_weights(deployed(student), at[step.needs[0]])
    source = source_of(plan, recipe, student)
    if kind == "tune":
        train_float(net, lambda model, b: student.loss(model(*student.inputs(b)), b), source.batches, steps=q.steps,
                    lr=q.lr, weight_decay=0.0, warmup=0.0, folder=part, tick=tick)  # fmt: skip
        return
    if kind == "ptq":
        ptq(net, source, step.arithmetic, q, part)
    else:
        teacher = load_weights(deployed(student), at[step.needs[0]])
        qat(net, teacher, source, step.arithmetic, q, part, tick)


def teach(student: Any, recipe: Recipe, part: Path, tick: Tick) -> None:
    """The float net, steered where its student steers, folded where it folds."""
    from edgekd.train.teach import train_float

    t, net = recipe.train, student.build()
    train_float(net, lambda model, b: student.loss(model(*student.inputs(b)), b), lambda i: student.batch(i, t.batch),
                steps=t.steps, lr=t.lr, weight_decay=t.weight_decay, warmup=t.warmup, folder=part, tick=tick,
                precision=t.precision,
                at_step=(lambda i: student.steer(net, i, t.steps)) if isinstance(student, Steers) else lambda i: None,
                fold=(lambda trained: student.fold(trained, part)) if isinstance(student, Folds) else None)  # fmt: skip


def source_of(plan: Plan, recipe: Recipe, student: Any) -> Source:
    """What quantization sees of the student; its batches are those that the teacher has not seen."""
    from edgekd.quantize.methods import Source

    def batches(i: int) -> dict[str, Any]:
        batch: dict[str, Any] = student.batch(recipe.train.steps + i, recipe.quantize.batch)
        return batch

    return Source(batches, student.inputs, student.loss, student.taps, _ranges(plan))


def control(plan: Plan, method: str, step: Step, at: dict[str, Path], part: Path) -> None:
    """The float net quantized by another tool, on PTQ's own batches and at their shape, then at the deployed one."""
    import torch

    from edgekd.quantize.export import export_float, finish
    from edgekd.quantize.methods import calibration_batches
    from edgekd.train.teach import load_weights

    torch.set_num_threads(step.recipe.threads)
    student = learner(plan, step, at)
    net = load_weights(deployed(student), at[step.needs[0]])
    batches = calibration_batches(source_of(plan, step.recipe, student), step.recipe.quantize)
    small = export_float(net, plan.io.at([tuple(x.shape) for x in batches[0]]))
    feeds = [{spec.name: x.contiguous().numpy() for spec, x in zip(plan.io.inputs, xs, strict=True)} for xs in batches]
    made = TOOLS[method].quantize(small, feeds, step.arithmetic)
    model = finish(at_shape(made, small, read_model(at[step.needs[1]] / "graph.onnx")), plan.io)
    if problems := golden.check(Graph(model)):
        raise ProblemsError(problems)
    onnx.save(model, part / "graph.onnx")


def export(plan: Plan, arm: str, step: Step, trained: Path, part: Path) -> None:
    """The arm's graph; of a quantized arm also probes with the codes that training saw."""
    import torch

    from edgekd.quantize.export import export_float, export_quantized, trained_codes
    from edgekd.quantize.methods import load_quantizers

    torch.set_num_threads(step.recipe.threads)
    net = trained_net(plan, step.recipe, trained)
    samples = [plan.task.encode(s.raw, plan.io) for s in plan.task.evalset()[: step.recipe.deploy.probes]]
    tensors = [tuple(torch.from_numpy(x[spec.name]) for spec in plan.io.inputs) for x in samples]
    if plan.recipe.arms[arm].method not in ("ptq", "qat"):
        model = export_float(net, plan.io)
        with torch.no_grad():
            outputs = [arrays(net(*inputs)) for inputs in tensors]
        check_float(Graph(model), samples, outputs)
        onnx.save(model, part / "graph.onnx")
        return
    keep = step.recipe.quantize.keep
    portable = export_quantized(net, load_quantizers(trained), step.arithmetic, _ranges(plan), plan.io, keep)
    if problems := accumulator.check(Graph(portable.model)):
        raise ProblemsError(problems)
    onnx.save(portable.model, part / "graph.onnx")
    entries: dict[str, Any] = {}
    for i, (inputs, tensor) in enumerate(zip(samples, tensors, strict=True)):
        codes = trained_codes(portable.quantized, tensor)
        entries |= {f"{i}/input/{name}": array for name, array in inputs.items()}
        entries |= {f"{i}/codes/{name}": array for name, array in codes.items()}
    buffer = stream.BytesIO()
    np.savez_compressed(buffer, **entries)
    write_atomic(part / "probes.npz", buffer.getvalue())


def arrays(outputs: Any) -> list[Any]:
    """What a net gives, a Tensor or a tuple of them, as numpy arrays."""
    return [tensor.numpy() for tensor in (outputs if isinstance(outputs, tuple | list) else [outputs])]


def check_record(io: IoRecord, inputs: int, outputs: int) -> None:
    """The io record names each input of a batch and each output of the net. Raises RequestError."""
    for kind, given, named in (("takes", inputs, io.inputs), ("gives", outputs, io.outputs)):
        if given != len(named):
            message = f"the network {kind} {given} tensors, its io record names {len(named)}"
            raise RequestError(message, "name each of them in `io`, in the network's order")


def check_float(graph: Graph, samples: list[dict[str, Any]], outputs: list[list[Any]]) -> None:
    """The float graph answers as the net did, up to float32's rounding. Raises GateFailedError."""
    for inputs, wants in zip(samples, outputs, strict=True):
        trace = golden.run(graph, inputs)
        for name, want in zip(graph.outputs, wants, strict=True):
            difference = float(np.abs(trace[name] - want).max())
            if not difference <= FLOAT_TOLERANCE * max(1.0, float(np.abs(want).max())):
                where = f"by up to {difference:.2g} at `{name}`"
                raise GateFailedError(f"the exported float graph answers differently from the net: {where}")


def compile_engine(plan: Plan, job: Compile, at: dict[str, Path], part: Path) -> None:
    """An engine's artifact or kit, with its record."""
    for leftover in part.iterdir():
        leftover.unlink()
    shipped, reference = (at[plan.exported[arm]] for arm in (plan.recipe.ship, plan.recipe.reference))
    graph = Graph(read_model(shipped / "graph.onnx"))
    inputs, _ = read_probes(shipped / "probes.npz")
    rounding = plan.target.arithmetic.rounding
    traces = (golden.run(graph, x, rounding=rounding) for x in inputs)
    expected = [{name: trace[name] for name in graph.outputs} for trace in traces]
    engine = backend(job.backend)
    if problems := engine.check(graph, plan.target.engine):
        raise ProblemsError(problems)
    work = Job(graph, Graph(read_model(reference / "graph.onnx")), inputs, expected)
    write_atomic(part / IO_FILE, graph.io.model_dump_json(indent=1).encode())
    artifact = engine.compile(work, job.options, part)
    write_atomic(part / RECORD, json.dumps(artifact.plain(), indent=1).encode())


def learner(plan: Plan, step: Step, at: Mapping[str, Path]) -> Any:
    """The student of a step that draws batches, with its teacher: another arm's net, or answers of one outside."""
    student: Any = _student(plan, step.recipe)
    if step.learns:
        source, folder = plan.steps[step.learns], at[step.learns]
        if source.ask:
            student.learn(step.recipe.teacher, folder)
        else:
            student.follow(step.recipe.teacher, trained_net(plan, source.recipe, folder).eval().requires_grad_(False))
    return student


def trained_net(plan: Plan, recipe: Recipe, folder: Path) -> Any:
    """The net in its deployed form with the weights of a finished step."""
    from edgekd.train.teach import load_weights

    return load_weights(deployed(_student(plan, recipe)), folder)


def _student(plan: Plan, recipe: Recipe) -> Any:
    try:
        return plan.entry.make_student(recipe.model, recipe.data, recipe.seed)
    except ModuleNotFoundError as error:  # torch is imported late
        raise MissingError(f"training needs `{error.name}`", "pip install 'edgekd[train]'") from None


def _ranges(plan: Plan) -> list[tuple[float, float]]:
    """Ranges of the inputs, which follow from the io record."""
    return [spec.ends for spec in plan.io.inputs]
