"""Ranges from observed activations, in a bounded memory: a histogram of 2,048 counts a tensor, whatever its size."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from edgekd.quantize.grid import Grid
from edgekd.schema.recipe import Calibration

BINS = 2048
CANDIDATES, HALVINGS = 100, 10


class Observer(Protocol):
    """Sees batches of a tensor and proposes a range that holds 0."""

    def see(self, x: Tensor) -> None:
        """A tensor of the current batch; several share one observer where they share one scale."""

    def next_batch(self) -> None:
        """The current batch ends."""

    def span(self, grid: Grid) -> tuple[float, float]:
        """Least and largest value that the grid's codes should span; around 0 where it is symmetric."""


def observer(calibration: Calibration) -> Observer:
    """The observer a recipe asks for."""
    if calibration.method == "minmax":
        return MinMax()
    return Histogram(calibration.percentile if calibration.method == "percentile" else None)


class MinMax:
    """The mean over batches of each batch's minimum and maximum. Memory: five numbers."""

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.batches = 0
        self._ends: tuple[float, float] | None = None

    def see(self, x: Tensor) -> None:
        """A tensor of the current batch."""
        low, high = float(x.min()), float(x.max())
        self._ends = (low, high) if self._ends is None else (min(low, self._ends[0]), max(high, self._ends[1]))

    def next_batch(self) -> None:
        """Add the current batch's extremes."""
        if self._ends is not None:
            self.low, self.high = self.low + self._ends[0], self.high + self._ends[1]
            self.batches += 1
        self._ends = None

    def span(self, grid: Grid) -> tuple[float, float]:
        """Least and largest value; the grid does not matter."""
        self.next_batch()
        count = max(1, self.batches)
        return min(0.0, self.low / count), max(0.0, self.high / count)


class Histogram:
    """Counts over a range around 0 that doubles when a value lies outside: pairs of bins are merged, none is lost.

    With a percentile, that share of the values lies inside, half of the rest cut at each end. Without, the range whose
    uniform quantization loses the least squared error, searched over fractions of the observed range (ours), or over
    ten powers of two, as Sony's Model Compression Toolkit does.
    """

    def __init__(self, percentile: float | None) -> None:
        self.percentile = percentile
        self.limit = 0.0
        self.counts = torch.zeros(BINS, dtype=torch.float64)

    def next_batch(self) -> None:
        """Every value counts alike."""

    def see(self, x: Tensor) -> None:
        """A tensor of the current batch."""
        top = float(x.abs().max())
        if top == 0.0 and self.limit == 0.0:
            return
        if self.limit == 0.0:
            self.limit = 2.0 ** math.ceil(math.log2(top))
        while top > self.limit:
            self._double()
        self.counts += torch.histc(x.detach().float(), BINS, -self.limit, self.limit).double()

    def _double(self) -> None:
        pairs = self.counts.reshape(-1, 2).sum(1)
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.counts[BINS // 4 : BINS * 3 // 4] = pairs
        self.limit *= 2

    @property
    def _edges(self) -> Tensor:
        return torch.linspace(-self.limit, self.limit, BINS + 1, dtype=torch.float64)

    def span(self, grid: Grid) -> tuple[float, float]:
        """Least and largest value for the grid's codes."""
        total = float(self.counts.sum())
        if total == 0.0:
            return 0.0, 0.0
        if self.percentile is not None:
            return self._inside((100.0 - self.percentile) / 200.0 * total)
        low, high = self._inside(0.0)
        halves, parts = [0.5**f for f in range(HALVINGS)], [f / CANDIDATES for f in range(1, CANDIDATES + 1)]
        fractions = halves if grid.power_of_two else parts
        if grid.symmetric:
            limit = max(-low, high)
            best = min(fractions, key=lambda f: self._loss(grid.step(limit * f), grid.middle, grid))
            return -limit * best, limit * best
        for _ in range(2):  # one end, then the other, then once more
            low = min((low * f for f in fractions), key=lambda end: self._affine(end, high, grid)) if low else low
            high = min((high * f for f in fractions), key=lambda end: self._affine(low, end, grid)) if high else high
        return low, high

    def _inside(self, outside: float) -> tuple[float, float]:
        """The range that leaves at most `outside` values at each end."""
        below = torch.cumsum(self.counts, 0)
        first = int((below > outside).nonzero()[0])
        last = int((below < below[-1] - outside).sum())
        edges = self._edges
        return min(0.0, float(edges[first])), max(0.0, float(edges[min(last + 1, BINS)]))

    def _affine(self, low: float, high: float, grid: Grid) -> float:
        step = grid.span_step(low, high)
        return self._loss(step, grid.qmin + round(-low / step), grid)

    def _loss(self, step: float, zero: int, grid: Grid) -> float:
        """Squared error of the bins' centres, rounded to the grid's codes with this step and zero point."""
        centres = (self._edges[:-1] + self._edges[1:]) / 2
        rounded = (torch.round(centres / step).clamp(grid.qmin - zero, grid.qmax - zero)) * step
        return float((self.counts * (centres - rounded).square()).sum())
