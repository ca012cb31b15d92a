"""Operators that move values without changing them: codes stay codes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from edgekd.graph.golden.values import Array, Codes, Value, numbers, real
from edgekd.graph.golden.windows import Attributes

Move = Callable[[Array, Sequence[Value], Attributes], Array]
Operator = Callable[[Sequence[Value], Attributes], Value]


def moved(function: Move) -> Operator:
    """An operator that moves values: codes of one scale stay codes."""

    def run(args: Sequence[Value], attrs: Attributes) -> Value:
        x = args[0]
        if isinstance(x, Codes) and x.single:
            return x.like(function(x.codes, args, attrs))
        return function(numbers(x), args, attrs)

    return run


def ints(args: Sequence[Value], place: int) -> list[int] | None:
    """A list of integers given as an input; None when it is absent."""
    found = numbers(args[place]).ravel() if len(args) > place else np.empty(0)
    return [int(v) for v in found] if found.size else None


def _reshape(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    keep = not attrs.get("allowzero", 0)
    return x.reshape([x.shape[i] if size == 0 and keep else size for i, size in enumerate(ints(args, 1) or [])])


def _flatten(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    axis = attrs.get("axis", 1)
    return x.reshape(prod(x.shape[: axis % x.ndim if axis < 0 else axis]), -1)


def _slice(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    starts, ends = ints(args, 1) or [], ints(args, 2) or []
    axes, steps = ints(args, 3) or range(len(starts)), ints(args, 4) or [1] * len(starts)
    cuts = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        before_all = step < 0 and end < -x.shape[axis]  # a Python slice would read it from the end again
        cuts[axis] = slice(start, None if before_all else end, step)
    return x[tuple(cuts)]


def _squeeze(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    axes = ints(args, 1) or attrs.get("axes")
    return x.squeeze(None if axes is None else tuple(axes))


def _unsqueeze(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    return np.expand_dims(x, tuple(ints(args, 1) or attrs["axes"]))


def _expand(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(ints(args, 1) or [])))


def _gather(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    return np.take(x, numbers(args[1]).astype(np.int64), attrs.get("axis", 0))


def _depth_to_space(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    (n, channels, height, width), b = x.shape, attrs["blocksize"]
    if attrs.get("mode", b"DCR") == b"DCR":
        parts = x.reshape(n, b, b, channels // b**2, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, channels // b**2, b, b, height, width).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, channels // b**2, height * b, width * b)


def _space_to_depth(x: Array, args: Sequence[Value], attrs: Attributes) -> Array:
    (n, channels, height, width), b = x.shape, attrs["blocksize"]
    parts = x.reshape(n, channels, height // b, b, width // b, b).transpose(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, channels * b**2, height // b, width // b)


def pad(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes stay codes: zeros are put in as the zero point. Negative pads cut."""
    x, mode = args[0], attrs.get("mode", b"constant").decode()
    fill = real(args[2]).ravel() if len(args) > 2 and numbers(args[2]).size else np.zeros(1, np.float32)
    whole = isinstance(x, Codes) and x.single and (mode != "constant" or not fill.any())
    source = x.codes if isinstance(x, Codes) and whole else numbers(x)
    given, axes = ints(args, 1) or attrs["pads"], ints(args, 3) or range(source.ndim)
    ends = [(0, 0)] * source.ndim
    for i, axis in enumerate(axes):
        ends[axis] = (given[i], given[i + len(given) // 2])
    value: Any = x.zero.item() if isinstance(x, Codes) and whole else fill.item()
    settings = {"constant_values": value} if mode == "constant" else {}
    grown = [(max(0, low), max(0, high)) for low, high in ends]
    out = np.pad(source, grown, mode=mode, **settings)
    out = out[tuple(slice(max(0, -low), n - max(0, -high)) for (low, high), n in zip(ends, out.shape, strict=True))]
    return x.like(out) if isinstance(x, Codes) and whole else out


def concat(args: Sequence[Value], attrs: Attributes) -> Value:
    """Codes of equal scale stay codes."""
    parts, axis = [a for a in args if isinstance(a, Codes) and a.single], attrs["axis"]
    grids = {(p.scale.item(), p.zero.item(), p.codes.dtype) for p in parts}
    if len(parts) == len(args) and len(grids) == 1:
        return parts[0].like(np.concatenate([p.codes for p in parts], axis))
    return np.concatenate([numbers(a) for a in args], axis)


def split(args: Sequence[Value], attrs: Attributes, outputs: int) -> list[Value]:
    """Sizes given, or as even as they can be. Codes stay codes."""
    x, axis = args[0], attrs.get("axis", 0)
    whole = x.codes if isinstance(x, Codes) and x.single else numbers(x)
    sizes = ints(args, 1) or attrs.get("split") or [-(-whole.shape[axis] // outputs)] * outputs
    parts = np.split(whole, np.cumsum(sizes)[:-1], axis)
    return [x.like(part) if isinstance(x, Codes) and x.single else part for part in parts]


MOVING: dict[str, Operator] = {
    "Concat": concat,
    "DepthToSpace": moved(_depth_to_space),
    "Dropout": lambda args, attrs: args[0],
    "Expand": moved(_expand),
    "Flatten": moved(_flatten),
    "Gather": moved(_gather),
    "Identity": lambda args, attrs: args[0],
    "Pad": pad,
    "Reshape": moved(_reshape),
    "Slice": moved(_slice),
    "SpaceToDepth": moved(_space_to_depth),
    "Squeeze": moved(_squeeze),
    "Tile": moved(lambda x, args, attrs: np.tile(x, ints(args, 1) or [])),
    "Transpose": moved(lambda x, args, attrs: x.transpose(attrs.get("perm"))),
    "Unsqueeze": moved(_unsqueeze),
}
