"""The prompt: a box in a picture becomes a crop, and the crop's mask lies back on the picture.

Training, evaluation and devices use these functions alone. As in the paper's code the box gets a margin of a tenth on
each side and becomes a square. Where that leaves the picture it is moved inside, not cut, so that proportions stay
(ours: the authors cut, and stretch what is left); a square larger than the picture has the picture's side there. Every
region is thus one that a sensor can read out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.graph.masks import Mask, inside, resized
from edgekd.graph.resize import Picture, Size, scale

Box = tuple[float, float, float, float]
"""Left, top, width, height, in pixels."""
MARGIN = 0.1
"""Share of the box's longer side that is added on each side."""
LEAST = 4
"""Least side of a region, in pixels; ours, the authors leave out smaller ones."""


@dataclass(frozen=True)
class Roi:
    """A region of whole pixels inside a picture."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def region(box: Box, size: Size, margin: float = MARGIN, least: int = LEAST) -> Roi:
    """The region of a box in a picture of `size` (height, width). Holds what of the box lies inside the picture.

    `margin`: the share of the longer side that is added on each side; `least`: the least side, in pixels.

    Raises RequestError for a box that is not finite, has no area, or lies beside the picture.
    """
    x, y, w, h = box
    height, width = size
    if not all(map(isfinite, box)) or w <= 0 or h <= 0:
        raise RequestError(f"the box {told(box)} has no area", "give left, top, width, height in pixels")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise RequestError(
            f"the box {told(box)} lies outside the picture of {width} x {height}",
            "boxes are left, top, width, height in pixels of the picture",
        )
    longer = min(max(w, h), max(size))  # from there on it is the whole picture
    side = max(least, ceil(longer * (1 + 2 * margin)), ceil(longer) + 1)  # the pixel more is what rounding may move
    columns, rows = min(side, width), min(side, height)
    return Roi(_start(x + w / 2, columns, width), _start(y + h / 2, rows, height), columns, rows)


def _start(centre: float, length: int, extent: int) -> int:
    return min(max(0, round(centre - length / 2)), extent - length)


def told(box: Box) -> str:
    """A box in words, as it is given on a command line."""
    return ",".join(f"{value:g}" for value in box)


def crop(picture: Picture, roi: Roi, size: Size) -> Picture:
    """What the network sees: the region of a picture (H, W, 3) at `size`, bilinear, averaged where it shrinks."""
    return scale(np.ascontiguousarray(picture[roi.slices]), size, "bilinear")


def crop_mask(mask: Mask, roi: Roi, size: Size) -> Mask:
    """The region of a mask (H, W) at `size`, nearest."""
    return resized(mask[roi.slices], size)


def lay_back(logits: NDArray[Any], roi: Roi, size: Size) -> Mask:
    """The mask on a picture of `size` from the crop's logits (h, w): resized bilinearly, then above zero (ours: the
    authors resize the sigmoid)."""
    out = np.zeros(size, bool)
    out[roi.slices] = inside(logits, (roi.height, roi.width))
    return out


def jitter(box: Box, noise: float, rng: np.random.Generator) -> Box:
    """A box as a person or a detector might draw it: centre moved by up to half of `noise` of its sides, each side
    times `1 + N(0, (noise / 2)^2)`, as the authors' test of robustness does; no side falls below a tenth (ours)."""
    x, y, w, h = box
    (dx, dy), grown = rng.uniform(-noise / 2, noise / 2, 2), rng.normal(0.0, noise / 2, 2)
    wide, high = w * max(0.1, 1 + grown[0]), h * max(0.1, 1 + grown[1])
    return (float(x + w / 2 + dx * w - wide / 2), float(y + h / 2 + dy * h - high / 2), float(wide), float(high))
