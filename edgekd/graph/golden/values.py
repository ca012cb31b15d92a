"""What flows through the interpreter: integers for as long as they can stay integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.golden import rounding
from edgekd.graph.golden.rounding import Rounding
from edgekd.graph.model import code_limits

Array = NDArray[Any]
Float = NDArray[np.float32]


class Exact(Protocol):
    """Integers whose real values are known, and that know how they become codes."""

    @property
    def real(self) -> Float:
        """The values, float32."""

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes of a tensor with this scale and zero point."""


Value = Exact | Array


@dataclass(frozen=True)
class Codes:
    """A dequantized tensor that is still integers: `(codes - zero) * scale`."""

    codes: Array
    scale: Array
    zero: Array

    @property
    def single(self) -> bool:
        """Whether one scale and zero point hold for all codes."""
        return self.scale.size == self.zero.size == 1

    @property
    def centred(self) -> Float:
        """Codes minus zero point, float32 (exact)."""
        out: Float = self.codes.astype(np.float32)
        if self.zero.any():
            out -= self.zero.astype(np.float32)
        return out

    @property
    def integers(self) -> NDArray[np.int64]:
        """Codes minus zero point."""
        out: NDArray[np.int64] = self.codes.astype(np.int64) - self.zero.astype(np.int64)
        return out

    @cached_property
    def real(self) -> Float:
        """The values, float32."""
        out = self.centred
        if self.scale.size > 1:
            return (out * self.scale).astype(np.float32)
        out *= np.float32(self.scale.item())
        return out

    def like(self, codes: Array) -> Codes:
        """Other codes on the same grid, one scale for all."""
        return Codes(codes, self.scale.reshape(()), self.zero.reshape(()))

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes to codes: unchanged where scale and zero point are."""
        if self.codes.dtype == zero.dtype and np.all(self.scale == scale) and np.all(self.zero == zero):
            return self.codes
        if mode == "tfl_double":
            return rounding.tfl_double(self.integers, np.float64(self.scale) / np.float64(scale), zero)
        return rounding.quantize_real(self.real, scale, zero)


@dataclass(frozen=True)
class Sums:
    """Accumulators of a weighted operator, integers kept as floats, and the scale of each channel."""

    sums: Array
    scale_x: Array
    scale_w: Array

    @property
    def scale(self) -> Float:
        """`s_x * s_w`, float32."""
        return (self.scale_x * self.scale_w).astype(np.float32)

    @cached_property
    def real(self) -> Float:
        """The values, float32."""
        return self.sums.astype(np.float32, copy=False) * self.scale

    def plus(self, offset: Array) -> Sums:
        """With a bias in accumulator units along the last axis, exact."""
        return Sums(self.sums.astype(np.float64) + offset, self.scale_x, self.scale_w)

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Requantised in one step."""
        if mode == "tfl_double":
            real = np.float64(self.scale_x) * np.float64(self.scale_w) / np.float64(scale)
            return rounding.tfl_double(self.sums.astype(np.int64), real, zero)
        return rounding.rne_f32(self.sums, self.scale / scale, zero)


@dataclass(frozen=True)
class Pending:
    """An operator on codes whose two roundings differ: float32 in one, its own integer kernel in the other."""

    real: Float
    integer: Callable[[Array, Array], Array]
    """(scale, zero point) to codes, in `tfl_double`."""

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes in either rounding."""
        return self.integer(scale, zero) if mode == "tfl_double" else rounding.quantize_real(self.real, scale, zero)


@dataclass(frozen=True)
class Table:
    """A function of codes of eight bits or less: its value for each of them. Both roundings look it up.

    NaN stands for codes outside the function's domain.
    """

    index: NDArray[np.uint8]
    values: NDArray[np.float64]
    single: Float
    """The values as float32 arithmetic gives them."""
    kernel: Callable[[Array, Array], Array] | None = None
    """(scale, zero point) to the codes of the table in `tfl_double`, where that is no rounding of the values."""

    @property
    def real(self) -> Float:
        """The values, float32."""
        return self.single[self.index]

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """`rne_f32`: QuantizeLinear of the float32 values; `tfl_double`: half away from zero, as LiteRT's tables."""
        if scale.size > 1:
            return rounding.quantize_real(self.real, scale, zero)
        if mode == "tfl_double" and self.kernel is not None:
            return self.kernel(scale, zero)[self.index]
        if mode == "tfl_double":
            codes = rounding.half_away(np.nan_to_num(self.values) / np.float64(scale)) + zero.astype(np.float64)
            return rounding.saturate(codes, zero)[self.index]
        return rounding.quantize_real(np.nan_to_num(self.single), scale, zero)[self.index]


@dataclass(frozen=True)
class Clipped:
    """A Relu or Clip behind an exact value: limits on its codes, since rounding is monotone."""

    inner: Exact
    low: float
    high: float

    @property
    def real(self) -> Float:
        """The values, float32."""
        return np.clip(self.inner.real, np.float32(self.low), np.float32(self.high))

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """The inner codes between the codes of the limits."""
        ends = (np.full(scale.shape, end, np.float32) for end in (self.low, self.high))
        low, high = (rounding.quantize_float(end, scale, zero, mode) for end in ends)
        codes = self.inner.quantize(scale, zero, mode)
        out: Array = np.minimum(np.maximum(codes, low), high)
        return out


def numbers(value: Value) -> Array:
    """Any value as an array; integers that index or shape stay integers."""
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else value.real


def real(value: Value) -> Float:
    """Any value as float32 numbers."""
    return np.asarray(numbers(value), np.float32)


def index_of(codes: Array) -> NDArray[np.uint8]:
    """The place of each code in a table that starts with the lowest code of its type."""
    low = code_limits(codes.dtype)[0]
    out: NDArray[np.uint8] = (codes.astype(np.int16) - low).astype(np.uint8)
    return out


def grid(codes: Codes) -> NDArray[np.int64]:
    """Every code of the type minus the zero point, in order."""
    low, high = code_limits(codes.codes.dtype)
    return np.arange(low, high + 1, dtype=np.int64) - int(codes.zero.item())
