"""What a teacher of hands is, and its answers in another crop. numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.crop import Crop
from edgekd.students.fast_hamer.data.base import Float


@dataclass(frozen=True)
class Answer:
    """What a teacher says of the right hand in a crop, in that crop's axes. What it does not tell is None."""

    joints: Float
    """(21, 3): landmarks in metres, from any origin."""
    pixels: Float
    """(21, 2): the same in sides of the crop, -0.5 to 0.5 inside."""
    score: float
    """How sure it is that a hand is there, 0 to 1; 1 where it has no such estimate."""
    rotations: Float | None = None
    """(16, 3, 3): as `Hand.rotations`."""
    shape: Float | None = None
    """(10,): coefficients of the run's hand model."""
    map: Float | None = None
    """(C, h, w): the last map of its backbone."""


class HandTeacher(Protocol):
    """Answers to crops of a picture."""

    def __call__(self, picture: Picture, crops: Sequence[Crop]) -> list[Answer]:
        """An answer for each crop of the picture (H, W, 3), uint8."""


def moved(answer: Answer, seen: Crop, wanted: Crop) -> Answer:
    """An answer to the crop `seen` as one to the crop `wanted` of the same hand, without its map.

    Exact for what is known in space, where crops differ by a turn about the camera's axis, and for places in the
    picture; that the hand is seen from a slightly other side is neglected, as it is of labels.
    """
    turn = wanted.turning @ seen.turning.T
    rotations = answer.rotations
    if rotations is not None:
        rotations = rotations.copy()
        rotations[0] = turn @ rotations[0]
    return replace(
        answer, joints=(answer.joints @ turn.T).astype(answer.joints.dtype),
        pixels=wanted.places(seen.pixels(answer.pixels)), rotations=rotations, map=None,
    )  # fmt: skip
