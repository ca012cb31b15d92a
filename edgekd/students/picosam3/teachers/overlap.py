"""How much boxes overlap, and what of a picture an answer is kept over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.resize import Size
from edgekd.graph.roi import Box, Roi, region

REACH = 1.0
"""Margin of that region around the box; ours."""


def reach(box: Box, size: Size) -> Roi:
    """The region of a picture (height, width) that an answer to this box is kept over."""
    return region(box, size, REACH)


def overlaps(boxes: Sequence[Box], box: Box) -> NDArray[np.float64]:
    """IoU of each of some boxes with one."""
    many, one = np.array(boxes, float).reshape(-1, 4), np.array(box, float)
    shared = np.minimum(many[:, :2] + many[:, 2:], one[:2] + one[2:]) - np.maximum(many[:, :2], one[:2])
    common = shared.clip(0).prod(1)
    shares: NDArray[np.float64] = common / (many[:, 2:].prod(1) + one[2:].prod() - common)
    return shares
