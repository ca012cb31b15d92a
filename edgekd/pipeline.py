"""`compress()`: the one place that wires the rooms together. It reads top to bottom as the run goes."""

from __future__ import annotations

import io as stream
import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgekd.backends.base import RECORD, Job
from edgekd.backends.registry import backend
from edgekd.devices.profile import profile
from edgekd.errors import GateFailedError, MissingError, Problem, ProblemsError, gather
from edgekd.evidence import ArmRecord, Bundle, EngineRecord, Figure, Manifest, host, now
from edgekd.graph import golden
from edgekd.graph.cost import count
from edgekd.graph.model import Graph, read_model
from edgekd.plan import Compile, Plan, Step, check_key, make_plan
from edgekd.report.html import write_report
from edgekd.resources import sha256
from edgekd.schema.load import parse_overrides
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import load_recipe
from edgekd.schema.target import Target
from edgekd.schema.targets import find_target
from edgekd.store import Store, installed, write_atomic
from edgekd.students.registry import find_student
from edgekd.verify.check import Verification, read_probes, verify
from edgekd.verify.pictures import save_pictures

VERSIONS = (
    "edgekd",
    "torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "lightning-fabric",
    "safetensors",
    "pillow",
)


class Reporter:
    """Hears what a run does; this one keeps silent."""

    def plan(self, plan: Plan, cached: set[str]) -> None:
        """The resolved plan, and the names of the steps that are in the store already."""

    def step(self, name: str, cached: bool) -> None:
        """A step begins, or is taken from the store."""

    def tick(self, done: int, total: int, text: str) -> None:
        """Progress within a step."""

    def say(self, text: str) -> None:
        """What a step is busy with."""


@dataclass(frozen=True)
class Result:
    """A finished run."""

    folder: Path
    verification: Verification
    figures: list[Figure]
    notes: list[Problem]

    @property
    def bundle(self) -> Bundle:
        """The immutable part."""
        return Bundle(self.folder)

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"


def compress(
    recipe: str | Path | Recipe,
    target: str | Target,
    *,
    overrides: tuple[str, ...] = (),
    out: str | Path = "runs",
    reporter: Reporter | None = None,
) -> Result:
    """The whole run, from teacher to bundle and report.

    Args:
        recipe: a student's name (its default recipe), a recipe's path, or a Recipe.
        target: a target's name (`jetson`, `x86:onnxruntime`, `mine.toml`), or a Target.
        overrides: `KEY=VALUE` pairs laid on the recipe, for example `train.steps=2000`.
        out: folder for runs and for the store of finished steps.

    Raises GateFailedError when a gate does not hold (the report is written all the same), ProblemsError with
    everything wrong with the request, MissingError when something needed is not here.
    """
    result = run(*resolve(recipe, target, overrides), Path(out), reporter)
    if failures := result.verification.failures:
        raise GateFailedError("; ".join(map(str, failures)), f"see `{result.report}`")
    return result


def resolve(recipe: str | Path | Recipe, target: str | Target, overrides: tuple[str, ...]) -> tuple[Recipe, Target]:
    """Recipe and target from their names. Raises ProblemsError with what is wrong in both."""
    problems: list[Problem] = []
    found = recipe if isinstance(recipe, Recipe) else gather(problems, "", lambda: _find_recipe(str(recipe), overrides))
    board = target if isinstance(target, Target) else gather(problems, "", lambda: find_target(target))
    if found is None or board is None:
        raise ProblemsError(problems)
    return found, board


def _find_recipe(name: str, overrides: tuple[str, ...]) -> Recipe:
    """A recipe by path, or a student's default, with overrides."""
    table, problems = parse_overrides(overrides)
    path = Path(name) if name.endswith(".toml") else find_student(name).recipe
    recipe = gather(problems, "", lambda: load_recipe(path, table))
    if problems or recipe is None:
        raise ProblemsError(problems)
    return recipe


