"""Percentiles and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]
PERCENTILES = (5, 50, 90, 95, 99)


def percentiles(values: Sequence[float] | Rows) -> dict[str, float]:
    """Percentiles as `p50`, ..., with `min`, `max` and `mean`."""
    array = np.asarray(values, float)
    out = {f"p{p}": float(np.percentile(array, p)) for p in PERCENTILES}
    return out | {"min": float(array.min()), "max": float(array.max()), "mean": float(array.mean())}


def bootstrap(
    rows: Rows, statistic: Callable[[Rows], float], draws: int = 2000, seed: int = 0, block: int = 1
) -> tuple[float, float]:
    """95 % percentile interval of `statistic` over resampled rows (Efron 1979); the same numbers every time."""
    return middle(resampled(rows, statistic, draws, seed, block))


def resampled(rows: Rows, statistic: Callable[[Rows], float], draws: int, seed: int, block: int) -> Rows:
    """`statistic` of `draws` samples of the rows, with replacement.

    With `block` above 1, runs of that many consecutive rows are drawn together, the end joined to the beginning
    (circular block bootstrap, Politis and Romano 1992): for series whose neighbours resemble each other.
    """
    rng, n = np.random.default_rng(seed), len(rows)
    starts, steps = rng.integers(0, n, (draws, -(-n // block))), np.arange(block)
    return np.array([statistic(rows[((start[:, None] + steps) % n).ravel()[:n]]) for start in starts])


def middle(values: Rows) -> tuple[float, float]:
    """The ends of the middle 95 %."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
