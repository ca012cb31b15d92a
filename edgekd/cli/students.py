"""`edgekd students`: the networks edgekd can train."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekd.students.registry import Entry

NAME = "students"


def main(
    name: Annotated[
        str | None, typer.Argument(help="A student whose default recipe to show, or STUDENT/RECIPE.")
    ] = None,
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
    from edgekd.students.registry import find_recipe, students

    if name is not None:
        recipe = find_recipe(name)
        if json:
            console.emit(read_toml(recipe))
        else:
            print(recipe.read_text(encoding="utf-8"), end="")
    elif json:
        console.emit({key: entry.about for key, entry in students().items()})
    else:
        rows = [[key, _others(key, entry), entry.about] for key, entry in students().items()]
        console.table(["student", "other recipes", "what"], rows)
        print('\nyour own: write `student = "my_net.py:MyStudent"` in a recipe; docs/your-own-student.md has one whole')


def _others(name: str, entry: Entry) -> str:
    return ", ".join(f"{name}/{recipe}" for recipe in entry.recipes if recipe != "recipe")
