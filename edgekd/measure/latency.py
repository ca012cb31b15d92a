"""What a series of timed inferences says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekd.measure.statistics import Rows, bootstrap, middle, percentiles, resampled

LEAST_RUNS, LEAST_SECONDS = 1024, 60.0
"""A measurement shorter than both is called short. MLPerf Inference's single-stream scenario asks for 1,024 queries
and 60 s."""


def describe(milliseconds: Sequence[float] | Rows, window: float) -> dict[str, Any]:
    """Percentiles, least and mean in ms; `short` where fewer runs in a shorter `window` (seconds) were taken."""
    short = len(milliseconds) < LEAST_RUNS and window < LEAST_SECONDS
    return percentiles(milliseconds) | {"window_seconds": round(window, 3), "short": short}


def median_interval(milliseconds: Rows) -> tuple[float, float]:
    """95 % interval of the median; blocks of consecutive runs are drawn, for neighbours resemble each other."""
    return bootstrap(milliseconds, _median, block=_block(len(milliseconds)))


def speed_up(base: Rows, ours: Rows, in_turns: bool) -> tuple[float, tuple[float, float]]:
    """`median(base) / median(ours)` and its 95 % interval, blocks drawn: rounds where taken in turns."""

    def ratio(rows: Rows) -> float:
        first, second = np.median(rows, axis=0)
        return float(first / second)

    value = _median(base) / _median(ours)
    if in_turns:
        return value, bootstrap(np.column_stack([base, ours]), ratio, block=_block(len(base)))
    first, second = (resampled(x, _median, 2000, seed, _block(len(x))) for seed, x in enumerate((base, ours)))
    return value, middle(first / second)


def _median(rows: Rows) -> float:
    return float(np.median(rows))


def _block(n: int) -> int:
    """Rounds in a block: n^(1/3), the rate that Künsch (1989) gives."""
    return max(1, int(n ** (1 / 3) + 0.5))
