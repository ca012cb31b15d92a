"""Mixed precision for a finished run: which layers its float net should keep at more bits, as a recipe."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import MissingError
from edgekd.evidence import Bundle
from edgekd.plan import Step, make_plan
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import placed
from edgekd.steps import learner, source_of
from edgekd.students.base import deployed, sign_of
from edgekd.verify.scores import score

if TYPE_CHECKING:
    from edgekd.quantize.insert import Keep
    from edgekd.quantize.sensitivity import Bench


def bench_of(bundle: Bundle, samples: int | None) -> tuple[Bench, int]:
    """The float net behind what the run ships, to be quantized as that is, and how many samples will score it.

    Raises MissingError where torch or the run's weights are not here.
    """
    manifest = bundle.manifest
    plan = make_plan(placed(manifest.recipe, bundle.path), manifest.target)
    shipped, trained = plan.shipped, plan.steps[plan.trained[plan.recipe.ship]]
    recipe, store = shipped.recipe, bundle.run.parent / ".store"
    at = {name: _given(plan.steps[name]) or store / manifest.steps[name] for name in trained.needs}
    if not all(folder.is_dir() for folder in at.values()):
        raise MissingError(f"the weights of `{bundle.run}` are not in the store beside it", "make the run again")
    student = learner(plan, trained, at)
    import torch

    from edgekd.quantize.sensitivity import Bench
    from edgekd.train.teach import load_weights

    torch.set_num_threads(1)  # single samples of small nets: more threads wait for each other
    net, chosen = load_weights(deployed(student), at[trained.needs[0]]), plan.task.evalset()[:samples]

    def measure(run: Any) -> float:
        return sign * score("", plan.task, plan.io, chosen, partial(map, run)).mean(plan.task.metric)

    sign = sign_of(plan.task, plan.task.metric)
    source = source_of(plan, recipe, student)
    return Bench(net, source, shipped.arithmetic, recipe.quantize, plan.io, measure), len(chosen)


def _given(step: Step) -> Path | None:
    return step.ask.given if step.ask else None


def with_keep(recipe: Recipe, keep: Keep) -> dict[str, Any]:
    """The recipe as a table, with these layers kept beside those it keeps."""
    table = recipe.model_dump(mode="json", by_alias=True)
    before = {key: how for key, how in table["quantize"]["keep"].items() if key not in keep}
    table["quantize"]["keep"] = before | dict(keep)  # of several that match the last counts
    return table
