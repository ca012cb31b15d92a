"""What a teacher outside said, asked once and looked up in training. numpy only.

A cache is a folder: `record.json` tells what was asked; a shard's answers lie in `00003.npy`, and `00003.json`, written
last, names their samples and their SHA-256. A shard is there whole or not at all, so that a killed process loses one at
most, and several machines can each fill every n-th.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import MissingError, RequestError
from edgekd.resources import sha256
from edgekd.schema.base import Strict, digest
from edgekd.store import write_atomic

RECORD = "record.json"
ANSWERS = 128
"""Answers after which a shard is full; ours: minutes of the slowest teacher, thousands of files for a million."""
OPEN = 256
"""Shards that are open at once; a process may often have 1,024 files."""
Tick = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Lesson:
    """What to ask a teacher, and how."""

    asked: dict[str, Any]
    """JSON: all that the answers depend on, files apart."""
    groups: tuple[tuple[str, ...], ...]
    """Ids of samples; those of a group, one picture's for example, are asked together."""
    views: int
    """Answers to each sample."""
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float16"]
    ask: Callable[[int], tuple[NDArray[Any], NDArray[np.float32]]]
    """Of a group: answers (samples, views, *shape) and scores (samples, views)."""
    files: Callable[[], dict[str, str]]
    """SHA-256 of the teacher's files. Raises MissingError where they are not here."""
    code: tuple[str, ...]
    """Modules that make the answers."""
    packages: tuple[str, ...]
    """Distributions that make the answers."""

    @property
    def row(self) -> np.dtype[np.void]:
        """An answer as it is stored."""
        return np.dtype([("score", "<f4"), ("answer", np.dtype(self.dtype).newbyteorder("<"), self.shape)])

    @property
    def shards(self) -> list[range]:
        """Groups of each shard."""
        out, begun, count = [], 0, 0
        for i, group in enumerate(self.groups):
            count += len(group) * self.views
            if count >= ANSWERS or i == len(self.groups) - 1:
                out.append(range(begun, i + 1))
                begun, count = i + 1, 0
        return out

    def record(self, data: Mapping[str, str], teacher: Mapping[str, str]) -> Record:
        """The record of a cache for this lesson; `data` and `teacher` are SHA-256 by file."""
        answers = self.views * sum(map(len, self.groups))
        sums = {"data": _sum(data), "teacher": _sum(teacher)}
        return Record(asked=self.asked, **sums, answers=answers, shards=len(self.shards))


class Record(Strict):
    """What a cache holds answers to (schema version 1)."""

    schema_version: Literal[1] = 1
    asked: dict[str, Any]
    data: str
    """SHA-256 of the data files' SHA-256, wherever they lie."""
    teacher: str
    """The same of the teacher's files; empty where it has none, or they are not here."""
    answers: int
    shards: int


def _sum(files: Mapping[str, str]) -> str:
    return digest(sorted(files.values())) if files else ""


class _Note(Strict):
    """What lies beside a shard."""

    record: str
    ids: tuple[str, ...]
    sha256: str


