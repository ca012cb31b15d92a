"""Operators that gather many places into one: pools, means, sums, norms. Integers are added exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from edgekd.graph.golden import rounding
from edgekd.graph.golden.moving import Operator, ints, moved
from edgekd.graph.golden.values import Array, Codes, Pending, Sums, Value, numbers, real
from edgekd.graph.golden.windows import Attributes, Window, padded, window
from edgekd.graph.model import code_limits


def axes_of(args: Sequence[Value], attrs: Attributes, rank: int) -> tuple[int, ...]:
    """The axes a reduction names, as an input or an attribute; all of them when it names none."""
    axes = ints(args, 1) or attrs.get("axes")
    if axes is None:
        return () if attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(int(a) % rank for a in axes)


def mean(args: Sequence[Value], attrs: Attributes) -> Value:
    """ReduceMean; of codes an integer kernel in `tfl_double`."""
    x = args[0]
    source = x.codes if isinstance(x, Codes) else numbers(x)
    axes, keep = axes_of(args, attrs, source.ndim), bool(attrs.get("keepdims", 1))
    if not (isinstance(x, Codes) and x.single):
        out: Array = real(x).mean(axes, dtype=np.float64, keepdims=keep)
        return out.astype(np.float32)
    sums, count = x.integers.sum(axes, keepdims=keep), prod(source.shape[a] for a in axes)
    scale = np.float64(x.scale.item())
    values = (sums / count * scale).astype(np.float32)
    return Pending(values, lambda s, z: rounding.tfl_mean(sums, count, scale / float(s), z))


def total(args: Sequence[Value], attrs: Attributes) -> Value:
    """ReduceSum; sums of codes are accumulators."""
    x = args[0]
    source = x.codes if isinstance(x, Codes) else numbers(x)
    axes, keep = axes_of(args, attrs, source.ndim), bool(attrs.get("keepdims", 1))
    if isinstance(x, Codes) and x.single:
        return Sums(
            x.integers.sum(axes, keepdims=keep).astype(np.float64), x.scale.reshape(()), np.ones((), np.float32)
        )
    values = numbers(x)
    wide = np.float64 if values.dtype.kind == "f" else np.int64
    summed: Array = values.sum(axes, keepdims=keep, dtype=wide).astype(values.dtype)
    return summed


def _extreme(function: Callable[..., Array]) -> Operator:
    def run(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
        return function(x, axis=axes_of(args, attrs, x.ndim), keepdims=bool(attrs.get("keepdims", 1)))

    return moved(run)


def _pool(x: Array, attrs: Attributes) -> tuple[Window, Array]:
    """The window of a pool, and its input with two spatial axes."""
    shape, kernel = x.shape[2:], attrs["kernel_shape"]
    slide = window(shape, kernel, attrs)
    x = x if len(shape) == 2 else x[:, :, None]
    grown = [n + slide.pads[i] + slide.pads[i + 2] - slide.extent(i) for i, n in enumerate(x.shape[2:])]
    if attrs.get("ceil_mode", 0) and any(g % s for g, s in zip(grown, slide.strides, strict=True)):
        raise NotImplementedError("its `ceil_mode` lets windows hang over the edge")
    return slide, x


def _max_pool(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    slide, planes = _pool(x, attrs)
    lowest = code_limits(x.dtype)[0] if "int" in x.dtype.name else -np.inf
    taps = slide.taps(padded(planes, slide.pads, lowest))
    out = next(taps)[2].copy()
    for _, _, seen in taps:
        np.maximum(out, seen, out=out)
    return out.reshape(*out.shape[:2], *out.shape[4 - (x.ndim - 2) :])


def average_pool(args: Sequence[Value], attrs: Attributes) -> Value:
    """Padding counts only with `count_include_pad`; of codes an integer kernel in `tfl_double`."""
    x = args[0]
    if not (isinstance(x, Codes) and x.single):
        sums, count = _sums(real(x).astype(np.float64), attrs)
        out: Array = (sums / count).astype(np.float32)
        return out
    sums, count = _sums(x.integers, attrs)
    return Pending(
        (sums / count * np.float64(x.scale.item())).astype(np.float32), _average_codes(x, sums, count, attrs)
    )


def _sums(source: Array, attrs: Attributes) -> tuple[Array, Array]:
    """What lies under each window, summed in the order of its places, and how many places count."""
    slide, planes = _pool(source, attrs)
    ones = np.ones((1, 1, *planes.shape[2:]), np.int64)
    sums, count = (np.asarray(sum(seen for _, _, seen in slide.taps(padded(a, slide.pads)))) for a in (planes, ones))
    if attrs.get("count_include_pad", 0):
        count = np.full_like(count, prod(slide.kernel))
    keep = 4 - (source.ndim - 2)
    sums, count = (a.reshape(*a.shape[:2], *a.shape[keep:]) for a in (sums, count))
    return sums, count


def _average_codes(x: Codes, sums: Array, count: Array, attrs: Attributes) -> Callable[[Array, Array], Array]:
    """The integer kernel keeps the grid; to another one it is the float kernel, then a quantizer."""

    def codes(scale: Array, zero: Array) -> Array:
        if scale == x.scale and zero == x.zero:
            return rounding.tfl_average(sums, count, int(zero), zero)
        return rounding.quantize_float(_sums(real(x), attrs)[0] / count.astype(np.float32), scale, zero, "tfl_double")

    return codes


def _spatial(function: Operator) -> Operator:
    """A global pool: a reduction over all spatial axes."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        rank = (args[0].codes if isinstance(args[0], Codes) else numbers(args[0])).ndim
        return function(args[:1], {"axes": range(2, rank)})

    return run


