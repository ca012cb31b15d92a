"""A mesh as pixels: a software rasteriser with a depth buffer. numpy alone, no OpenGL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
Float = NDArray[np.float32]
Count = NDArray[np.int64]
TOUCHES = 1e-6
"""Pixels by which triangles reach over their edges, so that none is left out between two."""


def rasterise(
    places: Values, faces: NDArray[np.integer[Any]], values: Values, size: tuple[int, int], fine: int = 1
) -> Float:
    """Values (V, C) at vertices as an image (H, W, C + 1); the last channel is how far faces cover the pixel, 0 to 1,
    and the others are zero where none does, so that `image + (1 - cover) * ground` puts it before a ground.

    `places` (V, 3): x and y in pixels, where the middle of the first is (0.5, 0.5), and depth: what is nearer hides
    what is farther. Faces that are counter-clockwise on the screen, as y points down, look away and are not drawn.
    Values are interpolated on the screen, at `fine` x `fine` points in each pixel, of which the mean is taken.
    """
    height, width = (fine * n for n in size)
    corners = places[faces].astype(np.float64) * (fine, fine, 1)
    shown = _area(corners) < 0
    corners, values = corners[shown], np.concatenate([values, np.ones((len(values), 1))], 1)[faces[shown]]
    planes = _planes(corners)
    face, y = _rows(corners, height)
    row, x = _spans(planes[face], y, width)
    far = _along(planes, corners[..., 2:], face, y, row, x)[:, 0]
    depth, where = np.full(height * width, np.inf), y[row] * width + x
    np.minimum.at(depth, where, far)
    nearest = np.flatnonzero(far == depth[where])
    image = np.zeros((height * width, values.shape[2]), np.float32)
    image[where[nearest]] = _along(planes, values, face, y, row[nearest], x[nearest])
    whole = image.reshape(size[0], fine, size[1], fine, values.shape[2])
    parts = [whole[:, i, :, k] for i in range(fine) for k in range(fine)]
    return np.asarray(sum(parts[1:], start=parts[0]) / np.float32(fine**2))


def _area(corners: Values) -> Values:
    """Twice the signed area of triangles (F, 3, 2 or 3) on the screen."""
    a, b, c = (corners[:, k, :2] for k in range(3))
    doubled: Values = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return doubled


def _planes(corners: Values) -> Values:
    """(F, 3, 3): each corner's share of a point is a plane's product with (x, y, 1)."""
    first, second = np.roll(corners, -1, 1)[..., :2], np.roll(corners, -2, 1)[..., :2]  # the edge facing each corner
    along = (second - first) / _area(corners)[:, None, None]
    slope = np.stack([-along[..., 1], along[..., 0]], 2)
    return np.concatenate([slope, -(slope * first).sum(2, keepdims=True)], 2)


def _rows(corners: Values, height: int) -> tuple[Count, Count]:
    """Triangles and rows whose middle they reach, one pair each."""
    low, high = corners[..., 1].min(1), corners[..., 1].max(1)
    first = np.ceil(np.clip(low, 0, height) - 0.5).astype(int)
    last = np.floor(np.clip(high, 0, height) - 0.5).astype(int)
    return _counted(first, last)


def _spans(planes: Values, y: Count, width: int) -> tuple[Count, Count]:
    """Rows of triangles, by their number, and columns in them."""
    slope, rest = planes[..., 0], planes[..., 1] * (y + 0.5)[:, None] + planes[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = -rest / slope  # a level edge has no slope; the rows end there
    low = np.where(slope > 0, ends, -np.inf).max(1).clip(0, width)
    high = np.where(slope < 0, ends, np.inf).min(1).clip(0, width)
    return _counted(np.ceil(low - 0.5 - TOUCHES).astype(int), np.floor(high - 0.5 + TOUCHES).astype(int))


def _counted(first: Count, last: Count) -> tuple[Count, Count]:
    """The numbers from each first to its last, and the place of that pair."""
    counts = np.maximum(last - first + 1, 0)
    each = np.repeat(np.arange(len(counts)), counts)
    return each, np.arange(len(each)) - (np.cumsum(counts) - counts - first)[each]


def _along(planes: Values, values: Values, face: Count, y: Count, row: Count, x: Count) -> Values:
    """Values (F, 3, C) at corners in the middles of pixels (P, C), of columns `x` in rows `y` of faces."""
    mixed = (planes.transpose(0, 2, 1) @ values)[face]
    slope, rest = mixed[:, 0], mixed[:, 1] * (y + 0.5)[:, None] + mixed[:, 2]
    found: Values = slope[row] * (x + 0.5)[:, None] + rest[row]
    return found


def normals_of(points: Values, faces: NDArray[np.integer[Any]]) -> Values:
    """(V, 3), of length one: the mean of the faces around each vertex, by their area."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    across, places = np.repeat(np.cross(b - a, c - a), 3, 0), faces.ravel()
    out = np.stack([np.bincount(places, across[:, k], len(points)) for k in range(3)], 1)
    normals: Values = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    return normals


def shaded(normals: Values, colours: Values, light: Values, ambient: float) -> Values:
    """Colours (V, 3) as they are lit from a direction (3,): half-Lambert, so that the dark side has form too."""
    facing = (0.5 + 0.5 * normals @ (light / np.linalg.norm(light))) ** 1.5
    lit: Values = colours * (ambient + (1 - ambient) * facing)[:, None]
    return lit
