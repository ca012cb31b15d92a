"""Gates: what must hold of a bundle. One that does not ends the run with exit code 1."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgekd.errors import Problem
from edgekd.evidence import Figure
from edgekd.schema.recipe import Recipe
from edgekd.students.base import Task, sign_of
from edgekd.verify.parity import INCOMPARABLE, Difference, Hop
from edgekd.verify.scores import Kept, Scores, control_names, retained
from edgekd.verify.worst import Loss


@dataclass(frozen=True)
class Gate:
    """One rule about one subject, and whether it held."""

    subject: str
    rule: str
    found: str
    limit: str
    held: bool
    hint: str = ""

    @property
    def problem(self) -> Problem:
        """A gate that failed, in a sentence."""
        return Problem(self.subject, f"{self.rule}: {self.found}, limit {self.limit}", self.hint)


def parity_gate(hop: Hop) -> Gate:
    """Every tensor inside its bound; the first that is not is named."""
    first = next((t for t in hop.tensors if not t.inside), None)
    found = "all tensors inside" if first is None else f"first beyond is `{first.tensor}`, {_told(first)}"
    hint = "compare that layer's weights, scales and quantizers in the two graphs"
    return Gate(hop.name, "codes within their bounds", found, "the tensor's bound", first is None, hint)


def _told(t: Difference) -> str:
    if t.forced_largest >= INCOMPARABLE:
        return "which is missing, of another shape or not finite"
    return f"{t.forced_differing} of {t.size} codes differ, by up to {t.forced_largest}"


def score_gates(recipe: Recipe, task: Task, scores: dict[str, Scores]) -> Iterator[Gate]:
    """Gain and retained gain of the shipped graph and its artifacts; what engines lose to the integer reference.

    Gains count from the raw input's mean, from zero where the task has no baseline; a gain is what becomes better.
    """
    sign = sign_of(task, task.metric)
    gates, metric, unit = recipe.gates, task.metric, f" {task.unit}" if task.unit else ""
    base, full, ship = scores.get(task.baseline or ""), scores[recipe.reference], scores[recipe.ship]
    engines = [s for name, s in scores.items() if name not in (*recipe.arms, *control_names(task))]
    for s in (ship, *engines):
        gain = sign * (s.mean(metric) - (base.mean(metric) if base else 0.0))
        if gates.min_gain is not None:
            yield Gate(
                s.subject,
                f"gain over the {task.baseline}" if base else metric,
                f"{gain:.2f}{unit}",
                f"at least {gates.min_gain:g}{unit}",
                gain >= gates.min_gain,
                "train longer, or lower `gates.min_gain`",
            )
        yield _share_gate(s, f"share of the FP32 {'gain' if base else metric}", full.mean(metric),
                          retained(base, full, s, metric, sign), recipe)  # fmt: skip
    for s in engines:
        drops = sign * np.subtract(ship.values[metric], s.values[metric])
        limits = {"mean": gates.max_engine_drop, "worst sample": gates.max_engine_drop_worst}
        for drop, (which, limit) in zip((drops.mean(), drops.max()), limits.items(), strict=True):
            yield Gate(
                s.subject,
                f"change from the integer reference, {which}",
                f"{-sign * drop:+.3f}{unit}",
                _change(limit, sign, unit),
                bool(drop <= limit),
                "see the parity table for the tensor",
            )


def group_gates(recipe: Recipe, task: Task, losses: dict[str, list[Loss]]) -> Iterator[Gate]:
    """The group that loses most, of each subject, where the recipe sets a limit."""
    limit, unit = recipe.gates.max_group_drop, f" {task.unit}" if task.unit else ""
    sign = sign_of(task, task.metric)
    if limit is None:
        return
    for subject, found in losses.items():
        for worst in found[:1]:
            yield Gate(
                subject,
                "worst group against FP32",
                f"`{worst.name}` {-sign * worst.drop:+.2f}{unit}",
                _change(limit, sign, unit),
                worst.drop <= limit,
                "train longer, add samples of that group, or see `edgekd sensitivity` for the layer",
            )


def _change(limit: float, sign: int, unit: str) -> str:
    """The largest change for the worse."""
    return f"at least -{limit:g}{unit}" if sign > 0 else f"at most +{limit:g}{unit}"


def size_gates(recipe: Recipe, weight_bytes: int) -> Iterator[Gate]:
    """Bytes of the shipped graph's weights and biases, where the recipe sets a limit."""
    if (limit := recipe.gates.max_weight_bytes) is not None:
        hint = "a smaller `model`, or weights of fewer bits"
        held = weight_bytes <= limit
        yield Gate(recipe.ship, "bytes of weights and biases", f"{weight_bytes:,}", f"{limit:,}", held, hint)


def latency_gates(recipe: Recipe, engines: Collection[str], figures: Sequence[Figure]) -> Iterator[Gate]:
    """Median latency of the engines that were measured, where the recipe sets a limit."""
    limit, hint = recipe.gates.max_latency_ms, "a smaller `model`; `edgekd explain` tells what is slow"
    if limit is None:
        return
    for f in figures:
        if f.name == "latency" and f.subject in engines:
            where = f"{f.subject} on {f.device}"
            yield Gate(where, "median latency", f"{f.value:.3g} ms", f"{limit:g} ms", f.value <= limit, hint)


def _share_gate(s: Scores, rule: str, full: float, kept: Kept | None, recipe: Recipe) -> Gate:
    """What is kept of FP32; a metric that does not count from zero has no share, so its gate fails."""
    least = recipe.gates.min_retained
    if kept is None:
        hint = "give the task a `baseline`, or a metric that counts from zero"
        return Gate(s.subject, rule, f"FP32 has {full:.4g}, so there is none", "FP32 above zero", False, hint)
    hint = f"train `{recipe.ship}` longer, or lower `gates.min_retained`"
    return Gate(s.subject, rule, f"{kept[0]:.2%}", f"at least {least:.2%}", kept[0] >= least, hint)
