"""`edgekd init`: a recipe of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NAME = "init"


def main(
    student: Annotated[str, typer.Argument(help="A student, or STUDENT/RECIPE; see `edgekd students`.")],
    path: Annotated[Path | None, typer.Argument(help="Where to write; default STUDENT.toml.")] = None,
) -> None:
    """Write a copy of a student's recipe that you own and edit."""
    from edgekd.errors import RequestError
    from edgekd.students.registry import find_recipe

    text = find_recipe(student).read_text(encoding="utf-8")
    path = path or Path(f"{student.replace('/', '-')}.toml")
    if path.exists():
        raise RequestError(f"`{path}` exists already", "name another file")
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path}\nnext: edgekd compress {path} --target jetson")
