"""Convolutions and matrix products, exact on integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekd.graph.accumulator import FLOAT32_EXACT
from edgekd.graph.golden.values import Array, Codes, Sums, Value, numbers, real
from edgekd.graph.golden.windows import Attributes, Window, padded, window

Product = Callable[[Array, Array], Array]
_BLOCK = 1 << 19
"""Elements of unfolded input at a time: 4 MiB of float32, so memory stays bounded and the cache is kept."""


def conv(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX Conv, one or two spatial dimensions."""
    shape, kernel = _shape(args[0])[2:], _shape(args[1])[2:]
    slide, groups = window(shape, kernel, attrs), attrs.get("group", 1)
    return weighted(args, _planar(lambda x, w: convolution(x, w, slide, groups), len(kernel)), 0, len(kernel))


def refuse_padding(attrs: Attributes) -> None:
    """Raises NotImplementedError where the pads of a ConvTranspose are told in another way."""
    if "output_shape" in attrs or attrs.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise NotImplementedError("its padding is given by `output_shape` or `auto_pad`, only `pads` can be")


def conv_transpose(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX ConvTranspose, one or two spatial dimensions: the gradient of a convolution."""
    refuse_padding(attrs)
    kernel, groups = _shape(args[1])[2:], attrs.get("group", 1)
    slide = window(_shape(args[0])[2:], kernel, attrs)
    extra = (0, *attrs.get("output_padding", (0,) * len(kernel)))[-2:]
    product = _planar(lambda x, w: _transposed(x, w, slide, groups, extra), len(kernel))
    weight = args[1]
    if isinstance(weight, Codes) and weight.scale.size > 1 and groups > 1:  # one scale for each place in a group
        return weighted([args[0], real(weight), *args[2:]], product, 1, len(kernel))
    return weighted(args, product, 1, len(kernel))


def gemm(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX Gemm; codes stay integers where alpha and beta are 1 and the bias is one row."""
    a, b, bias = args[0], args[1], args[2] if len(args) > 2 and _shape(args[2]) != (0,) else None
    if bias is not None and not _shape(bias):  # one number for all channels, whose grids differ
        bias = real(bias).reshape(1)
    alpha, beta = (np.float32(attrs.get(key, 1)) for key in ("alpha", "beta"))
    across = bool(attrs.get("transB", 0))
    if attrs.get("transA", 0):
        a = a.like(a.codes.T) if isinstance(a, Codes) and a.single else real(a).T

    def product(x: Array, w: Array) -> Array:
        return x @ (w.T if across else w)

    row = bias is None or len(_shape(bias)) == 1 or _shape(bias)[0] == 1 != _shape(a)[0]
    if alpha == beta == 1 and row:
        return weighted([a, b, *([] if bias is None else [bias])], product, 0 if across else 1, 0)
    out = product(real(a), real(b)) * alpha
    return out if bias is None else out + beta * real(bias)


def matmul(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX MatMul, batched or not; of two activations too."""
    return weighted(args[:2], np.matmul, len(_shape(args[1])) - 1, 0, contracted=-2)


def weighted(args: Sequence[Value], product: Product, out_axis: int, rank: int, contracted: int | None = None) -> Value:
    """`product(x, w) + bias`: exact integers where both are codes, float32 where not.

    `out_axis`: the weight's axis of output channels, behind which the output has `rank` spatial axes; `contracted`: the
    weight's only axis that is summed, all but `out_axis` by default.
    """
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    shape = (-1,) + (1,) * rank
    if not (isinstance(x, Codes) and isinstance(weight, Codes) and x.single and _per_output(weight, out_axis)):
        out: Array = product(real(x), real(weight))
        return out if bias is None else out + real(bias).reshape(shape)
    scale_w = weight.scale.reshape(shape) if weight.scale.size > 1 else weight.scale.reshape(())
    scale_x = x.scale.reshape(())
    offset = _offset(bias, scale_x, scale_w)
    axes = tuple(a for a in range(weight.codes.ndim) if a != out_axis) if contracted is None else contracted
    exact = _accumulator(x, weight, axes, offset)
    sums = product(x.centred.astype(exact, copy=False), weight.centred.astype(exact, copy=False))
    if offset is not None:
        sums += offset.astype(exact).reshape(shape)
    return Sums(sums, scale_x, scale_w)


def _shape(value: Value) -> tuple[int, ...]:
    return value.codes.shape if isinstance(value, Codes) else numbers(value).shape


def _per_output(weight: Codes, out_axis: int) -> bool:
    """Whether the weight's scale is one number, or one for each output channel."""
    scale = weight.scale
    return scale.size == 1 or (scale.ndim == weight.codes.ndim and scale.shape[out_axis] == scale.size)


def _offset(bias: Value | None, scale_x: Array, scale_w: Array) -> Array | None:
    """The bias in accumulator units; a float bias lies on that grid."""
    if bias is None:
        return None
    if isinstance(bias, Codes):
        return bias.integers.astype(np.float64)
    grid = (scale_x * scale_w).astype(np.float32).astype(np.float64)
    out: Array = np.rint(real(bias).astype(np.float64) / grid.ravel())
    return out


def _accumulator(x: Codes, weight: Codes, axes: int | tuple[int, ...], offset: Array | None) -> type[np.floating[Any]]:
    """float32 where every partial sum is an integer below 2^24, so exact in any order; else float64."""
    taps = np.abs(weight.centred).sum(axis=axes, dtype=np.float64)
    zero = int(x.zero.item())
    ends = (abs(int(end) - zero) for end in (x.codes.min(initial=0), x.codes.max(initial=0)))
    top = float(taps.max(initial=0)) * max(ends)
    top += 0.0 if offset is None else float(np.abs(offset).max(initial=0))
    return np.float32 if top < FLOAT32_EXACT else np.float64


def _planar(product: Product, rank: int) -> Product:
    """Of two spatial axes, also where there is one: it becomes the width."""
    if rank == 2:
        return product
    return lambda x, w: product(x[:, :, None], w[:, :, None])[:, :, 0]


def convolution(x: Array, weight: Array, slide: Window, groups: int) -> Array:
    """(N, C, H, W) with (O, C / groups, kh, kw) to (N, O, H', W'), as ONNX Conv without bias."""
    x = padded(x, slide.pads)
    n, channels, (height, width) = len(x), x.shape[1], slide.size(x.shape)
    # groups become a batch dimension of one matrix product
    taps = weight.reshape(groups, len(weight) // groups, -1)
    if slide.plain:
        plain: Array = (taps @ x.reshape(n, groups, channels // groups, -1)).reshape(n, -1, height, width)
        return plain
    out = np.empty((n, len(weight), height, width), np.result_type(x, weight))
    rows = max(1, min(height, _BLOCK // max(1, n * channels * weight[0, 0].size * width)))
    buffer = np.empty((n, channels, *slide.kernel, rows, width), x.dtype)  # one, since fresh memory costs more than it
    for top in range(0, height, rows):
        columns = buffer[..., : height - top, :] if height - top < rows else buffer
        first = top * slide.strides[0]
        strip = x[:, :, first : first + (columns.shape[4] - 1) * slide.strides[0] + slide.extent(0)]
        for i, j, seen in slide.taps(strip):
            columns[:, :, i, j] = seen
        product = taps @ columns.reshape(n, groups, taps.shape[-1], -1)
        out[:, :, top : top + rows] = product.reshape(n, len(weight), -1, width)
    return out


def _transposed(x: Array, weight: Array, slide: Window, groups: int, extra: Sequence[int]) -> Array:
    """(N, C, H, W) with (C, O / groups, kh, kw): zeros between the samples, then convolved with the mirrored kernel."""
    n, channels, height, width = x.shape
    (sy, sx), pads = slide.strides, slide.pads
    spread = np.zeros((n, channels, (height - 1) * sy + 1, (width - 1) * sx + 1), x.dtype)
    spread[:, :, ::sy, ::sx] = x
    around = [slide.extent(i % 2) - 1 - pads[i] + (extra[i - 2] if i > 1 else 0) for i in range(4)]
    kernel = weight[:, :, ::-1, ::-1].reshape(groups, channels // groups, -1, *slide.kernel).swapaxes(1, 2)
    mirrored = np.ascontiguousarray(kernel.reshape(-1, channels // groups, *slide.kernel))
    same = replace(slide, strides=(1, 1), pads=(around[0], around[1], around[2], around[3]))
    return convolution(spread, mirrored, same, groups)
