"""Targets by name, alias or path."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import RequestError, nearest
from edgekd.resources import folder
from edgekd.schema.load import Table, merge, parse, read_toml
from edgekd.schema.target import Board, Target


def boards() -> dict[str, Path]:
    """Descriptor files that ship, by board name."""
    return {path.stem: path for path in sorted(folder("targets").glob("*.toml"))}


def load_board(path: Path) -> Board:
    """A board descriptor, with what it `extends` laid under it."""
    return parse(Board, _extended(path, ()), path.name)


def _extended(path: Path, seen: tuple[Path, ...]) -> Table:
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
    under = _extended(base, (*seen, path))
    under.pop("aliases", None)
    return merge(under, table)


def find_target(name: str) -> Target:
    """`board`, `alias`, `board:engine`, or the path of a descriptor (`mine.toml`, `mine.toml:engine`)."""
    board_name, _, engine = name.partition(":")
    if board_name.endswith(".toml"):
        board = load_board(Path(board_name))
    else:
        known = {alias: board for path in boards().values() for board in [load_board(path)]
                 for alias in (board.name, *board.aliases)}  # fmt: skip
        if board_name not in known:
            raise RequestError(f"unknown target `{board_name}`", nearest(board_name, sorted(known)))
        board = known[board_name]
    if engine and engine not in board.engines:
        raise RequestError(f"`{board.name}` has no engine `{engine}`", nearest(engine, list(board.engines)))
    return Target(board=board, engine_name=engine or board.engine)
