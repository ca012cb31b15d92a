"""Operators that look at one place at a time: functions of one tensor, sums and products of two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import erf as scalar_erf
from typing import Any

import numpy as np
import onnx

from edgekd.graph.golden import rounding
from edgekd.graph.golden.values import Array, Clipped, Codes, Pending, Sums, Table, Value, grid, index_of, numbers, real
from edgekd.graph.golden.windows import Attributes
from edgekd.graph.model import code_bits

Operator = Callable[[Sequence[Value], Attributes], Value]
Function = Callable[..., Array]


def unary(function: Function, **defaults: float) -> Operator:
    """A function of one tensor and float attributes (`defaults`); of codes, a table of its values for each code."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        x, settings = args[0], {key: np.float32(attrs.get(key, value)) for key, value in defaults.items()}
        if isinstance(x, Table):
            values, single, index = x.values, x.single, x.index
        elif isinstance(x, Codes) and x.single and code_bits(x.codes.dtype) <= 8:
            values, index = grid(x) * np.float64(x.scale.item()), index_of(x.codes)
            single = grid(x).astype(np.float32) * np.float32(x.scale.item())
        else:
            with np.errstate(all="ignore"):
                return function(real(x), **settings).astype(np.float32)
        with np.errstate(all="ignore"):  # codes that never occur may lie outside its domain
            exact = function(values, **{k: np.float64(v) for k, v in settings.items()})
            return Table(index, exact, function(single, **settings).astype(np.float32))

    return run


def clip(args: Sequence[Value], attrs: Attributes) -> Value:
    """Limits may be absent. Of exact values it limits their codes."""
    given = [numbers(a) for a in args[1:3]]
    ends = [float(a.item()) if a.size else None for a in given] + [None, None]
    low, high = (attrs.get(name) if end is None else end for name, end in zip(("min", "max"), ends, strict=False))
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    x = args[0]
    if not isinstance(x, np.ndarray | np.generic):
        return Clipped(x, low, high)
    out: Array = np.clip(x, np.asarray(low).astype(x.dtype), high) if x.dtype.kind == "f" else np.clip(x, low, high)
    return out.astype(x.dtype)


def relu(args: Sequence[Value], attrs: Attributes) -> Value:
    """Fused into what makes its input."""
    return clip(args[:1], {"min": 0.0})


def add(args: Sequence[Value], attrs: Attributes, sign: int = 1) -> Value:
    """Sum or difference; of two code tensors with one scale each, an integer kernel in `tfl_double`."""
    a, b = args
    if isinstance(a, Sums) and isinstance(b, Codes) and sign > 0 and _is_bias(a, b):
        return a.plus(b.codes)
    total = numbers(a) + numbers(b) if sign > 0 else numbers(a) - numbers(b)
    if isinstance(a, Codes) and isinstance(b, Codes) and a.single and b.single:
        sa, sb = float(a.scale.item()), float(b.scale.item())
        return Pending(total, lambda s, z: rounding.tfl_add(a.integers, sa, sign * b.integers, sb, float(s), z))
    return total


def _is_bias(sums: Sums, b: Codes) -> bool:
    """Whether int32 codes lie on the accumulator's grid: the bias that ONNX writes behind a MatMul."""
    return b.codes.dtype == np.int32 and b.codes.ndim == 1 and np.array_equal(b.scale, sums.scale)


def mul(args: Sequence[Value], attrs: Attributes) -> Value:
    """Product; of two code tensors an integer kernel in `tfl_double`."""
    a, b = args
    product = numbers(a) * numbers(b)
    if isinstance(a, Codes) and isinstance(b, Codes):
        scale = np.float64(a.scale) * np.float64(b.scale)
        return Pending(product, lambda s, z: rounding.tfl_double(a.integers * b.integers, scale / np.float64(s), z))
    return product


def divide(a: Array, b: Array) -> Array:
    """Integers are divided as integers, towards zero (ONNX Div)."""
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        out: Array = np.trunc(a / b).astype(a.dtype)
        return out
    with np.errstate(all="ignore"):
        return np.asarray(a / b)


def of(function: Callable[..., Any]) -> Operator:
    """A function of whole arrays, codes as their real values."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        return np.asarray(function(*(numbers(a) for a in args)))

    return run


def fold(function: Callable[[Array, Array], Array]) -> Operator:
    """A function of two, over any number of tensors."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        out = numbers(args[0])
        for other in args[1:]:
            out = function(out, numbers(other))
        return out

    return run


