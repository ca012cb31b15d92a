"""Sliding windows over the last two axes: padding, sizes, and one strided view for each tap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekd.graph.golden.values import Array

Attributes = dict[str, Any]


@dataclass(frozen=True)
class Window:
    """Of a convolution or pool: everything but the weights. Pads are top, left, bottom, right, as ONNX has them."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    @property
    def plain(self) -> bool:
        """One tap at every place: nothing slides."""
        return (self.kernel, self.strides, self.pads) == ((1, 1), (1, 1), (0, 0, 0, 0))

    def extent(self, axis: int) -> int:
        """Samples from the first tap to the last."""
        return (self.kernel[axis] - 1) * self.dilations[axis] + 1

    def size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width of the output for an input that is padded already."""
        height, width = ((n - self.extent(i)) // self.strides[i] + 1 for i, n in enumerate(shape[-2:]))
        return height, width

    def taps(self, x: Array) -> Iterator[tuple[int, int, Array]]:
        """(row, column, what that tap sees at every place); `x` is padded already."""
        height, width = self.size(x.shape)
        (sy, sx), (dy, dx) = self.strides, self.dilations
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                rows = slice(i * dy, i * dy + sy * (height - 1) + 1, sy)
                yield i, j, x[..., rows, slice(j * dx, j * dx + sx * (width - 1) + 1, sx)]


def window(shape: Sequence[int], kernel: Sequence[int], attrs: Attributes) -> Window:
    """From an operator's attributes; `shape` and `kernel` are spatial, of one axis (it becomes the width) or two."""
    rank = len(kernel)
    if rank not in (1, 2):
        raise NotImplementedError(f"it slides over {rank} axes, one or two can be")
    strides, dilations = (tuple(attrs.get(name, (1,) * rank)) for name in ("strides", "dilations"))
    pads = tuple(attrs.get("pads", (0,) * 2 * rank))
    if (auto := attrs.get("auto_pad", b"NOTSET")) in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = _same(shape, kernel, strides, dilations, auto == b"SAME_LOWER")
    if rank == 1:
        kernel, strides, dilations, pads = (1, *kernel), (1, *strides), (1, *dilations), (0, pads[0], 0, pads[1])
    return Window(tuple(kernel), strides, pads, dilations)  # type: ignore[arg-type]


def _same(
    shape: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], lower: bool
) -> tuple[int, ...]:
    """Pads that make the output `ceil(input / stride)` wide (ONNX auto_pad)."""
    total = [
        max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        for n, k, s, d in zip(shape, kernel, strides, dilations, strict=True)
    ]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return (*large, *small) if lower else (*small, *large)


def padded(x: Array, pads: Sequence[int], value: float = 0) -> Array:
    """The last two axes padded by top, left, bottom, right; cut where a pad is negative."""
    if not any(pads):
        return x
    top, left, bottom, right = (max(0, p) for p in pads)
    if max(pads) > 0:
        x = np.pad(x, ((0, 0),) * (x.ndim - 2) + ((top, bottom), (left, right)), constant_values=value)
    top, left, bottom, right = (max(0, -p) for p in pads)
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]
