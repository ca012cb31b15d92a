"""Targets by name, alias or path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import RequestError, nearest
from edgekd.resources import folder
from edgekd.schema.load import Table, merge, parse, read_toml

if TYPE_CHECKING:  # the models are built only where a board is used, not where boards are listed
    from edgekd.schema.target import Board, Target


def boards() -> dict[str, Path]:
    """Descriptor files of boards that ship, by board name."""
    return {name: path for name, path in _shipped().items() if _kind(path) == "board"}


def photonics() -> dict[str, Path]:
    """Descriptor files of photonic devices that ship, by name."""
    return {name: path for name, path in _shipped().items() if _kind(path) == "photonic"}


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder("targets").glob("*.toml"))}


@cache
def _kind(path: Path) -> str:
    """What a file that ships describes; it says so itself where that is no board."""
    return str(read_toml(path).get("kind", "board"))


def load_board(path: Path) -> Board:
    """A board descriptor, checked."""
    from edgekd.schema.target import Board

    return parse(Board, read_descriptor(path), path.name)


def read_descriptor(path: Path, seen: tuple[Path, ...] = ()) -> Table:
    """A descriptor as a table, with what it `extends` laid under it."""
    if path in seen:
        raise RequestError(f"`{path.name}` extends itself", "remove one `extends`")
    table = read_toml(path, "see `edgekd targets`")
    parent = table.pop("extends", None)
    if parent is None:
        return table
    beside = path.parent / f"{parent}.toml"
    base = beside if beside.exists() else _shipped().get(str(parent))
    if base is None:
        raise RequestError(f"`{path.name}` extends unknown `{parent}`", nearest(str(parent), list(_shipped())))
    under = read_descriptor(base, (*seen, path))
    under.pop("aliases", None)
    return merge(under, table)


def locate(name: str) -> tuple[Path, Table]:
    """The descriptor behind a name, an alias or the path of a `.toml` file. Raises RequestError or MissingError."""
    if name.endswith(".toml"):
        return Path(name), read_descriptor(Path(name))
    shipped = _shipped()
    if name not in shipped:
        shipped = {alias: path for path in shipped.values() for alias in (path.stem, *_aliases(path))}
    if name not in shipped:
        raise RequestError(f"unknown target `{name}`", nearest(name, sorted(shipped)))
    return shipped[name], read_descriptor(shipped[name])


def _aliases(path: Path) -> Sequence[str]:
    found: Sequence[str] = read_descriptor(path).get("aliases", ())
    return found


def find_target(name: str) -> Target:
    """`board`, `alias`, `board:engine`, or the path of a descriptor (`mine.toml`, `mine.toml:engine`)."""
    from edgekd.schema.target import Board, Target

    board_name, _, engine = name.partition(":")
    path, table = locate(board_name)
    if table.get("kind") == "photonic":
        message = f"`{board_name}` is a source of photonic features, not a board that a network runs on"
        raise RequestError(message, "name a board of `edgekd targets`; its verb: edgekd photonic --help")
    board = parse(Board, table, path.name)
    if engine and engine not in board.engines:
        raise RequestError(f"`{board.name}` has no engine `{engine}`", nearest(engine, list(board.engines)))
    return Target(board=board, engine_name=engine or board.engine)
