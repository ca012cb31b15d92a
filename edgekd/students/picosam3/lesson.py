"""What PicoSAM3's teacher is asked, how its answers are kept, and what they say of a training crop. numpy and Pillow.

An instance's answers are kept over a wide region around its box, of which the regions of moved and stretched boxes are
parts; beyond it is outside. All of this is ours; the authors keep one answer over the exact box's region, in float16.

Kept are bytes, 256 steps of `sigmoid(2.5 z)`. Of what the losses see, `sigmoid(5 z)`, they lose at most 0.004, float16
0.0001. But on 250 random training crops of the cells the way to the crop and back costs a mean of 0.0029 for hard masks
and 0.00044 for smooth ones; with bytes it is 0.0029 and 0.00046. So bytes, at half the size. Steps of `sigmoid(5 z)`
itself end at logits of 1.25, and resampling those costs 0.0052 and 0.0030.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from math import ceil

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.errors import RequestError
from edgekd.graph.roi import Box, Roi, jitter, region
from edgekd.schema.base import digest
from edgekd.students.picosam3.data import Instance, Instances
from edgekd.students.picosam3.teachers.base import Answer, MaskTeacher, TeacherConfig
from edgekd.train.cache import Answers, Lesson

SHARP = 2.5
"""Half of the losses' tau."""
SIDE = 128
"""Of a kept answer, in pixels; the region's part of it has about 82."""
WIDE = 1.3
"""How much wider than the instance's own region the kept one is: with box noise and stretch of 0.1, the defaults, it
holds 996 of 1000 training crops wholly."""
OUTSIDE = -4.0
"""The logit of what no answer covers; what lies beyond it and its opposite means the same to the losses: 2e-9."""
BILINEAR = Image.Resampling.BILINEAR
Codes = NDArray[np.uint8]
Logits = NDArray[np.float32]
STEPS = (np.arange(256) + 0.5) / 256
LOGITS: Logits = (np.log(STEPS / (1 - STEPS)) / SHARP).astype(np.float32)
"""The middle of each step, -2.5 to 2.5."""


def encode(logits: Logits) -> Codes:
    """Steps of logits; above 127 where the logit is above zero."""
    shares = 1 / (1 + np.exp(-SHARP * np.clip(logits.astype(np.float64), OUTSIDE, -OUTSIDE)))
    codes: Codes = np.clip(np.ceil(256 * shares) - 1, 0, 255).astype(np.uint8)
    return codes


def decode(codes: Codes) -> Logits:
    """The logits that codes stand for."""
    return LOGITS[codes]


def wide(box: Box, size: tuple[int, ...]) -> Roi:
    """The region over which an instance's answers are kept."""
    x, y, w, h = box
    return region((x - w * (WIDE - 1) / 2, y - h * (WIDE - 1) / 2, w * WIDE, h * WIDE), size)


def over(logits: Logits, roi: Roi, wanted: Roi, side: int) -> Logits:
    """Logits (h, w) over `roi` as (side, side) over another region of the same picture, bilinear."""
    top, bottom, rows = _span(wanted.y - roi.y, wanted.height, logits.shape[0] / roi.height, logits.shape[0])
    left, right, columns = _span(wanted.x - roi.x, wanted.width, logits.shape[1] / roi.width, logits.shape[1])
    padded = np.pad(logits, (rows, columns), constant_values=OUTSIDE)
    return np.asarray(Image.fromarray(padded).resize((side, side), BILINEAR, box=(left, top, right, bottom)))


def _span(start: int, length: int, factor: float, n: int) -> tuple[float, float, tuple[int, int]]:
    """Where a stretch begins and ends on an axis of `n`, and what must be added before and behind for it to fit."""
    begin, end = start * factor, (start + length) * factor
    before, behind = max(0, ceil(-begin)), max(0, ceil(end - n))
    return begin + before, min(end + before, before + n + behind), (before, behind)


