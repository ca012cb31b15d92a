"""Rotations as six numbers, as matrices, around an axis. numpy.

Six numbers are the first two columns of a matrix one after the other, of any length (Zhou et al. 2019, arXiv
1812.07035); the order is HaMeR's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
LEAST = 1e-8
"""Of a column's length; below it the rotation is not told."""


def from_6d(six: Values) -> Values:
    """(..., 6) to (..., 3, 3): Gram-Schmidt, the third column the cross product."""
    first, second = _unit(six[..., :3]), six[..., 3:]
    second = _unit(second - (first * second).sum(-1, keepdims=True) * first)
    return np.stack([first, second, np.cross(first, second)], -1)


def to_6d(matrices: Values) -> Values:
    """(..., 3, 3) to (..., 6)."""
    return np.concatenate([matrices[..., 0], matrices[..., 1]], -1)


def around(vectors: Values) -> Values:
    """Rotations (..., 3, 3) around axes (..., 3) by their length, in radians: Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vectors / np.maximum(angle[..., 0], LEAST), -1, 0)
    zero = np.zeros_like(x)
    across = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    turned: Values = np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * (across @ across)
    return turned


def _unit(vectors: Values) -> Values:
    unit: Values = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), LEAST)
    return unit
