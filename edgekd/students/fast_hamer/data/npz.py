"""Crops of hands in an `.npz` file. numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError
from edgekd.students.arrays import read_arrays
from edgekd.students.fast_hamer.config import DataConfig
from edgekd.students.fast_hamer.data.base import Hand, Hands

BLOCKS = 5
"""Places in a sequence of pictures from which a test is taken, each one contiguous."""
GAP = 0.25
"""Of a test block's length, on each of its sides: what neither trains nor tests."""


def load_arrays(path: Path, config: DataConfig) -> Hands:
    """An `.npz` file: `x` (N, H, W, 3) uint8, a crop each; `uv` (N, 21, 2), landmarks in its pixels; `xyz_cm`
    (N, 21, 3), the same in centimetres in the camera's axes. The whole crop is the hand's box.

    Raises MissingError or RequestError.
    """
    arrays = read_arrays(path)
    x, uv, xyz = _checked(path, arrays)
    height, width = x.shape[1:3]
    sure = np.ones((21, 1), np.float32)
    hands = [
        Hand(
            f"{path.stem}-{i:04d}", i, (width / 2, height / 2), float(max(height, width)), config.hands == "right",
            np.hstack([uv[i], sure]), np.hstack([xyz[i] / 100, sure]),
        )
        for i in range(len(x))
    ]  # fmt: skip
    training, test = blocks(len(hands), config.train, config.split)
    return Hands(tuple(hands[i] for i in training), tuple(hands[i] for i in test), x.__getitem__)


def _checked(path: Path, arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pictures and landmarks that fit each other. Raises RequestError."""
    x = arrays.get("x")
    if x is None or x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8 or not x.size:
        raise RequestError(f"`{path.name}` has no `x` of pictures (N, H, W, 3) uint8", "store colour pictures")
    for name, axes in (("uv", 2), ("xyz_cm", 3)):
        points = arrays.get(name)
        if points is None or points.shape != (len(x), 21, axes) or points.dtype.kind != "f":
            message = f"`{path.name}` has no `{name}` of landmarks ({len(x)}, 21, {axes}), one set a picture"
            raise RequestError(message, "store wrist, then thumb to little finger, base to tip")
        if not np.isfinite(points).all():
            raise RequestError(f"`{name}` of `{path.name}` holds numbers that are not finite", "leave such hands out")
    return x, arrays["uv"].astype(np.float32), arrays["xyz_cm"].astype(np.float32)


def blocks(count: int, share: float, split: int) -> tuple[list[int], list[int]]:
    """Which of `count` pictures in a row train and which test. Ours.

    Neighbours in a film are nearly one picture, so no test is drawn at random. The row is cut into five; of each fifth
    one contiguous block tests, as long as `1 - share` asks, and `split` says which: with a share of 0.8 it is one of
    five, which together are all pictures. A quarter of a block's length on each side of it is left out.

    Raises RequestError where the row is too short.
    """
    turns = max(2, round(1 / (1 - share)))
    ends = np.linspace(0, count, BLOCKS * turns + 1).round().astype(int)
    if count < 4 * BLOCKS * turns:
        message = f"{count} pictures in a row are too few to test on {BLOCKS} blocks of them"
        raise RequestError(message, f"bring {4 * BLOCKS * turns} or more, or lower `data.train`")
    role = np.zeros(count, int)
    for start, end in zip(ends[split % turns : -1 : turns], ends[split % turns + 1 :: turns], strict=True):
        gap = round(GAP * (end - start))
        role[max(0, start - gap) : end + gap][role[max(0, start - gap) : end + gap] == 0] = 1
        role[start:end] = 2
    return np.flatnonzero(role == 0).tolist(), np.flatnonzero(role == 2).tolist()
