"""A box becomes the region that the network sees: a square with a margin, moved inside the picture, of whole pixels."""

from __future__ import annotations

from math import ceil, isfinite


def region(box, size, margin, least):
    """Left, top, width, height of the region of `box` (the same four) in a picture of `size` (height, width).

    Raises ValueError for a box without an area, or beside the picture.
    """
    x, y, w, h = box
    height, width = size
    if not all(map(isfinite, box)) or w <= 0 or h <= 0:
        raise ValueError("the box has no area")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise ValueError(f"the box lies outside the picture of {width} x {height}")
    longer = min(max(w, h), max(size))
    side = max(least, ceil(longer * (1 + 2 * margin)), ceil(longer) + 1)
    columns, rows = min(side, width), min(side, height)
    return start(x + w / 2, columns, width), start(y + h / 2, rows, height), columns, rows


def start(centre, length, extent):
    """Where a length begins that lies around a centre, but inside an extent."""
    return min(max(0, round(centre - length / 2)), extent - length)
