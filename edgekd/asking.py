"""A teacher outside: what a recipe asks it, and where the answers lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.errors import MissingError, RequestError
from edgekd.graph.images import data_digests
from edgekd.schema.recipe import Recipe
from edgekd.store import Key, step_key
from edgekd.students.base import Follows, Learns
from edgekd.students.registry import Entry, find_student
from edgekd.train.cache import Lesson, Record, Tick, check_same, contents, fill


@dataclass(frozen=True)
class Ask:
    """One teacher asked one thing."""

    lesson: Lesson
    record: Record
    key: Key
    given: Path | None
    """A folder that was filled outside the run."""


def ask_of(entry: Entry, recipe: Recipe, data: Mapping[str, str]) -> Ask | None:
    """What the recipe asks its teacher, None where it names none; `data` is SHA-256 by data file.

    Raises RequestError where the student learns from no teacher, or a named cache answers other questions; MissingError
    where the teacher's files are not here, or the cache is not whole.
    """
    lesson = lesson_of(entry, recipe)
    if lesson is None:
        return None
    if name := recipe.teacher.get("cache"):
        record = check_same(Path(name), lesson.record(data, _files_here(lesson)))
        return Ask(lesson, record, step_key("ask", contents(Path(name)), [], code=()), Path(name))
    record = lesson.record(data, lesson.files())
    code = ["edgekd.train.cache", *lesson.code]
    return Ask(lesson, record, step_key("ask", record.plain(), [], code=code, packages=lesson.packages), None)


def lesson_of(entry: Entry, recipe: Recipe) -> Lesson | None:
    """The student's lesson, None where no teacher outside is asked. Raises RequestError where it learns from none."""
    student = entry.make_student(recipe.model, recipe.data, recipe.seed)
    learns, follows = isinstance(student, Learns), isinstance(student, Follows)
    if not (follows if recipe.master is not None else learns or (follows and not recipe.taught)):
        message = f"the student `{recipe.name}` learns from no {'teacher outside' if recipe.master is None else 'arm'}"
        raise RequestError(message, "leave the table `teacher` out")
    lesson: Lesson | None = student.lesson(recipe.teacher)  # type: ignore[attr-defined]
    return lesson


def _files_here(lesson: Lesson) -> dict[str, str]:
    """The teacher's files; none where they are not here, for a cache may come from a machine that had them."""
    try:
        return lesson.files()
    except MissingError:
        return {}


def teach(recipe: Recipe, folder: Path, part: tuple[int, int], tick: Tick) -> tuple[Ask, int]:
    """Fill a cache outside a run, every n-th shard from `part` = (first, n) on; and how many answers were new."""
    entry = find_student(recipe.student, recipe.task)
    task = entry.make_task(recipe.model, recipe.data, recipe.seed)
    own = recipe.model_copy(update={"teacher": recipe.teacher | {"cache": ""}})
    ask = ask_of(entry, own, data_digests(task.folders()))
    if ask is None:
        raise RequestError("the recipe names no teacher outside", "name it: `--set teacher.source=NAME`")
    return ask, fill(ask.lesson, ask.record, folder, tick, part)