def fill(lesson: Lesson, record: Record, folder: Path, tick: Tick, part: tuple[int, int] = (0, 1)) -> int:
    """Ask what is not there yet, of every n-th shard `part` = (first, n), and give the number of new answers.

    Raises RequestError where the folder holds answers to other questions, or a damaged shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / RECORD).exists():
        check_same(folder, record)
    write_atomic(folder / RECORD, record.model_dump_json(indent=1).encode())
    mine = list(enumerate(lesson.shards))[part[0] :: part[1]]
    todo = [(i, groups) for i, groups in mine if _checked(folder, i, record) is None]
    total = lesson.views * sum(len(lesson.groups[g]) for _, groups in todo for g in groups)
    done, begun = 0, time.monotonic()
    for i, groups in todo:
        rows = []
        for group in groups:
            rows.append(_asked(lesson, group))
            done += rows[-1].size
            tick(done, total, f"{done / max(time.monotonic() - begun, 1e-9):.1f} answers/s")
        _write(folder, i, record, tuple(name for g in groups for name in lesson.groups[g]), np.concatenate(rows))
    return done


def _asked(lesson: Lesson, group: int) -> NDArray[np.void]:
    answers, scores = lesson.ask(group)
    rows = np.empty((len(lesson.groups[group]), lesson.views), lesson.row)
    rows["answer"], rows["score"] = answers, scores
    return rows


def _write(folder: Path, shard: int, record: Record, ids: tuple[str, ...], rows: NDArray[np.void]) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, rows, allow_pickle=False)
    path = _path(folder, shard)
    write_atomic(path, stream.getvalue())
    note = _Note(record=record.fingerprint(), ids=ids, sha256=sha256(path))
    write_atomic(path.with_suffix(".json"), note.model_dump_json().encode())


def _path(folder: Path, shard: int) -> Path:
    return folder / f"{shard:05}.npy"


def _read(folder: Path, shard: int, record: Record) -> _Note | None:
    """What is told of a shard; None where it is not there. Raises RequestError where it belongs elsewhere."""
    path = _path(folder, shard)
    try:
        note = _Note.model_validate_json(path.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise _damaged(path.with_suffix(".json")) from None
    if note.record != record.fingerprint():
        raise RequestError(
            f"`{path}` answers other questions than its folder's", "delete it, and fill the folder again"
        )
    return note if path.exists() else None


def _checked(folder: Path, shard: int, record: Record) -> _Note | None:
    """The same, and the shard is as it was written. Raises RequestError where it is not."""
    note = _read(folder, shard, record)
    if note and note.sha256 != sha256(_path(folder, shard)):
        raise _damaged(_path(folder, shard))
    return note


def _whole(folder: Path, record: Record, read: Callable[[Path, int, Record], _Note | None]) -> list[_Note]:
    notes = [note for i in range(record.shards) if (note := read(folder, i, record))]
    if len(notes) < record.shards:
        message = f"`{folder}` holds {len(notes)} of {record.shards} shards of answers"
        raise MissingError(message, f"fill it: edgekd teach RECIPE --out {folder}")
    return notes


def _damaged(path: Path) -> RequestError:
    return RequestError(f"`{path}` is damaged", "delete it, and fill the folder again: only that part is asked")


def read_record(folder: Path) -> Record:
    """A cache's record. Raises MissingError or RequestError."""
    try:
        return Record.model_validate_json((folder / RECORD).read_bytes())
    except FileNotFoundError:
        hint = f"fill it: edgekd teach RECIPE --out {folder}"
        raise MissingError(f"`{folder}` holds no answers of a teacher", hint) from None
    except ValueError:
        raise RequestError(f"`{folder / RECORD}` is damaged", "fill another folder") from None


def check_same(folder: Path, wanted: Record) -> Record:
    """The folder's record, which asks what `wanted` asks. Raises RequestError with what differs.

    Where the teacher's files are not here, `wanted` knows none, and those of the record are taken on trust.
    """
    found = read_record(folder)
    ours = wanted if wanted.teacher else wanted.model_copy(update={"teacher": found.teacher})
    if ours == found:
        return found
    raise RequestError(f"`{folder}` answers other questions: {', '.join(_differences(found, ours))}",
                       "fill another folder with `edgekd teach`")  # fmt: skip


def _differences(found: Record, ours: Record) -> Iterator[str]:
    for name in sorted(found.asked.keys() | ours.asked.keys()):
        if found.asked.get(name) != ours.asked.get(name):
            yield f"`{name}` is `{found.asked.get(name)}` there, `{ours.asked.get(name)}` here"
    yield from ("the data differ" for _ in [0] if found.data != ours.data)
    yield from ("the teacher's files differ" for _ in [0] if found.teacher != ours.teacher)


def contents(folder: Path) -> str:
    """SHA-256 of all that a whole cache says it holds. Raises MissingError where shards are missing."""
    record = read_record(folder)
    return digest([record.fingerprint(), *(note.sha256 for note in _whole(folder, record, _read))])


def present(folder: Path) -> tuple[int, int]:
    """Shards that are there, and their bytes."""
    files = [path for path in folder.glob("*.npy") if path.with_suffix(".json").exists()]
    return len(files), sum(path.stat().st_size for path in files)


def told(folder: Path) -> dict[str, Any]:
    """What a bundle's manifest keeps of a cache."""
    return read_record(folder).plain() | {"sha256": contents(folder)}


class Answers:
    """A whole cache: every shard is checked against its SHA-256, then read where it lies on disk.

    Raises MissingError where shards are missing, RequestError where one is damaged.
    """

    def __init__(self, folder: Path) -> None:
        notes = _whole(folder, read_record(folder), _checked)
        self._places = {name: (i, row) for i, note in enumerate(notes) for row, name in enumerate(note.ids)}
        self._shard = lru_cache(OPEN)(lambda i: np.load(_path(folder, i), mmap_mode="r", allow_pickle=False))

    def look(self, sample: str, view: int) -> tuple[NDArray[Any], float]:
        """Answer and score of a sample's view."""
        shard, row = self._places[sample]
        found = self._shard(shard)[row, view]
        return found["answer"], float(found["score"])