def run(recipe: Recipe, target: Target, out: Path, reporter: Reporter | None = None) -> Result:
    """As `compress`, but failed gates are told in the result."""
    reporter = reporter or Reporter()
    plan = make_plan(recipe, target)
    store = Store(out / ".store")
    reporter.plan(plan, {name for name, step in plan.steps.items() if store.find(step.key)})
    reporter.step("check the untrained net", store.find(check_key(plan)) is not None)
    check_untrained(plan, store)

    at: dict[str, Path] = {}
    for step in plan.steps.values():
        reporter.step(step.name, store.find(step.key) is not None)
        at[step.name] = store.get(step.key, lambda part, step=step: build(plan, step, at, part, reporter))  # type: ignore[misc]
    reporter.step("bundle", False)
    with store.lock(plan.name):
        folder = bundle_up(plan, at, out)
    bundle = Bundle(folder)
    reporter.step("verify", False)
    found = verify(bundle, reporter.say)
    save_pictures(bundle, found)
    reporter.step("profile", False)
    figures = [*found.figures, *profile(bundle, reporter.say)]
    bundle.ledger.add(figures)
    write_report(bundle)
    latest = out / "latest"
    if latest.is_symlink() or not latest.exists():
        latest.unlink(missing_ok=True)
        latest.symlink_to(folder.name)
    return Result(folder, found, figures, [*plan.notes, *found.skipped])


def check_untrained(plan: Plan, store: Store) -> None:
    """Export the untrained net and hold it against every engine. Raises ProblemsError; nothing is trained before."""

    def build_check(part: Path) -> None:
        from edgekd.quantize.export import export_quantized

        net = _student(plan, plan.recipe).build()
        graph = Graph(export_quantized(net, None, plan.target.arithmetic, _ranges(plan), plan.io).model)
        problems = list(golden.check(graph))
        for job in plan.compiles:
            problems += backend(job.backend).check(graph, plan.target.engine)
        cost, memory = count(graph), plan.target.board.cost.memory_bytes
        if cost.weight_bytes + cost.peak_activation_bytes > memory:
            need = cost.weight_bytes + cost.peak_activation_bytes
            problems.append(Problem("memory", f"the net needs about {need:,} bytes, the board has {memory:,}",
                                    "choose a smaller `model` or `deploy.shape`"))  # fmt: skip
        if problems:
            raise ProblemsError(list(dict.fromkeys(problems)))
        write_atomic(part / "operators.json", json.dumps(sorted({n.op_type for n in graph.nodes})).encode())

    store.get(check_key(plan), build_check)


def build(plan: Plan, step: Step, at: dict[str, Path], part: Path, reporter: Reporter) -> None:
    """Build one step into the folder `part`."""
    kind, _, owner = step.name.partition(" ")
    if kind == "compile":
        compile_engine(plan, next(c for c in plan.compiles if c.name == owner), at, part)
    elif kind == "export":
        export(plan, owner, step, at[step.needs[0]], part)
    else:
        train(plan, kind, step, [at[name] for name in step.needs], part, reporter.tick)


def train(plan: Plan, kind: str, step: Step, needs: list[Path], part: Path, tick: Callable[..., None]) -> None:
    """`teach`, `tune`, `ptq` or `qat`."""
    import torch

    from edgekd.quantize.methods import Source, ptq, qat
    from edgekd.train.teach import load_weights, train_float

    recipe, q = step.recipe, step.recipe.quantize
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    student = _student(plan, recipe)
    net = student.build()
    if kind == "teach":
        t = recipe.train
        train_float(net, lambda model, b: student.loss(model(*student.inputs(b)), b),
                    lambda i: student.batch(i, t.batch), steps=t.steps, lr=t.lr, weight_decay=t.weight_decay,
                    warmup=t.warmup, folder=part, tick=tick)  # fmt: skip
        return
    load_weights(net, needs[0])
    offset = recipe.train.steps  # batches that the teacher has not seen

    def batches(i: int) -> dict[str, Any]:
        batch: dict[str, Any] = student.batch(offset + i, q.batch)
        return batch

    if kind == "tune":
        train_float(net, lambda model, b: student.loss(model(*student.inputs(b)), b), batches, steps=q.steps,
                    lr=q.lr, weight_decay=0.0, warmup=0.0, folder=part, tick=tick)  # fmt: skip
        return
    source = Source(batches, student.inputs, student.loss, student.taps, _ranges(plan))
    if kind == "ptq":
        ptq(net, source, plan.target.arithmetic, q, part)
    else:
        teacher = load_weights(student.build(), needs[0])
        qat(net, teacher, source, plan.target.arithmetic, q, part, tick)


