"""How far a hand is from the true one, as FreiHAND's and HO3D's evaluations count it. numpy.

Points are (..., P, 3) in metres; what is told of a hand is (...,), in millimetres or as a share. Means of these values
over hands are those evaluations' figures: all of them are means over hands, AUC too, for it is linear in its curve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating[Any]]
Values = NDArray[np.float64]
THRESHOLDS = np.linspace(0, 0.05, 100)
"""Of the curve under which the area is measured, in metres."""
SHARES = (0.05, 0.10, 0.15)
"""Of a box's side within which landmarks of a picture count as found; HaMeR's."""
TINY = np.finfo(np.float64).tiny


def procrustes(predicted: Points, true: Points, reflect: bool = True) -> Values:
    """The predicted points (..., P, 3) moved, turned and scaled to lie as near to the true ones as they can.

    As in the evaluations of FreiHAND and HO3D a reflection is allowed, so that a mirrored hand has no error; with
    `reflect=False` it is not, as in HaMeR's own code (Umeyama 1991). Points that are all one stay so.
    """
    (moved, size, _), (target, wide, middle) = _standard(predicted), _standard(true)
    u, values, vt = np.linalg.svd(np.swapaxes(moved, -1, -2) @ target)
    if not reflect:
        sign = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
        u[..., -1] *= sign[..., None]
        values[..., -1] *= sign
    scale = np.where(size > TINY, values.sum(-1)[..., None, None] * wide, 0.0)
    aligned: Values = scale * (moved @ u @ vt) + middle
    return aligned


def _standard(points: Points) -> tuple[Values, Values, Values]:
    """Points around their mean with a norm of one, that norm, and the mean."""
    points = np.asarray(points, np.float64)
    middle = points.mean(-2, keepdims=True)
    size = np.linalg.norm(points - middle, axis=(-2, -1), keepdims=True)
    return (points - middle) / np.maximum(size, TINY), size, middle


def distances(predicted: Points, true: Points) -> Values:
    """(..., P): Euclidean, in the points' unit."""
    apart: Values = np.linalg.norm(np.asarray(predicted, np.float64) - true, axis=-1)
    return apart


def mean_error(predicted: Points, true: Points) -> Values:
    """MPJPE of landmarks, MPVPE of vertices, in mm: the mean distance as the points lie."""
    error: Values = 1000 * distances(predicted, true).mean(-1)
    return error


def root_error(predicted: Points, true: Points) -> Values:
    """MPJPE in mm with both hands' first landmark, the wrist, at one place."""
    return mean_error(predicted - predicted[..., :1, :], true - true[..., :1, :])


def aligned_error(predicted: Points, true: Points, reflect: bool = True) -> Values:
    """PA-MPJPE of landmarks, PA-MPVPE of vertices, in mm: the mean distance after `procrustes`."""
    return mean_error(procrustes(predicted, true, reflect), true)


def area(apart: Values) -> Values:
    """AUC, 0 to 1, of distances (..., P) in metres: the area under the share of points within each of 100 thresholds
    from 0 to 50 mm, by the trapezoidal rule, over the thresholds' width."""
    found = (apart[..., None] <= THRESHOLDS).mean(-2)
    return np.asarray(np.trapezoid(found, THRESHOLDS, axis=-1) / THRESHOLDS[-1])


def f_score(predicted: Points, true: Points, threshold: float) -> float:
    """F-score, 0 to 1, of two meshes (V, 3), (W, 3) as they lie: the harmonic mean of how many vertices of each have
    one of the other nearer than `threshold` metres (Knapitsch et al. 2017)."""
    precision, recall = (float((near < threshold).mean()) for near in _nearest(predicted, true))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _nearest(one: Points, other: Points) -> tuple[Values, Values]:
    """Of each point of either cloud how far the nearest of the other is."""
    middle = np.mean(other, 0, np.float64)
    a, b = one - middle, other - middle
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return tuple(np.sqrt(np.maximum(squares.min(axis), 0)) for axis in (1, 0))


def found_shares(predicted: Points, true: Points, trust: Points, box: float) -> dict[float, float]:
    """PCK in the picture: by each of `SHARES`, how many of the landmarks (21, 2) that are trusted with more than 0.5
    lie within that share of the box's side, 0 to 1; NaN where none is. Points and box in one unit.

    HaMeR's evaluation takes shares over hands, then their mean over landmarks: the same where all are trusted.
    """
    apart = distances(predicted, true)[np.asarray(trust) > 0.5] / box
    return {share: float((apart <= share).mean()) if len(apart) else float("nan") for share in SHARES}
