"""Recipes by path, and as an arm sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from edgekd.errors import RequestError
from edgekd.schema.load import Table, merge, nest, parse, read_toml
from edgekd.schema.recipe import Recipe
from edgekd.schema.target import Arithmetic, Engine, unrunnable

Part = Literal["student", "task"]
PARTS: tuple[Part, ...] = ("student", "task")
"""Keys that may name a class in a person's own file; also the folders in which a bundle keeps those files."""


def is_own(name: str) -> bool:
    """Whether a name is `FILE.py:CLASS`."""
    return name.rpartition(":")[0].endswith(".py")


def beside(name: str, folder: Path) -> str:
    """`FILE.py:CLASS` with the file seen from `folder`, as an absolute path; other names as they are."""
    file, _, cls = name.rpartition(":")
    return f"{(folder / file).resolve()}:{cls}" if is_own(name) else name


def placed(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with a person's own files seen from `folder`."""
    return recipe.model_copy(update={part: beside(getattr(recipe, part), folder) for part in PARTS})


def bundled(recipe: Recipe) -> Recipe:
    """The recipe as a bundle keeps it: `FILE.py:CLASS` with the file in the bundle's folder for that part."""
    return recipe.model_copy(update={part: _inside(getattr(recipe, part), part) for part in PARTS})


def _inside(name: str, folder: str) -> str:
    file, _, cls = name.rpartition(":")
    return f"{folder}/{Path(file).name}:{cls}" if is_own(name) else name


def load_recipe(path: Path, overrides: Table) -> Recipe:
    """A recipe file with overrides laid on it, files of one's own as absolute paths.

    Raises ProblemsError with every mistake.
    """
    recipe = parse(Recipe, merge(read_toml(path, "`edgekd init qdr` writes a recipe"), overrides), path.name)
    return placed(recipe, path.parent)


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
            raise RequestError(
                reason, f"set `arms.{arm}.arithmetic.simulated = true`: they are trained in 8-bit containers"
            )
    return arithmetic
