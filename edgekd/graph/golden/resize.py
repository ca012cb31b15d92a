"""ONNX Resize: nearest and linear, at the places each coordinate mode says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.graph.golden.moving import moved
from edgekd.graph.golden.values import Array, Codes, Pending, Value, numbers, real
from edgekd.graph.golden.windows import Attributes

Places = NDArray[np.float32]
Coordinate = Callable[[Places, np.float32, int, int], Places]
_HALF = np.float32(0.5)

COORDINATES: dict[bytes, Coordinate] = {
    b"half_pixel": lambda i, scale, n, m: (i + _HALF) / scale - _HALF,
    b"pytorch_half_pixel": lambda i, scale, n, m: (i + _HALF) / scale - _HALF if m > 1 else i * 0,
    b"asymmetric": lambda i, scale, n, m: i / scale,
    b"align_corners": lambda i, scale, n, m: i * np.float32(n - 1) / np.float32(m - 1) if m > 1 else i * 0,
}
"""(output places, scale, input size, output size) to places in the input; float32, as ONNX Runtime computes them."""

ROUND: dict[bytes, Callable[[Places], Places]] = {
    b"round_prefer_floor": lambda at: np.ceil(at - _HALF),
    b"round_prefer_ceil": lambda at: np.floor(at + _HALF),
    b"floor": np.floor,
    b"ceil": np.ceil,
}


def refuse(attrs: Attributes) -> None:
    """Raises NotImplementedError where the interpreter does not know what a Resize asks for."""
    mode, where = attrs.get("mode", b"nearest"), attrs.get("coordinate_transformation_mode", b"half_pixel")
    if mode not in (b"nearest", b"linear"):
        raise NotImplementedError(f"its mode is {mode.decode()}, only nearest and linear can be")
    if where not in COORDINATES:
        raise NotImplementedError(f"its coordinates are {where.decode()}")
    if attrs.get("antialias", 0) or attrs.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        raise NotImplementedError("it smooths (`antialias`) or keeps the aspect ratio")


def resize(args: Sequence[Value], attrs: Attributes) -> Value:
    """Nearest moves codes; linear works on real values, in `tfl_double` on codes."""
    refuse(attrs)
    if attrs.get("mode", b"nearest") == b"nearest":
        return moved(_nearest)(args, attrs)
    x = args[0]
    values = _linear(real(x), args, attrs)
    if not (isinstance(x, Codes) and x.single and x.codes.ndim == 4):
        return values
    where = attrs.get("coordinate_transformation_mode", b"half_pixel")

    def codes(scale: Array, zero: Array) -> Array:
        return x.like(_tfl_linear(x.codes, values.shape[2:], where)).quantize(scale, zero, "tfl_double")

    return Pending(values, codes)


def _tfl_linear(codes: Array, size: Sequence[int], where: bytes) -> Array:
    """Codes interpolated with weights of ten bits a side, half away from zero (TFLite ResizeBilinearInteger)."""
    x = codes.astype(np.int64)
    for axis, n in zip((2, 3), size, strict=True):
        low, high, share = _tfl_places(x.shape[axis], n, where)
        share = share.reshape((-1, 1) if axis == 2 else -1)
        x = np.take(x, low, axis) * (1024 - share) + np.take(x, high, axis) * share
    out: Array = (np.sign(x) * ((np.abs(x) + (1 << 19)) >> 20)).astype(codes.dtype)
    return out


def _tfl_places(n: int, m: int, where: bytes) -> tuple[Array, Array, Array]:
    """For each of `m` output samples: the input samples below and above, and 1024 times how far above it lies."""
    corners = where == b"align_corners" and m > 1
    step = (1024 * (n - 1) + (m - 1) // 2) // (m - 1) if corners else (1024 * n + m // 2) // m
    at = np.arange(m, dtype=np.int64) * step
    if where in (b"half_pixel", b"pytorch_half_pixel"):
        at += step // 2 - 512
    low = np.clip(at // 1024, 0, n - 1)
    return low, np.clip((at + 1023) // 1024, 0, n - 1), at - 1024 * low


def _nearest(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    rounded = ROUND[attrs.get("nearest_mode", b"round_prefer_floor")]
    for axis, at in _places(x.shape, args, attrs):
        x = np.take(x, np.clip(rounded(at), 0, x.shape[axis] - 1).astype(np.int64), axis)
    return x


def _linear(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    """One axis after the other; places outside take the edge."""
    for axis, at in _places(x.shape, args, attrs):
        at = np.clip(at, 0, x.shape[axis] - 1)
        below = np.floor(at).astype(np.int64)
        share = (at - below).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        low, high = np.take(x, below, axis), np.take(x, np.minimum(below + 1, x.shape[axis] - 1), axis)
        x = low * (1 - share) + high * share
    return x


def _places(shape: Sequence[int], args: Sequence[Value], attrs: Attributes) -> list[tuple[int, Places]]:
    """Each axis that changes, and where in the input its output samples lie."""
    axes = [int(a) % len(shape) for a in attrs.get("axes", range(len(shape)))]
    sizes = numbers(args[3]) if len(args) > 3 else np.empty(0)
    if sizes.size:
        pairs = [(int(m), np.float32(m / shape[a])) for a, m in zip(axes, sizes, strict=True)]
    else:
        pairs = [(int(shape[a] * s), np.float32(s)) for a, s in zip(axes, real(args[2]), strict=True)]
    coordinate = COORDINATES[attrs.get("coordinate_transformation_mode", b"half_pixel")]
    return [
        (a, coordinate(np.arange(m, dtype=np.float32), scale, shape[a], m))
        for a, (m, scale) in zip(axes, pairs, strict=True)
        if scale != 1
    ]
