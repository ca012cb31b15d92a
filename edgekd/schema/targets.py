"""Targets by name, alias or path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.errors import RequestError, nearest
from edgekd.resources import folder
from edgekd.schema.load import Table, merge, parse, read_toml

if TYPE_CHECKING:  # the models are built only where a board is used, not where boards are listed
    from edgekd.schema.target import Board, Target


def boards() -> dict[str, Path]:
    """Descriptor files that ship, by board name."""
    return {path.stem: path for path in sorted(folder("targets").glob("*.toml"))}


def load_board(path: Path) -> Board:
    """A board descriptor, checked."""
    from edgekd.schema.target import Board

    return parse(Board, read_board(path), path.name)


def read_board(path: Path, seen: tuple[Path, ...] = ()) -> Table:
    """A board descriptor as a table, with what it `extends` laid under it."""
    if path in seen:
        raise RequestError(f"`{path.name}` extends itself", "remove one `extends`")
    table = read_toml(path, "see `edgekd targets`")
    parent = table.pop("extends", None)
    if parent is None:
        return table
    beside = path.parent / f"{parent}.toml"
    base = beside if beside.exists() else boards().get(str(parent))
    if base is None:
        raise RequestError(f"`{path.name}` extends unknown `{parent}`", nearest(str(parent), list(boards())))
    under = read_board(base, (*seen, path))
    under.pop("aliases", None)
    return merge(under, table)


def find_target(name: str) -> Target:
    """`board`, `alias`, `board:engine`, or the path of a descriptor (`mine.toml`, `mine.toml:engine`)."""
    from edgekd.schema.target import Target

    board_name, _, engine = name.partition(":")
    if board_name.endswith(".toml"):
        board = load_board(Path(board_name))
    else:
        known = {
            alias: path for path in boards().values() for alias in (path.stem, *read_board(path).get("aliases", ()))
        }
        if board_name not in known:
            raise RequestError(f"unknown target `{board_name}`", nearest(board_name, sorted(known)))
        board = load_board(known[board_name])
    if engine and engine not in board.engines:
        raise RequestError(f"`{board.name}` has no engine `{engine}`", nearest(engine, list(board.engines)))
    return Target(board=board, engine_name=engine or board.engine)
