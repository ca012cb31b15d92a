"""Requantisation: from exact integers to codes, in the two roundings that exist.

`tfl_double` after TensorFlow Lite's reference kernels (fixedpoint.h, common.h, add.h, mul.h).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rounding = Literal["rne_f32", "tfl_double"]
Array = NDArray[Any]
Ints = NDArray[np.int64]
_INT32 = np.iinfo(np.int32)
_ADD_SHIFT = 20


def saturate(codes: Array, zero: Array) -> Array:
    """Codes in the type of the zero point."""
    limits = np.iinfo(zero.dtype)
    out: Array = np.clip(codes, limits.min, limits.max).astype(zero.dtype)
    return out


def rne_f32(sums: Array, multiplier: Array, zero: Array) -> Array:
    """`rint(float32(sums) * float32(multiplier)) + zero`, saturated; ties go to the even code."""
    scaled = sums.astype(np.float32) * multiplier.astype(np.float32)
    return saturate(np.rint(scaled) + zero.astype(np.float32), zero)


def quantize_real(values: Array, scale: Array, zero: Array) -> Array:
    """A float32 value's codes: divided by the scale, ties to even, saturated. ONNX QuantizeLinear."""
    return saturate(np.rint(values.astype(np.float32) / scale) + zero.astype(np.float32), zero)


def fixed_point(real: Array | np.float64) -> tuple[Ints, Ints]:
    """A positive multiplier as `q * 2^(shift - 31)`, q of 31 bits (TFLite QuantizeMultiplier)."""
    fraction, shift = np.frexp(np.asarray(real, np.float64))
    q = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    carried = q == 1 << 31
    return np.where(carried, 1 << 30, q), shift.astype(np.int64) + carried


def multiply(x: Ints, q: Ints, shift: Ints) -> Ints:
    """TFLite MultiplyByQuantizedMultiplier: shift left, rounding doubling high multiply, rounding shift right."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    return divide_by_power_of_two(high_multiply(x << left, q), right)


def high_multiply(a: Ints, b: Ints) -> Ints:
    """The high half of `2 a b`, rounded half away from zero (gemmlowp SaturatingRoundingDoublingHighMul)."""
    product = a * b
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    out = np.sign(nudged) * (np.abs(nudged) >> 31)  # C's division truncates towards zero
    return np.where((a == _INT32.min) & (b == _INT32.min), _INT32.max, out)


def divide_by_power_of_two(x: Ints, exponent: Ints) -> Ints:
    """`x / 2^exponent`, rounded half away from zero (gemmlowp RoundingDivideByPOT)."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def tfl_double(sums: Ints, real: Array | np.float64, zero: Array) -> Array:
    """Accumulators to codes with a 31-bit multiplier and two roundings."""
    return saturate(multiply(sums, *fixed_point(real)) + zero.astype(np.int64), zero)


def tfl_add(a: Ints, sa: float, b: Ints, sb: float, scale: float, zero: Array) -> Array:
    """Sum of two centred code tensors (TFLite ADD): both on a grid of `2 max(sa, sb) / 2^20`, then requantised."""
    twice = 2.0 * max(sa, sb)
    parts = [multiply(x << _ADD_SHIFT, *fixed_point(np.array(s / twice))) for x, s in ((a, sa), (b, sb))]
    q, shift = fixed_point(np.array(twice / (2.0**_ADD_SHIFT * scale)))
    return saturate(multiply(parts[0] + parts[1], q, shift) + zero.astype(np.int64), zero)


def tfl_mean(sums: Ints, count: int, ratio: float, zero: Array) -> Array:
    """Sums of `count` centred codes to the codes of their mean (TFLite MEAN, int8); `ratio` is s_x / s_y."""
    q, shift = fixed_point(np.array(ratio))
    bits = min(int(np.floor(np.log2(count))), 31 + int(shift))
    q = (q << bits) // count
    return saturate(multiply(sums, q, shift - bits) + zero.astype(np.int64), zero)


def half_away(values: Array) -> Array:
    """Rounded half away from zero."""
    out: Array = np.sign(values) * np.floor(np.abs(values) + 0.5)
    return out
