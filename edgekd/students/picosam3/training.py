"""Training side of PicoSAM3."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import RequestError
from edgekd.graph.roi import Roi, crop, crop_mask, jitter, region
from edgekd.schema.io import IoRecord
from edgekd.schema.load import parse
from edgekd.students.picosam3.data import Instance
from edgekd.students.picosam3.lesson import Taught, lesson
from edgekd.students.picosam3.losses import AREA, area_loss, combined, label_loss
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from edgekd.students.picosam3.task import SegmentTask
from edgekd.students.picosam3.teachers.base import TeacherConfig
from edgekd.students.simple import SimpleStudent
from edgekd.train.cache import Answers, Lesson


class SegmentStudent(SimpleStudent):
    """Crops around boxes that are moved, stretched and mirrored; the paper's losses. QAT is distilled at the neck."""

    taps = ("neck",)

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__(model, data, seed)
        self.config = parse(ModelConfig, model, "model")
        self.task = SegmentTask(data, seed)
        self.taught: Taught | None = None

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The task's."""
        return self.task.io(shape)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return PicoSam3Net(self.config)

    def lesson(self, teacher: dict[str, Any]) -> Lesson | None:
        """Every training instance, whether its mask is used or not; None without a `source`."""
        config, task = parse(TeacherConfig, teacher, "teacher"), self.task
        return lesson(config, task.instances, task.parts[0], task.config.expose) if config.source else None

    def learn(self, teacher: dict[str, Any], cache: Path) -> None:
        """From now on with the answers of a cache that was filled for `lesson`."""
        self.taught = Taught(parse(TeacherConfig, teacher, "teacher"), Answers(cache))
        self.__dict__.pop("training", None)

    @cached_property
    def training(self) -> list[Instance]:
        """What is drawn from: of pictures without masks only where a teacher answers for them."""
        task, taught = self.task, self.taught
        found = [i for i in task.parts[0] if i.picture in task.labelled or (taught and taught.views(i))]
        if not found:
            raise RequestError("nothing is left to train on", "raise `data.labelled`, or name a teacher that answers")
        return found

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A crop (side, side, 3) and its mask (1, side, side); with a teacher also its logits as `taught`, alike, its
        `score`, and `labelled`, 0 where the mask is all zero because it is not to be known."""
        task, config = self.task, self.task.config
        instance = self.training[int(rng.integers(len(self.training)))]
        picture, mask = task.instances.picture(instance.picture), task.instances.mask(instance)
        size = picture.shape[:2]
        roi = stretched(region(jitter(instance.box, config.jitter, rng), size), config.aspect, size, rng)
        side = (config.side, config.side)
        seen, inside = crop(picture, roi, side), crop_mask(mask, roi, side)
        flips = tuple(axis for axis in (0, 1) if config.flip and rng.random() < 0.5)
        target = np.flip(inside, flips)[None].astype(np.float32)
        row: dict[str, Any] = {"crop": np.ascontiguousarray(np.flip(seen, flips)), "mask": target}
        if not self.taught:
            return row
        known = instance.picture in task.labelled
        logits, score = self.taught(instance, roi, size, config.side, rng)
        said = np.ascontiguousarray(np.flip(logits, flips))[None]
        return row | {"mask": target * known, "taught": said, "score": score, "labelled": float(known)}

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy, Dice and area against the true masks; with a teacher the paper's sum with its answers."""
        mask = batch["mask"]
        if self.taught is None or "taught" not in batch:
            parts: Tensor = label_loss(outputs, mask) + AREA * area_loss(outputs, mask)
            return parts.mean()
        trust = batch["score"]
        trust = shared(trust) if self.taught.config.per == "batch" else trust
        return combined(outputs, mask, batch["taught"], trust, batch["labelled"])


def shared(trust: Tensor) -> Tensor:
    """The mean of those (N,) above zero for each of them; where the teacher says nothing it stays zero (ours: the
    authors leave such instances out)."""
    told = trust > 0
    return torch.where(told, trust.sum() / told.sum().clamp(min=1), 0.0)


def stretched(roi: Roi, aspect: float, size: tuple[int, ...], rng: np.random.Generator) -> Roi:
    """A region of other proportions around the same centre, inside the picture: each side times `1 + U(-a, a)`."""
    grown = 1 + rng.uniform(-aspect, aspect, 2)
    height, width = (min(n, max(4, round(s * g))) for s, g, n in zip((roi.height, roi.width), grown, size, strict=True))
    y = min(max(0, roi.y + (roi.height - height) // 2), size[0] - height)
    x = min(max(0, roi.x + (roi.width - width) // 2), size[1] - width)
    return Roi(x, y, width, height)
