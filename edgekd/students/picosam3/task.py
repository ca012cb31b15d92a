"""Segmentation of what a box holds: samples, metrics, controls, pictures. numpy and Pillow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.images import find_data
from edgekd.graph.masks import Mask, eroded, inside, iou, resized
from edgekd.graph.roi import LEAST, MARGIN, Box, Roi, jitter, region
from edgekd.schema.io import ImageInput, IoRecord, MaskOutput, Region
from edgekd.schema.load import parse
from edgekd.students.base import Marked, Sample
from edgekd.students.picosam3.data import DataConfig, Instance, Instances, labelled, load, split
from edgekd.students.simple import SimpleTask

Logits = NDArray[np.float32]
MIDDLE = 128 / 255
"""Mean and standard deviation that give `(p - 128) / 128`: the pixels as a sensor hands them to its network."""
THRESHOLDS = tuple(np.arange(50, 100, 5) / 100)
"""IoU thresholds of the COCO family, 0.5 to 0.95."""
BAND = 0.02
"""Width of the boundary's band, a share of the diagonal (Cheng et al. 2021, arXiv 2103.16562)."""


@dataclass(frozen=True)
class Truth:
    """What is known of a sample: its box, its region, the object inside it."""

    box: Box
    roi: Roi
    inside: Mask
    """The object's mask in the region, (h, w)."""
    outside: int
    """Pixels of the object beyond the region."""


class SegmentTask(SimpleTask):
    """Which pixels of a box's surroundings belong to the object that the box was drawn around."""

    metric, unit = "iou", "%"
    baseline: str | None = "ellipse in the box"
    metrics = {
        "iou": ("IoU", "%"),
        "iou_picture": ("IoU in the picture", "%"),
        "iou_boundary": ("boundary IoU", "%"),
        "at_50": ("share at IoU ≥ 0.5", "%"),
        "at_75": ("share at IoU ≥ 0.75", "%"),
        "at_50_95": ("thresholds 0.5 to 0.95 reached", "%"),
    }
    about = "instances of pictures, split by picture with a fixed seed; a box around each is the prompt"

    def __init__(self, data: dict[str, Any], seed: int) -> None:
        super().__init__(data, seed)
        self.config = parse(DataConfig, data, "data")

    def folders(self) -> tuple[str, ...]:
        """The data source."""
        config = self.config
        named = (config.source, config.images) if find_data(config.source).suffix == ".json" else (config.source,)
        return tuple(name for name in named if name)

    @cached_property
    def instances(self) -> Instances:
        """All that are large enough."""
        return load(self.config)

    @cached_property
    def parts(self) -> tuple[list[Instance], list[Instance]]:
        """Training and test instances."""
        return split(self.config, self.instances)

    @cached_property
    def labelled(self) -> set[int]:
        """Training pictures whose masks are used."""
        return labelled(self.config, self.parts[0])

    def io(self, shape: tuple[int, int]) -> IoRecord:
        """One colour crop as `(p - 128) / 128`, from a box; logits, inside where they are above zero."""
        crop = ImageInput(
            name="crop", shape=(1, 3, *shape), mean=(MIDDLE,) * 3, std=(MIDDLE,) * 3, resize="stretch",
            region=Region(margin=MARGIN, least=LEAST),
        )  # fmt: skip
        return IoRecord(inputs=(crop,), outputs=(MaskOutput(name="logits"),))

    def evalset(self) -> list[Sample]:
        """Test instances, evenly thinned to `data.tests`, each as the region of its box."""
        test = self.parts[1]
        picks = np.unique(np.linspace(0, len(test) - 1, min(self.config.tests, len(test))).round().astype(int))
        return [self.sample_of(test[i], int(i)) for i in picks]

    def sample_of(self, instance: Instance, number: int) -> Sample:
        """A test instance as the region of its box, which is moved by `data.noise`."""
        picture, mask = self.instances.picture(instance.picture), self.instances.mask(instance)
        box, noise = instance.box, self.config.noise
        if noise:
            box = jitter(box, noise, np.random.default_rng([self.config.split, 2, number]))
        roi = region(box, picture.shape[:2])
        inside = mask[roi.slices]
        truth = Truth(box, roi, inside, int(mask.sum() - inside.sum()))
        return Sample(instance.id, np.ascontiguousarray(picture[roi.slices]), truth)

    def score(self, prediction: Logits, truth: Truth) -> dict[str, float]:
        """In %: IoU in the crop, IoU in the picture, boundary IoU in the crop, 100 where the crop's IoU reaches 0.5 and
        0.75, and over how many of the thresholds 0.5 to 0.95 it does.

        Shares at thresholds are no average precision: nothing is ranked. Logits (h, w) of any size.
        """
        answer, target = prediction > 0, resized(truth.inside, prediction.shape)
        found = iou(answer, target)
        whole = inside(prediction, truth.inside.shape)
        return {
            "iou": 100 * found,
            "iou_picture": 100 * iou(whole, truth.inside, truth.outside),
            "iou_boundary": 100 * iou(band(answer), band(target)),
            "at_50": 100.0 * (found >= 0.5),
            "at_75": 100.0 * (found >= 0.75),
            "at_50_95": 100 * float(np.mean([found >= t for t in THRESHOLDS])),
        }

    def controls(self) -> dict[str, Callable[[Sample], Logits]]:
        """Answers that need no network, of a crop's size as a network's are: the whole box, and the ellipse in it."""
        side = self.config.side
        return {
            "whole box": lambda s: fill(s.truth, side, ellipse=False),
            "ellipse in the box": lambda s: fill(s.truth, side),
        }

    def reference(self, sample: Sample) -> Marked:
        """The object in the region, and its box there."""
        x, y, w, h = sample.truth.box
        return Marked(sample.truth.inside, (x - sample.truth.roi.x, y - sample.truth.roi.y, w, h))


def band(mask: Mask) -> Mask:
    """The mask's pixels within `BAND` of the diagonal from its edge; the frame of the picture is an edge too."""
    width = max(1, round(BAND * float(np.hypot(*mask.shape))))
    return mask & ~eroded(mask, width)


def fill(truth: Truth, side: int, ellipse: bool = True) -> Logits:
    """Logits (side, side) over a sample's region: +1 in its box, or in the ellipse that fits it, and -1 elsewhere."""
    (x, y, w, h), roi = truth.box, truth.roi
    places = (np.arange(side) + 0.5) / side
    across = (roi.x + places * roi.width - x - w / 2) / (w / 2)
    down = (roi.y + places[:, None] * roi.height - y - h / 2) / (h / 2)
    inside = across**2 + down**2 <= 1 if ellipse else (abs(across) <= 1) & (abs(down) <= 1)
    return np.where(inside, np.float32(1), np.float32(-1))
