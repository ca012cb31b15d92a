"""Recipe and target to a resolved plan: every step with its key, and every problem that can be known now."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from edgekd.asking import Ask, ask_of
from edgekd.backends.registry import backend, is_installed, names
from edgekd.errors import Problem, ProblemsError, RequestError, gather, nearest
from edgekd.graph.answers import pictures
from edgekd.graph.images import data_digests
from edgekd.quantize.controls import TOOLS, left_out
from edgekd.schema.base import digest
from edgekd.schema.io import ImageInput, IoRecord
from edgekd.schema.load import parse
from edgekd.schema.recipe import FLOAT, TAUGHT, Recipe
from edgekd.schema.recipes import PARTS, arm_arithmetic, arm_recipe, bundled, is_own
from edgekd.schema.target import Arithmetic, Target
from edgekd.store import Key, step_key
from edgekd.students.base import Refers, Sample, Task
from edgekd.students.registry import Entry, find_student

_WIRING = Path(__file__).parent / "steps.py"
TRAINING = ("torch", "numpy", "lightning-fabric", "pillow")
EXPORTING = ("torch", "onnx", "onnxscript", "numpy")


@dataclass(frozen=True)
class Step:
    """One step: what it is called, its key, the steps it builds on, the arm's recipe and arithmetic."""

    name: str
    key: Key
    needs: tuple[str, ...]
    recipe: Recipe
    arithmetic: Arithmetic
    ask: Ask | None = None
    """What a teacher outside is asked in this step."""
    learns: str = ""
    """The step that gives what this one learns from: a teacher's answers, or another arm's net."""


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
        declared = {"recipe": bundled(self.recipe).plain(), "target": self.target.plain()}
        whole = step_key("run", declared, [step.key for step in self.steps.values()], code=())
        return f"{self.recipe.name}-{self.target.name.replace(':', '-')}-{whole.hex[:8]}"

    @property
    def shipped(self) -> Step:
        """The step that gives the graph which is compiled."""
        return self.steps[self.exported[self.recipe.ship]]

    def add(self, step: Step) -> str:
        """Name of the step with this key; steps that are equal are one."""
        known = next((other.name for other in self.steps.values() if other.key == step.key), step.name)
        self.steps.setdefault(known, step)
        return known


def make_plan(recipe: Recipe, target: Target) -> Plan:
    """Resolve a run. Raises ProblemsError with everything that is wrong."""
    problems: list[Problem] = []
    entry = gather(problems, "student", lambda: find_student(recipe.student, recipe.task))
    places = ("student", "student") if is_own(recipe.student) else ("data", "model")
    settings = recipe.model, recipe.data, recipe.seed
    task = gather(problems, places[0], lambda: entry.make_task(*settings)) if entry else None
    if entry and (task or entry.task != entry.student):  # one class fails once
        gather(problems, places[1], lambda: entry.make_student(*settings))
    data: dict[str, str] = {}
    for name in (gather(problems, "data", task.folders) or ()) if task else ():
        data |= gather(problems, "data", partial(data_digests, (name,))) or {}
    if task and not problems:
        gather(problems, "data", lambda: _check_shapes(task, recipe.deploy.shape, problems))
    for arm in recipe.arms:
        gather(problems, f"arms.{arm}", partial(_arm, recipe, arm, target))
    if not problems:
        gather(problems, "teacher", partial(_check_masters, recipe))
    asks = {} if problems or entry is None else _asks(recipe, target, entry, data, problems)
    compiles, notes = _compiles(target, problems)
    if problems or entry is None or task is None:
        raise ProblemsError(problems)
    plan = Plan(recipe, target, entry, task, task.io(recipe.deploy.shape), data, compiles=compiles, notes=notes)
    _add_steps(plan, asks)
    return plan


def _check_shapes(task: Task, shape: tuple[int, int], problems: list[Problem]) -> None:
    """Evaluation samples must have the deployed size, unless the io record says how they are resized."""
    samples, io = task.evalset(), task.io(shape)
    if not samples:
        problems.append(Problem("data", "gives no evaluation sample", "name more, or larger, pictures in `data`"))
    kept = [spec for spec in io.inputs if isinstance(spec, ImageInput) and spec.resize in ("none", "tile")]
    wanted = {spec.name: spec.shape[2:] for spec in kept}
    for sample in samples:
        sizes = {name: picture.shape[:2] for name, picture in pictures(sample.raw, io).items()}
        odd = next((name for name in wanted if sizes[name] != wanted[name]), None)
        if odd is not None:
            message = f"makes `{odd}` {list(wanted[odd])}, but evaluation samples are {list(sizes[odd])}"
            problems.append(Problem("deploy.shape", message, "set it, or the samples' size in `data`, to fit"))
            return
    problems += _encoded(task, io, samples[0]) if samples else ()


