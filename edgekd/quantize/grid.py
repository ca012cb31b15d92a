"""Which integers a tensor may become, as an arithmetic says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from edgekd.schema.target import Arithmetic

Ties = Literal["even", "away"]
NEAR = 1e-6
"""How far, as a share, a limit may lie above a power of two that it is taken for: float32 errors of a mean. Ours."""


@dataclass(frozen=True)
class Grid:
    """The codes a quantizer may use, and how it gets there."""

    qmin: int
    qmax: int
    middle: int
    """The zero point of a symmetric range: 0, or 128 for unsigned 8-bit codes around zero."""
    symmetric: bool
    power_of_two: bool
    ties: Ties

    @property
    def dtype(self) -> torch.dtype:
        """The container of the codes."""
        return torch.int8 if self.qmin < 0 else torch.uint8

    @property
    def bits(self) -> int:
        """Bits of a code."""
        return (self.qmax - self.qmin).bit_length()

    @property
    def clips(self) -> bool:
        """Whether the codes are fewer than their container holds."""
        return self.bits < 8

    def step(self, limit: float, beyond: bool = False) -> float:
        """Step with which the codes around the middle reach `limit`, or end a step before it (`beyond`).

        Powers of two always do: `limit` becomes a threshold T = 2^k, the step T / 2^(bits - 1), unsigned T / 2^bits,
        values are clipped at T - step (the number format of Sony's Model Compression Toolkit).
        """
        if self.power_of_two:
            limit, beyond = next_power(limit), True
        return limit / (self.qmax - self.middle + beyond)

    def span_step(self, low: float, high: float) -> float:
        """Step with which the lowest and the highest code span a range."""
        step = (high - low) / (self.qmax - self.qmin)
        return next_power(step) if self.power_of_two else step


def next_power(limit: float) -> float:
    """The least power of two that is not below a positive limit; 0 for 0."""
    mantissa, exponent = math.frexp(limit * (1 - NEAR))
    return math.ldexp(math.ceil(mantissa), exponent)


def weight_grid(arithmetic: Arithmetic, bits: int) -> Grid:
    """Symmetric without the lowest code, so that a weight and its negative are alike."""
    top = 2 ** (bits - 1) - 1
    return Grid(-top, top, 0, True, arithmetic.weights.scale == "power-of-two", arithmetic.ties)


def activation_grid(arithmetic: Arithmetic, nonnegative: bool) -> Grid:
    """The full range of the bits; for values that are `nonnegative` unsigned from 0 where the arithmetic has that."""
    spec, po2 = arithmetic.activations, arithmetic.activations.scale == "power-of-two"
    half = 2 ** (spec.bits - 1)
    if spec.symmetric and spec.unsigned_relu and nonnegative:
        return Grid(0, 2 * half - 1, 0, True, po2, arithmetic.ties)
    if spec.signed:
        return Grid(-half, half - 1, 0, spec.symmetric, po2, arithmetic.ties)
    return Grid(0, 2 * half - 1, half, spec.symmetric, po2, arithmetic.ties)


def round_ties(x: Tensor, ties: Ties) -> Tensor:
    """Round in place; a half goes to the even neighbour or away from zero."""
    return x.round_() if ties == "even" else x.add_(x.sign(), alpha=0.5).trunc_()