def export(plan: Plan, arm: str, step: Step, trained: Path, part: Path) -> None:
    """The arm's graph; of a quantized arm also probes with the codes that training saw."""
    import torch

    from edgekd.quantize.export import export_float, export_quantized, trained_codes
    from edgekd.quantize.methods import load_quantizers
    from edgekd.train.teach import load_weights

    torch.set_num_threads(step.recipe.threads)
    net = load_weights(_student(plan, step.recipe).build(), trained)
    if plan.recipe.arms[arm].method in ("teach", "tune"):
        onnx.save(export_float(net, plan.io), part / "graph.onnx")
        return
    portable = export_quantized(net, load_quantizers(trained), plan.target.arithmetic, _ranges(plan), plan.io)
    onnx.save(portable.model, part / "graph.onnx")
    entries: dict[str, Any] = {}
    for i, sample in enumerate(plan.task.evalset()[: step.recipe.deploy.probes]):
        inputs = plan.task.encode(sample.raw, plan.io)
        codes = trained_codes(portable.quantized, tuple(torch.from_numpy(inputs[s.name]) for s in plan.io.inputs))
        entries |= {f"{i}/input/{name}": array for name, array in inputs.items()}
        entries |= {f"{i}/codes/{name}": array for name, array in codes.items()}
    buffer = stream.BytesIO()
    np.savez_compressed(buffer, **entries)
    write_atomic(part / "probes.npz", buffer.getvalue())


def compile_engine(plan: Plan, job: Compile, at: dict[str, Path], part: Path) -> None:
    """An engine's artifact or kit, with its record."""
    for leftover in part.iterdir():
        leftover.unlink()
    shipped, reference = (at[plan.exported[arm]] for arm in (plan.recipe.ship, plan.recipe.teacher))
    graph = Graph(read_model(shipped / "graph.onnx"))
    inputs, _ = read_probes(shipped / "probes.npz")
    expected = [{name: trace[name] for name in graph.outputs} for trace in (golden.run(graph, x) for x in inputs)]
    engine = backend(job.backend)
    if problems := engine.check(graph, plan.target.engine):
        raise ProblemsError(problems)
    work = Job(graph, Graph(read_model(reference / "graph.onnx")), inputs, expected)
    artifact = engine.compile(work, job.options, part)
    write_atomic(part / RECORD, json.dumps(artifact.plain(), indent=1).encode())


def bundle_up(plan: Plan, at: dict[str, Path], out: Path) -> Path:
    """Collect what the steps gave into an immutable folder, and list it in the manifest."""
    folder = out / plan.name
    if (folder / "bundle" / "manifest.json").is_file():
        return folder
    part = folder / "bundle.part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "arms").mkdir(parents=True)
    shipped = at[plan.exported[plan.recipe.ship]]
    shutil.copy(shipped / "graph.onnx", part / "graph.onnx")
    shutil.copy(shipped / "probes.npz", part / "probes.npz")
    arms = {}
    for arm, spec in plan.recipe.arms.items():
        graph = f"arms/{arm}.onnx"
        shutil.copy(at[plan.exported[arm]] / "graph.onnx", part / graph)
        curve = at[plan.trained[arm]] / "curve.json"
        if curve.exists():
            shutil.copy(curve, part / "arms" / f"{arm}.curve.json")
        arms[arm] = ArmRecord(title=spec.title or arm, method=spec.method, graph=graph)
    engines = {}
    for job in plan.compiles:
        shutil.copytree(at[f"compile {job.name}"], part / "artifacts" / job.name)
        engines[job.name] = EngineRecord(role="stand-in" if job.why else "target", why=job.why)
    manifest = Manifest(
        name=plan.name,
        created=now(),
        recipe=plan.recipe,
        target=plan.target,
        arms=arms,
        engines=engines,
        data=plan.data,
        steps={name: str(step.key) for name, step in plan.steps.items()},
        versions={"python": platform.python_version()} | {name: installed(name) for name in VERSIONS},
        host=host(),
        files={str(p.relative_to(part)): sha256(p) for p in sorted(part.rglob("*")) if p.is_file()},
    )
    text = manifest.model_dump_json(indent=1, by_alias=True)
    write_atomic(part / "manifest.json", text.encode())
    part.rename(folder / "bundle")
    return folder


def _student(plan: Plan, recipe: Recipe) -> Any:
    try:
        return plan.entry.make_student(recipe.model, recipe.data, recipe.seed)
    except ModuleNotFoundError as error:  # torch is imported late
        raise MissingError(f"training needs `{error.name}`", "pip install 'edgekd[train]'") from None


def _ranges(plan: Plan) -> list[tuple[float, float]]:
    """Ranges of the inputs, which follow from the io record: pixels 0 and 255 after scaling, mean and std."""
    out = []
    for spec in plan.io.inputs:
        ends = [(v * 255 * spec.scale - m) / s for m, s in zip(spec.mean, spec.std, strict=True) for v in (0, 1)]
        out.append((min(ends), max(ends)))
    return out
