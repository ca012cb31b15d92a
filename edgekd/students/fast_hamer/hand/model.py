"""A hand as MANO describes one: a template, how shape and pose change it, and the joints it hangs on. numpy.

No array of MANO's is part of edgekd: a person brings the file, which its licence keeps to research. What ships is a
hand of our own making with arrays of the same shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
JOINTS = 16
"""Wrist, then three each of index, middle, little, ring finger and thumb, from the palm outwards: MANO's order."""
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
SHAPES = 10
VERTICES, FACES = 778, 1538
TIPS = (744, 320, 443, 554, 671)
"""MANO's vertices at the tips of thumb, index, middle, ring and little finger, which joints do not reach."""
LANDMARKS = (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20)
"""The 21 landmarks in their usual order among joints and tips: wrist, then thumb to little finger, base to tip."""
BONES = tuple((0 if i % 4 == 1 else i - 1, i) for i in range(1, 21))
"""Landmarks that a bone joins, its parent first."""


@dataclass(frozen=True)
class HandModel:
    """A right hand; lengths in metres, arrays float32."""

    name: str
    licence: str
    template: Float
    """(V, 3): the vertices of the mean hand in rest."""
    shapedirs: Float
    """(V, 3, 10): how far each shape coefficient moves them."""
    posedirs: Float
    """(V, 3, 135): how far each entry of `R - I` of the 15 finger joints, row by row, moves them."""
    regressor: Float
    """(16, V): joints of the shaped hand as means of vertices; rows add to one."""
    weights: Float
    """(V, 16): how far a vertex follows each joint; rows add to one."""
    faces: NDArray[np.int32]
    """(F, 3): triangles, counter-clockwise seen from outside."""
    tips: tuple[int, int, int, int, int] = TIPS
    """Vertices at the finger tips, thumb first."""
