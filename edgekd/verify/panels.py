"""Pictures of answers that a task draws, or that are masks: the truth, each network's answer, of masks the errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.graph.answers import by_output, pictures
from edgekd.graph.masks import BOX, COLORS, TRUE, coloured, errors, framed, inside, is_mask, outlined, times, tinted
from edgekd.graph.resize import Picture, scale
from edgekd.schema.io import IoRecord
from edgekd.students.base import Draws, DrawsTruth, Marked, Referenced, Sample, Task
from edgekd.verify.scores import Scores

TRUTH, INPUT, ERRORS = "truth", "input", "errors"


@dataclass(frozen=True)
class Panel:
    """A picture of a sample, the subject that it shows, and that subject's score."""

    subject: str
    picture: Picture
    value: float | None = None


def marked(task: Task, sample: Sample) -> Marked | None:
    """The true mask of a sample, where there is one to show."""
    if isinstance(task, Referenced):
        return task.reference(sample)
    truth = sample.truth
    return Marked(truth > 0) if isinstance(truth, np.ndarray) and truth.ndim == 2 else None


def panels(task: Task, io: IoRecord, sample: Sample, i: int, arms: Sequence[Scores]) -> Iterator[Panel]:
    """The picture with its truth and each arm's answer, as the task draws them; else masks, where there are any."""
    yield from (_drawn if isinstance(task, Draws) else _masks)(task, io, sample, i, arms)


def _drawn(task: Task, io: IoRecord, sample: Sample, i: int, arms: Sequence[Scores]) -> Iterator[Panel]:
    """The truth, or the input where a task does not draw it, then each arm's answer."""
    raw = next(iter(pictures(sample.raw, io).values()), None)
    if isinstance(task, DrawsTruth):
        yield Panel(TRUTH, np.asarray(task.draw_truth(sample), np.uint8))
    elif raw is not None:
        yield Panel(INPUT, coloured(raw))
    if isinstance(task, Draws):
        for arm in arms:
            drawn = np.asarray(task.draw(sample.raw, arm.predictions[i]), np.uint8)
            yield Panel(arm.subject, drawn, arm.values[task.metric][i])


def _masks(task: Task, io: IoRecord, sample: Sample, i: int, arms: Sequence[Scores]) -> Iterator[Panel]:
    """The picture with its truth, each arm's mask, and the last arm's errors; nothing where there are no masks."""
    truth, raw = marked(task, sample), next(iter(pictures(sample.raw, io).values()), None)
    masks = [_values(arm.predictions[i], io) for arm in arms]
    if truth is None or raw is None or any(values is None for values in masks):
        return
    n = times(raw.shape)
    size = (raw.shape[0] * n, raw.shape[1] * n)
    picture, target = scale(coloured(raw), size, "bicubic"), inside(truth.inside, size)
    shown = outlined(picture, target, TRUE)
    yield Panel(TRUTH, shown if truth.box is None else framed(shown, truth.box, BOX, n))
    answers = [inside(values, size) for values in masks if values is not None]
    for arm, answer in zip(arms, answers, strict=True):
        shown = outlined(tinted(picture, answer, COLORS[0]), answer, COLORS[0])
        yield Panel(arm.subject, shown, arm.values[task.metric][i])
    yield Panel(ERRORS, errors(picture, answers[-1], target))


def _values(answer: Any, io: IoRecord) -> Any:
    """The first mask in an answer."""
    parts = by_output(answer, io) or {}
    return next((parts[s.name] for s in io.outputs if is_mask(parts.get(s.name), s)), None)
