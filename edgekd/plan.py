"""Recipe and target to a resolved plan: every step with its key, and every problem that can be known now."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from edgekd.backends.registry import backend, is_installed, names
from edgekd.errors import Problem, ProblemsError, gather
from edgekd.graph.images import data_digests
from edgekd.quantize.controls import TOOLS, left_out
from edgekd.schema.io import IoRecord
from edgekd.schema.load import parse
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import arm_recipe
from edgekd.schema.target import Target
from edgekd.store import Key, step_key
from edgekd.students.base import Task
from edgekd.students.registry import Entry, find_student

_WIRING = Path(__file__).parent / "steps.py"
TRAINING = ("torch", "numpy", "lightning-fabric", "pillow")
EXPORTING = ("torch", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True)
class Step:
    """One step: what it is called, its key, the steps it builds on, the arm's recipe it belongs to."""

    name: str
    key: Key
    needs: tuple[str, ...]
    recipe: Recipe


@dataclass(frozen=True)
class Compile:
    """One engine to compile for: backend, options, and whether it only stands in for the target's."""

    name: str
    backend: str
    options: Any
    why: str = ""


@dataclass
class Plan:
    """A resolved run."""

    recipe: Recipe
    target: Target
    entry: Entry
    task: Task
    io: IoRecord
    data: dict[str, str]
    steps: dict[str, Step] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    """Arm -> the step that gives its weights."""
    exported: dict[str, str] = field(default_factory=dict)
    """Arm -> the step that gives its graph. Controls have no weights of their own; those left out are in `notes`."""
    compiles: list[Compile] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Student, target and the first digits of what recipe, target and all steps' keys come to."""
        declared = {"recipe": self.recipe.plain(), "target": self.target.plain()}
        whole = step_key("run", declared, [step.key for step in self.steps.values()], code=())
        return f"{self.recipe.student}-{self.target.name.replace(':', '-')}-{whole.hex[:8]}"

    def add(self, kind: str, owner: str, key: Key, needs: tuple[str, ...], recipe: Recipe) -> str:
        """Name of the step with this key; steps that are equal are one."""
        known = next((step.name for step in self.steps.values() if step.key == key), None)
        if known is None:
            known = f"{kind} {owner}"
            self.steps[known] = Step(known, key, needs, recipe)
        return known


def make_plan(recipe: Recipe, target: Target) -> Plan:
    """Resolve a run. Raises ProblemsError with everything that is wrong."""
    problems: list[Problem] = []
    entry = gather(problems, "student", lambda: find_student(recipe.student))
    task = gather(problems, "data", lambda: entry.make_task(recipe.data, recipe.seed)) if entry else None
    if entry:
        gather(problems, "model", lambda: entry.make_student(recipe.model, recipe.data, recipe.seed))
    data: dict[str, str] = {}
    for name in task.folders() if task else ():
        data |= gather(problems, "data", partial(data_digests, (name,))) or {}
    if task and data and not problems:
        gather(problems, "data", lambda: _check_shapes(task, recipe.deploy.shape, problems))
    for arm in recipe.arms:
        gather(problems, f"arms.{arm}", partial(arm_recipe, recipe, arm))
    compiles, notes = _compiles(target, problems)
    if problems or entry is None or task is None:
        raise ProblemsError(problems)
    plan = Plan(recipe, target, entry, task, task.io(recipe.deploy.shape), data, compiles=compiles, notes=notes)
    _add_steps(plan)
    return plan


def _check_shapes(task: Task, shape: tuple[int, int], problems: list[Problem]) -> None:
    """Every evaluation sample must have the deployed size: nothing is resized silently."""
    samples = task.evalset()
    if not samples:
        problems.append(Problem("data", "the evaluation pictures are smaller than one crop", "lower `data.crop`"))
    for sample in samples:
        if sample.raw.shape[:2] != tuple(shape):
            height, width = sample.raw.shape[:2]
            problems.append(
                Problem(
                    "deploy.shape",
                    f"is {list(shape)}, but evaluation samples are {[height, width]}",
                    "set `deploy.shape` and `data.crop` to the same size",
                )
            )
            return


def _compiles(target: Target, problems: list[Problem]) -> tuple[list[Compile], list[Problem]]:
    """The target's engine and its stand-ins. A stand-in whose package is absent is noted, not a problem."""
    engine = target.engine
    wanted = [
        (engine.backend, engine.options, ""),
        *((s.backend, s.options, s.why) for s in engine.stand_ins),
    ]
    compiles: list[Compile] = []
    notes: list[Problem] = []
    for name, options, why in wanted:
        place = f"{target.name}: {name}"
        checked = gather(problems, place, partial(_options, name, options, place))
        if checked is None:
            continue
        if not is_installed(name):
            missing = Problem(name, "is not installed", f"pip install 'edgekd[{name}]'", missing=True)
            (notes if why else problems).append(missing)
            continue
        taken = any(c.name == name for c in compiles)
        compiles.append(Compile(f"{name}-stand-in" if taken else name, name, checked, why))
    return compiles, notes


