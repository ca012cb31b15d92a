"""Convolutions and matrix products, exact on integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekd.graph.golden.values import Array, Codes, Sums, Value, real

Attributes = dict[str, Any]


def conv(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX Conv, two spatial dimensions."""
    if real(args[1]).ndim != 4:
        raise NotImplementedError("only two-dimensional convolutions can be checked")
    settings = (
        attrs.get("strides", (1, 1)),
        attrs.get("pads", (0, 0, 0, 0)),
        attrs.get("dilations", (1, 1)),
        attrs.get("group", 1),
    )
    return weighted(args, lambda x, w: convolution(x, w, *settings), out_axis=0, shape=(-1, 1, 1))


def conv_transpose(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX ConvTranspose, group 1: the gradient of a convolution."""
    if attrs.get("group", 1) != 1 or tuple(attrs.get("dilations", (1, 1))) != (1, 1):
        raise NotImplementedError("only ungrouped, undilated ConvTranspose can be checked")
    strides, pads = attrs.get("strides", (1, 1)), attrs.get("pads", (0, 0, 0, 0))
    extra = attrs.get("output_padding", (0, 0))
    return weighted(args, lambda x, w: _transposed(x, w, strides, pads, extra), out_axis=1, shape=(-1, 1, 1))


def gemm(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX Gemm with alpha and beta 1."""
    if attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0 or attrs.get("transA", 0):
        raise NotImplementedError("only Gemm with alpha 1, beta 1 and transA 0 can be checked")
    across = bool(attrs.get("transB", 0))
    return weighted(args, lambda x, w: x @ (w.T if across else w), out_axis=0 if across else 1, shape=(-1,))


def matmul(args: Sequence[Value], attrs: Attributes) -> Value:
    """ONNX MatMul."""
    last = real(args[1]).ndim - 1
    return weighted(args, lambda x, w: x @ w, out_axis=last, shape=(-1,))


def weighted(args: Sequence[Value], product: Any, out_axis: int, shape: tuple[int, ...]) -> Value:
    """`product(x, w) + bias`: exact integers where both are codes, float32 where not."""
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    if not (isinstance(x, Codes) and isinstance(weight, Codes)):
        out: Array = product(real(x), real(weight))
        return out if bias is None else out + real(bias).reshape(shape)
    scale_w = weight.scale.reshape(shape) if weight.scale.size > 1 else weight.scale
    offset = _offset(bias, x, scale_w)
    exact = _accumulator(x, weight, out_axis, offset)
    sums = product(x.centred.astype(exact), weight.centred.astype(exact))
    return Sums(sums if offset is None else sums + offset.astype(exact).reshape(shape), x.scale, scale_w)


def _offset(bias: Value | None, x: Codes, scale_w: Array) -> Array | None:
    """The bias in accumulator units; a float bias lies on that grid."""
    if bias is None:
        return None
    if isinstance(bias, Codes):
        return bias.integers.astype(np.float64)
    grid = (x.scale * scale_w).astype(np.float32).astype(np.float64)
    out: Array = np.rint(real(bias).astype(np.float64) / grid.ravel())
    return out


def _accumulator(x: Codes, weight: Codes, out_axis: int, offset: Array | None) -> type[np.floating[Any]]:
    """float32 where every partial sum is an integer below 2^24, so exact in any order; else float64."""
    others = tuple(axis for axis in range(weight.codes.ndim) if axis != out_axis)
    taps = np.abs(weight.integers.astype(np.float64)).sum(axis=others)
    top = float(taps.max(initial=0)) * float(np.abs(x.centred).max(initial=0))
    top += 0.0 if offset is None else float(np.abs(offset).max(initial=0))
    return np.float32 if top < 2**24 else np.float64


def convolution(
    x: Array, weight: Array, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], groups: int
) -> Array:
    """(N, C, H, W) with (O, C / groups, kh, kw) to (N, O, H', W'), as ONNX Conv without bias."""
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    kernel = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    n, channels, height, width = views.shape[:4]
    # groups become a batch dimension of one matrix product
    columns = views.transpose(0, 1, 4, 5, 2, 3).reshape(n, groups, channels // groups * weight[0, 0].size, -1)
    taps = weight.reshape(groups, len(weight) // groups, -1)
    out: Array = (taps[None] @ columns).reshape(n, len(weight), height, width)
    return out


def _transposed(x: Array, weight: Array, strides: Sequence[int], pads: Sequence[int], extra: Sequence[int]) -> Array:
    """(N, C, H, W) with (C, O, kh, kw): zeros put between the samples, then a convolution with the mirrored kernel."""
    n, channels, height, width = x.shape
    spread = np.zeros((n, channels, (height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1), x.dtype)
    spread[:, :, :: strides[0], :: strides[1]] = x
    kh, kw = weight.shape[2:]
    around = (kh - 1 - pads[0], kw - 1 - pads[1], kh - 1 - pads[2] + extra[0], kw - 1 - pads[3] + extra[1])
    if min(around) < 0:
        raise NotImplementedError("ConvTranspose whose padding exceeds its kernel cannot be checked")
    return convolution(spread, weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), (1, 1), around, (1, 1), 1)
