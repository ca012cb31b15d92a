"""Recipes by path, and as an arm sees them."""

from __future__ import annotations

from pathlib import Path

from edgekd.errors import RequestError
from edgekd.schema.load import Table, merge, nest, parse, read_toml
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Arithmetic, Engine, unrunnable


def load_recipe(path: Path, overrides: Table) -> Recipe:
    """A recipe file with overrides laid on it. Raises ProblemsError with every mistake."""
    return parse(Recipe, merge(read_toml(path, "`edgekd init qdr` writes a recipe"), overrides), path.name)


def arm_recipe(recipe: Recipe, arm: str) -> Recipe:
    """The recipe as the arm sees it: its `set` laid on top."""
    table = recipe.model_dump(mode="json", by_alias=True)
    return parse(Recipe, merge(table, nest(recipe.arms[arm].set)), f"arms.{arm}.set")


def arm_arithmetic(recipe: Recipe, arm: str, engine: Engine) -> Arithmetic:
    """The engine's arithmetic as the arm sees it. Raises RequestError where bits run nowhere and are not simulated."""
    table, over = engine.arithmetic.model_dump(mode="json"), nest(recipe.arms[arm].arithmetic)
    arithmetic = parse(Arithmetic, merge(table, over), f"arms.{arm}.arithmetic") if over else engine.arithmetic
    kept = [bits for bits in recipe.quantize.keep.values() if bits != "float"]
    for bits in (arithmetic.weights.bits, *kept):
        weights = arithmetic.weights.model_copy(update={"bits": bits})
        if reason := unrunnable(arithmetic.model_copy(update={"weights": weights}), engine.sub_byte):
            raise RequestError(reason, f"set `arms.{arm}.arithmetic.simulated = true`")
    return arithmetic
