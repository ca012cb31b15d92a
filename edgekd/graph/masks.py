"""Masks: laid on the picture they are about, drawn, held against the true one. numpy and Pillow.

An answer's values are (h, w), as the network gives them, inside where above zero; a mask is (H, W) of a picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edgekd.graph.resize import Picture, Size, centred, scale
from edgekd.schema.io import ImageInput, MaskOutput, Output

Mask = NDArray[np.bool_]
Color = tuple[int, int, int]
COLORS: tuple[Color, ...] = (
    (240, 200, 0), (86, 180, 233), (240, 110, 60), (0, 190, 140), (220, 130, 190), (40, 120, 220), (160, 220, 90),
    (250, 160, 160),
)  # fmt: skip
"""Told apart by most eyes, after Okabe and Ito (2008)."""
TRUE: Color = (0, 210, 130)
TOO_MUCH: Color = (230, 80, 20)
MISSED: Color = (60, 150, 255)
BOX: Color = (255, 255, 255)
TINT = 0.4
"""How much of its colour a tinted pixel has."""
FAR = 100
"""Pixels beyond a picture, where lines of any thickness are out of sight."""
LEAST = 192
"""Pictures with a longer side below this are enlarged to be looked at."""


def is_mask(answer: Any, spec: Output) -> bool:
    """Values (h, w) of an output that is a mask."""
    return isinstance(spec, MaskOutput) and isinstance(answer, np.ndarray) and answer.ndim == 2


def inside(values: NDArray[Any], size: Size) -> Mask:
    """Values (h, w) at another size, bilinear, then above zero; booleans count as 1 and -1."""
    numbers = np.where(values, 1, -1) if values.dtype == bool else values
    return scale(np.asarray(numbers, np.float32), size, "bilinear") > 0


def resized(mask: Mask, size: Size) -> Mask:
    """A mask at another size, nearest."""
    return scale(np.ascontiguousarray(mask).astype(np.uint8), size, "nearest").astype(bool)


def on_picture(values: NDArray[Any], size: Size, spec: ImageInput) -> Mask:
    """The mask on a picture of `size` (H, W) that was resized by the input's rule; nothing where it was not seen."""
    out = np.zeros(size, bool)
    seen = centred(spec.shape[2:], size) if spec.resize == "crop" else (slice(None), slice(None))
    if spec.resize == "letterbox":
        values = values[centred(size, values.shape)]
    out[seen] = inside(values, out[seen].shape)
    return out


def iou(a: Mask, b: Mask, missed: int = 0) -> float:
    """Intersection over union; `missed` pixels of the truth lie where nothing was answered. Both empty: 1."""
    union = int((a | b).sum()) + missed
    return float((a & b).sum() / union) if union else 1.0


def eroded(mask: Mask, width: int) -> Mask:
    """The mask without what lies within `width` pixels, in rows and columns, of its edge or the picture's."""
    padded = Image.fromarray(np.pad(mask, width).astype(np.uint8))
    inner = np.asarray(padded.filter(ImageFilter.MinFilter(2 * width + 1)))
    return inner[width:-width, width:-width].astype(bool)


def times(size: Size, least: int = LEAST) -> int:
    """By how much a picture is enlarged to be looked at."""
    return max(1, -(-least // max(size[:2])))


def enlarged(array: NDArray[Any], least: int = LEAST) -> NDArray[Any]:
    """A picture or mask, each pixel as a square of pixels where it is small."""
    n = times(array.shape, least)
    return array.repeat(n, 0).repeat(n, 1)


def coloured(picture: Picture) -> Picture:
    """A picture in RGB, (H, W, 3)."""
    return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)


def tinted(picture: Picture, mask: Mask, color: Color) -> Picture:
    """A picture (H, W, 3) with a colour over a mask."""
    out = picture.copy()
    out[mask] = np.rint((1 - TINT) * out[mask] + TINT * np.array(color)).astype(np.uint8)
    return out


def outlined(picture: Picture, mask: Mask, color: Color) -> Picture:
    """A picture (H, W, 3) with a line along a mask's inner edge, thicker in larger pictures."""
    out = picture.copy()
    out[mask & ~eroded(mask, _line(mask.shape))] = color
    return out


def framed(picture: Picture, box: tuple[float, float, float, float], color: Color, n: int = 1) -> Picture:
    """A picture (H, W, 3), enlarged by `n`, with a box (left, top, width, height) of the original's pixels."""
    image, (x, y, w, h) = Image.fromarray(picture), box
    left, right = (round(n * min(max(v, -FAR), image.width + FAR)) for v in (x, x + w))
    top, bottom = (round(n * min(max(v, -FAR), image.height + FAR)) for v in (y, y + h))
    ends = (left, top, max(left, right - 1), max(top, bottom - 1))
    ImageDraw.Draw(image).rectangle(ends, outline=color, width=_line(picture.shape))
    return np.asarray(image)


def _line(size: Size) -> int:
    return max(1, round(max(size[:2]) / 160))


def errors(picture: Picture, answer: Mask, truth: Mask) -> Picture:
    """A grey picture (H, W, 3) where what an answer has too much and what it misses have colours."""
    grey = coloured(np.rint(coloured(picture).mean(2)).astype(np.uint8))
    return tinted(tinted(grey, answer & ~truth, TOO_MUCH), truth & ~answer, MISSED)
