"""What labels of MANO's are here: joints in its order, rotations as axis and angle. numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.data.base import Float, Hand, Hands
from edgekd.students.fast_hamer.hand.rotations import around

MARGIN = 2.0
"""Side of a crop in sides of the box around the landmarks; that of HaMeR's demo."""
POSE = 48
"""Numbers of a pose: axis times angle of 16 joints, in MANO's order."""


def rotations_of(pose: NDArray[np.floating]) -> Float:
    """Axes times angles (48,) in radians as rotations (16, 3, 3)."""
    return around(np.asarray(pose, np.float64).reshape(-1, 3)).astype(np.float32)


def sure(points: NDArray[np.floating]) -> Float:
    """Points (21, n) that are all known, with that said: (21, n + 1)."""
    return np.column_stack([points, np.ones(len(points))]).astype(np.float32)


def seen(points: NDArray[np.floating], camera: NDArray[np.floating]) -> NDArray[np.float64]:
    """Where a camera (3, 3) sees points (P, 3) of its axes: (P, 2) in pixels."""
    projected = points @ np.asarray(camera, np.float64).T
    return np.asarray(projected[:, :2] / projected[:, 2:])


def box_of(pixels: NDArray[np.floating]) -> tuple[tuple[float, float], float]:
    """Centre and side of the square to crop around landmarks (21, 2): `MARGIN` times the longer side of their box."""
    low, high = pixels.min(0), pixels.max(0)
    return (float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2), float(MARGIN * (high - low).max())


def landmarks_alone(hands: Hands) -> Hands:
    """The hands without what is told of MANO's mesh: shape, rotations and vertices mean nothing to another model."""

    def plain(hand: Hand) -> Hand:
        return replace(hand, vertices=None, rotations=None, shape=None)

    return Hands(tuple(map(plain, hands.training)), tuple(map(plain, hands.test)), hands.picture)
