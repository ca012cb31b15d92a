"""A picture of a hand and what is known of it. numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.resize import Picture

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Hand:
    """A hand in a picture, as it is seen: left hands are mirrored when they are cropped, never before.

    The camera's axes: x to the right, y down, z away from it. What a source does not tell is None.
    """

    id: str
    picture: int
    """Number of its picture in the source."""
    centre: tuple[float, float]
    """Of its box, in pixels of the picture."""
    size: float
    """Side of the square around that centre that is cropped, in pixels."""
    right: bool = True
    pixels: Float | None = None
    """(21, 3): landmarks in pixels of the picture, x and y, and how sure they are, 0 to 1."""
    joints: Float | None = None
    """(21, 4): landmarks in metres in the camera's axes, from any origin, and how sure they are, 0 to 1."""
    vertices: Float | None = None
    """(V, 3): the mesh in the same place as `joints`, in metres."""
    rotations: Float | None = None
    """(16, 3, 3): of the hand as a whole in the camera's axes, then of the joints against their parents."""
    shape: Float | None = None
    """(10,): coefficients."""


@dataclass(frozen=True)
class Hands:
    """What a source holds, apart into what trains and what tests."""

    training: tuple[Hand, ...]
    test: tuple[Hand, ...]
    picture: Callable[[int], Picture]
    """Number of a picture to (H, W, 3) uint8, read when it is asked for."""
