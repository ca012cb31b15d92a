"""Where fetched things lie: a folder each, named by what its lock says, with a mark when it is whole."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekd.errors import MissingError
from edgekd.resources import cache_root
from edgekd.store import write_atomic
from edgekd.toolchains.lock import Lock, find_lock

WHOLE = ".whole"


def place(lock: Lock) -> Path:
    """The folder of what a lock locks; another one when the lock changes."""
    return cache_root() / "toolchains" / f"{lock.name}-{lock.fingerprint()[:12]}"


def is_fetched(lock: Lock) -> bool:
    """Whether it is here and whole."""
    return (place(lock) / WHOLE).is_file()


def locate(name: str) -> Path:
    """The folder that holds a lock's files, or the environment. Raises MissingError that names `edgekd fetch`."""
    lock = find_lock(name)
    if not is_fetched(lock):
        raise MissingError(f"`{name}` is not here: {lock.about}", f"edgekd fetch {name}")
    return place(lock)


def python_of(name: str) -> Path:
    """The Python of a fetched environment. Raises MissingError that names `edgekd fetch`."""
    return locate(name) / "bin" / "python"


def fill(lock: Lock, build: Callable[[Path], None]) -> Path:
    """The lock's folder, built now if it is not whole; a build that fails or is cut off leaves nothing that counts."""
    folder = place(lock)
    with _alone(folder):
        if not is_fetched(lock):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            try:
                build(folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            write_atomic(folder / WHOLE, b"")
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time. Raises MissingError where the cache cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f".{folder.name}.lock").open("w")
    except OSError as error:
        raise MissingError(
            f"`{folder.parent}` cannot be written: {error.strerror}", "set EDGEKD_CACHE to a folder that can"
        ) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
