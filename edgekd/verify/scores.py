"""Task scores of arms and artifacts on the evaluation set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.answers import join, views
from edgekd.graph.model import Array
from edgekd.measure.statistics import bootstrap
from edgekd.schema.io import IoRecord
from edgekd.students.base import Controlled, Sample, Task

Answers = Callable[[Iterable[dict[str, Array]]], Iterable[dict[str, Array]]]
"""From inputs to outputs, in their order; a device gets them all at once."""
Kept = tuple[float, tuple[float, float]]
"""A share and its interval."""


@dataclass(frozen=True)
class Scores:
    """Every metric of every sample for one subject, and its predictions."""

    subject: str
    ids: tuple[str, ...]
    values: dict[str, tuple[float, ...]]
    predictions: tuple[Any, ...]

    def mean(self, metric: str) -> float:
        """Mean over samples."""
        return float(np.mean(self.values[metric]))

    def interval(self, metric: str) -> tuple[float, float]:
        """95 % bootstrap interval of the mean, over samples."""
        return bootstrap(np.array(self.values[metric]), lambda rows: float(rows.mean()))


def score(subject: str, task: Task, io: IoRecord, samples: Sequence[Sample], answers: Answers) -> Scores:
    """Run and score."""
    return scored(subject, task, samples, tuple(_predictions(task, io, samples, answers)))


def controls(task: Task, samples: Sequence[Sample]) -> Iterator[Scores]:
    """The baseline, and the task's other answers that need no network."""
    known = answers_without(task)
    for name in control_names(task):
        answer: Callable[[Sample], Any] = known.get(name, lambda sample: sample.raw)
        yield scored(name, task, samples, [answer(sample) for sample in samples])


def control_names(task: Task) -> tuple[str, ...]:
    """What `controls` scores: the baseline first."""
    return tuple(dict.fromkeys([*([] if task.baseline is None else [task.baseline]), *answers_without(task)]))


def answers_without(task: Task) -> dict[str, Callable[[Sample], Any]]:
    """The task's answers that need no network, by name; a raw input that is one is not among them."""
    return task.controls() if isinstance(task, Controlled) else {}


def scored(subject: str, task: Task, samples: Sequence[Sample], predictions: Sequence[Any]) -> Scores:
    """Predictions against the truth."""
    rows = [task.score(p, sample.truth) for p, sample in zip(predictions, samples, strict=True)]
    order = sorted(rows[0], key=lambda metric: metric != task.metric)  # the task's own first
    values = {metric: tuple(float(row[metric]) for row in rows) for metric in order}
    return Scores(subject, tuple(s.id for s in samples), values, tuple(predictions))


def _predictions(task: Task, io: IoRecord, samples: Sequence[Sample], answers: Answers) -> Iterator[Any]:
    """Every view of every sample encoded, answered, decoded and put together."""
    outputs = iter(answers(task.encode(view, io) for sample in samples for view in views(sample.raw, io)))
    for sample in samples:
        yield join([task.decode(next(outputs), io) for _ in views(sample.raw, io)], sample.raw, io)


def retained(base: Scores | None, full: Scores, artifact: Scores, metric: str, sign: int = 1) -> Kept | None:
    """`(artifact - base) / (FP32 - base)` of the means, with its paired 95 % bootstrap interval over samples.

    `base` is the raw input's scores, zero where the task has none; then FP32 at zero or below has no share, nor has an
    error (`sign` -1): None. Where FP32 gains nothing over `base`, no worse is all kept.
    """
    if base is None and sign * full.mean(metric) <= 0:
        return None
    zero = (0.0,) * len(full.ids)
    rows = np.array([base.values[metric] if base else zero, full.values[metric], artifact.values[metric]]).T

    def ratio(table: NDArray[Any]) -> float:
        low, best, ours = sign * table.mean(0)
        return float((ours - low) / (best - low)) if best > low else float(ours >= best)

    return ratio(rows), bootstrap(rows, ratio)
