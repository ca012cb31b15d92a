"""Whether arms that teach are better than what learns from them."""

from __future__ import annotations

from collections.abc import Iterable

from edgekd.evidence import Figure
from edgekd.schema.recipe import TAUGHT, Recipe
from edgekd.schema.recipes import arm_recipe
from edgekd.students.base import Task, sign_of


def poor_teachers(recipe: Recipe, task: Task, figures: Iterable[Figure]) -> list[str]:
    """A sentence for each arm of the run that teaches FP32 nets, but scores no better than one of them."""
    means, sign = {f.subject: f.value for f in figures if f.name == task.metric}, sign_of(task, task.metric)
    unit = f" {task.unit}" if task.unit else ""
    taught: dict[str, list[str]] = {}
    for arm, spec in recipe.arms.items():
        master = arm_recipe(recipe, arm).master if spec.method in TAUGHT else None
        if master in means and arm in means and sign * (means[master] - means[arm]) <= 0:
            taught.setdefault(master, []).append(f"`{arm}` ({means[arm]:.3f}{unit})")
    return [
        f"`{master}` teaches {' and '.join(arms)}, but is no better: {means[master]:.3f}{unit}"
        for master, arms in taught.items()
    ]
