"""The io record's resize rules, forth and back. numpy and Pillow; sizes are (height, width) in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekd.schema.io import ImageInput

Picture = NDArray[np.uint8]
Size = tuple[int, ...]
OVERLAP = 1 / 8
"""Least share of a tile's side that it has in common with the next. Ours."""


def fit(picture: Picture, spec: ImageInput) -> Picture:
    """A picture of any size as the input's, by its rule; under `none` and `tile` as it is."""
    size = spec.shape[2:]
    if spec.resize == "stretch":
        return scale(picture, size, spec.filter)
    if spec.resize == "crop":
        return scale(picture[centred(size, picture.shape[:2])], size, spec.filter)
    if spec.resize == "letterbox":
        box, out = centred(picture.shape[:2], size), np.zeros((*size, *picture.shape[2:]), np.uint8)
        out[box] = scale(picture, out[box].shape[:2], spec.filter)
        return out
    return picture


def undo(answer: Picture, raw: Size, spec: ImageInput) -> Picture:
    """A network's picture laid back on the raw picture of size `raw`: the inverse of `fit`.

    Of a `crop` it covers what the network saw. A network that gives a picture of n times its input's size gives one of
    n times the raw picture's.
    """
    if spec.resize in ("none", "tile"):
        return answer
    times = [a / b for a, b in zip(answer.shape, spec.shape[2:], strict=False)]
    enlarged = tuple(max(1, round(n * t)) for n, t in zip(raw, times, strict=True))
    if spec.resize == "crop":
        enlarged = np.empty(enlarged)[centred(answer.shape[:2], enlarged)].shape
    if spec.resize == "letterbox":
        answer = answer[centred(enlarged, answer.shape[:2])]
    return scale(answer, enlarged, spec.filter)


def scale(picture: Picture, size: Size, name: str) -> Picture:
    """Resized by Pillow's filter `name`, which averages where it makes smaller; the same picture at its own size."""
    if picture.shape[:2] == tuple(size):
        return picture
    height, width = size
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling[name.upper()]))


def centred(shape: Size, frame: Size) -> tuple[slice, slice]:
    """The largest centred part of `frame` with the proportions of `shape`; at least a pixel each way."""
    factor = min(f / s for f, s in zip(frame, shape, strict=True))
    inner = [min(f, max(1, round(s * factor))) for f, s in zip(frame, shape, strict=True)]
    y, x = ((f - n) // 2 for f, n in zip(frame, inner, strict=True))
    return slice(y, y + inner[0]), slice(x, x + inner[1])


def tiles(picture: Picture, size: Size) -> list[Picture]:
    """Overlapping tiles that cover a picture, row by row; a picture smaller than a tile is mirrored at its border."""
    (h, w), margins = size, [(0, max(0, t - n)) for n, t in zip(picture.shape, size, strict=False)]
    padded = np.pad(picture, margins + [(0, 0)] * (picture.ndim - 2), "symmetric")
    return [padded[y : y + h, x : x + w] for y, x in _places(padded.shape[:2], size)]


def blend(answers: Sequence[Picture], size: Size) -> Picture:
    """One picture of `size` from the answers to its `tiles`; where they overlap, weights fall linearly to the edge."""
    h, w = answers[0].shape[:2]
    frame = max(size[0], h), max(size[1], w)
    weight = np.outer(_ramp(h), _ramp(w)).reshape(h, w, *[1] * (answers[0].ndim - 2))
    total, weights = np.zeros((*frame, *answers[0].shape[2:]), np.float32), np.zeros((*frame, *weight.shape[2:]))
    for (y, x), answer in zip(_places(frame, (h, w)), answers, strict=True):
        total[y : y + h, x : x + w] += answer * weight
        weights[y : y + h, x : x + w] += weight
    return np.rint(total / weights)[: size[0], : size[1]].astype(np.uint8)


def _places(frame: Size, size: Size) -> list[tuple[int, int]]:
    rows, columns = (_starts(n, t) for n, t in zip(frame, size, strict=True))
    return [(y, x) for y in rows for x in columns]


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin: as few as reach over the length, evenly spread."""
    count = 1 + ceil((length - tile) / (tile - round(tile * OVERLAP)))
    starts: list[int] = np.linspace(0, length - tile, count).round().astype(int).tolist()
    return starts


def _ramp(n: int) -> NDArray[Any]:
    i = np.arange(n, dtype=np.float32)
    return np.minimum(i + 1, n - i)
