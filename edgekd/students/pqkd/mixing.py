"""The fixed mixing: from a feature vector to the numbers that mix a layer's bases. numpy only.

`M = gain * A u`, with the features' direction `u` and a fixed matrix A of signs, made from a seed and never stored.
That A is fixed, linear and not trained is the paper's; that its entries are signs, and that only the direction of the
features counts, is ours: signs are bits of a counter-based generator, and with `u` on a grid every sum is one of whole
numbers. So M is the same on any machine, bit for bit. With |u| = 1 the entries of M have the variance `gain^2` whatever
the source, so sources differ in nothing else.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import RequestError

GRID = 1 << 24
"""Steps of the grid in 1: below the noise of 10^12 shots, and sums stay far below 2^53."""
ROWS = 4096
"""Rows of A that exist at once."""
Direction = NDArray[np.int32]
"""A unit vector times `GRID`, rounded: (features,)."""


def direction(features: NDArray[np.float64]) -> Direction:
    """The direction of a feature vector (F,). Raises RequestError where it has none."""
    length = float(np.linalg.norm(features))
    if not (np.isfinite(length) and length > 0):
        raise RequestError("the photonic features are all zero, or not finite", "look at the feature source")
    return np.rint(features / length * GRID).astype(np.int32)


def mixing(towards: Direction, seed: int, layer: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """M of a layer, `shape` = (outputs, inputs, rank); the gain is that of `scale`.

    Eight signs are a byte, whose sum with its eight features is looked up.
    """
    places = -(-len(towards) // 64) * 8
    sums = _sums(towards, places)
    bits = np.random.Philox(key=np.array([seed, layer], np.uint64))
    out = np.empty(prod(shape), np.int64)
    for start in range(0, len(out), ROWS):
        rows = min(ROWS, len(out) - start)
        signs = bits.random_raw(rows * places // 8).astype("<u8").view(np.uint8).reshape(rows, places)
        out[start : start + rows] = sums[np.arange(places), signs].sum(1)
    return (out / GRID * scale(shape[1])).astype(np.float32).reshape(shape)


def scale(inputs: int, size: int = 3) -> float:
    """Standard deviation that mixing numbers begin with, for weights as He et al. 2015 (arXiv 1502.01852) have them;
    the bases' is 1 / sqrt(rank)."""
    return sqrt(2 / (inputs * size * size))


def _sums(towards: Direction, places: int) -> NDArray[np.int64]:
    """(places, 256): of each eight features, with the signs that each byte means."""
    padded = np.zeros(places * 8, np.int64)
    padded[: len(towards)] = towards
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little")
    return padded.reshape(places, 8) @ (2 * bits.astype(np.int64) - 1).T