def softmax(args: Sequence[Value], attrs: Attributes) -> Value:
    """Over one axis."""
    x, axis = real(args[0]), attrs.get("axis", -1)
    powers = np.exp(x - x.max(axis, keepdims=True))
    out: Array = powers / powers.sum(axis, keepdims=True)
    return out


def layer_norm(args: Sequence[Value], attrs: Attributes) -> Value:
    """Over the axes from `axis` on."""
    x, gain = real(args[0]), real(args[1])
    axes = tuple(range(attrs.get("axis", -1) % x.ndim, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axes, keepdims=True) + np.float32(attrs.get("epsilon", 1e-5)))
    out: Array = centred / deviation * gain + (real(args[2]) if len(args) > 2 else np.float32(0))
    return out.astype(np.float32)


def refuse_training(attrs: Attributes) -> None:
    """Raises NotImplementedError where a BatchNormalization measures its statistics."""
    if attrs.get("training_mode", 0):
        raise NotImplementedError("it is in training mode")


def batch_norm(args: Sequence[Value], attrs: Attributes) -> Value:
    """With the stored statistics."""
    refuse_training(attrs)
    x = real(args[0])
    gain, shift, centre, variance = (real(a).reshape(-1, *(1,) * (x.ndim - 2)) for a in args[1:5])
    out: Array = (x - centre) / np.sqrt(variance + np.float32(attrs.get("epsilon", 1e-5))) * gain + shift
    return out


def norm(args: Sequence[Value], attrs: Attributes) -> Value:
    """ReduceL2: root of the sum of squares, in float32."""
    x, keep = real(args[0]), bool(attrs.get("keepdims", 1))
    squares: Array = np.square(x, dtype=np.float64).sum(axes_of(args, attrs, x.ndim), keepdims=keep)
    return np.sqrt(squares).astype(np.float32)


REDUCTIONS: dict[str, Operator] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "GlobalAveragePool": _spatial(mean),
    "GlobalMaxPool": _spatial(_extreme(np.max)),
    "LayerNormalization": layer_norm,
    "MaxPool": moved(_max_pool),
    "ReduceL2": norm,
    "ReduceMax": _extreme(np.max),
    "ReduceMean": mean,
    "ReduceMin": _extreme(np.min),
    "ReduceSum": total,
    "Softmax": softmax,
}
