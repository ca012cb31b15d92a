"""Recipes by path, and as an arm sees them."""

from __future__ import annotations

from pathlib import Path

from edgekd.schema.load import Table, merge, nest, parse, read_toml
from edgekd.schema.recipe import Recipe


def load_recipe(path: Path, overrides: Table) -> Recipe:
    """A recipe file with overrides laid on it. Raises ProblemsError with every mistake."""
    return parse(Recipe, merge(read_toml(path, "`edgekd init qdr` writes a recipe"), overrides), path.name)


def arm_recipe(recipe: Recipe, arm: str) -> Recipe:
    """The recipe as the arm sees it: its `set` laid on top."""
    table = recipe.model_dump(mode="json", by_alias=True)
    return parse(Recipe, merge(table, nest(recipe.arms[arm].set)), f"arms.{arm}.set")