def cast(args: Sequence[Value], attrs: Attributes) -> Value:
    """Exact values stay exact when cast to float32."""
    x, dtype = args[0], onnx.helper.tensor_dtype_to_np_dtype(attrs["to"])
    return numbers(x).astype(dtype) if isinstance(x, np.ndarray) or dtype != np.float32 else x


def logistic(x: Array) -> Array:
    """`1 / (1 + e^-x)`."""
    one = x.dtype.type(1)
    out: Array = one / (one + np.exp(-x))
    return out


def erf(x: Array) -> Array:
    """Error function: Taylor's series to the fourth order about the nearest of 769 points; error below 1e-10 (ours)."""
    at = np.clip(np.rint(x.astype(np.float64) * 64), -384, 384)
    p, d = at / 64, np.clip(x, -6, 6) - at / 64
    slope = 2 / np.sqrt(np.pi) * np.exp(-p * p)
    series = d * (1 + d * (-p + d * ((2 * p * p - 1) / 3 + d * (3 * p - 2 * p**3) / 6)))
    out: Array = _ERF[at.astype(int) + 384] + slope * series
    return out


_ERF = np.array([scalar_erf(i / 64) for i in range(-384, 385)])


def gelu(args: Sequence[Value], attrs: Attributes) -> Value:
    """Exact, or with tanh."""
    by_tanh = attrs.get("approximate", b"none") == b"tanh"
    return unary(_gelu_tanh if by_tanh else lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))))(args, {})


def _gelu_tanh(x: Array) -> Array:
    x = x.astype(np.float64)
    out: Array = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return out


def leaky_relu(args: Sequence[Value], attrs: Attributes) -> Value:
    """In `tfl_double` one multiplier on each side of zero (TFLite LEAKY_RELU)."""
    x, out = args[0], _leaky_relu(args, attrs)
    if not (isinstance(x, Codes) and isinstance(out, Table)):
        return out
    codes, up = grid(x), np.float64(x.scale.item())
    down = up * np.float64(np.float32(attrs.get("alpha", 0.01)))

    def kernel(scale: Array, zero: Array) -> Array:
        below, above = (rounding.tfl_double(codes, side / np.float64(scale), zero) for side in (down, up))
        return np.where(codes < 0, below, above)

    return replace(out, kernel=kernel)


_leaky_relu = unary(lambda x, alpha: np.where(x < 0, alpha * x, x), alpha=0.01)


def _hard_sigmoid(x: Array, alpha: Any, beta: Any) -> Array:
    out: Array = np.clip(x * alpha + beta, 0, 1)
    return out


def _elu(x: Array, alpha: Any) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


ELEMENTWISE: dict[str, Operator] = {
    "Abs": unary(np.abs),
    "Add": add,
    "And": of(np.logical_and),
    "Cast": cast,
    "Ceil": unary(np.ceil),
    "Clip": clip,
    "Cos": unary(np.cos),
    "Div": of(divide),
    "Elu": unary(_elu, alpha=1.0),
    "Equal": of(np.equal),
    "Erf": unary(erf),
    "Exp": unary(np.exp),
    "Floor": unary(np.floor),
    "Gelu": gelu,
    "Greater": of(np.greater),
    "GreaterOrEqual": of(np.greater_equal),
    "HardSigmoid": unary(_hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": unary(lambda x: x * _hard_sigmoid(x, x.dtype.type(np.float32(1 / 6)), x.dtype.type(0.5))),
    "LeakyRelu": leaky_relu,
    "Less": of(np.less),
    "LessOrEqual": of(np.less_equal),
    "Log": unary(np.log),
    "Max": fold(np.maximum),
    "Min": fold(np.minimum),
    "Mul": mul,
    "Neg": unary(np.negative),
    "Not": of(np.logical_not),
    "Or": of(np.logical_or),
    "PRelu": of(lambda x, slope: np.where(x < 0, slope * x, x)),
    "Pow": of(lambda x, y: np.power(x, y.astype(x.dtype))),
    "Reciprocal": unary(lambda x: 1 / x),
    "Relu": relu,
    "Round": unary(np.rint),
    "Sigmoid": unary(logistic),
    "Sign": unary(np.sign),
    "Sin": unary(np.sin),
    "Softplus": unary(lambda x: np.logaddexp(x, 0)),
    "Sqrt": unary(np.sqrt),
    "Sub": partial(add, sign=-1),
    "Sum": fold(np.add),
    "Tanh": unary(np.tanh),
    "Where": of(np.where),
}
