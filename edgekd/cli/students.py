"""`edgekd students`: the networks edgekd can train."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "students"


def main(
    name: Annotated[str | None, typer.Argument(help="A student whose default recipe to show.")] = None,
    fields: Annotated[bool, typer.Option("--fields", help="Explain every field of a recipe.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """List students, or show one's default recipe."""
    if fields:
        from edgekd.schema.describe import as_markdown
        from edgekd.schema.recipe import Recipe

        print(as_markdown(Recipe))
        return
    from edgekd.cli import console
    from edgekd.schema.load import read_toml
    from edgekd.students.registry import find_student, students

    if name is not None:
        recipe = find_student(name).recipe
        if json:
            console.emit(read_toml(recipe))
        else:
            print(recipe.read_text(encoding="utf-8"), end="")
    elif json:
        console.emit({key: entry.about for key, entry in students().items()})
    else:
        console.table(["student", "what"], [[key, entry.about] for key, entry in students().items()])
        print('\nyour own: write `student = "my_net.py:MyStudent"` in a recipe; docs/your-own-student.md has one whole')
