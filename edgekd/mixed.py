"""Mixed precision for a finished run: which layers its float net should keep at more bits, as a recipe."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from edgekd.errors import MissingError
from edgekd.evidence import Bundle
from edgekd.plan import make_plan
from edgekd.schema.recipe import Recipe
from edgekd.schema.recipes import placed
from edgekd.steps import source_of
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
    recipe, teacher = shipped.recipe, trained.needs[0]
    student = plan.entry.make_student(recipe.model, recipe.data, recipe.seed)
    import torch

    from edgekd.quantize.sensitivity import Bench
    from edgekd.train.teach import load_weights

    folder = bundle.run.parent / ".store" / manifest.steps[teacher]
    if not folder.is_dir():
        raise MissingError(f"the weights of `{bundle.run}` are not in the store beside it", "make the run again")
    torch.set_num_threads(1)  # single samples of small nets: more threads wait for each other
    net, chosen = load_weights(student.build(), folder), plan.task.evalset()[:samples]

    def measure(run: Any) -> float:
        return score("", plan.task, plan.io, chosen, partial(map, run)).mean(plan.task.metric)

    source = source_of(plan, recipe, student)
    return Bench(net, source, shipped.arithmetic, recipe.quantize, plan.io, measure), len(chosen)


def with_keep(recipe: Recipe, keep: Keep) -> dict[str, Any]:
    """The recipe as a table, with these layers kept beside those it keeps."""
    table = recipe.model_dump(mode="json", by_alias=True)
    before = {key: how for key, how in table["quantize"]["keep"].items() if key not in keep}
    table["quantize"]["keep"] = before | dict(keep)  # of several that match the last counts
    return table
