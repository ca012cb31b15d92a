"""Training side of PicoSAM3."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from edgekd.graph.resize import scale
from edgekd.graph.roi import Roi, jitter, region
from edgekd.schema.io import IoRecord
from edgekd.schema.load import parse
from edgekd.students.picosam3.losses import AREA, area_loss, label_loss
from edgekd.students.picosam3.network import ModelConfig, PicoSam3Net
from edgekd.students.picosam3.task import SegmentTask, fitted
from edgekd.students.simple import SimpleStudent


class SegmentStudent(SimpleStudent):
    """Crops around boxes that are moved, stretched and mirrored; the paper's losses. QAT is distilled at the neck."""

    taps = ("neck",)

    def __init__(self, model: dict[str, Any], data: dict[str, Any], seed: int) -> None:
        super().__init__(model, data, seed)
        self.config = parse(ModelConfig, model, "model")
        self.task = SegmentTask(data, seed)

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """The task's."""
        return self.task.io(shape)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return PicoSam3Net(self.config)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """A crop (side, side, 3) and its mask (1, side, side)."""
        task, config = self.task, self.task.config
        training = [i for i in task.parts[0] if i.picture in task.labelled]
        instance = training[int(rng.integers(len(training)))]
        picture, mask = task.instances.picture(instance.picture), task.instances.mask(instance)
        size = picture.shape[:2]
        roi = stretched(region(jitter(instance.box, config.jitter, rng), size), config.aspect, size, rng)
        side = (config.side, config.side)
        crop = scale(np.ascontiguousarray(picture[roi.slices]), side, "bilinear")
        inside = fitted(mask[roi.slices], side)
        if config.flip:
            for axis in (0, 1):
                if rng.random() < 0.5:
                    crop, inside = np.flip(crop, axis), np.flip(inside, axis)
        return {"crop": np.ascontiguousarray(crop), "mask": inside[None].astype(np.float32)}

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy, Dice and area against the true masks."""
        mask = batch["mask"]
        parts: Tensor = label_loss(outputs, mask) + AREA * area_loss(outputs, mask)
        return parts.mean()


def stretched(roi: Roi, aspect: float, size: tuple[int, ...], rng: np.random.Generator) -> Roi:
    """A region of other proportions around the same centre, inside the picture: each side times `1 + U(-a, a)`."""
    grown = 1 + rng.uniform(-aspect, aspect, 2)
    height, width = (min(n, max(4, round(s * g))) for s, g, n in zip((roi.height, roi.width), grown, size, strict=True))
    y = min(max(0, roi.y + (roi.height - height) // 2), size[0] - height)
    x = min(max(0, roi.x + (roi.width - width) // 2), size[1] - width)
    return Roi(x, y, width, height)
