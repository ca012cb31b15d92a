"""Random hands: joints within what a hand can do, a shape, a direction. numpy. All of it is ours, by eye."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES
from edgekd.students.fast_hamer.hand.rotations import around
from edgekd.students.fast_hamer.hand.synthetic import ALL, THUMB, Finger

Values = NDArray[np.floating[Any]]
FACING = around(np.array([np.pi, 0, 0]))
"""From the model's axes to a camera's that looks into the palm: fingers up."""


def rotations(rng: np.random.Generator, alone: float = 0.5) -> Values:
    """(16, 3, 3): the hand as a whole in the camera's axes, then its joints against their parents.

    A finger bends for itself with a chance of `alone`, else as all do.
    """
    together, vectors = rng.random(), np.zeros((JOINTS, 3))
    whole = direction(rng)
    for finger in ALL:
        bends = np.array(_thumb(rng) if finger is THUMB else _finger(rng, together, alone))
        vectors[finger.joint : finger.joint + 3] = bends @ _axes(finger)
    out = around(vectors)
    out[0] = whole
    return out


@cache
def _axes(finger: Finger) -> Values:
    """(3, 3): around which it bends towards the palm, spreads and twists."""
    return np.stack([_hinge(finger), finger.flexes, finger.direction])


def _hinge(finger: Finger) -> Values:
    """The axis around which a finger bends towards the palm."""
    return np.cross(finger.direction, finger.flexes)


def direction(rng: np.random.Generator) -> Values:
    """(3, 3): the palm or the back towards the camera, fingers up, each within some half a radian."""
    yaw, pitch, roll = np.pi * (rng.random() < 0.3) + rng.normal(0, 0.5), rng.normal(0, 0.35), rng.normal(0, 0.5)
    turns = around(np.array([[0, 0, roll], [pitch, 0, 0], [0, yaw, 0]]))
    turned: Values = turns[0] @ turns[1] @ FACING @ turns[2]
    return turned


def _finger(rng: np.random.Generator, together: float, alone: float) -> list[tuple[float, float, float]]:
    """Bend, spread and twist of three joints, in radians: one curl a finger, which fingers share in part; alone, a
    finger is more often straight or folded than between."""
    own, shared = rng.beta(0.6, 0.6), together + rng.normal(0, 0.08)
    curl = float(np.clip(own if rng.random() < alone else shared, 0, 1))
    first, second, third = rng.normal(0, 0.18, 3)
    spread = rng.normal(0, 0.12) * (1 - 0.7 * curl)
    return [
        (float(np.clip(1.45 * curl + first - 0.1, -0.4, 1.6)), spread, rng.normal(0, 0.04)),
        (float(np.clip(1.7 * curl + second, -0.05, 1.9)), 0.0, 0.0),
        (float(np.clip(1.0 * curl + 0.5 * second + 0.5 * third, -0.1, 1.3)), 0.0, 0.0),
    ]


def _thumb(rng: np.random.Generator) -> list[tuple[float, float, float]]:
    return [
        (rng.uniform(-0.3, 0.7), rng.uniform(-0.35, 0.35), rng.normal(0, 0.15)),
        (rng.uniform(-0.1, 0.8), 0.0, 0.0),
        (rng.uniform(-0.3, 1.1), 0.0, 0.0),
    ]


def shape(rng: np.random.Generator) -> Values:
    """(10,) coefficients, N(0, 1) cut at 2."""
    return np.clip(rng.standard_normal(SHAPES), -2, 2)
