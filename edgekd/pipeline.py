"""`compress()`: the one place that wires the rooms together. It reads top to bottom as the run goes."""

from __future__ import annotations

import platform
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgekd.devices.profile import profile
from edgekd.errors import GateFailedError, Problem, ProblemsError, gather
from edgekd.evidence import ArmRecord, Bundle, EngineRecord, Figure, Manifest, host, now
from edgekd.plan import Plan, check_key, make_plan
from edgekd.report.html import write_report
from edgekd.resources import sha256
from edgekd.schema.load import parse_overrides
from edgekd.schema.recipe import FLOAT, Recipe
from edgekd.schema.recipes import PARTS, bundled, load_recipe
from edgekd.schema.target import Target
from edgekd.schema.targets import find_target
from edgekd.steps import build, check_untrained, notes_of
from edgekd.store import Store, installed, write_atomic
from edgekd.students.base import STORED
from edgekd.students.registry import find_recipe
from edgekd.train.cache import told
from edgekd.verify.check import Verification, verify
from edgekd.verify.gates import latency_gates
from edgekd.verify.pictures import save_pictures
from edgekd.verify.witness import gate_figure

VERSIONS = (
    "edgekd",
    "torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "ai-edge-litert",
    "nncf",
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
    found = recipe if isinstance(recipe, Recipe) else gather(problems, "", lambda: named_recipe(str(recipe), overrides))
    board = target if isinstance(target, Target) else gather(problems, "", lambda: find_target(target))
    if found is None or board is None:
        raise ProblemsError(problems)
    return found, board


def named_recipe(name: str, overrides: tuple[str, ...]) -> Recipe:
    """A recipe by path, or one that ships by name, with overrides."""
    table, problems = parse_overrides(overrides)
    path = Path(name) if name.endswith(".toml") else find_recipe(name)
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
    checked = store.get(check_key(plan), partial(check_untrained, plan))
    plan.notes += notes_of(checked)

    at: dict[str, Path] = {}
    for step in plan.steps.values():
        reporter.step(step.name, store.find(step.key) is not None)
        given = step.ask.given if step.ask else None
        at[step.name] = given or store.get(step.key, partial(build, plan, step, at, tick=reporter.tick))
    reporter.step("bundle", False)
    with store.lock(plan.name):
        folder = bundle_up(plan, at, out)
    bundle = Bundle(folder)
    reporter.step("verify", False)
    found = verify(bundle, reporter.say, again=False)
    save_pictures(bundle, found)
    reporter.step("profile", False)
    measured = profile(bundle, reporter.say)
    figures = [*found.figures, *measured]
    if late := list(latency_gates(recipe, [*bundle.manifest.engines], measured)):
        found.gates += late
        figures.append(gate_figure(bundle, found.gates, found.skipped))
    bundle.ledger.add(figures)
    write_report(bundle)
    _point_to(out / "latest", folder)
    told = {note.where for note in plan.notes}
    return Result(folder, found, figures, [*plan.notes, *(p for p in found.skipped if p.where not in told)])


def _point_to(link: Path, folder: Path) -> None:
    """A link to the last run; not every file system has links, and none is needed."""
    with suppress(OSError):
        if link.is_symlink() or not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(folder.name)


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
    for arm, exported in plan.exported.items():
        spec, graph = plan.recipe.arms[arm], f"arms/{arm}.onnx"
        shutil.copy(at[exported] / "graph.onnx", part / graph)
        for kept in ("curve.json", STORED) if arm in plan.trained else ():
            if (file := at[plan.trained[arm]] / kept).exists():
                shutil.copy(file, part / "arms" / f"{arm}.{kept}")
        simulated = spec.method not in FLOAT and plan.steps[plan.exported[arm]].arithmetic.simulated
        title = (spec.title or arm) + ", simulated" * simulated
        arms[arm] = ArmRecord(title=title, method=spec.method, graph=graph)
    engines = {}
    for job in plan.compiles:
        shutil.copytree(at[f"compile {job.name}"], part / "artifacts" / job.name)
        engines[job.name] = EngineRecord(role="stand-in" if job.why else "target", why=job.why)
    for kind in PARTS:
        for name, path in plan.entry.files(kind).items() if getattr(plan.recipe, kind) else ():
            (part / kind / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, part / kind / name)
    manifest = Manifest(
        name=plan.name,
        created=now(),
        recipe=bundled(plan.recipe),
        target=plan.target,
        arms=arms,
        left_out={arm: note.message for arm in plan.recipe.arms for note in plan.notes if note.where == f"arms.{arm}"},
        engines=engines,
        data=plan.data,
        teachers={name: told(at[name]) for name, step in plan.steps.items() if step.ask},
        steps={name: str(step.key) for name, step in plan.steps.items()},
        versions={"python": platform.python_version()} | {name: installed(name) for name in VERSIONS},
        host=host(),
        files={str(p.relative_to(part)): sha256(p) for p in sorted(part.rglob("*")) if p.is_file()},
    )
    text = manifest.model_dump_json(indent=1, by_alias=True)
    write_atomic(part / "manifest.json", text.encode())
    part.rename(folder / "bundle")
    return folder
