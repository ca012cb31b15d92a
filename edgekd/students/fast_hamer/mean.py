"""The mean hand of the training labels, from which the decoder counts; HaMeR brings one in its archive. numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.students.fast_hamer.hand.camera import project
from edgekd.students.fast_hamer.hand.model import JOINTS, SHAPES, Float, HandModel
from edgekd.students.fast_hamer.hand.rotations import from_6d, to_6d
from edgekd.students.fast_hamer.hand.skinning import skin

Labels = dict[str, Float]


def mean_hand(model: HandModel, known: list[Labels]) -> tuple[Float, Float, Float]:
    """Pose (96,), shape (10,) and camera (3,) of a mean hand. Ours.

    Fingers are as labels have them in the mean, straight where none are labelled; the hand as a whole is turned so that
    its landmarks lie as the mean of theirs; the camera sees them where they lie in the crops.
    """
    turned = [k["rotations"] for k in known if k["has_rotations"]]
    rotations = from_6d(np.mean([to_6d(r) for r in turned], 0)) if turned else np.tile(np.eye(3), (JOINTS, 1, 1))
    shapes = [k["shape"] for k in known if k["has_shape"]]
    shape = np.mean(shapes, 0) if shapes else np.zeros(SHAPES)
    whole = [k for k in known if k["has_joints"].all()]
    if whole:
        rest = skin(model, np.concatenate([np.eye(3)[None], rotations[1:]])[None], shape[None])[1][0]
        rotations[0] = turn_between(rest, np.mean([k["joints"] for k in whole], 0))
    landmarks = skin(model, rotations[None], shape[None])[1][0]
    seen = [k["pixels"] for k in known if k["has_pixels"].all()]
    camera = camera_of(landmarks, np.stack(seen)) if seen else np.array([0.9, 0, 0])
    return tuple(np.asarray(a, np.float32) for a in (to_6d(rotations).ravel(), shape, camera))  # type: ignore[return-value]


def turn_between(points: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """The rotation (3, 3) that lays points (P, 3) around their mean on others (Kabsch 1976)."""
    u, _, vt = np.linalg.svd((points - points.mean(0)).T @ (target - target.mean(0)))
    flip = np.diag([1.0, 1, np.sign(np.linalg.det(u @ vt))])
    return np.asarray((u @ flip @ vt).T, np.float64)


def camera_of(landmarks: NDArray[Any], pixels: NDArray[Any]) -> NDArray[np.float64]:
    """Scale and place that show landmarks (21, 3) as wide as those of pictures (N, 21, 2) are, and in their middle."""
    wide = np.mean([np.linalg.norm(p - p.mean(0), axis=1).mean() for p in pixels])
    own = np.linalg.norm(landmarks[:, :2] - landmarks[:, :2].mean(0), axis=1).mean()
    scale = 2 * wide / own  # FOCAL / (2 FOCAL / s) sides a metre
    offset = (pixels.mean((0, 1)) - project(landmarks, np.array([scale, 0, 0])).mean(0)) * 2 / scale
    return np.array([scale, *offset])
