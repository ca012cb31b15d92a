"""Boxes as prompts: the network sees the region of each, and its answer lies on the picture again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.apply.draw import Mark, lines_of, mark
from edgekd.apply.model import Model
from edgekd.errors import RequestError
from edgekd.graph.answers import by_output, raw_parts
from edgekd.graph.masks import Mask, is_mask
from edgekd.graph.model import Array
from edgekd.graph.resize import Picture
from edgekd.graph.roi import Box, Roi, lay_back, region
from edgekd.schema.io import ImageInput, IoRecord

HOW = "give left, top, width, height in pixels, as `--box 40,30,120,80`"


@dataclass(frozen=True)
class Found:
    """The answer to a box: about its region alone."""

    box: Box
    roi: Roi
    answer: Any


@dataclass(frozen=True)
class Boxed(Model):
    """A network that is asked for what each of these boxes holds; its answer to a picture is one Found a box."""

    boxes: tuple[Box, ...] = ()

    def answer(self, raw: Any) -> list[Found]:
        """Raises RequestError for a box without area, or beside the picture."""
        picture, spec = self._picture(raw), prompt(self.io)
        rule = None if spec is None else spec.region
        rois = [region(box, picture.shape[:2], rule.margin, rule.least) for box in self.boxes if rule is not None]
        views = [np.ascontiguousarray(picture[roi.slices]) for roi in rois]
        answers = [super(Boxed, self).answer(view) for view in views]
        return [Found(*found) for found in zip(self.boxes, rois, answers, strict=True)]

    def draw(self, raw: Any, answer: Any) -> Picture:
        """The whole picture with each box, its mask, and what else is answered, in a colour of its own."""
        picture = self._picture(raw)
        marks = [Mark(f.box, next(iter(self._laid(f, picture).values()), None), self._lines(f)) for f in answer]
        return mark(picture, marks)

    def masks(self, raw: Any, answer: Any) -> list[Mask]:
        """Of each box the first mask, (H, W) of the picture."""
        picture = self._picture(raw)
        return [m for f in answer for m in [*self._laid(f, picture).values()][:1]]

    def arrays(self, raw: Any, answer: Any) -> dict[str, Array]:
        """`boxes` and `regions` (N, 4), and by output what was answered; of masks also `NAME.masks` (N, H, W)."""
        picture, parts = self._picture(raw), [by_output(f.answer, self.io) or {"answer": f.answer} for f in answer]
        out = {"boxes": np.array([f.box for f in answer]), "regions": np.array([_ends(f.roi) for f in answer])}
        out |= {name: np.stack([part[name] for part in parts]) for name in parts[0]}
        laid = [self._laid(f, picture) for f in answer]
        return out | {f"{name}.masks": np.stack([masks[name] for masks in laid]) for name in laid[0]}

    def plain(self, raw: Any, answer: Any) -> Any:
        """As JSON: each box, its region, what it holds; the area of a mask in pixels, and its share of the region."""
        views = [self._picture(raw)[f.roi.slices] for f in answer]
        return [
            {"box": [*f.box], "region": [*_ends(f.roi)], "answers": super(Boxed, self).plain(view, f.answer)}
            for f, view in zip(answer, views, strict=True)
        ]

    @property
    def pictured(self) -> bool:
        """A drawing shows boxes and masks."""
        return True

    def _picture(self, raw: Any) -> Picture:
        return next(iter(raw_parts(raw, self.io).values()))

    def _laid(self, found: Found, picture: Picture) -> dict[str, Mask]:
        """Masks on the picture, by output."""
        parts = by_output(found.answer, self.io) or {}
        named = [s.name for s in self.io.outputs if is_mask(parts.get(s.name), s)]
        return {name: lay_back(parts[name], found.roi, picture.shape[:2]) for name in named}

    def _lines(self, found: Found) -> list[str]:
        parts = by_output(found.answer, self.io) or {}
        return [line for s in self.io.outputs if s.name in parts and not is_mask(parts[s.name], s)
                for line in lines_of(parts[s.name], s)]  # fmt: skip


def prompted(model: Model, boxes: Sequence[Box]) -> Model:
    """The model as it is asked by boxes. Raises RequestError where it takes none, or needs one."""
    spec = prompt(model.io)
    if spec is None and boxes:
        raise RequestError("the network takes whole pictures and no boxes", "leave out `--box`")
    if spec is None:
        return model
    if not boxes:
        hint = f"{HOW}; several for several objects"
        raise RequestError("the network answers what a box holds, and there is no box", hint)
    return Boxed(**vars(model), boxes=tuple(boxes))


def prompt(io: IoRecord) -> ImageInput | None:
    """The one input, where a box is the prompt."""
    spec = io.inputs[0]
    return spec if len(io.inputs) == 1 and isinstance(spec, ImageInput) and spec.region is not None else None


def read_boxes(texts: Sequence[str]) -> list[Box]:
    """Boxes as `X,Y,W,H`. Raises RequestError."""
    return [_box(text, [*_numbers(text)]) for text in texts]


def _box(text: str, numbers: list[float]) -> Box:
    if len(numbers) != 4:
        raise RequestError(f"the box `{text}` is not four numbers", HOW)
    x, y, w, h = numbers
    return x, y, w, h


def _numbers(text: str) -> Iterator[float]:
    for part in text.split(","):
        try:
            yield float(part)
        except ValueError:
            return


def _ends(roi: Roi) -> tuple[int, int, int, int]:
    return roi.x, roi.y, roi.width, roi.height
