"""SHA-256 of data files, remembered on this machine: a file that has not changed since is not read again.

What tells a change is its size, its inode and its times of change, to the nanosecond. A file that changed a moment ago
is not remembered: its next change might have the same time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from edgekd.resources import cache_root, sha256

SETTLED = 2.0
"""Seconds since its last change from which a file is remembered."""
_TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, mark TEXT, sha256 TEXT) WITHOUT ROWID"


def digests(paths: Iterable[Path], again: bool = False) -> dict[Path, str]:
    """Of each file; with `again`, and where the cache cannot be used, all of them are read."""
    begun, marks = time.time(), {path: _mark(path) for path in paths}
    known = {} if again else _known(marks)
    read = {path: sha256(path) for path in marks if path not in known}
    _keep({path: value for path, value in read.items() if path.stat().st_ctime < begun - SETTLED}, marks)
    return {path: known.get(path) or read[path] for path in marks}


def _mark(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size} {told.st_dev} {told.st_ino} {told.st_mtime_ns} {told.st_ctime_ns}"


@contextmanager
def _memory() -> Iterator[sqlite3.Connection]:
    """What is written is kept when this is left."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(cache_root() / "digests.db", timeout=10)) as base, base:
        base.execute(_TABLE)
        yield base


def _known(marks: Mapping[Path, str]) -> dict[Path, str]:
    with suppress(sqlite3.Error, OSError), _memory() as base:
        ask, out = "SELECT sha256 FROM files WHERE path = ? AND mark = ?", {}
        for path, mark in marks.items():
            if row := base.execute(ask, (str(path.resolve()), mark)).fetchone():
                out[path] = str(row[0])
        return out
    return {}


def _keep(read: Mapping[Path, str], marks: Mapping[Path, str]) -> None:
    rows = [(str(path.resolve()), marks[path], value) for path, value in read.items()]
    with suppress(sqlite3.Error, OSError), _memory() as base:
        base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
