"""Where an artifact loses most against FP32: the worst sample, the worst group of samples. Means hide both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgekd.schema.io import ClassesOutput, IoRecord
from edgekd.students.base import Sample, Task
from edgekd.verify.scores import Scores

SHOWN = 5
"""Samples that are listed."""


@dataclass(frozen=True)
class Loss:
    """What one group or sample loses: the metric of FP32, that of the artifact, samples behind it."""

    name: str
    full: float
    ours: float
    n: int
    sign: int = 1
    """-1 where lower is better."""

    @property
    def drop(self) -> float:
        """Positive where the artifact is worse."""
        return self.sign * (self.full - self.ours)


def groups(task: Task, io: IoRecord, samples: Sequence[Sample]) -> dict[str, list[int]]:
    """Sample numbers by group: what the task's `group(sample)` says, else the true class where answers are classes.

    Empty where there is neither.
    """
    told: Callable[[Sample], str | None] | None = getattr(task, "group", None) or _class(io)
    found: dict[str, list[int]] = {}
    if told is None:
        return found
    for i, sample in enumerate(samples):
        name = told(sample)
        if name is not None:
            found.setdefault(str(name), []).append(i)
    return found


def _class(io: IoRecord) -> Callable[[Sample], str | None] | None:
    spec = io.outputs[0]
    if not isinstance(spec, ClassesOutput):
        return None

    def label(sample: Sample) -> str | None:
        number = sample.truth
        known = isinstance(number, int | np.integer) and not isinstance(number, bool) and 0 <= number < len(spec.labels)
        return spec.labels[int(number)] if known else None

    return label


def group_losses(found: dict[str, list[int]], full: Scores, ours: Scores, metric: str, sign: int = 1) -> list[Loss]:
    """Each group's means, the largest loss first."""
    before, after = (np.array(s.values[metric]) for s in (full, ours))
    losses = [Loss(n, float(before[i].mean()), float(after[i].mean()), len(i), sign) for n, i in found.items()]
    return sorted(losses, key=lambda loss: -loss.drop)


def sample_losses(full: Scores, ours: Scores, metric: str, sign: int = 1) -> list[Loss]:
    """The samples that lose most, the largest loss first."""
    rows = zip(full.ids, full.values[metric], ours.values[metric], strict=True)
    return sorted((Loss(i, a, b, 1, sign) for i, a, b in rows), key=lambda loss: -loss.drop)[:SHOWN]
