"""A hand model posed: linear blend skinning (Romero et al. 2017, MANO; Loper et al. 2015, SMPL). numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.hand.model import JOINTS, LANDMARKS, Float, HandModel

Values = NDArray[np.floating[Any]]


def skin(model: HandModel, rotations: Values, shape: Values) -> tuple[Float, Float]:
    """Rotations (N, 16, 3, 3), of the hand as a whole, then of joints against their parents, and shapes (N, 10) to
    vertices (N, V, 3) and landmarks (N, 21, 3), in metres.

    Rotations are absolute: MANO's mean pose is not added, as in HaMeR.
    """
    rotations, shape, count = rotations.astype(np.float32), shape.astype(np.float32), len(rotations)
    shaped = model.template + np.tensordot(shape, model.shapedirs, (1, 2))
    joints = np.einsum("jv,nvk->njk", model.regressor, shaped)
    bent = (rotations[:, 1:] - np.eye(3, dtype=np.float32)).reshape(count, -1)
    posed = shaped + np.tensordot(bent, model.posedirs, (1, 2))
    turns, places = chain(rotations, joints)
    offsets = places - (turns @ joints[..., None])[..., 0]
    moves = model.weights @ np.concatenate([turns.reshape(count, JOINTS, 9), offsets], 2)
    vertices = (moves[..., :9].reshape(*posed.shape, 3) * posed[:, :, None]).sum(-1) + moves[..., 9:]
    landmarks = np.concatenate([places, vertices[:, list(model.tips)]], 1)[:, list(LANDMARKS)]
    return vertices.astype(np.float32), landmarks.astype(np.float32)


def chain(rotations: Values, joints: Values) -> tuple[Values, Values]:
    """Rotations against parents (N, 16, 3, 3) and joints in rest (N, 16, 3) to rotations and places in the world."""
    turn, place, before = rotations[:, :1], joints[:, :1], joints[:, :1]
    turns, places = [], []
    for k in range(1, 4):  # the first joints of all fingers, then the second, the third
        here = joints[:, k::3]
        place = place + (turn @ (here - before)[..., None])[..., 0]
        turn, before = turn @ rotations[:, k::3], here
        turns.append(turn)
        places.append(place)
    count = len(joints)
    fingers = np.stack(turns, 2).reshape(count, -1, 3, 3), np.stack(places, 2).reshape(count, -1, 3)
    return np.concatenate([rotations[:, :1], fingers[0]], 1), np.concatenate([joints[:, :1], fingers[1]], 1)
