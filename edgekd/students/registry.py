"""The list of students."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from edgekd.errors import MissingError, RequestError, nearest
from edgekd.evidence import Bundle
from edgekd.schema.recipes import PARTS, Part, is_own, placed
from edgekd.students import own
from edgekd.students.base import Student, Task


@dataclass(frozen=True)
class Entry:
    """Where a student's parts are, as `module:name` or `FILE.py:CLASS`, imported when asked for."""

    about: str
    task: str
    student: str

    @property
    def package(self) -> str:
        """The package that holds the student."""
        return self.student.partition(":")[0].rpartition(".")[0]

    @property
    def recipes(self) -> dict[str, Path]:
        """The student's recipes by name, its default one as `recipe`; none of a person's own."""
        if is_own(self.student):
            return {}
        folder = Path(str(import_module(self.package).__file__)).parent
        return {path.stem: path for path in sorted(folder.glob("*.toml"))}

    def files(self, part: Part) -> dict[str, Path]:
        """A person's own files behind a part, by their name below the part's folder; none of a shipped student."""
        name: str = getattr(self, part)
        return own.local_files(Path(name.rpartition(":")[0])) if is_own(name) else {}

    def code(self, part: Part) -> list[str]:
        """The modules of edgekd, or of an installed package, that a part runs."""
        name: str = getattr(self, part)
        return own.edgekd_modules(self.files(part)) if is_own(name) else [name.partition(":")[0]]

    def make_task(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> Task:
        """The task, settings checked; `model` is for a class that is the student as well. numpy only."""
        both = is_own(self.task) and self.task == self.student
        made: Task = _load(self.task, own.TASK)(*([model] if both else []), data, seed)
        return made

    def make_student(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> Student:
        """The training side. Raises MissingError where torch is not installed."""
        try:
            made: Student = _load(self.student, own.STUDENT)(model, data, seed)
        except ModuleNotFoundError as error:
            raise MissingError(f"training needs `{error.name}`", "pip install 'edgekd[train]'") from None
        return made


STUDENTS = {
    "qdr": Entry(
        about="QDR-style image restoration: int8 encoder-decoder with gates, distilled at the bottleneck",
        task="edgekd.students.qdr.task:DenoiseTask",
        student="edgekd.students.qdr.training:RestorationStudent",
    ),
    "classifier": Entry(
        about="small separable classifier of pictures: clothing that ships, or digits of a file of yours",
        task="edgekd.students.classifier.task:ClassifyTask",
        student="edgekd.students.classifier.training:ClassifierStudent",
    ),
    "pqkd": Entry(
        about="PQKD: a classifier whose convolutions are mixed by a photonic circuit's clicks, with every control",
        task="edgekd.students.classifier.task:ClassifyTask",
        student="edgekd.students.pqkd.training:PqkdStudent",
    ),
    "fast-hamer": Entry(
        about="Fast-HaMeR: the mesh of a hand from a picture, by small nets that a larger one teaches",
        task="edgekd.students.fast_hamer.task:HandTask",
        student="edgekd.students.fast_hamer.training:HandStudent",
    ),
    "picosam3": Entry(
        about="PicoSAM3: segments what a box holds, small enough to run inside a camera sensor",
        task="edgekd.students.picosam3.task:SegmentTask",
        student="edgekd.students.picosam3.training:SegmentStudent",
    ),
}


def students() -> dict[str, Entry]:
    """Students by name: ours, and those of installed packages (entry points `edgekd.students`, each an Entry)."""
    return {point.name: point.load() for point in entry_points(group="edgekd.students")} | STUDENTS


def find_student(name: str, task: str = "") -> Entry:
    """A student by name or as `FILE.py:CLASS`, where the task may be a class of its own.

    Raises RequestError with the nearest name.
    """
    known = students()
    if is_own(name):
        return Entry("a student of one's own", task or name, name)
    if name.endswith(".py"):
        raise RequestError(f"`{name}` names a file, not a student", f"write `{name}:CLASS`")
    if name not in known:
        raise RequestError(f"unknown student `{name}`", nearest(name, sorted(known)))
    return replace(known[name], task=task) if task else known[name]


def find_recipe(name: str) -> Path:
    """A student's default recipe by the student's name, another of its recipes as `STUDENT/RECIPE`.

    Raises RequestError with the nearest name.
    """
    student, _, variant = name.partition("/") if not is_own(name) else (name, "", "")
    found = find_student(student).recipes
    if not found:
        raise RequestError("a student of one's own has no default recipe", f"`{own.PAGE}` shows how to write one")
    if (variant or "recipe") not in found:
        others = [f"{student}/{other}" for other in found if other != "recipe"]
        raise RequestError(f"`{student}` has no recipe `{variant}`", nearest(name, others or [student]))
    return found[variant or "recipe"]


def bundled_task(bundle: Bundle) -> Task:
    """The task of a bundle; a person's own is that of the bundle's copy, which must be as it was bundled."""
    recipe = bundle.manifest.recipe
    copied = is_own(recipe.student) or is_own(recipe.task)
    for name in (n for n in (bundle.changed() if copied else []) if n.partition("/")[0] in PARTS):
        raise RequestError(f"`{name}` in the bundle is not what was bundled, so it is not run", "restore that file")
    recipe = placed(recipe, bundle.path)
    return find_student(recipe.student, recipe.task).make_task(recipe.model, recipe.data, recipe.seed)


def _load(path: str, parts: tuple[str, ...]) -> Any:
    if is_own(path):
        return own.load_class(path, parts)
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
