"""Content-addressed cache of finished steps: atomic, resumable, shared by runs.

A step's folder is named by its key: what it is, its settings, the keys it builds on, and the code it runs. It is built
in `NAME.part` and renamed when complete, so that a folder with its final name is always whole.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgekd.errors import MissingError
from edgekd.schema.base import digest


@dataclass(frozen=True)
class Key:
    """Name of a step's result."""

    kind: str
    hex: str

    def __str__(self) -> str:
        return f"{self.kind}-{self.hex[:16]}"


def step_key(
    kind: str,
    config: Any,
    needs: Sequence[Key],
    *,
    code: Sequence[str],
    files: Sequence[Path] = (),
    packages: Sequence[str] = (),
) -> Key:
    """The key of a step.

    `config` is JSON; `code` names modules, which count with all they import; `files` count alone; `packages` are the
    distributions that matter.
    """
    parts = {
        "kind": kind,
        "config": config,
        "needs": [need.hex for need in needs],
        "code": code_digest(tuple(sorted(code))),
        "files": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)],
        "packages": {name: installed(name) for name in sorted(packages)},
    }
    return Key(kind, digest(parts))


@cache
def installed(distribution: str) -> str:
    """Version of an installed distribution, or `absent`."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """SHA-256 over the source of these modules and of everything of edgekd they import."""
    whole = hashlib.sha256()
    for name, path in sorted(closure(modules).items()):
        whole.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()


def closure(modules: Sequence[str]) -> dict[str, Path]:
    """The modules of edgekd these import, directly or not, read from their source: name to file."""
    found: dict[str, Path] = {}
    todo = list(modules)
    while todo:
        name = todo.pop()
        path = _source(name)
        if name in found or path is None:
            continue
        found[name] = path
        todo += _imports(path)
    return found


@cache
def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("edgekd"):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("edgekd.")]
    return names


@cache
def _source(name: str) -> Path | None:
    parent, _, _ = name.rpartition(".")
    if parent and not _is_package(_source(parent)):  # `find_spec` would import it only to find that it is a module
        return None
    try:
        spec = find_spec(name)
    except (ModuleNotFoundError, AttributeError):
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _is_package(path: Path | None) -> bool:
    return path is not None and path.name == "__init__.py"


class Store:
    """Finished steps under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            (root / ".write-test").touch()
            (root / ".write-test").unlink()
        except OSError as error:
            raise MissingError(
                f"`{root.parent}` cannot be written: {error.strerror}", "choose another folder with `--out`"
            ) from None

    def find(self, key: Key) -> Path | None:
        """The finished folder of a step, if there is one."""
        path = self.root / str(key)
        return path if path.is_dir() else None

    def get(self, key: Key, build: Callable[[Path], None]) -> Path:
        """The step's folder; built now if it is not there, continued if an earlier build was cut off.

        `build` gets a folder that may hold what a killed build left; it must be able to go on from there.
        """
        with self.lock(str(key)):
            if path := self.find(key):
                return path
            part = self.root / f"{key}.part"
            part.mkdir(exist_ok=True)
            build(part)
            _sync(part)
            done = self.root / str(key)
            part.rename(done)
            _sync(self.root)
            return done

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Only one process at a time goes on from here with this name."""
        with (self.root / f".{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _sync(folder: Path) -> None:
    """Flush a folder and its files to disk, so that a rename after it publishes whole data."""
    for path in [*folder.iterdir(), folder] if folder.suffix == ".part" else [folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a later run, sees the old content or the new, never a part."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        error.filename = str(path)
        raise
