"""What flows through the interpreter: integers for as long as they can stay integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.golden import rounding
from edgekd.graph.golden.rounding import Rounding

Array = NDArray[Any]
Float = NDArray[np.float32]


class Exact(Protocol):
    """Integers whose real values are known, and that know how they become codes."""

    @property
    def real(self) -> Float:
        """The values, float32."""

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes of a tensor with this scale and zero point."""

    def rectified(self) -> Exact:
        """The same behind a Relu in the same kernel."""


Value = Exact | Array


@dataclass(frozen=True)
class Codes:
    """A dequantized tensor that is still integers: `(codes - zero) * scale`."""

    codes: Array
    scale: Array
    zero: Array

    @property
    def centred(self) -> Float:
        """Codes minus zero point, float32 (exact)."""
        out: Float = self.codes.astype(np.float32) - self.zero.astype(np.float32)
        return out

    @property
    def integers(self) -> NDArray[np.int64]:
        """Codes minus zero point."""
        out: NDArray[np.int64] = self.codes.astype(np.int64) - self.zero.astype(np.int64)
        return out

    @property
    def real(self) -> Float:
        """The values, float32."""
        return (self.centred * self.scale).astype(np.float32)

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes to codes: unchanged where scale and zero point are."""
        if self.codes.dtype == zero.dtype and np.all(self.scale == scale) and np.all(self.zero == zero):
            return self.codes
        if mode == "tfl_double":
            return rounding.tfl_double(self.integers, np.float64(self.scale) / np.float64(scale), zero)
        return rounding.quantize_real(self.real, scale, zero)

    def rectified(self) -> Exact:
        """Negative values become the zero point."""
        return replace(self, codes=np.maximum(self.codes, self.zero))


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

    @property
    def real(self) -> Float:
        """The values, float32."""
        return self.sums.astype(np.float32) * self.scale

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Requantised in one step."""
        if mode == "tfl_double":
            real = np.float64(self.scale_x) * np.float64(self.scale_w) / np.float64(scale)
            return rounding.tfl_double(self.sums.astype(np.int64), real, zero)
        return rounding.rne_f32(self.sums, self.scale / scale, zero)

    def rectified(self) -> Exact:
        """Negative accumulators become 0; scales are positive."""
        return replace(self, sums=np.maximum(self.sums, 0))


@dataclass(frozen=True)
class Pending:
    """An operator on codes whose two roundings differ: float32 in one, its own integer kernel in the other."""

    real: Float
    integer: Callable[[Array, Array], Array]
    """(scale, zero point) to codes, in `tfl_double`."""
    relu: bool = False

    def quantize(self, scale: Array, zero: Array, mode: Rounding) -> Array:
        """Codes in either rounding."""
        if mode == "tfl_double":
            codes = self.integer(scale, zero)
            return np.maximum(codes, zero) if self.relu else codes
        return rounding.quantize_real(self.real, scale, zero)

    def rectified(self) -> Exact:
        """A fused Relu clamps the codes at the zero point."""
        return replace(self, real=np.maximum(self.real, np.float32(0)), relu=True)


def real(value: Value) -> Float:
    """Any value as float32 numbers."""
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value, np.float32)
    return value.real