def _options(name: str, options: dict[str, Any], place: str) -> BaseModel:
    return parse(backend(name).Options, options, f"{place} options")


def _add_steps(plan: Plan) -> None:
    for arm, spec in plan.recipe.arms.items():
        recipe = arm_recipe(plan.recipe, arm)
        if spec.method in TOOLS and (why := left_out(arm, spec.method, plan.target.arithmetic)):
            plan.notes.append(why)
            continue
        teach = trained = plan.add("teach", arm, _train_key(plan, "teach", recipe, []), (), recipe)
        if spec.method in TOOLS:
            key = _control_key(plan, spec.method, recipe, plan.steps[teach].key)
            plan.exported[arm] = plan.add(spec.method, arm, key, (teach,), recipe)
            continue
        if spec.method != "teach":
            key = _train_key(plan, spec.method, recipe, [plan.steps[teach].key])
            trained = plan.add(spec.method, arm, key, (teach,), recipe)
        key = _export_key(plan, spec.method, recipe, plan.steps[trained].key)
        plan.trained[arm] = trained
        plan.exported[arm] = plan.add("export", arm, key, (trained,), recipe)
    graphs = tuple(plan.exported[arm] for arm in (plan.recipe.ship, plan.recipe.teacher))
    for job in plan.compiles:
        key = _compile_key(job, [plan.steps[name].key for name in graphs])
        plan.add("compile", job.name, key, graphs, plan.recipe)


def _arithmetic(plan: Plan, method: str) -> dict[str, Any]:
    """What of the target counts for a method: nothing for float ones, so that other targets share them."""
    if method in ("teach", "tune"):
        return {}
    return {name: value for name, value in plan.target.arithmetic.plain().items() if name != "name"}


def _train_key(plan: Plan, method: str, recipe: Recipe, needs: list[Key]) -> Key:
    config = {
        "model": recipe.model,
        "data": recipe.data,
        "digests": plan.data,
        "seed": recipe.seed,
        "threads": recipe.threads,
        "settings": recipe.train.plain() if method == "teach" else recipe.quantize.plain(),
        "arithmetic": _arithmetic(plan, method),
    }
    room = "edgekd.train.teach" if method in ("teach", "tune") else "edgekd.quantize.methods"
    code = [room, _module(plan.entry.student)]
    return step_key(method, config, needs, code=code, files=[_WIRING], packages=TRAINING)


def _export_key(plan: Plan, method: str, recipe: Recipe, trained: Key) -> Key:
    config = {
        "io": plan.io.plain(),
        "probes": recipe.deploy.probes,
        "data": recipe.data,
        "seed": recipe.seed,
        "arithmetic": _arithmetic(plan, method),
        "keep": recipe.quantize.keep if _arithmetic(plan, method) else {},
    }
    code = ["edgekd.quantize.export", _module(plan.entry.student), _module(plan.entry.task)]
    return step_key("export", config, [trained], code=code, files=[_WIRING], packages=EXPORTING)


def _control_key(plan: Plan, method: str, recipe: Recipe, teach: Key) -> Key:
    config = {
        "io": plan.io.plain(),
        "batch": recipe.quantize.batch,
        "batches": recipe.quantize.calibration.batches,
        "arithmetic": _arithmetic(plan, method),
    }
    code = [
        "edgekd.quantize.controls",
        "edgekd.quantize.methods",
        "edgekd.quantize.export",
        _module(plan.entry.student),
    ]
    packages = (*EXPORTING, TOOLS[method].package)
    return step_key(method, config, [teach], code=code, files=[_WIRING], packages=packages)


def _compile_key(job: Compile, needs: list[Key]) -> Key:
    module = _module(names()[job.backend])
    config = {"backend": job.backend, "options": job.options.model_dump(mode="json")}
    packages = [p for p in ("onnx", "numpy", backend(job.backend).package) if p]
    files = [_WIRING, *_data_files(module)]
    return step_key("compile", config, needs, code=[module, "edgekd.graph.golden"], files=files, packages=packages)


def _module(path: str) -> str:
    return path.partition(":")[0]


def _data_files(module: str) -> list[Path]:
    """Files that a backend's package holds beside its modules, templates for example."""
    from importlib.util import find_spec

    spec = find_spec(module)
    folder = Path(str(spec.origin)).parent if spec and spec.origin else Path()
    return [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc" and p.parent != folder]


def check_key(plan: Plan) -> Key:
    """Key of the early check: the untrained net, exported and held against the target."""
    config = {
        "io": plan.io.plain(),
        "board": plan.target.board.cost.plain(),
        "engine": plan.target.engine.plain(),
        "model": plan.recipe.model,
        "data": plan.recipe.data,
        "batch": plan.recipe.quantize.batch,
        "keep": plan.recipe.quantize.keep,
        "seed": plan.recipe.seed,
    }
    modules = [_module(names()[job.backend]) for job in plan.compiles]
    code = ["edgekd.quantize.export", "edgekd.graph.golden", "edgekd.graph.cost", _module(plan.entry.student), *modules]
    return step_key("check", config, [], code=code, files=[_WIRING], packages=EXPORTING)
