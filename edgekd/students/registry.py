"""The list of students."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from edgekd.errors import MissingError, RequestError, nearest
from edgekd.students.base import Student, Task


@dataclass(frozen=True)
class Entry:
    """Where a student's parts are, as `module:name`, imported when asked for."""

    about: str
    task: str
    student: str

    @property
    def package(self) -> str:
        """The package that holds the student."""
        return self.task.partition(":")[0].rpartition(".")[0]

    @property
    def recipe(self) -> Path:
        """The student's default recipe."""
        return Path(str(import_module(self.package).__file__)).parent / "recipe.toml"

    def make_task(self, data: dict[str, Any], seed: int) -> Task:
        """The task, settings checked. numpy only."""
        made: Task = _load(self.task)(data, seed)
        return made

    def make_student(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> Student:
        """The training side. Raises MissingError where torch is not installed."""
        try:
            made: Student = _load(self.student)(model, data, seed)
        except ModuleNotFoundError as error:
            raise MissingError(f"training needs `{error.name}`", "pip install 'edgekd[train]'") from None
        return made


STUDENTS = {
    "qdr": Entry(
        about="QDR-style image restoration: int8 encoder-decoder with gates, distilled at the bottleneck",
        task="edgekd.students.qdr.task:DenoiseTask",
        student="edgekd.students.qdr.training:RestorationStudent",
    ),
}


def students() -> dict[str, Entry]:
    """Students by name: ours, and those of installed packages (entry points `edgekd.students`, each an Entry)."""
    return {point.name: point.load() for point in entry_points(group="edgekd.students")} | STUDENTS


def find_student(name: str) -> Entry:
    """A student by name. Raises RequestError with the nearest name."""
    known = students()
    if name not in known:
        raise RequestError(f"unknown student `{name}`", nearest(name, sorted(known)))
    return known[name]


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
