"""A hand on its picture: a shaded mesh that lets the picture through, and its bones. numpy and Pillow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgekd.graph.resize import Picture
from edgekd.students.fast_hamer.hand.model import BONES
from edgekd.students.fast_hamer.render import normals_of, rasterise, shaded

COLOURS = ((230, 80, 60), (245, 175, 50), (90, 190, 90), (60, 150, 230), (170, 100, 220))
"""Of thumb to little finger."""
SKIN, SHOWS = np.array([165.0, 190.0, 230.0]), 0.65
"""Of the mesh, and how far it covers the picture."""
Values = NDArray[np.floating[Any]]


def draw_hand(
    picture: Picture, pixels: Values, outline: Values | None, depth: Values | None, faces: NDArray[np.integer[Any]]
) -> Picture:
    """A picture (H, W, 3) with the bones between landmarks (21, 2) in pixels, over the mesh of vertices (V, 2) in
    pixels at a depth (V,) in metres, where they are known. A landmark that is no number is left out."""
    if outline is not None and depth is not None and np.isfinite(outline).all():
        picture = _meshed(picture, outline, depth, faces)
    image = Image.fromarray(picture)
    draw, width = ImageDraw.Draw(image), max(1, round(min(picture.shape[:2]) / 90))
    points = {i: tuple(np.clip(p, -1e4, 1e4).tolist()) for i, p in enumerate(pixels) if np.isfinite(p).all()}
    for start, end in BONES:
        if start in points and end in points:
            draw.line([points[start], points[end]], COLOURS[(end - 1) // 4], width)
    for i, (x, y) in points.items():
        colour = (255, 255, 255) if i == 0 else COLOURS[(i - 1) // 4]
        draw.ellipse([x - width, y - width, x + width, y + width], colour, (0, 0, 0))
    return np.asarray(image)


def _meshed(picture: Picture, outline: Values, depth: Values, faces: NDArray[np.integer[Any]]) -> Picture:
    unit = np.ptp(outline, 0).max() / max(float(np.ptp(depth)), 1e-3)  # depth as pixels, for the shading alone
    places = np.column_stack([outline, depth])
    normals = normals_of(places * [1, 1, min(unit, 1e4)], faces)
    colours = shaded(normals, np.tile(SKIN, (len(places), 1)), np.array([0.3, -0.5, -0.8]), 0.25)
    low = np.floor(outline.min(0)).clip(0, picture.shape[1::-1]).astype(int)
    high = np.ceil(outline.max(0)).clip(low, picture.shape[1::-1]).astype(int)
    drawn = rasterise(places - [*low, 0], faces, colours, (high[1] - low[1], high[0] - low[0]), 2)
    part, cover = picture[low[1] : high[1], low[0] : high[0]], SHOWS * drawn[..., 3:]
    mixed = picture.copy()
    mixed[low[1] : high[1], low[0] : high[0]] = np.rint(part * (1 - cover) + drawn[..., :3] * SHOWS).clip(0, 255)
    return mixed
