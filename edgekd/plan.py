"""Recipe and target to a resolved plan: every step with its key, and every problem that can be known now."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekd.backends.registry import backend, is_installed, names
from edgekd.errors import Problem, ProblemsError, gather
from edgekd.graph.images import data_digests
from edgekd.schema.io import IoRecord
from edgekd.schema.load import arm_recipe, parse
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Target
from edgekd.store import Key, step_key
from edgekd.students.base import Task
from edgekd.students.registry import Entry, find_student

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
    """Arm -> the step that gives its graph."""
    compiles: list[Compile] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Student, target and the first digits of what all steps' keys come to."""
        whole = step_key("run", self.recipe.plain(), [step.key for step in self.steps.values()], code=())
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
        data |= gather(problems, "data", lambda n=name: data_digests((n,))) or {}  # type: ignore[misc]
    if task and data and not problems:
        gather(problems, "data", lambda: _check_shapes(task, recipe.deploy.shape, problems))
    for arm in recipe.arms:
        gather(problems, f"arms.{arm}", lambda a=arm: arm_recipe(recipe, a))  # type: ignore[misc]
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
        checked = gather(
            problems,
            f"{target.name}: {name}",
            lambda n=name, o=options: parse(backend(n).Options, o, f"{target.name}: {n} options"),
        )  # type: ignore[misc]
        if checked is None:
            continue
        if not is_installed(name):
            missing = Problem(name, "is not installed", f"pip install 'edgekd[{name}]'", missing=True)
            (notes if why else problems).append(missing)
            continue
        taken = any(c.name == name for c in compiles)
        compiles.append(Compile(f"{name}-stand-in" if taken else name, name, checked, why))
    return compiles, notes


def _add_steps(plan: Plan) -> None:
    recipe, entry, wiring = plan.recipe, plan.entry, [Path(__file__).parent / "pipeline.py"]
    student, task = (path.partition(":")[0] for path in (entry.student, entry.task))
    arithmetic = plan.target.arithmetic.plain()
    arithmetic.pop("name")

    def train_key(kind: str, r: Recipe, config: dict[str, Any], needs: list[Key]) -> Key:
        config |= {
            "model": r.model,
            "data": r.data,
            "digests": plan.data,
            "seed": r.seed,
            "threads": r.threads,
        }
        room = "edgekd.train.teach" if kind in ("teach", "tune") else "edgekd.quantize.methods"
        return step_key(kind, config, needs, code=[room, student], files=wiring, packages=TRAINING)

    for arm, spec in recipe.arms.items():
        r = arm_recipe(recipe, arm)
        key = train_key("teach", r, {"train": r.train.plain()}, [])
        teach = trained = plan.add("teach", arm, key, (), r)
        if spec.method != "teach":
            config = {"quantize": r.quantize.plain()}
            if spec.method != "tune":
                config["arithmetic"] = arithmetic
            key = train_key(spec.method, r, config, [key])
            trained = plan.add(spec.method, arm, key, (teach,), r)
        plan.trained[arm] = trained
        config = {"io": plan.io.plain(), "probes": r.deploy.probes, "data": r.data, "seed": r.seed}
        if spec.method in ("ptq", "qat"):
            config["arithmetic"] = arithmetic
        key = step_key("export", config, [key], code=["edgekd.quantize.export", student, task], files=wiring,
                       packages=EXPORTING)  # fmt: skip
        plan.exported[arm] = plan.add("export", arm, key, (trained,), r)
    graphs = tuple(plan.exported[arm] for arm in (recipe.ship, recipe.teacher))
    for job in plan.compiles:
        module = names()[job.backend].partition(":")[0]
        config = {"backend": job.backend, "options": job.options.model_dump(mode="json")}
        needs = [plan.steps[name].key for name in graphs]
        packages = [p for p in ("onnx", "numpy", backend(job.backend).package) if p]
        key = step_key("compile", config, needs, code=[module, "edgekd.graph.golden"],
                       files=wiring + _data_files(module), packages=packages)  # fmt: skip
        plan.add("compile", job.name, key, graphs, recipe)


def _data_files(module: str) -> list[Path]:
    """Files that a backend's package holds beside its modules, templates for example."""
    from importlib.util import find_spec

    spec = find_spec(module)
    folder = Path(str(spec.origin)).parent if spec and spec.origin else Path()
    return [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc" and p.parent != folder]


def check_key(plan: Plan) -> Key:
    """Key of the early check: the untrained net, exported and held against the target."""
    engine = plan.target.engine.plain()
    config = {"io": plan.io.plain(), "engine": engine, "model": plan.recipe.model, "seed": plan.recipe.seed}
    modules = [names()[c.backend].partition(":")[0] for c in plan.compiles]
    code = ["edgekd.quantize.export", "edgekd.graph.golden", plan.entry.student.partition(":")[0], *modules]
    return step_key("check", config, [], code=code, packages=EXPORTING)
