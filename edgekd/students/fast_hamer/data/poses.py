"""Random hands: joints within what a hand can do, a shape, a direction. numpy. All of it is ours, by eye."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES
from edgekd.students.fast_hamer.hand.rotations import around
from edgekd.students.fast_hamer.hand.synthetic import ALL, THUMB, Finger

Values = NDArray[np.floating[Any]]
FACING = around(np.array([np.pi, 0, 0]))
"""From the model's axes to a camera's that looks into the palm: fingers up."""


def rotations(rng: np.random.Generator) -> Values:
    """(16, 3, 3): the hand as a whole in the camera's axes, then its joints against their parents."""
    out = np.tile(np.eye(3), (JOINTS, 1, 1))
    out[0] = direction(rng)
    together = rng.random()
    for finger in ALL:
        bends = _thumb(rng) if finger is THUMB else _finger(rng, together)
        for k, (bend, aside, twist) in enumerate(bends):
            vector = bend * _hinge(finger) + aside * finger.flexes + twist * finger.direction
            out[finger.joint + k] = around(vector)
    return out


def _hinge(finger: Finger) -> Values:
    """The axis around which a finger bends towards the palm."""
    return np.cross(finger.direction, finger.flexes)


def direction(rng: np.random.Generator) -> Values:
    """(3, 3): the palm or the back towards the camera, fingers up, each within some half a radian."""
    yaw, pitch, roll = np.pi * (rng.random() < 0.3) + rng.normal(0, 0.5), rng.normal(0, 0.35), rng.normal(0, 0.5)
    turned: Values = (
        around(np.array([0, 0, roll])) @ around(np.array([pitch, 0, 0])) @ FACING @ around(np.array([0, yaw, 0]))
    )
    return turned


def _finger(rng: np.random.Generator, together: float) -> list[tuple[float, float, float]]:
    """Bend, spread and twist of three joints, in radians: one curl a finger, which fingers share in part."""
    own = rng.random()
    curl = float(np.clip(own if rng.random() < 0.5 else together + rng.normal(0, 0.08), 0, 1)) ** 1.2
    loose = rng.normal(0, 0.12, 3)
    spread = rng.normal(0, 0.12) * (1 - 0.7 * curl)
    return [
        (1.45 * curl + loose[0] - 0.1, spread, rng.normal(0, 0.04)),
        (max(-0.05, 1.7 * curl + loose[1]), 0.0, 0.0),
        (max(-0.1, 1.0 * curl + loose[2]), 0.0, 0.0),
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
