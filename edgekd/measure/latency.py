"""What a series of timed inferences says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekd.measure.statistics import Rows, bootstrap, percentiles

LEAST_RUNS, LEAST_SECONDS = 1024, 60.0
"""A measurement shorter than both is called short. MLPerf Inference's single-stream scenario asks for 1,024 queries
and 60 s."""


def describe(milliseconds: Sequence[float] | Rows, window: float) -> dict[str, Any]:
    """Percentiles, least and mean in ms; `short` where fewer runs in a shorter `window` (seconds) were taken."""
    short = len(milliseconds) < LEAST_RUNS and window < LEAST_SECONDS
    return percentiles(milliseconds) | {"window_seconds": round(window, 3), "short": short}


def median_interval(milliseconds: Rows) -> tuple[float, float]:
    """95 % interval of the median; blocks of consecutive runs are drawn, for neighbours resemble each other."""
    return bootstrap(milliseconds, lambda rows: float(np.median(rows)), block=_block(len(milliseconds)))


def speed_up(base: Rows, ours: Rows) -> tuple[float, tuple[float, float]]:
    """`median(base) / median(ours)` of series taken in turns, and its 95 % interval over blocks of whole rounds."""

    def ratio(rows: Rows) -> float:
        first, second = np.median(rows, axis=0)
        return float(first / second)

    rows = np.column_stack([base, ours])
    return ratio(rows), bootstrap(rows, ratio, block=_block(len(rows)))


def _block(n: int) -> int:
    """Rounds in a block: n^(1/3), the rate that Künsch (1989) gives."""
    return max(1, int(n ** (1 / 3) + 0.5))
