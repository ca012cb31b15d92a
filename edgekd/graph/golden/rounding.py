"""Requantisation: from exact integers to codes, in the two roundings that exist.

`tfl_double` after TensorFlow Lite's reference kernels (fixedpoint.h, common.h, add.h, mul.h).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.model import code_limits

Rounding = Literal["rne_f32", "tfl_double"]
Array = NDArray[Any]
Ints = NDArray[np.int64]
_ADD_SHIFT = 20


def saturate(codes: Array, zero: Array) -> Array:
    """Codes in the type of the zero point."""
    out: Array = np.clip(codes, *code_limits(zero.dtype)).astype(zero.dtype)
    return out


def rne_f32(sums: Array, multiplier: Array, zero: Array) -> Array:
    """`rint(float32(sums) * float32(multiplier)) + zero`, saturated; ties go to the even code."""
    return _nearest_even(sums.astype(np.float32, copy=False) * multiplier.astype(np.float32), zero)


def quantize_real(values: Array, scale: Array, zero: Array) -> Array:
    """A float32 value's codes: divided by the scale, ties to even, saturated. ONNX QuantizeLinear."""
    with np.errstate(over="ignore"):  # infinity saturates too
        return _nearest_even(values.astype(np.float32, copy=False) / scale.astype(np.float32), zero)


def _nearest_even(scaled: Array, zero: Array) -> Array:
    """Rounded, moved to the zero point and saturated; overwrites what it is given."""
    scaled = np.asarray(scaled)
    np.rint(scaled, out=scaled)
    if zero.any():
        scaled += zero.astype(np.float32)
    np.clip(scaled, *code_limits(zero.dtype), out=scaled)
    return scaled.astype(zero.dtype)


def quantize_float(values: Array, scale: Array, zero: Array, mode: Rounding) -> Array:
    """A float32 value's codes in either rounding; infinite ones saturate.

    `tfl_double` rounds half away from zero (TFLite AffineQuantize, CalculateActivationRange).
    """
    if mode == "rne_f32":
        return quantize_real(values, scale, zero)
    with np.errstate(over="ignore"):
        scaled = values.astype(np.float32, copy=False) / scale.astype(np.float32)
    return saturate(half_away(scaled.astype(np.float64)) + zero.astype(np.float64), zero)


def fixed_point(real: Array | np.float64) -> tuple[Ints, Ints]:
    """A positive multiplier as `q * 2^(shift - 31)`, q of 31 bits (TFLite QuantizeMultiplier)."""
    fraction, shift = np.frexp(np.asarray(real, np.float64))
    q = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    carried = q == 1 << 31
    return np.where(carried, 1 << 30, q), shift.astype(np.int64) + carried


def multiply(x: Ints, q: Ints, shift: Ints) -> Ints:
    """TFLite MultiplyByQuantizedMultiplier: shift left, rounding doubling high multiply, rounding shift right."""
    left = np.maximum(shift, 0)
    return divide_by_power_of_two(high_multiply(x << left if left.any() else x, q), np.maximum(-shift, 0))


def high_multiply(a: Ints, b: Ints) -> Ints:
    """`a b / 2^31` rounded, ties up (gemmlowp SaturatingRoundingDoublingHighMul), in int32 but for b = -2^31.

    There the nudge depends on the sign and C's division truncates: together that is one shift that rounds ties up.
    """
    product = np.asarray(a * b)
    product += 1 << 30
    product >>= 31
    return product


def divide_by_power_of_two(x: Ints, exponent: Ints) -> Ints:
    """`x / 2^exponent`, rounded half away from zero (gemmlowp RoundingDivideByPOT)."""
    out = np.asarray(x >> 63)  # -1 for negatives, so that their ties go down
    out *= exponent > 0
    out += (np.int64(1) << exponent) >> 1
    out += x
    out >>= exponent
    return out


def tfl_double(sums: Ints, real: Array | np.float64, zero: Array) -> Array:
    """Accumulators to codes with a 31-bit multiplier and two roundings."""
    codes = multiply(sums, *fixed_point(real))
    codes += zero.astype(np.int64)
    return saturate(codes, zero)


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


def tfl_average(sums: Ints, count: Ints, code: int, zero: Array) -> Array:
    """Sums of `count` centred codes to their rounded average, scale kept (TFLite AVERAGE_POOL_2D).

    The kernel adds codes as they are, so ties are away from code 0, not from the zero point `code`.
    """
    raw = sums + count * code
    return saturate(np.sign(raw) * ((np.abs(raw) + count // 2) // count), zero)


def half_away(values: Array) -> Array:
    """Rounded half away from zero."""
    out: Array = np.sign(values) * np.floor(np.abs(values) + 0.5)
    return out
