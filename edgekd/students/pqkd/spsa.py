"""Simultaneous perturbation stochastic approximation (Spall 1992, 1998): a gradient from two losses. numpy only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekd.students.pqkd.config import Spsa

Vector = NDArray[np.float64]
Loss = Callable[[Vector, int], float]
"""Of a point, and which of the two it is: a noisy loss draws other noise for each."""


def gradient(loss: Loss, at: Vector, reach: float, rng: np.random.Generator) -> Vector:
    """`(L(x + c d) - L(x - c d)) / (2 c) / d` with signs d; its mean is the gradient up to terms in c^2."""
    signs: Vector = 2 * rng.integers(0, 2, at.shape).astype(np.float64) - 1
    slope = (loss(at + reach * signs, 0) - loss(at - reach * signs, 1)) / (2 * reach)
    found: Vector = slope * signs  # 1 / d = d
    return found


def update(loss: Loss, at: Vector, config: Spsa, number: int, of: int, rng: np.random.Generator) -> Vector:
    """The point after update `number` = 0.. of `of`; gains as Spall 1998 (IEEE TAES 34) gives them."""
    step = config.a / (number + 1 + config.stability * of) ** config.alpha
    found: Vector = at - step * gradient(loss, at, config.c / (number + 1) ** config.gamma, rng)
    return found