def lesson(config: TeacherConfig, data: Instances, training: Sequence[Instance], exposed: bool = False) -> Lesson:
    """All that is asked of a teacher: every training instance, a picture at a time; it sees pictures as the student
    does, `exposed` or as they are."""
    ordered = sorted(training, key=lambda instance: instance.picture)
    groups = tuple(tuple(group) for _, group in groupby(ordered, key=lambda instance: instance.picture))
    asker = _Asker(config, data, groups)
    return Lesson(
        asked={
            "source": config.source.partition(":")[0],
            "views": config.views,
            "noise": config.noise if config.views > 1 else 0.0,
            "exposed": exposed,
            "kept": f"{SIDE} pixels over {WIDE} regions, sigmoid({SHARP:g} z) in 256 steps",
            "questions": digest([[data.names[i.picture], i.id, i.box] for i in ordered]),
        },
        groups=tuple(tuple(instance.id for instance in group) for group in groups),
        views=config.views,
        shape=(SIDE, SIDE),
        dtype="uint8",
        ask=asker.ask,
        files=asker.files,
        code=(__name__,),
        packages=("torch", "transformers", "numpy", "pillow"),
    )  # fmt: skip


@dataclass(frozen=True)
class _Asker:
    """Opens the teacher when it is first asked."""

    config: TeacherConfig
    data: Instances
    groups: tuple[tuple[Instance, ...], ...]

    def files(self) -> dict[str, str]:
        from edgekd.students.picosam3.teachers.open import digests

        return digests(self.config)

    @cached_property
    def teacher(self) -> MaskTeacher:
        from edgekd.students.picosam3.teachers.open import open_teacher

        return open_teacher(self.config, self.data)

    def ask(self, number: int) -> tuple[Codes, NDArray[np.float32]]:
        """Codes (instances, views, SIDE, SIDE) and scores (instances, views)."""
        group, views = self.groups[number], self.config.views
        answers = self.teacher(group[0].picture, [box for instance in group for box in self.boxes(instance)])
        size = self.data.picture(group[0].picture).shape[:2]
        wides = [wide(instance.box, size) for instance in group for _ in range(views)]
        codes = np.stack([kept(answer, roi) for answer, roi in zip(answers, wides, strict=True)])
        scores = np.clip(np.array([answer.score for answer in answers], np.float32), 0, 1)
        return codes.reshape(len(group), views, SIDE, SIDE), scores.reshape(len(group), views)

    def boxes(self, instance: Instance) -> list[Box]:
        """Its own box, then moved ones; the same whatever a recipe's seed says."""
        name = zlib.crc32(instance.id.encode())
        rngs = (np.random.default_rng([name, view]) for view in range(1, self.config.views))
        return [instance.box, *(jitter(instance.box, self.config.noise, rng) for rng in rngs)]


def kept(answer: Answer, roi: Roi) -> Codes:
    """An answer as it is kept over the region. Raises RequestError where it is no number."""
    if not (np.isfinite(answer.logits).all() and np.isfinite(answer.score)):
        raise RequestError("the teacher answers what is not a number", "choose another `teacher.source`")
    return encode(over(np.clip(answer.logits, OUTSIDE, -OUTSIDE).astype(np.float32), answer.roi, roi, SIDE))


@dataclass(frozen=True)
class Taught:
    """What a teacher's answers say of training crops, and how far they are trusted."""

    config: TeacherConfig
    answers: Answers

    def views(self, instance: Instance) -> list[int]:
        """Views that say something: those with a score above zero."""
        return [view for view in range(self.config.views) if self.answers.look(instance.id, view)[1] > 0]

    def __call__(
        self, instance: Instance, roi: Roi, size: tuple[int, ...], side: int, rng: np.random.Generator
    ) -> tuple[Logits, float]:
        """What one of the views says of a region of a picture of `size`: logits (side, side), and their trust, 0 to 1,
        which is 0 where no view says something."""
        said, known = self.views(instance), wide(instance.box, size)
        codes, score = self.answers.look(instance.id, said[int(rng.integers(len(said)))] if said else 0)
        trust = score if self.config.trust == "score" or not said else self.config.trust
        return over(decode(codes), known, roi, side), trust