def _encoded(task: Task, io: IoRecord, sample: Sample) -> list[Problem]:
    """Inputs that encoding a sample gives in another shape than the io record's."""
    encoded = task.encode(sample.raw, io)
    return [
        Problem("data", f"`{spec.name}` is {list(spec.shape)} in the io record, encoded as {list(found)}",
                "let `io` and the samples agree")
        for spec in io.inputs
        if (found := np.shape(encoded[spec.name])) != spec.shape
    ]  # fmt: skip


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
        if any((c.backend, c.options) == (name, checked) for c in compiles):
            continue  # the target's own engine runs here as it is
        taken = any(c.name == name for c in compiles)
        compiles.append(Compile(f"{name}-stand-in" if taken else name, name, checked, why))
    return compiles, notes


def _options(name: str, options: dict[str, Any], place: str) -> BaseModel:
    return parse(backend(name).Options, options, f"{place} options")


def _arm(recipe: Recipe, arm: str, target: Target) -> tuple[Recipe, Arithmetic]:
    own = arm_recipe(recipe, arm)
    return own, arm_arithmetic(own, arm, target.engine)


def _check_masters(recipe: Recipe) -> bool:
    """Arms that teach train a float net, and no line of them ends where it began. Raises RequestError."""
    return all(_line(recipe, arm) for arm in recipe.arms)


def _line(recipe: Recipe, arm: str) -> list[str]:
    """The arm, the arm that teaches it, and so on."""
    line = [arm]
    while (name := arm_recipe(recipe, line[-1]).master) is not None:
        if name not in recipe.arms:
            raise RequestError(f"`source` names the arm `{name}`, which is none", nearest(name, list(recipe.arms)))
        if (method := recipe.arms[name].method) not in TAUGHT:
            raise RequestError(f"`source` names the arm `{name}`, which is `{method}`", f"one of {' or '.join(TAUGHT)}")
        if name in line:
            clear = f'`"teacher.source" = ""` in `arms.{name}.set`'
            raise RequestError(f"the arm `{name}` would teach itself", f"let it have no teacher: {clear}")
        line.append(name)
    return line


def _asks(
    recipe: Recipe, target: Target, entry: Entry, data: dict[str, str], problems: list[Problem]
) -> dict[str, Ask | None]:
    """What the arms ask their teachers, each thing once."""
    known: dict[str, Ask | None] = {}
    out = {}
    for arm in recipe.arms:
        own, _ = _arm(recipe, arm, target)
        if own.teacher:
            same = digest([own.teacher, own.data])
            if same not in known:
                known[same] = gather(problems, "teacher", partial(ask_of, entry, own, data))
            out[arm] = known[same]
    return out


def _add_steps(plan: Plan, asks: dict[str, Ask | None]) -> None:
    for arm, spec in plan.recipe.arms.items():
        if spec.method in TOOLS and (why := left_out(arm, spec.method, _arm(plan.recipe, arm, plan.target)[1])):
            plan.notes.append(why)
            continue
        recipe, arithmetic = _arm(plan.recipe, arm, plan.target)
        teach = trained = _teach(plan, arm, asks)
        needs, learns = (teach, *plan.steps[teach].needs), plan.steps[teach].learns
        if spec.method in TOOLS:
            key = _export_key(plan, recipe, None, plan.steps[teach].key)
            graph = plan.add(Step(f"export {arm}", key, (teach,), recipe, arithmetic))
            key = _control_key(plan, spec.method, recipe, arithmetic, plan.steps[graph].key)
            needs = (teach, graph, *needs[1:])
            plan.exported[arm] = plan.add(Step(f"{spec.method} {arm}", key, needs, recipe, arithmetic, learns=learns))
            continue
        counts = None if spec.method in FLOAT else arithmetic
        if spec.method not in TAUGHT:
            key = _train_key(plan, spec.method, recipe, counts, [plan.steps[teach].key])
            trained = plan.add(Step(f"{spec.method} {arm}", key, needs, recipe, arithmetic, learns=learns))
        key = _export_key(plan, recipe, counts, plan.steps[trained].key)
        plan.trained[arm] = trained
        plan.exported[arm] = plan.add(Step(f"export {arm}", key, (trained,), recipe, arithmetic))
    graphs = tuple(plan.exported[arm] for arm in (plan.recipe.ship, plan.recipe.reference))
    for job in plan.compiles:
        key = _compile_key(job, plan.target.arithmetic.rounding, [plan.steps[name].key for name in graphs])
        plan.add(Step(f"compile {job.name}", key, graphs, plan.recipe, plan.target.arithmetic))


