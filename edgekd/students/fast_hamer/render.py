"""A mesh as pixels: a software rasteriser with a depth buffer. numpy alone, no OpenGL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
Float = NDArray[np.float32]
SIZES = (2, 4, 8, 16, 32, 64, 128, 512, 4096)
"""Faces are drawn together with others whose box is about as large, in pixels."""
AT_ONCE = 1 << 20
"""Most pixels that are looked at together."""


def rasterise(places: Values, faces: NDArray[np.integer[Any]], values: Values, size: tuple[int, int]) -> Float:
    """Values (V, C) at vertices as an image (H, W, C + 1); the last channel is 1 where a face is seen, else 0.

    `places` (V, 3): x and y in pixels, where the middle of the first is (0.5, 0.5), and depth: what is nearer hides
    what is farther. Faces that are counter-clockwise on the screen, as y points down, look away and are not drawn.
    Values are interpolated on the screen.
    """
    height, width = size
    corners = places[faces].astype(np.float64)
    ends = corners[..., :2].min(1), corners[..., :2].max(1)
    shown = (_area(corners) < 0) & (ends[1] > 0).all(1) & (ends[0] < (width, height)).all(1)
    corners, values = corners[shown], np.concatenate([values, np.ones((len(values), 1))], 1)[faces[shown]]
    low, high = np.floor(ends[0][shown]).astype(int), np.ceil(ends[1][shown]).astype(int)
    extent = np.maximum((high - low).max(1), 1)
    depth = np.full(height * width, np.inf)
    image = np.zeros((height * width, values.shape[2]), np.float32)
    for smaller, side in zip((0, *SIZES), SIZES, strict=False):
        group = np.flatnonzero((extent > smaller) & (extent <= side))
        step = max(1, AT_ONCE // side**2)
        for part in (group[i : i + step] for i in range(0, len(group), step)):
            _draw(corners[part], values[part], low[part], side, size, depth, image)
    return image.reshape(height, width, -1)


def _area(corners: Values) -> Values:
    """Twice the signed area of triangles (F, 3, 2 or 3) on the screen."""
    a, b, c = (corners[:, k, :2] for k in range(3))
    doubled: Values = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    return doubled


def _draw(
    corners: Values,
    values: Values,
    low: NDArray[np.int64],
    side: int,
    size: tuple[int, int],
    depth: Values,
    image: Float,
) -> None:
    """Triangles whose boxes fit into `side` pixels from `low` on; the nearest stays."""
    offsets = np.stack(np.divmod(np.arange(side * side), side)[::-1], 1)
    first, second = np.roll(corners, -1, 1)[..., :2], np.roll(corners, -2, 1)[..., :2]  # the edge facing each corner
    along = second - first
    slope = np.stack([-along[..., 1], along[..., 0]], 1) / _area(corners)[:, None, None]
    start = low[:, None] + 0.5 - first
    shares = offsets.astype(float) @ slope + (start * slope.transpose(0, 2, 1)).sum(2)[:, None]
    face, pixel = np.nonzero(shares.min(2) >= 0)
    place = low[face] + offsets[pixel]
    seen = ((place >= 0) & (place < size[::-1])).all(1)
    face, pixel, place = face[seen], pixel[seen], place[seen]
    where, share = place[:, 1] * size[1] + place[:, 0], shares[face, pixel]
    far = (share * corners[face, :, 2]).sum(1)
    order = np.argsort(-far, kind="stable")  # the nearest is written last
    order = order[far[order] < depth[where[order]]]
    depth[where[order]] = far[order]
    image[where[order]] = np.einsum("nk,nkc->nc", share[order], values[face[order]])


def shaded(normals: Values, colours: Values, light: Values, ambient: float) -> Values:
    """Colours (V, 3) as they are lit from a direction (3,): half-Lambert, so that the dark side has form too."""
    facing = (0.5 + 0.5 * normals @ (light / np.linalg.norm(light))) ** 1.5
    lit: Values = colours * (ambient + (1 - ambient) * facing)[:, None]
    return lit
