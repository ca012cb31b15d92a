"""The weak-perspective camera of a crop, as HaMeR has it. numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import TypeVar

Values = TypeVar("Values")
FOCAL = 5000 / 256
"""Focal length in sides of a crop; HaMeR's 5000 pixels of a crop of 256."""


def depth_of(camera: Values) -> Values:
    """(..., 3) camera `(s, tx, ty)` to the distance of the hand's origin (...,), in metres."""
    return 2 * FOCAL / (camera[..., 0] + 1e-9 / 256)  # type: ignore[index, no-any-return]


def project(points: Values, camera: Values) -> Values:
    """Points (..., P, 3) in metres seen by cameras (..., 3): (..., P, 2) in sides of the crop, from its middle on."""
    depth = points[..., 2] + depth_of(camera)[..., None]  # type: ignore[index]
    return FOCAL * (points[..., :2] + camera[..., None, 1:]) / depth[..., None]  # type: ignore[index, no-any-return]