def _teach(plan: Plan, arm: str, asks: dict[str, Ask | None]) -> str:
    """The step that trains the arm's float net, after what it learns from."""
    recipe, arithmetic = _arm(plan.recipe, arm, plan.target)
    learns = ""
    if ask := asks.get(arm):
        learns = plan.add(Step(f"ask {arm}", ask.key, (), recipe, arithmetic, ask))
    elif recipe.master is not None:
        learns = _teach(plan, recipe.master, asks)
    needs = (learns,) if learns else ()
    key = _train_key(plan, "teach", recipe, None, [plan.steps[name].key for name in needs])
    return plan.add(Step(f"teach {arm}", key, needs, recipe, arithmetic, learns=learns))


def _integers(arithmetic: Arithmetic | None) -> dict[str, Any]:
    """What of an arithmetic counts: nothing for float arms, so that other targets share them."""
    return {} if arithmetic is None else {name: v for name, v in arithmetic.plain().items() if name != "name"}


def _train_key(plan: Plan, method: str, recipe: Recipe, arithmetic: Arithmetic | None, needs: list[Key]) -> Key:
    config = {
        "student": bundled(recipe).student,
        "model": recipe.model,
        "referred": _referred(plan, recipe),
        "data": recipe.data,
        "teacher": {name: value for name, value in recipe.teacher.items() if recipe.taught and name != "cache"},
        "digests": plan.data,
        "seed": recipe.seed,
        "threads": recipe.threads,
        "settings": recipe.train.plain() if method == "teach" else recipe.quantize.plain(),
        "arithmetic": _integers(arithmetic),
    }
    room = "edgekd.quantize.methods" if arithmetic else "edgekd.train.teach"
    code, files = [room, *plan.entry.code("student")], [_WIRING, *plan.entry.files("student").values()]
    return step_key(method, config, needs, code=code, files=files, packages=TRAINING)


def _referred(plan: Plan, recipe: Recipe) -> dict[str, Any]:
    student = plan.entry.make_student(recipe.model, recipe.data, recipe.seed)
    return student.referred() if isinstance(student, Refers) else {}


def _export_key(plan: Plan, recipe: Recipe, arithmetic: Arithmetic | None, trained: Key) -> Key:
    config = {
        "student": bundled(recipe).student,
        "task": bundled(recipe).task,
        "io": plan.io.plain(),
        "probes": recipe.deploy.probes,
        "data": recipe.data,
        "seed": recipe.seed,
        "keep": recipe.quantize.keep if arithmetic else {},
        "arithmetic": _integers(arithmetic),
    }
    code = ["edgekd.quantize.export", *(module for part in PARTS for module in plan.entry.code(part))]
    files = [_WIRING, *(file for part in PARTS for file in plan.entry.files(part).values())]
    return step_key("export", config, [trained], code=code, files=files, packages=EXPORTING)


def _control_key(plan: Plan, method: str, recipe: Recipe, arithmetic: Arithmetic, float_graph: Key) -> Key:
    config = {
        "io": plan.io.plain(),
        "batch": recipe.quantize.batch,
        "batches": recipe.quantize.calibration.batches,
        "arithmetic": _integers(arithmetic),
    }
    code = [
        "edgekd.quantize.controls",
        "edgekd.quantize.methods",
        "edgekd.quantize.export",
        *plan.entry.code("student"),
    ]
    files, packages = [_WIRING, *plan.entry.files("student").values()], (*EXPORTING, TOOLS[method].package)
    return step_key(method, config, [float_graph], code=code, files=files, packages=packages)


def _compile_key(job: Compile, rounding: str, needs: list[Key]) -> Key:
    module = _module(names()[job.backend])
    config = {"backend": job.backend, "options": job.options.model_dump(mode="json"), "rounding": rounding}
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
    shipped = plan.shipped
    config = {
        "student": bundled(plan.recipe).student,
        "io": plan.io.plain(),
        "board": plan.target.board.cost.plain(),
        "engine": plan.target.engine.plain(),
        "model": shipped.recipe.model,
        "keep": shipped.recipe.quantize.keep,
        "arithmetic": shipped.arithmetic.plain(),
        "data": shipped.recipe.data,
        "batch": shipped.recipe.quantize.batch,
        "seed": shipped.recipe.seed,
    }
    modules = [_module(names()[job.backend]) for job in plan.compiles]
    code = ["edgekd.quantize.export", "edgekd.graph.golden", "edgekd.graph.cost", *plan.entry.code("student"), *modules]
    files = [_WIRING, *plan.entry.files("student").values()]
    return step_key("check", config, [], code=code, files=files, packages=EXPORTING)
